"""`interlock audit`: what people read, in a pipe and on a terminal, and the exit codes that scripts see."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from recording import fields

from interlock.admin.main import main
from interlock.admin.report import Day, day_bounds, to_html, to_markdown
from interlock.guard.audit.records import Records
from interlock.guard.keys import Keys, create_keys
from interlock.guard.state import State
from interlock.guard.undo.changes import Changes
from interlock.redaction import open_detector

HOSTILE = "\x1b[31mred\x07 \u202eback [bold]x[/bold] | <b>y</b>"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the detector compiles, once for all tests here."""
    folder = tmp_path_factory.mktemp("detector") / "cache"
    open_detector(b"k" * 32, None, folder).redact("nothing")
    return folder


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Records:
    """An installation of its own, with a few records of the usual kinds."""
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))
    monkeypatch.setenv("INTERLOCK_HOME", os.fspath(tmp_path / "state"))
    monkeypatch.setenv("INTERLOCK_POLICY", os.fspath(tmp_path / "none.yaml"))
    create_keys()
    keys, home = Keys.load(), tmp_path / "state"
    state = State(home)
    if cache.is_dir():
        shutil.copytree(cache, home / "cache")
    made = Records(home, state, keys, "files", open_detector(keys.derive("placeholders"), None, home / "cache"))
    made.append(fields(1))
    refused = {"code": "out_of_bounds", "message": f"outside {HOSTILE}", "rule": "builtin.outside"}
    made.append(fields(2, stage="refused", error=refused, reason=HOSTILE, arguments={"path": HOSTILE}))
    consent = {"by": "ada", "channel": "terminal", "at": time.time()}
    made.append(fields(3, stage="permitted", undo_class="full", tool="write_file"), durable=True)
    made.append(fields(3, undo_class="full", tool="write_file", consent=consent), durable=True)
    return made


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["audit", *words])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return command


def put_change(state: State, id: str, status: str) -> None:
    with state.tx() as db:
        db.execute(
            "INSERT INTO changes (id, server, tool, agent, user, session, client, at, actions, undo, lost, status,"
            " asked, pid, pid_start, resources)"
            " VALUES (?,'files','write_file','a','u','s','',0,'[]',0,'',?,0,0,0,'[]')",
            (id, status),
        )


def no_terminal_tricks(text: str) -> bool:
    return not any(character in text for character in "\x1b\x07\x9b\u202e\u2066\u200b")


def test_tail_shows_the_latest_in_a_pipe(records: Records, run: Run) -> None:
    code, text = run("tail", "--limit", "3")
    lines = text.splitlines()
    assert code == 0 and len(lines) == 4 and lines[0].startswith("time\tid\tagent")
    assert [line.split("\t")[1] for line in lines[1:]] == ["files-0000002", "files-0000003", "files-0000003"]
    assert "out_of_bounds" in lines[1] and "approved by ada" in lines[3] and no_terminal_tricks(text)
    code, text = run("tail", "--json")
    assert [json.loads(line)["stage"] for line in text.splitlines()] == ["done", "refused", "permitted", "done"]


def test_show_tells_one_call_whole(records: Records, run: Run) -> None:
    code, text = run("show", "files-0000002")
    assert code == 0 and no_terminal_tricks(text)
    assert text.startswith("files-0000002  read_file  refused")
    assert "agent tester" in text and "builtin.outside" not in text.splitlines()[0]
    assert "out_of_bounds: outside \\x1b[31mred" in text and "<U+202E>" in text and "[bold]x[/bold]" in text
    code, text = run("show", "files-0000003")
    assert "approved by ada in a terminal" in text and "permitted" in text and f"{records.chain}, line" in text
    assert json.loads(run("show", "files-0000003", "--json")[1])[0]["stage"] == "permitted"


def test_show_of_what_is_not_there(records: Records, run: Run) -> None:
    code, text = run("show", "files-9")
    assert code == 1 and "no record bears the id files-9" in text and "hint" in text


def test_search(records: Records, run: Run) -> None:
    assert run("search", "--stage", "refused")[1].count("files-") == 1
    assert json.loads(run("search", "app/3", "--tool", "write_file", "--json")[1])[1]["stage"] == "done"
    assert "no record matches" in run("search", "--since", "2030-01-01")[1]
    assert run("search", "--since", "1h")[1].count("\n") == 5
    assert run("search", "(")[0] == 1
    with pytest.raises(SystemExit) as usage:
        run("search", "--since", "soon")
    assert usage.value.code == 2


def test_verify_says_sound_and_damaged_and_repair_settles(records: Records, run: Run, tmp_path: Path) -> None:
    code, text = run("verify")
    assert code == 0 and text.startswith("sound: 5 records in 1 chain")
    records.close()
    path = next((tmp_path / "state" / "audit").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"app/1.py", b"app/9.py"))

    code, text = run("verify", "--look")
    assert code == 1 and f"{path.name}:2: edited" in text
    code, text = run("verify", "--json")
    assert code == 1 and json.loads(text)["findings"][0]["line"] == 2
    assert run("verify")[0] == 1

    code, text = run("repair")
    assert code == 0 and f"{path.stem}: set aside" in text and "signed by" in text
    code, text = run("verify")
    assert code == 0 and "set aside by" in text
    assert run("repair") == (0, "nothing to repair: the records are sound\n")
    assert "repaired" in run("tail")[1]


def test_export(records: Records, run: Run, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in run("export")[1].splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5] and lines[2]["reason"] == HOSTILE
    assert no_terminal_tricks(run("export")[1])
    target = tmp_path / "out.csv"
    assert run("export", "--format", "csv", "--out", str(target))[0] == 0
    assert target.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert len(rows) == 4 and rows[3]["consent_by"] == "ada" and no_terminal_tricks(target.read_text())
    assert run("export", "--out", str(target))[0] == 1  # never over a file that is there


def test_no_cell_is_a_formula(records: Records, run: Run) -> None:
    records.append(fields(5, reason='=HYPERLINK("http://example.com")', tool="@x"))
    rows = list(csv.DictReader(io.StringIO(run("export", "--format", "csv")[1])))
    assert rows[-1]["reason"].startswith("'=") and rows[-1]["tool"] == "'@x"


def test_a_call_that_waits_is_asked_not_refused(records: Records, run: Run) -> None:
    waits = {"code": "approval_required", "message": "docs are reviewed", "rule": "docs"}
    records.append(fields(7, stage="refused", error=waits))
    assert "\tasked\t" in run("tail")[1]
    assert run("show", "files-0000007")[1].startswith("files-0000007  read_file  asked")
    records.append(fields(7))
    shown = run("show", "files-0000007")[1]
    assert shown.startswith("files-0000007  read_file  done") and "no because" not in shown and "asked" in shown
    text = run("report")[1]
    assert "made 4 calls" in text and "1 refused, 1 asked of people" in text


def test_report_of_a_day(records: Records, run: Run) -> None:
    code, text = run("report")
    assert (
        code == 0
        and "1 agent (tester) made 3 calls in 1 session: 1 change, 1 refused, 0 asked of people, 1 approved" in text
    )
    for heading in ("## Look at these", "## Changes", "## Approved by people", "## Refused", "## Tools"):
        assert heading in text
    assert no_terminal_tricks(text)
    assert "No agent made a call." in run("report", "2001-01-01")[1]
    assert run("report", "yesterday")[0] == 1


def test_a_person_settles_what_was_cut_off(records: Records, run: Run, tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    put_change(state, "files-0000003", "unknown")
    with state.tx() as db:
        db.execute("INSERT INTO blocked VALUES ('/srv/x', 'files-0000003')")
    assert "interlock audit repair files-0000003" in run("show", "files-0000003")[1]

    code, text = run("repair", "files-0000003", "--as", "done")
    assert code == 0 and "settled as done" in text
    assert Changes(state).blocked("/srv/x") is None
    shown = run("show", "files-0000003")[1]
    assert "interlock undo files-0000003" in shown and "settled" in shown
    code, text = run("repair", "files-0000003")
    assert code == 1 and "it is done" in text
    assert "settled" in run("tail")[1] and run("verify")[0] == 0
    state.close()


def test_show_says_when_a_snapshot_is_gone(records: Records, run: Run, tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    put_change(state, "files-0000003", "done")
    with state.tx() as db:
        db.execute("INSERT INTO slots (change, agent, at, size, status) VALUES ('files-0000003','a',0,0,'expired')")
    records.append({"stage": "done", "tool": "snapshots.expire", "snapshots": ["files-0000003"]})
    shown = run("show", "files-0000003")[1]
    assert "not any more: its snapshot has expired" in shown and shown.startswith("files-0000003  write_file  done")
    state.close()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_what_the_world_wrote_is_text_in_the_report() -> None:
    day = Day("A day")
    evil = [
        {"verb": "files.write", "resource": "<script>alert(1)</script> | [x](http://example.com)", "attributes": {}}
    ]
    for number in range(60):
        day.add({**fields(number, undo_class="full", actions=evil), "time": "2026-11-24T10:00:00.000000Z"})
    page = _Page()
    page.feed(to_html(day))
    assert "script" not in page.tags and "table" in page.tags and "and 20 more" in to_html(day)
    row = next(line for line in to_markdown(day).splitlines() if "alert" in line)
    assert "\\<script\\>" in row and " \\| \\[x\\](http" in row


def test_a_day_is_a_local_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        since, until, title = day_bounds("2026-11-01")  # 25 hours long there
        assert (since, until) == ("2026-11-01T04:00:00.000000Z", "2026-11-02T05:00:00.000000Z")
        assert title == "Sunday, 1 November 2026"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_on_a_terminal_there_is_colour_and_nothing_of_the_world_s(records: Records) -> None:
    """Through a real pseudo-terminal: our own styles, and no sequence that came from an agent."""
    for words in (["show", "files-0000002"], ["tail"], ["verify"]):
        shown = on_a_terminal("-m", "interlock.admin.main", "audit", *words)
        assert "\x1b[" in shown, words  # ours
        assert "\x07" not in shown and "\u202e" not in shown and "\x1b[31mred" not in shown, words


def on_a_terminal(*words: str) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"}
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen([sys.executable, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    child.wait()
    os.close(ours)
    return shown.decode()


def test_the_command_stays_light() -> None:
    code = (
        "import sys; from interlock.admin.main import main\n"
        "try: main(['audit', 'tail', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('mcp', 'anthropic', 'docker', 'rich', 'cryptography', 're2') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
