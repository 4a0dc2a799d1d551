"""What every server promises a client: names, hints, budgets, and the schema that models see (golden files).

A snapshot changes only with `INTERLOCK_REWRITE=1`; commit it only if you understand why it changed and want that:
every client pins what it saw.
"""

from __future__ import annotations

import importlib
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from interlock.guard.model import Tool
from interlock.guard.overview import guard_tool, undo_tool
from interlock.registry import SERVERS, VERBS
from interlock.schemas import compact_schema

SNAPSHOTS = Path(__file__).parent / "snapshots" / "tools"
BUDGETS = {"files": 5_500, "git": 6_500, "kubectl": 7_000, "logs": 5_000}  # characters of tools/list, all listed
NAMES = {name for name in SERVERS if find_spec(f"interlock.{name}.tools")}


def tools(server: str) -> list[Tool]:
    """All that the policy can list of a server, the guard's own included."""
    own = list(importlib.import_module(f"interlock.{server}.tools").TOOLS)
    changing = sorted({verb for tool in own if tool.change for verb in tool.verbs})
    return [*own, guard_tool(server), *([undo_tool(server, changing)] if changing else [])]


def listed(server: str) -> list[dict[str, Any]]:
    pytest.importorskip("mcp")
    from interlock.wire import described

    return [described(tool).model_dump(by_alias=True, exclude_none=True) for tool in tools(server)]


@pytest.mark.parametrize("server", sorted(NAMES))
def test_what_the_model_sees_is_as_pinned(server: str):
    text = json.dumps(listed(server), indent=1, ensure_ascii=False) + "\n"
    path = SNAPSHOTS / f"{server}.json"
    if os.environ.get("INTERLOCK_REWRITE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), "what clients see has changed; see the docstring of this file"


@pytest.mark.parametrize("server", sorted(NAMES))
def test_the_list_stays_within_its_budget(server: str):
    size = len(json.dumps(listed(server), ensure_ascii=False, separators=(",", ":")))
    assert size <= BUDGETS[server]


@pytest.mark.parametrize("server", sorted(NAMES))
def test_hints_are_explicit_and_true(server: str):
    for tool, shown in zip(tools(server), listed(server), strict=True):
        verbs = [VERBS[verb] for verb in tool.verbs]
        assert tool.change == any(verb.change for verb in verbs), tool.name
        wanted = {"readOnlyHint": not tool.change}
        if tool.change:
            wanted["destructiveHint"] = tool.destructive
            assert "reason" in tool.arguments.model_fields, tool.name
        assert shown["annotations"] == wanted, tool.name


@pytest.mark.parametrize("server", sorted(NAMES))
def test_arguments_are_closed_and_strict(server: str):
    for tool in tools(server):
        assert tool.arguments.model_config.get("extra") == "forbid", tool.name
        assert tool.arguments.model_config.get("strict"), tool.name
        assert compact_schema(tool.arguments)["type"] == "object"


def test_names_are_unique_short_and_plain():
    names = [tool.name for server in NAMES for tool in tools(server)]
    assert len(names) == len(set(names))
    for name in names:
        assert len(name) <= 32 and name.isascii() and name.replace("_", "").isalnum()


def test_descriptions_fit_what_clients_show():
    for server in NAMES:
        for tool in tools(server):
            assert 0 < len(tool.description) < 2000 and tool.description.isprintable(), tool.name


def test_no_tool_can_consent():
    words = ("approve", "consent", "resume_halt", "purge", "grant", "policy")
    for server in NAMES:
        for tool in tools(server):
            assert not any(word in tool.name for word in words), tool.name
