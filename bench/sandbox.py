"""What confinement, the broker and the sandboxes cost: `python bench/sandbox.py [--json] [--runs N]`.

Starts Docker's daemon itself where it is installed and does not run (root only), and stops it at the end.
Figures are medians in milliseconds unless they say otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from sandbox.daemon import docker_daemon

from interlock.guard.errors import Broken
from interlock.sandbox import containers, image
from interlock.sandbox.broker import Program, start_broker
from interlock.sandbox.confine import confine
from interlock.sandbox.engines import Engine, Limits, Settings, Step, open_engine

TARGETS = {"bubblewrap": 15.0, "docker": 40.0}
LINES = b"".join(
    b"2026-01-01T00:00:%02dZ %s request %d\n" % (n % 60, (b"error", b"info")[n % 3 > 0], n % 50) for n in range(5000)
)
PIPELINE = [
    Step("grep", ("error",)),
    Step("sort"),
    Step("uniq", ("-c",)),
    Step("sort", ("-rn",)),
    Step("head", ("-n", "5")),
]


def median(action: Callable[[], Any], runs: int, pause: float = 0.0) -> float:
    took = []
    for _ in range(runs):
        time.sleep(pause)
        begun = time.perf_counter()
        action()
        took.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(took), 2)


def confining() -> float:
    """One confinement, in a child, measured there."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        begun = time.perf_counter()
        confine([Path("/usr")], [Path("/tmp")])
        os.write(writer, str((time.perf_counter() - begun) * 1000).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        return float(answer.read())


def brokered(runs: int) -> Iterator[tuple[str, float]]:
    client = start_broker({"true": Program(Path("/bin/true"))})
    try:
        yield "broker: /bin/true, confined", median(lambda: client.run("true", []), runs)
    finally:
        client.close()
    yield "for comparison: subprocess, free", median(lambda: subprocess.run(["/bin/true"], check=True), runs)


def sandboxed(engine: Engine, runs: int) -> Iterator[tuple[str, float]]:
    def pipeline() -> None:
        output = engine.run(PIPELINE, [LINES])
        assert output.codes[-1] == 0, output

    name = engine.name
    yield f"{name}: first pipeline (nothing ready)", median(pipeline, 1)
    yield f"{name}: pipeline of 5 steps, {len(LINES) // 1000} KB, calls 0.3 s apart", median(pipeline, runs, 0.3)
    yield f"{name}: the same, back to back", median(pipeline, runs)
    chunk = LINES * 4
    count = (256 << 20) // len(chunk)
    begun = time.perf_counter()
    engine.run([Step("wc", ("-l",))], (chunk for _ in range(count)), Limits(timeout=120))
    yield f"{name}: MB/s into wc -l", round(count * len(chunk) / 1e6 / (time.perf_counter() - begun))


def measure(runs: int) -> dict[str, float]:
    found: dict[str, float] = {"confine this process": round(statistics.median(confining() for _ in range(20)), 2)}
    found.update(brokered(runs * 3))
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as scratch, docker_daemon() as docker:
        place = Path(scratch)
        place.chmod(0o755)
        built = image.build(place)
        for name in ("bubblewrap", "docker"):
            try:
                if name == "docker":
                    if not docker:
                        raise Broken("no daemon")
                    containers.load_image(built)
                engine = open_engine(Settings(tuple(built.tools), place, engine=name, pool=2))  # type: ignore[arg-type]
            except Broken as error:
                print(f"{name}: not measured ({error.message})", file=sys.stderr)
                continue
            try:
                found.update(sandboxed(engine, runs))
            finally:
                engine.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    found = measure(arguments.runs)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            limit = next((t for engine, t in TARGETS.items() if name.startswith(f"{engine}: pipeline")), None)
            print(f"{value:>9} {name}" + (f" (at most {limit:g})" if limit else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
