"""Changes too large for the store of snapshots: nothing is stored unaccounted, nothing promised that is not so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from files_server import FilesServer

from interlock.files.steps import Take
from interlock.guard.errors import Failed
from interlock.guard.keys import Person

BIG = b"large " * 500_000  # 3 MB
MORE = "snapshots: {max_size: 2M}\n"


@pytest.fixture
def small(server: FilesServer, work: Path) -> Iterator[FilesServer]:
    """A store of 2 MB."""
    clean_up = f"  clean_up:\n    old: {{path: {work}, match: ['tree/'], older_than: 1s}}\n"
    again = FilesServer(server.installation, None, more=clean_up + MORE)
    yield again
    again.close()


def stored(server: FilesServer) -> int:
    return sum(path.stat().st_size for path in server.installation.home.rglob("snapshots/**/*") if path.is_file())


def prepare(work: Path) -> None:
    (work / "tree/inner").mkdir(parents=True)
    (work / "tree/inner/big").write_bytes(BIG)
    (work / "big.txt").write_bytes(BIG)
    (work / "small.txt").write_text("small\n")
    os.utime(work / "tree", (1, 1))


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("delete_file", {"path": "big.txt"}, "big.txt"),
    ("delete_file", {"path": "tree"}, "tree"),
    ("clean_up", {"name": "old"}, "tree"),
    ("write_file", {"path": "big.txt", "content": "new\n"}, ""),
    ("move_file", {"source": "small.txt", "destination": "big.txt"}, "small.txt"),
]


@pytest.mark.parametrize(("tool", "arguments", "gone"), CHANGES)
@pytest.mark.parametrize("copied", [False, True], ids=["same file system", "another file system"])
def test_it_asks_and_keeps_nothing(
    small: FilesServer,
    work: Path,
    tool: str,
    arguments: dict[str, Any],
    gone: str,
    copied: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    if copied:
        monkeypatch.setattr("interlock.files.tools.can_rename", lambda folder, store: False)
    prepare(work)
    assert small.refused(tool, **arguments).startswith("approval_required")
    waiting = small.guard.approvals.pending()[0]
    assert "NOT KEPT" in waiting.preview
    small.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    answer = small.answer(tool, **arguments)
    assert not answer.is_error and "cannot be undone" in answer.text, answer.text
    for promise in ("; it can be put back", "was there can be put back", "restorable"):
        assert promise not in answer.text + waiting.preview
    assert not gone or not (work / gone).exists()
    assert stored(small) < 10_000 and small.guard.snapshots.usage()["bytes"] == 0
    assert not list(work.rglob(".interlock-*"))
    assert small.refused("files_undo", id=answer.id).startswith("invalid")


def test_what_is_not_kept_is_there_as_long_as_the_change_may_fail(
    small: FilesServer, work: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second of two entries cannot be taken: the first comes back, although the store never had it."""
    for name in ("one", "two"):
        (work / name).mkdir()
        (work / name / "big").write_bytes(BIG)
        os.utime(work / name, (1, 1))
    rule = f"  clean_up:\n    both: {{path: {work}, match: ['one/', 'two/'], older_than: 1s}}\n"
    again = FilesServer(small.installation, None, more=rule + MORE)
    assert again.refused("clean_up", name="both").startswith("approval_required")
    again.guard.approvals.approve(Person.load(lambda: ""), again.guard.approvals.pending()[0].id)
    do = Take.do

    def fails(self: Take, ground: Any) -> None:
        if self.path.endswith("two"):
            raise Failed("no")
        do(self, ground)

    monkeypatch.setattr(Take, "do", fails)
    assert again.answer("clean_up", name="both").is_error
    assert (work / "one/big").read_bytes() == BIG and (work / "two/big").exists()
    assert not list(work.rglob(".interlock-*"))
    again.close()


def test_an_undo_accounts_for_what_it_takes_away(server: FilesServer, work: Path):
    id = server.change("write_file", path="new.txt", content="x" * 100_000)
    undone = server.undo(id)
    sizes = {one["id"]: one["bytes"] for one in server.guard.snapshots.usage()["snapshots"]}
    assert sizes[undone] >= 100_000


def test_drift_is_seen_in_files_too_large_for_a_digest(
    server: FilesServer, work: Path, monkeypatch: pytest.MonkeyPatch
):
    for module in ("ground", "writing"):
        monkeypatch.setattr(f"interlock.files.{module}.HASHED", 1000)
    path = work / "a.txt"
    path.write_text("o" * 2000)
    undone = server.undo(server.change("write_file", path="a.txt", content="ours\n"))
    assert "changed since" not in server.call("files_undo", id=undone, dry_run=True)
    path.write_text("s" * 2000)
    assert server.refused("files_undo", id=undone).startswith("approval_required")
    assert path.read_text() == "s" * 2000
