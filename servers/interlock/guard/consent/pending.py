"""One call that waits for a person: what it is, the digest of what is consented to, and its row in `state.db`.

Who may answer and what an answer is worth is told in `approvals`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look, Principal, Risk
from interlock.guard.state import State
from interlock.guard.statements import canonical

if TYPE_CHECKING:
    from interlock.guard.halt.switch import Order

OPEN: Final = ("pending", "approved")
IS_OPEN: Final = "status IN ('pending', 'approved')"


@dataclass(frozen=True, slots=True)
class Pending:
    """One call that waits, or waited, for a person. Read by the pipeline, `X_guard` and the command line."""

    id: str
    status: str  # pending | approved | declined | spent | expired | void
    digest: str
    agent: str
    user: str
    session: str
    client: str
    server: str
    tool: str
    raw: Mapping[str, Any]  # the arguments, to go on with; empty once it has ended
    reason: str  # what the agent says
    risk: Risk
    why: str  # why it asks
    rules: tuple[str, ...]
    lost: tuple[str, ...]  # what stays lost, in words
    shown: Any  # the arguments, redacted
    preview: str  # redacted
    actions: tuple[tuple[str, str], ...]  # (verb, resource)
    asks: tuple[str, ...]
    opened: float
    expires: float
    ended: float | None
    by: str
    channel: str  # terminal | client, once answered
    ended_why: str  # why it is void

    @property
    def resources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(resource for _, resource in self.actions))

    @property
    def summary(self) -> str:
        """The redacted arguments on one line."""
        return json.dumps(self.shown, ensure_ascii=False)


def digest(call: Call, look: Look) -> str:
    """What exactly is consented to, in 64 hex characters.

    Covers server, tool, arguments without `reason`, agent, client, and every (verb, resource, effect); nothing else.
    """
    covered = {
        "server": call.server,
        "tool": call.tool,
        "arguments": {key: value for key, value in call.raw.items() if key != "reason"},
        "agent": call.principal.agent,
        "client": call.principal.client,
        "effects": sorted([action.verb, action.resource, action.effect] for action in look.actions),
    }
    return hashlib.sha256(b"interlock call v1\n" + canonical(covered)).hexdigest()


def match(
    db: State | sqlite3.Connection,
    digest: str,
    who: Principal,
    now: float,
    among: tuple[str, ...] = (*OPEN, "declined"),
) -> sqlite3.Row | None:
    rows = db.execute(
        "SELECT * FROM pending WHERE digest = ? AND agent = ? AND user = ? AND expires > ? ORDER BY opened DESC",
        (digest, who.agent, who.user, now),
    )
    return next((row for row in rows if row["status"] in among), None)


def answerable(db: sqlite3.Connection, id: str, now: float, among: tuple[str, ...] = ("pending",)) -> Pending:
    row = db.execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Refused(Code.INVALID, f"no call {id} waits", hint="interlock pending lists those that do")
    found = from_row(row, now)
    if found.status not in among:
        why = f" ({found.ended_why})" if found.ended_why else ""
        raise Refused(
            Code.INVALID, f"{id} is {found.status}{why}: it can no longer be answered", hint="interlock pending"
        )
    return found


def answer(db: sqlite3.Connection, id: str, status: str, by: str, channel: str, now: float, statement: str) -> None:
    db.execute(
        "UPDATE pending SET status = ?, by = ?, channel = ?, answered = ?, statement = ? WHERE id = ?",
        (status, by, channel, now, statement, id),
    )


def expire(db: sqlite3.Connection, now: float) -> int:
    done = db.execute(
        f"UPDATE pending SET status = 'expired', raw = '{{}}', ended = ? WHERE {IS_OPEN} AND expires <= ?", (now, now)
    )
    return done.rowcount


def from_row(row: sqlite3.Row, now: float) -> Pending:
    status = row["status"]
    if status in OPEN and row["expires"] <= now:
        status = "expired"
    return Pending(
        id=row["id"],
        status=status,
        digest=row["digest"],
        agent=row["agent"],
        user=row["user"],
        session=row["session"],
        client=row["client"],
        server=row["server"],
        tool=row["tool"],
        raw=json.loads(row["raw"]),
        reason=row["reason"],
        risk=Risk(row["risk"]),
        why=row["why"],
        rules=tuple(json.loads(row["rules"])),
        lost=tuple(json.loads(row["lost"])),
        shown=json.loads(row["shown"]),
        preview=row["preview"],
        actions=tuple((verb, resource) for verb, resource in json.loads(row["actions"])),
        asks=tuple(json.loads(row["asks"])),
        opened=row["opened"],
        expires=row["expires"],
        ended=row["ended"],
        by=row["by"],
        channel=row["channel"],
        ended_why=row["ended_why"],
    )


def void_waiting(state: State, order: Order | str) -> int:
    """As `Approvals.void_all`, without keys: it only tightens."""
    agent, server, why = ("", "", order) if isinstance(order, str) else (order.agent, order.server, order.why)
    with state.tx() as db:
        done = db.execute(
            f"UPDATE pending SET status = 'void', ended_why = ?, raw = '{{}}', ended = ? WHERE {IS_OPEN}"
            " AND (? = '' OR agent = ?) AND (? = '' OR server = ?)",
            (why, state.now(), agent, agent, server, server),
        )
        return done.rowcount


def storable(text: str) -> str:
    """Lone surrogates are not text for a database."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
