"""Clean-ups with odd entries, and a store of snapshots that is asked for what it must not give.

Stopped by the clean-up's rule (names, age, bounds, never a link or a mount), by drift checks, ownership and accounts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attack_served import Served, served
from files_server import seen

OLD = time.time() - 40 * 86400
RULES = """  clean_up:
    builds: {path: BUILDS, match: ["build-*/", "*.tmp"], older_than: 30d, keep_newest: 1, keep: 1h, max: {files: 50}}
    tight: {path: TIGHT, match: ["*"], older_than: 1h, keep: 1h, max: {files: 3, size: 1K}}
"""


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("cleaned")))
    for name in ("builds", "tight"):
        (folder / name).mkdir()
    more = RULES.replace("BUILDS", str(folder / "builds")).replace("TIGHT", str(folder / "tight"))
    with served(folder, more=more) as made:
        yield made


@pytest.fixture
def builds(at: Served) -> Path:
    """The folder of the clean-up with one entry that is newest and stays, and one old one that goes."""
    folder = at.apart.folder / "builds"
    for entry in list(folder.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    old(folder / "build-1" / "a.o")
    (folder / "build-9").mkdir()
    return folder


def old(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for one in (path, path.parent):
        os.utime(one, (OLD, OLD), follow_symlinks=False)
    return path


def _link(folder: Path, at: Served) -> None:
    (folder / "build-2").symlink_to(at.outside)
    os.utime(folder / "build-2", (OLD, OLD), follow_symlinks=False)


def _link_inside(folder: Path, at: Served) -> None:
    (folder / "build-1" / "in").symlink_to(at.outside)
    os.utime(folder / "build-1", (OLD, OLD))


def _pipe(folder: Path, at: Served) -> None:
    os.mkfifo(folder / "x.tmp")
    os.utime(folder / "x.tmp", (OLD, OLD))


def _future(folder: Path, at: Served) -> None:
    (folder / "y.tmp").write_text("x")
    os.utime(folder / "y.tmp", (OLD + 10**10, OLD + 10**10))


def _before_time(folder: Path, at: Served) -> None:
    (folder / "z.tmp").write_text("x")
    os.utime(folder / "z.tmp", (-(10**9), -(10**9)))


def _odd_names(folder: Path, at: Served) -> None:
    for name in (
        "build-\n2",
        "build-\udcff",
        "build-; rm -rf ..",
        "build-$(x)",
        "build-\u202e2",
        "-rf.tmp",
        "--help.tmp",
    ):
        old(folder / name / "f" if name.startswith("build") else folder / name)
    os.utime(folder, (OLD, OLD))


def _capitals(folder: Path, at: Served) -> None:
    old(folder / "BUILD-2" / "f")
    old(folder / "a build-2" / "f")
    old(folder / "sub" / "x.tmp")


# what is put there, and what of it a clean-up takes beside build-1
ENTRIES: dict[str, tuple[Callable[[Path, Served], None], set[str]]] = {
    "a link to a folder": (_link, set()),
    "a link inside": (_link_inside, set()),
    "a pipe": (_pipe, set()),
    "a time to come": (_future, set()),
    "a time before all times": (_before_time, {"z.tmp"}),
    "odd names": (
        _odd_names,
        {"build-\n2", "build-\udcff", "build-; rm -rf ..", "build-$(x)", "build-\u202e2", "-rf.tmp", "--help.tmp"},
    ),
    "names that only look like it": (_capitals, set()),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_clean_up_takes_what_its_rule_says_and_comes_back(at: Served, builds: Path, name: str) -> None:
    make, goes = ENTRIES[name]
    make(builds, at)
    before, names = seen(builds), {path.name for path in builds.iterdir()}
    dry = at.done("clean_up", name="builds", dry_run=True)
    assert seen(builds) == before and "\n2" not in dry.text and "\u202e" not in dry.text
    done = at.done("clean_up", name="builds")
    assert {path.name for path in builds.iterdir()} == names - goes - {"build-1"}
    at.done("files_undo", id=done.id)
    assert seen(builds) == before


OVER: dict[str, Callable[[Path], Any]] = {
    "too many entries": lambda tight: [(tight / f"f{n}").write_text("") for n in range(4)],
    "too many inside": lambda tight: [old(tight / "d" / f"f{n}", "") for n in range(4)],
    "too many bytes": lambda tight: (tight / "f").write_text("x" * 2000),
    "something protected": lambda tight: (tight / ".env").write_text("A=b\n"),
    "something protected inside": lambda tight: old(tight / "d" / ".git" / "config"),
}


@pytest.mark.parametrize("name", OVER)
def test_a_clean_up_that_may_not_takes_nothing(at: Served, name: str) -> None:
    tight = at.apart.folder / "tight"
    shutil.rmtree(tight)
    tight.mkdir()
    OVER[name](tight)
    for entry in tight.iterdir():
        os.utime(entry, (OLD, OLD))
    before = seen(tight)
    reply = at.call("clean_up", name="tight")
    assert reply.is_error and seen(tight) == before, reply.text


def test_a_clean_ups_folder_that_became_a_link(at: Served, builds: Path) -> None:
    builds.rename(builds.with_name("real"))
    builds.symlink_to(at.outside)
    try:
        assert at.call("clean_up", name="builds").is_error
    finally:
        builds.unlink()
        builds.with_name("real").rename(builds)


@pytest.mark.parametrize("name", ["", "other", "../builds", "builds\n", "*", "tight,builds", "BUILDS", "__class__"])
def test_only_a_clean_up_that_the_policy_names(at: Served, builds: Path, name: str) -> None:
    before = seen(builds)
    assert at.call("clean_up", name=name).code == "invalid" and seen(builds) == before


@pytest.mark.parametrize("tool", ["read_file", "list_directory", "search_files", "delete_file", "write_file"])
def test_its_folder_is_no_root(at: Served, builds: Path, tool: str) -> None:
    more = {"search_files": {"pattern": "x"}, "write_file": {"content": "x"}}.get(tool, {})
    assert at.call(tool, path=f"{builds}/build-1", **more).code in ("out_of_bounds", "invalid")
    assert (builds / "build-1/a.o").exists() and at.call("write_file", path=f"{builds}/n", content="").is_error


# ---------------------------------------------------------------- what was deleted, and its way back


def test_the_same_name_again_and_again_comes_back_each(at: Served) -> None:
    room = at.room()
    ids = []
    for number in range(10):
        (room / "n.txt").write_text(f"{number}\n")
        ids.append(at.done("delete_file", path=f"{room}/n.txt").id)
    for number, id in enumerate(ids):
        at.done("files_undo", id=id)
        assert (room / "n.txt").read_text() == f"{number}\n"
        (room / "n.txt").unlink()


DRIFT = (
    "new content",
    "another file",
    "a link to it",
    "a link out",
    "a folder",
    "gone",
    "its folder gone",
    "a hard link",
)


@pytest.mark.parametrize("how", DRIFT)
def test_an_undo_of_a_write_over_what_came_since(at: Served, how: str) -> None:
    """Newer work is never lost without a person: refused, asked, or both are there."""
    room = at.room()
    path = room / "d" / "a.txt"
    path.parent.mkdir()
    path.write_text("one\n")
    id = at.done("write_file", path=str(path), content="two\n").id
    if how == "new content":
        path.write_text("somebody's\n")
    elif how == "another file":
        path.unlink()
        path.write_text("somebody's\n")
    elif how == "a link to it":
        path.rename(room / "kept")
        path.symlink_to(room / "kept")
    elif how == "a link out":
        path.unlink()
        path.symlink_to(at.outside / "keep.txt")
    elif how == "a folder":
        path.unlink()
        (path / "in").mkdir(parents=True)
    elif how == "gone":
        path.unlink()
    elif how == "its folder gone":
        shutil.rmtree(path.parent)
    else:
        os.link(path, room / "hard")
    before = seen(room)
    reply = at.call("files_undo", id=id)
    assert reply.code != "guard_failure", reply.text
    if how in ("new content", "another file", "a link to it", "a link out", "a folder"):
        assert reply.is_error and seen(room) == before, reply.text
    elif not reply.is_error:
        assert path.read_text() == "one\n"
        assert how != "a hard link" or (room / "hard").read_text() == "two\n"


@pytest.mark.parametrize("how", ["a file", "a folder", "a link out", "its folder is a link out", "protected meanwhile"])
def test_an_undo_of_a_delete_overwrites_nothing(at: Served, how: str) -> None:
    room = at.room()
    (room / "d").mkdir()
    (room / "d/a.txt").write_text("one\n")
    id = at.done("delete_file", path=f"{room}/d/a.txt").id
    if how == "a file":
        (room / "d/a.txt").write_text("newer\n")
    elif how == "a folder":
        (room / "d/a.txt").mkdir()
    elif how == "a link out":
        (room / "d/a.txt").symlink_to(at.outside / "new.txt")
    elif how == "its folder is a link out":
        (room / "d").rmdir()
        (room / "d").symlink_to(at.outside)
    else:
        (room / "d").rename(room / ".git")
        (room / "d").symlink_to(".git")
    at.refused("files_undo", id=id)
    assert not (at.outside / "new.txt").exists() and not (at.outside / "a.txt").exists()


def sealed(at: Served, id: str, state: str | None = None) -> str:
    """What is sealed of a change; `state`: is made of it, as whoever can write the home could."""
    with closing(sqlite3.connect(at.apart.home / "state.db", isolation_level=None)) as db:
        (before,) = db.execute("SELECT state FROM sealed WHERE change = ?", (id,)).fetchone()
        if state is not None:
            db.execute("UPDATE sealed SET state = ? WHERE change = ?", (state, id))
    return str(before)


@pytest.mark.parametrize("size", [4, 100_000], ids=["sealed", "in the store"])
def test_the_store_is_not_changed_from_outside_unseen(at: Served, size: int) -> None:
    """What was kept and is not what was kept any more is not put back as if it were."""
    room = at.room()
    (room / "a.txt").write_text("a" * size)
    id = at.done("write_file", path=f"{room}/a.txt", content="two\n").id
    kept = list((at.apart.home / "snapshots").glob(f"??/{id}/*"))
    if kept:
        kept[0].chmod(0o600)
        kept[0].write_text("b" * size)
    else:
        state = json.loads(sealed(at, id))
        state["steps"][0]["kept"]["content"] = b64encode(b"b" * size).decode()
        sealed(at, id, json.dumps(state))
    at.refused("files_undo", id=id)
    assert (room / "a.txt").read_text() == "two\n"


@pytest.mark.parametrize(
    "manifest", ["", "{", "[]", "null", '{"steps": []}', '{"steps": [{"kind": "take"}]}', "x" * 100]
)
def test_a_manifest_that_is_none(at: Served, manifest: str) -> None:
    room = at.room()
    (room / "a.txt").write_text("one\n")
    id = at.done("delete_file", path=f"{room}/a.txt").id
    sealed(at, id, manifest)
    reply = at.call("files_undo", id=id)
    assert (room / "a.txt").exists() is not reply.is_error, reply.text


def test_a_manifest_that_leads_elsewhere(at: Served) -> None:
    """Whoever can write the store could name any path: bounds and protections are judged again."""
    room = at.room()
    (room / "a.txt").write_text("one\n")
    id = at.done("delete_file", path=f"{room}/a.txt").id
    text = sealed(at, id)
    for other in (at.outside / "a.txt", room / ".git/hooks/post-checkout", at.apart.policy):
        sealed(at, id, text.replace(f"{room}/a.txt", str(other)))
        at.refused("files_undo", id=id)
        assert other == at.apart.policy or not other.exists()


KILLED = ("delete_file", "write_file", "move_file", "edit_file")


@pytest.mark.parametrize("tool", KILLED)
def test_killed_in_the_midst_it_is_whole_and_told(tmp_path: Path, tool: str) -> None:
    """Once for each tool, from outside; `files/test_crashes` kills at every system call."""
    with served(tmp_path) as at:
        room = at.room()
        (room / "d").mkdir()
        for n in range(50):
            (room / f"d/{n}").write_text(f"{n}\n" * 100)
        before = seen(room)
        arguments: dict[str, Any] = {
            "delete_file": {"path": f"{room}/d"},
            "write_file": {"path": f"{room}/d/1", "content": "new\n" * 100_000},
            "move_file": {"source": f"{room}/d", "destination": f"{room}/e"},
            "edit_file": {"path": f"{room}/d/1", "edits": [{"old": "1", "new": "x", "replace_all": True}]},
        }[tool]
        at.peer.start(tool, **arguments)
        time.sleep(0.004)
        at.peer.process.send_signal(signal.SIGKILL)
        at.peer.process.wait()
        at.peer = at.apart.peer()
        at.done("file_info", path=str(room))
        if seen(room) != before:
            told = subprocess.run(
                at.apart.command("changes", "--json"), env=at.apart.environment, capture_output=True, text=True
            )
            assert tool in told.stdout
