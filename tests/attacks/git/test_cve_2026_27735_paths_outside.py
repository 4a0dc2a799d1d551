"""CVE-2026-27735 (mcp-server-git): `index.add("../x")` of a library had no boundary. Every path here is checked by its
own grammar, and opened from the work tree's descriptor without following links."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git, tree_of


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "{outside}/secret.txt",
        "src/../../outside/secret.txt",
        "ld/secret.txt",
        ".git/config",
        ".GIT/config",
        "link",
    ],
)
def test_adding(workshop: Workshop, path: str):
    (workshop.outside / "secret.txt").write_text("must not be seen\n")
    (workshop.repo / "ld").symlink_to(workshop.outside)
    index = git(workshop.repo, "ls-files", "-s")
    reply = workshop.call("git_commit", paths=[path.format(outside=workshop.outside)], message="x")
    assert reply.is_error and "must not be seen" not in reply.text
    assert git(workshop.repo, "ls-files", "-s") == index


def test_restoring_and_stashing_through_a_link(world: Workshop):
    world.write("ld/x.txt", "tracked\n")
    world.commit("a folder")
    (world.outside / "x.txt").write_text("outside\n")
    (world.repo / "ld/x.txt").unlink()
    (world.repo / "ld").rmdir()
    (world.repo / "ld").symlink_to(world.outside)
    world.open()
    before = tree_of(world.outside)
    for tool, arguments in (
        ("git_restore", {"paths": ["ld/x.txt"]}),
        ("git_restore", {"paths": ["."], "ref": "HEAD"}),
        ("git_reset", {"ref": "HEAD", "mode": "hard"}),
        ("git_stash", {"action": "push"}),
        ("git_switch", {"ref": "main"}),
    ):
        reply = world.call(tool, **arguments)
        if reply.code == "approval_required":
            world.guard.approvals.approve(world.person, reply.id)
            world.call(tool, **arguments)
        assert tree_of(world.outside) == before
    world.close()
