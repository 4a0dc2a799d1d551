"""A person's own undo: the same path as an agent's call, bound by containment and drift alone.

Policy, limits and halt are for agents; records, snapshots and the facts enforced in the act are for everybody.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Answer, Call, Decision, Effect, Link, Look, Result, Tool
from interlock.guard.pipeline import Permit, Pipeline
from interlock.guard.trail import Trail
from interlock.untrusted import one_line


class PersonPipeline(Pipeline):
    """`interlock undo`. `accept_drift`: the person has seen what changed meanwhile and goes on."""

    accept_drift = False

    def admit(self, call: Call, tool: Tool) -> None:
        if not tool.undo:
            raise Refused(Code.INVALID, "a person undoes here, and nothing else")

    def decide(self, trail: Trail, call: Call, look: Look) -> Decision:
        decision = self._deciding(call.policy).bounds(look.actions)
        trail.decision = decision
        if decision.effect is Effect.DENY:
            rule = decision.rules[0] if decision.rules else ""
            raise Refused(decision.code, decision.reason, hint=decision.hint, rule=rule)
        if look.asks and not (self.accept_drift or look.dry):
            raise Refused(
                Code.CONFLICT,
                "; ".join(one_line(reason, 400) for reason in look.asks),
                hint="look at it; --anyway undoes it all the same",
            )
        return replace(decision, lost=tuple(a.lost for a in look.actions if a.lost))

    def recheck(self, call: Call, look: Look) -> None:
        return None

    def reserve(self, db: sqlite3.Connection, call: Call, look: Look) -> None:
        return None

    def run(self, trail: Trail, permit: Permit) -> Result:
        """What a person reads needs no fence; a dry run says what has drifted."""
        result = replace(super().run(trail, permit), untrusted=False)
        drifted = "; ".join(one_line(reason, 400) for reason in permit.look.asks)
        if not permit.look.dry:
            return replace(result, header="")
        warning = f"\nit would stop here: {drifted}; --anyway goes on" if drifted and not self.accept_drift else ""
        return replace(result, text=result.text.rstrip("\n") + warning, header="would be undone (dry run)")

    def _note(self, trail: Trail, permit: Permit) -> str:
        lost = f"; stays lost: {'; '.join(permit.decision.lost)}" if permit.decision.lost else ""
        return f"undone (to do it again: interlock undo {permit.call.id}{lost})" if permit.slot is not None else ""


def undo(pipeline: PersonPipeline, id: str, dry_run: bool) -> Answer:
    """Undo one change, or show what it would do."""
    raw = {"id": id, "dry_run": dry_run}
    return pipeline.enforce(f"{pipeline.server.name}_undo", raw, Link(), client="interlock undo")
