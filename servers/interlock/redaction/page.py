"""One byte text under inspection, and what was found in it so far. Made per text; not shared between threads."""

from __future__ import annotations

from typing import Final

from .spans import Found

_UNPACKED: Final = 1 << 19


class Room:
    """Bytes that may still be unpacked: a few bytes of gzip make a thousand times as many, of gzip again."""

    def __init__(self, size: int) -> None:
        self.left = _UNPACKED + size


class Page:
    def __init__(self, data: bytes, above: Page | None = None, room: Room | None = None) -> None:
        """`above`: where this text stood encoded."""
        self.data = data
        self.found: list[Found] = []
        self.depth: int = above.depth + 1 if above else 0  # how often the text was decoded already
        self.room: Room = above.room if above else room or Room(len(data))
        self.bare: tuple[int, int] = (0, 0)  # the last value without quotes: where it starts and ends
        self.pem_done = 0
        self.decoded = 0  # base64 runs before this place were decoded already
        self.unquoted = 0  # and percent-encoded text
        self.unhexed = 0  # and hexadecimal digits
        self.secrets: dict[bytes, int] = {}  # Kubernetes Secrets up to here were done, by how their keys are quoted
        self.named = 0  # the end of the last name that was looked at
        self.printed = 0  # commands up to here were looked at
        self.cookies = 0  # cookie headers up to here were done
        self.table = 0  # rows up to here belong to a table that was done
        self.begun = -1  # where the last private key's block begins
        self.pem_end = (0, 0, -1)  # looked for an END from, to; found at
        self.covered = 0  # everything before is inside what was found

    def add(self, start: int, end: int, kind: str, closed: bool = True, quote: bool = False) -> None:
        if end > start:
            self.found.append(Found(start, end, kind, not closed and end == len(self.data), quote))
            if end > self.covered:
                self.covered = end

    def next_pem_end(self, start: int, limit: int) -> int:
        """The next `-----END` in [start, limit), or -1. Remembered: hostile text asks often."""
        low, high, at = self.pem_end
        if low <= start and (start <= at < limit or (at < 0 and limit <= high)):
            return at
        if low <= start < high and at < 0:
            at = self.data.find(b"-----END", max(start, high - 8), limit)
        else:
            at = self.data.find(b"-----END", start, limit)
            low = start
        self.pem_end = (low, limit, at)
        return at
