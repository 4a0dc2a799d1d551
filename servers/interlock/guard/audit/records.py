"""Appends what happened: this process's own chain of records, and its head in `state.db`.

Not for wording records (`guard.trail`) nor for reading them (`reading`). The form of a chain is told in `chains`.

What is synced, and why. A record is one `write()` on an O_APPEND descriptor followed by the head's update in one
small transaction (not synced either): after a crash of the process both are there, or the head is one line behind,
which the next process to open the home mends. A `durable` record needs one `fdatasync` of the chain; the first one
in a part also needs the folder's own fsync, for the file's name. A new chain's head is committed durably, once per
process, so that no power cut leaves a chain without one. Nothing else is synced: reads lost in a power cut are
counted and recorded at the next start, and an outcome lost in one is found again by settling, or stands in `changes`.

Nothing here grows with the length of the audit: opening a home looks at unfinished chains and a few finished ones,
by length and last line.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from interlock.guard.errors import Broken
from interlock.guard.processes import myself

from . import chains
from .reconciling import Reconciled, reconcile
from .recording_room import REFUSED_AT, broken, check_room, is_full, may_use_reserve

if TYPE_CHECKING:
    import sqlite3

    from interlock.guard.keys import Keys
    from interlock.guard.model import Detector
    from interlock.guard.state import State

log = structlog.get_logger("interlock.records")

# Fields that are the guard's own words, digests and numbers.
_OWN_WORDS: Final = frozenset(
    {"stage", "call", "session", "server", "tool", "consent", "undo_class", "duration_ms"}
    | {"result", "before", "after"}
)
SEEN: Final = 16  # other chains that a new one says it saw


@dataclass(frozen=True, slots=True)
class Record:
    """One appended line. `time` in seconds; `fields` as they lie on disk."""

    chain: str
    seq: int
    hash: str
    time: float
    fields: Mapping[str, Any]


class Records:
    """This process's chain, made at its first record. Thread-safe. Every error is Broken: nothing runs unrecorded."""

    def __init__(self, home: Path, state: State, keys: Keys, server: str, detector: Detector) -> None:
        """Opens the audit folder and brings unfinished chains of gone processes in order.

        Damage does not raise here but at each append until `interlock audit repair`, so that a server can start,
        say what is wrong, and go on when it is mended. `check()` raises it at once.
        """
        self._home = home
        self._state = state
        self._keys = keys
        self._server = server
        self._detector = detector
        self._lock = threading.Lock()
        self._syncing = threading.Lock()  # taken after _lock, never before
        self._folder = -1
        self._fd = -1
        self._chain = ""
        self._head = chains.Head("")
        self._synced = chains.Head("")
        self._named = False  # the current part's name is known to be on disk
        self._torn = False  # our own last write was cut short
        self._ready = False
        self._news: list[Reconciled] = []
        try:
            self._open()
        except Broken as broken:
            log.error("records refuse", problem=broken.message)

    @property
    def chain(self) -> str:
        """The name of this process's chain; empty before its first record."""
        return self._chain

    def check(self) -> None:
        """Raises Broken when a record could not be appended now."""
        with self._lock:
            self._open()

    def append(
        self,
        fields: Mapping[str, Any],
        durable: bool = False,
        also: Callable[[sqlite3.Connection], object] | None = None,
    ) -> Record:
        """Write one record; `durable`: it is on the disk when this returns. Raises Broken.

        `also` is done in the transaction that notes the record: both are in the state, or neither is.
        After Broken the record may still be in the chain (its head or its sync failed): it then tells of a call
        that did not run, never the other way round.
        """
        with self._lock:
            self._open()
            while self._news:
                self._write(self._news[0].fields())
                self._news.pop(0)
            record = self._write(self._redacted(fields), also)
        if durable:
            self._sync(record)
        return record

    def close(self) -> None:
        """Sign and finish the chain. Never raises: what is missing is mended at the next start."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._line(self._checkpoint_fields())
                chains.sync_data(self._fd)
                self._synced = self._head
                self._save_head(finished=True)
            except (OSError, Broken) as error:
                log.warning("chain not closed", chain=self._chain, problem=str(error))
            os.close(self._fd)
            os.close(self._folder)
            self._fd = self._folder = -1
            self._ready = False
            self._chain = ""

    # ---------------------------------------------------------------- opening

    def _open(self) -> None:
        if self._ready:
            return
        try:
            if self._folder < 0:
                folder = chains.folder_of(self._home)
                folder.mkdir(mode=0o700, exist_ok=True)
                self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._news += reconcile(self._folder, self._state)
        except OSError as error:
            raise broken(error, "the audit folder cannot be used") from error
        self._ready = True

    def _begin(self) -> None:
        """A chain of this process's own: its head first and durably, so that no chain is ever without one.

        Its first record says how far the latest other chains were: who rewrites one has to rewrite all.
        """
        pid, start, booted = myself()
        now = self._state.now()
        chain = chains.new_chain(self._server, now, pid)
        head = chains.Head(chain, hash=chains.genesis(chain))
        with self._state.tx(durable=True) as db:
            seen = [
                list(row)
                for status in ("open", "closed")
                for row in db.execute(
                    "SELECT chain, synced_seq, synced_hash FROM heads WHERE status = ? AND synced_seq > 0"
                    " ORDER BY updated DESC LIMIT ?",
                    (status, SEEN),
                ).fetchall()
            ]
            db.execute(
                "INSERT INTO heads (chain, server, pid, start, boot, part, seq, hash, bytes, synced_seq, synced_hash,"
                " synced_bytes, opened, updated, status) VALUES (?,?,?,?,?,0,0,?,0,0,?,0,?,?,'open')",
                (chain, self._server, pid, start, booted, head.hash, head.hash, now, now),
            )
        try:
            self._fd = self._create(chain, 0)
        except OSError:
            with self._state.tx() as db:
                db.execute("DELETE FROM heads WHERE chain = ?", (chain,))
            raise
        self._chain, self._head, self._synced, self._named, self._torn = chain, head, head, False, False
        self._line({"stage": "opened", "server": self._server, "pid": pid, "start": start, "saw": seen})

    def _create(self, chain: str, part: int) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(chains.part_name(chain, part), flags, 0o600, dir_fd=self._folder)

    # ---------------------------------------------------------------- writing

    def _write(self, fields: Mapping[str, Any], also: Callable[[sqlite3.Connection], object] | None = None) -> Record:
        """One record and its head. On a full disk once more, on the reserve, for what may live on it."""
        record: Record | None = None
        on_reserve = False
        while True:
            try:
                record = record or self._place(fields)
                if self._save_head(also=also):
                    return record
                self._move_on()
                record = None  # said again: what the old chain says is set aside with it
            except (OSError, Broken) as error:
                if on_reserve or not is_full(error) or not may_use_reserve(fields):
                    raise broken(error, "the record cannot be written") from error
                self._state.use_reserve()
                on_reserve = True

    def _place(self, fields: Mapping[str, Any]) -> Record:
        """The record's line; before it a checkpoint, a new part or a new chain where it is time."""
        check_room(self._folder, self._home, fields)
        if self._fd < 0:
            self._begin()
        self._look_after_file()
        if self._head.bytes >= chains.PART_BYTES:
            self._rotate()
        if (self._head.seq + 1) % chains.CHECKPOINT_EVERY == 0:
            self._line(self._checkpoint_fields())
        return self._line(fields)

    def _move_on(self) -> None:
        """The chain is no longer ours (set aside, or found damaged): a new one, unless damage waits for a person."""
        with self._syncing:
            os.close(self._fd)
            self._fd = -1
        self._news += reconcile(self._folder, self._state)
        self._begin()

    def _line(self, fields: Mapping[str, Any]) -> Record:
        now = self._state.now()
        seq = self._head.seq + 1
        line, digest = chains.make_line(seq, now, fields, self._head.hash)
        written = 0
        try:
            written = os.write(self._fd, line)
        finally:
            self._torn = written != len(line)
        if self._torn:
            self._cut_torn()
            raise OSError(errno.ENOSPC, "the record was cut short")
        head = self._head
        self._head = chains.Head(head.chain, head.part, seq, digest, head.bytes + len(line))
        return Record(head.chain, seq, digest, now, fields)

    def _look_after_file(self) -> None:
        """The file must be as we left it: others may read it, nobody else writes."""
        if self._torn:
            self._cut_torn()
        found = os.fstat(self._fd)
        if found.st_size != self._head.bytes or found.st_nlink == 0:
            self._still_ours()

    def _still_ours(self) -> None:
        row = self._state.read().execute("SELECT status FROM heads WHERE chain = ?", (self._chain,)).fetchone()
        if row is not None and row[0] == "set_aside":
            self._move_on()
            return
        raise Broken(
            f"the chain of records {self._chain} was changed from outside; {REFUSED_AT}",
            hint="a person looks with `interlock audit verify` and settles it with `interlock audit repair`",
        )

    def _cut_torn(self) -> None:
        os.ftruncate(self._fd, self._head.bytes)
        self._torn = False

    def _rotate(self) -> None:
        """The next part links to the last line of this one, which is synced before it is left."""
        fd = self._create(self._chain, self._head.part + 1)
        with self._syncing:
            chains.sync_data(self._fd)
            os.close(self._fd)
            self._fd = fd
            head = self._head
            self._head = chains.Head(head.chain, head.part + 1, head.seq, head.hash, 0)
            self._synced = self._head
            self._named = False

    def _checkpoint_fields(self) -> dict[str, Any]:
        payload = chains.checkpoint_payload(self._head.chain, self._head.seq + 1, self._head.hash)
        return {"stage": "checkpoint", "signature": self._keys.sign_checkpoint(payload).hex()}

    def _save_head(self, finished: bool = False, also: Callable[[sqlite3.Connection], object] | None = None) -> bool:
        """False when the chain is no longer ours to write: a person set it aside, or it was found damaged."""
        head, synced = self._head, self._synced
        with self._state.tx() as db:
            done = db.execute(
                "UPDATE heads SET part=?, seq=?, hash=?, bytes=?, synced_seq=?, synced_hash=?, synced_bytes=?"
                " WHERE chain=? AND status='open'",
                (head.part, head.seq, head.hash, head.bytes, synced.seq, synced.hash, synced.bytes, head.chain),
            )  # fmt: skip
            if finished:
                now = self._state.now()
                db.execute("UPDATE heads SET status='closed', updated=? WHERE chain=?", (now, head.chain))
            ours = bool(done.rowcount == 1)
            if ours and also is not None:
                also(db)
            return ours

    def _sync(self, record: Record) -> None:
        """One fdatasync for everything written so far; threads that come together share it."""
        with self._syncing:
            if self._synced.chain == record.chain and self._synced.seq >= record.seq and self._named:
                return
            head, fd = self._head, self._fd
            try:
                chains.sync_data(fd)
                if not self._named:
                    os.fsync(self._folder)
                    self._named = True
            except OSError as error:
                raise broken(error, "the record cannot be made durable") from error
            self._synced = head

    def _redacted(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The detector stands on this way out too: names, errors and attributes may quote the world."""
        try:
            world = {key: value for key, value in fields.items() if value and key not in _OWN_WORDS}
            return {**fields, **self._detector.redact_value(world)[0]} if world else dict(fields)
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"the record cannot be redacted ({type(error).__name__}); {REFUSED_AT}") from error
