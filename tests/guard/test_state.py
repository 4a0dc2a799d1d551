"""The state: opened safely, broken with a message that helps, mended without a restart, and a time that never falls."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from guard.ledgers import START, Clock, python, together

from interlock.guard.disk import RESERVE_BYTES
from interlock.guard.errors import Broken
from interlock.guard.halt.switch import Halt
from interlock.guard.state import State


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def put(state: State, key: str, durable: bool = False) -> None:
    with state.tx(durable=durable) as db:
        db.execute("INSERT INTO nonces (nonce, until) VALUES (?, 0)", (key,))


def keys(state: State) -> list[str]:
    return [row["nonce"] for row in state.read().execute("SELECT nonce FROM nonces ORDER BY nonce")]


# ---------------------------------------------------------------- opening


def test_home_and_files_are_private_whatever_the_umask_is(home: Path) -> None:
    old = os.umask(0)
    try:
        state = State(home)
        put(state, "a")
        assert home.stat().st_mode & 0o777 == 0o700
        for name in ("state.db", "state.db-wal", "state.db-shm", "reserve"):
            assert (home / name).stat().st_mode & 0o077 == 0, name
    finally:
        os.umask(old)


def test_what_was_written_is_there_when_opened_again(home: Path) -> None:
    state = State(home)
    put(state, "a", durable=True)
    put(state, "b")
    first = state.id
    state.close()
    again = State(home)
    assert keys(again) == ["a", "b"]
    assert again.id == first


def test_a_home_open_to_others_is_refused(home: Path) -> None:
    State(home).close()
    for mode in (0o777, 0o770, 0o755, 0o702):
        home.chmod(mode)
        with pytest.raises(Broken, match="open to other accounts") as caught:
            State(home)
        assert "chmod 700" in caught.value.hint


def test_an_empty_folder_is_tightened(home: Path) -> None:
    home.mkdir(mode=0o755)
    State(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_home_below_a_folder_that_anybody_may_change_is_refused(home: Path) -> None:
    home.parent.chmod(0o777)
    with pytest.raises(Broken, match="where anybody may replace it"):
        State(home)
    home.parent.chmod(0o1777)
    State(home)


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db-shm"])
def test_links_in_place_of_its_files_are_refused(home: Path, tmp_path: Path, name: str) -> None:
    State(home).close()
    target = tmp_path / "target"
    target.write_bytes(b"")
    (home / name).unlink(missing_ok=True)
    (home / name).symlink_to(target)
    with pytest.raises(Broken, match="not a regular file"):
        State(home)
    (home / name).unlink()
    os.link(target, home / name)
    with pytest.raises(Broken, match="hard link"):
        State(home)
    assert target.read_bytes() == b""


def test_a_state_that_others_may_write_is_refused_one_they_may_read_is_tightened(home: Path) -> None:
    State(home).close()
    (home / "state.db").chmod(0o644)
    State(home).close()
    assert (home / "state.db").stat().st_mode & 0o777 == 0o600
    (home / "state.db").chmod(0o622)
    with pytest.raises(Broken, match="open to other accounts"):
        State(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_another_account_is_refused(home: Path) -> None:
    State(home).close()
    os.chown(home, 12345, 12345)
    with pytest.raises(Broken, match="another account"):
        State(home)
    os.chown(home, 0, 0)
    os.chown(home / "state.db", 12345, 12345)
    with pytest.raises(Broken, match="another account"):
        State(home)


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.write_text("")
    with pytest.raises(Broken):
        State(home)


def test_the_state_of_a_newer_version_is_refused(home: Path) -> None:
    State(home).close()
    with sqlite3.connect(home / "state.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Broken, match="newer Interlock"):
        State(home)


def test_the_state_of_a_preview_is_refused_and_left_as_it_is(home: Path) -> None:
    State(home).close()
    with sqlite3.connect(home / "state.db") as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(Broken, match="preview") as caught:
        State(home)
    assert "undo with that version" in caught.value.hint
    with sqlite3.connect(home / "state.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


# ---------------------------------------------------------------- transactions


def test_an_exception_rolls_back(home: Path) -> None:
    state = State(home)
    with pytest.raises(ZeroDivisionError), state.tx() as db:
        db.execute("INSERT INTO nonces VALUES ('a', 0)")
        raise ZeroDivisionError
    assert keys(state) == []
    put(state, "b")
    assert keys(state) == ["b"]


def test_a_transaction_inside_another_says_so_instead_of_hanging(home: Path) -> None:
    state = State(home)
    with state.tx(), pytest.raises(Broken, match="inside another"), state.tx():
        pass
    put(state, "a")


def test_reading_sees_the_last_commit_while_another_thread_writes(home: Path) -> None:
    state = State(home)
    put(state, "a")
    with state.tx() as db:
        db.execute("INSERT INTO nonces VALUES ('b', 0)")
        assert keys(state) == ["a"]
    assert keys(state) == ["a", "b"]


def test_threads_share_one_state(home: Path) -> None:
    state = State(home)

    def work(number: int) -> None:
        for step in range(25):
            put(state, f"{number}-{step}")
            assert keys(state)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys(state)) == 200


ADD = """
import json, sys
from pathlib import Path
from interlock.guard.state import State
print("ready", flush=True); sys.stdin.readline()
state = State(Path(sys.argv[1]))
for step in range(int(sys.argv[3])):
    with state.tx() as db:
        number = db.execute("SELECT count(*) FROM nonces").fetchone()[0]
        db.execute("INSERT INTO nonces VALUES (?, ?)", (f"{sys.argv[2]}-{step}", number))
print(json.dumps(True))
"""


def test_processes_that_create_the_home_together_lose_nothing(home: Path) -> None:
    assert together([python(ADD, home, number, 40) for number in range(4)]) == [True] * 4
    rows = State(home).read().execute("SELECT until FROM nonces ORDER BY until")
    assert [row[0] for row in rows] == list(range(160))  # each saw all that were committed before it


KILLED = """
import sys
from pathlib import Path
from interlock.guard.state import State
state = State(Path(sys.argv[1]))
step = 0
while True:
    with state.tx(durable=step % 7 == 0) as db:
        db.execute("INSERT INTO nonces VALUES (?, 1)", (f"{sys.argv[2]}-{step}-a",))
        db.execute("INSERT INTO nonces VALUES (?, 1)", (f"{sys.argv[2]}-{step}-b",))
    print(step, flush=True)
    step += 1
"""


def test_kill_9_leaves_whole_transactions_and_everything_that_was_committed(home: Path) -> None:
    state = State(home)
    for number in range(12):
        process = python(KILLED, home, number)
        assert process.stdout is not None
        said = -1
        for _ in range(1 + 7 * number):
            said = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout.read().split("\n") if line.isdigit())])
        process.communicate()
        found = [key for key in keys(state) if key.startswith(f"{number}-")]
        assert len(found) % 2 == 0
        assert {f"{number}-{step}-a" for step in range(said + 1)} <= set(found)
        put(state, f"after-{number}")


def test_a_forked_child_opens_its_own_connection(home: Path) -> None:
    state = State(home)
    put(state, "a")
    pid = os.fork()
    if pid == 0:
        try:
            put(state, "child")
            os._exit(0 if keys(state) == ["a", "child"] else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    put(state, "b")
    assert keys(state) == ["a", "b", "child"]


# ---------------------------------------------------------------- broken, and mended without a restart


def test_a_locked_state_is_broken_until_it_is_let_go(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.guard.state.BUSY_SECONDS", 0.1)
    state = State(home)
    other = sqlite3.connect(home / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Broken, match="locked by another process") as caught:
        put(state, "a")
    assert caught.value.hint
    assert keys(state) == []  # reading goes on
    other.execute("COMMIT")
    put(state, "a")
    other.close()


def test_a_damaged_state_is_broken_until_a_good_one_is_put_back(home: Path) -> None:
    state = State(home)
    put(state, "a")
    state.close()
    good = (home / "state.db").read_bytes()
    (home / "state.db").write_bytes(b"nonsense " * 1000)
    for _ in range(2):
        with pytest.raises(Broken, match="damaged") as caught:
            put(state, "b")
        assert "audit repair" in caught.value.hint
        with pytest.raises(Broken, match="damaged"):
            keys(state)
    with pytest.raises(Broken, match="damaged"):
        State(home)
    (home / "state.db").write_bytes(good)
    put(state, "b")
    assert keys(state) == ["a", "b"]


def test_pages_damaged_while_it_is_open_are_noticed(home: Path) -> None:
    state = State(home)
    for number in range(500):
        put(state, f"{number:05}")
    state.close()
    with (home / "state.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom((home / "state.db").stat().st_size - 4096))
    with pytest.raises(Broken, match="damaged"):
        for _ in range(3):
            keys(state)
            put(state, "more")


def test_a_state_removed_or_replaced_while_open(home: Path) -> None:
    state = State(home)
    put(state, "a")
    state.close()
    copy = (home / "state.db").read_bytes()
    keys(state)
    (home / "state.db").rename(home / "elsewhere")
    for work in (lambda: put(state, "b"), lambda: keys(state)):
        with pytest.raises(Broken, match="was removed while this server ran"):
            work()
    for suffix in ("-wal", "-shm"):
        (home / f"state.db{suffix}").unlink(missing_ok=True)
    (home / "state.db").write_bytes(copy)
    (home / "state.db").chmod(0o600)
    put(state, "c")
    assert keys(state) == ["a", "c"]


READ_ONLY = """
import os, sys
from pathlib import Path
from interlock.guard.state import State
from interlock.guard.errors import Broken
home = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
state = State(home)
def put(key):
    with state.tx() as db:
        db.execute("INSERT INTO nonces VALUES (?, 0)", (key,))
put("a")
state.close()
(home / "state.db").chmod(0o400); home.chmod(0o500)
try:
    put("b")
except Broken as broken:
    assert "0700" in broken.hint or "write" in broken.message, (broken.message, broken.hint)
    print("broken")
home.chmod(0o700); (home / "state.db").chmod(0o600)
put("c")
print([row[0] for row in state.read().execute("SELECT nonce FROM nonces")])
"""


def test_a_read_only_folder_is_broken_until_it_is_writable(tmp_path: Path) -> None:
    home = Path("/tmp") / f"interlock-test-{os.urandom(6).hex()}"
    home.mkdir(mode=0o700)
    try:
        if os.geteuid() == 0:
            os.chown(home, 65534, 65534)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, home], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "broken\n['a', 'c']\n"
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("this account cannot mount a small disk")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", "-l", folder], check=False)


def fill(folder: Path) -> Path:
    path = folder / "ballast"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
    return path


def test_on_a_full_disk_changes_stop_and_the_rest_lives_on_the_reserve(small_disk: Path) -> None:
    state = State(small_disk / "home")
    put(state, "before")
    assert (small_disk / "home" / "reserve").stat().st_size == RESERVE_BYTES
    state.check_room()
    ballast = fill(small_disk)
    with pytest.raises(Broken, match="full") as caught:
        state.check_room()
    assert "purge" in caught.value.hint
    for number in range(200):  # outcomes, undo and reads
        put(state, f"{number:05}", durable=True)
    assert not (small_disk / "home" / "reserve").exists()
    again = State(small_disk / "home")
    assert len(keys(again)) == 201

    fill(small_disk)  # and now the reserve is gone too
    with pytest.raises(Broken, match="full"):
        for number in range(100_000):
            put(state, f"more {number:05} {'x' * 2000}")
    ballast.unlink()
    put(state, "after")
    state.restore_reserve()
    assert (small_disk / "home" / "reserve").stat().st_size == RESERVE_BYTES
    state.check_room()


def test_a_halt_can_be_ordered_on_a_full_disk(small_disk: Path) -> None:
    home = small_disk / "home"
    state = State(home)
    fill(small_disk)
    Halt(home).halt("stop", agent="bot")
    assert [order.agent for order in Halt(home).orders()] == ["bot"]  # it lived on the reserve
    fill(small_disk)
    Halt(home).halt("x" * 20_000, agent="other")
    assert Halt(home).describe().startswith("everything") or len(Halt(home).orders()) == 2
    state.close()


def test_a_home_on_a_full_disk_opens_once_there_is_space(small_disk: Path) -> None:
    home = small_disk / "home"
    home.mkdir(mode=0o700)
    ballast = fill(small_disk)
    with pytest.raises(Broken):
        State(home)
    ballast.unlink()
    put(State(home), "a")


# ---------------------------------------------------------------- time


def test_time_never_falls_and_is_remembered(home: Path) -> None:
    clock = Clock()
    state = State(home, clock)
    clock.forward(100)
    assert state.now() == START + 100
    put(state, "a")
    clock.forward(-50)
    assert state.now() == START + 100
    state.close()
    other = State(home, Clock(START + 20))
    assert other.now() == START + 100


def test_a_clock_ten_minutes_back_refuses_until_it_is_right(home: Path) -> None:
    clock = Clock()
    state = State(home, clock)
    clock.forward(3600)
    state.now()
    put(state, "a")
    clock.forward(-3600)
    with pytest.raises(Broken, match=r"went back.*60 min"):
        state.now()
    with pytest.raises(Broken, match="went back"):
        State(home, clock).now()
    clock.forward(3000.5)
    assert state.now() == START + 3600
    clock.forward(3600)
    assert state.now() == START + 3000.5 + 3600


def test_another_process_sees_the_highest_time(home: Path) -> None:
    late, early = Clock(START + 300), Clock(START)
    one, other = State(home, late), State(home, early)
    assert other.now() == START
    one.now()
    put(one, "a")
    put(other, "b")
    assert other.now() == START + 300


def test_a_wrong_clock_can_be_mended_and_that_only_tightens(home: Path) -> None:
    clock = Clock(START + 10 * 365 * 86400)
    state, running = State(home, clock), State(home, clock)
    for one in (state, running):
        one.now()
        put(one, f"{id(one)}")
    with state.tx() as db:
        db.execute("INSERT INTO grants VALUES ('g', 'n', 'a', 's', 't', 0, 5, 9e12, NULL, '')")
    clock.now = START
    with pytest.raises(Broken, match="went back"):
        running.now()
    state.mend_clock()
    assert state.now() == START
    assert running.now() == START
    put(running, "x")
    assert State(home, clock).now() == START
    assert state.read().execute("SELECT revoked FROM grants")[0][0] == START
