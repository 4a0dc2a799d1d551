"""What agents changed: one row per change, from its permission to its outcome and its undo.

    permitted -> done -> undone
              -> failed            (the world is as before)
              -> unknown           (cut off in flight, and neither before nor after; blocks its resources)

Not for the prior state itself (`snapshots`) nor for comparing the world (each server's `settle`).

A change that may run is known after a power cut: the seal of its snapshot, which comes after `begin`, is durable (one
fsync of the state's log). `finish` is not: an outcome lost in a power cut is found again by settling. The next
change's seal makes it durable, which can be before its record is: then the outcome stands here alone.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.model import Call, Decision, Look, Outcome, UndoClass
from interlock.guard.processes import alive, myself

if TYPE_CHECKING:
    import sqlite3

    from interlock.guard.state import State

_COLUMNS: Final = (
    "id, server, tool, agent, user, session, client, at, actions, undo, lost, status, undoes, undone_by, asked,"
    " pid, pid_start, boot, before, after, resources, reason, coalesce(ended, 0), settled_by,"
    " coalesce((SELECT s.status FROM slots s WHERE s.change = changes.id), '')"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One permitted change. `status`: permitted | done | failed | unknown | undone. Times in seconds."""

    id: str
    server: str
    tool: str
    agent: str
    user: str
    session: str
    client: str
    at: float
    actions: tuple[Mapping[str, Any], ...]  # {"verb", "resource", "attributes"}, whole
    undo: UndoClass
    lost: str  # what stays lost, in words
    status: str
    undoes: str  # the change that this one puts back
    undone_by: str
    asked: bool  # a person consented to it
    pid: int
    pid_start: int
    boot: str
    before: str  # keyed digests, for settling
    after: str
    resources: tuple[str, ...]
    reason: str  # what the agent said
    ended: float  # 0 while it runs
    settled_by: str  # the person who settled an unknown one
    snapshot: str  # held | expired | purged; empty where there is none


class Changes:
    """The ledger of changes in `state.db`. Thread-safe. Raises Broken when the state cannot be used."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ---------------------------------------------------------------- the life of a change

    def begin(
        self,
        db: sqlite3.Connection,
        call: Call,
        look: Look,
        decision: Decision,
        *,
        asked: bool,
    ) -> None:
        """Note a change before it runs; if this process ends before it has an outcome, it was cut off.

        In the transaction that counts it and reserves its snapshot; the seal of that makes it durable.
        """
        who = call.principal
        actions = [
            {"verb": a.verb, "resource": a.resource, "attributes": {k: _plain(v) for k, v in a.attributes.items()}}
            for a in look.actions
        ]
        resources = list(dict.fromkeys(action.resource for action in look.actions))
        db.execute(
            "INSERT INTO changes (id, server, tool, agent, user, session, client, at, actions, undo, lost, status,"
            " undoes, asked, pid, pid_start, boot, resources, reason)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,'permitted',?,?,?,?,?,?,?)",
            (
                call.id, call.server, call.tool, who.agent, who.user, who.session, who.client, self._state.now(),
                _json(actions), int(decision.undo), "; ".join(decision.lost), look.undoes, asked,
                *myself(), _json(resources), call.reason,
            ),
        )  # fmt: skip

    def discard(self, db: sqlite3.Connection, id: str) -> None:
        """Forget a change that never ran: it could not be captured, or its `permitted` record not be written."""
        db.execute("DELETE FROM changes WHERE id = ? AND status = 'permitted'", (id,))

    def finish(self, db: sqlite3.Connection, id: str, status: Outcome, after: str = "") -> bool:
        """Give a permitted change its outcome: DONE, FAILED or UNKNOWN. False when it had one already.

        A done undo marks what it undid; an unknown change blocks its resources until a person settles it.
        """
        row = db.execute("SELECT undoes, resources, status FROM changes WHERE id = ?", (id,)).fetchone()
        if row is None or row[2] != "permitted":
            return False
        db.execute(
            "UPDATE changes SET status = ?, ended = ?, after = CASE WHEN ? = '' THEN after ELSE ? END WHERE id = ?",
            (status.value, self._state.now(), after, after, id),
        )
        if status is Outcome.DONE and row[0]:
            db.execute("UPDATE changes SET status = 'undone', undone_by = ? WHERE id = ?", (id, row[0]))
            db.execute("DELETE FROM blocked WHERE change = ?", (row[0],))
        if status is Outcome.UNKNOWN:
            db.executemany(
                "INSERT OR REPLACE INTO blocked (resource, change) VALUES (?, ?)",
                [(resource, id) for resource in json.loads(row[1])],
            )
        return True

    def acknowledge(self, id: str, by: str, outcome: Outcome | None = None) -> bool:
        """A person looked at an unknown change: its resources are free again. `outcome`: what they found, if sure.

        False when the change is not unknown.
        """
        with self._state.tx() as db:
            done = db.execute(
                "UPDATE changes SET settled_by = ?, status = ? WHERE id = ? AND status = 'unknown'",
                (by, (outcome or Outcome.UNKNOWN).value, id),
            )
            db.execute("DELETE FROM blocked WHERE change = ?", (id,))
            return bool(done.rowcount == 1)

    # ---------------------------------------------------------------- looking things up

    def get(self, id: str) -> Change | None:
        row = self._state.read().execute(f"SELECT {_COLUMNS} FROM changes WHERE id = ?", (id,)).fetchone()
        return None if row is None else _change(row)

    def list(
        self, session: str = "", agent: str = "", server: str = "", limit: int = 50, since: float = 0.0
    ) -> builtins.list[Change]:
        """The newest changes first, at most `limit`; `since` in seconds."""
        wanted = {"session": session, "agent": agent, "server": server}
        where = [f"{column} = ?" for column, value in wanted.items() if value]
        values: builtins.list[Any] = [value for value in wanted.values() if value]
        query = f"SELECT {_COLUMNS} FROM changes WHERE {' AND '.join([*where, 'at >= ?'])} ORDER BY at DESC LIMIT ?"
        return [_change(row) for row in self._state.read().execute(query, (*values, since, limit)).fetchall()]

    def unsettled(self, server: str) -> builtins.list[Change]:
        """Permitted changes whose process is gone, oldest first, claimed for this process to settle.

        Two processes that start together do not settle the same change: the claim lasts as long as the claimer.
        """
        rows = self._permitted(self._state.read(), server)
        if not any(_cut_off(row) for row in rows):
            return []  # the usual case, without a write
        pid, start, booted = myself()
        with self._state.tx() as db:
            mine = [row for row in self._permitted(db, server) if _cut_off(row)]
            db.executemany(
                "UPDATE changes SET settler = ?, settler_start = ?, settler_boot = ? WHERE id = ?",
                [(pid, start, booted, row[0]) for row in mine],
            )
        return [_change(row) for row in mine]

    def blocked(self, resource: str) -> Change | None:
        """The unknown change that blocks this resource, or one above or below it."""
        rows = self._state.read().execute("SELECT resource, change FROM blocked").fetchall()
        for other, id in rows:
            if other == resource or other.startswith(f"{resource}/") or resource.startswith(f"{other}/"):
                return self.get(id)
        return None

    def _permitted(self, db: sqlite3.Connection | State, server: str) -> builtins.list[Any]:
        return db.execute(
            f"SELECT {_COLUMNS}, settler, settler_start, settler_boot FROM changes"
            " WHERE status = 'permitted' AND server = ? ORDER BY at",
            (server,),
        ).fetchall()


def _cut_off(row: Any) -> bool:
    """Its process is gone, and so is whoever was settling it (or that is us)."""
    if alive(row[15], row[16], row[17]):
        return False
    settler, start, booted = row[25:28]
    return not settler or (settler, start, booted) == myself() or not alive(settler, start, booted)


def _change(row: Any) -> Change:
    values = list(row[:25])
    values[8] = tuple(json.loads(values[8]))
    values[9] = UndoClass(values[9])
    values[14] = bool(values[14])
    values[20] = tuple(json.loads(values[20]))
    return Change(*values)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str | int) else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
