"""The store of snapshots: room is counted and never made by eviction, seals survive crashes, age and people remove."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.policy.model import SnapshotsSettings
from interlock.guard.state import State
from interlock.guard.undo.snapshots import Slot, Snapshots

DAY = 86400.0


@dataclass
class Store:
    """A store whose clock the test moves."""

    home: Path
    time: float = 1_800_000_000.0
    settings: SnapshotsSettings = field(default_factory=lambda: SnapshotsSettings(keep=30 * 86400, max_size=1000))

    def __post_init__(self) -> None:
        self.state = State(self.home, clock=lambda: self.time)
        self.snapshots = Snapshots(self.home, self.state)

    def reserve(self, id: str, size: int, agent: str) -> Slot:
        with self.state.tx() as db:
            return self.snapshots.reserve(db, id, size, agent, self.settings)

    def held(self, id: str, size: int = 0, agent: str = "a", status: str = "done", text: str = "before") -> Path:
        """A sealed snapshot of a change with that status."""
        slot = self.reserve(id, size, agent)
        (slot.folder() / "file").write_text(text)
        slot.seal({"path": "/srv/x"})
        self.change(id, status)
        return slot.path

    def change(self, id: str, status: str) -> None:
        with self.state.tx() as db:
            db.execute(
                "INSERT OR REPLACE INTO changes (id, server, tool, agent, user, session, client, at, actions, undo,"
                " lost, status, asked, pid, pid_start, resources)"
                " VALUES (?,'files','','','','','',?,'[]',0,'',?,0,0,0,'[]')",
                (id, self.time, status),
            )

    def rows(self, table: str) -> int:
        return int(self.state.read().execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def on_disk(self) -> set[str]:
        return {path.name for path in (self.home / "snapshots").glob("??/*")}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "home")
    yield made
    made.state.close()


def test_a_slot_holds_what_was_captured_and_sealed(store: Store) -> None:
    slot = store.reserve("files-1", 10, "a")
    assert not slot.path.exists()  # what is small is sealed, and needs no folder
    assert slot.folder().stat().st_mode & 0o777 == 0o700 and list(slot.path.iterdir()) == []
    (slot.folder() / "content").write_text("before")
    slot.seal({"path": "/srv/x", "mode": 0o644})
    again = store.snapshots.open("files-1")
    assert again.path == slot.path and again.state == {"path": "/srv/x", "mode": 0o644}
    assert (again.path / "content").read_text() == "before"
    again.seal({"path": "/srv/x", "moved": True})
    assert store.snapshots.open("files-1").state == {"path": "/srv/x", "moved": True}


def test_slots_are_spread_over_shards(store: Store) -> None:
    for number in range(300):
        store.reserve(f"files-{number}", 1, "a").folder()
    shards = list((store.home / "snapshots").glob("??"))
    assert len(shards) == 256 and max(len(list(shard.iterdir())) for shard in shards) < 10


@pytest.mark.parametrize("id", ["", "../x", "a/b", "..", "a.b", "ü", "a\n"])
def test_an_id_is_never_a_path(store: Store, id: str) -> None:
    with pytest.raises(Broken):
        store.reserve(id, 1, "a")
    with store.state.tx() as db:
        db.execute("INSERT INTO slots (change, agent, size, at, status) VALUES (?,'a',1,0,'held')", (id,))
    with pytest.raises(Broken):
        store.snapshots.open(id)


# ---------------------------------------------------------------- room


def test_a_full_store_refuses_and_evicts_nothing(store: Store) -> None:
    store.held("files-1", 500, "a")
    store.held("files-2", 500, "b")
    with pytest.raises(Refused) as refused:
        store.reserve("files-3", 1, "c")
    assert refused.value.code is Code.LIMIT_REACHED and "snapshots purge" in refused.value.hint
    assert store.on_disk() == {"files-1", "files-2"}
    store.reserve("files-4", 0, "c")  # what needs nothing may go on


def test_one_agent_fills_at_most_half(store: Store) -> None:
    store.held("files-1", 400, "a")
    with pytest.raises(Refused, match="half"):
        store.reserve("files-2", 101, "a")
    store.reserve("files-3", 100, "a")
    store.reserve("files-4", 500, "b")


def test_what_is_larger_than_half_never_fits(store: Store) -> None:
    slot = store.reserve("files-1", 501, "a")  # class none: a person has consented
    assert slot.too_large and store.snapshots.usage()["bytes"] == 0
    assert not store.reserve("files-2", 500, "a").too_large


def test_discard_gives_the_room_back(store: Store) -> None:
    slot = store.reserve("files-1", 500, "a")
    (slot.folder() / "x").write_text("x")
    store.snapshots.discard("files-1")
    store.snapshots.discard("files-1")
    assert not slot.path.exists() and store.snapshots.usage()["bytes"] == 0
    with pytest.raises(Refused, match="is gone"):
        store.snapshots.open("files-1")
    store.reserve("files-1", 500, "a")


def test_a_discard_is_whole_or_nothing(store: Store) -> None:
    """Half of one would leave room taken by a change that nobody knows."""
    store.held("files-1", 500, status="permitted")

    def fails(db: object) -> None:
        raise Broken("the disk is full")

    with pytest.raises(Broken):
        store.snapshots.discard("files-1", also=fails)
    assert store.snapshots.usage()["bytes"] == 500 and store.snapshots.open("files-1").state == {"path": "/srv/x"}


def test_nothing_is_sealed_without_its_reservation(store: Store) -> None:
    """Its row went with a state that somebody replaced meanwhile: what ran then could never be undone."""
    slot = store.reserve("files-1", 10, "a")
    store.snapshots.discard("files-1")
    with pytest.raises(Broken, match="without a snapshot nothing runs"):
        slot.seal({"path": "/srv/x"})
    assert store.rows("sealed") == 0


def test_a_folder_left_by_a_power_cut_is_made_anew(store: Store) -> None:
    """Its reservation was not on the disk yet, so the approved call comes again under the same id."""
    (store.reserve("files-1", 10, "a").folder() / "saved-0").write_text("half")
    with store.state.tx() as db:
        db.execute("DELETE FROM slots")
    slot = store.reserve("files-1", 10, "a")
    assert list(slot.folder().iterdir()) == []
    (slot.folder() / "saved-0").write_text("whole")
    assert (slot.folder() / "saved-0").read_text() == "whole"


def test_a_seal_may_correct_the_size(store: Store) -> None:
    slot = store.reserve("files-1", 500, "a")
    slot.seal({}, size=20)
    usage = store.snapshots.usage()
    assert (usage["bytes"], usage["by_agent"]) == (20, {"a": 20})
    store.reserve("files-2", 480, "a")


def test_usage_lists_the_largest_first(store: Store) -> None:
    for number, size in enumerate((5, 50, 10)):
        store.held(f"files-{number}", size, "ab"[number % 2])
    usage = store.snapshots.usage()
    assert (usage["bytes"], usage["count"], usage["by_agent"]) == (65, 3, {"a": 15, "b": 50})
    assert [held["id"] for held in usage["snapshots"]] == ["files-1", "files-2", "files-0"]
    assert usage["snapshots"][0]["at"] == store.time


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "discard", "purge", "resize"]),
            st.integers(0, 5),
            st.integers(0, 700),
            st.sampled_from("ab"),
        ),
        max_size=25,
    )
)
def test_the_account_is_the_sum_of_what_is_held(steps: list[tuple[str, int, int, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "home")
        twin: dict[str, tuple[str, int]] = {}
        used: set[str] = set()
        for step, number, size, agent in steps:
            id = f"files-{number}"
            if step == "reserve" and id not in used:
                counted = size if size <= 500 else 0
                total = sum(held for _, held in twin.values())
                own = sum(held for who, held in twin.values() if who == agent)
                if total + counted > 1000 or own + counted > 500:
                    with pytest.raises(Refused):
                        store.reserve(id, size, agent)
                    continue
                store.reserve(id, size, agent).folder()
                twin[id] = (agent, counted)
                used.add(id)
            elif step == "discard":
                store.snapshots.discard(id)
                if twin.pop(id, None):
                    used.discard(id)
            elif step == "purge":
                assert store.snapshots.purge([id]) == ([id] if id in twin else [])
                twin.pop(id, None)
            elif step == "resize" and id in twin:
                store.snapshots.open(id).seal({"again": size}, size=size)
                twin[id] = (twin[id][0], size)
        usage = store.snapshots.usage()
        assert usage["bytes"] == sum(held for _, held in twin.values()) and usage["count"] == len(twin)
        assert store.on_disk() == set(twin)
        store.state.close()


# ---------------------------------------------------------------- the end of a snapshot


def test_age_expires_and_says_which(store: Store) -> None:
    old = store.held("files-1", 100)
    store.time += 20 * DAY
    store.held("files-2", 100)
    store.time += 11 * DAY
    assert store.snapshots.expire(store.settings) == ["files-1"]
    assert not old.exists() and store.on_disk() == {"files-2"}
    with pytest.raises(Refused, match="has expired"):
        store.snapshots.open("files-1")
    assert store.snapshots.usage()["bytes"] == 100 and store.snapshots.expire(store.settings) == []


def test_a_clean_up_has_its_own_time(store: Store) -> None:
    store.held("files-1", 100)
    store.held("files-2", 100)
    store.snapshots.open("files-1").seal({}, keep=3600)
    store.snapshots.open("files-2").seal({}, keep=90 * DAY)
    store.time += 3601
    assert store.snapshots.expire(store.settings) == ["files-1"]
    store.time += 40 * DAY
    assert store.snapshots.expire(store.settings) == []
    store.time += 50 * DAY
    assert store.snapshots.expire(store.settings) == ["files-2"]


@pytest.mark.parametrize("status", ["permitted", "unknown"])
def test_what_is_not_settled_keeps_its_snapshot(store: Store, status: str) -> None:
    store.held("files-1", 100, status=status)
    store.time += 100 * DAY
    assert store.snapshots.expire(store.settings) == [] and store.snapshots.purge(["files-1"]) == []
    store.change("files-1", "failed")
    assert store.snapshots.expire(store.settings) == ["files-1"]


def test_nothing_grows_with_the_age_of_the_installation(store: Store) -> None:
    """A change that can no longer be undone is left to the records; what may still be asked for stays."""
    for day in range(150):
        store.held(f"files-{day}", 1)
        store.snapshots.expire(store.settings)
        store.time += DAY
    assert store.rows("changes") == store.rows("slots") <= 92
    with pytest.raises(Refused, match="is gone"):
        store.snapshots.open("files-1")


def test_what_was_undone_is_remembered_as_long_as_its_undo(store: Store) -> None:
    store.held("files-1", 1, status="undone")
    store.snapshots.purge(["files-1"])
    store.time += 100 * DAY
    store.held("files-2", 1)
    with store.state.tx() as db:
        db.execute("UPDATE changes SET undone_by = 'files-2' WHERE id = 'files-1'")
        db.execute("UPDATE changes SET undoes = 'files-1' WHERE id = 'files-2'")
    store.snapshots.expire(store.settings)
    assert store.rows("changes") == 2
    for _ in range(2):
        store.time += 100 * DAY
        store.snapshots.expire(store.settings)
    assert store.rows("changes") == 0


def test_what_is_gone_is_gone_from_the_state_too(store: Store) -> None:
    """Prior contents are sealed there: whoever purges a secret wants it out of the file and out of its log."""
    for number in range(40):
        store.reserve(f"files-{number}", 1, "a").seal({"content": "hunter2" * 2000})
    size = sum(path.stat().st_size for path in store.home.glob("state.db*"))
    store.snapshots.purge([f"files-{number}" for number in range(40)])
    left = [path for path in store.home.glob("state.db*") if b"hunter2hunter2" in path.read_bytes()]
    assert left == [] and store.rows("sealed") == 0
    assert sum(path.stat().st_size for path in store.home.glob("state.db*")) < size / 2


def test_what_expired_is_told_even_while_the_log_cannot_be_emptied(store: Store) -> None:
    store.held("files-1", text="")
    store.snapshots.open("files-1").seal({"content": "hunter2" * 2000})
    store.time += 31 * DAY
    with reading(store):
        assert store.snapshots.expire(store.settings) == ["files-1"]
    assert in_state(store, b"hunter2hunter2")
    assert store.snapshots.expire(store.settings) == []
    assert not in_state(store, b"hunter2hunter2")


def test_a_purge_says_where_copies_stay_in_the_log(store: Store) -> None:
    store.held("files-1")
    with reading(store), pytest.raises(Broken, match="what was removed is gone, but copies of it stay in the log"):
        store.snapshots.purge(["files-1"])
    assert store.snapshots.usage()["count"] == 0


def test_two_servers_tell_of_an_expiry_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.held("files-1")
    store.time += 31 * DAY
    other = Store(store.home)
    other.time = store.time
    told: list[list[str]] = []
    remove = Snapshots._remove

    def meanwhile(self: Snapshots, id: str) -> None:
        if self is store.snapshots:
            told.append(other.snapshots.expire(other.settings))
        remove(self, id)

    monkeypatch.setattr(Snapshots, "_remove", meanwhile)
    told.append(store.snapshots.expire(store.settings))
    assert sorted(told) == [[], ["files-1"]]


def test_one_snapshot_that_cannot_be_removed_does_not_keep_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.held("files-1")
    store.held("files-2")
    store.time += 31 * DAY
    rename = Path.rename

    def stuck(self: Path, target: Any) -> Path:
        if self.name == "files-1":
            raise OSError(errno.EIO, "i/o error")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stuck)
        assert store.snapshots.expire(store.settings) == ["files-2"]
    assert store.snapshots.usage()["count"] == 1
    assert store.snapshots.expire(store.settings) == ["files-1"] and store.on_disk() == set()


def test_others_write_while_much_is_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        store.held(f"files-{number}")
        store.snapshots.open(f"files-{number}").seal({"content": "x" * 60_000})
    other = Store(store.home)
    between: list[int] = []

    def writes(seconds: float) -> None:
        with other.state.tx() as db:
            between.append(db.execute("PRAGMA freelist_count").fetchone()[0])

    monkeypatch.setattr("interlock.guard.state.SHRINK_PAGES", 20)
    monkeypatch.setattr("interlock.guard.state.time.sleep", writes)
    store.snapshots.purge([f"files-{number}" for number in range(10)])
    assert len(between) > 3 and between == sorted(between, reverse=True)
    assert [row[0] for row in store.state.read().execute("PRAGMA freelist_count")] == [0]


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Somebody else looks at the state, and goes on looking at what it was."""
    db = sqlite3.connect(store.home / "state.db", isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT * FROM home").fetchall()
    yield
    db.close()


def in_state(store: Store, what: bytes) -> bool:
    return any(what in path.read_bytes() for path in store.home.glob("state.db*"))


def test_people_purge(store: Store) -> None:
    store.held("files-1", 100)
    store.held("files-2", 100)
    assert store.snapshots.purge(["files-1", "files-9"]) == ["files-1"]
    with pytest.raises(Refused, match="purged by a person"):
        store.snapshots.open("files-1")
    assert store.on_disk() == {"files-2"}


def test_a_tree_that_forbids_its_removal_goes_too(store: Store) -> None:
    path = store.held("files-1", 100)
    outside = store.home / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    (path / "tree" / "deep").mkdir(parents=True)
    (path / "tree" / "deep" / "file").write_text("x")
    (path / "tree" / "link").symlink_to(outside)
    (path / "tree" / "deep").chmod(0)
    (path / "tree").chmod(0o500)
    store.snapshots.purge(["files-1"])
    assert not path.exists() and list((store.home / "snapshots" / ".gone").iterdir()) == []
    assert (outside / "keep").read_text() == "keep"


# ---------------------------------------------------------------- crashes


def killed(work: object) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def test_killed_before_a_seal_is_whole(store: Store) -> None:
    """What was sealed before or the new one, never half of one."""
    store.held("files-1", 10)

    def work() -> None:
        other = Store(store.home)
        with other.state.tx() as db:
            db.execute("UPDATE sealed SET state = 'half'")
            os.kill(os.getpid(), signal.SIGKILL)

    killed(work)
    assert store.snapshots.open("files-1").state == {"path": "/srv/x"}
    store.snapshots.open("files-1").seal({"path": "/srv/z"})
    assert store.snapshots.open("files-1").state == {"path": "/srv/z"}


def test_killed_while_removing_leaves_nothing_that_looks_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.held("files-1", 100)

    def work() -> None:
        from interlock.guard.undo import snapshots

        monkeypatch.setattr(snapshots, "remove_tree", lambda path: os.kill(os.getpid(), signal.SIGKILL))
        Store(store.home).snapshots.purge(["files-1"])

    killed(work)
    assert not path.exists()
    store.snapshots.expire(store.settings)
    assert list((store.home / "snapshots" / ".gone").iterdir()) == []


def test_a_folder_s_names_are_synced_before_the_seal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.held("files-0")
    slot = store.reserve("files-1", 1, "a")
    small = store.reserve("files-2", 1, "a")
    synced: list[str] = []
    fsync = os.fsync

    def name(fd: int) -> str:
        return os.fspath(Path(f"/proc/self/fd/{fd}").readlink())

    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(name(fd)) or fsync(fd))
    small.seal({"a": 1})
    assert synced == []
    slot.folder()
    slot.seal({"a": 1})
    shard = os.fspath(slot.path.parent)
    assert synced == [f"{slot.path}", shard]
    slot.seal({"a": 2})
    assert synced == [f"{slot.path}", shard, f"{slot.path}"]


def test_the_hot_path_lists_no_folder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        store.held(f"files-{number}", 1)

    def listed(*arguments: object) -> None:
        raise AssertionError("a folder was listed")

    for name in ("listdir", "scandir", "walk"):
        monkeypatch.setattr(os, name, listed)
    store.held("files-90", 1)
    store.snapshots.open("files-90")


def test_a_store_that_cannot_be_written_is_broken_and_recovers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.held("files-1", 10)
    with monkeypatch.context() as patch:

        def full(self: Path, *arguments: object, **more: object) -> None:
            raise OSError(28, "no space")

        patch.setattr(Path, "mkdir", full)
        with pytest.raises(Broken, match="no space left"):
            store.reserve("files-2", 10, "a").folder()
    store.snapshots.discard("files-2")
    assert store.snapshots.usage()["bytes"] == 10
    slot = store.reserve("files-2", 10, "a")
    slot.folder()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Broken, match="cannot be sealed"):
            slot.seal({"new": 1})
    assert store.snapshots.open("files-2").state == {}
    slot.seal({"path": "/srv/x"})
    assert store.snapshots.open("files-2").state == {"path": "/srv/x"}
