"""`interlock templates`: mine the log templates of a file on this machine, for a person at a terminal.

The same engine as `summarize_logs`. `--assign` writes each line's template, in the form that scorers of log parsers
read: one row per line, group id, TAB, template. Not for agents: the file need not be in the policy.
"""

from __future__ import annotations

import argparse
import os
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from interlock.guard.errors import Failed


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("templates", help="mine log templates from a file")
    parser.add_argument("file", help="a log file, plain or packed (.gz .xz .zst .bz2); - is stdin")
    parser.add_argument("--assign", metavar="OUT", help="write each line's group and template to this file")
    parser.add_argument("--limit", type=int, default=40, help="templates shown (default: 40; 0: all)")
    parser.add_argument("--workers", type=int, choices=(1, 2, 3, 4), default=0, help="processes (default: by size)")
    parser.add_argument("--show-secrets", action="store_true", help="do not replace secrets: faster, for files without")
    parser.add_argument("--json", action="store_true", help="one object per template")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from interlock.logs.mining import Template

    if options.assign is not None:
        templates, lines, entries = _assign(options)
    else:
        templates, lines, entries = _mine(options)
    shown: list[Template] = templates if options.limit <= 0 else templates[: options.limit]
    if options.json:
        import json

        for template in shown:
            levels = sorted({entries[n].level for n in template.entries} - {""})
            row = {"id": template.id, "count": template.count, "levels": levels, "template": template.text}
            print(json.dumps(row, ensure_ascii=False))
        return 0
    from interlock.untrusted import one_line

    for template in shown:
        share = 100 * template.count / lines if lines else 0.0
        print(f"{template.count:>12,} {share:6.2f}%  #{template.id}  {one_line(template.text, 240)}")
    rest = sum(template.count for template in templates[len(shown) :])
    print(
        f"{lines:>12,} lines, {len(templates):,} templates" + (f"; {rest:,} lines in those not shown" if rest else "")
    )
    return 0


def _safe(options: argparse.Namespace) -> Any:
    if options.show_secrets:
        return None
    from interlock.logs.safe import Safe
    from interlock.redaction import open_detector

    return Safe(open_detector(os.urandom(32)), "")


def _mine(options: argparse.Namespace) -> tuple[list[Any], int, list[Any]]:
    from interlock.logs.mining import Miner
    from interlock.logs.parallel import MIN_PARALLEL, mine_file

    path = Path(options.file)
    workers = options.workers
    if not workers:
        big = options.file != "-" and path.is_file() and path.stat().st_size >= MIN_PARALLEL
        workers = min(2, os.cpu_count() or 1) if big else 1
    if workers > 1 and options.file != "-":
        combined = mine_file(path, workers, redact=not options.show_secrets)
        if combined is not None:
            return combined.templates(), combined.lines, combined.entries
    miner = Miner(_safe(options), sample=0)
    for offset, data in _blocks(options.file):
        miner.feed(data, offset)
    return miner.templates(), miner.lines, miner.entries


def _assign(options: argparse.Namespace) -> tuple[list[Any], int, list[Any]]:
    """Every line's template: entries are remembered per line (4 bytes), names are known at the end."""
    from interlock.logs.masking import normalised
    from interlock.logs.mining import Miner

    miner = Miner(_safe(options), sample=0)
    miner.alone = True  # every line counts for itself, also where it continues the one above
    of_line = array("I")
    for offset, data in _blocks(options.file):
        of_line.extend(miner.assign(data, miner.feed(data, offset)))
    templates = miner.templates()
    rows = [""] * len(miner.entries)
    for template in templates:
        for entry in template.entries:
            rows[entry] = f"{template.id}\t{normalised(template.text)}\n"
    with Path(options.assign).open("w", encoding="utf-8", errors="replace", newline="\n") as out:
        _write(out, of_line, rows)
    return templates, miner.lines, miner.entries


def _write(out: TextIO, of_line: array[int], rows: list[str]) -> None:
    step = 100_000
    for start in range(0, len(of_line), step):
        out.write("".join([rows[entry] for entry in of_line[start : start + step]]))


def _blocks(name: str) -> Iterator[tuple[int, bytes]]:
    from interlock.logs.blocks import Budget, file_reader, forward, packing_of, unpacked

    budget = Budget(seconds=1e9)
    try:
        fd = sys.stdin.fileno() if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Failed(f"{name} cannot be opened: {error.strerror}") from None
    try:
        if name == "-":
            read = lambda count: os.read(fd, count)  # noqa: E731
        else:
            packing = packing_of(name, os.pread(fd, 8, 0)) if Path(name).is_file() else ""
            read = unpacked(fd, packing, budget) if packing else file_reader(fd, 0)
        for block in forward(read, 0, budget):
            yield block.offset, block.data
    finally:
        if name != "-":
            os.close(fd)
    for note in budget.notes:
        print(f"interlock: {note}", file=sys.stderr)
