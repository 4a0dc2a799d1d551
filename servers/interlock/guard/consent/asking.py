"""Asking a person: hold the call until somebody said yes or no, or `wait` is over.

The ledger itself is `approvals`; looking and deciding once more after a yes is the pipeline's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from interlock.guard import answers
from interlock.guard.errors import Code, Refused
from interlock.guard.halt.switch import Halt
from interlock.guard.model import Call, Decision, Detector, Look
from interlock.untrusted import one_line, visible

from .approvals import Approvals, Pending, digest

STEP = 5.0  # seconds between two words to the client while it waits


def ask(
    approvals: Approvals,
    halt: Halt,
    detector: Detector,
    call: Call,
    look: Look,
    decision: Decision,
    preview: Callable[[], str],
    opened: Callable[[Pending], None],
    hold: float,
) -> Pending:
    """Open the pending call, or find the same one, and hold it for `hold` seconds. Returns it approved, else Refused.

    `opened` is told at once: from then on the call bears the pending call's id.
    """
    settings = call.policy.approvals
    rules = ", ".join(decision.rules[:3])
    if settings.people == "none":
        raise Refused(
            Code.DENIED,
            f"it needs a person's approval ({decision.reason}), and the policy says that nobody is there",
            hint="a person can change `approvals.people` or add a rule that allows it",
            rule=rules,
        )
    mark = digest(call, look)
    resumed = approvals.find(call.id)
    if resumed is not None and resumed.digest != mark:
        approvals.void(resumed.id, "what it would do has changed since it was asked")  # and is asked anew
    pending = approvals.match(mark, call.principal)
    if pending is None:
        shown, _ = detector.redact_value(answers.recorded(call.raw, detector))
        pending = approvals.open(call, mark, decision, visible(detector.redact(preview()).text), look, shown, settings)
    opened(pending)
    begun = time.monotonic()
    while pending.status == "pending" and (left := hold - (time.monotonic() - begun)) > 0:
        call.link.progress(time.monotonic() - begun, f"waiting for a person: interlock approve {pending.id}")
        pending = approvals.wait(pending.id, min(left, STEP), call.link, lambda: _halted(halt, call))
        if call.link.cancelled:
            raise Refused(
                Code.DECLINED, "the client cancelled the call while it waited", hint=f"it can be resumed: {pending.id}"
            )
    if pending.status == "approved":
        return pending
    if pending.status == "declined":
        raise Refused(Code.DECLINED, "a person said no", hint="do not try this again; ask what to do instead")
    halt.check(call.principal, call.server, change=True)
    if pending.status != "pending":
        raise Refused(
            Code.APPROVAL_REQUIRED,
            f"the request for approval is {pending.status}",
            hint="make the call again to ask anew",
        )
    raise Refused(
        Code.APPROVAL_REQUIRED,
        f"a person must approve this ({one_line(decision.reason) or decision.risk.name.lower() + ' risk'})",
        hint=f"ask them to run `interlock approve {pending.id}`; then call {call.server}_guard(resume={pending.id}) "
        "or make the same call again",
        rule=rules,
    )


def _halted(halt: Halt, call: Call) -> bool:
    try:
        halt.check(call.principal, call.server, change=True)
    except Refused:
        return True
    return False
