"""Lines within lines: Docker's json-file, the container runtimes' CRI files and journald's JSON, as plain log lines.

`TIME STREAM| message` for containers, `TIME host unit[pid] LEVEL message` for the journal; what a runtime cut into
parts is joined again. Not for an application's own JSON: that stays as it is.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Protocol

from .blocks import LINE_CAP
from .fields import parse_fields
from .timestamps import shown_time

_CRI: Final = re.compile(rb"^(\d{4}-\d\d-\d\dT\S{8,32}) (stdout|stderr) ([PF])(?: (.*))?$", re.DOTALL)
_LEVELS: Final = ("EMERG", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")


class Unwrapper(Protocol):
    """Turns whole wrapped lines into whole plain lines; may hold back a message that goes on."""

    def feed(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


def unwrapper(head: bytes) -> Unwrapper | None:
    """By the first lines of a file; None for plain logs."""
    lines = [line for line in head.split(b"\n")[:5] if line.strip()]
    if not lines:
        return None
    if _CRI.match(lines[0]):
        return Cri()
    if lines[0].startswith(b"{"):
        value = _object(lines[0])
        if value is not None and {"log", "stream", "time"} <= value.keys():
            return DockerJson()
        if value is not None and "__REALTIME_TIMESTAMP" in value:
            return Journal()
    return None


class _Joining:
    """Joins the parts of a message, up to LINE_CAP bytes."""

    def __init__(self) -> None:
        self._open: dict[str, list[bytes]] = {}

    def add(self, time: bytes, stream: str, text: bytes, ends: bool) -> bytes | None:
        parts = self._open.setdefault(stream, [time + b" " + stream.encode() + b"| "])
        if sum(map(len, parts)) < LINE_CAP:
            parts.append(text)
        if not ends:
            return None
        del self._open[stream]
        return b"".join(parts).replace(b"\n", b"\\n")

    def flush(self) -> bytes:
        rest = b"\n".join(b"".join(parts) for parts in self._open.values())
        self._open.clear()
        return rest


class Cri(_Joining):
    def feed(self, data: bytes) -> bytes:
        out = []
        for line in data.split(b"\n"):
            match = _CRI.match(line)
            if match is None:
                out.append(line)
                continue
            time, stream, tag, text = match.groups()
            whole = self.add(time, stream.decode(), text or b"", tag == b"F")
            if whole is not None:
                out.append(whole)
        return b"\n".join(out)


class DockerJson(_Joining):
    def feed(self, data: bytes) -> bytes:
        out = []
        for line in data.split(b"\n"):
            value = _object(line)
            if value is None or not isinstance(value.get("log"), str):
                out.append(line)
                continue
            text = value["log"]
            ends = text.endswith("\n")
            encoded = text.removesuffix("\n").encode("utf-8", "replace")
            whole = self.add(str(value.get("time", "")).encode(), str(value.get("stream", "")), encoded, ends)
            if whole is not None:
                out.append(whole)
        return b"\n".join(out)


class Journal:
    """`journalctl -o json`. A message may be text, a list of bytes, or null (too large)."""

    def feed(self, data: bytes) -> bytes:
        return b"\n".join(self._line(line) for line in data.split(b"\n"))

    def flush(self) -> bytes:
        return b""

    @staticmethod
    def _line(line: bytes) -> bytes:
        fields = parse_fields(line.decode("utf-8", "replace"))
        if fields is None:
            return line
        names = fields.all
        try:
            micros = int(names.get("__REALTIME_TIMESTAMP", 0))
            time = f"{shown_time(micros // 1_000_000)[:-1]}.{micros % 1_000_000:06d}Z"
        except (ValueError, TypeError, OverflowError):
            time = "-"
        unit = str(names.get("SYSLOG_IDENTIFIER") or names.get("_SYSTEMD_UNIT") or names.get("_COMM") or "-")
        process = names.get("_PID") or names.get("SYSLOG_PID") or 0
        priority = str(names.get("PRIORITY", "6"))
        level = _LEVELS[int(priority)] if re.fullmatch("[0-7]", priority) else "INFO"  # whoever logs may send anything
        message = fields.message or (
            "(message too large for the journal's output)" if names.get("MESSAGE", "") is None else ""
        )
        text = f"{time} {fields.host or '-'} {unit.replace(' ', '_')}[{process}] {level} {message}"
        return text.replace("\n", "\\n").encode("utf-8", "replace")


def _object(line: bytes) -> dict[str, Any] | None:
    if len(line) > LINE_CAP or not line.startswith(b"{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
