"""Reads the time of a log line, in every common form, and times that agents give (`2h`, ISO, epoch).

Seconds since the epoch, UTC. A line without a zone is read as UTC; one without a year gets the year that puts it
last before a reference (the file's own time of change). Not for deciding what belongs to a window (`seeking`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

_MONTHS: Final = {m: i + 1 for i, m in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
_MONTH: Final = rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_HMS: Final = rb"(\d{1,2}):(\d\d):(\d\d)(?:[.,:](\d{1,9}))?"
_KEY: Final = re.compile(
    rb'"(?:ts|time|timestamp|@timestamp|__REALTIME_TIMESTAMP|datetime|date|t|eventTime|asctime|requestReceivedTimestamp)"\s*:\s*"?'
    rb'|(?:^|\s)(?:ts|time|timestamp|t|datetime)="?'
)
HEAD: Final = 96  # bytes from the start within which a time is the line's own
FIELDS: Final = 4_096  # the same for JSON and logfmt

Reader = Callable[["re.Match[bytes]", float], float]


@lru_cache(maxsize=512)
def _day(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def _clock(hour: bytes, minute: bytes, second: bytes, fraction: bytes | None) -> float:
    value = float(int(hour) * 3600 + int(minute) * 60 + int(second))
    return value + int(fraction) / float(10 ** len(fraction)) if fraction else value


def _zone(text: bytes | None) -> int:
    """Seconds east of UTC."""
    if text is None or text[:1] not in (b"+", b"-"):
        return 0
    digits = text[1:].replace(b":", b"")
    value = int(digits[:2]) * 3600 + int(digits[2:4]) * 60
    return value if text[:1] == b"+" else -value


def _in_year(month: int, day: int, clock: float, reference: float) -> float:
    """The last such day and time that is at most a day after the reference."""
    year = datetime.fromtimestamp(reference, UTC).year
    for candidate in (year + 1, year, year - 1, year - 2, year - 3):  # 29 February may need to go back
        try:
            found = _day(candidate, month, day) + clock
        except ValueError:
            continue
        if found <= reference + 86_400:
            return found
    raise ValueError("no such day")


def _iso(m: re.Match[bytes], _: float) -> float:
    y, mo, d, h, mi, s, f, z = m.groups()
    return _day(int(y), int(mo), int(d)) + _clock(h, mi, s, f) - _zone(z)


def _access(m: re.Match[bytes], _: float) -> float:
    d, mo, y, h, mi, s, f, z = m.groups()
    return _day(int(y), _MONTHS[mo], int(d)) + _clock(h, mi, s, f) - _zone(z)


def _ctime(m: re.Match[bytes], _: float) -> float:
    mo, d, h, mi, s, f, y = m.groups()
    return _day(int(y), _MONTHS[mo], int(d)) + _clock(h, mi, s, f)


def _syslog(m: re.Match[bytes], reference: float) -> float:
    mo, d, y, h, mi, s, f = m.groups()
    clock = _clock(h, mi, s, f)
    return _day(int(y), _MONTHS[mo], int(d)) + clock if y else _in_year(_MONTHS[mo], int(d), clock, reference)


def _month_day(m: re.Match[bytes], reference: float) -> float:
    mo, d, h, mi, s, f = m.groups()
    return _in_year(int(mo), int(d), _clock(h, mi, s, f), reference)


def _short_year(m: re.Match[bytes], _: float) -> float:
    y, mo, d, h, mi, s, f = m.groups()
    return _day(2000 + int(y), int(mo), int(d)) + _clock(h, mi, s, f)


def _compact(m: re.Match[bytes], _: float) -> float:
    y, mo, d, h, mi, s, f = m.groups()
    return _day(int(y), int(mo), int(d)) + _clock(h, mi, s, f)


def _hdfs(m: re.Match[bytes], _: float) -> float:
    y, mo, d, h, mi, s = m.groups()
    return _day(2000 + int(y), int(mo), int(d)) + _clock(h, mi, s, None)


def _epoch(m: re.Match[bytes], _: float) -> float:
    whole, fraction = m.group(1), m.group(2)
    value = int(whole) / float(10 ** (len(whole) - 10))
    return value + (float(b"0." + fraction) if fraction else 0.0)


# In the order of trust. Each is searched near the start of a line; the leftmost of the surest form wins.
_ISO = (
    rb"(?<!\d)(\d{4})[-/.](\d\d)[-/.](\d\d)(?:[T _]|-)[ ]?(\d\d)[:.](\d\d)[:.](\d\d)(?:[.,:](\d{1,9}))?"
    rb"[ ]?(Z|[+-]\d\d:?\d\d(?!\d))?"
)
_ACCESS = rb"(?<!\d)(\d{1,2})[/-]" + _MONTH + rb"[/-](\d{4})[: ]" + _HMS + rb"(?: ?([+-]\d{2}:?\d{2}))?"
_CTIME = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? " + _MONTH + rb" +(\d{1,2}) " + _HMS + rb"(?: [A-Z]{3,4})? (\d{4})"
_FORMS: Final[tuple[tuple[re.Pattern[bytes], Reader], ...]] = (
    (re.compile(_ISO), _iso),
    (re.compile(_ACCESS), _access),
    (re.compile(_CTIME), _ctime),
    (re.compile(rb"(?<![A-Za-z])" + _MONTH + rb" +(\d{1,2}) +(?:(\d{4}) +)?" + _HMS), _syslog),
    (re.compile(rb"(?<![A-Za-z\d])[IWEF](\d\d)(\d\d) " + _HMS), _month_day),
    (re.compile(rb"(?<!\d)(\d{4})(\d\d)(\d\d)[T-](\d{1,2}):?(\d{1,2}):?(\d{1,2})(?:[:.,](\d{1,9}))?"), _compact),
    (re.compile(rb"^[\[(]?(\d\d)[/.](\d\d)[/.](\d\d) " + _HMS), _short_year),
    (re.compile(rb"^[\[(]?(\d\d)[-.](\d\d) " + _HMS), _month_day),
    (re.compile(rb"^(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d) "), _hdfs),
    (re.compile(rb'(?:^|(?<=[\[( "=:]))([12]\d{9}(?:\d{3}|\d{6}|\d{9})?)(?:\.(\d{1,9}))?(?![\w.])'), _epoch),
)


class TimeReader:
    """Reads times of one source's lines; remembers which form they have. Cheap to make."""

    def __init__(self, reference: float) -> None:
        """`reference`: seconds; lines without a year lie before it (plus a day)."""
        self._reference = reference
        self._last = 0

    def read(self, line: bytes) -> float | None:
        """The time at the start of a line, or in the usual field of a structured one; None where there is none."""
        head = line[:HEAD]
        if head[:1] == b"{" or b"=" in head[:24]:
            key = _KEY.search(line[:FIELDS])
            if key is not None:
                return self._parse(line[key.end() : key.end() + 48])
            if head[:1] == b"{":
                return None
        return self._parse(head)

    def _parse(self, head: bytes) -> float | None:
        if head[:1] in b" \t" and head.lstrip()[:1].isalpha():
            return None  # an indented frame
        order = range(len(_FORMS))
        for at in (self._last, *order):
            pattern, read = _FORMS[at]
            found = pattern.search(head)
            if found is None:
                continue
            if read is _epoch and found.start(1) > 24:
                continue
            try:
                value: float = read(found, self._reference)
            except (ValueError, OverflowError):
                continue
            if at != self._last and read is not _epoch:
                self._last = at
            return value
        return None


_AGO: Final = re.compile(r"-?(\d{1,7})\s*(s|sec|m|min|h|hours?|d|days?|w)(?: ago)?$")
_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def given_time(text: str, now: float) -> float:
    """A time that a caller gave: ISO 8601, `15m` or `2h ago`, `09:30` (last one before now), epoch,
    or a log's own form. Raises ValueError.
    """
    text = text.strip()
    if len(text) > 64:
        raise ValueError("too long for a time")
    if text.lower() in ("now", ""):
        return now
    ago = _AGO.match(text.lower())
    if ago is not None:
        return now - int(ago.group(1)) * _UNIT[ago.group(2)[0]]
    clock = re.fullmatch(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", text)
    if clock is not None:
        day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        hour, minute, second = (int(part or 0) for part in clock.groups()[:3])
        value = day + hour * 3600 + minute * 60 + second
        return value if value <= now else value - 86_400
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        found = TimeReader(now).read(text.encode("utf-8", "replace"))
        if found is None:
            raise ValueError("not a time: use 2026-01-31T12:00:00Z, 15m or 2h (ago), or 12:30") from None
        return found
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def shown_time(value: float, *, day: bool = True) -> str:
    """UTC, for people and models: `2026-11-04T08:00:00Z`, or `08:00:00` without the day."""
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=value)  # noqa: UP017
    text = moment.strftime("%Y-%m-%dT%H:%M:%S" if day else "%H:%M:%S")
    return text + ("Z" if day else "")
