"""The broker, as a confined server sees it: start one of a fixed table of programs and read what it prints.

`start_broker` is called once, before any thread and before `confine`. Afterwards the client may be used from
any thread: each request has a socket of its own, and dropping it ends the program. Not a way to run arbitrary
commands: the table, and what each program may touch, is fixed at the fork.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken, Code, Failed, Refused

from . import kernel
from .broker_loop import serve
from .children import Program, Table
from .packets import MESSAGE_MAX, pair, receive

if TYPE_CHECKING:
    from .engines import Engine
    from .settings import Settings

__all__ = ["BrokerClient", "Completed", "Process", "Program", "start_broker"]

_STDERR_MAX = 64_000  # bytes kept of what a program says on stderr; the rest is read and dropped
_TICK = 0.1  # seconds between two looks at `stop`
_CHUNK = 65536
_PATIENCE = 30.0  # seconds for what the broker answers at once


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `code` is negative for a signal; `truncated` when stdout was cut at `max_output`."""

    code: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    timed_out: bool = False
    stopped: bool = False  # `stop` said so, or `kill` was called


def start_broker(
    programs: Mapping[str, Program] | None = None, files: Mapping[str, Path] | None = None
) -> BrokerClient:
    """Fork the broker and return its client. Without a table yet, `configure` gives it one.

    The earlier the better: what the server has loaded by then is what each of the broker's forks copies.
    Raises Broken when threads run already, or when the system gives no process.
    """
    if kernel.LINUX and kernel.thread_count() > 1:
        raise Broken(
            "cannot fork the broker: this process already runs threads",
            hint="this is a fault in Interlock; please report it with the output of `interlock doctor`",
        )
    try:
        ours, theirs = pair()
        parent = os.getpid()
        pid = os.fork()
    except OSError as error:
        raise Broken(
            f"cannot fork the broker ({error.strerror})", hint="look for a limit on processes or memory"
        ) from None
    if pid == 0:
        ours.close()
        serve(theirs, parent)
    theirs.close()
    client = BrokerClient(ours, pid)
    if programs is not None:
        client.configure(programs, files or {})
    return client


class BrokerClient:
    """The server's end. Thread-safe. Raises Broken from every method once the broker is gone.

    `engine` runs text tools in sandboxes; it is None where `configure` was given no settings for one, or where
    this machine has none: `no_engine` then says why, and what to do.
    """

    def __init__(self, requests: socket.socket, pid: int) -> None:
        self._requests = requests
        self.pid = pid
        self.programs: frozenset[str] = frozenset()
        self.engine: Engine | None = None
        self.no_engine: Broken | None = None

    def configure(
        self, programs: Mapping[str, Program], files: Mapping[str, Path], sandbox: Settings | None = None
    ) -> None:
        """Give the broker its table, once, before anything of an agent's is read; a second one is refused.

        `files`: paths that `open` may open for reading, by name. `sandbox`: have an engine made (or `no_engine`
        set). Raises Broken when the broker does not take it.
        """
        self.programs = frozenset(programs)
        body: dict[str, Any] = {"op": "table", "table": Table(programs, files).write()}
        if sandbox is None:
            if "error" in (answer := self._ask(body)):
                raise Broken(f"the broker did not take its table ({answer['error']})", hint="restart the server")
            return
        from .engines import Engine

        ours, theirs = pair()
        with theirs:
            answer = self._ask({**body, "sandbox": sandbox.write()}, {"keeper": theirs.fileno()})
        if "error" in answer:
            ours.close()
            self.no_engine = Broken(answer["error"], hint=answer.get("hint", ""))
        else:
            self.engine = Engine(ours, 0, sandbox, frozenset(answer["tools"]))

    def run(
        self,
        program: str,
        argv: Sequence[str],
        *,
        cwd: Path | int | None = None,
        stdin: bytes | int | None = None,
        timeout: float = 30.0,
        max_output: int = 1_000_000,
        env: Mapping[str, str] | None = None,
        stdout_fd: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run to the end and return what it printed, at most `max_output` bytes of stdout (then it is killed).

        `cwd`: a path, or a directory descriptor of ours. `stdin`: bytes, or a descriptor; else it is empty.
        `stdout_fd`: where stdout goes instead. `stop` is asked every 100 ms; True kills the program.
        Raises Refused (invalid) for arguments that cannot be passed, Failed when it cannot be started.
        """
        data = stdin if isinstance(stdin, bytes) else None
        source = stdin if isinstance(stdin, int) else None
        with self.start(
            program,
            argv,
            cwd=cwd,
            stdin=data if data is not None else source,
            timeout=timeout,
            env=env,
            stdout_fd=stdout_fd,
            stop=stop,
        ) as process:
            out = bytearray()
            while len(out) <= max_output:
                chunk = process.read()
                if not chunk:
                    break
                out += chunk
            truncated = len(out) > max_output
            if truncated:
                process.kill()
            code = process.wait()
            return Completed(
                code, bytes(out[:max_output]), process.stderr, truncated, process.timed_out, process.stopped
            )

    def start(
        self,
        program: str,
        argv: Sequence[str],
        *,
        cwd: Path | int | None = None,
        stdin: bytes | int | None = None,
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        stdout_fd: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Process:
        """Start and read as a stream; arguments as for `run`. Use it in a `with`, which kills at the end."""
        if len(json.dumps(list(argv))) > MESSAGE_MAX - 8000:
            raise Refused(
                Code.INVALID,
                f"the arguments for {program} are too long together",
                hint="ask for less at once",
            )
        ours: list[int] = []
        fds: dict[str, int] = {}
        opened: list[int] = []
        try:
            for name in ("stdout", "stderr"):
                if name == "stdout" and stdout_fd is not None:
                    fds[name] = stdout_fd
                    ours.append(-1)
                    continue
                reader, writer = os.pipe()
                ours.append(reader)
                opened.append(writer)
                fds[name] = writer
            feed = -1
            if isinstance(stdin, bytes):
                reader, feed = os.pipe()
                opened.append(reader)
                fds["stdin"] = reader
                os.set_blocking(feed, False)
            elif stdin is not None:
                fds["stdin"] = stdin
            body: dict[str, Any] = {
                "op": "start",
                "program": program,
                "argv": list(argv),
                "env": dict(env or {}),
                "timeout": timeout,
            }
            if isinstance(cwd, int):
                fds["cwd"] = cwd
            elif cwd is not None:
                body["cwd"] = str(cwd)
            control = self._request(body, fds)
        except BaseException:
            for descriptor in (*ours, *([feed] if "feed" in locals() and feed >= 0 else ())):
                if descriptor >= 0:
                    os.close(descriptor)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)
        process = Process(control, ours[0], ours[1], feed, stdin if isinstance(stdin, bytes) else b"", stop)
        process.begin(program)
        return process

    def open(self, file: str) -> int:
        """A descriptor, open for reading, of one of the fixed files. Raises Failed when it cannot be opened."""
        control = self._request({"op": "open", "file": file}, {})
        data, descriptors = self._answer(control)
        if not descriptors:
            raise Failed(f"{file} cannot be opened: {json.loads(data).get('error', 'no reason given')}")
        return descriptors[0]

    def close(self) -> None:
        """End the broker and all that it started, and wait for it."""
        if self.engine is not None:
            self.engine.close()
        self._requests.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _ask(self, body: dict[str, Any], fds: Mapping[str, int] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._answer(self._request(body, fds or {}))[0])
        return answer

    def _answer(self, control: socket.socket) -> tuple[bytes, list[int]]:
        with control:
            control.settimeout(_PATIENCE)
            try:
                data, descriptors = receive(control, 1)
            except TimeoutError:
                data, descriptors = b"", []
        if not data:
            raise Broken("the broker did not answer", hint="restart the server")
        return data, descriptors

    def _request(self, body: dict[str, Any], fds: Mapping[str, int]) -> socket.socket:
        ours, theirs = pair()
        names = ["control", *fds]
        message = json.dumps({**body, "fds": names}).encode()
        descriptors = array.array("i", [theirs.fileno(), *fds.values()])
        try:
            self._requests.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except OSError as error:
            ours.close()
            raise Broken(f"the broker is gone ({error.strerror})", hint="restart the server") from None
        finally:
            theirs.close()
        return ours


class Process:
    """A running program. For one thread at a time, but `kill` may come from any."""

    def __init__(
        self,
        control: socket.socket,
        stdout: int,
        stderr: int,
        feed: int,
        data: bytes,
        stop: Callable[[], bool] | None,
    ) -> None:
        self.pid = 0
        self.start_time = 0  # clock ticks after boot, as in /proc/PID/stat; 0 where unknown
        self.timed_out = False
        self.stopped = False
        self._control = control
        self._stdout, self._stderr, self._feed = stdout, stderr, feed
        self._data = memoryview(data)
        self._stop = stop
        self._said = bytearray()
        self._code: int | None = None
        self._selector = selectors.DefaultSelector()
        for descriptor in (stdout, stderr):
            if descriptor >= 0:
                self._selector.register(descriptor, selectors.EVENT_READ)
        if feed >= 0:
            if data:
                self._selector.register(feed, selectors.EVENT_WRITE)
            else:
                self._end_feed()

    def begin(self, program: str) -> None:
        """Wait until the broker has forked it. Raises Failed with its reason, Broken when the broker is gone."""
        try:
            answer = self._listen(timeout=_PATIENCE)
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
