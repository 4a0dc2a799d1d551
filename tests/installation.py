"""An Interlock installation of its own for a test: keys, policy, home, and the real servers and commands in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from interlock.guard.keys import create_keys

PATTERNS: list[Path] = []  # the folder with the detector's compiled patterns, made by conftest
ERAS = ("legacy", "2026-07-28")  # the handshake of 2025-11-25, and the protocol without one


@dataclass
class Installation:
    """Everything lies under `folder`; nothing of the account that runs the tests is used or touched."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "config"
        self.home = self.folder / "state"
        self.work = self.folder / "work"
        self.policy = self.config / "interlock" / "policy.yaml"
        for path in (self.policy.parent, self.work):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_keys(None, self.config / "interlock" / "keys")
        if PATTERNS:  # compiled once for all tests; a real home compiles them at its first call
            self.home.mkdir(mode=0o700)
            shutil.copytree(PATTERNS[0], self.home / "cache")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": os.fspath(self.folder),
            "XDG_CONFIG_HOME": os.fspath(self.config),
            "INTERLOCK_POLICY": os.fspath(self.policy),
            "INTERLOCK_HOME": os.fspath(self.home),
            **self.variables,
        }

    def write_policy(self, text: str = "", profile: str = "development", more: str = "") -> None:
        """The policy: `text` whole, or the usual one (one write root) with `more` at its end."""
        usual = f"version: 1\nextends: {profile}\nagent: tester\nfiles:\n  roots:\n"
        usual += f"    - {{path: {self.work}, access: write}}\n"
        self.policy.write_text(text or usual + textwrap.dedent(more))
        self.policy.chmod(0o600)

    def cli(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run `interlock` as a person would."""
        command = [sys.executable, "-m", "interlock.admin.main", *words]
        return subprocess.run(
            command, env=self.environment, input=input, capture_output=True, text=True, timeout=60, check=False
        )

    def parameters(self, server: str = "files", *options: str) -> StdioServerParameters:
        arguments = ["-m", "interlock.admin.main", "serve", server, *options]
        return StdioServerParameters(command=sys.executable, args=arguments, env=self.environment)

    @asynccontextmanager
    async def agent(self, server: str = "files", *options: str, era: str = "legacy") -> AsyncIterator[Agent]:
        """A real client over stdio on a real server process."""
        async with Client(self.parameters(server, *options), mode=era) as client:
            yield Agent(client)


@dataclass
class Agent:
    client: Client

    async def call(self, tool: str, **arguments: Any) -> Reply:
        result = await self.client.call_tool(tool, arguments)
        text = "\n".join(getattr(part, "text", "") for part in result.content)
        return Reply(text, bool(result.is_error), result.structured_content)


@dataclass(frozen=True)
class Reply:
    text: str
    is_error: bool
    data: dict[str, Any] | None

    @property
    def code(self) -> str:
        """The refusal's code; empty where it is none."""
        return self.text.partition(":")[0] if self.is_error else ""

    @property
    def id(self) -> str:
        import re

        found = re.search(r"\b(?:files|git|kubectl|logs)-[a-z0-9]{7}\b", self.text)
        return found.group() if found else ""
