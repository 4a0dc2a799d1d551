"""What a source is made of: files in their order of rotation, or streams that programs print.

A part is opened only when it is read, and the opened file is judged, not its name: it must be a regular file, lie
(with links resolved) in a folder of a source and match a source's glob, and have no second hard link.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from interlock.globs import Matcher, compile_globs
from interlock.guard.errors import Code, Failed, Refused
from interlock.paths import Roots

from .blocks import BLOCK, LINE_CAP, Block, Budget, file_reader, forward, joined, lines_above, packing_of, unpacked
from .joining import Stream, stamp
from .unwrap import Unwrapper, unwrapper

MAX_FILES: Final = 2_000  # of one source; the newest are kept
MAX_WALKED: Final = 50_000
_LATEST: Final = 253_402_300_799.0  # seconds: the end of the year 9999
_ROTATED: Final = re.compile(r"^(?P<stem>.*?)(?P<rank>(?:[.-]\d{1,5})?)(?:\.(?:gz|xz|zst|bz2))?$")
_PIECE: Final = re.compile(r"[A-Za-z0-9]{20,128}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._+@:/-]{1,80}")
_DATED: Final = re.compile(r"[-._]?(\d{4}-?\d{2}-?\d{2}(?:[-T_]?\d{2,6})?)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a stream: its program may give more, never less. Times in seconds."""

    since: float | None = None
    until: float | None = None
    last: int | None = None  # only the last lines
    follow: bool = False  # and what comes then

    def told(self) -> Wanted:
        """The same in times that every program understands: those of our epoch with four digits of a year."""
        since = min(self.since, _LATEST) if self.since is not None and self.since > 0 else None
        return replace(self, since=since, until=max(1.0, min(self.until, _LATEST)) if self.until is not None else None)


@dataclass(slots=True)
class Part:
    """One readable piece of a source: a file, or a stream, of which `size` is None.

    Places in a file are offsets of lines; in a stream, whose start moves, the times of lines in ns.
    """

    name: str  # as shown: the file's name below the source's folder
    id: str  # stays the same while a file is renamed
    changed: float  # seconds: when it was last written to
    size: int | None
    packing: str = ""
    path: str = ""
    opener: Callable[[], int] | None = None  # a descriptor, for files
    streamer: Callable[[Budget, Wanted], Stream] | None = None
    head: bytes = b""  # its first bytes: whether its lines are wrapped in others
    problem: str = ""  # why it cannot be read
    series: str = ""
    order: tuple[str, int] = field(default=("", 0))

    @property
    def shown(self) -> str:
        """Its name where it may stand outside of the fence: plain, short, and nothing like a sentence or a token."""
        from interlock.redaction.assigned import is_token

        tokens = self.path and any(is_token(piece.encode()) for piece in _PIECE.findall(self.name))
        return self.name if _PLAIN.fullmatch(self.name) and not tokens else "(a file with an odd name)"

    def listed(self, redact: Callable[[str], str]) -> str:
        """A file's name, in which a piece that is a token is hidden as in an assignment."""
        if not self.path:
            return self.name
        return _PIECE.sub(lambda piece: redact(f"name={piece.group()}").removeprefix("name="), self.name)

    @property
    def seekable(self) -> bool:
        return self.opener is not None and not self.packing and unwrapper(self.head) is None

    def place(self, offset: int, text: str, near: int = 0) -> int:
        """Where a line is, for cursors. `near`: in a stream, the place of the line above, for one without a time."""
        if self.streamer is None:
            return offset
        return max(near, stamp(text[:64].encode("utf-8", "replace")))

    def blocks(
        self,
        budget: Budget,
        start: int = 0,
        end: int | None = None,
        size: int = BLOCK,
        wanted: Wanted = Wanted(),
    ) -> Iterator[Block]:
        """Blocks of whole lines from `start` (a start of a line); of a stream, from the start of what is `wanted`.

        Closes the file, or ends the program, at the end.
        """
        if self.streamer is not None:
            yield from self._plain(budget, size, wanted)
            return
        if not self.seekable:
            yield from _from(self._plain(budget, size, wanted), start, end)
            return
        assert self.opener is not None
        fd = self.opener()
        try:
            yield from forward(file_reader(fd, start), start, budget, size, end, lines_above(fd, start))
        finally:
            os.close(fd)

    def _plain(self, budget: Budget, size: int, wanted: Wanted) -> Iterator[Block]:
        """The lines of a stream, unpacked and unwrapped; offsets count bytes of what comes out here."""
        fd = self.opener() if self.opener is not None else -1
        stream: Stream | None = None
        try:
            if self.streamer is not None:
                stream = self.streamer(budget, wanted.told())
                read: Callable[[int], bytes] = stream.read
            else:
                read = unpacked(fd, self.packing, budget) if self.packing else file_reader(fd, 0)
            wrapped: Unwrapper | None = None
            offset, above = -1, b""
            for block in forward(read, 0, budget, size):
                if offset < 0:
                    offset, wrapped = 0, unwrapper(block.data[:LINE_CAP])
                if wrapped is None:
                    yield block
                    continue
                data = wrapped.feed(block.data)
                if data:
                    yield Block(offset, data, offset + len(data) + 1, above)
                    above = joined(above, data)
                    offset += len(data) + 1
            rest = wrapped.flush() if wrapped is not None else b""
            if rest:
                yield Block(offset, rest, offset + len(rest), above)
        finally:
            if stream is not None:
                stream.close()
            if fd >= 0:
                os.close(fd)


def _from(blocks: Iterator[Block], start: int, end: int | None) -> Iterator[Block]:
    """Of a stream, the lines that start within [start, end)."""
    for block in blocks:
        if block.end <= start:
            continue
        if end is not None and block.offset >= end:
            return
        data, offset, above = block.data, block.offset, block.above
        if offset < start:
            cut = data.rfind(b"\n", 0, start - offset) + 1  # a start within a line means that line
            above, data, offset = joined(above, data[:cut].removesuffix(b"\n")), data[cut:], offset + cut
        if end is not None and block.end > end:
            data = data[: end - offset].removesuffix(b"\n")
        yield Block(offset, data, min(block.end, end) if end is not None else block.end, above)


class FileSource:
    """Files by glob. `parts` finds them anew at each call: files come, go and are renamed."""

    kind = "files"

    def __init__(self, name: str, pattern: str, roots: Roots, readable: Matcher, *, linked: bool = False) -> None:
        """`pattern`: absolute, `~` expanded. `readable`: the globs of all sources, for where links lead.

        `linked`: its folder is, or lies behind, a link; then nothing is read.
        """
        self._linked = linked
        self.name = name
        self.pattern = pattern
        self.folder = fixed_folder(pattern)
        self._matcher = compile_globs([pattern])
        self._roots = roots
        self._readable = readable

    @property
    def about(self) -> str:
        return self.pattern

    def parts(self, budget: Budget) -> list[Part]:
        """Oldest first within a series of rotation; the series written to last comes last."""
        if self._linked:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the folder of this source is a link, or lies behind one",
                hint="a person names the real folder in the policy",
            )
        found: list[Part] = []
        for walked, path in enumerate(self._candidates(), 1):
            if walked > MAX_WALKED:
                budget.note(f"more than {MAX_WALKED:,} files under the source's folder: the rest was not looked at")
                break
            if self._matcher.matches(path):
                part = self._part(path)
                if part is not None:
                    found.append(part)
        found.sort(key=lambda part: (part.order[0] != "~", -part.changed, -part.order[1]))
        if len(found) > MAX_FILES:
            budget.note(f"{len(found):,} files match; the {MAX_FILES:,} written to last are read")
            del found[MAX_FILES:]
        newest: dict[str, float] = {}
        for part in found:
            newest[part.series] = max(part.changed, newest.get(part.series, 0.0))
        found.sort(key=lambda part: (newest[part.series], part.series, part.order, part.changed))
        return found

    def _candidates(self) -> Iterator[str]:
        """Paths that may match, without following links to folders."""
        depth = self.pattern[len(self.folder) :].strip("/").count("/")
        deep = "**" in self.pattern
        stack = [(self.folder, 0)]
        while stack:
            folder, level = stack.pop()
            try:
                opened = self._roots.open(folder)
            except Refused:
                continue
            try:
                fd = (
                    opened.read_fd()
                    if not stat.S_ISDIR(opened.stat.st_mode)
                    else os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=opened.fd)
                )
                with os.scandir(fd) as entries:
                    names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
                os.close(fd)
            except (OSError, Refused):
                continue
            finally:
                opened.close()
            for name, is_folder in sorted(names):
                path = f"{folder.rstrip('/')}/{name}"
                if is_folder:
                    if deep or level < depth:
                        stack.append((path, level + 1))
                else:
                    yield path

    def _part(self, path: str) -> Part | None:
        name = path[len(self.folder) :].lstrip("/") or os.path.basename(path)  # noqa: PTH119 (text only)
        series, order = rotation(name)
        try:
            opened = self._roots.open(path)
        except Refused as refusal:
            return Part(name, name, 0.0, 0, path=path, problem=_short(refusal), series=series, order=order)
        try:
            facts = opened.stat
            problem = self._problem(opened.real, facts)
            part = Part(
                name,
                f"{facts.st_ino:x}",
                facts.st_mtime,
                facts.st_size,
                path=path,
                problem=problem,
                series=series,
                order=order,
            )
            if problem:
                return part
            try:
                fd = opened.read_fd()
            except Refused as refusal:
                part.problem = _short(refusal)
                return part
            try:
                part.head = os.pread(fd, 4_096, 0)
                part.packing = packing_of(name, part.head[:8])
            except OSError:
                part.problem = "cannot be read"
            finally:
                os.close(fd)
            part.opener = lambda: self._open(path, part)
            return part
        finally:
            opened.close()

    def _problem(self, real: str, facts: os.stat_result) -> str:
        if not stat.S_ISREG(facts.st_mode):
            return "not a regular file"
        if facts.st_nlink > 1:
            return "has a second hard link, so it may be another file in disguise"
        if not self._readable.matches(real):
            return "is a link to a file that belongs to no source"
        return ""

    def _open(self, path: str, part: Part) -> int:
        """Open by name and judge what was opened: it may have been replaced since it was listed."""
        opened = self._roots.open(path)
        try:
            if self._problem(opened.real, opened.stat):
                raise Refused(Code.OUT_OF_BOUNDS, f"{part.shown} was replaced by something that may not be read")
            fd = opened.read_fd()
        finally:
            opened.close()
        facts = os.fstat(fd)
        part.id, part.size = f"{facts.st_ino:x}", facts.st_size
        return fd


def readable(part: Part) -> Part:
    """The part, or Failed with the reason why it cannot be read."""
    if part.problem:
        raise Failed(f"{part.shown} cannot be read: {part.problem}")
    return part


def _short(refusal: Refused) -> str:
    if refusal.code is Code.OUT_OF_BOUNDS:
        return "leads out of the sources' folders"
    return "cannot be opened"


def fixed_folder(pattern: str) -> str:
    """The folder above a glob's first special character: what the source is bound to."""
    special = next((at for at, char in enumerate(pattern) if char in "*?[{\\"), len(pattern))
    return pattern[:special].rsplit("/", 1)[0] or "/"


def rotation(name: str) -> tuple[str, tuple[str, int]]:
    """The series that a rotated file belongs to, and its place in it: older ones sort first."""
    match = _ROTATED.match(name)
    assert match is not None
    stem, rank = match.group("stem"), match.group("rank")
    date = _DATED.search(stem + rank)
    if date is not None and len(rank) != 2:
        text = stem + rank
        return text[: date.start()] + text[date.end() :], (date.group(1).replace("-", ""), 0)
    if rank and len(rank) <= 5:
        return stem, ("", -int(rank[1:]))
    return stem + rank, ("~", 0)  # the live file is the newest
