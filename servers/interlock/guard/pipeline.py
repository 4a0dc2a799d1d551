"""The enforcement point: the one ordered path from a call to its answer.

`enforce` is the whole of it, from top to bottom; the stages below stand in the same order. What a stage needs
it gets from the modules beside it. It knows no server and no protocol, and it decides nothing: `decide` does.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, ItemsView, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from pydantic import BaseModel, ValidationError

from interlock.guard.audit.records import Records
from interlock.guard.consent import asking as consent
from interlock.guard.consent.approvals import PREVIEW_CHARS, Approvals, Pending, digest
from interlock.guard.consent.pending import storable
from interlock.guard.halt.switch import Halt
from interlock.guard.policy.loading import Limits, Policy, Source
from interlock.guard.undo.changes import Changes
from interlock.guard.undo.settling import Settling
from interlock.guard.undo.snapshots import Slot, Snapshots
from interlock.session import Session
from interlock.untrusted import one_line, visible

from . import answers
from .decide import Decider
from .errors import Broken, Code, Failed, Refused
from .limits import LimitsLedger
from .model import (
    Action,
    Answer,
    Approval,
    Call,
    Decision,
    Detector,
    Effect,
    Link,
    Look,
    Outcome,
    Principal,
    Result,
    Risk,
    Server,
    Tool,
    UndoClass,
    Verb,
    new_id,
)
from .overview import overview
from .state import State
from .trail import Trail

log = structlog.get_logger("interlock.guard")

HELD: Final = 12  # calls that wait for a person at once; further ones are told to come back
_SEAL: Final = object()


@dataclass(frozen=True, slots=True)
class Permit:
    """What `run` requires and only the pipeline makes: decision, facts as preconditions, approval, snapshot."""

    call: Call
    decision: Decision
    look: Look
    approval: Approval | None = None
    slot: Slot | None = None  # the snapshot; None for reads
    seal: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise Broken("a permit is made by the pipeline alone")


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard's services, opened once per process (`serve`, or the command line for a person's undo)."""

    source: Source
    state: State
    changes: Changes
    snapshots: Snapshots
    approvals: Approvals
    limits: LimitsLedger
    halt: Halt
    records: Records
    detector: Detector
    verbs: Mapping[str, Verb]

    def now(self) -> float:
        """Seconds since the epoch: the highest time seen."""
        return self.state.now()


class Pipeline:
    """Enforces the policy for one server. Blocking and thread-safe: `wire` runs each call in a worker thread."""

    def __init__(self, server: Server, tools: Mapping[str, Tool], guard: Guard, principal: Principal) -> None:
        self.server = server
        self.tools = tools
        self.guard = guard
        self.principal = principal
        self.settling = Settling(server, guard.state, guard.changes, guard.snapshots, guard.records)
        self._holding = threading.BoundedSemaphore(HELD)
        self.session: Session | None = None  # names the session anew after a long pause
        self._decider: tuple[Policy, Decider] | None = None

    def call(self, name: str, raw: Mapping[str, Any], link: Link, client: str = "") -> Answer:
        """What `wire` calls for every `tools/call`. `X_guard` is the guard's own; all else is enforced."""
        if name == f"{self.server.name}_guard":
            return self._guard_call(name, raw, link, client)
        return self.enforce(name, raw, link, client)

    # ---------------------------------------------------------------- the one path

    def enforce(self, name: str, raw: Mapping[str, Any], link: Link, client: str = "", id: str = "") -> Answer:
        """Run one call, or say why not. Never raises. `id`: of the pending call that is resumed."""
        trail = self._trail(name, raw, client, id)
        look: Look | None = None
        try:
            call, tool = self.receive(trail, link)
            self.admit(call, tool)
            self.interpret(trail, call, tool)
            look = self.look(trail, call, tool)
            decision = self.decide(trail, call, look)
            if decision.effect is Effect.ASK:
                call = self.consent(trail, call, tool, look, decision)
                look.close()
                look = self.look(trail, call, tool)
                decision = self.decide(trail, call, look)
                self.agree(trail, call, look, decision)
            permit = self.secure(trail, call, look, decision)
            result = self.run(trail, permit)
            return self.give_back(trail, permit, result)
        except Exception as error:
            return self._no(trail, error)
        finally:
            if look is not None:
                look.close()

    # ---------------------------------------------------------------- its stages, in order

    def receive(self, trail: Trail, link: Link) -> tuple[Call, Tool]:
        """Id, principal, the policy that judges this call, validated arguments."""
        policy = self.guard.source.current()
        tool = self.tools.get(trail.tool)
        if tool is None:
            self.guard.limits.admit(trail.principal, policy.limits)
            offered = f"the tools are {', '.join(sorted(self.tools))}"
            if any(one.name == trail.tool for one in self.server.tools):
                raise Refused(Code.DENIED, f"the policy allows no call of {trail.tool}", hint=offered)
            raise Refused(Code.INVALID, "no such tool", hint=offered)
        trail.change = tool.change
        try:
            arguments = _validate(tool, trail.raw)
        except Refused:
            self.guard.limits.admit(trail.principal, policy.limits)  # what makes no sense counts too
            raise
        given = arguments.model_dump(mode="json", exclude_unset=True)
        reason = str(given.pop("reason", "") or "")
        trail.reason = visible(self.guard.detector.redact(reason).text) if reason else ""
        trail.call = Call(
            id=trail.id,
            server=self.server.name,
            tool=tool.name,
            arguments=arguments,
            raw=given,
            reason=trail.reason,
            principal=trail.principal,
            time=self.guard.now(),
            policy=policy,
            link=link,
        )
        return trail.call, tool

    def admit(self, call: Call, tool: Tool) -> None:
        """Halt and call rate: no world touched."""
        self.guard.halt.check(call.principal, call.server, change=tool.change)
        self.guard.limits.admit(call.principal, call.policy.limits)

    def interpret(self, trail: Trail, call: Call, tool: Tool) -> None:
        """Arguments to actions; what is out of bounds by its very name ends here."""
        trail.actions = () if tool.undo else self.server.interpret(call)
        decider = self._deciding(call.policy)
        for action in trail.actions:
            rule = decider.builtin_denial(action, certain=True)
            if rule is not None:
                trail.decision = decider.decide((action,))
                raise Refused(rule.code, _about(rule.reason, action), hint=rule.hint, rule=rule.id)
        _stop_if_cancelled(call)

    def look(self, trail: Trail, call: Call, tool: Tool) -> Look:
        """Facts: the only reads before the decision."""
        look = self.settling.look_undo(call) if tool.undo else self.server.look(call)
        trail.actions = look.actions
        trail.change = tool.change and not look.dry
        _stop_if_cancelled(call)
        return look

    def decide(self, trail: Trail, call: Call, look: Look) -> Decision:
        """Effect and risk: pure, but for two facts of the guard's own (the breaker, resources that are blocked)."""
        guard = self.guard
        decision = self._deciding(call.policy).decide(look.actions, look.asks)
        if trail.change and look.size > call.policy.snapshots.share:
            # What cannot be captured cannot be put back: class none, whatever the verb's own class is.
            effect = max(decision.effect, Effect.ASK)
            decision = replace(decision, undo=UndoClass.NONE, risk=Risk.CRITICAL, effect=effect)
        trail.decision = decision
        if decision.effect is Effect.DENY:
            reason = _about(decision.reason, look.actions[0] if look.actions else None)
            raise Refused(decision.code, reason, hint=decision.hint, rule=", ".join(decision.rules[:3]))
        for resource, limits in _resources(call, look.actions) if trail.change else ():
            guard.limits.breaker_admit(call.principal, call.server, resource, limits)
            blocked = guard.changes.blocked(resource)
            if blocked is not None and blocked.id != look.undoes:
                raise Refused(
                    Code.UNKNOWN,
                    f"{blocked.id} was cut off while it changed {one_line(resource)}; its outcome is unknown",
                    hint=f"a person looks at `interlock show {blocked.id}` and settles it; reading works",
                )
        if look.dry:  # nothing will happen, so nobody is asked
            decision = replace(decision, effect=min(decision.effect, Effect.NOTIFY))
        return decision

    def consent(self, trail: Trail, call: Call, tool: Tool, look: Look, decision: Decision) -> Call:
        """A person's yes to exactly this effect, or a grant that covers it. From here on the pending call's id."""
        guard = self.guard
        decider = self._deciding(call.policy)
        asking = [action for action in look.actions if decider.decide((action,)).effect is Effect.ASK]
        trail.approval = guard.approvals.grant_for(call, look, decision, asking)
        if trail.approval is not None:
            trail.granted = (digest(call, look), decision.risk, look.asks)
            return call

        def opened(pending: Pending) -> None:
            trail.id = pending.id

        preview = lambda: self.server.preview(call, look)  # noqa: E731
        held = self._holding.acquire(blocking=False)  # reads must find a thread whatever waits
        try:
            hold = call.policy.approvals.wait if held else 0.0
            services = (guard.approvals, guard.halt, guard.detector)
            pending = consent.ask(*services, call, look, decision, preview, opened, hold)
        finally:
            if held:
                self._holding.release()
        guard.halt.check(call.principal, call.server, change=tool.change)
        # It is judged once more by what holds now, not by what held when the person was asked.
        trail.call = replace(call, id=pending.id, policy=guard.source.current(), time=guard.now())
        return trail.call

    def agree(self, trail: Trail, call: Call, look: Look, decision: Decision) -> None:
        """The world may have moved while a person thought: same effect and no higher risk, or the yes is void."""
        approvals, mark = self.guard.approvals, digest(call, look)
        pending = approvals.find(call.id) if trail.granted is None else None
        given = trail.granted or (pending and (pending.digest, pending.risk, pending.asks))
        moved = pending is not None and self._shows_something_else(call, look, pending)
        if not given or moved or mark != given[0] or decision.risk > given[1] or not set(look.asks) <= set(given[2]):
            if pending is not None:
                approvals.void(call.id, "what it would do has changed since it was approved")
            raise Refused(
                Code.CONFLICT,
                "what this call would do has changed since a person approved it, so the approval is void",
                hint="make the call again; it will be asked anew",
            )
        if trail.granted is None:
            trail.agreed = mark

    def secure(self, trail: Trail, call: Call, look: Look, decision: Decision) -> Permit:
        """Use the approval up. For changes: halt again, limits, snapshot, and the durable `permitted` record.

        Without all of them no run; and what is refused here by a limit has not cost its approval.
        """
        guard = self.guard
        if not trail.change:
            if trail.agreed:
                with guard.state.tx(durable=True) as db:
                    approval = self._spend(db, trail, call)
                trail.approval = approval
            return Permit(call, decision, look, trail.approval, seal=_SEAL)
        self.recheck(call, look)
        with guard.state.tx() as db:  # all of it or nothing; the seal of the snapshot makes it durable
            approval = self._spend(db, trail, call)
            self.reserve(db, call, look)
            slot = guard.snapshots.reserve(db, call.id, look.size, call.principal.agent, call.policy.snapshots)
            guard.changes.begin(db, call, look, decision, asked=approval is not None)
        trail.approval = approval
        try:
            self.server.capture(call, look, slot)
            if not slot.state:
                raise Broken("the server sealed no snapshot, so nothing runs")
            _stop_if_cancelled(call)
            self._record(trail, "permitted", durable=True)
        except BaseException:
            with suppress(Exception):  # what cannot be tidied up now is settled as never run at the next start
                guard.snapshots.discard(call.id, also=lambda db: guard.changes.discard(db, call.id))
            raise
        trail.permitted = True
        return Permit(call, decision, look, trail.approval, slot, seal=_SEAL)

    def recheck(self, call: Call, look: Look) -> None:
        """The last look at the halt, and at the disk: undo and outcomes must find room on it."""
        self.guard.halt.check(call.principal, call.server, change=True)
        if not look.undoes:
            self.guard.state.check_room()

    def reserve(self, db: sqlite3.Connection, call: Call, look: Look) -> None:
        """The change's place within the limits."""
        self.guard.limits.reserve_change(db, call.principal, call, look, _limits(call, *look.actions))

    def run(self, trail: Trail, permit: Permit) -> Result:
        """Touch the world, with the permit. A change that breaks is judged by comparing the world."""
        if permit.look.dry:
            preview = self.server.preview(permit.call, permit.look)
            return Result(text=preview, header="dry run: nothing was changed", untrusted=True)
        try:
            return self.server.run(permit)
        except Failed:
            raise
        except Exception as error:
            if permit.slot is None:
                raise
            log.exception("change broke", call=trail.id, tool=trail.tool)
            raise Failed(f"the change broke off ({type(error).__name__})", code=Code.UNKNOWN) from error

    def give_back(self, trail: Trail, permit: Permit, result: Result) -> Answer:
        """Redact, cap, outcome record, result. A change that ran is never called refused."""
        call, guard = permit.call, self.guard
        limits = call.policy.limits
        digests: dict[str, Any] = {"before": result.before, "after": result.after}
        chars = 0

        def note_outcome(db: sqlite3.Connection) -> None:  # with the outcome's record, in one step
            if permit.slot is not None:
                guard.changes.finish(db, call.id, Outcome.DONE, after=result.after)
            guard.limits.output(db, call.principal, chars, limits)

        try:
            made = answers.answer(result, call.id, self._note(trail, permit), guard.detector, limits.result_chars)
            if permit.slot is not None:
                for resource, of in _resources(call, permit.look.actions):
                    guard.limits.breaker_result(call.principal, call.server, resource, False, of)
            chars = made.chars
            self._record(trail, "done", also=note_outcome, result=made.facts(), **digests)
            return made.answer
        except Exception as error:
            log.exception("answer withheld", call=call.id)
            why = error.message if isinstance(error, Broken | Refused) else type(error).__name__
            if permit.slot is None:
                raise Broken(f"the answer is withheld: {why}", hint=getattr(error, "hint", "")) from error
            with suppress(Exception), guard.state.tx() as db:  # first of all: it is made, and can be undone
                note_outcome(db)
            with suppress(Exception):
                self._record(trail, "done", result={"withheld": True}, **digests)
            undo = f"{self.server.name}_undo(id={call.id})"
            return Answer(f"the change ran ({call.id}); its output is withheld: {why}. Undo: {undo}.", id=call.id)

    # ---------------------------------------------------------------- the ways to say no

    def _no(self, trail: Trail, error: Exception) -> Answer:
        """Whatever ended a call before its answer. Even a guard that cannot say why says no."""
        try:
            return self._ended(trail, error)
        except Exception:
            code = Code.UNKNOWN if trail.permitted else Code.GUARD_FAILURE
            return Answer(f"{code.value}: the guard failed. (id {trail.id})", is_error=True, id=trail.id)

    def _ended(self, trail: Trail, error: Exception) -> Answer:
        """A refusal, a failed change, or the guard itself."""
        if isinstance(error, Refused | Broken | Failed):
            problem = error
        else:
            log.error("call broke", call=trail.id, tool=trail.tool, exc_info=error)
            problem = Broken(f"the guard failed ({type(error).__name__})")
        if trail.permitted:
            try:
                return self._failed(trail, problem)
            except Exception as broken:  # the next start settles it
                log.error("outcome not noted", call=trail.id, exc_info=broken)
                problem = Failed(f"{problem.message}; its outcome could not be noted", code=Code.UNKNOWN)
                return self._say_no(trail, Outcome.UNKNOWN.value, Code.UNKNOWN, problem)
        trail.id = self._own_id(trail)
        code = Code.GUARD_FAILURE if isinstance(problem, Broken) else problem.code
        stage = "failed" if isinstance(problem, Failed) else "refused"
        return self._say_no(trail, stage, code, problem)

    def _failed(self, trail: Trail, problem: Refused | Failed | Broken) -> Answer:
        """A permitted change did not work: its outcome is what the world says, not what we hope."""
        guard, call = self.guard, trail.call
        assert call is not None
        known = isinstance(problem, Failed) and problem.code is not Code.UNKNOWN
        outcome = Outcome.FAILED if known else self.settling.settle_one(trail.id)
        code = (
            problem.code
            if isinstance(problem, Failed) and known
            else Code(outcome.value)
            if outcome is not Outcome.DONE
            else Code.UNKNOWN
        )
        if known:
            with guard.state.tx() as db:
                guard.changes.finish(db, trail.id, outcome)
        failed = outcome is not Outcome.DONE and code is not Code.CONFLICT  # a lost race is nobody's failure
        for resource, limits in _resources(call, trail.actions):
            guard.limits.breaker_result(call.principal, call.server, resource, failed, limits)
        if outcome is Outcome.DONE:
            problem = Failed(
                f"{problem.message}; comparing shows that the change is made",
                hint=f"undo: {call.server}_undo(id={call.id})",
            )
        elif outcome is Outcome.UNKNOWN:
            problem = Failed(problem.message, hint="read the state before trying again")
        return self._say_no(trail, outcome.value, code, problem)

    def _say_no(self, trail: Trail, stage: str, code: Code, problem: Refused | Failed | Broken) -> Answer:
        """Record, then word. What cannot be recorded or redacted is still a no, with less said."""
        try:
            error = {"code": code.value, "message": problem.message, "rule": getattr(problem, "rule", "")}
            self._record(trail, stage, error=error)  # an outcome lost in a power cut is found again by settling
        except Exception as broken:
            log.error("refusal not recorded", call=trail.id, exc_info=broken)
            if not trail.permitted:
                code = Code.GUARD_FAILURE
                problem = (
                    broken if isinstance(broken, Broken) else Broken(f"it cannot be recorded ({type(broken).__name__})")
                )
        try:
            said = answers.refusal(problem, code.value, trail.id, self.guard.detector)
            return replace(said, text=said.text.replace("X_guard", f"{self.server.name}_guard"))
        except Exception as broken:
            log.error("refusal withheld", call=trail.id, exc_info=broken)
            return Answer(f"{code.value}: the reason cannot be shown. (id {trail.id})", is_error=True, id=trail.id)

    # ---------------------------------------------------------------- the guard's own tool

    def _guard_call(self, name: str, raw: Mapping[str, Any], link: Link, client: str) -> Answer:
        """`X_guard()` tells where the agent stands; `X_guard(resume=ID)` goes on with a call that waited."""
        trail = self._trail(name, raw, client, "")
        guard = self.guard
        try:
            call, tool = self.receive(trail, link)
            self.admit(call, tool)
            if call.raw.get("resume"):
                pending = self._resumable(call, str(call.raw["resume"]))
                self._record(trail, "done")
                again = {**pending.raw, "reason": pending.reason} if pending.reason else pending.raw
                return self.enforce(pending.tool, again, link, client, id=pending.id)
            about = self.server.instructions(call.policy)
            data = overview(guard, call.policy, self.server.name, call.principal, about)
            made = answers.answer(Result(data=data), call.id, "", guard.detector, call.policy.limits.result_chars)
            limits, chars = call.policy.limits, made.chars
            counted = lambda db: guard.limits.output(db, call.principal, chars, limits)  # noqa: E731
            self._record(trail, "done", also=counted, result=made.facts())
            return made.answer
        except Exception as error:
            return self._no(trail, error)

    def _resumable(self, call: Call, id: str) -> Pending:
        pending, name = self.guard.approvals.find(id), self.server.name
        again = "make the call itself again"
        if pending is None or pending.agent != call.principal.agent:
            raise Refused(Code.INVALID, f"there is no pending call {one_line(id, 40)} of yours", hint=again)
        if pending.server != name:
            raise Refused(
                Code.INVALID, f"{id} waits at {pending.server}", hint=f"use {pending.server}_guard(resume={id})"
            )
        if pending.status == "declined":
            raise Refused(Code.DECLINED, f"a person said no to {id}", hint="do not try it again")
        if pending.status not in ("pending", "approved"):
            raise Refused(Code.INVALID, f"{id} is {pending.status}", hint=again)
        return pending

    # ---------------------------------------------------------------- small pieces

    def _shows_something_else(self, call: Call, look: Look, pending: Pending) -> bool:
        """The same new content over other old content is another diff than the one that a person said yes to.

        For what stays on this machine; a cluster's previews may tell of times, and its digest holds uids.
        """
        if look.remote:
            return False
        shown = visible(self.guard.detector.redact(self.server.preview(call, look)).text)
        return storable(shown[:PREVIEW_CHARS]) != pending.preview

    def _deciding(self, policy: Policy) -> Decider:
        cached = self._decider
        if cached is None or cached[0] is not policy:
            cached = self._decider = (policy, Decider(policy.rules, self.guard.verbs))
        return cached[1]

    def _note(self, trail: Trail, permit: Permit) -> str:
        """The guard's own line above a change's result."""
        if permit.slot is None:
            return ""
        decision = permit.decision
        undo = f"undo: {self.server.name}_undo(id={permit.call.id})"
        parts = [f"approved by {trail.approval.by}"] if trail.approval is not None else []
        parts.append("cannot be undone" if decision.undo is UndoClass.NONE else undo)
        parts += [f"stays lost: {'; '.join(decision.lost)}"] if decision.lost else []
        return f"done {permit.call.id} ({'; '.join(parts)})"

    def _trail(self, name: str, raw: Mapping[str, Any], client: str, id: str) -> Trail:
        session = self.session.label(time.time()) if self.session is not None else self.principal.session
        principal = replace(self.principal, client=one_line(client, 80), session=session)
        id = id or new_id(self.server.name)
        return Trail(id, self.server.name, one_line(name, 60), principal, raw, time.monotonic())

    def _own_id(self, trail: Trail) -> str:
        """Whoever comes second to an approval is refused under another id: the first one's story is that one's."""
        with suppress(Broken):
            pending = self.guard.approvals.find(trail.id) if trail.approval is None else None
            if pending is not None and pending.status == "spent":
                return new_id(self.server.name)
        return trail.id

    def _spend(self, db: sqlite3.Connection, trail: Trail, call: Call) -> Approval | None:
        """What this call is consented to by, used up once the transaction is committed."""
        if not trail.agreed:
            return trail.approval
        return self.guard.approvals.spend(db, call.id, trail.agreed, self.guard.now())

    def _record(
        self,
        trail: Trail,
        stage: str,
        *,
        durable: bool = False,
        also: Callable[[sqlite3.Connection], object] | None = None,
        **more: Any,
    ) -> None:
        fields = {**trail.fields(stage, self.guard.detector), **more}
        self.guard.records.append(fields, durable=durable, also=also)


def _validate(tool: Tool, raw: Mapping[str, Any]) -> BaseModel:
    """Parse arguments strictly. The refusal names the field and what is expected, never the value."""
    try:
        return tool.arguments.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(one_line(str(part), 40) for part in first["loc"]) or "arguments"
        what = "is not an argument of this tool" if first["type"] == "extra_forbidden" else first["msg"].lower()
        known = ", ".join(tool.arguments.model_fields)
        raise Refused(Code.INVALID, f"{where}: {what}", hint=f"{tool.name} takes {known}") from None


def _limits(call: Call, *actions: Action) -> Limits:
    """A cluster context with a profile of its own has its limits too."""
    contexts = (action.attributes.get("context") for action in actions)
    return call.policy.limits_for(next((c for c in contexts if isinstance(c, str)), None))


def _resources(call: Call, actions: Iterable[Action]) -> ItemsView[str, Limits]:
    """Each thing that the actions are about, once, and the limits that hold for it."""
    return {action.resource: _limits(call, action) for action in actions}.items()


def _about(reason: str, action: Action | None) -> str:
    what = f"{action.verb} {one_line(action.resource)}" if action is not None else ""
    return ": ".join(part for part in (what, reason) if part)


def _stop_if_cancelled(call: Call) -> None:
    if call.link.cancelled:
        raise Refused(Code.DECLINED, "the client cancelled the call before anything ran")
