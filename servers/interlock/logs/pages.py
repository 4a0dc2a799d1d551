"""What an agent reads of logs: header facts, rows and cursors in the fewest characters that carry the facts.

Works on redacted text only. Every page says what it covers and how to go on; none is longer than it was allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .blocks import Budget
from .comparing import Finding
from .dissect import dissect, raises
from .mining import NO_TEMPLATE, Entry, Template
from .reading import Read, cursor_text
from .searching import Found, Hit
from .slots import number_slots, top_words
from .statistics import dispersion, quantile, rate_change
from .surveying import Survey, Trace
from .timestamps import shown_time

LINE: Final = 1_000  # characters shown of one line
OVERVIEW: Final = 6_400  # characters of a summary: at most 2,000 tokens
_ROW: Final = 170  # characters of a template in a row
_LEVELS: Final = "FEWID"
_RANK: Final = {"F": 4, "E": 3, "W": 2, "I": 1, "": 1, "D": 0}
BINS: Final = 12
_ID: Final = re.compile(r"[0-9a-f]{6}")


def short(text: str, limit: int = LINE) -> str:
    """A line of at most about `limit` characters: head and tail, and how much is left out. One line stays one."""
    text = text.replace("\n", "\\n")
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit // 4
    return f"{text[:head]} [... {len(text) - head - tail:,} characters ...] {text[-tail:]}"


def facts(budget: Budget, *more: str) -> str:
    """The header line: what was scanned, what stopped early, notes."""
    parts = [*more, f"scanned {budget.scanned:,} bytes" + (f", {budget.lines:,} lines" if budget.lines else "")]
    if budget.stopped:
        parts.append(f"INCOMPLETE: {budget.stopped}")
    if budget.cut_lines:
        parts.append(f"{budget.cut_lines} lines over 64 KiB were cut ({budget.cut_bytes:,} bytes not looked at)")
    parts += budget.notes
    return " | ".join(part for part in parts if part)


def window_text(first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return "no times found"
    same_day = shown_time(first)[:10] == shown_time(last)[:10]
    return f"{shown_time(first)}..{shown_time(last, day=not same_day)}"


# -------------------------------------------------------------------- lines


def read_page(read: Read, budget: Budget, room: int, keep_end: bool) -> tuple[str, str, bool]:
    """Text, header and whether it was cut. `keep_end`: where not all lines fit, the last ones are shown."""
    rows = read.rows
    kept: list[str] = []
    used = 0
    order = reversed(rows) if keep_end else iter(rows)
    for row in order:
        text = short(row.text)
        if used + len(text) + 1 > room and kept:
            break
        kept.append(text)
        used += len(text) + 1
    if keep_end:
        kept.reverse()
    cut = len(kept) < len(rows)
    shown = rows[len(rows) - len(kept) :] if keep_end else rows[: len(kept)]
    older, following = read.older, read.next
    if cut and keep_end and shown:
        older = (shown[0].part.id, shown[0].offset)
    elif cut and shown:
        beyond = rows[len(kept)]
        following = (beyond.part.id, beyond.offset)
    parts = [f"{len(kept)} lines" + (f" of {len(rows)} (the rest does not fit)" if cut else "")]
    files = list(dict.fromkeys(row.part.shown for row in shown))
    if files:
        parts.append(", ".join(files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else ""))
    if read.dropped:
        parts.append(f"{read.dropped:,} further lines were written and not shown")
    if older is not None:
        parts.append(f"older: tail + cursor {cursor_text(older)}")
    if following is not None:
        parts.append(f"newer: cursor {cursor_text(following)}")
    return "\n".join(kept), facts(budget, *parts), cut


def search_page(found: Found, budget: Budget, room: int, what: str) -> tuple[str, str, bool]:
    """Hits in the form of grep: `@cursor line`, context lines indented."""
    out: list[str] = []
    used = shown = 0
    following = found.next
    cut = False
    for number, hit in enumerate(found.hits):
        lines = _hit_lines(hit)
        size = sum(len(line) + 1 for line in lines)
        if used + size > room and out:
            following = (found.hits[number].part.id, found.hits[number].offset)
            cut = True
            break
        out += lines
        used += size
        shown += 1
    parts = [what, f"{shown} shown"]
    if cut or found.more:
        parts.append(f"there are more: cursor {cursor_text(following)}" if following else "there are more")
    elif not budget.stopped:
        parts.append("these are all")
    return "\n".join(out), facts(budget, *parts), cut or found.more


def _hit_lines(hit: Hit) -> list[str]:
    lines = [f"    {short(text)}" for text in hit.above]
    lines.append(f"@{cursor_text((hit.part.id, hit.offset))} {short(hit.text)}")
    lines += [f"    {short(text)}" for text in hit.below]
    if hit.above or hit.below:
        lines.append("--")
    return lines


# -------------------------------------------------------------------- templates


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
    row = f"{' '.join(parts)}{service} {short(template.text, _ROW)}"
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
                f"{name} {_number(quantile(values, share))}"
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


# -------------------------------------------------------------------- comparison


def compare_page(
    findings: Sequence[Finding], window: Survey, baseline: Survey, budget: Budget, limit: int, room: int = OVERVIEW
) -> tuple[str, str, bool]:
    """One row per change, the likeliest cause first."""
    out: list[str] = []
    used = 0
    for finding in findings[:limit]:
        row = _finding_row(finding, window, baseline)
        if used + len(row) + 1 > room and out:
            break
        out.append(row)
        used += len(row) + 1
    if not findings:
        out.append("nothing differs beyond chance: no template is new, gone, or changed in rate or values")
    elif len(out) < len(findings):
        out.append(f"(rest) {len(findings) - len(out)} further changes: raise limit")
    header = facts(
        budget,
        f"window {window_text(window.first, window.last)} {window.lines:,} lines",
        f"baseline {window_text(baseline.first, baseline.last)} {baseline.lines:,} lines",
        f"{len(findings)} changes",
    )
    return "\n".join(out), header, len(out) < len(findings)


def _finding_row(finding: Finding, window: Survey, baseline: Survey) -> str:
    """`KIND level what changed #id service: template`, and an example with its cursor."""
    survey = baseline if finding.kind == "gone" else window
    service = f" {finding.service[:40]}:" if finding.service else ""
    row = f"{finding.kind.upper()} {finding.level or '-'} {_change(finding)} #{finding.template.id}{service}"
    row = f"{row} {short(finding.template.text, _ROW)}"
    if not finding.example:
        return row
    part = survey.blocks[finding.block].part if finding.block < len(survey.blocks) else None
    where = f"@{cursor_text((part.id, part.place(finding.offset, finding.example)))} " if part is not None else ""
    return f"{row}\n  eg {where}{short(finding.example, 200)}"


def _change(finding: Finding) -> str:
    """The numbers that say so."""
    first, last = (shown_time(t, day=False) if t is not None else "?" for t in (finding.first, finding.last))
    sigma = f"{abs(finding.deviations):.0f} sigma"
    if finding.kind == "new":
        return f"{finding.window:,} lines {first}..{last}"
    if finding.kind == "gone":
        return f"0 lines, {finding.expected:,.0f} expected, {sigma}, last seen {last}"
    if finding.kind == "shifted":
        now, then = finding.medians
        factor = f"x{now / then:.2g}" if then else "from 0"
        p95 = f"p95 {_number(finding.spread[1])} -> {_number(finding.spread[0])}"
        return f"{finding.slot}: p50 {_number(then)} -> {_number(now)} ({factor}), {p95}, {sigma}"
    ratio = finding.window / finding.expected if finding.expected else 0.0
    return f"{finding.window:,} lines, {finding.expected:,.0f} expected (x{ratio:.2g}), {sigma}"


def _number(value: float) -> str:
    if abs(value) >= 100_000:
        return f"{value:.3g}"
    return f"{value:.4g}"


def _compact(value: int) -> str:
    if value < 10_000:
        return str(value)
    return f"{value / 1000:.0f}k" if value < 10_000_000 else f"{value / 1e6:.0f}M"


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * 2:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
