"""The logs server without process, guard and wire: a call goes straight to it and out through the guard's exit."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from installation import PATTERNS

from interlock.guard import answers
from interlock.guard.model import Answer, Call, Link, Principal, World
from interlock.logs.actions import Section
from interlock.logs.run import run
from interlock.logs.tools import TOOLS, Logs
from interlock.redaction import Detector, open_detector

_TOOLS = {tool.name: tool for tool in TOOLS}


class FakePolicy:
    """What the logs server reads of a policy."""

    def __init__(self, section: Section, result_chars: int) -> None:
        self._section = section
        self.digest = str(section)
        self.sections = {"logs": section}
        self.limits = SimpleNamespace(result_chars=result_chars)

    def section(self, kind: type) -> Section:
        return self._section


def detector() -> Detector:
    return open_detector(b"k" * 32, None, PATTERNS[0] if PATTERNS else None)


class Desk:
    """A server over sources given as globs."""

    def __init__(self, sources: dict[str, str | Path], *, result_chars: int = 12_000, now: float | None = None) -> None:
        section = Section.model_validate({"sources": {name: {"path": str(glob)} for name, glob in sources.items()}})
        self.policy: Any = FakePolicy(section, result_chars)
        self.now = now
        world = World(policy=self.policy, home=Path("/"), key=b"k" * 32, detector=detector(), broker=None)
        self.server = Logs(world)

    def answer(self, tool: str, *, link: Link | None = None, **arguments: Any) -> Answer:
        """Raises Refused and Failed as the server does."""
        call = Call(
            "logs-test",
            "logs",
            tool,
            _TOOLS[tool].arguments.model_validate(arguments),
            arguments,
            "",
            Principal("agent", "user", "session"),
            self.now or time.time(),
            self.policy,
            link or Link(),
        )
        self.server.interpret(call)
        result = run(self.server, call)
        chars = self.policy.limits.result_chars
        return answers.answer(result, call.id, "", self.server.detector, chars).answer

    def text(self, tool: str, **arguments: Any) -> str:
        return self.answer(tool, **arguments).text

    def lines(self, tool: str, **arguments: Any) -> list[str]:
        """What stands inside the fence."""
        return body(self.text(tool, **arguments))


def body(text: str) -> list[str]:
    rows = text.split("\n")
    begin = next((n for n, row in enumerate(rows) if row.startswith("<untrusted-data-")), None)
    if begin is None:
        return []
    end = next(n for n in range(len(rows) - 1, -1, -1) if rows[n].startswith("</untrusted-data-"))
    return rows[begin + 1 : end]


def header(text: str) -> str:
    return text.split("\n<untrusted-data-", 1)[0]
