"""Git's index as a file of its own: its entries for comparing, and entries with cached times. No repository needed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pygit2


class _Timed(pygit2.IndexEntry):
    """An entry that also carries the file's cached `stat`, as git's own `add` would write it."""

    def __init__(self, path: str, id: pygit2.Oid, mode: int, info: os.stat_result) -> None:
        super().__init__(path, id, mode)  # type: ignore[arg-type]
        self._info = info

    def _to_c(self) -> tuple[Any, Any]:
        entry, text = super()._to_c()
        info = self._info
        entry.mtime.seconds, entry.mtime.nanoseconds = divmod(info.st_mtime_ns, 10**9)
        entry.ctime.seconds, entry.ctime.nanoseconds = divmod(info.st_ctime_ns, 10**9)
        entry.dev = info.st_dev & 0xFFFFFFFF
        entry.ino = info.st_ino & 0xFFFFFFFF
        entry.uid = info.st_uid & 0xFFFFFFFF
        entry.gid = info.st_gid & 0xFFFFFFFF
        entry.file_size = info.st_size & 0xFFFFFFFF
        return entry, text


def entries(path: Path | None) -> list[tuple[str, str, int, int]]:
    """Path, id, mode and stage of every entry, conflicts included; none for an absent index."""
    if path is None or not path.exists():
        return []
    index = pygit2.Index(str(path))
    found = [(e.path, str(e.id), int(e.mode), 0) for e in index]
    for stages in index.conflicts or ():
        found += [(e.path, str(e.id), int(e.mode), n) for n, e in enumerate(stages, 1) if e is not None]
    return sorted(found)


def with_times(path: Path, root: Path, names: list[str]) -> None:
    """Write the cached `stat` of these files into the index at `path`. What cannot be read stays without."""
    index = pygit2.Index(str(path))
    for name in names:
        try:
            info = os.lstat(root / name)
            entry = index[name]
        except (OSError, KeyError):
            continue
        if stat.S_ISREG(info.st_mode):
            index.add(_Timed(name, entry.id, int(entry.mode), info))
    index.write()
