"""`interlock sandbox build|probe`: make the tree that analyze_logs runs its tools in, and try its walls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken

if TYPE_CHECKING:
    from interlock.logs.actions import Section
    from interlock.sandbox.kernel import Line
    from interlock.sandbox.settings import Settings


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("sandbox", help="build or probe the sandbox for analyze_logs", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True, metavar="build|probe")
    build = commands.add_parser("build", help="put the tools of this machine together; needs no registry")
    build.add_argument("--tool", action="append", default=[], metavar="NAME", help="one more program; repeatable")
    build.add_argument("--docker", action="store_true", help="give the tree to Docker as an image too")
    build.add_argument("--context", type=Path, metavar="DIR", help="only write a Dockerfile and its files there")
    build.set_defaults(run=run_build)
    probe = commands.add_parser("probe", help="say which engines are there, and try to break out of the one in use")
    probe.add_argument("--engine", choices=("bubblewrap", "docker"), help="this one only; it must be there")
    probe.add_argument("--runtime", default="", help="Docker's runtime, e.g. runsc")
    probe.add_argument("--json", action="store_true", help="lines as JSON")
    probe.set_defaults(run=run_probe)


def run_build(arguments: argparse.Namespace) -> int:
    from interlock.sandbox import image

    if arguments.context is not None:
        image.write_context(arguments.context)
        print(f"{arguments.context}/Dockerfile: docker build -t NAME {arguments.context}")
        return 0
    built = image.build(_folder(), arguments.tool)
    print(f"{built.root}: {len(built.tools)} tools")
    if lacking := _lacking(built.tools):
        print(f"not on this machine, though logs.analyze names it: {', '.join(lacking)}")
    if arguments.docker:
        from interlock.sandbox.containers import load_image

        print(f"docker image {load_image(built)}")
    return 0


def run_probe(arguments: argparse.Namespace) -> int:
    from interlock.sandbox.probing import ENGINES, offers, trial

    base, chosen = _wanted(arguments)
    there = {line.name: line for line in offers(base)}
    told: list[tuple[str, Line]] = []
    for name in ENGINES:
        line = there[name]
        if arguments.engine in (None, name):
            told.append((name, line))
            if line.ok and name == base.engine:
                told += [(name, each) for each in trial(base)]
    _show(told, print if not arguments.json else None)
    needed = [there[chosen]] if chosen else [line for name, line in told if name == line.name]
    held = all(line.ok for name, line in told if there[name].ok)
    return 0 if held and any(line.ok for line in needed) else 1


def _wanted(arguments: argparse.Namespace) -> tuple[Settings, str]:
    """What to try: the options, else what the policy chose; and the engine that has to be there, if one has."""
    from interlock.sandbox.settings import Settings

    folder = _folder()
    if arguments.engine is not None:
        return Settings((), folder, arguments.engine, arguments.runtime), arguments.engine
    section = _section()
    if section is None or not section.analyze:
        return Settings((), folder), ""
    settings = replace(section.sandbox_settings(folder), folder=folder)
    return settings, settings.engine


def _show(told: list[tuple[str, Line]], out: Callable[[str], None] | None) -> None:
    if out is None:
        import json

        rows = [{"engine": engine, "name": line.name, "ok": line.ok, "detail": line.detail} for engine, line in told]
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    for engine, line in told:
        name = line.name if line.name == engine else f"  {line.name}"
        out(f"{name:<14} {'ok' if line.ok else 'no':<3} {line.detail}")


def _folder() -> Path:
    from interlock.admin.home import home_path
    from interlock.sandbox.image import folder

    home = home_path()
    place = folder(home)
    if place.is_relative_to(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the servers want it, if none has made it yet
    return place


def _section() -> Section | None:
    from interlock.guard.policy.loading import find_policy, load
    from interlock.logs.actions import Section

    try:
        return load(find_policy(None)).section(Section)
    except Broken:
        return None


def _lacking(tools: frozenset[str]) -> list[str]:
    """What the policy lets analyze_logs run and this machine has not: only said, for most work goes without."""
    section = _section()
    names = section.analyze if section is not None else ()
    return sorted(name for name in names if name not in tools and not set(name) & set("*?[{"))
