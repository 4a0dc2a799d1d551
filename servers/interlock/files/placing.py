"""How a finished or moved entry gets its place, in place of exactly what was looked at, while others rename there too.

Each of the three acts first and judges what came of it after, for no primitive does both. Not for what an entry was
nor for where a change acts (`ground`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from interlock.guard.errors import Code, Failed
from interlock.path_names import shown
from interlock.paths import LINUX, LOOKING, Place, real_path

from . import copying
from .ground import HASHED, Print, conflict, entry_at
from .renames import exchange, rename_new, sync_folder

_ROUNDS: Final = 100  # of a race, after which it is given up


def put(place: Place, temp: str, before: Print | None) -> None:
    """Give a finished temporary file its name, in place of exactly what was looked at.

    Raises Failed (conflict) or OSError; then the temporary file has its own name again, unless it was replaced, and
    everybody else's entries are where they would be had it never been there. Failed (unknown): somebody took away
    what stood in their place, so an entry of theirs has none; it lies beside, and the message names it.

    No primitive renames an entry only while it is the one that was looked at. So the exchange comes first and the
    judgement after it, and for that moment others see and may rename the new content: what they do to it is meant for
    the entry whose place it has, and is done to that one (`_give_back`). Two things no order of steps can exclude:
    that somebody exchanges the temporary file itself between the last look at its name and the rename, or the unlink
    (its name is random); and that a program which holds the old file open goes on writing to it, where nobody reads.
    """
    with _entry(place.parent, temp) as ours:
        if ours is None or not stat.S_ISREG(ours.print.kind):
            raise conflict(place.real, "the new content was taken away")
        if before is None:
            _put_new(place, temp, ours)
            return
        try:
            exchange(place.parent, temp, place.parent, place.name)
        except FileNotFoundError:
            raise conflict(place.real, "it was removed meanwhile") from None
        try:
            old = Print.of(place.parent, temp)
            if old is None or not before.is_entry(old) or not before.has_content_of(old):
                raise conflict(place.real)
            sync_folder(place.parent)
        except BaseException:
            _give_back(place, temp, ours)
            raise
        with contextlib.suppress(OSError):  # the change is made; what is left over is the old content, which is saved
            if old.is_entry(entry_at(place.parent, temp)):
                os.unlink(temp, dir_fd=place.parent)


def _put_new(place: Place, temp: str, ours: _Entry) -> None:
    """A name that nobody has. Raises Failed (conflict), OSError; then it has not been given."""
    try:
        rename_new(place.parent, temp, place.parent, place.name)
    except FileExistsError:
        raise conflict(place.real, "it was made by somebody else meanwhile") from None
    try:
        sync_folder(place.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            rename_new(place.parent, place.name, place.parent, temp)
            if not ours.print.is_entry(entry_at(place.parent, temp)):  # somebody's newer one
                rename_new(place.parent, temp, place.parent, place.name)
        raise


def shift(
    source: Place, target: Place, temp: str, before: Print, onto: Print | None, check: Callable[[int, str], str] | None
) -> None:
    """Rename exactly what was looked at, to where nothing is or in place of exactly `onto`, which is dropped.

    Raises Failed (conflict) or OSError; then everything is where it was. Failed (unknown): what is found afterwards
    could have come about by somebody's rename just before ours or just after it, and no primitive tells which; then
    everything is left as it is, so nothing is lost.
    """
    with _entry(source.parent, source.name) as moved, _entry(target.parent, target.name) as replaced:
        if moved is None or not before.is_entry(moved.print):
            raise conflict(source.real)
        if onto is None:
            try:
                rename_new(source.parent, source.name, target.parent, target.name)
            except FileExistsError:
                raise conflict(target.real, "it was made by somebody else meanwhile") from None
        elif replaced is None or not onto.is_entry(replaced.print):
            raise conflict(target.real)
        else:
            exchange(source.parent, source.name, target.parent, target.name)
        if not _as_shifted(source, target, moved, replaced):
            raise _uncertain(source, target)
        try:
            if moved.print.is_entry(entry_at(target.parent, target.name)):
                why = check(target.parent, target.name) if check is not None else ""
                if why:
                    raise conflict(source.real, why)
            if onto is not None and replaced is not None and not onto.has_content_of(replaced.content()):
                raise conflict(target.real)
            sync_folder(target.parent)
        except BaseException:
            _shift_back(source, target, moved, replaced)
            raise
        if replaced is not None:
            _drop(source, target, temp, replaced)


def _as_shifted(source: Place, target: Place, moved: _Entry, replaced: _Entry | None) -> bool:
    """Whether it can only have been these two that were renamed, whatever was done to them since."""
    there = entry_at(target.parent, target.name)
    if there is not None and not moved.print.is_entry(there):
        return False
    if replaced is None:
        return True
    here = entry_at(source.parent, source.name)
    return replaced.print.is_entry(here) or (here is None and replaced.is_gone())


def _shift_back(source: Place, target: Place, moved: _Entry, replaced: _Entry | None) -> None:
    """Raises Failed (unknown) where it is not back."""
    with contextlib.suppress(OSError):
        if replaced is None:
            rename_new(target.parent, target.name, source.parent, source.name)
        else:
            exchange(source.parent, source.name, target.parent, target.name)
        if moved.print.is_entry(entry_at(source.parent, source.name)):
            return
    raise _uncertain(source, target)


def _uncertain(source: Place, target: Place) -> Failed:
    return Failed(
        f"{shown(source.real)} or {shown(target.real)} was replaced by somebody in the moment of the move",
        hint="read the state before trying again",
        code=Code.UNKNOWN,
    )


def _drop(source: Place, target: Place, temp: str, replaced: _Entry) -> None:
    """Remove what was replaced, and nothing that has come under its name since. Raises Failed (unknown)."""
    with contextlib.suppress(OSError):  # the move is made; the old content is saved
        rename_new(source.parent, source.name, target.parent, temp)
        if replaced.print.is_entry(entry_at(target.parent, temp)):
            os.unlink(temp, dir_fd=target.parent)
            return
        rename_new(target.parent, temp, source.parent, source.name)
    if not replaced.is_gone():  # somebody moved it on
        raise _uncertain(source, target)


def _give_back(place: Place, temp: str, ours: _Entry) -> None:
    """Undo an exchange that brought the wrong entry: it goes where the new content is by now, and that comes back.

    The entry that lies under `temp` is the last of `chain`; each of the others stands where the next one belongs. An
    exchange at a name where, once more, something else has arrived makes the chain one longer. Where one that stood for
    another was unlinked or overwritten, that was meant for the other, which goes too; a third party's file that was hit
    so is made again.
    Raises Failed (unknown) when an entry's place cannot be found again.
    """
    folder = place.parent
    with contextlib.ExitStack() as opened:
        chain = [ours, opened.enter_context(_entry(folder, temp))]
        for _ in range(_ROUNDS):
            below, last = chain[-2:]
            if last is None:
                return  # taken from under our own name, by somebody who has it now
            assert below is not None
            where = below.name_in(folder)
            if where is None:
                if not below.is_gone() or not last.print.is_entry(entry_at(folder, temp)):
                    break
                try:
                    os.unlink(temp, dir_fd=folder)
                    if len(chain) == 2:
                        return
                    below.make_again(folder, temp)
                except OSError:
                    break
                chain[-2:] = [opened.enter_context(_entry(folder, temp))]
                continue
            try:
                exchange(folder, temp, folder, where)
            except FileNotFoundError:
                continue  # it was moved on
            now = entry_at(folder, temp)
            if below.print.is_entry(now):
                chain.pop()
                if len(chain) == 1:
                    return
            else:
                chain.append(opened.enter_context(_entry(folder, temp)))
        kept = _keep_aside(place, temp)
    raise Failed(
        f"{shown(place.real)} changed hands while it was written{kept}",
        hint="read the state before trying again",
        code=Code.UNKNOWN,
    )


def _keep_aside(place: Place, temp: str) -> str:
    """An entry whose place is not to be found: its old name where that is free, else one that nothing clears away."""
    for name in (place.name, f"{temp}.kept"):
        with contextlib.suppress(OSError):
            rename_new(place.parent, temp, place.parent, name)
            return f"; what was there is now {name} beside it" if name != place.name else "; what was there is back"
    return ""


class _Entry:
    """An entry held by a descriptor: it is known wherever it is renamed to, and its number is not used again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.print = Print.from_stat(os.fstat(fd))

    def is_gone(self) -> bool:
        return os.fstat(self._fd).st_nlink == 0

    def content(self) -> Print:
        """As it is now, with its content where it is small enough. Raises OSError."""
        fd = self._open()
        try:
            found = os.fstat(fd)
            return Print.from_stat(found, copying.file_digest(fd) if found.st_size <= HASHED else "")
        finally:
            os.close(fd)

    def make_again(self, folder: int, name: str) -> None:
        """A regular file that has no name any more, from what is held of it. Raises OSError."""
        fd = self._open()
        try:
            copying.copy_file(fd, folder, name)
        finally:
            os.close(fd)

    def _open(self) -> int:
        if not stat.S_ISREG(self.print.kind):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.open(f"/proc/self/fd/{self._fd}" if LINUX else f"/dev/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def name_in(self, folder: int) -> str | None:
        """Its name now, in this folder; None where it has none there."""
        for _ in range(_ROUNDS):
            if self.is_gone():
                return None
            above, _, name = real_path(self._fd).rpartition("/")
            if above != real_path(folder).rstrip("/"):
                return None
            if self.print.is_entry(entry_at(folder, name)):
                return name
        return None


@contextmanager
def _entry(folder: int, name: str) -> Iterator[_Entry | None]:
    try:
        fd = os.open(name, LOOKING | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    try:
        yield _Entry(fd)
    finally:
        os.close(fd)


def bring(store: int, item: str, place: Place, temp: str, *, copied: bool, tree: str = "") -> None:
    """An entry of a store comes to a place where nothing is. Raises Failed (conflict), OSError; then it has not."""
    where, name = store, item
    try:
        if copied:
            where, name = place.parent, temp
            copying.copy_entry(store, item, where, name)
            if copying.digest(where, name) != (tree or copying.digest(store, item)):
                raise Failed(f"the copy of {shown(place.real)} is not what was kept; nothing was changed")
        try:
            rename_new(where, name, place.parent, place.name)
        except FileExistsError:
            raise conflict(place.real, "there is something of this name again") from None
        try:
            sync_folder(place.parent)
            if not copied:
                os.fsync(store)
        except BaseException:
            rename_new(place.parent, place.name, where, name)
            raise
    except BaseException:
        if copied:
            copying.remove_entry(where, name)
        raise
