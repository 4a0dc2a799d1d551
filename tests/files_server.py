"""A files server in the test's own process, called as a client's calls arrive at the pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installation import Installation

from interlock.files.searching import RIPGREP, ripgrep
from interlock.guard.keys import Keys
from interlock.guard.model import Answer, Link, Principal
from interlock.guard.pipeline import Pipeline
from interlock.guard.policy.loading import Source
from interlock.opening import open_guard, open_server
from interlock.sandbox.broker import start_broker
from interlock.sandbox.children import Program

LIMITS = "limits:\n  calls: {max: 100000, per: 1m}\n  local_changes: {max: 100000, per: 1h}\n"
LIMITS += "  repeats: {max: 10000, per: 10m}\n  failures: {max: 10000, per: 5m, open_for: 1s}\napprovals: {wait: 0s}\n"


class Search:
    """A broker for ripgrep. One for all tests of a process: it is forked while there are no threads yet."""

    def __init__(self, read: Path) -> None:
        binary = ripgrep()
        assert binary is not None
        self.broker = start_broker({RIPGREP: Program(binary, read=(read,))})

    def close(self) -> None:
        self.broker.close()


class FilesServer:
    """`call` gives the text of an answer; `refused` the text of a refusal, which it must be."""

    def __init__(
        self, installation: Installation, search: Search | None, more: str = "", agent: str = "tester"
    ) -> None:
        self.installation = installation
        if more or not installation.policy.read_text().count("limits:"):
            installation.write_policy(more=more + LIMITS)
        keys = Keys.load()
        self.guard = open_guard(Source(installation.policy), installation.home, keys, "files")
        broker = search.broker if search is not None else None
        self.server, tools = open_server("files", self.guard, installation.home, keys, broker)
        self.pipeline = Pipeline(self.server, tools, self.guard, Principal(agent, "me", "s-test"))

    def answer(self, tool: str, **arguments: Any) -> Answer:
        return self.pipeline.call(tool, arguments, Link())

    def call(self, tool: str, **arguments: Any) -> str:
        answer = self.answer(tool, **arguments)
        assert not answer.is_error, answer.text
        return answer.text

    def refused(self, tool: str, **arguments: Any) -> str:
        answer = self.answer(tool, **arguments)
        assert answer.is_error, answer.text
        assert "guard_failure" not in answer.text, answer.text
        return answer.text

    def change(self, tool: str, **arguments: Any) -> str:
        """Make a change; its id."""
        answer = self.answer(tool, **arguments)
        assert not answer.is_error, answer.text
        return answer.id

    def undo(self, id: str) -> str:
        return self.change("files_undo", id=id)

    def close(self) -> None:
        self.server.close()
        self.guard.records.close()


def body(text: str) -> str:
    """What stands inside the fence of an answer."""
    found = re.search(r"<untrusted-data-(\w+)>\n(.*?)</untrusted-data-\1>", text, re.DOTALL)
    return found.group(2) if found else ""


def seen(folder: Path) -> dict[str, Any]:
    """Everything that a person could tell two states apart by, but for the times of folders."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        one = path.lstat()
        what: Any = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        if path.is_symlink():
            what = os.readlink(path)  # noqa: PTH115 (the target as it stands)
        times = one.st_mtime_ns if not path.is_dir() or path.is_symlink() else 0
        found[str(path.relative_to(folder))] = (one.st_mode, one.st_uid, times, what)
    return found


@pytest.fixture(scope="session")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    """ripgrep by a real broker, which may read everything below the tests' own folder."""
    search = Search(tmp_path_factory.getbasetemp())
    yield search
    search.close()


@pytest.fixture
def server(installation: Installation, monkeypatch: pytest.MonkeyPatch, search: Search) -> Iterator[FilesServer]:
    """One write root, `installation.work`; a profile that asks for nothing but mass deletes."""
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    server = FilesServer(installation, search)
    yield server
    server.close()


@pytest.fixture
def work(installation: Installation) -> Path:
    return Path(os.path.realpath(installation.work))
