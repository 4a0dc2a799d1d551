"""Compiles the `rules` of policy files to `model.Rule`. Every oddity is a problem with its place.

Not for the shape of the rest of the file (`model`), nor for what a rule means in a call (`guard.decide`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from interlock import changed
from interlock.documents import Ambiguous, Node
from interlock.guard.errors import Code
from interlock.guard.model import Changed, Effect, Flag, Globs, Kind, Layer, Match, Range, Risk, Rule, Verb

from .problems import Problem, at, at_key, nearest
from .types import name_glob, path_pattern, size

EFFECTS: Final = {effect.name.lower(): effect for effect in Effect}
RISKS: Final = {risk.name.lower(): risk for risk in Risk}
KEYS: Final = frozenset([*EFFECTS, "where", "overrides", "risk", "reason", "hint"])
MAX_TEXT: Final = 500

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z", re.IGNORECASE)


class RuleReader:
    """Reads the rules of one file after another; collects problems instead of stopping at the first."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.places: dict[str, Node] = {}  # rule id -> its node, for problems found later
        self.override_places: list[tuple[str, Node]] = []  # (id named, where)

    def read(self, rules: Node, prefix: str, layer: Layer) -> list[Rule]:
        """The rules of a `rules` mapping. Ids of shipped ones get `prefix.`."""
        if not isinstance(rules.value, dict):
            self.problems.append(at(rules, "`rules` is a mapping: an id, then {effect: actions, ...}"))
            return []
        made = [self._rule(rules, id, node, prefix, layer) for id, node in rules.value.items()]
        return [rule for rule in made if rule is not None]

    def _rule(self, parent: Node, id: str, node: Node, prefix: str, layer: Layer) -> Rule | None:
        before = len(self.problems)
        if not _ID.match(id):
            self._key(parent, id, "a rule's id is letters, digits, `-` and `_`, at most 64")
        if not isinstance(node.value, dict):
            self._at(node, "a rule is {effect: actions, ...}, such as {ask: files.write, where: {path: ...}}")
            return None
        for key in node.value.keys() - KEYS:
            self._key(node, key, f"a rule has no `{key[:60]}`", self._elsewhere(key))
        effects = [key for key in node.value if key in EFFECTS]
        if len(effects) != 1:
            found = f"two effects ({', '.join(effects)})" if effects else "no effect"
            self._key(parent, id, f"the rule has {found}", "exactly one of allow, notify, ask, deny")
            return None
        verbs, named = self._actions(node.value[effects[0]])
        where, verbs = self._where(node.value.get("where"), verbs, named)
        rule = Rule(
            id=f"{prefix}.{id}" if prefix else id,
            effect=EFFECTS[effects[0]],
            verbs=verbs,
            where=where,
            reason=self._text(node.value.get("reason"), "reason"),
            hint=self._text(node.value.get("hint"), "hint"),
            risk=self._risk(node.value.get("risk")),
            overrides=self._overrides(node.value.get("overrides")),
            layer=layer,
            code=Code.DENIED,
            file=node.file,
            line=parent.keys[id][0],
        )
        self.places[rule.id] = node
        return rule if len(self.problems) == before else None

    # ---------------------------------------------------------------- actions

    def _actions(self, node: Node) -> tuple[frozenset[str], frozenset[str]]:
        """The verbs that a rule names, expanded; and those named one by one."""
        items = node.value if isinstance(node.value, list) else [node]
        verbs: set[str] = set()
        named: set[str] = set()
        for item in items:
            if not isinstance(item.value, str):
                self._at(item, "an action is a name such as files.write, files.*, reads or changes")
                continue
            found = self._expand(item.value)
            if not found:
                self._at(item, f"there is no action `{item.value[:60]}`", self._nearest_action(item.value))
            elif found == {item.value}:
                named |= found
            verbs |= found
        return frozenset(verbs), frozenset(named)

    def _expand(self, name: str) -> set[str]:
        if name == "reads":
            return {verb.name for verb in self._verbs.values() if not verb.change}
        if name == "changes":
            return {verb.name for verb in self._verbs.values() if verb.change}
        if name.endswith(".*"):
            return {verb for verb in self._verbs if verb.startswith(name[:-1])}
        return {name} & self._verbs.keys()

    def _nearest_action(self, name: str) -> str:
        server, _, effect = name.partition(".")
        if effect == "undo":
            return "an undo is decided as the actions it would perform: name those"
        own = [verb for verb in self._verbs if verb.startswith(f"{server}.")]
        if own:
            return nearest(name, [*own, f"{server}.*"])
        servers = {verb.partition(".")[0] for verb in self._verbs}
        return nearest(name, [*self._verbs, "reads", "changes", *(f"{s}.*" for s in servers)]) or (
            f"servers are {', '.join(sorted(servers))}"
        )

    # ---------------------------------------------------------------- where

    def _where(
        self, node: Node | None, verbs: frozenset[str], named: frozenset[str]
    ) -> tuple[dict[str, Match], frozenset[str]]:
        """The conditions, and those of the verbs that have every attribute they ask for."""
        if node is None:
            return {}, verbs
        if not isinstance(node.value, dict):
            self._at(node, "`where` is a mapping of attributes, such as {path: ~/work/app/**}")
            return {}, verbs
        where: dict[str, Match] = {}
        holders = {verb for verb in verbs if node.value.keys() <= self._verbs[verb].attributes.keys()}
        for key, value in node.value.items():
            kinds = {self._verbs[verb].attributes[key] for verb in verbs if key in self._verbs[verb].attributes}
            if not kinds:
                known = {name for verb in verbs for name in self._verbs[verb].attributes}
                if verbs:
                    self._key(node, key, f"none of the rule's actions has `{key[:60]}`", nearest(key, known))
                continue
            if len(kinds) > 1:
                self._key(node, key, f"`{key}` means different things in the rule's actions", "make it two rules")
                continue
            match = self._match(kinds.pop(), key, value)
            if match is not None:
                where[key] = match
        if verbs and not holders and where.keys() == node.value.keys():
            self._at(node, "no action of the rule has all of these attributes", "make it several rules")
        for verb in sorted(named - holders) if holders else ():
            lacking = ", ".join(sorted(node.value.keys() - self._verbs[verb].attributes.keys()))
            self.warnings.append(at(node, f"{verb} has no {lacking}, so the rule does not hold for it"))
        return where, frozenset(holders)

    def _match(self, kind: Kind, key: str, node: Node) -> Match | None:
        match kind:
            case Kind.TEXT | Kind.PATH:
                return self._globs(kind, key, node)
            case Kind.NUMBER:
                return self._range(key, node)
            case Kind.FLAG:
                if isinstance(node.value, bool):
                    return Flag(node.value)
                hint = "YAML 1.2 knows no yes and no" if isinstance(node.value, Ambiguous) else ""
                self._at(node, f"`{key}` is true or false", hint)
            case Kind.KEYS:
                return self._changed(key, node)
        return None

    def _globs(self, kind: Kind, key: str, node: Node) -> Globs | None:
        read = path_pattern if kind is Kind.PATH else name_glob
        patterns = []
        for item in node.value if isinstance(node.value, list) else [node]:
            try:
                patterns.append(read(item.value))
            except ValueError as error:
                self._at(item, f"`{key}`: {error}")
        return Globs(tuple(patterns)) if patterns else None

    def _range(self, key: str, node: Node) -> Range | None:
        if isinstance(node.value, dict):
            for wrong in node.value.keys() - {"min", "max"}:
                self._key(node, wrong, f"`{key}` has no `{wrong[:60]}`", "a range is {min: .., max: ..}")
                return None
            low, high = (self._number(key, node.value.get(end)) for end in ("min", "max"))
            if low is not None and high is not None and low > high:
                self._at(node, f"`{key}`: min is larger than max, so it matches nothing")
                return None
            return Range(low, high)
        number = self._number(key, node)
        return None if number is None else Range(number, number)

    def _number(self, key: str, node: Node | None) -> int | None:
        if node is None:
            return None
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            return node.value
        try:
            if isinstance(node.value, str) and key == "size":
                return size(node.value)
        except ValueError as error:
            self._at(node, f"`{key}`: {error}")
            return None
        self._at(node, f"`{key}` is a whole number or {{min: .., max: ..}}")
        return None

    def _changed(self, key: str, node: Node) -> Changed | None:
        wrong = f"`{key}` is {{only: [key paths]}} or {{beyond: [key paths]}}"
        if not isinstance(node.value, dict) or len(node.value) != 1 or not node.value.keys() <= {"only", "beyond"}:
            self._at(node, wrong)
            return None
        ((which, listed),) = node.value.items()
        keys = []
        for item in listed.value if isinstance(listed.value, list) else [listed]:
            try:
                if not isinstance(item.value, str):
                    raise ValueError("a key path is text such as spec.replicas")
                changed.split(item.value)
                keys.append(str(item.value))
            except ValueError as error:
                self._at(item, f"`{key}`: {error}")
        return Changed(tuple(keys), which == "beyond")

    # ---------------------------------------------------------------- the rest

    def _overrides(self, node: Node | None) -> frozenset[str]:
        if node is None:
            return frozenset()
        items = node.value if isinstance(node.value, list) else [node]
        for item in items:
            if not isinstance(item.value, str) or "." not in item.value:
                self._at(item, "`overrides` names shipped rules, such as production.restart")
            elif item.value.startswith("builtin."):
                self._at(item, "a built-in rule cannot be overridden", "bounds and protections hold whatever rules say")
            else:
                self.override_places.append((item.value, item))
        return frozenset(str(item.value) for item in items)

    def _risk(self, node: Node | None) -> Risk | None:
        if node is None:
            return None
        if not isinstance(node.value, str) or node.value not in RISKS:
            self._at(node, "`risk` is low, medium, high or critical")
            return None
        return RISKS[node.value]

    def _text(self, node: Node | None, key: str) -> str:
        if node is None:
            return ""
        if not isinstance(node.value, str) or not node.value.strip() or len(node.value) > MAX_TEXT:
            self._at(node, f"`{key}` is a sentence of at most {MAX_TEXT} characters")
            return ""
        return " ".join(node.value.split())

    def _elsewhere(self, key: str) -> str:
        attributes = {name for verb in self._verbs.values() for name in verb.attributes}
        if key in attributes:
            return f"attributes stand in `where: {{{key}: ...}}`"
        return nearest(key, KEYS)

    def _at(self, node: Node, message: str, hint: str = "") -> None:
        self.problems.append(at(node, message, hint))

    def _key(self, node: Node, key: str, message: str, hint: str = "") -> None:
        self.problems.append(at_key(node, key, message, hint))


def unknown_overrides(named: list[tuple[str, Node]], known: Collection[str], profile_ids: Any) -> list[Problem]:
    """Overrides that no shipped rule bears. `profile_ids(name)` gives the ids of a profile that is not loaded."""
    problems = []
    for id, node in named:
        candidates = set(known) | set(profile_ids(id.partition(".")[0]))
        if id not in candidates:
            problems.append(at(node, f"there is no shipped rule `{id[:80]}`", nearest(id, candidates)))
    return problems
