"""`interlock redact` as a process: streams, JSON lines, reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redaction.fixtures import human, machine_made

PASSWORD = human(6)
TOKEN = machine_made(32, 9)


def run(text: str, *options: str, home: Path, code: int = 0) -> str:
    command = [sys.executable, "-m", "interlock.admin.main", "redact", *options]
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, input=text.encode(), capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == code, done.stderr.decode()
    assert PASSWORD not in done.stderr.decode()
    return done.stdout.decode()


def test_stdin_to_stdout(tmp_path: Path) -> None:
    shown = run(f"a\npassword={PASSWORD}\nb", home=tmp_path)
    assert shown == "a\npassword=[secret:password:1]\nb"


def test_json_lines(tmp_path: Path) -> None:
    lines = [{"id": 1, "text": f"token={TOKEN}"}, {"id": "b", "text": "nothing"}]
    shown = [
        json.loads(line)
        for line in run("".join(json.dumps(one) + "\n" for one in lines), "--jsonl", home=tmp_path).splitlines()
    ]
    assert [one["id"] for one in shown] == [1, "b"] and TOKEN not in shown[0]["text"] and shown[1]["text"] == "nothing"
    run("no json\n", "--jsonl", home=tmp_path, code=1)


@pytest.mark.parametrize("text", ["", "plain\n"])
def test_nothing_to_report(tmp_path: Path, text: str) -> None:
    assert run(text, "--report", home=tmp_path) == ""


def test_a_report_names_kinds_and_places_never_values(tmp_path: Path) -> None:
    shown = run(f"a\nx password={PASSWORD}\n\ntoken={TOKEN}\n", "--report", home=tmp_path)
    assert [line.split("\t")[:2] for line in shown.splitlines()] == [["2:12", "password"], ["4:7", "token"]]
    assert PASSWORD not in shown and TOKEN not in shown
