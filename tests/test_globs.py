"""The glob dialect against a slow, obvious twin, and each promise of its module's first lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock import globs
from interlock.globs import check, compile_globs, escape, expand, to_regex


def twin(pattern: str, text: str) -> bool:
    """By trying everything: exponential, and nothing can be simpler."""
    return any(_twin(plain, text, True) for plain in expand(pattern))


def _twin(p: str, t: str, start: bool) -> bool:
    if not p:
        return not t
    if p.startswith("**"):
        rest = p.lstrip("*")
        if start and rest.startswith("/"):  # no folder, or some folders
            return _twin(rest[1:], t, True) or any(
                t[i] == "/" and _twin(rest[1:], t[i + 1 :], True) for i in range(len(t))
            )
        return any(_twin(rest, t[i:], False) for i in range(len(t) + 1))
    if p == "/**" and not start:  # the folder itself, or anything in it
        return not t or t[0] == "/"
    if p[0] == "*":
        return any(_twin(p[1:], t[i:], False) for i in range(len(t) + 1) if "/" not in t[:i])
    if not t:
        return False
    if p[0] == "?":
        return t[0] != "/" and _twin(p[1:], t[1:], False)
    if p[0] == "\\":
        return t[0] == p[1] and _twin(p[2:], t[1:], False)
    if p[0] == "[":
        end = p.index("]", 3 if p[1] in "!^" else 2)
        inner = p[1:end]
        negated = inner[0] in "!^"
        found = _in_class(inner[1:] if negated else inner, t[0])
        return t[0] != "/" and found is not negated and _twin(p[end + 1 :], t[1:], False)
    return p[0] == t[0] and _twin(p[1:], t[1:], p[0] == "/")


def _in_class(members: str, c: str) -> bool:
    i = 0
    while i < len(members):
        if members[i + 1 : i + 2] == "-" and i + 2 < len(members):
            if members[i] <= c <= members[i + 2]:
                return True
            i += 3
        else:
            if members[i] == c:
                return True
            i += 1
    return False


PIECES = [
    "*",
    "**",
    "?",
    "/",
    "a",
    "b",
    ".",
    "[ab]",
    "[!a]",
    "[a-c]",
    "\\*",
    "{a,b}",
    "{a*,/b}",
    "{,x}",
    "-",
    "é",
    "/**",
    "**/",
]
patterns = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
texts = st.text("ab/.*-cé\n", max_size=8)


def valid(pattern: str) -> bool:
    try:
        check(pattern, directories=True)
    except ValueError:
        return False
    return True


@given(patterns.filter(valid), texts)
def test_matches_as_the_twin_does(pattern: str, text: str) -> None:
    pattern = pattern.rstrip("/") or "/"
    assert compile_globs([pattern]).matches(text) is twin(pattern, text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_escaped_text_matches_itself_alone(text: str, other: str) -> None:
    if not text:
        return
    matcher = compile_globs([escape(text)]) if not text.endswith("/") else globs.Matcher([escape(text)])
    assert matcher.matches(text)
    assert matcher.matches(other) is (text == other)


@given(st.text("*?[]{}!,/\\ab-", max_size=12))
def test_any_text_is_a_glob_or_an_error(text: str) -> None:
    try:
        check(text)
    except ValueError as error:
        assert str(error)
    else:
        compile_globs([text]).matches("a/b")


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/srv/*.log", ["/srv/a.log", "/srv/.log"], ["/srv/a/b.log", "/srv/a.logs"]),
        ("/srv/**", ["/srv", "/srv/a", "/srv/a/b"], ["/srvx", "/sr"]),
        ("**/.env", [".env", "/a/.env", "/a/b/.env"], ["/a/x.env", "/a/.env/b"]),
        ("**/deploy/*.yaml", ["/a/deploy/x.yaml", "deploy/x.yaml"], ["/a/deploy/b/x.yaml", "/deploys/x.yaml"]),
        ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/ab", "/a/xb"]),
        ("release/*", ["release/1.0"], ["release", "release/1/2", "prerelease/1"]),
        ("web-{a,b}[0-9]", ["web-a1", "web-b9"], ["web-c1", "web-a", "web-a10"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("/", ["/"], ["", "/a"]),
    ],
)
def test_the_dialect(pattern: str, yes: list[str], no: list[str]) -> None:
    matcher = compile_globs([pattern])
    assert [text for text in yes if not matcher.matches(text)] == []
    assert [text for text in no if matcher.matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "empty"),
        ("a[bc", "not closed"),
        ("a{b,c", "not closed"),
        ("a}b", "closes nothing"),
        ("a]b", "closes nothing"),
        ("{a}", "alternatives"),
        ("a\\", "ends in"),
        ("[z-a]", "wrong way round"),
        ("[a/b]", "cannot hold `/`"),
        ("[+-9]", "cannot hold `/`"),
        ("dir/", "ends in `/`"),
        ("{a,b}" * 7, "more than 64"),
        ("{a,{b,{c,{d,{e,f}}}}}", "nest too deeply"),
        ("x" * 1001, "at most 1000"),
    ],
)
def test_a_bad_glob_says_what_is_wrong(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(pattern)


def test_a_trailing_slash_is_for_clean_up_rules_alone() -> None:
    check("build-*/", directories=True)
    with pytest.raises(ValueError, match="ends in"):
        check("build-*/")


def test_hostile_patterns_stay_linear() -> None:
    """Backtracking would need longer than the age of the universe."""
    matcher = compile_globs(["**/a" * 60 + "/**/b"])
    assert not matcher.matches("/a" * 3000)
    assert compile_globs(["*a" * 100]).matches("a" * 5000)


def test_names_that_are_no_unicode_match_wildcards() -> None:
    matcher = compile_globs(["/srv/*", "/srv/x"])
    assert matcher.matches("/srv/\udcff")
    assert not matcher.matches("/etc/\udcff")


def test_the_regex_is_anchored() -> None:
    assert to_regex("a*") == r"(?s)\A(?:a[^/]*)\z"
