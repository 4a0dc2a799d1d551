"""`interlock`: finds the command's module, loads that one alone, and turns every problem into words and an exit code.

Exit 0 done, 1 refused or failed, 2 usage. Not for what a command does: that is its module's.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Final

from interlock import __version__
from interlock.guard.errors import Broken, Failed, Refused

# command: (module, one line of help). A module has add_parser(subparsers), which sets `run`.
COMMANDS: Final = {
    "init": ("setup", "write a policy and keys for this machine, and print how to register the servers"),
    "serve": ("serving", "run one server (files, git, kubectl, logs) over stdio"),
    "demo": ("demo", "watch a scripted agent work behind the guard"),
    "status": ("status", "servers, halts, grants, pending calls and budgets at a glance"),
    "pending": ("consent", "calls that wait for a person"),
    "show": ("status", "one call, change or refusal: what happened, which rule, what to do"),
    "approve": ("consent", "consent to one pending call, or to its like for a time"),
    "deny": ("consent", "say no to a pending call"),
    "revoke": ("consent", "end a grant"),
    "halt": ("halting", "refuse calls at once: the kill switch"),
    "resume": ("halting", "release a halt"),
    "profile": ("halting", "replace the shipped rules and limits for a time"),
    "changes": ("changes", "what agents changed"),
    "undo": ("changes", "put back a change, or a whole session's"),
    "snapshots": ("changes", "list or purge what undo needs"),
    "audit": ("audit", "read, verify and export the records"),
    "policy": ("policy", "check, show, explain and test the policy"),
    "redact": ("redact", "filter secrets from stdin to stdout"),
    "templates": ("templates", "mine log templates from a file"),
    "sandbox": ("sandbox", "build or probe the sandbox for analyze_logs"),
    "rbac": ("rbac", "print the least-privilege Kubernetes roles for the policy"),
    "doctor": ("doctor", "what is right and what is wrong with this installation"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="interlock",
        description="Guard rails for AI agents: allowlists, soft deletes, redaction, approvals, limits, halt, audit.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items() if exists(name)),
    )
    parser.add_argument("--version", action="version", version=f"interlock {__version__}")
    name = next((word for word in argv if not word.startswith("-")), "")
    if name not in COMMANDS or argv[0].startswith("-"):
        if argv and name and not argv[0].startswith("-"):
            print(f"interlock: there is no command {name!r}{_nearest(name)}", file=sys.stderr)
            return 2
        if not argv:
            parser.print_help(sys.stderr)
            return 2
        parser.parse_args(argv)
        return 2
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    module = importlib.import_module(f"interlock.admin.{COMMANDS[name][0]}")
    module.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except (Refused, Failed, Broken) as problem:
        from interlock.untrusted import visible

        print(f"interlock: {visible(problem.message)}", file=sys.stderr)
        if problem.hint:
            print(f"interlock: hint: {visible(problem.hint)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has gone: what is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean `interlock {near[0]}`?" if near else "; `interlock --help` lists them"


def exists(name: str) -> bool:
    return importlib.util.find_spec(f"interlock.admin.{COMMANDS[name][0]}") is not None


if __name__ == "__main__":
    sys.exit(main())
