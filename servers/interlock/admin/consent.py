"""`interlock pending|approve|deny|revoke`: a person's consent in a terminal.

Approving needs the person's key; denying needs none. Not for showing a call whole: that is `show`.
"""

from __future__ import annotations

import argparse
import sys

from interlock.guard.consent.approvals import Approvals, Pending
from interlock.guard.errors import Code, Refused
from interlock.guard.keys import account
from interlock.guard.model import Risk
from interlock.untrusted import one_line

from .home import Opened, open_home, person, span_of
from .terminal import on_terminal, say, say_json, span, table

PREVIEW_LINES = 200
RESOURCES_SHOWN = 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("pending", help="calls that wait for a person")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_pending)

    parser = subparsers.add_parser("approve", help="consent to one pending call")
    parser.add_argument("id", metavar="ID")
    parser.add_argument(
        "--for", dest="duration", type=span_of, metavar="30m", help="also to the same on the same resource, so long"
    )
    parser.add_argument("--times", type=int, metavar="N", help="with --for: at most so often, this call included")
    parser.set_defaults(run=_approve)

    parser = subparsers.add_parser("deny", help="say no to a pending call")
    parser.add_argument("id", metavar="ID")
    parser.set_defaults(run=_deny)

    parser = subparsers.add_parser("revoke", help="end a grant")
    parser.add_argument("id", metavar="GRANT")
    parser.set_defaults(run=_revoke)


def _pending(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        waiting = opened.approvals.pending()
        now = opened.state.now()
        if arguments.json:
            say_json([_as_json(p) for p in waiting])
            return 0
        rows = [
            (p.id, p.agent, p.tool, p.risk.name.lower(), "; ".join(p.resources), span(p.expires - now), p.status)
            for p in waiting
        ]
        table(("id", "agent", "tool", "risk", "what", "expires in", "status"), rows, "nothing waits for you")
        if rows and on_terminal():
            say("\ninterlock show ID tells more; interlock approve ID or deny ID answers")
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    if arguments.times is not None and (arguments.duration is None or arguments.times < 1):
        print("interlock approve: --times counts at least one call, and needs --for 30m beside it", file=sys.stderr)
        return 2
    with open_home() as opened:
        pending = _find(opened, arguments.id)
        say(shown(pending))
        sys.stdout.flush()
        if pending.risk is Risk.CRITICAL:
            if arguments.duration is not None:
                raise Refused(Code.DENIED, "what is critical is approved one call at a time", hint="leave out --for")
            _type_name(pending)
        opened.approvals.approve(person(), pending.id, for_s=arguments.duration, times=arguments.times)
        more = ""
        if arguments.duration is not None and arguments.times != 1:
            often = f", {arguments.times} times in all" if arguments.times else ""
            more = f", and the same again for {span(arguments.duration)}{often}"
            more += f" (end it: interlock revoke grant-{pending.id})"
        say(f"\napproved {pending.id}{more}. The agent goes on with {pending.server}_guard(resume={pending.id}).")
    return 0


def _deny(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        pending = _find(opened, arguments.id, "pending", "approved")
        opened.approvals.deny(pending.id, account())
        say(f"denied {pending.id}: {pending.tool} by {pending.agent}. The agent is told not to try it again.")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        id = arguments.id if arguments.id.startswith("grant-") else f"grant-{arguments.id}"
        opened.approvals.revoke(id, account())
        say(f"revoked {id}")
    return 0


def _find(opened: Opened, id: str, *among: str) -> Pending:
    approvals: Approvals = opened.approvals
    pending = approvals.find(id)
    if pending is None:
        raise Refused(Code.INVALID, f"no call {id} waits", hint="interlock pending lists those that do")
    if pending.status not in (among or ("pending",)):
        hint = (
            f"interlock deny {id} takes it back" if pending.status == "approved" else "interlock pending lists others"
        )
        raise Refused(Code.INVALID, f"{id} is {answered(pending)}", hint=hint)
    return pending


def answered(pending: Pending) -> str:
    """How a request stands, with who and why: `declined by ops`, `void (halted by ops ...)`."""
    by = f" by {pending.by}" if pending.by and pending.status in ("approved", "declined", "spent") else ""
    why = f" ({pending.ended_why})" if pending.ended_why else ""
    word = {"spent": "approved", "approved": "approved already", "pending": "waiting"}.get(
        pending.status, pending.status
    )
    return f"{word}{by}{', and used' if pending.status == 'spent' else ''}{why}"


def shown(pending: Pending) -> str:
    """What a person consents to, in the guard's words alone: action, target, risk, preview, then the agent's reason."""
    resources = [one_line(resource, 4000) for resource in pending.resources]
    more = [f"and {len(resources) - RESOURCES_SHOWN} more"] if len(resources) > RESOURCES_SHOWN else []
    what = [*resources[:RESOURCES_SHOWN], *more] or ["-"]
    client = f", in {one_line(pending.client, 80)}" if pending.client else ""
    lines = [
        f"{pending.id}  {one_line(pending.tool)}  {pending.status}",
        f"what      {what[0]}",
        *(f"          {resource}" for resource in what[1:]),
        f"risk      {pending.risk.name.lower()}",
        f"agent     {one_line(pending.agent)}{client}",
        f"asked     {one_line(pending.why, 400)}" if pending.why else "",
        *(f"          {one_line(why, 400)}" for why in pending.asks if why not in pending.why),
        f"rules     {', '.join(pending.rules)}" if pending.rules else "",
        *(f"lost      {one_line(lost, 400)} cannot be put back" for lost in pending.lost),
    ]
    text = "\n".join(line for line in lines if line)
    preview = pending.preview.splitlines()
    if preview:
        text += "\n\n" + "\n".join(f"  {line}" for line in preview[:PREVIEW_LINES])
    if len(preview) > PREVIEW_LINES:
        text += f"\n  [and {len(preview) - PREVIEW_LINES} more lines: interlock show {pending.id} --json]"
    if pending.reason:
        text += f"\n\nthe agent says: {pending.reason!r}"
    return text


def _type_name(pending: Pending) -> None:
    """Critical always needs a terminal, and the resource's name typed: nobody approves it by habit."""
    name = one_line(next(iter(pending.resources), "").rstrip("/").rpartition("/")[2] or pending.tool)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            Code.DENIED,
            "a critical call is approved on a terminal only, with its name typed",
            hint=f"run `interlock approve {pending.id}` in a terminal",
        )
    print(f"\nThis is critical. To approve it, type its name ({name}): ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise Refused(Code.DECLINED, "that is not its name; nothing was approved")


def _as_json(pending: Pending) -> dict[str, object]:
    return {
        "id": pending.id,
        "agent": pending.agent,
        "server": pending.server,
        "tool": pending.tool,
        "risk": pending.risk.name.lower(),
        "status": pending.status,
        "resources": list(pending.resources),
        "expires": pending.expires,
        "reason": pending.reason,
        "preview": pending.preview,
    }
