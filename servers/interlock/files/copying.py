"""Copying, comparing and removing entries with all that belongs to them, by descriptor, links never followed.

Content, mode, owner, times, extended attributes, links, named pipes, sockets, holes, hard links within a tree. A copy
is made to be verified: `digest` of the original and of the copy are equal, or the copy is worth nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_CHUNK: Final = 1024**2
_FICLONE: Final = 0x40049409
_LINUX: Final = sys.platform.startswith("linux")
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INHERITED: Final = frozenset(("system.posix_acl_access", "system.posix_acl_default"))


def copy_entry(folder: int, name: str, to_folder: int, to_name: str, *, sync: bool = True) -> None:
    """Copy one entry, a tree whole. The target must not exist. Raises OSError; then remove what is there."""
    _copy(folder, name, to_folder, to_name, sync, {}, to_folder)


def _copy(
    folder: int,
    name: str,
    to_folder: int,
    to_name: str,
    sync: bool,
    links: dict[tuple[int, int], str],
    top: int,
    at: str = "",
) -> None:
    found = os.lstat(name, dir_fd=folder)
    kind = stat.S_IFMT(found.st_mode)
    path = f"{at}{to_name}"
    if kind != stat.S_IFDIR and found.st_nlink > 1:
        first = links.setdefault((found.st_dev, found.st_ino), path)
        if first != path:
            os.link(first, path, src_dir_fd=top, dst_dir_fd=top, follow_symlinks=False)
            return
    if kind == stat.S_IFREG:
        source = os.open(name, READ, dir_fd=folder)
        try:
            copy_file(source, to_folder, to_name, sync=sync)
        finally:
            os.close(source)
    elif kind == stat.S_IFDIR:
        os.mkdir(to_name, 0o700, dir_fd=to_folder)
        inner = os.open(name, _FOLDER, dir_fd=folder)
        target = os.open(to_name, _FOLDER, dir_fd=to_folder)
        try:
            for child in _names(inner):
                _copy(inner, child, target, child, sync, links, top, f"{path}/")
            copy_metadata(inner, target, found)
            if sync:
                os.fsync(target)
        finally:
            os.close(inner)
            os.close(target)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=folder), to_name, dir_fd=to_folder)
        _own(to_name, to_folder, found)
        os.utime(to_name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=to_folder, follow_symlinks=False)
    else:
        os.mknod(to_name, kind | 0o600, found.st_rdev, dir_fd=to_folder)
        _own(to_name, to_folder, found)
        os.chmod(to_name, stat.S_IMODE(found.st_mode), dir_fd=to_folder)
        os.utime(to_name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=to_folder)


def copy_file(source: int, to_folder: int, to_name: str, *, sync: bool = True) -> None:
    """Copy an opened regular file with all that belongs to it, by reflink where the file system can. Raises OSError."""
    found = os.fstat(source)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    target = os.open(to_name, NEW, 0o600, dir_fd=to_folder)
    try:
        if not _cloned(source, target):
            _copy_data(source, target, found.st_size)
        copy_metadata(source, target, found)
        if sync:
            os.fsync(target)
    finally:
        os.close(target)


def _cloned(source: int, target: int) -> bool:
    if not _LINUX:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy_data(source: int, target: int, size: int) -> None:
    """Data extents only: holes stay holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
            end = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to the end
                break
            start, end = at, size
        os.lseek(target, start, os.SEEK_SET)
        at = start
        while at < end:
            chunk = os.pread(source, min(_CHUNK, end - at), at)
            if not chunk:
                break
            write_all(target, chunk)
            at += len(chunk)
        if at < end:
            break
    os.ftruncate(target, max(size, os.fstat(target).st_size))


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to an entry beside its content: owner, mode, times in ns, extended attributes (access lists too)."""

    uid: int
    gid: int
    mode: int
    atime: int
    mtime: int
    attributes: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, fd: int, found: os.stat_result) -> Belongings:
        """Raises OSError."""
        attributes = _attributes(fd) if hasattr(os, "listxattr") else {}
        mode = stat.S_IMODE(found.st_mode)
        return cls(found.st_uid, found.st_gid, mode, found.st_atime_ns, found.st_mtime_ns, attributes)

    def give(self, target: int, *, times: bool = True) -> None:
        """Raises OSError when one of them cannot be given."""
        there = os.fstat(target)
        if (there.st_uid, there.st_gid) != (self.uid, self.gid):
            os.fchown(target, self.uid, self.gid)
        self._take_inherited(target)
        os.fchmod(target, self.mode)
        for name, value in self.attributes.items():
            with _systems_own(name):
                os.setxattr(target, name, value)
        if times:
            os.utime(target, ns=(self.atime, self.mtime))

    def _take_inherited(self, target: int) -> None:
        """A new entry has the default access list of its folder: where the original has none, it lets others in."""
        if hasattr(os, "listxattr"):
            for name in _attributes(target).keys() & _INHERITED - self.attributes.keys():
                os.removexattr(target, name)


def copy_metadata(source: int, target: int, found: os.stat_result, *, times: bool = True) -> None:
    """All that belongs to an entry. Raises OSError when something of it cannot be kept."""
    Belongings.of(source, found).give(target, times=times)


def _attributes(fd: int) -> dict[str, bytes]:
    try:
        names = sorted(os.listxattr(fd))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    found = {}
    for name in names:
        with _systems_own(name):
            found[name] = os.getxattr(fd, name)
    return found


@contextlib.contextmanager
def _systems_own(name: str) -> Iterator[None]:
    """Attributes that only the system may read or set are not missed where it says so."""
    try:
        yield
    except OSError as error:
        if not name.startswith(("security.", "trusted.")) or error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise


@dataclass(frozen=True, slots=True)
class Kept:
    """A small regular file, whole: its content and all that belongs to it, for a place without files of its own."""

    content: bytes = field(repr=False)  # a traceback may show what it is a part of
    belongings: Belongings

    @classmethod
    def of(cls, fd: int, size: int) -> Kept:
        """Of an opened regular file that should have `size` bytes; of one that grew, one byte more. Raises OSError."""
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return cls(os.pread(fd, size + 1, 0), Belongings.of(fd, found))

    @property
    def sha(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def mtime(self) -> int:
        return self.belongings.mtime

    def make(self, folder: int, name: str) -> None:
        """The same file anew, durable. The name must not exist. Raises OSError."""
        target = os.open(name, NEW, 0o600, dir_fd=folder)
        try:
            write_all(target, self.content)
            self.belongings.give(target)
            os.fsync(target)
        finally:
            os.close(target)

    def json(self) -> dict[str, Any]:
        """JSON values; bytes as base64."""
        it = self.belongings
        attributes = {name: b64encode(value).decode() for name, value in it.attributes.items()}
        return {
            "content": b64encode(self.content).decode(),
            "belongings": [it.uid, it.gid, it.mode, it.atime, it.mtime, attributes],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kept:
        """Raises KeyError, TypeError, ValueError for what is none."""
        uid, gid, mode, atime, mtime, attributes = data["belongings"]
        values = {name: b64decode(value, validate=True) for name, value in attributes.items()}
        return cls(b64decode(data["content"], validate=True), Belongings(uid, gid, mode, atime, mtime, values))


def _own(name: str, folder: int, found: os.stat_result) -> None:
    there = os.lstat(name, dir_fd=folder)
    if (there.st_uid, there.st_gid) != (found.st_uid, found.st_gid):
        os.chown(name, found.st_uid, found.st_gid, dir_fd=folder, follow_symlinks=False)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def digest(folder: int, name: str) -> str:
    """A digest of an entry and all below it: names, kinds, modes, owners, times, contents. Raises OSError."""
    sha = hashlib.sha256()
    _digest(folder, name, "", sha)
    return sha.hexdigest()


def _digest(folder: int, name: str, path: str, sha: hashlib._Hash) -> None:
    found = os.lstat(name, dir_fd=folder)
    kind = stat.S_IFMT(found.st_mode)
    parts = [path, kind, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_rdev if kind else 0]
    sha.update(repr(parts).encode("utf-8", "surrogateescape"))
    if kind == stat.S_IFREG:
        fd = os.open(name, READ, dir_fd=folder)
        try:
            sha.update(file_digest(fd).encode())
        finally:
            os.close(fd)
    elif kind == stat.S_IFLNK:
        sha.update(os.fsencode(os.readlink(name, dir_fd=folder)))
    elif kind == stat.S_IFDIR:
        inner = os.open(name, _FOLDER, dir_fd=folder)
        try:
            for child in _names(inner):
                _digest(inner, child, f"{path}/{child}", sha)
        finally:
            os.close(inner)


def file_digest(fd: int) -> str:
    """sha256 of an opened file's bytes."""
    sha, at = hashlib.sha256(), 0
    while chunk := os.pread(fd, _CHUNK, at):
        sha.update(chunk)
        at += len(chunk)
    return sha.hexdigest()


def remove_entry(folder: int, name: str) -> None:
    """Remove one entry, a tree whole; nothing of that name is fine. Raises OSError."""
    try:
        found = os.lstat(name, dir_fd=folder)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=folder)
            return
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        if os.geteuid() and stat.S_IMODE(found.st_mode) & 0o300 != 0o300:
            os.fchmod(inner, 0o700)
        for child in _names(inner):
            remove_entry(inner, child)
    finally:
        os.close(inner)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=folder)
