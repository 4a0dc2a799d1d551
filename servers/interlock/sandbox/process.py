"""A program that the broker has started: its streams, its end, and how to end it. For the server's side alone."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from interlock.guard.errors import Broken, Failed

from .packets import MESSAGE_MAX

PATIENCE = 30.0  # seconds for what the broker answers at once
_STDERR_MAX = 64_000  # bytes kept of what a program says on stderr; the rest is read and dropped
_TICK = 0.1  # seconds between two looks at `stop`
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `code` is negative for a signal; `truncated` when stdout was cut at `max_output`."""

    code: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    timed_out: bool = False
    stopped: bool = False  # `stop` said so, or `kill` was called


@dataclass(slots=True)
class Streams:
    """The descriptors of one program: our ends, -1 where there is none, and the ends that the broker gets.

    As a context it closes `theirs` at the end, and ours too unless they were kept.
    """

    stdout: int = -1
    stderr: int = -1
    feed: int = -1  # the program's stdin, where we write `data` to it
    data: bytes = b""
    theirs: dict[str, int] = field(default_factory=dict)
    _lent: set[int] = field(default_factory=set)  # the caller's own, not ours to close
    _kept: bool = False

    @classmethod
    def make(cls, stdin: bytes | int | None, stdout: int | None) -> Self:
        """Pipes, except where the caller gives a descriptor. Raises OSError."""
        streams = cls()
        try:
            streams._open(stdin, stdout)
        except BaseException:
            streams.close()
            raise
        return streams

    def _open(self, stdin: bytes | int | None, stdout: int | None) -> None:
        if stdout is None:
            self.stdout, self.theirs["stdout"] = os.pipe()
        else:
            self._lend("stdout", stdout)
        self.stderr, self.theirs["stderr"] = os.pipe()
        if isinstance(stdin, bytes):
            self.data = stdin
            self.theirs["stdin"], self.feed = os.pipe()
            os.set_blocking(self.feed, False)
        elif stdin is not None:
            self._lend("stdin", stdin)

    def _lend(self, name: str, descriptor: int) -> None:
        self.theirs[name] = descriptor
        self._lent.add(descriptor)

    def keep(self) -> Self:
        """Our ends are somebody's from now on."""
        self._kept = True
        return self

    def close(self) -> None:
        for descriptor in set(self.theirs.values()) - self._lent:
            os.close(descriptor)
        self.theirs.clear()
        if not self._kept:
            for descriptor in (self.stdout, self.stderr, self.feed):
                if descriptor >= 0:
                    os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


class Process:
    """A running program. For one thread at a time, but `kill` may come from any."""

    def __init__(self, control: socket.socket, streams: Streams, stop: Callable[[], bool] | None) -> None:
        self.pid = 0
        self.start_time = 0  # clock ticks after boot, as in /proc/PID/stat; 0 where unknown
        self.timed_out = False
        self.stopped = False
        self._control = control
        self._stdout, self._stderr, self._feed = streams.stdout, streams.stderr, streams.feed
        self._data = memoryview(streams.data)
        self._stop = stop
        self._said = bytearray()
        self._code: int | None = None
        self._selector = selectors.DefaultSelector()
        for descriptor in (self._stdout, self._stderr):
            if descriptor >= 0:
                self._selector.register(descriptor, selectors.EVENT_READ)
        if self._feed >= 0:
            if self._data:
                self._selector.register(self._feed, selectors.EVENT_WRITE)
            else:
                self._end_feed()

    def begin(self, program: str) -> None:
        """Wait until the broker has forked it. Raises Failed with its reason, Broken when the broker is gone."""
        try:
            answer = self._listen(timeout=PATIENCE)
        except Broken:
            self.close()
            raise
        if "error" in answer:
            self.close()
            raise Failed(f"{program} cannot be started: {answer['error']}")
        self.pid, self.start_time = answer["pid"], answer["start"]

    @property
    def stderr(self) -> bytes:
        """What it has said on stderr so far, at most 64,000 bytes. Untrusted; never show it unredacted."""
        return bytes(self._said)

    def read(self, size: int = _CHUNK) -> bytes:
        """The next bytes of stdout, b"" at its end (or when it was stopped). Blocks; reads stderr along the way."""
        while self._stdout >= 0 or self._stderr >= 0 or self._feed >= 0:
            if self._stop is not None and not self.stopped and self._stop():
                self.kill()
            if self.stopped:
                break
            for key, _ in self._selector.select(_TICK if self._stop is not None else None):
                if chunk := self._attend(key.fd, size):
                    return chunk
        return b""

    def wait(self) -> int:
        """The exit code (negative: the signal), once it and its whole group are gone. Drops unread stdout."""
        if self._code is None:
            self._selector.register(self._control, selectors.EVENT_READ)
        while self._code is None:
            if self._stop is not None and not self.stopped and self._stop():
                self.kill()
            for key, _ in self._selector.select(_TICK if self._stop is not None else None):
                if key.fileobj is self._control:
                    answer = self._listen(timeout=None)
                    self._code, self.timed_out = int(answer["code"]), bool(answer["timed_out"])
                    self._selector.unregister(self._control)
                else:
                    self._attend(key.fd, _CHUNK)
        while self._stderr >= 0 and self._selector.select(0):  # its last words may still lie in the pipe
            for key, _ in self._selector.select(0):
                self._attend(key.fd, _CHUNK)
        return self._code

    def kill(self) -> None:
        """End the program and its group; `wait` then tells how it ended. Safe to call at any time."""
        self.stopped = True
        with contextlib.suppress(OSError):
            self._control.send(b"kill")

    def close(self) -> None:
        """Kill it if it still runs, and release the descriptors."""
        if self._code is None:
            self.kill()
        self._control.close()
        for descriptor in (self._stdout, self._stderr, self._feed):
            self._drop(descriptor)
        self._stdout = self._stderr = self._feed = -1
        self._selector.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self, timeout: float | None) -> dict[str, Any]:
        self._control.settimeout(timeout)
        try:
            data = self._control.recv(MESSAGE_MAX)
        except OSError:
            data = b""
        if not data:
            raise Broken("the broker ended before the program did", hint="restart the server; see `interlock doctor`")
        answer: dict[str, Any] = json.loads(data)
        return answer

    def _attend(self, descriptor: int, size: int) -> bytes:
        """Do what a ready descriptor is there for; returns bytes of stdout, if it was that."""
        if descriptor == self._feed:
            self._write()
        elif descriptor == self._stderr:
            self._listen_stderr()
        elif chunk := os.read(descriptor, size):
            return chunk
        else:
            self._stdout = self._drop(descriptor)
        return b""

    def _listen_stderr(self) -> None:
        chunk = os.read(self._stderr, _CHUNK)
        if not chunk:
            self._stderr = self._drop(self._stderr)
        self._said += chunk[: max(0, _STDERR_MAX - len(self._said))]

    def _write(self) -> None:
        try:
            written = os.write(self._feed, self._data[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:
            self._end_feed()  # it does not want more
            return
        self._data = self._data[written:]
        if not self._data:
            self._end_feed()

    def _end_feed(self) -> None:
        self._feed = self._drop(self._feed)

    def _drop(self, descriptor: int) -> int:
        if descriptor >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)
            os.close(descriptor)
        return -1
