"""`decide` against a slow, obvious twin, and the sentences of design section 4 one by one."""

from __future__ import annotations

import fnmatch
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.guard.decide import Decider
from interlock.guard.model import (
    UNKNOWN,
    Action,
    Changed,
    Effect,
    Flag,
    Globs,
    Kind,
    Layer,
    Range,
    Risk,
    Rule,
    UndoClass,
    Unknown,
    Verb,
)

VERBS = {
    verb.name: verb
    for verb in [
        Verb("files.read", False, Risk.LOW, UndoClass.FULL, {"path": Kind.PATH}),
        Verb("files.write", True, Risk.MEDIUM, UndoClass.FULL, {"path": Kind.PATH, "size": Kind.NUMBER}),
        Verb("kubectl.scale", True, Risk.MEDIUM, UndoClass.FULL, {"namespace": Kind.TEXT, "replicas": Kind.NUMBER}),
        Verb("kubectl.exec", True, Risk.HIGH, UndoClass.NONE, {"namespace": Kind.TEXT}),
    ]
}
STRICT = [Effect.DENY, Effect.ASK, Effect.NOTIFY, Effect.ALLOW]


def rule(id: str, effect: Effect, *verbs: str, **more: object) -> Rule:
    return Rule(id=id, effect=effect, verbs=frozenset(verbs), **more)  # type: ignore[arg-type]


def decide(rules: list[Rule], *actions: Action, asks: tuple[str, ...] = ()):
    return Decider(rules, VERBS).decide(actions, asks)


WRITE = Action("files.write", "/srv/app/a.py", {"path": "/srv/app/a.py", "size": 10})


def test_no_rule_is_deny_and_says_so():
    decision = decide([], WRITE)
    assert decision.effect is Effect.DENY
    assert decision.rules == ()
    assert "no rule allows files.write" in decision.reason


def test_a_call_without_actions_is_denied():
    assert decide([rule("a", Effect.ALLOW, "files.write")]).effect is Effect.DENY


def test_the_strictest_match_wins_whatever_the_order():
    rules = [rule(effect.name, effect, "files.write") for effect in STRICT]
    for order in (rules, rules[::-1]):
        decision = decide(order, WRITE)
        assert decision.effect is Effect.DENY
        assert decision.rules[0] == "DENY"


def test_all_actions_of_a_call_must_pass():
    rules = [rule("a", Effect.ALLOW, "files.write"), rule("b", Effect.ASK, "kubectl.scale")]
    scale = Action("kubectl.scale", "x", {"namespace": "web", "replicas": 2})
    assert decide(rules, WRITE).effect is Effect.ALLOW
    assert decide(rules, WRITE, scale).effect is Effect.ASK
    assert decide(rules[:1], WRITE, scale).effect is Effect.DENY


@pytest.mark.parametrize("attributes", [{"size": 1}, {"path": UNKNOWN, "size": 1}], ids=["absent", "unknown"])
def test_what_cannot_be_computed_matches_deny_and_ask_but_never_allow_or_notify(attributes):
    action = Action("files.write", "x", attributes)
    where = {"path": Globs(("/srv/**",))}
    for effect in STRICT:
        decision = decide([rule("r", effect, "files.write", where=where)], action)
        assert decision.effect is (effect if effect >= Effect.ASK else Effect.DENY)
        assert bool(decision.rules) is (effect >= Effect.ASK)


def test_an_override_takes_out_shipped_rules_for_what_it_matches_and_nothing_else():
    shipped = rule("production.scale", Effect.DENY, "kubectl.scale", layer=Layer.SHIPPED)
    mine = rule(
        "web",
        Effect.ALLOW,
        "kubectl.scale",
        where={"namespace": Globs(("web-*",))},
        overrides=frozenset(["production.scale"]),
    )
    web = Action("kubectl.scale", "web-1", {"namespace": "web-1", "replicas": 2})
    pay = Action("kubectl.scale", "pay", {"namespace": "pay", "replicas": 2})
    assert decide([shipped, mine], web).effect is Effect.ALLOW
    assert decide([shipped, mine], pay).effect is Effect.DENY


@pytest.mark.parametrize("layer", [Layer.BUILTIN, Layer.USER])
def test_an_override_never_takes_out_builtin_or_user_rules(layer):
    strict = rule("builtin.own", Effect.DENY, "files.write", layer=layer)
    mine = rule("mine", Effect.ALLOW, "files.write", overrides=frozenset(["builtin.own"]))
    assert decide([strict, mine], WRITE).effect is Effect.DENY


def test_an_override_that_only_might_match_loosens_nothing():
    shipped = rule("p.deny", Effect.DENY, "files.write", layer=Layer.SHIPPED)
    mine = rule("mine", Effect.ASK, "files.write", where={"path": Globs(("/srv/**",))}, overrides=frozenset(["p.deny"]))
    assert decide([shipped, mine], replace(WRITE, attributes={"path": UNKNOWN})).effect is Effect.DENY
    assert decide([shipped, mine], WRITE).effect is Effect.ASK


def test_class_none_is_critical_and_never_runs_below_ask():
    decision = decide([rule("a", Effect.ALLOW, "kubectl.exec")], Action("kubectl.exec", "p", {"namespace": "x"}))
    assert decision.effect is Effect.ASK
    assert decision.risk is Risk.CRITICAL
    assert decision.undo is UndoClass.NONE
    assert decide([], Action("kubectl.exec", "p", {"namespace": "x"})).effect is Effect.DENY


def test_rules_only_raise_the_risk():
    low = rule("a", Effect.ALLOW, "files.write", risk=Risk.LOW)
    high = rule("b", Effect.ALLOW, "files.write", risk=Risk.HIGH)
    assert decide([low], WRITE).risk is Risk.MEDIUM
    assert decide([low, high], WRITE).risk is Risk.HIGH


def test_reasons_to_ask_make_an_allow_ask_and_leave_a_deny_alone():
    allow = rule("a", Effect.ALLOW, "files.write")
    assert decide([allow], WRITE, asks=("the host beside a secret changes",)).effect is Effect.ASK
    assert "host" in decide([allow], WRITE, asks=("the host beside a secret changes",)).reason
    assert decide([], WRITE, asks=("x",)).effect is Effect.DENY


def test_ranges_flags_and_changed_keys():
    scale = Action("kubectl.scale", "x", {"replicas": 0, "namespace": "n"})
    zero = rule("zero", Effect.DENY, "kubectl.scale", where={"replicas": Range(0, 0)})
    some = rule("some", Effect.ALLOW, "kubectl.scale", where={"replicas": Range(None, 20)})
    assert decide([zero, some], scale).effect is Effect.DENY
    assert decide([zero, some], replace(scale, attributes={"replicas": 3})).effect is Effect.ALLOW
    assert decide([zero, some], replace(scale, attributes={"replicas": 21})).effect is Effect.DENY
    beyond = rule("beyond", Effect.DENY, "files.write", where={"changed": Changed(("spec.replicas",), beyond=True)})
    only = rule("only", Effect.ALLOW, "files.write", where={"changed": Changed(("spec.replicas",), beyond=False)})
    for keys, effect in [
        (("spec.replicas",), Effect.ALLOW),
        ((), Effect.ALLOW),
        (("spec.probe", "spec.replicas"), Effect.DENY),
    ]:
        assert decide([beyond, only], replace(WRITE, attributes={"changed": keys})).effect is effect
    flag = rule("f", Effect.ALLOW, "files.write", where={"exists": Flag(True)})
    assert decide([flag], replace(WRITE, attributes={"exists": True})).effect is Effect.ALLOW
    assert decide([flag], replace(WRITE, attributes={"exists": False})).effect is Effect.DENY


def test_a_context_is_judged_by_its_own_profile():
    base = rule("d.scale", Effect.ALLOW, "kubectl.scale", layer=Layer.SHIPPED, except_contexts=frozenset(["prod"]))
    prod = rule("p.scale", Effect.ASK, "kubectl.scale", layer=Layer.SHIPPED, contexts=frozenset(["prod"]))
    for context, effect in [("dev", Effect.ALLOW), ("prod", Effect.ASK)]:
        action = Action("kubectl.scale", "x", {"context": context})
        assert decide([base, prod], action).effect is effect
    assert decide([base, prod], Action("kubectl.scale", "x", {})).effect is Effect.ASK


# ------------------------------------------------------------------------------------------------ the twin


def twin(rules: list[Rule], actions: list[Action]) -> Effect:
    """Design section 4, word for word and without any index: strictest match, no match is deny."""
    worst = Effect.ALLOW
    for action in actions:
        fits = []
        for r in rules:
            certain, possible = True, True
            for key, match in r.where.items():
                value = action.attributes.get(key)
                if value is None or isinstance(value, Unknown):
                    certain = False
                    possible = possible and r.effect in (Effect.ASK, Effect.DENY)
                elif isinstance(match, Globs):
                    hit = any(slow_glob(p, str(value)) for p in match.patterns)
                    certain, possible = certain and hit, possible and hit
                elif isinstance(match, Range):
                    hit = isinstance(value, int) and (match.low or 0) <= value <= (match.high or 10**9)
                    certain, possible = certain and hit, possible and hit
            if action.verb in r.verbs and possible:
                fits.append((r, certain))
        gone = {id for r, certain in fits if certain for id in r.overrides}
        left = [r for r, _ in fits if not (r.layer is Layer.SHIPPED and r.id in gone)]
        effect = max((r.effect for r in left), default=Effect.DENY)
        if VERBS[action.verb].undo is UndoClass.NONE:
            effect = max(effect, Effect.ASK)
        worst = max(worst, effect)
    return worst


def slow_glob(pattern: str, text: str) -> bool:
    """`**` crosses, `*` stays within `/`: by trying every split. `**/` may be empty."""
    if not pattern:
        return not text
    if pattern.startswith("**/") and slow_glob(pattern[3:], text):
        return True
    if pattern.startswith("**"):
        return any(slow_glob(pattern[2:], text[i:]) for i in range(len(text) + 1))
    if pattern[0] == "*":
        stops = range(len(text.split("/")[0]) + 1)
        return any(slow_glob(pattern[1:], text[i:]) for i in stops)
    return bool(text) and fnmatch.fnmatchcase(text[0], pattern[0]) and slow_glob(pattern[1:], text[1:])


parts = st.sampled_from(["srv", "app", "web-1", "a.py", "b"])
paths = st.lists(parts, min_size=1, max_size=4).map(lambda p: "/" + "/".join(p))
patterns = st.lists(st.sampled_from(["srv", "app", "*", "**", "web-*", "*.py", "b"]), min_size=1, max_size=4).map(
    lambda p: "/" + "/".join(p)
)
globs = st.lists(patterns, min_size=1, max_size=2).map(lambda p: Globs(tuple(p)))
ranges = st.tuples(st.integers(0, 5), st.integers(3, 9)).map(lambda p: Range(*p))
wheres = st.fixed_dictionaries({}, optional={"path": globs, "size": ranges})
ids = st.sampled_from(["a", "b", "c", "d"])
rules_ = st.builds(
    Rule,
    id=ids,
    effect=st.sampled_from(STRICT),
    verbs=st.sets(st.sampled_from(sorted(VERBS)), min_size=1).map(frozenset),
    where=wheres,
    overrides=st.sets(ids, max_size=2).map(frozenset),
    layer=st.sampled_from(list(Layer)),
)
actions_ = st.builds(
    Action,
    verb=st.sampled_from(sorted(VERBS)),
    resource=st.just("r"),
    attributes=st.fixed_dictionaries(
        {}, optional={"path": st.one_of(paths, st.just(UNKNOWN)), "size": st.integers(0, 9)}
    ),
)


@given(st.lists(rules_, max_size=8), st.lists(actions_, min_size=1, max_size=3))
def test_decide_agrees_with_its_twin(rules, actions):
    assert decide(rules, *actions).effect is twin(rules, actions)


@given(st.lists(rules_, max_size=6), st.lists(actions_, min_size=1, max_size=2), rules_)
def test_adding_a_deny_or_an_ask_never_loosens(rules, actions, extra):
    strict = replace(extra, effect=max(extra.effect, Effect.ASK), overrides=frozenset())
    decider = Decider(rules, VERBS)
    if strict.effect is Effect.ASK:  # an ask may well admit what no rule spoke of; it loosens no rule's word
        assume(all(any(not m.overridden_by for m in decider.matching(action)) for action in actions))
    assert decide([*rules, strict], *actions).effect >= decide(rules, *actions).effect


@given(st.lists(rules_, max_size=6), st.lists(actions_, min_size=1, max_size=2), st.randoms())
def test_order_never_matters(rules, actions, random):
    shuffled = list(rules)
    random.shuffle(shuffled)
    assert decide(shuffled, *actions).effect is decide(rules, *actions).effect
