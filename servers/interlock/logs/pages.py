"""What an agent reads of logs: header facts, rows and cursors in the fewest characters that carry the facts.

Works on redacted text only. Every page says what it covers and how to go on; none is longer than it was allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .blocks import Budget
from .comparing import Finding
from .reading import Read, cursor_text
from .searching import Found, Hit
from .surveying import Survey
from .timestamps import shown_time

LINE: Final = 1_000  # characters shown of one line
OVERVIEW: Final = 6_400  # characters of a summary: at most 2,000 tokens
ROW: Final = 170  # characters of a template in a row


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
    row = f"{row} {short(finding.template.text, ROW)}"
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
        p95 = f"p95 {shown_number(finding.spread[1])} -> {shown_number(finding.spread[0])}"
        return f"{finding.slot}: p50 {shown_number(then)} -> {shown_number(now)} ({factor}), {p95}, {sigma}"
    ratio = finding.window / finding.expected if finding.expected else 0.0
    return f"{finding.window:,} lines, {finding.expected:,.0f} expected (x{ratio:.2g}), {sigma}"


def shown_number(value: float) -> str:
    if abs(value) >= 100_000:
        return f"{value:.3g}"
    return f"{value:.4g}"
