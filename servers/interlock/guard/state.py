"""The guard's memory between calls and between processes: one SQLite file in the home, and the time it trusts.

The tables are in `tables`. Not for records (files; only their heads lie here) nor for what is large in snapshots.

Every failure is `Broken` with what to do, and the next use opens the file anew: what is mended is seen without a
restart. The file is trusted only while the home and everything in it that SQLite opens belong to this account alone.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from .database import BUSY_SECONDS, Rows, begin_wal, connect, translated
from .disk import RESERVE_BYTES, check_home, check_private_file, free_bytes, make_reserve
from .errors import Broken
from .tables import TABLES, VERSION

BACK_SECONDS: Final = 600.0  # how far the wall clock may lie behind the highest time seen
CLOCK_STEP: Final = 1.0  # the highest time is written down when it has grown by this much
LOW_BYTES: Final = 256 << 10  # below this the reserve is freed, so that outcomes, undo and halt go on
ROOM_BYTES: Final = 8 << 20  # below this no new change begins
SHRINK_PAGES: Final = 1000  # given back in one transaction: others write between two of them
SHRINK_SECONDS: Final = 0.5  # that others wait at most while the log is emptied


class State:
    """The state of one home. Thread-safe; several processes at once. Raises Broken from everything it does."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        """Opens or creates `home` and `state.db`. `clock`: wall clock in seconds (another one in tests)."""
        self.home = home
        self._clock = clock
        self._file = home / "state.db"
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._owner = 0  # the thread inside tx()
        self._full_sync = False
        self._identity = (0, 0)
        self._pid = os.getpid()
        self._stale_reader = False  # the writer met an error: the reader opens anew too
        self._stale: list[sqlite3.Connection] = []  # opened before a fork: closing them here would harm the parent
        self._highest = 0.0
        self._saved = 0.0
        self._mended = 0
        self.id = ""
        check_home(home, create=True)
        with suppress(Broken):
            self.restore_reserve()
        with self._writing, translated(self._file):
            self._open_writer(create=True)

    # ---------------------------------------------------------------- transactions

    @contextmanager
    def tx(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One write transaction (BEGIN IMMEDIATE); commits at the end, rolls back on any exception.

        `durable`: on the disk when this returns. Without it a crash of the machine, not of the process, may lose
        it. Never open a second one inside. Waits up to BUSY_SECONDS for other processes.
        """
        if self._owner == threading.get_ident():
            raise Broken("the guard opened a transaction inside another one")
        if not self._writing.acquire(timeout=2 * BUSY_SECONDS):
            raise Broken("the state is busy with another call", hint="try again")
        try:
            with translated(self._file, self._drop):
                db = self._begin(durable)
            self._owner = threading.get_ident()
            with translated(self._file, self._drop, system=False):
                try:
                    yield db
                    if self._highest - self._saved >= CLOCK_STEP:
                        db.execute("UPDATE home SET highest = max(highest, ?)", (self._highest,))
                        self._saved = self._highest
                    db.execute("COMMIT")
                except BaseException:
                    self._saved = 0.0
                    if db.in_transaction:
                        with suppress(sqlite3.Error):
                            db.execute("ROLLBACK")
                    raise
        finally:
            self._owner = 0
            self._writing.release()

    def read(self) -> State:
        """For plain reads: `state.read().execute(sql, values)`."""
        return self

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """The rows of one SELECT, all read when it returns; never waits for a writer."""
        with self._reading, translated(self._file, self._drop_reader):
            reader = self._reader
            if reader is None or self._stale_reader or self._pid != os.getpid() or not self._same_file():
                reader = self._open_reader()
            return Rows(reader.execute(sql, values))

    def close(self) -> None:
        with self._reading, self._writing:
            self._drop()
            self._drop_reader()

    # ---------------------------------------------------------------- time

    def now(self) -> float:
        """Seconds since the epoch, never less than the highest time seen in this home.

        Raises Broken when the wall clock lies more than ten minutes behind that.
        """
        wall = self._clock()
        if wall >= self._highest:
            self._highest = wall
            return wall
        if wall < self._highest - BACK_SECONDS and self._owner != threading.get_ident():
            row = self.execute("SELECT highest, mended FROM home").fetchone()
            if row is not None:
                self._take_clock(row[0], row[1])
        if wall < self._highest - BACK_SECONDS:
            raise Broken(
                f"the clock went back: it is {round((self._highest - wall) / 60)} min behind the latest time seen here",
                hint="set the clock right; if it is right now and was wrong before, a person runs "
                "`interlock doctor --mend-clock`",
            )
        return max(wall, self._highest)

    def mend_clock(self) -> None:
        """Take the wall clock as right although later times were seen. For people.

        Needs no signature, for whatever a clock set back could revive ends here: pending calls, approvals, grants,
        and a switched profile, whichever way that goes.
        """
        with self.tx(durable=True) as db:
            self._highest = self._saved = self._clock()
            self._mended += 1
            db.execute("UPDATE home SET highest = ?, mended = ?", (self._highest, self._mended))
            db.execute(
                "UPDATE pending SET status = 'void', ended_why = 'the clock was set', raw = '{}', ended = ?"
                " WHERE status IN ('pending', 'approved')",
                (self._highest,),
            )
            db.execute("UPDATE grants SET revoked = ? WHERE revoked IS NULL", (self._highest,))
            db.execute("DELETE FROM statements WHERE kind IN ('approve', 'grant', 'profile')")
            for table, column in (("effects", "at"), ("breakers", "last"), ("counts", "start")):
                db.execute(f"DELETE FROM {table} WHERE {column} > ?", (self._highest,))

    def _take_clock(self, highest: float, mended: int) -> None:
        if mended != self._mended:
            self._highest, self._mended = highest, mended
        self._highest = max(self._highest, highest)
        self._saved = highest

    # ---------------------------------------------------------------- room

    def shrink(self) -> None:
        """Give what was deleted back to the disk, and leave no copy of it in the database's log. Raises Broken.

        In small steps, for one step of gigabytes would keep everybody else from writing.
        """
        while self._give_back_some():
            time.sleep(0.01)  # somebody who polls for the lock gets it now
        with self._writing, translated(self._file, self._drop):
            db = self._writing_to()
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of it, while others go on
            db.execute(f"PRAGMA busy_timeout = {round(SHRINK_SECONDS * 1000)}")
            try:
                busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                db.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        if busy:
            raise Broken(
                f"what was removed is gone, but copies of it stay in the log of {self._file}: another program reads it",
                hint="`fuser` on that file shows which; the log is emptied once that has ended",
            )

    def _give_back_some(self) -> bool:
        """Whether there is more."""
        with self._writing, translated(self._file, self._drop):
            db = self._writing_to()
            before = db.execute("PRAGMA freelist_count").fetchone()[0]
            if before:  # a script, for it steps to the end: this frees one page a step
                db.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES});")
            return bool(0 < db.execute("PRAGMA freelist_count").fetchone()[0] < before)

    def use_reserve(self) -> None:
        """Give the preallocated space back to the disk, so that outcomes, undo and halt can be written."""
        with suppress(OSError):
            (self.home / "reserve").unlink()

    def restore_reserve(self) -> None:
        """Set space aside again once there is plenty. Raises Broken where the disk says no."""
        path = self.home / "reserve"
        try:
            if path.lstat().st_size >= RESERVE_BYTES:
                return
        except FileNotFoundError:
            pass
        if free_bytes(self.home) >= 3 * RESERVE_BYTES:
            make_reserve(path)

    def check_room(self) -> None:
        """Raises Broken when a new change would leave nothing for outcomes and undo."""
        if free_bytes(self.home) < ROOM_BYTES:
            raise Broken(
                "the disk that holds the state is full, so no new change begins",
                hint="free space on it, or run `interlock snapshots purge`; reads and undo go on meanwhile",
            )

    # ---------------------------------------------------------------- connections

    def _writing_to(self) -> sqlite3.Connection:
        db = self._writer
        if db is None or self._pid != os.getpid() or not self._same_file():
            db = self._open_writer()
        return db

    def _begin(self, durable: bool) -> sqlite3.Connection:
        db = self._writing_to()
        if free_bytes(self.home) < LOW_BYTES:
            self.use_reserve()
        if durable != self._full_sync:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._full_sync = durable
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT highest, mended, id FROM home").fetchone()
        self._take_clock(row[0], row[1])
        self.id = row[2]
        return db

    def _same_file(self) -> bool:
        """Somebody may put another file in its place; what is written to the old one would be lost."""
        try:
            found = os.stat(self._file, follow_symlinks=False)  # noqa: PTH116  (the hot path of every call)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _open_writer(self, create: bool = False) -> sqlite3.Connection:
        self._drop()
        self._check_files(create)
        db = connect(self._file, BUSY_SECONDS)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; it must come first of all
            begin_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA secure_delete = ON")  # prior contents are in it, and those that expired are gone
            self._full_sync = False
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise Broken(
                    f"{self._file} was made by a newer Interlock (format {version})", hint="install that version again"
                )
            if 0 < version < VERSION:
                raise Broken(
                    f"{self._file} was made by a preview of Interlock (format {version})",
                    hint="undo with that version what you want undone, then move the home aside: a new one is made",
                )
            if version < VERSION:
                db.execute("BEGIN IMMEDIATE")
                for statement in TABLES:
                    db.execute(statement)
                db.execute("INSERT OR IGNORE INTO home VALUES (1, ?, 0, 0)", (os.urandom(16).hex(),))
                db.execute(f"PRAGMA user_version = {VERSION}")
                db.execute("COMMIT")
            row = db.execute("SELECT highest, mended, id FROM home").fetchone()
            if row is None:
                raise sqlite3.DatabaseError("the row of the home is missing")
            self._take_clock(row[0], row[1])
            self.id = row[2]
        except BaseException:
            db.close()
            raise
        found = self._file.lstat()
        self._identity = (found.st_dev, found.st_ino)
        self._pid = os.getpid()
        self._writer = db
        return db

    def _open_reader(self) -> sqlite3.Connection:
        """Opens what the writer has opened and checked; the writer first where that is not so."""
        self._drop_reader()
        if self._writer is None or self._pid != os.getpid() or not self._same_file():
            # Whoever holds the lock may wait for us in turn: never wait for ever.
            if self._owner == threading.get_ident() or not self._writing.acquire(timeout=BUSY_SECONDS):
                raise Broken("the state is being opened by another call", hint="try again")
            try:
                if self._writer is None or self._pid != os.getpid() or not self._same_file():
                    self._open_writer()
            finally:
                self._writing.release()
        self._stale_reader = False
        self._reader = connect(self._file, BUSY_SECONDS)
        return self._reader

    def _check_files(self, create: bool) -> None:
        check_home(self.home)
        try:
            if create:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with suppress(FileExistsError):
                    os.close(os.open(self._file, flags, 0o600))
            check_private_file(self._file)
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    check_private_file(self._file.with_name(f"state.db{suffix}"))
        except FileNotFoundError:
            raise Broken(
                f"{self._file} was removed while this server ran",
                hint="put it back, or restart the servers to begin with an empty one",
            ) from None

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        self._stale_reader = True
        self._close(writer)

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        self._close(reader)

    def _close(self, db: sqlite3.Connection | None) -> None:
        if db is None:
            return
        if self._pid != os.getpid():
            self._stale.append(db)
            return
        with suppress(sqlite3.Error):
            db.close()
