"""Finds lines by pattern and severity. The answer is a function of redacted text alone (see `matching`).

Stops at its limit. ripgrep, where the broker has it, finds candidates in large plain files; else RE2 does, in blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.guard.errors import Broken, Failed

from .blocks import LINE_CAP, Block, Budget, backward
from .dissect import dissect
from .matching import Pattern
from .parts import Part
from .ripgrep import OPTIONS, Lines, offsets
from .safe import CONTEXT, LONG_CONTEXT, Safe, context_above, spans_lines
from .timestamps import TimeReader
from .windows import Piece, Source, Span, available, budget_time, pieces, snapped, window_of

RANK: Final = {"D": 0, "": 1, "I": 1, "W": 2, "E": 3, "F": 4}
LARGE: Final = 32 << 20  # bytes of a file from which starting ripgrep pays
_FIELDS: Final = rb"|<\d{1,3}>|[\"'](?:level|priority|severity)[\"']|PRIORITY"
# Words and signs without which no line has a level this high: a first sieve over raw bytes.
_SEVERE: Final = {
    2: rb"(?i)warn|err|fatal|crit|alert|emerg|panic|severe|fail|wrn|^\W{0,3}[WEF][\d/ ]|\b[WEF] " + _FIELDS,
    3: rb"(?i)err|fatal|crit|alert|emerg|panic|severe|fail|^\W{0,3}[EF][\d/ ]|\b[EF] " + _FIELDS,
    4: rb"(?i)fatal|crit|alert|emerg|panic|^\W{0,3}F[\d/ ]|\bF " + _FIELDS,
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. `level`: least severity (0 debug .. 4 fatal)."""

    pattern: Pattern | None = None
    exclude: Pattern | None = None
    level: int = 0
    span: Span = field(default_factory=Span)
    limit: int = 50
    context: int = 0
    last: bool = False  # the newest matches instead of the oldest
    count_only: bool = False


@dataclass(slots=True)
class Hit:
    """One line that counts, with its context. All text is redacted."""

    part: Part
    offset: int
    text: str
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """The result of a search. `count` is of all lines that count so far; `more`: the limit was reached."""

    hits: list[Hit] = field(default_factory=list)
    count: int = 0
    more: bool = False
    next: tuple[str, int] | None = None  # part id and offset to go on from


def search(
    source: Source,
    query: Query,
    detector: Any,
    budget: Budget,
    broker: Any = None,
    start: tuple[str, int] | None = None,
) -> Found:
    """Search a source. Raises Failed when no part of it can be read."""
    parts = available(source, budget)
    start = snapped(parts, start)
    safe = Safe(detector, source.name)
    searcher = _Searcher(query, safe, budget, broker)
    if query.last:
        searcher.newest_first(parts, start)
    else:
        searcher.oldest_first(parts, start)
    searcher.count_waiting()
    found = searcher.found
    if query.last:
        found.hits.reverse()
    return found


class _Searcher:
    def __init__(self, query: Query, safe: Safe, budget: Budget, broker: Any) -> None:
        self._query = query
        self._safe = safe
        self._budget = budget
        self._broker = broker if broker is not None and "rg" in getattr(broker, "programs", ()) else None
        self._severe = re.compile(_SEVERE[query.level], re.MULTILINE) if query.level >= 2 else None
        self._below: int | None = None  # in a stream: only hits before this place
        self._waiting: list[tuple[bytes, bytes]] = []  # lines above, line: candidates to be counted together
        self.found = Found()

    @property
    def _full(self) -> bool:
        return not self._query.count_only and len(self.found.hits) >= self._query.limit

    # ---------------------------------------------------------------- walking

    def oldest_first(self, parts: Sequence[Part], start: tuple[str, int] | None) -> None:
        for number, part in enumerate(parts):
            if start is not None and part.id != start[0]:
                continue
            if self._by_ripgrep(part, start[1] if start else 0):
                start = None
            else:
                for piece in pieces(parts[number : number + 1], self._query.span, self._budget, start=start):
                    if not self._block(piece.part, piece.block):
                        return
                start = None
            if self._full or self._budget.spent():
                return

    def newest_first(self, parts: Sequence[Part], start: tuple[str, int] | None) -> None:
        for part in reversed(parts):
            if start is not None and part.id != start[0]:
                continue
            limit = start[1] if start is not None else None
            start = None
            if part.problem:
                self._budget.note(f"{part.shown}: {part.problem}")
                continue
            for piece in self._backwards(part, limit):
                if not self._block(piece.part, piece.block, reverse=True):
                    return
            if self._full or self._budget.spent():
                return

    def _backwards(self, part: Part, limit: int | None) -> Iterator[Piece]:
        """Blocks from the end. Packed parts are read forwards and kept: the last 8 MiB of what is in the window."""
        span = self._query.span
        if part.streamer is not None and limit is not None:
            self._below, until = limit, limit / 1e9 + 1
            span = Span(span.since, until if span.until is None else min(until, span.until))
            limit = None
        if part.seekable:
            reader = TimeReader(part.changed or budget_time())
            found = window_of(part, span, reader)
            if (found.start == found.sure_start and found.end == found.sure_end) or not span.bounded:
                assert part.opener is not None
                fd = part.opener()
                try:
                    end = found.end if limit is None else min(limit, found.end)
                    for block in backward(fd, end, self._budget, start=found.start):
                        yield Piece(part, block)
                finally:
                    os.close(fd)
                return
        kept: list[Piece] = []
        size = 0
        for piece in pieces([part], span, self._budget):
            if limit is not None and piece.block.offset >= limit:
                break
            kept.append(piece)
            size += len(piece.block.data)
            while size > 8 << 20 and len(kept) > 1:
                size -= len(kept.pop(0).block.data)
        yield from reversed(kept)

    # ---------------------------------------------------------------- judging

    def _block(self, part: Part, block: Block, reverse: bool = False) -> bool:
        """Judge the candidates of a block; False once the limit is reached."""
        data, above = block.data, block.above
        self._budget.lines += data.count(b"\n") + 1
        spanning = spans_lines(data) or spans_lines(above)
        if spanning or b"\x1b" in data:  # secrets over many lines, colours within words: redact it all, then look
            texts = self._safe.lines(data, above)
            raw = data.split(b"\n")
            places = []
            at = 0
            for text, line in zip(texts, raw, strict=True):
                places.append((at, text))
                at += len(line) + 1
            for at, text in reversed(places) if reverse else places:
                if self._counts(text) and not self._take(part, block, at, text):
                    return False
            return True
        starts = self._starts(data)
        for at in reversed(starts) if reverse else starts:
            end = data.find(b"\n", at)
            line = data[at : end if end >= 0 else len(data)]
            before = (
                context_above(data, at)
                if at > CONTEXT or not above
                else context_above(above + b"\n" + data[: at + 1], len(above) + 1 + at)
            )
            if self._query.count_only:
                self._count_later(line, before)
                continue
            text = self._safe.line(line, before)
            if self._counts(text) and not self._take(part, block, at, text):
                return False
        return True

    def _count_later(self, line: bytes, above: bytes) -> None:
        self._waiting.append((above, line))
        if len(self._waiting) >= 512:
            self.count_waiting()

    def count_waiting(self) -> None:
        """Count candidates many at a time: most hold no secret, and asking the detector once is enough."""
        waiting, self._waiting = self._waiting, []
        for (above, line), text in zip(waiting, self._safe.untouched(waiting), strict=True):
            if self._counts(text if text is not None else self._safe.line(line, above)):
                self.found.count += 1

    def _starts(self, data: bytes) -> list[int]:
        """Starts of the lines that may count."""
        pattern = self._query.pattern
        if pattern is not None and not pattern.matches_empty:
            found = pattern.candidates(data)
        elif self._severe is not None:
            found = [match.start() for match in self._severe.finditer(data)]
        else:
            found = [0]
            at = data.find(b"\n")
            while at >= 0:
                found.append(at + 1)
                at = data.find(b"\n", at + 1)
            return found
        starts: list[int] = []
        for at in found:
            start = data.rfind(b"\n", 0, at) + 1
            if not starts or starts[-1] != start:
                starts.append(start)
        return starts

    def _counts(self, text: str) -> bool:
        query = self._query
        if query.pattern is not None and not query.pattern.matches(text):
            return False
        if query.level > 0 and RANK.get(dissect(text).level, 1) < query.level:
            return False
        return query.exclude is None or not query.exclude.matches(text)

    def _take(self, part: Part, block: Block, at: int, text: str) -> bool:
        found, query = self.found, self._query
        place = part.place(block.offset + at, text)
        if self._below is not None and place >= self._below:
            return True
        found.count += 1
        if query.count_only:
            return True
        if len(found.hits) >= query.limit:
            found.more = True
            found.count -= 1
            size = 1 if part.streamer is not None else len(text.encode()) + 1
            found.next = (part.id, place + size if query.last else place)
            return False
        hit = Hit(part, place, text)
        if query.context:
            self._context(hit, block, at)
        found.hits.append(hit)
        return True

    def _context(self, hit: Hit, block: Block, at: int) -> None:
        count = self._query.context
        data, above = block.data, block.above
        end = data.find(b"\n", at)
        upper = data[max(0, at - count * 4_096) : at] if at else b""
        lines = upper.split(b"\n")[:-1] if upper else []
        wanted = lines[-count:]
        if len(wanted) < count and above:
            wanted = [*above.split(b"\n")[-(count - len(wanted)) :], *wanted]
        lower = data[end + 1 : end + 1 + count * LINE_CAP].split(b"\n")[:count] if end >= 0 else []
        if len(lower) < count and hit.part.seekable and block.end < (hit.part.size or 0):
            lower += self._read_on(hit.part, block.end, count - len(lower))
        line = data[at : end if end >= 0 else len(data)]
        chunk = [*wanted, line, *lower]
        before = data[
            max(0, at - sum(len(x) + 1 for x in wanted) - CONTEXT) : max(0, at - sum(len(x) + 1 for x in wanted))
        ]
        texts = self._safe.lines(b"\n".join(chunk), before.removesuffix(b"\n"))
        hit.above, hit.below = texts[: len(wanted)], texts[len(wanted) + 1 :]

    def _read_on(self, part: Part, offset: int, count: int) -> list[bytes]:
        for block in part.blocks(Budget(seconds=5), offset, size=64 << 10):
            return block.data.split(b"\n")[:count]
        return []

    # ---------------------------------------------------------------- ripgrep

    def _by_ripgrep(self, part: Part, start: int) -> bool:
        """Let ripgrep find candidates in a large plain file. False where that does not fit: nothing was done."""
        pattern, span = self._query.pattern, self._query.span
        arguments = pattern.for_ripgrep() if pattern is not None else None
        if self._broker is None or arguments is None or not part.seekable or part.problem or (part.size or 0) < LARGE:
            return False
        assert part.opener is not None
        fd = part.opener()
        try:
            size = os.fstat(fd).st_size
            head = os.pread(fd, 1 << 20, start)
            if b"\n" not in head or b"\x1b" in head or spans_lines(head):
                return False
            reader = TimeReader(part.changed or budget_time())
            found = window_of(part, span, reader) if span.bounded else None
            if found is not None and (found.end - found.start) * 2 < size:
                return False  # a part of the file is read faster here
            os.lseek(fd, start, os.SEEK_SET)
            before = list(self.found.hits), self.found.count
            left = max(1.0, self._budget.seconds)
            argv, stop = [*OPTIONS, *arguments, "-"], self._budget.cancelled
            try:
                with self._broker.start("rg", argv, stdin=fd, timeout=left, stop=stop) as process:
                    self._from_ripgrep(process, part, fd, start, size, reader, found is not None)
                    if not self._full or self._query.count_only:
                        self.count_waiting()
                        code = process.wait()
                        if process.timed_out:
                            self._budget.stopped = f"stopped after {left:.0f} s"
                        elif code not in (0, 1):
                            self._budget.note("the fast search engine gave up on this file; it was searched without it")
                            self.found.hits, self.found.count = before
                            return False
            except (Failed, Broken):
                return False
            return True
        finally:
            os.close(fd)

    def _from_ripgrep(
        self, process: Any, part: Part, fd: int, start: int, size: int, reader: TimeReader, windowed: bool
    ) -> None:
        lines = Lines(fd)
        for offset in offsets(process, start):
            if not self._judge(part, offset, lines, reader, windowed):
                process.kill()
                self._budget.scanned += offset - start
                return
        self._budget.scanned += size - start

    def _judge(self, part: Part, offset: int, cache: Lines, reader: TimeReader, windowed: bool) -> bool:
        line, above = cache.line(offset)
        if windowed:
            value = reader.read(line)
            if value is not None and not self._query.span.holds(value):
                return True
        if spans_lines(above) or b"\x1b" in line:
            above = cache.above(offset, LONG_CONTEXT)
        elif self._query.count_only:
            self._count_later(line, above)
            return True
        text = self._safe.line(line, above)
        if not self._counts(text):
            return True
        if self._query.context or len(self.found.hits) >= self._query.limit:
            base, data = cache.around(offset, (self._query.context + 1) * 2_048)
            block = Block(base, data, base + len(data) + 1)
            return self._take(part, block, offset - base, text)
        return self._take(part, Block(offset, line, offset + len(line) + 1), 0, text)
