"""The other side: what a person approved, and nothing disturbed, runs - for every kind of change on this machine.

A guard that voids honest approvals is switched off within a week.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from admin.apart import Peer

from .conftest import ROOMY, World


@pytest.fixture(scope="module")
def shared(make_world: Callable[[], World]) -> World:
    """Everything that changes is asked, at a files server and at a git server."""
    made = make_world()
    repository = made.work / "repo"
    subprocess.run(["git", "init", "-q", "-b", "work", repository], check=True)
    git = ["git", "-C", repository, "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for text in ("one\n", "two\n"):
        (repository / "f.txt").write_text(text)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", text.strip()], check=True)
    (repository / "f.txt").write_text("three\n")
    builds = made.work / "builds" / "build-1"
    builds.mkdir(parents=True)
    tree = made.work / "tree" / "inner"
    tree.mkdir(parents=True)
    (tree / "leaf").write_text("leaf\n")
    cleaning = (
        f"  clean_up:\n    old: {{path: {made.work}/builds, match: ['build-*/'], older_than: 1s, keep_newest: 0}}\n"
    )
    bounds = f"git:\n  repositories: [{repository}]\n  author: {{name: bot, email: bot@example.com}}\n"
    made.policy(cleaning + "rules: {all: {ask: changes}}\n" + ROOMY + bounds)
    made.peer(era="2026-07-28")
    made.peers.append(Peer(made.apart.command("serve", "git"), made.apart.environment, "legacy", "raw"))
    return made


CALLS: list[tuple[int, str, dict[str, Any]]] = [
    (0, "write_file", {"path": "{work}/new.txt", "content": "x\n"}),
    (0, "edit_file", {"path": "{work}/a.txt", "edits": [{"old": "hello", "new": "bye"}]}),
    (0, "move_file", {"source": "{work}/a.txt", "destination": "{work}/moved.txt"}),
    (0, "delete_file", {"path": "{work}/tree"}),
    (0, "files_undo", {"id": "{last}"}),
    (1, "git_commit", {"repo": "{work}/repo", "message": "three", "paths": ["f.txt"]}),
    (1, "git_undo", {"id": "{last}"}),
    (1, "git_branch", {"repo": "{work}/repo", "action": "create", "name": "side"}),
    (1, "git_restore", {"repo": "{work}/repo", "paths": ["f.txt"]}),
    (1, "git_reset", {"repo": "{work}/repo", "ref": "HEAD~1", "mode": "hard"}),
]
LAST: dict[str, str] = {}


@pytest.mark.parametrize(("server", "tool", "arguments"), CALLS, ids=[tool for _, tool, _ in CALLS])
def test_it_runs(shared: World, server: int, tool: str, arguments: dict[str, Any]) -> None:
    def filled(value: Any) -> Any:
        return value.format(work=shared.work, last=LAST.get("id", "")) if isinstance(value, str) else value

    peer = shared.peers[server]
    waiting = peer.call(tool, **{key: filled(value) for key, value in arguments.items()})
    assert waiting.code == "approval_required", waiting.text
    shared.approve(waiting.id)
    reply = peer.call(f"{tool.split('_')[0] if server else 'files'}_guard", resume=waiting.id)
    assert not reply.is_error, reply.text
    LAST["id"] = waiting.id
