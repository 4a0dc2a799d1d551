"""CVE-2025-68144 and servers PR 3545 (mcp-server-git): `--output=FILE` as a revision, a date, an author, a branch made
git write a file. Nothing that the agent says becomes an option: no command line is made of it."""

from __future__ import annotations

import pytest
from git.attacked import FIELDS, REST
from git.workshop import Workshop, tree_of

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
