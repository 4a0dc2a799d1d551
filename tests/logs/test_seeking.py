"""Windows against their slow twin: read every line, ask its time."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from interlock.logs.blocks import Budget
from interlock.logs.parts import Part
from interlock.logs.seeking import line_start, probe, window
from interlock.logs.timestamps import TimeReader
from interlock.logs.windows import Span, pieces

START = datetime(2026, 11, 4, tzinfo=UTC)


def part_of(path: Path) -> Part:
    facts = path.stat()
    return Part("app.log", "1", facts.st_mtime, facts.st_size, opener=lambda: os.open(path, os.O_RDONLY))


def lines_in(path: Path, span: Span) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces([part_of(path)], span, Budget(), size=4096):
        found += piece.block.data.split(b"\n")
    return found


def twin(lines: list[bytes], span: Span) -> list[bytes]:
    reader, inside, kept = TimeReader(2e9), True, []
    for line in lines:
        value = reader.read(line)
        inside = inside if value is None else span.holds(value)
        if inside:
            kept.append(line)
    return kept


@given(st.data())
def test_a_window_holds_the_lines_of_its_time(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 900))
    step = data.draw(st.integers(0, 40))
    disorder = data.draw(st.sampled_from([0, 0, 1, 1, 3]))  # seconds that a line may be late
    random = data.draw(st.randoms(use_true_random=False))
    lines = []
    for number in range(count):
        time = START + timedelta(seconds=number * step + random.uniform(0, disorder))
        lines.append(
            f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z line {number} {'x' * random.randrange(80)}".encode()  # noqa: E501
        )
        if number and random.random() < 0.1:
            lines.append(b"    at some.Frame(File.java:7)")
    end = START.timestamp() + count * step
    edges = sorted(random.uniform(START.timestamp() - 50, end + 50) for _ in range(2))
    span = Span(*data.draw(st.sampled_from([(edges[0], edges[1]), (edges[0], None), (None, edges[1])])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        path.write_bytes(b"\n".join(lines) + b"\n")
        found = lines_in(path, span)
    wanted = [line for line in twin(lines, span) if not line.startswith(b" ")]
    assert [line for line in found if not line.startswith(b" ")] == wanted


def test_lines_in_no_order_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    days = [START + timedelta(hours=(number * 7919) % 1000) for number in range(3_000)]
    lines = [f"{day:%Y-%m-%dT%H:%M:%SZ} line {n}".encode() for n, day in enumerate(days)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    span = Span((START + timedelta(hours=100)).timestamp(), (START + timedelta(hours=110)).timestamp())
    assert lines_in(path, span) == twin(lines, span)
    budget = Budget()
    list(pieces([part_of(path)], span, budget))
    assert any("no order" in note for note in budget.notes)


def test_a_window_of_a_large_file_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with path.open("wb") as file:
        for number in range(200_000):
            time = START + timedelta(seconds=number)
            file.write(f"{time:%Y-%m-%dT%H:%M:%S}.000Z app INFO message number {number} of many\n".encode())
    span = Span((START + timedelta(seconds=100_000)).timestamp(), (START + timedelta(seconds=100_059)).timestamp())
    budget = Budget()
    found = [line for piece in pieces([part_of(path)], span, budget) for line in piece.block.data.split(b"\n")]
    assert len(found) == 60
    assert budget.scanned < 200_000


def test_places_without_lines_or_times_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    for content in (b"", b"\n", b"no time here\n" * 50, b"x" * 100_000, b"2026-11-04T00:00:00Z a"):
        path.write_bytes(content)
        with path.open("rb") as file:
            probe(file.fileno(), len(content), TimeReader(2e9))
            window(file.fileno(), len(content), TimeReader(2e9), 1.0, 2.0)
        lines_in(path, Span(1.0, 2e9))


def test_starts_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"ab\ncd\n" + b"x" * 200_000 + b"\nend")
    with path.open("rb") as file:
        assert [line_start(file.fileno(), at) for at in (0, 2, 3, 5, 6, 150_000, 200_006, 200_007)] == [
            0,
            0,
            3,
            3,
            6,
            6,
            6,
            200_007,
        ]
