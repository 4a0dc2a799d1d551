"""Records: one chain per process, heads that follow, crashes mended at the next start, everything else refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import SECRET, AuditHome, fields

from interlock.guard.audit import chains, recording_room
from interlock.guard.audit import reading as audit
from interlock.guard.audit.records import Records
from interlock.guard.errors import Broken
from interlock.guard.processes import alive, boot, myself, process_start
from interlock.guard.state import State


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path)


def lines(home: AuditHome) -> list[dict[str, object]]:
    return [record for record in audit.read_all(home.home) if record["stage"] not in ("opened", "checkpoint")]


# ---------------------------------------------------------------- the form of a chain


def test_a_line_can_be_checked_with_sha256sum(home: AuditHome) -> None:
    path = home.chain(3)
    prev = hashlib.sha256(path.stem.encode()).hexdigest()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        body, _, tail = line.rpartition(b',"hash":"')
        record = json.loads(line)
        assert hashlib.sha256(body).hexdigest().encode() == tail.removesuffix(b'"}')
        assert (record["seq"], record["prev"]) == (number, prev)
        assert list(record)[:3] == ["seq", "time", "stage"]
        prev = record["hash"]


def test_no_chain_before_the_first_record_and_private_files(home: AuditHome) -> None:
    unused = home.records()
    unused.close()
    assert list((home.home / "audit").iterdir()) == []
    path = home.chain(1)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_each_process_has_its_own_chain_and_says_what_it_saw(home: AuditHome) -> None:
    home.chain(5)
    mine = home.records()
    mine.append(fields(1))
    home.in_killed_process(lambda other: other.append(fields(2)) and None)
    assert len(list((home.home / "audit").glob("*.jsonl"))) == 3
    opened = json.loads((home.home / "audit" / f"{mine.chain}.jsonl").read_bytes().splitlines()[0])
    assert opened["saw"][0][1] == 7  # opened, five calls, the closing checkpoint


def test_rotation_goes_on_in_the_next_part(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", 10_000)
    path = home.chain(100, close=False)
    parts = sorted(path.parent.iterdir())
    assert len(parts) > 4 and all(part.stat().st_size < 12_000 for part in parts)
    report = home.verify()
    assert report.ok and report.records == 101


def test_every_256th_line_is_a_signed_checkpoint(home: AuditHome) -> None:
    path = home.chain(600)
    stages = [json.loads(line)["stage"] for line in path.read_bytes().splitlines()]
    assert [n for n, stage in enumerate(stages, 1) if stage == "checkpoint"] == [256, 512, 604]


def test_threads_append_one_line_each(home: AuditHome) -> None:
    mine = home.records()
    threads = [
        threading.Thread(target=lambda: [mine.append(fields(n), durable=n % 5 == 0) for n in range(50)])
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = home.verify()
    assert report.ok and report.records == 302


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_any_text_stays_one_line_of_json_without_invisible_characters(text: str, more: dict[str, object]) -> None:
    line, digest = chains.make_line(1, 1.0, {**more, "stage": "done", "reason": text}, "0" * 64)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    record = json.loads(line)
    assert record["reason"] == text and record["hash"] == digest
    assert chains.read_line(line[:-1]) == chains.Line(1, "0" * 64, digest, True)
    shown = line.decode()
    assert not any(character in shown for character in "\x1b\x9b\x00\u202e\u200b\u2066\ufeff\r")


def test_fields_cannot_pose_as_the_chain_s_own(home: AuditHome) -> None:
    path = home.chain(1, close=False)
    home.records().append({**fields(), "seq": 99, "prev": "x", "hash": "y", "time": "never"})
    chains_there = sorted(path.parent.iterdir())
    assert len(chains_there) == 2 and home.verify().ok


def test_what_quotes_the_world_passes_the_detector(home: AuditHome) -> None:
    mine = home.records()
    mine.append({**fields(), "error": {"code": "failed", "message": f"no file {SECRET}"}})
    mine.append(fields(actions=[{"verb": "files.read", "resource": f"/srv/{SECRET}", "attributes": {"name": SECRET}}]))
    text = (home.home / "audit" / f"{mine.chain}.jsonl").read_text()
    assert SECRET not in text and text.count("[secret:test:1]") == 3


def test_a_detector_that_fails_refuses(home: AuditHome) -> None:
    class Failing:
        def redact_value(self, value: object, target: str = "") -> tuple[object, int]:
            raise ValueError(value)

    mine = Records(home.home, home.state, home.keys, "files", Failing())  # type: ignore[arg-type]
    with pytest.raises(Broken, match="cannot be redacted"):
        mine.append(fields())
    assert list((home.home / "audit").iterdir()) == []


# ---------------------------------------------------------------- crashes


def test_a_killed_process_leaves_a_chain_that_the_next_one_finishes(home: AuditHome) -> None:
    home.in_killed_process(lambda other: [other.append(fields(n)) for n in range(5)] and None)
    home.records().append(fields(9))
    assert home.verify().ok
    assert home.state.execute("SELECT count(*) FROM heads WHERE status = 'closed'").fetchone()[0] == 1


def test_killed_between_append_and_head(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(other: Records) -> None:
        for number in range(3):
            other.append(fields(number))
        monkeypatch.setattr(other, "_save_head", lambda: os.kill(os.getpid(), signal.SIGKILL))
        other.append(fields(3))

    home.in_killed_process(work)
    home.records().append(fields(9))
    (told,) = [record for record in lines(home) if record["stage"] == "reconciled"]
    assert told["accepted"] == 1 and told["torn_bytes"] == 0
    assert [record["call"][-1] for record in lines(home) if record["stage"] == "done"] == ["0", "1", "2", "3", "9"]  # type: ignore[index]
    assert home.verify().ok


def test_a_torn_last_line_is_set_aside_and_recorded(home: AuditHome) -> None:
    def work(other: Records) -> None:
        other.append(fields(0))
        os.write(other._fd, b'{"seq":3,"time":"2026-')

    home.in_killed_process(work)
    assert home.verify().ok  # nobody has opened the home since: a note, no finding
    home.records().append(fields(9))
    (told,) = [record for record in lines(home) if record["stage"] == "reconciled"]
    assert told["torn_bytes"] == 22
    (aside,) = (home.home / "audit" / "torn").iterdir()
    assert aside.read_bytes() == b'{"seq":3,"time":"2026-'
    assert home.verify().ok


def test_killed_while_a_part_is_begun(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", 5_000)

    def work(other: Records) -> None:
        monkeypatch.setattr(chains, "sync_data", lambda fd: os.kill(os.getpid(), signal.SIGKILL))
        for number in range(100):
            other.append(fields(number))

    home.in_killed_process(work)
    assert len(list((home.home / "audit").iterdir())) == 2
    home.records().check()
    assert home.verify().ok


@pytest.mark.parametrize("round", range(12))
def test_killed_at_any_moment_the_chain_is_whole_again(home: AuditHome, round: int) -> None:
    code = (
        "import sys; from pathlib import Path; from recording import AuditHome, fields\n"
        "home = AuditHome(Path(sys.argv[1])); records = home.records(); print(flush=True)\n"
        "n = 0\n"
        "while True: records.append(fields(n), durable=n % 7 == 0); print(n, flush=True); n += 1\n"
    )
    tests = os.fspath(Path(__file__).parent.parent)
    child = subprocess.Popen(
        [sys.executable, "-c", code, os.fspath(home.folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(2 + 5 * round)]
    child.kill()
    said += child.stdout.readlines()
    child.wait()
    last = int([line for line in said if line.endswith(b"\n") and line.strip()][-1])

    home.records().append(fields(10**6))
    assert home.verify().ok
    recorded = [record for record in lines(home) if record["stage"] == "done"]
    assert len(recorded) - 1 in (last + 1, last + 2)  # all that were reported, and perhaps the one in flight


def test_two_processes_mend_the_same_chain_once(home: AuditHome) -> None:
    home.in_killed_process(lambda other: os.write(other._fd, b"torn") and None if other.append(fields(0)) else None)
    pids = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            try:
                Records(home.home, State(home.home), home.keys, "git", None).check()  # type: ignore[arg-type]
                os._exit(0)
            except BaseException:
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 6
    assert home.verify().ok


class TestPowerCut:
    """After another boot, what was never synced may be gone: recorded, not refused."""

    def cut(self, home: AuditHome, keep: int, junk: bytes = b"") -> None:
        """A chain of five records, the second synced; of its file `keep` lines survive."""

        def work(other: Records) -> None:
            other.append(fields(0))
            other.append(fields(1, stage="permitted"), durable=True)
            for number in range(2, 5):
                other.append(fields(number))

        home.in_killed_process(work)
        (path,) = (home.home / "audit").glob("*.jsonl")
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]) + junk)

    @pytest.mark.parametrize("junk", [b"", b"\0" * 500, b'{"seq":5,"ti', b'{"seq":5}\nmore\n'])
    def test_unsynced_reads_that_are_gone_are_counted(self, home: AuditHome, junk: bytes) -> None:
        self.cut(home, 4, junk)
        home.sql("UPDATE heads SET boot = 'the boot before'")
        home.records().append(fields(9))
        (told,) = [record for record in lines(home) if record["stage"] == "reconciled"]
        assert told["lost_in_power_cut"] == 2 and told["torn_bytes"] == len(junk)
        assert home.verify().ok

    def test_without_a_new_boot_it_is_damage(self, home: AuditHome) -> None:
        self.cut(home, 4)
        with pytest.raises(Broken, match="is cut"):
            home.records().check()

    def test_what_was_synced_cannot_be_lost_in_one(self, home: AuditHome) -> None:
        self.cut(home, 2)
        home.sql("UPDATE heads SET boot = 'the boot before'")
        with pytest.raises(Broken, match="is cut"):
            home.records().check()

    def test_a_part_whose_name_was_never_synced(self, home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chains, "PART_BYTES", 5_000)
        home.in_killed_process(lambda other: [other.append(fields(n)) for n in range(12)] and None)
        last = max((home.home / "audit").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        last.unlink()
        home.sql("UPDATE heads SET boot = 'the boot before'")
        home.records().check()
        home.records().check()
        assert home.verify().ok


def test_opening_looks_at_heads_and_ends_only(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing grows with the length of the audit: bytes read at open do not."""
    read: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: read.append(size) or pread(fd, size, at))

    def opening() -> int:
        read.clear()
        home.records().check()
        return sum(read)

    for _ in range(20):
        home.chain(2)
    small = opening()
    home.chain(2000)
    assert opening() <= small + 200


# ---------------------------------------------------------------- what breaks refuses, and recovers


def test_a_head_that_cannot_be_kept_withholds_the_answer_and_recovers(
    home: AuditHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = home.records()
    mine.append(fields(0))
    with monkeypatch.context() as patch:

        def locked(durable: bool = False) -> contextlib.AbstractContextManager[object]:
            raise Broken("the state is locked")

        patch.setattr(home.state, "tx", locked)
        with pytest.raises(Broken, match="locked"):
            mine.append(fields(1))
    mine.append(fields(2))
    assert home.verify().ok
    assert len(lines(home)) == 3


def test_a_chain_file_removed_under_a_server_refuses(home: AuditHome) -> None:
    mine = home.records()
    mine.append(fields(0))
    (home.home / "audit" / f"{mine.chain}.jsonl").unlink()
    with pytest.raises(Broken, match="changed from outside"):
        mine.append(fields(1))


def test_a_folder_that_cannot_be_written_refuses_and_recovers(
    home: AuditHome, unwritable: Callable[[Path], None]
) -> None:
    audit_folder = home.home / "audit"
    audit_folder.mkdir()
    with small_disk(audit_folder, 1 << 20) as disk:
        disk.read_only(True)
        mine = home.records()
        with pytest.raises(Broken, match="nothing runs unrecorded"):
            mine.append(fields(0))
        disk.read_only(False)
        mine.append(fields(0))
        mine.close()
        disk.read_only(True)
        with pytest.raises(Broken, match="nothing runs unrecorded"):
            mine.append(fields(1), durable=True)
        disk.read_only(False)
        mine.append(fields(2), durable=True)
        mine.close()
        assert home.verify().ok
        assert home.state.execute("SELECT count(*) FROM heads").fetchone()[0] == 2


@pytest.fixture
def unwritable() -> Callable[[Path], None]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    return lambda path: None


class Disk:
    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def read_only(self, on: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'},size={self.size}", self.folder], check=True)

    def fill(self) -> Path:
        junk = self.folder / "junk"
        self.write(junk, self.size)
        return junk

    def write(self, path: Path, size: int) -> None:
        """As much of `size` bytes as there is room for."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            for _ in range(size // 4096):
                os.write(fd, b"x" * 4096)
        os.close(fd)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Disk]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield Disk(folder, size)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def disk_home(tmp_path: Path) -> Iterator[tuple[AuditHome, Disk]]:
    """A home on a disk of 40 MiB of its own."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    with small_disk(folder, 40 << 20) as disk:
        home = AuditHome(folder)
        home.state.use_reserve()
        home.state.close()
        (folder / "home" / "reserve").write_bytes(b"r" * (16 << 20))
        yield home, disk
        home.state.close()


class TestFullDisk:
    def test_new_changes_refuse_and_outcomes_go_on(self, disk_home: tuple[AuditHome, Disk]) -> None:
        home, disk = disk_home
        mine = home.records()
        mine.append(fields(0, undo_class="full"))
        junk = disk.fill()
        # Outcomes and reads take the reserve; what a new change would take, it does not get.
        for number in range(1, 60):
            mine.append(fields(number, undo_class="full"), durable=True)
            mine.append(fields(number))
        assert not (home.home / "reserve").exists()
        disk.write(disk.folder / "more", 13 << 20)
        with pytest.raises(Broken, match="no space left"):
            mine.append(fields(0))
        with pytest.raises(Broken, match="no space left"):
            mine.append(fields(0, stage="permitted", tool="write_file", undo_class="full"), durable=True)
        mine.append(fields(99, undo_class="full"), durable=True)
        mine.append(fields(99, stage="permitted", tool="files_undo", undo_class="full"), durable=True)
        mine.append(fields(99, tool="files_undo", undo_class="full"), durable=True)
        assert home.verify().ok

        junk.unlink()  # mended: everything goes on by itself
        mine.append(fields(100))
        mine.append(fields(101, stage="permitted", tool="write_file", undo_class="full"), durable=True)
        mine.close()
        assert home.verify().ok

    def test_a_new_change_never_lives_on_the_reserve(self, disk_home: tuple[AuditHome, Disk]) -> None:
        home, disk = disk_home
        mine = home.records()
        mine.append(fields(0))
        disk.fill()
        for number in range(40):  # reads go on, and the reserve is in use
            mine.append(fields(number))
        assert not (home.home / "reserve").exists()
        with pytest.raises(Broken, match="no space left"):
            mine.append(fields(0, stage="permitted", tool="write_file", undo_class="full"), durable=True)
        mine.append(fields(1, stage="refused"))


def test_a_write_cut_short_leaves_no_half_line(home: AuditHome) -> None:
    """A limit on file size cuts a write in two, as a full disk does."""

    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        state = State(home.home)
        mine = home.records()
        mine.append(fields(0))
        size = (home.home / "audit" / f"{mine.chain}.jsonl").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        mine._state = _Quiet(state)  # type: ignore[assignment]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        for _ in range(3):
            try:
                mine.append(fields(1), durable=True)
                return 2
            except Broken:
                pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        mine._state = state
        mine.append(fields(2), durable=True)
        mine.close()
        return 0

    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = work()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert home.verify().ok
    assert [record["call"][-1] for record in lines(home)] == ["0", "2"]  # type: ignore[index]


class _Quiet:
    """A state that writes nothing (the limit would hit its file first)."""

    def __init__(self, state: State) -> None:
        self._state = state

    def now(self) -> float:
        return self._state.now()

    def use_reserve(self) -> None: ...


def test_what_the_hints_say_is_about_the_problem() -> None:
    assert "free space" in recording_room.broken(OSError(28, "no space"), "x").hint
    assert "read-only" in recording_room.broken(OSError(30, "read-only"), "x").hint


# ---------------------------------------------------------------- processes


def test_a_process_is_named_by_pid_start_and_boot() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    start = process_start(child.pid)
    assert start and alive(child.pid, start, boot()) and not alive(child.pid, start + 1, boot())
    assert not alive(child.pid, start, "another boot")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(child.pid) is None  # a zombie is gone
    child.wait()
    assert process_start(child.pid) is None and not alive(child.pid, start, boot())
    assert alive(*myself())
