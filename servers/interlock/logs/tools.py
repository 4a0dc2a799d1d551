"""The logs server: its tools, and the one object through which the guard knows it. What each does is in `run`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock import cluster_program
from interlock.guard.errors import Broken, Code, Failed, Refused
from interlock.guard.model import Action, Call, Look, Outcome, Result, Tool, World
from interlock.sandbox.children import Program
from interlock.untrusted import one_line

from . import arguments, streams
from .actions import Section
from .pods import facts_of, has_pods
from .run import run
from .sources import Sources, folders, known, open_sources
from .windows import Source

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit
    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot
    from interlock.sandbox.settings import Settings

_READ: Final = ("logs.read",)
_PARALLEL: Final = 2  # heavy calls at once: as many as keep memory and two cores in bounds
_WAIT: Final = 40.0

TOOLS: Final = (
    Tool("list_sources", "Log sources with their files, sizes and last writes.", arguments.ListSources, _READ),
    Tool(
        "read_log",
        "Lines of a source: tail, head, around a time or match, from a cursor, or follow. Rotated files are one log.",
        arguments.ReadLog,
        _READ,
    ),
    Tool(
        "search_logs",
        "Find lines by text, regex or level, over all files of a source. Each hit has an @cursor for read_log.",
        arguments.SearchLogs,
        _READ,
    ),
    Tool(
        "summarize_logs",
        "Start here: levels, histogram, templates with counts and examples (new, bursting and errors first), "
        "stack traces; of gigabytes.",
        arguments.SummarizeLogs,
        _READ,
    ),
    Tool(
        "compare_logs",
        "What changed in a window against a baseline: new, gone, more, less, other values; likeliest cause first.",
        arguments.CompareLogs,
        _READ,
    ),
    Tool(
        "analyze_logs",
        "Run a pipeline of text tools over a source's redacted lines, in a sandbox.",
        arguments.AnalyzeLogs,
        ("logs.analyze",),
    ),
)


class Logs:
    """The server. Thread-safe: calls share only the sources' open folders and the count of heavy calls."""

    name = "logs"

    def __init__(self, world: World) -> None:
        self.detector: Any = world.detector
        self.broker: Any = world.broker
        self._lock = threading.Lock()
        self._sources: tuple[str, Sources] | None = None
        self._heavy = threading.BoundedSemaphore(_PARALLEL)
        # Made by the broker, before any thread runs. Without one there is no analyze_logs, and the agent is told why.
        self._engine: Any = getattr(world.broker, "engine", None)
        lacking: Broken | None = getattr(world.broker, "no_engine", None)
        self._no_engine = f"{lacking.message}; {lacking.hint}" if lacking else "the policy allows no programs"
        self._facts = facts_of(world.policy)
        self.tools = TOOLS if self._engine is not None else tuple(t for t in TOOLS if t.name != "analyze_logs")
        self.sources(world.policy)

    # ---------------------------------------------------------------- for `run`

    def sources(self, policy: Policy) -> Sources:
        """The sources of the policy that judges a call; opened once per policy."""
        with self._lock:
            if self._sources is None or self._sources[0] != policy.digest or self._sources[1].stale:
                self._sources = policy.digest, open_sources(policy, self.broker, self._facts)
            return self._sources[1]

    def source(self, call: Call, name: str) -> Source:
        found = known(self.sources(call.policy), name)
        if found is None:
            raise self._unknown(call.policy, name)
        return found

    @contextmanager
    def slot(self, call: Call) -> Iterator[None]:
        """Heavy work waits for its turn, so that many calls at once cost time, not memory."""
        for _ in range(int(_WAIT * 10)):
            if self._heavy.acquire(timeout=0.1):
                break
            if call.link.cancelled:
                raise Failed("cancelled while it waited for its turn")
        else:
            raise Failed("too many searches and summaries run at once", hint="try again when they have ended")
        try:
            yield
        finally:
            self._heavy.release()

    def engine(self) -> Any:
        if self._engine is None:
            raise Refused(Code.INVALID, f"there is no sandbox here: {self._no_engine}")
        return self._engine

    # ---------------------------------------------------------------- the guard's protocol

    def instructions(self, policy: Policy) -> str:
        section = policy.section(Section)
        if section is None:
            return "The policy names no log sources."
        sources = self.sources(policy).by_name.values()
        lines = [f"Sources: {', '.join(f'{source.name} ({source.kind})' for source in sources)}."]
        lines.append(
            "Times are UTC. Start with summarize_logs or compare_logs; drill down with search_logs and read_log."
        )
        if self._engine is not None:
            lines.append(f"analyze_logs programs: {', '.join(sorted(self._engine.tools))}.")
        elif section.analyze:
            lines.append(f"analyze_logs is off: {one_line(self._no_engine, 200)}.")
        return "\n".join(lines)

    def interpret(self, call: Call) -> tuple[Action, ...]:
        name = getattr(call.arguments, "source", None)
        if name is None:
            return (Action("logs.read", "logs", {"source": "", "inside": True}),)
        if known(self.sources(call.policy), name) is None:
            raise self._unknown(call.policy, name)
        facts: dict[str, Any] = {"source": name, "inside": True}
        if isinstance(call.arguments, arguments.AnalyzeLogs):
            programs = dict.fromkeys(step.program for step in call.arguments.steps) or {"": None}
            return tuple(Action("logs.analyze", name, {**facts, "program": program}) for program in programs)
        return (Action("logs.read", name, facts),)

    def _unknown(self, policy: Policy, name: str) -> Refused:
        names = ", ".join(list(self.sources(policy).by_name)[:20])
        return Refused(
            Code.OUT_OF_BOUNDS,
            f"the policy names no source {one_line(name, 60)!r}",
            hint=f"the sources are {names}" if names else "a person adds sources to the policy",
            rule="builtin.outside",
        )

    def look(self, call: Call) -> Look:
        return Look(self.interpret(call))

    def preview(self, call: Call, look: Look) -> str:
        return f"{call.tool} of {', '.join(action.resource for action in look.actions)}"

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        raise Broken("the logs server changes nothing")

    def run(self, permit: Permit) -> Result:
        return run(self, permit.call)

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        raise Refused(Code.INVALID, "the logs server changes nothing, so there is nothing to undo")

    def settle(self, change: Change, slot: Slot) -> Outcome:
        return Outcome.FAILED

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def open_server(world: World) -> Logs:
    return Logs(world)


def reach(policy: Policy) -> tuple[list[Path], list[Path]]:
    """Folders that the confined process must read, and must write."""
    return folders(policy), []


def sandbox(policy: Policy, home: Path) -> Settings | None:
    """What the broker makes a sandbox engine of; None where nothing may be analysed."""
    section = policy.section(Section)
    return section.sandbox_settings(home) if section is not None and section.analyze else None


def programs(policy: Policy) -> Mapping[str, Program]:
    """ripgrep, which reads an opened file from stdin and nothing else; and what the policy's streams need."""
    section = policy.section(Section)
    found: dict[str, Program] = {}
    if section is None:
        return found
    binary = Path(sys.prefix) / "bin" / "rg"
    if binary.is_file():
        found["rg"] = Program(binary, limits={"cpu": 60, "memory": 512 << 20})
    if has_pods(policy):
        found |= cluster_program.programs(policy)
    return {**found, **streams.programs(policy)}
