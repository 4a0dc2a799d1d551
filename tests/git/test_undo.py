"""Every change can be put back, byte for byte: refs, HEAD, index, work tree, stashes; also after `git gc`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from git.workshop import Workshop, git


def _dirty(w: Workshop) -> None:
    """Work of every kind that is not committed."""
    w.write("a.txt", "one\ntwo\nthree\nand more\n")
    w.write("src/new.py", "staged\n")
    git(w.repo, "add", "src/new.py")
    w.write("src/new.py", "staged, then edited\n")
    w.write("loose.txt", "untracked\n")
    w.write("build.ignored", "ignored\n")


def _clash(w: Workshop) -> None:
    git(w.repo, "checkout", "-q", "-b", "other", "main")
    w.write("a.txt", "one\nTWO\n")
    w.commit("clash", 1_700_000_300)
    git(w.repo, "checkout", "-q", "feature/x")


def _side(w: Workshop) -> None:
    git(w.repo, "checkout", "-q", "-b", "side", "main")
    w.write("side.txt", "side\n")
    w.commit("side", 1_700_000_300)
    git(w.repo, "checkout", "-q", "feature/x")


def _tracked_here_ignored_there(w: Workshop) -> None:
    git(w.repo, "checkout", "-q", "-b", "tracks", "main")
    w.write("x.ignored", "tracked\n")
    git(w.repo, "add", "-f", "x.ignored")
    git(w.repo, "commit", "-qm", "tracks an ignored file")
    git(w.repo, "checkout", "-q", "feature/x")
    w.write("x.ignored", "precious and ignored\n")


def _stashed(w: Workshop) -> None:
    for text in ("first", "second", "third"):
        w.write("a.txt", f"{text}\n")
        git(w.repo, "stash", "-q")


CASES: list[tuple[str, Callable[[Workshop], None], str, dict[str, object]]] = [
    ("commit staged", _dirty, "git_commit", {"message": "new file"}),
    ("commit all", _dirty, "git_commit", {"message": "all", "all": True}),
    ("stage only", _dirty, "git_commit", {"paths": ["loose.txt"], "stage_only": True}),
    ("amend", _dirty, "git_commit", {"amend": True, "message": "three, again", "all": True}),
    ("branch", _side, "git_branch", {"action": "create", "name": "fresh", "start": "main"}),
    ("branch delete", _side, "git_branch", {"action": "delete", "name": "side"}),
    ("branch rename", _side, "git_branch", {"action": "rename", "name": "side", "to": "renamed"}),
    ("rename current", _side, "git_branch", {"action": "rename", "name": "feature/x", "to": "feature/y"}),
    ("switch", _side, "git_switch", {"ref": "side"}),
    ("switch create", _dirty, "git_switch", {"ref": "new-branch", "create": True}),
    ("detach", _side, "git_switch", {"ref": "HEAD~1"}),
    ("switch over ignored", _tracked_here_ignored_there, "git_switch", {"ref": "tracks"}),
    ("merge", _side, "git_merge", {"ref": "side"}),
    ("merge with conflicts kept", _clash, "git_merge", {"ref": "other", "keep_conflicts": True}),
    ("revert", _side, "git_revert", {"ref": "HEAD"}),
    ("reset soft", _dirty, "git_reset", {"ref": "HEAD~1", "mode": "soft"}),
    ("reset mixed", _dirty, "git_reset", {"ref": "HEAD~1"}),
    ("reset hard", _dirty, "git_reset", {"ref": "HEAD~2", "mode": "hard"}),
    ("restore", _dirty, "git_restore", {"paths": ["a.txt", "src/new.py"]}),
    ("restore from", _dirty, "git_restore", {"paths": ["a.txt"], "ref": "main"}),
    ("unstage", _dirty, "git_restore", {"paths": ["src/new.py"], "staged": True}),
    ("stash", _dirty, "git_stash", {"action": "push", "untracked": True}),
    ("stash again", _stashed, "git_stash", {"action": "pop"}),
    ("stash apply", _stashed, "git_stash", {"action": "apply", "index": 1}),
    ("stash drop", _stashed, "git_stash", {"action": "drop", "index": 1}),
    ("tag", _side, "git_tag", {"name": "v1", "message": "first"}),
    ("fetch", _side, "git_sync", {"action": "fetch"}),
]


def _do(w: Workshop, tool: str, arguments: dict[str, object]) -> str:
    reply = w.call(tool, **arguments)
    if reply.code == "approval_required":
        w.guard.approvals.approve(w.person, reply.id)
        reply = w.call(tool, **arguments)
    assert not reply.is_error, reply.text
    return reply.id


@pytest.mark.parametrize(("name", "prepare", "tool", "arguments"), CASES, ids=[c[0] for c in CASES])
def test_what_was_done_is_put_back_byte_for_byte(world: Workshop, name, prepare, tool, arguments):
    prepare(world)
    world.open()
    before = world.state()
    id = _do(world, tool, arguments)
    assert world.state() != before
    assert git(world.repo, "fsck", "--no-dangling") == ""
    git(world.repo, "reflog", "expire", "--expire=now", "--all", check=False) if "stash" not in name else None
    git(world.repo, "gc", "-q", "--prune=now")
    after = world.state()
    reply = world.undo(id)
    if reply.code == "approval_required":
        world.guard.approvals.approve(world.person, reply.id)
        reply = world.undo(id)
    assert not reply.is_error, reply.text
    assert world.state() == before
    assert git(world.repo, "fsck", "--no-dangling") == ""
    # Undoing the undo is a change like any other.
    again = world.undo(reply.id)
    if again.code == "approval_required":
        world.guard.approvals.approve(world.person, again.id)
        again = world.undo(reply.id)
    assert not again.is_error, again.text
    redone = world.state()
    assert {k: v for k, v in redone.items() if k != "index"} == {k: v for k, v in after.items() if k != "index"}
    world.close()


def test_drift_is_asked_and_named(world: Workshop):
    _side(world)
    world.open()
    reply = world.ok("git_merge", ref="side")
    world.write("side.txt", "edited since\n")
    refused = world.undo(reply.id)
    assert refused.code == "approval_required" and "side.txt" in refused.text
    assert (world.repo / "side.txt").read_text() == "edited since\n"
    world.close()


def test_an_undone_change_is_not_undone_twice(workshop: Workshop):
    reply = workshop.ok("git_branch", action="create", name="fresh")
    assert not workshop.undo(reply.id).is_error
    assert workshop.undo(reply.id).code == "invalid"


def test_hidden_refs_are_out_of_sight_and_go_when_snapshots_expire(workshop: Workshop):
    git(workshop.repo, "update-ref", "refs/interlock/20200101/git-old/0", "HEAD")
    reply = workshop.ok("git_commit", message="x", allow_empty=True)
    hidden = git(workshop.repo, "for-each-ref", "--format=%(refname)", "refs/interlock").splitlines()
    assert hidden and all(reply.id in name for name in hidden)
    assert "interlock" not in workshop.ok("git_status", show="branches").text
    for tool, field in (("git_show", "ref"), ("git_log", "ref"), ("git_switch", "ref"), ("git_diff", "base")):
        assert workshop.call(tool, **{field: hidden[0]}).code == "invalid"
        assert workshop.call(tool, **{field: hidden[0].removeprefix("refs/")}).code == "invalid"
