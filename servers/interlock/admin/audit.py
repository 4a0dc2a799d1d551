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
from typing import TYPE_CHECKING, Any, Final, TextIO

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line, visible

from .home import Opened, open_home, person
from .story import Fact, facts, story
from .terminal import STYLES, on_terminal, say, say_json, table, when

if TYPE_CHECKING:
    from interlock.guard.audit import Query
    from interlock.guard.model import Detector

__all__ = ["add_parser", "story"]

JsonRecord = dict[str, Any]
_PLAIN: Final = frozenset(
    {"seq", "time", "stage", "call", "session", "server", "tool", "consent", "undo_class", "duration_ms", "result"}
    | {"before", "after", "prev", "hash", "chain", "signature", "saw", "by", "settled", "snapshots", "outcome"}
)  # the guard's own words, numbers and digests
_COLUMNS: Final = ("time", "id", "agent", "tool", "what", "outcome", "why")
_CSV: Final = (
    "time", "stage", "call", "session", "agent", "user", "client", "server", "tool", "verbs", "resources", "effect",
    "risk", "rules", "consent_by", "consent_channel", "undo_class", "duration_ms", "chars", "redactions", "error_code",
    "error", "reason", "arguments", "chain", "seq", "hash",
)  # fmt: skip


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
    verify.set_defaults(run=_verify)

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
    repair.set_defaults(run=_repair)


# ---------------------------------------------------------------- reading


def _tail(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    with open_home() as opened:
        clean = _cleaner(opened)
        shown = [clean(record) for record in audit.tail(opened.path, arguments.limit, _of_a_call)]
        if arguments.json:
            _print_lines(shown)
        else:
            table(_COLUMNS, [_row(record) for record in shown], "no records yet")
        if arguments.follow:
            _follow(opened, clean, shown[-1]["time"] if shown else "", arguments.json)
    return 0


def _follow(opened: Opened, clean: Callable[[JsonRecord], JsonRecord], last: str, as_json: bool) -> None:
    from interlock.guard import audit

    seen: set[str] = set()
    while True:
        time.sleep(0.5)
        for record in audit.tail(opened.path, 200, _of_a_call):
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
                say("  ".join(one_line(str(cell), 120) for cell in _row(cleaned)))
            sys.stdout.flush()


def _show(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    with open_home() as opened:
        clean = _cleaner(opened)
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

    from interlock.guard import audit

    with open_home() as opened:
        clean = _cleaner(opened)
        found = deque(audit.search(opened.path, _query(arguments)), maxlen=arguments.limit)
        records = [clean(record) for record in found]
        if arguments.json:
            say_json(records)
        else:
            table(_COLUMNS, [_row(record) for record in records], "no record matches")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    with open_home() as opened, _output(arguments.out) as out:
        clean = _cleaner(opened)
        count = 0
        writer = csv.writer(out) if arguments.format == "csv" else None
        if writer is not None:
            writer.writerow(_CSV)
        for record in audit.read_all(opened.path, arguments.since, arguments.until):
            record = clean(record)
            count += 1
            if writer is None:
                out.write(json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n")
            elif _of_a_call(record):
                writer.writerow(_csv_row(record))
        if arguments.out is not None:
            say(f"{count:,} records written to {arguments.out}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    from .report import Day, day_bounds, to_html, to_markdown

    try:
        since, until, title = day_bounds(arguments.day)
    except ValueError:
        raise Refused(Code.INVALID, "a day is written as YYYY-MM-DD", hint="for example 2026-11-24") from None
    with open_home() as opened:
        clean = _cleaner(opened)
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


# ---------------------------------------------------------------- verifying


def _verify(arguments: argparse.Namespace) -> int:
    from interlock.guard import audit

    with open_home() as opened:
        begun = time.monotonic()
        report = audit.verify(opened.path, opened.state, opened.keys)
        took = time.monotonic() - begun
        if report.findings and not arguments.look:
            audit.mark_damaged(opened.state, report)
        if arguments.json:
            say_json(
                {
                    "ok": report.ok,
                    "chains": report.chains,
                    "records": report.records,
                    "checkpoints": report.checkpoints,
                    "findings": [
                        {"chain": f.chain, "file": f.file, "line": f.line, "kind": f.kind, "message": f.message}
                        for f in report.findings
                    ],
                    "notes": report.notes,
                }
            )
            return 0 if report.ok else 1
        sum_up = (
            f"{report.records:,} records in {_many(report.chains, 'chain')}, "
            f"{_many(report.checkpoints, 'signed checkpoint')}, read in {took:.1f} s"
        )
        for note in report.notes:
            say(f"note: {note}")
        if report.ok:
            _say_styled(f"sound: {sum_up}", "green")
            return 0
        _say_styled(f"damaged: {_many(len(report.findings), 'finding')} in {sum_up}", "bold red")
        for finding in report.findings:
            say(f"  {finding}")
        say("\nNo crash explains this: somebody or something changed the records.")
        say("Keep a copy of the audit folder if it matters. `interlock audit repair` sets the damaged chains aside,")
        say("with your signature; nothing is deleted." + ("" if arguments.look else " Until then nothing runs here."))
    return 1


def _repair(arguments: argparse.Namespace) -> int:
    """Without ids: sets damaged chains aside, deletes nothing. With ids: frees what unknown changes block."""
    from interlock.guard import audit
    from interlock.guard.records import Records

    if arguments.ids:
        return _settle(arguments)
    with open_home() as opened:
        who = person()
        done = audit.repair(opened.path, opened.state, opened.keys, who)
        if done:
            records = Records(opened.path, opened.state, opened.keys, "interlock", _detector(opened))
            repairs = [{"chain": chain, "action": what} for chain, what in done]
            records.append({"stage": "repaired", "by": who.by, "repairs": repairs}, durable=True)
            records.close()
        if arguments.json:
            say_json([{"chain": chain, "action": what} for chain, what in done])
            return 0
        for chain, what in done:
            say(f"{chain}: {what}")
        say(
            f"signed by {who.by} and recorded; the servers go on"
            if done
            else "nothing to repair: the records are sound"
        )
    return 0


def _settle(arguments: argparse.Namespace) -> int:
    from interlock.guard.model import Outcome
    from interlock.guard.records import Records
    from interlock.guard.statements import sign_and_store

    with open_home() as opened:
        for id in arguments.ids:
            change = opened.changes.get(id)
            if change is None or change.status != "unknown":
                state = "no change of that id" if change is None else f"it is {change.status}"
                raise Refused(
                    Code.INVALID,
                    f"{one_line(id, 60)} has no unknown outcome: {state}",
                    hint="interlock status lists what was cut off in flight",
                )
        who = person()
        outcome = Outcome(arguments.outcome or "unknown")
        records = Records(opened.path, opened.state, opened.keys, "interlock", _detector(opened))
        records.append(
            {"stage": "settled", "by": who.by, "settled": arguments.ids, "outcome": outcome.value}, durable=True
        )
        records.close()
        for id in arguments.ids:
            sign_and_store(who, opened.state, "repair", change=id, outcome=outcome.value)
            opened.changes.acknowledge(id, who.by, outcome)
            say(f"{id}: settled as {outcome.value} by {who.by}; its resources are free again")
    return 0


# ---------------------------------------------------------------- how records look


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of a listing."""
    principal = record.get("principal") or {}
    actions = record.get("actions") or []
    resources = [str(action.get("resource", "")) for action in actions]
    what = resources[0] if resources else ""
    if len(resources) > 1:
        what += f" (+{len(resources) - 1})"
    return (
        _local(str(record.get("time", ""))),
        str(record.get("call", "")),
        str(principal.get("agent", "")),
        str(record.get("tool", "")),
        what,
        str(record.get("stage", "")),
        _why(record),
    )


def _why(record: Mapping[str, Any]) -> str:
    """In a few words: the error, else who consented, else the deciding rule."""
    error, consent, decision = record.get("error"), record.get("consent"), record.get("decision")
    if isinstance(error, Mapping):
        return one_line(f"{error.get('code', '')}: {error.get('message', '')}", 100)
    if isinstance(consent, Mapping):
        return f"approved by {consent.get('by', '')}"
    rules = decision.get("rules") if isinstance(decision, Mapping) else None
    return str(rules[0]) if rules else ""


def _csv_row(record: Mapping[str, Any]) -> list[str]:
    principal, decision = record.get("principal") or {}, record.get("decision") or {}
    consent, result, error = record.get("consent") or {}, record.get("result") or {}, record.get("error") or {}
    actions = record.get("actions") or []
    values = {
        **record,
        **{key: principal.get(key) for key in ("agent", "user", "client")},
        "verbs": " ".join(str(action.get("verb")) for action in actions),
        "resources": " ".join(str(action.get("resource")) for action in actions),
        "effect": decision.get("effect"),
        "risk": decision.get("risk"),
        "rules": " ".join(map(str, decision.get("rules") or ())),
        "consent_by": consent.get("by"),
        "consent_channel": consent.get("channel"),
        "chars": result.get("chars"),
        "redactions": result.get("redactions"),
        "error_code": error.get("code"),
        "error": error.get("message"),
        "arguments": json.dumps(record.get("arguments") or {}, ensure_ascii=False),
    }
    return [_cell(values.get(column)) for column in _CSV]


def _cell(value: Any) -> str:
    """As text that no spreadsheet takes for a formula."""
    text = "" if value is None else one_line(str(value), 2000)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


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


def _say_styled(text: str, style: str) -> None:
    if not on_terminal():
        say(text)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(visible(text), style=style), soft_wrap=True)


def _print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        print(json.dumps(record, ensure_ascii=True, separators=(",", ":")))


# ---------------------------------------------------------------- small pieces


def _detector(opened: Opened) -> Detector:
    from interlock.redaction import open_detector

    detector: Detector = open_detector(opened.keys.derive("placeholders"), None, opened.path / "cache")
    return detector


def _cleaner(opened: Opened) -> Callable[[JsonRecord], JsonRecord]:
    """Redacts a record as it is shown: today's detector may know what the one that wrote it did not."""
    detector = _detector(opened)

    def clean(record: JsonRecord) -> JsonRecord:
        world = {key: value for key, value in record.items() if value and key not in _PLAIN}
        return {**record, **detector.redact_value(world)[0]} if world else record

    return clean


def _of_a_call(record: Mapping[str, Any]) -> bool:
    return record.get("stage") not in ("checkpoint", "opened")


def _query(arguments: argparse.Namespace) -> Query:
    from interlock.guard.audit import Query

    names = ("text", "agent", "session", "server", "tool", "stage", "verb", "resource", "since", "until")
    return Query(**{name: getattr(arguments, name) for name in names})


def _between(parser: argparse.ArgumentParser) -> None:
    form = "2026-11-24, 2026-11-24T14:00, or 2h, 3d ago"
    parser.add_argument("--since", type=moment, default="", metavar="WHEN", help=form)
    parser.add_argument("--until", type=moment, default="", metavar="WHEN")


def moment(text: str) -> str:
    """A person's word for a time (local, or `2h` ago) as records hold times. Raises ValueError."""
    from interlock.guard.chains import stamp

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


def _local(stamped: str) -> str:
    """A record's time for people, in their own time zone."""
    import calendar

    try:
        return when(calendar.timegm(time.strptime(stamped[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return stamped


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


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
