"""`interlock halt|resume|profile` and `status`: what tightens at once, and what a person's key loosens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from admin.apart import Apart, Peer
from admin.conftest import Run
from files_server import FilesServer


@pytest.fixture
def peer(apart: Apart) -> Iterator[Peer]:
    made = apart.peer()
    yield made
    made.close()


def test_a_running_server_hears_it_and_a_person_releases(apart: Apart, interlock: Run, peer: Peer) -> None:
    path = str(apart.work / "docs" / "d.md")
    assert not peer.call("read_file", path=path).is_error
    waiting = peer.call("write_file", path=path, content="x\n").id
    said = interlock("halt", "--reason", "db\nis down")
    assert said.code == 0, said
    assert "halted: everything" in said.out and "acknowledged" in said.out and str(peer.process.pid) in said.out
    refused = peer.call("read_file", path=path)
    assert refused.code == "halted" and "db\\nis down" in refused.text and "interlock resume" in refused.text
    status = interlock("status").out
    assert "everything halted by" in status and str(apart.home / "HALT") in status
    assert interlock("approve", waiting).code == 1, "what waited is void"
    said = interlock("resume")
    assert said.code == 0 and "1 halt released" in said.out
    assert not peer.call("read_file", path=path).is_error
    assert peer.call("files_guard", resume=waiting).code == "invalid"
    assert "nothing is halted" in interlock("resume").out


def test_changes_only_leaves_reads(apart: Apart, interlock: Run, server: FilesServer) -> None:
    assert interlock("halt", "--changes").code == 0
    server.call("read_file", path=str(apart.work / "docs" / "d.md"))
    assert server.refused("write_file", path=str(apart.work / "a.txt"), content="x\n").startswith("halted: ")


def test_scopes_add_up_and_each_is_released_by_its_id(apart: Apart, interlock: Run, server: FilesServer) -> None:
    path = str(apart.work / "docs" / "d.md")
    said = interlock("halt", "--agent", "nobody", "--server", "git")
    assert said.code == 0 and "everything of nobody on git" in said.out and "no agent nobody is known" in said.out
    server.call("read_file", path=path)
    server.change("write_file", path=str(apart.work / "new.txt"), content="x\n")
    assert "is known" not in interlock("halt", "--agent", "tester", "--server", "files").out
    assert server.refused("read_file", path=path).startswith("halted: ")
    status = json.loads(interlock("status", "--json").out)
    assert len(status["halt"]) == 2
    id = status["halt"][1].rpartition("(")[2].rstrip(")")
    said = interlock("resume", id)
    assert said.code == 0 and "still in force: everything of nobody on git" in said.out
    server.call("read_file", path=path)


def test_a_mistyped_scope_is_an_error_not_a_halt_of_nothing(apart: Apart, interlock: Run) -> None:
    said = interlock("halt", "--server", "file")
    assert said.code == 2 and "files" in said.err
    assert not (apart.home / "HALT").exists()
    assert interlock("halt").code == 0
    said = interlock("resume", "halt-00000000")
    assert said.code == 1 and "halt-00000000" in said.err and (apart.home / "HALT").exists()


def test_touching_the_file_halts(apart: Apart, interlock: Run, server: FilesServer) -> None:
    (apart.home / "HALT").touch()
    assert server.refused("read_file", path=str(apart.work / "docs" / "d.md")).startswith("halted: ")
    assert "the HALT file is there" in interlock("status").out
    assert interlock("resume").code == 0
    server.call("read_file", path=str(apart.work / "docs" / "d.md"))


def test_halting_works_under_a_broken_policy_in_the_home_that_it_names(
    apart: Apart, interlock: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERLOCK_HOME")
    named = apart.folder / "named"
    apart.write_policy(more=f"state: {named}\nrules: {{x: {{allow: files.nonsense}}}}\n")
    assert interlock("halt", "--reason", "odd").code == 0
    assert (named / "HALT").exists()
    said = interlock("status")
    assert said.code == 0 and "IS BROKEN" in said.out and "everything halted" in said.out


def test_a_profile_is_switched_for_a_time(apart: Apart, interlock: Run, server: FilesServer) -> None:
    path = str(apart.work / "new.txt")
    said = interlock("profile", "readonly", "--for", "2h", "--reason", "under attack")
    assert said.code == 0 and "until" in said.out
    assert "profile  readonly until" in interlock("status").out and "under attack" in interlock("status").out
    assert server.refused("write_file", path=path, content="x\n").startswith("denied: ")
    assert "profile  readonly (switched on" in interlock("policy", "show").out
    assert "profile  development\n" in interlock("policy", "show", "--profile", "development").out
    assert "readonly." in interlock("policy", "explain", "files.write", "path=/x").out
    assert "holds again" in interlock("profile", "off").out
    assert "profile  development\n" in interlock("policy", "show").out
    server.call("write_file", path=path, content="x\n")
    assert "no profile is switched on" in interlock("profile", "off").out


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("nope", "--for", "1h", "--reason", "x"), "incident"),
        (("incident",), "--for 2h --reason"),
        (("incident", "--for", "2x", "--reason", "r"), "such as 90s"),
    ],
)
def test_odd_switches_are_refused(apart: Apart, interlock: Run, words: tuple[str, ...], word: str) -> None:
    apart.home.mkdir(exist_ok=True, mode=0o700)
    said = interlock("profile", *words)
    assert said.code in (1, 2) and word in said.err
    assert "profile" not in interlock("status").out


def test_status_tells_servers_requests_and_budgets(apart: Apart, interlock: Run, peer: Peer) -> None:
    waiting = peer.call("write_file", path=str(apart.work / "docs" / "d.md"), content="x\n").id
    out = interlock("status").out
    assert f"files\ttester\t{peer.process.pid}\t{apart.home}" in out
    assert waiting in out and "budgets left" in out
    facts = json.loads(interlock("status", "--json").out)
    assert facts["budgets"]["tester"]["calls"]["left"] == facts["budgets"]["tester"]["calls"]["max"] - 1
