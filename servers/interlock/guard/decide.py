"""The decision point: rules and actions in, one decision out. Pure: no clock, no disk, no world.

Strictest match wins, no match is deny. It does not know where rules come from (`policy`) nor what happens
with a decision (`pipeline`). `tests/guard/test_decide.py` holds it against a slow, obvious twin.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from interlock.changed import covers
from interlock.globs import Matcher, compile_globs

from .model import (
    Action,
    Attribute,
    Changed,
    Decision,
    Effect,
    Flag,
    Globs,
    Layer,
    Range,
    Risk,
    Rule,
    UndoClass,
    Unknown,
    Verb,
)


class Fit(IntEnum):
    """How a rule fits an action. MAYBE: an attribute it asks for cannot be computed."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Matched:
    """A rule that fits one action. Made by `Decider.matching`; read by `decide` and `explain`."""

    rule: Rule
    fit: Fit
    overridden_by: str = ""  # the user's rule that took this shipped one out


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule with its globs compiled once."""

    rule: Rule
    globs: Mapping[str, Matcher]


class Decider:
    """One policy's rules, indexed by verb and by the words in their globs. Immutable; safe to share."""

    def __init__(self, rules: Sequence[Rule], verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs
        by_verb: dict[str, list[_Compiled]] = defaultdict(list)
        denials: dict[str, list[_Compiled]] = defaultdict(list)
        for rule in rules:
            globs = {k: compile_globs(m.patterns) for k, m in rule.where.items() if isinstance(m, Globs)}
            compiled = _Compiled(rule, globs)
            for verb in rule.verbs:
                by_verb[verb].append(compiled)
                if rule.layer is Layer.BUILTIN and rule.effect is Effect.DENY:
                    denials[verb].append(compiled)
        self._by_verb = {verb: _Index(compiled) for verb, compiled in by_verb.items()}
        self._denials = {verb: sorted(compiled, key=lambda c: c.rule.id) for verb, compiled in denials.items()}

    def decide(self, actions: Iterable[Action], asks: Sequence[str] = ()) -> Decision:
        """Judge a whole call: all its actions must pass, the strictest speaks for it.

        `asks` are reasons for which the call asks whatever the rules allow. A call without an action is denied.
        """
        decisions = [self._decide_one(action) for action in actions]
        if not decisions:
            return Decision(Effect.DENY, Risk.LOW, "the call has no effect that a rule could allow", ())
        worst = max(decisions, key=lambda d: (d.effect, d.risk))
        effect, reason = worst.effect, worst.reason
        if asks and effect < Effect.ASK:
            effect, reason = Effect.ASK, "; ".join(asks)
        elif asks and effect is Effect.ASK:
            reason = "; ".join([reason, *asks]) if reason else "; ".join(asks)
        return Decision(
            effect=effect,
            risk=max(d.risk for d in decisions),
            reason=reason,
            rules=tuple(dict.fromkeys([*worst.rules, *(r for d in decisions if d.effect is effect for r in d.rules)])),
            code=worst.code,
            hint=worst.hint,
            notify=any(d.notify for d in decisions),
            undo=max(d.undo for d in decisions),
            lost=tuple(dict.fromkeys(line for d in decisions for line in d.lost)),
        )

    def bounds(self, actions: Iterable[Action]) -> Decision:
        """What binds even a person: the built-in rules alone. Allows whatever they do not deny."""
        actions = list(actions)
        for action in actions:
            rule = self.builtin_denial(action)
            if rule is not None:
                return Decision(Effect.DENY, Risk.LOW, rule.reason, (rule.id,), code=rule.code, hint=rule.hint)
        verbs = [self._verbs[action.verb] for action in actions]
        return Decision(Effect.ALLOW, max(verb.risk for verb in verbs), "a person does it", ("person",))

    def builtin_denial(self, action: Action, certain: bool = False) -> Rule | None:
        """The first built-in rule that denies the action. `certain`: whatever is not known of it yet denies nothing."""
        for compiled in self._denials.get(action.verb, ()):
            fit = _fit(compiled, action)
            if fit is Fit.YES or (fit is Fit.MAYBE and not certain):
                return compiled.rule
        return None

    def matching(self, action: Action) -> list[Matched]:
        """Every rule that fits the action, also those that a user's rule takes out, strictest first."""
        index = self._by_verb.get(action.verb)
        if index is None:
            return []
        fits = [(c.rule, fit) for c in index.candidates(action) if (fit := _fit(c, action)) is not Fit.NO]
        # Only a certain match may loosen: what merely might match takes nothing out.
        taken: dict[str, str] = {}
        for rule, fit in fits:
            if fit is Fit.YES:
                taken.update((id, rule.id) for id in rule.overrides)
        matched = [
            Matched(rule, fit, taken.get(rule.id, "") if rule.layer is Layer.SHIPPED else "") for rule, fit in fits
        ]
        return sorted(matched, key=lambda m: (-m.rule.effect, m.rule.layer, m.rule.id))

    def _decide_one(self, action: Action) -> Decision:
        matched = [m.rule for m in self.matching(action) if not m.overridden_by]
        verb = self._verbs.get(action.verb)
        if verb is None or not matched:
            return Decision(
                Effect.DENY,
                max(action.risk, verb.risk if verb else Risk.LOW),
                f"no rule allows {action.verb} here",
                (),
                hint="a person can allow it in the policy; `interlock show ID` prints the YAML",
            )
        undo = max(verb.undo, action.undo or UndoClass.FULL) if verb.change else UndoClass.FULL
        risk = max([verb.risk, action.risk, *(r.risk for r in matched if r.risk is not None)])
        effect, reason = matched[0].effect, matched[0].reason
        if undo is UndoClass.NONE:
            risk = Risk.CRITICAL
            if effect < Effect.ASK:
                effect, reason = Effect.ASK, f"it cannot be undone: {action.lost or action.verb}"
        deciding = [r for r in matched if r.effect is matched[0].effect]
        return Decision(
            effect=effect,
            risk=risk,
            reason=reason,
            rules=tuple(r.id for r in deciding),
            code=matched[0].code,
            hint=matched[0].hint,
            notify=any(r.effect is Effect.NOTIFY for r in matched),
            undo=undo,
            lost=(action.lost,) if action.lost and undo is not UndoClass.FULL else (),
        )


def possible(rules: Sequence[Rule], verb: str) -> bool:
    """Whether any call of this verb could pass: a rule for it that does not deny. For listing tools."""
    return any(verb in rule.verbs and rule.effect is not Effect.DENY for rule in rules) and not any(
        verb in rule.verbs and rule.effect is Effect.DENY and not rule.where and rule.contexts is None
        and not any(rule.id in other.overrides for other in rules)
        for rule in rules
    )  # fmt: skip


def _fit(compiled: _Compiled, action: Action) -> Fit:
    rule = compiled.rule
    worst = Fit.YES
    unsure = Fit.MAYBE if rule.effect >= Effect.ASK else Fit.NO  # the unknown never allows
    if rule.contexts is not None or rule.except_contexts:
        context = action.attributes.get("context")
        if isinstance(context, str):
            if (rule.contexts is not None and context not in rule.contexts) or context in rule.except_contexts:
                return Fit.NO
        elif rule.contexts is not None:
            worst = unsure
    for key, match in rule.where.items():
        value = action.attributes.get(key)
        if value is None or isinstance(value, Unknown):
            worst = min(worst, unsure)
        elif not _holds(match, compiled.globs.get(key), value):
            return Fit.NO
        if worst is Fit.NO:
            return Fit.NO
    return worst


def _holds(match: Globs | Range | Flag | Changed, matcher: Matcher | None, value: Attribute) -> bool:
    match match:
        case Globs():
            assert matcher is not None
            return isinstance(value, str) and matcher.matches(value)
        case Range():
            if not isinstance(value, int):
                return False
            return (match.low is None or value >= match.low) and (match.high is None or value <= match.high)
        case Flag():
            return value is match.value
        case Changed():
            if not isinstance(value, tuple):
                return False
            others = any(not any(covers(key, path) for key in match.keys) for path in value)
            return others if match.beyond else not others
        case _:
            assert_never(match)


class _Index:
    """The rules of one verb, found by a whole word (path component) that their globs require.

    A thousand rules of the kind `/srv/app17/**` cost one dictionary look-up per word of the path instead of a
    thousand regex runs. A rule with no required word is looked at every time, after a substring test.
    """

    def __init__(self, compiled: Sequence[_Compiled]) -> None:
        self._always: list[_Compiled] = []
        self._by_word: dict[str, dict[str, list[_Compiled]]] = defaultdict(lambda: defaultdict(list))
        self._by_part: dict[str, list[tuple[str, _Compiled]]] = defaultdict(list)
        self._keyed: dict[str, list[_Compiled]] = defaultdict(list)
        patterns = [(c, key, pattern) for c in compiled for key, pattern in _indexed(c.rule)]
        common_words = Counter(word for _, _, pattern in patterns for word in _words(pattern))
        common_parts = Counter(part for _, _, pattern in patterns for part in _parts(pattern))
        for c in compiled:
            if not _indexed(c.rule):
                self._always.append(c)
        for c, key, pattern in patterns:
            self._keyed[key].append(c)
            word = min(_words(pattern), key=lambda w: (common_words[w], -len(w)), default="")
            part = min(_parts(pattern), key=lambda p: (common_parts[p], -len(p)), default="")
            if word and common_words[word] <= max(common_parts[part], 4):
                self._by_word[key][word].append(c)
            else:
                self._by_part[key].append((part, c))

    def candidates(self, action: Action) -> list[_Compiled]:
        """A superset of the rules that fit, each once."""
        found = {id(c): c for c in self._always}
        for key, compiled in self._keyed.items():
            value = action.attributes.get(key)
            if not isinstance(value, str):  # missing or unknown: any rule may fit
                found.update((id(c), c) for c in compiled)
                continue
            by_word = self._by_word[key]
            for word in value.split("/"):
                if word in by_word:
                    found.update((id(c), c) for c in by_word[word])
            found.update((id(c), c) for part, c in self._by_part[key] if part in value)
        return list(found.values())


def _indexed(rule: Rule) -> list[tuple[str, str]]:
    """The attribute by which a rule is found, with each of its globs for it; empty when it has none."""
    globs = {key: match for key, match in rule.where.items() if isinstance(match, Globs)}
    key = "path" if "path" in globs else next(iter(globs), "")
    return [(key, pattern) for pattern in globs[key].patterns] if key else []


_SPECIAL = frozenset("*?[]{}\\")


def _words(pattern: str) -> list[str]:
    """The path components that a glob requires literally."""
    if "{" in pattern:  # an alternative may span components
        pattern = pattern[: pattern.index("{")].rpartition("/")[0]
    words = [word for word in pattern.split("/") if word and not _SPECIAL.intersection(word)]
    return words if "/" in pattern or not _SPECIAL.intersection(pattern) else []


def _parts(pattern: str) -> list[str]:
    """The runs of plain characters that a glob requires, slashes at their ends left out (`**/` may be empty)."""
    if _SPECIAL.intersection(pattern) - set("*?"):
        return []
    return [part for run in pattern.replace("?", "*").split("*") if (part := run.strip("/"))]
