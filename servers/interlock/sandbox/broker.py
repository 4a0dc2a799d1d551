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
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken, Code, Failed, Refused

from . import kernel
from .broker_loop import serve
from .children import Program, Table
from .packets import MESSAGE_MAX, pair, receive
from .process import PATIENCE, Completed, Process, Streams

if TYPE_CHECKING:
    from .engines import Engine
    from .settings import Settings

__all__ = ["BrokerClient", "Completed", "Process", "Program", "start_broker"]


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
        body = {"op": "start", "program": program, "argv": list(argv), "env": dict(env or {}), "timeout": timeout}
        if cwd is not None and not isinstance(cwd, int):
            body["cwd"] = str(cwd)
        with Streams.make(stdin, stdout_fd) as streams:
            theirs = dict(streams.theirs)
            if isinstance(cwd, int):
                theirs["cwd"] = cwd
            control = self._request(body, theirs)
            process = Process(control, streams.keep(), stop)
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
            control.settimeout(PATIENCE)
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
