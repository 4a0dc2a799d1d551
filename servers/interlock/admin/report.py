"""A day in one page: what agents did, what a person should look at, what was asked, refused and redacted.

Gathered record by record, so that it is as small in memory as the day's changes. As Markdown, or as one HTML page
that needs nothing else. Not for reading records (`guard.audit`) nor for one call (`story`).
"""

from __future__ import annotations

import calendar
import html
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.audit.chains import stamp
from interlock.untrusted import one_line

from .story import outcome

if TYPE_CHECKING:
    from interlock.guard.undo.changes import Change

ROWS: Final = 40  # rows a table shows at most
_BARS: Final = " ▁▂▃▄▅▆▇█"
_OUTCOMES: Final = frozenset({"done", "failed", "refused", "unknown"})
_BAD: Final = {
    "unknown": "cut off in flight: look at the resource",
    "failed": "did not work and was put back",
}


@dataclass(slots=True)
class Day:
    """What is told of one day. `add` takes its records in order of time."""

    title: str
    calls: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    sessions: set[str] = field(default_factory=set)
    tools: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    redactions: int = 0
    chars: int = 0
    changes: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by id, the latest record of each
    asked: set[str] = field(default_factory=set)
    consents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refusals: dict[tuple[str, str], list[Mapping[str, Any]]] = field(default_factory=dict)
    chain: list[Mapping[str, Any]] = field(default_factory=list)  # reconciled, repaired
    changes_now: Mapping[str, Change] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        stage = str(record.get("stage", ""))
        if stage in ("reconciled", "repaired"):
            self.chain.append(record)
        if stage not in _OUTCOMES or not record.get("call"):
            return
        if outcome(record) == "asked":
            self.asked.add(str(record["call"]))
            return
        self.calls += 1
        self.outcomes[stage] += 1
        self.agents[str((record.get("principal") or {}).get("agent") or "a person")] += 1
        self.sessions.add(str(record.get("session", "")))
        self.tools[str(record.get("tool", ""))] += 1
        self.hours[time.localtime(_seconds(record)).tm_hour] += 1
        result = record.get("result") or {}
        self.redactions += int(result.get("redactions") or 0)
        self.chars += int(result.get("chars") or 0)
        id = str(record["call"])
        if record.get("consent"):
            self.consents[id] = record
        if stage == "refused":
            self.refusals.setdefault(_ground(record), []).append(record)
        elif record.get("undo_class"):
            self.changes[id] = record

    def begins(self, since: str) -> float:
        return float(calendar.timegm(time.strptime(since[:19], "%Y-%m-%dT%H:%M:%S")))

    def status(self, id: str) -> str:
        """What became of a change, seen from now: it may have been undone since."""
        now = self.changes_now.get(id)
        return now.status if now is not None else str(self.changes[id].get("stage", ""))

    @property
    def headline(self) -> str:
        if not self.calls:
            return "No agent made a call."
        who = ", ".join(name for name, _ in self.agents.most_common(4))
        return (
            f"{_many(len(self.agents), 'agent')} ({who}) made {_many(self.calls, 'call')} "
            f"in {_many(len(self.sessions), 'session')}: {_many(len(self.changes), 'change')}, "
            f"{self.outcomes['refused']:,} refused, {len(self.asked):,} asked of people, "
            f"{len(self.consents):,} approved by them, "
            f"{_many(self.redactions, 'secret')} redacted."
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """A heading, then a table or a sentence."""

    heading: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: str = ""
    more: int = 0


def day_bounds(day: str) -> tuple[str, str, str]:
    """Begin and end of a local day as records hold times, and its name for people. Raises ValueError."""
    parsed = time.strptime(day, "%Y-%m-%d") if day else time.localtime()
    begin = time.mktime((parsed.tm_year, parsed.tm_mon, parsed.tm_mday, 0, 0, 0, 0, 0, -1))
    end = time.mktime((parsed.tm_year, parsed.tm_mon, parsed.tm_mday + 1, 0, 0, 0, 0, 0, -1))
    return stamp(begin), stamp(end), time.strftime("%A, %-d %B %Y", time.localtime(begin))


def to_markdown(day: Day) -> str:
    lines = [f"# {day.title}", "", day.headline, ""]
    if day.calls:
        lines += [f"`{_hours(day)}` calls by hour, 0 to 23", ""]
    for part in _parts(day):
        lines += [f"## {part.heading}", ""]
        if part.text:
            lines += [part.text, ""]
        if part.rows:
            lines.append("| " + " | ".join(part.columns) + " |")
            lines.append("|" + " --- |" * len(part.columns))
            lines += ["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in part.rows]
            lines += ["", f"and {part.more} more", ""] if part.more else [""]
    return "\n".join(lines).rstrip() + "\n"


def to_html(day: Day) -> str:
    body = [f"<h1>{html.escape(day.title)}</h1>", f"<p class=lead>{html.escape(day.headline)}</p>"]
    if day.calls:
        body.append(_chart(day))
    for part in _parts(day):
        body.append(f"<h2>{html.escape(part.heading)}</h2>")
        if part.text:
            body.append(f"<p>{html.escape(part.text)}</p>")
        if part.rows:
            head = "".join(f"<th>{html.escape(column)}" for column in part.columns)
            rows = "".join("<tr>" + "".join(_td(cell) for cell in row) for row in part.rows)
            body.append(f"<table><thead><tr>{head}<tbody>{rows}</table>")
            body.append(f"<p class=more>and {part.more} more</p>" if part.more else "")
    return _PAGE.format(title=html.escape(f"Interlock, {day.title}"), body="\n".join(body))


def _parts(day: Day) -> Iterator[_Part]:
    """The sections, those that need a person first; empty ones are left out."""
    look = [
        (_clock(r), id, _tool(r), _what(r), _BAD[day.status(id)])
        for id, r in day.changes.items()
        if day.status(id) in _BAD
    ]
    broken = [r for ground, records in day.refusals.items() if ground[0] == "guard_failure" for r in records]
    look += [(_clock(r), str(r["call"]), _tool(r), _what(r), _message(r)) for r in broken[:ROWS]]
    look += [(_clock(r), "records", "", str(r.get("chain") or ""), _mended(r)) for r in day.chain]
    if look:
        yield _Part("Look at these", ("time", "id", "tool", "what", "why"), look[:ROWS], more=max(0, len(look) - ROWS))
    elif day.calls:
        yield _Part("Look at these", text="Nothing: no change failed, nothing was cut off, the guard never broke.")
    if day.changes:
        changed = [
            (_clock(r), id, _agent(r), _tool(r), _what(r), day.status(id), str(r.get("undo_class", "")))
            for id, r in day.changes.items()
        ]
        columns = ("time", "id", "agent", "tool", "what", "outcome", "undo")
        yield _Part("Changes", columns, changed[-ROWS:], more=max(0, len(changed) - ROWS))
    if day.consents:
        approved = [(_clock(r), id, _tool(r), _what(r), *_consent(r)) for id, r in day.consents.items()]
        headings = ("time", "id", "tool", "what", "approved by", "how")
        yield _Part("Approved by people", headings, approved[-ROWS:], more=max(0, len(approved) - ROWS))
    if day.refusals:
        ordered = sorted(day.refusals.items(), key=lambda item: -len(item[1]))
        refused = [
            (f"{len(records):,}", code, rule, _what(records[-1]), str(records[-1]["call"]))
            for (code, rule), records in ordered
        ]
        grounds = ("times", "code", "rule", "for example", "id")
        yield _Part("Refused", grounds, refused[:ROWS], more=max(0, len(refused) - ROWS))
    if day.tools:
        used = [(tool, f"{count:,}") for tool, count in day.tools.most_common(12)]
        yield _Part("Tools", ("tool", "calls"), used, text=f"{day.chars:,} characters went to agents.")


def _ground(record: Mapping[str, Any]) -> tuple[str, str]:
    """What refusals are grouped by: code and the deciding rule."""
    error, decision = record.get("error") or {}, record.get("decision") or {}
    rules = decision.get("rules") or ()
    code = str(error.get("code", "refused"))
    return code, str(
        error.get("rule") or (rules[0] if rules and code in ("denied", "protected", "out_of_bounds") else "")
    )


def _consent(record: Mapping[str, Any]) -> tuple[str, str]:
    consent = record.get("consent") or {}
    return str(consent.get("by", "")), str(consent.get("channel", ""))


def _mended(record: Mapping[str, Any]) -> str:
    if record.get("stage") == "repaired":
        return f"damaged records were set aside by {record.get('by', 'a person')}"
    parts = [
        (record.get("accepted"), "records of a killed process were taken in"),
        (record.get("torn_bytes"), "bytes of a torn line were set aside"),
        (record.get("lost_in_power_cut"), "records of reads were lost in a power cut"),
    ]
    return "; ".join(f"{count} {what}" for count, what in parts if count) or "mended after a crash"


def _hours(day: Day) -> str:
    most = max(day.hours.values(), default=1)
    return "".join(_BARS[-(-day.hours[hour] * 8 // most)] for hour in range(24))


def _chart(day: Day) -> str:
    most = max(day.hours.values(), default=1)
    bars = "".join(
        f'<i style="height:{max(2, day.hours[hour] * 100 // most)}%" title="{hour}:00, {day.hours[hour]} calls"></i>'
        for hour in range(24)
    )
    axis = "".join(f"<span>{hour}</span>" for hour in (0, 6, 12, 18, 24))
    return f"<div class=hours>{bars}</div><div class=axis>{axis}</div>"


def _td(cell: str) -> str:
    mark = f' class="{cell}"' if cell in ("done", "undone", "failed", "unknown", "guard_failure") else ""
    return f"<td{mark}>{html.escape(cell)}"


def _markdown(cell: str) -> str:
    """No cell ends its row, begins another or becomes a link or an image."""
    for character in ("\\", "|", "[", "]", "<", ">", "*", "`"):
        cell = cell.replace(character, f"\\{character}")
    return cell


def _what(record: Mapping[str, Any]) -> str:
    resources = list(dict.fromkeys(str(action.get("resource", "")) for action in record.get("actions") or ()))
    more = f" (+{len(resources) - 1})" if len(resources) > 1 else ""
    return one_line(resources[0], 90) + more if resources else ""


def _message(record: Mapping[str, Any]) -> str:
    return one_line(str((record.get("error") or {}).get("message", "")), 120)


def _agent(record: Mapping[str, Any]) -> str:
    return one_line(str((record.get("principal") or {}).get("agent") or "a person"), 40)


def _tool(record: Mapping[str, Any]) -> str:
    return one_line(str(record.get("tool", "")), 40)


def _clock(record: Mapping[str, Any]) -> str:
    return time.strftime("%H:%M:%S", time.localtime(_seconds(record)))


def _seconds(record: Mapping[str, Any]) -> float:
    try:
        return float(calendar.timegm(time.strptime(str(record.get("time", ""))[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


_PAGE: Final = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --page: #fff; --bar: #3b6fb6 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ef; --soft: #98a2b3; --line: #313846; --page: #14181f; --bar: #7aa7e0 }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 62rem;
  margin: 3rem auto; padding: 0 1.5rem }}
h1 {{ font-size: 1.7rem; margin: 0 0 .4rem }} h2 {{ font-size: 1.1rem; margin: 2.2rem 0 .5rem }}
.lead {{ font-size: 1.1rem }} .more, .axis {{ color: var(--soft); font-size: .85rem }}
table {{ border-collapse: collapse; width: 100% }}
th {{ text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem }}
th, td {{ padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums }}
.done {{ color: #1a7f4b }} .undone {{ color: #0e7490 }} .failed, .unknown, .guard_failure {{ color: #c43d31 }}
.unknown, .guard_failure {{ font-weight: 600 }}
.hours {{ display: flex; align-items: flex-end; gap: 3px; height: 70px; margin-top: 1.2rem }}
.hours i {{ flex: 1; background: var(--bar); border-radius: 2px 2px 0 0 }}
.axis {{ display: flex; justify-content: space-between }}
@media print {{ body {{ margin: 0; max-width: none }} }}
</style>
{body}
</html>
"""
