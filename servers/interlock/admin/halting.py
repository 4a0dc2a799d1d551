"""`interlock halt|resume|profile`: what tightens at once, and what loosens with a person's key."""

from __future__ import annotations

import argparse
import getpass

from .home import open_home, person
from .terminal import say, table, when


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("halt", help="refuse calls at once: the kill switch")
    parser.add_argument("--changes", action="store_true", help="refuse changes only; reads go on")
    parser.add_argument("--agent", default="", help="only this agent")
    parser.add_argument("--server", default="", help="only this server")
    parser.add_argument("--reason", default="", help="why: agents and people are told")
    parser.set_defaults(run=_halt)

    parser = subparsers.add_parser("resume", help="release a halt")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="one of several halts (default: all)")
    parser.set_defaults(run=_resume)

    parser = subparsers.add_parser("profile", help="replace the shipped rules and limits for a time")
    parser.add_argument("name", help="readonly, development, staging, production or incident; `off` ends it")
    parser.add_argument("--for", dest="duration", default="", metavar="2h")
    parser.add_argument("--reason", default="")
    parser.set_defaults(run=_profile)


def _halt(arguments: argparse.Namespace) -> int:
    from interlock.guard.halt import halt_all

    with open_home(create=True) as opened:
        servers = halt_all(
            opened.path,
            by=getpass.getuser(),
            reason=arguments.reason,
            changes_only=arguments.changes,
            agent=arguments.agent,
            server=arguments.server,
        )
        what = "changes" if arguments.changes else "all calls"
        say(f"halted {what} (release: interlock resume; by hand: touch {opened.path / 'HALT'})")
        rows = [(s.server, s.agent, s.pid, s.home, "acknowledged" if ok else "NO ANSWER") for s, ok in servers]
        table(("server", "agent", "pid", "home", "state"), rows, "no server is running")
    return 0 if all(ok for _, ok in servers) else 1


def _resume(arguments: argparse.Namespace) -> int:
    from interlock.guard.halt import resume_all

    with open_home() as opened:
        released = resume_all(opened.path, opened.state, person(), arguments.id)
        say(f"resumed: {released} halt{'s' if released != 1 else ''} released" if released else "nothing was halted")
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    from interlock.guard.errors import Broken
    from interlock.guard.policy import PROFILES
    from interlock.guard.policy_types import seconds
    from interlock.guard.statements import end_profile, switch_profile

    with open_home() as opened:
        if arguments.name == "off":
            say("ended" if end_profile(opened.state, getpass.getuser()) else "no profile was switched")
            return 0
        if arguments.name not in PROFILES:
            raise Broken(f"there is no profile {arguments.name!r}", hint=f"one of {', '.join(PROFILES)}, or `off`")
        if not arguments.duration or not arguments.reason:
            raise Broken(
                "a switch has an end and a reason", hint="interlock profile incident --for 2h --reason 'db down'"
            )
        until = opened.state.now() + seconds(arguments.duration)
        switch_profile(opened.state, person(), arguments.name, until, arguments.reason)
        say(f"profile {arguments.name} until {when(until)}; bounds and your own rules stay")
    return 0
