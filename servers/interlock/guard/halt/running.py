"""Which servers of this account run, wherever their homes are, and whether each has heard of a halt.

One folder per account that no variable moves: under the home that the account database names. A server registers
before it is confined and keeps its acknowledgement file open; the folder is in its write set for leaving again.
Not for halting (`switch`), nor for starting and ending processes.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.disk import check_home
from interlock.guard.errors import Broken
from interlock.guard.processes import alive, myself

if TYPE_CHECKING:
    from .switch import Halt, Order

NAME: Final = "interlock-servers"
POLL: Final = 0.2  # seconds between two looks of a running server at its HALT file
_SIZE: Final = 4096  # bytes of an acknowledgement, set aside when it is made: a full disk cannot stop it
_REMEMBERED: Final = 100  # orders in one acknowledgement
_LARGEST: Final = 16 << 10
_STRAY: Final = 3600.0  # seconds after which half a registration is nobody's any more


@dataclass(frozen=True, slots=True)
class Running:
    """One registered server that is alive."""

    name: str  # of its file
    folder: Path
    pid: int
    server: str
    agent: str
    home: Path
    at: float  # when it began, seconds


def folders() -> list[Path]:
    """Where servers register: the first usable one. Reading looks at all."""
    import pwd

    found = []
    with suppress(KeyError):
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        if home.is_absolute() and home.is_dir():
            found.append(home / ".local" / "state" / NAME)
    return [*found, Path("/tmp") / f"{NAME}-{os.getuid()}"]


class Registration:
    """This process in the folder of running servers. Made by `register`, before confinement."""

    def __init__(self, folder: Path, name: str, server: str, agent: str, acknowledgement: int) -> None:
        self.folders: tuple[Path, ...] = (folder,)  # for the write set
        self.server = server
        self.agent = agent
        self._file = folder / f"{name}.json"
        self._ack = folder / f"{name}.ack"
        self._fd = acknowledgement
        self._heard: list[str] = []
        self._lock = threading.Lock()

    def acknowledge(self, orders: Sequence[str]) -> None:
        """Say that these orders are in force here. Raises OSError."""
        with self._lock:
            self._heard = [*self._heard, *(id for id in orders if id not in self._heard)][-_REMEMBERED:]
            text = json.dumps({"orders": self._heard}).encode()
            while len(text) > _SIZE and self._heard:
                self._heard.pop(0)
                text = json.dumps({"orders": self._heard}).encode()
            if self._fd >= 0:
                os.pwrite(self._fd, text.ljust(_SIZE), 0)

    def remove(self) -> None:
        """Leave. Never raises: what stays behind is seen to be gone by its pid."""
        with self._lock:
            for path in (self._file, self._ack):
                with suppress(OSError):
                    path.unlink()
            if self._fd >= 0:
                with suppress(OSError):
                    os.close(self._fd)
                self._fd = -1


def register(server: str, home: Path, agent: str = "", folder: Path | None = None) -> Registration:
    """Make this server known to `interlock halt` and `status`. Raises Broken: a server that no halt can find must
    not serve."""
    problem: Broken | None = None
    for place in [folder] if folder is not None else folders():
        try:
            check_home(place, create=True)
            _clear(place)
            return _register(place, server, home, agent)
        except Broken as broken:
            problem = problem or broken
        except OSError as error:
            problem = problem or Broken(
                f"this server cannot register in {place} ({os.strerror(error.errno or errno.EIO).lower()})",
                hint="make that folder writable for this account; halts would not find the server otherwise",
            )
    assert problem is not None
    raise problem


def _register(folder: Path, server: str, home: Path, agent: str) -> Registration:
    pid, start, boot = myself()
    about = {"pid": pid, "start": start, "boot": boot, "server": server, "agent": agent, "home": str(home.absolute()),
             "at": time.time()}  # fmt: skip
    name = f"{server}-{pid}-{os.urandom(3).hex()}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    acknowledgement = os.open(folder / f"{name}.ack", flags, 0o600)
    try:
        os.pwrite(acknowledgement, b"{}".ljust(_SIZE), 0)
        fd = os.open(folder / f".{name}.new", flags, 0o600)
        try:
            os.write(fd, json.dumps(about).encode())
        finally:
            os.close(fd)
        (folder / f".{name}.new").rename(folder / f"{name}.json")
    except BaseException:
        os.close(acknowledgement)
        for left in (f"{name}.ack", f".{name}.new"):
            with suppress(OSError):
                (folder / left).unlink()
        raise
    return Registration(folder, name, server, agent, acknowledgement)


def _clear(folder: Path) -> None:
    """What killed servers left, also one that was killed while it registered: nothing piles up."""
    names = {one.name for one in running(folder)}
    for entry in folder.iterdir():
        with suppress(OSError):
            stray = entry.suffix in (".ack", ".new") and entry.stem.removeprefix(".") not in names
            if stray and entry.lstat().st_mtime < time.time() - _STRAY:
                entry.unlink()


def running(folder: Path | None = None) -> list[Running]:
    """The servers of this account that are alive, oldest first. Clears away what dead ones left."""
    found = []
    for place in [folder] if folder is not None else folders():
        try:
            check_home(place)
            names = sorted(entry.name for entry in os.scandir(place) if entry.name.endswith(".json"))
        except (Broken, OSError):
            continue
        for name in names:
            said = _read(place / name)
            try:
                one = Running(
                    name.removesuffix(".json"), place, int(said["pid"]), str(said["server"]), str(said["agent"]),
                    Path(said["home"]), float(said["at"]),
                )  # fmt: skip
                here = alive(one.pid, int(said["start"]), str(said["boot"]))
            except (KeyError, TypeError, ValueError):
                continue
            if here:
                found.append(one)
            else:
                for path in (place / name, place / f"{one.name}.ack"):
                    with suppress(OSError):
                        path.unlink()
    return sorted(found, key=lambda one: one.at)


def wait_for_acknowledgements(servers: Sequence[Running], order: str, seconds: float) -> list[tuple[Running, bool]]:
    """Each of these servers, and whether it acknowledged the order, or ended, within `seconds`."""
    end = time.monotonic() + seconds
    waiting = {one.name: one for one in servers}
    while True:
        for one in list(waiting.values()):
            heard = _read(one.folder / f"{one.name}.ack").get("orders", [])
            if order in heard or not (one.folder / f"{one.name}.json").exists() or not _alive(one):
                del waiting[one.name]
        if not waiting or time.monotonic() >= end:
            return [(one, one.name not in waiting) for one in servers]
        time.sleep(0.02)


def _alive(one: Running) -> bool:
    said = _read(one.folder / f"{one.name}.json")
    try:
        return alive(int(said["pid"]), int(said["start"]), str(said["boot"]))
    except (KeyError, TypeError, ValueError):
        return (one.folder / f"{one.name}.json").exists()


def _read(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            said = json.loads(file.read(_LARGEST))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


class Watcher:
    """The thread with which a running server notices a halt by itself: ends what waits, and acknowledges.

    Calls are refused with or without it (`Halt.check`). Started only after confinement.
    """

    def __init__(self, halt: Halt, registration: Registration, on_halt: Callable[[Order], object]) -> None:
        """`on_halt` is called once for each order that covers this server, and again if it raised."""
        self._halt = halt
        self._registration = registration
        self._on_halt = on_halt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="halt", daemon=True)
        self._done: set[str] = set()
        self._acknowledged: set[str] = set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                import structlog

                structlog.get_logger("interlock.halt").exception("a halt was not carried out whole; trying again")
            if self._stop.wait(POLL):
                return

    def look(self) -> None:
        """One look: what the thread does every POLL seconds."""
        orders = {order.id or f"{order.reason} {order.at}": order for order in self._halt.orders()}
        if orders.keys() - self._acknowledged:
            # From here on every call is refused: that is what the word means; ending what waits follows.
            self._registration.acknowledge([order.id for order in orders.values() if order.id])
        self._acknowledged = set(orders)
        self._done &= orders.keys()
        for key in [key for key in orders if key not in self._done]:
            order = orders[key]
            if order.covers(self._registration.agent, self._registration.server):
                self._on_halt(order)
            self._done.add(key)
