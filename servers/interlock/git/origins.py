"""Which commit last changed each line, merges included, within a time limit. Works on raw bytes; shows none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pygit2


def origins(
    commit: pygit2.Commit, path: str, blob: pygit2.Blob, first: int, last: int, deadline: float
) -> tuple[list[tuple[pygit2.Commit, bool]], bool]:
    """For each line of `first`..`last` its commit, and whether that is certain; and whether time ran out.

    Lines are followed from a commit to the parent that has the same file, else through each parent's diff: what a
    parent has too is its own, what none has is the commit's. Renames are not followed.
    """
    import pygit2

    owner: dict[int, tuple[pygit2.Commit, bool]] = {}
    waiting: list[tuple[pygit2.Commit, pygit2.Blob, dict[int, int]]] = [
        (commit, blob, {number: number for number in range(first, last + 1)})
    ]
    steps = 0
    while waiting:
        here, mine, lines = waiting.pop()
        steps += 1
        if steps % 32 == 0 and time.monotonic() > deadline:
            waiting.append((here, mine, lines))
            break
        parents = []
        for parent in here.parents:
            try:
                theirs = parent.tree[path]
            except KeyError:
                continue
            if isinstance(theirs, pygit2.Blob):
                parents.append((parent, theirs))
        same = next((p for p in parents if p[1].id == mine.id), None)
        if same is not None:
            waiting.append((same[0], same[1], lines))
            continue
        for parent, theirs in parents:
            passed = _unchanged(theirs, mine, lines)
            if passed:
                waiting.append((parent, theirs, {passed[n]: lines[n] for n in passed}))
                lines = {n: original for n, original in lines.items() if n not in passed}
            if not lines:
                break
        for original in lines.values():
            owner[original] = (here, True)
    for here, _, lines in waiting:
        for original in lines.values():
            owner[original] = (here, False)
    return [owner.get(number, (commit, False)) for number in range(first, last + 1)], bool(waiting)


def _unchanged(old: pygit2.Blob, new: pygit2.Blob, lines: dict[int, int]) -> dict[int, int]:
    """Of the new side's line numbers in `lines`, those that the old side has too, with their numbers there."""
    import pygit2

    patch = pygit2.Patch.create_from(old, new, context_lines=0)
    shifts: list[tuple[int, int, int]] = []  # changed new lines from, to; shift after them
    shift = 0
    for hunk in patch.hunks:
        start = hunk.new_start + (1 if hunk.new_lines == 0 else 0)
        shift += hunk.old_lines - hunk.new_lines
        shifts.append((start, start + hunk.new_lines, shift))
    found, position, current = {}, 0, 0
    for number in sorted(lines):
        while position < len(shifts) and shifts[position][1] <= number:
            current = shifts[position][2]
            position += 1
        if position < len(shifts) and shifts[position][0] <= number < shifts[position][1]:
            continue
        found[number] = number + current
    return found
