"""Exact-match edits and unified diffs over redacted text. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from interlock.guard.errors import Code, Refused

from .arguments import MAX_CONTENT, Edit

_COMPARED: Final = 4000  # lines that a diff compares one by one
_CONTEXT: Final = 3


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Each edit in turn on what the ones before it left.

    Raises Refused when one does not fit (conflict, invalid), or would make too much of it (too_large).
    """
    crlf = "\r\n" in text
    for number, edit in enumerate(edits, 1):
        old, new = edit.old, edit.new
        if crlf and "\r" not in old and old not in text:
            old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
        elif crlf and "\r" not in new and "\n" in new:
            new = new.replace("\n", "\r\n")
        if old == new:
            raise Refused(Code.INVALID, f"edit {number} changes nothing: old and new are the same")
        found = text.count(old)
        if not found:
            raise Refused(
                Code.CONFLICT,
                f"edit {number}: its old text is not in the file{_near(text, old)}",
                hint="read the file and give the text exactly as shown, placeholders included",
            )
        if found > 1 and not edit.replace_all:
            raise Refused(
                Code.CONFLICT,
                f"edit {number}: its old text occurs {found} times",
                hint="add lines around it until it is unique, or set replace_all",
            )
        grown = len(text) + found * (len(new) - len(old))
        if grown > MAX_CONTENT:  # before anything of that size is made
            raise Refused(
                Code.TOO_LARGE,
                f"edit {number} would make the file {grown:,} characters long; at most {MAX_CONTENT:,} are written",
                hint="replace less",
            )
        text = text.replace(old, new)
    return text


def _near(text: str, old: str) -> str:
    """A word on why not, where it is easily seen."""
    if "".join(old.split()) and "".join(old.split()) in "".join(text.split()):
        return " (with other spaces or line ends it is)"
    if "\\x" in old or "<U+" in old:
        return " (characters that cannot be seen are shown written out, and cannot be matched that way)"
    return ""


def unified(old: str, new: str, limit: int, *, whole: bool = False) -> str:
    """A unified diff without file names, at most `limit` characters; what is cut is said. "" where they are equal.

    `whole`: for a person who is to approve it. Then no line is shortened, too many to compare are shown one after the
    other, and what does not fit all the same is said before anything else.
    """
    if old == new:
        return ""
    before, after = old.splitlines(), new.splitlines()
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    low = max(0, head - _CONTEXT)
    ends = (min(len(before), len(before) - tail + _CONTEXT), min(len(after), len(after) - tail + _CONTEXT))
    a, b = before[low : ends[0]], after[low : ends[1]]
    if max(len(a), len(b)) > _COMPARED and whole:
        lines = [f"@@ -{low + 1},{len(a)} +{low + 1},{len(b)} @@", *(f"-{x}" for x in a), *(f"+{x}" for x in b)]
        return _fitted(lines, limit)
    if max(len(a), len(b)) > _COMPARED:
        return (
            f"@@ line {low + 1} @@\n{len(before) - head - tail} lines are replaced by {len(after) - head - tail}; "
            "too many to show one by one\n"
        )
    lines = list(difflib.unified_diff(a, b, n=_CONTEXT, lineterm=""))[2:]
    if not lines:
        return "only line ends at the end of lines or of the file change\n"
    if whole:
        return _fitted([_shifted(line, low) if line.startswith("@@") else line for line in lines], limit)
    out: list[str] = []
    used = 0
    for number, line in enumerate(lines):
        line = _shifted(line, low) if line.startswith("@@") else line
        line = line if len(line) <= 2000 else f"{line[:2000]}…"
        used += len(line) + 1
        if used > limit:
            out.append(f"… {len(lines) - number} more lines of the diff are not shown")
            break
        out.append(line)
    return "\n".join(out) + "\n"


def _fitted(lines: Sequence[str], limit: int) -> str:
    """All lines, or as many as fit, with word of the others before them."""
    used = shown = 0
    for line in lines:
        used += len(line) + 1
        if used > limit:
            break
        shown += 1
    said = f"NOT SHOWN: {len(lines) - shown} of the {len(lines)} lines of this diff\n" if shown < len(lines) else ""
    return said + "".join(f"{line}\n" for line in lines[:shown])


def _common(a: list[str], b: list[str]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shifted(header: str, by: int) -> str:
    """A hunk header of a part, with the line numbers of the whole."""
    parts = header.split(" ")
    for i in (1, 2):
        start, comma, count = parts[i][1:].partition(",")
        parts[i] = f"{parts[i][0]}{int(start) + by}{comma}{count}"
    return " ".join(parts)
