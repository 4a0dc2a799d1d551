"""How much an agent may do in a time, and the breaker that opens after failures. Kept over restarts, in `state.db`.

Counted per agent and OS user over all servers and processes; what a client calls itself, sessions and restarts change
nothing. Not for what may be done (`decide`) nor for room in the store (`snapshots`).

Calls and output are counted in slices of a sixtieth of their time: a slice counts until it is wholly over, so a limit
is never exceeded in any span, and frees at most a sixtieth late. Changes are counted one by one.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from interlock.untrusted import one_line

from .errors import Code, Refused
from .model import Call, Look, Principal
from .state import State

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Limits, Rate

SLICES: Final = 60
KEEP: Final = 400 * 86400.0  # seconds after which rows of agents that are gone are forgotten: longer than any limit
RESOURCES_MAX: Final = 200  # of one call; one that touches more is remembered as a whole


class LimitsLedger:
    """Counts in the state of one home. Thread-safe; several processes at once.

    Everything raises Refused with when to come back, and Broken when the state does.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    # ---------------------------------------------------------------- calls and output

    def admit(self, principal: Principal, limits: Limits) -> None:
        """Count one call of any kind, before anything is known of it. Raises Refused (limit_reached).

        A call that is refused for another reason has counted; one that is refused here has not, else an agent
        that keeps trying would never get back in.
        """
        with self._state.tx() as db:
            now = self._state.now()
            calls, output = _Counter(principal, "calls", limits.calls), _Counter(principal, "output", limits.output)
            if (used := calls.count(db, now)) >= limits.calls.max:
                raise _reached(f"{used} calls in {_span(limits.calls.per)}", calls.frees(db, now), now)
            if (used := output.count(db, now)) >= limits.output.max:
                raise _reached(
                    f"{used} characters of answers in {_span(limits.output.per)}",
                    output.frees(db, now), now, more="ask for less: a path, a pattern, a limit",
                )  # fmt: skip
            calls.add(db, now, 1)

    def output(self, db: sqlite3.Connection, principal: Principal, chars: int, limits: Limits) -> None:
        """Count what an answer cost the agent's context, with its record. Never refuses: the answer has been made."""
        if chars > 0:
            _Counter(principal, "output", limits.output).add(db, self._state.now(), chars)

    # ---------------------------------------------------------------- changes

    def reserve_change(
        self, db: sqlite3.Connection, principal: Principal, call: Call, look: Look, limits: Limits
    ) -> None:
        """Check and count one change, in one step: of any number that come together only as many as fit get through.

        A change outside this machine weighs as many as it has resources, a local one weighs one. Putting one's own
        change back is counted but not refused; putting that back is a change like any other.
        Raises Refused (limit_reached).
        """
        rate = limits.changes if look.remote else limits.local_changes
        word = "changes outside this machine" if look.remote else "changes on this machine"
        resources = list(dict.fromkeys(action.resource for action in look.actions)) or [""]
        weight = len(resources) if look.remote else 1
        marks = _marks(look, resources)
        now = self._state.now()
        free = bool(look.undoes) and not _was_undo(db, look.undoes)
        if not free:
            _check_rate(db, principal, look.remote, weight, rate, now, word)
            for resource, mark, effect in marks:
                _check_repeats(db, principal, resource, mark, effect, limits.repeats, now)
        db.executemany(
            "INSERT INTO effects (agent, user, at, call, remote, undo, weight, resource, effect)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (principal.agent, principal.user, now, call.id, look.remote, free,
                 (weight if number == 0 else 0), mark, effect)
                for number, (_, mark, effect) in enumerate(marks)
            ],
        )  # fmt: skip
        oldest = now - max(limits.changes.per, limits.local_changes.per, limits.repeats.per)
        db.execute(
            "DELETE FROM effects WHERE agent = ? AND user = ? AND at < ?", (principal.agent, principal.user, oldest)
        )
        db.execute("DELETE FROM effects WHERE at < ?", (min(oldest, now - KEEP),))

    def budgets(self, principal: Principal, limits: Limits) -> dict[str, Any]:
        """What is left: `{"calls": {"left", "max", "per_s"}, ..., "breakers": [{"resource", "closes_in_s"}]}`."""
        now = self._state.now()
        found: dict[str, Any] = {}
        for name, rate in (("calls", limits.calls), ("output", limits.output)):
            found[name] = _left(rate, _Counter(principal, name, rate).count(self._state, now))
        for name, rate, remote in (("changes", limits.changes, True), ("local_changes", limits.local_changes, False)):
            row = self._state.read().execute(_WEIGHT, (principal.agent, principal.user, remote, now - rate.per))
            found[name] = _left(rate, row[0][0])
        rows = self._state.read().execute(
            "SELECT server, resource, open_until FROM breakers WHERE agent = ? AND user = ? AND open_until > ?"
            " ORDER BY open_until LIMIT 10",
            (principal.agent, principal.user, now),
        )
        if rows:
            found["breakers"] = [
                {"server": row[0], "resource": one_line(row[1]), "closes_in_s": round(row[2] - now)} for row in rows
            ]
        return found

    # ---------------------------------------------------------------- the breaker

    def breaker_admit(self, principal: Principal, server: str, resource: str, limits: Limits) -> None:
        """Raises Refused (breaker_open) while changes of this resource rest after failures. One small read."""
        row = self._state.read().execute(
            "SELECT open_until FROM breakers WHERE agent = ? AND user = ? AND server = ? AND resource = ?",
            (principal.agent, principal.user, server, _storable(resource)),
        )
        if not row:
            return
        now = self._state.now()
        if row[0][0] > now:
            raise Refused(
                Code.BREAKER_OPEN,
                f"changes of {one_line(resource)} failed {limits.failures.max} times in {_span(limits.failures.per)}",
                hint=f"find out why by reading; changing it is possible again {_when(row[0][0], now)}",
            )

    def breaker_result(self, principal: Principal, server: str, resource: str, failed: bool, limits: Limits) -> None:
        """Count how a permitted change ended. Enough failures open the breaker; a success forgets them."""
        key = (principal.agent, principal.user, server, _storable(resource))
        where = "agent = ? AND user = ? AND server = ? AND resource = ?"
        if not failed and not self._state.read().execute(f"SELECT 1 FROM breakers WHERE {where}", key):
            return
        rate = limits.failures
        with self._state.tx() as db:
            now = self._state.now()
            row = db.execute(f"SELECT failures, open_until FROM breakers WHERE {where}", key).fetchone()
            failures: list[float] = [at for at in _floats(row["failures"]) if at > now - rate.per] if row else []
            open_until = row["open_until"] if row else 0.0
            if not failed:
                if open_until <= now:
                    db.execute(f"DELETE FROM breakers WHERE {where}", key)
                return
            failures.append(now)
            if len(failures) >= rate.max:
                failures, open_until = [], now + rate.open_for
            db.execute(
                "INSERT OR REPLACE INTO breakers VALUES (?,?,?,?,?,?,?)", (*key, json.dumps(failures), open_until, now)
            )
            db.execute("DELETE FROM breakers WHERE open_until < ? AND last < ?", (now, now - max(KEEP, rate.per)))


# ---------------------------------------------------------------- slices of time


_OF: Final = "agent = ? AND user = ? AND name = ?"


class _Counter:
    """What one agent used of one rate; slices that are wholly over do not count, and go when a new one begins."""

    def __init__(self, principal: Principal, name: str, rate: Rate) -> None:
        self._key = (principal.agent, principal.user, name)
        self._rate = rate
        self._width = rate.per / SLICES

    def count(self, db: State | sqlite3.Connection, now: float) -> int:
        query = f"SELECT coalesce(sum(count), 0) FROM counts WHERE {_OF} AND start > ?"
        return int(db.execute(query, (*self._key, self._over(now))).fetchall()[0][0])

    def add(self, db: sqlite3.Connection, now: float, number: int) -> None:
        start = now - now % self._width
        known = db.execute(
            f"UPDATE counts SET count = count + ? WHERE {_OF} AND start = ?", (number, *self._key, start)
        )
        if not known.rowcount:
            db.execute(f"DELETE FROM counts WHERE {_OF} AND start <= ?", (*self._key, self._over(now)))
            db.execute("DELETE FROM counts WHERE start < ?", (min(self._over(now), now - KEEP),))
            db.execute("INSERT INTO counts VALUES (?,?,?,?,?)", (*self._key, start, number))

    def frees(self, db: sqlite3.Connection, now: float) -> float:
        """When one more fits again, seconds since the epoch."""
        over = self.count(db, now) + 1 - self._rate.max
        query = f"SELECT start, count FROM counts WHERE {_OF} AND start > ? ORDER BY start"
        for start, count in db.execute(query, (*self._key, self._over(now))).fetchall():
            over -= count
            if over <= 0:
                return float(start + self._rate.per + self._width)
        return now + self._rate.per

    def _over(self, now: float) -> float:
        return now - self._rate.per - self._width


def _floats(stored: str) -> list[float]:
    return [float(at) for at in json.loads(stored)]


# ---------------------------------------------------------------- effects

_WEIGHT: Final = "SELECT coalesce(sum(weight), 0) FROM effects WHERE agent = ? AND user = ? AND remote = ? AND at > ?"


def _mark(resource: str) -> bytes:
    return hashlib.sha256(resource.encode("utf-8", "surrogatepass")).digest()[:16]


def _marks(look: Look, resources: Sequence[str]) -> list[tuple[str, bytes, bytes]]:
    """(resource, its mark, what the call would make of it): same content, same replicas, same object restarted."""
    made: dict[str, list[tuple[str, str]]] = {resource: [] for resource in resources}
    for action in look.actions:
        made[action.resource].append((action.verb, action.effect.rpartition(">")[2]))
    if len(resources) > RESOURCES_MAX:
        whole = json.dumps(sorted(made.items()))
        return [
            (
                f"{len(resources)} things",
                _mark("".join(sorted(resources))),
                _mark(whole),
            )
        ]
    return [(resource, _mark(resource), _mark(json.dumps(sorted(effects)))) for resource, effects in made.items()]


def _was_undo(db: sqlite3.Connection, call: str) -> bool:
    row = db.execute("SELECT max(undo) FROM effects WHERE call = ?", (call,)).fetchone()
    return bool(row[0])


def _check_rate(
    db: sqlite3.Connection, principal: Principal, remote: bool, weight: int, rate: Rate, now: float, word: str
) -> None:
    key = (principal.agent, principal.user, remote, now - rate.per)
    used = db.execute(_WEIGHT, key).fetchone()[0]
    if used + weight <= rate.max:
        return
    if weight > rate.max:
        raise Refused(
            Code.LIMIT_REACHED,
            f"this one call makes {weight} {word}; the limit is {rate.max} in {_span(rate.per)}",
            hint="do it in smaller parts",
        )
    over, back = used + weight - rate.max, now + rate.per
    for at, count in db.execute(
        "SELECT at, weight FROM effects WHERE agent = ? AND user = ? AND remote = ? AND at > ? ORDER BY at", key
    ):
        over -= count
        if over <= 0:
            back = at + rate.per
            break
    raise _reached(f"{used} {word} in {_span(rate.per)}", back, now, more="reading works; ask a person if it is urgent")


def _check_repeats(
    db: sqlite3.Connection, principal: Principal, resource: str, mark: bytes, effect: bytes, rate: Rate, now: float
) -> None:
    rows = db.execute(
        "SELECT at, effect FROM effects WHERE agent = ? AND user = ? AND resource = ? AND at > ? ORDER BY seq",
        (principal.agent, principal.user, mark, now - rate.per),
    ).fetchall()
    same = [row[0] for row in rows if row[1] == effect]
    if len(same) >= rate.max:
        raise _reached(
            f"the same change of {one_line(resource)} {len(same)} times in {_span(rate.per)}",
            same[-rate.max] + rate.per, now, more="once more will not help: read what it did, or tell a person",
        )  # fmt: skip
    turns: list[tuple[float, bytes]] = []  # doing the same once more in between is no way around
    for at, made in rows:
        turns[-1:] = [(at, made)] if turns and turns[-1][1] == made else [*turns[-1:], (at, made)]
    steps = [*(made for _, made in turns), effect]
    run = _alternating(steps)
    if run > max(rate.max, 2):
        raise _reached(
            f"{one_line(resource)} goes back and forth between two states",
            turns[1 - run][0] + rate.per, now, more="two goals pull at it: tell a person instead of changing it",
        )  # fmt: skip


def _alternating(steps: Sequence[bytes]) -> int:
    """How many of the last steps go back and forth between two different effects: A-B-A-B is 4."""
    if len(steps) < 2 or steps[-1] == steps[-2]:
        return 1
    run = 2
    while run < len(steps) and steps[-run - 1] == steps[-run + 1]:
        run += 1
    return run


# ---------------------------------------------------------------- words


def _left(rate: Rate, used: int) -> dict[str, int]:
    return {"left": max(0, rate.max - int(used)), "max": rate.max, "per_s": rate.per}


def _reached(what: str, back: float, now: float, more: str = "") -> Refused:
    return Refused(
        Code.LIMIT_REACHED, f"the limit is reached: {what}", hint="; ".join(filter(None, [_when(back, now), more]))
    )


def _when(back: float, now: float) -> str:
    seconds = max(1, int(back - now) + 1)
    return f"in {seconds} s, at {time.strftime('%H:%M:%S', time.gmtime(now + seconds))} UTC"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
