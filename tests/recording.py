"""A home with records for tests: chains of this process, of killed processes, and people who repair."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.guard.audit import reading as audit
from interlock.guard.audit.records import Records
from interlock.guard.keys import Keys, Person, create_keys
from interlock.guard.model import Redacted
from interlock.guard.state import State

SECRET = "-".join(["made", "up", "secret"])


class Detector:
    """Knows one secret: enough to see that a way out passes it."""

    def redact(self, text: str, target: str = "") -> Redacted:
        return Redacted(text.replace(SECRET, "[secret:test:1]"), text.count(SECRET))

    def redact_value(self, value: Any, target: str = "") -> tuple[Any, int]:
        if isinstance(value, str):
            found = self.redact(value)
            return found.text, found.count
        if isinstance(value, Mapping):
            pairs = {key: self.redact_value(item) for key, item in value.items()}
            return {key: pair[0] for key, pair in pairs.items()}, sum(pair[1] for pair in pairs.values())
        if isinstance(value, list | tuple):
            items = [self.redact_value(item) for item in value]
            return [item[0] for item in items], sum(item[1] for item in items)
        return value, 0


@dataclass
class AuditHome:
    """Keys and home under one folder. `records()` opens what a server process opens."""

    folder: Path

    def __post_init__(self) -> None:
        create_keys(None, self.folder / "keys")
        self.keys = Keys.load(self.folder / "keys")
        self.home = self.folder / "home"
        self.state = State(self.home)

    def records(self, server: str = "files") -> Records:
        return Records(self.home, self.state, self.keys, server, Detector())

    def verify(self) -> audit.Report:
        return audit.verify(self.home, self.state, self.keys)

    def repair(self) -> list[tuple[str, str]]:
        person = Person.load(lambda: "", self.folder / "keys")
        return audit.repair(self.home, self.state, self.keys, person)

    def chain(self, count: int, server: str = "files", close: bool = True) -> Path:
        """A chain of `count` calls' records; returns its first file."""
        records = self.records(server)
        for number in range(count):
            records.append(fields(number))
        path = self.home / "audit" / f"{records.chain}.jsonl"
        if close:
            records.close()
        return path

    def in_killed_process(self, work: Callable[[Records], None], server: str = "files") -> None:
        """Run `work` in another process, which then dies as by `kill -9`."""
        pid = os.fork()
        if pid == 0:
            try:
                work(Records(self.home, State(self.home), self.keys, server, Detector()))
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)

    def sql(self, statement: str, *values: Any) -> None:
        """Change the state as one who holds the account can."""
        with self.state.tx() as db:
            db.execute(statement, values)


def fields(number: int = 0, stage: str = "done", **more: Any) -> dict[str, Any]:
    """A record as the pipeline writes it."""
    return {
        "stage": stage,
        "call": f"files-{number:07d}",
        "session": "s-1",
        "principal": {"agent": "tester", "user": "me", "client": "a client"},
        "server": "files",
        "tool": "read_file",
        "actions": [{"verb": "files.read", "resource": f"/srv/app/{number}.py", "attributes": {"size": 120}}],
        "arguments": {"path": f"{number}.py"},
        "reason": "",
        "decision": {"effect": "allow", "risk": "low", "rules": ["development.reads"], "reason": ""},
        "consent": None,
        "undo_class": None,
        "duration_ms": 1.25,
        "result": {"chars": 120, "redactions": 0, "truncated": False},
        **more,
    }
