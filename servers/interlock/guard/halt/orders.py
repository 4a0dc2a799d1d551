"""The `HALT` file: what its presence and its lines say. Whatever is not exactly understood halts everything.

An empty file halts everything; else each line is a JSON object that may narrow it:

    {"id": "halt-1a2b3c4d", "by": "ops", "at": 1764000000.0, "reason": "replicas flap", "changes_only": true,
     "agent": "infra-bot", "server": "kubectl"}

All keys may be absent. Not for what a halt does (`switch`).
"""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.untrusted import one_line

FILE: Final = "HALT"
LARGEST: Final = 64 << 10  # bytes of the file that are read; a larger one halts everything
ORDERS_MAX: Final = 50  # scoped orders at once; one more halts everything


@dataclass(frozen=True, slots=True)
class Order:
    """One halt. Empty `agent` or `server`: all of them."""

    id: str  # empty for a file that somebody touched
    by: str
    at: float
    reason: str
    changes_only: bool = False
    agent: str = ""
    server: str = ""
    homes: tuple[str, ...] = ()  # all that the same command halted

    def covers(self, agent: str, server: str) -> bool:
        return self.agent in ("", agent) and self.server in ("", server)

    @property
    def why(self) -> str:
        """Who, when, why, in one line."""
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.at))
        return f"halted by {one_line(self.by, 60)} at {when}" + (f": {one_line(self.reason)}" if self.reason else "")

    @property
    def scope(self) -> str:
        parts = ["changes" if self.changes_only else "everything"]
        parts += [f"of {one_line(self.agent, 60)}"] if self.agent else []
        parts += [f"on {self.server}"] if self.server else []
        return " ".join(parts)


def identity(path: Path) -> tuple[int, ...] | None:
    """What changes when the file does; None when there is none. Anything but `no such file` counts as present."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return (-1, error.errno or 0)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode, found.st_uid)


def parse(path: Path, seen: tuple[int, ...]) -> tuple[Order, ...]:
    """The file's orders. Whatever is not exactly that is one order that halts everything."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return (_everything(seen, "HALT is not a plain file"),)
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return ()
    except OSError:
        return (_everything(seen, "HALT cannot be read"),)
    if not content.strip():
        return (_everything(seen, "the HALT file is there"),)
    try:
        if len(content) > LARGEST:
            raise ValueError
        text = content.decode("utf-8").strip()
        lines = [text] if text.startswith("{") and "\n{" not in text else text.split("\n")
        orders = [order_from(json.loads(line)) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        orders = [None]
    found = tuple(order for order in orders if order is not None)
    if len(found) != len(orders) or not found or len(found) > ORDERS_MAX:
        return (_everything(seen, "HALT cannot be understood, so everything is halted"),)
    return found


def order_from(said: Any) -> Order | None:
    """One order from JSON; None where a key is unknown or of another type: nothing is guessed."""
    types: dict[str, type | tuple[type, ...]] = {
        "id": str, "by": str, "at": (int, float), "reason": str, "changes_only": bool, "agent": str, "server": str,
        "homes": list,
    }  # fmt: skip
    if not isinstance(said, dict) or not set(said) <= set(types):
        return None
    if any(
        not isinstance(value, types[key]) or (key == "at" and isinstance(value, bool)) for key, value in said.items()
    ):
        return None
    if not 0 <= said.get("at", 0.0) < 1e11:
        return None
    return Order(
        said.get("id", ""), said.get("by", "somebody"), float(said.get("at", 0.0)), said.get("reason", ""),
        said.get("changes_only", False), said.get("agent", ""), said.get("server", ""),
        tuple(str(home) for home in said.get("homes", ())),
    )  # fmt: skip


def _everything(seen: tuple[int, ...], reason: str) -> Order:
    by, at = "somebody", time.time()
    if len(seen) > 2:
        at = seen[1] / 1e9
        with suppress(KeyError, ImportError):
            import pwd

            by = pwd.getpwuid(seen[5]).pw_name
    return Order("", by, at, reason)
