"""`interlock changes|undo|snapshots`: what agents changed, and putting it back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.guard.errors import Broken, Code, Refused
from interlock.untrusted import visible

from .home import Opened, open_home, person
from .terminal import many, on_terminal, say, say_json, table, when

if TYPE_CHECKING:
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.person import PersonPipeline


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("changes", help="what agents changed")
    parser.add_argument("--session", default="", metavar="S", help="only this session's")
    parser.add_argument("--agent", default="", metavar="A", help="only this agent's")
    parser.add_argument("--limit", type=int, default=30, metavar="N", help="at most so many, newest first (default 30)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_changes)

    parser = subparsers.add_parser("undo", help="put back a change, or a whole session's")
    parser.add_argument("id", nargs="?", default="", metavar="ID")
    parser.add_argument(
        "--session", default="", metavar="S", help="all that a session changed, newest first, across servers"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what it would do")
    parser.add_argument("--anyway", action="store_true", help="undo although something else has changed since")
    parser.set_defaults(run=_undo)

    parser = subparsers.add_parser("snapshots", help="what undo needs: list, or purge for good")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="snapshots by age and size")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list)
    purge = actions.add_parser("purge", help="remove snapshots: their changes can no longer be undone")
    purge.add_argument("ids", nargs="+", metavar="ID")
    purge.set_defaults(run=_purge)


def _changes(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        changes = opened.changes.list(agent=arguments.agent, session=arguments.session, limit=arguments.limit)
        if arguments.json:
            say_json([_as_json(change) for change in changes])
            return 0
        rows = [
            (
                c.id,
                when(c.at),
                c.session,
                c.agent or f"{c.user} (person)",
                c.tool,
                "; ".join(c.resources),
                c.status,
                c.undo.name.lower(),
            )
            for c in changes
        ]
        columns = ("id", "at", "session", "agent", "tool", "what", "status", "undo")
        table(columns, rows, "no agent has changed anything")
    return 0


def _undo(arguments: argparse.Namespace) -> int:
    if bool(arguments.id) == bool(arguments.session):
        print("interlock undo: name one change, or a session with --session", file=sys.stderr)
        return 2
    with open_home() as opened:
        if arguments.id:
            change = opened.changes.get(arguments.id)
            if change is None:
                raise Refused(Code.INVALID, f"there is no change {arguments.id}", hint="interlock changes lists them")
            return _undo_all(opened, [change], arguments.dry_run, arguments.anyway)
        of_session = opened.changes.list(session=arguments.session, limit=10_000)
        wanted = in_force(of_session)
        for change in of_session:
            if change.status in ("permitted", "unknown"):
                say(f"{change.id} ({change.tool}) is {change.status}: left alone; interlock show {change.id}")
        if not wanted:
            raise Refused(
                Code.INVALID,
                f"session {arguments.session} has nothing to undo",
                hint="interlock changes lists them",
            )
        return _undo_all(opened, wanted, arguments.dry_run, arguments.anyway)


def in_force(changes: Sequence[Change]) -> list[Change]:
    """Of one session's changes, newest first, those whose effect the session has left: an undo and what it undid
    cancel each other out, and undoing the undo would only do the thing again."""
    here = {change.id: change for change in changes}
    found = []
    for change in changes:
        if change.status != "done":
            continue
        members, below = 1, here.get(change.undoes)
        while below is not None:
            members, below = members + 1, here.get(below.undoes)
        if members % 2:
            found.append(change)
    return found


def _undo_all(opened: Opened, changes: Sequence[Change], dry_run: bool, anyway: bool) -> int:
    """Newest first, across servers. What cannot be put back is left, and all that lies below it in the same places."""
    from interlock.guard.undo.person import undo

    pipelines: dict[str, PersonPipeline] = {}
    left: list[str] = []
    kept: list[str] = []  # places of what is left
    passed: list[str] = []  # places that newer ones of this dry run would have put back
    try:
        for change in changes:
            if _meets(change.resources, kept):
                say(f"{change.id}  left: it lies below what could not be put back")
                left.append(change.id)
                continue
            if change.server not in pipelines:
                pipelines[change.server] = _pipeline(opened, change.server)
            pipeline = pipelines[change.server]
            pipeline.accept_drift = anyway or (dry_run and _meets(change.resources, passed))
            answer = undo(pipeline, change.id, dry_run)
            if answer.is_error:
                print(f"interlock: {visible(answer.text)}", file=sys.stderr)
                left.append(change.id)
                kept += change.resources
            else:
                say(f"{change.id}  {answer.text}")
                passed += change.resources
    finally:
        for pipeline in pipelines.values():
            pipeline.server.close()
            pipeline.guard.records.close()
    if len(changes) > 1:
        what = "would be undone" if dry_run else "undone"
        more = f"; left: {', '.join(left)}" if left else ""
        say(f"\n{len(changes) - len(left)} of {len(changes)} changes {what}{more}")
    return 1 if left else 0


def _meets(resources: Sequence[str], others: Sequence[str]) -> bool:
    """Whether one of these is, holds or lies in one of the others."""
    return any(
        one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
        for one in resources
        for other in others
    )


def _pipeline(opened: Opened, server: str) -> PersonPipeline:
    from interlock.guard.model import Principal
    from interlock.guard.policy.loading import Source, find_policy
    from interlock.guard.undo.person import PersonPipeline
    from interlock.opening import open_guard, open_server, os_user
    from interlock.serve import configure_log, redact_log_with

    source = Source(find_policy(None))
    guard = open_guard(source, opened.path, opened.keys, server)
    configure_log()  # what breaks is told on stderr, and tracebacks quote what they touch
    redact_log_with(guard.detector)
    opened_server, tools = open_server(server, guard, opened.path, opened.keys)
    return PersonPipeline(opened_server, tools, guard, Principal(agent="", user=os_user(), session="terminal"))


def _list(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        usage = opened.snapshots.usage()
        if arguments.json:
            say_json(usage)
            return 0
        rows = [(s["id"], when(s["at"]), s["agent"] or "(person)", _size(s["bytes"])) for s in usage["snapshots"]]
        table(("change", "at", "agent", "size"), rows, "no snapshots")
        if rows and on_terminal():
            say(f"\n{_size(usage['bytes'])} in {many(len(rows), 'snapshot')}")
    return 0


def _purge(arguments: argparse.Namespace) -> int:
    from interlock.guard.statements import sign_and_store

    with open_home() as opened:
        known = {s["id"] for s in opened.snapshots.usage()["snapshots"]}
        missing = [id for id in arguments.ids if id not in known]
        if missing:
            raise Broken(f"there is no snapshot {', '.join(missing)}", hint="interlock snapshots list")
        sign_and_store(person(), opened.state, "purge", ids=arguments.ids)
        purged = opened.snapshots.purge(arguments.ids)
        kept = [id for id in arguments.ids if id not in purged]
        if purged:
            say(f"purged {', '.join(purged)}: what it was kept for can no longer be undone")
        if kept:
            raise Broken(
                f"kept {', '.join(kept)}: it still runs, or nobody knows how it ended",
                hint="`interlock show ID` tells its story",
            )
    return 0


def _as_json(change: Change) -> dict[str, object]:
    return {
        "id": change.id,
        "at": change.at,
        "session": change.session,
        "agent": change.agent,
        "server": change.server,
        "tool": change.tool,
        "resources": list(change.resources),
        "status": change.status,
        "undo": change.undo.name.lower(),
        "lost": change.lost,
    }


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "K", "M", "G"):
        if amount < 1024 or unit == "G":
            return f"{amount:.0f}{unit}" if unit == "B" else f"{amount:.1f}{unit}"
        amount /= 1024
    return str(count)
