"""A program of its own, started by the broker: names of containers, or one container's output with times.

`list (--label L | --name GLOB)` prints names; `read (--label L | --name GLOB) NAME` prints `TIME STREAM| message`
lines. It alone speaks to Docker's socket, through the `docker` SDK; the confined server cannot.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from interlock.globs import compile_globs


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docker-logs", allow_abbrev=False)
    parser.add_argument("what", choices=("list", "read"))
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--label")
    bound.add_argument("--name")
    parser.add_argument("container", nargs="?", default="")
    wanted = parser.parse_args(argv)
    try:
        import docker  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return _fail("the `docker` package is not installed")
    try:
        client = docker.from_env()
        found = containers(client, wanted.label, wanted.name)
        if wanted.what == "list":
            sys.stdout.write("".join(f"{name}\n" for name in sorted(found)))
            return 0
        container = found.get(wanted.container)
        if container is None:
            return _fail("this container is gone or does not belong to the source")
        write_logs(container, sys.stdout.buffer)
    except BrokenPipeError:
        return 1
    except Exception as error:  # the SDK's own kinds, and what lies below it
        return _fail(f"Docker: {type(error).__name__}")
    return 0


def containers(client: Any, label: str | None, name: str | None) -> dict[str, Any]:
    """Containers of the source by name, stopped ones too."""
    filters = {"label": label} if label is not None else {}
    listed = client.containers.list(all=True, filters=filters)
    if name is None:
        return {one.name: one for one in listed}
    matcher = compile_globs([name])
    return {one.name: one for one in listed if matcher.matches(one.name)}


def write_logs(container: Any, out: Any) -> None:
    """Both streams, oldest first, with times; whole lines."""
    rest = b""
    for chunk in container.logs(stream=True, follow=False, timestamps=True):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > 1 << 20:
            lines, rest = [*lines, rest], b""
        for line in lines:
            out.write(line + b"\n")
    if rest:
        out.write(rest + b"\n")


def _fail(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
