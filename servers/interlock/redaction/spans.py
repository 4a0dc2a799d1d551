"""What was found where. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Found(NamedTuple):
    """One secret in a byte text, before placeholders: offsets in bytes."""

    start: int
    end: int
    kind: str
    open: bool = False  # it reaches the end of what was seen, and may go on
    quote: bool = False  # stands bare where a placeholder needs quotes (a number in JSON)


@dataclass(frozen=True, slots=True)
class Span:
    """One secret in a text: offsets in code points of the original text, and what takes its place."""

    start: int
    end: int
    kind: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class PutBack:
    """A text with its originals in place again. Holds secrets: for writing, never for showing."""

    text: str
    asks: tuple[str, ...] = ()  # why a person must be asked first
    count: int = 0  # placeholders that were put back


def merge(found: list[Found]) -> list[Found]:
    """Sorted, overlapping ones joined. The joined span takes the kind of its longest part."""
    if len(found) < 2:
        return found
    found.sort()
    merged = [found[0]]
    longest = found[0].end - found[0].start
    for one in found[1:]:
        last = merged[-1]
        if one.start >= last.end:
            merged.append(one)
            longest = one.end - one.start
        elif one.end > last.end or one.open:
            wider = one.end - one.start > longest
            longest = max(longest, one.end - one.start)
            merged[-1] = Found(
                last.start, max(last.end, one.end), one.kind if wider else last.kind, last.open or one.open, False
            )
    return merged
