from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.logs.timestamps import TimeReader, given_time, shown_time

MOMENT = datetime(2026, 3, 9, 17, 4, 5, tzinfo=UTC)
AT = MOMENT.timestamp()
REFERENCE = datetime(2026, 12, 31, tzinfo=UTC).timestamp()

LINES = {
    "ISO, Z": ("2026-03-09T17:04:05.250Z api INFO x", 0.25),
    "ISO, offset": ("2026-03-09T19:34:05+02:30 api INFO x", 0),
    "ISO, offset without colon": ("2026-03-09T16:04:05-0100 x", 0),
    "ISO, blank and comma": ("2026-03-09 17:04:05,250 INFO x", 0.25),
    "in brackets": ("[2026-03-09 17:04:05.250000] [warn] x", 0.25),
    "syslog": ("Mar  9 17:04:05 host app[1]: x", 0),
    "syslog of RFC 5424": ("<165>1 2026-03-09T17:04:05.25Z host app 1 ID - x", 0.25),
    "access log": ('10.1.2.3 - - [09/Mar/2026:18:04:05 +0100] "GET / HTTP/1.1" 200 7', 0),
    "Apache error": ("[Mon Mar 09 17:04:05.250000 2026] [core:error] [pid 4] x", 0.25),
    "nginx error": ("2026/03/09 17:04:05 [error] 3#3: *9 x", 0),
    "klog": ("W0309 17:04:05.250000       7 main.go:42] x", 0.25),
    "epoch": (f"{int(AT)} INFO x", 0),
    "epoch, ms": (f"{int(AT)}250 INFO x", 0.25),
    "JSON, ISO": ('{"level":"info","time":"2026-03-09T17:04:05.25Z","msg":"2001-01-01T00:00:00Z"}', 0.25),
    "JSON, epoch": (f'{{"msg":"x","ts":{int(AT)}.25}}', 0.25),
    "logfmt": ('level=warn ts=2026-03-09T17:04:05.25Z msg="x y"', 0.25),
    "logfmt first": ('time="2026-03-09T17:04:05Z" level=warn msg=x', 0),
    "Android": ("03-09 17:04:05.250  170  239 D Tag: x", 0.25),
    "Spark": ("26/03/09 17:04:05 INFO Executor: x", 0),
    "CRI": ("2026-03-09T17:04:05.250000001Z stderr F x", 0.25),
    "compact": ("20260309-17:4:5:250|Step|7|x", 0.25),
}


@pytest.mark.parametrize("name", LINES)
def test_every_common_form_is_read(name: str) -> None:
    line, fraction = LINES[name]
    found = TimeReader(REFERENCE).read(line.encode())
    assert found == pytest.approx(AT + fraction, abs=1e-3)


@pytest.mark.parametrize(
    "line",
    [
        "    at com.example.Foo.bar(Foo.java:12)",
        "Caused by: java.io.IOException: x",
        "",
        "{}",
        '{"msg":"at 12:00"}',
        "user 1234567890abcdef logged in",
        "5 items",
    ],
)
def test_lines_without_a_time_have_none(line: str) -> None:
    assert TimeReader(REFERENCE).read(line.encode()) is None


def test_a_line_without_a_year_lies_before_its_files_last_change() -> None:
    written = datetime(2027, 1, 2, tzinfo=UTC).timestamp()
    found = TimeReader(written).read(b"Dec 31 23:59:59 host app: x")
    assert found is not None
    assert shown_time(found) == "2026-12-31T23:59:59Z"


def test_the_29th_of_february_goes_back_to_a_leap_year() -> None:
    found = TimeReader(datetime(2026, 3, 1, tzinfo=UTC).timestamp()).read(b"Feb 29 10:00:00 host app: x")
    assert found is not None
    assert shown_time(found) == "2024-02-29T10:00:00Z"


@given(st.datetimes(datetime(1971, 1, 1), datetime(2032, 1, 1)), st.integers(-12 * 60, 12 * 60))
def test_iso_with_any_offset_is_read_as_the_library_does(moment: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    text = f"{moment:%Y-%m-%dT%H:%M:%S}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d} x"
    found = TimeReader(REFERENCE).read(text.encode())
    wanted = (moment.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=minutes)).timestamp()
    assert found == pytest.approx(wanted)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_problem(data: bytes) -> None:
    TimeReader(REFERENCE).read(data)


def test_times_that_agents_give() -> None:
    now = AT
    assert given_time("15m", now) == now - 900
    assert given_time("2h ago", now) == now - 7200
    assert given_time("now", now) == now
    assert shown_time(given_time("12:30", now)) == "2026-03-09T12:30:00Z"
    assert shown_time(given_time("23:00", now)) == "2026-03-08T23:00:00Z"
    assert given_time("2026-03-09T17:04:05", now) == AT
    assert given_time(str(int(AT)), now) == AT
    for bad in ("'; touch x", "yesterday-ish", "x" * 100):
        with pytest.raises(ValueError):
            given_time(bad, now)
