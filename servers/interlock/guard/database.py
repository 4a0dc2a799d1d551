"""SQLite as the guard uses it: connections that are set up alike, rows read whole, every error as Broken.

Not for what is stored (`tables`) nor for who may use it when (`state`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import Broken

BUSY_SECONDS: Final = 5.0


class Rows(list[sqlite3.Row]):
    """Rows already read: nothing stays open behind them, so the log of the database can always be folded back."""

    def fetchone(self) -> sqlite3.Row | None:
        return self[0] if self else None

    def fetchall(self) -> list[sqlite3.Row]:
        return self


def connect(file: Path, busy: float) -> sqlite3.Connection:
    """A connection for any thread, one at a time; `busy`: seconds to wait for other processes."""
    db = sqlite3.connect(file, timeout=busy, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_size_limit = 4194304")
    db.execute("PRAGMA trusted_schema = OFF")
    if sys.platform == "darwin":
        db.execute("PRAGMA fullfsync = ON")
    return db


def begin_wal(db: sqlite3.Connection) -> None:
    """Switching to WAL ignores the busy timeout while another process does the same."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError("this file system does not support WAL")
        return


@contextmanager
def translated(file: Path, drop: Callable[[], None] | None = None, system: bool = True) -> Iterator[None]:
    """SQLite's errors as Broken, and the system's where `system`; `drop`: so that the next use opens anew."""
    try:
        yield
    except sqlite3.Error as error:
        broken = _broken(error, file)
        if drop is not None and getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            drop()
        raise broken from error
    except OSError as error:
        if error.errno is None or not system:
            raise
        raise Broken(f"{file} cannot be used ({os.strerror(error.errno).lower()})", hint=_hint(error.errno)) from error


def _broken(error: sqlite3.Error, file: Path) -> Broken:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Broken(
                f"{file} is locked by another process for more than {BUSY_SECONDS:.0f} s",
                hint="try again; `interlock status` shows the running servers, `fuser` on that file who holds it",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Broken(
                f"{file} is damaged",
                hint="stop the servers, move it and its -wal and -shm aside (keep them: undo needs its rows), put a "
                "good copy in its place or let a new one be made, then run `interlock audit repair`",
            )
        case sqlite3.SQLITE_FULL:
            return Broken(f"{file} cannot grow: the disk is full", hint=_hint(errno.ENOSPC))
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return Broken(f"{file} cannot be opened for writing", hint=_hint(errno.EACCES))
        case sqlite3.SQLITE_IOERR:
            return Broken(
                f"{file} cannot be read or written (I/O error)", hint="look at the disk; free space if it is full"
            )
        case _:
            return Broken(
                f"{file} cannot be used ({type(error).__name__}: {error})", hint="`interlock doctor` tells more"
            )


def _hint(number: int) -> str:
    return {
        errno.ENOSPC: "free space on the disk that holds it; servers go on by themselves then",
        errno.EDQUOT: "free space within this account's quota; servers go on by themselves then",
        errno.EROFS: "the disk is mounted read-only: mend that; servers go on by themselves then",
        errno.EACCES: "give this account write access (folder 0700, file 0600) on a writable disk",
    }.get(number, "`interlock doctor` tells more")
