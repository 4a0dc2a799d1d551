"""kill -9 anywhere in any change: the old state or the new, a record that says which, and a snapshot that restores.

Each round forks a process that opens the guard and makes one change, and kills itself at one of its system calls,
chosen at random; a second process then starts as a server does, settles, compares and undoes.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_server import FilesServer, seen
from installation import Installation

ROUNDS = 300
SECONDS = 30.0  # rounds end here on a slow machine

Change = tuple[str, dict[str, Any]]


def prepare(work: Path) -> None:
    """One world with something for every change."""
    tree = work / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "a.txt").write_text("a\n")
    (tree / "inner/b.txt").write_text("b\n" * 50)
    (tree / "link").symlink_to("a.txt")
    os.mkfifo(tree / "pipe")
    (work / "edited.yaml").write_text("replicas: 2\nname: web\n")
    (work / "edited.yaml").chmod(0o640)
    (work / "source.txt").write_text("source\n")
    (work / "target.txt").write_text("target\n")
    old = work / "builds"
    for name in ("build-1", "build-2", "build-3"):
        (old / name).mkdir(parents=True)
        (old / name / "out").write_text(name)
        os.utime(old / name, (1, 1))


CHANGES: dict[str, Change] = {
    "write new": ("write_file", {"path": "new/deep/file.txt", "content": "new\n"}),
    "write over": ("write_file", {"path": "target.txt", "content": "over\n"}),
    "edit": ("edit_file", {"path": "edited.yaml", "edits": [{"old": "replicas: 2", "new": "replicas: 3"}]}),
    "move": ("move_file", {"source": "tree", "destination": "moved/tree"}),
    "move onto": ("move_file", {"source": "source.txt", "destination": "target.txt"}),
    "delete file": ("delete_file", {"path": "source.txt"}),
    "delete tree": ("delete_file", {"path": "tree"}),
    "clean up": ("clean_up", {"name": "old"}),
}
MORE = "  clean_up:\n    old: {{path: {work}/builds, match: ['build-*/'], older_than: 1d, keep_newest: 1}}\n"


def named(states: dict[str, Any]) -> dict[str, Any]:
    """The same without times: two runs of one change give this."""
    return {name: (one[0], one[1], one[3]) for name, one in states.items()}


class AtCall:
    """Kills this process at its n-th system call (n < 0: only counts them)."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.count = 0

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event in ("c_call", "c_return") and getattr(arg, "__module__", None) in ("posix", "fcntl", "_ctypes"):
            self.count += 1
            if self.count == self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], object]) -> int:
    """Run in a forked process; its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def make(installation: Installation, change: Change, at: int, ids: Path, calls: Path | None = None) -> None:
    server = FilesServer(installation, None)
    tool, arguments = change
    profile = AtCall(at)
    capture = server.server.capture

    def from_here_on(*given: Any) -> None:  # before that, nothing but looking was done
        sys.setprofile(profile)
        capture(*given)

    server.server.capture = from_here_on  # type: ignore[method-assign]
    answer = server.answer(tool, **arguments)
    sys.setprofile(None)
    ids.write_text(answer.id)
    if calls is not None:
        assert not answer.is_error, answer.text
        calls.write_text(str(profile.count))


def check(installation: Installation, before: dict[str, Any], after: dict[str, Any]) -> None:
    """What a server finds and does at its start, and what undo then gives."""
    server = FilesServer(installation, None)
    server.pipeline.settling.settle()
    latest = server.guard.changes.list(limit=1)
    now = seen(installation.work)
    assert not [name for name in now if ".interlock-" in name], "something is left over"
    done = bool(latest) and latest[0].status == "done"
    if latest and latest[0].status not in ("done", "failed"):
        raise AssertionError(f"{latest[0].tool} is {latest[0].status}")
    if not done:
        assert now == before, "the old state is not whole"
        return
    assert named(now) == after, "the new state is not whole"
    server.undo(latest[0].id)
    assert seen(installation.work) == before, "undo does not give the old state"
    server.close()


@pytest.mark.parametrize("slot_elsewhere", [False, True], ids=["renamed", "copied"])
def test_killed_at_random_points(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slot_elsewhere: bool
):
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    warm(monkeypatch)
    more = MORE.format(work=installation.work)
    FilesServer(installation, None, more=more).close()
    policy = installation.policy.read_text()
    if slot_elsewhere:  # as on another file system: a rename into the store is not possible
        monkeypatch.setattr("interlock.files.tools.can_rename", lambda folder, store: False)
        monkeypatch.setattr("interlock.files.undo.can_rename", lambda folder, store: False)
    chosen = random.Random(f"crash {slot_elsewhere}")
    names = [name for name in CHANGES if not slot_elsewhere or name.startswith(("delete", "clean"))]
    after, calls = {}, {}
    counted = tmp_path / "calls"
    for number, name in enumerate(names):
        world = fresh(installation, tmp_path, f"count-{number}", policy)
        assert in_child(lambda w=world, n=name: make(w, CHANGES[n], -1, tmp_path / "ids", counted)) == 0
        calls[name], after[name] = int(counted.read_text()), named(seen(world.work))
    until = time.monotonic() + SECONDS
    rounds = killed = 0
    while rounds < (ROUNDS // 3 if slot_elsewhere else ROUNDS) and time.monotonic() < until:
        name = names[rounds % len(names)]
        world = fresh(installation, tmp_path, f"round-{rounds}", policy)
        before = seen(world.work)
        at = chosen.randint(chosen.choice((1, calls[name] // 2)), calls[name])
        status = in_child(lambda w=world, n=name, k=at: make(w, CHANGES[n], k, tmp_path / "ids"))
        killed += os.WIFSIGNALED(status)
        assert in_child(lambda w=world, b=before, n=name: check(w, b, after[n])) == 0, f"{name}, killed at call {at}"
        rounds += 1
    assert killed > rounds // 2


def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load once what every server process loads, so that the rounds are about changes."""
    import interlock.opening
    from interlock.redaction import open_detector

    detector = open_detector(b"k" * 32)
    detector.redact("password: x")
    monkeypatch.setattr(interlock.opening, "open_detector", lambda *given: detector)


def fresh(installation: Installation, tmp_path: Path, name: str, policy: str) -> Installation:
    """Another installation with the same keys: its own policy, home and world."""
    made = object.__new__(Installation)
    made.folder, made.variables = tmp_path / name, {}
    made.config, made.home, made.work = installation.config, made.folder / "state", made.folder / "work"
    made.policy = made.folder / "config" / "policy.yaml"
    for path in (made.policy.parent, made.work):
        path.mkdir(parents=True, mode=0o700)
    made.policy.write_text(policy.replace(str(installation.work), str(made.work)))
    made.policy.chmod(0o600)
    prepare(made.work)
    return made


def test_killed_while_settling_what_never_began(installation: Installation, monkeypatch: pytest.MonkeyPatch):
    """Nothing of it is unknown, however often its settling is cut off."""
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    warm(monkeypatch)
    (installation.work / "a").write_text("old\n")

    def killed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def begins() -> None:
        server = FilesServer(installation, None)
        server.server.capture = killed  # type: ignore[method-assign]
        server.answer("write_file", path="a", content="new\n")

    def settles(cut: str) -> None:
        server = FilesServer(installation, None)
        owner, _, name = cut.rpartition(".")
        setattr(getattr(server.guard, owner), name, killed)
        server.pipeline.settling.settle()

    assert os.WIFSIGNALED(in_child(begins))
    for cut in ("changes.finish", "snapshots.discard"):
        assert os.WIFSIGNALED(in_child(lambda cut=cut: settles(cut)))
    server = FilesServer(installation, None)
    server.pipeline.settling.settle()
    assert [change.status for change in server.guard.changes.list()] == ["failed"]
    server.change("write_file", path="a", content="newer\n")
    server.close()
