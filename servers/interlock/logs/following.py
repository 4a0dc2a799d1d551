"""Follows a source for a while: files over renames and cuts, streams as their program prints them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from interlock.guard.errors import Failed

from .blocks import Budget, file_reader, forward, lines_above
from .parts import Part, Wanted
from .reading import Position, Read, Reader
from .windows import LOOKBACK, Span, reached, snapped

POLL: Final = 0.2  # seconds between two looks at a followed file


def follow(
    reader: Reader,
    seconds: float,
    count: int,
    start: Position | None,
    wait: Callable[[float], bool],
    progress: Callable[[int], None],
) -> Read:
    """Lines that are written while we wait, at most `count`; more are counted and dropped.

    Goes on over renames (the old file is read to its end, then the new one) and cut files (from the start).
    """
    parts = [part for part in reader.parts() if not part.problem]
    if parts and parts[-1].streamer is not None:
        return _follow_stream(reader, parts[-1], seconds, count, start, progress)
    parts = [part for part in parts if part.seekable]
    if not parts:
        raise Failed("this source cannot be followed", hint="read_log with tail shows its end")
    start = snapped(parts, start)
    part = next((p for p in parts if start is not None and p.id == start[0]), parts[-1])
    fd = _open(part)
    offset = start[1] if start is not None and part.id == start[0] else os.fstat(fd).st_size
    read = Read()
    until = time.monotonic() + seconds
    try:
        while True:
            ended = wait(POLL) or time.monotonic() >= until
            size = os.fstat(fd).st_size
            if size < offset:
                reader.budget.note("the file was cut while it was followed: read from its start")
                offset = 0
            newer = _newer(reader, part) if size == offset else None
            if size > offset:
                offset = _new_lines(reader, part, fd, offset, read, count)
                progress(len(read.rows) + read.dropped)
            elif newer is not None:  # the old file is read to its end, which nobody writes to any more
                reader.budget.note("the file was renamed while it was followed: went on with the new one")
                os.close(fd)
                fd, part, offset = _open(newer), newer, 0
                continue
            if ended:
                break
    finally:
        os.close(fd)
    read.next = (part.id, offset)
    return read


def _follow_stream(
    reader: Reader, part: Part, seconds: float, count: int, start: Position | None, progress: Callable[[int], None]
) -> Read:
    """The same of a stream: from a place on, or from its last line."""
    if start is None:
        last = reader.tail(1, Span()).rows
        start = (part.id, last[-1].offset + 1 if last else 0)
    limits = Budget(seconds=seconds, cancelled=reader.budget.cancelled)
    wanted = Wanted(since=start[1] / 1e9 - LOOKBACK if start[1] else None, follow=True)
    read = Read(next=start)
    for block in reached(part, part.blocks(limits, wanted=wanted), start[1]):
        rows = reader.rows(part, block)
        room = max(0, count - len(read.rows))
        read.rows += rows[:room]
        read.dropped += len(rows[room:])
        if rows:
            read.next = (part.id, rows[-1].offset + 1)
        progress(len(read.rows) + read.dropped)
    reader.budget.scanned += limits.scanned
    for note in limits.notes:
        reader.budget.note(note)
    return read


def _new_lines(reader: Reader, part: Part, fd: int, offset: int, read: Read, count: int) -> int:
    """Whole lines from an offset on; the last one waits for its line end. Returns where to go on."""
    limits = Budget(seconds=5, max_bytes=8 << 20)
    for block in forward(file_reader(fd, offset), offset, limits, 256 << 10, above=lines_above(fd, offset)):
        if os.pread(fd, 1, block.end - 1) != b"\n":
            break
        if len(read.rows) < count:
            rows = reader.rows(part, block)
            room = count - len(read.rows)
            read.rows += rows[:room]
            read.dropped += len(rows[room:])
        else:
            read.dropped += block.data.count(b"\n") + 1
        offset = block.end
    reader.budget.scanned += limits.scanned
    return offset


def _newer(reader: Reader, current: Part) -> Part | None:
    """The live file of a followed one's series, if that is another by now."""
    parts = [p for p in reader.source.parts(Budget()) if p.seekable and not p.problem and p.series == current.series]
    if not parts or parts[-1].id == current.id or not parts[-1].size:
        return None  # while the new file is empty, the old one may still be written to
    return parts[-1]


def _open(part: Part) -> int:
    assert part.opener is not None
    return part.opener()
