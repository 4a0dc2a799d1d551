"""delete_file and clean_up: entries go into the change's slot, whole, and can be put back from there."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call, Look
from interlock.path_names import shown
from interlock.paths import Place, kind_of

from .actions import CleanUp
from .arguments import CleanUpArguments, DeleteFile
from .bounds import Bounds
from .extent import Extent, below, extent, same_names
from .ground import Print
from .plans import Plan, put_back, refused_by_name, temp_name
from .steps import Step, Take
from .text import counted, size_text

if TYPE_CHECKING:
    from .tools import Files

_SHOWN: Final = 40  # entries that a preview names


def take(files: Files, bounds: Bounds, place: Place, number: int, looked: Extent | None) -> Take:
    """The step that takes this entry. `looked`: what is in it is looked through once more after it was taken."""
    assert place.stat is not None
    copied = not files.stores_beside(place.parent)
    before = Print.from_stat(place.stat)
    check = same_names(bounds, place.real, looked) if looked is not None and looked.tree else None
    return Take(place.real, f"entry-{number}", temp_name(), before, copied=copied, _check=check)


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
            effect=files.reader.digest(found.mark),
            files=found.files,
            size=found.size,
        )
        action = bounds.with_flags(action, tree=found.tree)
        if found.protected:  # what it is refused for is named
            return Look((bounds.action("delete", found.protected), action))
        if refused_by_name(action):
            return Look((action,))
        step = take(files, bounds, place, 0, found)
    finally:
        place.close()
    what = kind_of(place.stat.st_mode).split(" ", 1)[1]
    header = (
        f"{shown(place.real)}: deleted ({what}, {_amount(found)}); {put_back(bounds, found.size, 'it can be put back')}"
    )
    plan = Plan(bounds, [step], "", header, before=files.reader.digest(action.effect))
    return Look((action, *below(bounds, files.reader, "delete", place.real, found)), plan, size=found.size)


def preview_clean_up(files: Files, call: Call, look: Look) -> str:
    """Without the time of day: what a person said yes to is the same a minute later."""
    plan = look.plan
    assert isinstance(plan, Plan)
    header, promised, _ = plan.header.partition("; restorable until ")
    return f"{header}{f'; restorable for {plan.keep} s' if promised else ''}\n{plan.preview}"


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
    protected, own = "", False
    effects: list[str] = []
    entries: list[Action] = []
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
            protected = protected or (place.real if bounds.protected(place.real, change=True) else found.protected)
            own = own or found.own
            steps.append(take(files, bounds, place, number, found))
            effects.append(found.mark)
            one: dict[str, Any] = {"name": args.name, "files": found.files, "size": found.size}
            entries.append(bounds.action("clean_up", place.real, effect=files.reader.digest(found.mark), **one))
            entries += below(bounds, files.reader, "clean_up", place.real, found, name=args.name)
            lines.append(f"{shown(name)}{'/' if found.tree else ''}  {_amount(found)}")
        finally:
            place.close()
    action = bounds.change(
        "clean_up", path, name=args.name, files=count, size=size, effect=files.reader.digest(" ".join(effects))
    )
    action = bounds.with_flags(action, own=own)
    if protected:
        return Look((bounds.action("clean_up", protected, name=args.name), action))
    if not steps and not dry and not refused_by_name(action):
        raise Refused(
            Code.INVALID, f"there is nothing to clean up for {shown(args.name)}", hint="nothing is old enough"
        )
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + rule.keep))
    verb = "would be taken" if dry else "taken"
    header = f"clean-up {shown(args.name)} in {shown(path)}: {len(steps)} {verb}"
    header += f" ({counted(count, 'entry')}, {size_text(size)})"
    header += f"; {put_back(bounds, size, f'restorable until {until}, then the space is freed')}"
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]
    plan = Plan(bounds, steps, "\n".join(lines) + ("\n" if lines else ""), header, keep=rule.keep)
    return Look((action, *entries), plan, size=size, dry=dry)
