"""An installation whose servers register in a folder of its own: `halt` must never reach others of this account.

Also the driver that its processes run: `python apart.py FOLDER COMMAND...` is `interlock COMMAND...` with that folder.
"""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from installation import Installation, Reply
    from mcp import StdioServerParameters

    class Apart(Installation):
        """Everything below `folder`, the running servers too."""

        @property
        def servers(self) -> Path:
            return self.folder / "servers"

        def command(self, *words: str) -> list[str]:
            return [sys.executable, __file__, os.fspath(self.servers), *words]

        def cli(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                self.command(*words), env=self.environment, input=input, capture_output=True, text=True, timeout=60
            )

        def parameters(self, server: str = "files", *options: str) -> StdioServerParameters:
            command, *arguments = self.command("serve", server, *options)
            return StdioServerParameters(command=command, args=arguments, env=self.environment)

        def peer(self, *options: str, era: str = "legacy", name: str = "raw", **more: str) -> Peer:
            return Peer(self.command("serve", "files", *options), {**self.environment, **more}, era, name)

        def answer(self, *words: str, type: Sequence[tuple[str, str]] = ()) -> tuple[int, str]:
            """Run a command on a terminal of its own, typing each answer after its question. Exit code and screen."""
            return on_terminal(self.command(*words), self.environment, type)


class Peer:
    """A client that knows frames, not the SDK: it can start a call and leave, cancel, or be two at once."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], era: str, name: str) -> None:
        self.era, self.name, self.next, self.buffer = era, name, 0, b""
        self.answers: dict[Any, dict[str, Any]] = {}
        self.process = subprocess.Popen(
            command,
            env=environment,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        about = {"name": name, "version": "0"}
        self.meta = {
            "io.modelcontextprotocol/protocolVersion": era,
            "io.modelcontextprotocol/clientInfo": about,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        if era == "legacy":
            self.meta = {}
            wanted = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
            assert "result" in self.wait(self.request("initialize", wanted))
            self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, frame: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")

    def request(self, method: str, params: dict[str, Any]) -> int:
        self.next += 1
        if self.meta:
            params = {**params, "_meta": self.meta}
        self.send({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params})
        return self.next

    def start(self, tool: str, **arguments: Any) -> int:
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def cancel(self, id: int) -> None:
        self.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "x"}})

    def wait(self, id: int, seconds: float = 30.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while id not in self.answers:
            left = end - time.monotonic()
            if left <= 0 or not self.read(left):
                raise TimeoutError(f"no answer to {id}")
        return self.answers.pop(id)

    def read(self, seconds: float) -> bool:
        """Take in what has come; False at the end or when nothing comes."""
        assert self.process.stdout is not None
        waiting = select.poll()
        waiting.register(self.process.stdout, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            return False
        more = os.read(self.process.stdout.fileno(), 1 << 16)
        self.buffer += more
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "id" in said:
                self.answers[said["id"]] = said
        return bool(more)

    def reply(self, id: int) -> Reply:
        result = self.wait(id)["result"]
        text = "\n".join(part.get("text", "") for part in result["content"])
        return Reply(text, bool(result.get("isError")), result.get("structuredContent"))

    def call(self, tool: str, **arguments: Any) -> Reply:
        return self.reply(self.start(tool, **arguments))

    def tools(self) -> list[str]:
        return [tool["name"] for tool in self.wait(self.request("tools/list", {}))["result"]["tools"]]

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def on_terminal(
    command: Sequence[str], environment: dict[str, str], answers: Sequence[tuple[str, str]]
) -> tuple[int, str]:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], list(command), {**environment, "COLUMNS": "200", "TERM": "xterm"})
    screen, waiting, end = "", list(answers), time.monotonic() + 60
    seen = 0
    while time.monotonic() < end:
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        screen += more.decode(errors="replace")
        if waiting and waiting[0][0] in screen[seen:]:
            seen = len(screen)
            os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen.replace("\r\n", "\n")


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


if __name__ == "__main__":
    import interlock.guard.halt.running

    own = Path(sys.argv[1])
    interlock.guard.halt.running.folders = lambda: [own]
    from interlock.admin.main import main

    sys.exit(main(sys.argv[2:]))
