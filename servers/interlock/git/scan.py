"""What differs between HEAD, the index and the work tree, in porcelain letters; remembered for reads.

Not for what the differences are (`patches`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .patches import Changed, changed_files, entry_in, is_ignored, new_mode, stored_form
from .repositories import Facts
from .watching import Watch
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

_STAGED: Final = {1: "A", 2: "M", 4: "D", 8: "R", 16: "T"}
_LIVE: Final = {128: "?", 256: "M", 512: "D", 1024: "T", 2048: "R", 4096: "!"}
_CONFLICTED: Final = 32768
WHOLE: Final = 32 << 20  # bytes of a touched file that is read to compare it
LARGE: Final = 200_000  # bytes of an index (about 2,000 files) from which a scan is worth remembering


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
        self._kept: dict[str, tuple[tuple[object, ...], Scan, Watch]] = {}
        self._unwatched: dict[str, tuple[tuple[int, int, int], int]] = {}

    def scan(self, repo: pygit2.Repository, facts: Facts) -> Scan:
        """Look at everything, now."""
        repo.index.read(False)
        status = repo.status(untracked_files="normal", ignored=False)
        return self.collect(status, facts)

    def recent(self, repo: pygit2.Repository, facts: Facts) -> Scan:
        """The last scan if nothing it rests on was touched since, else a new one. For reading only."""
        kept = self._kept.get(facts.name)
        if _index_size(facts) < LARGE:
            if kept is not None:
                self._kept.pop(facts.name, None)
                kept[2].close()
            return self.scan(repo, facts)
        marks = _marks(repo, facts)
        if kept is not None and kept[0] == marks:
            touched = kept[2].touched()
            again = None if touched is None else self._again(repo, facts, kept[1], touched)
            if again is not None:
                self._kept[facts.name] = (marks, again, kept[2])
                return again
        if kept is not None:
            kept[2].close()
        watch = Watch(facts.root)
        watching = watch.begin(_skipper(repo))
        found = self.scan(repo, facts)
        if watching and marks == _marks(repo, facts):
            self._kept[facts.name] = (marks, found, watch)
        else:
            watch.close()
        return found

    def _again(self, repo: pygit2.Repository, facts: Facts, last: Scan, touched: set[str]) -> Scan | None:
        """The last scan, with these files looked at once more. None where only a whole scan will do."""
        if not touched:
            return last
        if last.unwatched:
            return None
        entries = {entry.path: entry for entry in last.entries}
        if len(entries) != len(last.entries):
            return None
        repo.index.read(False)
        for path in touched:
            known = entries.get(path)
            if path.rpartition("/")[2] in (".gitignore", ".gitattributes") or (known is not None and "U" in known.code):
                return None
            if path in repo.index:
                letter = live_letter(repo, facts, path)
                if letter is None or (known is not None and known.code == "??"):
                    return None
                code = (known.code[0] if known is not None else " ") + letter
                entries.pop(path, None)
                if code != "  ":
                    entries[path] = Entry(code, path)
            elif WorkTree(facts.root).lstat(path) is None:
                if known is not None and known.code == "??":
                    del entries[path]
                elif any(f"{folder}/" in entries for folder in _above(path)):
                    return None  # was it the last one of an untracked folder?
            elif known is None and not is_ignored(repo, path) and not any(f"{f}/" in entries for f in _above(path)):
                return None
        return _counted([entries[path] for path in sorted(entries)], last.unwatched)

    def close(self) -> None:
        for _, _, watch in self._kept.values():
            watch.close()
        self._kept.clear()

    def collect(self, status: dict[str, int], facts: Facts) -> Scan:
        entries = []
        for path in sorted(status):
            flags = int(status[path])
            if flags & _CONFLICTED:
                entries.append(Entry("UU", path))
                continue
            ahead = next((letter for bit, letter in _STAGED.items() if flags & bit), " ")
            live = next((letter for bit, letter in _LIVE.items() if flags & bit), " ")
            if live == "?":  # beside it the path may be gone from the index: two lines, as git has it
                entries += [Entry(f"{ahead} ", path)] if ahead != " " else []
                entries.append(Entry("??", path))
            elif ahead + live != "  ":
                entries.append(Entry(ahead + live, path))
        return _counted(entries, self.unwatched(facts))

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


def against_tree(repo: pygit2.Repository, facts: Facts, scan: Scan, tree: pygit2.Tree) -> list[Changed]:
    """What differs between a tree and the work tree, as git has it: files that the tree or the index knows."""
    repo.index.read(False)
    paths = {c.path for c in changed_files(tree.diff_to_index(repo.index), False)}
    paths |= {e.path for e in scan.entries if e.code[1] in "MDTU"}
    found = []
    for path in sorted(paths):
        old = entry_in(tree, path)
        exists = path in repo.index and WorkTree(facts.root).lstat(path) is not None
        if old is None and not exists:
            continue
        status = "A" if old is None else "M" if exists else "D"
        id, mode = old or ("", int(repo.index[path].mode))
        found.append(Changed(status, path, path, id, "", mode, new_mode(facts, path, mode) if exists else mode, True))
    return found


def _counted(entries: list[Entry], unwatched: int) -> Scan:
    conflicted = sum(entry.code == "UU" for entry in entries)
    untracked = sum(entry.code == "??" for entry in entries)
    staged = sum(entry.code[0] not in " ?U" for entry in entries)
    changed = sum(entry.code[1] not in " ?U" for entry in entries)
    return Scan(tuple(entries), staged, changed, untracked, conflicted, unwatched)


def live_letter(repo: pygit2.Repository, facts: Facts, path: str) -> str | None:
    """How a tracked file differs from the index: `M`, `D`, `T` or a space. None where that is not plain to see."""
    entry = repo.index[path]
    info = WorkTree(facts.root).lstat(path)
    if info is None:
        return "D"
    link = stat.S_ISLNK(info.st_mode)
    if not (link or stat.S_ISREG(info.st_mode)) or int(entry.mode) == 0o160000 or info.st_size > WHOLE:
        return None
    if link != (int(entry.mode) == 0o120000):
        return "T"
    if new_mode(facts, path, int(entry.mode)) != int(entry.mode):
        return "M"
    data = WorkTree(facts.root).read(path, WHOLE)
    if data is None:
        return None
    stored = data if link else stored_form(repo, path, data)
    return (
        " "
        if hashlib.sha1(b"blob %d\0" % len(stored) + stored, usedforsecurity=False).hexdigest() == str(entry.id)
        else "M"
    )


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _marks(repo: pygit2.Repository, facts: Facts) -> tuple[object, ...]:
    """All that a scan rests on beside the work tree itself."""
    from .engine import user_configurations

    gitdir, common = os.fspath(facts.gitdir), os.fspath(facts.common)
    places = (
        f"{gitdir}/index",
        f"{common}/config",
        f"{common}/info/exclude",
        f"{common}/info/attributes",
        os.fspath(user_configurations()[0].parent / "ignore"),
    )
    found: list[object] = [str(repo.head.target) if not repo.head_is_unborn else ""]
    for place in places:
        try:
            info = os.lstat(place)
        except OSError:
            found.append(None)
            continue
        found.append((info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino))
    return tuple(found)


def _index_size(facts: Facts) -> int:
    try:
        return (facts.gitdir / "index").stat().st_size
    except OSError:
        return 0


def _skipper(repo: pygit2.Repository) -> Callable[[str], bool]:
    """Ignored folders without tracked files do not matter; node_modules need not be watched."""
    tracked: set[str] = set()

    def skipped(path: str) -> bool:
        if not is_ignored(repo, f"{path}/"):
            return False
        if not tracked:
            tracked.update(_folders(repo))
        return path not in tracked

    return skipped


def _folders(repo: pygit2.Repository) -> set[str]:
    """Every folder that holds a tracked file, at any depth."""
    found = {""}
    last = ""
    for entry in repo.index:
        folder = entry.path.rpartition("/")[0]
        if folder != last:
            last = folder
            while folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
    return found


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
