"""The files server: its tools, and the one object through which the guard knows it. What each does is beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call, Look, Outcome, Result, Tool, World
from interlock.path_names import shown
from interlock.sandbox.children import Program

from . import arguments, listing, moving, reading, removing, searching, undo, writing
from .actions import Section
from .bounds import BoundsOf
from .ground import Ground
from .plans import Plan, perform
from .redacted import FilesDetector, Reader
from .renames import can_rename

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit
    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot

_READ: Final = ("files.read",)
_LIST: Final = ("files.list",)

TOOLS: Final = (
    Tool(
        "read_file",
        "Read a text file. Secrets show as placeholders. Large files: a window by offset/limit, or tail.",
        arguments.ReadFile,
        _READ,
    ),
    Tool("list_directory", "List a folder in order of names; folders end in /.", arguments.ListDirectory, _LIST),
    Tool(
        "search_files",
        "Search lines by regex in files below a path, or list files by glob.",
        arguments.SearchFiles,
        (*_READ, *_LIST),
    ),
    Tool("file_info", "Type, size, mode, owner and times of a file or folder.", arguments.FileInfo, _LIST),
    Tool(
        "write_file",
        "Create or replace a text file whole; missing folders are made. Prefer edit_file for changes.",
        arguments.WriteFile,
        ("files.write",),
        change=True,
        destructive=True,
    ),
    Tool(
        "edit_file",
        "Replace exact text in a file; all edits or none. Placeholders left in place keep their secrets. "
        "Answers with a diff.",
        arguments.EditFile,
        ("files.write",),
        change=True,
        destructive=True,
    ),
    Tool(
        "move_file",
        "Move or rename a file or folder; a file at the destination is replaced and can be put back.",
        arguments.MoveFile,
        ("files.move",),
        change=True,
        destructive=True,
    ),
    Tool(
        "delete_file",
        "Delete a file or a whole folder; it can be put back with files_undo.",
        arguments.DeleteFile,
        ("files.delete",),
        change=True,
        destructive=True,
    ),
    Tool(
        "clean_up",
        "Run a clean-up that the policy names (files_guard lists them); dry_run first.",
        arguments.CleanUpArguments,
        ("files.clean_up",),
        change=True,
        destructive=True,
    ),
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
        self.cleaning = BoundsOf(cleaning=True)
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
        try:
            return OPERATIONS[call.tool].look(self, call)
        except OSError as error:  # it went away, or became something else, while it was looked at
            why = os.strerror(error.errno or 0)
            raise Refused(Code.CONFLICT, f"it changed while it was looked at ({why})", hint="look again") from None

    def stores_beside(self, folder: int) -> bool:
        """Whether an entry of this folder can be renamed into the store of snapshots. Raises OSError."""
        store = self.world.home / "snapshots"
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = os.open(store if store.is_dir() else self.world.home, flags)
        try:
            return can_rename(folder, fd)
        finally:
            os.close(fd)

    def preview(self, call: Call, look: Look) -> str:
        operation = OPERATIONS.get(call.tool)
        if operation is not None and operation.preview is not None:
            return operation.preview(self, call, look)
        plan = look.plan
        if not isinstance(plan, Plan):
            return ""
        if not look.dry:
            return plan.for_people()
        asks = look.asks if call.principal.agent else ()  # a person is told by their own pipeline
        drift = [f"a person would be asked: {reason}\n" for reason in asks]
        return f"{''.join(drift)}{plan.header}\n{plan.preview}"

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        assert isinstance(look.plan, Plan)
        undo.capture(look.plan, slot)

    def run(self, permit: Permit) -> Result:
        operation = OPERATIONS.get(permit.call.tool)
        return operation.run(self, permit) if operation is not None else run_change(self, permit)

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        try:
            return undo.look_undo(self, call, change, slot)
        except OSError as error:
            raise Refused(
                Code.INVALID, f"it cannot be found out what undoing would do ({os.strerror(error.errno or 0)})"
            ) from None

    def settle(self, change: Change, slot: Slot) -> Outcome:
        return undo.settle(self.cleaning(self.world.policy), slot)

    def close(self) -> None:
        """Nothing to do: descriptors go with the bounds that hold them."""


def run_change(files: Files, permit: Permit) -> Result:
    """Do the steps of a change; in this one place files are changed. Raises Failed."""
    plan, slot = permit.look.plan, permit.slot
    assert isinstance(plan, Plan) and slot is not None
    perform(Ground(plan.bounds.roots, slot.path), plan.steps)
    return Result(
        text=plan.preview,
        header=plan.header,
        untrusted=bool(plan.preview),
        redactions=plan.redactions,
        before=plan.before,
        after=plan.after,
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "read_file": Operation("read", reading.look_read, reading.run_read),
    "list_directory": Operation("list", listing.look_list, listing.run_list),
    "search_files": Operation("read", searching.look_search, searching.run_search),
    "file_info": Operation("list", reading.look_info, reading.run_info),
    "write_file": Operation("write", writing.look_write, run_change),
    "edit_file": Operation("write", writing.look_write, run_change),
    "move_file": Operation(
        "move", moving.look_move, run_change, ("source", "destination"), preview=moving.preview_move
    ),
    "delete_file": Operation("delete", removing.look_delete, run_change, preview=removing.preview_delete),
    "clean_up": Operation("clean_up", removing.look_clean_up, run_change, (), preview=removing.preview_clean_up),
}


def open_server(world: World) -> Files:
    return Files(world)


def reach(policy: Policy) -> tuple[list[Path], list[Path]]:
    """Folders that the confined process must read, and must write: the policy's roots."""
    section = policy.section(Section)
    roots = section.roots if section is not None else ()
    cleaned = [rule.path for rule in section.clean_up.values()] if section is not None else []
    return (
        [root.path for root in roots if root.access == "read"],
        [root.path for root in roots if root.access == "write"] + cleaned,
    )


def programs(policy: Policy) -> Mapping[str, Program]:
    """ripgrep, which finds candidates for search_files: it reads the roots and nothing else."""
    binary = searching.ripgrep()
    section = policy.section(Section)
    if binary is None or section is None:
        return {}
    read = tuple(root.path for root in section.roots)
    return {searching.RIPGREP: Program(binary, read=read, limits={"cpu": 20, "memory": 2 * 1024**3})}
