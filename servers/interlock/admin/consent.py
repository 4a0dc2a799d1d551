"""`interlock pending|approve|deny|revoke`: a person's consent in a terminal.

Approving needs the person's key; denying needs none. Not for showing a call whole: that is `show`.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from interlock.guard.approvals import Approvals, Pending
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.model import Risk

from .home import Opened, open_home, person
from .terminal import say, say_json, span, table


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("pending", help="calls that wait for a person")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_pending)

    parser = subparsers.add_parser("approve", help="consent to one pending call")
    parser.add_argument("id", metavar="ID")
    parser.add_argument(
        "--for", dest="duration", metavar="30m", help="also to the same on the same resource, for this long"
    )
    parser.add_argument("--times", type=int, metavar="N", help="at most so often")
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
            (p.id, p.agent, p.tool, p.risk.name.lower(), "; ".join(p.resources)[:80], span(p.expires - now), p.status)
            for p in waiting
        ]
        table(("id", "agent", "tool", "risk", "what", "expires in", "status"), rows, "nothing waits for you")
        if rows:
            say("\ninterlock show ID tells more; interlock approve ID or deny ID answers")
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    from interlock.guard.policy_types import seconds

    with open_home() as opened:
        pending = _find(opened, arguments.id)
        say(shown(pending))
        if pending.risk is Risk.CRITICAL:
            _type_name(pending)
        duration = seconds(arguments.duration) if arguments.duration else None
        if arguments.times is not None and duration is None:
            raise Broken("--times needs --for", hint="interlock approve ID --for 30m --times 5")
        opened.approvals.approve(person(), pending.id, for_s=duration, times=arguments.times)
        more = f", and its like for {arguments.duration}" if duration else ""
        say(f"\napproved {pending.id}{more}. The agent goes on with {pending.server}_guard(resume={pending.id}).")
    return 0


def _deny(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        pending = _find(opened, arguments.id)
        opened.approvals.deny(pending.id, getpass.getuser())
        say(f"denied {pending.id}: {pending.tool} by {pending.agent}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    with open_home() as opened:
        opened.approvals.revoke(arguments.id, getpass.getuser())
        say(f"revoked {arguments.id}")
    return 0


def _find(opened: Opened, id: str) -> Pending:
    approvals: Approvals = opened.approvals
    pending = approvals.find(id)
    if pending is None:
        raise Refused(Code.INVALID, f"no call {id} waits", hint="interlock pending lists those that do")
    if pending.status != "pending":
        raise Refused(Code.INVALID, f"{id} is {pending.status}", hint="only a pending call can be answered")
    return pending


def shown(pending: Pending) -> str:
    """What a person consents to, rendered by the guard alone: action, target, risk, preview, then the agent's reason."""
    lines = [
        f"{pending.tool}  {'; '.join(pending.resources)}",
        f"risk      {pending.risk.name.lower()}",
        f"agent     {pending.agent}" + (f"  ({pending.client})" if pending.client else ""),
        f"why asked {pending.why}" if pending.why else "",
        f"rules     {', '.join(pending.rules)}" if pending.rules else "",
        *(f"stays lost {lost}" for lost in pending.lost),
    ]
    text = "\n".join(line for line in lines if line)
    if pending.preview:
        text += "\n\n" + "\n".join(f"  {line}" for line in pending.preview.splitlines()[:60])
    if pending.reason:
        text += f"\n\nthe agent says: {pending.reason!r}"
    return text


def _type_name(pending: Pending) -> None:
    """Critical always needs a terminal, and the resource's name typed: nobody approves it by habit."""
    name = next(iter(pending.resources), "").rstrip("/").rpartition("/")[2] or pending.tool
    if not (sys.stdin.isatty() and os.isatty(sys.stderr.fileno())):
        raise Refused(
            Code.DENIED, "a critical call is approved on a terminal only", hint=f"interlock approve {pending.id}"
        )
    print(f"\nThis is critical. Type {name!r} to approve it: ", end="", file=sys.stderr, flush=True)
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
