"""`interlock demo`: a playground, the real files server, a scripted agent, and a person who approves.

It shows the transcript and then what the records say. Nothing outside the playground is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from interlock.guard.errors import Broken

from .terminal import on_terminal, say

POLICY = """\
# yaml-language-server: $schema={schema}
version: 1
extends: development
agent: demo-agent

files:
  roots:
    - {{path: {root}, access: write}}

rules:
  deploys:
    ask: files.write
    where: {{path: "{root}/deploy/**"}}
    risk: high
    reason: deploys are reviewed by on-call

approvals: {{expires: 15m, wait: 1s}}
"""

FILES = {
    "README.md": "# payments\nTakes money.\n",
    "config/payments.yaml": "service: payments\ntimeout: 5s\ndatabase:\n  host: db.internal\n  user: payments\n"
    "  password: {password}\nlog_level: info\n",
    "deploy/payments.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: payments\n"
    "spec:\n  replicas: 2\n",
    "src/app.py": 'def charge(amount, timeout=5):\n    """Charge a card."""\n    return amount\n',
    "build/app.whl": "wheel\n",
    "build/reports/coverage.txt": "87 %\n",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("demo", help="watch a scripted agent work behind the guard")
    parser.add_argument("--keep", action="store_true", help="leave the playground for a look around")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    playground = Path(tempfile.mkdtemp(prefix="interlock-demo-")).resolve()
    try:
        return _play(playground)
    finally:
        if arguments.keep:
            say(f"\nThe playground is at {playground}. To look around:\n  export {_variables(playground)}")
        else:
            shutil.rmtree(playground, ignore_errors=True)


def _play(playground: Path) -> int:
    root = playground / "work"
    environment = {**os.environ, **_environment(playground), "PYTHONUNBUFFERED": "1"}
    _build(playground, root, environment)
    _title("A scripted agent works through the files server. No model is needed; server, client and guard are real.")
    agent = subprocess.Popen(
        [sys.executable, "-m", "interlock.demo.agent", os.fspath(root)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(playground / "server.log").open("wb"),
        text=True,
    )
    assert agent.stdin is not None and agent.stdout is not None
    approved = False
    for line in agent.stdout:
        event: dict[str, Any] = json.loads(line)
        if "wait" in event:
            approved = _approve(event["wait"], environment)
            agent.stdin.write("go on\n")
            agent.stdin.flush()
        else:
            _show(event, playground)
    if agent.wait() != 0 or not approved:
        log = (playground / "server.log").read_text(errors="replace")[-2000:]
        raise Broken("the demo's agent stopped early", hint=f"its log ends with:\n{log}")
    _title("What a person sees afterwards")
    for command in (["changes"], ["audit", "tail", "--limit", "14"], ["audit", "verify"]):
        _command(command, environment)
    last = _last_refused(environment)
    if last:
        _command(["audit", "show", last], environment)
    return 0


def _build(playground: Path, root: Path, environment: dict[str, str]) -> None:
    import secrets

    from interlock.guard.policy.loading import schema_path

    password = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(12))
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.replace("{password}", password))
    private = playground / "private"
    private.mkdir(mode=0o700)
    (private / "passwords.txt").write_text(f"root: {password}\n")
    policy = Path(environment["INTERLOCK_POLICY"])
    policy.parent.mkdir(mode=0o700, parents=True)
    policy.write_text(POLICY.format(root=root, schema=schema_path()))
    policy.chmod(0o600)
    made = [sys.executable, "-c", "from interlock.guard.keys import create_keys; create_keys(None)"]
    subprocess.run(made, env=environment, check=True)


def _environment(playground: Path) -> dict[str, str]:
    config = playground / "config"
    return {
        "HOME": os.fspath(playground),  # so that tables say ~
        "XDG_CONFIG_HOME": os.fspath(config),
        "INTERLOCK_POLICY": os.fspath(config / "interlock" / "policy.yaml"),
        "INTERLOCK_HOME": os.fspath(playground / "state"),
    }


def _variables(playground: Path) -> str:
    return " ".join(f"{key}={value}" for key, value in _environment(playground).items())


def _approve(id: str, environment: dict[str, str]) -> bool:
    _say("person", "In another terminal, a person looks at it and consents:", "bold magenta")
    return _command(["approve", id], environment) == 0


def _command(words: list[str], environment: dict[str, str]) -> int:
    """Run a command of ours as a person would, on the same terminal."""
    _say("$", "interlock " + " ".join(words), "bold")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "interlock.admin.main", *words], env=environment)
    say()
    return done.returncode


def _last_refused(environment: dict[str, str]) -> str:
    words = [sys.executable, "-m", "interlock.admin.main", "audit", "search", "--stage", "refused", "--json"]
    found = subprocess.run(words, env=environment, capture_output=True, text=True)
    records = [record for record in json.loads(found.stdout or "[]") if "out_of_bounds" in json.dumps(record)]
    return records[0]["call"] if records else ""


def _show(event: dict[str, Any], playground: Path) -> None:
    if "tools" in event:
        _say("tools", ", ".join(event["tools"]), "dim")
    elif "say" in event:
        say()
        _say("agent", event["say"], "bold cyan")
    elif "call" in event:
        arguments = ", ".join(f"{key}={json.dumps(value)}" for key, value in event["arguments"].items())
        _say("call", f"{event['call']}({arguments})".replace(os.fspath(playground), "~"), "cyan")
    elif "answer" in event:
        text = str(event["answer"]).replace(os.fspath(playground), "~")
        _say("refused" if event["is_error"] else "answer", text, "yellow" if event["is_error"] else "green")


def _title(text: str) -> None:
    say()
    _say("", text, "bold")
    say()


def _say(who: str, text: str, style: str) -> None:
    """A line of the transcript: who, then what, further lines indented under it."""
    lines = text.splitlines() or [""]
    if not on_terminal():
        say("\n".join([f"{who:>8}  {lines[0]}", *(f"{'':>8}  {line}" for line in lines[1:])]))
        return
    from rich.console import Console
    from rich.text import Text

    from interlock.untrusted import visible

    console = Console(highlight=False)
    for index, line in enumerate(lines):
        label = Text(f"{who if index == 0 else '':>8}  ", style=style)
        console.print(label + Text(visible(line), style="" if who not in ("call", "") else style))
