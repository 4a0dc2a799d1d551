"""The broker's own side: a single-threaded process that answers typed requests by starting fixed programs.

It runs unconfined, so it does as little as it can: no data of the agent passes through it, only descriptors.
It ends, with everything it started, when its server ends, however that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from interlock.guard.errors import Broken

from . import kernel
from .children import ENVIRONMENT, Table, Walls, confine_child, spawn, walls
from .packets import receive, tell

DESCRIPTORS_MAX = 8
CHILDREN_MAX = 64  # at once


class Rejected(Exception):
    """A request that is not carried out; the text goes back to the server and holds nothing from the world."""


@dataclass(slots=True)
class _Child:
    pid: int
    control: socket.socket
    deadline: float
    timed_out: bool = False
    let_go: bool = False  # the client wants it gone; its control socket is no longer watched


@dataclass(slots=True)
class _Request:
    body: dict[str, Any]
    fds: dict[str, int]


def detach(keep: int) -> None:
    """What a forked process of ours does first: its own session, no client stdio, no other descriptors, and an
    end when the server's main thread ends."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, keep)
    os.closerange(keep + 1, 65536)
    kernel.die_with_parent(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    kernel.not_dumpable()


def serve(requests: socket.socket, parent: int) -> NoReturn:
    """The whole life of the broker process; never returns. `parent` is the server's pid."""
    try:
        detach(requests.fileno())
        kernel.adopt_orphans()
        loop = _Loop(requests)
        if os.getppid() == parent:
            try:
                loop.run()
            finally:
                loop.end()
    finally:
        os._exit(0)  # whatever happens: nothing of the server's code may run on in this process


class _Loop:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._table: Table | None = None
        self._walls: dict[str, Walls] = {}
        self._keeper = 0
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, waker = os.pipe()
        for descriptor in (self._wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._ended = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminate)
        requests.setblocking(False)
        self._selector.register(requests, selectors.EVENT_READ, None)
        self._selector.register(self._wake, selectors.EVENT_READ, None)

    def _terminate(self, *_: object) -> None:
        self._ended = True

    def run(self) -> None:
        while not self._ended and (kernel.LINUX or os.getppid() != 1):
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._requests:
                    self._receive()
                elif key.fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 512)
                else:
                    self._control(key.data)
            self._reap()
            now = time.monotonic()
            for child in self._children.values():
                if now >= child.deadline and not child.timed_out:
                    child.timed_out = True
                    kill_group(child.pid)

    def _patience(self) -> float | None:
        waiting = [child.deadline for child in self._children.values() if not child.timed_out]
        patience = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        return patience if kernel.LINUX else min(1.0, patience or 1.0)

    def _receive(self) -> None:
        try:
            data, descriptors = receive(self._requests, DESCRIPTORS_MAX)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._ended = True  # the server is gone
            return
        open_ones = set(descriptors)
        try:
            body = json.loads(data)
            fds = dict(zip(body["fds"], descriptors, strict=True))
            open_ones.discard(fds["control"])
            self._answer(_Request(body, fds))
        except (ValueError, KeyError, TypeError):
            return  # not of our client: its sockets close, which it reports
        finally:
            for descriptor in open_ones:
                os.close(descriptor)

    def _answer(self, request: _Request) -> None:
        control = socket.socket(fileno=request.fds["control"])
        control.setblocking(False)
        started = False
        try:
            if self._table is None:  # the first message, sent before the server reads anything of an agent's
                tell(control, {"tools": self._set_table(request)})
            elif request.body["op"] == "open":
                self._open(self._table, request, control)
            elif request.body["op"] == "start":
                self._start(self._table, request, control)
                started = True
            else:
                raise Rejected("there is a table already")
        except Rejected as error:
            tell(control, {"error": str(error)})
        except Broken as error:
            tell(control, {"error": error.message, "hint": error.hint})
        except OSError as error:
            tell(control, {"error": f"the system refused ({error.strerror})"})
        finally:
            if not started:
                control.close()

    def _set_table(self, request: _Request) -> list[str]:
        """Take the table, once and for all, and fork a sandbox's keeper where one is asked for; returns its tools."""
        self._table = table = Table.read(request.body["table"])
        self._walls = {name: walls(program) for name, program in table.programs.items()}
        settings, parent = request.body.get("sandbox"), os.getpid()
        try:
            if settings is None:
                return []
            from .keeper import keep, open_backend
            from .settings import Settings

            made = Settings.read(settings)
            backend = open_backend(made)
            self._keeper = os.fork()
            if self._keeper == 0:
                keep(socket.socket(fileno=request.fds["keeper"]), backend, made.pool, parent)
            return sorted(backend.tools)
        finally:
            kernel.drop_capabilities()

    def _open(self, table: Table, request: _Request, control: socket.socket) -> None:
        """One of the fixed files, opened for reading: what a confined server may read again (its policy)."""
        path = table.files.get(str(request.body["file"]))
        if path is None:
            raise Rejected("no such file in the broker's table")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            socket.send_fds(control, [b"{}"], [descriptor])
        finally:
            os.close(descriptor)

    def _start(self, table: Table, request: _Request, control: socket.socket) -> None:
        body = request.body
        program = table.programs.get(str(body["program"]))
        if program is None:
            raise Rejected("no such program in the broker's table")
        if len(self._children) >= CHILDREN_MAX:
            raise Rejected("too many programs are running at once")
        held = self._walls[str(body["program"])]
        argv = [str(argument) for argument in body["argv"]]
        extra = {str(name): str(value) for name, value in body["env"].items()}
        if unknown := sorted(set(extra) - program.variables):
            raise Rejected(f"this program takes no variable {unknown[0]!r}")
        if any("\0" in text for text in (*argv, *extra.values())):
            raise Rejected("an argument holds a NUL byte")
        timeout = float(body["timeout"])
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            pid = spawn(
                program.executable,
                [*program.arguments, *argv],
                {**ENVIRONMENT, **program.environment, **extra},
                {
                    0: request.fds.get("stdin", null),
                    1: request.fds.get("stdout", null),
                    2: request.fds.get("stderr", null),
                },
                directory=request.fds.get("cwd", body.get("cwd")),
                before=lambda: confine_child(held),
                limits=program.limits,
            )
        finally:
            os.close(null)
        child = _Child(pid, control, time.monotonic() + timeout)
        self._children[pid] = child
        self._selector.register(control, selectors.EVENT_READ, child)
        tell(control, {"pid": pid, "start": start_time(pid)})

    def _control(self, child: _Child) -> None:
        """The client's end of this child was closed, or it sent anything: the child must go."""
        with contextlib.suppress(OSError):
            child.control.recv(16)
        self._selector.unregister(child.control)
        child.let_go = True
        kill_group(child.pid)

    def _reap(self) -> None:
        while True:
            pid, status = wait_for_any(lambda pid: pid in self._children)
            if not pid:
                return
            child = self._children.pop(pid, None)
            if pid == self._keeper:
                self._keeper = 0
            self._sweep()
            if child is not None:
                if not child.let_go:
                    self._selector.unregister(child.control)
                tell(child.control, {"code": os.waitstatus_to_exitcode(status), "timed_out": child.timed_out})
                child.control.close()

    def _sweep(self) -> None:
        """End what has left its group and lost its parent: it came to us, and nobody waits for it."""
        for pid in own_children():
            if pid in self._children or pid == self._keeper:
                continue
            with contextlib.suppress(OSError):
                if os.getpgid(pid) not in self._children:
                    os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Leave no process behind: kill every group, then whatever else comes to us as an orphan."""
        signal.set_wakeup_fd(-1)
        for pid in self._children:
            kill_group(pid)
        self._children.clear()
        if self._keeper:  # it has sandboxes of its own to end
            with contextlib.suppress(OSError):
                os.kill(self._keeper, signal.SIGTERM)
                os.waitpid(self._keeper, 0)
            self._keeper = 0
        for _ in range(1000):
            self._sweep()
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)  # it may not have reached its setsid yet
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def wait_for_any(leads: Callable[[int], bool]) -> tuple[int, int]:
    """(pid, status) of a child that has ended, its group killed where it leads one; (0, 0) if none has."""
    try:
        if kernel.LINUX:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return 0, 0
            if leads(ended.si_pid):
                kill_group(ended.si_pid)  # while the number is still taken
            return os.waitpid(ended.si_pid, 0)
        pid, status = os.waitpid(-1, os.WNOHANG)  # macOS has no waitid in Python 3.11
    except ChildProcessError:
        return 0, 0
    if pid and leads(pid):
        kill_group(pid)
    return pid, status


def own_children() -> list[int]:
    """Our direct children, live or not; none where the system does not say."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children", "rb") as listing:  # noqa: PTH123
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        pass
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):  # kernels built without that list
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(path.read_bytes().rsplit(b")", 1)[1].split()[1]) == own:
                found.append(int(path.parent.name))
    return found


def start_time(pid: int) -> int:
    """When the process started, in clock ticks after boot; 0 where it cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
            return int(stat.read().rsplit(b")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
