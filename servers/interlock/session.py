"""Which session a server process belongs to: the client process that started it. A label for people; grants nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from interlock.guard.processes import process_start

IDLE = 4 * 3600.0  # seconds without a call after which a new session begins

# Programs that only start others: between a server and its client they say nothing about the session.
LAUNCHERS = frozenset(
    [
        "sh",
        "bash",
        "dash",
        "zsh",
        "fish",
        "ksh",
        "env",
        "sudo",
        "doas",
        "nice",
        "timeout",
        "setsid",
        "stdbuf",
        "tini",
        "dumb-init",
        "uv",
        "uvx",
        "pipx",
        "npx",
        "npm",
        "interlock",
        "interlock-files",
        "interlock-git",
        "interlock-kubectl",
        "interlock-logs",
        "mcp-inspector",
    ]
)


class Session:
    """Names the session; a pause of four hours begins another one."""

    def __init__(self, now: float) -> None:
        self._name = _client_name()
        self._part = 1
        self._last = now

    def label(self, now: float) -> str:
        if now - self._last > IDLE:
            self._part += 1
        self._last = now
        return self._name if self._part == 1 else f"{self._name}.{self._part}"


def _client_name() -> str:
    pid = os.getppid()
    for _ in range(20):
        if _program(pid) not in LAUNCHERS or pid <= 1:
            break
        pid = _parent(pid)
    mark = hashlib.sha256(f"{pid}:{process_start(pid) or 0}".encode()).hexdigest()
    return f"s-{mark[:6]}"


def _program(pid: int) -> str:
    """The name under which a process was started; empty where it cannot be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    names = [Path(os.fsdecode(word)).name for word in words[:2] if word and not word.startswith(b"-")]
    return next((name for name in names if name in LAUNCHERS), names[0] if names else "")


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 1
    return int(stat.rpartition(")")[2].split()[1])
