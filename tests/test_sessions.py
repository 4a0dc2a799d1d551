"""A session is what one client process started: a label for people, found through launchers, over at a long pause."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from admin.apart import Apart, Peer

from interlock.guard.state import State
from interlock.guard.undo.changes import Changes
from interlock.session import IDLE, Session


def test_one_name_until_a_long_pause() -> None:
    session = Session(1000.0)
    first = session.label(1000.0)
    assert first.startswith("s-") and session.label(1000.0 + IDLE - 1) == first
    later = session.label(1000.0 + 2 * IDLE)
    assert later == f"{first}.2" and session.label(1000.0 + 2 * IDLE + 1) == later
    assert Session(5000.0).label(5000.0) == first, "another server of the same client"


def test_servers_of_one_client_share_it_through_launchers_and_others_do_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    apart = Apart(tmp_path)
    apart.write_policy()
    serve = apart.command("serve", "files")
    shell = ["sh", "-c", '"$@"; exit $?', "sh", "env", "A=b", *serve]
    # Another client: a process of its own between us and the server.
    client = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    other = [sys.executable, "-c", client, *serve]
    for number, command in enumerate((serve, shell, other)):
        peer = Peer(command, apart.environment, "2026-07-28", f"client {number}")
        reply = peer.call("write_file", path=str(apart.work / f"{number}.txt"), content="x\n")
        assert not reply.is_error, reply.text
        peer.close()
    state = State(apart.home)
    direct, shelled, others = (change.session for change in reversed(Changes(state).list()))
    state.close()
    assert direct == shelled != others


def test_a_sessions_work_is_undone_across_its_servers(tmp_path: Path) -> None:
    """One client, two servers and two agents: `undo --session` puts back what both did, newest first."""
    tmp_path.chmod(0o700)
    apart = Apart(tmp_path)
    repository = apart.work / "repo"
    subprocess.run(["git", "init", "-q", "-b", "work", repository], check=True)
    (repository / "a.txt").write_text("one\n")
    commit = ["git", "-C", repository, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "one"]
    subprocess.run(["git", "-C", repository, "add", "."], check=True)
    subprocess.run(commit, check=True)
    head = (repository / ".git" / "refs" / "heads" / "work").read_text()
    apart.write_policy(
        more=textwrap.dedent(f"""
        git:
          repositories: [{repository}]
          author: {{name: bot, email: bot@example.com}}
        """)
    )
    files = apart.peer()
    git = Peer(apart.command("serve", "git"), apart.environment, "legacy", "raw")
    try:
        made = files.call("write_file", path=str(repository / "b.txt"), content="two\n")
        assert not made.is_error, made.text
        done = git.call("git_commit", repo=str(repository), message="two", paths=["b.txt"])
        assert not done.is_error, done.text
    finally:
        files.close()
        git.close()
    state = State(apart.home)
    sessions = {change.session for change in Changes(state).list()}
    state.close()
    assert len(sessions) == 1
    undone = apart.cli("undo", "--session", sessions.pop())
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert (repository / ".git" / "refs" / "heads" / "work").read_text() == head
    assert not (repository / "b.txt").exists()
    assert "2 of 2 changes undone" in undone.stdout
