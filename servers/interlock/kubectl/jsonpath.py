"""kubectl's JSON paths: keys, places, slices, filters, any depth; and its templates of them, with words and ranges.

Evaluated here, over what was redacted before. Not all of the language: no functions, no unions, no regular expressions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from interlock.guard.errors import Code, Refused

MOST: Final = 1000  # characters of a path or template
_DEEP: Final = re.compile(r"\.\.(?=[A-Za-z*\[])")
_KEY: Final = re.compile(r"\.?((?:[A-Za-z0-9_$]|\\.)(?:[A-Za-z0-9_$@/-]|\\.)*)")
_STAR: Final = re.compile(r"\.?\*|\.?\[\*\]")
_QUOTED: Final = re.compile(r"\.?\[(?:'([^']{1,200})'|\"([^\"]{1,200})\")\]|\.?\"([^\"]{1,200})\"")
_PLACE: Final = re.compile(r"\[(-?\d{1,6})\]")
_SLICE: Final = re.compile(r"\[(-?\d{0,6}):(-?\d{0,6})\]")
_FILTER: Final = re.compile(
    r"\[\?\(\s*@([^=!<>()\s]{0,200})\s*(?:(==|!=|<=|>=|<|>)\s*('[^']{0,200}'|\"[^\"]{0,200}\"|[A-Za-z0-9._-]{1,50})\s*)?\)\]"
)
_WORDS: Final = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": ""}
_DEEPEST: Final = 100
_MOST_VALUES: Final = 100_000
_MOST_TEXT: Final = 8_000_000  # characters of a template that is filled in


@dataclass(frozen=True, slots=True)
class Key:
    """A field; `*` for every one."""

    name: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Items of which something holds: that a path leads somewhere, or to a value like this."""

    steps: tuple[Step, ...]
    compare: str
    value: str


@dataclass(frozen=True, slots=True)
class Deep:
    """Everything at any depth from here."""


Step = Key | Filter | Deep | slice


def parse(path: str) -> tuple[Step, ...]:
    """The steps of one path, in braces or without. Raises Refused (invalid)."""
    if len(path) > MOST:
        raise _unreadable()
    path = path.strip()
    path = path[1:-1].strip() if path.startswith("{") and path.endswith("}") else path
    path = path.removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    at = 0
    while at < len(path):
        if path[at:] == ".":  # the whole
            break
        step, at = _step(path, at)
        steps.append(step)
    return tuple(steps)


def _step(path: str, at: int) -> tuple[Step, int]:
    if match := _DEEP.match(path, at):
        return Deep(), match.end() - (0 if path[match.end() :].startswith("[") else 1)
    if match := _STAR.match(path, at):
        return Key("*"), match.end()
    if match := _QUOTED.match(path, at):
        return Key(next(filter(None, match.groups()))), match.end()
    if match := _PLACE.match(path, at):
        place = int(match[1])
        return slice(place, place + 1 or None), match.end()
    if match := _SLICE.match(path, at):
        return slice(*(int(part) if part.strip("-") else None for part in match.groups())), match.end()
    if match := _FILTER.match(path, at):
        value = match[3] or ""
        return Filter(parse(match[1]), match[2] or "", value.strip("'\"")), match.end()
    if (match := _KEY.match(path, at)) and (at == 0 or path[at] == "." or path[at - 1] in "]."):
        return Key(re.sub(r"\\(.)", r"\1", match[1])), match.end()
    raise _unreadable()


def _unreadable() -> Refused:
    return Refused(
        Code.INVALID,
        "this JSON path cannot be read",
        hint="such as .status.phase, .items[*].metadata.name, ..image or .conditions[?(@.type=='Ready')].status",
    )


def select(value: Any, steps: Sequence[Step]) -> list[Any]:
    """Everything that the path leads to."""
    found = [value]
    for step in steps:
        reached: list[Any] = []
        for one in found:
            reached += _reached(one, step)
            if len(reached) > _MOST_VALUES:
                raise Refused(Code.TOO_LARGE, "this JSON path leads to too much", hint="name the fields on the way")
        found = reached
    return found


def _reached(one: Any, step: Step) -> list[Any]:
    if isinstance(step, Deep):
        return list(_all(one, 0))
    if isinstance(step, slice):
        return one[step] if isinstance(one, list) else []
    items = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
    if isinstance(step, Filter):
        return [item for item in items if _holds(item, step)]
    if step.name == "*":
        return items
    return [one[step.name]] if isinstance(one, dict) and step.name in one else []


def _all(one: Any, depth: int) -> Iterator[Any]:
    yield one
    if depth < _DEEPEST:
        for item in one.values() if isinstance(one, dict) else one if isinstance(one, list) else ():
            if isinstance(item, (dict, list)):
                yield from _all(item, depth + 1)


def _holds(item: Any, asked: Filter) -> bool:
    found = select(item, asked.steps)
    if not asked.compare:
        return bool(found)
    return any(_compares(one, asked.compare, asked.value) for one in found)


def _compares(one: Any, how: str, value: str) -> bool:
    a: Any = one
    b: Any = value
    if isinstance(one, bool) or one is None:
        a = json.dumps(one)
    elif isinstance(one, (int, float)):
        try:
            b = float(value)
        except ValueError:
            return how == "!="
    elif not isinstance(one, str):
        return False
    return bool({"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[how])


# ---------------------------------------------------------------- templates


@dataclass(frozen=True, slots=True)
class Range:
    """What is written once for each thing that a path leads to."""

    steps: tuple[Step, ...]
    body: tuple[Part, ...]


Part = str | tuple[Step, ...] | Range


def template(text: str) -> tuple[Part, ...] | None:
    """`{.metadata.name}{"\\t"}{range ...}...{end}`; None where the text is a single path. Raises Refused (invalid)."""
    if len(text) > MOST:
        raise _unreadable()
    if "{" not in text or (text.startswith("{") and text.find("}") == len(text) - 1 and not text.startswith("{range ")):
        return None
    open_ranges: list[tuple[tuple[Step, ...], list[Part]]] = [((), [])]
    at = 0
    while at < len(text):
        begin = text.find("{", at)
        if begin != at:
            words = text[at : begin if begin >= 0 else len(text)]
            open_ranges[-1][1].append(words)
            at += len(words)
            continue
        end = _end(text, begin)
        inner = text[begin + 1 : end].strip()
        at = end + 1
        if inner == "end":
            if len(open_ranges) == 1:
                raise _unreadable()
            steps, body = open_ranges.pop()
            open_ranges[-1][1].append(Range(steps, tuple(body)))
        elif inner.startswith("range "):
            open_ranges.append((parse(inner.removeprefix("range ")), []))
        elif words_match := _WORDS.fullmatch(inner):
            escaped = words_match[1] or words_match[2] or ""
            open_ranges[-1][1].append(re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), escaped))
        else:
            open_ranges[-1][1].append(parse(inner))
    if len(open_ranges) != 1:
        raise _unreadable()
    return tuple(open_ranges[0][1])


def _end(text: str, begin: int) -> int:
    """Where the braces that open here close; those in quotes do not count."""
    quote = ""
    for at in range(begin + 1, len(text)):
        if quote:
            quote = "" if text[at] == quote and text[at - 1] != "\\" else quote
        elif text[at] in "\"'":
            quote = text[at]
        elif text[at] == "}":
            return at
    raise _unreadable()


def render(value: Any, parts: Sequence[Part]) -> str:
    """The template filled in with what its paths lead to. Raises Refused (too_large)."""
    made: list[str] = []
    length = 0

    def add(text: str) -> None:
        nonlocal length
        made.append(text)
        length += len(text)

    def write(one: Any, parts: Sequence[Part]) -> None:
        for part in parts:
            if len(made) > _MOST_VALUES or length > _MOST_TEXT:
                raise Refused(Code.TOO_LARGE, "this template writes too much", hint="fewer ranges, or a selector")
            if isinstance(part, str):
                add(part)
            elif isinstance(part, Range):
                for item in select(one, part.steps):
                    add("")
                    write(item, part.body)
            else:
                add(words(select(one, part)))

    write(value, parts)
    return "".join(made)


def words(values: Sequence[Any]) -> str:
    """Values as kubectl prints them: texts as they are, the rest as JSON."""
    return " ".join(
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in values
    )


def columns(text: str) -> tuple[list[str], list[tuple[Step, ...]]]:
    """`NAME:.metadata.name,IMAGE:.spec.containers[*].image` as heads and paths. Raises Refused (invalid)."""
    heads, paths = [], []
    for one in re.split(r",(?=[^,:\[\]()]{1,60}:)", text):
        head, colon, path = one.partition(":")
        if not colon or not head:
            raise Refused(Code.INVALID, "these columns cannot be read", hint="such as NAME:.metadata.name,AGE:.spec.x")
        heads.append(head)
        paths.append(parse(path))
    return heads, paths
