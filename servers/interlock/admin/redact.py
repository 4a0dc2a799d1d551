"""`interlock redact`: stdin to stdout, as a stream in constant memory. Not for files of its own choosing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.redaction import Detector

_CHUNK = 1 << 18


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "redact",
        help="filter secrets from stdin to stdout",
        description="Copy stdin to stdout with a placeholder in every secret's place.",
    )
    parser.add_argument("--jsonl", action="store_true", help='read {"id", "text"} lines and write the same')
    parser.add_argument(
        "--report", action="store_true", help="list kinds and places on stdout instead of the text; never values"
    )
    parser.add_argument(
        "--target", default="", help="the path the text stems from: salts placeholders, names known secret files"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when a JSON line cannot be read."""
    detector = _open()
    source: Any = sys.stdin.buffer
    sink: Any = sys.stdout.buffer
    if arguments.jsonl:
        return _lines(detector, source, sink, arguments)
    stream = detector.stream(arguments.target)
    if arguments.report:
        stream.places = []
        position = _Lines()
        while chunk := source.read1(_CHUNK):
            position.feed(chunk)
            stream.feed(chunk)
            _report(stream, position)
        stream.close()
        _report(stream, position)
        return 0
    while chunk := source.read1(_CHUNK):
        sink.write(stream.feed(chunk))
    sink.write(stream.close())
    sink.flush()
    return 0


def _open() -> Detector:
    """With this installation's key where there is one; else placeholders are keyed for this run alone."""
    from interlock.redaction import open_detector

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlock"
    return open_detector(_key(), None, cache)


def _key() -> bytes:
    try:
        from interlock.guard.keys import Keys

        return Keys.load().derive("placeholders")
    except Exception:  # no installation, or not this user's: an ephemeral key is as safe, only not repeatable
        return os.urandom(32)


def _lines(detector: Detector, source: Any, sink: Any, arguments: argparse.Namespace) -> int:
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            text = item["text"]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, TypeError, KeyError):
            sink.flush()
            print(f'interlock: line {number} is no {{"id", "text"}} object', file=sys.stderr)
            return 1
        if arguments.report:
            answer = {
                "id": item.get("id"),
                "spans": [[s.start, s.end, s.kind] for s in detector.spans(text, arguments.target)],
            }
        else:
            answer = {**item, "text": detector.redact(text, arguments.target).text}
        sink.write(json.dumps(answer, ensure_ascii=True).encode() + b"\n")
    sink.flush()
    return 0


class _Lines:
    """Line numbers for byte offsets that only grow, without keeping the bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # offsets after each newline that may still be asked for
        self._passed = 1
        self._offset = 0
        self._line_start = 0

    def feed(self, chunk: bytes) -> None:
        at = -1
        while (at := chunk.find(b"\n", at + 1)) >= 0:
            self._starts.append(self._offset + at + 1)
        self._offset += len(chunk)

    def of(self, offset: int) -> tuple[int, int]:
        import bisect

        gone = bisect.bisect_right(self._starts, offset)
        if gone:
            self._line_start = self._starts[gone - 1]
            self._passed += gone
            del self._starts[:gone]
        return self._passed, offset - self._line_start + 1


def _report(stream: Any, position: _Lines) -> None:
    done = stream.settled
    for offset, length, kind in stream.take_places():
        line, column = position.of(offset)
        print(f"{line}:{column}\t{kind}\t{length} bytes")
    position.of(done)
