"""The words of the guard as values. No decisions, and no I/O but the randomness of an id.

Each value says who makes it and who reads it. A call travels through them in this order:
Call -> Action -> Look -> Decision -> Permit -> Result -> Answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import Code

if TYPE_CHECKING:
    from pydantic import BaseModel

    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot
    from interlock.sandbox.broker import BrokerClient

    from .pipeline import Permit


class Effect(IntEnum):
    """What a rule says. Ordered: the strictest match wins."""

    ALLOW = 0
    NOTIFY = 1
    ASK = 2
    DENY = 3


class Risk(IntEnum):
    """How bad a mistake would be. Rules only raise it."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


class UndoClass(IntEnum):
    """What of a change can be put back; ordered from best to worst."""

    FULL = 0
    PARTIAL = 1
    NONE = 2


class Outcome(StrEnum):
    """How a call ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Unknown:
    """The type of UNKNOWN: an attribute that exists but cannot be computed (templated YAML, say)."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()

# Strings compare by glob, integers by value or range, flags by value, tuples of key paths by `changed`.
Attribute = str | int | bool | tuple[str, ...] | Unknown


class Kind(StrEnum):
    """The type of an attribute, and so the form that a `where` takes for it."""

    TEXT = "text"  # a glob or a list of globs
    PATH = "path"  # a glob over real paths: `~` is expanded, `*` stays within `/`
    NUMBER = "number"  # a value, or {min, max}
    FLAG = "flag"  # true or false
    KEYS = "keys"  # {only: [...]} or {beyond: [...]}: changed key paths


@dataclass(frozen=True, slots=True)
class Verb:
    """One row of a server's table of actions (`VERBS` in its `actions` module). Read by policy and decide."""

    name: str  # "files.write": server, dot, effect
    change: bool  # reads never ask and write one record
    risk: Risk
    undo: UndoClass
    attributes: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a call is made. Made by the server process at start; read by limits and records."""

    agent: str  # from the policy or `serve --agent`
    user: str  # the OS user
    session: str  # a label for people; grants nothing
    client: str = ""  # the client's own claim ("claude-code 2.1"), recorded as such


class Link:
    """The client's end of a running call: progress out, cancellation in. Made by wire; thread-safe."""

    def __init__(self, report: Callable[[float, str], None] | None = None) -> None:
        self._report = report
        self._cancelled = threading.Event()

    def progress(self, done: float, message: str) -> None:
        """Tell the client how far a long call is. `done` must grow from call to call. Never raises."""
        if self._report is not None and not self.cancelled:
            self._report(done, message)

    def cancel(self) -> None:
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep; True if the call was cancelled meanwhile."""
        return self._cancelled.wait(seconds)


@dataclass(frozen=True, slots=True)
class Call:
    """One `tools/call` with validated arguments. Made by the pipeline's receive stage; read by all."""

    id: str
    server: str
    tool: str
    arguments: BaseModel  # the tool's own argument model
    raw: Mapping[str, Any]  # the same as JSON values, without `reason`: for digests and records
    reason: str  # what the agent says; shown to people as such, never part of a digest
    principal: Principal
    time: float  # wall clock, seconds
    policy: Policy  # the one policy that this call is judged by, whatever is reloaded meanwhile
    link: Link = field(default_factory=Link)


_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"  # no letter or digit that is read as another


def new_id(server: str) -> str:
    """A call's id: short enough to type at 3 a.m., long enough not to meet another in a home's life."""
    number, letters = int.from_bytes(os.urandom(8), "big"), ""
    for _ in range(7):
        number, letter = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[letter]
    return f"{server}-{letters}"


@dataclass(frozen=True, slots=True)
class Action:
    """One effect that a call would have. Made by a server's `actions` module; read by rules.

    `attributes` hold only what the verb declares. A missing or UNKNOWN attribute is one that cannot be
    computed: it matches deny and ask, never allow or notify.
    `effect` is what would really change (content digest, object uid, commit ids): it enters the approval's
    digest and the repeat limit, and is never shown. As `OLD>NEW`, what is made again is judged by NEW alone.
    """

    verb: str  # "files.write"
    resource: str  # what a person would call it: a real path, "ctx/ns/deployments/web"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    effect: str = ""
    risk: Risk = Risk.LOW  # raises the verb's own risk for this very action
    undo: UndoClass | None = None  # where it is worse than the verb's own
    lost: str = ""  # for partial and none: what stays lost, in words for a person


@dataclass(frozen=True, slots=True)
class Look:
    """What a server found out before the decision. Made by `look`, once more when a person was asked.

    `plan` is the server's own: opened descriptors, new contents, digests - the facts that `run` enforces
    in the act. The guard passes it on in the permit and never reads it, only closes it.
    """

    actions: tuple[Action, ...]
    plan: Any = None
    asks: tuple[str, ...] = ()  # reasons for which this call asks whatever the rules allow
    size: int = 0  # bytes that the snapshot will need; 0 for reads
    remote: bool = False  # the change leaves this machine (limit `changes`, else `local_changes`)
    undoes: str = ""  # the id of the change that this call would undo
    dry: bool = False  # dry_run: nothing will change; decided, recorded and run like a read

    def close(self) -> None:
        """Release what the plan holds (descriptors). Safe to call twice."""
        release = getattr(self.plan, "close", None)
        if release is not None:
            release()


@dataclass(frozen=True, slots=True)
class Globs:
    """Matches text by any of these globs (dialect of `interlock.globs`)."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Matches a number between two bounds, both inclusive, each optional."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """Matches a flag by value."""

    value: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """Matches changed key paths: nothing else changed (`only`), or something else did (`beyond`)."""

    keys: tuple[str, ...]
    beyond: bool


Match = Globs | Range | Flag | Changed


class Layer(IntEnum):
    """Where a rule comes from. A user's `overrides` takes out shipped rules, never built-in ones."""

    BUILTIN = 0
    SHIPPED = 1
    USER = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. Made by `policy`; read by `decide` and `explain`."""

    id: str
    effect: Effect
    verbs: frozenset[str]  # expanded: no `files.*`, no `reads`
    where: Mapping[str, Match] = field(default_factory=dict)  # all must match
    reason: str = ""
    hint: str = ""  # what to do instead
    risk: Risk | None = None
    overrides: frozenset[str] = frozenset()
    layer: Layer = Layer.USER
    code: Code = Code.DENIED  # the refusal's code when this rule denies
    file: str = ""
    line: int = 0
    contexts: frozenset[str] | None = None  # only for actions whose `context` is one of these
    except_contexts: frozenset[str] = frozenset()  # not for these: their own profile speaks


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of `decide` for a whole call: strictest effect, highest risk, and why."""

    effect: Effect
    risk: Risk
    reason: str
    rules: tuple[str, ...]  # ids of the rules that decided, the deciding one first; empty: none matched
    code: Code = Code.DENIED  # when effect is deny
    hint: str = ""  # what to do instead
    notify: bool = False  # a person is told
    undo: UndoClass = UndoClass.FULL
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's consent to exactly one pending call, verified and spent."""

    call: str  # the pending call's id
    by: str
    channel: str  # terminal | client | grant
    at: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a server's `run` gives back: `text` alone, or `data` (sent as structured content and as compact JSON).

    `header` is one line of facts above a text (size, lines, cursor). Whatever stems from the world is
    redacted by the server before it selects from it; the pipeline redacts and caps everything once more
    at the single exit, and fences `text` as data when `untrusted` is set.
    """

    text: str = ""
    data: Mapping[str, Any] | None = None
    header: str = ""
    untrusted: bool = False
    redactions: int = 0
    truncated: bool = False
    before: str = ""  # keyed digests of the resource, for the record and for settling
    after: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the wire sends. Made by the pipeline alone: redacted, capped and recorded."""

    text: str
    data: Mapping[str, Any] | None = None
    is_error: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """What the model sees of one tool, and which actions a call of it can be."""

    name: str
    description: str
    arguments: type[BaseModel]
    verbs: tuple[str, ...]  # a tool none of whose verbs the policy can allow is not listed
    change: bool = False
    destructive: bool = False
    undo: bool = False  # `X_undo`: its look is the server's `look_undo`


class Detector(Protocol):
    """What the guard and the servers know of redaction (`interlock.redaction` makes it)."""

    def redact(self, text: str, target: str = "") -> Redacted:
        """Replace every secret by a placeholder. `target` salts ids and names the place (a real path, ...)."""
        ...

    def redact_value(self, value: Any, target: str = "") -> tuple[Any, int]:
        """The same for JSON-like values, judged whole: keys stay, what stands under a secret's name goes."""
        ...


@dataclass(frozen=True, slots=True)
class Redacted:
    """Text without its secrets. Made by the detector."""

    text: str
    count: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """What a server is given when it is opened: where things are and the guard's services for it."""

    policy: Policy  # at start: bounds that the process is confined to
    home: Path  # the guard's own folder; never a server's to read or write, but for its slots
    key: bytes  # installation key material for keyed digests (32 bytes, derived per server)
    detector: Detector
    broker: BrokerClient | None  # starts the policy's programs; None on the command line


class Server(Protocol):
    """The same few names in each server's folder; this is all that the guard knows of one.

    Every method may be called from several worker threads at once. `look`, `run`, `settle` block.
    """

    name: str
    tools: Sequence[Tool]

    def instructions(self, policy: Policy) -> str:
        """What the agent should know of its bounds, in a few lines, generated from the policy."""
        ...

    def interpret(self, call: Call) -> tuple[Action, ...]:
        """Arguments to actions, from names alone: no I/O. Raises Refused (invalid, out_of_bounds)."""
        ...

    def look(self, call: Call) -> Look:
        """The only reads before the decision. Raises Refused (invalid, out_of_bounds, conflict, too_large)."""
        ...

    def preview(self, call: Call, look: Look) -> str:
        """What the change would do, redacted, for a person and for dry runs: a diff, a list of commits."""
        ...

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        """Put the prior state into the slot, durably. Raises Refused; then nothing runs.

        A rename into the slot belongs to `run`; `capture` then only writes what will be renamed.
        """
        ...

    def run(self, permit: Permit) -> Result:
        """Touch the world, enforcing the permit's facts in the act.

        Raises Failed (conflict, failed: the world is as before; unknown: it may not be).
        """
        ...

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        """What undoing `change` would do now: actions, drift (as `asks`), plan. Raises Refused."""
        ...

    def settle(self, change: Change, slot: Slot) -> Outcome:
        """Judge a permitted change without an outcome, whose process is gone.

        Compares the world with before and after and puts back or finishes what is half done:
        DONE (it is after), FAILED (it is before), UNKNOWN (it is neither).
        """
        ...

    def close(self) -> None: ...
