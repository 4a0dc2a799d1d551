"""The enforcement point: the one ordered path from a call to its answer.

`enforce` is the whole of it, from top to bottom; the stages below stand in the same order. What a stage needs
it gets from the modules beside it. It knows no server and no protocol, and it decides nothing: `decide` does.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from pydantic import BaseModel, ValidationError

from ..untrusted import one_line
from . import answers
from .approvals import Approvals, Pending, digest
from .changes import Change, Changes
from .decide import Decider
from .errors import Broken, Code, Failed, Refused
from .halt import Halt
from .limits import LimitsLedger
from .model import (
    Action,
    Answer,
    Approval,
    Call,
    Decision,
    Detector,
    Effect,
    Layer,
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
)
from .overview import overview
from .policy import Policy, Source
from .processes import process_start
from .records import Records
from .snapshots import Slot, Snapshots

log = structlog.get_logger("interlock.guard")

_SEAL: Final = object()
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"  # no letter or digit that is read as another


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
    changes: Changes
    snapshots: Snapshots
    approvals: Approvals
    limits: LimitsLedger
    halt: Halt
    records: Records
    detector: Detector
    verbs: Mapping[str, Verb]
    now: Callable[[], float]  # the highest time seen


@dataclass(slots=True)
class Trail:
    """What is known of a call so far: what its record will say, wherever it ends."""

    started: float
    id: str
    tool: str
    principal: Principal
    raw: Mapping[str, Any]
    reason: str = ""
    call: Call | None = None
    actions: tuple[Action, ...] = ()
    decision: Decision | None = None
    approval: Approval | None = None
    change: bool = False
    permitted: bool = False  # from here on nothing is a refusal


class Pipeline:
    """Enforces the policy for one server. Blocking and thread-safe: `wire` runs each call in a worker thread."""

    def __init__(self, server: Server, tools: Mapping[str, Tool], guard: Guard, principal: Principal) -> None:
        self.server = server
        self.tools = tools
        self.guard = guard
        self.principal = principal
        self._decider: tuple[Policy, Decider] | None = None

    def call(self, name: str, raw: Mapping[str, Any], link: Link, client: str = "") -> Answer:
        """What `wire` calls for every `tools/call`. `X_guard` is the guard's own; all else is enforced."""
        if name == f"{self.server.name}_guard":
            return self._guard_call(name, raw, link, client)
        return self.enforce(name, raw, link, client)

    # ------------------------------------------------------------------------------------------ the one path

    def enforce(
        self, name: str, raw: Mapping[str, Any], link: Link, client: str = "", id: str = ""
    ) -> Answer:
        """Run one call, or say why not. Never raises. `id`: of the pending call that is resumed."""
        trail = self._trail(name, raw, client, id)
        look: Look | None = None
        try:
            call, tool = self.receive(trail, link)
            self.admit(call, tool)
            self.interpret(trail, call, tool)
            look = self.look(trail, call, tool)
            decision = self.decide(trail, call, look)
            approval = None
            if decision.effect is Effect.ASK:
                call, look, decision, approval = self.consent(trail, call, tool, look, decision)
            permit = self.secure(trail, call, tool, look, decision, approval)
            result = self.run(trail, permit)
            return self.give_back(trail, permit, result)
        except Refused as refusal:
            return self._refuse(trail, refusal, refusal.code)
        except Failed as failure:
            return self._fail(trail, failure)
        except Broken as broken:
            return self._refuse(trail, broken, Code.GUARD_FAILURE)
        except Exception as error:  # whatever else breaks inside the guard refuses
            log.exception("call broke", call=trail.id, tool=one_line(name, 60))
            return self._refuse(
                trail, Broken(f"the guard failed ({type(error).__name__})"), Code.GUARD_FAILURE
            )
        finally:
            if look is not None:
                look.close()

    # ------------------------------------------------------------------------------------------- the stages

    def receive(self, trail: Trail, link: Link) -> tuple[Call, Tool]:
        """Id, principal, the policy that judges this call, validated arguments."""
        policy = self.guard.source.current()
        tool = self.tools.get(trail.tool)
        if tool is None:
            raise Refused(Code.INVALID, "no such tool", hint=f"the tools are {', '.join(sorted(self.tools))}")
        trail.change = tool.change
        arguments = _validate(tool, trail.raw)
        given = arguments.model_dump(mode="json", exclude_unset=True)
        trail.reason = str(given.pop("reason", "") or "")
        call = Call(
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
        trail.call = call
        return call, tool

    def admit(self, call: Call, tool: Tool) -> None:
        """Halt and call rate: no world touched."""
        self.guard.halt.check(call.principal, call.server, change=tool.change)
        self.guard.limits.admit(call.principal, call.policy.limits)

    def interpret(self, trail: Trail, call: Call, tool: Tool) -> None:
        """Arguments to actions; what is out of bounds by its very name ends here."""
        trail.actions = () if tool.undo else self.server.interpret(call)
        decider = self._deciding(call.policy)
        for action in trail.actions:
            for matched in decider.matching(action):
                rule = matched.rule
                if (
                    rule.layer is Layer.BUILTIN
                    and rule.effect is Effect.DENY
                    and set(rule.where) <= set(action.attributes)
                ):
                    raise Refused(rule.code, _about(rule.reason, action), hint=rule.hint, rule=rule.id)
        _stop_if_cancelled(call)

    def look(self, trail: Trail, call: Call, tool: Tool) -> Look:
        """Facts: the only reads before the decision."""
        look = self._look_undo(call) if tool.undo else self.server.look(call)
        trail.actions = look.actions
        trail.change = tool.change and not look.dry
        _stop_if_cancelled(call)
        return look

    def decide(self, trail: Trail, call: Call, look: Look) -> Decision:
        """Effect and risk. Pure but for two facts of the guard's own: room for the snapshot, unsettled changes."""
        decision = self._deciding(call.policy).decide(look.actions, look.asks)
        changes = trail.change
        if changes and not self.guard.snapshots.fits(look.size, call.principal.agent, call.policy.snapshots):
            # What cannot be captured cannot be put back: class none, whatever the verb's own class is.
            decision = replace(
                decision, undo=UndoClass.NONE, risk=Risk.CRITICAL, effect=max(decision.effect, Effect.ASK)
            )
        trail.decision = decision
        if decision.effect is Effect.DENY:
            worst = look.actions[0] if look.actions else None
            raise Refused(
                decision.code,
                _about(decision.reason, worst),
                hint=decision.hint,
                rule=", ".join(decision.rules[:3]),
            )
        for action in look.actions if changes else ():
            self.guard.limits.breaker_admit(call.principal, call.server, action.resource, call.policy.limits)
            blocked = self.guard.changes.blocked(action.resource)
            if blocked is not None and blocked.id != look.undoes:
                raise Refused(
                    Code.UNKNOWN,
                    f"{blocked.id} was cut off while it changed {one_line(action.resource)}, and its outcome is unknown",
                    hint=f"a person looks at `interlock show {blocked.id}` and settles it; reading works",
                )
        if look.dry:
            return replace(
                decision, effect=min(decision.effect, Effect.NOTIFY)
            )  # nothing will happen: nobody is asked
        return decision

    def consent(
        self, trail: Trail, call: Call, tool: Tool, look: Look, decision: Decision
    ) -> tuple[Call, Look, Decision, Approval]:
        """A person's yes to exactly this effect; then look and decide once more, for the world has moved on."""
        guard = self.guard
        approval = guard.approvals.grant_for(call, look, decision)
        if approval is not None:
            trail.approval = approval
            return call, look, decision, approval
        pending = self._ask(trail, call, look, decision)
        trail.id = pending.id  # one id for the pending call and whatever becomes of it
        look.close()
        call = replace(call, id=pending.id)
        trail.call = call
        self.admit_again(call, tool)
        look = self.look(trail, call, tool)
        try:
            again = self.decide(trail, call, look)
            if again.effect is Effect.ASK:
                if again.risk > decision.risk or digest(call, look) != pending.digest:
                    guard.approvals.void(pending.id, "what it would do has changed since it was approved")
                    raise Refused(
                        Code.CONFLICT,
                        "what this call would do has changed since a person approved it, so the approval is void",
                        hint="make the call again; it will be asked anew",
                    )
                approval = guard.approvals.spend(pending.id, pending.digest, guard.now())
            else:
                approval = guard.approvals.spend(pending.id, pending.digest, guard.now())
        except BaseException:
            look.close()
            raise
        trail.approval = approval
        return call, look, again, approval

    def admit_again(self, call: Call, tool: Tool) -> None:
        """After a wait: the halt may have come meanwhile."""
        self.guard.halt.check(call.principal, call.server, change=tool.change)

    def secure(
        self, trail: Trail, call: Call, tool: Tool, look: Look, decision: Decision, approval: Approval | None
    ) -> Permit:
        """For changes: halt again, limits, snapshot, and the durable `permitted` record. Without them no run."""
        if not trail.change:
            return Permit(call, decision, look, approval, seal=_SEAL)
        guard = self.guard
        guard.halt.check(call.principal, call.server, change=True)
        guard.limits.reserve_change(call.principal, call, look, call.policy.limits)
        slot = guard.snapshots.reserve(call.id, look.size, call.principal.agent, call.policy.snapshots)
        try:
            self.server.capture(call, look, slot)
            _stop_if_cancelled(call)
            guard.changes.begin(
                call,
                look,
                decision,
                asked=approval is not None,
                pid=os.getpid(),
                pid_start=process_start(os.getpid()) or 0,
            )
            self._record(trail, "permitted", durable=True)
        except BaseException:
            guard.snapshots.discard(call.id)
            raise
        trail.permitted = True
        return Permit(call, decision, look, approval, slot, seal=_SEAL)

    def run(self, trail: Trail, permit: Permit) -> Result:
        """Touch the world, with the permit. What breaks in a change is judged by comparing the world."""
        if permit.look.dry:
            return Result(
                text=self.server.preview(permit.call, permit.look), header="dry run: nothing was changed"
            )
        try:
            result = self.server.run(permit)
        except Failed:
            raise
        except Exception as error:
            if permit.slot is None:
                raise
            log.exception("change broke", call=trail.id, tool=trail.tool)
            outcome = self._settle_one(permit.call.id)
            if outcome is Outcome.DONE:
                return Result(text="the change is made; reading its result back failed")
            code = Code.FAILED if outcome is Outcome.FAILED else Code.UNKNOWN
            raise Failed(f"the change broke off ({type(error).__name__})", code=code) from error
        return result

    def give_back(self, trail: Trail, permit: Permit, result: Result) -> Answer:
        """Redact, cap, outcome record, result. A change that ran is never called refused."""
        call, guard = permit.call, self.guard
        try:
            made = answers.answer(
                result, call.id, self._note(trail, permit), guard.detector, call.policy.limits.result_chars
            )
            if permit.slot is not None:
                guard.changes.finish(call.id, Outcome.DONE, after=result.after)
                for action in permit.look.actions:
                    guard.limits.breaker_result(
                        call.principal, call.server, action.resource, False, call.policy.limits
                    )
            self._record(
                trail,
                "done",
                result={"chars": made.chars, "redactions": made.redactions, "truncated": made.truncated},
                before=result.before,
                after=result.after,
                durable=permit.slot is not None,
            )
            guard.limits.output(call.principal, made.chars, call.policy.limits)
            return made.answer
        except Exception as error:
            log.exception("answer withheld", call=call.id)
            if permit.slot is None:
                raise Broken(
                    f"the answer is withheld: {_why(error)}", hint=getattr(error, "hint", "")
                ) from error
            text = f"the change ran ({call.id}); its output is withheld: {_why(error)}. Undo: {self.server.name}_undo(id={call.id})."
            return Answer(text, id=call.id)

    # ---------------------------------------------------------------------------------- endings that are a no

    def _refuse(self, trail: Trail, problem: Refused | Broken, code: Code) -> Answer:
        if trail.permitted:  # the guard broke after the change was permitted: compare, never guess
            return self._fail(trail, Failed(problem.message, hint=problem.hint, code=Code.UNKNOWN))
        try:
            self._record(
                trail,
                "refused",
                error={"code": code.value, "message": problem.message, "rule": getattr(problem, "rule", "")},
            )
        except Broken as broken:
            problem, code = broken, Code.GUARD_FAILURE
        except Exception as error:
            log.exception("refusal not recorded", call=trail.id)
            problem, code = (
                Broken(f"the refusal could not be recorded ({type(error).__name__})"),
                Code.GUARD_FAILURE,
            )
        return self._worded(problem, code, trail.id)

    def _fail(self, trail: Trail, failure: Failed) -> Answer:
        """A permitted call did not work. For changes the outcome is what the world says."""
        guard, code = self.guard, failure.code
        try:
            if trail.permitted and trail.call is not None:
                if code is Code.UNKNOWN:
                    outcome = self._settle_one(trail.id)
                    code = Code.FAILED if outcome is Outcome.FAILED else Code.UNKNOWN
                else:
                    outcome = Outcome.FAILED
                    guard.changes.finish(trail.id, outcome)
                for action in trail.actions:
                    guard.limits.breaker_result(
                        trail.principal, self.server.name, action.resource, True, trail.call.policy.limits
                    )
                stage = outcome.value
            else:
                stage = "failed"
            self._record(
                trail, stage, error={"code": code.value, "message": failure.message}, durable=trail.permitted
            )
        except Exception:
            log.exception("failure not recorded", call=trail.id)
            if not trail.permitted:
                return self._worded(Broken("the outcome could not be recorded"), Code.GUARD_FAILURE, trail.id)
            failure = Failed(f"{failure.message}; its outcome could not be recorded", hint=failure.hint)
            code = Code.UNKNOWN
        if code is Code.UNKNOWN and not failure.hint:
            failure = Failed(failure.message, hint="read the state before trying again", code=code)
        return self._worded(failure, code, trail.id)

    def _worded(self, problem: Refused | Failed | Broken, code: Code, id: str) -> Answer:
        """A refusal's text; if even redacting it fails, only its code leaves."""
        try:
            return answers.refusal(problem, code.value, id, self.guard.detector)
        except Exception:
            log.exception("refusal withheld", call=id)
            return Answer(
                f"{code.value}: the reason is withheld, for it could not be redacted. (id {id})",
                is_error=True,
                id=id,
            )

    # ------------------------------------------------------------------------------------ the guard's own tool

    def _guard_call(self, name: str, raw: Mapping[str, Any], link: Link, client: str) -> Answer:
        """`X_guard()` tells where the agent stands; `X_guard(resume=ID)` goes on with a call that waited."""
        trail = self._trail(name, raw, client, "")
        try:
            call, tool = self.receive(trail, link)
            self.admit(call, tool)
            resume = call.raw.get("resume")
            if resume:
                pending = self._resumable(call, str(resume))
                self._record(trail, "done")
                return self.enforce(
                    pending.tool, {**pending.raw, "reason": pending.reason}, link, client, id=pending.id
                )
            data = overview(
                self.guard,
                call.policy,
                self.server.name,
                call.principal,
                self.server.instructions(call.policy),
            )
            made = answers.answer(
                Result(data=data), call.id, "", self.guard.detector, call.policy.limits.result_chars
            )
            self._record(
                trail,
                "done",
                result={"chars": made.chars, "redactions": made.redactions, "truncated": made.truncated},
            )
            self.guard.limits.output(call.principal, made.chars, call.policy.limits)
            return made.answer
        except Refused as refusal:
            return self._refuse(trail, refusal, refusal.code)
        except Broken as broken:
            return self._refuse(trail, broken, Code.GUARD_FAILURE)
        except Exception as error:
            log.exception("call broke", call=trail.id, tool=name)
            return self._refuse(
                trail, Broken(f"the guard failed ({type(error).__name__})"), Code.GUARD_FAILURE
            )

    def _resumable(self, call: Call, id: str) -> Pending:
        pending = self.guard.approvals.find(id)
        if pending is None or pending.agent != call.principal.agent:
            raise Refused(
                Code.INVALID,
                f"there is no pending call {one_line(id, 40)} of yours",
                hint="make the call itself again",
            )
        if pending.server != self.server.name:
            raise Refused(
                Code.INVALID,
                f"{id} waits at {pending.server}",
                hint=f"use {pending.server}_guard(resume={id})",
            )
        if pending.status in ("declined", "expired", "void", "spent"):
            code = Code.DECLINED if pending.status == "declined" else Code.INVALID
            raise Refused(
                code,
                f"{id} is {pending.status}",
                hint="do not try it again" if code is Code.DECLINED else "make the call itself again",
            )
        return pending

    # -------------------------------------------------------------------------------------- what stages share

    def _ask(self, trail: Trail, call: Call, look: Look, decision: Decision) -> Pending:
        """Open the pending call (or find the same one) and hold it for `wait`; returns it approved, or refuses."""
        settings, approvals = call.policy.approvals, self.guard.approvals
        if settings.people == "none":
            raise Refused(
                Code.DENIED,
                f"it needs a person's approval ({decision.reason}), and the policy says that nobody is there",
                hint="a person can change `approvals.people` or add a rule that allows it",
                rule=", ".join(decision.rules[:3]),
            )
        mark = digest(call, look)
        pending = approvals.match(mark, call.principal)
        if pending is None:
            preview = self.guard.detector.redact(self.server.preview(call, look)).text
            shown = answers.recorded(call.raw, self.guard.detector)
            pending = approvals.open(call, mark, decision, preview, look, shown, settings)
        trail.id = pending.id
        deadline, said = time.monotonic() + settings.wait, 0.0
        while pending.status == "pending" and (left := deadline - time.monotonic()) > 0:
            call.link.progress(
                settings.wait - left + said, f"waiting for a person: interlock approve {pending.id}"
            )
            pending = approvals.wait(pending.id, min(left, 5.0), call.link, self._halted(call))
            _stop_if_cancelled(call)
        if pending.status == "approved":
            return pending
        if pending.status == "declined":
            raise Refused(
                Code.DECLINED, "a person said no", hint="do not try this again; ask what to do instead"
            )
        if pending.status != "pending":
            self.guard.halt.check(call.principal, call.server, change=True)
            raise Refused(
                Code.APPROVAL_REQUIRED,
                f"the request for approval is {pending.status}",
                hint="make the call again to ask anew",
            )
        raise Refused(
            Code.APPROVAL_REQUIRED,
            f"a person must approve this ({one_line(decision.reason) or decision.risk.name.lower() + ' risk'})",
            hint=f"ask them to run `interlock approve {pending.id}`, then call {self.server.name}_guard(resume={pending.id}) "
            "or make the same call again",
            rule=", ".join(decision.rules[:3]),
        )

    def _halted(self, call: Call) -> Callable[[], bool]:
        def halted() -> bool:
            try:
                self.guard.halt.check(call.principal, call.server, change=True)
            except Refused:
                return True
            return False

        return halted

    def _look_undo(self, call: Call) -> Look:
        """What undoing would do now. Own changes without more ado where nothing drifted; others' are asked."""
        self.settle()
        id = str(call.raw["id"])
        change = self.guard.changes.get(id)
        if change is None:
            raise Refused(
                Code.INVALID,
                f"there is no change {one_line(id, 40)}",
                hint=f"{self.server.name}_guard() lists your recent changes",
            )
        if change.server != self.server.name:
            raise Refused(Code.INVALID, f"{id} was made by {change.server}", hint=f"use {change.server}_undo")
        if change.status != Outcome.DONE.value:
            raise Refused(
                Code.INVALID,
                f"{id} cannot be undone: it is {change.status}",
                hint=f"`interlock show {id}` tells its story",
            )
        if change.undo is UndoClass.NONE:
            raise Refused(Code.INVALID, f"{id} cannot be undone: {change.lost or 'its effect is final'}")
        look = self.server.look_undo(call, change, self.guard.snapshots.open(id))
        asks = list(look.asks)
        if change.agent != call.principal.agent and not _is_person(call):
            asks.append(f"it undoes a change of {change.agent}")
        undone = self.guard.changes.get(change.undoes) if change.undoes else None
        if undone is not None and undone.asked:
            asks.append(f"it does again what {undone.id} did, which was asked")
        return replace(look, asks=tuple(asks), undoes=id, dry=bool(call.raw.get("dry_run")))

    def settle(self) -> None:
        """Give every permitted change whose process is gone its outcome. At start and before every undo."""
        for change in self.guard.changes.unsettled(self.server.name):
            self._settle_one(change.id)

    def _settle_one(self, id: str) -> Outcome:
        change = self.guard.changes.get(id)
        if change is None:
            return Outcome.UNKNOWN
        try:
            outcome = self.server.settle(change, self.guard.snapshots.open(id))
        except Exception:
            log.exception("change not settled", call=id)
            outcome = Outcome.UNKNOWN
        self.guard.changes.finish(id, outcome)
        if change.pid != os.getpid():
            self.guard.records.append(_settled(change, outcome), durable=True)
        return outcome

    def _deciding(self, policy: Policy) -> Decider:
        cached = self._decider
        if cached is None or cached[0] is not policy:
            cached = self._decider = (policy, Decider(policy.rules, self.guard.verbs))
        return cached[1]

    def _note(self, trail: Trail, permit: Permit) -> str:
        if permit.slot is None:
            return ""
        undo = permit.decision.undo
        how = (
            "cannot be undone"
            if undo is UndoClass.NONE
            else f"undo: {self.server.name}_undo(id={permit.call.id})"
        )
        lost = f"; stays lost: {'; '.join(permit.decision.lost)}" if permit.decision.lost else ""
        by = f"approved by {permit.approval.by}; " if permit.approval is not None else ""
        return f"done {permit.call.id} ({by}{how}{lost})"

    def _trail(self, name: str, raw: Mapping[str, Any], client: str, id: str) -> Trail:
        return Trail(
            started=time.monotonic(),
            id=id or new_id(self.server.name),
            tool=one_line(str(name), 60),
            principal=replace(self.principal, client=one_line(client, 80)) if client else self.principal,
            raw=raw if isinstance(raw, Mapping) else {},
        )

    def _record(self, trail: Trail, stage: str, *, durable: bool = False, **more: Any) -> None:
        principal, decision, approval = trail.principal, trail.decision, trail.approval
        self.guard.records.append(
            {
                "stage": stage,
                "call": trail.id,
                "session": principal.session,
                "principal": {"agent": principal.agent, "user": principal.user, "client": principal.client},
                "server": self.server.name,
                "tool": trail.tool,
                "actions": [_recorded_action(a) for a in trail.actions[:50]],
                "arguments": answers.recorded(
                    {k: v for k, v in trail.raw.items() if k != "reason"}, self.guard.detector
                ),
                "reason": self.guard.detector.redact(one_line(trail.reason, 300)).text,
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
                "undo_class": decision.undo.name.lower() if decision is not None and trail.change else None,
                "duration_ms": round((time.monotonic() - trail.started) * 1000, 2),
                **more,
            },
            durable=durable,
        )


# ------------------------------------------------------------------------------------------------ small pieces


def new_id(server: str) -> str:
    """A call's id: short enough to type at 3 a.m., long enough not to meet another in a home's life."""
    return f"{server}-{''.join(secrets.choice(_ALPHABET) for _ in range(7))}"


def _validate(tool: Tool, raw: Mapping[str, Any]) -> BaseModel:
    """Parse arguments strictly. The refusal names the field and what is expected, never the value."""
    try:
        return tool.arguments.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(one_line(str(part), 40) for part in first["loc"]) or "arguments"
        known = ", ".join(tool.arguments.model_fields)
        what = (
            "is not an argument of this tool" if first["type"] == "extra_forbidden" else first["msg"].lower()
        )
        raise Refused(Code.INVALID, f"{where}: {what}", hint=f"{tool.name} takes {known}") from None


def _about(reason: str, action: Action | None) -> str:
    if action is None:
        return reason
    return (
        f"{action.verb} {one_line(action.resource)}: {reason}"
        if reason
        else f"{action.verb} {one_line(action.resource)}"
    )


def _stop_if_cancelled(call: Call) -> None:
    if call.link.cancelled:
        raise Refused(Code.DECLINED, "the client cancelled the call before anything ran")


def _is_person(call: Call) -> bool:
    return call.principal.agent == ""


def _why(error: Exception) -> str:
    return error.message if isinstance(error, Broken | Failed | Refused) else type(error).__name__


def _recorded_action(action: Action) -> dict[str, Any]:
    return {
        "verb": action.verb,
        "resource": one_line(action.resource, 400),
        "attributes": {
            key: list(value)
            if isinstance(value, tuple)
            else value
            if isinstance(value, str | int)
            else repr(value)
            for key, value in action.attributes.items()
        },
    }


def _settled(change: Change, outcome: Outcome) -> dict[str, Any]:
    return {
        "stage": outcome.value,
        "call": change.id,
        "session": change.session,
        "principal": {"agent": change.agent, "user": change.user, "client": change.client},
        "server": change.server,
        "tool": change.tool,
        "actions": change.actions,
        "arguments": {},
        "reason": "",
        "decision": None,
        "consent": None,
        "undo_class": change.undo.name.lower(),
        "error": None
        if outcome is Outcome.DONE
        else {"code": outcome.value, "message": "cut off in flight, then settled"},
    }
