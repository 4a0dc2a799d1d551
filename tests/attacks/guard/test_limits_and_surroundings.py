"""Limits that are tried by other tools, spellings, processes and names; and what lies around a server: its working
directory, its environment, its descriptors, its records.

Stopped by counting effects on real things in the state (`limits`), by absolute programs and rebuilt environments
(`sandbox`), by confinement, and by one hash-chained record for each call.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from admin.apart import Peer
from attack_served import Served, served

from interlock.guard.audit.reading import read_all

FEW = (
    "limits: {calls: {max: 1000, per: 1h}, local_changes: {max: 10, per: 1h}, repeats: {max: 2, per: 10m},"
    " output: {chars: 1000000000, per: 1h}}\napprovals: {wait: 0s}\n"
)


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, limits=FEW) as made:
        yield made


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("loops"), limits=FEW.replace("max: 10,", "max: 1000,")) as made:
        yield made


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("around")) as made:
        yield made


# ---------------------------------------------------------------- limits


def many(at: Served, count: int = 14) -> list[tuple[str, dict[str, Any]]]:
    """Changes of every kind, each on a thing of its own."""
    room = at.room()
    calls: list[tuple[str, dict[str, Any]]] = []
    for n in range(count):
        (room / f"e{n}").write_text("one\n")
        calls.append(
            (
                ("write_file", {"path": f"{room}/w{n}", "content": "x"}),
                ("edit_file", {"path": f"{room}/e{n}", "edits": [{"old": "one", "new": "two"}]}),
                ("move_file", {"source": f"{room}/e{n}", "destination": f"{room}/m{n}"}),
                ("delete_file", {"path": f"{room}/e{n}"}),
            )[n % 4]
        )
    return calls


def _restarted(at: Served) -> None:
    at.peer.close()
    at.peer = at.apart.peer()


def _renamed(at: Served) -> None:
    at.peer.close()
    at.peer = at.apart.peer(name="another client")


def _other_era(at: Served) -> None:
    at.peer.close()
    at.peer = at.apart.peer(era="2026-07-28")


def _killed(at: Served) -> None:
    at.peer.process.send_signal(signal.SIGKILL)
    at.peer.process.wait()
    at.peer = at.apart.peer()


def _edited(at: Served) -> None:
    """Another policy with the same limits."""
    at.peer.close()
    at.apart.policy.write_text(at.apart.policy.read_text() + "# x\n")
    at.peer = at.apart.peer()


WAYS: dict[str, Callable[[Served], None]] = {
    "by one process": lambda at: None,
    "by a restart": _restarted,
    "by another client's name": _renamed,
    "by another era": _other_era,
    "by a kill": _killed,
    "by an edit of the policy": _edited,
}


@pytest.mark.parametrize("way", WAYS)
def test_changes_are_counted_whatever_they_are_and_whoever_serves(few: Served, way: str) -> None:
    made = 0
    for number, (tool, arguments) in enumerate(many(few)):
        if number in (4, 10):
            WAYS[way](few)
        reply = few.call(tool, **arguments)
        assert reply.code in ("", "limit_reached"), reply.text
        made += not reply.is_error
    assert made == 10
    assert few.done("read_file", path=str(few.judged / "w0")).text  # reads go on


def test_a_dry_run_and_a_refusal_use_up_no_change(few: Served) -> None:
    room = few.room()
    (room / "a").write_text("one\n")
    for _ in range(12):
        few.done("edit_file", path=f"{room}/a", edits=[{"old": "one", "new": "two"}], dry_run=True)
        few.refused("write_file", path=f"{room}/.env", content="x")
    few.done("write_file", path=f"{room}/b", content="x")


REPEATS: dict[str, Callable[[Path], list[tuple[str, dict[str, Any]]]]] = {
    "the same": lambda r: [("write_file", {"path": f"{r}/a", "content": "A"})],
    "other spellings": lambda r: [
        ("write_file", {"path": path, "content": "A"}) for path in (f"{r}/a", f"{r}//a", f"{r}/./a", f"{r}/d/../a")
    ],
    "through a link": lambda r: [("write_file", {"path": path, "content": "A"}) for path in (f"{r}/a", f"{r}/l")],
    "other reasons": lambda r: [
        ("write_file", {"path": f"{r}/a", "content": "A", "reason": why}) for why in ("x", "y", "z")
    ],
    "to and fro": lambda r: [("write_file", {"path": f"{r}/a", "content": text}) for text in "AB"],
    "to and fro by another tool": lambda r: [
        ("write_file", {"path": f"{r}/a", "content": "A"}),
        ("edit_file", {"path": f"{r}/a", "edits": [{"old": "A", "new": "B"}]}),
    ],
    "a move to and fro": lambda r: [
        ("move_file", {"source": f"{r}/x", "destination": f"{r}/y"}),
        ("move_file", {"source": f"{r}/y", "destination": f"{r}/x"}),
    ],
}


@pytest.mark.parametrize("name", REPEATS)
def test_a_loop_ends(loops: Served, name: str) -> None:
    room = loops.room()
    (room / "d").mkdir()
    (room / "a").write_text("0")
    (room / "x").write_text("x")
    (room / "l").symlink_to("a")
    codes = []
    for n in range(9):
        calls = REPEATS[name](room)
        tool, arguments = calls[n % len(calls)]
        codes.append(loops.call(tool, **arguments).code)
    assert "limit_reached" in codes and codes.count("") <= 6, codes


def test_ordinary_corrections_are_no_loop(loops: Served) -> None:
    room = loops.room()
    for text in ("draft\n", "draft two\n", "draft three\n", "final\n"):
        loops.done("write_file", path=f"{room}/a", content=text)
    for n in range(4):
        loops.done("write_file", path=f"{room}/{n}", content="the same\n")


# ---------------------------------------------------------------- what lies around

PLANTED = (
    "json.py", "sitecustomize.py", "usercustomize.py", "interlock/__init__.py", "pydantic.py", "mcp/__init__.py",
    "rg", "git", "sh", "python3", ".env", ".ripgreprc", "pyvenv.cfg", "interlock.pth", ".interlock/policy.yaml",
)  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """A server that was started in a folder full of traps, with a PATH that begins there."""
    with served(tmp_path_factory.mktemp("planted")) as made:
        made.peer.close()
        pwned = made.apart.folder / "PWNED"
        for name in PLANTED:
            path = made.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".py":
                path.write_text(f"open({str(pwned)!r}, 'a').write({name!r})\nraise SystemExit('{name}')\n")
            elif path.suffix in (".pth",):
                path.write_text(f"import os; open({str(pwned)!r}, 'a').write({name!r})\n")
            else:
                path.write_text(f"#!/bin/sh\necho {name} >>{pwned}\n")
            path.chmod(0o755)
        script = Path(sys.executable).with_name("interlock-files")
        environment = {
            **made.apart.environment,
            "PATH": f".:{made.root}:{os.environ['PATH']}",
            "RIPGREP_CONFIG_PATH": str(made.root / ".ripgreprc"),
            "LESSOPEN": f"|touch {pwned}",
            "AWS_SECRET_ACCESS_KEY": made.canary,
        }
        old = Path.cwd()
        os.chdir(made.root)
        try:
            made.peer = Peer([str(script)], environment, "legacy", "raw")
        finally:
            os.chdir(old)
        yield made, pwned


CALLS: dict[str, dict[str, Any]] = {
    "read_file": {"path": "ROOT/json.py"},
    "list_directory": {"path": "ROOT"},
    "search_files": {"path": "ROOT", "pattern": "import", "ignored": True},
    "file_info": {"path": "ROOT/rg"},
    "write_file": {"path": "ROOT/new.txt", "content": "x"},
    "move_file": {"source": "ROOT/rg", "destination": "ROOT/rg2"},
    "delete_file": {"path": "ROOT/git"},
    "files_guard": {},
    "nothing": {"x": 1},
}


@pytest.mark.parametrize("tool", CALLS)
def test_nothing_that_lies_in_the_working_directory_runs(planted: tuple[Served, Path], tool: str) -> None:
    at, pwned = planted
    reply = at.call(tool, **at.named(CALLS[tool], at.root))
    assert reply.code != "guard_failure", reply.text
    assert not pwned.exists()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTRAP])
def test_no_core_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as at:
        at.peer.process.send_signal(number)
        at.peer.process.wait(timeout=10)
        assert not [path for path in at.apart.folder.rglob("core*") if path.is_file()]


def test_files_of_the_guard_are_its_accounts_alone(at: Served) -> None:
    at.done("write_file", path=f"{at.room()}/a", content="x")
    for path in [at.apart.home, *at.apart.home.rglob("*"), *(at.apart.config / "interlock" / "keys").rglob("*")]:
        mode = path.lstat().st_mode
        assert stat.S_ISLNK(mode) or not mode & 0o077 or (at.apart.home in path.parents and not mode & 0o022), path


# ---------------------------------------------------------------- records

EVERY: dict[str, tuple[str, dict[str, Any], str]] = {
    "a read": ("read_file", {"path": "ROOM/a"}, "done"),
    "a listing": ("list_directory", {"path": "ROOM"}, "done"),
    "a search": ("search_files", {"path": "ROOM", "pattern": "x"}, "done"),
    "a refusal by bounds": ("read_file", {"path": "OUTSIDE/secret.txt"}, "refused"),
    "a refusal by name": ("read_file", {"path": "ROOM/.git/config"}, "refused"),
    "no path": ("read_file", {"path": ""}, "refused"),
    "wrong arguments": ("read_file", {"path": ["ROOM/a"], "nope": 1}, "refused"),
    "no such tool": ("run_shell", {"command": "id"}, "refused"),
    "an overview": ("files_guard", {}, "done"),
    "a resume of nothing": ("files_guard", {"resume": "files-2222222"}, "refused"),
    "a dry run": ("edit_file", {"path": "ROOM/a", "edits": [{"old": "x", "new": "y"}], "dry_run": True}, "done"),
    "a change": ("write_file", {"path": "ROOM/b", "content": "x", "reason": "because"}, "permitted,done"),
    "a change that is refused": ("write_file", {"path": "ROOM/.env", "content": "x"}, "refused"),
    "an undo of nothing": ("files_undo", {"id": "files-2222222"}, "refused"),
}


@pytest.mark.parametrize("name", EVERY)
def test_each_call_has_its_record_and_no_other(at: Served, name: str) -> None:
    tool, arguments, stages = EVERY[name]
    room = at.room()
    (room / "a").write_text("x\n")
    before = len(list(read_all(at.apart.home)))
    reply = at.call(tool, **at.named(arguments, room))
    made = [record for record in read_all(at.apart.home) if "call" in record][before - len(_unnamed(at)) :]
    assert [record["stage"] for record in made] == stages.split(",")
    assert len({record["call"] for record in made}) == 1
    for record in made:
        assert record["tool"] == tool and record["principal"]["agent"] == "tester"
        if record["stage"] == "refused":
            assert record["error"]["code"] == reply.code
    at.holds(json.dumps(made))


def _unnamed(at: Served) -> list[Any]:
    return [record for record in read_all(at.apart.home) if "call" not in record]


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a decision edited": lambda x: [*x[:3], x[3].replace(b'"stage":"', b'"stage":"x'), *x[4:]],
    "a line removed": lambda x: [*x[:3], *x[4:]],
    "two lines swapped": lambda x: [*x[:3], x[4], x[3], *x[5:]],
    "a line twice": lambda x: [*x[:4], x[3], *x[4:]],
    "the end cut off": lambda x: x[:-2],
    "half of the last line": lambda x: [*x[:-1], x[-1][: len(x[-1]) // 2]],
    "everything cut off": lambda x: [],
    "the first line gone": lambda x: x[1:],
    "a line of spaces": lambda x: [*x[:3], b"   \n", *x[3:]],
    "a forged line": lambda x: [*x, x[-1].replace(b'"seq":', b'"seq":9')],
    "NULs": lambda x: [*x, b"\0" * 100],
    "white space inside": lambda x: [*x[:3], x[3].replace(b'":', b'": ', 1), *x[4:]],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A home whose only server has ended."""
    made = Served(tmp_path_factory.mktemp("finished"))
    room = made.room()
    for n in range(6):
        made.done("write_file", path=f"{room}/{n}", content=f"{n}\n")
    made.close()
    return made


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_and_refuses_from_then_on(finished: Served, name: str) -> None:
    home = finished.apart.home
    kept = home.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home, kept, symlinks=True)
    try:
        (chain,) = (home / "audit").glob("*.jsonl")
        chain.write_bytes(b"".join(TAMPERED[name](chain.read_bytes().splitlines(keepends=True))))
        done = subprocess.run(
            finished.apart.command("audit", "verify"), env=finished.apart.environment, capture_output=True, text=True
        )
        assert done.returncode == 1 and chain.name in done.stdout + done.stderr, done
        if name not in ("a decision edited", "the end cut off", "everything cut off"):
            return
        again = finished.apart.peer()
        try:
            reply = again.call("write_file", path=f"{finished.root}/after", content="x")
            assert reply.code == "guard_failure" and not (finished.root / "after").exists(), reply.text
        finally:
            again.close()
    finally:
        shutil.rmtree(home)
        kept.rename(home)


def test_the_record_of_what_lies_outside_says_what_was_decided(at: Served) -> None:
    reply = at.call("read_file", path=f"{at.outside}/secret.txt")
    (record,) = [one for one in read_all(at.apart.home) if one.get("call") == reply.id]
    assert record["decision"]["effect"] == "deny" and record["decision"]["rules"] == ["builtin.outside"]
