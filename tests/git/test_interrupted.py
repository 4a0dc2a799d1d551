"""Cut off, raced, locked, or out of room: nothing is lost, and what happened is told truthfully."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest
from git.workshop import QUIET, Workshop, git

from interlock.git import applying, worktree
from interlock.guard.model import Outcome, Result
from interlock.guard.pipeline import Permit

STEPS = (
    (applying, ("_refresh", "_write_admin", "_move_refs", "_copy_whole")),
    (worktree, ("_create", "_state", "_tidy")),
    (os, ("rename", "unlink", "link")),
)


def kill_at(w: Workshop, step: int, tool: str, arguments: dict[str, object]) -> bool:
    """Make the change in a process of its own that is killed (SIGKILL) at the n-th step of carrying it out.

    False when the change was over before.
    """
    child = os.fork()
    if child == 0:
        try:
            _killed(w, step, tool, arguments)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def _killed(w: Workshop, step: int, tool: str, arguments: dict[str, object]) -> None:
    left = [10**9]

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*given: object, **more: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **more)

        return wrapper

    w.open()
    for module, names in STEPS:
        for name in names:
            setattr(module, name, counted(getattr(module, name)))
    run = w.server.run

    def counting(permit: Permit) -> Result:
        left[0] = step
        try:
            return run(permit)
        finally:
            left[0] = 10**9

    w.server.run = counting  # type: ignore[method-assign]
    reply = w.call(tool, **arguments)
    os._exit(0 if not reply.is_error else 4)


def prepared(w: Workshop) -> None:
    git(w.repo, "checkout", "-q", "-b", "side", "main")
    w.write("side/one.txt", "one\n")
    w.write("a.txt", "another\n")
    w.write("side/two.txt", "two\n")
    w.commit("side")
    git(w.repo, "checkout", "-q", "feature/x")
    w.write("loose.txt", "untracked\n")


@pytest.mark.parametrize("step", range(1, 40, 2))
def test_killed_anywhere_in_a_switch_it_is_as_before_or_as_after(world: Workshop, step: int):
    prepared(world)
    before = world.state()
    ended = kill_at(world, step, "git_switch", {"ref": "side"})
    world.open()
    world.pipeline.settling.settle()
    after = world.state()
    if ended:
        change = world.guard.changes.list(limit=1)[0]
        if change.status == "done":
            assert (
                after["head"] == "ref: refs/heads/side\n" and git(world.repo, "status", "--porcelain") == "?? loose.txt"
            )
        else:
            assert change.status == "failed", change.status
            assert after == before
    assert not list(world.repo.rglob(".interlock-*"))
    assert not (world.repo / ".git/index.lock").exists()
    assert git(world.repo, "fsck", "--no-dangling") == ""
    world.ok("git_switch", ref="main")
    world.close()


def test_an_index_lock_left_behind_is_told_and_not_removed(workshop: Workshop):
    lock = workshop.repo / ".git/index.lock"
    lock.write_bytes(b"")
    workshop.write("a.txt", "changed\n")
    before = workshop.state()
    reply = workshop.refused("git_commit", "conflict", message="x", all=True)
    assert "index.lock" in reply.text
    assert workshop.state() == before and lock.exists()
    assert not workshop.call("git_status").is_error
    lock.unlink()
    workshop.ok("git_commit", message="x", all=True)


def test_a_file_that_changes_between_look_and_run_wins(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    before = workshop.state()
    real = applying._apply_files

    def late(*arguments: object) -> None:
        workshop.write("a.txt", "written by somebody else, just now\n")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(applying, "_apply_files", late)
    workshop.refused("git_switch", "conflict", ref="main")
    assert (workshop.repo / "a.txt").read_text() == "written by somebody else, just now\n"
    after = workshop.state()
    after["files"]["a.txt"] = before["files"]["a.txt"]
    assert after == before


def test_a_file_that_changes_in_the_very_moment_is_kept(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    real = os.rename
    done = []

    def racing(source: object, target: object, **more: object) -> None:
        if not done and str(target).endswith(".old"):
            done.append(True)
            workshop.write("a.txt", "in between\n")
        real(source, target, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(worktree.os, "rename", racing)
    workshop.refused("git_switch", "conflict", ref="main")
    assert done and (workshop.repo / "a.txt").read_text() == "in between\n"


def test_a_ref_that_moves_between_look_and_run_wins(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    real = applying._move_refs

    def late(*arguments: object) -> None:
        monkeypatch.undo()
        git(workshop.repo, "update-ref", "refs/heads/feature/x", "main")
        real(*arguments)  # type: ignore[arg-type]

    index = (workshop.repo / ".git/index").read_bytes()
    workshop.write("new.txt", "new\n")
    monkeypatch.setattr(applying, "_move_refs", late)
    workshop.refused("git_commit", "conflict", message="x", paths=["new.txt"])
    assert workshop.rev("feature/x") == workshop.rev("main")
    assert (workshop.repo / ".git/index").read_bytes() == index


def test_another_git_that_commits_meanwhile_loses_nothing(workshop: Workshop):
    """A second process commits as fast as it can while the agent does: every commit of both is in the history."""
    loop = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do git commit -q --allow-empty -m other-$i && echo other-$i; done"
    other = subprocess.Popen(
        ["sh", "-c", loop], cwd=workshop.repo, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    mine = [
        f"mine-{n}"
        for n in range(12)
        if not workshop.call("git_commit", message=f"mine-{n}", allow_empty=True).is_error
    ]
    theirs = other.communicate()[0].decode().split()
    subjects = git(workshop.repo, "log", "--format=%s").splitlines()
    assert set(mine) <= set(subjects) and set(theirs) <= set(subjects)
    assert git(workshop.repo, "fsck", "--no-dangling") == ""


def test_a_change_by_somebody_else_after_the_cut_is_left_alone(world: Workshop):
    prepared(world)
    for step in range(8, 30, 3):
        if kill_at(world, step, "git_switch", {"ref": "side"}):
            break
    world.write("a.txt", "edited after the crash\n")
    world.open()
    world.pipeline.settling.settle()
    assert (world.repo / "a.txt").read_text() == "edited after the crash\n"
    change = world.guard.changes.list(limit=1)[0]
    assert change.status in (Outcome.UNKNOWN.value, Outcome.FAILED.value)
    world.close()


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small file system")
def test_a_full_disk_changes_nothing(world: Workshop):
    """A repository without room: the change fails, all is as it was, undo of earlier changes works."""
    small = world.folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        git(world.folder, "clone", "-q", "--no-hardlinks", str(world.repo), str(small / "repo"))
        world.repo = small / "repo"
        git(world.repo, "checkout", "-q", "-b", "big")
        world.write("big.bin", os.urandom(700_000))
        world.commit("big")
        git(world.repo, "checkout", "-q", "feature/x")
        world.section = f"  repositories: ['{world.repo}']\n  author: {{name: b, email: b@x}}\n"
        world.open()
        first = world.ok("git_branch", action="create", name="earlier")
        with (small / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                pass
        before = world.state()
        reply = world.call("git_switch", ref="big")
        assert reply.is_error and reply.code in ("failed", "guard_failure", "invalid"), reply.text
        assert world.state() == before
        reply = world.call("git_commit", message="x", allow_empty=True)
        assert reply.is_error
        assert world.state() == before
        (small / "filler").unlink()
        assert not world.undo(first.id).is_error
        world.ok("git_switch", ref="big")
        world.close()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def test_no_room_for_the_snapshot_means_no_change(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    from interlock.git import snapshot

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    before = workshop.state()
    monkeypatch.setattr(snapshot, "_capture_files", full)
    reply = workshop.call("git_switch", ref="main")
    assert reply.code == "guard_failure" and "snapshot" in reply.text
    assert workshop.state() == before
