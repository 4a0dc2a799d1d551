"""The git server over stdio: status, log, diff on a small and a large repository, beside two others.

The peers take part where MCP_SERVER_GIT (PyPI mcp-server-git) and MCP_GIT_NPM (npm @cyanheads/git-mcp-server) name
their commands. Calls alternate between the contenders, so that what else the machine does hits all alike. `ratio`: ours
to the faster peer. The calls `after an edit` come right after a file was written.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

CALLS = {"small": 60, "large": 20}
GIT = shutil.which("git") or "git"
FILES, COMMITS = 50_000, 100_000
QUIET = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass
class Contender:
    name: str
    command: list[str]
    environment: dict[str, str]
    tools: dict[str, tuple[str, dict[str, Any]]]  # question -> tool, arguments; PATH stands for the repository
    taken: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measure, Path(os.path.realpath(folder)))


async def measure(folder: Path) -> None:
    repositories = {"small": small(folder / "small"), "large": large(folder / "large")}
    contenders = [guarded(folder), *peers()]
    async with AsyncExitStack() as stack:
        clients = []
        for one in contenders:
            parameters = StdioServerParameters(command=one.command[0], args=one.command[1:], env=one.environment)
            clients.append((one, await stack.enter_async_context(Client(parameters))))
        for size, repository in repositories.items():
            edited = next(path for path in sorted(repository.rglob("*.py")))
            for question in ("status", "log", "diff", "status after an edit", "diff after an edit"):
                for turn in range(CALLS[size] + 3):
                    for one, client in clients:
                        if "edit" in question:
                            edited.write_text(f"{turn} {one.name}\n")
                        taken = await ask(client, one, question.split()[0], repository)
                        if turn >= 3:
                            one.taken.setdefault((size, question), []).append(taken)
    show(contenders)


async def ask(client: Client, one: Contender, question: str, repository: Path) -> float:
    tool, given = one.tools[question]
    arguments = {key: str(repository) if value == "PATH" else value for key, value in given.items()}
    begun = time.perf_counter()
    result = await client.call_tool(tool, arguments)
    taken = (time.perf_counter() - begun) * 1000
    if result.is_error:
        raise SystemExit(f"{one.name}: {tool} failed: {result.content}")
    return taken


def show(contenders: list[Contender]) -> None:
    print(f"{'p50 ms':30}" + "".join(f"{one.name:>16}" for one in contenders) + f"{'ratio':>9}")
    for size, question in contenders[0].taken:
        middle = [statistics.median(one.taken[size, question]) for one in contenders]
        ratio = f"{middle[0] / min(middle[1:]):9.2f}" if len(middle) > 1 else f"{'no peer':>9}"
        print(f"{size + ', ' + question:30}" + "".join(f"{value:16.2f}" for value in middle) + ratio)


def small(place: Path) -> Path:
    git(place.parent, "init", "-q", "-b", "main", place.name)
    for n in range(40):
        (place / f"f{n}.py").write_text(f"value = {n}\n" * 20)
        git(place, "add", "-A")
        git(place, "-c", "user.name=t", "-c", "user.email=t@x", "commit", "-qm", f"change {n}")
    (place / "f3.py").write_text("edited\n")
    return place


def large(place: Path) -> Path:
    """100,000 commits and 50,000 files, by fast-import."""
    git(place.parent, "init", "-q", "-b", "main", place.name)
    process = subprocess.Popen([GIT, "fast-import", "--quiet", "--done"], cwd=place, stdin=subprocess.PIPE, env=QUIET)
    out = process.stdin
    assert out is not None
    for number in range(1, COMMITS + 1):
        out.write(
            b"commit refs/heads/main\nmark :%d\ncommitter t <t@x> %d +0000\ndata 6\nchange\n" % (number, 10**9 + number)
        )
        if number > 1:
            out.write(b"from :%d\n" % (number - 1))
        for file in range(FILES) if number == 1 else (number % FILES,):
            body = b"value = %d\n" % (number + file)
            name = b"d%02d/e%02d/f%05d.py" % (file % 40, file // 40 % 25, file)
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(body), body))
    out.write(b"done\n")
    out.close()
    process.wait()
    git(place, "checkout", "-q", "main")
    time.sleep(1.1)  # so that no file is as young as the index
    git(place, "status")
    (place / "d00/e00/f01000.py").write_text("edited\n")
    return place


def git(folder: Path, *words: str) -> None:
    subprocess.run([GIT, *words], cwd=folder, env=QUIET, check=True, stdout=subprocess.DEVNULL)


def guarded(folder: Path) -> Contender:
    config = folder / "config"
    config.mkdir(mode=0o700)
    policy = config / "policy.yaml"
    policy.write_text(
        f"version: 1\nextends: development\nagent: bench\ngit:\n  repositories: ['{folder}/small', '{folder}/large']\n"
        "limits:\n  calls: {max: 100000, per: 1m}\n  output: {chars: 100000000, per: 1h}\n"
    )
    policy.chmod(0o600)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "keys"),
        "INTERLOCK_POLICY": str(policy),
        "INTERLOCK_HOME": str(folder / "state"),
    }
    keys = "from interlock.guard.keys import create_keys; create_keys(None)"
    subprocess.run([sys.executable, "-c", keys], env=environment, check=True)
    tools = {
        "status": ("git_status", {"repo": "PATH"}),
        "log": ("git_log", {"repo": "PATH", "limit": 10}),
        "diff": ("git_diff", {"repo": "PATH"}),
    }
    return Contender("interlock", [sys.executable, "-m", "interlock.admin.main", "serve", "git"], environment, tools)


def peers() -> list[Contender]:
    found = []
    python, npm = os.environ.get("MCP_SERVER_GIT"), os.environ.get("MCP_GIT_NPM")
    if python:
        tools: dict[str, tuple[str, dict[str, Any]]] = {
            "status": ("git_status", {"repo_path": "PATH"}),
            "log": ("git_log", {"repo_path": "PATH", "max_count": 10}),
            "diff": ("git_diff_unstaged", {"repo_path": "PATH"}),
        }
        found.append(Contender("mcp-server-git", shlex.split(python), QUIET, tools))
    if npm:
        tools = {
            "status": ("git_status", {"path": "PATH"}),
            "log": ("git_log", {"path": "PATH", "maxCount": 10}),
            "diff": ("git_diff", {"path": "PATH"}),
        }
        found.append(Contender("npm git", shlex.split(npm), {**QUIET, "MCP_LOG_LEVEL": "error"}, tools))
    return found


if __name__ == "__main__":
    main()
