"""What the commands open: the home that the policy (or a variable) names, its state and ledgers, the person's key.

Opened as late as can be, so that each command loads only what it needs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.guard.errors import Broken

if TYPE_CHECKING:
    from interlock.guard.consent.approvals import Approvals
    from interlock.guard.halt.switch import Halt
    from interlock.guard.keys import Keys, Person
    from interlock.guard.limits import LimitsLedger
    from interlock.guard.policy.loading import Policy
    from interlock.guard.state import State
    from interlock.guard.statements import Profile
    from interlock.guard.undo.changes import Changes
    from interlock.guard.undo.snapshots import Snapshots


@dataclass
class Opened:
    """A home for one command. Its parts are opened when they are first asked for."""

    path: Path

    @cached_property
    def policy(self) -> Policy | None:
        """The policy, or None where there is none or it is broken: most commands work without."""
        from interlock.guard.policy.loading import find_policy, load

        try:
            return load(find_policy(None))
        except Broken:
            return None

    @cached_property
    def state(self) -> State:
        from interlock.guard.state import State

        return State(self.path)

    @cached_property
    def keys(self) -> Keys:
        from interlock.guard.keys import Keys

        return Keys.load()

    @cached_property
    def approvals(self) -> Approvals:
        from interlock.guard.consent.approvals import Approvals

        return Approvals(self.state, self.keys)

    @cached_property
    def changes(self) -> Changes:
        from interlock.guard.undo.changes import Changes

        return Changes(self.state)

    @cached_property
    def snapshots(self) -> Snapshots:
        from interlock.guard.undo.snapshots import Snapshots

        return Snapshots(self.path, self.state)

    @cached_property
    def limits(self) -> LimitsLedger:
        from interlock.guard.limits import LimitsLedger

        return LimitsLedger(self.state)

    @cached_property
    def halt(self) -> Halt:
        from interlock.guard.halt.switch import Halt

        return Halt(self.path, self.state, self.keys)


@contextmanager
def open_home(create: bool = False) -> Iterator[Opened]:
    """The home of this user's installation. Raises Broken where there is none yet."""
    path = home_path()
    if not path.is_dir() and not create:
        raise Broken(
            f"there is no home at {path}", hint="interlock init, or start a server; $INTERLOCK_HOME names another"
        )
    opened = Opened(path)
    try:
        yield opened
    finally:
        if "state" in opened.__dict__:
            opened.state.close()


def home_path() -> Path:
    """As the servers find it. Of the policy only `state` is read: a halt must work under one that is broken."""
    from interlock.places import HOME_VARIABLE, home_of

    return home_of(None if os.environ.get(HOME_VARIABLE) else _named(), None)


def switched_profile() -> Profile | None:
    """The profile that a person has switched on and that holds now; None where none does or no state can be read."""
    from interlock.guard.statements import active_profile

    try:
        path = home_path()
        if not (path / "state.db").exists():
            return None
        with open_home() as opened:
            return active_profile(opened.state, opened.keys)
    except Broken:
        return None


def _named() -> str | None:
    """The policy's `state`; None where it names none or cannot be read as YAML."""
    from interlock.guard.policy.files import find_policy, read_file

    try:
        tree = read_file(find_policy(None)).tree.value
    except Broken:
        return None
    node = tree.get("state") if isinstance(tree, dict) else None
    return node.value if node is not None and isinstance(node.value, str) else None


def person() -> Person:
    """The person's signing key; asks for its passphrase where it has one."""
    import getpass

    from interlock.guard.keys import Person

    def passphrase() -> str:
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError:  # getpass would read a pipe then, in which anybody may have typed
            raise Broken("your key has a passphrase and there is no terminal to ask for it", hint="use one") from None
        return getpass.getpass("passphrase of your key: ")

    return Person.load(passphrase)


def server_names() -> list[str]:
    """The servers that exist; `registry` would load all that they can do."""
    package = Path(__file__).resolve().parent.parent
    return sorted(path.parent.name for path in package.glob("*/actions.py"))


def span_of(text: str) -> int:
    """`90s`, `15m`, `4h`, `30d` on the command line as seconds: a `type` for argparse."""
    from interlock.guard.policy.types import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from None
