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
    say(f"policy   {facts['policy']}")
    say(f"home     {facts['home']}")
    say(f"halt     {facts['halt'][0] if facts['halt'] else 'none'}")
    for line in facts["halt"][1:]:
        say(f"         {line}")
    say(f"         (by hand: touch {facts['halt_file']})")
    if facts["profile"]:
        say(f"profile  {facts['profile']}")
    say()
    table(("server", "agent", "pid", "home"), [_row(s) for s in facts["servers"]], "no server is running")
    if facts["waiting"]:
        say()
        rows = [
            (p["id"], p["agent"], p["tool"], p["risk"], p["what"], span(p["left"]), p["status"])
            for p in facts["waiting"]
        ]
        table(("waits", "agent", "tool", "risk", "what", "expires in", "status"), rows, "")
    if facts["grants"]:
        say()
        columns = ("grant", "agent", "what", "uses left", "ends in")
        table(columns, [(g["id"], g["agent"], g["what"], g["uses_left"], span(g["left"])) for g in facts["grants"]], "")
    if facts["budgets"]:
        say()
        heads = ("budgets left", "calls", "changes", "local changes", "output", "breakers")
        table(heads, [_budget(agent, left) for agent, left in facts["budgets"].items()], "")
    if facts["unknown"]:
        say("\ncut off in flight, outcome unknown (interlock show ID; once you have looked: interlock audit repair ID)")
        table(("change", "at", "tool", "what"), facts["unknown"], "")
    return 0


def _facts(opened: Opened) -> dict[str, Any]:
    from interlock.guard.halt.switch import running
    from interlock.guard.statements import active_profile

    now = opened.state.now()
    active = active_profile(opened.state, opened.keys)
    servers = running()
    return {
        "policy": _policy(opened),
        "home": str(opened.path),
        "halt": opened.halt.describe().splitlines(),
        "halt_file": str(opened.path / "HALT"),
        "profile": f"{active.name} until {when(active.until, now)}: {active.reason}" if active else "",
        "servers": [{"server": s.server, "agent": s.agent, "pid": s.pid, "home": str(s.home)} for s in servers],
        "waiting": [
            {
                "id": p.id,
                "agent": p.agent,
                "tool": p.tool,
                "risk": p.risk.name.lower(),
                "what": "; ".join(p.resources),
                "left": p.expires - now,
                "status": p.status,
            }
            for p in opened.approvals.pending()
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
        "budgets": _budgets(opened, [s.agent for s in servers]),
        "unknown": [
            (c.id, when(c.at, now), c.tool, "; ".join(c.resources))
            for c in opened.changes.list(limit=1000)
            if c.status == "unknown" and not c.settled_by
        ],
    }


def _policy(opened: Opened) -> str:
    if opened.policy is not None:
        return str(opened.policy.path)
    from interlock.guard.policy.loading import find_policy

    try:
        path = find_policy(None)
    except Broken as broken:
        return f"none: {broken.message}"
    what = (
        "IS BROKEN, so every call is refused: interlock policy check"
        if path.exists()
        else "is not there yet: interlock init"
    )
    return f"{path} {what}"


def _budgets(opened: Opened, running: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is left to the policy's agent and to those that run, by the limits of the policy as it is now."""
    policy = opened.policy
    if policy is None:
        return {}
    from interlock.guard.keys import account
    from interlock.guard.model import Principal

    names = sorted({policy.agent, *running})
    return {name: opened.limits.budgets(Principal(name, account(), ""), policy.limits) for name in names}


def _budget(agent: str, left: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("calls", "changes", "local_changes", "output")
    cells = [f"{left[name]['left']:,} of {left[name]['max']:,} in {span(left[name]['per_s'])}" for name in names]
    breakers = [f"{b['resource']} for {span(b['closes_in_s'])}" for b in left.get("breakers", ())]
    return (agent, *cells, "; ".join(breakers) or "closed")


def _row(server: Mapping[str, Any]) -> tuple[Any, ...]:
    return server["server"], server["agent"], server["pid"], server["home"]


def _show(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

    from .audit import story
    from .consent import answered, shown

    with open_home() as opened:
        records = audit.records_of(opened.path, arguments.id)
        pending = opened.approvals.find(arguments.id)
        change = opened.changes.get(arguments.id)
        if not records and pending is None and change is None:
            raise Refused(
                Code.INVALID, f"nothing bears the id {arguments.id}", hint="interlock audit tail; interlock changes"
            )
        if arguments.json:
            say_json(
                {
                    "records": records,
                    "pending": pending and {"id": pending.id, "status": pending.status, "preview": pending.preview},
                    "change": change and {"id": change.id, "status": change.status, "undone_by": change.undone_by},
                }
            )
            return 0
        if pending is not None and pending.status in ("pending", "approved"):
            say(shown(pending))
            left = span(pending.expires - opened.state.now())
            if pending.status == "pending":
                say(f"\nIt waits for you, {left} more: interlock approve {pending.id}, or interlock deny {pending.id}")
            else:
                say(
                    f"\n{pending.by} approved it; the agent has {left} to go on with"
                    f" {pending.server}_guard(resume={pending.id}). To take it back: interlock deny {pending.id}"
                )
            return 0
        if records or change:
            say(story(records, change))
        if pending is not None and change is None:
            say(f"request    {answered(pending)}")
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
