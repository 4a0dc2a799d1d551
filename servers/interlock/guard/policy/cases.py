"""Golden decisions: YAML files that say in sentences what a policy must decide, and the runner that holds it to them.

A file has a `policy` (as a user would write it; or the name of a policy file is given by the caller) and `cases`:

    cases:
      - case: pushes ask
        action: git.push
        with: {branch: feature/x}
        expect: ask
        rule: development.push

Flags that a case does not give are those of an ordinary call: inside true, all others false.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.documents import DocumentError, Node, parse_yaml_positions
from interlock.guard.decide import Decider
from interlock.guard.model import UNKNOWN, Action, Attribute, Kind
from interlock.registry import VERBS

from .files import PolicyFile, refuse_empty
from .loading import Policy, load_file, policies_folder
from .problems import PolicyError, Problem, at, at_key, nearest
from .rules import EFFECTS, RISKS

_CASE_KEYS: Final = frozenset(["case", "action", "actions", "with", "expect", "rule", "risk", "code"])
_FILE_KEYS: Final = frozenset(["policy", "cases"])


@dataclass(frozen=True, slots=True)
class Tried:
    """One case that was tried: empty `failure` when the policy decided as expected."""

    file: str
    line: int
    case: str
    failure: str = ""


def shipped_cases() -> list[Path]:
    """The files that come with the profiles."""
    return sorted((policies_folder() / "tests").glob("*.yaml"))


def ordinary(flag: str) -> bool:
    """The value of a flag in an ordinary call: within the bounds, and nothing else."""
    return flag == "inside" or flag.startswith("known_")


def run_file(path: Path, policy: Policy | None = None) -> Iterator[Tried]:
    """Run the cases of one file, against its own policy or else the given one. Raises PolicyError for an odd file."""
    tree = _read(path)
    own = _keys(tree).get("policy")
    if own is not None:
        policy = _policy_of(path, own)
    if policy is None:
        raise PolicyError([at(tree, "there is no `policy` in this file, and none was given")])
    decider = Decider(policy.rules, VERBS)
    cases = _keys(tree).get("cases")
    if cases is None or not isinstance(cases.value, list) or not cases.value:
        raise PolicyError([at(tree, "`cases` is a list with at least one case")])
    for node in cases.value:
        yield _run(decider, node)


def _run(decider: Decider, node: Node) -> Tried:
    keys = _keys(node)
    for key in keys.keys() - _CASE_KEYS:
        raise PolicyError([at_key(node, key, f"a case has no `{key[:60]}`", nearest(key, _CASE_KEYS))])
    sentence = keys["case"].value if "case" in keys else ""
    if not isinstance(sentence, str) or not sentence:
        raise PolicyError([at(node, "a case begins with `case: a sentence that says what holds`")])
    decision = decider.decide(list(_actions(node)))
    wrong = []
    for key, found in (
        ("expect", decision.effect.name.lower()),
        ("risk", decision.risk.name.lower()),
        ("code", decision.code.value),
    ):
        if key in keys and keys[key].value != found:
            wrong.append(f"{key} is {found}, not {keys[key].value}")
    if "expect" not in keys or keys["expect"].value not in EFFECTS:
        raise PolicyError([at(node, f"`expect` is one of {', '.join(EFFECTS)}")])
    if "risk" in keys and keys["risk"].value not in RISKS:
        raise PolicyError([at(keys["risk"], f"`risk` is one of {', '.join(RISKS)}")])
    if "rule" in keys:
        wanted = keys["rule"].value
        if (wanted == "none" and decision.rules) or (wanted != "none" and wanted not in decision.rules):
            wrong.append(f"it was decided by {', '.join(decision.rules) or 'no rule'}, not {wanted}")
    return Tried(node.file, node.line, sentence, "; ".join(wrong))


def _actions(node: Node) -> Iterator[Action]:
    keys = _keys(node)
    if "actions" in keys:
        for one in keys["actions"].value if isinstance(keys["actions"].value, list) else []:
            yield _action(one)
        return
    yield _action(node)


def _action(node: Node) -> Action:
    keys = _keys(node)
    name = keys.get("action", node)
    verb = VERBS.get(str(name.value))
    if verb is None:
        raise PolicyError([at(name, "`action` is the name of an action", nearest(str(name.value)[:60], VERBS))])
    attributes: dict[str, Attribute] = {
        key: ordinary(key) for key, kind in verb.attributes.items() if kind is Kind.FLAG
    }
    given = keys.get("with")
    for key, value in _keys(given).items() if given is not None else ():
        kind = verb.attributes.get(key)
        if kind is None:
            assert given is not None
            raise PolicyError([at_key(given, key, f"{verb.name} has no `{key[:60]}`", nearest(key, verb.attributes))])
        attributes[key] = _attribute(kind, value)
    return Action(verb.name, str(attributes.get("path") or attributes.get("name") or verb.name), attributes)


def _attribute(kind: Kind, node: Node) -> Attribute:
    value: Any = node.data()
    if value == "unknown" and kind in (Kind.KEYS, Kind.NUMBER, Kind.FLAG):
        return UNKNOWN
    if kind is Kind.KEYS and isinstance(value, list):
        return tuple(str(item) for item in value)
    if kind in (Kind.TEXT, Kind.PATH) and isinstance(value, str):
        return str(Path(value).expanduser()) if kind is Kind.PATH and value.startswith("~/") else value
    if kind is Kind.FLAG and isinstance(value, bool):
        return value
    if kind is Kind.NUMBER and isinstance(value, int) and not isinstance(value, bool):
        return value
    raise PolicyError([at(node, f"this is no value of the kind {kind.value}")])


def _policy_of(path: Path, node: Node) -> Policy:
    """The file's own policy. It is no file of its own, so who may write it does not matter."""
    refuse_empty(node)
    file = PolicyFile(path, "", False, False, node, hashlib.sha256(path.read_bytes()).hexdigest(), ())
    return load_file(file, home=Path("/nonexistent/interlock"), guarded=False)


def _read(path: Path) -> Node:
    try:
        tree = parse_yaml_positions(path.read_text("utf-8"), str(path))
    except DocumentError as error:
        raise PolicyError([Problem(str(path), error.line, error.column, error.message)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError([Problem(str(path), 0, 0, f"it cannot be read ({type(error).__name__})")]) from None
    if not isinstance(tree.value, dict):
        raise PolicyError([at(tree, "a file of cases has `policy` and `cases`")])
    for key in tree.value.keys() - _FILE_KEYS:
        raise PolicyError([at_key(tree, key, f"a file of cases has no `{key[:60]}`", nearest(key, _FILE_KEYS))])
    return tree


def _keys(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}
