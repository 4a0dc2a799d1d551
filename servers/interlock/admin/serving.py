"""`interlock serve NAME`: hands over to `interlock.serve`, which alone loads the protocol."""

from __future__ import annotations

import argparse
import gc
import re
import sys


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("serve", help="run one server over stdio")
    parser.add_argument("name", help="files, git, kubectl or logs")
    parser.add_argument(
        "--policy", default="", help="the policy file (else $INTERLOCK_POLICY, else ~/.config/interlock)"
    )
    parser.add_argument("--home", default="", help="where state lies (else $INTERLOCK_HOME, else the policy's `state`)")
    parser.add_argument("--agent", default="", help="the agent's name, where several share one policy")
    parser.add_argument("--transport", default="stdio", choices=["stdio"])
    parser.set_defaults(run=_serve)


def files() -> int:
    """The console script `interlock-files`; the others likewise."""
    return _script("files")


def git() -> int:
    return _script("git")


def kubectl() -> int:
    return _script("kubectl")


def logs() -> int:
    return _script("logs")


def _script(name: str) -> int:
    from interlock.admin.main import main

    return main(["serve", name, *sys.argv[1:]])


def _serve(arguments: argparse.Namespace) -> int:
    import resource

    gc.disable()  # nothing made while starting is garbage; `serve` collects it once, later
    from interlock.sandbox.broker import start_broker

    # A server holds keys and what it reads: a crash must not write them to a disk. The broker inherits this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    broker = start_broker()
    # structlog loads rich for a console that a server never shows: 5 MB and a tenth of the start.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from interlock.guard.errors import Broken
    from interlock.guard.policy.model import AGENT
    from interlock.serve import Options, run

    try:
        if arguments.agent and re.fullmatch(AGENT, arguments.agent) is None:
            raise Broken("--agent is no name of an agent", hint="letters, digits, `.`, `_` and `-`, at most 64")
        return run(arguments.name, Options(arguments.policy, arguments.home, arguments.agent), broker)
    finally:
        broker.close()
