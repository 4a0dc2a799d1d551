"""How the command line looks: tables and colour on a terminal, plain text in pipes, JSON on demand.

Whatever comes from the world or from an agent is made visible first. Not for deciding what to show.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.untrusted import one_line, visible

STYLES: Mapping[str, str] = {
    "done": "green",
    "allow": "green",
    "approved": "green",
    "running": "green",
    "pending": "yellow",
    "ask": "yellow",
    "notify": "yellow",
    "permitted": "yellow",
    "unknown": "bold red",
    "failed": "red",
    "refused": "red",
    "deny": "red",
    "declined": "red",
    "halted": "bold red",
    "critical": "bold red",
    "high": "red",
    "undone": "cyan",
    "ok": "green",
    "note": "yellow",
    "wrong": "bold red",
    "acknowledged": "green",
    "NO ANSWER": "bold red",
}


def on_terminal() -> bool:
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """One or more lines, made visible."""
    print(visible(text))


def say_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str, title: str = "") -> None:
    """Rows under column names. In a pipe: tab-separated, with a header line; `empty` where there are none."""
    cells = [[one_line(str(cell), 300) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    if not on_terminal():
        print("\t".join(columns))
        for row in cells:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for column in columns:
        grid.add_column(column, overflow="fold")
    home = f"{Path.home()}/"
    for row in cells:
        grid.add_row(*(Text(cell.replace(home, "~/"), style=STYLES.get(cell, "")) for cell in row))
    Console().print(grid)


def when(seconds: float, now: float | None = None) -> str:
    """A time for people: `14:03:22` today, `2026-11-24 14:03` else. Local time."""
    at = time.localtime(seconds)
    today = time.localtime(now if now is not None else time.time())
    same = (at.tm_year, at.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", at)


def span(seconds: float) -> str:
    """A length of time for people: `40s`, `12m`, `3h`, `2d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"


def many(count: int, thing: str) -> str:
    """`1 snapshot`, `12 snapshots`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
