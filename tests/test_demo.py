"""`interlock demo` runs whole, keeps its promises on screen, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Run:
    """What one run of the demo printed, and the playground that it kept."""

    out: str
    err: str
    code: int
    playground: Path


def demo(folder: Path, *options: str) -> Run:
    own = ("INTERLOCK_", "XDG_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    environment |= {"HOME": os.fspath(folder), "TMPDIR": os.fspath(folder)}
    command = [sys.executable, "-m", "interlock.admin.main", "demo", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    kept = list(folder.glob("interlock-demo-*"))
    return Run(done.stdout, done.stderr, done.returncode, kept[0] if kept else folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("demo")
    folder.chmod(0o700)
    made = demo(folder, "--keep")
    assert made.code == 0, made.out[-3000:] + made.err[-3000:]
    return made


def test_it_runs_whole(run: Run) -> None:
    assert run.err == ""
    for broken in ("guard_failure", "Traceback", "failed:", "stopped early"):
        assert broken not in run.out, broken


@pytest.mark.parametrize(
    "step",
    [
        "search_files(",
        "read_file(",
        "[secret:",  # what was a password
        "edit_file(",
        "delete_file(",
        "out_of_bounds: ",  # and what to do instead:
        "Instead: ",
        "approval_required: ",
        "$  interlock approve files-",
        "files_guard(resume=",
        "approved by",
        "files_undo(id=",
        "$  interlock changes",
        "$  interlock audit tail",
        "$  interlock audit verify",
        "sound: ",
        "$  interlock audit show files-",
    ],
)
def test_the_transcript_holds_each_promised_step(run: Run, step: str) -> None:
    assert step in run.out


def test_the_steps_come_in_order(run: Run) -> None:
    calls = [line.split("(")[0].split()[-1] for line in run.out.splitlines() if line.startswith("    call  ")]
    assert calls == [
        "search_files",
        "read_file",
        "edit_file",
        "delete_file",
        "read_file",  # outside
        "edit_file",  # which waits
        "files_guard",  # and goes on
        "files_undo",
        "list_directory",
    ]
    places = [run.out.index(step) for step in ("approval_required: ", "$  interlock approve", "files_undo(", "sound: ")]
    assert places[0] < places[1] < places[3]


def test_the_secret_is_nowhere_but_in_its_file(run: Run) -> None:
    text = (run.playground / "work" / "config" / "payments.yaml").read_text()
    password = next(line for line in text.splitlines() if "password:" in line).split()[-1]
    assert len(password) == 12 and "secret:" not in password
    assert password not in run.out
    private = run.playground / "private"
    for path in run.playground.rglob("*"):
        if path.is_file() and path.name != "payments.yaml" and not path.is_relative_to(private):
            inside = path.is_relative_to(run.playground / "state" / "snapshots")  # the prior content, for undo
            assert inside or password.encode() not in path.read_bytes(), path


def test_the_agent_changed_what_it_was_to_change_and_undo_put_the_rest_back(run: Run) -> None:
    work = run.playground / "work"
    assert "timeout: 30s" in (work / "config" / "payments.yaml").read_text()
    assert "replicas: 4" in (work / "deploy" / "payments.yaml").read_text()
    assert (work / "build" / "app.whl").read_text() == "wheel\n"
    assert (work / "build" / "reports" / "coverage.txt").read_text() == "87 %\n"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    made = demo(tmp_path)
    assert made.code == 0, made.out[-3000:] + made.err[-3000:]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cache"] == []
    assert processes_with(os.fspath(tmp_path)) == []


def processes_with(text: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in known and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
