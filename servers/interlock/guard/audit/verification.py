"""Judges whole chains: is every record there, in its place, and as it was written?

Every line is hashed and linked (`chains`); every checkpoint's signature is checked with the servers' key; the end is
compared with the chain's head in `state.db`, and with what other chains saw of it when they began (their first
record). So an edit, a cut tail, a reordering, a replayed line, a cut back to an earlier checkpoint and a removed file
are each found and named. Who holds the account and the keys can rewrite all of these: only an anchor elsewhere tells.

The fast path only hashes and compares bytes; a chain that fails it is read again, slowly, to say what happened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Broken

from . import chains
from .diagnosis import diagnose, span

if TYPE_CHECKING:
    from interlock.guard.keys import Keys
    from interlock.guard.state import State

SHOWN_PER_CHAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that no crash explains. `line` counts from 1 in `file`; 0 means the file or chain as a whole.

    `kind`: edited | removed | reordered | replayed | rewritten | cut | missing_file | missing_chain | no_head |
    forged (a checkpoint) | unread.
    """

    chain: str
    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file or self.chain
        return f"{where}: {self.kind.replace('_', ' ')}: {self.message}"


@dataclass(slots=True)
class Report:
    """What `verify` found. `notes` are facts without blame (torn lines, chains that a person set aside)."""

    chains: int = 0
    records: int = 0
    checkpoints: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Known:
    """A row of `heads`."""

    head: chains.Head
    status: str
    by: str  # who signed for setting it aside


class _Break(Exception):
    """The fast path met a line that is not what it should be."""


def verify(home: Path, state: State, keys: Keys) -> Report:
    """Read every chain of this home. Changes nothing. Raises Broken when the folder cannot be read."""
    report = Report()
    known = _heads(state, keys)  # before the files: a running server may append meanwhile, never take away
    try:
        files = _files(home, report)
        seen = _seen(home, files)
        for chain in sorted({*files, *known, *seen}):
            _Chain(home, chain, keys, report, known.get(chain), files.get(chain, []), seen.get(chain, {})).judge()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "unreadable"
        raise Broken(f"the audit folder cannot be read ({reason})", hint=f"look at {home / 'audit'}") from error
    return report


class _Chain:
    """The judging of one chain."""

    def __init__(
        self,
        home: Path,
        chain: str,
        keys: Keys,
        report: Report,
        known: _Known | None,
        parts: list[int],
        seen: Mapping[int, str],
    ) -> None:
        self.folder = chains.folder_of(home)
        self.chain = chain
        self.keys = keys
        self.report = report
        self.known = known
        self.parts = sorted(parts)
        self.wanted = dict(seen)  # seq -> hash, from heads and other chains
        self.met: dict[int, bytes] = {}
        self.last = chains.Head(chain, hash=chains.genesis(chain))
        self.end_gone = False
        self.lines = 0  # in the last part

    def judge(self) -> None:
        known = self.known
        if known is not None and known.status == "set_aside":
            if known.by:
                self.report.notes.append(f"{self.chain} was set aside by {known.by} (audit/set-aside)")
            else:
                self._find("", 0, "forged", "it was set aside, and no person signed for that")
            return
        if not self.parts and (known is None or known.head.seq > 0):
            self._find("", 0, "missing_chain" if known is None else "missing_file", "its records are gone")
            return
        if not self.parts:
            return  # begun, and killed before its first record
        self.report.chains += 1
        if known is not None and known.head.bytes and known.head.part > self.parts[-1]:
            name = chains.part_name(self.chain, known.head.part)
            self._find(name, 0, "missing_file", f"the end of the chain is gone, up to record {known.head.seq}")
            known = self.known = None
            self.end_gone = True
        if known is not None and known.head.seq:
            self.wanted[known.head.seq] = known.head.hash
        try:
            for part in range(self.parts[-1] + 1):
                if part not in self.parts:
                    raise _Break
                self._walk(part)
        except _Break:
            self._diagnose()
            return
        self._judge_end()

    def _walk(self, part: int) -> None:
        """The fast path: about two microseconds a line."""
        sha256, wanted, head = hashlib.sha256, self.wanted, self.last
        seq, prev, number = head.seq, head.hash.encode(), 0
        name = chains.part_name(self.chain, part)
        checkpoints: list[tuple[int, int, bytes, bytes]] = []
        with (self.folder / name).open("rb", buffering=1 << 20) as file:
            for line in file:
                seq += 1
                number += 1
                body = line[:-76]
                digest = sha256(body).hexdigest().encode()
                if (
                    line[-76:] != b',"hash":"%b"}\n' % digest
                    or body[-74:] != b',"prev":"%b"' % prev
                    or not line.startswith(b'{"seq":%d,' % seq)
                ):
                    if not line.endswith(b"\n") and part == self.parts[-1] and self._may_be_torn():
                        seq -= 1
                        self.report.notes.append(f"{name}:{number}: torn last line; the next start sets it aside")
                        break
                    raise _Break
                if seq % chains.CHECKPOINT_EVERY == 0 or b'"stage":"checkpoint"' in line[:90]:
                    checkpoints.append((number, seq, prev, line))
                if seq in wanted:
                    self.met[seq] = digest
                prev = digest
            size = file.tell()
        for checkpoint in checkpoints:
            self._judge_checkpoint(name, *checkpoint)
        self.lines = seq - head.seq
        self.report.records += self.lines
        self.report.bytes += size
        self.last = chains.Head(self.chain, part, seq, prev.decode(), size)

    def _may_be_torn(self) -> bool:
        """Only an unfinished chain may end in half a line: its process was killed, or is writing right now."""
        return self.known is not None and self.known.status == "open"

    def _judge_checkpoint(self, file: str, number: int, seq: int, prev: bytes, line: bytes) -> None:
        payload = chains.checkpoint_payload(self.chain, seq, prev.decode())
        try:
            signature = bytes.fromhex(json.loads(line)["signature"]) if chains.is_checkpoint(line) else b""
            good = self.keys.verify_checkpoint(payload, signature)
        except (ValueError, KeyError, TypeError):
            good = False
        self.report.checkpoints += 1
        if not good:
            self._find(file, number, "forged", f"record {seq} should be a checkpoint signed with the servers' key")

    def _judge_end(self) -> None:
        """All lines hold together; are they all that were written, and the ones that were written?"""
        name, last, known = chains.part_name(self.chain, self.last.part), self.last, self.known
        if self.end_gone:
            return
        if known is None:
            self._find(name, 0, "no_head", "state.db knows nothing of this chain")
        elif last.seq < known.head.seq:
            gone = span(last.seq + 1, known.head.seq)
            self._find(name, self.lines, "cut", f"it ends at record {last.seq}; {gone} were recorded and are gone")
            return
        elif last.seq > known.head.seq and known.status == "closed":
            line = self._line_of(known.head.seq + 1)
            self._find(name, line, "rewritten", f"it was finished at record {known.head.seq} and goes on after it")
        for seq, digest in sorted(self.wanted.items()):
            if seq > last.seq:
                self._find(name, self.lines, "cut", f"another chain saw its record {seq}, and it ends at {last.seq}")
                return
            if self.met.get(seq, b"").decode() != digest:
                self._find(name, self._line_of(seq), "rewritten", f"record {seq} is not the one that was written")
                return

    # ---------------------------------------------------------------- the slow path: what happened?

    def _diagnose(self) -> None:
        lines = list(self._lines())
        self.report.records += len(lines)
        gone = [part for part in range(self.parts[-1] + 1) if part not in self.parts]
        for part in gone:
            self._find(chains.part_name(self.chain, part), 0, "missing_file", "this part of the chain is gone")
        found = diagnose(self.chain, lines, bool(gone))
        for problem in found[:SHOWN_PER_CHAIN]:
            self._find(*problem)
        if len(found) > SHOWN_PER_CHAIN:
            self.report.notes.append(f"{self.chain}: {len(found) - SHOWN_PER_CHAIN} more findings not shown")
        last = max((line.seq for _, _, line in lines if line is not None), default=0)
        if self.known is not None and last < self.known.head.seq:
            missing = span(last + 1, self.known.head.seq)
            self._find(lines[-1][0], lines[-1][1], "cut", f"it ends at record {last}; {missing} are gone")

    def _lines(self) -> Iterator[tuple[str, int, chains.Line | None]]:
        for part in self.parts:
            name = chains.part_name(self.chain, part)
            with (self.folder / name).open("rb", buffering=1 << 20) as file:
                for number, line in enumerate(file, 1):
                    yield name, number, chains.read_line(line[:-1]) if line.endswith(b"\n") else None

    def _line_of(self, seq: int) -> int:
        return next((number for _, number, line in self._lines() if line is not None and line.seq == seq), 0)

    def _find(self, file: str, line: int, kind: str, message: str) -> None:
        self.report.findings.append(Finding(self.chain, file, line, kind, message))


def _heads(state: State, keys: Keys) -> dict[str, _Known]:
    rows = state.read().execute("SELECT chain, part, seq, hash, bytes, status, statement FROM heads").fetchall()
    return {
        row[0]: _Known(chains.Head(*row[:5]), row[5], _signer(state, keys, row[0], row[6]) if row[6] else "")
        for row in rows
    }


def _signer(state: State, keys: Keys, chain: str, signed: str) -> str:
    """Who signed the statement that a head bears, if it is about this chain; empty when nobody did."""
    from interlock.guard import statements

    try:
        row: Any = json.loads(signed)
        row = {"body": row["body"].encode(), "signature": bytes.fromhex(row["signature"])}
        statement = statements.verify(keys, state, row, "repair")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return statement.by if statement is not None and statement.fields.get("chain") == chain else ""


def _files(home: Path, report: Report) -> dict[str, list[int]]:
    """Chains and their parts, by the folder."""
    found: dict[str, list[int]] = {}
    folder = chains.folder_of(home)
    if not folder.is_dir():
        return found
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = chains.parse_name(entry.name)
        if name is not None and entry.is_file(follow_symlinks=False):
            found.setdefault(name[0], []).append(name[1])
        elif entry.name not in ("torn", "set-aside"):
            report.notes.append(f"audit/{entry.name} is no part of a chain")
    return found


def _seen(home: Path, files: Mapping[str, list[int]]) -> dict[str, dict[int, str]]:
    """What chains saw of each other: `opened`, the first record of each, lists other chains' last synced records."""
    seen: dict[str, dict[int, str]] = {}
    for chain in files:
        for record in first_record(chains.folder_of(home) / chains.part_name(chain, 0)):
            for other, seq, digest in record.get("saw", ()):
                if isinstance(other, str) and isinstance(seq, int) and isinstance(digest, str):
                    seen.setdefault(other, {})[seq] = digest
    return seen


def first_record(path: Path) -> list[dict[str, Any]]:
    """The first record of a part, or nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.readline())
    except (OSError, ValueError):
        return []
    return [record] if isinstance(record, dict) else []
