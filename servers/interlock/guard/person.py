"""A person's own undo: the same path as an agent's call, bound by containment and drift alone.

Policy, limits and halt are for agents; records, snapshots and the facts enforced in the act are for everybody.
"""

from __future__ import annotations

from dataclasses import replace

from .errors import Code, Refused
from .model import Call, Decision, Link, Look, Tool
from .pipeline import Pipeline
from .trail import Trail


class PersonPipeline(Pipeline):
    """`interlock undo`. `accept_drift`: the person has seen what changed meanwhile and goes on."""

    accept_drift = False

    def admit(self, call: Call, tool: Tool) -> None:
        if not tool.undo:
            raise Refused(Code.INVALID, "a person undoes here, and nothing else")

    def decide(self, trail: Trail, call: Call, look: Look) -> Decision:
        decision = self._deciding(call.policy).bounds(look.actions)
        trail.decision = decision
        if decision.rules and decision.code and decision.effect.name == "DENY":
            raise Refused(decision.code, decision.reason, hint=decision.hint, rule=decision.rules[0])
        if look.asks and not (self.accept_drift or look.dry):
            raise Refused(Code.CONFLICT, "; ".join(look.asks), hint="look at it; --anyway undoes it all the same")
        return replace(decision, lost=tuple(a.lost for a in look.actions if a.lost))

    def reserve(self, call: Call, look: Look) -> None:
        return None


def undo(pipeline: PersonPipeline, id: str, dry_run: bool) -> tuple[bool, str]:
    """Undo one change, or show what it would do. Returns whether it worked and what to say."""
    raw = {"id": id, "dry_run": dry_run}
    answer = pipeline.enforce(f"{pipeline.server.name}_undo", raw, Link(), client="interlock undo")
    return not answer.is_error, answer.text
