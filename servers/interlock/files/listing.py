"""list_directory: a window of a folder's names, in order, however many there are."""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look, Result
from interlock.path_names import parse_name, shown
from interlock.paths import Opened, failed, lstat

from .arguments import ListDirectory
from .text import counted as number
from .text import size_text

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Files

_MARGIN: Final = 700  # characters of an answer that are not lines
_SECONDS: Final = 4.0


def look_list(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, ListDirectory)
    bounds = files.bounds(call.policy)
    opened = bounds.roots.open(bounds.parse(args.path))
    if not stat.S_ISDIR(opened.stat.st_mode):
        opened.close()
        raise Refused(
            Code.INVALID, f"{shown(opened.real)} is not a folder", hint="file_info and read_file are for files"
        )
    return Look((bounds.action("list", opened.real),), opened)


def run_list(files: Files, permit: Permit) -> Result:
    """Names in order of their bytes, folders with a `/`; at most `limit`, held in memory no more than that."""
    args, opened = permit.call.arguments, permit.look.plan
    assert isinstance(args, ListDirectory) and isinstance(opened, Opened)
    after = parse_name(args.after) if args.after else None
    budget = max(1000, permit.call.policy.limits.result_chars - _MARGIN)
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=opened.fd)
    except OSError as error:
        raise failed(error, opened.real) from None
    try:
        with os.scandir(fd) as entries:
            names_seen = _Counted(entries, after, _judge(files, permit, opened))
            names = [os.fsdecode(name) for name in heapq.nsmallest(args.limit, names_seen)]
        lines, used = [], 0
        for name in names:
            line = _line(name, fd)
            if used + len(line) + 1 > budget:
                break
            lines.append(line)
            used += len(line) + 1
    finally:
        os.close(fd)
    left = names_seen.kept - len(lines)
    facts = [number(names_seen.all, "entry") if names_seen.complete else f"more than {names_seen.all:,} entries"]
    if names_seen.left_out:
        facts.append(f"{number(names_seen.left_out, 'name')} left out by the policy's rules")
    if left:
        facts.append(f"these are {len(lines)}, go on with after={shown(names[len(lines) - 1])}")
    if not names_seen.complete:
        facts.append("the folder was not read to its end in time: the order has gaps")
    text = "\n".join(lines) + ("\n" if lines else "")
    return Result(text=text, header=f"{shown(opened.real)}: {'; '.join(facts)}", untrusted=True, truncated=left > 0)


def _judge(files: Files, permit: Permit, opened: Opened) -> Callable[[str], bool] | None:
    """Whether the policy's rules let a name in this folder be listed; None where they do not tell names apart."""
    bounds = files.bounds(permit.call.policy)
    if not bounds.judges("list"):
        return None
    folder = opened.real.rstrip("/")
    consented = permit.decision if permit.approval is not None else None
    return lambda name: bounds.may([bounds.action("list", f"{folder}/{name}")], consented)


class _Counted:
    """The names after the cursor, and how many there were."""

    def __init__(
        self, entries: Iterator[os.DirEntry[str]], after: str | None, may: Callable[[str], bool] | None
    ) -> None:
        self._entries = entries
        self._may = may
        self.left_out = 0
        self._after = None if after is None else os.fsencode(after)
        self.all = self.kept = 0
        self.complete = True

    def __iter__(self) -> Iterator[bytes]:
        until = time.monotonic() + _SECONDS
        for entry in self._entries:
            self.all += 1
            if self.all % 1024 == 0 and time.monotonic() > until:
                self.complete = False
                return
            name = os.fsencode(entry.name)  # as bytes: the same order everywhere, and a cursor means one place
            if self._after is None or name > self._after:
                if self._may is not None and not self._may(entry.name):
                    self.left_out += 1
                    continue
                self.kept += 1
                yield name


def _line(name: str, folder: int) -> str:
    try:
        found = lstat(name, folder)
    except Refused:
        found = None
    if found is None:
        return f"{shown(name)}  (gone)"
    if stat.S_ISDIR(found.st_mode):
        return f"{shown(name)}/"
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(found.st_mtime))
    if stat.S_ISREG(found.st_mode):
        return f"{shown(name)}  {size_text(found.st_size)}  {when}"
    kind = "link" if stat.S_ISLNK(found.st_mode) else "special"
    return f"{shown(name)}  {kind}  {when}"
