"""`interlock audit tail|show|search|verify|report|export|repair`: what happened, for people.

Everything shown passes the detector once more and is made visible. Not for judging chains (`guard.verification`) nor
for how a day is told (`report`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line, visible

from . import settling
from .home import Opened, open_home
from .rows import COLUMNS, CSV_COLUMNS, cleaner, csv_row, of_a_call, row
from .story import Fact, facts, story
from .terminal import STYLES, on_terminal, say, say_json, table

if TYPE_CHECKING:
    from interlock.guard.audit.reading import Query

__all__ = ["add_parser", "story"]

JsonRecord = dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("audit", help="read, verify and export the records")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    tail = actions.add_parser("tail", help="the latest records")
    tail.add_argument("--limit", "-n", type=_count, default=20, metavar="N")
    tail.add_argument("--follow", "-f", action="store_true", help="go on as records come in")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    tail.set_defaults(run=_tail)

    show = actions.add_parser("show", help="one call whole: what happened, which rule, who approved, how to undo it")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_show)

    search = actions.add_parser("search", help="records that match all that is given, by time")
    search.add_argument("text", nargs="?", default="", metavar="PATTERN", help="RE2, anywhere in the record")
    for name in ("agent", "session", "server", "tool", "stage", "verb", "resource"):
        search.add_argument(f"--{name}", default="")
    _between(search)
    search.add_argument("--limit", type=_count, default=200, metavar="N", help="the latest N (default 200)")
    search.add_argument("--json", action="store_true")
    search.set_defaults(run=_search)

    verify = actions.add_parser("verify", help="is every record there, in its place, and as it was written?")
    verify.add_argument("--look", action="store_true", help="only look: what is found does not stop the servers")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(run=settling.verify_records)

    report = actions.add_parser("report", help="a day in one page")
    report.add_argument("day", nargs="?", default="", metavar="YYYY-MM-DD", help="default: today")
    report.add_argument("--html", action="store_true", help="one self-contained page instead of Markdown")
    report.add_argument("--out", type=Path, metavar="FILE")
    report.set_defaults(run=_report)

    export = actions.add_parser("export", help="all records, merged by time")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    _between(export)
    export.add_argument("--out", type=Path, metavar="FILE")
    export.set_defaults(run=_export)

    repair = actions.add_parser("repair", help="settle damaged records or unknown outcomes, by a signed statement")
    repair.add_argument("ids", nargs="*", metavar="ID", help="changes cut off in flight that you have looked at")
    repair.add_argument("--as", dest="outcome", choices=("done", "failed"), help="what you found: it happened, or not")
    repair.add_argument("--json", action="store_true")
    repair.set_defaults(run=settling.repair)


# ---------------------------------------------------------------- reading


def _tail(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

    with open_home() as opened:
        clean = cleaner(opened)
        shown = [clean(record) for record in audit.tail(opened.path, arguments.limit, of_a_call)]
        if arguments.json:
            _print_lines(shown)
        else:
            table(COLUMNS, [row(record) for record in shown], "no records yet")
        if arguments.follow:
            _follow(opened, clean, shown[-1]["time"] if shown else "", arguments.json)
    return 0


def _follow(opened: Opened, clean: Callable[[JsonRecord], JsonRecord], last: str, as_json: bool) -> None:
    from interlock.guard.audit import reading as audit

    seen: set[str] = set()
    while True:
        time.sleep(0.5)
        for record in audit.tail(opened.path, 200, of_a_call):
            if str(record.get("time", "")) < last or record.get("hash") in seen:
                continue
            if str(record["time"]) == last and not seen:
                continue  # shown already, before following began
            seen.add(str(record.get("hash")))
            last = max(last, str(record["time"]))
            cleaned = clean(record)
            if as_json:
                _print_lines([cleaned])
            else:
                say("  ".join(one_line(str(cell), 120) for cell in row(cleaned)))
            sys.stdout.flush()


def _show(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

    with open_home() as opened:
        clean = cleaner(opened)
        records = [clean(record) for record in audit.records_of(opened.path, arguments.id)]
        change = opened.changes.get(arguments.id)
        if not records and change is None:
            raise Refused(
                Code.INVALID,
                f"no record bears the id {one_line(arguments.id, 60)}",
                hint="interlock audit tail shows the latest; interlock show also finds calls that wait",
            )
        if arguments.json:
            say_json(records)
            return 0
        _print_story(facts(records, change))
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from collections import deque

    from interlock.guard.audit import reading as audit

    with open_home() as opened:
        clean = cleaner(opened)
        found = deque(audit.search(opened.path, _query(arguments)), maxlen=arguments.limit)
        records = [clean(record) for record in found]
        if arguments.json:
            say_json(records)
        else:
            table(COLUMNS, [row(record) for record in records], "no record matches")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

    with open_home() as opened, _output(arguments.out) as out:
        clean = cleaner(opened)
        count = 0
        writer = csv.writer(out) if arguments.format == "csv" else None
        if writer is not None:
            writer.writerow(CSV_COLUMNS)
        for record in audit.read_all(opened.path, arguments.since, arguments.until):
            record = clean(record)
            count += 1
            if writer is None:
                out.write(json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n")
            elif of_a_call(record):
                writer.writerow(csv_row(record))
        if arguments.out is not None:
            say(f"{count:,} records written to {arguments.out}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

    from .report import Day, day_bounds, to_html, to_markdown

    try:
        since, until, title = day_bounds(arguments.day)
    except ValueError:
        raise Refused(Code.INVALID, "a day is written as YYYY-MM-DD", hint="for example 2026-11-24") from None
    with open_home() as opened:
        clean = cleaner(opened)
        day = Day(title)
        for record in audit.read_all(opened.path, since, until):
            day.add(clean(record))
        day.changes_now = {c.id: c for c in opened.changes.list(limit=10_000, since=day.begins(since))}
        text = to_html(day) if arguments.html else to_markdown(day)
        with _output(arguments.out) as out:
            out.write(text)
        if arguments.out is not None:
            say(f"written to {arguments.out}")
    return 0


# ---------------------------------------------------------------- on a terminal


def _print_story(lines: Iterable[Fact]) -> None:
    if not on_terminal():
        for line in lines:
            say(str(line))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        if line.label:
            # Text, never markup: what the world wrote in brackets is no style.
            shown = Text(f"{line.label:<11}", style="dim") + Text(visible(line.text), style=STYLES.get(line.style, ""))
            console.print(shown, soft_wrap=True)
        else:
            console.print(Text(visible(line.text), style=STYLES.get(line.style, line.style)), soft_wrap=True)


def _print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        print(json.dumps(record, ensure_ascii=True, separators=(",", ":")))


# ---------------------------------------------------------------- small pieces


def _query(arguments: argparse.Namespace) -> Query:
    from interlock.guard.audit.reading import Query

    names = ("text", "agent", "session", "server", "tool", "stage", "verb", "resource", "since", "until")
    return Query(**{name: getattr(arguments, name) for name in names})


def _between(parser: argparse.ArgumentParser) -> None:
    form = "2026-11-24, 2026-11-24T14:00, or 2h, 3d ago"
    parser.add_argument("--since", type=moment, default="", metavar="WHEN", help=form)
    parser.add_argument("--until", type=moment, default="", metavar="WHEN")


def moment(text: str) -> str:
    """A person's word for a time (local, or `2h` ago) as records hold times. Raises ValueError."""
    from interlock.guard.audit.chains import stamp

    if not text:
        return ""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if text[-1:] in units and text[:-1].isdigit():
        return stamp(time.time() - int(text[:-1]) * units[text[-1]])
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"):
        try:
            return stamp(time.mktime(time.strptime(text, form)))
        except ValueError:
            continue
    raise ValueError(text)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a new private file. Raises Refused where the file is there already."""
    if path is None:
        yield sys.stdout
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise Refused(Code.INVALID, f"{path} cannot be made ({reason})", hint="name a new file") from error
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        yield file
