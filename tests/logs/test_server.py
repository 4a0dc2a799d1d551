"""The logs server as a client sees it: the real process, behind the real guard."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from installation import Installation
from logs_lines import hour
from logs_server import body

pytestmark = pytest.mark.anyio

POLICY = """\
version: 1
extends: readonly
agent: tester
logs:
  sources:
    app: {{path: "{folder}/app.log*"}}
  analyze: [grep, wc]
rules:
  no-secrets-log: {{deny: logs.read, where: {{source: hidden}}}}
"""


@pytest.fixture
def logs(installation: Installation) -> Path:
    folder = installation.folder / "var"
    folder.mkdir(mode=0o700)
    lines = hour("crash_loop", 1).lines
    lines[100] += " password=hT4rub4dor9x77"
    (folder / "app.log").write_text("\n".join(lines) + "\n")
    installation.write_policy(POLICY.format(folder=folder))
    return folder


async def test_an_incident_is_found_by_a_client(installation: Installation, logs: Path, era: str) -> None:
    with anyio.fail_after(60):
        async with installation.agent("logs", era=era) as agent:
            listed = await agent.client.list_tools()
            names = {tool.name for tool in listed.tools}
            assert {"list_sources", "read_log", "search_logs", "summarize_logs", "compare_logs", "logs_guard"} <= names
            assert not any("undo" in name for name in names)
            shown = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
            assert len(json.dumps({"tools": shown}, separators=(",", ":"))) <= 5_000
            text = (
                await agent.call(
                    "compare_logs", source="app", since="2026-11-04T08:42:00Z", until="2026-11-04T09:00:00Z"
                )
            ).text
            assert "panic: runtime error" in body(text)[0]
            text = (await agent.call("search_logs", source="app", pattern="password")).text
            assert "[secret:password" in text
            assert "hT4rub4dor" not in text
            assert (await agent.call("read_log", source="../etc/passwd")).code == "out_of_bounds"
            assert (await agent.call("search_logs", source="app", pattern="(a", regex=True)).code == "invalid"
    records = [
        json.loads(row)
        for path in (installation.home / "audit").glob("*.jsonl")
        for row in path.read_text().splitlines()
    ]
    tools = [record.get("tool") for record in records]
    assert tools.count("search_logs") == 2
    assert "hT4rub4dor" not in "".join(path.read_text() for path in (installation.home / "audit").glob("*.jsonl"))


async def test_following_tells_progress_and_ends(installation: Installation, logs: Path) -> None:
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent, anyio.create_task_group() as group:

            async def write() -> None:
                for n in range(40):
                    with (logs / "app.log").open("a") as file:
                        file.write(f"2026-11-04T09:00:{n:02d}Z app INFO late line {n}\n")
                    await anyio.sleep(0.1)

            group.start_soon(write)
            text = (await agent.call("read_log", source="app", follow=2, lines=5)).text
            assert "late line" in text
            group.cancel_scope.cancel()
