from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from admin.apart import Apart, Said
from files_server import FilesServer

from interlock.admin.main import main

RULES = """
rules:
  docs: {ask: files.write, where: {path: "**/docs/**"}, reason: "docs are reviewed"}
  data: {ask: files.delete, where: {path: "**/data/**"}, risk: critical, reason: "data is precious"}
approvals: {wait: 0s}
"""

Run = Callable[..., Said]


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apart:
    """An installation for this process: its variables are set, its running servers are its own."""
    made = Apart(tmp_path)
    made.write_policy(more=RULES)
    for name in ("docs", "data"):
        (made.work / name).mkdir()
    (made.work / "docs/d.md").write_text("# docs\n")
    (made.work / "data/d.db").write_text("rows\n")
    for key in ("HOME", "XDG_CONFIG_HOME", "INTERLOCK_POLICY", "INTERLOCK_HOME"):
        monkeypatch.setenv(key, made.environment[key])
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("interlock.guard.halt.running.folders", lambda: [made.servers])
    return made


@pytest.fixture
def interlock(apart: Apart, capsys: pytest.CaptureFixture[str]) -> Run:
    """`interlock WORDS...` in this process."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        sys.stdout.flush()
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def server(apart: Apart) -> Iterator[FilesServer]:
    """A files server in this process: what agents do."""
    made = FilesServer(apart, None, more=RULES.replace("approvals: {wait: 0s}\n", ""))
    yield made
    made.close()
