"""ripgrep as a finder of candidates: how it is asked, where it says that lines match, and those lines themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from .blocks import LINE_CAP
from .safe import CONTEXT, context_above
from .seeking import line_start

# Without the file mapped into memory, without a configuration, within bounds of memory for any pattern.
OPTIONS: Final = (
    *("--no-config", "--no-mmap", "--text", "--encoding=none", "--byte-offset", "--no-line-number", "--no-filename"),
    *("--color=never", "--max-columns=1", "--threads=1", "--regex-size-limit=10M", "--dfa-size-limit=10M"),
)


def offsets(process: Any, start: int) -> Iterator[int]:
    """Where the lines that it finds begin, in the file that it reads from `start`."""
    rest = b""
    while data := process.read():
        rows = (rest + data).split(b"\n")
        rest = rows.pop()
        for row in rows:
            digits = row.partition(b":")[0]
            if digits.isdigit():
                yield start + int(digits)


class Lines:
    """Reads lines at growing offsets of a file through one buffer."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._base = 0
        self._data = b""

    def line(self, offset: int) -> tuple[bytes, bytes]:
        """The line at an offset, and the whole lines above it within CONTEXT."""
        low = max(0, offset - CONTEXT)
        end = -1
        if self._base <= low and offset < self._base + len(self._data):
            end = self._data.find(b"\n", offset - self._base)
        if end < 0:
            self._base, self._data = low, os.pread(self._fd, CONTEXT + LINE_CAP, low)
            end = self._data.find(b"\n", offset - low)
        at = offset - self._base
        return self._data[at : end if end >= 0 else at + LINE_CAP], context_above(self._data, at)

    def above(self, offset: int, count: int) -> bytes:
        low = line_start(self._fd, max(0, offset - count))
        return os.pread(self._fd, offset - low, low).removesuffix(b"\n")

    def around(self, offset: int, reach: int) -> tuple[int, bytes]:
        """Whole lines around an offset."""
        low = line_start(self._fd, max(0, offset - reach))
        data = os.pread(self._fd, offset - low + reach + LINE_CAP, low)
        end = data.rfind(b"\n")
        return low, data[:end] if end > offset - low else data
