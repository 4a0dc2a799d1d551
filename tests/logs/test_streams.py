"""Lines of several streams as one. The journal, Docker and clusters have suites of their own, on the real programs."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs_server import detector

from interlock.guard.errors import Failed
from interlock.logs.actions import Docker, Journald
from interlock.logs.blocks import Budget
from interlock.logs.docker_logs import whole_lines
from interlock.logs.joining import Joined, as_they_come, by_time, shown, stamp, stamped
from interlock.logs.parts import Part, Wanted
from interlock.logs.reading import Reader
from interlock.logs.streams import DockerSource, JournalSource
from interlock.logs.windows import Span

START = 1_793_779_200


def _stream(text: bytes, size: int = 7) -> Any:
    """Bytes as a pipe gives them: a few at a time."""
    rest = io.BytesIO(text)
    return type("Pipe", (), {"read": lambda self, count: rest.read(min(count, size)), "close": lambda self: None})()


def _lines(name: str, times: list[int]) -> bytes:
    return b"".join(b"%s %s says %d\n" % (shown(START * 10**9 + time), name.encode(), time) for time in times)


@given(st.lists(st.lists(st.integers(0, 10**10), max_size=30).map(sorted), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_merging_keeps_every_line_in_order(times: list[list[int]]) -> None:
    streams = {f"pod-{number}": _lines(f"pod-{number}", each) for number, each in enumerate(times)}
    wanted = sorted((time, name) for name, each in zip(streams, times, strict=True) for time in each)
    joined = Joined(by_time([stamped(name, _stream(text)) for name, text in streams.items()]), lambda: None)
    data = b""
    while chunk := joined.read(50):
        assert len(chunk) <= 50
        data += chunk
    rows = data.decode().splitlines()
    assert [(int(row.rsplit(" ", 1)[1]), row.split(" ")[1].rstrip("|")) for row in rows] == wanted
    unordered = as_they_come([stamped(name, _stream(text)) for name, text in streams.items()])
    assert sorted(line.line for line in unordered) == sorted(f"{row}\n".encode() for row in rows)


def test_a_line_without_a_time_stays_with_the_one_above() -> None:
    trace = _lines("a", [0]) + b"    at frame\n" + _lines("a", [5])
    lines = [line.line for line in by_time([stamped("a", _stream(trace)), stamped("b", _stream(_lines("b", [1, 2])))])]
    assert [line.split()[-1] for line in lines] == [b"0", b"frame", b"1", b"2", b"5"]


def test_times_of_all_zones_and_lengths() -> None:
    same = [b"2026-11-04T08:00:00.5Z x", b"2026-11-04T10:00:00.500000000+02:00 x", b"2026-11-04T02:30:00.50-05:30"]
    assert {stamp(line) for line in same} == {START * 10**9 + 500_000_000}
    assert stamp(b"2026-11-04T08:00:00Z x") < stamp(b"2026-11-04T08:00:00.000000001Z x")
    for odd in (b"0001-01-01T00:00:00+23:00 x", b"9999-12-31T23:59:59-23:00 x"):  # no UTC has these
        assert stamp(odd) == -1
    for odd in (b"", b"2026-11-04 08:00:00Z x", b"2026-13-04T08:00:00Z x", b"x 2026-11-04T08:00:00Z", b"\xff" * 40):
        assert stamp(odd) == -1


def _frames(entries: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data for stream, data in entries)


def test_what_docker_cut_is_joined_for_each_stream() -> None:
    at = b"2026-11-04T08:00:00.1Z "
    entries = [(1, at + b"out-a "), (2, at + b"err\n"), (1, at + b"out-b "), (1, at + b"end\n"), (1, at + b"rest")]
    data = _frames(entries)
    chunks = [data[start : start + 5] for start in range(0, len(data), 5)]
    assert b"".join(whole_lines(iter(chunks))) == at + b"err\n" + at + b"out-a out-b end\n" + at + b"rest\n"


class Sourced:
    """A source of one stream that gives what it was asked for, as its program would."""

    name, kind, about = "app", "docker", "containers app=web"

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.asked: list[Wanted] = []

    def parts(self, budget: Budget) -> list[Part]:
        return [Part("web", "feed", START, None, streamer=self._stream)]

    def _stream(self, budget: Budget, wanted: Wanted) -> Any:
        self.asked.append(wanted)
        since = (wanted.since or 0) * 10**9
        kept = [line for line in self.lines if stamp(line) >= since]
        kept = kept if wanted.until is None else [line for line in kept if stamp(line) <= wanted.until * 10**9]
        kept = kept[-wanted.last :] if wanted.last else kept
        return _stream(b"".join(kept), 4_096)


def test_the_end_of_a_stream_is_asked_for_and_no_secret_is_cut_by_that() -> None:
    marks = ["-----BEGIN RSA PRIVATE " + "KEY-----", "-----END RSA PRIVATE " + "KEY-----"]
    one = random.Random(5)
    key = [marks[0], *("".join(one.choices("ABCDEFGHabcdefgh0123456789+/", k=64)) for _ in range(40)), marks[1]]
    texts = [f"INFO line {n}" for n in range(30_000)] + key + ["INFO last"]
    source = Sourced([b"%s %s\n" % (shown((START + n) * 10**9), text.encode()) for n, text in enumerate(texts)])
    for count in (1, 5, 30):
        rows = [row.text for row in Reader(source, detector(), Budget()).tail(count, Span()).rows]
        assert len(rows) == count
        assert rows[-1].endswith("INFO last")
        assert not any(piece in row for row in rows for piece in key[1:-1])
    assert all(wanted.last is not None and wanted.last < 1_000 for wanted in source.asked)


def test_lines_of_a_level_are_looked_for_further_back() -> None:
    texts = [f"{'ERROR' if n % 5_000 == 0 else 'INFO'} line {n}" for n in range(20_000)]
    source = Sourced([b"%s %s\n" % (shown((START + n) * 10**9), text.encode()) for n, text in enumerate(texts)])
    rows = Reader(source, detector(), Budget(), level=3).tail(3, Span()).rows
    assert [row.text.rsplit(" ", 1)[1] for row in rows] == ["5000", "10000", "15000"]


def test_what_is_not_installed_is_said() -> None:
    broker = type("Broker", (), {"programs": frozenset[str]()})()
    with pytest.raises(Failed, match="not installed"):
        DockerSource("web", Docker(label="app=web"), broker).parts(Budget())
    (part,) = JournalSource("web", Journald(unit="web.service"), broker).parts(Budget())
    with pytest.raises(Failed, match="not installed"):
        list(part.blocks(Budget()))


def test_no_time_that_an_agent_names_is_one_that_a_program_cannot_read() -> None:
    early, late = Wanted(since=-5e10, until=-3.0).told(), Wanted(since=1e30, until=1e30, last=5).told()
    assert (early.since, early.until) == (None, 1.0)
    for value in (late.since, late.until):
        assert value is not None and datetime.fromtimestamp(value, UTC).year == 9999
    assert late.last == 5
