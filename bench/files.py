"""The files server over stdio: reads, writes, search, start and memory beside a bare server on the same SDK.

The npm server takes part where MCP_FILESYSTEM names its command (`npx -y @modelcontextprotocol/server-filesystem`).
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

STARTS, READS, WRITES = 11, 300, 60
# Of one write: the state's log (limits, change, what was there), the chain of records; the new file, and its folder.
SYNCS = 4
KB = "a line of text that says nothing much\n" * 27


@dataclass
class Contender:
    name: str
    command: list[str]
    environment: dict[str, str]
    read: str = "read_file"
    starts: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    memory: float = 0.0

    def parameters(self) -> StdioServerParameters:
        return StdioServerParameters(command=self.command[0], args=self.command[1:], env=self.environment)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measure, Path(folder))


async def measure(folder: Path) -> None:
    work = folder / "work"
    work.mkdir()
    (work / "kb.txt").write_text(KB)
    tree(work / "tree")
    contenders = [bare(), guarded(folder, work), *npm(work)]
    for _ in range(STARTS):
        for one in contenders:
            await start(one)
    for one in contenders:
        async with Client(one.parameters()) as client:
            await times(client, one.read, {"path": str(work / "kb.txt")}, 30)
            one.reads = await times(client, one.read, {"path": str(work / "kb.txt")}, READS)
            for n in range(WRITES):
                arguments = {"path": str(work / f"{one.name}.txt"), "content": f"{n}\n{KB}"}
                one.writes += await times(client, "write_file", arguments, 1)
            one.memory = memory(one)
            if one.name == "interlock":
                await more(client, work)
    print(f"{'':12}{'start ms':>10}{'read p50':>10}{'p99 ms':>9}{'write p50':>11}{'p99 ms':>9}{'RSS MB':>8}")
    for one in contenders:
        print(
            f"{one.name:12}{statistics.median(one.starts):10.0f}{ms(one.reads, 50):10.2f}{ms(one.reads, 99):9.2f}"
            f"{ms(one.writes, 50):11.2f}{ms(one.writes, 99):9.2f}{one.memory:8.0f}"
        )
    plain, ours = contenders[0], contenders[1]
    syncs = ms(floor(work), 50)
    print(
        f"start {statistics.median(ours.starts) / statistics.median(plain.starts):.2f}x bare · "
        f"read bare + {ms(ours.reads, 50) - ms(plain.reads, 50):.2f} ms · "
        f"write bare + {ms(ours.writes, 50) - ms(plain.writes, 50):.2f} ms, "
        f"{ms(ours.writes, 50) / syncs:.2f}x of its {SYNCS} syncs alone ({syncs:.2f} ms)"
    )


def floor(work: Path) -> list[float]:
    """What the syncs of one write cost by themselves, behind what they make durable: two lines, a file and its name."""
    taken = []
    logs = [os.open(work / f"log-{n}", os.O_WRONLY | os.O_APPEND | os.O_CREAT) for n in range(2)]
    folder = os.open(work, os.O_RDONLY)
    for _ in range(WRITES):
        begun = time.perf_counter()
        for log in logs:
            os.write(log, b"x" * 4000)
            os.fdatasync(log)
        new = os.open(work / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(new, KB.encode())
        os.fsync(new)
        os.close(new)
        (work / "new").rename(work / "old")
        os.fsync(folder)
        taken.append(time.perf_counter() - begun)
    for one in (*logs, folder):
        os.close(one)
    return taken


async def more(client: Client, work: Path) -> None:
    """What only the guarded server does, each once or a few times."""
    big = work / "big.log"
    line = b"2026-01-01T00:00:00Z INFO request served in 12 ms, all is well with the world today\n"
    with big.open("wb") as file:
        for _ in range(256):
            file.write(line * (1024**2 // len(line)))
    for name, tool, arguments in (
        ("search of 2,000 files", "search_files", {"path": str(work / "tree"), "pattern": "needle"}),
        ("names in 2,000 files", "search_files", {"path": str(work / "tree"), "glob": "*7.txt"}),
        ("window of a 256 MB file", "read_file", {"path": str(big)}),
        ("line 3,000,000 of it", "read_file", {"path": str(big), "offset": 3_000_000, "limit": 10}),
        ("tail of it", "read_file", {"path": str(big), "tail": 20}),
        ("delete of it", "delete_file", {"path": str(big)}),
    ):
        taken = await times(client, tool, arguments, 1 if tool == "delete_file" else 5)
        print(f"   {name:26}{statistics.median(taken) * 1000:9.1f} ms")


async def start(one: Contender) -> None:
    begun = time.perf_counter()
    async with Client(one.parameters()) as client:
        await client.list_tools()
        one.starts.append((time.perf_counter() - begun) * 1000)


async def times(client: Client, tool: str, arguments: dict[str, Any], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        result = await client.call_tool(tool, arguments)
        taken.append(time.perf_counter() - begun)
        if result.is_error:
            raise SystemExit(f"{tool} failed: {result.content}")
    return taken


def ms(values: list[float], percentile: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percentile // 100)] * 1000


def memory(one: Contender) -> float:
    """Resident memory of the running server, in MB: the child of ours with this command."""
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "status").read_text()
            command = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
        except OSError:
            continue
        if f"\nPPid:\t{os.getpid()}\n" in status and command == [os.fsencode(part) for part in one.command]:
            return int(status.split("VmRSS:")[1].split()[0]) / 1024
    return 0.0


def bare() -> Contender:
    return Contender("bare", [sys.executable, str(Path(__file__).with_name("_bare_server.py"))], dict(os.environ))


def guarded(folder: Path, work: Path) -> Contender:
    config = folder / "config"
    config.mkdir(mode=0o700)
    policy = config / "policy.yaml"
    policy.write_text(
        f"version: 1\nextends: development\nagent: bench\nfiles:\n  roots:\n    - {{path: {work}, access: write}}\n"
        "limits:\n  calls: {max: 100000, per: 1m}\n  local_changes: {max: 10000, per: 1h}\n"
        "  output: {chars: 100000000, per: 1h}\n"
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
    command = [sys.executable, "-m", "interlock.admin.main", "serve", "files"]
    return Contender("interlock", command, environment)


def npm(work: Path) -> list[Contender]:
    command = os.environ.get("MCP_FILESYSTEM")
    if not command:
        return []
    return [Contender("npm", [*shlex.split(command), str(work)], dict(os.environ), read="read_text_file")]


def tree(top: Path) -> None:
    for number in range(2000):
        folder = top / f"d{number % 50}"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"file {number}\n" + "some text on a line of its own\n" * 40
        (folder / f"{number}.txt").write_text(text + ("a needle\n" if number % 200 == 0 else ""))


if __name__ == "__main__":
    main()
