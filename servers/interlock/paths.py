"""Opening files beneath roots, so that what is judged is what was opened. Shared by the servers.

A root is opened once. Everything is reached from its descriptor, by `openat2(RESOLVE_BENEATH)` where the kernel has
it, else component by component without following links; links are then followed by hand, and only while they stay
inside a root. Mount points are not crossed. The real path is what the kernel says of the opened descriptor.
Any failure to resolve is a refusal; there is no second way in.

Not a policy: what may be done with an opened path is decided elsewhere. Writing is `files`' own work.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.path_names import shown

LINUX: Final = sys.platform.startswith("linux")
_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE: Final = 0x01 | 0x02 | 0x08  # NO_XDEV, NO_MAGICLINKS, BENEATH
LOOKING: Final = (getattr(os, "O_PATH", 0) or os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC
_MAX_LINKS: Final = 40
_F_GETPATH: Final = 50  # macOS

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Root:
    """A folder opened once, and by whose descriptor everything below it is reached."""

    path: str  # real, normalised
    write: bool
    fd: int
    dev: int

    def relative(self, path: str) -> list[str] | None:
        """The components of `path` below this root; None where it does not lie in it (compared by components)."""
        if self.path == "/":
            return [part for part in path.split("/") if part]
        if path != self.path and not path.startswith(self.path + "/"):
            return None
        return [part for part in path[len(self.path) :].split("/") if part]


@dataclass(slots=True)
class Opened:
    """Something that exists, opened for looking only. Close it."""

    fd: int
    real: str  # its real path
    root: Root  # the innermost root that holds the real path
    stat: os.stat_result

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def read_fd(self) -> int:
        """A descriptor to read the very file that was judged. Raises Refused for anything but a regular file."""
        if not stat.S_ISREG(self.stat.st_mode):
            raise Refused(Code.INVALID, f"{shown(self.real)} is {kind_of(self.stat.st_mode)}, not a regular file")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            return os.open(f"/proc/self/fd/{self.fd}" if LINUX else f"/dev/fd/{self.fd}", flags)
        except OSError as error:
            raise failed(error, self.real) from None


@dataclass(slots=True)
class Place:
    """Where an entry is or would be: its folder, opened, and its name in it. Close it."""

    parent: int  # descriptor of the folder that exists
    real: str  # real path of the entry
    root: Root
    missing: tuple[str, ...] = ()  # folders between `parent` and the entry that do not exist yet
    stat: os.stat_result | None = None  # of the entry itself (a link is not followed); None where there is none
    _closed: bool = field(default=False, repr=False)

    @property
    def name(self) -> str:
        return self.real.rsplit("/", 1)[1]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.parent)


class Roots:
    """The roots of one policy, innermost first. Holds a descriptor for each; close it."""

    def __init__(self, wanted: Iterable[tuple[str, bool]], *, openat2: bool = True) -> None:
        """`wanted`: real path and whether it may be written. Roots that do not exist are in `absent`.

        `openat2` False takes the component walk even where the kernel could do better (for tests).
        """
        self.absent: list[str] = []
        self._openat2 = openat2 and LINUX
        roots: dict[str, Root] = {}
        for path, write in wanted:
            try:
                fd = os.open(path, LOOKING | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                self.absent.append(path)
                continue
            if path in roots:  # named twice: the narrower access holds
                os.close(fd)
                roots[path] = Root(path, write and roots[path].write, roots[path].fd, roots[path].dev)
            else:
                roots[path] = Root(path, write, fd, os.fstat(fd).st_dev)
        self.roots = sorted(roots.values(), key=lambda root: -len(root.path))

    def close(self) -> None:
        roots, self.roots = self.roots, []
        for root in roots:
            os.close(root.fd)

    def __del__(self) -> None:
        self.close()  # calls in flight hold on to the roots of the policy that they are judged by

    def holding(self, path: str) -> Root | None:
        """The innermost root that holds this normalised absolute path, by its name alone."""
        return next((root for root in self.roots if root.relative(path) is not None), None)

    def open(self, path: str) -> Opened:
        """Open an existing path for looking, following links that stay inside. Raises Refused."""
        root, parts = self._start(path)
        try:
            fd = self._beneath(root, parts, path)
            try:
                opened = self._judged(fd, path)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise failed(error, path) from None
        return opened

    def place(self, path: str, *, follow: bool) -> Place:
        """Find where an entry is or would be. `follow`: a link at the end stands for what it leads to.

        Raises Refused, also for a link that leads nowhere: what it would make is not what its name says.
        """
        for _ in range(_MAX_LINKS):
            parts = self._start(path)[1]
            if not parts:
                raise Refused(Code.OUT_OF_BOUNDS, f"{shown(path)} is a root itself", hint="name something inside it")
            folder, missing = self._folder(path)
            try:
                real = "/".join([folder.real.rstrip("/"), *missing, parts[-1]])
                found = None if missing else lstat(parts[-1], folder.fd)
                if found is None or not (follow and stat.S_ISLNK(found.st_mode)):
                    inside = self.holding(real)
                    assert inside is not None
                    if found is not None and stat.S_ISDIR(found.st_mode) and self._is_mount(folder, parts[-1]):
                        raise _mount_point(real)
                    parent, folder.fd = folder.fd, -1
                    return Place(parent, real, inside, missing, found)
            finally:
                folder.close()
            try:
                target = self.open(path)  # follows the whole chain beneath the roots
            except _Missing:
                raise Refused(
                    Code.INVALID, f"{shown(path)} is a link that leads nowhere", hint="name the file itself"
                ) from None
            path = target.real
            target.close()
        raise Refused(Code.INVALID, f"{shown(path)} is a link that keeps changing")

    def _folder(self, path: str) -> tuple[Opened, tuple[str, ...]]:
        """The innermost existing folder above `path`, and the names that are missing below it."""
        missing: list[str] = []
        upper = path.rsplit("/", 1)[0] or "/"
        while True:
            if self.holding(upper) is None:
                raise outside(path)
            try:
                folder = self.open(upper)
            except Refused as refusal:
                if not isinstance(refusal, _Missing) or self._exists(upper):
                    raise
                upper, name = upper.rsplit("/", 1)
                missing.insert(0, name)
                upper = upper or "/"
                continue
            if stat.S_ISDIR(folder.stat.st_mode):
                return folder, tuple(missing)
            folder.close()
            raise Refused(Code.INVALID, f"{shown(folder.real)} is not a folder")

    def _exists(self, path: str) -> bool:
        """Whether there is an entry of this very name, be it a link that leads nowhere."""
        upper, name = path.rsplit("/", 1)
        try:
            folder = self.open(upper or "/")
        except Refused:
            return False
        try:
            return lstat(name, folder.fd) is not None
        finally:
            folder.close()

    def _start(self, path: str) -> tuple[Root, list[str]]:
        root = self.holding(path)
        if root is None:
            raise outside(path)
        parts = root.relative(path)
        assert parts is not None
        return root, parts

    def _beneath(self, root: Root, parts: list[str], path: str) -> int:
        if self._openat2:
            try:
                return _openat2(root.fd, "/".join(parts) or ".", LOOKING)
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    self._openat2 = False
                elif error.errno not in (errno.EXDEV, errno.EAGAIN):
                    raise
                # EXDEV: a link with an absolute target, a way out, or a mount: the walk tells them apart
        return self._walk(root, parts, path)

    def _walk(self, root: Root, parts: list[str], path: str) -> int:
        """Component by component from the root's descriptor, following links by hand. OSError or Refused."""
        folders = [os.dup(root.fd)]
        rest = list(reversed(parts))
        links = 0
        try:
            while rest:
                part = rest.pop()
                if part in ("", "."):
                    continue
                if part == "..":  # only ever from a link's target
                    if len(folders) == 1:
                        raise outside(path, "a link in it leads out of the roots")
                    os.close(folders.pop())
                    continue
                found = os.lstat(part, dir_fd=folders[-1])
                if stat.S_ISLNK(found.st_mode):
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    target = os.readlink(part, dir_fd=folders[-1])
                    if target.startswith("/"):
                        inner = self.holding(target)
                        below = inner.relative(target) if inner is not None else None
                        if inner is None or below is None:
                            raise outside(path, "a link in it leads out of the roots")
                        while folders:
                            os.close(folders.pop())
                        root = inner
                        folders.append(os.dup(root.fd))
                        rest += reversed(below)
                    else:
                        rest += reversed(target.split("/"))
                    continue
                fd = self._step(folders[-1], part, path)
                folders.append(fd)
                opened = os.fstat(fd)
                if stat.S_ISLNK(opened.st_mode):  # swapped in just now
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if stat.S_ISDIR(opened.st_mode) and opened.st_dev != root.dev:
                    raise _mount_point(path)
                if rest and not stat.S_ISDIR(opened.st_mode):
                    raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return folders.pop()
        finally:
            for fd in folders:
                os.close(fd)

    def _step(self, folder: int, part: str, path: str) -> int:
        """Open one component, not following it. (Without openat2 a mount of the very same file system is not seen.)"""
        if not self._openat2:
            return os.open(part, LOOKING | os.O_NOFOLLOW, dir_fd=folder)
        try:
            return _openat2(folder, part, LOOKING | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise _mount_point(path) from None
            raise

    def _judged(self, fd: int, path: str) -> Opened:
        found = os.fstat(fd)
        real = real_path(fd)
        root = self.holding(real)
        if root is None or (found.st_nlink == 0 and real.endswith(" (deleted)")):
            raise Refused(Code.CONFLICT, f"{shown(path)} was moved or removed while it was opened", hint="try again")
        return Opened(fd, real, root, found)

    def _is_mount(self, folder: Opened, name: str) -> bool:
        try:
            inner = os.open(name, LOOKING | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder.fd)
        except OSError:
            return False
        os.close(inner)
        if not self._openat2:
            return os.lstat(name, dir_fd=folder.fd).st_dev != folder.stat.st_dev
        try:
            os.close(_openat2(folder.fd, name, LOOKING | os.O_NOFOLLOW))
        except OSError as error:
            return error.errno == errno.EXDEV
        return False


class _Missing(Refused):
    """There is nothing of that name."""


def lstat(name: str, folder: int) -> os.stat_result | None:
    """The entry's own stat; None where there is none. Raises Refused when it cannot be looked at."""
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed(error, name) from None


def real_path(fd: int) -> str:
    """The path that the kernel has for an open descriptor. Raises Refused when it cannot say."""
    with contextlib.suppress(OSError, ValueError):
        if LINUX:
            return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 (on the path of every call)
        return os.fsdecode(fcntl.fcntl(fd, _F_GETPATH, b"\0" * 1024).rstrip(b"\0"))
    raise Refused(
        Code.OUT_OF_BOUNDS, "the real path cannot be found out, so it cannot be judged", hint="is /proc there?"
    )


def mounts_below(path: str) -> bool:
    """Whether anything is mounted below this folder, a folder or file of the very same file system included.

    Raises Refused when that cannot be found out.
    """
    if not LINUX:
        return False
    escaped = os.fsencode(path)
    for char in b"\\ \t\n":
        escaped = escaped.replace(bytes([char]), b"\\%03o" % char)
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:  # noqa: PTH123 (for every tree that moves)
            return any(line.split(b" ", 5)[4].startswith(escaped + b"/") for line in mounts)
    except (OSError, IndexError):
        raise Refused(
            Code.OUT_OF_BOUNDS, f"it cannot be found out what is mounted in {shown(path)}", hint="is /proc there?"
        ) from None


def kind_of(mode: int) -> str:
    """What a file of this mode is, with its article, for a sentence."""
    kinds = (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_it, name in kinds if is_it(mode)), "a device")


def outside(path: str, why: str = "") -> Refused:
    """The refusal for what lies in no root; says nothing about whether it exists."""
    message = f"{shown(path)} is outside of the roots" + (f": {why}" if why else "")
    return Refused(Code.OUT_OF_BOUNDS, message, hint="files_guard lists the roots", rule="builtin.files.outside")


def failed(error: OSError, path: str) -> Refused:
    """The refusal for a path that could not be reached. Never a raw system message with a path of its own."""
    name = shown(path)
    if error.errno == errno.ENOENT:
        return _Missing(Code.INVALID, f"there is no {name}", hint="list_directory shows what there is")
    if error.errno == errno.ELOOP:
        return Refused(Code.INVALID, f"{name} is a link that leads in a circle, or changed while it was followed")
    if error.errno == errno.ENAMETOOLONG:
        return Refused(Code.INVALID, f"{name} is longer than a path can be")
    if error.errno == errno.ENOTDIR:
        return Refused(Code.INVALID, f"a part of {name} is not a folder")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Refused(Code.INVALID, f"the system does not let this account reach {name}")
    return Refused(Code.INVALID, f"{name} cannot be reached ({os.strerror(error.errno or 0)})")


def _mount_point(path: str) -> Refused:
    return Refused(
        Code.OUT_OF_BOUNDS,
        f"{shown(path)} lies on another file system, mounted inside the root",
        hint="a person can make it a root of its own in the policy",
    )


def _openat2(folder: int, name: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE)
    result = _syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_long(folder),
        ctypes.c_char_p(os.fsencode(name)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)
