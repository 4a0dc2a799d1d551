"""Finds rules that can never take effect, and says which stricter rule is in the way. Warnings, never errors.

It is careful in one direction: what it names really never takes effect; it may overlook some.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from interlock import changed
from interlock.globs import SPECIAL, Matcher, expand
from interlock.guard.model import Changed, Effect, Flag, Globs, Layer, Match, Range, Rule

from .problems import Problem

# What a wildcard may stand for when one glob is held against another; no policy names these.
_PIECES: Final = ("", "\ue000", "\ue000\ue001")


def never(rules: Sequence[Rule], sections: Collection[str], contexts: Collection[str]) -> Iterator[Problem]:
    """A warning for each of the user's rules that can never decide anything."""
    shipped = {rule.id for rule in rules if rule.layer is Layer.SHIPPED}
    taken = {id for rule in rules for id in rule.overrides}  # somewhere it is taken out
    strict = [rule for rule in rules if rule.effect > Effect.ALLOW and rule.id not in taken and _everywhere(rule)]
    by_verb: dict[str, list[Rule]] = defaultdict(list)
    for rule in sorted(strict, key=lambda r: len(r.where)):
        for verb in rule.verbs:
            by_verb[verb].append(rule)
    for rule in rules:
        if rule.layer is not Layer.USER:
            continue
        for id in sorted(rule.overrides - shipped):
            yield _problem(rule, f"`{rule.id}` overrides {id}, which is not in force here", "another profile holds it")
        servers = {verb.partition(".")[0] for verb in rule.verbs}
        if servers and not servers & set(sections):
            listed = ", ".join(sorted(servers))
            yield _problem(rule, f"`{rule.id}` never takes effect: without a `{listed}` section all is out of bounds")
            continue
        wanted = rule.where.get("context")
        if (
            isinstance(wanted, Globs)
            and contexts
            and not any(Matcher([p]).matches(c) for p in wanted.patterns for c in contexts)
        ):
            yield _problem(rule, f"`{rule.id}` never takes effect: no context of the policy has such a name")
            continue
        stricter = _stricter(rule, by_verb)
        if stricter:
            names = ", ".join(f"`{other.id}` ({other.effect.name.lower()})" for other in stricter)
            shippeds = sorted(other.id for other in stricter if other.layer is Layer.SHIPPED)
            hint = f"add `overrides: [{', '.join(shippeds)}]` if it should win" if shippeds else ""
            yield _problem(rule, f"`{rule.id}` never takes effect: {names} is stricter wherever it matches", hint)


def _stricter(rule: Rule, by_verb: Mapping[str, Sequence[Rule]]) -> list[Rule]:
    """For each action of the rule one stricter rule that always matches with it; empty when one action has none."""
    found: dict[str, Rule] = {}
    for verb in sorted(rule.verbs):
        other = next(
            (o for o in by_verb.get(verb, ()) if o.effect > rule.effect and implied(rule.where, o.where)), None
        )
        if other is None:
            return []
        found[other.id] = other
    return list(found.values())


def _everywhere(rule: Rule) -> bool:
    """Whether a rule holds in every context of a cluster."""
    return rule.contexts is None and not rule.except_contexts


def implied(narrow: Mapping[str, Match], wide: Mapping[str, Match]) -> bool:
    """Whether whatever meets the conditions `narrow` also meets `wide`, for certain."""
    return all(key in narrow and _within(narrow[key], match) for key, match in wide.items())


def _within(narrow: Match, wide: Match) -> bool:
    if narrow == wide:
        return True
    match narrow, wide:
        case Globs(), Globs():
            return all(any(_glob_within(p, w) for w in wide.patterns) for p in narrow.patterns)
        case Range(), Range():
            low = wide.low is None or (narrow.low is not None and narrow.low >= wide.low)
            high = wide.high is None or (narrow.high is not None and narrow.high <= wide.high)
            return low and high
        case Changed(), Changed():
            if narrow.beyond != wide.beyond:
                return False
            inner, outer = (wide, narrow) if narrow.beyond else (narrow, wide)
            return all(any(_covers(o, i) for o in outer.keys) for i in inner.keys)
        case Flag(), Flag():
            return narrow.value is wide.value
    return False


def _glob_within(narrow: str, wide: str) -> bool:
    """Whether every text that `narrow` matches is matched by `wide`: tried with odd pieces for its wildcards."""
    try:
        plains = expand(narrow)
    except ValueError:
        return False
    matcher = Matcher([wide])
    for plain in plains:
        if not SPECIAL.isdisjoint(plain.replace("*", "").replace("?", "")):
            return False
        if not all(matcher.matches(text) for text in _samples(plain)):
            return False
    return True


def _samples(plain: str) -> Iterator[str]:
    for piece in _PIECES:
        deep = f"{piece}/{piece}" if piece else "\ue000/\ue001/\ue000"
        for double in (piece, deep):
            text = plain.replace("/**/", f"/{double}/" if double else "/")
            text = text.replace("**", double).replace("*", piece).replace("?", "\ue000")
            yield text


def _covers(pattern: str, path: str) -> bool:
    return "*" not in path and changed.covers(pattern, path)


def _problem(rule: Rule, message: str, hint: str = "") -> Problem:
    return Problem(rule.file, rule.line, 0, message, hint)
