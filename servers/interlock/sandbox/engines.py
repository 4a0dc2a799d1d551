"""Text tools over a stream, where they can touch nothing: the server's side of the sandbox.

`open_engine` forks a keeper (before any thread and before `confine`), which holds the means to make sandboxes;
`Engine.run` takes one for a pipeline, feeds it, reads it and throws it away. What goes in is the caller's to
redact, before; what comes out is untrusted. There is no run without a sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from interlock.globs import compile_globs
from interlock.guard.errors import Broken, Code, Failed, Refused

from . import kernel
from .channels import STDOUT, Attached, Channel, Pipes
from .packets import pair, receive
from .settings import Settings

__all__ = ["Engine", "Limits", "Output", "Settings", "Step", "open_engine"]

STEPS_MAX = 16
_WORDS_MAX = 100_000  # bytes of all arguments together
_STDERR_MAX = 16_000
_TICK = 0.1
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Step:
    """One program of a pipeline and its arguments; no shell reads them."""

    program: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run: seconds, and bytes of output, after which it is ended."""

    timeout: float = 10.0
    output: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """What a pipeline gave. Both streams are untrusted and unredacted.

    `codes`: of each step, negative for a signal (-9: it was over a limit); empty when the sandbox was ended.
    A step that stopped because the next one had read enough counts as 0.
    """

    stdout: bytes
    stderr: bytes
    codes: tuple[int, ...] = ()
    truncated: bool = False  # stdout was cut at `Limits.output`, and the pipeline ended there
    timed_out: bool = False
    stopped: bool = False  # `stop` said so

    @property
    def over(self) -> bool:
        """The kernel ended a step, or all of it, for its memory, processes or CPU time: the output is incomplete."""
        ended = not self.codes and not (self.truncated or self.timed_out or self.stopped)
        return ended or -signal.SIGKILL in self.codes


def open_engine(settings: Settings) -> Engine:
    """Fork the keeper for these settings. Call it once, in a process of one thread, before `confine`.

    Raises Broken when the engine is not there (then there is no analyze: the message says what to install or run).
    """
    from .keeper import keep, open_backend

    if kernel.LINUX and kernel.thread_count() > 1:
        raise Broken(
            "cannot fork the sandbox's keeper: this process already runs threads",
            hint="this is a fault in Interlock; please report it with the output of `interlock doctor`",
        )
    backend = open_backend(settings)
    ours, theirs = pair()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        keep(theirs, backend, settings.pool, parent)
    theirs.close()
    return Engine(ours, pid, settings, backend.tools)


@dataclass(slots=True)
class _Run:
    """What is known of a run so far."""

    marker: bytes
    feed: memoryview
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    codes: tuple[int, ...] = ()
    began: bool = False  # our process inside has said so
    closed_out: bool = False  # the last step's output is complete
    fed: bool = False
    ended: set[int] = field(default_factory=set)  # streams that are at their end


class Engine:
    """Runs pipelines. Thread-safe. Raises Broken from every method once the keeper is gone."""

    def __init__(self, requests: socket.socket, pid: int, settings: Settings, there: frozenset[str]) -> None:
        self._requests = requests
        self.pid = pid  # of the keeper; 0 where it is the broker's child
        self.settings = settings
        self.name = settings.engine
        self._allows = compile_globs(settings.tools).matches
        self.tools = frozenset(name for name in there if self._allows(name))  # allowed and there

    def check(self, steps: Sequence[Step]) -> None:
        """Raises Refused (invalid) for a pipeline that could not run, naming the step and what could."""
        if not steps or len(steps) > STEPS_MAX:
            raise Refused(Code.INVALID, f"a pipeline has 1 to {STEPS_MAX} steps, not {len(steps)}")
        for number, step in enumerate(steps, 1):
            if not self._allows(step.program):
                allowed = ", ".join(sorted(self.tools))
                raise Refused(Code.DENIED, f"step {number}: this program is not allowed here", hint=f"use: {allowed}")
            if step.program not in self.tools:
                raise Refused(
                    Code.INVALID,
                    f"step {number}: {step.program} is allowed, but the sandbox has it not",
                    hint="a person can install it and run `interlock sandbox build`",
                )
            if any("\0" in word for word in step.argv):
                raise Refused(Code.INVALID, f"step {number}: an argument holds a NUL character")
        if sum(len(word) * 4 for step in steps for word in step.argv) > _WORDS_MAX * 4:
            raise Refused(Code.INVALID, "the arguments are too long together", hint=f"at most {_WORDS_MAX} characters")

    def run(
        self,
        steps: Sequence[Step],
        input: Iterable[bytes],
        limits: Limits | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> Output:
        """Pipe `input` through `steps` in a sandbox of their own. `input` is only read as fast as they take it.

        `stop` is asked every 100 ms; True ends the run. Raises Refused as `check` does, Failed when the sandbox
        cannot be made or breaks, Broken when its keeper is gone.
        """
        self.check(steps)
        limits = limits or Limits()
        deadline = time.monotonic() + limits.timeout
        marker = secrets.token_hex(16)
        control, channel = self._take(limits.timeout)
        source = iter(input)
        try:
            with control, channel:
                run = _Run(f"\n{marker}".encode(), memoryview(self._head(marker, steps, limits)))
                return self._drive(run, channel, source, limits, deadline, stop)
        finally:
            if isinstance(source, Generator):
                source.close()  # it may hold files open

    def _drive(
        self,
        run: _Run,
        channel: Channel,
        source: Iterator[bytes],
        limits: Limits,
        deadline: float,
        stop: Callable[[], bool] | None,
    ) -> Output:
        while not (run.closed_out and run.codes):
            now = time.monotonic()
            if now >= deadline:
                return self._output(run, limits, timed_out=True)
            if stop is not None and stop():
                return self._output(run, limits, stopped=True)
            for event in channel.ready(min(deadline - now, _TICK if stop is not None else 60.0), not run.fed):
                if event is None:
                    self._feed(run, channel, source)
                else:
                    self._take_in(run, *event)
            if len(run.ended) == 2 and not (run.closed_out and run.codes):
                self._gone(run)
                return self._output(run, limits)
            if len(run.out) > limits.output + len(run.marker):
                return self._output(run, limits)
        return self._output(run, limits)

    def warm(self) -> None:
        """Have sandboxes made now rather than at the first run. Returns at once."""
        self._request({"op": "warm"}).close()

    def close(self) -> None:
        """End the keeper and every sandbox, and wait for it."""
        self._requests.close()
        if self.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def _request(self, body: dict[str, object]) -> socket.socket:
        ours, theirs = pair()
        try:
            socket.send_fds(self._requests, [json.dumps(body).encode()], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise Broken(f"the sandbox's keeper is gone ({error.strerror})", hint="restart the server") from None
        finally:
            theirs.close()
        return ours

    def _take(self, timeout: float) -> tuple[socket.socket, Channel]:
        control = self._request({"op": "take", "timeout": timeout})
        control.settimeout(30)
        try:
            data, descriptors = receive(control, 3)
        except TimeoutError:
            data, descriptors = b"", []
        if not data:
            control.close()
            raise Broken(
                "the sandbox's keeper did not answer", hint="restart the server; see `interlock sandbox probe`"
            )
        answer = json.loads(data)
        if "error" in answer:
            control.close()
            raise Failed(
                f"no sandbox could be made: {answer['error']}", hint="a person can run `interlock sandbox probe`"
            )
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
        return control, Pipes(*descriptors) if answer["kind"] == "pipes" else Attached(descriptors[0])

    def _head(self, marker: str, steps: Sequence[Step], limits: Limits) -> bytes:
        processes = self.settings.processes if self.name == "bubblewrap" else 0
        words = [marker, str(int(limits.timeout) + 2), str(processes), str(len(steps))]
        for step in steps:
            words += [str(1 + len(step.argv)), step.program, *step.argv]
        head = "\0".join(words).encode("utf-8", "surrogateescape")
        return f"{len(head):08x}".encode() + head

    def _feed(self, run: _Run, channel: Channel, source: Iterator[bytes]) -> None:
        if not run.feed:
            chunk = next(source, None)
            if chunk is None:
                run.fed = True
                channel.end_input()
                return
            run.feed = memoryview(chunk)
        if (written := channel.write(run.feed[:_CHUNK])) < 0:
            run.fed = True  # nobody reads any more: the first step has ended
            channel.end_input()
        else:
            run.feed = run.feed[written:]

    def _take_in(self, run: _Run, stream: int, data: bytes) -> None:
        """Sort what came, and see whether our process inside says that all is over."""
        if not data:
            run.ended.add(stream)
        elif stream == STDOUT:
            if not run.began:
                run.began, data = True, data[1:]
            if run.closed_out:
                return  # what a step left running still talks; nobody asked it
            new = max(0, len(run.out) - len(run.marker))
            run.out += data
            if (at := run.out.find(run.marker, new)) >= 0:
                run.closed_out = True
                del run.out[at:]
        elif not run.codes:
            run.err += data
            at = run.err.find(run.marker)
            if at >= 0 and (end := run.err.find(b"\n", at + 1)) >= 0:
                run.codes = tuple(int(code) for code in run.err[at + len(run.marker) : end].split())
                del run.err[at:]
            elif len(run.err) > 4 * _STDERR_MAX:
                del run.err[_STDERR_MAX : -len(run.marker) - 200]  # the middle; the end is still to come

    def _gone(self, run: _Run) -> None:
        """The sandbox ended by itself: a limit took our process inside, or it never began."""
        if run.began:
            return
        said = bytes(run.err[:200]).decode("ascii", "replace").strip()  # our engine's own words: nothing ran yet
        raise Failed(f"the sandbox did not start ({said or 'no reason given'})", hint="run `interlock sandbox probe`")

    def _output(self, run: _Run, limits: Limits, *, timed_out: bool = False, stopped: bool = False) -> Output:
        truncated = len(run.out) > limits.output
        out, err = bytes(run.out[: limits.output]), bytes(run.err[:_STDERR_MAX])
        codes = tuple(0 if code == -signal.SIGPIPE else code for code in run.codes[:-1]) + run.codes[-1:]
        return Output(out, err, codes, truncated, timed_out, stopped)
