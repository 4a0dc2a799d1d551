"""What happened to a chain that does not hold together: which lines were edited, moved, repeated or taken out.

For `verification`, which finds that something is wrong; this reads once more, slowly, and names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import chains

Read = tuple[str, int, chains.Line | None]  # file, line in it, and what it says of its place (None: no record)
Problem = tuple[str, int, str, str]  # file, line, kind, message


def diagnose(chain: str, lines: Sequence[Read], part_gone: bool) -> list[Problem]:
    """Every line that is not what it should be after the one before. `part_gone`: a file between them is missing."""
    there = {line.seq for _, _, line in lines if line is not None}
    met: dict[str, tuple[str, int]] = {}
    found: list[Problem] = []
    seq, prev = 0, chains.genesis(chain)
    for file, number, line in lines:
        kind, message = _judge_line(line, seq, prev, there, met, part_gone)
        if kind:
            found.append((file, number, kind, message))
        if line is None:
            seq, prev = seq + 1, ""  # unknown: the next line cannot be blamed for its link
            continue
        met.setdefault(line.hash, (file, number))
        if kind != "replayed":
            seq, prev = line.seq if line.sound else seq + 1, line.hash
    return found


def _judge_line(
    line: chains.Line | None,
    seq: int,
    prev: str,
    there: set[int],
    met: Mapping[str, tuple[str, int]],
    part_gone: bool,
) -> tuple[str, str]:
    """What is wrong with this line after record `seq` with hash `prev`; empty when nothing is."""
    if line is None:
        return "edited", f"this is no record; record {seq + 1} was expected"
    if not line.sound:
        return "edited", f"the text of record {line.seq} is not what was written"
    if line.seq == seq + 1 and line.prev == prev:
        return "", ""
    if line.hash in met:
        return "replayed", f"the same line as {met[line.hash][0]}:{met[line.hash][1]} (record {line.seq})"
    if line.seq > seq + 1:
        absent = [n for n in range(seq + 1, min(line.seq, seq + 2 + len(there))) if n not in there]
        if not absent:
            return "reordered", f"record {line.seq} stands where {seq + 1} belongs"
        if part_gone:
            return "", ""  # said already: the file is gone
        last = line.seq - 1 if line.seq - 1 not in there else absent[-1]
        return "removed", f"{span(absent[0], last)} {'is' if last == absent[0] else 'are'} gone before this line"
    if line.seq <= seq:
        return "reordered", f"record {line.seq} stands after record {seq}"
    if not prev:
        return "", ""
    return "rewritten", f"record {line.seq} does not link to the line before: one of the two was replaced"


def span(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first}-{last}"
