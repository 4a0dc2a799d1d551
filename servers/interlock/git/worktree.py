"""The work tree as bytes: every path is walked from the root's descriptor, no link is ever followed.

States are compared before anything is replaced, and what is replaced is checked once more after it was moved
aside, so a change by somebody else in between is a conflict and never lost. Not for git's index or objects.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.untrusted import one_line

from .names import git_internal

CHUNK: Final = 1 << 20
ABSENT_ERRORS: Final = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class State:
    """One path's content. `kind`: file, link, other (directory, socket...); `mode` permission bits; sha256 in hex."""

    kind: str
    mode: int = 0
    size: int = 0
    digest: str = ""
    mtime: int = 0  # nanoseconds; restored, never compared

    def same(self, other: State | None) -> bool:
        """Equal content and executable bit: what git and a person would call unchanged."""
        return (
            other is not None
            and self.kind == other.kind
            and self.digest == other.digest
            and (self.kind != "file" or (self.mode & 0o100) == (other.mode & 0o100))
        )


class WorkTree:
    """One work tree. Each method opens what it needs and closes it; safe from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def state(self, path: str) -> State | None:
        """What lies at `path`; None when nothing does. A link on the way counts as nothing there."""
        try:
            with self._parent(path) as (folder, name):
                return _state(folder, name)
        except OSError as error:
            if error.errno in (*ABSENT_ERRORS, errno.ELOOP):
                return None
            raise

    def lstat(self, path: str) -> os.stat_result | None:
        """What `lstat` says of `path`; None when nothing is there."""
        try:
            with self._parent(path) as (folder, name):
                return os.lstat(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (*ABSENT_ERRORS, errno.ELOOP):
                return None
            raise

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's bytes or a link's target, at most `limit` + 1 bytes; None when neither is there."""
        try:
            with self._parent(path) as (folder, name):
                info = os.lstat(name, dir_fd=folder)
                if stat.S_ISLNK(info.st_mode):
                    return os.fsencode(os.readlink(name, dir_fd=folder))
                if not stat.S_ISREG(info.st_mode):
                    return None
                with _open_file(folder, name) as source:
                    data: bytes = source.read(limit + 1)
                    return data
        except OSError as error:
            if error.errno in (*ABSENT_ERRORS, errno.ELOOP):
                return None
            raise

    def copy_out(self, path: str, target: BinaryIO) -> State | None:
        """Append the bytes at `path` to `target` and say what they were. `other` kinds copy nothing."""
        try:
            with self._parent(path) as (folder, name):
                return _state(folder, name, target)
        except OSError as error:
            if error.errno in (*ABSENT_ERRORS, errno.ELOOP):
                return None
            raise

    def replace(self, path: str, expected: State | None, new: State, content: Iterator[bytes], tag: str) -> None:
        """Make `path` hold `content`. Raises Failed (conflict) when it is not as `expected`; then nothing changed."""
        with self._parent(path, create=True) as (folder, name):
            fresh, aside = _temporary(tag, path, "new"), _temporary(tag, path, "old")
            with suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=folder)
            try:
                _create(folder, fresh, new, content)
                if expected is None:
                    try:
                        os.link(fresh, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                    except FileExistsError:
                        raise _conflict(path) from None
                    os.unlink(fresh, dir_fd=folder)
                    return
                self._detach(folder, name, aside, path, expected)
                os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.unlink(aside, dir_fd=folder)
            except BaseException:
                _tidy(folder, name, fresh, aside)
                raise

    def remove(self, path: str, expected: State, tag: str) -> None:
        """Take `path` away, and folders that become empty. Raises Failed (conflict) when it is not as `expected`."""
        with self._parent(path) as (folder, name):
            aside = _temporary(tag, path, "old")
            self._detach(folder, name, aside, path, expected)
            os.unlink(aside, dir_fd=folder)
        self._remove_empty(path)

    def clean(self, path: str, tag: str) -> None:
        """After a cut-off: what was moved aside comes back if its place is free; temporary files go."""
        try:
            with self._parent(path) as (folder, name):
                _tidy(folder, name, _temporary(tag, path, "new"), _temporary(tag, path, "old"))
        except OSError:
            return

    def _detach(self, folder: int, name: str, aside: str, path: str, expected: State) -> None:
        current = _state(folder, name)
        if current is None or not current.same(expected):
            raise _conflict(path)
        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        moved = _state(folder, aside)
        if moved is None or not moved.same(expected):  # it changed between looking and moving: theirs comes back
            with suppress(OSError):
                os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                os.unlink(aside, dir_fd=folder)
            raise _conflict(path)

    def _remove_empty(self, path: str) -> None:
        parts = path.split("/")[:-1]
        while parts:
            with suppress(OSError), self._parent("/".join(parts)) as (folder, name):
                os.rmdir(name, dir_fd=folder)
                parts.pop()
                continue
            return

    @contextmanager
    def _parent(self, path: str, create: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that holds `path`, and the last name. Never through a link."""
        parts = path.split("/")
        if any(p in ("", ".", "..") or git_internal(p) for p in parts):
            raise Refused(Code.PROTECTED, f"{one_line(path, 120)} is no path of the work tree")
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                try:
                    deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                except FileNotFoundError:
                    if not create:
                        raise
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o777, dir_fd=folder)
                    deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = deeper
            yield folder, parts[-1]
        except OSError as error:
            if create and error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise Failed(
                    f"a file or link stands where a folder of {one_line(path, 120)} must be", code=Code.CONFLICT
                ) from error
            raise
        finally:
            os.close(folder)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _state(folder: int, name: str, target: BinaryIO | None = None) -> State | None:
    try:
        info = os.lstat(name, dir_fd=folder)
    except OSError as error:
        if error.errno in ABSENT_ERRORS:
            return None
        raise
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        link = os.fsencode(os.readlink(name, dir_fd=folder))
        if target is not None:
            target.write(link)
        return State("link", mode, len(link), digest_of(link), info.st_mtime_ns)
    if not stat.S_ISREG(info.st_mode):
        return State("other", mode)
    hashed, size = hashlib.sha256(), 0
    with _open_file(folder, name) as source:
        while chunk := source.read(CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            if target is not None:
                target.write(chunk)
    return State("file", mode, size, hashed.hexdigest(), info.st_mtime_ns)


def _open_file(folder: int, name: str) -> Any:
    # O_NONBLOCK: a pipe put in the file's place must not hang us.
    number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.ELOOP, "not a regular file")
    return os.fdopen(number, "rb")


def _create(folder: int, name: str, new: State, content: Iterator[bytes]) -> None:
    if new.kind == "link":
        os.symlink(b"".join(content), os.fsencode(name), dir_fd=folder)
        return
    mode = new.mode if new.mode else 0o644
    number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(number, "wb") as target:
        for chunk in content:
            target.write(chunk)
        target.flush()
        os.fchmod(target.fileno(), mode)
        if new.mtime:
            os.utime(target.fileno(), ns=(new.mtime, new.mtime))


def _tidy(folder: int, name: str, fresh: str, aside: str) -> None:
    """Back to before: what was moved aside returns unless something new stands in its place."""
    with suppress(OSError):
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    for leftover in (fresh, aside):
        with suppress(OSError):
            os.unlink(leftover, dir_fd=folder)


def _temporary(tag: str, path: str, end: str) -> str:
    return f".interlock-{tag}-{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}.{end}"


def _conflict(path: str) -> Failed:
    return Failed(
        f"{one_line(path, 120)} was changed by somebody else meanwhile",
        hint="read it again (git_status, git_diff), then decide anew",
        code=Code.CONFLICT,
    )
