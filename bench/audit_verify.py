"""How fast records are verified, appended and opened. Run: `python bench/audit_verify.py [RECORDS]`.

Prints one line per figure; exits 1 when verifying is slower than 100,000 records a second.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from interlock.guard.audit import reading as audit
from interlock.guard.audit.records import Records
from interlock.guard.keys import Keys, create_keys
from interlock.guard.model import Redacted
from interlock.guard.state import State

WANTED = 100_000  # records a second
FIELDS = {
    "stage": "done",
    "call": "files-7k2mabc",
    "session": "s-4f1c",
    "principal": {"agent": "infra-bot", "user": "ada", "client": "a client 2.1"},
    "server": "files",
    "tool": "read_file",
    "actions": [{"verb": "files.read", "resource": "/srv/app/main.py", "attributes": {"size": 1024, "inside": True}}],
    "arguments": {"path": "app/main.py", "offset": 1},
    "reason": "",
    "decision": {"effect": "allow", "risk": "low", "rules": ["development.reads"], "reason": "", "notify": False},
    "consent": None,
    "undo_class": None,
    "duration_ms": 0.42,
    "result": {"chars": 1180, "redactions": 0, "truncated": False},
}


class NoSecrets:
    """The detector's own cost is measured elsewhere."""

    def redact(self, text: str, target: str = "") -> Redacted:
        return Redacted(text)

    def redact_value(self, value: object, target: str = "") -> tuple[object, int]:
        return value, 0


def main(count: int = 200_000) -> int:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        create_keys(None, Path(folder) / "keys")
        keys = Keys.load(Path(folder) / "keys")
        state = State(home)
        records = Records(home, state, keys, "files", NoSecrets())
        took = [_timed(records, durable=False) for _ in range(count)]
        synced = [_timed(records, durable=True) for _ in range(200)]
        records.close()
        _say("append, not synced, p50", f"{statistics.median(took) * 1e6:.0f} us")
        _say(
            "append, durable, p50",
            f"{statistics.median(synced) * 1e6:.0f} us (bare fdatasync {_fdatasync(folder):.0f} us)",
        )
        _say("open a home with that audit", f"{_opening(home, state, keys) * 1e3:.2f} ms")

        rates = []
        for _ in range(3):  # the best of three: other work on the machine only ever takes away
            begun, used = time.perf_counter(), time.process_time()
            report = audit.verify(home, state, keys)
            rates.append(
                (report.records / (time.perf_counter() - begun), report.records / (time.process_time() - used))
            )
        rate, by_processor = max(rates)
        size = report.bytes / report.records
        _say("verify", f"{rate:,.0f} records/s ({by_processor:,.0f} a second of processor)")
        _say("", f"{report.records:,} records of {size:.0f} bytes, {report.checkpoints} signed checkpoints")
        state.close()
    if not report.ok:
        _say("verify", f"found {report.findings[:3]}")
    return 0 if report.ok and rate >= WANTED else 1


def _timed(records: Records, durable: bool) -> float:
    begun = time.perf_counter()
    records.append(FIELDS, durable=durable)
    return time.perf_counter() - begun


def _opening(home: Path, state: State, keys: Keys) -> float:
    begun = time.perf_counter()
    Records(home, state, keys, "files", NoSecrets()).check()
    return time.perf_counter() - begun


def _fdatasync(folder: str) -> float:
    """What the disk itself takes for the same line, in microseconds."""
    fd = os.open(Path(folder) / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    took = []
    for _ in range(200):
        os.write(fd, b"x" * 700)
        begun = time.perf_counter()
        os.fdatasync(fd)
        took.append(time.perf_counter() - begun)
    os.close(fd)
    return statistics.median(took) * 1e6


def _say(what: str, figure: str) -> None:
    print(f"{what:<30} {figure}")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
