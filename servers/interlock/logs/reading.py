"""Reads lines from a place in a source: its end, its start, a time, a cursor.

A position is a part's id and an offset, which stay true while files are renamed. All text that leaves is redacted.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.guard.errors import Code, Refused

from .blocks import Block, Budget, backward
from .dissect import dissect
from .parts import Part, Wanted
from .safe import Safe
from .searching import RANK
from .timestamps import TimeReader
from .windows import (
    LOOKBACK,
    LOOKBACK_LINES,
    Piece,
    Source,
    Span,
    available,
    budget_time,
    pieces,
    snapped,
    window_of,
)

MAX_CHUNK: Final = 4 << 20  # raw bytes that one answer is chosen from
LINE_HEAD: Final = 256  # bytes of a line in which its time stands

Position = tuple[str, int]


@dataclass(slots=True)
class Row:
    """A redacted line and its place (see `Part`)."""

    part: Part
    offset: int
    text: str
    number: int = 0  # of the lines that this call has read


@dataclass(slots=True)
class Read:
    """Lines in order. `older` and `next`: cursors to go on from, in both directions, where there is more."""

    rows: list[Row] = field(default_factory=list)
    older: Position | None = None
    next: Position | None = None
    dropped: int = 0  # lines that a followed source had more than fit


def cursor_text(position: Position) -> str:
    return f"{position[0]}.{position[1]:x}"


def cursor_of(text: str) -> Position:
    """Raises Refused for what is no cursor of ours."""
    part, _, offset = text.strip().lstrip("@").rpartition(".")
    if not part or len(text) > 80 or not all(c in "0123456789abcdef" for c in offset) or not offset:
        raise Refused(Code.INVALID, "this is no cursor", hint="use one from an earlier answer, as it stands there")
    return part, int(offset, 16)


class Reader:
    """Reads one source for one call."""

    def __init__(self, source: Source, detector: Any, budget: Budget, level: int = 0) -> None:
        self.source = source
        self.budget = budget
        self.safe = Safe(detector, source.name)
        self._level = level

    # ---------------------------------------------------------------- from a place

    def tail(self, count: int, span: Span, before: Position | None = None) -> Read:
        """The last `count` lines, or the last before a position."""
        parts = self.parts()
        before = snapped(parts, before)
        rows: list[Row] = []
        begun = before is None
        for part in reversed(parts):
            if not begun:
                assert before is not None
                if part.id != before[0]:
                    continue
                begun = True
            limit = before[1] if before is not None and part.id == before[0] else None
            rows = self._last_of(part, count - len(rows), span, limit) + rows
            if len(rows) >= count or self.budget.spent():
                break
        read = Read(rows[-count:])
        if len(rows) >= count and read.rows:
            read.older = (read.rows[0].part.id, read.rows[0].offset)
        read.next = self._end(read.rows, parts)
        return read

    def head(self, count: int, span: Span, start: Position | None = None) -> Read:
        """The first `count` lines of the window, or from a position on."""
        parts = self.parts()
        start = snapped(parts, start)
        rows: list[Row] = []
        end: Position | None = None
        for piece in pieces(parts, span, self.budget, start=start, size=256 << 10):
            rows += self.rows(piece.part, piece.block)
            end = (piece.part.id, piece.block.end)
            if piece.part.streamer is not None and rows:
                end = (piece.part.id, rows[-1].offset + 1)
            if len(rows) > count:
                break
        read = Read(rows[:count])
        if len(rows) > count:
            read.next = (rows[count].part.id, rows[count].offset)
        else:
            read.next = end or start
        return read

    def around(self, count: int, time: float | None, place: Position | None) -> Read:
        """Half of the lines before a time or position, half from it on."""
        parts = self.parts()
        place = snapped(parts, place)
        if place is None:
            assert time is not None
            place = self._place_of(parts, time)
        if place is None:
            return self.tail(count, Span())
        before = self.tail(count // 2, Span(), place) if count > 1 else Read()
        after = self.head(count - count // 2, Span(), place)
        return Read(before.rows + after.rows, before.older or before_first(before), after.next)

    def _place_of(self, parts: Sequence[Part], time: float) -> Position | None:
        """Where the first line at or after a time is; None where there is none."""
        for part in parts:
            if part.problem:
                continue
            for piece in pieces([part], Span(since=time), self.budget, size=64 << 10):
                line = piece.block.data[:LINE_HEAD].partition(b"\n")[0]
                return part.id, part.place(piece.block.offset, line.decode("utf-8", "replace"))
        return None

    # ---------------------------------------------------------------- pieces

    def parts(self) -> list[Part]:
        return available(self.source, self.budget)

    def _last_of(self, part: Part, count: int, span: Span, limit: int | None) -> list[Row]:
        if part.problem:
            self.budget.note(f"{part.shown}: {part.problem}")
            return []
        rows: deque[Row] = deque()
        if part.seekable:
            assert part.opener is not None
            fd = part.opener()
            try:
                end = os.fstat(fd).st_size
                start = 0
                if span.bounded:
                    found = window_of(part, span, TimeReader(part.changed or budget_time()))
                    start, end = found.start, found.end
                blocks: deque[Block] = deque()
                size = lines = 0
                for block in backward(fd, min(end, limit) if limit is not None else end, self.budget, start=start):
                    blocks.appendleft(block)
                    size += len(block.data)
                    lines += block.data.count(b"\n") + 1
                    if self._level == 0 and not span.bounded:
                        if lines >= count or size > MAX_CHUNK:
                            break
                    else:
                        fresh = self._in(part, block, span)
                        rows.extendleft(reversed(fresh))
                        if len(rows) >= count or len(rows) > 100_000:
                            break
                if self._level == 0 and not span.bounded:
                    rows.extend(self._of_blocks(part, list(blocks)))
            finally:
                os.close(fd)
            return list(rows)[-count:]
        if part.streamer is not None:
            return self._last_of_stream(part, count, span, limit)
        kept: deque[Piece] = deque()
        lines = 0
        for piece in pieces([part], span, self.budget, size=64 << 10):
            if limit is not None and piece.block.offset >= limit:
                break
            kept.append(piece)
            lines += piece.block.data.count(b"\n") + 1
            while len(kept) > 1 and (
                (lines - kept[0].block.data.count(b"\n") - 1 >= count and self._level == 0) or len(kept) > 512
            ):
                lines -= kept.popleft().block.data.count(b"\n") + 1
        for piece in kept:
            rows.extend(row for row in self.rows(part, piece.block) if limit is None or row.offset < limit)
        return list(rows)[-count:]

    def _last_of_stream(self, part: Part, count: int, span: Span, before: int | None) -> list[Row]:
        """Its last lines that count. Its program is asked for few at first, for many where those are not enough."""
        ends = [time for time in (span.until, before / 1e9 if before is not None else None) if time is not None]
        if ends:
            return self._last_before(part, count, span, min(ends), before)
        kept: list[Row] = []
        for last in (count, count * 64, None):
            if self.budget.spent():
                break
            begun, rows = self.budget.lines, deque[Row](maxlen=count)
            since = span.since - LOOKBACK if span.since is not None else None
            wanted = Wanted(since, last=last + LOOKBACK_LINES if last is not None else None)
            for block in part.blocks(self.budget, size=64 << 10, wanted=wanted):
                rows.extend(self._in(part, block, span))
            # What was asked for beyond `last` is only what stands above: of each stream, if several are merged.
            kept = [row for row in rows if last is None or row.number > self.budget.lines - last]
            if len(kept) >= count or last is None or self.budget.lines - begun <= last:
                break
        return kept

    def _last_before(self, part: Part, count: int, span: Span, end: float, before: int | None) -> list[Row]:
        """The same before a time. No program counts lines backwards from there, so ever longer times are looked at."""
        rows = deque[Row](maxlen=count)
        for reach in (60.0, 3_600.0, 86_400.0, end):
            if self.budget.spent():
                break
            since = max(end - reach, span.since or 0.0)
            rows.clear()
            near = Span(since, span.until)
            for block in part.blocks(self.budget, size=64 << 10, wanted=Wanted(since - LOOKBACK, end + 1)):
                rows.extend(r for r in self._in(part, block, near) if before is None or r.offset < before)
            if len(rows) >= count or since <= (span.since or 0.0):
                break
        return list(rows)

    def _in(self, part: Part, block: Block, span: Span) -> list[Row]:
        reader = TimeReader(part.changed or budget_time())
        rows = self.rows(part, block)
        if not span.bounded:
            return rows
        kept, inside = [], True
        for row in rows:
            value = reader.read(row.text.encode("utf-8", "replace"))
            inside = inside if value is None else span.holds(value)
            if inside:
                kept.append(row)
        return kept

    def _of_blocks(self, part: Part, blocks: list[Block]) -> list[Row]:
        """Rows of neighbouring blocks, redacted together."""
        texts = self.safe.lines(b"\n".join(block.data for block in blocks), blocks[0].above) if blocks else []
        rows, at = [], 0
        for block in blocks:
            offset = block.offset
            lines = block.data.split(b"\n")
            for line in lines:
                rows.append(Row(part, offset, texts[at]))
                offset += len(line) + 1
                at += 1
        self.budget.lines += len(rows)
        return rows

    def rows(self, part: Part, block: Block) -> list[Row]:
        texts = self.safe.lines(block.data, block.above)
        rows, offset, place = [], block.offset, 0
        for line, text in zip(block.data.split(b"\n"), texts, strict=True):
            place = part.place(offset, text, place)
            self.budget.lines += 1
            if self._level == 0 or RANK.get(dissect(text).level, 1) >= self._level:
                rows.append(Row(part, place, text, self.budget.lines))
            offset += len(line) + 1
        return rows

    def _end(self, rows: list[Row], parts: Sequence[Part]) -> Position | None:
        """The position behind the last row: where what is written next will stand."""
        if not rows:
            live = [part for part in parts if part.seekable and not part.problem]
            return (live[-1].id, live[-1].size or 0) if live else None
        part = rows[-1].part
        if part.streamer is not None:
            return part.id, rows[-1].offset + 1
        return (part.id, part.size) if part.seekable and part.size is not None else None


def before_first(read: Read) -> Position | None:
    return (read.rows[0].part.id, read.rows[0].offset) if read.rows else None
