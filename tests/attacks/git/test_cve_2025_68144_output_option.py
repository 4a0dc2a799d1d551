"""CVE-2025-68144 and servers PR 3545 (mcp-server-git): `--output=FILE` as a revision, a date, an author, a branch made
git write a file. Nothing that the agent says becomes an option: no command line is made of it."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, tree_of

FIELDS = {
    "git_log": ("ref", "path", "author", "search", "since", "after"),
    "git_show": ("ref", "path", "search"),
    "git_diff": ("base", "target"),
    "git_blame": ("ref", "path"),
    "git_branch": ("name", "start", "to"),
    "git_switch": ("ref",),
    "git_merge": ("ref", "message"),
    "git_revert": ("ref",),
    "git_reset": ("ref",),
    "git_restore": ("ref",),
    "git_stash": ("message",),
    "git_sync": ("remote", "branch"),
    "git_push": ("remote", "branch", "tag"),
    "git_tag": ("name", "ref", "message"),
    "git_commit": ("message",),
}
REST = {
    "git_blame": {"path": "a.txt"},
    "git_branch": {"action": "create", "name": "x"},
    "git_restore": {"paths": ["a.txt"]},
    "git_stash": {"action": "push"},
    "git_sync": {"action": "fetch"},
    "git_tag": {"name": "t"},
}
OPTIONS = (
    "--output={out}/x", "-o{out}/x", "--upload-pack=touch {pwned}", "--exec=touch {pwned};", "-Otouch {pwned}",
    "--pathspec-from-file={out}/secret.txt", "\u2013\u2013output={out}/x", "--no-index", "-c core.pager=touch",
)  # fmt: skip


@pytest.mark.parametrize("tool", FIELDS)
def test_options_in_every_field(workshop: Workshop, tool: str):
    (workshop.outside / "secret.txt").write_text("must not be seen\n")
    before = tree_of(workshop.outside)
    for option in OPTIONS:
        text = option.format(out=workshop.outside, pwned=workshop.pwned)
        for field in FIELDS[tool]:
            reply = workshop.call(tool, **{**REST.get(tool, {}), field: text})
            assert reply.code != "guard_failure", (field, reply.text)
            assert "must not be seen" not in reply.text
    assert tree_of(workshop.outside) == before
    assert not workshop.pwned.exists()
