"""The trail of one call: what is known of it so far, and so what its record says, wherever it ends.

Not the record's chain (`records`) nor its wording for people (`admin.audit`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.guard.undo.changes import Change
from interlock.untrusted import one_line

from . import answers
from .model import Action, Approval, Call, Decision, Detector, Outcome, Principal, Risk

ACTIONS_RECORDED = 50


@dataclass(slots=True)
class Trail:
    """Made when a call comes in, filled in by each stage of the pipeline."""

    id: str
    server: str
    tool: str
    principal: Principal
    raw: Mapping[str, Any]
    started: float  # monotonic seconds
    reason: str = ""  # redacted: it is for people alone
    call: Call | None = None
    actions: tuple[Action, ...] = ()
    decision: Decision | None = None
    approval: Approval | None = None
    change: bool = False
    granted: tuple[str, Risk, tuple[str, ...]] | None = None  # what a grant was used for: digest, risk, asks
    agreed: str = ""  # the digest that a person said yes to, until that is used up
    permitted: bool = False  # from here on nothing is a refusal
    shown: dict[str, Any] | None = None  # the arguments as its records hold them: long ones are redacted once

    def fields(self, stage: str, detector: Detector) -> dict[str, Any]:
        """The record's fields (design section 10) but for those of the chain itself."""
        decision, approval = self.decision, self.approval
        if self.shown is None:
            arguments = {key: value for key, value in self.raw.items() if key != "reason"}
            self.shown = answers.recorded(arguments, detector)
        return {
            "stage": stage,
            "call": self.id,
            **_principal(self.principal, self.server, self.tool),
            "actions": [_action(action) for action in self.actions[:ACTIONS_RECORDED]],
            "arguments": self.shown,
            "reason": one_line(self.reason, 300),
            "decision": None
            if decision is None
            else {
                "effect": decision.effect.name.lower(),
                "risk": decision.risk.name.lower(),
                "rules": list(decision.rules),
                "reason": decision.reason,
                "notify": decision.notify,
            },
            "consent": None
            if approval is None
            else {"by": approval.by, "channel": approval.channel, "at": approval.at},
            "undo_class": decision.undo.name.lower() if decision is not None and self.change else None,
            "duration_ms": round((time.monotonic() - self.started) * 1000, 2),
        }


def settled_fields(change: Change, outcome: Outcome) -> dict[str, Any]:
    """The record of a change that another process permitted and never finished."""
    return {
        "stage": outcome.value,
        "call": change.id,
        **_principal(Principal(change.agent, change.user, change.session, change.client), change.server, change.tool),
        "actions": list(change.actions),
        "arguments": {},
        "reason": "",
        "decision": None,
        "consent": None,
        "undo_class": change.undo.name.lower(),
        "error": {"code": outcome.value, "message": "cut off in flight; settled by comparing the world"},
    }


def own_fields(what: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The record of something that the guard does by itself, such as expiring snapshots. No call, no agent."""
    return {
        "stage": "done",
        "call": "",
        **_principal(Principal("", "", ""), "guard", what),
        "actions": [],
        "arguments": dict(arguments),
        "reason": "",
        "decision": None,
        "consent": None,
        "undo_class": None,
    }


def _principal(principal: Principal, server: str, tool: str) -> dict[str, Any]:
    return {
        "session": principal.session,
        "principal": {"agent": principal.agent, "user": principal.user, "client": principal.client},
        "server": server,
        "tool": tool,
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "verb": action.verb,
        "resource": one_line(action.resource, 400),
        "attributes": {key: _attribute(value) for key, value in action.attributes.items()},
    }


def _attribute(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value[:50])
    return value if isinstance(value, str | int) else repr(value)
