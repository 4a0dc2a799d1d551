"""Two served processes of two agents work on one tree, and one of them is killed over and over in the middle.

Its successor settles at its start what was cut off, while the first one still runs and changes the same paths.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from admin.apart import Apart, Peer
from attack_served import ROOMY
from installation import Reply

SECONDS = 12.0  # of work
KILLS = 6
WHOLE = re.compile(r"(initial|written by [ab] \d+\n)((?:line of \1)*)((?:edit \w+\n)*)end\n", re.DOTALL)
FILES = ("one.txt", "two.txt", "deep/three.txt", "deep/inner/four.txt")
CODES = {"", "conflict", "failed", "invalid", "approval_required", "limit_reached"}  # the last: too many wait already
CLEAN_UP = "  clean_up:\n    old: {path: BUILDS, match: ['build-*/'], older_than: 1h, keep_newest: 1, keep: 1h}\n"


def content(by: str, number: int) -> str:
    line = f"written by {by} {number}\n"
    return line + f"line of {line}" * 300 + "end\n"


class Agent:
    """Makes one change after another, each at random, and keeps what came of it."""

    def __init__(self, apart: Apart, name: str, seed: int) -> None:
        self.apart, self.name, self.chosen = apart, name, random.Random(seed)
        self.peer: Peer = apart.peer("--agent", name)
        self.born = time.monotonic()
        self.made: list[str] = []
        self.codes: Counter[str] = Counter()
        self.killed = self.number = 0
        self.wrong: list[str] = []

    def change(self) -> tuple[str, dict[str, Any]]:
        work, chosen = self.apart.work, self.chosen
        path = str(work / chosen.choice(FILES))
        self.number += 1
        kind = chosen.choice(("write", "write", "edit", "edit", "delete", "move", "tree", "clean", "undo", "undo"))
        if kind == "write":
            return "write_file", {"path": path, "content": content(self.name, self.number)}
        if kind == "edit":
            edit = {"old": "end\n", "new": f"edit {self.name}{self.number}\nend\n"}
            return "edit_file", {"path": path, "edits": [edit]}
        if kind == "delete":
            return "delete_file", {"path": path}
        if kind == "move":
            return "move_file", {"source": path, "destination": str(work / chosen.choice(FILES))}
        if kind == "tree":
            one, other = chosen.choice((("deep", "moved"), ("moved", "deep")))
            return "move_file", {"source": str(work / one), "destination": str(work / other)}
        if kind == "undo" and self.made:
            return "files_undo", {"id": chosen.choice(self.made[-4:])}
        with suppress(OSError):
            build = work / f"builds/build-{self.name}{self.number}"
            build.mkdir()
            (build / "out").write_text(content(self.name, self.number))
            os.utime(build, (1, 1))
        return "clean_up", {"name": "old"}

    def work(self, until: float, kills: int) -> None:
        try:
            while time.monotonic() < until:
                tool, arguments = self.change()
                if self.killed < kills and time.monotonic() > self.born + 1.0:
                    self.kill_in(tool, arguments)
                    continue
                self.note(tool, self.peer.call(tool, **arguments))
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    def note(self, tool: str, reply: Reply) -> None:
        self.codes[f"{tool} {reply.code}".strip()] += 1
        if reply.code not in CODES and not (reply.code == "unknown" and "was cut off while it changed" in reply.text):
            self.wrong.append(f"{tool}: {reply.text[:400]}")
        if not reply.is_error and reply.id:
            self.made.append(reply.id)

    def kill_in(self, tool: str, arguments: dict[str, Any]) -> None:
        """A call is started; some time within it the process is gone, and a new one starts and settles."""
        self.peer.start(tool, **arguments)
        time.sleep(self.chosen.uniform(0.001, 0.04))
        os.kill(self.peer.process.pid, signal.SIGKILL)
        self.peer.close()
        self.killed += 1
        self.peer = self.apart.peer("--agent", self.name)
        self.born = time.monotonic()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    tmp_path.chmod(0o700)
    made = Apart(Path(os.path.realpath(tmp_path)))
    made.write_policy(more=CLEAN_UP.replace("BUILDS", str(made.work / "builds")) + ROOMY)
    (made.work / "builds").mkdir()
    for name in FILES:
        (made.work / name).parent.mkdir(parents=True, exist_ok=True)
        (made.work / name).write_text("initialend\n")
    yield made


def test_each_file_is_whole_and_each_change_has_an_outcome_that_is_true(apart: Apart) -> None:
    agents = [Agent(apart, "a", 1), Agent(apart, "b", 2)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=one.work, args=(until, n * KILLS)) for n, one in enumerate(agents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in agents:
        one.peer.close()
    assert not agents[0].wrong and not agents[1].wrong, [one.wrong for one in agents]
    assert agents[1].killed >= 2 and all(len(one.made) > 5 for one in agents), [one.codes for one in agents]

    last = {one.name: apart.peer("--agent", one.name) for one in agents}  # the first settles what is left
    try:
        found = [path for path in apart.work.rglob("*") if path.is_file()]
        assert not list(apart.work.rglob(".interlock-*"))
        for path in found:
            assert WHOLE.fullmatch(path.read_text()), (path, path.read_text()[:300])
        changes = json.loads(apart.cli("changes", "--limit", "100000", "--json").stdout)
        status = {change["id"]: change["status"] for change in changes}
        assert set(status.values()) <= {"done", "undone", "failed", "unknown"}
        told = {id for one in agents for id in one.made}
        assert {status[id] for id in told} <= {"done", "undone"}, "what was answered as done is not"
        undone = Counter[str]()
        for change in changes:
            if status[change["id"]] == "done":
                reply = last[change["agent"]].call("files_undo", id=change["id"])
                assert reply.code in CODES or "was cut off while it changed" in reply.text, reply
                undone[reply.code] += 1
        assert undone[""] > 5, undone
        for path in apart.work.rglob("*"):
            assert not path.is_file() or WHOLE.fullmatch(path.read_text()), path
        assert not list(apart.work.rglob(".interlock-*"))
    finally:
        for peer in last.values():
            peer.close()
    verified = apart.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
