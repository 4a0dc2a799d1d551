"""A program of its own, started by the broker: the names of a source's containers, or what they log, by time.

`list` prints names; `read` prints `TIME NAME| message` lines of all of them. It alone speaks to Docker's socket,
through the `docker` SDK; the confined server cannot. What it has to say itself goes to stderr, in one line.
"""

from __future__ import annotations

import argparse
import itertools
import struct
import sys
from collections.abc import Iterator
from typing import Any, Final

from interlock.globs import compile_globs

from .blocks import LINE_CAP
from .joining import Joined, Stamped, as_they_come, by_time, stamp, stamped

MAX_READ: Final = 24  # containers read at once
_QUICK: Final = 30  # seconds for what the engine answers at once
_FRAME: Final = struct.Struct(">BxxxL")  # stream, length


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docker-logs", allow_abbrev=False)
    parser.add_argument("what", choices=("list", "read"))
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--label")
    bound.add_argument("--name")
    parser.add_argument("--since", type=float, default=0.0)
    parser.add_argument("--until", type=float, default=0.0)
    parser.add_argument("--last", type=int, default=-1, help="only the last lines of each container")
    parser.add_argument("--follow", action="store_true")
    wanted = parser.parse_args(argv)
    try:
        from docker import APIClient  # type: ignore[import-untyped, import-not-found, unused-ignore]
        from docker.utils import kwargs_from_env  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return _fail("the `docker` package is not installed")
    try:
        api = APIClient(version="auto", timeout=_QUICK, **kwargs_from_env())
        found = containers(api, wanted.label, wanted.name)
        if wanted.what == "list":
            sys.stdout.write("".join(f"{name}\n" for name in sorted(found)))
            return 0
        if len(found) > MAX_READ:
            _fail(f"{len(found)} containers; the {MAX_READ} made last are read")
        newest = dict(list(found.items())[:MAX_READ])
        joined = as_they_come if wanted.follow else by_time
        lines = joined([entries(api, name, id_, wanted) for name, id_ in newest.items()])
        copy(Joined(lines, lambda: None, eager=wanted.follow))
    except BrokenPipeError:
        return 1
    except Exception as error:  # the SDK's own kinds, and what lies below it
        return _fail(f"Docker: {_words(error)}")
    return 0


def copy(joined: Joined) -> None:
    out = sys.stdout.buffer
    while data := joined.read(64 << 10):
        out.write(data)
        out.flush()


def containers(api: Any, label: str | None, name: str | None) -> dict[str, str]:
    """Ids of the source's containers by name, stopped ones too, the newest first."""
    listed = api.containers(all=True, filters={"label": [label]} if label is not None else {})
    named = [(str(next(iter(one["Names"] or [one["Id"][:12]]))).lstrip("/"), str(one["Id"])) for one in listed]
    fits = compile_globs([name]).matches if name is not None else lambda _: True
    return {one: id_ for one, id_ in named if fits(one)}


def entries(api: Any, name: str, id_: str, wanted: argparse.Namespace) -> Iterator[Stamped]:
    """What one container logged, both streams in their order; none where it is gone meanwhile."""
    terminal = _get(api, f"{id_}/json", {}, name)
    if terminal is None:
        return
    query = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(wanted.follow))}
    query |= {"since": f"{wanted.since:.9f}"} if wanted.since else {}
    query |= {"until": f"{wanted.until:.9f}"} if wanted.until else {}
    query |= {"tail": str(wanted.last)} if wanted.last >= 0 else {}
    # Not `api.logs`: it does not tell the streams apart, and reads a terminal's output byte by byte.
    response = _get(api, f"{id_}/logs", query, name, timeout=None if wanted.follow else _QUICK)
    if response is None:
        return
    chunks = response.iter_content(None)
    yield from stamped(name, _Chunks(chunks if terminal.json()["Config"].get("Tty") else whole_lines(chunks)))


def _get(api: Any, path: str, query: dict[str, str], name: str, timeout: int | None = _QUICK) -> Any:
    """The engine's answer about a container, to be read as it comes; None, and a word on stderr, where it says no."""
    url = f"{api.base_url}/v{api.api_version}/containers/{path}"
    response = api.get(url, params=query, stream=True, timeout=timeout)
    if response.ok:
        return response
    if response.status_code != 404:  # gone since it was listed
        _fail(f"{name}: Docker gives no log of it: {response.json().get('message', '')}")
    return None


def whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """From Docker's frames to lines `TIME text`. A frame is one entry; what was cut into several is joined again."""
    buffer = bytearray()
    open_: dict[int, bytearray] = {}  # by stream: what waits for its end
    for chunk in chunks:
        buffer += chunk
        out, at = bytearray(), 0
        while len(buffer) - at >= _FRAME.size:
            stream, length = _FRAME.unpack_from(buffer, at)
            if len(buffer) - at - _FRAME.size < length:
                break
            entry = bytes(buffer[at + _FRAME.size : at + _FRAME.size + length])
            at += _FRAME.size + length
            begun = open_.setdefault(stream, bytearray())
            if begun:  # each part has a time of its own
                entry = entry.partition(b" ")[2] if stamp(entry) >= 0 else entry
            if entry.endswith(b"\n"):
                out += begun + entry
                begun.clear()
            elif len(begun) <= LINE_CAP:
                begun += entry
        del buffer[:at]
        if out:
            yield bytes(out)
    for begun in open_.values():
        if begun:
            yield bytes(begun) + b"\n"


class _Chunks:
    """An iterator of bytes as a `Stream`."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, count: int) -> bytes:
        return next(self._chunks, b"")

    def close(self) -> None:
        """The response ends with this process."""


def _words(error: BaseException) -> str:
    """The system's reason where there is one, for the SDK hides it under several layers; else the error's kind."""
    layers: list[Any] = [error]
    for layer in itertools.islice(layers, 40):  # it grows meanwhile
        if isinstance(layer, OSError) and layer.strerror:
            return f"its engine cannot be reached ({layer.strerror})"
        if isinstance(layer, BaseException):
            layers += [*layer.args, layer.__cause__, layer.__context__]
        elif isinstance(layer, tuple):
            layers += layer
    return str(getattr(error, "explanation", "") or type(error).__name__)


def _fail(reason: str) -> int:
    sys.stderr.write(" ".join(reason.split())[:300] + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
