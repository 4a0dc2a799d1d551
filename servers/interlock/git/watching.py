"""Tells whether a work tree has been touched since it was last looked at, so that an unchanged one is not read again.

One inotify watch a folder (Linux). What inotify cannot promise ends the promise: too many folders, a file system that
others write to over a network, an overflowing queue. Writes through a memory map are not reported, so a promise also
ends by itself after `LASTING`. Only reads rest on it; changes always look themselves.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

LASTING: Final = 30.0  # seconds
FOLDERS: Final = 16_000
_MASK: Final = (
    0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
)  # modify attrib close-write moves create delete
_FLAGS: Final = 0x01000000 | 0x02000000 | 0x04000000  # only folders, do not follow links, not what is unlinked
_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
# statfs f_type: ext2-4, xfs, btrfs, tmpfs, f2fs, zfs, overlayfs
_LOCAL: Final = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1, 0x794C7630})


class Watch:
    """One work tree, watched from `begin` on. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._number = -1
        self._since = 0.0

    def begin(self, skipped: Callable[[str], bool]) -> bool:
        """Watch every folder but `.git` and those that `skipped` (a relative path) names. False: it cannot be."""
        with self._lock:
            self._end()
            if not sys.platform.startswith("linux") or not _local(self._root):
                return False
            libc = ctypes.CDLL(None, use_errno=True)
            number = libc.inotify_init1(_NONBLOCK_CLOEXEC)
            if number < 0:
                return False
            waiting, count = [""], 0
            while waiting:
                folder = waiting.pop()
                place = self._root / folder if folder else self._root
                count += 1
                if count > FOLDERS or libc.inotify_add_watch(number, os.fsencode(place), _MASK | _FLAGS) < 0:
                    os.close(number)
                    return False
                with suppress(OSError), os.scandir(place) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                            path = f"{folder}/{entry.name}" if folder else entry.name
                            if not skipped(path):
                                waiting.append(path)
            self._number, self._since = number, time.monotonic()
            return True

    def untouched(self) -> bool:
        """Whether nothing happened since `begin` or the last True. A False ends the watch."""
        with self._lock:
            if self._number < 0:
                return False
            if time.monotonic() - self._since > LASTING:
                self._end()
                return False
            try:
                data = os.read(self._number, 4096)
            except BlockingIOError:
                return True
            except OSError:
                data = b"?"
            if data:
                self._end()
            return False

    def close(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


def _local(root: Path) -> bool:
    """Whether all writers of this file system are this machine's. Not known is no."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    if libc.statfs(os.fsencode(root), buffer) != 0:
        return False
    kind: int = struct.unpack_from("q", buffer.raw)[0] & 0xFFFFFFFF
    return kind in _LOCAL
