"""Structured log lines: JSON objects and logfmt, as applications, Docker and journald write them.

Finds time, level, service and message under their usual names. Not for plain text lines (that is `headers`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .headers import LEVELS

_TIME: Final = (
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "__REALTIME_TIMESTAMP",
    "date",
    "datetime",
    "t",
    "eventTime",
    "asctime",
    "requestReceivedTimestamp",
)
_LEVEL: Final = (
    "level",
    "severity",
    "lvl",
    "levelname",
    "loglevel",
    "log.level",
    "severity_text",
    "PRIORITY",
    "priority",
)
_MESSAGE: Final = ("msg", "message", "MESSAGE", "log", "event", "text", "body", "short_message")
_SERVICE: Final = (
    "service",
    "service.name",
    "app",
    "component",
    "logger",
    "name",
    "SYSLOG_IDENTIFIER",
    "_SYSTEMD_UNIT",
    "module",
    "container",
    "caller",
)
_HOST: Final = ("host", "hostname", "_HOSTNAME", "pod", "instance", "node")
_ERROR: Final = ("error", "err", "exception", "exc_info", "stack", "stacktrace", "stack_trace", "error.message")
_PAIR: Final = re.compile(r'([A-Za-z_@][\w.@/-]{0,60})=("(?:[^"\\]|\\.){0,8000}"|[^\s"]{0,4000})(?:\s+|$)')
_NUMERIC: Final = {10: "D", 20: "D", 30: "I", 40: "W", 50: "E", 60: "F"}  # pino, bunyan
MAX_JSON: Final = 262_144  # characters; a longer object is treated as text


@dataclass(frozen=True, slots=True)
class Fields:
    """One structured line. `message` and what else tells events apart (`error`); the rest stays in `all`."""

    time: Any = None
    level: str = ""
    service: str = ""
    host: str = ""
    message: str = ""
    error: str = ""
    all: Mapping[str, Any] = field(default_factory=dict)


def parse_fields(line: str) -> Fields | None:
    """The fields of a JSON or logfmt line; None for any other line."""
    if line.startswith("{"):
        if len(line) > MAX_JSON or not line.rstrip().endswith("}"):
            return None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return _of(value) if isinstance(value, dict) else None
    if "=" not in line[:80]:
        return None
    first = _PAIR.match(line)
    if first is None or line.count("=") < 2:
        return None
    pairs: dict[str, Any] = {}
    at = 0
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None:
            return None
        text = pair.group(2)
        pairs[pair.group(1)] = _unquoted(text) if text.startswith('"') else text
        at = pair.end()
    return _of(pairs)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m.group(1), m.group(1)), text[1:-1])


def _of(value: Mapping[str, Any]) -> Fields:
    names = value.keys()
    picked = {what: _first(value, keys) for what, keys in _NAMES.items() if not names.isdisjoint(keys)}
    return Fields(
        time=picked.get("time"),
        level=_level(picked.get("level")),
        service=_text(picked.get("service"))[:80],
        host=_text(picked.get("host"))[:80],
        message=_text(picked.get("message")).rstrip("\n"),
        error=_text(picked.get("error")),
        all=value,
    )


_NAMES: Final = {
    "time": _TIME,
    "level": _LEVEL,
    "service": _SERVICE,
    "host": _HOST,
    "message": _MESSAGE,
    "error": _ERROR,
}


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        found = value.get(name)
        if found not in (None, ""):
            return found
    return None


def _level(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit() and len(value) < 3):
        number = int(value)
        return "FFFEWIID"[number] if number < 8 else _NUMERIC.get(number, "")
    return LEVELS.get(str(value).strip().lower(), "")


def _text(value: Any) -> str:
    """Text of a field. journald gives bytes as a list of numbers where they are no UTF-8 or not printable."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(i, int) and 0 <= i < 256 for i in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        inner = _first(value, ("message", "msg", "type", "kind"))
        if inner is not None:
            return _text(inner)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
