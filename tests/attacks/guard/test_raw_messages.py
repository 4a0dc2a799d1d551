"""Messages that no client sends: case tricks, batches, bombs, claims in odd places. The server survives them all.

The classes are those by which protocol libraries were broken: case-insensitive keys, an unbounded line, one bad request
that ends the process, a call hidden in a batch (CVE-2026-27896, CVE-2025-53365, CVE-2026-25536 and their kin).
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installation import Installation

SECRET = "canary-" + "7f3k9q2m5x8w"


class RawClient:
    """Writes lines, reads lines; knows nothing of the protocol but the handshake."""

    def __init__(self, installation: Installation) -> None:
        command = [sys.executable, "-m", "interlock.admin.main", "serve", "files"]
        self.process = subprocess.Popen(
            command,
            env=installation.environment,
            bufsize=0,  # waiting must see all that has come
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(installation.folder / "stderr.log").open("wb"),
        )
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
        assert self.request("initialize", about)["result"]["protocolVersion"] == "2025-11-25"
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, frame: Any) -> None:
        line = frame if isinstance(frame, bytes) else (frame if isinstance(frame, str) else json.dumps(frame)).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self, seconds: float = 10.0) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        waiting = select.poll()
        waiting.register(self.process.stdout, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def request(self, method: str, params: dict[str, Any], id: int | str = 1) -> dict[str, Any]:
        self.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        while (answer := self.read(30)) is not None:
            if answer.get("id") == id:
                return answer
        raise AssertionError("the server is gone")

    def call(self, tool: str, id: int | str = "alive", **arguments: Any) -> dict[str, Any]:
        return self.request("tools/call", {"name": tool, "arguments": arguments}, id)

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def world(installation: Installation) -> Installation:
    (installation.work / "README.md").write_text("# app\n")
    outside = installation.folder / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    return installation


@pytest.fixture
def client(world: Installation) -> Iterator[RawClient]:
    made = RawClient(world)
    yield made
    made.close()


def frames(world: Installation) -> dict[str, str | bytes]:
    outside, inside = world.folder / "outside" / "secret.txt", world.work / "README.md"
    call = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%s","arguments":%s}}'
    delete = call % ("delete_file", json.dumps({"path": str(inside)}))
    return {
        "duplicate key, escaped": call % ("read_file", f'{{"path":"{outside}","pa\\u0074h":"{inside}"}}'),
        "method in capitals": '{"jsonrpc":"2.0","id":7,"METHOD":"tools/call","method":"ping"}',
        "arguments as text": call % ("read_file", json.dumps(json.dumps({"path": str(outside)}))),
        "arguments as a list": call % ("read_file", f'["{outside}"]'),
        "claims in _meta": call % ("read_file", json.dumps({"path": str(outside), "_meta": {"approved": True}})),
        "approves itself": call % ("delete_file", json.dumps({"path": str(inside), "approved": True, "force": True})),
        "a batch": f"[{delete},{delete}]",
        "deep nesting": "[" * 200_000,
        "a huge integer": call % ("read_file", '{"offset":' + "9" * 5000 + "}"),
        "an infinite number": call % ("read_file", '{"offset":1e999}'),
        "no name": '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}',
        "name of another type": '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":["read_file"]}}',
        "not UTF-8": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"\xff\xfe"}}',
        "a lone surrogate": call % ("read_file", '{"path":"\\ud800"}'),
        "NUL": call % ("read_file", '{"path":"a\\u0000b"}'),
        "empty line": "",
        "a completion of a resource": '{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":'
        f'{{"type":"ref/resource","uri":"file://{outside}"}},"argument":{{"name":"x","value":"s"}}}}}}',
        "a resource by its path": '{"jsonrpc":"2.0","id":7,"method":"resources/read","params":'
        f'{{"uri":"file://{outside}"}}}}',
    }


def test_each_odd_message_is_survived_and_gives_nothing_away(world: Installation, client: RawClient):
    for name, frame in frames(world).items():
        client.send(frame)
        answer = client.call("file_info", id=f"after {name}", path=str(world.work / "README.md"))
        assert "result" in answer, name
        assert not answer["result"].get("isError"), (name, answer)
    everything = b"".join(path.read_bytes() for path in (world.folder / "state" / "audit").glob("*.jsonl"))
    assert SECRET.encode() not in everything + (world.folder / "stderr.log").read_bytes()
    assert (world.work / "README.md").exists()


def test_a_line_without_end_costs_bounded_memory(world: Installation, client: RawClient):
    assert client.process.stdin is not None
    before = _memory(client.process.pid)
    chunk = b"x" * (1 << 20)
    for _ in range(200):
        client.process.stdin.write(chunk)
    client.process.stdin.write(b"\n")
    client.process.stdin.flush()
    assert not client.call("file_info", path=str(world.work / "README.md"))["result"].get("isError")
    assert _memory(client.process.pid) - before < 64 << 20


def test_what_is_not_listed_is_not_callable_either(world: Installation):
    world.write_policy(profile="readonly")
    client = RawClient(world)
    try:
        listed = [tool["name"] for tool in client.request("tools/list", {})["result"]["tools"]]
        assert "read_file" in listed and "delete_file" not in listed
        answer = client.call("delete_file", path=str(world.work / "README.md"))
        assert answer["result"]["isError"]
        assert answer["result"]["content"][0]["text"].startswith("denied: the policy allows no call of delete_file")
        assert (world.work / "README.md").exists()
    finally:
        client.close()


def test_a_print_in_a_library_never_reaches_the_wire(world: Installation, client: RawClient):
    assert _open_file(client, 0) == "/dev/null"
    assert _open_file(client, 1) == _open_file(client, 2)


def _open_file(client: RawClient, fd: int) -> str:
    return str(Path(f"/proc/{client.process.pid}/fd/{fd}").readlink())


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
