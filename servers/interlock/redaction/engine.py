"""One pass over the text: which rule's beginning ends where. Two engines, the same hits.

Hyperscan when its wheel is there, else google-re2. Nothing here decides what a secret is.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from .anchors import REACH

BLOCK: Final = 1 << 20  # bytes per scan: what one list of hits may cost
SHIFT: Final = 12  # bits of a pattern's index in a hit: hits are plain numbers, thousands of them are cheap
MASK: Final = (1 << SHIFT) - 1
VERSION: Final = 4


class Pattern(NamedTuple):
    """One pattern of the pass and what its hits mean."""

    text: str
    caseless: bool
    rule: int  # the caller's own number
    width: int  # of the match, where it is fixed; else 0


class Engine(Protocol):
    def hits(self, data: bytes, start: int, end: int) -> list[int]:
        """(end offset << SHIFT | pattern index) of each match that ends in (start, end], sorted."""
        ...


def open_engine(patterns: Callable[[], list[Pattern]], digest: str, cache: Path | None) -> tuple[Engine, list[Pattern]]:
    """The fastest engine that works here. `digest` names the rules, so that a cached database fits them."""
    try:
        import hyperscan
    except ImportError:
        found = patterns()
        return PortableEngine(found), found
    return _open_hyperscan(hyperscan, patterns, digest, cache)


def _open_hyperscan(
    hyperscan: Any, patterns: Callable[[], list[Pattern]], digest: str, cache: Path | None
) -> tuple[Engine, list[Pattern]]:
    version = f"{VERSION} {hyperscan.__version__} {os.uname().machine} {digest}"
    path = cache / f"patterns-{hashlib.sha256(version.encode()).hexdigest()[:24]}.db" if cache else None
    if path is not None and (stored := _read_private(path)) is not None:
        try:
            head, _, body = stored.partition(b"\n")
            sum_, _, listed = head.partition(b" ")
            if hashlib.blake2b(listed + body, digest_size=16).hexdigest().encode() == sum_:
                database = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
                return HyperscanEngine(hyperscan, database), [Pattern(*row) for row in json.loads(listed)]
        except (ValueError, TypeError, hyperscan.error):
            pass  # of another machine or library, or cut short: made anew below
    found = patterns()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[one.text.encode() for one in found],
        ids=list(range(len(found))),
        elements=len(found),
        flags=[hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if one.caseless else 0) for one in found],
    )
    if path is not None:
        body = hyperscan.dumpb(database)
        listed = json.dumps([one._replace(text="") for one in found], separators=(",", ":")).encode()
        sum_ = hashlib.blake2b(listed + body, digest_size=16).hexdigest().encode()
        _write_private(path, sum_ + b" " + listed + b"\n" + body)
    return HyperscanEngine(hyperscan, database), found


class HyperscanEngine:
    def __init__(self, hyperscan: Any, database: Any) -> None:
        self._scan = database.scan
        self._hyperscan, self._database = hyperscan, database
        self._free: list[Any] = []  # scratch may serve one scan at a time; list.pop and append are atomic

    def hits(self, data: bytes, start: int, end: int) -> list[int]:
        first = max(0, start - REACH)
        found: list[int] = []

        def on_match(
            pattern: int, _from: int, to: int, _flags: int, _context: object, append: Any = found.append
        ) -> None:
            append(to << SHIFT | pattern)

        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = self._hyperscan.Scratch(self._database)
        view = data if not first and end == len(data) else memoryview(data)[first:end]
        self._scan(view, match_event_handler=on_match, scratch=scratch)
        self._free.append(scratch)
        if first:
            least = (start - first + 1) << SHIFT
            found = [hit + (first << SHIFT) for hit in found if hit >= least]
        found.sort()  # hyperscan keeps no order between patterns
        return found


class PortableEngine:
    """The same hits from google-re2: a set says which patterns occur in a piece, each of them then says where."""

    def __init__(self, patterns: list[Pattern]) -> None:
        import re2  # type: ignore[import-untyped,unused-ignore]

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.dot_nl = True
        options.never_capture = True
        options.max_mem = 256 << 20
        self._set = re2.Set.SearchSet(options)
        self._one: list[Any] = []
        self._texts = [("(?i)" if one.caseless else "") + one.text for one in patterns]
        for text in self._texts:
            self._set.Add(text.encode())
            self._one.append(None)
        self._set.Compile()
        self._options = options
        self._lock = threading.Lock()

    def hits(self, data: bytes, start: int, end: int) -> list[int]:
        found: set[int] = set()
        piece = 1 << 16
        for at in range(start, end, piece):
            first, last = max(0, at - REACH), min(end, at + piece)
            window = data[first:last]
            for pattern in self._set.Match(window) or ():
                found.update(
                    (to + first) << SHIFT | pattern for to in self._ends(pattern, window, at - first) if to > at - first
                )
        return sorted(found)

    def _ends(self, pattern: int, window: bytes, least: int) -> Iterator[int]:
        import re2  # type: ignore[import-untyped,unused-ignore]

        compiled = self._one[pattern]
        if compiled is None:
            with self._lock:
                compiled = self._one[pattern] = re2.compile(self._texts[pattern].encode(), self._options)
        at = 0
        while (match := compiled.search(window, at)) is not None:
            yield match.end()
            at = match.start() + 1


def _read_private(path: Path) -> bytes | None:
    """A file that only we can have written; None where there is none, or anybody else could have."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022 or path.parent.stat().st_mode & 0o022:
            return None
        return file.read()


def _write_private(path: Path, body: bytes) -> None:
    """Best effort: without the cache the next start takes a third of a second longer."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid != os.geteuid():
            return
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        temporary.replace(path)
    except OSError:
        return
