"""Each rule of the catalogue against its own examples, through the detector."""

from __future__ import annotations

import re

import pytest
from redaction.fixtures import detector

from interlock.redaction.catalogue import RULES, TokenRule, beginnings, example

DETECTOR = detector()


def test_there_are_enough_kinds_and_each_has_its_own_name() -> None:
    kinds = [rule.kind for rule in RULES]
    assert len(kinds) == len(set(kinds)) >= 120
    assert all(rule.source for rule in RULES)


AROUND = [("", ""), ("using ", " now"), ("x=[", "],"), ('{"v":"', '"}'), ("https://h/p?t=", "&u=1"), ("line\\n", "\\n")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_token_goes_wherever_it_stands(rule: TokenRule) -> None:
    token = example(rule.example)
    core = token.split("=")[-1] if rule.kind.endswith(("signature", "session")) else token
    half = max(8, -(-len(core) // 2))
    for before, after in AROUND:
        if before.startswith("line") and rule.shape.startswith(r"\b"):
            continue  # begins with nothing of its own: it counts only at a word's start
        shown = DETECTOR.redact(before + token + after).text
        assert not any(core[at : at + half] in shown for at in range(len(core) - half + 1)), shown
        assert shown.startswith(before.rstrip("[\"'=")[:3])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_look_alike_stays(rule: TokenRule) -> None:
    text = f"see {example(rule.counterexample)} there"
    assert DETECTOR.redact(text).text == text


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_what_the_engine_looks_for_occurs_in_every_example(rule: TokenRule) -> None:
    for seed in range(5):
        token = example(rule.example, seed)
        match = re.search(rule.shape, token)
        assert match
        assert any(re.search(text, token) for text, _ in rule.begins())
        for text, width in rule.begins():
            if width:
                assert width == len(re.search(text, token).group()) if re.search(text, token) else True


def test_beginnings_are_of_fixed_width() -> None:
    assert beginnings(r"gh[po]_[a-z]{3,}") == [(r"gh[po]_[a-z]{3}", 7)]
    assert beginnings(r"(?:a|bc)-\d{2,}") == [(r"a\-[0-9]{2}", 4), (r"bc\-[0-9]{2}", 5)]
    assert beginnings(r"x(?:y)?z{4}") == [("xz{4}", 5), ("xyz{4}", 6)]
