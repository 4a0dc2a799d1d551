"""The documents keep up with the code: every tool, command, code and effect is in the README, every example works."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from installation import Installation

from interlock.admin.main import COMMANDS, exists
from interlock.guard.errors import Code
from interlock.guard.model import Effect

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_every_command_is_in_the_readme():
    for command in COMMANDS:
        if exists(command):
            assert re.search(rf"\b{command}\b", README), command


def test_no_command_is_promised_that_does_not_exist():
    promised = set(re.findall(r"`?interlock ([a-z]+)", README)) - {"is", "in", "servers"}
    assert {word for word in promised if word in COMMANDS and not exists(word)} == set()


def test_every_code_and_effect_is_in_the_readme():
    for word in [*(code.value for code in Code), *(effect.name.lower() for effect in Effect)]:
        assert f"`{word}`" in README, word


def test_the_example_of_the_policy_is_one(installation: Installation):
    for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL):
        text = block.replace("~/work/app", str(installation.work)).replace("/var/log", str(installation.work / "log"))
        installation.write_policy(text)
        checked = installation.cli("policy", "check")
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_registration_example_is_json_and_names_our_scripts():
    servers = json.loads((ROOT / "mcp.json.example").read_text())["mcpServers"]
    scripts = (ROOT / "pyproject.toml").read_text()
    for entry in servers.values():
        assert f'\n{entry["command"]} = "' in scripts


def test_the_table_of_tools_is_current():
    """`INTERLOCK_REWRITE=1` writes it anew."""
    begin, end = "| server | reads | changes |", "\n\nEvery refusal"
    table = tool_table()
    if os.environ.get("INTERLOCK_REWRITE"):
        head, _, rest = README.partition(begin)
        (ROOT / "README.md").write_text(head + table + end + rest.partition(end)[2])
    assert table in (ROOT / "README.md").read_text()


def tool_table() -> str:
    from test_contract import NAMES, tools

    lines = ["| server | reads | changes |", "| --- | --- | --- |"]
    for server in sorted(NAMES):
        reads = " · ".join(f"`{tool.name}`" for tool in tools(server) if not tool.change)
        changes = " · ".join(f"`{tool.name}`" for tool in tools(server) if tool.change)
        lines.append(f"| {server} | {reads} | {changes or '-'} |")
    return "\n".join(lines)
