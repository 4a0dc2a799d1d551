"""Grants: a person's consent to an exact action pattern for a time and a count.

What is granted stands in a signed statement; the row in `state.db` only counts uses. Made by `approvals`.
"""

from __future__ import annotations

import builtins
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.guard import statements
from interlock.guard.errors import Code, Refused
from interlock.guard.keys import Keys, Person
from interlock.guard.model import Action, Call, Decision, Look, Risk
from interlock.guard.state import State

from .pending import Pending

GRANT_SECONDS: Final = 3600.0  # where only a count is given
GRANT_TIMES: Final = 10  # where only a time is given
GRANT_LONGEST: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Consent to an exact action pattern for a time and a count."""

    id: str
    agent: str
    server: str
    tool: str
    actions: tuple[tuple[str, str], ...]
    asks: tuple[str, ...]
    risk: Risk
    by: str
    at: float
    expires: float
    times: int
    used: int

    @property
    def uses_left(self) -> int:
        return max(0, self.times - self.used)

    @property
    def what(self) -> str:
        return "; ".join(f"{verb} {resource}" for verb, resource in self.actions)


class Grants:
    """The grants of one home. Thread-safe; several processes at once."""

    def __init__(self, state: State, keys: Keys) -> None:
        self._state = state
        self._keys = keys

    def store(self, db: sqlite3.Connection, person: Person, of: Pending, until: float, times: int) -> None:
        """Sign and store a grant of one request's pattern, inside a transaction of the caller."""
        id = f"grant-{of.id}"
        said = statements.make(
            person, self._state, "grant", until,
            grant=id, agent=of.agent, server=of.server, tool=of.tool, actions=sorted(set(of.actions)),
            asks=sorted(of.asks), risk=int(of.risk), times=times,
        )  # fmt: skip
        statements.store(db, said)
        db.execute(
            "INSERT OR REPLACE INTO grants (id, statement, agent, server, tool, used, times, expires)"
            " VALUES (?,?,?,?,?,0,?,?)",
            (id, said.nonce, of.agent, of.server, of.tool, times, until),
        )

    def covering(
        self, call: Call, look: Look, decision: Decision, now: float, asking: Sequence[Action]
    ) -> Iterator[Grant]:
        """Grants that cover all that is `asking` in this call, soonest end first; none for critical risk.

        Nor for what asks by itself (where a secret goes, drift): no pattern says what such a call would do.
        """
        if decision.risk is Risk.CRITICAL or not asking or look.asks:
            return
        about = (call.principal.agent, call.server, call.tool)
        wanted = {(action.verb, action.resource) for action in asking}
        rows = self._state.read().execute(
            "SELECT * FROM grants WHERE agent = ? AND server = ? AND tool = ? AND revoked IS NULL AND expires > ?"
            " AND used < times ORDER BY expires",
            (*about, now),
        )
        for row in rows:
            grant = self._signed(row)
            if (
                grant is not None
                and (grant.agent, grant.server, grant.tool) == about
                and wanted <= set(grant.actions)
                and decision.risk <= grant.risk
                and grant.expires > now
            ):
                yield grant

    def use(self, grant: Grant) -> bool:
        """Spend one use, durably; False when none is left (any more)."""
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            used = db.execute(
                "UPDATE grants SET used = used + 1 WHERE id = ? AND revoked IS NULL AND used < ? RETURNING used",
                (grant.id, grant.times),
            ).fetchone()
            if used is None or grant.expires <= now:
                return False
            # A row that was set back does not give a use twice: each use leaves its own mark.
            return statements.use_up(db, f"{grant.id} {grant.at} {used[0]}", grant.expires)

    def list(self) -> builtins.list[Grant]:
        """Grants that still hold, verified, soonest end first."""
        now = self._state.now()
        rows = self._state.read().execute(
            "SELECT * FROM grants WHERE revoked IS NULL AND used < times AND expires > ? ORDER BY expires", (now,)
        )
        return [grant for row in rows if (grant := self._signed(row)) is not None and grant.expires > now]

    def revoke(self, grant_id: str, by: str) -> None:
        """End a grant. Raises Refused (invalid) where there is none of that id."""
        with self._state.tx(durable=True) as db:
            done = db.execute(
                "UPDATE grants SET revoked = ?, revoked_by = ? WHERE id = ? AND revoked IS NULL",
                (self._state.now(), by, grant_id),
            )
            if done.rowcount == 0:
                raise Refused(Code.INVALID, f"there is no grant {grant_id}", hint="interlock status lists them")

    def _signed(self, row: sqlite3.Row) -> Grant | None:
        """What the person signed, with the row's count of uses; None where the signature does not hold."""
        said = statements.find(self._keys, self._state, row["statement"], "grant")
        if said is None or said.fields["grant"] != row["id"]:
            return None
        fields = said.fields
        return Grant(
            id=row["id"],
            agent=fields["agent"],
            server=fields["server"],
            tool=fields["tool"],
            actions=tuple((verb, resource) for verb, resource in fields["actions"]),
            asks=tuple(fields["asks"]),
            risk=Risk(fields["risk"]),
            by=said.by,
            at=said.at,
            expires=said.until,
            times=fields["times"],
            used=row["used"],
        )
