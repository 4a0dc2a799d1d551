"""The overview of a log, and one template in full: what `summarize_logs` answers. Works on redacted text only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .blocks import Budget
from .dissect import dissect, raises
from .mining import NO_TEMPLATE, Entry, Template
from .pages import OVERVIEW, ROW, facts, short, shown_number, window_text
from .reading import cursor_text
from .slots import number_slots, top_words
from .statistics import dispersion, quantile, rate_change
from .surveying import Survey, Trace
from .timestamps import shown_time

_LEVELS: Final = "FEWID"
_RANK: Final = {"F": 4, "E": 3, "W": 2, "I": 1, "": 1, "D": 0}
BINS: Final = 12
_ID: Final = re.compile(r"[0-9a-f]{6}")


@dataclass(slots=True)
class _Ranked:
    template: Template
    entries: list[Entry]
    level: str
    mark: str  # "+new 18:01", "burst 18:05 (120 in 5 min)", or empty
    weight: float


def summary_page(
    survey: Survey, budget: Budget, limit: int, skip: int = 0, room: int = OVERVIEW
) -> tuple[str, str, bool]:
    """The overview: levels, histogram, templates (new and bursting ones and errors first), stack traces."""
    templates = survey.miner.templates()
    ranked = _ranked(survey, templates)
    out = [_level_line(survey)]
    histogram = _histogram(survey)
    if histogram:
        out.append(histogram)
    used = sum(len(line) + 1 for line in out) + 120
    traces = _trace_rows(survey) if not skip else []
    trace_room = min(room // 4, sum(len(row) + 1 for row in traces))
    lines = rows = 0
    for number, item in enumerate(ranked[skip : skip + limit]):
        row = _row(survey, item, examples=number < 12)
        if used + len(row) + 1 > room - trace_room and rows:
            break
        out.append(row)
        used += len(row) + 1
        rows += 1
        lines += item.template.count
    rest = len(ranked) - skip - rows
    left = survey.lines - lines - sum(item.template.count for item in ranked[:skip])
    if rest or left:
        out.append(f"(rest) {rest:,} templates, {left:,} lines" + (f": cursor {skip + rows}" if rest else ""))
    for row in traces:
        if used + len(row) + 1 > room:
            break
        out.append(row)
        used += len(row) + 1
    share = 100.0 * lines / survey.lines if survey.lines else 100.0
    header = facts(
        budget,
        f"{window_text(survey.first, survey.last)}",
        f"{survey.lines:,} lines, {survey.bytes:,} bytes",
        f"{len(ranked):,} templates, {rows} shown = {share:.1f} % of the lines",
        f"{survey.safe.redactions} secrets replaced" if survey.safe.redactions else "",
    )
    return "\n".join(out), header, rest > 0


def _level_line(survey: Survey) -> str:
    counts = survey.levels()
    known = " ".join(f"{level} {counts[level]:,}" for level in _LEVELS if counts[level])
    none = counts[""]
    return f"levels: {known}" + (f" (without one: {none:,})" if none else "")


def _histogram(survey: Survey) -> str:
    if survey.first is None or survey.last is None or survey.last - survey.first < 1:
        return ""
    entries = survey.miner.entries
    every = survey.bins(entries, BINS)
    bad = survey.bins([entry for entry in entries if entry.level in ("E", "F")], BINS)
    width = (survey.last - survey.first) / BINS
    text = f"lines per {_duration(width)}: {' '.join(map(_compact, every))}"
    return text + (f" | E+F: {' '.join(map(_compact, bad))}" if any(bad) else "")


def _ranked(survey: Survey, templates: Sequence[Template]) -> list[_Ranked]:
    entries = survey.miner.entries
    every = survey.bins(entries, BINS)
    found = []
    for template in templates:
        own = [entries[number] for number in template.entries]
        level = max((entry.level for entry in own), key=lambda one: _RANK.get(one, 1))
        mark, strength = ("", 0.0)
        if template.key not in NO_TEMPLATE:
            mark, strength = _mark(survey, own, template.count, every)
        weight = strength + {"F": 40.0, "E": 12.0, "W": 3.0}.get(level, 0.0) * (1.5 if mark else 1.0)
        if level in ("", "I") and own and raises(own[0].example):
            weight += 10.0
        found.append(_Ranked(template, own, level, mark, weight))
    # Errors and news up to a third of what will be shown come first, by weight; then what there is most of.
    urgent = sorted((r for r in found if r.weight >= 10), key=lambda r: (-r.weight, -r.template.count, r.template.key))[
        :14
    ]
    chosen = {id(r) for r in urgent}
    rest = [r for r in found if id(r) not in chosen]
    rest.sort(key=lambda r: (-r.template.count, r.template.key))
    return urgent + rest


def _mark(survey: Survey, entries: list[Entry], count: int, every: list[int]) -> tuple[str, float]:
    """Is this template new within the window, or does it come in a burst?"""
    if survey.first is None or survey.last is None or survey.last <= survey.first or count < 1:
        return "", 0.0
    total = sum(every)
    bins = survey.bins(entries, BINS)
    begun = next((number for number, value in enumerate(bins) if value), 0)
    before = sum(every[:begun]) / total if total else 0.0
    if begun >= 2 and before < 1:
        missing = count * before / (1 - before) if before < 1 else 0.0
        # A rare one may well begin late by chance: errors are news where three lines of it are missing before.
        if missing >= (3 if any(entry.level in ("E", "F") for entry in entries) else 12):
            first = min((t for t in (survey.times_of(entry)[0] for entry in entries) if t is not None), default=None)
            return (f"+new {shown_time(first, day=False)}" if first is not None else "+new"), 14.0
    peak = max(range(BINS), key=lambda number: bins[number])
    expected = count * every[peak] / total if total else 0.0
    others = [value for number, value in enumerate(bins) if number != peak]
    if bins[peak] >= 10 and bins[peak] >= 3 * expected and rate_change(bins[peak], expected, dispersion(others)) >= 6:
        width = (survey.last - survey.first) / BINS
        at = survey.first + peak * width
        return f"burst {shown_time(at, day=False)} ({_compact(bins[peak])} in {_duration(width)})", 9.0
    return "", 0.0


def _row(survey: Survey, item: _Ranked, examples: bool) -> str:
    template = item.template
    share = 100.0 * template.count / survey.lines if survey.lines else 0.0
    if template.key in NO_TEMPLATE:
        return f"- {template.count:,} {share:.2g}% {template.key}"
    main = max(item.entries, key=lambda entry: entry.count)
    service = f" {main.service[:40]}:" if main.service else ""
    parts = [item.level or "-", f"{template.count:,}", f"{share:.2g}%" if share < 99.95 else "100%", f"#{template.id}"]
    if item.mark:
        parts.append(item.mark)
    row = f"{' '.join(parts)}{service} {short(template.text, ROW)}"
    if examples and (item.mark or item.level in ("E", "F")) and main.example and _RANK.get(item.level, 1) >= 1:
        row += f"\n  eg {_cursor(survey, main)} {short(dissect(main.example).message, 160)}"
    return row


def _cursor(survey: Survey, entry: Entry) -> str:
    part = survey.blocks[entry.blocks[0]].part if len(entry.blocks) else survey.blocks[0].part
    return f"@{cursor_text((part.id, part.place(entry.first, entry.example)))}"


def _trace_rows(survey: Survey) -> list[str]:
    rows = []
    if survey.traces:
        events = sum(trace.count for trace in survey.traces)
        rows.append(f"stack traces: {events:,} events, {len(survey.traces)} kinds")
    for trace in survey.traces[:5]:
        rows.append(f"  {trace.count:,}x {_trace_text(trace)}")
    return rows


def _trace_text(trace: Trace) -> str:
    """The first line, what was raised, and the topmost frames."""
    named = [dissect(line).message.strip() for line in trace.lines if raises(line)]
    frames = [line.strip() for line in trace.lines[1:] if re.match(r"\s+(?:at |File |/|\S+\.go:)", line)]
    head = dissect(trace.lines[0]).message if trace.lines else ""
    pieces = [
        short(head, 120),
        *(short(name, 160) for name in named[-1:] if name and name not in head),
        *(short(f, 90) for f in frames[:2]),
    ]
    return " < ".join(dict.fromkeys(piece for piece in pieces if piece))


def template_page(survey: Survey, budget: Budget, id: str, room: int) -> tuple[str, str] | None:
    """One template in full: levels, services, histogram, values in its slots, examples. None where there is none."""
    wanted = id.lower().lstrip("#")
    template = next((t for t in survey.miner.templates() if t.id == wanted), None)
    if template is None or _ID.fullmatch(wanted) is None:
        return None
    entries = [survey.miner.entries[number] for number in template.entries]
    lines = [line for entry in entries for line in survey.miner.sampled(entry)]
    by: dict[str, int] = {}
    for entry in entries:
        name = f"{entry.level or '-'} {entry.service or '-'}"
        by[name] = by.get(name, 0) + entry.count
    out = [
        short(template.text, 400),
        "by level and service: "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(by.items(), key=lambda x: -x[1])[:12]),
    ]
    bins = survey.bins(entries, BINS)
    if any(bins) and survey.first is not None and survey.last is not None:
        out.append(f"lines per {_duration((survey.last - survey.first) / BINS)}: {' '.join(map(_compact, bins))}")
    for slot in number_slots(lines, least=4)[:12]:
        values = slot.values
        if len(set(values)) > 1:
            spread = " ".join(
                f"{name} {shown_number(quantile(values, share))}"
                for name, share in (("min", 0), ("p50", 0.5), ("p95", 0.95), ("max", 1))
            )
            out.append(f"  {slot.name}: {spread} ({len(set(values))} values in {len(values)} sampled lines)")
    for place, values_seen in [(place, seen) for place, seen in top_words(lines) if seen[0][1] > 1][:6]:
        seen = ", ".join(f"{short(word, 60)} {n}" for word, n in values_seen)
        out.append(f"  word {place + 1}: {seen}")
    out += [f"eg {_cursor(survey, entry)} {short(entry.example, 300)}" for entry in entries[:3]]
    known = {entry.example for entry in entries[:3]}
    out += [f"   {short(line, 300)}" for line in lines if line not in known][:3]
    text = "\n".join(out)
    header = facts(
        budget,
        f"template #{template.id}: {template.count:,} of {survey.lines:,} lines",
        window_text(survey.first, survey.last),
    )
    return text[:room], header


def _compact(value: int) -> str:
    if value < 10_000:
        return str(value)
    return f"{value / 1000:.0f}k" if value < 10_000_000 else f"{value / 1e6:.0f}M"


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * 2:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
