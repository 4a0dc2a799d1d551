"""`interlock halt|resume|profile`: what tightens at once, and what loosens with a person's key."""

from __future__ import annotations

import argparse
import sys

from interlock.untrusted import one_line

from .home import Opened, open_home, person, server_names, span_of
from .terminal import many, say, table, when


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("halt", help="refuse calls at once: the kill switch")
    parser.add_argument("--changes", action="store_true", help="refuse changes only; reads go on")
    parser.add_argument("--agent", default="", metavar="A", help="only this agent")
    parser.add_argument("--server", default="", choices=server_names(), help="only this server")
    parser.add_argument("--reason", default="", help="why: agents and people are told")
    parser.set_defaults(run=_halt)

    parser = subparsers.add_parser("resume", help="release a halt")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="one of several halts (default: all)")
    parser.set_defaults(run=_resume)

    parser = subparsers.add_parser("profile", help="replace the shipped rules and limits for a time")
    parser.add_argument("name", help="readonly, development, staging, production or incident; `off` ends it")
    parser.add_argument("--for", dest="duration", type=span_of, metavar="2h", help="it ends by itself after this long")
    parser.add_argument("--reason", default="", help="why: people see it in status")
    parser.set_defaults(run=_profile)


def _halt(arguments: argparse.Namespace) -> int:
    from interlock.guard.halt.switch import Order, halt_all

    with open_home(create=True) as opened:
        reached = halt_all(
            opened.path,
            reason=arguments.reason,
            changes_only=arguments.changes,
            agent=arguments.agent,
            server=arguments.server,
        )
        scope = Order("", "", 0.0, "", arguments.changes, arguments.agent, arguments.server).scope
        say(f"halted: {scope}. What runs already ends by itself. Release it with: interlock resume")
        if arguments.agent not in ("", *agents(opened)):
            say(f"note: no agent {one_line(arguments.agent)} is known here; interlock status lists those that run")
        told = {True: "acknowledged", False: "NO ANSWER"}
        rows = [(one.server, one.agent, one.pid, one.home, told[heard]) for one, heard in reached]
        table(("server", "agent", "pid", "home", "state"), rows, "no server that it is for is running")
    silent = [str(one.pid) for one, heard in reached if not heard]
    if silent:
        print(
            f"interlock: no answer from process {', '.join(silent)} within 2 s: it refuses its next call as soon as it"
            f" reads the file; to be sure: kill {' '.join(silent)}",
            file=sys.stderr,
        )
    return 1 if silent else 0


def agents(opened: Opened) -> list[str]:
    """The agents that run, or that have left something behind."""
    from interlock.guard.errors import Broken
    from interlock.guard.halt.switch import running

    found = [one.agent for one in running()]
    try:
        rows = opened.state.read().execute(
            "SELECT DISTINCT agent FROM changes UNION SELECT DISTINCT agent FROM pending"
        )
        found += [row[0] for row in rows]
    except Broken:
        pass  # a halt needs no state
    return sorted(set(found))


def _resume(arguments: argparse.Namespace) -> int:
    from interlock.guard.errors import Code, Refused
    from interlock.guard.halt.switch import resume_all

    with open_home() as opened:
        orders = opened.halt.orders()
        if arguments.id and arguments.id not in [order.id for order in orders]:
            raise Refused(Code.INVALID, f"there is no halt {arguments.id}", hint="interlock status lists them")
        if not orders:
            say("nothing is halted")
            return 0
        released = resume_all(opened.path, opened.state, opened.keys, person(), arguments.id)
        say(f"{many(released, 'halt')} released; what waited for approval stays void")
        for order in opened.halt.orders():
            say(f"still in force: {order.scope} {order.why} ({order.id})")
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    from interlock.guard.errors import Broken
    from interlock.guard.policy.files import PROFILES
    from interlock.guard.statements import active_profile, end_profile, switch_profile

    with open_home() as opened:
        if arguments.name == "off":
            if active_profile(opened.state, opened.keys) is None:
                say("no profile is switched on: the policy's own holds")
                return 0
            end_profile(person(), opened.state)
            say("the policy's own profile holds again")
            return 0
        if arguments.name not in PROFILES:
            raise Broken(f"there is no profile {arguments.name!r}", hint=f"one of {', '.join(PROFILES)}, or `off`")
        if not arguments.duration or not arguments.reason:
            raise Broken(
                "a switch has an end and a reason", hint="interlock profile incident --for 2h --reason 'db down'"
            )
        until = opened.state.now() + arguments.duration
        switch_profile(person(), opened.state, arguments.name, until, arguments.reason)
        say(f"profile {arguments.name} until {when(until)}; bounds and your own rules stay")
    return 0
