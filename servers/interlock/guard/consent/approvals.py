"""The ledger of consent: calls that wait for a person, the yes or no, and grants.

A yes is a signed statement over the call's id and digest (`statements`); through the client it is a keyed mark that
only this installation can make. It is spent once, in one durable transaction, before it ends. A no needs no key.
Not for asking (`consent`), nor for judging whether the world has moved meanwhile (`pipeline`).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from interlock.guard import statements
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.keys import Keys, Person
from interlock.guard.model import Action, Approval, Call, Decision, Link, Look, Principal, Risk, new_id
from interlock.guard.state import State
from interlock.guard.statements import canonical

from . import pending
from .grants import GRANT_LONGEST, GRANT_SECONDS, GRANT_TIMES, Grants
from .grants import Grant as Grant
from .pending import IS_OPEN, OPEN, from_row, storable
from .pending import Pending as Pending
from .pending import digest as digest
from .pending import void_waiting as void_waiting

if TYPE_CHECKING:
    from interlock.guard.halt.switch import Order
    from interlock.guard.policy.loading import ApprovalsSettings

POLL: Final = 0.1  # seconds between two looks at a waiting call
WAITING_MAX: Final = 20  # open requests of one agent: more would only bury the person
KEEP: Final = 7 * 86400.0  # seconds that an ended request is kept, without its arguments
KEEP_PREVIEW: Final = 86400.0  # seconds that an ended request keeps its preview, the largest part of it
KEEP_ROWS: Final = 2000  # and at most so many
PREVIEW_CHARS: Final = 200_000
_CLIENT: Final = "consent through the client"


class Approvals:
    """The ledger of one home. Thread-safe; several processes at once. Raises Broken when the state does."""

    def __init__(self, state: State, keys: Keys) -> None:
        self._state = state
        self._keys = keys
        self._grants = Grants(state, keys)

    # ---------------------------------------------------------------- the pipeline's side

    def open(
        self,
        call: Call,
        digest: str,
        decision: Decision,
        preview: str,
        look: Look,
        shown: Any,
        settings: ApprovalsSettings,
    ) -> Pending:
        """Put the call before a person; the same one that already waits is given back as it is.

        A resumed call that would now do something else gets an id of its own, and what was asked before is void: an
        id never stands for two things. Raises Refused (limit_reached) when too many of this agent's calls wait.
        """
        who, now = call.principal, self._state.now()
        with self._state.tx() as db:
            pending.expire(db, now)
            same = pending.match(db, digest, who, now)
            if same is not None:
                return from_row(same, now)
            id = self._free_id(db, call, now)
            waiting = db.execute(
                "SELECT count(*) FROM pending WHERE agent = ? AND status = 'pending'", (who.agent,)
            ).fetchone()[0]
            if waiting >= WAITING_MAX:
                raise Refused(
                    Code.LIMIT_REACHED,
                    f"{waiting} calls of yours wait for a person already",
                    hint=f"wait until some are answered; {call.server}_guard() lists them",
                )
            db.execute(
                "INSERT INTO pending (id, digest, status, agent, user, session, client, server, tool, raw, reason,"
                " risk, why, rules, lost, shown, preview, actions, asks, opened, expires)"
                " VALUES (?,?,'pending',?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (id, digest, who.agent, who.user, who.session, who.client, call.server, call.tool,
                 canonical(dict(call.raw)).decode(), storable(call.reason), int(decision.risk),
                 storable(decision.reason), json.dumps(decision.rules), json.dumps(decision.lost),
                 json.dumps(shown, default=str), storable(preview[:PREVIEW_CHARS]),
                 json.dumps([(action.verb, action.resource) for action in look.actions]), json.dumps(look.asks),
                 now, now + settings.expires),
            )  # fmt: skip
            row = db.execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
        return from_row(row, now)

    def _free_id(self, db: sqlite3.Connection, call: Call, now: float) -> str:
        if not db.execute("SELECT 1 FROM pending WHERE id = ?", (call.id,)).fetchone():
            return call.id
        db.execute(
            f"UPDATE pending SET status = 'void', ended_why = ?, raw = '{{}}', ended = ? WHERE {IS_OPEN} AND id = ?",
            ("what it would do has changed since it was asked", now, call.id),
        )
        return new_id(call.server)

    def find(self, id: str) -> Pending | None:
        """The request with this call's id, as it stands now."""
        row = self._state.read().execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
        return None if row is None else from_row(row, self._state.now())

    def match(self, digest: str, principal: Principal) -> Pending | None:
        """The same agent's request for exactly this: waiting, approved, or just declined (asking again is no use)."""
        now = self._state.now()
        row = pending.match(self._state.read(), digest, principal, now)
        return None if row is None else from_row(row, now)

    def wait(self, id: str, seconds: float, link: Link, halted: Callable[[], bool]) -> Pending:
        """Until somebody answers, the client cancels, a halt comes, or `seconds` are over. Its status then."""
        end = time.monotonic() + seconds
        while True:
            row = self._state.read().execute("SELECT status, expires FROM pending WHERE id = ?", (id,)).fetchone()
            if row is None or row["status"] != "pending" or row["expires"] <= self._state.now():
                return self._found(id)
            if halted():
                self.void(id, "halted")
                return self._found(id)
            left = end - time.monotonic()
            if left <= 0 or link.wait(min(POLL, left)):
                return self._found(id)

    def spend(self, db: sqlite3.Connection, id: str, digest: str, now: float) -> Approval:
        """Use the approval up: whoever comes second finds it spent. The caller makes it durable before anything runs.

        Raises Refused: declined; approval_required when it is not approved (any more), ended, used, or when what
        stands in the state is not what the person signed.
        """
        now = max(now, self._state.now())
        row = db.execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise _ask_anew("there is no request for it")
        found = from_row(row, now)
        if found.status == "declined":
            raise Refused(Code.DECLINED, "a person said no", hint="do not try this again; ask what to do instead")
        if found.status != "approved":
            raise _ask_anew(f"its approval is {found.status}")
        approval, nonce, until = self._signed(db, row, found, digest)
        if until <= now:
            raise _ask_anew("its approval has ended")
        if not statements.use_up(db, nonce, until):
            raise _ask_anew("its approval was used already")
        db.execute("UPDATE pending SET status = 'spent', raw = '{}', ended = ? WHERE id = ?", (now, id))
        return approval

    def void(self, id: str, why: str) -> None:
        """End one request that nobody may answer or use any more. No effect on one that has ended."""
        with self._state.tx() as db:
            db.execute(
                f"UPDATE pending SET status='void', ended_why = ?, raw = '{{}}', ended = ? WHERE {IS_OPEN} AND id = ?",
                (why, self._state.now(), id),
            )

    def void_all(self, order: Order | str) -> int:
        """End every open request that a halt order covers (a text: every one). How many there were."""
        return void_waiting(self._state, order)

    def grant_for(
        self, call: Call, look: Look, decision: Decision, asking: Sequence[Action] | None = None
    ) -> Approval | None:
        """Spend one use of a grant that covers this call exactly; None where there is none.

        Exact: same agent, server, tool; verb and resource of every action that is `asking` (all, where it is not
        said); every reason to ask; no higher risk.
        A call that is approved by itself does not use one up. Never for critical risk.
        """
        now = self._state.now()
        for grant in self._grants.covering(call, look, decision, now, look.actions if asking is None else asking):
            row = pending.match(self._state.read(), digest(call, look), call.principal, now, ("approved",))
            if row is not None:
                return None
            if self._grants.use(grant):
                return Approval(call.id, grant.by, "grant", now)
        return None

    def consent_in_client(self, id: str, digest: str, by: str) -> Pending:
        """Note a yes that a person gave in the client's own prompt: no signature, but a mark only servers can make.

        Whether the policy lets the client consent to this risk is the caller's to judge; critical never.
        """
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            found = pending.answerable(db, id, now)
            if found.risk is Risk.CRITICAL or found.digest != digest:
                raise Refused(
                    Code.APPROVAL_REQUIRED, "this needs a person at the terminal", hint=f"interlock approve {id}"
                )
            mark = self._keys.mac(_CLIENT, _client_body(self._state.id, id, digest, by, now, found.expires)).hex()
            pending.answer(db, id, "approved", by, "client", now, mark)
        return self._found(id)

    def expire(self, now: float) -> int:
        """End what nobody answered in time and forget what is long over. How many requests expired."""
        with self._state.tx() as db:
            expired = pending.expire(db, now)
            db.execute("DELETE FROM pending WHERE ended < ?", (now - KEEP,))
            db.execute("UPDATE pending SET preview = '' WHERE ended < ? AND preview <> ''", (now - KEEP_PREVIEW,))
            db.execute(
                "DELETE FROM pending WHERE id IN (SELECT id FROM pending WHERE ended IS NOT NULL"
                " ORDER BY ended DESC LIMIT -1 OFFSET ?)",
                (KEEP_ROWS,),
            )
            db.execute("DELETE FROM grants WHERE expires < ? OR revoked < ?", (now - KEEP, now - KEEP))
            statements.trim(db, now)
        return expired

    # ---------------------------------------------------------------- people's side

    def pending(self, ended: bool = False) -> list[Pending]:
        """Requests that wait or are approved and not used yet, oldest first; `ended`: the others too."""
        now = self._state.now()
        where = "1" if ended else IS_OPEN
        rows = self._state.read().execute(f"SELECT * FROM pending WHERE {where} ORDER BY opened, id")
        found = [from_row(row, now) for row in rows]
        return [one for one in found if ended or one.status in OPEN]

    def approve(self, person: Person, id: str, for_s: float | None = None, times: int | None = None) -> Pending:
        """Consent to one waiting call; with `for_s` or `times` also a grant of its exact action pattern.

        `times` counts this call. Raises Refused (invalid) when it does not wait or cannot be granted.
        """
        grant = for_s is not None or times is not None
        seconds = GRANT_SECONDS if for_s is None else for_s
        count = GRANT_TIMES if times is None else times
        if grant and not (0 < seconds <= GRANT_LONGEST and count >= 1):
            raise Refused(Code.INVALID, "a grant is for at most 7 days and at least once", hint="--for 30m --times 5")
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            found = pending.answerable(db, id, now)
            if grant and (found.risk is Risk.CRITICAL or found.asks):
                what = "critical" if found.risk is Risk.CRITICAL else "about a secret's place or drift"
                raise Refused(
                    Code.INVALID, f"what is {what} is approved one call at a time", hint=f"interlock approve {id}"
                )
            yes = statements.make(
                person, self._state, "approve", found.expires,
                call=id, digest=found.digest, agent=found.agent, server=found.server, tool=found.tool,
                risk=int(found.risk),
            )  # fmt: skip
            statements.store(db, yes)
            pending.answer(db, id, "approved", person.by, "terminal", now, yes.nonce)
            if grant and count > 1:
                self._grants.store(db, person, found, now + seconds, count - 1)
        return self._found(id)

    def deny(self, id: str, by: str) -> Pending:
        """A person's no, also after a yes that is not used yet. Needs no key. Raises Refused (invalid)."""
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            pending.answerable(db, id, now, OPEN)
            pending.answer(db, id, "declined", by, "terminal", now, "")
            db.execute("UPDATE pending SET raw = '{}', ended = ? WHERE id = ?", (now, id))
        return self._found(id)

    def grants(self) -> list[Grant]:
        """Grants that still hold, verified, soonest end first."""
        return self._grants.list()

    def revoke(self, grant_id: str, by: str) -> None:
        """End a grant. Needs no key. Raises Refused (invalid)."""
        self._grants.revoke(grant_id, by)

    # ---------------------------------------------------------------- what stands behind a row

    def _signed(
        self, db: sqlite3.Connection, row: sqlite3.Row, found: Pending, digest: str
    ) -> tuple[Approval, str, float]:
        """The approval, what may be used once, and its end - from what was signed, never from the row alone."""
        if found.digest != digest:
            raise _ask_anew("what it would do is not what was approved")
        if found.channel == "client":
            body = _client_body(self._state.id, found.id, digest, found.by, row["answered"] or 0.0, found.expires)
            if self._keys.mac(_CLIENT, body).hex() != row["statement"] or found.risk is Risk.CRITICAL:
                raise _ask_anew("its approval was not given by a person")
            return Approval(found.id, found.by, "client", row["answered"]), f"client {found.id}", found.expires
        said = statements.verify(
            self._keys,
            self._state,
            db.execute("SELECT body, signature FROM statements WHERE nonce = ?", (row["statement"],)).fetchone(),
            "approve",
        )
        if said is None:
            raise _ask_anew("its approval was not signed by a person")
        about = {"call": found.id, "digest": digest, "agent": found.agent, "server": found.server, "tool": found.tool}
        if any(said.fields.get(key) != value for key, value in about.items()) or said.fields["risk"] < found.risk:
            raise _ask_anew("its approval was given for another call")
        return Approval(found.id, said.by, "terminal", said.at), said.nonce, said.until

    def _found(self, id: str) -> Pending:
        found = self.find(id)
        if found is None:
            raise Broken(f"the request {id} is gone from the state")
        return found


def _client_body(home: str, id: str, digest: str, by: str, at: float, until: float) -> bytes:
    return canonical({"home": home, "call": id, "digest": digest, "by": by, "at": at, "until": until})


def _ask_anew(why: str) -> Refused:
    return Refused(
        Code.APPROVAL_REQUIRED, f"this needs a person's approval, and {why}", hint="make the call again to ask anew"
    )
