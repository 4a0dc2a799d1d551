"""The logs engine on a large file: mining, searching, windows, overviews, beside ripgrep and drain3 in the same run.

LOGS_BENCH_FILE names a log of one's own, LOGS_BENCH_SIZE the size of the generated one (512M). LOGS_BENCH_LABELLED
is a folder of labelled sets in loghub's layout (SET/SET_2k.log and .log_structured.csv). drain3 takes part where it is
installed (`pip install drain3`). Each task runs in a process of its own; memory is that process's peak.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

NEEDLE = "needle-7f3a9c"
RG = Path(sys.prefix) / "bin" / "rg"


def main() -> None:
    accuracy()
    incidents()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOGS_BENCH_PATTERNS"] = folder  # compiled once, as a home keeps them
        Path(folder).chmod(0o700)
        detect().redact("password=x")
        path = Path(os.environ.get("LOGS_BENCH_FILE") or generated(Path(folder) / "big.log"))
        size = path.stat().st_size
        print(f"   {size / 1e9:.2f} GB in {path.name}")
        for name in ("mine", "mine in 2 processes", "overview", "drain3, first 200,000 lines"):
            show(name, child(name, path))
        for name, words in (
            ("rare literal", [NEEDLE]),
            ("alternation", ["-e", "lags \\d+ ms behind|evicted \\d+ keys|pool exhausted"]),
        ):
            beside = ripgrep(path, words)
            print(f"   {'ripgrep ' + name:<35} {beside:7.2f} s")
            for way in ("", " without ripgrep"):
                row = child(f"search {name}{way}", path)
                row["of ripgrep's time"] = round(row["seconds"] / beside, 2)
                show(f"search {name}{way}", row)
        for name in ("one hour, first row", "last 1,000 lines"):
            show(name, child(name, path))


def show(name: str, row: dict[str, Any]) -> None:
    facts = "  ".join(f"{key} {value}" for key, value in row.items() if key not in ("seconds", "cpu", "rss"))
    print(f"   {name:<35} {row.get('seconds', 0):7.2f} s  {row.get('rss', 0) // 1024:5d} MiB  {facts}", flush=True)


def child(task: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.logs", task, str(path)], capture_output=True, text=True, timeout=900, check=False
    )
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        return {"failed": done.stderr.strip().splitlines()[-1:] or ["no word"]}


def detect() -> Any:
    from interlock.redaction import open_detector

    return open_detector(b"k" * 32, None, Path(os.environ["LOGS_BENCH_PATTERNS"]))


def ripgrep(path: Path, words: list[str]) -> float:
    """Seconds, the better of two runs."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        subprocess.run([RG, "--no-mmap", "--count", *words, path], stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - begun)
    return min(times)


# ------------------------------------------------------------------------- accuracy


def accuracy() -> None:
    """GA and FGA on labelled lines: the generated formats, and a folder of real sets where one is given."""
    from logs_lines import FORMATS, labelled

    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for form in FORMATS:
        made = labelled(11, 4_000, form)
        rows["generated, raw lines"].append(
            grouping([label for _, label in made], assigned([line for line, _ in made]))
        )
    folder = os.environ.get("LOGS_BENCH_LABELLED")
    for place in sorted(Path(folder).iterdir()) if folder else ():
        labels = place / f"{place.name}_2k.log_structured.csv"
        if not labels.is_file():
            continue
        with labels.open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        raw = (place / f"{place.name}_2k.log").read_text(encoding="utf-8", errors="replace").split("\n")[: len(table)]
        events = [row["EventId"] for row in table]
        rows["given sets, raw lines"].append(grouping(events, assigned(raw)))
        rows["given sets, message bodies"].append(grouping(events, assigned([row["Content"] for row in table])))
    for name, scores in rows.items():
        ga, fga = (sum(score[n] for score in scores) / len(scores) for n in (0, 1))
        print(f"   {name:<32} GA {ga:.3f}  FGA {fga:.3f}  ({len(scores)} sets)")


def assigned(lines: list[str]) -> list[str]:
    from interlock.logs.mining import Miner

    miner = Miner(None, sample=0)
    miner.alone = True
    block = "\n".join(lines).encode("utf-8", "replace")
    entries = miner.assign(block, miner.feed(block, 0))
    names = {entry: template.key for template in miner.templates() for entry in template.entries}
    return [names[entry] for entry in entries]


def grouping(labels: list[Any], found: list[str]) -> tuple[float, float]:
    true, guessed = defaultdict(list), defaultdict(list)
    for at, (label, key) in enumerate(zip(labels, found, strict=True)):
        true[label].append(at)
        guessed[key].append(at)
    right = [rows for rows in guessed.values() if true[labels[rows[0]]] == rows]
    precision, recall = len(right) / len(guessed), len(right) / len(true)
    return sum(map(len, right)) / len(labels), 2 * precision * recall / (precision + recall or 1)


def incidents() -> None:
    """In which row compare_logs has the cause, and what it says of quiet hours."""
    from logs_lines import START, hour
    from logs_server import Desk

    begin = f"{START + timedelta(minutes=42):%Y-%m-%dT%H:%M:%SZ}"
    end = f"{START + timedelta(minutes=60):%Y-%m-%dT%H:%M:%SZ}"
    with tempfile.TemporaryDirectory() as name:
        path = Path(os.path.realpath(name)) / "app.log"
        for kind in ("new_error", "rate_spike", "silence", "latency_shift", "cascade", "crash_loop", "quiet"):
            ranks = []
            for seed in range(50, 60):
                made = hour(kind, seed)
                path.write_text("\n".join(made.lines) + "\n")
                rows = Desk({"app": path}).lines("compare_logs", source="app", since=begin, until=end)
                rows = [row for row in rows if not row.startswith("  ")]
                if kind == "quiet":
                    ranks.append(0 if rows[0].startswith("nothing differs") else len(rows))
                else:
                    ranks.append(next((n for n, row in enumerate(rows, 1) if made.cause in row), 99))
            what = "rows raised" if kind == "quiet" else "row of the cause"
            print(f"   {kind:<14} {what}: {' '.join(map(str, ranks))}")


# ------------------------------------------------------------------------- a large file


def generated(path: Path) -> Path:
    """A log of the size asked for: invented lines, their digits changed and times moved on at each turn."""
    from logs_lines import FORMATS, START, labelled

    text = os.environ.get("LOGS_BENCH_SIZE", "512M")
    wanted = int(float(text[:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[-1]])
    bodies = [line.split(" ", 1)[1] for line, _ in labelled(21, 60_000)]
    dice = random.Random(3)
    written = turn = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < wanted:
            table = str.maketrans("0123456789", "".join(dice.sample("0123456789", 10)))
            rows = []
            for body in bodies:
                moment = START + timedelta(milliseconds=5 * number)
                number += 1
                rows.append(f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z {body.translate(table)}")
            if turn % 3 == 0:
                rows[777] = FORMATS["bracketed pid"](moment, "WARN", "shop", f"request id={NEEDLE} failed upstream")
            block = "\n".join(sorted(rows)) + "\n"
            file.write(block)
            written += len(block)
            turn += 1
    return path


def task_mine(path: Path) -> dict[str, Any]:
    from interlock.logs.parallel import mine_file

    found = mine_file(path, 1, redact=True)
    assert found is not None
    templates = found.templates()
    return {
        "lines": found.lines,
        "templates": len(templates),
        "adds up": sum(t.count for t in templates) == found.lines,
    }


def task_mine_two(path: Path) -> dict[str, Any]:
    from interlock.logs.parallel import mine_file

    found = mine_file(path, 2, redact=True)
    assert found is not None
    return {"lines": found.lines, "templates": len(found.templates())}


def task_drain3(path: Path) -> dict[str, Any]:
    from drain3 import TemplateMiner  # type: ignore[import-not-found]
    from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-not-found]

    miner = TemplateMiner(config=TemplateMinerConfig())
    lines = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            miner.add_log_message(line.rstrip("\n").split("] ", 1)[-1])  # its body: drain3 strips no headers
            lines += 1
            if lines == 200_000:
                break
    return {"lines": lines, "templates": len(miner.drain.clusters)}


def opened(path: Path) -> Any:
    from interlock.globs import compile_globs
    from interlock.logs.parts import FileSource
    from interlock.paths import Roots

    real = os.path.realpath(path)
    return FileSource("big", real, Roots([(str(Path(real).parent), False)]), compile_globs([real]))


def task_overview(path: Path) -> dict[str, Any]:
    from interlock.logs import overview
    from interlock.logs.blocks import Budget
    from interlock.logs.surveying import survey
    from interlock.logs.windows import Span

    budget = Budget(seconds=900)
    found = survey(opened(path), Span(), detect(), budget)
    text, header, _ = overview.summary_page(found, budget, 40)
    every, _, _ = overview.summary_page(found, budget, 1_000_000, room=1 << 30)
    share = header.split("shown = ")[1].split(" ")[0]
    return {
        "lines": found.lines, "characters": len(text) + len(header), "covers %": share,
        "all templates, times smaller": round(found.bytes / len(every)),
    }  # fmt: skip


def search_task(text: str, regex: bool, ripgrep: bool) -> Callable[[Path], dict[str, Any]]:
    def task(path: Path) -> dict[str, Any]:
        from interlock.sandbox.broker import start_broker
        from interlock.sandbox.children import Program

        broker = start_broker({"rg": Program(RG)}) if ripgrep else None  # before any thread
        from interlock.logs.blocks import Budget
        from interlock.logs.matching import Pattern
        from interlock.logs.searching import Query, search

        found_by = detect()
        found_by.redact("password=x")
        budget = Budget(seconds=900)
        query = Query(pattern=Pattern(text, regex=regex), limit=500)
        begun = time.perf_counter()
        found = search(opened(path), query, found_by, budget, broker)
        taken = time.perf_counter() - begun
        if broker is not None:
            broker.close()
        return {"seconds": taken, "hits": len(found.hits), "scanned": budget.scanned}

    return task


def times_of(path: Path) -> Iterator[float]:
    from interlock.logs.seeking import probe
    from interlock.logs.timestamps import TimeReader

    with path.open("rb") as file:
        shape = probe(file.fileno(), path.stat().st_size, TimeReader(path.stat().st_mtime))
    assert shape.first is not None and shape.last is not None
    yield from (shape.first, shape.last)


def task_hour(path: Path) -> dict[str, Any]:
    from interlock.logs.blocks import Budget
    from interlock.logs.windows import Span, pieces

    first, last = times_of(path)
    since = first + (last - first) * 0.6
    begun = time.perf_counter()
    budget = Budget()
    piece = next(pieces(opened(path).parts(budget), Span(since, min(last, since + 3600)), budget, size=64 << 10))
    return {"seconds": time.perf_counter() - begun, "at": piece.block.offset}


def task_tail(path: Path) -> dict[str, Any]:
    from interlock.logs.blocks import Budget
    from interlock.logs.reading import Reader
    from interlock.logs.windows import Span

    found_by = detect()
    found_by.redact("password=x")
    begun = time.perf_counter()
    rows = Reader(opened(path), found_by, Budget()).tail(1_000, Span()).rows
    return {"seconds": time.perf_counter() - begun, "lines": len(rows)}


ALTERNATION = r"lags \d+ ms behind|evicted \d+ keys|pool exhausted"
TASKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "mine": task_mine,
    "mine in 2 processes": task_mine_two,
    "overview": task_overview,
    "drain3, first 200,000 lines": task_drain3,
    "search rare literal": search_task(NEEDLE, regex=False, ripgrep=True),
    "search rare literal without ripgrep": search_task(NEEDLE, regex=False, ripgrep=False),
    "search alternation": search_task(ALTERNATION, regex=True, ripgrep=True),
    "search alternation without ripgrep": search_task(ALTERNATION, regex=True, ripgrep=False),
    "one hour, first row": task_hour,
    "last 1,000 lines": task_tail,
}


def run(task: str, path: Path) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    row = TASKS[task](path)
    row.setdefault("seconds", time.perf_counter() - begun)
    row["cpu"] = time.process_time() - cpu
    if "lines" in row:
        row["lines/s"] = f"{row['lines'] / row['seconds']:,.0f}"
        row["lines/cpu s"] = f"{row['lines'] / max(row['cpu'], 1e-9):,.0f}"
    row["rss"] = peak()
    print(json.dumps(row))


def peak() -> int:
    """KiB. Not from getrusage, where Linux counts the parent's size before exec in."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
