"""Placeholders: no oracle, no collision, no change when redacted again."""
# ruff: noqa: E501

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from redaction.fixtures import KEY, detector, human, machine_made

from interlock.redaction import open_detector

DETECTOR = detector()
TOKEN = machine_made(40, 11)
ID = re.compile(r"\[secret:([a-z0-9-]+):([a-z0-9]+)\]")


def ids(text: str, target: str = "") -> list[str]:
    return [match.group(2) for match in ID.finditer(DETECTOR.redact(text, target).text)]


def test_a_value_nobody_can_guess_has_an_id_of_its_own() -> None:
    first, again = ids(f"token={TOKEN}\ntoken={TOKEN}\n")
    assert first == again and len(first) >= 13
    assert ids(f"token={TOKEN}", "/a") != ids(f"token={TOKEN}", "/b")
    other = open_detector(KEY[::-1]).redact(f"token={TOKEN}").text
    assert first not in other


def test_a_value_that_can_be_guessed_is_numbered_by_place() -> None:
    password = human()
    assert ids(f"password={password}\npassword={password}\npassword={human(2)}\n") == ["1", "2", "3"]


def test_a_number_in_the_text_is_not_given_again() -> None:
    shown = DETECTOR.redact(f"a [secret:password:1]\npassword={human()}\n").text
    assert ID.findall(shown) == [("password", "1"), ("password", "2")]


PIECES = st.sampled_from(
    ["password", "=", ": ", '"', "'", "\n", "token", " ", "secret", "[secret:password:1]", "[secret:", "]", "x9Kq", human(4), TOKEN,
     "://", "@", "kind: Secret", "data:", "{", "}", ",", "api_key", "-----BEGIN PRIVATE", " KEY-----", "é", "\\", "--", "Authorization: Bearer ", "%3D"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = DETECTOR.redact(text).text
    assert DETECTOR.redact(once).text == once


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_spans_are_what_redact_replaces(text: str) -> None:
    parts, at = [], 0
    for span in DETECTOR.spans(text):
        parts += [text[at : span.start], span.placeholder]
        at = span.end
    assert "".join([*parts, text[at:]]) == DETECTOR.redact(text).text


def test_odd_text_never_breaks_it() -> None:
    for text in ("", "\x00", "\ud800password=abc\udfff", "password=" + "é" * 50, "\u202epassword=xyz12345"):
        DETECTOR.redact(text)
        DETECTOR.spans(text)
