"""`interlock status|show`: where everything stands, and one call whole."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.guard.errors import Broken, Code, Refused

from .home import Opened, open_home
from .terminal import say, say_json, span, table, when


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("status", help="servers, halts, grants, pending calls and budgets at a glance")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_status)
    parser = subparsers.add_parser("show", help="one call, change or refusal: what happened, which rule, what to do")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_show)


def _status(arguments: argparse.Namespace) -> int:
    with open_home(create=True) as opened:
        facts = _facts(opened)
    if arguments.json:
        say_json(facts)
        return 0
    say(f"policy  {facts['policy']}")
    say(f"home    {facts['home']}")
    say(f"halt    {facts['halt'] or 'none'}  (by hand: touch {facts['halt_file']})")
    if facts["profile"]:
        say(f"profile {facts['profile']}")
    say()
    table(("server", "agent", "pid", "home"), [_row(s) for s in facts["servers"]], "no server is running")
    if facts["pending"]:
        say()
        columns = ("waits", "agent", "tool", "risk", "expires in")
        table(columns, [(p["id"], p["agent"], p["tool"], p["risk"], span(p["left"])) for p in facts["pending"]], "")
    if facts["grants"]:
        say()
        columns = ("grant", "agent", "what", "uses left", "ends in")
        table(columns, [(g["id"], g["agent"], g["what"], g["uses_left"], span(g["left"])) for g in facts["grants"]], "")
    if facts["unknown"]:
        say("\ncut off in flight, outcome unknown (interlock show ID; then interlock undo ID or audit repair):")
        table(("change", "at", "tool", "what"), facts["unknown"], "")
    return 0


def _facts(opened: Opened) -> dict[str, Any]:
    from interlock.guard.halt import running
    from interlock.guard.statements import active_profile

    now = opened.state.now()
    active = active_profile(opened.state, opened.keys)
    policy = opened.policy
    return {
        "policy": str(policy.path) if policy is not None else "none, or broken: interlock policy check",
        "home": str(opened.path),
        "halt": opened.halt.describe(),
        "halt_file": str(opened.path / "HALT"),
        "profile": f"{active.name} until {when(active.until, now)}: {active.reason}" if active else "",
        "servers": [{"server": s.server, "agent": s.agent, "pid": s.pid, "home": str(s.home)} for s in running()],
        "pending": [
            {"id": p.id, "agent": p.agent, "tool": p.tool, "risk": p.risk.name.lower(), "left": p.expires - now}
            for p in opened.approvals.pending()
            if p.status == "pending"
        ],
        "grants": [
            {
                "id": g.id,
                "agent": g.agent,
                "what": g.what,
                "uses_left": g.uses_left,
                "left": g.expires - now,
            }
            for g in opened.approvals.grants()
        ],
        "unknown": [
            (c.id, when(c.at, now), c.tool, "; ".join(c.resources))
            for c in opened.changes.list(limit=1000)
            if c.status == "unknown"
        ],
    }


def _row(server: Mapping[str, Any]) -> tuple[Any, ...]:
    return server["server"], server["agent"], server["pid"], server["home"]


def _show(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    from .audit import story
    from .consent import shown

    with open_home() as opened:
        records = audit.records_of(opened.path, arguments.id)
        pending = opened.approvals.find(arguments.id)
        change = opened.changes.get(arguments.id)
        if not records and pending is None and change is None:
            raise Refused(
                Code.INVALID, f"nothing bears the id {arguments.id}", hint="interlock audit tail; interlock changes"
            )
        if arguments.json:
            say_json({"records": records, "pending": pending and pending.id, "change": change and change.status})
            return 0
        if pending is not None and pending.status == "pending":
            say(shown(pending))
            say(f"\nIt waits for you: interlock approve {pending.id}, or interlock deny {pending.id}")
            return 0
        say(story(records, change))
        _explain(arguments.id, records)
    return 0


def _explain(id: str, records: Sequence[Mapping[str, Any]]) -> None:
    """For a refusal: the rules with file and line, the closest allow, the YAML that would permit it."""
    last = records[-1] if records else {}
    if last.get("stage") != "refused" or not last.get("actions"):
        return
    from .policy import explain_record

    try:
        say("\n" + explain_record(last))
    except Broken as broken:
        say(f"\n(the policy cannot be read now: {broken.message})")
