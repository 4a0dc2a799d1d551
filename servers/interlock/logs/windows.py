"""What lies in a time window of a source, as blocks: seeks in plain files, filters streams and untidy files by line.

What comes out is raw; `safe` comes next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from interlock.guard.errors import Code, Failed, Refused

from .blocks import BLOCK, Block, Budget, joined
from .parts import Part, Wanted
from .seeking import Window, line_start, window
from .timestamps import TimeReader

_SLACK = 2.0  # seconds that neighbouring lines may be out of order in what cannot be probed
LOOKBACK = 10.0  # seconds of a stream before a window that are read too: a secret may have begun there
LOOKBACK_LINES = 400  # the same before its last lines


class Source(Protocol):
    """A named source of the policy."""

    name: str
    kind: str

    @property
    def about(self) -> str: ...

    def parts(self, budget: Budget) -> list[Part]: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A time window; None is open."""

    since: float | None = None
    until: float | None = None

    @property
    def bounded(self) -> bool:
        return self.since is not None or self.until is not None

    def holds(self, value: float) -> bool:
        return (self.since is None or value >= self.since) and (self.until is None or value <= self.until)


def available(source: Source, budget: Budget) -> list[Part]:
    """The parts of a source. Raises Failed when there is none, or none can be read: never a silent nothing."""
    parts = source.parts(budget)
    if not parts:
        raise Failed("this source has no file or stream at the moment", hint="list_sources shows what there is")
    if all(part.problem for part in parts):
        raise Failed(f"nothing of this source can be read: {parts[-1].shown} {parts[-1].problem}")
    return parts


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of one part, all of whose lines lie in the window."""

    part: Part
    block: Block


def pieces(
    parts: Sequence[Part], span: Span, budget: Budget, *, start: tuple[str, int] | None = None, size: int = BLOCK
) -> Iterator[Piece]:
    """Blocks in the window, part by part, oldest first. `start`: a part's id and an offset to go on from."""
    begun = start is None
    for part in parts:
        if budget.spent():
            return
        offset = 0
        if not begun:
            assert start is not None
            if part.id != start[0]:
                continue
            begun, offset = True, start[1]
        if part.problem:
            budget.note(f"{part.shown}: {part.problem}")
            continue
        if part.packing and span.since is not None and part.changed < span.since - 86_400:
            continue
        try:
            yield from _of_part(part, span, budget, offset, size)
        except Refused as refusal:
            budget.note(f"{part.shown}: {refusal.message}")
        except Failed as problem:
            budget.note(f"{part.shown}: {problem.message}")
        except OSError as error:
            budget.note(f"{part.shown}: cannot be read ({os.strerror(error.errno or 0)})")


def snapped(parts: Sequence[Part], position: tuple[str, int] | None) -> tuple[str, int] | None:
    """A position that an agent gave, moved to the start of its line: no place in the middle of a secret is one."""
    if position is None:
        return None
    part = next((part for part in parts if part.id == position[0]), None)
    if part is None:
        raise Refused(
            Code.CONFLICT,
            "the file that this cursor points into is gone (rotated away or packed)",
            hint="read by time: around or since",
        )
    if not part.seekable or part.problem or part.opener is None:
        return position
    fd = part.opener()
    try:
        return position[0], line_start(fd, min(position[1], os.fstat(fd).st_size))
    finally:
        os.close(fd)


def window_of(part: Part, span: Span, reader: TimeReader) -> Window:
    """The bytes of a plain file to read for a window."""
    assert part.opener is not None
    fd = part.opener()
    try:
        return window(fd, os.fstat(fd).st_size, reader, span.since, span.until)
    finally:
        os.close(fd)


def _of_part(part: Part, span: Span, budget: Budget, offset: int, size: int) -> Iterator[Piece]:
    reader = TimeReader(part.changed or budget_time())
    if part.streamer is not None:
        for block in _of_stream(part, span, budget, offset, size, reader):
            yield Piece(part, block)
        return
    if not span.bounded:
        for block in part.blocks(budget, offset, size=size):
            yield Piece(part, block)
        return
    if not part.seekable:
        for block in _filtered(part.blocks(budget, offset, size=size), span, reader, trust=True):
            yield Piece(part, block)
        return
    found = window_of(part, span, reader)
    if found.note:
        budget.note(f"{part.shown}: {found.note}")
    for begin, end, sure in (
        (found.start, found.sure_start, False),
        (found.sure_start, found.sure_end, True),
        (found.sure_end, found.end, False),
    ):
        begin = max(begin, offset)
        if begin >= end:
            continue
        blocks = part.blocks(budget, begin, end, size=size)
        for block in blocks if sure else _filtered(blocks, span, reader, trust=False):
            yield Piece(part, block)


def _of_stream(part: Part, span: Span, budget: Budget, place: int, size: int, reader: TimeReader) -> Iterator[Block]:
    """The lines of a stream in the window and from a place on; its program is asked for little more than these."""
    begins = [time for time in (span.since, place / 1e9 if place else None) if time is not None]
    since = max(begins) - LOOKBACK if begins else None
    wanted = Wanted(since, span.until + _SLACK if span.until is not None else None)
    blocks = part.blocks(budget, size=size, wanted=wanted)
    if span.bounded:
        blocks = _filtered(blocks, span, reader, trust=True)
    yield from reached(part, blocks, place) if place else blocks


def reached(part: Part, blocks: Iterator[Block], place: int) -> Iterator[Block]:
    """The blocks of a stream without the lines before the first one at or after a place."""
    begun = False
    for block in blocks:
        at = 0
        while not begun:
            end = block.data.find(b"\n", at)
            if part.place(0, block.data[at : at + 64].decode("utf-8", "replace")) >= place:
                begun = True
            elif end < 0:
                break
            else:
                at = end + 1
        if begun:
            above = joined(block.above, block.data[: at - 1]) if at else block.above
            yield Block(block.offset + at, block.data[at:], block.end, above) if at else block


def budget_time() -> float:
    import time

    return time.time()


def _filtered(blocks: Iterator[Block], span: Span, reader: TimeReader, *, trust: bool) -> Iterator[Block]:
    """Only lines in the window; lines without a time go with the one above them.

    `trust`: a block whose first and last times lie well inside (or outside) is taken (or left) whole, and
    reading ends once a whole block lies behind the window.
    """
    inside = True
    for block in blocks:
        if trust:
            first, last = _edges(block.data, reader)
            if first is not None and last is not None:
                low, high = min(first, last), max(first, last)
                if span.until is not None and low > span.until + _SLACK:
                    return
                if span.since is not None and high < span.since - _SLACK:
                    inside = False
                    continue
                if span.holds(low - _SLACK) and span.holds(high + _SLACK):
                    inside = True
                    yield block
                    continue
        offset = start = block.offset
        kept: list[bytes] = []

        def run(begin: int, lines: list[bytes], end: int, block: Block = block) -> Block:
            before = block.data[: begin - block.offset].removesuffix(b"\n")
            return Block(
                begin, b"\n".join(lines), end, joined(block.above, before) if begin > block.offset else block.above
            )

        for line in block.data.split(b"\n"):
            value = reader.read(line)
            now_inside = inside if value is None else span.holds(value)
            if now_inside and not kept:
                start = offset
            if not now_inside and kept:
                yield run(start, kept, offset)
                kept = []
            inside = now_inside
            if inside:
                kept.append(line)
            offset += len(line) + 1
        if kept:
            yield run(start, kept, block.end)


def _edges(data: bytes, reader: TimeReader) -> tuple[float | None, float | None]:
    first = last = None
    at = 0
    for _ in range(20):
        end = data.find(b"\n", at)
        first = reader.read(data[at : end if end >= 0 else None])
        if first is not None or end < 0:
            break
        at = end + 1
    stop = len(data)
    for _ in range(20):
        begin = data.rfind(b"\n", 0, stop)
        last = reader.read(data[begin + 1 : stop])
        if last is not None or begin < 0:
            break
        stop = begin
    return first, last
