"""The git server as clients get it: a confined process over stdio, in both protocol eras."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from git.workshop import SHARED, Workshop, git, token
from installation import Installation

from interlock.sandbox import landlock

pytestmark = pytest.mark.anyio


@pytest.fixture
def served(world: Workshop) -> Installation:
    made = Installation(world.folder / "installation")
    if SHARED.is_dir():
        made.home.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(SHARED, made.home / "cache", dirs_exist_ok=True)
    made.write_policy(
        text=f"version: 1\nextends: development\nagent: tester\ngit:\n  repositories: ['{world.folder}/repo', "
        f"'{world.folder}/origin.git']\n  protected_branches: [main]\n  remotes: [origin]\n"
        "  author: {name: bot, email: bot@example.com}\napprovals: {wait: 1s}\n"
    )
    (made.folder / ".gitconfig").write_text("[core]\n\texcludesFile = ~/.ignored\n[user]\n\tname = Ann\n")
    (made.folder / ".ignored").write_text("*.mine\n")
    return made


async def test_a_day_of_work(served: Installation, world: Workshop, era: str):
    repo = str(world.repo)
    world.write("scratch.mine", "ignored by the user's own list\n")
    async with served.agent("git", era=era) as agent:
        reply = await agent.call("git_status", repo=repo)
        assert "on feature/x; clean" in reply.text and not reply.is_error
        world.write("b.txt", "new\n")
        reply = await agent.call("git_commit", repo=repo, message="add b", paths=["b.txt"])
        assert not reply.is_error, reply.text
        assert git(world.repo, "log", "-1", "--format=%an %s") == "bot add b"
        undone = await agent.call("git_undo", id=reply.id)
        assert not undone.is_error, undone.text
        assert git(world.repo, "status", "--porcelain").splitlines() == ["?? b.txt", "?? scratch.mine"]
        fetched = await agent.call("git_sync", repo=repo, action="fetch")
        assert not fetched.is_error, fetched.text
        pushed = await agent.call("git_push", repo=repo)
        assert pushed.code == "approval_required" and pushed.id
        outside = await agent.call("git_status", repo=str(world.outside))
        assert outside.code == "out_of_bounds"


async def test_a_person_is_told_what_refused_a_call_and_what_would_permit_it(served: Installation, world: Workshop):
    repo = str(world.repo)
    world.write("b.txt", f"API_KEY={token()}\n")
    async with served.agent("git") as agent:
        secret = await agent.call("git_commit", repo=repo, message="add b", paths=["b.txt"])
        absent = await agent.call("git_switch", repo=repo, ref="nowhere")
        elsewhere = await agent.call("git_sync", repo=repo, action="fetch", remote="fork")
    assert secret.code == "protected" and absent.code == "invalid" and elsewhere.code == "out_of_bounds"
    told = served.cli("show", secret.id).stdout
    assert "(rule builtin.secrets)" in told and "`builtin.secrets` refused it" in told
    assert "builtin.branch" not in told and "git.protected_branches" not in told and "unprotected" not in told
    told = served.cli("show", absent.id).stdout
    assert "No rule refused it (invalid)" in told and "builtin.branch" not in told
    told = served.cli("show", elsewhere.id).stdout
    assert '    git:\n      remotes: ["fork"]' in told and "repositories:" not in told and "No rule" not in told


async def test_nothing_of_the_environment_reaches_git(served: Installation, world: Workshop):
    """Children of the server see the allowlisted names only, and nothing called git in the repository is run."""
    secret = token()
    served.variables["AWS_SECRET_ACCESS_KEY"] = secret
    served.variables["GIT_SSH_COMMAND"] = f"touch {world.pwned}"
    place = world.write("git", f"#!/bin/sh\ntouch {world.pwned}\n")
    place.chmod(0o755)
    git(world.repo, "remote", "set-url", "origin", "ssh://nobody@127.0.0.1:1/r.git")
    async with served.agent("git") as agent:
        for tool, arguments in (("git_status", {}), ("git_sync", {"action": "fetch"})):
            reply = await agent.call(tool, repo=str(world.repo), **arguments)
            assert secret not in reply.text
    assert not world.pwned.exists()


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_the_confined_process_reaches_its_repositories_only(served: Installation, world: Workshop):
    """Even code that ran inside the server could not read a neighbour's repository or the person's key."""
    code = f"""
import os, sys
from pathlib import Path
from interlock.guard.policy.loading import load
from interlock.git.tools import reach
from interlock.sandbox.confine import confine
policy = load(Path({os.fspath(served.policy)!r}))
read, write = reach(policy)
confine(read=read, write=write, network=False, mode="best-effort")
open({os.fspath(world.repo / "a.txt")!r}).read()
for place in ({os.fspath(world.outside / "x")!r}, {os.fspath(served.policy)!r}):
    try:
        open(place).read()
    except PermissionError:
        continue
    except FileNotFoundError:
        pass
    sys.exit(7)
"""
    (world.outside / "x").write_text("x")
    done = subprocess.run(
        [sys.executable, "-c", code], env=served.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
