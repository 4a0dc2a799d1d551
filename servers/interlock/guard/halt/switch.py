"""The kill switch: whether a halt is in force, who ordered it, and which running servers have heard of it.

`HALT` in the home halts by its presence: empty or anything unreadable halts everything; lines of JSON may narrow it.
One `stat` per call. What `interlock halt` ordered is also noted in `state.db`, so that removing the file does not
release it: only a person's signed `resume` does. (Who merely touched the file may remove it.)
Not for stopping what already runs: a permitted change ends by itself.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.guard import statements
from interlock.guard.disk import check_home, write_private
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.keys import Keys, Person, account
from interlock.guard.model import Principal

from .orders import FILE, LARGEST, ORDERS_MAX, identity, order_from, parse
from .orders import Order as Order
from .running import Registration as Registration
from .running import Running as Running
from .running import Watcher as Watcher
from .running import register as register
from .running import running as running
from .running import wait_for_acknowledgements

if TYPE_CHECKING:
    from interlock.guard.state import State


class Halt:
    """The halts of one home. Thread-safe; the command line and all servers of the home use it."""

    def __init__(self, home: Path, state: State | None = None, keys: Keys | None = None) -> None:
        """With `state` and `keys`, what was ordered stays in force until its signed resume; without, until the
        file is gone."""
        self._home = home
        self._path = home / FILE
        self._state = state
        self._keys = keys
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._orders: tuple[Order, ...] = ()
        self._noted: dict[str, Order] = {}
        self._current = False  # False: look again even if the file has not changed

    # ---------------------------------------------------------------- for every call

    def check(self, principal: Principal, server: str, change: bool) -> None:
        """Raises Refused (halted) with who, when, why. One `stat` unless the file has changed."""
        for order in self.orders():
            if order.covers(principal.agent, server) and (change or not order.changes_only):
                raise Refused(
                    Code.HALTED,
                    order.why,
                    hint=f"{'reads work; ' if order.changes_only else ''}do not try again until a person says so "
                    "(they run `interlock resume`)",
                )

    def orders(self) -> tuple[Order, ...]:
        """What is in force now, oldest first. Never raises: what cannot be read halts everything."""
        seen = identity(self._path)
        if seen == self._seen and self._current:
            return self._orders
        with self._lock:
            # The file is read after its identity: what changes in between has another identity next time.
            seen = identity(self._path)
            if seen != self._seen or not self._current:
                self._read(seen)
            return self._orders

    def _read(self, seen: tuple[int, ...] | None) -> None:
        """Under the lock. `_current` is said last: until then a concurrent call waits, and sees the truth."""
        found = () if seen is None else parse(self._path, seen)
        if self._state is None or self._keys is None:
            self._orders, self._seen, self._current = found, seen, True
            return
        try:
            ids = {order.id for order in found}
            rows = self._state.read().execute("SELECT id, body FROM halts ORDER BY at")
            noted = {row["id"]: order for row in rows if (order := order_from(json.loads(row["body"]))) is not None}
            self._noted.update(noted)
            self._noted.update({order.id: order for order in found if order.id})
            released = self._released()
            for id in [id for id in self._noted if id in released and id not in ids]:
                del self._noted[id]
            kept = [order for id, order in self._noted.items() if id not in ids]
            self._note([order for order in (*found, *kept) if order.id and order.id not in noted])
        except (Broken, ValueError, KeyError, TypeError):
            # The state refuses every call by itself; what is known stays in force.
            kept = [order for id, order in self._noted.items() if id not in {order.id for order in found}]
        self._orders, self._seen = tuple(sorted((*found, *kept), key=lambda order: order.at)), seen
        # Nothing touches the file when they are released: keep looking in the state.
        self._current = not kept

    def _released(self) -> set[str]:
        assert self._state is not None and self._keys is not None
        rows = self._state.read().execute("SELECT body, signature FROM statements WHERE kind = 'resume'")
        signed = [statements.verify(self._keys, self._state, row, "resume") for row in rows]
        return {id for statement in signed if statement is not None for id in statement.fields["orders"]}

    def _note(self, orders: Sequence[Order]) -> None:
        """Best effort: the file alone halts already."""
        if orders and self._state is not None:
            with suppress(Broken), self._state.tx() as db:
                db.executemany(
                    "INSERT OR IGNORE INTO halts (id, body, at) VALUES (?,?,?)",
                    [(order.id, json.dumps(asdict(order)), order.at) for order in orders],
                )

    # ---------------------------------------------------------------- for people

    def halt(
        self, reason: str, *, by: str = "", changes_only: bool = False, agent: str = "", server: str = ""
    ) -> Order:
        """Order a halt: in force for every call that begins after this returns. Raises Broken where it cannot."""
        order = Order(new_id(), by or account(), time.time(), reason, changes_only, agent, server)
        self.put(order)
        return order

    def put(self, order: Order) -> None:
        """The same for an order that other homes get too.

        On a disk so full that it cannot be written, everything is halted instead. Raises Broken.
        """
        with self._writing():
            seen = identity(self._path)
            present = () if seen is None else parse(self._path, seen)
            # A touched or unreadable file halts everything: that must not become narrower by what is added.
            whole = [one for one in present if not one.id][:1]
            present = (*whole, *(one for one in present if one.id and one.id != order.id))
            if len(present) >= ORDERS_MAX:
                present, order = (), Order(order.id, order.by, order.at, order.reason, homes=order.homes)
            self._store((*present, order))
        self._note([order])

    def describe(self) -> str:
        """What is halted, by whom and why, a line each; empty when nothing is."""
        return "\n".join(
            f"{order.scope} {order.why}" + (f" ({order.id})" if order.id else "") for order in self.orders()
        )

    def release(self, person: Person, state: State, ids: Sequence[str] = ()) -> list[Order]:
        """Release these halts of this home, or all: a signed statement first, then the file. See `resume_all`."""
        if self._keys is not None and not self._keys.verify_person(b"resume", person.sign(b"resume")):
            raise Broken("servers would not accept this key: it is not the person's that they know")
        released = [order for order in self.orders() if not ids or order.id in ids]
        names = [order.id for order in released if order.id]
        with self._writing():
            if names:
                statements.sign_and_store(person, state, "resume", orders=names)
            seen = identity(self._path)
            present = () if seen is None else parse(self._path, seen)
            self._store([order for order in present if order not in released])
        with state.tx() as db:
            db.executemany("DELETE FROM halts WHERE id = ?", [(name,) for name in names])
        with self._lock:
            for name in names:
                self._noted.pop(name, None)
            self._current = False
        return released

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Two people at once must not lose one another's order."""
        try:
            if not self._home.exists():
                check_home(self._home, create=True)
            fd = os.open(self._home / ".halt.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Broken(
                f"{self._home} cannot be written ({os.strerror(error.errno or errno.EIO).lower()})",
                hint=_instead(self._home, self._path, error),
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _store(self, orders: Sequence[Order]) -> None:
        try:
            if not orders:
                _remove(self._path)
                return
            text = "".join(json.dumps(asdict(order)) + "\n" for order in orders)
            if len(text) > LARGEST:
                text = ""
            try:
                write_private(self._path, text.encode())
            except IsADirectoryError:
                return  # somebody made a folder of that name: it halts everything
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                with suppress(OSError):
                    (self._home / "reserve").unlink()
                try:
                    write_private(self._path, text.encode())
                except OSError:
                    os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Broken(
                f"{self._path} cannot be written ({os.strerror(error.errno or errno.EIO).lower()})",
                hint="stop the servers themselves: end the client",
            ) from error


def new_id() -> str:
    return f"halt-{os.urandom(4).hex()}"


def halt_all(
    home: Path,
    *,
    by: str = "",
    reason: str = "",
    changes_only: bool = False,
    agent: str = "",
    server: str = "",
    wait: float = 2.0,
) -> list[tuple[Running, bool]]:
    """Halt this home and every running server of the account, wherever its home is; void what waits there.

    Gives back each running server that it is for, and whether it acknowledged within `wait` seconds (or ended).
    Raises Broken when `home` itself cannot be halted, after all others are.
    """
    servers = [one for one in running() if agent in ("", one.agent) and server in ("", one.server)]
    homes = list(dict.fromkeys([home.absolute(), *(one.home for one in servers)]))
    order = Order(
        new_id(), by or account(), time.time(), reason, changes_only, agent, server, tuple(str(one) for one in homes)
    )
    problem: Broken | None = None
    for one in homes:
        try:
            Halt(one).put(order)
        except Broken as broken:
            problem = broken if one == homes[0] else problem
    reached = wait_for_acknowledgements(servers, order.id, wait)
    for one in homes:
        with suppress(Broken):
            _void_waiting(one, order)
    if problem is not None:
        raise problem
    return reached


def _instead(home: Path, file: Path, error: OSError) -> str:
    """What a person can do where a home cannot be written: another account's `touch`, or ending the servers."""
    pids = " ".join(str(one.pid) for one in running() if one.home == home.absolute())
    end = f"end its servers: kill {pids}" if pids else "none of its servers is known to run"
    return end if error.errno == errno.EROFS else f"{end}; or, as who may write there: touch {file}"


def resume_all(home: Path, state: State, keys: Keys, person: Person, id: str = "") -> int:
    """Release one halt of this home, or all, in every home that the same command halted. How many there were.

    Calls that waited stay void. Raises Broken.
    """
    from interlock.guard.state import State

    halt = Halt(home, state, keys)
    orders = [order for order in halt.orders() if id in ("", order.id)]
    for order in orders:
        _void_waiting(home, order, state)
    ids = [order.id for order in orders if order.id]
    for other in sorted({Path(one) for order in orders for one in order.homes} - {home.absolute()}):
        with suppress(Broken):
            if ids and other.is_dir():
                theirs = State(other)
                try:
                    Halt(other, theirs, keys).release(person, theirs, ids)
                finally:
                    theirs.close()
    return len(halt.release(person, state, [order.id for order in orders])) if orders else 0


def _void_waiting(home: Path, order: Order, state: State | None = None) -> None:
    from interlock.guard.consent.approvals import void_waiting
    from interlock.guard.state import State

    if state is None and not (home / "state.db").exists():
        return
    opened = state or State(home)
    try:
        void_waiting(opened, order)
    finally:
        if state is None:
            opened.close()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):
        path.rmdir()
