"""The renames that changes are made of: onto nothing, and two entries for each other. Both are atomic.

Linux: renameat2(2); macOS: renameatx_np(2). Where the file system cannot exchange, `exchange` raises OSError with
EINVAL or ENOTSUP; nobody falls back to overwriting.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Final

_MAC: Final = sys.platform == "darwin"
_NOREPLACE: Final = 0x4 if _MAC else 0x1  # RENAME_EXCL, RENAME_NOREPLACE
_EXCHANGE: Final = 0x2  # RENAME_SWAP, RENAME_EXCHANGE

_libc = ctypes.CDLL(None, use_errno=True)


def rename_new(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Rename, never over anything. Raises OSError: FileExistsError, EXDEV across file systems."""
    _rename(folder, name, to_folder, to_name, _NOREPLACE)


def exchange(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Let two existing entries change places, in one step. Raises OSError."""
    _rename(folder, name, to_folder, to_name, _EXCHANGE)


def can_rename(folder: int, to_folder: int) -> bool:
    """Whether an entry of one folder can be renamed into the other: the same file system, through the same mount."""
    if os.fstat(folder).st_dev != os.fstat(to_folder).st_dev:
        return False
    try:
        _rename(folder, ".interlock-no-such-entry", to_folder, ".interlock-no-such-entry", _NOREPLACE)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def _rename(folder: int, name: str, to_folder: int, to_name: str, flags: int) -> None:
    call = _libc.renameatx_np if _MAC else _libc.renameat2
    ctypes.set_errno(0)
    if call(folder, os.fsencode(name), to_folder, os.fsencode(to_name), ctypes.c_uint(flags)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def sync_folder(fd: int) -> None:
    """Make the names in a folder durable."""
    inner = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.fsync(inner)
    finally:
        os.close(inner)
