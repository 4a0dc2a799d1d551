"""Where the prior state of a change lies, enough to undo it: sealed in `state.db` before the change runs.

    state.db                        the server's own state, small prior contents among it; and the account of the store
    snapshots/ab/<change id>/...    what is larger than that: whole files and trees, where a change has any
    snapshots/.gone/...             on its way out; emptied at once, or after a crash by the next expiry

Not for what is in a snapshot: servers capture and restore. Size never evicts: when the store is full, changes are
refused; age expires (`keep`), and people purge. Nothing here walks folders but the removal of one snapshot, and
nothing grows with their number.

Syncs of a seal, in order, and why: where the slot has a folder (1) that folder, for the names of what was captured,
and (2) the shard's, for the slot's name (the first seal only); then always (3) the log of `state.db`, which makes
the change, its place in the limits and the store, and what was sealed durable at once. What the server captured into
the folder it syncs itself, before it seals.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Broken, Code, Refused

if TYPE_CHECKING:
    import sqlite3

    from interlock.guard.policy.loading import SnapshotsSettings
    from interlock.guard.state import State

SHARDS: Final = 256
EXPIRE_BATCH: Final = 200  # snapshots that one round of expiry removes at most
KEEP_ROWS: Final = 90 * 86400.0  # seconds after which a change that can no longer be undone is left to the records


class Slot:
    """One change's place in the store. Not thread-safe."""

    def __init__(self, id: str, path: Path, snapshots: Snapshots, too_large: bool = False) -> None:
        self.id = id
        self.path = path  # of its folder, which is there only where `folder` made it
        self.too_large = too_large  # nothing of the prior state is kept (class `none`)
        self.state: dict[str, Any] = {}
        self._snapshots = snapshots
        self._unsynced: list[Path] = []

    def folder(self) -> Path:
        """The change's own folder, 0700 and the server's to fill, for what is too large to be sealed. Raises Broken."""
        if not self.state and not self._unsynced:
            self._snapshots.make_folder(self.id)
            self._unsynced = [self.path, self.path.parent]
        return self.path

    def seal(self, state: Mapping[str, Any], *, size: int | None = None, keep: float | None = None) -> None:
        """Write down the server's state, in one step and durably; may be done again while the change runs.

        `size`: bytes really captured, where they differ from what was reserved. `keep`: a time of its own in seconds,
        shorter or longer than the policy's (clean-up rules). Raises Broken.
        """
        self.state = dict(state)
        try:
            for folder in self._unsynced:
                _sync_folder(folder)
        except OSError as error:
            raise _broken(error, "the snapshot cannot be sealed") from error
        self._unsynced = self._unsynced[:1]  # its own name is on the disk now
        self._snapshots.seal(self.id, json.dumps(self.state, ensure_ascii=True, separators=(",", ":")), size, keep)


class Snapshots:
    """The store. Thread-safe. Raises Broken when it cannot be used."""

    def __init__(self, home: Path, state: State) -> None:
        self._root = home / "snapshots"
        self._state = state
        self._prepared = False
        self._lock = threading.Lock()
        self._in_log = False  # copies of what was removed may lie in the database's log

    # ---------------------------------------------------------------- room

    def reserve(
        self, db: sqlite3.Connection, change_id: str, size: int, agent: str, settings: SnapshotsSettings
    ) -> Slot:
        """Account for `size` bytes of a change, in the transaction that notes it. Raises Refused: there is no room.

        A change too large for any snapshot gets a slot of no size (`too_large`): it runs only as class `none`, with
        a person's consent, and its server keeps nothing of what was there.
        """
        too_large = size > settings.share
        held = 0 if too_large else size
        _refuse_when_full(held, _usage(db, None), _usage(db, agent), settings)
        db.execute(
            "INSERT INTO slots (change, agent, size, at, status) VALUES (?,?,?,?,'held')",
            (change_id, agent, held, self._state.now()),
        )
        _account(db, agent, held, 1)
        return Slot(change_id, self._path(change_id), self, too_large=too_large)

    def make_folder(self, change_id: str) -> None:
        """A new slot's folder. Raises Broken.

        One that is there is of a capture whose rows a power cut took: the same approved call comes again.
        """
        path = self._path(change_id)
        try:
            self._prepare()
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                self._remove(change_id)
                path.mkdir(mode=0o700)
        except OSError as error:
            raise _broken(error, "there is no room for a snapshot") from error

    def seal(self, change_id: str, state: str, size: int | None, keep: float | None) -> None:
        """A slot's own: see there."""
        with self._state.tx(durable=True) as db:
            row = _held(db, change_id)
            if row is None:  # what was reserved lies in another file: somebody replaced the state meanwhile
                raise Broken(f"the place of {change_id} in the store is gone; without a snapshot nothing runs")
            db.execute("INSERT OR REPLACE INTO sealed (change, state) VALUES (?,?)", (change_id, state))
            if keep is not None:
                db.execute("UPDATE slots SET keep = ? WHERE change = ?", (keep, change_id))
            if size is not None:
                db.execute("UPDATE slots SET size = ? WHERE change = ?", (size, change_id))
                _account(db, row[0], size - row[1], 0)

    def open(self, change_id: str) -> Slot:
        """The slot of a change, with what was sealed: nothing, where it never was. Raises Refused (expired, purged)."""
        query = "SELECT status, state FROM slots LEFT JOIN sealed USING (change) WHERE change = ?"
        row = self._state.read().execute(query, (change_id,)).fetchone()
        if row is None or row[0] != "held":
            how = {"expired": "has expired", "purged": "was purged by a person"}.get(row[0] if row else "", "is gone")
            raise Refused(Code.INVALID, f"the snapshot of {change_id} {how}, so it cannot be undone")
        slot = Slot(change_id, self._path(change_id), self)
        try:
            slot.state = json.loads(row[1] or "{}")
        except ValueError as error:
            raise Broken(f"the snapshot of {change_id} cannot be read ({type(error).__name__})") from error
        return slot

    def discard(self, change_id: str, also: Callable[[sqlite3.Connection], object] | None = None) -> None:
        """Take back a reservation whose change never ran. `also` is done in the same transaction. Raises Broken."""
        with self._state.tx() as db:
            if also is not None:
                also(db)
            _forget(db, change_id)
        self._remove(change_id)
        self._empty_gone()

    # ---------------------------------------------------------------- the end of a snapshot

    def expire(self, settings: SnapshotsSettings) -> list[str]:
        """Remove what is older than `keep` (or its own time).

        Returns the ids of expired snapshots, for the record. A change that is permitted or unknown keeps its
        snapshot whatever its age.
        """
        now = self._state.now()
        with self._state.tx() as db:
            rows = [
                *db.execute(
                    "SELECT change FROM slots WHERE status = 'held' AND at < ? AND keep IS NULL ORDER BY at LIMIT ?",
                    (now - settings.keep, EXPIRE_BATCH),
                ).fetchall(),
                *db.execute(
                    "SELECT change FROM slots WHERE status = 'held' AND keep IS NOT NULL AND at + keep < ? LIMIT ?",
                    (now, EXPIRE_BATCH),
                ).fetchall(),
            ]
            old = [row[0] for row in rows if not _needed(db, row[0])]
        expired, problem = self._end(old, "expired")
        if problem is not None:  # tried again next time; what has expired is to be recorded all the same
            _warn("not expired yet", problem)
        self._forget_old(now - KEEP_ROWS)
        if expired or self._in_log:
            self._in_log = True
            try:
                self._state.shrink()
                self._in_log = False
            except Broken as broken:
                _warn("not given back to the disk yet", broken)
        return expired

    def _forget_old(self, before: float) -> None:
        """Drop the rows of changes that ended, and cannot be undone any more: their story stands in the records.

        What was undone stays as long as its undo: undoing that asks what the first one asked.
        """
        old = self._state.read().execute(
            "SELECT id FROM changes WHERE at < ? AND (status IN ('done', 'failed', 'undone') OR settled_by != '')"
            " AND NOT EXISTS (SELECT 1 FROM slots WHERE change = changes.id AND slots.status = 'held')"
            " AND NOT EXISTS (SELECT 1 FROM changes AS undo WHERE undo.id = changes.undone_by)"
            " ORDER BY at LIMIT ?",
            (before, EXPIRE_BATCH),
        )
        ids = [(row[0],) for row in old.fetchall()]
        ended = self._state.read().execute(
            "SELECT change FROM slots WHERE status IN ('expired', 'purged') AND at < ?"
            " AND NOT EXISTS (SELECT 1 FROM changes WHERE id = slots.change) LIMIT ?",
            (before, EXPIRE_BATCH),
        )
        slots = [*ids, *((row[0],) for row in ended.fetchall())]
        if slots:
            with self._state.tx() as db:
                db.executemany("DELETE FROM changes WHERE id = ?", ids)
                db.executemany("DELETE FROM slots WHERE change = ? AND status IN ('expired', 'purged')", slots)

    def purge(self, ids: Sequence[str]) -> list[str]:
        """Remove these now; the caller holds a person's signed statement. Returns the ids that were there.

        A change that still runs, or whose outcome is unknown, keeps its snapshot. Raises Broken, also where all is
        purged but the database's log cannot be emptied: a person wants it gone from there too.
        """
        with self._state.tx() as db:
            free = [id for id in ids if not _needed(db, id)]
        purged, problem = self._end(free, "purged")
        self._state.shrink()
        if problem is not None:
            raise problem
        return purged

    def _end(self, ids: Sequence[str], status: str) -> tuple[list[str], Broken | None]:
        """Those of them that were still held; and why others still are. The files go first: cut off, it goes on so."""
        ended: list[str] = []
        problem: Broken | None = None
        for id in ids:
            try:
                self._remove(id)
                with self._state.tx() as db:
                    if _forget(db, id, status):
                        ended.append(id)
            except Broken as broken:
                problem = broken
        self._empty_gone()
        return ended, problem

    # ---------------------------------------------------------------- for people

    def usage(self, limit: int = 1000) -> dict[str, Any]:
        """`{"bytes", "count", "by_agent": {agent: bytes}, "snapshots": [{"id", "agent", "bytes", "at", "keep"}]}`.

        The snapshots are the largest first, at most `limit`; `at` and `keep` in seconds.
        """
        rows = self._state.read().execute("SELECT agent, size, count FROM slot_sums").fetchall()
        held = self._state.read().execute(
            "SELECT change, agent, size, at, keep FROM slots WHERE status = 'held' ORDER BY size DESC LIMIT ?",
            (limit,),
        )
        return {
            "bytes": sum(row[1] for row in rows),
            "count": sum(row[2] for row in rows),
            "by_agent": {row[0]: row[1] for row in rows if row[2]},
            "snapshots": [
                dict(zip(("id", "agent", "bytes", "at", "keep"), row, strict=True)) for row in held.fetchall()
            ],
        }

    # ---------------------------------------------------------------- small pieces

    def _path(self, change_id: str) -> Path:
        if not change_id or not all(c.isascii() and (c.isalnum() or c == "-") for c in change_id):
            raise Broken("a change's id holds letters, digits and dashes only")
        return self._root / f"{zlib.crc32(change_id.encode()) % SHARDS:02x}" / change_id

    def _prepare(self) -> None:
        """All shards at once, when the store is new: their names are synced here and never again."""
        marker = self._root / ".sharded"
        with self._lock:
            if self._prepared or marker.exists():
                self._prepared = True
                return
            self._root.mkdir(mode=0o700, exist_ok=True)
            for shard in range(SHARDS):
                (self._root / f"{shard:02x}").mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._root)
            marker.mkdir(mode=0o700, exist_ok=True)
            self._prepared = True

    def _remove(self, id: str) -> None:
        """First out of the way in one step, then gone: a crash leaves no half snapshot that looks whole."""
        gone = self._root / ".gone"
        try:
            gone.mkdir(mode=0o700, exist_ok=True)
            self._path(id).rename(gone / f"{id}.{os.urandom(4).hex()}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise _broken(error, "the snapshot cannot be removed") from error

    def _empty_gone(self) -> None:
        gone = self._root / ".gone"
        if gone.is_dir():
            for entry in gone.iterdir():
                remove_tree(entry)


def remove_tree(path: Path) -> None:
    """Remove a tree without following links, folders that forbid it included. What cannot go stays for next time."""

    def unlock(function: Any, name: str, problem: Any) -> None:
        parent = Path(name).parent
        try:
            for folder in (parent, Path(name)):
                if stat.S_ISDIR(folder.lstat().st_mode):
                    folder.chmod(0o700)
            if function in (os.unlink, os.rmdir):
                function(name)
            else:
                shutil.rmtree(name, ignore_errors=True)
        except OSError:
            return

    shutil.rmtree(path, onerror=unlock)


def _forget(db: Any, id: str, status: str = "") -> bool:
    """Out of the account; the row stays with its status, for the one who asks later. False: not held."""
    row = _held(db, id)
    if row is None:
        return False
    db.execute("DELETE FROM sealed WHERE change = ?", (id,))
    if status:
        db.execute("UPDATE slots SET status = ?, size = 0 WHERE change = ?", (status, id))
    else:
        db.execute("DELETE FROM slots WHERE change = ?", (id,))
    _account(db, row[0], -row[1], -1)
    return True


def _held(db: Any, id: str) -> Any:
    return db.execute("SELECT agent, size FROM slots WHERE change = ? AND status = 'held'", (id,)).fetchone()


def _needed(db: Any, id: str) -> bool:
    """Its change runs, or nobody knows how it ended."""
    row = db.execute("SELECT status FROM changes WHERE id = ?", (id,)).fetchone()
    return row is not None and row[0] in ("permitted", "unknown")


def _usage(db: Any, agent: str | None) -> int:
    query = "SELECT coalesce(sum(size), 0) FROM slot_sums"
    row = db.execute(f"{query} WHERE agent = ?", (agent,)) if agent is not None else db.execute(query)
    return int(row.fetchone()[0])


def _account(db: Any, agent: str, size: int, count: int) -> None:
    db.execute(
        "INSERT INTO slot_sums (agent, size, count) VALUES (?, ?, ?) ON CONFLICT (agent)"
        " DO UPDATE SET size = size + excluded.size, count = count + excluded.count",
        (agent, size, count),
    )


def _refuse_when_full(size: int, total: int, own: int, settings: SnapshotsSettings) -> None:
    hint = "a person frees room with `interlock snapshots purge` or raises `snapshots.max_size`"
    if total + size > settings.max_size:
        raise Refused(Code.LIMIT_REACHED, "the store of snapshots is full, so nothing can be changed", hint=hint)
    if own + size > settings.share:
        raise Refused(Code.LIMIT_REACHED, "this agent's half of the store of snapshots is full", hint=hint)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _broken(error: OSError, what: str) -> Broken:
    why = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    return Broken(f"{what} ({why}); without a snapshot nothing runs", hint="`interlock doctor` tells more")


def _warn(event: str, problem: Broken) -> None:
    import structlog  # servers alone expire; the command line does not load it

    structlog.get_logger("interlock.guard").warning(event, problem=problem.message)
