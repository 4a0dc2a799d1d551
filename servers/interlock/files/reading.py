"""read_file and file_info: what they look at, and what they answer."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look, Result
from interlock.path_names import shown
from interlock.paths import Opened, Place, kind_of
from interlock.untrusted import visible

from .arguments import FileInfo, ReadFile
from .bounds import Bounds
from .hard_links import refuse_foreign_names
from .redacted import HEAD, WHOLE, Reader, too_large
from .text import binary_kind, counted, encoding_of, size_text

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Files

_MARGIN: Final = 700  # characters of an answer that are not the file's: header, fence, the guard's own line
_LINE: Final = 2000  # characters of a long line that are shown among others
_PATIENCE: Final = 4.0  # seconds for counting lines


@dataclass(slots=True)
class ReadPlan:
    opened: Opened
    bounds: Bounds
    keys_only: bool

    def close(self) -> None:
        self.opened.close()


def look_read(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, ReadFile)
    bounds = files.bounds(call.policy)
    path = bounds.parse(args.path)
    opened = bounds.roots.open(path)
    try:
        return _judge_read(bounds, path, opened, args)
    except BaseException:
        opened.close()
        raise


def _judge_read(bounds: Bounds, path: str, opened: Opened, args: ReadFile) -> Look:
    action = bounds.action("read", opened.real, size=opened.stat.st_size)
    by_name = bounds.action("read", path)
    actions = (action,) if path == opened.real else (action, by_name)
    if not any(a.attributes["protected"] or a.attributes["own"] for a in actions):
        if stat.S_ISDIR(opened.stat.st_mode):
            raise Refused(Code.INVALID, f"{shown(opened.real)} is a folder", hint="list_directory shows what is in it")
        if args.tail is not None and (args.offset is not None or args.limit is not None):
            raise Refused(Code.INVALID, "tail goes alone, without offset and limit")
        refuse_foreign_names(bounds, opened)
    keys_only = bounds.known_secret(opened.real) or bounds.known_secret(path)
    if keys_only and (args.tail, args.offset, args.limit) != (None, None, None):
        raise Refused(
            Code.PROTECTED,
            f"{shown(opened.real)} is a known secret file: its key names can be read, and only of the whole file",
            hint="call read_file without offset, limit and tail",
        )
    return Look(actions, ReadPlan(opened, bounds, keys_only))


def run_read(files: Files, permit: Permit) -> Result:
    call, plan = permit.call, permit.look.plan
    args = call.arguments
    assert isinstance(args, ReadFile) and isinstance(plan, ReadPlan)
    opened, found = plan.opened, plan.opened.stat
    budget = max(1000, call.policy.limits.result_chars - _MARGIN)
    if found.st_size > WHOLE:
        return _run_large(files.reader, call, plan, args, budget)
    document = files.reader.document(opened, call.policy.digest, keys_only=plan.keys_only)
    lines = document.text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    facts = [size_text(document.size), counted(document.lines, "line"), document.encoding.name]
    if "\r\n" in document.text:
        facts.append("CRLF")
    facts += [f"modified {_when(found.st_mtime)}", f"digest {document.digest}"]
    if plan.keys_only:
        facts.append("a known secret file: key names only")
    first = max(0, len(lines) - args.tail) if args.tail is not None else (args.offset or 1) - 1
    if first and first >= len(lines):
        raise Refused(Code.INVALID, f"{shown(opened.real)} has {len(lines)} lines", hint="choose a smaller offset")
    wanted = lines[first : first + args.limit] if args.limit is not None else lines[first:]
    text, taken, cut = fitted(wanted, budget, from_end=args.tail is not None)
    if args.tail is not None:
        first = len(lines) - taken
    where = f"lines {first + 1}-{first + taken} of {len(lines)}" if lines else "empty"
    header = f"{shown(opened.real)}: {', '.join(facts)}; {where}"
    rest = first + taken < len(lines)
    if taken < len(wanted) and args.tail is None:
        header += f", go on with offset={first + taken + 1}"
    elif taken < len(wanted):
        header += f", earlier ones with offset and limit up to {first}"
    header += cut
    return Result(
        text=text,
        header=header,
        untrusted=True,
        redactions=document.count,
        truncated=bool(cut) or (rest and taken < len(wanted)),
    )


def _run_large(reader: Reader, call: Call, plan: ReadPlan, args: ReadFile, budget: int) -> Result:
    opened, found = plan.opened, plan.opened.stat
    if plan.keys_only:
        raise too_large(opened.real, found.st_size)
    facts = [size_text(found.st_size), f"modified {_when(found.st_mtime)}"]
    if args.tail is not None:
        window = reader.tail(opened, args.tail)
        text, taken, cut = fitted(window.lines, budget, from_end=True)
        where = f"the last {taken} lines"
    else:
        until = time.monotonic() + _PATIENCE
        offset = args.offset or 1
        window = reader.window(
            opened, offset, args.limit or 10**9, lambda: call.link.cancelled or time.monotonic() > until
        )
        text, taken, cut = fitted(window.lines, budget)
        where = f"lines {offset}-{offset + taken - 1}; lines of a file this large are not counted"
        if window.more or taken < len(window.lines):
            where += f"; go on with offset={offset + taken}"
    if window.cut:
        cut = "; the line is longer than what is shown of it"
    header = f"{shown(opened.real)}: {', '.join([*facts, window.encoding.name])}; {where}{cut}"
    return Result(text=text, header=header, untrusted=True, redactions=window.count, truncated=True)


def fitted(lines: Sequence[str], budget: int, *, from_end: bool = False) -> tuple[str, int, str]:
    """As many lines as fit, long ones cut: the text, how many lines, and words about cuts for the header.

    A line alone (limit=1) may fill the whole budget.
    """
    longest = budget if len(lines) == 1 else min(_LINE, budget)
    out: list[str] = []
    used = cuts = 0
    for line in reversed(lines) if from_end else lines:
        line = line.removesuffix("\r")
        line = visible(line[: longest + 1] if len(line) > longest else line)
        if len(line) > longest:
            line = line[:longest] + "…"
            cuts += 1
        if used + len(line) + 1 > budget and out:
            break
        out.append(line)
        used += len(line) + 1
    if from_end:
        out.reverse()
    said = f"; {cuts} long lines are cut at {longest} characters" if cuts else ""
    if cuts and len(lines) > 1:
        said += ", limit=1 shows more of one"
    return "\n".join(out) + ("\n" if out else ""), len(out), said


def look_info(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, FileInfo)
    bounds = files.bounds(call.policy)
    path = bounds.parse(args.path)
    if path in bounds.paths:
        opened = bounds.roots.open(path)
        return Look((bounds.action("list", opened.real),), opened)
    place = bounds.roots.place(path, follow=False)
    if place.stat is None:
        place.close()
        raise Refused(Code.INVALID, f"there is no {shown(place.real)}", hint="list_directory shows what there is")
    return Look((bounds.action("list", place.real),), place)


def run_info(files: Files, permit: Permit) -> Result:
    """Facts of an entry. A link's target is told only where it stays inside."""
    place = permit.look.plan
    assert isinstance(place, Place | Opened) and place.stat is not None
    found = place.stat
    bounds = files.bounds(permit.call.policy)
    data: dict[str, object] = {
        "path": shown(place.real),
        "type": kind_of(found.st_mode).split(" ", 1)[1],
        "size": found.st_size,
        "mode": stat.filemode(found.st_mode),
        "owner": found.st_uid,
        "group": found.st_gid,
        "modified": _when(found.st_mtime),
        "access": "write" if place.root.write else "read",
    }
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        data["names"] = found.st_nlink
    if bounds.protected(place.real, change=True):
        data["protected"] = True
    if stat.S_ISLNK(found.st_mode):
        data["leads_to"] = _target(bounds, place.real)
    elif stat.S_ISREG(found.st_mode) and not data.get("protected") and isinstance(place, Place):
        data["content"] = _content(bounds, place)
    return Result(data=data)


def _target(bounds: Bounds, path: str) -> str:
    try:
        opened = bounds.roots.open(path)
    except Refused as refusal:
        return "outside of the roots" if refusal.code is Code.OUT_OF_BOUNDS else "nowhere"
    opened.close()
    return shown(opened.real)


def _content(bounds: Bounds, place: Place) -> str:
    opened = bounds.roots.open(place.real)
    try:
        fd = opened.read_fd()
        try:
            head = os.pread(fd, HEAD, 0)
        finally:
            os.close(fd)
    finally:
        opened.close()
    return binary_kind(head) or f"text, {encoding_of(head).name}"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
