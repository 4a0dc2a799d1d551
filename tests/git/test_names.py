"""Names are names: no option, refspec, revision or look-alike gets through as one."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git
from hypothesis import given
from hypothesis import strategies as st

from interlock.git.names import branch_name, git_internal, protected, remote_name, tree_path
from interlock.guard.errors import Refused

BAD = [
    "", "-x", "--delete", "HEAD", "head", "@", "a..b", "a b", "a~1", "a^", "a:b", ":b", "+a", "a?", "a*", "[a]", "a\\b",
    "a\x00b",
    "a\nb", "a\x7f", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.", "refs/x", "refs/heads/refs/heads/main",
    "heads/HEAD",
    "a@{1}", "main\u200b", "\u202emain", "a\u00a0b", "deadbeef", "0123456789abcdef0123456789abcdef01234567", "x" * 300,
]  # fmt: skip
GOOD = [
    "main",
    "feature/x",
    "fix/ISSUE-123_retry.2",
    "größe",
    "日本語",
    "v1.0",
    "a@b",
    "release/1.0",
    "dependabot/npm/x-1.2",
]


@pytest.mark.parametrize("name", BAD)
def test_bad_branch_names(name: str):
    with pytest.raises(Refused):
        branch_name(name)


@pytest.mark.parametrize("name", GOOD)
def test_good_branch_names(name: str):
    assert branch_name(name) == name
    assert branch_name(f"refs/heads/{name}") == name


@given(st.text(max_size=30))
def test_what_passes_is_a_valid_ref_for_git_too(name: str):
    import pygit2

    try:
        taken = branch_name(name)
    except Refused:
        return
    assert pygit2.reference_is_valid_name(f"refs/heads/{taken}")
    assert not taken.startswith("-") and ":" not in taken


@pytest.mark.parametrize(
    "name", ["main", "MAIN", "Main", "ma\u0131n".replace("\u0131", "i"), "release/1.0", "RELEASE/x", "\uff4dain"]
)
def test_protected_by_any_spelling(name: str):
    assert protected(["main", "release/*"]).covers(name)


@pytest.mark.parametrize("name", ["m\u0430in", "ma\u0456n", "mai\u0578", "r\u0435lease/2", "\u03bcain"])
def test_look_alikes_of_protected_branches(name: str):
    assert protected(["main", "release/*"]).resembles(name)


@pytest.mark.parametrize("name", ["feature/x", "maintenance", "größe", "release", "日本語", "main2", "my/main"])
def test_honest_names_are_neither(name: str):
    shield = protected(["main", "release/*"])
    assert not shield.covers(name) and not shield.resembles(name)


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", ".git/config", "a/.GIT/x", ".git\u200c/x", "git~1/x", ".git./x", "/etc/passwd", "a\x00b"],
)
def test_bad_paths(path: str):
    with pytest.raises(Refused):
        tree_path(path, "/repo")


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        ("a.txt", "a.txt"),
        ("./a//b", "a/b"),
        ("/repo/a", "a"),
        ("/repo", ""),
        (".", ""),
        ("-draft.md", "-draft.md"),
        ("a..b", "a..b"),
    ],
)
def test_good_paths(path: str, inner: str):
    assert tree_path(path, "/repo") == inner


def test_git_internal_names():
    assert not any(git_internal(name) for name in ("git", ".gitignore", ".github", "x.git"))


@pytest.mark.parametrize("name", ["--upload-pack=x", "origin;x", "origin|x", "https://x/y", "../x", "a b", ""])
def test_bad_remotes(name: str):
    with pytest.raises(Refused):
        remote_name(name)


TOUCHING = [
    ("git_commit", {"message": "x", "allow_empty": True}),
    ("git_commit", {"message": "x", "amend": True}),
    ("git_reset", {"ref": "HEAD~1"}),
    ("git_reset", {"ref": "feature/x", "mode": "hard"}),
    ("git_revert", {"ref": "HEAD"}),
    ("git_merge", {"ref": "feature/x"}),
    ("git_branch", {"action": "delete", "name": "main"}),
    ("git_branch", {"action": "rename", "name": "main", "to": "old"}),
    ("git_branch", {"action": "rename", "name": "feature/x", "to": "MAIN"}),
    ("git_branch", {"action": "create", "name": "release/9"}),
    ("git_branch", {"action": "create", "name": "Main"}),
    ("git_branch", {"action": "create", "name": "m\u0430in"}),
    ("git_switch", {"ref": "release/9", "create": True}),
    ("git_tag", {"name": "main"}),
    ("git_tag", {"name": "release/1.0"}),
    ("git_push", {"branch": "main"}),
    ("git_push", {"branch": "refs/heads/main"}),
    ("git_push", {"branch": "MAIN"}),
    ("git_push", {"branch": "release/1.0", "delete": True}),
    ("git_push", {"branch": "main", "force": True}),
    ("git_push", {"branch": "m\u0430in"}),
    ("git_push", {"tag": "main"}),
]


@pytest.mark.parametrize(("tool", "arguments"), TOUCHING)
def test_protected_branches_are_not_touched(world: Workshop, tool: str, arguments: dict[str, object]):
    git(world.repo, "branch", "release/1.0")
    git(world.repo, "checkout", "-q", "main")
    world.open()
    before = world.state()
    far = git(world.origin, "for-each-ref")
    reply = world.call(tool, **arguments)
    assert reply.code in ("protected", "invalid", "conflict"), reply.text
    assert world.state() == before
    assert git(world.origin, "for-each-ref") == far
    world.close()


REFSPECS = [
    "HEAD:main", "@:main", "feature/x:main", "feature/x:refs/heads/main", "+feature/x:main", ":main",
    ":refs/heads/main", ":",
    "refs/heads/*:refs/heads/*", "refs/heads/fe*:refs/heads/ma*", "feature/x main", "^refs/heads/none feature/x:main",
    "--mirror", "--all", "--delete", "--tags", "HEAD~0:main", "tag:main", "feature/x:main\x00x", "feature/x:heads/main",
    "feature/x:HEAD", "HEAD:refs/notes/commits", "feature/x:refs/heads/refs/heads/main", "feature/x:main\u200b",
]  # fmt: skip


@pytest.mark.parametrize("refspec", REFSPECS)
def test_no_refspec_is_taken_for_a_branch(workshop: Workshop, refspec: str):
    far = git(workshop.origin, "for-each-ref")
    for field in ("branch", "tag", "remote"):
        reply = workshop.call("git_push", **{field: refspec})
        assert reply.code in ("invalid", "protected", "out_of_bounds"), (field, reply.text)
    assert git(workshop.origin, "for-each-ref") == far


@pytest.mark.parametrize(
    "ref",
    [
        "--output=x",
        "-1",
        "a b",
        "HEAD@{yesterday}",
        ":/text",
        "HEAD:",
        "refs/interlock/x",
        "refs/replace/x",
        "a...b...c",
    ],
)
def test_what_is_no_revision(workshop: Workshop, ref: str):
    for tool, field in (
        ("git_log", "ref"),
        ("git_diff", "base"),
        ("git_blame", "ref"),
        ("git_switch", "ref"),
        ("git_merge", "ref"),
    ):
        more = {"path": "a.txt"} if tool == "git_blame" else {}
        reply = workshop.call(tool, **{field: ref, **more})
        assert reply.code == "invalid", (tool, reply.text)


@pytest.mark.parametrize(
    "ref", ["HEAD", "@", "main", "HEAD~1", "HEAD^", "feature/x~2^0", "refs/heads/main", "origin/main", "@{u}"]
)
def test_what_is_a_revision(world: Workshop, ref: str):
    git(world.repo, "branch", "-q", "--set-upstream-to=origin/main", "feature/x")
    world.open()
    wanted = world.rev(ref)
    assert wanted in world.ok("git_show", ref=ref).text
    assert wanted in world.ok("git_show", ref=wanted[:10]).text
    world.close()
