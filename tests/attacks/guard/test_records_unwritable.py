"""Where nothing can be recorded nothing runs, reads included; and when it can again, all goes on by itself.

Stopped by: the durable `permitted` record before every change, and answers that are withheld until their outcome
record is written (design, section 3). Real file systems, so these need to be root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin.apart import Peer

from .conftest import World, until


def mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True).returncode == 0


@pytest.fixture
def small(world: World) -> Iterator[World]:
    """A home on a small file system of its own."""
    size = ["-t", "tmpfs", "-o", "size=80m,mode=0700", "tmpfs"]
    cache = world.home / "cache"
    kept = world.apart.folder / "cache"
    if cache.exists():
        cache.rename(kept)
    world.home.mkdir(exist_ok=True, mode=0o700)
    if os.geteuid() != 0 or not mount(*size, os.fspath(world.home)):
        pytest.skip("mounting needs root")
    try:
        if kept.exists():
            subprocess.run(["cp", "-a", kept, cache], check=True)
        world.policy("")
        yield world
    finally:
        world.close()
        subprocess.run(["umount", "-l", world.home], check=False)


def recovers(world: World, peer: Peer) -> None:
    reading = {"path": str(world.work / "a.txt")}
    until(lambda: not peer.call("read_file", **reading).is_error)
    reply = peer.call("write_file", path=str(world.work / "b.txt"), content="x\n")
    assert not reply.is_error, reply.text
    assert not peer.call("files_undo", id=reply.id).is_error
    peer.close()
    done = world.apart.cli("audit", "verify")
    assert done.returncode == 0, done.stdout


def test_a_home_that_is_read_only(small: World) -> None:
    """No server starts on it, and the command line says what is wrong."""
    assert mount("-o", "remount,ro", os.fspath(small.home))
    try:
        command = small.apart.command("serve", "files")
        done = subprocess.run(
            command, env=small.apart.environment, input="", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and done.stdout == "" and "read-only" in done.stderr.lower(), done.stderr
        assert "Traceback" not in done.stderr
        assert small.apart.cli("doctor").returncode == 1
        halted = small.apart.cli("halt")
        assert (
            halted.returncode == 1
            and "Traceback" not in halted.stderr
            and "none of its servers is known to run" in halted.stderr
        )
    finally:
        assert mount("-o", "remount,rw", os.fspath(small.home))
    recovers(small, small.peer())


def test_a_full_disk(small: World) -> None:
    """The reserve keeps reading and undo going while it lasts; changes are refused."""
    peer = small.peer()
    made = peer.call("write_file", path=str(small.work / "c.txt"), content="x\n")
    assert not made.is_error
    assert (small.home / "reserve").exists()
    fill = Path(small.home) / "filler"
    with fill.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    with fill.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0")
        except OSError:
            pass
    target = small.work / "b.txt"
    reply = peer.call("write_file", path=str(target), content="x\n")
    assert reply.code == "guard_failure" and not target.exists(), reply.text
    assert not peer.call("read_file", path=str(small.work / "a.txt")).is_error
    undone = peer.call("files_undo", id=made.id)
    assert not undone.is_error and not (small.work / "c.txt").exists(), undone.text
    fill.unlink()
    recovers(small, peer)


def test_records_that_can_no_longer_be_appended_to(world: World) -> None:
    """`chattr +i` on the chain: root's own append fails."""
    world.policy("")
    peer = world.peer()
    assert not peer.call("read_file", path=str(world.work / "a.txt")).is_error
    chains = [os.fspath(path) for path in (world.home / "audit").glob("*.jsonl")]
    if subprocess.run(["chattr", "+i", *chains], capture_output=True).returncode != 0:
        pytest.skip("this file system has no immutable files, or we are not root")
    try:
        # A descriptor that is open already may still be written by Linux: a server that starts now cannot.
        again = world.peer()
        reply = again.call("write_file", path=str(world.work / "b.txt"), content="x\n")
        told = reply.code == "guard_failure" and not (world.work / "b.txt").exists()
        assert told or not reply.is_error, reply.text
    finally:
        subprocess.run(["chattr", "-i", *chains], check=True)
    assert not peer.call("read_file", path=str(world.work / "a.txt")).is_error
    assert world.apart.cli("audit", "verify").returncode == 0
