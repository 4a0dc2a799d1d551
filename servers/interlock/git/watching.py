"""Tells what of a work tree has been touched since it was last looked at, so that the rest is not read again.

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
TOUCHED: Final = 200  # paths that are looked at one by one; of more, everything is
_MASK: Final = (
    0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
)  # modify attrib close-write moves create delete
_FLAGS: Final = 0x01000000 | 0x02000000 | 0x04000000  # only folders, do not follow links, not what is unlinked
_UNTOLD: Final = 0x40000000 | 0x4000 | 0x2000 | 0x8000 | 0x400 | 0x800  # a folder, overflow, unmounted, gone
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
        self._folders: dict[int, str] = {}

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
            folders: dict[int, str] = {}
            waiting = [""]
            while waiting:
                folder = waiting.pop()
                place = self._root / folder if folder else self._root
                descriptor = libc.inotify_add_watch(number, os.fsencode(place), _MASK | _FLAGS)
                if len(folders) >= FOLDERS or descriptor < 0:
                    os.close(number)
                    return False
                folders[descriptor] = folder
                with suppress(OSError), os.scandir(place) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                            path = f"{folder}/{entry.name}" if folder else entry.name
                            if not skipped(path):
                                waiting.append(path)
            self._number, self._since, self._folders = number, time.monotonic(), folders
            return True

    def touched(self) -> set[str] | None:
        """Paths of files that something happened to since `begin` or the last call; None when it cannot be told.

        None ends the watch: it lasted long enough, too much happened, or folders came and went.
        """
        with self._lock:
            if self._number < 0:
                return None
            found: set[str] = set()
            while time.monotonic() - self._since <= LASTING:
                try:
                    data = os.read(self._number, 65536)
                except BlockingIOError:
                    return found
                except OSError:
                    break
                if not self._note(data, found):
                    break
            self._end()
            return None

    def _note(self, data: bytes, found: set[str]) -> bool:
        at = 0
        while at < len(data):
            descriptor, mask, _, length = struct.unpack_from("iIII", data, at)
            name = data[at + 16 : at + 16 + length].rstrip(b"\0")
            at += 16 + length
            folder = self._folders.get(descriptor)
            if folder is None or not name or mask & _UNTOLD or len(found) >= TOUCHED:
                return False
            text = os.fsdecode(name)
            found.add(f"{folder}/{text}" if folder else text)
        return True

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
