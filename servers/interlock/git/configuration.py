"""Reads a git configuration file as data: no includes, no programs, no surprises. Not for writing one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from interlock.guard.errors import Code, Refused

_SECTION: Final = re.compile(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')
_ESCAPED: Final = re.compile(r"\\(.)")
_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*(=?)")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Keys as git spells them (`remote.origin.url`: section and last part in lower case) with all their values."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        """The last value, which is the one that counts."""
        found = self.values.get(key)
        return found[-1] if found else None

    def all(self, key: str) -> tuple[str, ...]:
        return self.values.get(key, ())

    def true(self, key: str) -> bool:
        return (self.get(key) or "false").lower() in ("true", "yes", "on", "1")

    def names(self) -> Iterator[str]:
        return iter(self.values)

    def merged(self, over: Configuration) -> Configuration:
        keys = {*self.values, *over.values}
        return Configuration({key: (*self.all(key), *over.all(key)) for key in keys})


def read_configuration(path: Path, limit: int) -> Configuration:
    """An absent or unreadable file is an empty one. Raises Refused when it is too large or cannot be parsed."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Configuration()
    with os.fdopen(number, "rb") as source:
        try:
            raw = source.read(limit + 1)
        except OSError:
            return Configuration()
    if len(raw) > limit:
        raise Refused(Code.TOO_LARGE, "a git configuration file is too large to be checked")
    return parse(raw.decode("utf-8", "surrogateescape"))


def parse(text: str) -> Configuration:
    """Git's own grammar: continuation lines, quotes, comments. What it would not accept is refused."""
    values: dict[str, tuple[str, ...]] = {}
    section = ""
    lines = iter(text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"))
    for line in lines:
        rest = line.strip(" \t")
        while rest.startswith("["):
            match = _SECTION.match(rest)
            if match is None:
                raise _odd()
            name, sub = match[1].lower(), match[2]
            section = name if sub is None else f"{name}.{_ESCAPED.sub(_unescaped, sub)}"
            rest = rest[match.end() :].strip(" \t")
        if not rest or rest[0] in "#;":
            continue
        match = _KEY.match(rest)
        if match is None or not section:
            raise _odd()
        key = f"{section}.{match[1].lower()}"
        value = _value(rest[match.end() :], lines) if match[2] else "true"
        values[key] = (*values.get(key, ()), value)
    return Configuration(values)


def _unescaped(match: re.Match[str]) -> str:
    return match[1]


def _value(rest: str, lines: Iterator[str]) -> str:
    out: list[str] = []
    kept = 0  # trailing blanks go, unless they were quoted
    quoted = False
    text = rest.lstrip(" \t")
    i = 0
    while True:
        if i >= len(text):
            if quoted:
                raise _odd()
            return "".join(out[:kept])
        c = text[i]
        i += 1
        if c == "\\":
            if i >= len(text):
                text, i = next(lines, ""), 0
                continue
            escaped = {"n": "\n", "t": "\t", "b": "\b", '"': '"', "\\": "\\"}.get(text[i])
            if escaped is None:
                raise _odd()
            out.append(escaped)
            i += 1
            kept = len(out)
        elif c == '"':
            quoted = not quoted
            kept = len(out)
        elif c in "#;" and not quoted:
            return "".join(out[:kept])
        else:
            out.append(c)
            if quoted or c not in " \t":
                kept = len(out)


def _odd() -> Refused:
    return Refused(
        Code.INVALID,
        "the repository's configuration cannot be parsed",
        hint="a person must put `.git/config` right",
    )
