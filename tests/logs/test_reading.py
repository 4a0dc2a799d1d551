from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logs_lines import labelled
from logs_server import Desk, body, header

from interlock.guard.errors import Failed, Refused
from interlock.guard.model import Link
from interlock.logs.reading import cursor_of, cursor_text

LINES = [line for line, _ in labelled(9, 1_000)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def desk(log: Path) -> Desk:
    return Desk({"app": log.parent / "app.log*"}, result_chars=60_000)


def test_tail_head_and_going_on_in_both_directions(desk: Desk) -> None:
    text = desk.text("read_log", source="app", tail=20)
    assert body(text) == LINES[-20:]
    older = header(text).split("older: tail + cursor ")[1].split(" ")[0]
    assert desk.lines("read_log", source="app", tail=20, cursor=older) == LINES[-40:-20]
    text = desk.text("read_log", source="app", head=20)
    assert body(text) == LINES[:20]
    newer = header(text).split("newer: cursor ")[1].split(" ")[0]
    assert desk.lines("read_log", source="app", cursor=newer, lines=10) == LINES[20:30]


def test_around_a_time_and_around_a_hit(desk: Desk) -> None:
    time = LINES[500].split(" ")[0]
    found = desk.lines("read_log", source="app", around=time, lines=11)
    assert LINES[500] in found
    assert len(found) == 11
    hit = desk.lines("search_logs", source="app", pattern=LINES[700], limit=1)[0]
    found = desk.lines("read_log", source="app", around=hit.split(" ")[0], lines=4)
    assert found == LINES[698:702]


def test_since_until_and_level(desk: Desk) -> None:
    since, until = LINES[100].split(" ")[0], LINES[200].split(" ")[0]
    found = desk.lines("read_log", source="app", since=since, lines=50)
    assert found == [line for line in LINES if line.split(" ")[0] >= since][:50]
    found = desk.lines("read_log", source="app", since=since, until=until, tail=30)
    assert found == [line for line in LINES if since <= line.split(" ")[0] <= until][-30:]
    found = desk.lines("read_log", source="app", tail=15, level="error")
    assert found == [line for line in LINES if " ERROR " in line][-15:]


def test_what_does_not_fit_is_said_with_a_cursor(log: Path) -> None:
    desk = Desk({"app": log}, result_chars=3_000)
    text = desk.text("read_log", source="app", tail=500)
    assert len(text) <= 3_000
    shown = body(text)
    assert shown == LINES[-len(shown) :]
    assert "of 500" in header(text)
    older = header(text).split("older: tail + cursor ")[1].split(" ")[0]
    before = desk.lines("read_log", source="app", tail=500, cursor=older)
    assert before == LINES[: -len(shown)][-len(before) :]


def test_rotated_and_packed_files_are_one_log(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "app.log.3.gz", "wt") as packed:
        packed.write("\n".join(LINES[:300]) + "\n")
    (tmp_path / "app.log.2").write_text("\n".join(LINES[300:600]) + "\n")
    (tmp_path / "app.log.1").write_text("\n".join(LINES[600:900]) + "\n")
    (tmp_path / "app.log").write_text("\n".join(LINES[900:]))  # the last line is still being written
    desk = Desk({"app": tmp_path / "app.log*"}, result_chars=200_000)
    assert desk.lines("read_log", source="app", tail=750)[-250:] == LINES[-250:]
    head = desk.text("read_log", source="app", head=350)
    assert body(head)[-50:] == LINES[300:350]
    newer = header(head).split("newer: cursor ")[1].split(" ")[0]
    assert desk.lines("read_log", source="app", cursor=newer, lines=10) == LINES[350:360]
    listed = desk.text("list_sources", source="app")
    assert listed.index("app.log:") < listed.index("app.log.1") < listed.index("app.log.3.gz")


def test_a_cursor_stays_true_when_its_file_is_renamed(log: Path, desk: Desk) -> None:
    newer = header(desk.text("read_log", source="app", head=20)).split("newer: cursor ")[1].split(" ")[0]
    log.rename(log.with_name("app.log.1"))
    log.write_text("fresh\n")
    assert desk.lines("read_log", source="app", cursor=newer, lines=5) == LINES[20:25]
    log.with_name("app.log.1").unlink()
    with pytest.raises(Refused, match="gone"):
        desk.text("read_log", source="app", cursor=newer)


def test_cursors_are_text_both_ways() -> None:
    assert cursor_of(cursor_text(("1a2b", 4096))) == ("1a2b", 4096)
    for bad in ("", "x", "1.zz", "." * 100, "../../etc.1g"):
        with pytest.raises(Refused):
            cursor_of(bad)


class Steps(Link):
    """A client whose waiting drives the test: each wait takes the next step, so nothing depends on time."""

    def __init__(self, steps: list[Callable[[], Any]]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.told: list[str] = []

    def wait(self, seconds: float) -> bool:
        if not self.steps:
            return True
        self.steps.pop(0)()
        return False

    def progress(self, done: float, message: str) -> None:
        self.told.append(message)


def append(path: Path, text: str) -> Callable[[], None]:
    def step() -> None:
        with path.open("a") as file:
            file.write(text)

    return step


def test_following_survives_rename_and_cutting(log: Path, desk: Desk) -> None:
    def rename() -> None:
        log.rename(log.with_name("app.log.1"))
        log.write_text("in the new file\n")

    def nothing() -> None:
        pass

    link = Steps(
        [
            append(log, "one\nhal"),
            append(log, "f a line\n"),
            rename,
            nothing,
            nothing,
            append(log, "password=hT4rub4dor9x77\n"),
            lambda: log.write_text("cut\n"),
            nothing,
        ]
    )
    answer = desk.answer("read_log", link=link, source="app", follow=60)
    rows = body(answer.text)
    assert rows[:3] == ["one", "half a line", "in the new file"]
    assert rows[3].startswith("password=[secret:")
    assert rows[4] == "cut"
    assert "renamed" in header(answer.text)
    assert "cut while" in header(answer.text)
    assert link.told


def test_a_flood_is_counted_not_shown(log: Path, desk: Desk) -> None:
    answer = desk.answer(
        "read_log", link=Steps([append(log, "flood\n" * 50_000)] * 3), source="app", follow=60, lines=20
    )
    assert len(body(answer.text)) == 20
    assert "149,980 further lines" in header(answer.text)


def test_following_ends_when_the_client_cancels(desk: Desk) -> None:
    link = Link()
    threading.Timer(0.2, link.cancel).start()
    assert "0 lines" in desk.answer("read_log", link=link, source="app", follow=30).text


def test_sources_without_files_say_so(tmp_path: Path) -> None:
    desk = Desk({"app": tmp_path / "none*.log"})
    for tool, more in (("read_log", {}), ("search_logs", {"pattern": "x"}), ("summarize_logs", {})):
        with pytest.raises(Failed, match="no file"):
            desk.text(tool, source="app", **more)
    assert "nothing there" in desk.text("list_sources")
