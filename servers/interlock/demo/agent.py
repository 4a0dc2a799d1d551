"""A scripted agent: an ordinary MCP client over stdio. It prints what it does as JSON lines for `interlock demo`.

Not a mock of anything: the server it starts is the real one, and all that it knows is what the server answers.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

ID = re.compile(r"files-[a-z0-9]+")


class Agent:
    """Calls tools and tells what it does."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def says(self, text: str) -> None:
        _emit({"say": text})

    async def call(self, tool: str, **arguments: Any) -> str:
        """One call; returns the text that a model would read."""
        _emit({"call": tool, "arguments": arguments})
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        _emit({"answer": text, "is_error": bool(result.is_error)})
        return text


async def work(root: Path) -> None:
    server = StdioServerParameters(command=sys.executable, args=["-m", "interlock.admin.main", "serve", "files"])
    server.env = dict(os.environ)
    async with Client(server) as client:
        agent = Agent(client)
        listed = await client.list_tools()
        _emit({"tools": [tool.name for tool in listed.tools]})

        agent.says("The payment service times out. Where is its timeout set?")
        await agent.call("search_files", path=str(root), pattern="timeout")
        await agent.call("read_file", path=str(root / "config" / "payments.yaml"))

        agent.says("The password came as a placeholder. I raise the timeout and leave the placeholder where it stands.")
        text = await agent.call(
            "edit_file",
            path=str(root / "config" / "payments.yaml"),
            edits=[{"old": "timeout: 5s", "new": "timeout: 30s"}],
            reason="payments time out under load",
        )

        agent.says("Old build output fills the disk. I delete the whole tree.")
        text = await agent.call("delete_file", path=str(root / "build"), reason="frees disk space")
        deleted = _id(text)

        agent.says("Perhaps the database host is in a file outside of my folder?")
        await agent.call("read_file", path=str(root.parent / "private" / "passwords.txt"))

        agent.says("I also have to change how many replicas run. The policy wants a person for that.")
        text = await agent.call(
            "edit_file",
            path=str(root / "deploy" / "payments.yaml"),
            edits=[{"old": "replicas: 2", "new": "replicas: 4"}],
            reason="two replicas cannot take the load",
        )
        pending = _id(text)
        _emit({"wait": pending})
        sys.stdin.readline()  # the demo lets a person answer in another process meanwhile
        await agent.call("files_guard", resume=pending)

        agent.says("The build was still needed! I put the tree back.")
        await agent.call("files_undo", id=deleted, reason="the release needs build/")
        await agent.call("list_directory", path=str(root / "build"))


def _id(text: str) -> str:
    found = ID.search(text)
    if found is None:
        raise SystemExit(f"no id in the answer: {text}")
    return found.group()


def _emit(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(work, Path(sys.argv[1]))
