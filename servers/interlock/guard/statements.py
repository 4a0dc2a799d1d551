"""What people sign: everything that loosens (approve, grant, profile, resume, purge, repair).

A statement is canonical JSON - kind, fields, who, when, until when, this home, a nonce - with an Ed25519 signature over
it. Servers only verify. What a statement does is told by the module whose kind it is. Not for keys (`keys`).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from .errors import Broken
from .keys import Keys
from .keys import Person as Person
from .state import State

KINDS: Final = frozenset(["approve", "grant", "profile", "resume", "purge", "repair"])
FOR_GOOD: Final = 1e12  # `until` of a statement that does not end (seconds)
KEEP: Final = 30 * 86400.0  # seconds that a statement is kept after its end, or after it was made
_PREFIX: Final = b"interlock statement v1\n"


@dataclass(frozen=True, slots=True)
class Statement:
    """One signed statement. From `make`, or from `verify`, and then it is what the person signed."""

    kind: str
    fields: Mapping[str, Any]
    by: str
    at: float  # seconds, by the signing command's own clock (highest time seen)
    until: float  # from then on it says nothing any more
    nonce: str
    body: bytes
    signature: bytes


def canonical(value: Any) -> bytes:
    """One spelling per JSON value: sorted keys, no spaces, ASCII. What is signed and what is digested."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def make(person: Person, state: State, kind: str, until: float = FOR_GOOD, /, **fields: Any) -> Statement:
    """Sign a statement for this home; it is not stored yet. Raises Broken (unknown kind, clock)."""
    if kind not in KINDS:
        raise Broken(f"there is no statement {kind!r}")
    at, nonce = state.now(), os.urandom(16).hex()
    body = canonical(
        {"kind": kind, "fields": fields, "by": person.by, "at": at, "until": until, "home": state.id, "nonce": nonce}
    )
    return Statement(kind, fields, person.by, at, until, nonce, body, person.sign(_PREFIX + body))


def store(db: sqlite3.Connection, statement: Statement) -> None:
    """Inside a transaction of the caller."""
    db.execute(
        "INSERT INTO statements (nonce, kind, at, until, body, signature) VALUES (?,?,?,?,?,?)",
        (statement.nonce, statement.kind, statement.at, statement.until, statement.body, statement.signature),
    )


def verify(keys: Keys, state: State, row: Any, kind: str) -> Statement | None:
    """The statement of a row of table `statements`, as signed; None unless the person signed exactly it.

    `row` holds `body` and `signature` (bytes); only the signed bytes speak, other columns are ignored. A statement
    for another home, or of another kind, is none. Whether its time is over (`until`) is the caller's to judge.
    """
    if row is None or not isinstance(row["body"], bytes) or not isinstance(row["signature"], bytes):
        return None
    statement = _verified(keys, row["body"], row["signature"], state.id)
    return statement if statement is not None and statement.kind == kind else None


@lru_cache(maxsize=256)
def _verified(keys: Keys, body: bytes, signature: bytes, home: str) -> Statement | None:
    """Pure: the same bytes always give the same answer, so it is worked out once."""
    if not keys.verify_person(_PREFIX + body, signature):
        return None
    said = json.loads(body)
    if said["home"] != home:
        return None
    return Statement(
        said["kind"], said["fields"], said["by"], said["at"], said["until"], said["nonce"], body, signature
    )


def find(keys: Keys, state: State, nonce: str, kind: str) -> Statement | None:
    """The stored statement with this nonce, verified."""
    row = state.read().execute("SELECT body, signature FROM statements WHERE nonce = ?", (nonce,)).fetchone()
    found = verify(keys, state, row, kind)
    return found if found is not None and found.nonce == nonce else None


def use_up(db: sqlite3.Connection, nonce: str, until: float) -> bool:
    """Mark a statement as used, inside a transaction; False if it was used before."""
    done = db.execute("INSERT OR IGNORE INTO nonces (nonce, until) VALUES (?, ?)", (nonce, until))
    return done.rowcount == 1


def trim(db: sqlite3.Connection, now: float) -> None:
    """Forget statements and nonces that cannot matter any more, inside a transaction."""
    over = f"CASE WHEN until < {FOR_GOOD} THEN max(at, until) ELSE at END"
    db.execute(f"DELETE FROM statements WHERE {over} < ?", (now - KEEP,))
    db.execute("DELETE FROM nonces WHERE until < ?", (now - KEEP,))


def sign_and_store(person: Person, state: State, kind: str, until: float = FOR_GOOD, /, **fields: Any) -> Statement:
    """One statement, durable. For kinds whose whole effect is that they exist (profile, resume, purge, repair)."""
    statement = make(person, state, kind, until, **fields)
    with state.tx(durable=True) as db:
        store(db, statement)
        trim(db, statement.at)
    return statement


class Profile(NamedTuple):
    """A profile that a person switched to, and until when (seconds)."""

    name: str
    until: float
    reason: str


def switch_profile(person: Person, state: State, name: str, until: float, reason: str) -> Statement:
    """Put another profile in force until then (seconds since the epoch); it ends by itself."""
    return sign_and_store(person, state, "profile", until, name=name, reason=reason)


def end_profile(person: Person, state: State) -> bool:
    """End a switch before its time. Signed too: the policy's own profile may be the wider one. False: none held."""
    now = state.now()
    held = state.read().execute("SELECT 1 FROM statements WHERE kind = 'profile' AND until > ?", (now,))
    if held:
        sign_and_store(person, state, "profile", now, name="", reason="")
    return bool(held)


def active_profile(state: State, keys: Keys) -> Profile | None:
    """The profile that a person switched to and that still holds. None: the policy's own.

    One small read; the signature is checked once. A row that the person did not sign is passed over.
    """
    rows = state.read().execute(
        "SELECT body, signature FROM statements WHERE kind = 'profile' ORDER BY at DESC LIMIT 8"
    )
    if not rows:
        return None
    now = state.now()
    signed = [found for row in rows if (found := verify(keys, state, row, "profile")) is not None]
    if not signed:
        return None
    last = max(signed, key=lambda statement: statement.at)
    if not last.fields["name"] or last.until <= now:
        return None
    return Profile(str(last.fields["name"]), last.until, str(last.fields["reason"]))
