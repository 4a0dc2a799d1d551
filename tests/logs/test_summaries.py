from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs_lines import EVENTS, FORMATS, START, hour, labelled
from logs_server import Desk, body, header

from interlock.guard.errors import Refused
from interlock.guard.overview import guard_tool
from interlock.logs.tools import TOOLS
from interlock.schemas import compact_schema


def test_an_overview_says_what_it_covers_and_counts_add_up(tmp_path: Path) -> None:
    made = labelled(1, 5_000)
    (tmp_path / "app.log").write_text("\n".join(line for line, _ in made) + "\n")
    text = Desk({"app": tmp_path / "app.log"}).text("summarize_logs", source="app")
    assert "5,000 lines" in header(text)
    assert "= 100.0 % of the lines" in header(text)
    counts = [
        int(m.group(1).replace(",", ""))
        for m in re.finditer(r"^[FEWID-] ([\d,]+) ", "\n".join(body(text)), re.MULTILINE)
    ]
    assert sum(counts) == 5_000
    levels = {level: sum(1 for _, n in made if EVENTS[n][0].startswith(level)) for level in "EWI"}
    for level, count in levels.items():
        assert f"{level} {count:,}" in body(text)[0]
    assert any(row.startswith("lines per") for row in body(text))


def test_pages_of_templates_hold_each_once(tmp_path: Path) -> None:
    made = labelled(2, 3_000)
    (tmp_path / "app.log").write_text("\n".join(line for line, _ in made) + "\n")
    desk = Desk({"app": tmp_path / "app.log"})
    ids: list[str] = []
    cursor = 0
    for _ in range(20):
        rows = desk.lines("summarize_logs", source="app", limit=5, cursor=cursor)
        ids += re.findall(r"#([0-9a-f]{6})", "\n".join(rows))
        rest = re.search(r"cursor (\d+)", "\n".join(rows))
        if rest is None:
            break
        cursor = int(rest.group(1))
    assert len(ids) == len(set(ids))
    assert len(ids) >= len(EVENTS)


def test_what_began_within_the_window_and_what_burst_come_first(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("\n".join(hour("crash_loop", 3).lines) + "\n")
    rows = Desk({"app": tmp_path / "app.log"}).lines("summarize_logs", source="app")
    first = next(row for row in rows if row.startswith("F "))
    assert "+new 08:4" in first
    assert rows.index(first) == 2


def test_one_template_in_full(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("\n".join(hour("quiet", 3).lines) + "\n")
    desk = Desk({"app": tmp_path / "app.log"})
    rows = desk.lines("summarize_logs", source="app")
    id = next(re.search(r"#([0-9a-f]{6})", row) for row in rows if "GET <path>" in row and "pool" in row)
    assert id is not None
    text = desk.text("summarize_logs", source="app", template=id.group(1))
    assert "p95" in text
    assert "GET /shop/" in text
    with pytest.raises(Refused, match="no such template"):
        desk.text("summarize_logs", source="app", template="ffffff")


TRACES = """
{0} api ERROR request {1} failed
Traceback (most recent call last):
  File "/app/h.py", line {1}, in handle
    raise ValueError("bad {1}")
ValueError: bad {1}
{0} jvm ERROR Unhandled
java.lang.IllegalStateException: order {1}
\tat a.b.C.d(C.java:{1})
Caused by: java.net.SocketTimeoutException: Read timed out
\tat g.H.i(H.java:1)
{0} web INFO GET /p/{1} 200
"""


def test_stack_traces_are_events_and_grouped(tmp_path: Path) -> None:
    times = [f"{START + timedelta(seconds=n):%Y-%m-%dT%H:%M:%S}.000Z" for n in range(200)]
    (tmp_path / "app.log").write_text(
        "".join(TRACES.format(time, n * 37 % 9000).lstrip() for n, time in enumerate(times))
    )
    rows = Desk({"app": tmp_path / "app.log"}).lines("summarize_logs", source="app")
    text = "\n".join(rows)
    assert "E 400" in rows[0]
    traces = [row for row in rows if re.match(r"  \d+x ", row)]
    assert len(traces) == 2
    assert "ValueError" in text
    assert "SocketTimeoutException" in text


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_fields_are_understood(tmp_path: Path, form: str) -> None:
    (tmp_path / "app.log").write_text("\n".join(line for line, _ in labelled(3, 2_000, form)) + "\n")
    rows = Desk({"app": tmp_path / "app.log"}).lines("summarize_logs", source="app")
    assert "(without one" not in rows[0]
    assert any("mailer: queued message <" in row for row in rows)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.text(max_size=400).map(lambda t: t.replace("\n", " ")), min_size=1, max_size=120),
    st.integers(1_000, 6_000),
)
def test_no_answer_is_longer_than_allowed(tmp_path: Path, lines: list[str], chars: int) -> None:
    text = "\n".join(
        FORMATS["bracketed pid"](START + timedelta(seconds=n), "ERROR", "x", line) for n, line in enumerate(lines)
    )
    (tmp_path / "app.log").write_text(text + "\n", encoding="utf-8", errors="replace")
    desk = Desk({"app": tmp_path / "app.log"}, result_chars=chars)
    for tool, arguments in (
        ("read_log", {"tail": 500}),
        ("search_logs", {"pattern": "ERROR", "limit": 500, "context": 3}),
        ("summarize_logs", {"limit": 500}),
    ):
        answer = desk.text(tool, source="app", **arguments)
        assert len(body_text(answer)) <= chars
        assert answer.count("untrusted-data-") == 2


def body_text(answer: str) -> str:
    return "\n".join(body(answer))


def test_an_overview_is_cheap(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("\n".join(line for line, _ in labelled(1, 20_000)) + "\n")
    text = Desk({"app": tmp_path / "app.log"}).text("summarize_logs", source="app")
    assert len(text) < 6_800
    assert len(text) * 30 < (tmp_path / "app.log").stat().st_size


def test_what_the_model_is_told_of_the_tools_is_short() -> None:
    listed = [
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": compact_schema(tool.arguments),
            "annotations": {"readOnlyHint": not tool.change},
        }
        for tool in (*TOOLS, guard_tool("logs"))
    ]
    assert len(json.dumps({"tools": listed}, separators=(",", ":"))) <= 5_000
    assert all(len(tool.name) <= 32 for tool in TOOLS)
