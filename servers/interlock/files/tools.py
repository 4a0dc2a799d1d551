"""The files server: its tools, and the one object through which the guard knows it. What each does is beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call, Look, Outcome, Result, Tool, World
from interlock.path_names import shown

from . import arguments, reading
from .actions import Section
from .bounds import Bounds, BoundsOf
from .redacted import FilesDetector, Reader

if TYPE_CHECKING:
    from interlock.guard.changes import Change
    from interlock.guard.pipeline import Permit
    from interlock.guard.policy import Policy
    from interlock.guard.snapshots import Slot
    from interlock.sandbox.children import Program

_READ: Final = ("files.read",)
_LIST: Final = ("files.list",)

TOOLS: Final = (
    Tool("read_file", "Text of a file; secrets are placeholders.", arguments.ReadFile, _READ),
    Tool("file_info", "Type, size, mode, times of an entry.", arguments.FileInfo, _LIST),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one tool is made of. `interpret`: the actions by names alone; `look`, `run` as the guard's protocol."""

    verb: str
    look: Callable[[Files, Call], Look]
    run: Callable[[Files, Permit], Result]
    names: tuple[str, ...] = ("path",)
    preview: Callable[[Files, Call, Look], str] | None = None


class Files:
    """The server. Thread-safe: what calls share is in `bounds` and `reader`, each with its own lock."""

    name = "files"
    tools = TOOLS

    def __init__(self, world: World) -> None:
        self.world = world
        self.bounds = BoundsOf()
        self.reader = Reader(cast(FilesDetector, world.detector), world.key)

    def instructions(self, policy: Policy) -> str:
        section = policy.section(Section)
        if section is None:
            return "The policy names no roots: no file can be reached."
        roots = [f"{shown(str(root.path))} ({root.access})" for root in section.roots]
        lines = [f"Roots: {', '.join(roots)}. Give absolute paths."]
        if section.clean_up:
            lines.append(f"Clean-ups (clean_up name=...): {', '.join(section.clean_up)}.")
        absent = self.bounds(policy).roots.absent
        if absent:
            lines.append(f"Not there at start: {', '.join(map(shown, absent))}.")
        return "\n".join(lines)

    def interpret(self, call: Call) -> tuple[Action, ...]:
        bounds, operation = self.bounds(call.policy), OPERATIONS[call.tool]
        paths = [bounds.parse(getattr(call.arguments, name)) for name in operation.names]
        if not paths:
            return ()
        return tuple(bounds.action(operation.verb, path) for path in paths)

    def look(self, call: Call) -> Look:
        return OPERATIONS[call.tool].look(self, call)

    def preview(self, call: Call, look: Look) -> str:
        operation = OPERATIONS.get(call.tool)
        if operation is None or operation.preview is None:
            return ""
        return operation.preview(self, call, look)

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        raise Refused(Code.INVALID, f"{call.tool} changes nothing")

    def run(self, permit: Permit) -> Result:
        return OPERATIONS[permit.call.tool].run(self, permit)

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        raise Refused(Code.INVALID, "there is nothing to undo")

    def settle(self, change: Change, slot: Slot) -> Outcome:
        return Outcome.UNKNOWN

    def close(self) -> None:
        """Nothing to do: descriptors go with the bounds that hold them."""


OPERATIONS: Final[Mapping[str, Operation]] = {
    "read_file": Operation("read", reading.look_read, reading.run_read),
    "file_info": Operation("list", reading.look_info, reading.run_info),
}


def open_server(world: World) -> Files:
    return Files(world)


def reach(policy: Policy) -> tuple[list[Path], list[Path]]:
    """Folders that the confined process must read, and must write: the policy's roots."""
    section = policy.section(Section)
    roots = section.roots if section is not None else ()
    return (
        [root.path for root in roots if root.access == "read"],
        [root.path for root in roots if root.access == "write"],
    )


def programs(policy: Policy) -> Mapping[str, Program]:
    """ripgrep, which finds candidates for search_files: it reads the roots and nothing else."""
    return {}


__all__ = ["TOOLS", "Bounds", "Files", "open_server", "programs", "reach"]
