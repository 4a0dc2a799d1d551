"""One way to the clusters: every kubectl command line is built here, from checked parts, and run by the broker.

Reads and writes of single objects go through kubectl's raw requests: the path, the body and the preconditions are
then exactly ours. Not for deciding: whoever calls has done that.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from interlock import cluster_program as program
from interlock.guard.errors import Broken, Code, Failed, Refused
from interlock.kubeconfig import Kubeconfig
from interlock.untrusted import one_line

from . import discovery
from .actions import Section
from .discovery import Kinds, Resource
from .worded import without_logins

if TYPE_CHECKING:
    from interlock.guard.model import Detector, Link
    from interlock.sandbox.broker import BrokerClient, Completed

MOST: Final = 64 << 20  # bytes of one answer
_FRESH: Final = 600.0  # seconds for which a cluster's kinds are taken as known
_AGAIN: Final = 5.0  # seconds before an unknown kind is looked for once more
_FIRST: Final = 4.0  # seconds for the first word of a cluster: one that is silent is told soon
_SAID: Final = re.compile(r"^(?:Error from server(?: \((\w+)\))?: |(?=The .{1,300}? is invalid: ))(.*)", re.MULTILINE)
_DUMPED: Final = re.compile(r"&?\b[a-z0-9]{1,40}\.[A-Z][A-Za-z]{1,60}\{")  # a whole object as Go writes it
_STOP: ContextVar[Callable[[], bool] | None] = ContextVar("stop", default=None)
_TIMEOUTS: Final = ("Client.Timeout", "i/o timeout", "handshake timeout", "deadline exceeded", "timed out")
_VALIDATION: Final = re.compile(
    r"^error: (?:error validating \"[^\"]*\": )?error validating data: |; if you choose to ignore these errors, .*"
)
_KUBECTLS: Final = ("error: ", "Error ", "Unable to connect", "The connection to the server")
MANAGER: Final = "interlock"


@contextmanager
def stopped_by(link: Link) -> Iterator[None]:
    """Within it, requests end when the call is cancelled. For reads: a change that was sent goes on to its end."""
    kept = _STOP.set(lambda: link.cancelled)
    try:
        yield
    finally:
        _STOP.reset(kept)


class ClusterError(Exception):
    """The API's no. `reason` is Kubernetes' own word: NotFound, Conflict, Forbidden, Invalid; empty: no answer."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def refused(self) -> Refused:
        """As a refusal, before anything ran."""
        code = Code.CONFLICT if self.reason in ("Conflict", "AlreadyExists") else Code.INVALID
        return Refused(code if self.reason else Code.FAILED, self.message, hint=self.hint)

    def failed(self) -> Failed:
        """As the end of a permitted call that changed nothing."""
        return Failed(self.message, hint=self.hint, code=Code.CONFLICT if self.reason == "Conflict" else Code.FAILED)

    @property
    def hint(self) -> str:
        return {
            "NotFound": "list what is there with kubectl_get",
            "Forbidden": "the cluster's own rights (RBAC, quota or admission) do not allow it; a person changes them",
            "Conflict": "read it again and make the call anew",
            "": "see whether the cluster can be reached (`interlock doctor`), then try again",
        }.get(self.reason, "")


@dataclass(slots=True)
class _Known:
    kinds: Kinds
    at: float


class Cluster:
    """All contexts of the policy. Thread-safe. Raises ClusterError for the API's answers, Broken without kubectl."""

    def __init__(self, broker: BrokerClient | None, section: Section, facts: Kubeconfig, detector: Detector) -> None:
        self._broker = broker
        self._section = section
        self._facts = facts
        self._detector = detector
        self._lock = threading.Lock()
        self._kinds: dict[str, _Known] = {}
        self._silent: set[str] = set()  # contexts whose last request was not answered in time

    # ---------------------------------------------------------------- kinds

    def kinds(self, context: str, *, anew: bool = False) -> Kinds:
        """The cluster's kinds. Raises ClusterError when it does not answer soon."""
        with self._lock:
            known = self._kinds.get(context)
            age = time.monotonic() - known.at if known else _FRESH
            if known and (age < _FRESH if not anew else age < _AGAIN):
                return known.kinds
            first = float(self._section.timeout) if self._facts.plugins or self._facts.minting else _FIRST
            done = self._run(context, ["api-resources", "-o", "wide"], timeout=first)
            text = done.stdout.decode("utf-8", "replace")
            if not text.startswith("NAME"):
                raise self._error(done, first)
            kinds = discovery.parse(text)
            if not kinds.all:  # it prints the head of a table before it knows anything
                raise self._error(done, first)
            self._kinds[context] = _Known(kinds, time.monotonic())
            return kinds

    def resource(self, context: str, word: str) -> Resource | None:
        """The kind of that name, looked for once more where it is not known."""
        return self.kinds(context).find(word) or self.kinds(context, anew=True).find(word)

    # ---------------------------------------------------------------- objects

    def get(self, context: str, path: str, **query: str) -> dict[str, Any]:
        """One object or list, whole. Raises ClusterError."""
        found: dict[str, Any] = json.loads(self.kubectl(context, ["get", "--raw", _with(path, query)]))
        return found

    def find(self, context: str, path: str) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return self.get(context, path)
        except ClusterError as error:
            if error.reason == "NotFound":
                return None
            raise

    def send(
        self, verb: str, context: str, path: str, body: Mapping[str, Any], *, dry: bool = False, strict: bool = True
    ) -> dict[str, Any]:
        """`create` (POST), `replace` (PUT) or `delete`; `dry` has the server answer what would come of it."""
        query = {"dryRun": "All"} if dry else {}
        if verb != "delete":
            query["fieldManager"] = MANAGER
            if strict:
                query["fieldValidation"] = "Strict"
        else:
            body = {**body, **({"dryRun": ["All"]} if dry else {})}
            query = {}
        text = json.dumps(body).encode()
        patient = None if dry else float(self._section.timeout)
        answer = self.kubectl(context, [verb, "--raw", _with(path, query), "-f", "-"], stdin=text, timeout=patient)
        try:
            made = json.loads(answer)
        except ValueError:
            return {}
        return made if isinstance(made, dict) else {}

    # ---------------------------------------------------------------- kubectl

    def kubectl(
        self, context: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None,
        most: int = MOST, stop: Callable[[], bool] | None = None, codes: Sequence[int] = (0,),
    ) -> bytes:  # fmt: skip
        """Run it with the context's options and return what it printed. Raises ClusterError."""
        seconds = timeout or self._patience(context)
        done = self._run(context, argv, stdin=stdin, timeout=seconds, most=most, stop=stop)
        if done.code not in codes or done.timed_out or done.stopped:
            error = self._error(done, seconds)
            (self._silent.discard if error.reason or done.stopped else self._silent.add)(context)
            raise error
        self._silent.discard(context)
        return done.stdout

    def _patience(self, context: str) -> float:
        """Seconds for one answer: few for a cluster that was silent a moment ago."""
        return min(_FIRST, self._section.timeout) if context in self._silent else float(self._section.timeout)

    def run(self, context: str, argv: Sequence[str], **options: Any) -> Completed:
        """The same, judged by the caller."""
        return self._run(context, argv, **options)

    def _run(
        self, context: str, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None,
        most: int = MOST, stop: Callable[[], bool] | None = None,
    ) -> Completed:  # fmt: skip
        if self._broker is None or program.KUBECTL not in self._broker.programs:
            raise Broken(program.absence(), hint="put kubectl itself on PATH, then restart the server")
        seconds = timeout or self._patience(context)
        options = self._facts.options(self._section, context)
        options += [f"--cache-dir={program.cache_folder()}", f"--request-timeout={max(1, int(seconds))}s"]
        command = [argv[0], *options, *argv[1:]]
        done = self._broker.run(
            program.KUBECTL, command, stdin=stdin, timeout=seconds, max_output=most, stop=stop or _STOP.get()
        )  # fmt: skip
        if done.truncated:
            raise ClusterError("TooLarge", f"the answer is larger than {most >> 20} MiB; ask for less at once")
        return done

    def _error(self, done: Completed, seconds: float) -> ClusterError:
        silent = ClusterError("", f"the cluster did not answer within {seconds:.0f} s")
        if done.stopped:
            return ClusterError("", "the call was cancelled before the cluster answered")
        if done.timed_out:
            return silent
        said = done.stderr.decode("utf-8", "replace")
        match = _SAID.search(said)
        reason, text = (match[1] or "Invalid", said[match.start(2) :]) if match else ("", said)
        lines = [line for line in text.splitlines() if not line.startswith(("E1", "I1", "W1", "E0", "I0", "W0"))]
        lines = lines or [line.partition("] ")[2] for line in text.splitlines()][-1:]
        if self._facts.plugins and not match:  # what plugins say is not for the agent
            lines = [line for line in lines if line.startswith(_KUBECTLS)]
        if not match and any(word in text for word in _TIMEOUTS):
            return silent
        if not match and "error: " in text and "connect" not in text and "dial" not in text:
            reason = "Invalid"
        lines = [line for line in lines if not line.startswith("Warning: ")]
        lines = [_VALIDATION.sub("", line) for line in lines]
        message = self._detector.redact(without_logins(_undumped(" ".join(" ".join(lines).split())))).text
        return ClusterError(reason, one_line(message, 500) or f"kubectl ended with code {done.code}")


def _undumped(message: str) -> str:
    """The API's no without the object that it quotes: that is long, and holds every secret of it."""
    dump = _DUMPED.search(message)
    return message if dump is None else f"{message[: dump.start()]}(an object){message[message.rfind('}') + 1 :]}"


def _with(path: str, query: Mapping[str, str]) -> str:
    escaped = quote(path, safe="/:._-~")
    return f"{escaped}?{urlencode(query)}" if query else escaped
