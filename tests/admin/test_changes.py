"""`interlock changes|undo|snapshots`: a person puts back what agents changed, and sees what stands in the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from admin.apart import Apart
from admin.conftest import Run
from files_server import FilesServer

from interlock.admin.changes import in_force


@pytest.fixture
def work(apart: Apart, server: FilesServer) -> Path:
    """Four changes of one session, oldest first: new.txt made and edited, a tree deleted, old.txt moved."""
    (apart.work / "tree").mkdir()
    (apart.work / "tree" / "leaf").write_text("leaf\n")
    (apart.work / "old.txt").write_text("old\n")
    new = str(apart.work / "new.txt")
    server.change("write_file", path=new, content="one\ntwo\n")
    server.change("edit_file", path=new, edits=[{"old": "two", "new": "2"}])
    server.change("delete_file", path=str(apart.work / "tree"))
    server.change("move_file", source=str(apart.work / "old.txt"), destination=str(apart.work / "moved.txt"))
    return apart.work


def listed(interlock: Run) -> list[dict[str, object]]:
    return list(json.loads(interlock("changes", "--json").out))


def test_changes_are_listed_newest_first(interlock: Run, work: Path) -> None:
    assert [c["tool"] for c in listed(interlock)] == ["move_file", "delete_file", "edit_file", "write_file"]
    head, first, *_ = interlock("changes", "--limit", "1").out.splitlines()
    assert head.split("\t")[-2:] == ["status", "undo"] and "moved.txt" in first
    assert "no agent has changed anything" in interlock("changes", "--agent", "nobody").out


def test_one_change_is_put_back_and_put_back_again(interlock: Run, work: Path) -> None:
    id = str(listed(interlock)[1]["id"])
    said = interlock("undo", id, "--dry-run")
    assert said.code == 0 and "dry run" in said.out and not (work / "tree").exists()
    said = interlock("undo", id)
    assert said.code == 0 and "untrusted-data" not in said.out, said.out
    assert (work / "tree" / "leaf").read_text() == "leaf\n"
    newest = listed(interlock)[0]
    assert newest["tool"] == "files_undo" and f"interlock undo {newest['id']}" in said.out
    said = interlock("undo", id)
    assert said.code == 1 and "undone" in said.err
    assert interlock("undo", str(newest["id"])).code == 0
    assert not (work / "tree").exists()


def test_a_whole_session_is_put_back_newest_first(interlock: Run, work: Path) -> None:
    said = interlock("undo", "--session", "s-test", "--dry-run")
    assert said.code == 0 and "4 of 4 changes would be undone" in said.out and "would stop" not in said.out, said.out
    assert (work / "moved.txt").exists()
    said = interlock("undo", "--session", "s-test")
    assert said.code == 0 and "4 of 4 changes undone" in said.out, said
    left = sorted(str(p.relative_to(work)) for p in work.rglob("*") if p.is_file())
    assert left == ["data/d.db", "docs/d.md", "old.txt", "tree/leaf"]
    assert interlock("undo", "--session", "s-test").code == 1


def test_drift_is_shown_and_stops_only_what_lies_in_the_same_place(interlock: Run, work: Path) -> None:
    (work / "new.txt").write_text("one\n2\nand a person's line\n")
    said = interlock("undo", "--session", "s-test", "--dry-run")
    assert "it would stop here" in said.out and "new.txt" in said.out and "--anyway" in said.out
    said = interlock("undo", "--session", "s-test")
    assert said.code == 1
    assert "conflict: " in said.err and "new.txt" in said.err and "--anyway" in said.err
    assert "2 of 4 changes undone; left: " in said.out and "lies below" in said.out
    assert (work / "tree" / "leaf").exists() and (work / "old.txt").exists()
    assert "a person's line" in (work / "new.txt").read_text()
    said = interlock("undo", "--session", "s-test", "--anyway")
    assert said.code == 0 and not (work / "new.txt").exists(), said


def test_an_undo_within_the_session_is_not_done_again(interlock: Run, work: Path, server: FilesServer) -> None:
    deleted = str(listed(interlock)[1]["id"])
    server.undo(deleted)
    said = interlock("undo", "--session", "s-test")
    assert said.code == 0 and "3 of 3" in said.out, said
    assert (work / "tree" / "leaf").exists()


@dataclass
class Fake:
    id: str
    undoes: str
    status: str


@pytest.mark.parametrize("undos", range(6))
@pytest.mark.parametrize("first_here", [True, False])
def test_what_a_session_left_in_force(undos: int, first_here: bool) -> None:
    """A change undone and redone `undos` times; the session saw all of it, or all but the first change."""
    chain = [Fake("c0", "", "done")]
    for n in range(1, undos + 1):
        chain[-1].status = "undone"
        chain.append(Fake(f"c{n}", f"c{n - 1}", "done"))
    here = chain if first_here else chain[1:]
    before = not first_here  # whether the effect was there when the session began
    after = undos % 2 == 0
    found = in_force(list(reversed(here)))  # type: ignore[arg-type]
    assert bool(found) == (before != after)
    assert all(one is chain[-1] for one in found)


def test_one_or_a_session_must_be_named(interlock: Run, work: Path) -> None:
    assert interlock("undo").code == 2
    assert interlock("undo", "files-2222222", "--session", "s-test").code == 2
    said = interlock("undo", "files-2222222")
    assert said.code == 1 and "files-2222222" in said.err
    said = interlock("undo", "--session", "s-other")
    assert said.code == 1 and "s-other" in said.err


def test_a_snapshot_is_purged_for_good(interlock: Run, work: Path) -> None:
    id = str(listed(interlock)[1]["id"])
    assert id in interlock("snapshots", "list").out
    assert json.loads(interlock("snapshots", "list", "--json").out)["bytes"] > 0
    said = interlock("snapshots", "purge", id, "files-2222222")
    assert said.code == 1 and "files-2222222" in said.err and id in interlock("snapshots", "list").out
    said = interlock("snapshots", "purge", id)
    assert said.code == 0 and "can no longer be undone" in said.out
    assert id not in interlock("snapshots", "list").out
    said = interlock("undo", id)
    assert said.code == 1 and "purged by a person" in said.err
    assert "purged by a person" in interlock("show", id).out


def test_what_cannot_be_purged_yet_is_said(interlock: Run, work: Path, apart: Apart) -> None:
    from interlock.guard.state import State

    id = str(listed(interlock)[1]["id"])
    state = State(apart.home)
    with state.tx() as db:
        db.execute("UPDATE changes SET status = 'unknown' WHERE id = ?", (id,))
    state.close()
    said = interlock("snapshots", "purge", id)
    assert said.code == 1 and f"kept {id}" in said.err and "purged" not in said.out
    assert id in interlock("snapshots", "list").out


def test_an_undo_that_breaks_shows_no_content(
    interlock: Run, work: Path, server: FilesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback with its locals would print what is put back."""
    (work / "plain.txt").write_text("what stood there\n")
    server.change("write_file", path=str(work / "plain.txt"), content="new\n")
    id = str(listed(interlock)[0]["id"])

    def breaks(fd: int, data: bytes) -> None:
        raise RuntimeError(f"cannot write {len(data)} bytes")

    monkeypatch.setattr("interlock.files.copying.write_all", breaks)
    said = interlock("undo", id)
    assert said.code == 1 and "RuntimeError" in said.err
    assert "what stood there" not in said.out + said.err
    assert (work / "plain.txt").read_text() == "new\n"


def test_undo_works_while_all_is_halted(interlock: Run, work: Path) -> None:
    id = str(listed(interlock)[1]["id"])
    assert interlock("halt").code == 0
    assert interlock("undo", id).code == 0
    assert (work / "tree").exists()


def test_containment_binds_a_person_too(interlock: Run, work: Path, apart: Apart) -> None:
    """What an undo would write must lie within the bounds of today's policy."""
    id = str(listed(interlock)[1]["id"])
    (apart.folder / "elsewhere").mkdir()
    apart.policy.write_text(apart.policy.read_text().replace(f"path: {work},", f"path: {apart.folder}/elsewhere,"))
    said = interlock("undo", id)
    assert said.code == 1 and "out_of_bounds" in said.err
    assert not (work / "tree").exists()
