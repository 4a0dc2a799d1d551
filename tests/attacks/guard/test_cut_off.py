"""Calls that are cancelled, signalled or killed: nothing half done, nothing unrecorded, nothing left running.

Stopped by: cancel and signals end a call up to `permitted`; from then on a change ends by itself; what a kill leaves
is settled by comparing the world at the next start (design, section 3).
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from admin.apart import Peer

from .conftest import ASK, World, until


def children(pid: int) -> list[int]:
    found = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return found + [below for child in found for below in children(child)]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def leaves_quietly(peer: Peer, processes: list[int]) -> None:
    peer.process.wait(timeout=10)
    assert peer.process.returncode == 0
    until(lambda: all(gone(pid) for pid in processes))


def test_cancelled_while_it_waits_for_a_person(world: World, era: str) -> None:
    """The wait ends, the call is refused and recorded, and a later call is served as ever."""
    world.policy(ASK, wait="60s")
    peer, target = world.peer(era=era), world.work / "docs" / "d.md"
    call = peer.start("write_file", path=str(target), content="x\n")
    until(lambda: bool(world.forge("SELECT 1 FROM pending")))
    id = world.forge("SELECT id FROM pending")[0][0]
    peer.cancel(call)
    until(lambda: world.stages(id) == ["refused"])
    assert not peer.call("read_file", path=str(world.work / "a.txt")).is_error
    assert not target.exists()
    assert call not in peer.answers or "error" in peer.answers[call]


def test_cancelled_after_it_was_permitted_it_ends_and_is_recorded(world: World, era: str) -> None:
    world.policy("")
    peer, target = world.paused("before", era), world.work / "new.txt"
    call = peer.start("write_file", path=str(target), content="x\n")
    world.until_paused()
    peer.cancel(call)
    assert not peer.call("read_file", path=str(world.work / "a.txt")).is_error, "others are served meanwhile"
    world.go()
    until(lambda: world.changes()[0].status == "done")
    until(lambda: world.stages(world.changes()[0].id) == ["permitted", "done"])
    assert target.read_text() == "x\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_call_waits(world: World, number: signal.Signals) -> None:
    world.policy(ASK, wait="60s")
    peer, target = world.peer(), world.work / "docs" / "d.md"
    below = children(peer.process.pid)
    peer.start("write_file", path=str(target), content="x\n")
    until(lambda: bool(world.forge("SELECT 1 FROM pending")))
    peer.process.send_signal(number)
    leaves_quietly(peer, below)
    assert not target.exists() and list(world.apart.servers.glob("*.json")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_a_change_was_permitted(world: World, number: signal.Signals) -> None:
    """The change ends, with its outcome written, before the process does."""
    world.policy("")
    peer, target = world.paused("before"), world.work / "new.txt"
    below = children(peer.process.pid)
    peer.start("write_file", path=str(target), content="x\n")
    world.until_paused()
    peer.process.send_signal(number)
    world.go()
    leaves_quietly(peer, below)
    assert target.read_text() == "x\n"
    change = world.changes()[0]
    assert (change.status, world.stages(change.id)) == ("done", ["permitted", "done"])


def test_the_client_that_vanishes_leaves_no_process(world: World) -> None:
    world.policy("")
    peer = world.peer()
    below = children(peer.process.pid)
    peer.close()
    assert peer.process.returncode == 0
    until(lambda: all(gone(pid) for pid in below))


@pytest.mark.parametrize("where", ["before", "after"])
def test_killed_between_permitted_and_outcome(world: World, where: str) -> None:
    """The next start settles it by what the world says, and an undo still works."""
    world.policy("")
    peer, target = world.paused(where), world.work / "a.txt"
    below = children(peer.process.pid)
    peer.start("write_file", path=str(target), content="changed\n")
    world.until_paused()
    peer.process.send_signal(signal.SIGKILL)
    peer.process.wait(timeout=10)
    until(lambda: all(gone(pid) for pid in below))
    (change,) = world.changes()
    assert change.status == "permitted" and world.stages(change.id) == ["permitted"]
    again = world.peer()
    assert not again.call("files_guard").is_error
    (change,) = world.changes()
    if where == "before":
        assert (change.status, target.read_text()) == ("failed", "hello\n")
        assert world.stages(change.id) == ["permitted", "failed"]
        assert again.call("files_undo", id=change.id).is_error
    else:
        assert (change.status, target.read_text()) == ("done", "changed\n")
        assert world.stages(change.id) == ["permitted", "done"]
        assert not again.call("files_undo", id=change.id).is_error
        assert target.read_text() == "hello\n"
    assert [path.name for path in world.work.iterdir() if path.name.startswith(".interlock")] == []
    assert world.apart.cli("audit", "verify").returncode == 0


def test_a_change_of_a_killed_server_that_somebody_went_on_with_is_unknown(world: World) -> None:
    """Neither before nor after: it is said, and blocks the place until a person has looked."""
    world.policy("")
    peer, target = world.paused("before"), world.work / "a.txt"
    peer.start("write_file", path=str(target), content="changed\n")
    world.until_paused()
    peer.process.kill()
    peer.process.wait(timeout=10)
    target.write_text("by somebody else\n")
    again = world.peer()
    reply = again.call("write_file", path=str(target), content="once more\n")
    assert reply.code == "unknown", reply.text
    (change,) = world.changes()
    assert change.status == "unknown" and target.read_text() == "by somebody else\n"
    assert not again.call("read_file", path=str(target)).is_error
    assert change.id in world.apart.cli("status").stdout
    assert world.apart.cli("audit", "repair", change.id).returncode == 0
    assert not again.call("write_file", path=str(target), content="once more\n").is_error


def test_no_secret_of_the_environment_and_no_core(world: World) -> None:
    """A server dumps no core, for it holds keys; and what a client's environment holds reaches no answer."""
    secret = "env-" + "k3j9x7w2m5q8"
    world.policy("")
    peer = world.peer(AWS_SECRET_ACCESS_KEY=secret)
    limits = Path(f"/proc/{peer.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()
    assert core[4:6] == ["0", "0"], core
    texts = [peer.call("files_guard").text]
    for path in (f"/proc/{peer.process.pid}/environ", "/proc/self/environ", "$AWS_SECRET_ACCESS_KEY"):
        reply = peer.call("read_file", path=path)
        assert reply.is_error
        texts.append(reply.text)
    texts += [path.read_text() for path in (world.home / "audit").glob("*.jsonl")]
    assert not [text for text in texts if secret in text]
