"""What differs between HEAD, the index and the work tree, in porcelain letters. Full scans by libgit2, shared between threads.

Not for what the differences are (`patches`).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .repositories import Facts

if TYPE_CHECKING:
    import pygit2

_STAGED: Final = {1: "A", 2: "M", 4: "D", 8: "R", 16: "T"}
_LIVE: Final = {128: "?", 256: "M", 512: "D", 1024: "T", 2048: "R", 4096: "!"}
_CONFLICTED: Final = 32768


@dataclass(frozen=True, slots=True)
class Entry:
    """`code`: two letters as in `git status --porcelain`; untracked folders end with `/`."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class Scan:
    """All entries sorted by path, and their counts."""

    entries: tuple[Entry, ...] = ()
    staged: int = 0
    changed: int = 0
    untracked: int = 0
    conflicted: int = 0
    unwatched: int = 0  # files whose marks tell git not to look
    marks: tuple[object, ...] = field(default=(), compare=False)


class Scanner:
    """Scans work trees. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unwatched: dict[str, tuple[tuple[int, int, int], int]] = {}

    def scan(self, repo: pygit2.Repository, facts: Facts) -> Scan:
        """Look at everything, now."""
        repo.index.read(False)
        status = repo.status(untracked_files="normal", ignored=False)
        return self.collect(status, facts)

    def collect(self, status: dict[str, int], facts: Facts) -> Scan:
        entries = []
        counts = [0, 0, 0, 0]
        for path in sorted(status):
            flags = int(status[path])
            if flags & _CONFLICTED:
                counts[3] += 1
                entries.append(Entry("UU", path))
                continue
            ahead = next((letter for bit, letter in _STAGED.items() if flags & bit), " ")
            live = next((letter for bit, letter in _LIVE.items() if flags & bit), " ")
            if ahead == live == " ":
                continue
            if live == "?" and ahead == " ":
                counts[2] += 1
                entries.append(Entry("??", path))
                continue
            counts[0] += ahead != " "
            counts[1] += live != " "
            entries.append(Entry(ahead + live, path))
        staged, changed, untracked, conflicted = counts
        return Scan(tuple(entries), staged, changed, untracked, conflicted, self.unwatched(facts))

    def unwatched(self, facts: Facts) -> int:
        """How many index entries are marked assume-unchanged or skip-worktree; remembered while the index stays."""
        place = facts.gitdir / "index"
        try:
            info = place.stat()
        except OSError:
            return 0
        stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
        known = self._unwatched.get(facts.name)
        if known is not None and known[0] == stamp:
            return known[1]
        count = _count_marks(os.fspath(place))
        with self._lock:
            self._unwatched[facts.name] = (stamp, count)
        return count


def _count_marks(path: str) -> int:
    import pygit2
    from pygit2.ffi import C

    index = pygit2.Index(path)
    pointer, count = index._index, 0
    for position in range(len(index)):
        entry = C.git_index_get_byindex(pointer, position)
        if entry.flags & 0x8000 or entry.flags_extended & 0x4000:
            count += 1
    return count
