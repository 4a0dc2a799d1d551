"""What attacks on the guard share: a world, agents that know frames, a person, and a server that pauses in `run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from admin.apart import Apart, Peer

from interlock.guard.audit.reading import read_all
from interlock.guard.consent.approvals import Approvals
from interlock.guard.keys import Keys, Person
from interlock.guard.state import State
from interlock.guard.undo.changes import Change, Changes

ROOMY = (
    "limits: {calls: {max: 100000, per: 1m}, local_changes: {max: 100000, per: 1h}, repeats: {max: 10000, per: 10m}}\n"
)
ASK = 'rules:\n  docs: {ask: files.write, where: {path: "**/docs/**"}, reason: "docs are reviewed"}\n'
SECRET = "canary-" + "5h8w2x9k4q7m"


@dataclass
class World:
    """One installation under attack. What a person does here is what the command line does, without its process."""

    apart: Apart

    def __post_init__(self) -> None:
        self.work, self.home, self.outside = self.apart.work, self.apart.home, self.apart.folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret.txt").write_text(SECRET)
        (self.work / "docs").mkdir()
        (self.work / "a.txt").write_text("hello\n")
        self.keys_folder = self.apart.config / "interlock" / "keys"
        self.peers: list[Peer] = []

    def policy(self, more: str, wait: str = "0s") -> None:
        self.apart.write_policy(more=f"{more}approvals: {{wait: {wait}}}\n")

    def peer(self, *options: str, **named: Any) -> Peer:
        made = self.apart.peer(*options, **named)
        self.peers.append(made)
        return made

    def paused(self, where: str, era: str = "legacy") -> Peer:
        """A server that stops before or after `run` has touched the world, until `go`."""
        driver = os.fspath(Path(__file__).with_name("paused.py"))
        command = [sys.executable, driver, os.fspath(self.apart.servers), where, "serve", "files"]
        made = Peer(command, self.apart.environment, era, "raw")
        self.peers.append(made)
        return made

    def until_paused(self) -> None:
        _until((self.home / "paused").exists)

    def go(self) -> None:
        (self.home / "go").touch()

    def close(self) -> None:
        for peer in self.peers:
            if peer.process.poll() is None:
                peer.close()

    # what a person and a forger have

    def state(self) -> State:
        return State(self.home)

    def approve(self, id: str) -> None:
        state = self.state()
        Approvals(state, Keys.load(self.keys_folder)).approve(Person.load(None, self.keys_folder), id)
        state.close()

    def forge(self, query: str, *values: Any) -> list[Any]:
        """What somebody with the database in their hands does."""
        state = self.state()
        with state.tx() as db:
            rows = db.execute(query, values).fetchall()
        state.close()
        return rows

    def changes(self) -> list[Change]:
        state = self.state()
        found = Changes(state).list(limit=1000)
        state.close()
        return found

    def stages(self, id: str) -> list[str]:
        return [record["stage"] for record in read_all(self.home) if record.get("call") == id]


def _until(true: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


until = _until


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], World]]:
    """Worlds that live as long as the module; their servers end with it."""
    made: list[World] = []

    def make() -> World:
        folder = tmp_path_factory.mktemp("world")
        folder.chmod(0o700)
        made.append(World(Apart(folder)))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of this test's own."""
    made = World(Apart(tmp_path))
    yield made
    made.close()
