"""Which lines of a text a rewrite left unchanged and unmoved, and what changed around them that says where they go."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from .destinations import WHOLE, destination_lines, enclosing, related, sections

_MOST: Final = 4_000_000  # pairs of lines that a diff may compare; beyond, only what is equal from both ends counts
_NEAR: Final = 40
_MOST_SECTIONS: Final = 200  # that hold secrets; with more of them the file counts as one

_PIPES: Final = re.compile(r"(?:^|\s)(?:\||>>?)\s*\S")
_ELEMENT: Final = re.compile(r"\s*<[^/!?][^>]*>\s*$")
_NAMED: Final = re.compile(r"([A-Za-z_]\w{3,80})[\"']?[ \t]{0,20}[:=][ \t]{0,20}[\"']?$")
_USES: Final = re.compile(r"\$\{?(\w{4,81})\b|%(\w{4,81})%|\{\{?[ \t]{0,4}\$?(\w{4,81})\b|\benv[.\[][\"']?(\w{4,81})\b")


Where = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class Text:
    """One text's lines and what they say; reckoned once."""

    lines: list[str]
    starts: list[int]
    sections: list[str] = field(default_factory=list)
    destinations: list[int] = field(default_factory=list)
    chains: dict[int, tuple[str, ...]] = field(default_factory=dict)
    uses: dict[str, list[str]] = field(default_factory=dict)  # name of a variable -> the lines that use it
    beside: dict[str, list[tuple[Where, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: list[str]) -> Text:
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        return cls(lines, starts[:-1] or [0])

    def read(self, wanted: Sequence[int]) -> None:
        """Find what says where the secrets in the wanted lines go."""
        self.sections = sections(self.lines)
        if len({self.sections[number] for number in wanted}) > _MOST_SECTIONS:
            self.sections = [WHOLE] * len(self.lines)
        self.destinations = destination_lines(self.lines)
        self.chains = enclosing(self.lines, [*wanted, *self.destinations])
        for line in self.lines:
            for match in _USES.finditer(line):
                self.uses.setdefault(match.group(match.lastindex or 1), []).append(line.strip())

    def line_of(self, offset: int) -> int:
        return bisect_right(self.starts, offset) - 1

    def where(self, section: str) -> list[tuple[Where, int]]:
        """The lines that say where a section's secrets go, with what they stand in, in order, and their numbers."""
        if section not in self.beside:
            self.beside[section] = [
                ((self.lines[number].rstrip(), self.chains.get(number, ())), number)
                for number in self.destinations
                if related(self.sections[number], section)
            ]
        return self.beside[section]


@dataclass(slots=True)
class LineMatch:
    old: Text
    new: Text
    same: dict[int, int]  # new line -> old line
    kept: set[int]  # the old lines among them
    differ: dict[str, str] = field(default_factory=dict)  # section -> what in it says where, and has changed

    def read(self, offsets: Sequence[int]) -> None:
        """Prepare `asks` for the secrets at these places of the new text."""
        there = sorted({self.new.line_of(offset) for offset in offsets})
        self.new.read(there)
        self.old.read([self.same[number] for number in there if number in self.same])

    def asks(self, old: int, new: int, offset: int) -> list[str]:
        """Why a person must be asked before the secret at this place goes back: what changed around it."""
        secret = f"the secret in line {new + 1}"
        section = self.old.sections[old]
        if section != self.new.sections[new]:
            return [f"{secret} would stand in another section than before"]
        if self.old.chains.get(old) != self.new.chains.get(new):
            return [f"{secret} would stand below other headings than before"]
        if section not in self.differ:
            before, after = self.old.where(section), self.new.where(section)
            same = [text for text, _ in before] == [text for text, _ in after]
            self.differ[section] = "" if same else _first_difference(before, after)
        if why := self.differ[section]:
            return [f"{why}, for {secret}"]
        name = _NAMED.search(self.new.lines[new][: offset - self.new.starts[new]][-200:])
        if name and self.old.uses.get(name.group(1)) != self.new.uses.get(name.group(1)):
            return [f"what uses {secret} by its name has changed"]
        return self._near(old, new, secret)

    def _near(self, old: int, new: int, secret: str) -> list[str]:
        for text, at, unchanged in ((self.old, old, self.kept), (self.new, new, self.same)):
            for number in range(max(0, at - _NEAR), min(len(text.lines), at + _NEAR + 1)):
                if number in unchanged:
                    continue
                line = text.lines[number]
                if number < at and _ELEMENT.match(line):
                    return [f"line {number + 1} begins an element above {secret}, and was changed"]
                low, high = sorted((number, at))
                if _PIPES.search(line) and all(text.lines[one].strip() for one in range(low, high + 1)):
                    return [f"line {number + 1} sends something on, beside {secret}, and was changed"]
        return []


def _first_difference(before: list[tuple[Where, int]], after: list[tuple[Where, int]]) -> str:
    for (old, _), (new, number) in zip(before, after, strict=False):
        if old != new:
            return f"line {number + 1} has changed, and says where something goes"
    if len(after) > len(before):
        return f"the new line {after[len(before)][1] + 1} says where something goes"
    return f"line {before[len(after)][1] + 1} of the old content, which says where something goes, is no more there"


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
    return LineMatch(Text.of(before), Text.of(after), same, set(same.values()))
