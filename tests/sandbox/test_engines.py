"""Inside each engine: tools work on the stream they are given, and nothing else is there to be touched."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.guard.errors import Broken, Code, Failed, Refused
from interlock.sandbox import bubblewrap, containers, image, kernel, probing  # noqa: F401 - before we step down
from interlock.sandbox.broker import Program, start_broker
from interlock.sandbox.confine import confine
from interlock.sandbox.engines import Engine, Limits, Output, Settings, Step, open_engine

from .daemon import GVISOR, HOW, docker_daemon
from .forked import forked

TOOLS = tuple(image.TOOLS.split())
MIB = 1 << 20
BUBBLEWRAP = shutil.which("bwrap") is not None and sys.platform == "linux"
NO_BUBBLEWRAP = "needs bubblewrap: apt-get install bubblewrap"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A built image where everybody can read it."""
    place = Path(tempfile.mkdtemp(prefix="interlock-image-"))
    place.chmod(0o755)
    if not BUBBLEWRAP and shutil.which("dockerd") is None:
        pytest.skip(f"{NO_BUBBLEWRAP}; {HOW}")
    image.build(place)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def docker() -> Iterator[bool]:
    with docker_daemon() as there:
        yield there


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    count, kernel.thread_count = kernel.thread_count, lambda: 1  # other tests may have left threads
    try:
        engine = open_engine(settings)
    finally:
        kernel.thread_count = count
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module", params=["bubblewrap", "docker"])
def settings(request: pytest.FixtureRequest, folder: Path) -> Settings:
    if request.param == "docker":
        if not request.getfixturevalue("docker"):
            pytest.skip(HOW)
        containers.load_image(image.load(folder))
    elif not BUBBLEWRAP:
        pytest.skip(NO_BUBBLEWRAP)
    return Settings(TOOLS, folder, engine=request.param, memory=64 * MIB, temporary=8 * MIB, processes=32)


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    with opened(settings) as engine:
        yield engine


def run(engine: Engine, *steps: str | tuple[str, ...], data: bytes = b"", **limits: Any) -> Output:
    made = [Step(step) if isinstance(step, str) else Step(step[0], step[1:]) for step in steps]
    return engine.run(made, [data], Limits(**limits))


def _wait(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# work that is meant to be done


def test_a_pipeline(engine: Engine) -> None:
    lines = b"warn a\nerror b\nerror b\nerror c\n" * 1000
    output = run(engine, ("grep", "error"), "sort", ("uniq", "-c"), ("sort", "-rn"), data=lines)
    assert output.stdout.split() == [b"2000", b"error", b"b", b"1000", b"error", b"c"]
    assert output.codes == (0, 0, 0, 0)
    assert not output.stderr


def test_tools_of_the_trade(engine: Engine) -> None:
    data = b'{"level": "error", "n": 1}\n{"level": "info", "n": 2}\n'
    if "jq" in engine.tools:
        assert run(engine, ("jq", "-r", ".level"), data=data).stdout == b"error\ninfo\n"
    assert run(engine, ("awk", "{s += length($0)} END {print s, NR}"), data=b"ab\ncd\n").stdout == b"4 2\n"
    assert run(engine, ("sed", "-n", "s/^a/b/p"), ("tr", "b", "c"), data=b"ax\nbx\n").stdout == b"cx\n"
    large = b"".join(b"%08d\n" % number for number in range(300_000, 0, -1))
    output = run(engine, ("sort", "-S", "256k", "-T", "/tmp"), ("head", "-n", "1"), data=large)
    assert output.stdout == b"00000001\n"


def test_much_goes_through(engine: Engine) -> None:
    chunk = b"0123456789abcde\n" * 4096
    output = engine.run([Step("cat"), Step("wc", ("-c",))], (chunk for _ in range(512)), Limits(timeout=60))
    assert int(output.stdout) == 512 * len(chunk)


def test_input_is_taken_no_faster_than_it_is_read(engine: Engine) -> None:
    given: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(1_000_000):
            given.append(number)
            yield b"line\n" * 10_000

    assert engine.run([Step("head", ("-n", "1"))], source()).stdout == b"line\n"
    assert len(given) < 1000


def test_exit_codes_and_words(engine: Engine) -> None:
    assert run(engine, ("grep", "nothing"), ("wc", "-l"), data=b"x\n").codes == (1, 0)
    output = run(engine, ("grep", "-E", "("), data=b"x\n")
    assert output.codes == (2,)
    assert not output.over
    assert b"grep" in output.stderr
    assert run(engine, "cat", ("head", "-n", "1"), data=b"x\n" * 500_000).codes == (0, 0)


def test_a_step_cannot_say_that_it_is_over(engine: Engine) -> None:
    text = b"\n0123456789abcdef0123456789abcdef 0\n"
    assert run(engine, "cat", data=text).stdout == text
    assert run(engine, ("head", "-c", "0"), data=text).stdout == b""


# refused before anything is made


def test_only_allowed_programs(settings: Settings) -> None:
    with opened(Settings(("grep", "sort", "no-such-tool"), settings.folder, engine=settings.engine)) as engine:
        for steps, code in (
            ([Step("awk")], Code.DENIED),
            ([Step("grep", ("x",)), Step("../bin/awk")], Code.DENIED),
            ([Step("/usr/bin/grep")], Code.DENIED),
            ([Step("no-such-tool")], Code.INVALID),
            ([], Code.INVALID),
            ([Step("sort")] * 17, Code.INVALID),
            ([Step("grep", ("a\0b",))], Code.INVALID),
            ([Step("grep", ("x" * 200_000,))], Code.INVALID),
        ):
            with pytest.raises(Refused) as refused:
                engine.run(steps, [])
            assert refused.value.code == code


def test_allowed_by_glob(settings: Settings) -> None:
    with opened(Settings(("sha*sum", "uni[p-r]"), settings.folder, engine=settings.engine)) as engine:
        assert engine.tools == {"sha1sum", "sha256sum", "uniq"}
        assert run(engine, "uniq", data=b"a\na\n").stdout == b"a\n"
        with pytest.raises(Refused):
            run(engine, "md5sum")


# attempts


ESCAPES = {
    "awk runs a program": ("awk", 'BEGIN{print system("echo in > /tmp/x; cat /tmp/x")}'),
    "awk pipes": ("awk", 'BEGIN{"id" | getline x; print x}'),
    "awk writes": ("awk", 'BEGIN{print "x" > "/usr/bin/x"}'),
    "sort writes": ("sort", "-o", "/usr/bin/sort"),
    "sort compresses": ("sort", "-S", "1k", "--compress-program=/bin/sh"),
    "sed executes": ("sed", "1e id"),
    "sed writes": ("sed", "w /etc/x"),
    "split filters": ("split", "--filter=id"),
    "find executes": ("find", "/etc", "-maxdepth", "0", "-exec", "/bin/sh", "-c", "id", ";"),
    "find deletes": ("find", "/usr/bin", "-name", "grep", "-delete"),
    "xargs executes": ("xargs", "-I{}", "sh", "-c", "id"),
    "shadow": ("cat", "/etc/shadow"),
    "the host's name": ("cat", "/etc/machine-id"),
    "raw logs": ("find", "/var/log", "-type", "f"),
    "home": ("find", "/home", "/root/.ssh"),
    "docker": ("find", "/run", "/var/run", "-type", "s"),
    "devices": ("find", "/dev", "-type", "b"),
    "tcp": ("gawk", 'BEGIN{s = "/inet/tcp/0/127.0.0.1/22"; if ((s |& getline x) >= 0) print "in"}'),
    "udp": ("gawk", 'BEGIN{s = "/inet/udp/0/127.0.0.1/53"; if ((print "x" |& s) >= 0) print "in"}'),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_gains_nothing(engine: Engine, name: str) -> None:
    if ESCAPES[name][0] not in engine.tools:
        pytest.skip(f"this machine has no {ESCAPES[name][0]}")
    output = run(engine, ESCAPES[name], data=b"a line\n" * 2000)
    seen = output.stdout.replace(b"a line\n", b"")
    assert seen.strip() in (b"", b"127", b"-1"), output  # the status of a program that was not there


def test_writes_stay_in_its_memory(engine: Engine) -> None:
    for place in ("/", "/usr/", "/etc/", "/dev/", "/root/", "/proc/", "/usr/lib/interlock/"):
        output = run(engine, ("sort", "-o", f"{place}x"), data=b"x\n")
        assert output.codes == (2,), place
    assert run(engine, ("sort", "-o", "/tmp/x"), data=b"x\n").codes == (0,)
    assert run(engine, ("cat", "/tmp/x")).codes == (1,)  # each run begins empty
    too_much = run(engine, ("split", "-b", "1M", "-", "/tmp/part"), data=b"x" * (9 * MIB))
    assert too_much.codes != (0,)


def test_no_other_process_is_seen(engine: Engine) -> None:
    shown = run(engine, ("find", "/proc", "-maxdepth", "1", "-name", "[0-9]*")).stdout.split()
    assert len(shown) <= 2  # in Docker our own and find itself; in bubblewrap there is no /proc


def test_no_environment_of_ours_is_seen(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "x")
    with opened(settings) as engine:
        output = run(engine, ("awk", "BEGIN{for (name in ENVIRON) print name}"))
        assert set(output.stdout.split()) <= {b"PATH", b"HOME", b"TMPDIR", b"LC_ALL", b"TZ", b"AWKPATH", b"AWKLIBPATH"}
        for process in ("1", "2", "self"):
            assert b"OF_THE" not in run(engine, ("cat", f"/proc/{process}/environ")).stdout


def test_a_memory_hog_is_ended(engine: Engine) -> None:
    output = run(engine, ("awk", 'BEGIN{x = "xxxxxxxx"; while (1) x = x x}'), timeout=20)
    assert not output.timed_out
    assert output.codes != (0,)
    output = run(engine, ("tail", "-c", "900M"), data=b"x" * (200 * MIB), timeout=20)
    assert not output.timed_out
    assert output.codes != (0,)
    assert output.over or b"memory" in output.stderr
    assert run(engine, ("wc", "-l"), data=b"x\n").stdout == b"1\n"


def test_a_fork_bomb_is_ended(engine: Engine) -> None:
    """xargs starts as many finds as it can, each of which starts xargs with the same again."""
    bomb = (
        "xargs",
        "-P",
        "0",
        "-I{}",
        "xargs",
        "-a",
        "/tmp/{}",
        "-P",
        "0",
        "-n1",
        "find",
        "/usr",
        "-exec",
        "xargs",
        "{}",
        ";",
    )
    before = time.monotonic()
    output = run(engine, bomb, data=b"x\n" * 5000, timeout=3)
    assert time.monotonic() - before < 10
    assert output.timed_out or output.codes != (0,)
    assert run(engine, ("wc", "-l"), data=b"x\n").stdout == b"1\n"


def test_processes_are_counted(engine: Engine) -> None:
    """Many that wait: seen from outside, there are never more than the limit, though more were started."""
    most = 0
    begun = time.monotonic()

    def count() -> bool:
        nonlocal most
        most = max(most, len(_waiting()))
        return most >= 20 and time.monotonic() > begun + 1

    many = Step("xargs", ("-P", "500", "-n1", "tail", "-s", _OURS, "-f"))
    output = engine.run([many], [b"/dev/null\n" * 500], Limits(timeout=20), stop=count)
    assert 20 <= most <= engine.settings.processes
    assert output.stopped or b"fork" in output.stderr
    assert _wait(lambda: not _waiting())


_OURS = f"9.{os.getpid()}"  # seconds, and by them we know our own


def _waiting() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == f"tail\0-s\0{_OURS}\0-f\0/dev/null\0".encode():
                found.append(path.parent.name)
    return found


def test_time_and_output_end_it(engine: Engine) -> None:
    output = run(engine, ("awk", "BEGIN{while (1) ;}"), timeout=0.5)
    assert output.timed_out
    output = run(engine, ("awk", 'BEGIN{while (1) print "y"}'), output=1000)
    assert output.truncated
    assert len(output.stdout) == 1000
    noisy = run(engine, ("awk", 'BEGIN{for (i = 0; i < 200000; i++) print "y" > "/dev/stderr"; print "end"}'))
    assert noisy.stdout == b"end\n"
    assert len(noisy.stderr) <= 16_000


def test_stopped_by_the_caller(engine: Engine) -> None:
    begun = time.monotonic()
    output = engine.run(
        [Step("awk", ("BEGIN{while (1) ;}",))], [], Limits(timeout=30), stop=lambda: time.monotonic() > begun + 0.3
    )
    assert output.stopped
    assert not output.codes


def test_several_at_once(engine: Engine) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(3):
            text = f"{number} {turn}\n".encode() * 100
            output = run(engine, "cat", ("sort", "-u"), data=text, timeout=60)
            if output.stdout != text[: len(text) // 100]:
                wrong.append(output)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# the processes around it


def test_from_a_confined_server(settings: Settings, place: Path) -> None:
    def look() -> bytes:
        engine = open_engine(settings)
        confine([place], [])
        return run(engine, ("grep", "x"), ("wc", "-l"), data=b"x\ny\n").stdout

    assert forked(look) == b"1\n"


@pytest.mark.skipif(not BUBBLEWRAP, reason=NO_BUBBLEWRAP)
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are an ordinary user's already")
def test_bubblewrap_for_an_ordinary_user(folder: Path) -> None:
    """No control groups there: the limits of each process and their number must do."""

    def look() -> dict[str, object]:
        engine = open_engine(Settings(TOOLS, folder, memory=64 * MIB, temporary=8 * MIB, processes=16))
        try:
            hog = run(engine, ("awk", 'BEGIN{x = "xxxxxxxx"; while (1) x = x x}'), timeout=20)
            many = run(engine, ("xargs", "-P", "500", "-n1", "tail", "-f"), data=b"/dev/null\n" * 500, timeout=2)
            return {
                "works": run(engine, ("grep", "x"), ("wc", "-l"), data=b"x\ny\n").stdout,
                "hog": not hog.timed_out and hog.codes != (0,),
                "many": many.timed_out or b"fork" in many.stderr or b"Resource" in many.stderr,
                "write": run(engine, ("sort", "-o", "/usr/x"), data=b"x\n").codes,
                "again": run(engine, ("wc", "-l"), data=b"x\n").stdout,
            }
        finally:
            engine.close()

    expected = {"works": b"1\n", "hog": True, "many": True, "write": (2,), "again": b"1\n"}
    assert forked(look, user=True) == expected


@pytest.mark.skipif(not BUBBLEWRAP or os.geteuid() != 0, reason=f"{NO_BUBBLEWRAP}, and root")
def test_roots_sandbox_is_nobodys(folder: Path, place: Path) -> None:
    """A file of root's that stands in the tree itself is not readable: the process is not root to files."""
    built = image.load(folder)
    secret = built.root / "etc/only-root"
    secret.write_text("secret")
    secret.chmod(0o600)
    try:
        with opened(Settings(TOOLS, folder)) as engine:
            output = run(engine, ("cat", "/etc/only-root"))
            assert output.codes == (1,)
            assert b"denied" in output.stderr
            owners = until_nobodys(engine.pid)
            assert owners
            assert 0 not in owners
    finally:
        secret.unlink()


def until_nobodys(pid: int) -> set[int]:
    """Who the sandbox's processes run as, once the next one in the pool has dropped its rights too."""
    end = time.monotonic() + 10
    while True:
        owners = set()
        for one in _descendants(pid):
            with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
                owners.add(Path(f"/proc/{one}").stat().st_uid)
        if (owners and 0 not in owners) or time.monotonic() > end:
            return owners
        time.sleep(0.05)


def _descendants(pid: int) -> list[str]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in children for each in (child, *_descendants(int(child)))]


def test_nothing_is_left_after_kill_9(settings: Settings) -> None:
    script = f"""if 1:
        import json, pathlib, sys, threading
        from interlock.sandbox.engines import Limits, Settings, Step, open_engine
        folder = pathlib.Path({str(settings.folder)!r})
        engine = open_engine(Settings(("awk", "tail", "cat"), folder, engine={settings.engine!r}))
        def work():
            steps = [Step("awk", ("BEGIN{{while (1) ;}}",)), Step("tail", ("-f", "/dev/null"))]
            engine.run(steps, [], Limits(timeout=600))
        threading.Thread(target=work, daemon=True).start()
        engine.run([Step("cat")], [b"x"])
        print(json.dumps(engine.pid), flush=True)
        sys.stdin.read()
    """
    server = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    line = server.stdout.readline()
    keeper = json.loads(line)
    own = f"{keeper}-"
    if settings.engine == "docker":
        assert _wait(lambda: len(_containers(own)) >= 1)
        left: Callable[[], bool] = lambda: bool(_containers(own))  # noqa: E731
    else:
        assert _wait(lambda: len(_descendants(keeper)) >= 3)
        pids = _descendants(keeper)
        left = lambda: any(_lives(int(pid)) for pid in pids)  # noqa: E731
    server.kill()
    server.communicate()
    assert _wait(lambda: not left())
    assert _wait(lambda: not _lives(keeper))
    assert _wait(lambda: not list(Path("/sys/fs/cgroup").glob(f"*/**/interlock-{keeper}-*")))


def test_nothing_is_left_when_the_keeper_is_killed(settings: Settings) -> None:
    with opened(settings) as engine:
        run(engine, "cat", data=b"x")
        own = f"{engine.pid}-"
        pids = _descendants(engine.pid)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises((Broken, Failed)):
            run(engine, "cat", data=b"x")
            run(engine, "cat", data=b"x")
    assert _wait(lambda: not any(_lives(int(pid)) for pid in pids))
    if settings.engine == "docker":
        assert _wait(lambda: not _containers(own, running=True))
        with opened(settings) as engine:  # one that was only just created never ran: the next keeper removes it
            run(engine, "cat", data=b"x")
            assert _wait(lambda: not _containers(own))


def _containers(owner: str, running: bool = False) -> list[str]:
    client = containers.connect()
    try:
        found = client.api.containers(all=not running, filters={"label": containers.LABEL})
        return [each["Id"] for each in found if each["Labels"][containers.LABEL].startswith(owner)]
    finally:
        client.close()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_by_the_broker(settings: Settings, place: Path) -> None:
    """As a server does it: one early fork, one table, then confined; and nothing is left at the end."""

    def look() -> tuple[bytes, bytes, str, list[str]]:
        broker = start_broker()
        broker.configure({"cat": Program(Path("/bin/cat"))}, {}, settings)
        confine([place], [])
        assert broker.engine is not None
        kept = _descendants(broker.pid)
        found = run(broker.engine, ("grep", "x"), ("wc", "-l"), data=b"x\ny\n").stdout
        with pytest.raises(Broken, match="a table already"):
            broker.configure({"sh": Program(Path("/bin/sh"))}, {})
        with pytest.raises(Failed, match="no such program"):
            broker.run("sh", [])
        return found, broker.run("cat", ["-"], stdin=b"in").stdout, broker.engine.name, kept

    found, read, name, kept = forked(look)
    assert (found, read, name) == (b"1\n", b"in", settings.engine)
    assert kept
    assert _wait(lambda: not any(_lives(int(pid)) for pid in kept))
    if settings.engine == "docker":
        assert _wait(lambda: not _containers(f"{kept[0]}-"))


def test_the_broker_says_why_there_is_no_engine(place: Path) -> None:
    def look() -> tuple[str, str, bytes]:
        broker = start_broker()
        broker.configure({"cat": Program(Path("/bin/cat"))}, {}, Settings(TOOLS, place / "empty"))
        assert broker.engine is None
        assert broker.no_engine is not None
        return broker.no_engine.message, broker.no_engine.hint, broker.run("cat", ["-"], stdin=b"in").stdout

    message, hint, read = forked(look)
    assert "has not been built" in message or "not installed" in message
    assert hint
    assert read == b"in"


# no engine, no run


def test_no_engine_is_said_and_never_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    with pytest.raises(Broken, match="has not been built") as broken:
        open_engine(Settings(TOOLS, place / "empty"))
    assert "interlock sandbox build" in broken.value.hint
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(Broken, match="bubblewrap is not installed"):
        open_engine(Settings(TOOLS, folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}/no.sock")
    with pytest.raises(Broken, match="Docker cannot be reached"):
        open_engine(Settings(TOOLS, folder, engine="docker"))


def test_the_runtime_is_chosen(docker: bool, folder: Path) -> None:
    if not docker:
        pytest.skip(HOW)
    containers.load_image(image.load(folder))
    with pytest.raises(Broken, match="no runtime 'absent'"):
        open_engine(Settings(TOOLS, folder, engine="docker", runtime="absent"))
    if "other" not in _runtimes():
        pytest.skip("the machine's own Docker has no second runtime")
    with opened(Settings(TOOLS, folder, engine="docker", runtime="other")) as engine:
        assert run(engine, ("wc", "-l"), data=b"x\n").stdout == b"1\n"
        (parked, *_) = _containers(f"{engine.pid}-") or [""]
        client = containers.connect()
        try:
            assert client.api.inspect_container(parked)["HostConfig"]["Runtime"] == "other"
        finally:
            client.close()


def test_gvisor(docker: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "thread_count", lambda: 1)
    if not docker:
        pytest.skip(HOW)
    if "runsc" not in _runtimes():
        pytest.skip(GVISOR)
    containers.load_image(image.load(folder))
    lines = probing.trial(Settings(TOOLS, folder, engine="docker", runtime="runsc"))
    assert [line.name for line in lines if not line.ok] == []


def _runtimes() -> set[str]:
    client = containers.connect()
    try:
        return set(client.info()["Runtimes"])
    finally:
        client.close()


def test_the_probe_finds_every_wall_standing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "thread_count", lambda: 1)
    lines = probing.trial(settings)
    assert [line.name for line in lines if not line.ok] == []
    assert {"pipeline", "shell", "write", "host files", "network", "memory"} == {line.name for line in lines}
    assert settings.engine in [line.name for line in probing.offers(settings) if line.ok]
