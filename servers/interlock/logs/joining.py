"""One log of several streams whose lines begin with the time that their runtime wrote: by time, or as they come.

Used by the server for pods and by `docker_logs` for containers. Not for files: their lines have no common time.
"""

from __future__ import annotations

import heapq
import queue
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from .blocks import LINE_CAP

_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |$)")
_AHEAD: Final = 1_000  # lines of all streams together that may wait for their reader


class Stream(Protocol):
    """Bytes that a program prints. `read` gives what there is (b"" at the end); `close` ends the program."""

    def read(self, count: int) -> bytes: ...

    def close(self) -> None: ...


class Stamped(NamedTuple):
    """A line with its LF, when it was written (ns since the epoch) and by whom. In order of time."""

    time: int
    name: str
    line: bytes


@lru_cache(maxsize=1_024)
def _second(text: bytes, zone: bytes) -> int:
    moment = datetime.fromisoformat((text + (b"+00:00" if zone == b"Z" else zone)).decode())
    return int(moment.astimezone(UTC).timestamp())


def stamp(line: bytes) -> int:
    """The time that a line begins with, in ns since the epoch; -1 where it begins with none."""
    found = _STAMP.match(line)
    if found is None:
        return -1
    try:
        second = _second(found[1], found[3])
    except (ValueError, OverflowError):  # the first and the last hours of the calendar have no UTC
        return -1
    return second * 1_000_000_000 + int((found[2] or b"").ljust(9, b"0"))


def shown(time: int) -> bytes:
    """A time as `stamp` reads it."""
    second, rest = divmod(time, 1_000_000_000)
    moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest:09d}Z".encode()


def stamped(name: str, stream: Stream) -> Iterator[Stamped]:
    """`TIME text` lines as `TIME NAME| text`, until the stream's end; one without a time goes with the one above."""
    rest, at, mark = b"", 0, name.encode("utf-8", "replace")
    try:
        while True:
            data = stream.read(64 << 10)
            rows = (rest + data).split(b"\n")
            rest = rows.pop()[:LINE_CAP]  # what goes beyond would be cut later anyway
            if not data and rest:
                rows.append(rest)
            for row in rows:
                time = stamp(row)
                if time < 0:
                    yield Stamped(at, name, row + b"\n")
                    continue
                at = max(at, time)
                yield Stamped(at, name, b"%s %s| %s\n" % (shown(time), mark, row.partition(b" ")[2]))
            if not data:
                return
    finally:
        stream.close()


def by_time(streams: Sequence[Iterator[Stamped]]) -> Iterator[Stamped]:
    """All lines in the order of their times. Streams that go on for ever would wait for each other here."""
    return heapq.merge(*streams)


def as_they_come(streams: Sequence[Iterator[Stamped]]) -> Iterator[Stamped]:
    """All lines in the order in which they come, a thread for each stream."""
    lines: queue.Queue[Stamped | None] = queue.Queue(_AHEAD)
    done = threading.Event()

    def hand_over(line: Stamped | None) -> bool:
        while not done.is_set():
            try:
                lines.put(line, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def pump(stream: Iterator[Stamped]) -> None:
        try:
            for line in stream:
                if not hand_over(line):
                    return
        finally:
            hand_over(None)

    for stream in streams:
        threading.Thread(target=pump, args=(stream,), daemon=True).start()
    left = len(streams)
    try:
        while left:
            line = lines.get()
            if line is None:
                left -= 1
            else:
                yield line
    finally:
        done.set()


class Joined:
    """A `Stream` of such lines."""

    def __init__(self, lines: Iterator[Stamped], close: Callable[[], None], *, eager: bool = False) -> None:
        """`eager`: give each line when it is there, rather than as much as was asked for."""
        self._lines = lines
        self._close = close
        self._eager = eager
        self._rest = b""

    def read(self, count: int) -> bytes:
        out, size = [self._rest], len(self._rest)
        while size < count:
            line = next(self._lines, None)
            if line is None:
                break
            out.append(line.line)
            size += len(line.line)
            if self._eager:
                break
        data = b"".join(out)
        self._rest = data[count:]
        return data[:count]

    def close(self) -> None:
        self._close()
