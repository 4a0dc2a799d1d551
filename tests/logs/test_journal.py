"""Units of real journal files as log sources, read by the real journalctl behind the real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from installation import Installation
from logs_server import body, header

REMOTE = shutil.which("systemd-journal-remote", path="/usr/lib/systemd:/lib/systemd")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        REMOTE is None or shutil.which("journalctl") is None,
        reason="makes journal files: apt-get install systemd-journal-remote",
    ),
]
START = 1_793_779_200  # 2026-11-04T08:00:00Z
BOOT = uuid.UUID(int=7).hex


def write(journal: Path, entries: Sequence[tuple[float, Mapping[str, str | bytes]]]) -> None:
    """Add entries (seconds, fields) to a journal file, in the export format that systemd defines."""
    out = bytearray()
    for number, (at, fields) in enumerate(entries, 1):
        own = {
            "__REALTIME_TIMESTAMP": str(round(at * 1e6)), "__MONOTONIC_TIMESTAMP": str(round((at - START + 9) * 1e6)),
            "_BOOT_ID": BOOT, "_MACHINE_ID": BOOT, "_HOSTNAME": "node7", "SEQNUM": str(number),
        }  # fmt: skip
        for name, value in {**own, **fields}.items():
            data = value if isinstance(value, bytes) else value.encode()
            if b"\n" in data or not data.isascii():  # a length, then bytes
                out += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
            else:
                out += name.encode() + b"=" + data + b"\n"
        out += b"\n"
    assert REMOTE is not None
    command = [REMOTE, f"--output={journal}", "-"]
    done = subprocess.run(command, input=bytes(out), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def entry(unit: str, message: str | bytes, priority: int = 6) -> dict[str, str | bytes]:
    name = unit.partition(".")[0]
    return {
        "_SYSTEMD_UNIT": unit, "SYSLOG_IDENTIFIER": name, "_PID": "811", "PRIORITY": str(priority), "MESSAGE": message,
    }  # fmt: skip


@pytest.fixture
def journal(installation: Installation) -> Path:
    """Ten minutes of two units, and a policy that names them."""
    folder = installation.folder / "journal"
    folder.mkdir(mode=0o755)
    rows = [(START + n * 0.5, entry("web.service", f"request {n} took {n % 9} ms")) for n in range(1_200)]
    rows += [(START + n * 5 + 0.25, entry("store.service", f"compaction {n} done")) for n in range(120)]
    rows += [(START + 300.1 + n, entry("web.service", f"upstream {n} is gone", 3)) for n in range(4)]
    rows.append((START + 400.1, entry("web.service", "Traceback of\n  two lines, password=" + "hT4rub4dor9x77", 4)))
    rows.append((START + 401.1, entry("web.service", b"binary \xff\xfe\x00 bytes")))
    write(folder / "made.journal", sorted(rows, key=lambda row: row[0]))
    listed = "".join(
        f'    {name}: {{journald: {{unit: "{unit}", directory: {folder}}}}}\n'
        for name, unit in (("web", "web.service"), ("both", "{web,store}.service"), ("any", "s*.service"))
    )
    installation.write_policy(f"version: 1\nextends: readonly\nagent: tester\nlogs:\n  sources:\n{listed}")
    return folder


async def test_a_unit_is_read_searched_and_summarised(installation: Installation, journal: Path, era: str) -> None:
    with anyio.fail_after(60):
        async with installation.agent("logs", era=era) as agent:
            assert "web (journald: unit web.service)" in (await agent.call("list_sources")).text
            tail = body((await agent.call("read_log", source="web", tail=2)).text)
            assert tail[-1] == "2026-11-04T08:09:59.500000Z node7 web[811] INFO request 1199 took 2 ms"
            errors = body((await agent.call("search_logs", source="web", level="error")).text)
            assert [row.split(" ", 1)[1] for row in errors] == [
                f"2026-11-04T08:05:0{n}.100000Z node7 web[811] ERROR upstream {n} is gone" for n in range(4)
            ]
            text = (await agent.call("search_logs", source="web", pattern="two lines")).text
            assert "Traceback of\\n  two lines, password=[secret:password" in body(text)[0]
            assert "hT4rub4dor" not in text
            assert "binary" in (await agent.call("search_logs", source="web", pattern="binary")).text
            around = body((await agent.call("read_log", source="web", around=errors[2].split(" ")[0], lines=4)).text)
            assert around[2] == errors[2].split(" ", 1)[1]
            summary = (await agent.call("summarize_logs", source="web")).text
            assert "1,206 lines" in header(summary)
            assert "request <num> took <num>" in summary
            assert "upstream <num> is gone" in summary
            assert "compaction" not in summary


async def test_an_entry_of_odd_fields_hides_no_other(installation: Installation, journal: Path) -> None:
    """Whoever logs may send any text as its priority: systemd keeps it."""
    odd = [{**entry("web.service", f"odd {n}"), "PRIORITY": text} for n, text in enumerate(("67", "8", "x", "-1", "๓"))]
    write(journal / "odd.journal", [(START + 500 + n, fields) for n, fields in enumerate(odd)])
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            found = body((await agent.call("search_logs", source="web", pattern="odd")).text)
            assert [row.rsplit(" ", 3)[1:] for row in found] == [["INFO", "odd", str(n)] for n in range(5)]


async def test_units_by_glob(installation: Installation, journal: Path) -> None:
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            only = (await agent.call("search_logs", source="any", level="info", count=True)).text
            assert "exactly 120 lines" in only


async def test_a_window_of_the_journal(installation: Installation, journal: Path) -> None:
    span = {"since": "2026-11-04T08:02:00Z", "until": "2026-11-04T08:02:10Z"}
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            counted = (await agent.call("search_logs", source="web", pattern="request", count=True, **span)).text
            assert "exactly 21 lines" in counted  # both ends count
            scanned = int(re.search(r"scanned ([\d,]+) bytes", counted)[1].replace(",", ""))  # type: ignore[index]
            assert scanned < 40_000  # and journalctl was not asked for the rest
            before = body((await agent.call("read_log", source="web", until=span["until"], tail=3)).text)
            assert before[-1].startswith("2026-11-04T08:02:10.000000Z")
            change = (
                await agent.call(
                    "compare_logs", source="web", since="2026-11-04T08:05:00Z", until="2026-11-04T08:06:00Z"
                )
            ).text
            assert "NEW E 4 lines" in body(change)[0]


async def test_following_the_journal(installation: Installation, journal: Path) -> None:
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent, anyio.create_task_group() as group:

            def log(number: int) -> None:
                write(journal / "made.journal", [(time.time(), entry("web.service", f"late {number}"))])

            async def talk() -> None:
                for number in range(100):
                    await anyio.to_thread.run_sync(log, number)

            group.start_soon(talk)
            text = (await agent.call("read_log", source="web", follow=3, lines=3)).text
            group.cancel_scope.cancel()
            assert body(text), header(text)
            assert all("web[811] INFO late " in row for row in body(text))
