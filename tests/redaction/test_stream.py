"""A stream gives what the whole gives, however it is cut; the portable engine finds what hyperscan finds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redaction.fixtures import KEY, detector, human, machine_made, pem

from interlock.redaction import Detector, engine, open_detector, stream
from interlock.redaction import rules as rules_module

DETECTOR = detector()


def document(seed: int, lines: int = 400) -> str:
    rng = random.Random(seed)
    kinds = [
        lambda: f"INFO request {rng.random()} ok",
        lambda: f"password={human(rng.randint(1, 9))}",
        lambda: f'{{"api_key": "{machine_made(32, rng.randint(1, 99))}", "n": 1}}',
        lambda: "\n".join(pem(seed=rng.randint(1, 9))),
        lambda: f"apiVersion: v1\nkind: Secret\ndata:\n  k: {machine_made(12)}\n---",
        lambda: f"postgres://u:{human(5)}@h/db",
        lambda: "x" * rng.randint(1, 300),
    ]
    return "\n".join(rng.choice(kinds)() for _ in range(lines))


def streamed(text: str, sizes: list[int]) -> bytes:
    data, out, at = text.encode(), [], 0
    one = DETECTOR.stream()
    while at < len(data):
        size = sizes[len(out) % len(sizes)]
        out.append(one.feed(data[at : at + size]))
        at += size
    return b"".join([*out, one.close()])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=5))
def test_the_result_does_not_depend_on_the_pieces(seed: int, sizes: list[int]) -> None:
    text = document(seed, 120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BLOCK", 4096)
        assert streamed(text, sizes) == DETECTOR.redact(text).text.encode()


def test_a_secret_longer_than_any_block_goes_whole() -> None:
    text = "before\npassword=" + machine_made(70_000) * 4 + "\nafter password=" + human() + "\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BLOCK", 8192)
        shown = streamed(text, [5000])
    assert shown == DETECTOR.redact(text).text.encode()
    assert shown == b"before\npassword=[secret:password:1]\nafter password=[secret:password:2]\n"


def test_a_window_from_a_safe_point_shows_what_the_whole_shows() -> None:
    text = document(3, 3000)
    spans = DETECTOR.spans(text)
    for at in range(stream.LOOKBACK, len(text) - stream.LOOKBACK, 50_000):
        start = at - stream.LOOKBACK
        window = [
            (one.start + start, one.end + start) for one in DETECTOR.spans(text[start:]) if one.start + start >= at
        ]
        assert window == [(one.start, one.end) for one in spans if one.start >= at]


def test_what_is_held_stays_small() -> None:
    one = DETECTOR.stream()
    held = 0
    for _ in range(40):
        one.feed(b"INFO nothing to see here\n" * 8000)
        held = max(held, len(one._held))
    assert held < stream.BLOCK + 4 * stream.LOOKBACK + 400_000


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_both_engines_find_the_same(seed: int) -> None:
    text = document(seed, 60)
    assert PORTABLE.redact(text).text == DETECTOR.redact(text).text


def _portable() -> Detector:
    with pytest.MonkeyPatch.context() as patch:

        def portable(patterns, _digest, _cache):  # type: ignore[no-untyped-def]
            found = patterns()
            return engine.PortableEngine(found), found

        patch.setattr(rules_module, "open_engine", portable)
        one = open_detector(KEY)
        one.redact("x")
    return one


PORTABLE = _portable()
