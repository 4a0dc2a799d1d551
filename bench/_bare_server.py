"""A server without a guard on the same SDK: what a read and a write cost by themselves."""

from __future__ import annotations

import os
from pathlib import Path

from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool(structured_output=False)
async def read_file(path: str) -> str:
    return Path(path).read_text()  # noqa: ASYNC240 (as a plain server does)


@server.tool(structured_output=False)
async def write_file(path: str, content: str) -> str:
    temp = f"{path}.tmp"
    with Path(temp).open("w") as file:  # noqa: ASYNC230
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temp).rename(path)  # noqa: ASYNC240
    return "done"


if __name__ == "__main__":
    server.run()
