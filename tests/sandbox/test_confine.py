"""A confined server reaches its directories and nothing else, as root and as an ordinary user."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zoneinfo
from pathlib import Path
from typing import Any

import pytest

from interlock.guard.errors import Broken
from interlock.sandbox import confine as confining
from interlock.sandbox import kernel, landlock
from interlock.sandbox.confine import confine, probe

from .forked import attempt, forked

pytestmark = pytest.mark.skipif(landlock.abi() < 3, reason="needs Linux 6.2 or newer with Landlock enabled")


@pytest.fixture
def tree(place: Path) -> Path:
    for name in ("read", "write/sub", "home", "other"):
        (place / name).mkdir(parents=True)
    for name in ("read/a", "write/a", "other/a", "home/a"):
        (place / name).write_text("x")
        (place / name).chmod(0o666)
    (place / "read/link").symlink_to(place / "other/a")
    (place / "write/out").symlink_to(place / "other")
    for path in place.rglob("*"):
        if path.is_dir():
            path.chmod(0o777)
    return place


def _confined(tree: Path, **options: Any) -> None:
    confine([tree / "read"], [tree / "write", tree / "home", tree / "absent"], **options)


def test_reaches_its_roots_and_nothing_else(tree: Path, user: bool) -> None:
    def look() -> dict[str, str]:
        _confined(tree, mode="required")
        return {
            "read": attempt(lambda: (tree / "read/a").read_text()),
            "write into read": attempt(lambda: (tree / "read/b").write_text("")),
            "truncate in read": attempt(lambda: os.truncate(tree / "read/a", 0)),
            "write": attempt(lambda: (tree / "write/a").write_text("y")),
            "rename across": attempt(lambda: (tree / "write/a").rename(tree / "home/kept")),
            "rename back": attempt(lambda: (tree / "home/kept").rename(tree / "write/sub/a")),
            "link out": attempt(lambda: os.link(tree / "write/sub/a", tree / "other/b")),
            "other": attempt(lambda: (tree / "other/a").read_text()),
            "by link": attempt(lambda: (tree / "read/link").read_text()),
            "by dots": attempt(lambda: Path(f"{tree}/read/../other/a").read_text()),
            "through a linked folder": attempt(lambda: (tree / "write/out/new").write_text("")),
            "passwords": attempt(lambda: Path("/etc/shadow").read_bytes()),
            "temporary": attempt(lambda: Path("/tmp/interlock-nowhere").write_text("")),
            "device": attempt(lambda: os.mknod(tree / "write/null", 0o600 | 0o020000, os.makedev(1, 3))),
        }

    told = forked(look, user=user)
    assert told.pop("device") in ("EACCES", "EPERM")
    assert told == {
        "read": "ok",
        "write into read": "EACCES",
        "truncate in read": "EACCES",
        "write": "ok",
        "rename across": "ok",
        "rename back": "ok",
        "link out": "EACCES",
        "other": "EACCES",
        "by link": "EACCES",
        "by dots": "EACCES",
        "through a linked folder": "EACCES",
        "passwords": "EACCES",
        "temporary": "EACCES",
    }


def test_has_no_network_and_no_other_process(tree: Path, user: bool) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tree / "write/socket"))
    listening.listen()
    victim = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: int) -> str:
        return attempt(lambda: kernel.syscall(number, *arguments))

    def look() -> dict[str, str]:
        ready = socket.socket(socket.AF_UNIX)
        _confined(tree)
        return {
            "tcp": attempt(lambda: socket.socket()),
            "udp": attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
            "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
            "packet": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
            "unix": attempt(lambda: socket.socket(socket.AF_UNIX)),
            "connect": attempt(lambda: ready.connect(str(tree / "write/socket"))),
            "pair": attempt(lambda: socket.socketpair()),
            "signal": attempt(lambda: os.kill(victim.pid, signal.SIGTERM)),
            "memory": attempt(lambda: Path(f"/proc/{victim.pid}/mem").open("rb")),
            "environment": attempt(lambda: Path(f"/proc/{victim.pid}/environ").read_bytes()),
            "its root": attempt(lambda: list(Path(f"/proc/{victim.pid}/root").iterdir())),
            "alive": attempt(lambda: Path(f"/proc/{victim.pid}/stat").read_bytes()),
            "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
            "ptrace": call(_number("ptrace"), 16, victim.pid, 0, 0),
            "namespace": call(_number("unshare"), 0x10000000),
            "io_uring": call(_number("io_uring_setup"), 1, 0),
            "mount": call(_number("mount"), 0, 0, 0, 0, 0),
        }

    try:
        told = forked(look, user=user)
    finally:
        victim.communicate()
        listening.close()
    assert libc is not None
    allowed = {name for name, result in told.items() if result == "ok"}
    assert allowed == {"unix", "pair", "alive"}, told
    for name in ("tcp", "udp", "netlink", "packet", "connect", "ptrace", "namespace", "io_uring", "mount"):
        assert told[name] == "EPERM", (name, told[name])


def _number(name: str) -> int:
    from interlock.sandbox.syscalls import NUMBERS

    return NUMBERS[kernel.machine()][name]


def test_threads_and_libraries_work_and_are_confined(tree: Path) -> None:
    def look() -> dict[str, Any]:
        _confined(tree)
        import colorsys  # not imported before: found and read after the confinement

        import tomlkit

        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(attempt(lambda: (tree / "other/a").read_text())))
        thread.start()
        thread.join()
        base = sqlite3.connect(tree / "home/state.db")
        base.execute("pragma journal_mode=wal")
        base.execute("create table t(x)")
        base.commit()
        return {
            "thread": seen[0],
            "asyncio": asyncio.run(asyncio.to_thread(lambda: attempt(lambda: (tree / "other/a").read_text()))),
            "zone": zoneinfo.ZoneInfo("Europe/Berlin").key,
            "random": len(os.urandom(4)),
            "null": attempt(lambda: Path("/dev/null").write_text("x")),
            "modules": [colorsys.__name__, tomlkit.__name__],
        }

    assert forked(look) == {
        "thread": "EACCES",
        "asyncio": "EACCES",
        "zone": "Europe/Berlin",
        "random": 4,
        "null": "ok",
        "modules": ["colorsys", "tomlkit"],
    }


def test_root_keeps_only_what_files_need(tree: Path) -> None:
    def look() -> int:
        _confined(tree)
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("CapPrm")).split()[1], 16)

    assert forked(look) & ~kernel.FILE_CAPABILITIES == 0


def test_a_thread_that_runs_already_is_a_fault(tree: Path) -> None:
    def look() -> str:
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        try:
            _confined(tree)
        except Broken as error:
            return error.message
        finally:
            done.set()
            thread.join()
        return ""

    assert "already runs threads" in forked(look)


def test_required_refuses_what_best_effort_reports(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(Broken, match="confine: required"):
        _confined(tree, mode="required")

    def look() -> tuple[bool, str]:
        confinement = confine([tree / "read"], [])
        return confinement.full, attempt(lambda: socket.socket())

    full, network = forked(look)
    assert not full
    assert network == "EPERM"  # what the kernel can do is done all the same


@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_every_older_kernel_interface_is_spoken(tree: Path, version: int) -> None:
    def look() -> tuple[str, str]:
        kernel.no_new_privileges()
        landlock.restrict([(tree / "read", landlock.READ)], version=version)
        return attempt(lambda: (tree / "read/a").read_text()), attempt(lambda: (tree / "other/a").read_text())

    assert forked(look) == ("ok", "EACCES")


def test_the_working_directory_is_not_let_in_by_the_import_path(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "other")
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tree / "other"))
    assert not [path for path in confining.interpreter_paths() if (tree / "other").is_relative_to(path)]


def test_elsewhere_it_says_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "LINUX", False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [line.ok for line in probe()] == [False, False]
    assert "macOS" in probe()[0].detail
    assert not confine([], []).full


def test_it_costs_little(tree: Path) -> None:
    def look() -> float:
        begin = time.perf_counter()
        _confined(tree)
        return time.perf_counter() - begin

    assert forked(look) >= 0  # the figure is bench/sandbox.py's; here it only has to end
