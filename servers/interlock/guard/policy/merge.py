"""Makes one tree out of a policy, those it extends and the profile at the end. Nearer files win, key by key.

Protections add up; places (roots, repositories, contexts, ...) come from the policy that is used itself, never from
one that it extends. Not for rules: those are all kept (`rules`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from interlock.documents import Node
from interlock.registry import SECTIONS

from .files import PolicyFile
from .model import PARTS, PLACES, Head
from .problems import Problem, at, at_key, nearest

_KNOWN: Final = frozenset([*Head.model_fields, *PARTS, *SECTIONS, "rules", "redaction"])


def merge(chain: Sequence[PolicyFile]) -> tuple[Node, list[Problem]]:
    """One tree out of a chain: nearer files win key by key; places come from the user's file alone."""
    user = chain[0].tree
    merged = Node({}, user.line, user.column, dict(user.keys), file=user.file)
    problems: list[Problem] = []
    out = keys(merged)
    for file in chain:
        for key in file.tree.keys.keys() - _KNOWN:
            problems.append(at_key(file.tree, key, f"a policy has no `{key[:60]}`", nearest(key, _KNOWN)))
        version = keys(file.tree).get("version")
        if version is None:
            problems.append(at(file.tree, "`version` is missing", "put `version: 1` in the first line"))
        elif version.value != 1 or type(version.value) is not int:
            problems.append(at(version, "this version of the format is unknown", "it is `version: 1`"))
        for key, node in keys(file.tree).items():
            if key in PARTS or key in SECTIONS or key == "redaction":
                if not isinstance(node.value, dict):
                    problems.append(at(node, f"`{key}` is a mapping of keys"))
                elif key in PARTS or file is chain[0] or (key in SECTIONS and key in out):
                    out[key] = _over(out.get(key), node, PLACES.get(key, frozenset()))
                elif key == "redaction":
                    out[key] = _over(out.get(key), node, frozenset())
            elif key in ("contacts", "confine") or file is chain[0]:
                out.setdefault(key, node)
    return merged, problems


def not_inherited(chain: Sequence[PolicyFile]) -> Iterator[Problem]:
    """Keys of extended policies that count only in a policy that is used itself."""
    for file in chain[1:]:
        for key in ("agent", "state"):
            if key in file.tree.keys:
                yield at_key(file.tree, key, f"`{key}` is not taken from an extended policy")
        for name, places in PLACES.items():
            section = keys(file.tree).get(name) or Node({}, 0, 0)
            for key in sorted(places & section.keys.keys()):
                yield at_key(section, key, f"`{name}.{key}` names places, so it is not taken from an extended policy")


def _over(upper: Node | None, lower: Node, places: frozenset[str]) -> Node:
    """`upper` with what only `lower` has. Protections add up; places are never inherited."""
    if upper is None:
        return lower
    made = Node(dict(keys(upper)), upper.line, upper.column, dict(upper.keys), file=upper.file)
    out = keys(made)
    for key, node in keys(lower).items():
        if key in places:
            continue
        if key in ("protected", "extra", "sources") and key in out:
            mine = out[key]
            if isinstance(mine.value, list) and isinstance(node.value, list):
                out[key] = replace(mine, value=[*mine.value, *node.value])
            elif isinstance(mine.value, dict) and isinstance(node.value, dict):
                out[key] = replace(mine, value={**node.value, **mine.value}, keys={**node.keys, **mine.keys})
        elif key not in out:
            out[key] = node
            made.keys[key] = lower.keys[key]
    return made


def keys(node: Node) -> dict[str, Node]:
    """What stands in a mapping; nothing where it is none."""
    return node.value if isinstance(node.value, dict) else {}


def only(node: Node, wanted: Mapping[str, Any]) -> Node:
    """A mapping with these of its keys alone."""
    return replace(node, value={key: value for key, value in keys(node).items() if key in wanted})
