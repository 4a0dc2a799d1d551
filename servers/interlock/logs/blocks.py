"""Reads bytes as blocks of whole lines, forwards or backwards, in constant memory whatever the bytes are.

Plain files by position, compressed ones as a stream with a budget. A line longer than LINE_CAP keeps its head; the
rest is skipped and counted. Not for text: what comes out is raw and must be redacted before it is selected from.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

from interlock.guard.errors import Failed

BLOCK: Final = 1 << 20
ABOVE: Final = 16 << 10  # bytes above a block that go with it
LINE_CAP: Final = 64 << 10  # bytes of one line that are looked at
MAX_BACKWARD: Final = 512 << 20  # bytes of one line that are skipped when reading from the end
MAX_UNPACKED: Final = 16 << 30


@dataclass(slots=True)
class Budget:
    """What one call may cost, and what it has cost so far. Said in every answer."""

    seconds: float = 25.0
    max_bytes: int = 1 << 62
    cancelled: Callable[[], bool] = lambda: False
    scanned: int = 0  # bytes, unpacked
    lines: int = 0
    cut_lines: int = 0  # lines longer than LINE_CAP
    cut_bytes: int = 0
    stopped: str = ""  # why reading ended early; empty: it did not
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def spent(self) -> bool:
        """True once reading must stop; `stopped` says why."""
        if not self.stopped:
            if self.cancelled():
                self.stopped = "cancelled"
            elif self.scanned >= self.max_bytes:
                self.stopped = f"stopped after {self.scanned:,} bytes"
            elif time.monotonic() - self.started > self.seconds:
                self.stopped = f"stopped after {self.seconds:.0f} s"
        return bool(self.stopped)

    def note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 6:
            self.notes.append(text)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, joined by LF, without the last one's LF. `end` is where reading goes on after it.

    `above`: what stands before it (at most ABOVE bytes), so that a secret is seen that began there.
    """

    offset: int
    data: bytes
    end: int
    above: bytes = b""


def forward(
    read: Callable[[int], bytes],
    offset: int,
    budget: Budget,
    size: int = BLOCK,
    end: int | None = None,
    above: bytes = b"",
) -> Iterator[Block]:
    """Blocks with what stands above each; see `_forward`. `above`: what stands before `offset`."""
    for block in _forward(read, offset, budget, size, end):
        yield replace(block, above=above)
        above = joined(above, block.data)


def joined(above: bytes, data: bytes) -> bytes:
    """The last ABOVE bytes of lines and further lines."""
    if len(data) >= ABOVE:
        return data[-ABOVE:]
    return (above + b"\n" + data)[-ABOVE:] if above else data


def _forward(read: Callable[[int], bytes], offset: int, budget: Budget, size: int, end: int | None) -> Iterator[Block]:
    """Blocks from `read(n)` (a stream, or a file at `offset`, which must be the start of a line) up to `end`.

    `end` is a start of a line, or None for all there is. The last line needs no LF.
    """
    carry = b""
    position = offset  # of the carry's first byte
    skipping = 0  # bytes skipped of a line that is too long
    while not budget.spent():
        wanted = size if end is None else min(size, end - position - len(carry) - skipping)
        data = read(wanted) if wanted > 0 else b""
        budget.scanned += len(data)
        if not data:
            if carry or skipping:
                yield _last(carry, position, skipping, budget)
            return
        if skipping:
            at = data.find(b"\n")
            if at < 0:
                skipping += len(data)
                continue
            skipping += at
            budget.cut_lines += 1
            budget.cut_bytes += skipping
            yield Block(position, carry, position + len(carry) + skipping + 1)
            position += len(carry) + skipping + 1
            carry, skipping, data = b"", 0, data[at + 1 :]
        last = data.rfind(b"\n")
        if last < 0:
            carry += data
            if len(carry) > LINE_CAP:
                skipping = len(carry) - LINE_CAP
                carry = carry[:LINE_CAP]
            continue
        whole = carry + data[:last] if carry else data[:last]
        if end is not None and position + len(whole) + 1 >= end:
            end = position + len(whole) + 1
        yield Block(position, _capped(whole, budget), position + len(whole) + 1)
        position += len(whole) + 1
        carry = data[last + 1 :]
        if len(carry) > LINE_CAP:
            skipping = len(carry) - LINE_CAP
            carry = carry[:LINE_CAP]


def _last(carry: bytes, position: int, skipping: int, budget: Budget) -> Block:
    if skipping:
        budget.cut_lines += 1
        budget.cut_bytes += skipping
    return Block(position, carry, position + len(carry) + skipping)


def _capped(data: bytes, budget: Budget) -> bytes:
    """Cut over-long lines within a block. Cheap for blocks without any."""
    if len(data) <= LINE_CAP:
        return data
    at = 0
    while at + LINE_CAP < len(data):  # jump from LF to LF: any line over the cap is found
        last = data.rfind(b"\n", at, at + LINE_CAP + 1)
        if last < 0:
            break
        at = last + 1
    else:
        return data
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        if len(line) > LINE_CAP:
            budget.cut_lines += 1
            budget.cut_bytes += len(line) - LINE_CAP
            lines[number] = line[:LINE_CAP]
    return b"\n".join(lines)


def backward(fd: int, end: int, budget: Budget, size: int = 64 << 10, start: int = 0) -> Iterator[Block]:
    """Blocks from `end` (a start of a line, or the file's end) back to `start`, last block first."""
    tail = b""  # the head of the following lines, still without its own head
    cut = 0
    position = end
    while position > start and not budget.spent():
        step = min(size, position - start)
        data = os.pread(fd, step, position - step)
        if len(data) < step:  # the file was cut meanwhile
            budget.note("the file shrank while it was read")
            return
        position -= step
        budget.scanned += len(data)
        if position > start:
            first = data.find(b"\n")
            if first < 0:
                tail = data + tail
                if len(tail) > LINE_CAP:
                    cut += len(tail) - LINE_CAP
                    tail = tail[:LINE_CAP]
                if cut > MAX_BACKWARD:
                    budget.note(f"a line of more than {MAX_BACKWARD >> 20} MiB stands at the end: read no further back")
                    return
                continue
            head, data = data[: first + 1], data[first + 1 :]
        else:
            head = b""
        whole = data + tail
        if cut:
            budget.cut_lines += 1
            budget.cut_bytes += cut
        ends = position + len(head) + len(whole) + cut
        if whole.endswith(b"\n"):
            whole = whole[:-1]
        if data or tail:
            known = budget.cut_lines
            capped = _capped(whole, budget)
            if cut and budget.cut_lines > known:
                budget.cut_lines -= 1  # the same line, counted above
            yield Block(position + len(head), capped, ends, lines_above(fd, position + len(head)))
        tail, cut = head, 0
        size = min(BLOCK, size * 2)


def lines_above(fd: int, offset: int) -> bytes:
    """What stands in a file before a start of a line, at most ABOVE bytes, without its last LF."""
    low = max(0, offset - ABOVE)
    return os.pread(fd, offset - low, low).removesuffix(b"\n") if offset else b""


def file_reader(fd: int, offset: int) -> Callable[[int], bytes]:
    """`read(n)` over a file from `offset`, by position: no shared file pointer, and a cut file just ends."""
    position = offset

    def read(count: int) -> bytes:
        nonlocal position
        data = os.pread(fd, count, position)
        position += len(data)
        return data

    return read


def packing_of(name: str, head: bytes) -> str:
    """How a file is packed, by its first bytes, whatever its name says: "", gz, xz, zst, bz2."""
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zst"
    if head.startswith(b"BZh"):
        return "bz2"
    if name.endswith((".gz", ".xz", ".zst", ".bz2")) and head:
        return "broken"
    return ""


def unpacked(fd: int, packing: str, budget: Budget) -> Callable[[int], bytes]:
    """`read(n)` of a packed file's text: at most n bytes at a time, whatever a bomb promises.

    Damaged data ends the stream with a note; raises Failed for a packing that this installation cannot read.
    """
    if packing == "broken":
        budget.note("a packed file is damaged or not what its name says: skipped")
        return lambda count: b""
    source = file_reader(fd, 0)
    take = _zstandard(source) if packing == "zst" else partial(_Unpacker(packing).take, source)
    state = {"out": 0, "ended": False}

    def read(count: int) -> bytes:
        if state["ended"]:
            return b""
        try:
            data = take(count)
        except (zlib.error, EOFError, ValueError, OSError) as error:
            data = b""
            budget.note(f"a packed file is damaged ({type(error).__name__}): read up to there")
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("lzma", "_lzma", "zstandard", "compression"):
                raise
            data = b""
            budget.note("a packed file is damaged: read up to there")
        state["out"] += len(data)
        if not data:
            state["ended"] = True
        elif state["out"] > MAX_UNPACKED:
            budget.note("a packed file unpacks to more than 16 GiB: read up to there")
            state["ended"] = True
        return data

    return read


def _zstandard(source: Callable[[int], bytes]) -> Callable[[int], bytes]:
    import zstandard

    # A window above 128 MiB would cost as much memory: the library refuses such files.
    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    stream = unpacker.stream_reader(cast(Any, _Stream(source)), read_size=64 << 10, read_across_frames=True)
    return stream.read


class _Stream:
    """A `read` as the object that libraries want."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        return self._source(size if size > 0 else 64 << 10)


class _Unpacker:
    """One interface over zlib, lzma and bz2: bounded output, several members in a row."""

    def __init__(self, packing: str) -> None:
        self._make = _maker(packing)
        self._zlib = packing == "gz"
        self._engine: Any = self._make()
        self._pending = b""
        self._finished = False

    def take(self, source: Callable[[int], bytes], count: int) -> bytes:
        """Up to `count` bytes; empty at the end."""
        while not self._finished:
            if self._engine.eof:
                rest = self._engine.unused_data or self._pending
                rest = rest.lstrip(b"\0")
                if not rest:
                    rest = source(64 << 10).lstrip(b"\0")
                if not rest:
                    self._finished = True
                    break
                self._engine = self._make()
                self._pending = rest
            needs = not self._pending and getattr(self._engine, "needs_input", True)
            if needs:
                self._pending = source(64 << 10)
                if not self._pending:
                    self._finished = True
                    if not self._engine.eof:
                        raise EOFError("ends in the middle")
                    break
            data = self._engine.decompress(self._pending, count)
            self._pending = self._engine.unconsumed_tail if self._zlib else b""
            if data:
                return bytes(data)
        return b""


def _maker(packing: str) -> Callable[[], Any]:
    if packing == "gz":
        return lambda: zlib.decompressobj(16 + zlib.MAX_WBITS)
    if packing == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(memlimit=256 << 20)
    if packing == "bz2":
        import bz2

        return bz2.BZ2Decompressor
    raise Failed(f"this installation cannot read {packing} files")
