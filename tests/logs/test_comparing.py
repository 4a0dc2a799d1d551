"""Six kinds of incident and quiet hours, made here from invented services."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from logs_lines import START, hour
from logs_server import Desk, header

from interlock.logs.statistics import dispersion, is_counter, quantile, rank_shift, rate_change

BEGIN = f"{START + timedelta(minutes=42):%Y-%m-%dT%H:%M:%SZ}"
END = f"{START + timedelta(minutes=60):%Y-%m-%dT%H:%M:%SZ}"
KINDS = ("new_error", "rate_spike", "silence", "latency_shift", "cascade", "crash_loop")


def findings(folder: Path, kind: str, seed: int) -> tuple[list[str], str]:
    made = hour(kind, seed)
    (folder / "app.log").write_text("\n".join(made.lines) + "\n")
    desk = Desk({"app": folder / "app.log"})
    rows = desk.lines("compare_logs", source="app", since=BEGIN, until=END)
    return [row for row in rows if not row.startswith("  ")], made.cause


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_cause_is_among_the_first_three(tmp_path: Path, kind: str, seed: int) -> None:
    rows, cause = findings(tmp_path, kind, seed)
    assert any(cause in row for row in rows[:3]), rows[:6]


@pytest.mark.parametrize("seed", range(10, 22))
def test_a_quiet_hour_raises_nothing(tmp_path: Path, seed: int) -> None:
    rows, _ = findings(tmp_path, "quiet", seed)
    assert len(rows) == 1, rows
    assert rows[0].startswith("nothing differs")


def test_the_first_to_fail_in_a_cascade_comes_first(tmp_path: Path) -> None:
    rows, _ = findings(tmp_path, "cascade", 5)
    assert "write conflict" in rows[0]
    assert "reservation failed" in rows[1]


def test_an_answer_says_what_was_compared(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("\n".join(hour("quiet", 1).lines) + "\n")
    desk = Desk({"app": tmp_path / "app.log"})
    facts = header(desk.text("compare_logs", source="app", since=BEGIN, until=END))
    assert f"window {BEGIN[:16]}" in facts
    assert "baseline 2026-11-04T08:00" in facts
    assert "scanned" in facts


def test_rates_and_shifts_by_numbers_that_are_known() -> None:
    assert abs(rate_change(100, 100)) < 0.1
    assert rate_change(0, 100) < -18
    assert rate_change(400, 100) > 15
    assert rate_change(400, 100, dispersion=9) == pytest.approx(rate_change(400, 100) / 3)
    assert dispersion([10] * 20) == 1
    assert dispersion([0, 0, 0, 100] * 5) > 50
    one = random.Random(1)
    low, high = [one.gauss(10, 2) for _ in range(60)], [one.gauss(20, 2) for _ in range(60)]
    assert rank_shift(high, low) > 8
    assert abs(rank_shift(low, [one.gauss(10, 2) for _ in range(60)])) < 3.5
    assert rank_shift([1.0] * 60, [1.0] * 60) == 0
    assert is_counter([float(n) for n in range(50)])
    assert not is_counter([one.random() for _ in range(50)])
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
