"""Finds where a time is in a file without reading the file: bisection, with allowance for lines out of order.

Around 64 places are looked at first. If times only grow but for small steps back, the window's edges are widened by
the largest such step and lines there are judged one by one; a file in no order is read whole and judged line by line.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Final

from .timestamps import TimeReader

PROBES: Final = 48
_CHUNK: Final = 8_192
_FAR: Final = 256 << 10  # how far to look for a line with a time


@dataclass(frozen=True, slots=True)
class Shape:
    """What probing a file told."""

    first: float | None
    last: float | None
    slack: float  # the largest step back seen, seconds
    ordered: bool  # bisection is sound


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes to read. Between `sure_start` and `sure_end` every line is in the window; outside, ask its time."""

    start: int
    end: int
    sure_start: int
    sure_end: int
    note: str = ""


def probe(fd: int, size: int, reader: TimeReader) -> Shape:
    """Look at places all over the file. Milliseconds."""
    firsts: list[float] = []
    slack = 0.0
    steps = max(1, min(PROBES, size // _CHUNK))
    for number in range(steps):
        at = number * size // steps
        times = _times(fd, at, reader)
        for before, after in itertools.pairwise(times):
            slack = max(slack, before - after)
        if times:
            firsts.append(times[0])
    last = _last_time(fd, size, reader)
    if last is not None:
        firsts.append(last)
    back = 0.0
    highest = float("-inf")
    for value in firsts:
        highest = max(highest, value)
        back = max(back, highest - value)
    slack = max(slack, back)
    span = (max(firsts) - min(firsts)) if firsts else 0.0
    ordered = bool(firsts) and (slack <= 5 or slack * 8 <= span)
    return Shape(firsts[0] if firsts else None, last, slack, ordered)


def window(fd: int, size: int, reader: TimeReader, since: float | None, until: float | None) -> Window:
    """Where the lines of [since, until] are. Whole lines; may hold some others near its edges."""
    if since is None and until is None:
        return Window(0, size, 0, size)
    shape = probe(fd, size, reader)
    if shape.first is None:
        return Window(0, size, size, size, "no line with a time was found: every line was looked at")
    if not shape.ordered:
        return Window(0, size, size, size, "times are in no order here: every line was looked at")
    slack = shape.slack * 2 + 2.0
    start = sure_start = 0
    end = sure_end = size
    if since is not None:
        start = _bisect(fd, size, reader, since - slack)
        sure_start = _bisect(fd, size, reader, since + slack)
    if until is not None:
        sure_end = _bisect(fd, size, reader, until - slack)
        end = _bisect(fd, size, reader, until + slack)
    if sure_end < sure_start:
        sure_start = sure_end = end
    return Window(start, max(start, end), sure_start, sure_end)


def _bisect(fd: int, size: int, reader: TimeReader, wanted: float) -> int:
    """The start of the first line, by bisection, whose time is at least `wanted`; `size` where there is none."""
    low, high = 0, size
    while high - low > _CHUNK:
        middle = (low + high) // 2
        found = _line_with_time(fd, middle, high, reader)
        if found is None:
            high = middle
        elif found[1] < wanted:
            low = found[0]
        else:
            high = middle
    # the last stretch line by line, from a start of a line
    at = line_start(fd, low)
    position = at
    while position < size:
        data = os.pread(fd, _FAR, position)
        if not data:
            return size
        lines = data.split(b"\n")
        for line in lines[:-1] if position + len(data) < size else lines:
            value = reader.read(line)
            if value is not None and value >= wanted:
                return min(position, size)
            position += len(line) + 1
        if len(lines) == 1:
            position += len(data)
        if position > high + _FAR:
            break
    return min(position, size)


def _line_with_time(fd: int, at: int, limit: int, reader: TimeReader) -> tuple[int, float] | None:
    """The first line that starts at or after `at`, before `limit`, and has a time."""
    position = at
    skip = at > 0
    while position < min(limit, at + _FAR):
        data = os.pread(fd, _CHUNK, position)
        if not data:
            return None
        begin = 0
        if skip:
            begin = data.find(b"\n") + 1
            if begin == 0:
                position += len(data)
                continue
            skip = False
        while begin < len(data):
            end = data.find(b"\n", begin)
            line = data[begin:end] if end >= 0 else data[begin:]
            if end < 0 and len(line) < 128 and position + len(data) < limit:
                break  # cut short: read on from here
            value = reader.read(line)
            if value is not None:
                return position + begin, value
            if end < 0:
                skip = True
                begin = len(data)
                break
            begin = end + 1
        if begin == 0:
            return None
        position += begin
    return None


def _times(fd: int, at: int, reader: TimeReader) -> list[float]:
    data = os.pread(fd, _CHUNK, at)
    lines = data.split(b"\n")[1 if at else 0 : -1] or [data]
    found = (reader.read(line) for line in lines[:40])
    return [value for value in found if value is not None]


def _last_time(fd: int, size: int, reader: TimeReader) -> float | None:
    for reach in (_CHUNK, _FAR):
        data = os.pread(fd, reach, max(0, size - reach))
        for line in reversed(data.split(b"\n")[1 if size > reach else 0 :]):
            value = reader.read(line)
            if value is not None:
                return value
    return None


def line_start(fd: int, at: int) -> int:
    """The start of the line that holds this offset."""
    while at > 0:
        step = min(at, 64 << 10)
        data = os.pread(fd, step, at - step)
        found = data.rfind(b"\n")
        if found >= 0:
            return at - step + found + 1
        at -= step
    return 0
