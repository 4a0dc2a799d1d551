"""The values in a template's slots, from sample lines: numbers with their spread, words with their most frequent.

Slots are found by aligning lines of the same shape (equal once digits are gone), so no template is needed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .dissect import dissect

_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_.])-?\d+(?:\.\d+)?(?![A-Za-z]{0,4}[\d_]|\.\d)")
_UNIT: Final = re.compile(r"\s?(ns|us|µs|ms|s|sec|seconds|min|[KMGT]i?B|bytes|%)\b")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place with a number. `name`: what stands before it, and its unit behind."""

    shape: str
    place: int
    name: str
    values: tuple[float, ...]  # in the order of the lines


def number_slots(lines: Sequence[str], least: int = 8) -> list[Slot]:
    """Number places of the messages in these lines that occur at least `least` times."""
    by_shape: dict[str, list[tuple[str, list[re.Match[str]]]]] = defaultdict(list)
    for line in lines:
        message = dissect(line).message
        found = list(_NUMBER.finditer(message))
        if found:
            by_shape[_NUMBER.sub("0", message)].append((message, found))
    slots = []
    for shape, rows in by_shape.items():
        if len(rows) < least:
            continue
        for place in range(len(rows[0][1])):
            message, found = rows[0]
            values = tuple(float(matches[place].group()) for _, matches in rows)
            slots.append(Slot(shape, place, _name(message, found[place]), values))
    return slots


def _name(message: str, match: re.Match[str]) -> str:
    before = message[: match.start()].rstrip(" =:([\"'")
    word = re.search(r"([A-Za-z_][\w./-]*)$", before[-40:])
    unit = _UNIT.match(message, match.end())
    return (
        f"{word.group(1) if word else ''}{' ' if word and unit else ''}{unit.group(1) if unit else ''}".strip()
        or f"#{match.start()}"
    )


def top_words(lines: Sequence[str], count: int = 3) -> list[tuple[int, list[tuple[str, int]]]]:
    """For each word place that varies: its most frequent values. Only lines with as many words as most have."""
    rows = [dissect(line).message.split() for line in lines]
    if not rows:
        return []
    width = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == width]
    found = []
    for place in range(width):
        values = Counter(row[place] for row in rows)
        if len(values) > 1:
            found.append((place, values.most_common(count)))
    return found
