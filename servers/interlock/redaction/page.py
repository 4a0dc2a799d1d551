"""One byte text under inspection, and what was found in it so far. Made per text; not shared between threads."""

from __future__ import annotations

from .spans import Found


class Page:
    def __init__(self, data: bytes, depth: int = 0) -> None:
        self.data = data
        self.found: list[Found] = []
        self.depth = depth  # how often the text was decoded already
        self.bare = (0, 0)  # the last value without quotes: where it starts and ends
        self.pem_done = 0
        self.decoded = 0  # base64 runs before this place were decoded already
        self.unquoted = 0  # and percent-encoded text
        self.spent = 0  # steps taken by what looks far, so that hostile text cannot make it look for ever
        self.allowed = 10_000 + len(data) // 8
        self.covered = 0  # everything before is inside what was found

    def add(self, start: int, end: int, kind: str, closed: bool = True, quote: bool = False) -> None:
        if end > start:
            self.found.append(Found(start, end, kind, not closed and end == len(self.data), quote))
            if end > self.covered:
                self.covered = end
