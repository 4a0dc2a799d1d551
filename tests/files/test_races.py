"""Races against something that swaps, replaces and appends all the while: nothing outside is ever read or changed,
and nobody's newer content is lost. Each runs for many rounds."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from files_server import FilesServer, Search, seen

ROUNDS = 150


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Run `act` over and over in a thread; what it cannot do at the moment it leaves."""
    stop = threading.Event()

    def go() -> None:
        while not stop.is_set():
            try:
                act()
            except OSError:
                continue

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    for name in ("f.txt", "deep/g.txt", "new.txt"):
        (folder / name).write_text("outside canary\n")
    return folder


def swapping(work: Path, outside: Path) -> Callable[[], None]:
    """`work/d` is by turns a folder and a link to the outside."""
    (work / "d/deep").mkdir(parents=True)
    for name in ("d/f.txt", "d/deep/g.txt"):
        (work / name).write_text("inside\n")
    (work / "link").symlink_to(outside)

    def swap() -> None:
        (work / "d").rename(work / "d.kept")
        (work / "link").rename(work / "d")
        (work / "d").rename(work / "link")
        (work / "d.kept").rename(work / "d")

    return swap


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("read_file", {"path": "d/f.txt"}),
        ("list_directory", {"path": "d"}),
        ("file_info", {"path": "d/f.txt"}),
        ("search_files", {"path": ".", "pattern": "canary|inside"}),
        ("search_files", {"path": "d", "glob": "*"}),
        ("write_file", {"path": "d/new.txt", "content": "ours\n"}),
        ("write_file", {"path": "d/f.txt", "content": "ours\n"}),
        ("edit_file", {"path": "d/deep/g.txt", "edits": [{"old": "i", "new": "ii"}]}),
        ("move_file", {"source": "d/f.txt", "destination": "d/moved.txt"}),
        ("delete_file", {"path": "d/f.txt"}),
        ("delete_file", {"path": "d/deep"}),
        ("delete_file", {"path": "d"}),
    ],
)
def test_a_folder_that_becomes_a_link_to_the_outside(
    server: FilesServer, work: Path, outside: Path, tool: str, arguments: dict[str, str]
):
    swap = swapping(work, outside)
    before = seen(outside)
    answers = []
    with meanwhile(swap):
        for _ in range(ROUNDS):
            answer = server.answer(tool, **arguments)
            answers.append(answer.text)
            assert "canary" not in answer.text.replace("canary|inside", "")
            assert "guard_failure" not in answer.text, answer.text
            if tool in ("move_file", "delete_file"):
                mend(work)
    assert seen(outside) == before
    assert not list(work.rglob(".interlock-*"))


def mend(work: Path) -> None:
    """What a move or delete took is there again for the next round, wherever the folder is at the moment."""
    for name in ("d", "d.kept"):
        with suppress(OSError):  # a link, or gone at this moment
            folder = os.open(work / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                with suppress(FileExistsError):
                    os.mkdir("deep", dir_fd=folder)
                with suppress(FileExistsError):
                    fd = os.open("f.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=folder)
                    os.write(fd, b"inside\n")
                    os.close(fd)
            finally:
                os.close(folder)


def test_a_file_that_becomes_a_link_while_it_is_written(server: FilesServer, work: Path, outside: Path):
    (work / "f.txt").write_text("inside\n")
    (work / "link").symlink_to(outside / "f.txt")
    before = seen(outside)

    def swap() -> None:
        (work / "f.txt").rename(work / "kept")
        (work / "link").rename(work / "f.txt")
        (work / "f.txt").rename(work / "link")
        (work / "kept").rename(work / "f.txt")

    with meanwhile(swap):
        for number in range(ROUNDS):
            text = server.answer("write_file", path="f.txt", content=f"{number}\n").text
            assert "guard_failure" not in text and "canary" not in text
    assert seen(outside) == before


def test_no_update_of_somebody_else_is_lost(server: FilesServer, work: Path):
    """Another program replaces the file by renames all the while, counting; each edit is of its newest or refused."""
    path, counter = work / "n.txt", [0]
    path.write_text("0\n")

    def replace() -> None:
        counter[0] += 1
        new = work / "n.tmp"
        new.write_text(f"{counter[0]}\n")
        new.replace(path)

    conflicts = done = 0
    for _ in range(ROUNDS):
        with meanwhile(replace):
            answer = server.answer("write_file", path="n.txt", content="ours\n")
        if answer.is_error:
            assert answer.text.startswith(("conflict", "failed")), answer.text
            conflicts += 1
            assert path.read_text() != "ours\n"
        else:
            done += 1
        assert path.read_text() in ("ours\n", f"{counter[0]}\n"), "an older update came back over a newer one"
    assert conflicts + done == ROUNDS
    assert sorted(p.name for p in work.iterdir() if p.name != "n.tmp") == ["n.txt"]


def test_two_servers_on_one_file(server: FilesServer, work: Path, search: Search):
    """Edits by two servers at once: each is whole, or refused; the count is that of those that were done."""
    (work / "n.txt").write_text("start\n")
    other = FilesServer(server.installation, search)
    done = [0, 0]

    def edit(number: int, one: FilesServer) -> None:
        for i in range(40):
            answer = one.answer("edit_file", path="n.txt", edits=[{"old": "start\n", "new": f"start\n{number}.{i}\n"}])
            done[number] += not answer.is_error
            assert not answer.is_error or answer.text.startswith(("conflict", "failed", "breaker")), answer.text

    threads = [threading.Thread(target=edit, args=(n, one)) for n, one in enumerate((server, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    lines = (work / "n.txt").read_text().splitlines()
    assert lines[0] == "start" and len(lines) - 1 == sum(done) and len(set(lines)) == len(lines)


def test_a_tree_that_changes_while_it_is_deleted_is_put_back_whole(server: FilesServer, work: Path):
    tree = work / "t"

    def grow() -> None:
        (tree / f"f{len(list(tree.iterdir()))}").write_text("x\n")

    for _ in range(20):
        tree.mkdir()
        (tree / "first").write_text("1\n")
        with meanwhile(grow):
            answer = server.answer("delete_file", path="t")
        if answer.is_error:
            shutil.rmtree(tree)
            continue
        assert not tree.exists()
        server.undo(answer.id)
        assert (tree / "first").read_text() == "1\n"
        shutil.rmtree(tree)


def test_a_log_that_grows_is_read_within_bounds(server: FilesServer, work: Path):
    path = work / "grow.log"
    path.write_text("start\n")

    def append() -> None:
        with path.open("a") as file:
            file.write("y" * 90 + "\n")
            file.write(("z" * 99 + "\n") * 2000)
        if path.stat().st_size > 30_000_000:
            path.write_text("start\n")

    with meanwhile(append):
        for _ in range(40):
            answer = server.answer("read_file", path="grow.log")
            assert len(answer.text) <= 12_000 and "guard_failure" not in answer.text, answer.text[:300]


def test_a_small_file_that_grows_while_it_is_kept_is_not_read_whole(server: FilesServer, work: Path):
    path = work / "log"
    path.write_text("small\n")
    capture = server.server.capture

    def grows(*given: Any) -> None:
        os.truncate(path, 1 << 40)
        capture(*given)

    server.server.capture = grows  # type: ignore[method-assign]
    assert server.refused("write_file", path="log", content="new\n").startswith("conflict: ")
    assert path.stat().st_size == 1 << 40 and server.guard.snapshots.usage()["count"] == 0
