"""stdin and stdout as lines, on the event loop: bounded, without a thread per line, and gone at once on a signal.

The SDK's own reader takes a line of any length and blocks in a thread until the client speaks. What is neither a
pipe nor a socket (a terminal, a file) is left to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE = 8 << 20  # bytes of one message; a longer one is dropped whole, and the next is read
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Incoming:
    """Lines of a pipe. What is not UTF-8 is read with replacement characters, and then no valid message."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> AsyncIterator[str]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                if not await self._drop_line():
                    return
                line = b"too long"
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    yield unambiguous(rest.partial.decode("utf-8", "replace"))
                return
            yield unambiguous(line.decode("utf-8", "replace"))

    async def _drop_line(self) -> bool:
        """Read on to the end of a line that is too long, keeping nothing. False at the end of input."""
        while True:
            try:
                await self._reader.readuntil(b"\n")
                return True
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(max(1, error.consumed))
            except asyncio.IncompleteReadError:
                return False


class _Twice(Exception):
    """A key stands twice in one object: which of the two is meant depends on who reads it."""


def unambiguous(line: str) -> str:
    """The line as it is. Where it can be read in two ways, only what it takes to refuse it: its id, and no method.

    A key twice in one object, however it is escaped; in the message and its params, also in another case. What is
    no JSON is left to the parser.
    """
    try:
        read = json.loads(line, object_pairs_hook=_once)
        if isinstance(read, dict):
            _once_in_any_case(read)
            _once_in_any_case(read.get("params"))
    except _Twice:
        last = json.loads(line)
        return json.dumps({"jsonrpc": "2.0", "id": last["id"]}) if isinstance(last, dict) and "id" in last else ""
    except (ValueError, RecursionError):
        pass
    return line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _once_in_any_case(keys: Any) -> None:
    if isinstance(keys, dict) and len({str(key).casefold() for key in keys}) != len(keys):
        raise _Twice


class Outgoing:
    """A pipe to write whole messages to; waits when the client reads slowly."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, text: str) -> int:
        self._writer.write(text.encode("utf-8", "replace"))
        return len(text)

    async def flush(self) -> None:
        await self._writer.drain()


async def claim() -> tuple[Incoming, Outgoing] | None:
    """Take stdin and stdout for the protocol alone: from now on fd 0 reads nothing and fd 1 is stderr.

    None when they are not two pipes of their own.
    """
    if not (_is_pipe(_STDIN) and _is_pipe(_STDOUT)) or _same(_STDOUT, _STDERR):
        return None
    incoming, outgoing = _move(_STDIN), _move(_STDOUT)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    os.dup2(_STDERR, _STDOUT)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(incoming, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(outgoing, "wb", 0))
    return Incoming(reader), Outgoing(asyncio.StreamWriter(transport, protocol, None, loop))


def _move(fd: int) -> int:
    """A duplicate out of the standard range that no child inherits."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _is_pipe(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False
