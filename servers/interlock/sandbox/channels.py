"""The two ways in which a sandbox's streams reach us: three pipes, or one connection to Docker that carries all."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
from collections.abc import Iterator
from typing import Protocol, Self

STDOUT, STDERR = 1, 2
_CHUNK = 262_144
_HEADER = struct.Struct(">BxxxL")  # Docker's: stream, three zero bytes, length


class Channel(Protocol):
    """Non-blocking streams of one sandbox, for one thread. Closing it is the caller's last act."""

    def ready(self, timeout: float, feeding: bool) -> Iterator[tuple[int, bytes] | None]:
        """Wait at most `timeout` s. Yields None when input may be written (only if `feeding`), and
        (stream, data) for what came, data b"" at a stream's end."""
        ...

    def write(self, data: memoryview) -> int:
        """Bytes taken, 0 if it must wait, -1 when nobody reads any more."""
        ...

    def end_input(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *problem: object) -> None: ...


class Pipes:
    """stdin, stdout and stderr as pipes of their own."""

    def __init__(self, stdin: int, stdout: int, stderr: int) -> None:
        self._stdin = stdin
        self._streams = {stdout: STDOUT, stderr: STDERR}
        self._poll = selectors.DefaultSelector()
        self._poll.register(stdin, selectors.EVENT_WRITE)
        for descriptor in self._streams:
            self._poll.register(descriptor, selectors.EVENT_READ)

    def ready(self, timeout: float, feeding: bool) -> Iterator[tuple[int, bytes] | None]:
        for key, _ in self._poll.select(timeout):
            if key.fd == self._stdin:
                yield None
            else:
                try:
                    data = os.read(key.fd, _CHUNK)
                except BlockingIOError:
                    continue
                if not data:
                    self._poll.unregister(key.fd)
                yield self._streams[key.fd], data

    def write(self, data: memoryview) -> int:
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def end_input(self) -> None:
        if self._stdin >= 0:
            self._poll.unregister(self._stdin)
            os.close(self._stdin)
            self._stdin = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.end_input()
        self._poll.close()
        for descriptor in self._streams:
            os.close(descriptor)


class Attached:
    """A connection that is attached to a container: input raw, output in frames that name their stream."""

    def __init__(self, connection: int) -> None:
        self._socket = socket.socket(fileno=connection)
        self._poll = selectors.DefaultSelector()
        self._poll.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        self._buffer = bytearray()
        self._feeding = True

    def ready(self, timeout: float, feeding: bool) -> Iterator[tuple[int, bytes] | None]:
        if feeding != self._feeding and self._poll.get_map():
            self._feeding = feeding
            self._poll.modify(self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if feeding else 0))
        for _, events in self._poll.select(timeout):
            if events & selectors.EVENT_READ:
                yield from self._read()
            if events & selectors.EVENT_WRITE and feeding:
                yield None

    def _read(self) -> Iterator[tuple[int, bytes]]:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(self._socket)
            yield STDOUT, b""
            yield STDERR, b""
            return
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._buffer, at)
            if len(self._buffer) - at - _HEADER.size < length:
                break
            start = at + _HEADER.size
            if length:
                yield (STDERR if stream == STDERR else STDOUT), bytes(self._buffer[start : start + length])
            at = start + length
        del self._buffer[:at]

    def write(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._poll.close()
        self._socket.close()
