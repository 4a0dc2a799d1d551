"""The policy: read from its file, checked to the last key, and made into the values that the guard works with.

Anything odd is an error with file, line, column and a hint, and then nothing runs. Deciding is `decide`'s;
the parts are in the modules beside this one: files, model, rules, places, bounds, warnings, builtin, source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from interlock.documents import Node
from interlock.guard.model import Layer, Rule
from interlock.registry import SECTIONS, VERBS

from .builtin import builtin_rules, known_secret, owned, protection
from .files import (
    PROFILES,
    PolicyFile,
    config_folder,
    find_policy,
    policies_folder,
    read_chain,
    read_file,
    read_profile,
    schema_path,
)
from .merge import keys, merge, not_inherited, only
from .model import PARTS, ApprovalsSettings, Head, Limits, Rate, SnapshotsSettings
from .places import exposed, home_in_force, inside_bounds, own_paths
from .problems import PolicyError, Problem, at, nearest
from .rules import RuleReader, unknown_overrides
from .source import Source
from .types import path_pattern, seconds, size
from .warnings import never

__all__ = [
    "PROFILES", "ApprovalsSettings", "Limits", "Policy", "PolicyError", "Problem", "Rate", "SnapshotsSettings",
    "Source", "config_folder", "find_policy", "known_secret", "load", "owned", "policies_folder", "protection",
    "schema_path", "seconds", "size",
]  # fmt: skip

Model = TypeVar("Model", bound=BaseModel)
_EVERYTHING: Final = ("*", "**", "/**", "**/*", "~/**", "**/.*")


@dataclass(frozen=True, eq=False)
class Policy:
    """One policy as it was read, with everything it extends. Made by `load`; never changes."""

    path: Path
    digest: str  # SHA-256 over all files
    agent: str
    rules: tuple[Rule, ...]  # built-in, shipped and the user's
    sections: Mapping[str, BaseModel]  # by server; absent: the server is bound to nothing
    limits: Limits
    approvals: ApprovalsSettings
    snapshots: SnapshotsSettings
    files: tuple[Path, ...]  # the user's file and those it extends, shipped profiles left out
    profile: str  # the one at the end
    own: tuple[Path, ...]  # real paths that are Interlock's own
    contacts: tuple[str, ...] = ()
    confine: str = "best-effort"
    state: Path | None = None
    redaction: BaseModel | None = None
    contexts_profiles: Mapping[str, str] = field(default_factory=dict)  # context -> profile that speaks for it
    notes: tuple[Problem, ...] = ()  # oddities that were seen while reading
    widened: tuple[str, ...] = ()  # what an edit would have added to the bounds of a running server
    marks: tuple[tuple[Path, tuple[int, ...]], ...] = ()  # files and what `stat` said of them
    context_limits: Mapping[str, Limits] = field(default_factory=dict)

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        """What is odd but no error; rules that can never take effect among it. Worked out when first asked for."""
        contexts = getattr(self.sections.get("kubectl"), "contexts", ())
        return (*self.notes, *never(self.rules, self.sections, contexts))

    def section(self, kind: type[Model]) -> Model | None:
        """The section of a server, by its model; None where the policy has none."""
        return next((section for section in self.sections.values() if isinstance(section, kind)), None)

    def limits_for(self, context: str | None) -> Limits:
        """The limits for actions in a cluster context: its own profile's, where it has one."""
        return self.context_limits.get(context or "", self.limits)


def load(path: Path, profile: str | None = None, home: Path | None = None) -> Policy:
    """Read a policy and all it extends. `profile` replaces the one it ends in; `home` is where state lies.

    Raises PolicyError with every problem found.
    """
    return load_file(read_file(path.absolute()), profile, home)


def load_file(
    first: PolicyFile, profile: str | None = None, home: Path | None = None, *, guarded: bool = True
) -> Policy:
    """`load` for a file that is read already. `guarded=False`: it matters not who may write it (tests of policies)."""
    chain = read_chain(first, profile)
    merged, problems = merge(chain)
    notes = [*not_inherited(chain), *_lifted(merged)]
    values: dict[str, Any] = {}
    values[""] = _validated(Head, only(merged, Head.model_fields), problems)
    models: dict[str, type[BaseModel]] = {**PARTS, **SECTIONS, **_redaction(merged)}
    for name in models.keys() & keys(merged).keys():
        values[name] = _validated(models[name], keys(merged)[name], problems)
    problems += _unclear_protections(merged)
    reader = RuleReader(VERBS)
    by_file = [(file, reader.read(_rules_of(file), file.name, _layer(file))) for file in chain]
    problems += reader.problems
    if problems:
        raise _error(problems)
    head: Head = values[""]
    contexts = _contexts(values, merged, chain[-1].name, profile, problems)
    others = {name: read_profile(name) for name in sorted(set(contexts.values()) - {chain[-1].name})}
    for other in others.values():
        by_file.append((other, reader.read(_rules_of(other), other.name, Layer.SHIPPED)))
    rules = _bound_to_contexts(by_file, chain[-1], contexts)
    shipped = {rule.id for rule in rules if rule.layer is Layer.SHIPPED}
    problems += unknown_overrides(reader.override_places, shipped, _profile_ids)
    files = tuple(file.path for file in chain if not file.profile)
    home = home_in_force(home, head.state)
    sections = {name: values[name] for name in SECTIONS if name in values}
    trees = {name: node for name, node in keys(merged).items() if name in SECTIONS}
    problems += inside_bounds(sections, trees, files, home) + (exposed(files, home) if guarded else [])
    if problems:
        raise _error(problems)
    all_rules = (*builtin_rules(VERBS), *rules)
    return Policy(
        path=first.path,
        digest=hashlib.sha256("".join(file.digest for file in (*chain, *others.values())).encode()).hexdigest(),
        agent=head.agent,
        rules=all_rules,
        sections=sections,
        limits=values["limits"].limits(),
        approvals=values["approvals"].settings(),
        snapshots=values["snapshots"].settings(),
        files=files,
        profile=chain[-1].name,
        own=own_paths(files, home),
        contacts=head.contacts,
        confine=head.confine,
        state=head.state,
        redaction=values.get("redaction"),
        contexts_profiles=contexts,
        notes=(*notes, *reader.warnings),
        marks=tuple((file.path, file.mark) for file in chain if not file.profile),
        context_limits={context: _limits(chain, others[name]) for context, name in contexts.items() if name in others},
    )


def bounded(policy: Policy, sections: Mapping[str, BaseModel], widened: Sequence[str]) -> Policy:
    """The policy with narrower sections; the refusal outside says what a restart would add."""
    rules = tuple(rule for rule in policy.rules if rule.layer is not Layer.BUILTIN)
    return replace(
        policy,
        sections=sections,
        widened=tuple(widened),
        rules=(*builtin_rules(VERBS, ", ".join(widened)[:200]), *rules),
    )


# ---------------------------------------------------------------- parts


def _limits(chain: Sequence[PolicyFile], profile: PolicyFile) -> Limits:
    """The limits as if the chain ended in another profile."""
    merged, problems = merge([*chain[:-1], profile])
    made = _validated(PARTS["limits"], keys(merged)["limits"], problems)
    if problems:
        raise _error(problems)
    limits: Limits = made.limits()
    return limits


def _redaction(merged: Node) -> dict[str, type[BaseModel]]:
    if "redaction" not in keys(merged):
        return {}
    from interlock.redaction.settings import RedactionSettings

    return {"redaction": RedactionSettings}


def _validated(model: type[BaseModel], node: Node, problems: list[Problem]) -> Any:
    """The model's value of a tree, or None; pydantic's errors become problems with places."""
    try:
        return model.model_validate_json(json.dumps(node.data()), strict=True)
    except ValidationError as error:
        from .shape import shape_problems

        problems += shape_problems(model, node, error)
        return None


def _unclear_protections(merged: Node) -> list[Problem]:
    """Protections that would never match a real path, such as `customers/**`."""
    files = keys(keys(merged).get("files", Node({}, 0, 0)))
    problems = []
    for key in ("protected", "unprotected"):
        listed = files.get(key, Node([], 0, 0)).value
        for item in listed if isinstance(listed, list) else ():
            try:
                path_pattern(item.value)
            except ValueError as error:
                problems.append(at(item, f"`{key}`: {error}"))
    return problems


def _lifted(merged: Node) -> list[Problem]:
    """Exceptions from the protections that leave none of them."""
    listed = keys(keys(merged).get("files", Node({}, 0, 0))).get("unprotected", Node([], 0, 0)).value
    everything = [item for item in listed if item.value in _EVERYTHING] if isinstance(listed, list) else []
    said = (
        "`unprotected` lifts every protection by name: keys and what decides which programs run are files like others"
    )
    return [at(item, said, "list the files that are meant") for item in everything]


def _rules_of(file: PolicyFile) -> Node:
    return keys(file.tree).get("rules") or Node({}, 1, 1, file=file.tree.file)


def _layer(file: PolicyFile) -> Layer:
    return Layer.SHIPPED if file.shipped else Layer.USER


def _contexts(
    values: Mapping[str, Any], merged: Node, base: str, override: str | None, problems: list[Problem]
) -> dict[str, str]:
    """Which profile speaks for each cluster context that has one of its own."""
    found: dict[str, str] = {}
    nodes = keys(keys(keys(merged).get("kubectl", Node({}, 0, 0))).get("contexts", Node({}, 0, 0)))
    for name, context in getattr(values.get("kubectl"), "contexts", {}).items():
        profile = getattr(context, "profile", None)
        if profile is None:
            continue
        if profile not in PROFILES:
            problems.append(
                at(keys(nodes[name])["profile"], f"there is no profile `{profile[:60]}`", nearest(profile, PROFILES))
            )
        elif override is None and profile != base:
            found[name] = profile
    if problems:
        raise _error(problems)
    return found


def _bound_to_contexts(
    by_file: Sequence[tuple[PolicyFile, list[Rule]]], base: PolicyFile, contexts: Mapping[str, str]
) -> list[Rule]:
    """All rules of all files; a context's own profile replaces the base profile for actions in it."""
    rules: list[Rule] = []
    for file, read in by_file:
        if file is base and contexts:
            rules += [replace(rule, except_contexts=frozenset(contexts)) for rule in read]
        elif file.profile and file is not base:
            mine = frozenset(context for context, name in contexts.items() if name == file.name)
            for rule in read:
                verbs = frozenset(verb for verb in rule.verbs if "context" in VERBS[verb].attributes)
                if verbs:
                    rules.append(replace(rule, verbs=verbs, contexts=mine))
        else:
            rules += read
    return rules


@lru_cache(8)
def _profile_ids(name: str) -> frozenset[str]:
    """The ids of the rules of a shipped profile."""
    if name not in PROFILES:
        return frozenset()
    return frozenset(f"{name}.{id}" for id in keys(_rules_of(read_profile(name))))


def _error(problems: Sequence[Problem]) -> PolicyError:
    unique = dict.fromkeys(problems)
    return PolicyError(sorted(unique, key=lambda p: (p.line, p.column)))
