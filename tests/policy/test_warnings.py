"""Rules that can never take effect are named, with the stricter one; and only such rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from policies import Place

from interlock.globs import check, compile_globs
from interlock.guard.model import Globs, Range
from interlock.guard.policy.warnings import implied


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


def warnings(place: Place, rules: str, profile: str = "development", more: str = "") -> list[str]:
    policy = place.usual(f"{more}rules:\n  " + "\n  ".join(rules.splitlines()) + "\n", profile)
    return [f"{warning.line}: {warning.message} | {warning.hint}" for warning in policy.warnings]


CLUSTER = "kubectl: {contexts: {a: {namespaces: [x]}, prod: {profile: production, namespaces: [x]}}}\n"


@pytest.mark.parametrize(
    ("rules", "profile", "names"),
    [
        ("x: {allow: files.write}", "readonly", "`readonly.change` (deny)"),
        ("x: {notify: files.write, where: {path: '/srv/**'}}", "production", "`production.files` (deny)"),
        ("x: {ask: files.write}\ny: {deny: files.write}", "development", "`y` (deny)"),
        (
            "x: {allow: files.write, where: {path: '/a/b/c.py'}}\ny: {deny: files.*, where: {path: '/a/**'}}",
            "development",
            "`y`",
        ),
        (
            "x: {ask: files.delete, where: {files: {min: 5}}}\ny: {deny: files.delete, where: {files: {min: 2}}}",
            "development",
            "`y`",
        ),
    ],
)
def test_a_rule_that_is_always_beaten(place: Place, rules: str, profile: str, names: str) -> None:
    found = warnings(place, rules, profile)
    assert len(found) == 1
    assert "`x` never takes effect" in found[0]
    assert names in found[0]
    assert found[0].startswith("6:")


def test_the_hint_is_the_override(place: Place) -> None:
    (found,) = warnings(place, "x: {allow: files.write}", "readonly")
    assert "add `overrides: [readonly.change]`" in found
    assert warnings(place, "x: {allow: files.write, overrides: [readonly.change]}", "readonly") == []


@pytest.mark.parametrize(
    "rules",
    [
        "x: {allow: files.write, where: {path: '/srv/**'}}",
        "x: {allow: files.write, where: {path: '/a/**'}}\ny: {deny: files.write, where: {path: '/a/b/**'}}",
        "x: {allow: files.write, where: {path: '/a/*'}}\ny: {deny: files.write, where: {path: '/a/?'}}",
        "x: {allow: [files.write, files.delete]}\ny: {deny: files.write}",
        "x: {deny: files.write}\ny: {allow: files.delete}",
        "x: {ask: files.delete, where: {files: {min: 2}}}\ny: {deny: files.delete, where: {files: {min: 5}}}",
    ],
)
def test_rules_that_sometimes_decide(place: Place, rules: str) -> None:
    assert warnings(place, rules) == []


def test_rules_without_a_place_to_hold(place: Place) -> None:
    (found,) = warnings(place, "x: {allow: kubectl.scale}")
    assert "without a `kubectl` section" in found
    (found,) = warnings(place, "x: {deny: kubectl.scale, where: {context: stage}}", more=CLUSTER)
    assert "no context of the policy has such a name" in found
    assert warnings(place, "x: {deny: kubectl.scale, where: {context: prod}}", more=CLUSTER) == []


def test_an_override_of_a_profile_that_is_not_in_force(place: Place) -> None:
    (found,) = warnings(place, "x: {allow: files.write, overrides: [production.files]}")
    assert "overrides production.files, which is not in force here" in found
    rules = "x: {allow: kubectl.restart, where: {context: prod}, overrides: [production.restart]}"
    assert warnings(place, rules, more=CLUSTER) == []


globs = st.lists(st.sampled_from(["*", "**", "?", "/", "a", "b", "/**/"]), min_size=1, max_size=5).map("".join)


@given(globs, globs, st.text("ab/", max_size=6))
def test_what_is_said_to_be_within_is_within(narrow: str, wide: str, text: str) -> None:
    """Never a false warning: a text that the narrow glob matches is matched by the wide one."""
    for glob in (narrow, wide):
        try:
            check(glob)
        except ValueError:
            assume(False)
    if implied({"path": Globs((narrow,))}, {"path": Globs((wide,))}) and compile_globs([narrow]).matches(text):
        assert compile_globs([wide]).matches(text)


numbers = st.none() | st.integers(0, 5)


@given(numbers, numbers, numbers, numbers, st.integers(-1, 6))
def test_ranges(a: int | None, b: int | None, c: int | None, d: int | None, number: int) -> None:
    narrow, wide = Range(a, b), Range(c, d)

    def holds(r: Range) -> bool:
        return (r.low is None or number >= r.low) and (r.high is None or number <= r.high)

    if implied({"n": narrow}, {"n": wide}) and holds(narrow):
        assert holds(wide)


@pytest.mark.parametrize(("listed", "warned"), [("**", True), ("/**", True), ("**/certs/*.pem", False)])
def test_an_exception_that_leaves_no_protection_is_pointed_out(place: Place, listed: str, warned: bool) -> None:
    files = f"files: {{roots: [{{path: ~/work, access: write}}], unprotected: ['{listed}']}}\n"
    policy = place.load(f"version: 1\nextends: development\n{files}")
    assert any("lifts every protection" in warning.message for warning in policy.warnings) is warned
