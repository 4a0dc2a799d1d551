"""The kill switch: in force by the presence of a file, released by a person, heard by every running server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from guard.ledgers import Ledgers, make_call, make_look, open_ledgers, principal, python, together

from interlock.guard import statements
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.halt import running as running_module
from interlock.guard.halt.switch import Halt, Order, Watcher, halt_all, register, resume_all, running
from interlock.guard.keys import Person, create_keys
from interlock.guard.processes import myself


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledgers:
    monkeypatch.setattr(running_module, "folders", lambda: [tmp_path / "servers"])
    return open_ledgers(tmp_path)


@pytest.fixture
def halt(it: Ledgers) -> Halt:
    """As a server has it."""
    return Halt(it.home, it.state, it.keys)


def halted(halt: Halt, agent: str = "bot", server: str = "files", change: bool = True) -> bool:
    try:
        halt.check(principal(agent), server, change)
    except Refused as refusal:
        assert refusal.code is Code.HALTED and "interlock resume" in refusal.hint
        return True
    return False


# ---------------------------------------------------------------- the file


def test_touching_the_file_halts_everything_and_removing_it_releases(it: Ledgers, halt: Halt) -> None:
    assert not halted(halt)
    (it.home / "HALT").touch()
    assert halted(halt) and halted(halt, change=False) and halted(halt, "other", "git")
    assert halt.describe().startswith("everything halted by ")
    (it.home / "HALT").unlink()
    assert not halted(halt)


@pytest.mark.parametrize(
    "content",
    [
        b"   \n",
        b"x",
        b"\xff\xfe",
        b"[]",
        b"{",
        b'{"changes_only": "yes"}',
        b'{"scope": "none"}',
        b'{"at": 1e999}',
        b'{"at": -1}',
        b'{"at": true}',
        b'{"agent": null}',
        b'{"agent": "other"} x',
        b'{"agent": "other"}\n{"agent": "nobody"',
        b"[" * 100_000,
        b'{"agent": "other", "reason": "' + b"x" * 70_000 + b'"}',
        b'{"agent": "other"}\n' * 51,
    ],
)
def test_whatever_cannot_be_understood_halts_everything(it: Ledgers, halt: Halt, content: bytes) -> None:
    (it.home / "HALT").write_bytes(content)
    assert halted(halt) and halted(halt, change=False)


def test_other_things_named_halt_halt_everything(it: Ledgers, halt: Halt) -> None:
    path = it.home / "HALT"
    path.mkdir()
    assert halted(halt)
    path.rmdir()
    path.symlink_to("/nowhere")
    assert halted(halt)
    path.unlink()
    os.mkfifo(path)
    assert halted(halt)
    path.unlink()
    assert not halted(halt)


def test_an_unreadable_file_halts_everything(it: Ledgers) -> None:
    script = """
import os, sys
from pathlib import Path
from interlock.guard.halt.switch import Halt
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(Halt(Path(sys.argv[1])).describe())
"""
    home = Path("/tmp") / f"interlock-test-{os.urandom(6).hex()}"
    home.mkdir()
    try:
        (home / "HALT").write_text('{"agent": "nobody"}')
        (home / "HALT").chmod(0o000)
        out, err = python(script, home).communicate(timeout=30)
        assert out.startswith("everything") and "cannot be read" in out, err
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


def test_a_halt_written_by_hand_may_be_narrow(it: Ledgers, halt: Halt) -> None:
    (it.home / "HALT").write_text('{"agent": "bot", "reason": "loops"}\n{"server": "git", "changes_only": true}\n')
    assert halted(halt) and halted(halt, change=False)
    assert not halted(halt, "other")
    assert halted(halt, "other", "git") and not halted(halt, "other", "git", change=False)


def test_each_change_of_the_file_is_seen_at_once(it: Ledgers, halt: Halt) -> None:
    for step in range(50):
        agent = f"agent-{step % 3}"
        (it.home / "HALT.new").write_text(json.dumps({"agent": agent}))
        (it.home / "HALT.new").rename(it.home / "HALT")
        assert [halted(halt, f"agent-{number}") for number in range(3)].index(True) == step % 3


# ---------------------------------------------------------------- ordered and released


def test_a_refusal_names_who_when_and_why(it: Ledgers, halt: Halt) -> None:
    Halt(it.home).halt("replicas flap\n\x1b[2J", by="ops")
    with pytest.raises(Refused) as caught:
        halt.check(principal(), "files", False)
    message = caught.value.message
    assert message.startswith("halted by ops at 20") and "UTC: replicas flap" in message
    assert "\n" not in message and "\x1b" not in message


def test_scopes(it: Ledgers, halt: Halt) -> None:
    Halt(it.home).halt("a", changes_only=True)
    assert halted(halt) and not halted(halt, change=False)
    Halt(it.home).halt("b", agent="bot", server="git")
    assert halted(halt, server="git", change=False) and not halted(halt, "other", "git", change=False)
    assert [order.reason for order in halt.orders()] == ["a", "b"]


def test_an_order_does_not_narrow_a_touched_file(it: Ledgers, halt: Halt) -> None:
    (it.home / "HALT").touch()
    Halt(it.home).halt("a", agent="other")
    assert halted(halt, "bot", change=False)


def test_orders_given_together_are_all_kept(it: Ledgers, halt: Halt) -> None:
    script = """
import json, sys
from pathlib import Path
from interlock.guard.halt.switch import Halt
print("ready", flush=True); sys.stdin.readline()
for number in range(10):
    Halt(Path(sys.argv[1])).halt("r", agent=f"{sys.argv[2]}-{number}")
print(json.dumps(True))
"""
    together([python(script, it.home, name) for name in "abc"])
    assert {order.agent for order in halt.orders()} == {f"{name}-{number}" for name in "abc" for number in range(10)}


def test_too_many_orders_become_one_that_halts_everything(it: Ledgers, halt: Halt) -> None:
    for number in range(60):
        Halt(it.home).halt("r", agent=f"other-{number}")
    assert halted(halt)


def test_resume_releases_one_or_all(it: Ledgers, halt: Halt) -> None:
    one, two = Halt(it.home).halt("a", agent="bot"), Halt(it.home).halt("b", agent="other")
    assert halted(halt) and halted(halt, "other")
    assert resume_all(it.home, it.state, it.keys, it.person, one.id) == 1
    assert not halted(halt) and halted(halt, "other")
    assert resume_all(it.home, it.state, it.keys, it.person) == 1
    assert not halted(halt, "other") and not (it.home / "HALT").exists()
    assert resume_all(it.home, it.state, it.keys, it.person) == 0
    assert two.id != one.id


def test_resume_releases_a_touched_file_too(it: Ledgers, halt: Halt) -> None:
    (it.home / "HALT").touch()
    assert resume_all(it.home, it.state, it.keys, it.person) == 1
    assert not halted(halt)


def test_removing_the_file_of_an_order_does_not_release_it(it: Ledgers, halt: Halt) -> None:
    order = Halt(it.home).halt("stop")
    assert halted(halt)
    (it.home / "HALT").unlink()
    assert halted(halt)
    assert halted(Halt(it.home, it.state, it.keys))  # nor does a restart
    assert resume_all(it.home, it.state, it.keys, it.person, order.id) == 1
    assert not halted(halt) and not halted(Halt(it.home, it.state, it.keys))


def test_a_resume_that_the_person_did_not_sign_releases_nothing(it: Ledgers, halt: Halt, tmp_path: Path) -> None:
    order = Halt(it.home).halt("stop")
    assert halted(halt)
    stranger = Person.load(None, create_keys(None, tmp_path / "stranger"))
    with pytest.raises(Broken, match="would not accept this key"):
        resume_all(it.home, it.state, it.keys, stranger)
    assert halted(halt)
    statements.sign_and_store(stranger, it.state, "resume", orders=[order.id])
    (it.home / "HALT").unlink()
    with it.state.tx() as db:
        db.execute("DELETE FROM halts")
    assert halted(halt)  # a server that has seen it goes on refusing
    assert resume_all(it.home, it.state, it.keys, it.person) == 1
    assert not halted(halt)


def test_a_broken_state_does_not_release_a_halt(it: Ledgers, halt: Halt) -> None:
    Halt(it.home).halt("stop")
    assert halted(halt)
    it.state.close()
    good = (it.home / "state.db").read_bytes()
    (it.home / "state.db").write_bytes(b"nonsense" * 1000)
    (it.home / "HALT").unlink()
    assert halted(halt)
    Halt(it.home).halt("again")
    assert halted(halt)
    (it.home / "state.db").write_bytes(good)
    resume_all(it.home, it.state, it.keys, it.person)
    assert not halted(halt)


# ---------------------------------------------------------------- running servers


def test_registered_servers_are_listed_until_they_leave(it: Ledgers) -> None:
    registration = register("files", it.home, "bot")
    (one,) = running()
    assert (one.server, one.agent, one.home, one.pid) == ("files", "bot", it.home, os.getpid())
    assert registration.folders == (it.home.parent / "servers",)
    registration.remove()
    assert running() == [] and list((it.home.parent / "servers").iterdir()) == []


def test_what_a_dead_server_left_is_cleared_away(it: Ledgers) -> None:
    registration = register("files", it.home, "bot")
    folder = registration.folders[0]
    (file,) = folder.glob("*.json")
    said = json.loads(file.read_text())
    for changed in ({"start": said["start"] + 1}, {"boot": "another"}, {"pid": 2**22 + 5}):
        file.write_text(json.dumps({**said, **changed}))
        assert running() == [] and list(folder.iterdir()) == []
        file.write_text(json.dumps(said))
        assert len(running()) == 1


def test_registering_clears_away_what_killed_servers_left(it: Ledgers) -> None:
    gone = register("files", it.home, "bot")
    folder = gone.folders[0]
    (file,) = folder.glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": 2**22 + 5}))
    for name in ("files-1-aaaaaa.ack", ".files-1-aaaaaa.new"):
        (folder / name).touch()
        os.utime(folder / name, (1, 1))
    (folder / "files-2-bbbbbb.ack").touch()  # one that registers at this moment
    register("git", it.home, "bot")
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"git", "files"}
    assert [path.name for path in folder.glob("*files*")] == ["files-2-bbbbbb.ack"]


def test_rubbish_in_the_folder_harms_nothing(it: Ledgers) -> None:
    registration = register("files", it.home, "bot")
    folder = registration.folders[0]
    (folder / "x.json").write_text("nonsense")
    (folder / "y.json").write_text("[1]")
    (folder / "z.json").mkdir()
    os.mkfifo(folder / "f.json")
    assert len(running()) == 1


def test_the_folder_is_the_accounts_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = running_module.folders()
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(variable, "/elsewhere")
    assert running_module.folders() == before
    assert str(os.getuid()) in before[-1].name


def test_a_server_that_cannot_register_does_not_serve(it: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    (it.home.parent / "servers").mkdir()
    (it.home.parent / "servers").chmod(0o777)
    (it.home.parent / "servers" / "x").touch()
    with pytest.raises(Broken, match="open to other accounts"):
        register("files", it.home)
    with pytest.raises(Broken):
        register("files", it.home, folder=Path("/proc/nowhere"))


def test_a_watcher_carries_an_order_out_once_and_acknowledges(it: Ledgers, halt: Halt) -> None:
    registration = register("files", it.home, "bot")
    heard: list[Order] = []
    watcher = Watcher(halt, registration, heard.append)
    watcher.look()
    assert heard == []
    mine, others = Halt(it.home).halt("a", agent="bot"), Halt(it.home).halt("b", agent="other")
    watcher.look()
    watcher.look()
    assert [order.id for order in heard] == [mine.id]
    said = json.loads(next(registration.folders[0].glob("*.ack")).read_text())
    assert said == {"orders": [mine.id, others.id]}
    (it.home / "HALT").write_text("")
    watcher.look()
    assert len(heard) == 2


def test_a_watcher_tries_again_when_ending_what_waits_fails(it: Ledgers, halt: Halt) -> None:
    registration = register("files", it.home, "bot")
    tries: list[Order] = []

    def flaky(order: Order) -> None:
        tries.append(order)
        if len(tries) == 1:
            raise Broken("the state is locked")

    watcher = Watcher(halt, registration, flaky)
    order = Halt(it.home).halt("a")
    with pytest.raises(Broken):
        watcher.look()
    assert order.id in next(registration.folders[0].glob("*.ack")).read_text()  # calls are refused already
    watcher.look()
    watcher.look()
    assert len(tries) == 2


SERVER = """
import os, sys, threading
from pathlib import Path
from interlock.guard.halt import running
running.folders = lambda: [Path(sys.argv[1])]
from interlock.guard.consent.approvals import Approvals
from interlock.guard.halt.switch import Halt, Watcher, register
from interlock.guard.keys import Keys
from interlock.guard.state import State
home = Path(sys.argv[2])
state, keys = State(home), Keys.load(Path(sys.argv[3]))
registration = register(sys.argv[4], home, sys.argv[5])
if sys.argv[6] == "confined":
    from interlock.sandbox.confine import confine
    reads = [Path(path) for path in (sys.prefix, sys.base_prefix, "/usr/lib", "/lib") if Path(path).exists()]
    confine(read=reads, write=[home, *registration.folders], network=False, mode="best-effort")
watcher = Watcher(Halt(home, state, keys), registration, Approvals(state, keys).void_all)
if sys.argv[6] != "deaf":
    watcher.start()
print("ready", flush=True)
sys.stdin.readline()
watcher.stop()
registration.remove()
print("left", flush=True)
"""


class Servers:
    def __init__(self, it: Ledgers) -> None:
        self.it = it
        self.processes: list[Any] = []

    def start(self, server: str = "files", agent: str = "bot", home: Path | None = None, how: str = "plain") -> Any:
        it = self.it
        process = python(SERVER, it.home.parent / "servers", home or it.home, it.keys_folder, server, agent, how)
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(running_module, "folders", lambda: [tmp_path / "servers"])
    from guard.ledgers import Clock

    servers = Servers(open_ledgers(tmp_path, Clock(time.time())))
    yield servers
    servers.stop()


def test_halt_reaches_servers_with_other_homes_and_ends_what_waits(servers: Servers, tmp_path: Path) -> None:
    it = servers.it
    other = open_ledgers(tmp_path / "other", it.clock)
    servers.start()
    servers.start("git", "other", other.home)
    ours, theirs = it.ask(make_call(), make_look()), other.ask(make_call(), make_look())
    reached = halt_all(it.home, by="ops", reason="stop")
    assert {(one.server, one.home, ok) for one, ok in reached} == {("files", it.home, True), ("git", other.home, True)}
    assert it.approvals.find(ours.id).status == other.approvals.find(theirs.id).status == "void"
    assert halted(Halt(it.home)) and halted(Halt(other.home))
    # The person's key is the account's, so one resume releases all; here the other home has keys of its own.
    theirs_halt = Halt(other.home, other.state, it.keys)
    assert halted(theirs_halt)
    assert resume_all(it.home, it.state, it.keys, it.person) == 1
    assert not halted(theirs_halt) and not halted(Halt(it.home, it.state, it.keys))


def test_a_confined_server_hears_acknowledges_and_leaves(servers: Servers) -> None:
    process = servers.start(how="confined")
    assert [ok for _, ok in halt_all(servers.it.home)] == [True]
    out, err = process.communicate("\n", timeout=30)
    assert out == "left\n", err
    assert list((servers.it.home.parent / "servers").iterdir()) == []


def test_a_server_that_does_not_answer_is_told_apart(servers: Servers) -> None:
    servers.start("files")
    servers.start("logs", how="deaf")
    reached = halt_all(servers.it.home, wait=0.7)
    assert {one.server: ok for one, ok in reached} == {"files": True, "logs": False}


def test_a_server_killed_meanwhile_is_gone(servers: Servers) -> None:
    process = servers.start(how="deaf")
    process.send_signal(signal.SIGSTOP)
    (one,) = running()
    process.kill()
    process.wait()
    assert running_module.wait_for_acknowledgements([one], "halt-x", 5) == [(one, True)]
    assert running() == []


def test_a_narrow_halt_waits_only_for_those_it_is_for(servers: Servers) -> None:
    servers.start("files", "a")
    servers.start("files", "b", how="deaf")
    reached = halt_all(servers.it.home, agent="a")
    assert [(one.agent, ok) for one, ok in reached] == [("a", True)]


def test_touching_the_file_ends_what_waits(servers: Servers) -> None:
    it = servers.it
    servers.start()
    pending = it.ask(make_call(), make_look())
    (it.home / "HALT").touch()
    end = time.monotonic() + 10
    while it.approvals.find(pending.id).status != "void":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_pid_start_and_boot_name_this_process(it: Ledgers) -> None:
    registration = register("files", it.home)
    said = json.loads(next(registration.folders[0].glob("*.json")).read_text())
    assert (said["pid"], said["start"], said["boot"]) == myself()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_where_nothing_can_be_written_the_hint_can_be_followed(it: Ledgers) -> None:
    register("files", it.home, "bot")
    for command in (["mount", "--bind", it.home, it.home], ["mount", "-o", "remount,ro,bind", it.home]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(Broken) as caught:
            Halt(it.home).halt("now")
    finally:
        subprocess.run(["umount", "-l", it.home], check=True)
    assert "read-only" in caught.value.message
    assert f"kill {os.getpid()}" in caught.value.hint and "touch" not in caught.value.hint
