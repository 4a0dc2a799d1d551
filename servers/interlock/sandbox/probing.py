"""What this machine offers for sandboxes, for `doctor`, and a trial of one engine's walls, for `sandbox probe`."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from typing import Literal

from interlock.guard.errors import Broken, Failed

from . import image
from .cgroups import Groups
from .containers import REPOSITORY
from .engines import Engine, Limits, Output, Settings, Step, open_engine
from .keeper import open_backend
from .kernel import Line

ENGINES: tuple[Literal["bubblewrap", "docker"], ...] = ("bubblewrap", "docker")
_RUNS = 7


def offers(settings: Settings) -> list[Line]:
    """One line for each engine: whether it is there, and if not what to do. Light: does not load Docker's SDK.

    Docker's image and runtime are looked for only where `settings` choose Docker.
    """
    lines = []
    try:
        backend = open_backend(replace(settings, engine="bubblewrap"))
    except Broken as error:
        lines.append(Line("bubblewrap", False, f"{error.message}: {error.hint}"))
    else:
        detail = f"{len(backend.tools)} tools"
        if not Groups(settings.memory, settings.processes, settings.cpu).places:
            detail += "; no control groups for this user: limits hold for each process, not for all together"
        lines.append(Line("bubblewrap", True, detail))
    lacking = _daemon(settings)
    lines.append(Line("docker", not lacking, lacking or "the daemon answers"))
    return lines


def _daemon(settings: Settings) -> str:
    """Empty if Docker's daemon answers on its socket and has what the settings name, else what is the matter."""
    place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not place.startswith("unix://"):
        return f"$DOCKER_HOST is {place.partition(':')[0]}, which only a server tries"
    try:
        status, _ = _get(place, "/_ping")
        if status != 200:
            return "the daemon does not answer as it should"
        if settings.engine != "docker":
            return ""
        name = settings.docker_image or f"{REPOSITORY}:{image.load(settings.folder).digest}"
        if _get(place, f"/images/{name}/json")[0] != 200:
            return f"it has no image {name}: run `interlock sandbox build --docker`"
        runtimes = json.loads(_get(place, "/info")[1]).get("Runtimes") or {}
        if settings.runtime and settings.runtime not in runtimes:
            return f"it has no runtime {settings.runtime!r}, but {', '.join(sorted(runtimes))}"
    except Broken as error:
        return f"{error.message}: {error.hint}"
    except OSError as error:
        return f"not reached ({error.strerror}): start Docker and let this user reach its socket, where it is wanted"
    except (ValueError, HTTPException):
        return "the daemon does not answer as it should"
    return ""


def _get(place: str, path: str) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(place.removeprefix("unix://"))
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def trial(settings: Settings) -> list[Line]:
    """Run attempts to break out through the named engine and say how each ended. Takes a few seconds.

    Call it in a process of one thread. Raises Broken when the engine is not there.
    """
    own = settings.docker_image  # of which only a run tells what it has
    known = frozenset(image.TOOLS.split()) if own else image.load(settings.folder).tools
    engine = open_engine(replace(settings, tools=tuple(known), memory=min(settings.memory, 64 << 20)))
    try:
        return [_begin(engine), *(_attempt(engine, *attempt) for attempt in _ATTEMPTS)]
    finally:
        engine.close()


def _begin(engine: Engine) -> Line:
    took = []
    try:
        for _ in range(_RUNS):
            begun = time.monotonic()
            output = engine.run([Step("cat"), Step("sort"), Step("uniq", ("-c",))], [b"b\na\nb\n"])
            took.append((time.monotonic() - begun) * 1000)
            if output.stdout.split() != [b"1", b"a", b"2", b"b"]:
                return Line("pipeline", False, "cat | sort | uniq gave something else than it should")
            time.sleep(0.2)  # the next one is made meanwhile, as between an agent's calls
    except Failed as error:
        return Line("pipeline", False, error.message)
    return Line("pipeline", True, f"cat | sort | uniq in {sorted(took)[_RUNS // 2]:.0f} ms (first {took[0]:.0f} ms)")


def _attempt(engine: Engine, name: str, step: Step, held: Callable[[Output], bool], detail: str) -> Line:
    if step.program not in engine.tools:
        return Line(name, True, f"not tried: the sandbox has no {step.program}")
    try:
        output = engine.run([step], [b"x\n"], Limits(timeout=5))
    except Failed as error:
        return Line(name, False, error.message)
    good = held(output)
    return Line(name, good, detail if good else "NOT HELD: do not use this engine here, and report it")


def _failed(output: Output) -> bool:
    return bool(output.codes) and output.codes[-1] != 0 and not output.stdout.strip()


def _over(output: Output) -> bool:
    return not output.timed_out and (not output.codes or output.codes[-1] != 0)


_ATTEMPTS = (
    ("shell", Step("awk", ('BEGIN{system("echo in")}',)), lambda o: b"in" not in o.stdout, "awk's system() finds none"),
    ("write", Step("sort", ("-o", "/usr/bin/x")), _failed, "nothing outside /tmp"),
    ("host files", Step("cat", ("/etc/shadow",)), _failed, "not there"),
    ("network", Step("gawk", ('BEGIN{if (("/inet/tcp/0/127.0.0.1/1" |& getline) > 0) print "in"}',)),
     lambda o: b"in" not in o.stdout and b"refused" not in o.stderr, "no socket can be made"),
    ("memory", Step("awk", ('BEGIN{x="xxxxxxxx"; while (1) x = x x}',)), _over, "a hog is ended"),
)  # fmt: skip
