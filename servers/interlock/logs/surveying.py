"""One pass over a window of a source: templates, levels, times and stack traces, with counts that add up.

The raw material of `summarize_logs` and `compare_logs`; how it is shown is in `overview` and `pages`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from .blocks import BLOCK, Budget
from .dissect import dissect, raises
from .masking import group_key, mask
from .mining import SAMPLES, Entry, Miner
from .parts import Part
from .safe import Safe
from .timestamps import TimeReader
from .windows import Source, Span, available, budget_time, pieces

MAX_TRACES: Final = 2_000  # stack traces told apart
_TRACE_LINES: Final = 60
_TRACE_LINE: Final = 1_000  # bytes
_SMALLEST: Final = 2 << 10
_SMALL: Final = 32 << 20  # bytes of a source every line of which is looked at for samples


@dataclass(slots=True)
class BlockFacts:
    """Where a mined block is and when it begins."""

    part: Part
    offset: int
    length: int
    time: float | None


@dataclass(slots=True)
class Trace:
    """Events of one kind that came with further lines."""

    head: int  # entry of the first line
    count: int
    lines: list[str]  # the first one, redacted
    block: int


@dataclass(slots=True)
class Survey:
    """What a pass found. Redacted throughout."""

    miner: Miner
    safe: Safe
    blocks: list[BlockFacts] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    traces: list[Trace] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    bytes: int = 0

    @property
    def lines(self) -> int:
        return self.miner.lines

    def levels(self) -> Counter[str]:
        """Lines per level; "" where a line does not say."""
        found: Counter[str] = Counter()
        for entry in self.miner.entries:
            found[entry.level] += entry.count
        return found

    def times_of(self, entry: Entry) -> tuple[float | None, float | None]:
        """When an entry was first seen, and last to the precision of a block."""
        if not entry.blocks:
            return None, None
        begin = self.blocks[entry.blocks[0]]
        exact = TimeReader(begin.part.changed or budget_time()).read(entry.example.encode("utf-8", "replace"))
        first = exact if exact is not None else begin.time
        last = self.blocks[entry.blocks[-2]].time
        return first, max(first, last) if first is not None and last is not None else last

    def bins(self, entries: list[Entry], count: int) -> list[int]:
        """Lines of these entries in `count` equal stretches of the time covered."""
        bins = [0] * count
        if self.first is None or self.last is None or self.last <= self.first:
            return bins
        width = (self.last - self.first) / count
        for entry in entries:
            for at in range(0, len(entry.blocks), 2):
                time = self.blocks[entry.blocks[at]].time
                if time is not None:
                    number = min(count - 1, max(0, int((time - self.first) / width)))
                    bins[number] += entry.blocks[at + 1]
        return bins


def survey(source: Source, span: Span, detector: Any, budget: Budget, progress: Any = None, sample: int = 32) -> Survey:
    """Mine a window of a source. Stops early by the budget, and says so there."""
    parts = available(source, budget)
    safe = Safe(detector, source.name)
    total = sum(part.size or 0 for part in parts)
    found = Survey(Miner(safe, sample=sample, keep=96 if total <= _SMALL else SAMPLES, stop=budget.spent), safe)
    size = max(_SMALLEST, min(BLOCK, total // 400))
    if total <= _SMALL:
        found.miner.sample_all()
    miner = found.miner
    traces = _Traces(miner)
    readers: dict[int, TimeReader] = {}
    for piece in pieces(parts, span, budget, size=size):
        block, part = piece.block, piece.part
        reader = readers.get(id(part)) or readers.setdefault(id(part), TimeReader(part.changed or budget_time()))
        if not found.parts or found.parts[-1] != part.name:
            found.parts.append(part.name)
            traces.end()
        first, last = _times(block.data, reader)
        _extend(found, first, last)
        found.blocks.append(BlockFacts(part, block.offset, len(block.data), first if first is not None else found.last))
        found.bytes += len(block.data) + 1
        keys = miner.feed(block.data, block.offset, block.above)
        number = len(miner.blocks) - 1
        traces.feed(block.data, keys, number)
        if progress is not None and number % 64 == 63:
            progress(found.bytes, total)
    budget.lines += miner.lines
    traces.end()
    found.traces = _grouped(found, traces.found)
    return found


def _extend(found: Survey, first: float | None, last: float | None) -> None:
    for value in (first, last):
        if value is not None:
            found.first = value if found.first is None else min(found.first, value)
            found.last = value if found.last is None else max(found.last, value)


def _times(data: bytes, reader: TimeReader) -> tuple[float | None, float | None]:
    first = last = None
    at = 0
    for _ in range(64):
        end = data.find(b"\n", at)
        first = reader.read(data[at : end if end >= 0 else len(data)])
        if first is not None or end < 0:
            break
        at = end + 1
    stop = len(data)
    for _ in range(64):
        begin = data.rfind(b"\n", 0, stop)
        last = reader.read(data[begin + 1 : stop])
        if last is not None or begin < 0:
            break
        stop = begin
    return first, last


class _Traces:
    """Collects runs of continued lines with the line above each, told apart by their digit-free keys.

    A run may go on in the next block of the same part.
    """

    def __init__(self, miner: Miner) -> None:
        self.found: dict[tuple[int, bytes], list[Any]] = {}
        self._miner = miner
        self._head = -1  # entry of the line above the run
        self._keys: list[bytes] = []
        self._raw: list[bytes] = []  # the line above, then the run
        self._number = 0

    def feed(self, block: bytes, keys: list[bytes], number: int) -> None:
        if not self._miner.continued(number):
            self._last_of(block, keys, number)
            return
        entries = self._miner.entries
        lines = block.split(b"\n")
        for entry, key, line in zip(self._miner.assign(block, keys), keys, lines, strict=True):
            if entries[entry].continuation:
                if len(self._keys) < _TRACE_LINES:
                    self._keys.append(key)
                    self._raw.append(line[:_TRACE_LINE])
            else:
                self._begin(entry, line, number)

    def end(self) -> None:
        """Count the run that is open."""
        if self._keys:
            known = self.found.get((self._head, b"\n".join(self._keys)))
            if known is not None:
                known[0] += 1
            elif len(self.found) < MAX_TRACES:
                self.found[self._head, b"\n".join(self._keys)] = [1, b"\n".join(self._raw), self._number]
        self._head, self._keys, self._raw = -1, [], []

    def _begin(self, head: int, line: bytes, number: int) -> None:
        if self._keys:
            self.end()
        self._head, self._keys, self._raw, self._number = head, [], [line[:_TRACE_LINE]], number

    def _last_of(self, block: bytes, keys: list[bytes], number: int) -> None:
        """No line of this block continues another; its last one may be continued in the next."""
        line = block[block.rfind(b"\n") + 1 :]
        self._begin(self._miner.assign(line, keys[-1:])[0], line, number)


def _grouped(found: Survey, traces: dict[tuple[int, bytes], list[Any]]) -> list[Trace]:
    """Traces with the same exception and the same frames are one, whatever numbers they carry."""
    groups: dict[tuple[Any, ...], Trace] = {}
    for (head, _), (count, raw, number) in traces.items():
        lines = found.safe.lines(raw)
        body = lines[1:] if head >= 0 else lines
        named = [line for line in lines if raises(line)]
        frames = tuple(group_key(mask(line)) for line in body if line.strip())[:12]
        entry = found.miner.entries[head].key if head >= 0 else ""
        cause = group_key(mask(dissect(named[-1]).message)) if named else ""
        identity = (entry, cause, frames)
        known = groups.get(identity)
        if known is None:
            groups[identity] = Trace(head, count, lines, number)
        else:
            known.count += count
    return sorted(groups.values(), key=lambda trace: -trace.count)
