"""Somebody swaps, renames and links while a confined server works: nothing outside is read or changed.

Stopped by opening beneath the root and judging what was opened (`paths`), and by the facts that `run` enforces in the
act (CVE-2025-53109, CVE-2025-67366, CVE-2026-39861). Hundreds of rounds each; `files/test_races` does it in-process.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attack_served import Served, served
from files_server import seen

ROUNDS = 25  # of each call, beside some thousand swaps
_EXCHANGE = 2


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("races")) as made:
        (made.outside / "f.txt").write_text(made.canary)
        (made.outside / "sub/g.txt").write_text(made.canary)
        made.kept = seen(made.outside)
        yield made


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[list[int]]:
    """`act` over and over in a thread of its own; how often."""
    stop, times = threading.Event(), [0]

    def go() -> None:
        while not stop.is_set():
            with suppress(OSError):
                act()
            times[0] += 1

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


def exchange(one: Path, other: Path) -> None:
    """Both at once: there is no moment without either."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


def folder_and_link(at: Served, room: Path) -> Callable[[], None]:
    (room / "d/sub").mkdir(parents=True)
    for name in ("d/f.txt", "d/sub/g.txt"):
        (room / name).write_text("inside\n")
    (room / "x").symlink_to(at.outside)
    return lambda: exchange(room / "d", room / "x")


def file_and_link(at: Served, room: Path) -> Callable[[], None]:
    (room / "d/sub").mkdir(parents=True)
    (room / "d/f.txt").write_text("inside\n")
    (room / "d/sub/g.txt").write_text("inside\n")
    (room / "x").symlink_to(at.outside / "f.txt")
    return lambda: exchange(room / "d/f.txt", room / "x")


def file_and_hard_link(at: Served, room: Path) -> Callable[[], None]:
    """A second name of a protected file, by turns."""
    (room / "d/sub").mkdir(parents=True)
    (room / "d/f.txt").write_text("inside\n")
    (room / "d/sub/g.txt").write_text("inside\n")
    (room / ".git").mkdir()
    (room / ".git/config").write_text(at.canary)
    os.link(room / ".git/config", room / "x")
    return lambda: exchange(room / "d/f.txt", room / "x")


def parent_renamed(at: Served, room: Path) -> Callable[[], None]:
    (room / "d/sub").mkdir(parents=True)
    for name in ("d/f.txt", "d/sub/g.txt"):
        (room / name).write_text("inside\n")

    def act() -> None:
        (room / "d").rename(room / "other")
        (room / "other").rename(room / "d")

    return act


def parent_moved_out(at: Served, room: Path) -> Callable[[], None]:
    """The folder leaves the root and comes back: what was opened in it is outside then."""
    (room / "d/sub").mkdir(parents=True)
    for name in ("d/f.txt", "d/sub/g.txt"):
        (room / name).write_text("inside\n")
    away = at.apart.folder / "away"

    def act() -> None:
        (room / "d").rename(away)
        away.rename(room / "d")

    return act


def protected_parent(at: Served, room: Path) -> Callable[[], None]:
    """`d` is by turns a folder with a protected name."""
    (room / "d/sub").mkdir(parents=True)
    for name in ("d/f.txt", "d/sub/g.txt"):
        (room / name).write_text("inside\n")
    (room / ".git").mkdir()
    (room / ".git/f.txt").write_text(at.canary)
    (room / "x").symlink_to(".git")
    return lambda: exchange(room / "d", room / "x")


SWAPS = (folder_and_link, file_and_link, file_and_hard_link, parent_renamed, parent_moved_out, protected_parent)
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("read_file", {"path": "ROOM/d/f.txt"}),
    ("file_info", {"path": "ROOM/d/f.txt"}),
    ("list_directory", {"path": "ROOM/d"}),
    ("search_files", {"path": "ROOM", "pattern": "."}),
    ("write_file", {"path": "ROOM/d/f.txt", "content": "ours\n"}),
    ("write_file", {"path": "ROOM/d/new/n.txt", "content": "ours\n"}),
    ("edit_file", {"path": "ROOM/d/f.txt", "edits": [{"old": "i", "new": "ii"}]}),
    ("move_file", {"source": "ROOM/d/f.txt", "destination": "ROOM/d/sub/m.txt"}),
    ("delete_file", {"path": "ROOM/d/sub"}),
)


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_nothing_outside_or_protected_is_touched(at: Served, swap: Callable[[Served, Path], Any]) -> None:
    room = at.room()
    act = swap(at, room)
    guarded = seen(room / ".git") if (room / ".git").is_dir() else {}
    done = 0
    with meanwhile(act) as times:
        for tool, arguments in CALLS:
            for _ in range(ROUNDS):
                reply = at.call(tool, **at.named(arguments, room))
                assert reply.code != "guard_failure", reply.text
                done += not reply.is_error
    assert seen(at.outside) == at.kept
    assert not guarded or seen(room / ".git") == guarded
    assert times[0] > 200 and done > 10
    shutil.rmtree(room)


def test_two_servers_edit_one_file_and_no_edit_is_lost(at: Served) -> None:
    room = at.room()
    path = room / "a.txt"
    path.write_text("".join(f"line {n}: -\n" for n in range(40)))
    other = at.apart.peer()
    made = []
    try:
        for n in range(0, 40, 2):
            one = at.peer.start("edit_file", path=str(path), edits=[{"old": f"line {n}: -", "new": f"line {n}: A"}])
            two = other.start(
                "edit_file", path=str(path), edits=[{"old": f"line {n + 1}: -", "new": f"line {n + 1}: B"}]
            )
            for peer, id, line in ((at.peer, one, f"line {n}: A"), (other, two, f"line {n + 1}: B")):
                reply = peer.reply(id)
                assert reply.code in ("", "conflict"), reply.text
                made += [line] if not reply.is_error else []
    finally:
        other.close()
    text = path.read_text()
    assert all(line in text for line in made) and len(made) >= 20


def test_an_undo_while_its_folder_is_swapped(at: Served) -> None:
    room = at.room()
    act = folder_and_link(at, room)
    with meanwhile(act):
        for _ in range(ROUNDS):
            reply = at.call("delete_file", path=f"{room}/d/f.txt")
            for _ in range(20):
                if reply.is_error or not at.call("files_undo", id=reply.id).is_error:
                    break
    assert seen(at.outside) == at.kept
