"""cyanheads git-mcp-server: `confirmed: true` was the agent's own word. No argument of any tool consents."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git


@pytest.mark.parametrize("word", ["confirmed", "confirm", "force", "approve", "approved", "yes", "bypass"])
def test_no_argument_is_a_yes(world: Workshop, word: str):
    git(world.repo, "push", "-q", "origin", "feature/x")
    git(world.repo, "commit", "-q", "--amend", "-m", "other")
    world.open()
    far = git(world.origin, "for-each-ref")
    for value in (True, "true", 1):
        reply = world.call("git_push", **{"force": True, word: value})
        assert reply.code in ("approval_required", "invalid"), reply.text
    assert git(world.origin, "for-each-ref") == far
    world.close()
