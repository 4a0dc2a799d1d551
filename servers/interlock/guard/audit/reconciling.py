"""Brings unfinished chains of gone processes and their heads together, and refuses what no crash explains.

A crash explains: a head that is behind its file (killed between append and head: the lines are accepted), a torn
last line (set aside into `audit/torn/`), and after another boot a tail that was never synced (a power cut: what is
left is accepted, the loss recorded). Nothing else: all other damage is Broken until `interlock audit repair`.
It reads unfinished chains from their heads on and the ends of a few finished ones, never whole chains.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.disk import write_out
from interlock.guard.errors import Broken
from interlock.guard.processes import alive, boot

from . import chains
from .recording_room import broken

if TYPE_CHECKING:
    from interlock.guard.state import State

FINISHED_LOOKED_AT: Final = 16
_COLUMNS: Final = "chain, part, seq, hash, bytes, synced_seq, synced_hash, synced_bytes, pid, start, boot"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was mended in one chain; recorded in the chain of the process that did it."""

    chain: str
    accepted: int = 0  # lines beyond the head
    torn: int = 0  # bytes set aside
    lost: int = 0  # records that a power cut took: they were never synced

    def fields(self) -> dict[str, Any]:
        return {
            "stage": "reconciled",
            "chain": self.chain,
            "accepted": self.accepted,
            "torn_bytes": self.torn,
            "lost_in_power_cut": self.lost,
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """What a part's file holds from a known line on."""

    head: chains.Head
    rest: bytes  # what follows the last good line
    lines: int


def reconcile(folder: int, state: State) -> list[Reconciled]:
    """Mend what a crash explains; Broken for anything else. `folder` is a descriptor of `audit/`.

    One process at a time (the transaction); cost is bounded by the unfinished chains.
    """
    news: list[Reconciled] = []
    damage: list[str] = []
    with state.tx() as db:
        rows = db.execute(f"SELECT {_COLUMNS} FROM heads WHERE status = 'open'").fetchall()
        for row in rows:
            if alive(row[8], row[9], row[10]):
                continue
            try:
                mended = _mend(folder, row, db)
            except _Damaged as damaged:
                damage.append(str(damaged))
                continue
            except OSError as error:
                raise broken(error, f"the chain {row[0]} cannot be mended after a crash") from error
            if mended is not None:
                news.append(mended)
        finished = db.execute(
            "SELECT chain, part, seq, hash, bytes FROM heads WHERE status = 'closed' ORDER BY updated DESC LIMIT ?",
            (FINISHED_LOOKED_AT,),
        ).fetchall()
        marked = db.execute("SELECT chain FROM heads WHERE status = 'damaged' LIMIT 3").fetchall()
        damage += [f"{row[0]} was found damaged" for row in marked]
        known = bool(rows or finished or marked) or db.execute("SELECT 1 FROM heads LIMIT 1").fetchone() is not None
    for found in finished:
        try:
            _check_end(folder, chains.Head(*found))
        except _Damaged as damaged:
            damage.append(str(damaged))
    if not known:
        with os.scandir(folder) as entries:
            if any(chains.parse_name(entry.name) for entry in entries):
                damage.append("there are chains, but state.db knows none of them")
    if damage:
        raise Broken(
            f"the records are damaged: {'; '.join(damage[:3])}; nothing runs unrecorded",
            hint="a person looks with `interlock audit verify` and settles it with `interlock audit repair`",
        )
    return news


class _Damaged(Exception):
    pass


def _mend(folder: int, row: Any, db: sqlite3.Connection) -> Reconciled | None:
    """Accept what follows the head, set a torn end aside, finish the chain. None when nothing had to be done."""
    head = chains.Head(*row[:5])
    rebooted = row[10] != boot()
    try:
        found = _follow(folder, head)
    except _Damaged:
        if not rebooted:
            raise
        found = _follow_synced(folder, chains.Head(head.chain, head.part, row[5], row[6], row[7]))
    lost = max(0, head.seq - found.head.seq)
    if b"\n" in found.rest and not rebooted:
        raise _Damaged(f"{_name(found.head)} holds lines after record {found.head.seq} that are no records")
    if found.rest:
        _set_aside(folder, found.head, found.rest)
    last = found.head
    _sync(folder, last)  # a finished chain is never shorter than its head, not even after a power cut
    db.execute(
        "UPDATE heads SET part=?, seq=?, hash=?, bytes=?, synced_seq=?, synced_hash=?, synced_bytes=?, status='closed'"
        " WHERE chain=?",
        (last.part, last.seq, last.hash, last.bytes, last.seq, last.hash, last.bytes, last.chain),
    )
    if not found.lines and not found.rest and not lost:
        return None
    return Reconciled(head.chain, 0 if lost else found.lines, len(found.rest), lost)


def _follow(folder: int, head: chains.Head) -> _Found:
    """Read on from a head, into the next part if there is one. Raises _Damaged when the head is not in the file."""
    try:
        data = _read_from(folder, head)
    except FileNotFoundError:
        if head.seq == 0:
            return _Found(head, b"", 0)  # killed between the head and the file
        raise _Damaged(f"{_name(head)} is gone") from None
    lines = 0
    while (end := data.find(b"\n")) >= 0:
        line = chains.read_line(data[:end])
        if line is None or not line.sound or line.seq != head.seq + 1 or line.prev != head.hash:
            break
        head = chains.Head(head.chain, head.part, line.seq, line.hash, head.bytes + end + 1)
        data = data[end + 1 :]
        lines += 1
    if not data:
        following = replace(head, part=head.part + 1, bytes=0)
        if _exists(folder, _name(following)):
            further = _follow(folder, following)
            return replace(further, lines=further.lines + lines)
    return _Found(head, data, lines)


def _follow_synced(folder: int, synced: chains.Head) -> _Found:
    """After a power cut: from the last line that was synced; a part of which nothing was may be gone altogether."""
    if synced.bytes == 0 and synced.part > 0 and not _exists(folder, _name(synced)):
        before = replace(synced, part=synced.part - 1)
        size = os.stat(_name(before), dir_fd=folder, follow_symlinks=False).st_size
        return _Found(replace(before, bytes=size), b"", 0)
    return _follow(folder, synced)


def _read_from(folder: int, head: chains.Head) -> bytes:
    """What follows the head in its part, after a look at the head's own line."""
    fd = os.open(_name(head), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    try:
        size = os.fstat(fd).st_size
        if size < head.bytes:
            raise _Damaged(f"{_name(head)} is cut: {size} bytes, and {head.bytes} were recorded")
        _check_last(fd, head)
        return os.pread(fd, size - head.bytes, head.bytes)
    finally:
        os.close(fd)


def _check_end(folder: int, head: chains.Head) -> None:
    """A finished chain ends exactly where its head says."""
    if head.seq == 0:
        return
    try:
        rest = _read_from(folder, head)
    except FileNotFoundError:
        raise _Damaged(f"{_name(head)} is gone") from None
    if rest:
        raise _Damaged(f"{_name(head)} goes on after record {head.seq}, its last")


def _check_last(fd: int, head: chains.Head) -> None:
    """The line that ends at the head's length bears the head's hash."""
    if head.bytes == 0:
        return
    tail = os.pread(fd, chains.HASH_TAIL + 1, max(0, head.bytes - chains.HASH_TAIL - 1))
    if tail[-67:] != b'%b"}\n' % head.hash.encode():
        raise _Damaged(f"{_name(head)}: record {head.seq} is not the one that was recorded")


def _set_aside(folder: int, head: chains.Head, rest: bytes) -> None:
    """Keep what was torn, then cut it off. Killed in between, it is done once more under the same name."""
    with_suffix = f"{_name(head)}.{head.bytes}"
    with contextlib.suppress(FileExistsError):
        os.mkdir("torn", 0o700, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    write_out(os.open(f"torn/{with_suffix}", flags, 0o600, dir_fd=folder), rest)
    fd = os.open(_name(head), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    try:
        os.ftruncate(fd, head.bytes)
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync(folder: int, head: chains.Head) -> None:
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(_name(head), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
        try:
            chains.sync_data(fd)
        finally:
            os.close(fd)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _name(head: chains.Head) -> str:
    return chains.part_name(head.chain, head.part)
