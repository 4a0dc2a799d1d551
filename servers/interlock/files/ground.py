"""What steps stand on: what an entry was, and where a change acts. Not for how an entry gets its place (`placing`)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.path_names import shown
from interlock.paths import Place, Roots

from . import copying

HASHED: Final = 64 * 1024**2  # bytes up to which an entry is compared by its content; above, by size and time


@dataclass(frozen=True, slots=True)
class Print:
    """What an entry was: enough to know it again, and to know that it is unchanged."""

    kind: int
    dev: int
    ino: int
    size: int
    mtime: int
    sha: str = ""  # of a regular file's content, where it was small enough

    @classmethod
    def of(cls, folder: int, name: str) -> Print | None:
        """The entry as it is now; None where there is none. Raises OSError."""
        try:
            found = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            return None
        sha = ""
        if stat.S_ISREG(found.st_mode) and found.st_size <= HASHED:
            fd = os.open(name, copying.READ, dir_fd=folder)
            try:
                opened = os.fstat(fd)
                if not stat.S_ISREG(opened.st_mode) or opened.st_ino != found.st_ino:
                    raise OSError(errno.EAGAIN, "it changed while it was looked at")
                found, sha = opened, copying.file_digest(fd)
            finally:
                os.close(fd)
        return cls.from_stat(found, sha)

    @classmethod
    def from_stat(cls, found: os.stat_result, sha: str = "") -> Print:
        kind = stat.S_IFMT(found.st_mode)
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        return cls(kind, found.st_dev, found.st_ino, size, found.st_mtime_ns, sha)

    def is_entry(self, other: Print | None) -> bool:
        """The very same entry, whatever was done to its content."""
        return other is not None and (self.kind, self.dev, self.ino) == (other.kind, other.dev, other.ino)

    def has_content_of(self, other: Print | None) -> bool:
        """The same content, in whichever entry."""
        if other is None or self.kind != other.kind or self.size != other.size:
            return False
        return self.sha == other.sha if self.sha and other.sha else self.mtime == other.mtime


class Ground:
    """Where steps act: the roots, and the slot of this change."""

    def __init__(self, roots: Roots, slot: Path | None) -> None:
        self.roots = roots
        self.slot = slot

    @contextmanager
    def at(self, path: str) -> Iterator[Place]:
        """The place of this very path. Raises Failed (conflict) where a link or a move came in between."""
        try:
            place = self.roots.place(path, follow=False)
        except Refused as refusal:
            raise Failed(refusal.message, hint=refusal.hint, code=Code.CONFLICT) from None
        try:
            if place.real != path or place.missing or not place.root.write:
                raise Failed(f"{shown(path)} is no longer where it was", hint="look again", code=Code.CONFLICT)
            yield place
        finally:
            place.close()

    @contextmanager
    def store(self, path: str | None = None) -> Iterator[int]:
        """A descriptor of the slot's folder, or of another change's."""
        folder = path or (str(self.slot) if self.slot is not None else "")
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def conflict(path: str, why: str = "it changed since it was looked at") -> Failed:
    """The world is not what was decided on; nothing was changed."""
    return Failed(f"{shown(path)}: {why}; nothing was changed", hint="look again, then decide anew", code=Code.CONFLICT)


def entry_at(folder: int, name: str) -> Print | None:
    try:
        return Print.from_stat(os.lstat(name, dir_fd=folder))
    except FileNotFoundError:
        return None


def remove_if_empty(place: Place) -> None:
    try:
        os.rmdir(place.name, dir_fd=place.parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
            raise


@contextmanager
def lenient(ground: Ground, path: str) -> Iterator[Place | None]:
    """The place, or None where its folder is not there (any more)."""
    try:
        place = ground.roots.place(path, follow=False)
    except Refused:
        yield None
        return
    try:
        yield None if place.missing or place.real != path else place
    finally:
        place.close()
