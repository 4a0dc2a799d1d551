"""The answer of `X_guard`: what may I do here, what asks, budgets left, my pending calls, my recent changes.

For the agent; people have `interlock status`. It reads the guard's own state and touches no world.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from interlock.guard.policy.loading import Policy

from .model import Changed, Effect, Flag, Globs, Layer, Match, Principal, Range, Rule, Tool

if TYPE_CHECKING:
    from .pipeline import Guard

RECENT = 8  # changes shown


class GuardArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    resume: str | None = Field(default=None, description="id of a call that waited for approval", max_length=60)


class UndoArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: str = Field(description="the change's id", max_length=60)
    dry_run: bool = False
    reason: str = Field(default="", description="why, for people", max_length=2000)


def guard_tool(server: str) -> Tool:
    return Tool(
        name=f"{server}_guard",
        description="What may I do here, what needs approval, budgets left, my pending calls and recent changes. "
        "resume=ID goes on with a call that a person has approved.",
        arguments=GuardArguments,
        verbs=(),
    )


def undo_tool(server: str, verbs: Sequence[str]) -> Tool:
    return Tool(
        name=f"{server}_undo",
        description="Put back what one of your changes did (id from its answer). dry_run shows what would happen.",
        arguments=UndoArguments,
        verbs=tuple(verbs),
        change=True,
        destructive=True,
        undo=True,
    )


def overview(guard: Guard, policy: Policy, server: str, principal: Principal, about: str) -> dict[str, Any]:
    """Compact JSON-like data; everything in it is the guard's own and the agent's own."""
    now = guard.now()
    return {
        "agent": principal.agent,
        "bounds": about,
        "rules": _rules(policy.rules, server),
        "budgets": guard.limits.budgets(principal, policy.limits),
        "pending": [
            {"id": p.id, "status": p.status, "tool": p.tool, "expires_in_s": max(0, round(p.expires - now))}
            for p in guard.approvals.pending()
            if p.agent == principal.agent and p.server == server
        ],
        "changes": [
            {
                "id": change.id,
                "tool": change.tool,
                "status": change.status,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(change.at)),
                "resources": list(change.resources)[:3],
            }
            for change in guard.changes.list(agent=principal.agent, server=server, limit=RECENT)
        ],
    }


def _rules(rules: Sequence[Rule], server: str) -> list[str]:
    """One line a rule, strictest first: `ask files.delete where path ~/x/** (reason)`."""
    prefix = f"{server}."
    lines = []
    for rule in sorted(rules, key=lambda r: (-r.effect, r.id)):
        verbs = sorted(v for v in rule.verbs if v.startswith(prefix))
        if verbs and rule.layer is not Layer.BUILTIN:
            where = " and ".join(f"{key} {_match(match)}" for key, match in rule.where.items())
            reason = f" ({rule.reason})" if rule.reason and rule.effect >= Effect.ASK else ""
            lines.append(f"{rule.effect.name.lower()} {', '.join(verbs)}{' where ' + where if where else ''}{reason}")
    return lines


def _match(match: Match) -> str:
    match match:
        case Globs(patterns):
            return " or ".join(patterns)
        case Range(low, high):
            return f"{low}" if low == high else f"{'' if low is None else low}..{'' if high is None else high}"
        case Flag(value):
            return str(value).lower()
        case Changed(keys, beyond):
            return f"changed {'beyond' if beyond else 'only'} {', '.join(keys)}"
