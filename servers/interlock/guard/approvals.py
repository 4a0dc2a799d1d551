"""The ledger of consent: calls that wait for a person, the yes or no, and grants.

A yes is a signed statement over the call's id and digest (`statements`); through the client it is a keyed mark that
only this installation can make. It is spent once, in one durable transaction, before it ends. A no needs no key.
Not for asking (`consent`), nor for judging whether the world has moved meanwhile (`pipeline`).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from . import statements
from .errors import Broken, Code, Refused
from .keys import Keys, Person
from .model import Approval, Call, Decision, Link, Look, Principal, Risk
from .state import State
from .statements import Statement, canonical

if TYPE_CHECKING:
    from .halt import Order
    from .policy import ApprovalsSettings

POLL: Final = 0.1  # seconds between two looks at a waiting call
WAITING_MAX: Final = 20  # open requests of one agent: more would only bury the person
KEEP: Final = 7 * 86400.0  # seconds that an ended request is kept, without its arguments
KEEP_ROWS: Final = 2000  # and at most so many
PREVIEW_CHARS: Final = 200_000
GRANT_SECONDS: Final = 3600.0  # where only a count is given
GRANT_TIMES: Final = 10  # where only a time is given
GRANT_LONGEST: Final = 7 * 86400.0
OPEN: Final = ("pending", "approved")
_CLIENT: Final = "consent through the client"


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


class Approvals:
    """The ledger of one home. Thread-safe; several processes at once. Raises Broken when the state does."""

    def __init__(self, state: State, keys: Keys) -> None:
        self._state = state
        self._keys = keys

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

        Raises Refused (limit_reached) when too many of this agent's calls wait already.
        """
        who, now = call.principal, self._state.now()
        with self._state.tx() as db:
            _expire(db, now)
            same = _match(db, digest, who, now)
            if same is not None:
                return _pending(same, now)
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
                (call.id, digest, who.agent, who.user, who.session, who.client, call.server, call.tool,
                 canonical(dict(call.raw)).decode(), _storable(call.reason), int(decision.risk),
                 _storable(decision.reason), json.dumps(decision.rules), json.dumps(decision.lost),
                 json.dumps(shown, default=str), _storable(preview[:PREVIEW_CHARS]),
                 json.dumps([(action.verb, action.resource) for action in look.actions]), json.dumps(look.asks),
                 now, now + settings.expires),
            )  # fmt: skip
            row = db.execute("SELECT * FROM pending WHERE id = ?", (call.id,)).fetchone()
        return _pending(row, now)

    def find(self, id: str) -> Pending | None:
        """The request with this call's id, as it stands now."""
        row = self._state.read().execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
        return None if row is None else _pending(row, self._state.now())

    def match(self, digest: str, principal: Principal) -> Pending | None:
        """The same agent's request for exactly this: waiting, approved, or just declined (asking again is no use)."""
        now = self._state.now()
        row = _match(self._state.read(), digest, principal, now)
        return None if row is None else _pending(row, now)

    def wait(self, id: str, seconds: float, link: Link, halted: Callable[[], bool]) -> Pending:
        """Until somebody answers, the client cancels, a halt comes, or `seconds` are over. Its status then."""
        end = time.monotonic() + seconds
        while True:
            found = self.find(id)
            if found is None:
                raise Broken(f"the request {id} is gone from the state", hint="make the call again")
            if found.status != "pending":
                return found
            if halted():
                self.void(id, "halted")
                return self.find(id) or found
            left = end - time.monotonic()
            if left <= 0 or link.wait(min(POLL, left)):
                return found

    def spend(self, id: str, digest: str, now: float) -> Approval:
        """Use the approval up, durably: whoever comes second finds it spent.

        Raises Refused: declined; approval_required when it is not approved (any more), ended, used, or when what
        stands in the state is not what the person signed.
        """
        with self._state.tx(durable=True) as db:
            now = max(now, self._state.now())
            row = db.execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
            if row is None:
                raise _ask_anew("there is no request for it")
            found = _pending(row, now)
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
                f"UPDATE pending SET status='void', ended_why = ?, raw = '{{}}', ended = ? WHERE {_IS_OPEN} AND id = ?",
                (why, self._state.now(), id),
            )

    def void_all(self, order: Order | str) -> int:
        """End every open request that a halt order covers (a text: every one). How many there were."""
        return void_waiting(self._state, order)

    def grant_for(self, call: Call, look: Look, decision: Decision) -> Approval | None:
        """Spend one use of a grant that covers this call exactly; None where there is none.

        Exact: same agent, server, tool; every action's verb and resource; every reason to ask; no higher risk.
        A call that is approved by itself does not use one up. Never for critical risk.
        """
        if decision.risk is Risk.CRITICAL or not look.actions:
            return None
        who, now = call.principal, self._state.now()
        where = "agent = ? AND server = ? AND tool = ? AND revoked IS NULL AND expires > ? AND used < times"
        known = (who.agent, call.server, call.tool, now)
        rows = self._state.read().execute(f"SELECT * FROM grants WHERE {where} ORDER BY expires", known)
        wanted = {(action.verb, action.resource) for action in look.actions}
        for row in rows:
            grant = self._grant(row)
            if (
                grant is None
                or (grant.agent, grant.server, grant.tool) != known[:3]
                or not wanted <= set(grant.actions)
                or not set(look.asks) <= set(grant.asks)
                or decision.risk > grant.risk
                or grant.expires <= now
            ):
                continue
            if _match(self._state.read(), digest(call, look), who, now, ("approved",)) is not None:
                return None
            if self._use_grant(grant):
                return Approval(call.id, grant.by, "grant", now)
        return None

    def consent_in_client(self, id: str, digest: str, by: str) -> Pending:
        """Note a yes that a person gave in the client's own prompt: no signature, but a mark only servers can make.

        Whether the policy lets the client consent to this risk is the caller's to judge; critical never.
        """
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            found = _answerable(db, id, now)
            if found.risk is Risk.CRITICAL or found.digest != digest:
                raise Refused(
                    Code.APPROVAL_REQUIRED, "this needs a person at the terminal", hint=f"interlock approve {id}"
                )
            mark = self._keys.mac(_CLIENT, _client_body(self._state.id, id, digest, by, now, found.expires)).hex()
            _answer(db, id, "approved", by, "client", now, mark)
        return self._found(id)

    def expire(self, now: float) -> int:
        """End what nobody answered in time and forget what is long over. How many requests expired."""
        with self._state.tx() as db:
            expired = _expire(db, now)
            db.execute("DELETE FROM pending WHERE ended < ?", (now - KEEP,))
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
        where = "1" if ended else _IS_OPEN
        rows = self._state.read().execute(f"SELECT * FROM pending WHERE {where} ORDER BY opened, id")
        found = [_pending(row, now) for row in rows]
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
            found = _answerable(db, id, now)
            if grant and found.risk is Risk.CRITICAL:
                raise Refused(
                    Code.INVALID, "what is critical is approved one call at a time", hint=f"interlock approve {id}"
                )
            yes = statements.make(
                person, self._state, "approve", found.expires,
                call=id, digest=found.digest, agent=found.agent, server=found.server, tool=found.tool,
                risk=int(found.risk),
            )  # fmt: skip
            statements.store(db, yes)
            _answer(db, id, "approved", person.by, "terminal", now, yes.nonce)
            if grant and count > 1:
                self._store_grant(db, person, found, now + seconds, count - 1)
        return self._found(id)

    def deny(self, id: str, by: str) -> Pending:
        """A person's no, also after a yes that is not used yet. Needs no key. Raises Refused (invalid)."""
        with self._state.tx(durable=True) as db:
            now = self._state.now()
            _answerable(db, id, now, OPEN)
            _answer(db, id, "declined", by, "terminal", now, "")
            db.execute("UPDATE pending SET raw = '{}', ended = ? WHERE id = ?", (now, id))
        return self._found(id)

    def grants(self) -> list[Grant]:
        """Grants that still hold, verified, soonest end first."""
        now = self._state.now()
        rows = self._state.read().execute(
            "SELECT * FROM grants WHERE revoked IS NULL AND used < times AND expires > ? ORDER BY expires", (now,)
        )
        return [grant for row in rows if (grant := self._grant(row)) is not None and grant.expires > now]

    def revoke(self, grant_id: str, by: str) -> None:
        """End a grant. Needs no key. Raises Refused (invalid)."""
        with self._state.tx(durable=True) as db:
            done = db.execute(
                "UPDATE grants SET revoked = ?, revoked_by = ? WHERE id = ? AND revoked IS NULL",
                (self._state.now(), by, grant_id),
            )
            if done.rowcount == 0:
                raise Refused(Code.INVALID, f"there is no grant {grant_id}", hint="interlock status lists them")

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

    def _store_grant(self, db: sqlite3.Connection, person: Person, of: Pending, until: float, times: int) -> None:
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

    def _grant(self, row: sqlite3.Row) -> Grant | None:
        """What the person signed, with the row's count of uses; None where the signature does not hold."""
        said: Statement | None = statements.find(self._keys, self._state, row["statement"], "grant")
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

    def _use_grant(self, grant: Grant) -> bool:
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

    def _found(self, id: str) -> Pending:
        found = self.find(id)
        if found is None:
            raise Broken(f"the request {id} is gone from the state")
        return found


def void_waiting(state: State, order: Order | str) -> int:
    """As `Approvals.void_all`, without keys: it only tightens."""
    agent, server, why = ("", "", order) if isinstance(order, str) else (order.agent, order.server, order.why)
    with state.tx() as db:
        done = db.execute(
            f"UPDATE pending SET status = 'void', ended_why = ?, raw = '{{}}', ended = ? WHERE {_IS_OPEN}"
            " AND (? = '' OR agent = ?) AND (? = '' OR server = ?)",
            (why, state.now(), agent, agent, server, server),
        )
        return done.rowcount


_IS_OPEN: Final = "status IN ('pending', 'approved')"


def _match(
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


def _answerable(db: sqlite3.Connection, id: str, now: float, among: tuple[str, ...] = ("pending",)) -> Pending:
    row = db.execute("SELECT * FROM pending WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Refused(Code.INVALID, f"no call {id} waits", hint="interlock pending lists those that do")
    found = _pending(row, now)
    if found.status not in among:
        why = f" ({found.ended_why})" if found.ended_why else ""
        raise Refused(
            Code.INVALID, f"{id} is {found.status}{why}: it can no longer be answered", hint="interlock pending"
        )
    return found


def _answer(db: sqlite3.Connection, id: str, status: str, by: str, channel: str, now: float, statement: str) -> None:
    db.execute(
        "UPDATE pending SET status = ?, by = ?, channel = ?, answered = ?, statement = ? WHERE id = ?",
        (status, by, channel, now, statement, id),
    )


def _expire(db: sqlite3.Connection, now: float) -> int:
    done = db.execute(
        f"UPDATE pending SET status = 'expired', raw = '{{}}', ended = ? WHERE {_IS_OPEN} AND expires <= ?", (now, now)
    )
    return done.rowcount


def _pending(row: sqlite3.Row, now: float) -> Pending:
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


def _client_body(home: str, id: str, digest: str, by: str, at: float, until: float) -> bytes:
    return canonical({"home": home, "call": id, "digest": digest, "by": by, "at": at, "until": until})


def _ask_anew(why: str) -> Refused:
    return Refused(
        Code.APPROVAL_REQUIRED, f"this needs a person's approval, and {why}", hint="make the call again to ask anew"
    )


def _storable(text: str) -> str:
    """Lone surrogates are not text for a database."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
