"""Whether a folder or file may be trusted to hold the guard's own things, and the space set aside for a full disk.

For the home, the keys and the folder of running servers. Not for the world that agents work in (`interlock.paths`).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from .errors import Broken

RESERVE_BYTES: Final = 16 << 20


def check_home(folder: Path, create: bool = False) -> None:
    """A folder that is this account's alone (0700), below folders in which nobody else can replace it.

    `create` makes it, and tightens one that is still empty. Raises Broken with what to do.
    """
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = Path(os.path.realpath(folder, strict=True))
        found = real.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise Broken(f"{folder} is not a folder", hint="name another one with --home")
        if found.st_uid != os.geteuid():
            raise Broken(f"{folder} belongs to another account", hint="use a folder of this account (--home)")
        if found.st_mode & 0o077:
            if not create or any(real.iterdir()):
                raise Broken(f"{folder} is open to other accounts", hint=f"chmod 700 {folder}")
            real.chmod(0o700)
        _check_above(folder, real)
    except OSError as error:
        what = "cannot be made or opened" if create else "cannot be opened"
        raise Broken(
            f"{folder} {what} ({os.strerror(error.errno or errno.EIO).lower()})",
            hint="make it a folder of this account with mode 0700, on a writable disk",
        ) from error


def _check_above(folder: Path, real: Path) -> None:
    for parent in real.parents:
        found = parent.stat()
        if found.st_uid not in (0, os.geteuid()) and not _same_as_root(found):
            raise Broken(f"{folder} lies in {parent}, which belongs to another account", hint="use another folder")
        if found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX:
            raise Broken(f"{folder} lies in {parent}, where anybody may replace it", hint=f"chmod o-w {parent}")


def _same_as_root(found: os.stat_result) -> bool:
    """In a user namespace the machine's root shows up as the overflow account."""
    return found.st_uid == 65534 and os.stat("/").st_uid == 65534  # noqa: PTH116


def check_private_file(path: Path, tighten: bool = True) -> os.stat_result:
    """A regular file with one name, of this account, closed to others. Raises Broken; FileNotFoundError.

    `tighten`: take read rights from others instead of refusing; a file that others may write is refused anyway.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Broken(f"{path} is not a regular file", hint="somebody put something else there: move it away")
    if found.st_uid != os.geteuid():
        raise Broken(f"{path} belongs to another account", hint="move it away or give it back to this account")
    if found.st_nlink > 1:
        raise Broken(f"{path} has a second name (hard link)", hint=f"copy it, and put the copy in its place: {path}")
    if found.st_mode & 0o022 or (found.st_mode & 0o077 and not tighten):
        raise Broken(f"{path} is open to other accounts", hint=f"chmod 600 {path}, and check what it holds")
    if found.st_mode & 0o077:
        path.chmod(0o600)
    return found


def free_bytes(folder: Path) -> int:
    """Free space for this account on the disk of `folder`. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def make_reserve(path: Path) -> None:
    """Fill a file with real blocks. Raises Broken."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            else:
                for _ in range(RESERVE_BYTES >> 20):  # zeros may be stored as a hole
                    os.write(fd, os.urandom(1 << 20))
        finally:
            os.close(fd)
    except OSError as error:
        raise Broken(
            f"{path} cannot be set aside ({os.strerror(error.errno or errno.EIO).lower()})", hint="free some space"
        ) from error


def write_out(fd: int, content: bytes) -> None:
    """Write all of it to a fresh file, make it durable and close the descriptor, whatever happens. Raises OSError."""
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def write_private(path: Path, content: bytes, replace: bool = True) -> None:
    """Write a 0600 file in one step and make it durable. Raises OSError (FileExistsError unless `replace`)."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        write_out(fd, content)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path, follow_symlinks=False)
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
