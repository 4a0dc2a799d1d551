"""Opens the guard and one server over one policy. Used by `serve` and by a person's undo on the command line.

The order matters and is `serving`'s for a server process; here is only what each step is made of.
"""

from __future__ import annotations

import getpass
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from interlock.guard.audit.records import Records
from interlock.guard.consent.approvals import Approvals
from interlock.guard.decide import possible
from interlock.guard.errors import Broken
from interlock.guard.halt.switch import Halt
from interlock.guard.keys import Keys
from interlock.guard.limits import LimitsLedger
from interlock.guard.model import Detector, Server, Tool, World
from interlock.guard.overview import guard_tool, undo_tool
from interlock.guard.pipeline import Guard
from interlock.guard.policy.loading import Policy, Source
from interlock.guard.state import State
from interlock.guard.statements import active_profile
from interlock.guard.undo.changes import Changes
from interlock.guard.undo.snapshots import Snapshots
from interlock.redaction import RedactionSettings, open_detector
from interlock.registry import SERVERS, VERBS
from interlock.sandbox.broker import BrokerClient


def server_module(name: str) -> ModuleType:
    """The `tools` module of a server; Broken where there is none of that name."""
    if name not in SERVERS:
        raise Broken(f"there is no server {name!r}", hint=f"the servers are {', '.join(SERVERS)}")
    return importlib.import_module(f"interlock.{name}.tools")


def open_guard(source: Source, home: Path, keys: Keys, server: str) -> Guard:
    """State, records and the rest, for one process. Raises Broken when any of it cannot be trusted."""
    policy = source.current()
    state = State(home)

    def switched() -> str | None:
        profile = active_profile(state, keys)
        return profile.name if profile is not None else None

    source.override = switched
    detector: Detector = open_detector(keys.derive("placeholders"), settings_of(policy), home / "cache")
    return Guard(
        source=source,
        state=state,
        changes=Changes(state),
        snapshots=Snapshots(home, state),
        approvals=Approvals(state, keys),
        limits=LimitsLedger(state),
        halt=Halt(home, state, keys),
        records=Records(home, state, keys, server, detector),
        detector=detector,
        verbs=VERBS,
    )


def settings_of(policy: Policy) -> RedactionSettings | None:
    return policy.redaction if isinstance(policy.redaction, RedactionSettings) else None


def open_server(
    name: str, guard: Guard, home: Path, keys: Keys, broker: BrokerClient | None = None
) -> tuple[Server, Mapping[str, Tool]]:
    """The server of that name and the tools that its policy can ever allow."""
    policy = guard.source.current()
    world = World(policy, home, key=keys.derive(f"server:{name}"), detector=guard.detector, broker=broker)
    server: Server = server_module(name).open_server(world)
    return server, offered(server, policy)


def offered(server: Server, policy: Policy) -> Mapping[str, Tool]:
    """The tools that the policy can ever allow, in a fixed order: reads, changes, then the guard's own."""
    wanted = [tool for tool in server.tools if any(possible(policy.rules, verb) for verb in tool.verbs)]
    changing = sorted({verb for tool in wanted if tool.change for verb in tool.verbs if VERBS[verb].change})
    tools = [tool for tool in wanted if not tool.change]
    tools.append(guard_tool(server.name))
    tools += [tool for tool in wanted if tool.change]
    if changing:
        tools.append(undo_tool(server.name, changing))
    return {tool.name: tool for tool in tools}


def os_user() -> str:
    """The name of the account that this process runs under, by number: no variable decides it."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getpass.getuser() if os.environ.get("USER") else str(os.getuid())
