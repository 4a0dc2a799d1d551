"""Mines templates from blocks of lines at hundreds of thousands of lines a second, in bounded memory.

Three tiers, so that almost no line is looked at by itself: (1) a block without its digits, split and counted in
C, is a bag of cache keys - time stamps, ports and ids vanish; (2) keys that miss lose hexadecimal runs and paths
and are looked up again; (3) one example of what still misses is redacted, taken apart and masked. Templates that
differ in values only are merged at the end.

Redaction stands before everything that is kept: examples, templates and samples are made of redacted text, and
raw keys never leave the cache. Counts are by template, hence a function of the redacted text.
"""

from __future__ import annotations

import hashlib
import random
import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .blocks import ABOVE
from .dissect import continues, dissect
from .masking import collapse, group_key, mask
from .merging import merge
from .safe import CONTEXT, Safe, context_above, spans_lines

DIGITS: Final = b"0123456789"
# Both are shaped for speed: a bare class, and a literal first byte with the look-behind after it.
_HEX: Final = re.compile(rb"[0-9a-fA-F]{6,}")
_PATH: Final = re.compile(rb"/(?<![\w.<>)/:$]/)[\w.@%+~:$#=*-]+/[\w./@%+~:$#=*?&,;-]+")
MAX_KEYS: Final = 60_000  # per cache; a full cache is forgotten and learnt anew
MAX_ENTRIES: Final = 40_000  # what does not fit is counted under OTHER
MAX_LINE: Final = 16_384  # bytes of a line that enter its template
MAX_EXAMPLE: Final = 2_000  # characters of a line kept as an example
SAMPLES: Final = 24  # lines kept of an entry, for the values in its slots
CONTINUATION: Final = "(lines of the event above: stack traces and the like)"
OTHER: Final = "(other templates, not told apart)"
EMPTY: Final = "(empty line)"
BINARY: Final = "(binary line)"
NO_TEMPLATE: Final = frozenset((CONTINUATION, OTHER, EMPTY, BINARY))


@dataclass(slots=True)
class Entry:
    """Lines of one template, level and service."""

    key: str
    masked: str
    level: str
    service: str
    first: int  # offset of the first line seen
    example: str  # the first line, redacted, cut at MAX_EXAMPLE
    count: int = 0
    blocks: array[int] = field(default_factory=lambda: array("I"))  # block number, count, block number, ...
    samples: list[tuple[int, bytes, bytes]] = field(
        default_factory=list
    )  # offset, raw context above, raw line: for `sampled`
    seen: int = 0  # samples offered so far
    continuation: bool = False


@dataclass(slots=True)
class Template:
    """A template over all its levels and services."""

    id: str  # 6 hex digits of a hash of the text: the same in every call and file
    text: str  # typed slots, of the entry with most lines
    key: str
    count: int = 0
    entries: list[int] = field(default_factory=list)

    def sort_key(self) -> tuple[int, str]:
        return (-self.count, self.key)


class Miner:
    """Feed it blocks of whole lines in order; then ask for `templates()`. Not thread-safe."""

    def __init__(
        self,
        safe: Safe | None,
        *,
        sample: int = 32,
        keep: int = SAMPLES,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`safe` None: nothing is redacted; for a person's own files on the command line only.

        `sample`: lines looked at per block for the values in slots; 0 for none. `keep`: of each entry.
        `stop`: asked now and then; once true, lines of unknown shape are counted under OTHER.
        """
        self.entries: list[Entry] = []
        self.lines = 0
        self.blocks: list[tuple[int, int]] = []  # offset and lines of each block
        self.alone = False  # no line belongs to the one above
        self.timed: bool | None = None  # lines carry times: what has none belongs to the event above
        self._safe = safe
        self._above = b""  # the last bytes of the block before, whole lines
        self._sample = sample
        self._keep = keep
        self._stop = stop
        self._stopped = False
        self._entered = 0
        self._random = random.Random(1)
        self._first: dict[bytes, int] = {}
        self._second: dict[bytes, int] = {}
        self._once: set[bytes] = set()
        self._known: dict[tuple[str, str, str], int] = {}

    def feed(self, block: bytes, offset: int, above: bytes | None = None) -> list[bytes]:
        """Count a block of whole lines (no final newline). Returns its cache keys, one per line, for `assign`.

        `above`: what stands before it; by default the end of the block that was fed last.
        """
        if above is not None:
            self._above = above
        if self._safe is not None and (spans_lines(block) or spans_lines(self._above)):
            raw = block
            block = self._safe.block(block, self._above)
        else:
            raw = block
        keys = block.translate(None, DIGITS).split(b"\n")
        counts = Counter(keys)
        number = len(self.blocks)
        self.blocks.append((offset, len(keys)))
        self.lines += len(keys)
        first = self._first
        if len(first) > MAX_KEYS:
            first.clear()
        here: dict[int, int] = {}
        missing = 0
        for key, count in counts.items():
            entry = first.get(key)
            if entry is None:
                missing += 1
            else:
                here[entry] = here.get(entry, 0) + count
        if missing:
            self._learn(block, keys, offset, here)
        for entry, count in here.items():
            record = self.entries[entry]
            record.count += count
            record.blocks.append(number)
            record.blocks.append(count)
        if self._sample:
            self._take_samples(block, len(keys), offset)
        self._above = raw[-ABOVE:]
        return keys

    def assign(self, block: bytes, keys: list[bytes]) -> list[int]:
        """The entry of each line of a block that was just fed."""
        found = [self._first.get(key, -1) for key in keys]
        if -1 in found:
            lines = block.split(b"\n")
            for at, entry in enumerate(found):
                if entry < 0:
                    found[at] = self._second.get(_second_key(lines[at]), 0)
        return found

    def sample_all(self) -> None:
        """Look at every line for samples: for small inputs."""
        self._sample = 1 << 20

    def continued(self, number: int) -> bool:
        """Did the block of this number hold lines that continue the event above them?"""
        entry = self._known.get((CONTINUATION, "", ""))
        if entry is None:
            return False
        blocks = self.entries[entry].blocks
        return len(blocks) > 0 and blocks[-2] == number

    def add(self, other: Entry) -> None:
        """Take over what another miner counted."""
        identity = (other.key, other.level, other.service)
        entry = self._known.get(identity)
        if entry is None:
            self._known[identity] = len(self.entries)
            self.entries.append(other)
        else:
            self.entries[entry].count += other.count

    # ---------------------------------------------------------------- learning

    def _learn(self, block: bytes, keys: list[bytes], offset: int, here: dict[int, int]) -> None:
        first, second, once = self._first, self._second, self._once
        for cache in (second, once):
            if len(cache) > MAX_KEYS:
                cache.clear()
        known = first.keys()
        at = [i for i, key in enumerate(keys) if key not in known]
        lines = block.split(b"\n")
        misses = [lines[i] if len(lines[i]) <= MAX_LINE else lines[i][:MAX_LINE] for i in at]
        reduced = _HEX.sub(b"", b"\n".join(misses)).translate(None, DIGITS).split(b"\n")
        for i, line, key in zip(at, misses, reduced, strict=True):
            raw_key = keys[i]
            entry = first.get(raw_key)  # learnt some lines above
            if entry is None:
                entry = second.get(key)
                if entry is None:
                    entry = self._by_path(line, key, lines, i, offset)
                    second[key] = entry
                # A key that comes twice will come again; ids in hexadecimal never do and would flood tier one.
                if key == raw_key or raw_key in once:
                    first[raw_key] = entry
                else:
                    once.add(raw_key)
            here[entry] = here.get(entry, 0) + 1

    def _by_path(self, line: bytes, key: bytes, lines: list[bytes], at: int, offset: int) -> int:
        """The entry of a line that only its paths may tell from known ones; a new one else."""
        bare = b"\0" + _PATH.sub(b"/", key) if b"/" in key else key
        entry = self._second.get(bare)
        if entry is None:
            before = lines[max(0, at - 2) : at] if at >= 2 else [self._above[-CONTEXT:], *lines[:at]]
            entry = self._enter(line, b"\n".join(before)[-CONTEXT:], offset + sum(map(len, lines[:at])) + at)
            self._second[bare] = entry
        return entry

    def _enter(self, raw: bytes, before: bytes, offset: int) -> int:
        self._entered += 1
        if self._entered % 64 == 0 and self._stop():
            self._stopped = True
        if self._stopped:
            return self._plain(OTHER, offset)
        if is_binary(raw):
            return self._plain(BINARY, offset)
        text = self._redacted(raw, before)
        line = dissect(text)
        if self.timed is None:
            self.timed = line.start != 0
        masked = ""
        if not text.strip() and (self.alone or not self.timed):
            identity = (EMPTY, "", "")
        elif not self.alone and line.start == 0 and (self.timed or continues(text)):
            identity = (CONTINUATION, "", "")
        else:
            masked = mask(line.message)
            identity = (group_key(masked), line.level, line.service)
        entry = self._known.get(identity)
        if entry is None:
            if len(self.entries) >= MAX_ENTRIES:
                return self._plain(OTHER, offset)
            entry = self._known[identity] = len(self.entries)
            shown = masked or identity[0]
            self.entries.append(
                Entry(
                    identity[0],
                    shown,
                    identity[1],
                    identity[2],
                    offset,
                    text[:MAX_EXAMPLE],
                    continuation=identity[0] == CONTINUATION,
                )
            )
        return entry

    def _plain(self, key: str, offset: int) -> int:
        """The entry of lines that are counted only."""
        entry = self._known.get((key, "", ""))
        if entry is None:
            entry = self._known[key, "", ""] = len(self.entries)
            self.entries.append(Entry(key, key, "", "", offset, ""))
        return entry

    def _take_samples(self, block: bytes, lines: int, offset: int) -> None:
        """Keep some lines of each entry: all offered ones at first, then by chance, evenly over the file."""
        for start in _spread(block, lines, self._sample):
            end = block.find(b"\n", start)
            line = block[start:] if end < 0 else block[start:end]
            if len(line) > 2_000:
                continue
            number = self._first.get(line.translate(None, DIGITS))
            if number is None:
                number = self._second.get(_second_key(line))
            if number is None:
                continue
            entry = self.entries[number]
            entry.seen += 1
            at = len(entry.samples) if len(entry.samples) < self._keep else self._random.randrange(entry.seen)
            if at < self._keep:
                entry.samples[at : at + 1] = [(offset + start, context_above(block, start), line)]

    def sampled(self, entry: Entry) -> list[str]:
        """Lines of an entry, redacted, in their order, from all over what was fed."""
        return [self._redacted(line, before) for _, before, line in sorted(entry.samples)]

    def _redacted(self, raw: bytes, before: bytes) -> str:
        if self._safe is None:
            return raw.decode("utf-8", "backslashreplace").rstrip("\r")
        return self._safe.line(raw, before)

    # ---------------------------------------------------------------- results

    def templates(self) -> list[Template]:
        """All templates, most frequent first. Their counts add up to `lines`."""
        merged = merge(sorted({entry.key for entry in self.entries}))
        found: dict[str, Template] = {}
        best: dict[str, int] = {}
        for number, entry in enumerate(self.entries):
            key = merged[entry.key]
            template = found.get(key)
            if template is None:
                template = found[key] = Template(template_id(key), entry.masked, key)
            template.count += entry.count
            template.entries.append(number)
            if entry.count > best.get(key, -1):
                best[key] = entry.count
                template.text = entry.masked if merged[entry.key] == entry.key else collapse(key)
        return sorted(found.values(), key=Template.sort_key)


def is_binary(raw: bytes) -> bool:
    """No text: NUL bytes, or more than a tenth of what it decodes to is not UTF-8."""
    if b"\0" in raw:
        return True
    if raw.isascii():
        return False
    text = raw[:2_000].decode("utf-8", "replace")
    return text.count("\ufffd") * 10 > len(text)


def template_id(key: str) -> str:
    """A short name of a template that stays the same over calls, files and machines."""
    return hashlib.blake2s(key.encode("utf-8", "replace"), digest_size=3).hexdigest()


def _second_key(line: bytes) -> bytes:
    return _HEX.sub(b"", line[:MAX_LINE]).translate(None, DIGITS)


def _spread(block: bytes, lines: int, count: int) -> list[int]:
    """Starts of up to `count` lines at even distances; of all lines where there are no more."""
    if lines <= count:
        count = lines
        starts, at = [0], block.find(b"\n")
        while at >= 0:
            starts.append(at + 1)
            at = block.find(b"\n", at + 1)
        return starts
    found = {block.find(b"\n", part * len(block) // count) + 1 for part in range(count)}
    return sorted(found)
