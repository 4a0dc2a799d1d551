"""`interlock halt|resume|profile`: what tightens at once, and what loosens with a person's key."""

from __future__ import annotations

import argparse

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
        reached = halt_all(
            opened.path,
            reason=arguments.reason,
            changes_only=arguments.changes,
            agent=arguments.agent,
            server=arguments.server,
        )
        say(f"halted (release: interlock resume; by hand: touch {opened.path / 'HALT'})")
        told = {True: "acknowledged", False: "NO ANSWER"}
        rows = [(one.server, one.agent, one.pid, one.home, told[heard]) for one, heard in reached]
        table(("server", "agent", "pid", "home", "state"), rows, "no server is running")
    return 0 if all(heard for _, heard in reached) else 1


def _resume(arguments: argparse.Namespace) -> int:
    from interlock.guard.halt import resume_all

    with open_home() as opened:
        if not opened.halt.orders():
            say("nothing is halted")
            return 0
        released = resume_all(opened.path, opened.state, opened.keys, person(), arguments.id)
        say(f"{released} halt{'s' if released != 1 else ''} released; what waited for approval stays void")
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    from interlock.guard.errors import Broken
    from interlock.guard.policy import PROFILES
    from interlock.guard.policy_types import seconds
    from interlock.guard.statements import end_profile, switch_profile

    with open_home() as opened:
        if arguments.name == "off":
            ended = end_profile(person(), opened.state)
            say("the policy's own profile holds again" if ended else "no profile was switched")
            return 0
        if arguments.name not in PROFILES:
            raise Broken(f"there is no profile {arguments.name!r}", hint=f"one of {', '.join(PROFILES)}, or `off`")
        if not arguments.duration or not arguments.reason:
            raise Broken(
                "a switch has an end and a reason", hint="interlock profile incident --for 2h --reason 'db down'"
            )
        until = opened.state.now() + seconds(arguments.duration)
        switch_profile(person(), opened.state, arguments.name, until, arguments.reason)
        say(f"profile {arguments.name} until {when(until)}; bounds and your own rules stay")
    return 0
