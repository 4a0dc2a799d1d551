"""Which lines of a text a rewrite left unchanged and unmoved, and what changed beside them."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

_MOST: Final = 4_000_000  # pairs of lines that a diff may compare; beyond, only what is equal from both ends counts
_NEAR: Final = 40

DESTINATIONS: Final = (
    r"hosts?|hostname|url|uri|server|servers|endpoints?|addr|address|domain|proxy|image|command|cmd|args|entrypoint|"
    r"registry|repository|repo|target|webhook|remote|machine|destination|upstream|origin|issuer|index|baseurl|broker|brokers|"
    r"exec|run|script|sink|output|forward|redirect|callback|site|node|nodes|cluster|peer|gateway|relay|mailhost|bootstrap"
)
_DESTINATION: Final = re.compile(rf"(?i)(?:^|[^a-z])(?:\w*[_.-])?(?:{DESTINATIONS})[\"']?\s*(?:[:=]|\s)")
_COMMAND: Final = re.compile(r"(?i)https?://|://|\b(?:curl|wget|ssh|scp|nc|docker|kubectl|mysql|psql)\b|[|>]\s*\S")
_HEADER: Final = re.compile(
    r"^\s*(?:\[.*\]|[^#\s][^#]*[:{]|<[^/][^>]*>|(?:machine|host|match|server|location)\b.*)\s*$", re.IGNORECASE
)


@dataclass(slots=True)
class LineMatch:
    old_starts: list[int]
    new_starts: list[int]
    same: dict[int, int]  # new line -> old line
    old: list[str]
    new: list[str]

    def new_line(self, offset: int) -> int:
        return bisect_right(self.new_starts, offset) - 1

    def asks(self, old: int, new: int) -> list[str]:
        """Why a person must be asked before the secret on this line goes back: what changed near it."""
        kept = set(self.same.values())
        for number in range(max(0, old - _NEAR), min(len(self.old), old + _NEAR + 1)):
            if number not in kept and (why := _says_where(self.old, number, old)):
                return [f"line {number + 1} {why}, beside the secret in line {old + 1}, was changed or removed"]
        for number in range(max(0, new - _NEAR), min(len(self.new), new + _NEAR + 1)):
            if number not in self.same and (why := _says_where(self.new, number, new)):
                return [f"the new line {number + 1} {why}, beside the secret in line {new + 1}"]
        return []


def _says_where(lines: list[str], number: int, secret: int) -> str:
    line = lines[number]
    if number < secret and _HEADER.match(line):
        return "begins a section"
    low, high = sorted((number, secret))
    together = all(lines[between].strip() for between in range(low, high + 1))
    if together and (_DESTINATION.search(line) or _COMMAND.search(line)):
        return "says where something goes"
    return ""


def match_lines(old: str, new: str) -> LineMatch:
    """Line by line; a line that moved counts as changed."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    same: dict[int, int] = {}
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        same[head] = head
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        same[len(after) - 1 - tail] = len(before) - 1 - tail
        tail += 1
    left, right = before[head : len(before) - tail], after[head : len(after) - tail]
    if left and right and len(left) * len(right) <= _MOST:
        for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
            for step in range(block.size):
                same[head + block.b + step] = head + block.a + step
    return LineMatch(_starts(before), _starts(after), same, before, after)


def _starts(lines: list[str]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts[:-1] or [0]
