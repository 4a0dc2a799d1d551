"""A real, confined server and edits of its policy: they hold for the calls after, but wider bounds wait."""

from __future__ import annotations

import anyio
import pytest
from installation import Agent, Installation

pytestmark = pytest.mark.anyio


async def until(agent: Agent, path: str, word: str) -> str:
    """Read until the answer holds the word: an edit is taken up once it has been still for a second."""
    for _ in range(300):
        text = (await agent.call("read_file", path=path)).text
        if word in text:
            return text
        await anyio.sleep(0.1)
    raise AssertionError(text)


MANY = "limits: {calls: {max: 100000, per: 1m}, output: {chars: 1000000000, per: 1h}}\n"


async def test_edits_reach_a_confined_server(installation: Installation) -> None:
    installation.write_policy(more=MANY)
    path = installation.work / "a.txt"
    path.write_text("hello\n")
    async with installation.agent() as agent:
        assert "hello" in (await agent.call("read_file", path=str(path))).text
        installation.write_policy(more=MANY + "rules: {x: {deny: files.read, reason: closed now}}\n")
        assert (await until(agent, str(path), "closed now")).startswith("denied")
        installation.write_policy(text="version: 1\n")
        assert (await until(agent, str(path), "guard_failure")).count("`extends` is missing") == 1
        installation.write_policy(profile="production", more=MANY)
        await until(agent, str(path), "hello")
        wider = f"roots: [{{path: {installation.work}, access: write}}, {{path: /usr, access: read}}]"
        installation.write_policy(text=f"version: 1\nextends: development\nfiles: {{{wider}}}\n{MANY}")
        answer = await until(agent, "/usr/bin/env", "restart the server")
        assert answer.startswith("out_of_bounds")
