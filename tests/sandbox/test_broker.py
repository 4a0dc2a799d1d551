"""The broker starts what its table says, holds it in, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.guard.errors import Broken, Failed, Refused
from interlock.sandbox import landlock
from interlock.sandbox.broker import BrokerClient, Program, start_broker
from interlock.sandbox.confine import confine

from .forked import forked

_BIN = (Path("/bin"), Path("/usr/bin"))
PROGRAMS = {
    "cat": Program(Path("/bin/cat")),
    "true": Program(Path("/bin/true")),
    "sh": Program(Path("/bin/sh"), read=_BIN, execute=_BIN, limits={"files": 64, "cpu": 20}),
    "set": Program(Path("/usr/bin/env"), environment={"FIXED": "1"}, variables=frozenset({"FREE"})),
    "absent": Program(Path("/nowhere/absent")),
    "python": Program(Path(sys.executable).resolve(), read=(Path(sys.base_prefix),)),
    "online": Program(Path(sys.executable).resolve(), read=(Path(sys.base_prefix),), network=True),
    "agent": Program(Path(sys.executable).resolve(), read=(Path(sys.base_prefix),), unix_sockets=True),
    "one-port": Program(Path(sys.executable).resolve(), read=(Path(sys.base_prefix),), network=True, ports=(6443,)),
}


@pytest.fixture
def broker() -> Iterator[BrokerClient]:
    client = _start(PROGRAMS)
    yield client
    client.close()


def _start(programs: dict[str, Program], files: dict[str, Path] | None = None) -> BrokerClient:
    """In pytest other tests may have left threads; the broker's child has one all the same."""
    import interlock.sandbox.kernel as kernel

    count, kernel.thread_count = kernel.thread_count, lambda: 1
    try:
        return start_broker(programs, files)
    finally:
        kernel.thread_count = count


def _wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _running(word: str) -> list[int]:
    """Processes whose command line holds the word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def test_runs_and_returns(broker: BrokerClient) -> None:
    done = broker.run("cat", ["-"], stdin=b"line\n" * 100_000)
    assert (done.code, len(done.stdout), done.stderr, done.truncated) == (0, 500_000, b"", False)
    done = broker.run("sh", ["-c", "echo told >&2; exit 7"])
    assert (done.code, done.stdout, done.stderr) == (7, b"", b"told\n")
    assert broker.run("cat", []).stdout == b""  # no stdin unless given


def test_environment_is_rebuilt(broker: BrokerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CLIENT", "x")
    names = {line.split(b"=")[0] for line in broker.run("set", [], env={"FREE": "y"}).stdout.splitlines()}
    assert names == {b"PATH", b"HOME", b"LANG", b"LC_ALL", b"TZ", b"FIXED", b"FREE"}
    with pytest.raises(Failed, match="takes no variable"):
        broker.run("set", [], env={"LD_PRELOAD": "/x.so"})


def test_only_the_table(broker: BrokerClient) -> None:
    with pytest.raises(Failed, match="no such program"):
        broker.run("id", [])
    with pytest.raises(Failed, match="NUL"):
        broker.run("cat", ["a\0b"])
    with pytest.raises(Refused, match="too long"):
        broker.run("cat", ["x" * 200_000])
    assert broker.run("absent", []).code == 126
    assert broker.run("cat", ["-"], stdin=b"still there").stdout == b"still there"


@pytest.mark.skipif(not landlock.abi(), reason="needs a kernel with Landlock")
def test_children_are_held_in(broker: BrokerClient, place: Path) -> None:
    (place / "state").write_text("key")
    done = broker.run("cat", [str(place / "state"), "/etc/shadow"])
    assert done.code == 1
    assert done.stdout == b""
    assert done.stderr.count(b"denied") == 2
    program = """if 1:
        import errno, os, socket
        def attempt(f):
            try: return f() and "ok"
            except OSError as e: return errno.errorcode[e.errno]
        print(attempt(lambda: socket.socket()), attempt(lambda: socket.socket(socket.AF_UNIX).connect("/x")),
              attempt(lambda: os.kill(os.getppid(), 0) or 1), attempt(lambda: os.mkdir("/tmp/interlock-nowhere")),
              attempt(lambda: os.execv("/bin/true", ["true"])))
    """
    assert broker.run("python", ["-I", "-c", program]).stdout.split() == [
        b"EPERM",
        b"EPERM",
        b"EPERM",
        b"EACCES",
        b"EACCES",
    ]


@pytest.mark.skipif(landlock.abi() < 4, reason="needs a kernel with Landlock's TCP rules (6.7)")
def test_a_network_of_one_port(broker: BrokerClient) -> None:
    program = """if 1:
        import errno, socket
        def attempt(f):
            try: return f() or "ok"
            except OSError as e: return errno.errorcode[e.errno]
        def to(port): return attempt(lambda: socket.create_connection(("127.0.0.1", port)) and "ok")
        print(to(1), to(6443), attempt(lambda: socket.socket(socket.AF_UNIX) and "ok"),
              attempt(lambda: socket.socket().bind(("127.0.0.1", 0))))
    """
    assert broker.run("online", ["-I", "-c", program]).stdout.split() == [
        b"ECONNREFUSED",
        b"ECONNREFUSED",
        b"EPERM",
        b"EACCES",
    ]
    assert broker.run("one-port", ["-I", "-c", program]).stdout.split() == [
        b"EACCES",
        b"ECONNREFUSED",
        b"EPERM",
        b"EACCES",
    ]


def test_path_sockets_where_the_program_says_so(broker: BrokerClient, place: Path) -> None:
    program = """if 1:
        import errno, socket, sys
        def attempt(f):
            try: return f() or "ok"
            except OSError as e: return errno.errorcode[e.errno]
        path = socket.socket(socket.AF_UNIX)
        print(attempt(lambda: path.connect(sys.argv[1])), attempt(lambda: socket.socket() and "ok"))
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        listening.listen()
        run = [broker.run(name, ["-I", "-c", program, str(place / "socket")]) for name in ("agent", "python")]
    assert [done.stdout.split() for done in run] == [[b"ok", b"EPERM"], [b"EPERM", b"EPERM"]]


def test_limits_and_capabilities(broker: BrokerClient) -> None:
    told = broker.run("sh", ["-c", "ulimit -n; ulimit -c; umask"]).stdout.split()
    assert told == [b"64", b"0", b"0077"]


def test_ends_at_its_time_with_its_group(broker: BrokerClient) -> None:
    done = broker.run("sh", ["-c", "sleep 98761 & sleep 98761"], timeout=0.2)
    assert done.timed_out
    assert done.code == -signal.SIGKILL
    assert _wait(lambda: not _running("98761"))


def test_what_left_its_group_ends_too(broker: BrokerClient) -> None:
    done = broker.run("sh", ["-c", "setsid sh -c 'setsid sleep 98762 & sleep 98762' & sleep 0.3; echo end"])
    assert done.stdout == b"end\n"
    assert _wait(lambda: not _running("98762"))


def test_output_is_capped(broker: BrokerClient) -> None:
    done = broker.run("sh", ["-c", "yes; sleep 98763"], max_output=10_000)
    assert done.truncated
    assert len(done.stdout) == 10_000
    assert _wait(lambda: not _running("98763"))
    noisy = broker.run("sh", ["-c", "yes >&2 & sleep 0.3; kill %1; echo end"])
    assert noisy.stdout == b"end\n"
    assert len(noisy.stderr) <= 64_000


def test_stopped_by_the_caller(broker: BrokerClient) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    done = broker.run("sh", ["-c", "sleep 98764"], stop=stop)
    assert done.stopped
    assert not done.timed_out
    assert _wait(lambda: not _running("98764"))


def test_streams(broker: BrokerClient) -> None:
    with broker.start("sh", ["-c", "echo first; read x; echo $x; sleep 98765"], stdin=b"second\n") as process:
        assert process.pid > 0
        assert process.start_time > 0
        data = process.read()
        while data.count(b"\n") < 2:
            data += process.read()
        assert data == b"first\nsecond\n"
    assert _wait(lambda: not _running("98765"))


def test_directory_and_descriptors(broker: BrokerClient, place: Path) -> None:
    (place / "in").write_text("content")
    descriptor = os.open(place, os.O_RDONLY)
    source = os.open(place / "in", os.O_RDONLY)
    target = os.open(place / "out", os.O_WRONLY | os.O_CREAT)
    try:
        assert broker.run("sh", ["-c", "pwd -P"], cwd=descriptor).stdout.strip() == str(place).encode()
        assert broker.run("sh", ["-c", "pwd -P"], cwd=Path("/usr")).stdout == b"/usr\n"
        done = broker.run("cat", [], stdin=source, stdout_fd=target)
        assert done.code == 0
        assert (place / "out").read_text() == "content"
        shown = broker.run("python", ["-I", "-c", "import os; print(os.listdir('/proc/self/fd'))"]).stdout
        assert len(json.loads(shown.replace(b"'", b'"'))) <= 4  # stdin, stdout, stderr, and the one that lists
    finally:
        for number in (descriptor, source, target):
            os.close(number)


def test_opens_the_fixed_files_alone(place: Path) -> None:
    (place / "policy.yaml").write_text("old")
    client = _start({}, {"policy": place / "policy.yaml", "none": place / "none"})
    try:
        (place / "new").write_text("new")
        (place / "new").rename(place / "policy.yaml")
        with os.fdopen(client.open("policy")) as file:
            assert file.read() == "new"
        for name in ("none", "other", "../policy"):
            with pytest.raises(Failed):
                client.open(name)
    finally:
        client.close()


def test_many_at_once(broker: BrokerClient) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(10):
            text = f"{number}-{turn}".encode() * 1000
            if broker.run("cat", [], stdin=text).stdout != text:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_serves_a_confined_server(place: Path, user: bool) -> None:
    (place / "root").mkdir()
    (place / "root").chmod(0o777)

    def look() -> tuple[int, bytes]:
        client = start_broker({"sh": PROGRAMS["sh"]})
        confine([place / "root"], [])
        done = client.run("sh", ["-c", "cat -; echo done"], stdin=b"in ")
        client.close()
        return done.code, done.stdout

    assert forked(look, user=user) == (0, b"in done\n")


@pytest.mark.parametrize("how", ["kill -9", "exit", "broker killed"])
def test_nothing_outlives_the_server(how: str) -> None:
    script = f"""if 1:
        import json, os, pathlib, sys
        from interlock.sandbox.broker import Program, start_broker
        bins = (pathlib.Path("/bin"), pathlib.Path("/usr/bin"))
        client = start_broker({{"sh": Program(pathlib.Path("/bin/sh"), read=bins, execute=bins)}})
        a = client.start("sh", ["-c", "sleep 98766; sleep 1"], timeout=600)
        b = client.start("sh", ["-c", "setsid sleep 98767 & sleep 98766"], timeout=600)
        print(json.dumps([client.pid, a.pid, b.pid]), flush=True)
        sys.stdin.read()
        {"os._exit(0)" if how == "exit" else "pass"}
    """
    server = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    pids = json.loads(server.stdout.readline())
    assert _wait(lambda: len(_running("98766")) >= 2)
    if how == "kill -9":
        server.kill()
    elif how == "broker killed":
        os.kill(pids[0], signal.SIGKILL)
        for pid in pids[1:]:
            assert _wait(lambda pid=pid: not Path(f"/proc/{pid}").exists() or "Z" in _state(pid))
        server.kill()
    server.communicate()
    if how == "broker killed":  # what had left its group is nobody's then; the broker itself takes care of it else
        for pid in _running("9876"):
            os.kill(pid, signal.SIGKILL)
    assert _wait(lambda: not _running("98766") and not _running("98767"))
    assert _wait(lambda: not Path(f"/proc/{pids[0]}").exists() or _state(pids[0]) == "Z")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_a_lost_broker_is_told(broker: BrokerClient) -> None:
    os.kill(broker.pid, signal.SIGKILL)
    os.waitpid(broker.pid, 0)
    with pytest.raises(Broken, match="broker"):
        broker.run("true", [])


def test_the_clients_stdio_is_not_held(broker: BrokerClient) -> None:
    broker.run("true", [])  # it is up when it answers
    for number in (0, 1, 2):
        assert Path(f"/proc/{broker.pid}/fd/{number}").readlink() == Path("/dev/null")
    own = {str(path.readlink()) for path in Path(f"/proc/{broker.pid}/fd").iterdir()}
    assert all(target.startswith(("/dev/null", "socket:", "pipe:", "anon_inode:")) for target in own)


def test_threads_before_the_fork_are_a_fault() -> None:
    def look() -> str:
        done = threading.Event()
        threading.Thread(target=done.wait, daemon=True).start()
        try:
            start_broker({})
        except Broken as error:
            return error.message
        return ""

    assert "threads" in forked(look)
