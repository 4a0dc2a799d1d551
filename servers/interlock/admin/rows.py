"""One record as one row: of a listing for people, or of a CSV file for spreadsheets.

Not for telling a call whole (`story`) nor a day (`report`).
"""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from interlock.untrusted import one_line

from .story import outcome
from .terminal import when

if TYPE_CHECKING:
    from interlock.guard.model import Detector

    from .home import Opened

JsonRecord = dict[str, Any]

_PLAIN: Final = frozenset(
    {"seq", "time", "stage", "call", "session", "server", "tool", "consent", "undo_class", "duration_ms", "result"}
    | {"before", "after", "pid", "start", "prev", "hash", "chain", "signature", "saw", "by", "settled"}
    | {"snapshots", "outcome"}
)  # the guard's own words, numbers and digests


COLUMNS: Final = ("time", "id", "agent", "tool", "what", "outcome", "why")
CSV_COLUMNS: Final = (
    "time", "stage", "call", "session", "agent", "user", "client", "server", "tool", "verbs", "resources", "effect",
    "risk", "rules", "consent_by", "consent_channel", "undo_class", "duration_ms", "chars", "redactions", "error_code",
    "error", "reason", "arguments", "chain", "seq", "hash",
)  # fmt: skip


def detector_of(opened: Opened) -> Detector:
    from interlock.redaction import open_detector

    detector: Detector = open_detector(opened.keys.derive("placeholders"), None, opened.path / "cache")
    return detector


def cleaner(opened: Opened) -> Callable[[JsonRecord], JsonRecord]:
    """Redacts a record as it is shown: today's detector may know what the one that wrote it did not."""
    detector = detector_of(opened)

    def clean(record: JsonRecord) -> JsonRecord:
        world = {key: value for key, value in record.items() if value and key not in _PLAIN}
        return {**record, **detector.redact_value(world)[0]} if world else record

    return clean


def of_a_call(record: Mapping[str, Any]) -> bool:
    return record.get("stage") not in ("checkpoint", "opened")


def row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of a listing."""
    principal = record.get("principal") or {}
    actions = record.get("actions") or []
    resources = [str(action.get("resource", "")) for action in actions]
    what = resources[0] if resources else ""
    if len(resources) > 1:
        what += f" (+{len(resources) - 1})"
    return (
        _local(str(record.get("time", ""))),
        str(record.get("call", "")),
        str(principal.get("agent", "")),
        str(record.get("tool", "")),
        what,
        outcome(record),
        why(record),
    )


def why(record: Mapping[str, Any]) -> str:
    """In a few words: the error, else who consented, else the deciding rule."""
    error, consent, decision = record.get("error"), record.get("consent"), record.get("decision")
    if isinstance(error, Mapping):
        return one_line(f"{error.get('code', '')}: {error.get('message', '')}", 100)
    if isinstance(consent, Mapping):
        return f"approved by {consent.get('by', '')}"
    rules = decision.get("rules") if isinstance(decision, Mapping) else None
    return str(rules[0]) if rules else ""


def csv_row(record: Mapping[str, Any]) -> list[str]:
    principal, decision = record.get("principal") or {}, record.get("decision") or {}
    consent, result, error = record.get("consent") or {}, record.get("result") or {}, record.get("error") or {}
    actions = record.get("actions") or []
    values = {
        **record,
        **{key: principal.get(key) for key in ("agent", "user", "client")},
        "verbs": " ".join(str(action.get("verb")) for action in actions),
        "resources": " ".join(str(action.get("resource")) for action in actions),
        "effect": decision.get("effect"),
        "risk": decision.get("risk"),
        "rules": " ".join(map(str, decision.get("rules") or ())),
        "consent_by": consent.get("by"),
        "consent_channel": consent.get("channel"),
        "chars": result.get("chars"),
        "redactions": result.get("redactions"),
        "error_code": error.get("code"),
        "error": error.get("message"),
        "arguments": json.dumps(record.get("arguments") or {}, ensure_ascii=False),
    }
    return [_cell(values.get(column)) for column in CSV_COLUMNS]


def _cell(value: Any) -> str:
    """As text that no spreadsheet takes for a formula."""
    text = "" if value is None else one_line(str(value), 2000)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _local(stamped: str) -> str:
    """A record's time for people, in their own time zone."""

    try:
        return when(calendar.timegm(time.strptime(stamped[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return stamped
