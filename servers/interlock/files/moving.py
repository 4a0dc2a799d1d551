"""move_file: rename within the roots, trees whole; never onto a folder, and onto a file only with that file saved."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import UNKNOWN, Action, Attribute, Call, Look
from interlock.path_names import shown
from interlock.paths import Place, failed, kind_of

from .arguments import MoveFile
from .bounds import Bounds
from .extent import Extent, extent, hidden_otherwise, mark_of, moved, same_names
from .ground import Print
from .plans import (
    Plan,
    changed_keys,
    parents,
    put_back,
    refuse_foreign_owner,
    refused_by_name,
    small_content,
    temp_name,
)
from .redacted import HEAD
from .removing import take
from .renames import can_rename
from .steps import Fetch, Shift, Step
from .text import binary_kind, counted, encoding_of, size_text

if TYPE_CHECKING:
    from .tools import Files


def look_move(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, MoveFile)
    bounds = files.bounds(call.policy)
    path, to = bounds.parse(args.source), bounds.parse(args.destination)
    source = bounds.roots.place(path, follow=False)
    target: Place | None = None
    try:
        if source.stat is None:
            raise Refused(Code.INVALID, f"there is no {shown(source.real)}", hint="list_directory shows what there is")
        target = bounds.roots.place(to, follow=False)
        actions = [
            bounds.action("read", source.real, size=source.stat.st_size),
            bounds.change("move", source.real, path, whole=True, to=target.real),
            bounds.change("write", target.real, to, exists=target.stat is not None),
        ]
        if any(map(refused_by_name, actions)):
            return Look(tuple(actions))
        found = extent(bounds, source.parent, source.name, source.real, source.stat, target.real)
        _refuse(source, target, found)
        if found.protected:  # what it is refused for is named
            verb = "move" if found.protected.startswith(f"{source.real}/") else "write"
            return Look((bounds.action(verb, found.protected), *actions))
        return _look(files, bounds, (source, path), (target, to), found)
    except OSError as error:
        raise failed(error, source.real) from None
    finally:
        source.close()
        if target is not None:
            target.close()


def _refuse(source: Place, target: Place, found: Extent) -> None:
    assert source.stat is not None
    if found.mount:
        raise Refused(Code.OUT_OF_BOUNDS, f"another file system is mounted inside {shown(source.real)}")
    if target.real == source.real or target.real.startswith(source.real + "/"):
        raise Refused(Code.INVALID, "something cannot be moved onto or into itself")
    if target.stat is None:
        return
    if stat.S_ISDIR(target.stat.st_mode):
        raise Refused(
            Code.INVALID, f"{shown(target.real)} is a folder", hint=f"to move into it, name {shown(target.real)}/NAME"
        )
    if not (stat.S_ISREG(target.stat.st_mode) and stat.S_ISREG(source.stat.st_mode)):
        what = kind_of(target.stat.st_mode)
        raise Refused(Code.INVALID, f"{shown(target.real)} is there already: {what}", hint="choose another name")
    refuse_foreign_owner(target.stat, target.real)


def _look(files: Files, bounds: Bounds, source: tuple[Place, str], target: tuple[Place, str], found: Extent) -> Look:
    (here, path), there = source, target[0]
    assert here.stat is not None
    before = Print.from_stat(here.stat)
    onto = Print.of(there.parent, there.name) if there.stat is not None else None
    makes = parents(there)
    size = onto.size if onto is not None else 0
    if can_rename(here.parent, there.parent):
        saved = "onto" if onto is not None else ""
        check = same_names(bounds, here.real, found, there.real) if found.tree else None
        steps: list[Step] = [Shift(here.real, there.real, before, onto, saved=saved, temp=temp_name(), _check=check)]
    elif onto is not None:
        raise Refused(
            Code.INVALID, f"{shown(there.real)} is there already, on another file system", hint="delete it first"
        )
    else:
        check = same_names(bounds, here.real, found, there.real) if found.tree else None
        steps = [Fetch(here.real, there.real, temp_name(), _check=check), take(files, bounds, here, 0, None)]
        size += found.size
    read = _read(files, bounds, here, path, found)
    top = bounds.change(
        "move",
        here.real,
        path,
        effect=files.reader.digest(found.mark),
        to=there.real,
        files=found.files,
        size=found.size,
        tree=found.tree,
    )
    top = bounds.with_flags(top, own=found.own)
    written = _written(files, bounds, target, here, onto, found)
    header = (
        f"{shown(here.real)}: moved to {shown(there.real)} ({counted(found.files, 'entry')}, {size_text(found.size)})"
    )
    if secrets := _secrets(files, here):
        header += f"; it holds {counted(secrets, 'secret')}: whatever reads {shown(there.real)} reads them"
    if onto is not None:
        header += f"; {put_back(bounds, size, 'the file that was there can be put back')}"
    if makes:
        header += f"; folders made: {', '.join(shown(step.path) for step in makes)}"
    plan = Plan(bounds, [*makes, *steps], "", header, before=top.effect)
    actions = (top, written, *read, *moved(bounds, files.reader, here.real, there.real, found))
    return Look(actions, plan, asks=hidden_otherwise(bounds, here.real, there.real, found), size=size)


def _secrets(files: Files, here: Place) -> int:
    """How many secrets a small text file holds that moves: a person is told, for it may come to where they are seen."""
    assert here.stat is not None
    data = small_content(here.parent, here.name) if stat.S_ISREG(here.stat.st_mode) else None
    if not data or binary_kind(data[:HEAD]) is not None:
        return 0
    return files.reader.redact(encoding_of(data).decode_lossy(data), here.real).count


def _read(files: Files, bounds: Bounds, here: Place, path: str, found: Extent) -> list[Action]:
    """A move is also a read of what moves: where it comes to, other rules may let it be read."""
    mark, size = files.reader.digest(found.mark), 0 if found.tree else found.size
    return [bounds.action("read", name, effect=mark, size=size) for name in dict.fromkeys((here.real, path))]


def _written(
    files: Files, bounds: Bounds, target: tuple[Place, str], here: Place, onto: Print | None, found: Extent
) -> Action:
    """What a move writes at its destination. The keys of a tree's files are not known one by one."""
    (there, to), source = target, here.stat
    assert source is not None
    old_mark = "" if there.stat is None or onto is None else f"{mark_of(there.stat)}:{onto.sha}"
    effect = files.reader.digest(f"{found.mark}>{old_mark}")
    keys: Attribute | None = None
    if stat.S_ISREG(source.st_mode):
        old = small_content(there.parent, there.name) if onto is not None else None
        keys = UNKNOWN if onto is not None and old is None else None
        keys = keys or changed_keys(there.real, old, small_content(here.parent, here.name))
    return bounds.change(
        "write",
        there.real,
        to,
        effect=effect,
        exists=onto is not None,
        size=found.size,
        files=found.files,
        changed=keys,
    )


def preview_move(files: Files, call: Call, look: Look) -> str:
    plan = look.plan
    assert isinstance(plan, Plan)
    return plan.header.replace(": moved to ", ": would be moved to ")
