"""Where an installation's state lies. Light: every command starts with it.

Not for the policy (`guard.policy.files`), keys (`guard.keys`) or running servers (`guard.halt.running`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.guard.errors import Broken

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

HOME_VARIABLE = "INTERLOCK_HOME"


def home_of(argument: str | None, policy: Policy | None) -> Path:
    """Where state lies: --home, else $INTERLOCK_HOME, else the policy's `state`, else the user's state folder."""
    chosen = argument or os.environ.get(HOME_VARIABLE)
    if chosen:
        if "${" in chosen:
            raise Broken(f"the home {chosen!r} holds an unexpanded variable", hint="write the path out")
        return Path(chosen).expanduser().absolute()
    if policy is not None and policy.state is not None:
        return policy.state
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "interlock"
