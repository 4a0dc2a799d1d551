"""`interlock`: one command is loaded alone and light; every problem becomes words and an exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest
from admin.apart import Apart
from admin.conftest import Run
from files_server import FilesServer

from interlock.admin.main import COMMANDS, exists

HEAVY = ("mcp", "anthropic", "docker", "hyperscan", "pygit2", "rich")

LIGHT = """
import contextlib, io, json, sys
from interlock.admin.main import main
found = {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), \\
            contextlib.suppress(SystemExit):
        main(words)
    found[" ".join(words)] = sorted(set(sys.argv[2:]) & set(sys.modules))
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("commands", "without"),
    [
        (
            [["pending"], ["changes"], ["snapshots", "list"], ["deny", "x"], ["show", "x"], ["--help"]],
            ("pydantic", "cryptography", "structlog", *HEAVY),
        ),
        ([["status"], ["audit", "tail"], ["resume"], ["approve", "x"], ["policy", "check"], ["doctor"]], HEAVY),
    ],
    ids=["ledgers", "policy"],
)
def test_commands_load_only_what_they_need(
    server: FilesServer, commands: list[list[str]], without: tuple[str, ...]
) -> None:
    import json

    command = [sys.executable, "-c", LIGHT, json.dumps(commands), *without]
    environment = server.installation.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {words: loaded for words, loaded in json.loads(done.stdout).items() if loaded} == {}


def test_no_command_is_help_and_a_wrong_one_names_the_nearest(interlock: Run) -> None:
    said = interlock()
    assert said.code == 2 and "  halt " in said.err
    assert interlock("--help").code == 0
    assert interlock("--version").out.startswith("interlock ")
    said = interlock("pendign")
    assert said.code == 2 and "interlock pending" in said.err


@pytest.mark.parametrize("name", [name for name in COMMANDS if exists(name)])
def test_each_command_explains_itself(interlock: Run, name: str) -> None:
    said = interlock(name, "--help")
    assert said.code == 0 and f"interlock {name}" in said.out
    assert interlock(name, "--no-such-option").code == 2


def test_without_an_installation_each_command_says_what_to_do(interlock: Run, apart: Apart) -> None:
    apart.policy.unlink()
    if apart.home.exists():
        import shutil

        shutil.rmtree(apart.home)
    for words in (["pending"], ["changes"], ["show", "x"], ["approve", "x"], ["undo", "x"], ["resume"]):
        said = interlock(*words)
        assert said.code == 1 and "interlock init" in said.err, words
    said = interlock("status")
    assert said.code == 0 and "interlock init" in said.out


def test_a_reader_that_leaves_is_no_traceback(server: FilesServer) -> None:
    apart = server.installation
    assert isinstance(apart, Apart)
    for _ in range(60):
        server.answer("read_file", path="/etc/passwd")
    head = subprocess.Popen(
        apart.command("audit", "tail", "--json"),
        env=apart.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert head.stdout is not None and head.stderr is not None
    head.stdout.close()
    head.wait(timeout=60)
    assert "Traceback" not in head.stderr.read()
    head.stderr.close()


def test_on_a_terminal_there_are_tables(server: FilesServer) -> None:
    apart = server.installation
    assert isinstance(apart, Apart)
    server.change("write_file", path=str(apart.work / "new.txt"), content="x\n")
    code, screen = apart.answer("changes")
    assert code == 0 and "\t" not in screen and "new.txt" in screen and "session" in screen
