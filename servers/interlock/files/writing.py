"""write_file and edit_file: one file's new content, worked out on redacted text and put in place by one rename."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interlock.guard.consent.approvals import PREVIEW_CHARS
from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Attribute, Call, Look
from interlock.path_names import shown
from interlock.paths import Place, failed, kind_of

from . import edits
from .arguments import EditFile, WriteFile
from .bounds import Bounds
from .copying import file_digest
from .ground import HASHED, Print
from .hard_links import refuse_foreign_names
from .plans import Plan, changed_keys, parents, put_back, refuse_foreign_owner, refused_by_name, temp_name
from .redacted import HEAD, WHOLE, Document, too_large
from .steps import Write
from .text import UTF8, binary_kind, count_lines, counted, size_text

if TYPE_CHECKING:
    from .tools import Files

_DIFF: Final = 8000  # characters of a diff in an answer
_WHOLE_DIFF: Final = PREVIEW_CHARS - 20_000  # in what a person is asked; the rest for the words around it


def look_write(files: Files, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, WriteFile | EditFile)
    bounds = files.bounds(call.policy)
    path = bounds.parse(args.path)
    if args.path.endswith("/"):
        raise Refused(Code.INVALID, "a path that ends with / names a folder", hint="name the file in it")
    place = bounds.roots.place(path, follow=True)
    try:
        first = (bounds.change("write", place.real, path, exists=place.stat is not None), *_reads(bounds, place, path))
        if any(map(refused_by_name, first)):
            return Look(first)
        refuse_foreign_names(bounds, place)
        return _Change(files, bounds, place, first, args).look()
    finally:
        place.close()


def _reads(bounds: Bounds, place: Place, path: str) -> list[Action]:
    """What is overwritten is read: the answer is a diff, and what a rule keeps from being read is not told by one."""
    if place.stat is None:
        return []
    size = place.stat.st_size
    return [bounds.action("read", name, size=size) for name in dict.fromkeys((place.real, path))]


class _Change:
    """The work of one look at one file."""

    def __init__(
        self, files: Files, bounds: Bounds, place: Place, actions: Sequence[Action], args: WriteFile | EditFile
    ) -> None:
        self.files, self.bounds, self.place, self.actions, self.args = files, bounds, place, actions, args
        self.real = place.real

    def look(self) -> Look:
        before, data = self._current()
        old = self._document(data)
        expected = self.args.expected
        if expected and (old is None or old.digest != expected):
            raise Refused(
                Code.CONFLICT,
                f"{shown(self.real)} is not what you read: its digest is {old.digest if old else 'not to be had'}",
                hint="read it again, then decide anew",
            )
        encoding = old.encoding if old is not None else UTF8
        raw = encoding.decode(data) if old is not None and data is not None else ""
        text, asks = self._new_text(raw, old)
        try:
            content = encoding.encode(text)
        except UnicodeEncodeError:
            raise Refused(
                Code.INVALID, f"the new content cannot be written as {encoding.name}", hint="leave odd characters out"
            ) from None
        if len(content) > WHOLE:
            raise Refused(Code.TOO_LARGE, f"the new content has {size_text(len(content))}; at most {size_text(WHOLE)}")
        redacted = self.files.reader.redact(text, self.real)
        plan = self._plan(before, content, old.text if old is not None else "", redacted.text)
        plan.redactions = redacted.count
        dry = isinstance(self.args, EditFile) and self.args.dry_run
        size = before.size if before is not None else 0
        return Look(self._actions(before, content, data), plan, asks=asks, size=size, dry=dry)

    def _current(self) -> tuple[Print | None, bytes | None]:
        """What is there now: its print, and its bytes where it is small enough. No link, no device is ever opened."""
        found = self.place.stat
        if found is None:
            if isinstance(self.args, EditFile):
                raise Refused(Code.INVALID, f"there is no {shown(self.real)}", hint="write_file makes a new file")
            return None, None
        if not stat.S_ISREG(found.st_mode):
            raise Refused(Code.INVALID, f"{shown(self.real)} is {kind_of(found.st_mode)}, not a regular file")
        refuse_foreign_owner(found, self.real)
        try:
            fd = os.open(
                self.place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.place.parent
            )
        except OSError as error:
            raise failed(error, self.real) from None
        try:
            opened = os.fstat(fd)
            if (opened.st_dev, opened.st_ino) != (found.st_dev, found.st_ino):
                raise Refused(Code.CONFLICT, f"{shown(self.real)} changed while it was looked at", hint="try again")
            sha = file_digest(fd) if opened.st_size <= HASHED else ""
            data = os.pread(fd, WHOLE + 1, 0) if opened.st_size <= WHOLE else None
        finally:
            os.close(fd)
        return Print.from_stat(opened, sha), data

    def _document(self, data: bytes | None) -> Document | None:
        """The current content, redacted; None where there is none to edit or compare (new, binary, too large)."""
        if isinstance(self.args, EditFile):
            if data is None:
                raise too_large(self.real, self.place.stat.st_size if self.place.stat else 0)
            return self.files.reader.of_bytes(data, self.real)
        if data is None or binary_kind(data[:HEAD]) is not None:
            return None
        return self.files.reader.of_bytes(data, self.real)

    def _new_text(self, raw: str, old: Document | None) -> tuple[str, tuple[str, ...]]:
        """The new content with its secrets put back, and what a person should be asked about."""
        detector = self.files.reader.detector
        if isinstance(self.args, EditFile):
            assert old is not None
            text = edits.apply(old.text, self.args.edits)
        else:
            text = self.args.content
            if raw.count("\r\n") and raw.count("\r\n") == raw.count("\n") and "\r" not in text:
                text = text.replace("\n", "\r\n")
        if not detector.has_placeholder(text):
            return text, ()
        put_back = detector.put_back(text, raw, self.real)
        return put_back.text, tuple(put_back.asks)

    def _actions(self, before: Print | None, content: bytes, data: bytes | None) -> tuple[Action, ...]:
        """What was judged by name, with all that is known of it now."""
        attributes: dict[str, Attribute] = {"exists": before is not None, "size": len(content), "files": 1}
        if before is not None and data is None:  # too large to compare
            keys: Attribute | None = changed_keys(self.real, b"", None)
        else:
            keys = changed_keys(self.real, data, content)
        if keys is not None:
            attributes["changed"] = keys
        old = "nothing" if before is None else f"{before.size}:{before.sha or before.mtime}"
        effect = f"{self.files.reader.digest(old)}>{self.files.reader.digest(content)}"
        write, *reads = (replace(action, effect=effect) for action in self.actions)
        return (self.bounds.with_flags(write, **attributes), *reads)

    def _plan(self, before: Print | None, content: bytes, old: str, new: str) -> Plan:
        import hashlib

        sha = hashlib.sha256(content).hexdigest()
        saved = "old" if before is not None else ""
        write = Write(self.real, temp_name(), before, len(content), sha, saved=saved, _content=content)
        makes = parents(self.place)
        reader = self.files.reader
        facts = [counted(count_lines(new), "line"), size_text(len(content)), f"digest {reader.digest(new)}"]
        verb = "new file" if before is None else "changed"
        header = f"{shown(self.real)}: {verb}, {', '.join(facts)}"
        not_kept = put_back(self.bounds, before.size, "") if before is not None else ""
        header += f"; what was there: {not_kept}" if not_kept else ""
        if makes:
            header += f"; folders made: {', '.join(shown(step.path) for step in makes)}"
        unseen = before is not None and not old and before.size > 0
        diff = edits.unified(old, new, _DIFF) if not unseen else ""
        if before is not None and unseen:
            diff = f"its old content ({size_text(before.size)}, binary or too large to compare) is replaced\n"
        if not diff:
            diff = "the content is the same\n" if before is not None else "the file is empty\n"
        was = reader.digest(before.sha) if before is not None else ""

        def whole() -> str:
            shown_whole = edits.unified(old, new, _WHOLE_DIFF, whole=True)
            if not unseen or not shown_whole:
                return shown_whole or diff
            first, rest = shown_whole.partition("\n")[::2] if shown_whole.startswith("NOT SHOWN") else ("", shown_whole)
            return f"{first}\n{diff}{rest}".lstrip("\n")

        return Plan(self.bounds, [*makes, write], diff, header, was, reader.digest(sha), whole=whole)
