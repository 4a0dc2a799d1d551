"""One agent or server used to reach what only another may: ids, approvals, undos and paths lead nowhere.

Stopped by: the agent in every digest and ledger row, a server's own changes only, and protections that are the same
in every server (design, sections 6, 7 and 4).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from admin.apart import Peer

from .conftest import ASK, ROOMY, World


@pytest.fixture(scope="module")
def shared(make_world: Callable[[], World]) -> World:
    """Two agents on one policy, each at its own files server, and one of them at a git server too."""
    made = make_world()
    repository = made.work / "repo"
    subprocess.run(["git", "init", "-q", "-b", "work", repository], check=True)
    made.policy(
        ASK + ROOMY + f"git:\n  repositories: [{repository}]\n  author: {{name: bot, email: bot@example.com}}\n"
    )
    made.peer("--agent", "first")
    made.peer("--agent", "second", era="2026-07-28")
    git = Peer(made.apart.command("serve", "git", "--agent", "first"), made.apart.environment, "legacy", "raw")
    made.peers.append(git)
    return made


def test_each_agent_has_its_own_requests_changes_and_budgets(shared: World) -> None:
    first, second = shared.peers[:2]
    path = str(shared.work / "docs" / "a.md")
    waiting = first.call("write_file", path=path, content="x\n")
    assert waiting.code == "approval_required"
    same = second.call("write_file", path=path, content="x\n")
    assert same.code == "approval_required" and same.id != waiting.id
    shared.approve(waiting.id)
    assert second.call("files_guard", resume=waiting.id).code == "invalid"
    assert second.call("write_file", path=path, content="x\n").code == "approval_required"
    assert not first.call("files_guard", resume=waiting.id).is_error
    mine, theirs = (peer.call("files_guard").data or {} for peer in (first, second))
    assert [change["id"] for change in mine["changes"]] == [waiting.id] and theirs["changes"] == []
    assert [p["id"] for p in theirs["pending"]] == [same.id]
    assert mine["budgets"]["local_changes"]["left"] == theirs["budgets"]["local_changes"]["left"] - 1


def test_an_agent_undoes_anothers_change_only_with_a_person(shared: World) -> None:
    first, second = shared.peers[:2]
    target = shared.work / "b.txt"
    made = first.call("write_file", path=str(target), content="x\n")
    refused = second.call("files_undo", id=made.id)
    assert refused.code == "approval_required" and "first" in refused.text and target.exists()
    assert not first.call("files_undo", id=made.id).is_error and not target.exists()


def test_undoing_the_undo_of_what_was_asked_asks_again(shared: World) -> None:
    first, target = shared.peers[0], shared.work / "docs" / "c.md"
    waiting = first.call("write_file", path=str(target), content="x\n")
    shared.approve(waiting.id)
    assert not first.call("files_guard", resume=waiting.id).is_error
    undone = first.call("files_undo", id=waiting.id)
    if undone.code == "approval_required":  # putting it back is a write in docs, too
        shared.approve(undone.id)
        assert not first.call("files_guard", resume=undone.id).is_error
    assert not target.exists()
    again = first.call("files_undo", id=undone.id)
    assert again.code == "approval_required" and not target.exists(), again.text


def test_a_server_goes_on_with_and_undoes_its_own_only(shared: World) -> None:
    first, git = shared.peers[0], shared.peers[2]
    repository = shared.work / "repo"
    written = first.call("write_file", path=str(repository / "f.txt"), content="x\n")
    assert not written.is_error, written.text
    committed = git.call("git_commit", repo=str(repository), message="one", paths=["f.txt"])
    assert not committed.is_error, committed.text
    wrong = first.call("files_undo", id=committed.id)
    assert wrong.code == "invalid" and "git_undo" in wrong.text
    wrong = git.call("git_undo", id=written.id)
    assert wrong.code == "invalid" and "files_undo" in wrong.text
    waiting = first.call("write_file", path=str(shared.work / "docs" / "d.md"), content="x\n")
    shared.approve(waiting.id)
    wrong = git.call("git_guard", resume=waiting.id)
    assert wrong.code == "invalid" and "files_guard" in wrong.text
    assert not (shared.work / "docs" / "d.md").exists()


def test_one_server_does_not_prepare_what_another_runs(shared: World) -> None:
    """Hooks, configuration and modules of a repository are not the files server's to write."""
    first, repository = shared.peers[0], shared.work / "repo"
    for name in (".git/hooks/pre-commit", ".git/config", ".gitmodules", ".GIT/config", ".git/refs/interlock/x"):
        reply = first.call("write_file", path=str(repository / name), content="[core]\n")
        assert reply.code in ("protected", "out_of_bounds", "invalid"), (name, reply.text)
    for own in (shared.home / "state.db", shared.home / "HALT", shared.apart.policy, shared.keys_folder / "person.key"):
        for peer, tool in ((first, "read_file"), (first, "file_info"), (first, "delete_file")):
            assert peer.call(tool, path=str(own)).is_error, (tool, own)


def test_changes_of_two_servers_count_together(shared: World) -> None:
    first, git = shared.peers[0], shared.peers[2]
    before = (git.call("git_guard").data or {})["budgets"]["local_changes"]["left"]
    assert not first.call("write_file", path=str(shared.work / "count.txt"), content="x\n").is_error
    assert (git.call("git_guard").data or {})["budgets"]["local_changes"]["left"] == before - 1
