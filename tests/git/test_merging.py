"""Conflicts are data; nothing changes unless the agent asks for it; continue and abort; what merging refuses."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git, token


@pytest.fixture
def clash(world: Workshop) -> Workshop:
    git(world.repo, "checkout", "-q", "-b", "other", "main")
    world.write("a.txt", f"one\nTWO\nkey = {token()}\n")
    world.write("only-there.txt", "new\n")
    world.commit("clash")
    git(world.repo, "checkout", "-q", "feature/x")
    return world.open()


def test_conflicts_are_told_and_change_nothing(clash: Workshop):
    before = clash.state()
    reply = clash.refused("git_merge", "conflict", ref="other")
    assert "a.txt" in reply.text and "<<<<<<<" in reply.text and "TWO" in reply.text and "untrusted-data" in reply.text
    assert token() not in reply.text
    assert clash.state() == before
    clash.close()


def test_kept_conflicts_are_git_conflicts_and_can_be_finished(clash: Workshop):
    clash.ok("git_merge", ref="other", keep_conflicts=True)
    assert git(clash.repo, "status", "--porcelain", "a.txt") == "UU a.txt"
    assert "merge in progress" in clash.ok("git_status").text
    clash.refused("git_merge", "conflict", **{"continue": True})  # the marks are still there
    clash.write("a.txt", "one\nboth\n")
    clash.ok("git_merge", **{"continue": True})
    assert git(clash.repo, "log", "-1", "--format=%p").count(" ") == 1
    assert git(clash.repo, "status", "--porcelain") == ""
    assert (clash.repo / "only-there.txt").exists()
    clash.close()


def test_abort_puts_the_tree_back(clash: Workshop):
    before = clash.state()
    clash.ok("git_merge", ref="other", keep_conflicts=True)
    reply = clash.call("git_merge", abort=True)
    assert not reply.is_error, reply.text
    after = clash.state()
    assert after["files"] == before["files"] and after["head"] == before["head"] and after["marks"] == {}
    assert git(clash.repo, "status", "--porcelain") == ""
    clash.close()


def test_a_secret_in_the_resolution_is_refused(clash: Workshop):
    clash.ok("git_merge", ref="other", keep_conflicts=True)
    clash.write("a.txt", f"mine = {token()[::-1]}\nother = {token()}x\n")
    reply = clash.call("git_merge", **{"continue": True})
    assert reply.is_error and token() not in reply.text
    clash.close()


def test_delete_against_edit_is_a_conflict_too(world: Workshop):
    git(world.repo, "checkout", "-q", "-b", "gone", "main")
    git(world.repo, "rm", "-q", "a.txt")
    git(world.repo, "commit", "-qm", "gone")
    git(world.repo, "checkout", "-q", "feature/x")
    world.open()
    before = world.state()
    world.refused("git_merge", "conflict", ref="gone")
    assert world.state() == before
    kept = world.ok("git_merge", ref="gone", keep_conflicts=True)
    assert git(world.repo, "status", "--porcelain", "a.txt") == "UD a.txt"
    assert not world.undo(kept.id).is_error
    assert world.state() == before
    world.close()


def test_revert_conflicts_likewise(world: Workshop):
    world.write("a.txt", "one\ntwo\nTHREE\n")
    world.commit("four")
    world.open()
    before = world.state()
    reply = world.refused("git_revert", "conflict", ref="HEAD~1")
    assert "<<<<<<<" in reply.text and world.state() == before
    world.ok("git_revert", ref="HEAD~1", keep_conflicts=True)
    assert "revert in progress" in world.ok("git_status").text
    world.write("a.txt", "one\ntwo\n")
    world.ok("git_merge", **{"continue": True})
    assert git(world.repo, "log", "-1", "--format=%s").startswith("Revert")
    world.close()


def test_work_that_is_not_committed_stands_in_the_way(world: Workshop):
    git(world.repo, "checkout", "-q", "-b", "side", "main")
    world.write("side.txt", "side\n")
    world.commit("side")
    git(world.repo, "checkout", "-q", "feature/x")
    world.write("side.txt", "mine, untracked\n")
    world.open()
    before = world.state()
    for tool, arguments in (("git_merge", {"ref": "side"}), ("git_switch", {"ref": "side"})):
        reply = world.refused(tool, "conflict", **arguments)
        assert "side.txt" in reply.text
    assert world.state() == before
    world.close()


def test_staged_work_is_carried_along_by_a_switch(world: Workshop):
    world.write("new.txt", "staged\n")
    git(world.repo, "add", "new.txt")
    world.open()
    world.ok("git_switch", ref="main")
    assert git(world.repo, "status", "--porcelain") == "A  new.txt"
    world.close()


def test_pulling_the_protected_default_branch_forward_is_allowed(world: Workshop):
    git(world.repo, "checkout", "-q", "main")
    git(world.folder, "clone", "-q", str(world.origin), "colleague")
    colleague = world.folder / "colleague"
    (colleague / "c.txt").write_text("c\n")
    git(colleague, "add", "-A")
    git(colleague, "commit", "-qm", "c")
    git(colleague, "push", "-q", "origin", "main")
    world.open()
    world.ok("git_sync", action="pull", branch="main", ff_only=True)
    assert world.rev("main") == world.rev("main", world.origin)
    assert (world.repo / "c.txt").exists() and git(world.repo, "status", "--porcelain") == ""
    world.close()


def test_discarding_work_asks(world: Workshop):
    git(world.repo, "push", "-q", "origin", "feature/x")
    world.write("a.txt", "dirty\n")
    world.write("untracked.txt", "u\n")
    git(world.repo, "branch", "wip")
    git(world.repo, "checkout", "-q", "wip")
    git(world.repo, "commit", "-q", "--allow-empty", "-m", "only here")
    git(world.repo, "checkout", "-q", "feature/x")
    world.open()
    before = world.state()
    for tool, arguments in (
        ("git_reset", {"ref": "HEAD~2", "mode": "hard"}),
        ("git_restore", {"paths": ["a.txt"]}),
        ("git_branch", {"action": "delete", "name": "wip"}),
    ):
        world.refused(tool, "approval_required", **arguments)
        assert world.state() == before
    world.close()
