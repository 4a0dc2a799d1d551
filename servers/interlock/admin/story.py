"""One call told whole: what happened, which rule, who approved, what changed, how to undo it.

For `interlock audit show` and `interlock show`. Not for finding its records (`guard.audit`).
"""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.guard.model import UndoClass
from interlock.untrusted import one_line

if TYPE_CHECKING:
    from interlock.guard.undo.changes import Change

ACTIONS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: a label and what it says; `style` is a word of `terminal.STYLES`."""

    label: str
    text: str
    style: str = ""

    def __str__(self) -> str:
        return f"{self.label:<11}{self.text}" if self.label else self.text


def story(records: Sequence[Mapping[str, Any]], change: Change | None) -> str:
    """The call as plain lines. `records` in their order; `change` where the call was a change."""
    return "\n".join(str(fact) for fact in facts(records, change))


def facts(records: Sequence[Mapping[str, Any]], change: Change | None) -> list[Fact]:
    """The same, line by line."""
    return [fact for fact in _facts(records, change) if fact.text]


def _facts(records: Sequence[Mapping[str, Any]], change: Change | None) -> Iterator[Fact]:
    own = [record for record in records if record.get("call")]  # the others tell of its snapshot or its settling
    last = own[-1] if own else {}
    full = _richest(own)
    stage = change.status if change is not None else outcome(last)
    name = str(full.get("call") or (change.id if change else ""))
    tool = str(full.get("tool") or (change.tool if change else ""))
    yield Fact("", f"{name}  {tool}  {stage}", stage)
    yield Fact("when", _when(full, last))
    yield Fact("who", _who(full, change))
    yield from _what(full, change)
    arguments = full.get("arguments")
    if arguments:
        yield Fact("arguments", "  ".join(f"{key}={_short(value)}" for key, value in arguments.items()))
    if full.get("reason"):
        yield Fact("agent says", f"“{one_line(str(full['reason']), 300)}”")
    yield from _decision(full)
    yield from _errors(own)
    yield Fact("result", _result(last))
    yield from _undo(last, change)
    for position, record in enumerate(records):
        yield Fact("records" if position == 0 else " ", _place(record), "")


def _richest(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The last record that tells of arguments and decision: settling writes a shorter one."""
    telling = [record for record in records if record.get("decision") or record.get("arguments")] or records
    last: Mapping[str, Any] = telling[-1] if telling else {}
    return last


def _when(full: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    if not full.get("time"):
        return ""
    text = local(str(full["time"]))
    took = last.get("duration_ms")
    return f"{text}, took {took:,.1f} ms" if isinstance(took, int | float) else text


def _who(record: Mapping[str, Any], change: Change | None) -> str:
    principal = record.get("principal") or {}
    agent = principal.get("agent") or (change.agent if change else "")
    client = principal.get("client") or (change.client if change else "")
    user = principal.get("user") or (change.user if change else "")
    session = record.get("session") or (change.session if change else "")
    parts = [f"agent {agent}" if agent else "a person", f"in {client}" if client else ""]
    parts += [f"as {user}" if user else "", f"session {session}" if session else ""]
    return one_line(", ".join(part for part in parts if part), 200)


def _what(record: Mapping[str, Any], change: Change | None) -> Iterator[Fact]:
    actions = record.get("actions") or (change.actions if change else ())
    for position, action in enumerate(actions[:ACTIONS_SHOWN]):
        keys = (action.get("attributes") or {}).get("changed")
        more = f"  (changes {', '.join(map(str, keys))})" if keys else ""
        text = f"{action.get('verb', '')}  {action.get('resource', '')}{more}"
        yield Fact("what" if position == 0 else " ", one_line(text, 400))
    if len(actions) > ACTIONS_SHOWN:
        yield Fact(" ", f"and {len(actions) - ACTIONS_SHOWN} more")


def _decision(record: Mapping[str, Any]) -> Iterator[Fact]:
    decision = record.get("decision")
    if isinstance(decision, Mapping):
        effect = str(decision.get("effect", ""))
        why = f": {decision['reason']}" if decision.get("reason") else ""
        yield Fact("decided", one_line(f"{effect}, risk {decision.get('risk', '')}{why}", 400), effect)
        rules = ", ".join(map(str, decision.get("rules") or ()))
        yield Fact("rules", rules or "none matched, and what no rule allows is denied")
    consent = record.get("consent")
    if isinstance(consent, Mapping):
        at = consent.get("at")
        on = f" at {_clock(at)}" if isinstance(at, int | float) and at else ""
        how = {"terminal": "in a terminal", "client": "through the client's prompt", "grant": "by a grant"}
        channel = str(consent.get("channel", ""))
        text = f"approved by {consent.get('by', '')} {how.get(channel, channel)}{on}"
        yield Fact("consent", one_line(text, 200), "approved")


def _errors(records: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    for record in records:
        error = record.get("error")
        if not isinstance(error, Mapping):
            continue
        if outcome(record) == "asked":
            yield Fact("asked", f"{local(str(record.get('time', '')))}: {one_line(str(error.get('message', '')), 300)}")
            continue
        decision = record.get("decision")
        told = decision.get("rules") or () if isinstance(decision, Mapping) else ()
        rule = f" (rule {error['rule']})" if error.get("rule") and error["rule"] not in told else ""
        why = one_line(f"{error.get('code', '')}: {error.get('message', '')}", 400)
        yield Fact("no because", f"{why}{rule}", "refused")


def outcome(record: Mapping[str, Any]) -> str:
    """The record's stage in a person's word: a call that waits for a person is no refusal to them."""
    error = record.get("error")
    waits = isinstance(error, Mapping) and error.get("code") == "approval_required"
    return "asked" if waits else str(record.get("stage", ""))


def _result(record: Mapping[str, Any]) -> str:
    result = record.get("result")
    if not isinstance(result, Mapping):
        return ""
    parts = [f"{result.get('chars', 0):,} characters to the agent"]
    count = result.get("redactions")
    if count:
        parts.append(f"{count} secret{'' if count == 1 else 's'} redacted")
    if result.get("truncated"):
        parts.append("cut")
    return ", ".join(parts)


def _undo(record: Mapping[str, Any], change: Change | None) -> Iterator[Fact]:
    if change is None:
        return
    if change.undoes:
        yield Fact("undoes", change.undoes)
    kind = f"{change.undo.name.lower()} undo"
    if change.undone_by:
        yield Fact("undone", f"by {change.undone_by} (interlock undo {change.undone_by} does it again)", "undone")
    elif change.status == "done" and change.snapshot in ("expired", "purged"):
        how = "has expired" if change.snapshot == "expired" else "was purged by a person"
        yield Fact("undo", f"not any more: its snapshot {how}", "failed")
    elif change.status == "done" and change.undo is not UndoClass.NONE:
        yield Fact("undo", f"interlock undo {change.id}  ({kind})")
    elif change.status == "done":
        yield Fact("undo", "it cannot be undone", "failed")
    elif change.status == "failed":
        yield Fact("undo", "not needed: the world is as before")
    elif change.status == "unknown":
        settle = f"its resources are blocked until you settle it: interlock audit repair {change.id}"
        settled = f"settled by {change.settled_by}" if change.settled_by else settle
        yield Fact("undo", f"cut off in flight: look at the resources first; {settled}", "unknown")
    yield Fact("stays lost", change.lost)


def _place(record: Mapping[str, Any]) -> str:
    chain = f"{record['chain']}, " if record.get("chain") else ""
    digest = str(record.get("hash", ""))[:12]
    at, stage = local(str(record.get("time", ""))), str(record.get("stage", ""))
    return f"{at}  {stage:<9} {chain}line {record.get('seq', '')}  {digest}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text, 120) or '""'


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def local(stamped: str) -> str:
    """A record's time in the person's own time zone."""
    try:
        at = calendar.timegm(time.strptime(stamped[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return stamped
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
