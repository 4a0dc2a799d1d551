"""delete_file and clean_up: entries go into the change's slot, whole, and can be put back from there."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look
from interlock.path_names import shown
from interlock.paths import Place, kind_of

from .actions import CleanUp
from .arguments import CleanUpArguments, DeleteFile
from .bounds import Bounds
from .ground import Print
from .plans import Plan, refused_by_name, temp_name
from .steps import Step, Take
from .text import counted, size_text
from .trees import walk

if TYPE_CHECKING:
    from .tools import Files

_SHOWN: Final = 40  # entries that a preview names


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of an entry and all below it. `why`: for what name in it the tree may not be touched."""

    files: int
    size: int
    tree: bool
    protected: bool = False
    own: bool = False
    mount: bool = False


def extent(bounds: Bounds, folder: int, name: str, real: str, found: os.stat_result, to: str = "") -> Extent:
    """Count an entry whole and look for protected names in it, and in it where it would be moved `to`.

    Raises TooMuch where it is too large to be known.
    """
    own = bounds.own(real, tree=True)
    if not stat.S_ISDIR(found.st_mode):
        return Extent(1, _held(found), False, own=own)
    if any(root.startswith(real + "/") or root == real for root in bounds.paths):
        raise Refused(Code.OUT_OF_BOUNDS, f"{shown(real)} holds a root of the policy", hint="name what is inside it")
    files, size, protected, mount = 1, 0, False, False
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        for entry in walk(top, real):
            assert entry.stat is not None
            files += 1
            size += _held(entry.stat)
            for top_path in (real, to) if to else (real,):
                protected = protected or bounds.protected(f"{top_path}/{entry.path}", change=True)
            mount = mount or (entry.is_folder and entry.stat.st_dev != found.st_dev)
    finally:
        os.close(top)
    return Extent(files, size, True, protected, own, mount)


def _held(found: os.stat_result) -> int:
    """Bytes that an entry really takes: holes take none."""
    return min(found.st_size, found.st_blocks * 512)


def take(files: Files, bounds: Bounds, place: Place, number: int, *, watched: bool) -> Take:
    """The step that takes this entry. `watched`: it is a tree, looked through once more after it was taken."""
    assert place.stat is not None
    copied = not files.stores_beside(place.parent)
    before = Print.from_stat(place.stat)
    check = _check(bounds, place.real) if watched else None
    return Take(place.real, f"entry-{number}", temp_name(), before, copied=copied, _check=check)


def _check(bounds: Bounds, real: str) -> Callable[[int, str], str]:
    def why_not(folder: int, name: str) -> str:
        now = extent(bounds, folder, name, real, os.lstat(name, dir_fd=folder))
        if now.protected or now.own or now.mount:
            return "something protected came into it meanwhile"
        return ""

    return why_not


def look_delete(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, DeleteFile)
    bounds = files.bounds(call.policy)
    path = bounds.parse(args.path)
    place = bounds.roots.place(path, follow=False)
    try:
        if place.stat is None:
            raise Refused(Code.INVALID, f"there is no {shown(place.real)}", hint="list_directory shows what there is")
        first = bounds.change("delete", place.real, path, whole=True)
        if refused_by_name(first):
            return Look((first,))
        found = extent(bounds, place.parent, place.name, place.real, place.stat)
        if found.mount:
            raise Refused(Code.OUT_OF_BOUNDS, f"another file system is mounted inside {shown(place.real)}")
        action = bounds.change(
            "delete",
            place.real,
            path,
            effect=f"{place.stat.st_dev}:{place.stat.st_ino}:{found.files}",
            files=found.files,
            size=found.size,
        )
        flags = {"tree": found.tree, "protected": found.protected or bool(action.attributes["protected"])}
        action = bounds.with_flags(action, **flags)
        if refused_by_name(action):
            return Look((action,))
        step = take(files, bounds, place, 0, watched=found.tree)
    finally:
        place.close()
    what = kind_of(place.stat.st_mode).split(" ", 1)[1]
    header = f"{shown(place.real)}: deleted ({what}, {_amount(found)}); it can be put back"
    plan = Plan(bounds, [step], "", header, before=files.reader.digest(action.effect))
    return Look((action,), plan, size=found.size)


def preview_delete(files: Files, call: Call, look: Look) -> str:
    plan = look.plan
    assert isinstance(plan, Plan)
    return plan.header.replace(": deleted (", ": would be deleted (")


def _amount(found: Extent) -> str:
    return f"{counted(found.files, 'entry')}, {size_text(found.size)}" if found.tree else size_text(found.size)


# ---------------------------------------------------------------- clean_up


def look_clean_up(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, CleanUpArguments)
    bounds = files.cleaning(call.policy)
    rule = bounds.section.clean_up.get(args.name)
    if rule is None:
        known = ", ".join(map(shown, bounds.section.clean_up)) or "none"
        raise Refused(Code.INVALID, "the policy has no clean-up of this name", hint=f"clean-ups: {known}")
    path = str(rule.path)
    opened = bounds.roots.open(path)
    try:
        if opened.real != path or not stat.S_ISDIR(opened.stat.st_mode):
            raise Refused(Code.OUT_OF_BOUNDS, f"{shown(path)} is no folder, or a link to somewhere else")
        chosen = _chosen(opened.fd, rule, call.time)
        return _clean_up(files, bounds, args, rule, path, chosen, dry=args.dry_run)
    finally:
        opened.close()


def _chosen(folder: int, rule: CleanUp, now: float) -> list[str]:
    """Names in the folder that the rule takes, oldest first. A link is never one, nor what it leads to."""
    from interlock.globs import compile_globs

    folders = compile_globs([glob.rstrip("/") for glob in rule.match if glob.endswith("/")])
    names = compile_globs([glob for glob in rule.match if not glob.endswith("/")])
    matching: list[tuple[float, str]] = []
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if not is_folder and not entry.is_file(follow_symlinks=False):
                    continue
                if names.matches(entry.name) or (is_folder and folders.matches(entry.name)):
                    matching.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
    finally:
        os.close(fd)
    matching.sort()
    if rule.keep_newest:
        matching = matching[: -rule.keep_newest]
    return [name for modified, name in matching if modified < now - rule.older_than]


def _clean_up(
    files: Files, bounds: Bounds, args: CleanUpArguments, rule: CleanUp, path: str, chosen: list[str], *, dry: bool
) -> Look:
    steps: list[Step] = []
    lines: list[str] = []
    count = size = 0
    protected = own = False
    effects: list[str] = []
    for number, name in enumerate(chosen):
        place = bounds.roots.place(f"{path}/{name}", follow=False)
        try:
            if place.stat is None or stat.S_ISLNK(place.stat.st_mode):
                continue
            found = extent(bounds, place.parent, place.name, place.real, place.stat)
            if found.mount:
                raise Refused(Code.OUT_OF_BOUNDS, f"another file system is mounted inside {shown(place.real)}")
            count, size = count + found.files, size + found.size
            if count > rule.max.files or size > rule.max.size:
                raise Refused(
                    Code.TOO_LARGE,
                    f"clean-up {shown(args.name)} would take more than its rule allows "
                    f"({rule.max.files} entries, {size_text(rule.max.size)})",
                    hint="a person raises `max` in the policy, or cleans up by hand once",
                )
            protected = protected or found.protected or bounds.protected(place.real, change=True)
            own = own or found.own
            steps.append(take(files, bounds, place, number, watched=found.tree))
            effects.append(f"{place.stat.st_dev}:{place.stat.st_ino}")
            lines.append(f"{shown(name)}{'/' if found.tree else ''}  {_amount(found)}")
        finally:
            place.close()
    action = bounds.change(
        "clean_up", path, name=args.name, files=count, size=size, effect=files.reader.digest(" ".join(effects))
    )
    flags = {"protected": protected or bool(action.attributes["protected"]), "own": own}
    action = bounds.with_flags(action, **flags)
    if not steps and not dry and not refused_by_name(action):
        raise Refused(
            Code.INVALID, f"there is nothing to clean up for {shown(args.name)}", hint="nothing is old enough"
        )
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + rule.keep))
    verb = "would be taken" if dry else "taken"
    header = f"clean-up {shown(args.name)} in {shown(path)}: {len(steps)} {verb}"
    header += f" ({counted(count, 'entry')}, {size_text(size)})"
    header += f"; restorable until {until}, then the space is freed"
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]
    plan = Plan(bounds, steps, "\n".join(lines) + ("\n" if lines else ""), header, keep=rule.keep)
    return Look((action,), plan, size=size, dry=dry)
