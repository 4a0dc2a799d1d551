"""The primitive changes that every files change is made of. At the heart of each is one atomic rename.

A step knows the entry before and after it. It can save what it will replace (`save`), act (`do`), tell from the world
alone on which side it stands (`state`, after `mend` has cleared away what a killed process left), and go back
(`back`). So a change that was cut off anywhere is settled, and an undo is nothing but other steps.

Durability order of one write, and its fsyncs: (1) the old content where it is too large to be sealed, (2) the sealed
slot (the guard), (3) the `permitted` record (the guard), (4) the new content, before it gets its name, (5) the folder,
after the rename.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Final

from interlock.guard.errors import Code, Failed
from interlock.path_names import shown
from interlock.paths import Place

from . import copying
from .copying import NEW, READ, Kept
from .ground import Ground, Print, conflict, entry_at, lenient, remove_if_empty
from .placing import bring, put, shift
from .renames import exchange, rename_new, sync_folder

BEFORE, AFTER, EITHER, OTHER = "before", "after", "either", "other"
SMALL: Final = 64 * 1024  # bytes up to which a file's old content is sealed with the change, without a file of its own


class Step:
    """One primitive change. Subclasses are dataclasses of JSON values, in the manifest of the change's slot."""

    kind: ClassVar[str]
    path: str

    def needs_folder(self) -> bool:
        """Whether something of it lies, or will lie, in the slot's folder."""
        return False

    def save(self, ground: Ground) -> None:
        """Keep what will be needed to go back. Raises OSError or Failed; then nothing has happened."""

    def do(self, ground: Ground) -> None:
        """Act. Raises Failed or OSError; then this step has not happened."""
        raise NotImplementedError

    def finish(self, ground: Ground) -> None:
        """Let go of what was kept at hand until all steps of the change were done."""

    def mend(self, ground: Ground) -> None:
        """Clear away what a killed process left of this step."""

    def state(self, ground: Ground) -> str:
        """On which side the world stands: before, after, either, other."""
        raise NotImplementedError

    def back(self, ground: Ground) -> None:
        """Take back what `do` did."""
        raise NotImplementedError

    def json(self) -> dict[str, Any]:
        found = {one.name: getattr(self, one.name) for one in fields(self) if not one.name.startswith("_")}  # type: ignore[arg-type]
        return {"step": self.kind, **{name: _plain(value) for name, value in found.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Kept):
        return value.json()
    return asdict(value) if isinstance(value, Print) else value


def print_of(kept: Kept) -> Print:
    """Of a file that is no entry anywhere."""
    return Print(stat.S_IFREG, 0, 0, len(kept.content), kept.mtime, kept.sha)


def _not_kept(path: str) -> Failed:
    return Failed(f"what was at {shown(path)} was too large to be kept, so it cannot be put back", code=Code.UNKNOWN)


@dataclass
class Write(Step):
    """A regular file gets new content; a new file gets its first.

    The old content is `kept`, where it is small; else `saved` names it in the slot.
    """

    kind = "write"
    path: str
    temp: str
    before: Print | None
    size: int
    sha: str
    saved: str = ""
    source: str = ""  # absolute path of the content in another change's slot, with all that belongs to it
    mtime: int = 0  # of the source, which the copy keeps; tells files too large for a digest apart
    lost: bool = False  # the old content is too large for the store: it is not kept
    kept: Kept | None = field(default=None, repr=False)
    _content: bytes | None = field(default=None, repr=False)
    _whole: Kept | None = field(default=None, repr=False)  # the content with all that belongs to it

    def needs_folder(self) -> bool:
        return self.before is not None and not self.lost and self.before.size > SMALL

    def save(self, ground: Ground) -> None:
        if self.before is None or self.lost:
            return
        with ground.at(self.path) as place:
            fd = os.open(place.name, READ, dir_fd=place.parent)
            try:
                if self.needs_folder():
                    with ground.store() as slot:
                        copying.copy_file(fd, slot, self.saved)
                        whole = self.before.has_content_of(Print.of(slot, self.saved))
                else:
                    self.kept = Kept.of(fd, self.before.size)
                    whole = self.before.has_content_of(print_of(self.kept))
            finally:
                os.close(fd)
            if not whole:
                raise conflict(self.path)

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as place:
            ours: Print | None = None
            try:
                self._prepare(place)
                ours = entry_at(place.parent, self.temp)
                put(place, self.temp, self.before)
            except BaseException:
                if ours is None or ours.is_entry(entry_at(place.parent, self.temp)):
                    copying.remove_entry(place.parent, self.temp)  # ours, and never what somebody else wrote
                raise

    def _prepare(self, place: Place) -> None:
        """The temporary file, complete and durable, with the mode and owner of what it replaces."""
        if self._whole is not None:
            self._whole.make(place.parent, self.temp)
            return
        if self.source:
            fd = os.open(self.source, READ)
            try:
                copying.copy_file(fd, place.parent, self.temp)
            finally:
                os.close(fd)
            return
        assert self._content is not None
        target = os.open(self.temp, NEW, 0o666, dir_fd=place.parent)
        try:
            copying.write_all(target, self._content)
            if self.before is not None:
                old = os.open(place.name, READ, dir_fd=place.parent)
                try:
                    copying.copy_metadata(old, target, os.fstat(old), times=False)
                finally:
                    os.close(old)
            os.fsync(target)
        finally:
            os.close(target)

    def mend(self, ground: Ground) -> None:
        with lenient(ground, self.path) as place:
            if place is None:
                return
            temp = Print.of(place.parent, self.temp)
            if temp is None:
                return
            now = Print.of(place.parent, place.name)
            swapped = self.is_after(now) and not self.is_after(temp)
            if swapped and self.before is not None and not self.before.has_content_of(temp):
                exchange(place.parent, self.temp, place.parent, place.name)  # it was somebody else's new content
            copying.remove_entry(place.parent, self.temp)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.path) as place:
            now = None if place is None else Print.of(place.parent, place.name)
        if self.is_after(now):
            return AFTER
        if now is None:
            return BEFORE if self.before is None else OTHER
        return BEFORE if self.before is not None and self.before.has_content_of(now) else OTHER

    def is_after(self, now: Print | None) -> bool:
        if now is None or not stat.S_ISREG(now.kind) or now.size != self.size:
            return False
        return now.sha == self.sha if now.sha and self.sha else self.mtime != 0 and now.mtime == self.mtime

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as place:
            now = Print.of(place.parent, place.name)
            if not self.is_after(now):
                raise conflict(self.path)
            if self.lost and self.before is not None:
                raise _not_kept(self.path)
            if self.before is None:
                os.unlink(place.name, dir_fd=place.parent)
            else:
                if self.kept is not None:
                    self.kept.make(place.parent, self.temp)
                else:
                    with ground.store() as slot:
                        fd = os.open(self.saved, READ, dir_fd=slot)
                        try:
                            copying.copy_file(fd, place.parent, self.temp)
                        finally:
                            os.close(fd)
                put(place, self.temp, now)
            sync_folder(place.parent)


@dataclass
class Take(Step):
    """An entry, a tree whole, goes into the slot: by rename, or across file systems as a verified copy."""

    kind = "take"
    path: str
    item: str  # its name in the slot
    hidden: str  # its name beside the path while a copied tree is being removed
    before: Print
    copied: bool = False
    tree: str = ""  # digest of the copy
    lost: bool = False  # too large for the store: it is not kept, and removed once all steps are done
    _check: Callable[[int, str], str] | None = field(default=None, repr=False)  # why the tree may not go, if so

    def needs_folder(self) -> bool:
        return True

    def save(self, ground: Ground) -> None:
        if not self.copied or self.lost:
            return
        with ground.at(self.path) as place, ground.store() as slot:
            copying.copy_entry(place.parent, place.name, slot, self.item)
            self.tree = copying.digest(slot, self.item)
            if copying.digest(place.parent, place.name) != self.tree:
                raise conflict(self.path, "it changed while it was copied")

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as place, ground.store() as slot:
            aside = self.copied or self.lost
            where, name = (place.parent, self.hidden) if aside else (slot, self.item)
            rename_new(place.parent, place.name, where, name)
            try:
                why = self._why_not(where, name)
                if why:
                    raise conflict(self.path, why)
                if aside:  # a second name says that it was compared and may be removed
                    rename_new(where, name, where, self._verified)
                    name = self._verified
                else:
                    os.fsync(slot)
                sync_folder(place.parent)
            except BaseException:
                try:
                    rename_new(where, name, place.parent, place.name)
                except FileExistsError:
                    raise Failed(
                        f"what stood at {shown(self.path)} was taken, and something of this name is there again",
                        hint="read the state before trying again",
                        code=Code.UNKNOWN,
                    ) from None
                raise
            if self.copied and not self.lost:
                with contextlib.suppress(OSError):  # it is gone from its place, and its copy is verified
                    copying.remove_entry(where, name)

    def finish(self, ground: Ground) -> None:
        if self.lost:
            with lenient(ground, self.path) as place:
                if place is not None:
                    copying.remove_entry(place.parent, self._verified)

    @property
    def _verified(self) -> str:
        return f"{self.hidden}.gone"

    def _why_not(self, folder: int, name: str) -> str:
        found = os.lstat(name, dir_fd=folder)
        if not self.before.is_entry(Print.from_stat(found)):
            return "something else took its place"
        if self.copied and not self.lost and copying.digest(folder, name) != self.tree:
            return "it changed after it was copied"
        return self._check(folder, name) if self._check is not None else ""

    def mend(self, ground: Ground) -> None:
        if not self.copied and not self.lost:
            return
        with lenient(ground, self.path) as place:
            if place is None:
                return
            if not self.lost:
                copying.remove_entry(place.parent, self._verified)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                rename_new(place.parent, self.hidden, place.parent, place.name)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.path) as place:
            now = None if place is None else entry_at(place.parent, place.name)
        if not self.copied and self._stored(ground):
            return AFTER
        if now is None:
            return AFTER if self.lost or self._stored(ground) else OTHER
        return BEFORE if self.before.is_entry(now) else OTHER

    def _stored(self, ground: Ground) -> bool:
        with ground.store() as slot:
            return entry_at(slot, self.item) is not None

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as place, ground.store() as slot:
            if self.lost:
                rename_new(place.parent, self._verified, place.parent, place.name)
                sync_folder(place.parent)
            else:
                bring(slot, self.item, place, self.hidden, copied=self.copied)


@dataclass
class Give(Step):
    """What an earlier change took comes back from its slot, to a path where nothing is."""

    kind = "give"
    path: str
    store: str  # absolute path of the slot that holds it
    item: str
    temp: str
    before: Print  # of the item in the store
    copied: bool = False
    tree: str = ""

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as place, ground.store(self.store) as slot:
            bring(slot, self.item, place, self.temp, copied=self.copied, tree=self.tree)

    def mend(self, ground: Ground) -> None:
        if self.copied:
            with lenient(ground, self.path) as place:
                if place is not None:
                    copying.remove_entry(place.parent, self.temp)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.path) as place:
            now = None if place is None else entry_at(place.parent, place.name)
            if now is None:
                return BEFORE
            if not self.copied:
                return AFTER if self.before.is_entry(now) else OTHER
            assert place is not None
            return AFTER if not self.tree or copying.digest(place.parent, place.name) == self.tree else OTHER

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as place, ground.store(self.store) as slot:
            if self.copied:
                rename_new(place.parent, place.name, place.parent, self.temp)
                sync_folder(place.parent)
                copying.remove_entry(place.parent, self.temp)
            else:
                rename_new(place.parent, place.name, slot, self.item)
                sync_folder(place.parent)
                os.fsync(slot)


@dataclass
class Shift(Step):
    """An entry moves within a file system; a file that is there already is saved in the slot and replaced."""

    kind = "shift"
    path: str
    to: str
    before: Print
    onto: Print | None = None
    saved: str = ""
    temp: str = ""
    lost: bool = False  # what is replaced is too large for the store: it is not kept
    _check: Callable[[int, str], str] | None = field(default=None, repr=False)  # why the tree may not move, if so

    def needs_folder(self) -> bool:
        return self.onto is not None and not self.lost

    def save(self, ground: Ground) -> None:
        if self.onto is None or self.lost:
            return
        with ground.at(self.to) as place, ground.store() as slot:
            fd = os.open(place.name, READ, dir_fd=place.parent)
            try:
                copying.copy_file(fd, slot, self.saved)
            finally:
                os.close(fd)
            if not self.onto.has_content_of(Print.of(slot, self.saved)):
                raise conflict(self.to)

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as source, ground.at(self.to) as target:
            shift(source, target, self.temp, self.before, self.onto, self._check)
            with contextlib.suppress(OSError):  # the move is made
                sync_folder(source.parent)

    def mend(self, ground: Ground) -> None:
        with lenient(ground, self.path) as source, lenient(ground, self.to) as target:
            if target is not None and self.temp:
                copying.remove_entry(target.parent, self.temp)
            if self.onto is None or source is None or target is None:
                return
            left = Print.of(source.parent, source.name)
            moved = self.before.is_entry(entry_at(target.parent, target.name))
            if left is not None and moved and self.onto.is_entry(left) and self.onto.has_content_of(left):
                os.unlink(source.name, dir_fd=source.parent)
                sync_folder(source.parent)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.path) as source, lenient(ground, self.to) as target:
            here = None if source is None else entry_at(source.parent, source.name)
            there = None if target is None else entry_at(target.parent, target.name)
        if self.before.is_entry(there) and here is None:
            return AFTER
        if self.before.is_entry(here) and (there is None or (self.onto is not None and self.onto.is_entry(there))):
            return BEFORE
        return OTHER

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as source, ground.at(self.to) as target:
            if not self.before.is_entry(entry_at(target.parent, target.name)):
                raise conflict(self.to)
            if self.lost and self.onto is not None:
                raise _not_kept(self.to)
            rename_new(target.parent, target.name, source.parent, source.name)
            if self.onto is not None:
                with ground.store() as slot:
                    bring(slot, self.saved, target, self.temp, copied=True)
            sync_folder(target.parent)
            sync_folder(source.parent)


@dataclass
class Fetch(Step):
    """A verified copy comes to a path of another file system, where nothing is. (The original is taken afterwards.)"""

    kind = "fetch"
    path: str
    to: str
    temp: str
    tree: str = ""
    _check: Callable[[int, str], str] | None = field(default=None, repr=False)  # why the tree may not move, if so

    def save(self, ground: Ground) -> None:
        with ground.at(self.path) as source:
            self.tree = copying.digest(source.parent, source.name)
            why = self._check(source.parent, source.name) if self._check is not None else ""
            if why:
                raise conflict(self.path, why)

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as source, ground.at(self.to) as target:
            bring(source.parent, source.name, target, self.temp, copied=True, tree=self.tree)

    def mend(self, ground: Ground) -> None:
        with lenient(ground, self.to) as target:
            if target is not None:
                copying.remove_entry(target.parent, self.temp)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.to) as target:
            if target is None or entry_at(target.parent, target.name) is None:
                return BEFORE
            return AFTER if copying.digest(target.parent, target.name) == self.tree else OTHER

    def back(self, ground: Ground) -> None:
        with ground.at(self.to) as target:
            rename_new(target.parent, target.name, target.parent, self.temp)
            sync_folder(target.parent)
            copying.remove_entry(target.parent, self.temp)


@dataclass
class Make(Step):
    """A folder is made."""

    kind = "make"
    path: str
    mode: int = -1  # -1: as the umask says

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as place:
            os.mkdir(place.name, 0o777 if self.mode < 0 else self.mode, dir_fd=place.parent)
            sync_folder(place.parent)

    def state(self, ground: Ground) -> str:
        with lenient(ground, self.path) as place:
            now = None if place is None else entry_at(place.parent, place.name)
        if now is None:
            return BEFORE
        return AFTER if stat.S_ISDIR(now.kind) else OTHER

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as place:
            remove_if_empty(place)


@dataclass
class Unmake(Step):
    """A folder goes if it is empty, else stays."""

    kind = "unmake"
    path: str
    mode: int = 0o755

    def do(self, ground: Ground) -> None:
        with ground.at(self.path) as place:
            remove_if_empty(place)

    def state(self, ground: Ground) -> str:
        return EITHER

    def back(self, ground: Ground) -> None:
        with ground.at(self.path) as place, contextlib.suppress(FileExistsError):
            os.mkdir(place.name, self.mode, dir_fd=place.parent)


_KINDS: Final[Mapping[str, type[Step]]] = {step.kind: step for step in (Write, Take, Give, Shift, Fetch, Make, Unmake)}


def from_json(data: Mapping[str, Any]) -> Step:
    """A step from its manifest. Raises KeyError, TypeError for what is none."""
    values = {key: value for key, value in data.items() if key != "step"}
    for name in ("before", "onto"):
        if isinstance(values.get(name), dict):
            values[name] = Print(**values[name])
    if isinstance(values.get("kept"), dict):
        values["kept"] = Kept.from_json(values["kept"])
    return _KINDS[data["step"]](**values)
