"""Reads records: all of them merged by time, one call's, the latest, those that match; sets damaged chains aside.

Not for writing them (`records`), judging them (`verify`, re-exported from `verification`) or showing them to people
(`admin.audit`). What is read here was redacted when it was written; whoever shows it makes it visible.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken, Code, Refused

from . import chains
from .verification import Finding, Report, first_record, verify

if TYPE_CHECKING:
    from interlock.guard.keys import Keys, Person
    from interlock.guard.state import State

__all__ = ["Finding", "Query", "Report", "mark_damaged", "read_all", "records_of", "repair", "search", "tail", "verify"]

JsonRecord = dict[str, Any]
_OWN = frozenset(
    {"checkpoint", "opened", "reconciled", "repaired", "settled"}
)  # stages that are the chain's own, not a call's


def read_all(home: Path, since: str = "", until: str = "") -> Iterator[JsonRecord]:
    """Every record of every chain, merged by time; `since` and `until` are times as records hold them (UTC).

    Lines that are no records are left out: `verify` names them. A chain is opened when its time has come and closed
    at its end, so that as many files are open as processes ran at once.
    """
    starts = sorted(_starts(home, since, until), reverse=True)
    heap: list[tuple[str, int, JsonRecord, Iterator[JsonRecord]]] = []
    order = itertools.count()  # between records of the same millisecond; never compares the records themselves
    while heap or starts:
        while starts and (not heap or starts[-1][0] <= heap[0][0]):
            _push(heap, order, _chain(*starts.pop()[1:]))
        if not heap:
            return
        time, _, record, rest = heapq.heappop(heap)
        if until and time >= until:
            return
        if time >= since:
            yield record
        _push(heap, order, rest)


def tail(home: Path, count: int, wanted: Callable[[JsonRecord], bool] = bool) -> list[JsonRecord]:
    """The latest `count` wanted records, oldest first. Reads the ends of the files last written to, nothing else.

    Of each file it looks at twice `count` lines, so that a few that are not wanted do not matter.
    """
    found: list[tuple[str, str, int, JsonRecord]] = []
    parts = sorted(_parts(home), key=lambda part: part[1].stat().st_mtime, reverse=True)
    for chain, path in parts:
        if len(found) >= count and chains.stamp(path.stat().st_mtime + 1) < sorted(found)[-count][0]:
            break
        for line in _last_lines(path, 2 * count + 2):
            record = _parse(line)
            if record is not None and wanted(record):
                record["chain"] = chain
                found.append((str(record.get("time", "")), path.name, int(record.get("seq", 0)), record))
    found.sort(key=lambda item: item[:3])
    return [item[3] for item in found[-count:]]


def records_of(home: Path, call: str) -> list[JsonRecord]:
    """The records of one call (or change, or refusal), in their order; also that its snapshot expired or was settled.

    Searches bytes, so it is quick.
    """
    wanted = json.dumps(call).encode()
    found = []
    for chain, path in _parts(home):
        data = path.read_bytes()
        if wanted not in data:
            continue
        records = (_parse(line) for line in data.splitlines() if wanted in line)
        found += [{**record, "chain": chain} for record in records if record is not None and _is_about(record, call)]
    return sorted(found, key=lambda record: (str(record.get("time", "")), int(record.get("seq", 0))))


def _is_about(record: JsonRecord, call: str) -> bool:
    return (
        record.get("call") == call or call in (record.get("snapshots") or ()) or call in (record.get("settled") or ())
    )


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; empty fields match all. `text` is a pattern (RE2) over the record's text."""

    text: str = ""
    call: str = ""
    agent: str = ""
    session: str = ""
    server: str = ""
    tool: str = ""
    stage: str = ""
    verb: str = ""
    resource: str = ""  # a part of it
    since: str = ""
    until: str = ""

    def matches(self, record: Mapping[str, Any]) -> bool:
        principal = record.get("principal") or {}
        actions = record.get("actions") or ()
        return (
            all(
                not wanted or record.get(key) == wanted
                for key, wanted in (
                    ("call", self.call),
                    ("session", self.session),
                    ("server", self.server),
                    ("tool", self.tool),
                    ("stage", self.stage),
                )
            )
            and (not self.agent or principal.get("agent") == self.agent)
            and (not self.verb or any(action.get("verb") == self.verb for action in actions))
            and (not self.resource or any(self.resource in str(action.get("resource", "")) for action in actions))
        )


def search(home: Path, query: Query, chain_records: bool = False) -> Iterator[JsonRecord]:
    """Records that match, by time. `chain_records`: also checkpoints and the like. Raises Refused (bad pattern)."""
    pattern = None
    if query.text:
        import re2  # type: ignore[import-untyped]

        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = False
        try:
            pattern = re2.compile(query.text, options)
        except re2.error as error:
            raise Refused(Code.INVALID, "this is no pattern (RE2 syntax)", hint="escape it with backslashes") from error
    for record in read_all(home, query.since, query.until):
        if record.get("stage") in _OWN and not chain_records:
            continue
        if query.matches(record) and (pattern is None or pattern.search(json.dumps(record, ensure_ascii=False))):
            yield record


# ---------------------------------------------------------------- damage


def mark_damaged(state: State, report: Report) -> None:
    """Note what `verify` found: from now on nothing runs in this home until `repair`."""
    with state.tx(durable=True) as db:
        db.executemany(
            "UPDATE heads SET status = 'damaged' WHERE chain = ? AND status IN ('open', 'closed')",
            sorted({(finding.chain,) for finding in report.findings}),
        )


def repair(home: Path, state: State, keys: Keys, person: Person) -> list[tuple[str, str]]:
    """Settle what `verify` finds, each chain by one signed statement. Returns (chain, what was done).

    Nothing is deleted: a damaged chain is moved whole to `audit/set-aside/`; one that is sound but unknown to
    `state.db` (a lost state) is taken in again. The caller records it.
    """
    from interlock.guard import statements

    report = verify(home, state, keys)
    by_chain: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_chain.setdefault(finding.chain, []).append(finding)
    with state.tx() as db:  # found damaged once, and whole now: somebody put the file back
        marked = [row[0] for row in db.execute("SELECT chain FROM heads WHERE status = 'damaged'").fetchall()]
    done = []
    for chain in sorted({*by_chain, *marked}):
        findings = by_chain.get(chain, [])
        sound = {finding.kind for finding in findings} <= {"no_head"}
        what = "taken in again: every line is sound" if sound else "set aside"
        said = [str(finding) for finding in findings][:20]
        statement = statements.sign_and_store(person, state, "repair", chain=chain, action=what, findings=said)
        signed = json.dumps({"body": statement.body.decode(), "signature": statement.signature.hex()})
        if sound:
            _take_in(home, state, chain, signed)
        else:
            _set_aside(home, state, chain, signed)
        done.append((chain, what))
    return done


def _take_in(home: Path, state: State, chain: str, statement: str) -> None:
    part = max(
        part for name, part in (chains.parse_name(path.name) or ("", 0) for _, path in _parts(home)) if name == chain
    )
    path = chains.folder_of(home) / chains.part_name(chain, part)
    last = chains.read_line(_last_lines(path, 1)[0])
    assert last is not None  # verify has read it
    now = state.now()
    with state.tx(durable=True) as db:
        db.execute(
            "INSERT OR REPLACE INTO heads (chain, server, pid, start, boot, part, seq, hash, bytes, synced_seq,"
            " synced_hash, synced_bytes, opened, updated, status, statement)"
            " VALUES (?,?,0,0,'',?,?,?,?,?,?,?,?,?,'closed',?)",
            (chain, chain.split("-")[3], part, last.seq, last.hash, path.stat().st_size, last.seq, last.hash,
             path.stat().st_size, now, now, statement),
        )  # fmt: skip


def _set_aside(home: Path, state: State, chain: str, statement: str) -> None:
    """The statement's row first: a crash in between leaves a chain that `repair` moves when it is run again."""
    folder = chains.folder_of(home)
    now = state.now()
    with state.tx(durable=True) as db:
        db.execute(
            "INSERT INTO heads (chain, server, pid, start, boot, part, seq, hash, bytes, synced_seq, synced_hash,"
            " synced_bytes, opened, updated, status, statement)"
            " VALUES (?,'',0,0,'',0,0,'',0,0,'',0,?,?,'set_aside',?)"
            " ON CONFLICT (chain) DO UPDATE SET status = 'set_aside', statement = excluded.statement",
            (chain, now, now, statement),
        )
    aside = folder / "set-aside"
    try:
        aside.mkdir(mode=0o700, exist_ok=True)
        for name, path in _parts(home):
            if name == chain:
                path.rename(aside / path.name)
    except OSError as error:
        raise Broken(f"{chain} cannot be moved to audit/set-aside ({type(error).__name__})") from error


# ---------------------------------------------------------------- small pieces


def _parts(home: Path) -> Iterator[tuple[str, Path]]:
    """Chain and path of every part."""
    folder = chains.folder_of(home)
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = chains.parse_name(entry.name)
            if name is not None and entry.is_file(follow_symlinks=False):
                yield name[0], folder / entry.name


def _starts(home: Path, since: str, until: str) -> Iterator[tuple[str, str, tuple[Path, ...]]]:
    """When each chain begins, its name and its parts; those that end before `since` or begin after `until` left out."""
    parts: dict[str, list[tuple[int, Path]]] = {}
    for chain, path in _parts(home):
        if since and chains.stamp(path.stat().st_mtime + 1) < since:
            continue
        name = chains.parse_name(path.name)
        parts.setdefault(chain, []).append((name[1] if name else 0, path))
    for chain, paths in parts.items():
        ordered = tuple(path for _, path in sorted(paths))
        begins = next((str(record.get("time", "")) for record in first_record(ordered[0])), "")
        if not until or begins < until:
            yield begins, chain, ordered


def _chain(chain: str, paths: Sequence[Path]) -> Iterator[JsonRecord]:
    for path in paths:
        with path.open("rb", buffering=1 << 18) as file:
            for line in file:
                record = _parse(line)
                if record is not None:
                    record["chain"] = chain
                    yield record


def _push(heap: list[Any], order: Iterator[int], rest: Iterator[JsonRecord]) -> None:
    record = next(rest, None)
    if record is not None:
        heapq.heappush(heap, (str(record.get("time", "")), next(order), record, rest))


def _parse(line: bytes) -> JsonRecord | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _last_lines(path: Path, count: int) -> list[bytes]:
    """The last `count` whole lines of a file, oldest first, read from its end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        size, data = min(end, 1 << 16), b""
        while True:
            file.seek(end - size)
            data = file.read(size)
            if size == end or data.count(b"\n") > count:
                break
            size = min(end, size * 4)
    lines = data.split(b"\n")[:-1]
    return lines[-count:] if len(lines) > count or size == end else lines[1:]
