"""CVE-2014-9390 and its kin: a tree that holds `.git`, spelled so that a file system takes it for git's own folder;
CVE-2021-21300 and CVE-2024-32002: a link in the tree, then a file below its name. Going there writes nothing of it."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git, tree_of

SPELLINGS = [".git", ".GIT", ".Git", ".git ", ".git.", "git~1", ".g\u200cit", ".git::$INDEX_ALLOCATION", ".gi\u200dt"]


def evil(w: Workshop, *entries: tuple[str, str, str]) -> str:
    """A commit with these entries (mode, name, id), made without git's own checks of names."""
    tree = git(
        w.repo,
        "mktree",
        "--missing",
        data="".join(f"{m} {'tree' if m == '040000' else 'blob'} {i}\t{n}\n" for m, n, i in entries).encode(),
    )
    commit = git(w.repo, "commit-tree", "-p", "HEAD", "-m", "evil", tree)
    git(w.repo, "update-ref", "refs/heads/evil", commit)
    return commit


def hook(w: Workshop) -> str:
    blob = git(w.repo, "hash-object", "-w", "--stdin", data=f"#!/bin/sh\ntouch {w.pwned}\n".encode())
    hooks = git(w.repo, "mktree", data=f"100755 blob {blob}\tpost-checkout\n".encode())
    return git(w.repo, "mktree", data=f"040000 tree {hooks}\thooks\n".encode())


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_dot_git(world: Workshop, name: str):
    evil(world, ("040000", name, hook(world)))
    world.open()
    inside = tree_of(world.repo / ".git" / "hooks") if (world.repo / ".git/hooks").is_dir() else {}
    before = world.state()
    for tool, arguments in (
        ("git_switch", {"ref": "evil"}),
        ("git_merge", {"ref": "evil"}),
        ("git_reset", {"ref": "evil", "mode": "hard"}),
    ):
        reply = world.call(tool, **arguments)
        assert reply.is_error, reply.text
    assert world.state() == before
    assert (tree_of(world.repo / ".git" / "hooks") if (world.repo / ".git/hooks").is_dir() else {}) == inside
    assert not world.pwned.exists()
    world.close()


def test_a_link_that_leads_out_is_only_a_link(world: Workshop):
    git(world.repo, "checkout", "-q", "-b", "links")
    (world.repo / "l").symlink_to("../outside")
    world.commit("a link out")
    git(world.repo, "checkout", "-q", "-b", "files", "feature/x")
    world.write("l/x.txt", "content\n")
    world.commit("a folder of the same name")
    git(world.repo, "checkout", "-q", "links")
    world.open()
    world.ok("git_switch", ref="files")
    assert (world.repo / "l/x.txt").read_text() == "content\n" and not (world.repo / "l").is_symlink()
    world.ok("git_switch", ref="links")
    assert (world.repo / "l").is_symlink() and tree_of(world.outside) == {}
    assert "outside" in world.ok("git_show", ref="HEAD:l").text
    world.close()


def test_a_link_to_git_hooks_and_a_file_below_it(world: Workshop):
    link = git(world.repo, "hash-object", "-w", "--stdin", data=b".git/hooks")
    blob = git(world.repo, "hash-object", "-w", "--stdin", data=f"#!/bin/sh\ntouch {world.pwned}\n".encode())
    folder = git(world.repo, "mktree", data=f"100755 blob {blob}\tpost-checkout\n".encode())
    evil(world, ("120000", "a", link), ("040000", "A", folder))
    world.open()
    world.call("git_switch", ref="evil")
    world.call("git_switch", ref="main")
    assert not (world.repo / ".git/hooks/post-checkout").exists()
    assert not world.pwned.exists()
    world.close()
