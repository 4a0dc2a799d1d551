"""A window against a baseline: what is new, gone, more or less frequent, or has other numbers in its slots.

Each finding carries the statistic that says so. Thresholds are set so that a quiet day raises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .dissect import raises
from .merging import merge
from .mining import NO_TEMPLATE, Entry, Template, template_id
from .slots import Slot, number_slots
from .statistics import dispersion, is_counter, quantile, rank_shift, rate_change
from .surveying import Survey

DEVIATIONS: Final = 4.5  # of a rate, before it counts as changed
RATIO: Final = 1.8
SHIFT: Final = 5.0  # deviations of a slot's distribution
SHIFT_RATIO: Final = 1.4
BINS: Final = 14
_SEVERITY: Final = {"F": 3, "E": 2, "W": 1}


@dataclass(slots=True)
class Finding:
    """One change. `kind`: new, gone, more, less, shifted."""

    kind: str
    template: Template
    level: str
    service: str
    window: int
    baseline: int
    expected: float
    deviations: float
    first: float | None = None
    last: float | None = None
    offset: int = 0
    block: int = 0
    example: str = ""
    slot: str = ""
    medians: tuple[float, float] = (0.0, 0.0)
    spread: tuple[float, float] = (0.0, 0.0)
    score: float = 0.0


def compare(window: Survey, baseline: Survey, seconds: tuple[float, float]) -> list[Finding]:
    """Findings, the likeliest cause first. `seconds`: how long window and baseline are."""
    share = seconds[0] / seconds[1] if seconds[1] > 0 else 1.0
    names = merge(sorted({entry.key for survey in (window, baseline) for entry in survey.miner.entries}))
    now, then = _by_template(window, names), _by_template(baseline, names)
    rare = sum(1 for entries in then.values() if sum(e.count for e in entries) == 1)
    novelty = (rare + 1) / (baseline.lines + 1)  # Good-Turing: the chance that a line is of an unseen template
    found: list[Finding] = []
    for key in sorted(now.keys() | then.keys()):
        if key in NO_TEMPLATE:
            continue
        entries, before = now.get(key, []), then.get(key, [])
        finding = _rate(key, entries, before, share, novelty, window, baseline)
        if finding is None and entries and before:
            finding = _shift(key, entries, before, window, baseline)
        if finding is not None:
            found.append(finding)
    for finding in found:
        finding.score = _score(finding)
    found.sort(key=lambda finding: (-finding.score, finding.block, finding.offset))
    return found


def _by_template(survey: Survey, names: dict[str, str]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in survey.miner.entries:
        found.setdefault(names[entry.key], []).append(entry)
    return found


def _rate(
    key: str, entries: list[Entry], before: list[Entry], share: float, novelty: float, window: Survey, baseline: Survey
) -> Finding | None:
    count, past = sum(e.count for e in entries), sum(e.count for e in before)
    expected = past * share
    if past == 0:
        level = _worst(entries)
        surprise = rate_change(count, max(novelty * window.lines * 0.01, 0.01))
        if count < 3 and level not in ("E", "F") and not raises(entries[0].example):
            return None
        return _finding("new", key, entries, [], count, past, expected, surprise, window)
    bins = baseline.bins(before, BINS)
    spread = dispersion(bins)
    deviations = rate_change(count, expected, spread)
    if abs(deviations) < DEVIATIONS:
        return None
    if count == 0:
        return _finding("gone", key, before, before, count, past, expected, deviations, baseline)
    ratio = count / expected if expected else math.inf
    if ratio >= RATIO:
        return _finding("more", key, entries, before, count, past, expected, deviations, window)
    if ratio <= 1 / RATIO:
        return _finding("less", key, entries, before, count, past, expected, deviations, window)
    return None


def _finding(
    kind: str,
    key: str,
    entries: list[Entry],
    before: list[Entry],
    count: int,
    past: int,
    expected: float,
    deviations: float,
    survey: Survey,
) -> Finding:
    main = max(entries, key=lambda e: e.count)
    earliest = min(entries, key=lambda e: (e.blocks[0] if len(e.blocks) else 0, e.first))
    template = Template(template_id(key), main.masked if main.key == key else key, key, count)
    finding = Finding(kind, template, _worst(entries), main.service, count, past, expected, deviations)
    times = [survey.times_of(entry) for entry in entries]
    firsts, lasts = [t[0] for t in times if t[0] is not None], [t[1] for t in times if t[1] is not None]
    finding.first, finding.last = min(firsts, default=None), max(lasts, default=None)
    finding.offset, finding.block = earliest.first, earliest.blocks[0] if len(earliest.blocks) else 0
    finding.example = earliest.example
    return finding


def _shift(key: str, entries: list[Entry], before: list[Entry], window: Survey, baseline: Survey) -> Finding | None:
    """Numbers in a slot that became clearly larger or smaller. Counters and clocks do not count."""
    now = number_slots([line for e in entries for line in window.miner.sampled(e)] if _worth(entries) else [])
    if not now:
        return None
    then = {(s.shape, s.place): s for s in number_slots([line for e in before for line in baseline.miner.sampled(e)])}
    best: tuple[float, Slot, Slot] | None = None
    for slot in now:
        past = then.get((slot.shape, slot.place))
        if past is None or is_counter(past.values) or is_counter(slot.values):
            continue
        deviations = rank_shift(slot.values, past.values)
        medians = quantile(slot.values, 0.5), quantile(past.values, 0.5)
        low, high = sorted((abs(medians[0]) + 1e-9, abs(medians[1]) + 1e-9))
        if abs(deviations) >= SHIFT and high / low >= SHIFT_RATIO and (best is None or abs(deviations) > abs(best[0])):
            best = deviations, slot, past
    if best is None:
        return None
    count, past_count = sum(e.count for e in entries), sum(e.count for e in before)
    finding = _finding("shifted", key, entries, before, count, past_count, 0.0, best[0], window)
    finding.slot = best[1].name
    finding.medians = quantile(best[1].values, 0.5), quantile(best[2].values, 0.5)
    finding.spread = quantile(best[1].values, 0.95), quantile(best[2].values, 0.95)
    return finding


def _worth(entries: Sequence[Entry]) -> bool:
    return sum(len(e.samples) for e in entries) >= 8


def _worst(entries: Sequence[Entry]) -> str:
    return max((e.level for e in entries), key=lambda level: _SEVERITY.get(level, 0), default="")


def _score(finding: Finding) -> float:
    """What a person on call would look at first: new errors, silence, spikes; then what merely changed."""
    severity = _SEVERITY.get(finding.level, 0) + (1 if raises(finding.example) else 0)
    strength = min(4.0, math.log1p(abs(finding.deviations)))
    base = {"new": 4.0, "gone": 5.0, "more": 3.5, "less": 2.5, "shifted": 4.5}[finding.kind]
    return base + 1.6 * severity + strength
