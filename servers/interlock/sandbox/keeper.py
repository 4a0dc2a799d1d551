"""The keeper: the process that makes sandboxes and ends them. Forked from the server before it confines itself.

It hands over the ends of a sandbox's streams and never touches what flows through them. A sandbox is used once.
The keeper ends, with every sandbox, when its server ends, however that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from interlock.guard.errors import Broken

from . import kernel
from .broker_loop import Rejected, detach
from .packets import receive, tell

if TYPE_CHECKING:
    from .settings import Settings

_IDLE = 600.0  # seconds after the last use for which sandboxes are kept ready
_WAITING_MAX = 32
_REST = 0.03  # seconds after handing one over before the next is made, so that the run has the machine
_SPARE = 5.0  # seconds that a run may go over its time before the keeper ends the sandbox itself


class Box(Protocol):
    """One sandbox, parked until somebody takes it."""

    kind: str  # how its descriptors are to be read: "pipes" or "attached"

    def descriptors(self) -> list[int]:
        """What the server gets: stdin, stdout, stderr, or one connection."""
        ...

    def alive(self) -> bool: ...

    def release(self) -> None:
        """Close our copies of the descriptors, once they are handed over or nobody wants them."""
        ...

    def end(self) -> None:
        """End it with all that runs in it, and take away what it left. Returns soon; may be called twice."""
        ...


class Backend(Protocol):
    """One engine's way to make boxes."""

    name: str
    tools: frozenset[str]

    def begin(self, wake: Callable[[], None]) -> None:
        """Called once in the keeper. `wake` makes the loop look at `made` (from any thread)."""
        ...

    def want(self, count: int) -> None:
        """See to it that this many more boxes are made."""
        ...

    def made(self) -> Box | Rejected | None:
        """A box that is ready, or why one could not be made; None if there is none yet."""
        ...

    @property
    def making(self) -> int: ...

    def reap(self) -> None:
        """Called after every signal and event: collect what has ended."""
        ...

    def finish(self) -> None:
        """The keeper ends: leave nothing behind."""
        ...


def open_backend(settings: Settings) -> Backend:
    """The backend that the settings name, checked as far as that is quick. Raises Broken; there is no other one."""
    if settings.engine == "docker":
        from .containers import Containers

        return Containers(settings)
    if settings.engine == "bubblewrap":
        from .bubblewrap import Bubblewrap

        return Bubblewrap(settings)
    raise Broken(f"there is no sandbox engine {settings.engine!r}", hint="use bubblewrap or docker")


def keep(requests: socket.socket, backend: Backend, pool: int, parent: int) -> NoReturn:
    """The whole life of the keeper process; never returns. `parent` is the server's pid."""
    try:
        detach(requests.fileno())
        loop = _Loop(requests, backend, pool)
        if os.getppid() == parent:
            try:
                loop.run()
            finally:
                loop.end()
    finally:
        os._exit(0)  # whatever happens: nothing of the server's code may run on in this process


@dataclass(slots=True)
class _Lent:
    box: Box
    control: socket.socket
    deadline: float


class _Loop:
    def __init__(self, requests: socket.socket, backend: Backend, pool: int) -> None:
        self._requests, self._backend, self._pool = requests, backend, pool
        self._parked: deque[Box] = deque()
        self._waiting: deque[tuple[socket.socket, float]] = deque()
        self._lent: list[_Lent] = []
        self._used = -_IDLE
        self._handed = -_REST
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        for descriptor in (self._wake, self._waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminate)
        requests.setblocking(False)
        self._selector.register(requests, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        backend.begin(self._rouse)

    def _terminate(self, *_: object) -> None:
        self._ended = True

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._waker, b"\0")

    def run(self) -> None:
        while not self._ended and (kernel.LINUX or os.getppid() != 1):
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._requests:
                    self._receive()
                elif key.fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                else:
                    self._return(key.data)
            self._backend.reap()
            self._collect()
            self._hand_over()
            now = time.monotonic()
            for lent in [lent for lent in self._lent if now >= lent.deadline]:
                self._return(lent)
            self._keep_ready(now)

    def _patience(self) -> float | None:
        times = [lent.deadline for lent in self._lent]
        if self._parked:
            times.append(self._used + _IDLE)
            if len(self._parked) + self._backend.making < self._pool:
                times.append(self._handed + _REST)
        patience = max(0.0, min(times) - time.monotonic()) + 0.01 if times else None
        return patience if kernel.LINUX else min(1.0, patience or 1.0)

    def _receive(self) -> None:
        try:
            data, descriptors = receive(self._requests, 1)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._ended = True  # the server is gone
            return
        if not descriptors:
            return
        control = socket.socket(fileno=descriptors[0])
        self._used = time.monotonic()
        try:
            body = json.loads(data)
            if body["op"] == "take" and len(self._waiting) < _WAITING_MAX:
                self._waiting.append((control, float(body["timeout"])))
                return
        except (ValueError, KeyError, TypeError):
            pass
        control.close()

    def _collect(self) -> None:
        while (made := self._backend.made()) is not None:
            if not isinstance(made, Rejected):
                self._parked.append(made)
                continue
            while self._waiting:  # what failed once fails for all who wait
                control, _ = self._waiting.popleft()
                tell(control, {"error": str(made)})
                control.close()
            self._used = -_IDLE  # and is not tried again before somebody asks

    def _hand_over(self) -> None:
        while self._waiting and self._parked:
            box = self._parked.popleft()
            if not box.alive():
                self._discard(box)
                continue
            control, timeout = self._waiting.popleft()
            try:
                socket.send_fds(control, [json.dumps({"kind": box.kind}).encode()], box.descriptors())
            except OSError:  # it does not wait any more
                control.close()
                self._parked.appendleft(box)
                continue
            box.release()
            self._handed = time.monotonic()
            lent = _Lent(box, control, time.monotonic() + timeout + _SPARE)
            self._lent.append(lent)
            self._selector.register(control, selectors.EVENT_READ, lent)

    def _keep_ready(self, now: float) -> None:
        if now - self._used >= _IDLE and not self._waiting:
            while self._parked:
                self._discard(self._parked.popleft())
            return
        missing = self._pool + len(self._waiting) - len(self._parked) - self._backend.making
        resting = self._parked and not self._waiting and now < self._handed + _REST
        if missing > 0 and not resting:
            self._backend.want(missing)
            self._rouse()

    def _return(self, lent: _Lent) -> None:
        """The server has let go of it, or its time is over."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(lent.control)
        if lent in self._lent:
            self._lent.remove(lent)
        lent.control.close()
        lent.box.end()

    def _discard(self, box: Box) -> None:
        box.release()
        box.end()

    def end(self) -> None:
        signal.set_wakeup_fd(-1)
        for lent in list(self._lent):
            self._return(lent)
        while self._parked:
            self._discard(self._parked.popleft())
        self._backend.finish()
