"""`interlock audit verify|repair`: is every record as it was written, and a person's signature under what is not.

Also under what was cut off in flight and no comparing could settle. Not for judging chains (`guard.verification`).
"""

from __future__ import annotations

import argparse
import time

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line, visible

from .home import open_home, person
from .rows import detector_of
from .terminal import on_terminal, say, say_json


def verify_records(arguments: argparse.Namespace) -> int:
    from interlock.guard.audit import reading as audit

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
            f"{report.records:,} records in {many(report.chains, 'chain')}, "
            f"{many(report.checkpoints, 'signed checkpoint')}, read in {took:.1f} s"
        )
        for note in report.notes:
            say(f"note: {note}")
        if report.ok:
            _say_styled(f"sound: {sum_up}", "green")
            return 0
        _say_styled(f"damaged: {many(len(report.findings), 'finding')} in {sum_up}", "bold red")
        for finding in report.findings:
            say(f"  {finding}")
        say("\nNo crash explains this: somebody or something changed the records.")
        say("Keep a copy of the audit folder if it matters. `interlock audit repair` sets the damaged chains aside,")
        say("with your signature; nothing is deleted." + ("" if arguments.look else " Until then nothing runs here."))
    return 1


def repair(arguments: argparse.Namespace) -> int:
    """Without ids: sets damaged chains aside, deletes nothing. With ids: frees what unknown changes block."""
    from interlock.guard.audit import reading as audit
    from interlock.guard.audit.records import Records

    if arguments.ids:
        return _settle(arguments)
    with open_home() as opened:
        who = person()
        done = audit.repair(opened.path, opened.state, opened.keys, who)
        if done:
            records = Records(opened.path, opened.state, opened.keys, "interlock", detector_of(opened))
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
    from interlock.guard.audit.records import Records
    from interlock.guard.model import Outcome
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
        records = Records(opened.path, opened.state, opened.keys, "interlock", detector_of(opened))
        records.append(
            {"stage": "settled", "by": who.by, "settled": arguments.ids, "outcome": outcome.value}, durable=True
        )
        records.close()
        for id in arguments.ids:
            sign_and_store(who, opened.state, "repair", change=id, outcome=outcome.value)
            opened.changes.acknowledge(id, who.by, outcome)
            say(f"{id}: settled as {outcome.value} by {who.by}; its resources are free again")
    return 0


def _say_styled(text: str, style: str) -> None:
    if not on_terminal():
        say(text)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(visible(text), style=style), soft_wrap=True)


def many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
