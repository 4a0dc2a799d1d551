"""What lies below a root and is no plain file of it: mounts, devices, pipes, sockets, holes, `/proc`, endless folders.

Stopped by `paths` (nothing is crossed, nothing but a regular file is opened) and by the bounds on time and answers.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attack_served import Served, served

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and devices need root")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("special")) as made:
        yield made


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(arguments[-1])], check=True)


# ---------------------------------------------------------------- mounts

MOUNTS = (
    "a folder",
    "a file",
    "a file system of its own",
    "the kernel's files",
    "below a folder",
    "a file below a folder",
)


@ROOT_ONLY
@pytest.mark.parametrize("kind", MOUNTS)
def test_a_mount_is_neither_entered_moved_nor_deleted(at: Served, kind: str) -> None:
    room = at.room()
    point = room / "d/m" if kind.endswith("below a folder") else room / "m"
    point.parent.mkdir(exist_ok=True)
    is_file = kind.startswith("a file") and kind != "a file system of its own"
    point.touch() if is_file else point.mkdir()
    (room / "other").write_text("x\n")
    with ExitStack() as stack:
        if kind == "a file system of its own":
            stack.enter_context(mounted("-t", "tmpfs", "tmpfs", point))
            (point / "secret.txt").write_text(at.canary)
        elif kind == "the kernel's files":
            stack.enter_context(mounted("-t", "proc", "proc", point))
        else:
            what = at.outside / "secret.txt" if is_file else at.outside
            stack.enter_context(mounted("--bind", what, point))
        inner = point if is_file else point / "secret.txt"
        for path in (str(inner), str(point), f"{point}/sub"):
            at.call("file_info", path=path)
            at.call("list_directory", path=path)
            at.call("search_files", path=path, pattern=".")
            assert at.call("read_file", path=path).is_error
        assert "secret.txt" not in at.call("search_files", path=str(room), glob="**", ignored=True).text
        at.call("search_files", path=str(room), pattern=".", ignored=True)
        for tool, arguments in (
            ("write_file", {"path": str(inner), "content": "pwned\n"}),
            ("write_file", {"path": f"{point}/new.txt", "content": "pwned\n"}),
            ("edit_file", {"path": str(inner), "edits": [{"old": "a", "new": "b"}]}),
            ("delete_file", {"path": str(point)}),
            ("delete_file", {"path": str(inner)}),
            ("move_file", {"source": str(point), "destination": f"{room}/elsewhere"}),
            ("move_file", {"source": str(inner), "destination": f"{room}/elsewhere"}),
            ("move_file", {"source": f"{room}/other", "destination": str(inner)}),
            ("move_file", {"source": f"{room}/other", "destination": f"{point}/new.txt"}),
        ):
            reply = at.call(tool, **arguments)
            assert reply.is_error and reply.code != "guard_failure", (tool, arguments, reply.text)
        if kind.endswith("below a folder"):
            for tool, arguments in (
                ("delete_file", {"path": f"{room}/d"}),
                ("move_file", {"source": f"{room}/d", "destination": f"{room}/e"}),
            ):
                assert at.call(tool, **arguments).is_error
        assert (room / "other").read_text() == "x\n"


@ROOT_ONLY
def test_something_mounted_between_two_calls(at: Served) -> None:
    room = at.room()
    (room / "m").mkdir()
    at.done("write_file", path=f"{room}/m/a.txt", content="one\n")
    gone = at.done("delete_file", path=f"{room}/m/a.txt")
    with mounted("--bind", at.outside, room / "m"):
        assert at.call("files_undo", id=gone.id).is_error
        assert at.call("write_file", path=f"{room}/m/a.txt", content="two\n").is_error
    at.done("files_undo", id=gone.id)
    assert (room / "m/a.txt").read_text() == "one\n"


# ---------------------------------------------------------------- devices, pipes, sockets, modes

SPECIAL = ("fifo", "socket", "null", "zero", "tty", "disk", "kmsg")
DEVICES = {"null": (1, 3), "zero": (1, 5), "tty": (5, 0), "disk": (7, 0), "kmsg": (1, 11)}


@ROOT_ONLY
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_is_never_opened(at: Served, kind: str) -> None:
    room = at.room()
    path = room / "s"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            os.chdir(room)
            made.bind("s")
            os.chdir("/")
    else:
        type = stat.S_IFBLK if kind == "disk" else stat.S_IFCHR
        os.mknod(path, type | 0o666, os.makedev(*DEVICES[kind]))
    (room / "link").symlink_to(path)
    (room / "x").write_text("x\n")
    for name in ("s", "link"):
        target = str(room / name)
        assert at.quick(2, "read_file", path=target).is_error
        assert at.quick(2, "read_file", path=target, tail=1).is_error
        assert at.quick(2, "write_file", path=target, content="x").is_error
        at.quick(2, "search_files", path=target, pattern=".")
        edits = [{"old": "a", "new": "b"}]
        assert at.quick(2, "edit_file", path=target, edits=edits).is_error
    assert at.quick(2, "move_file", source=f"{room}/x", destination=str(path)).is_error
    assert not at.quick(2, "file_info", path=str(path)).is_error
    assert not at.quick(2, "list_directory", path=str(room)).is_error
    assert not at.quick(2, "search_files", path=str(room), pattern="x", ignored=True).is_error
    reply = at.call("delete_file", path=str(path))
    if not reply.is_error:
        at.done("files_undo", id=reply.id)
    assert path.lstat()


def test_a_pipe_that_takes_the_place_of_a_file_never_blocks(at: Served) -> None:
    """Both are there by turns: between look and open it is the other one."""
    room = at.room()
    path, pipe = room / "a.txt", room / "p"
    path.write_text("text\n")
    os.mkfifo(pipe)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            path.rename(room / "t")
            pipe.rename(path)
            path.rename(pipe)
            (room / "t").rename(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(10):
            at.quick(2, "read_file", path=str(path))
            at.quick(2, "edit_file", path=str(path), edits=[{"old": "text", "new": "text!"}])
            at.quick(5, "search_files", path=str(room), pattern="text")
    finally:
        stop.set()
        thread.join()
    assert sorted(entry.name for entry in room.iterdir()) == ["a.txt", "p"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert re.fullmatch("text!*\n", path.read_text())


KERNEL = (
    "/proc/self/root/etc/passwd", "/proc/self/environ", "/proc/self/mem", "/proc/self/maps", "/proc/1/environ",
    "/proc/self/cwd/x", "/proc/self/fd/0", "/proc/self/fd/3", "/proc/thread-self/root/etc/passwd", "/dev/fd/0",
    "/dev/stdin", "/dev/stdout", "/dev/tty", "/dev/mem", "/dev/sda", "/sys/kernel/notes", "/proc/kcore",
    "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper", "/dev/shm/x",
    "/proc/self/task/../root/etc/passwd", "/run/docker.sock", "/etc/shadow", "/root/.ssh/id_rsa",
)  # fmt: skip


@pytest.mark.parametrize("path", KERNEL)
def test_the_kernels_files_are_out_of_bounds_by_name_and_by_link(at: Served, path: str) -> None:
    room = at.room()
    (room / "link").symlink_to(path)
    (room / "up").symlink_to(path.rsplit("/", 1)[0])
    for named in (path, f"{room}/link", f"{room}/up/{path.rsplit('/', 1)[1]}"):
        at.refused("read_file", path=named)
        at.refused("write_file", path=named, content='{"jsonrpc":"2.0","id":1,"result":{}}\n')
        at.refused("edit_file", path=named, edits=[{"old": "a", "new": "b"}])
        at.call("search_files", path=named, pattern=".")
    at.refused("list_directory", path=f"{room}/up")
    at.refused("move_file", source=path, destination=f"{room}/stolen")


MODES = (0o4755, 0o2755, 0o6755, 0o1777)


@pytest.mark.parametrize("mode", MODES)
def test_no_call_makes_a_program_of_somebody_else(at: Served, mode: int) -> None:
    room = at.room()
    path = room / "program"
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    reply = at.call("write_file", path=str(path), content="#!/bin/sh\nid\n")
    assert reply.is_error or not path.stat().st_mode & 0o6000
    assert not at.call("write_file", path=f"{room}/new", content="x", mode="4755").text.startswith("done")


# ---------------------------------------------------------------- size and number


def test_a_hole_of_gigabytes_costs_neither_time_nor_memory(at: Served) -> None:
    room = at.room()
    for name, size in (("hole", 2 << 30), ("larger", 1 << 40)):
        with (room / name).open("wb") as hole:
            hole.truncate(size)
            hole.seek(size - 6)
            hole.write(b"\nlast\n")
    before = _memory(at.peer.process.pid)
    for name in ("hole", "larger"):
        for more in ({}, {"tail": 1}, {"offset": 10**9}, {"limit": 1}):
            at.quick(5, "read_file", path=f"{room}/{name}", **more)
        at.quick(5, "edit_file", path=f"{room}/{name}", edits=[{"old": "last", "new": "x"}])
        at.quick(5, "search_files", path=f"{room}/{name}", pattern="last")
        at.quick(5, "write_file", path=f"{room}/{name}", content="x")
    at.quick(5, "search_files", path=str(room), pattern="last")
    assert _memory(at.peer.process.pid) - before < 128 << 20


def test_a_file_that_grows_and_shrinks_while_it_is_read(at: Served) -> None:
    path = at.room() / "log"
    path.write_bytes(b"line\n")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with path.open("ab") as log:
                log.write(b"line of a log that grows\n" * 100_000)
            if path.stat().st_size > 30_000_000:
                os.truncate(path, 0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            for more in ({}, {"tail": 5}, {"offset": 100_000, "limit": 3}):
                text = at.quick(5, "read_file", path=str(path), **more).text
                assert len(text) < 20_000
            at.quick(5, "search_files", path=str(path), pattern="grows", limit=1)
    finally:
        stop.set()
        thread.join()


def test_a_folder_of_very_many_entries(at: Served) -> None:
    room = at.room()
    (room / "many").mkdir()
    fd = os.open(room / "many", os.O_RDONLY)
    for i in range(8_000):
        os.mknod(f"e{i}", dir_fd=fd)
    os.close(fd)
    assert not at.quick(5, "list_directory", path=f"{room}/many", limit=2000).is_error
    assert "e7999" in at.done("list_directory", path=f"{room}/many", after="e7998").text
    assert not at.quick(5, "search_files", path=f"{room}/many", glob="e799*").is_error
    assert at.quick(5, "delete_file", path=f"{room}/many").is_error
    subprocess.run(["rm", "-rf", str(room)], check=True)


def test_a_very_deep_tree(at: Served) -> None:
    room = at.room()
    fd = os.open(room, os.O_RDONLY)
    for _ in range(500):  # deeper than any path can say
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    at.quick(5, "list_directory", path=f"{room}/d")
    at.quick(5, "search_files", path=str(room), glob="**")
    for tool, arguments in (
        ("delete_file", {"path": f"{room}/d"}),
        ("move_file", {"source": f"{room}/d", "destination": f"{room}/e"}),
        ("read_file", {"path": f"{room}/{'d/' * 1500}x"}),
        ("write_file", {"path": f"{room}/{'d/' * 1500}x", "content": ""}),
    ):
        assert "guard_failure" not in at.quick(5, tool, **arguments).text
    subprocess.run(["rm", "-rf", str(room)], check=True)


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
