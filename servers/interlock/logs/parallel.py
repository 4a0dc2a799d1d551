"""Mines one large plain file with several processes, each a range of bytes, and adds up what they found.

Used on the command line, where starting processes is nobody's risk; a confined server mines in its own process.
"""

from __future__ import annotations

import itertools
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .blocks import Budget, file_reader, forward, packing_of
from .mining import Entry, Miner, Template
from .seeking import line_start

MIN_PARALLEL: Final = 128 << 20  # bytes from which a second process pays


@dataclass(slots=True)
class Combined:
    """The sum of several miners, in the form of one."""

    entries: list[Entry]
    lines: int
    miner: Miner

    def templates(self) -> list[Template]:
        return self.miner.templates()


def mine_file(path: Path, workers: int, *, redact: bool) -> Combined | None:
    """Counts over the whole file; None for files that cannot be divided (packed, pipes)."""
    with path.open("rb") as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        if not path.is_file() or packing_of(path.name, os.pread(fd, 8, 0)):
            return None
        cuts = [0, *(line_start(fd, size * n // workers) for n in range(1, workers)), size]
    children = [_start(path, begin, end, redact) for begin, end in itertools.pairwise(cuts[1:])]
    miner = _mine(path, cuts[0], cuts[1], redact)
    for pid, reader in children:
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(pid, 0)
        if status or not data:
            raise RuntimeError("a worker ended early")
        # Our own child's memory, over a pipe of ours: no file and nobody else's bytes.
        lines, rows = pickle.loads(data)
        miner.lines += lines
        for row in rows:
            miner.add(Entry(*row))
    return Combined(miner.entries, miner.lines, miner)


def _start(path: Path, begin: int, end: int, redact: bool) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        os.close(reader)
        miner = _mine(path, begin, end, redact)
        rows = [(e.key, e.masked, e.level, e.service, e.first, e.example, e.count) for e in miner.entries]
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps((miner.lines, rows)))
        code = 0
    finally:
        os._exit(code)


def _mine(path: Path, begin: int, end: int, redact: bool) -> Miner:
    safe = None
    if redact:
        from interlock.redaction import open_detector

        from .safe import Safe

        safe = Safe(open_detector(os.urandom(32)), "")
    miner = Miner(safe, sample=0)
    if begin >= end:
        return miner
    with path.open("rb") as file:
        for block in forward(file_reader(file.fileno(), begin), begin, Budget(seconds=1e9), end=end):
            miner.feed(block.data, block.offset)
    return miner
