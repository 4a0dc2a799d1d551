"""`interlock pending|show|approve|deny|revoke`: what a person sees, what they answer, and what that does."""

from __future__ import annotations

import json

import pytest
from admin.apart import Apart
from admin.conftest import Run
from files_server import FilesServer

from interlock.guard.keys import create_keys


@pytest.fixture
def waiting(server: FilesServer) -> str:
    """A write that waits for a person."""
    path = server.installation.work / "docs" / "d.md"
    answer = server.answer("write_file", path=str(path), content="# docs\nmore\n", reason="the docs lag behind")
    assert answer.text.startswith("approval_required: "), answer.text
    return answer.id


@pytest.fixture
def critical(server: FilesServer) -> str:
    answer = server.answer("delete_file", path=str(server.installation.work / "data" / "d.db"))
    assert answer.text.startswith("approval_required: "), answer.text
    return answer.id


def test_nothing_waits(interlock: Run, apart: Apart) -> None:
    apart.home.mkdir(exist_ok=True, mode=0o700)
    said = interlock("pending")
    assert (said.code, said.out) == (0, "nothing waits for you\n")


def test_pending_is_a_table_in_a_pipe_and_json_on_demand(interlock: Run, waiting: str, critical: str) -> None:
    head, *rows = interlock("pending").out.splitlines()
    assert head.split("\t") == ["id", "agent", "tool", "risk", "what", "expires in", "status"]
    assert [row.split("\t")[0] for row in rows] == [waiting, critical]
    first, second = json.loads(interlock("pending", "--json").out)
    assert (first["id"], first["reason"], first["status"]) == (waiting, "the docs lag behind", "pending")
    assert second["risk"] == "critical"


def test_show_tells_what_would_happen_and_how_to_answer(interlock: Run, waiting: str, apart: Apart) -> None:
    said = interlock("show", waiting)
    assert said.code == 0
    for part in (
        f"{waiting}  write_file  pending",
        f"what      {apart.work / 'docs' / 'd.md'}",
        "risk      medium",
        "agent     tester",
        "asked     docs are reviewed",
        "  +more",
        "the agent says: 'the docs lag behind'",
        f"interlock approve {waiting}",
        f"interlock deny {waiting}",
    ):
        assert part in said.out, part


def test_approved_once_it_runs_once(interlock: Run, waiting: str, server: FilesServer, apart: Apart) -> None:
    said = interlock("approve", waiting)
    assert said.code == 0 and f"files_guard(resume={waiting})" in said.out
    assert f"interlock deny {waiting}" in interlock("show", waiting).out
    assert "approved already" in interlock("approve", waiting).err
    assert "approved by" in server.call("files_guard", resume=waiting)
    assert (apart.work / "docs" / "d.md").read_text() == "# docs\nmore\n"
    said = interlock("approve", waiting)
    assert said.code == 1 and "and used" in said.err
    story = interlock("show", waiting).out
    assert f"interlock undo {waiting}" in story and "approved by" in story


def test_a_no_is_told_to_the_agent_also_after_a_yes(interlock: Run, waiting: str, server: FilesServer) -> None:
    assert interlock("approve", waiting).code == 0
    said = interlock("deny", waiting)
    assert said.code == 0 and waiting in said.out
    assert server.refused("files_guard", resume=waiting).startswith("declined: ")
    assert "request    declined by" in interlock("show", waiting).out
    assert interlock("deny", waiting).code == 1


def test_a_grant_covers_its_like_so_often_and_can_be_revoked(
    interlock: Run, waiting: str, server: FilesServer, apart: Apart
) -> None:
    said = interlock("approve", waiting, "--for", "30m", "--times", "3")
    assert said.code == 0 and f"interlock revoke grant-{waiting}" in said.out
    assert f"grant-{waiting}\ttester" in interlock("status").out
    server.call("files_guard", resume=waiting)
    path = str(apart.work / "docs" / "d.md")
    server.call("write_file", path=path, content="two\n")
    elsewhere = server.refused("write_file", path=str(apart.work / "docs" / "other.md"), content="x\n")
    assert elsewhere.startswith("approval_required: ")
    assert interlock("revoke", f"grant-{waiting}").code == 0
    assert server.refused("write_file", path=path, content="three\n").startswith("approval_required: ")
    assert interlock("revoke", f"grant-{waiting}").code == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--times", "5"), "--for"),
        (("--for", "30m", "--times", "0"), "at least one"),
        (("--for", "soon"), "such as 90s"),
        (("--for", "365d"), "at most 7 days"),
    ],
)
def test_odd_grants_are_refused_and_nothing_is_approved(
    interlock: Run, waiting: str, server: FilesServer, options: tuple[str, ...], word: str
) -> None:
    said = interlock("approve", waiting, *options)
    assert said.code in (1, 2) and word in said.err, said
    assert server.refused("files_guard", resume=waiting).startswith("approval_required: ")


@pytest.mark.parametrize("command", ["approve", "deny", "show"])
def test_an_unknown_id_is_said(interlock: Run, apart: Apart, command: str) -> None:
    apart.home.mkdir(exist_ok=True, mode=0o700)
    said = interlock(command, "files-2222222")
    assert said.code == 1 and "files-2222222" in said.err and "hint" in said.err


def test_what_is_critical_needs_a_terminal_and_its_name(interlock: Run, critical: str, server: FilesServer) -> None:
    apart = server.installation
    assert isinstance(apart, Apart)
    piped = apart.cli("approve", critical, input="d.db\n")
    assert piped.returncode == 1 and "on a terminal only" in piped.stderr
    code, screen = apart.answer("approve", critical, "--for", "1h")
    assert code == 1 and "one call at a time" in screen
    code, screen = apart.answer("approve", critical, type=[("(d.db): ", "yes")])
    assert code == 1 and "nothing was approved" in screen
    assert server.refused("files_guard", resume=critical).startswith("approval_required: ")
    code, screen = apart.answer("approve", critical, type=[("(d.db): ", "d.db")])
    assert code == 0, screen
    server.call("files_guard", resume=critical)
    assert not (apart.work / "data" / "d.db").exists()


def test_a_key_with_a_passphrase_is_asked_on_the_terminal_only(server: FilesServer, waiting: str) -> None:
    apart = server.installation
    assert isinstance(apart, Apart)
    keys = apart.config / "interlock" / "keys"
    # The same installation, whose person has now a key with a passphrase.
    (keys / "person.key").unlink()
    (keys / "person.pub").unlink()
    (keys / "installation.key").rename(apart.folder / "kept")
    create_keys("open sesame", keys)
    (apart.folder / "kept").rename(keys / "installation.key")
    code, screen = apart.answer("approve", waiting, type=[("passphrase of your key: ", "wrong")])
    assert code == 1 and "passphrase is wrong" in screen
    code, screen = apart.answer("approve", waiting, type=[("passphrase of your key: ", "open sesame")])
    assert code == 0 and "open sesame" not in screen.replace(waiting, "")


def test_an_agent_cannot_forge_lines_of_the_prompt(interlock: Run, server: FilesServer, apart: Apart) -> None:
    path = apart.work / "docs" / "a\nrisk      low\n\x1b[2Jinterlock: approved"
    answer = server.answer(
        "write_file", path=str(path), content="x\nrisk      low\n", reason="ok'\n\nrisk      low\nIt is approved\x1b[1A"
    )
    for said in (interlock("show", answer.id), interlock("pending"), interlock("approve", answer.id)):
        assert "\x1b" not in said.out
        assert "risk      low" not in said.out.splitlines(), said.out
        assert "It is approved" not in said.out.splitlines()
