"""The tables of `state.db`. What a row means is told by the module that owns it, named above each table.

Not for opening the file (`state`).
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

_SCHEMA: Final = """
-- state: one row. `id` names this home in every statement, so that one copied from another home is void.
CREATE TABLE IF NOT EXISTS home (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL,
    highest REAL NOT NULL, mended INTEGER NOT NULL);
-- statements: what people signed. Kept while it can matter.
CREATE TABLE IF NOT EXISTS statements (nonce TEXT PRIMARY KEY, kind TEXT NOT NULL, at REAL NOT NULL,
    until REAL NOT NULL, body BLOB NOT NULL, signature BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS statements_kind ON statements (kind, at);
-- statements: nonces that were used up, kept until the statement would have ended by itself.
CREATE TABLE IF NOT EXISTS nonces (nonce TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
-- approvals: calls that wait or waited for a person.
CREATE TABLE IF NOT EXISTS pending (id TEXT PRIMARY KEY, digest TEXT NOT NULL, status TEXT NOT NULL,
    agent TEXT NOT NULL, user TEXT NOT NULL, session TEXT NOT NULL, client TEXT NOT NULL,
    server TEXT NOT NULL, tool TEXT NOT NULL, raw TEXT NOT NULL, reason TEXT NOT NULL,
    risk INTEGER NOT NULL, why TEXT NOT NULL, rules TEXT NOT NULL, lost TEXT NOT NULL,
    shown TEXT NOT NULL, preview TEXT NOT NULL, actions TEXT NOT NULL, asks TEXT NOT NULL,
    opened REAL NOT NULL, expires REAL NOT NULL, answered REAL, ended REAL, by TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL DEFAULT '', ended_why TEXT NOT NULL DEFAULT '',
    statement TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pending_digest ON pending (digest);
CREATE INDEX IF NOT EXISTS pending_status ON pending (status, ended);
-- approvals: grants; the row only counts uses, what is granted stands in the statement of that nonce.
CREATE TABLE IF NOT EXISTS grants (id TEXT PRIMARY KEY, statement TEXT NOT NULL, agent TEXT NOT NULL,
    server TEXT NOT NULL, tool TEXT NOT NULL, used INTEGER NOT NULL, times INTEGER NOT NULL,
    expires REAL NOT NULL, revoked REAL, revoked_by TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS grants_tool ON grants (agent, server, tool);
-- limits: calls and output, by the start of each slice of time.
CREATE TABLE IF NOT EXISTS counts (agent TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
    start REAL NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (agent, user, name, start)) WITHOUT ROWID;
-- limits: permitted changes, one row per effect.
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY, agent TEXT NOT NULL, user TEXT NOT NULL, at REAL NOT NULL,
    call TEXT NOT NULL, remote INTEGER NOT NULL, undo INTEGER NOT NULL, weight INTEGER NOT NULL,
    resource BLOB NOT NULL, effect BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS effects_at ON effects (agent, user, at);
CREATE INDEX IF NOT EXISTS effects_age ON effects (at);
CREATE INDEX IF NOT EXISTS effects_resource ON effects (agent, user, resource, at);
CREATE INDEX IF NOT EXISTS effects_call ON effects (call);
-- limits: failures, and how long the breaker stays open.
CREATE TABLE IF NOT EXISTS breakers (agent TEXT NOT NULL, user TEXT NOT NULL, server TEXT NOT NULL,
    resource TEXT NOT NULL, failures TEXT NOT NULL, open_until REAL NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (agent, user, server, resource)) WITHOUT ROWID;
-- halt: orders that bear an id, until a person's signed resume names it.
CREATE TABLE IF NOT EXISTS halts (id TEXT PRIMARY KEY, body TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
-- records: where each chain stands.
CREATE TABLE IF NOT EXISTS heads (chain TEXT PRIMARY KEY, server TEXT NOT NULL, pid INTEGER NOT NULL,
    start INTEGER NOT NULL, boot TEXT NOT NULL, part INTEGER NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL,
    bytes INTEGER NOT NULL, synced_seq INTEGER NOT NULL, synced_hash TEXT NOT NULL, synced_bytes INTEGER NOT NULL,
    opened REAL NOT NULL, updated REAL NOT NULL, status TEXT NOT NULL,
    statement TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS heads_status ON heads (status, updated);
-- changes: permitted changes, how they ended, and what undoes what.
CREATE TABLE IF NOT EXISTS changes (id TEXT PRIMARY KEY, server TEXT NOT NULL, tool TEXT NOT NULL,
    agent TEXT NOT NULL, user TEXT NOT NULL, session TEXT NOT NULL, client TEXT NOT NULL, at REAL NOT NULL,
    actions TEXT NOT NULL, undo INTEGER NOT NULL, lost TEXT NOT NULL, status TEXT NOT NULL,
    undoes TEXT NOT NULL DEFAULT '', undone_by TEXT NOT NULL DEFAULT '', asked INTEGER NOT NULL,
    pid INTEGER NOT NULL, pid_start INTEGER NOT NULL, boot TEXT NOT NULL DEFAULT '', before TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '', resources TEXT NOT NULL, ended REAL, reason TEXT NOT NULL DEFAULT '',
    settled_by TEXT NOT NULL DEFAULT '', settler INTEGER NOT NULL DEFAULT 0,
    settler_start INTEGER NOT NULL DEFAULT 0, settler_boot TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes_status ON changes (status, server);
CREATE INDEX IF NOT EXISTS changes_at ON changes (at);
CREATE INDEX IF NOT EXISTS changes_session ON changes (session, at);
-- changes: resources whose last change ended unknown, until a person settles it.
CREATE TABLE IF NOT EXISTS blocked (resource TEXT NOT NULL, change TEXT NOT NULL,
    PRIMARY KEY (resource, change)) WITHOUT ROWID;
-- snapshots: what each slot may take and takes, and the sums that make looking for room cheap.
CREATE TABLE IF NOT EXISTS slots (change TEXT PRIMARY KEY, agent TEXT NOT NULL, size INTEGER NOT NULL,
    at REAL NOT NULL, status TEXT NOT NULL, keep REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slots_status ON slots (status, at);
CREATE INDEX IF NOT EXISTS slots_kept ON slots (status, keep) WHERE keep IS NOT NULL;
CREATE TABLE IF NOT EXISTS slot_sums (agent TEXT PRIMARY KEY, size INTEGER NOT NULL,
    count INTEGER NOT NULL) WITHOUT ROWID;
-- snapshots: what a server needs to put a change back, small prior contents among it: raw, as the store itself is.
CREATE TABLE IF NOT EXISTS sealed (change TEXT PRIMARY KEY, state TEXT NOT NULL);
"""

TABLES: Final = tuple(statement.strip() for statement in _SCHEMA.split(";\n") if statement.strip())
