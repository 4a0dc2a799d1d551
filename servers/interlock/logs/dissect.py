"""One line of any kind taken apart: level, service, host and message. The one place that knows all formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .fields import Fields, parse_fields
from .headers import split_header

# What continues the event above it: indented frames, causes, and the like; ours: the usual stack traces.
_CONTINUES: Final = re.compile(
    r"\s|Traceback \(most recent call last\)|Caused by: |\.\.\. \d+ (?:more|common frames)|goroutine \d+ \["
    r"|Suppressed: |During handling of the above|The above exception was|stack backtrace:"
    r"|note: run with|exit status \d+|created by "
)
_RAISED: Final = re.compile(
    r"(?:(?<![\w.$])[A-Za-z_][\w.$]*(?:Error|Exception|Warning|Exit|Interrupt|Failure|Panic)\b"
    r"|panic: |thread '[^']*' panicked|fatal error: )"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line's parts. `start` is where the message begins in the line, or -1 where it was inside fields."""

    message: str
    level: str = ""
    service: str = ""
    host: str = ""
    start: int = 0
    fields: Fields | None = None


def dissect(line: str) -> Line:
    """Take a line apart. Any text is a line; at worst all of it is message."""
    if line[:1] in ("{", "") or "=" in line[:40]:
        fields = parse_fields(line)
        if fields is not None and (fields.message or fields.level or fields.time is not None):
            message, level, service = fields.message, fields.level, fields.service
            if "log" in fields.all and "stream" in fields.all:  # Docker's own file: a line within the line
                inner = dissect(message)
                return Line(inner.message, inner.level, inner.service, inner.host or fields.host, -1, fields)
            if message and not level:
                header = split_header(message)
                message, level = message[header.length :], header.level
                service = service or header.service
            if fields.error and fields.error not in message:
                message = f"{message} error={fields.error}" if message else fields.error
            return Line(message or _names(fields), level, service, fields.host, -1, fields)
    header = split_header(line)
    return Line(line[header.length :], header.level, header.service, header.host, header.length)


def _names(fields: Fields) -> str:
    return " ".join(f"{name}=<*>" for name in sorted(fields.all))[:400]


def continues(line: str) -> bool:
    """Does this line, in a log without times, belong to the event above it?"""
    return _CONTINUES.match(line) is not None


def raises(line: str) -> bool:
    """Does this line name an exception or a panic?"""
    return _RAISED.search(line[:2_000]) is not None
