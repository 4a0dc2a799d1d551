"""Redaction of a stream in constant memory: the same bytes as redacting the whole, however it is cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .keyed import BARE
from .page import Page
from .spans import Found

if TYPE_CHECKING:
    from .placeholders import Numbers
    from .rules import Rules

BLOCK: Final = 1 << 20
LOOKBACK: Final = 1 << 16  # what is scanned again before a block, and what must have been seen after it
_AHEAD: Final = LOOKBACK


class Stream:
    """Feed bytes, get redacted bytes; `close` gives the rest. For one thread."""

    def __init__(self, rules: Rules, numbers: Numbers) -> None:
        self._rules = rules
        self._numbers = numbers
        self._held = bytearray()  # context that went out already, then what has not
        self._done = 0  # how much of it went out
        self._inside = False  # within a secret that is longer than everything held
        self.count = 0
        self.places: list[tuple[int, int, str]] | None = None  # (offset, length, kind) where asked for
        self._offset = 0  # of the held bytes in the stream

    def feed(self, data: bytes) -> bytes:
        self._held += data
        out: list[bytes] = []
        while len(self._held) - self._done >= BLOCK + _AHEAD:
            out.append(self._step(final=False))
        return b"".join(out)

    def close(self) -> bytes:
        """What was held back. The stream is spent."""
        out: list[bytes] = []
        while self._done < len(self._held):
            out.append(self._step(final=len(self._held) - self._done <= BLOCK + _AHEAD))
        return b"".join(out)

    @property
    def settled(self) -> int:
        """The offset in the stream before which everything was judged."""
        return self._offset + self._done

    def take_places(self) -> list[tuple[int, int, str]]:
        """(offset, length, kind) of what was found since the last call; the last one may still grow."""
        taken = self.places or []
        keep = taken[-1:] if self._inside else []
        self.places = keep
        return taken[: len(taken) - len(keep)]

    def _step(self, final: bool) -> bytes:
        if self._inside:
            return self._leave(final)
        window = bytes(self._held if final else self._held[: self._done + BLOCK + _AHEAD])
        everything = self._rules.find(Page(window))
        for one in everything:
            if one.start < self._done < one.end:  # the rest of what went out as a placeholder
                self._forget(one.end)
                return b""
        found = [one for one in everything if one.start >= self._done]
        cut = len(window) if final else self._cut(window, found)
        taken = [one for one in found if one.start < cut]
        body, _ = self._rules.replace(window, taken, self._numbers, self._done, cut)
        self.count += len(taken)
        if self.places is not None:
            self.places += [(self._offset + one.start, one.end - one.start, one.kind) for one in taken]
        self._inside = not final and cut == len(window)
        self._forget(cut)
        return body

    def _cut(self, window: bytes, found: list[Found]) -> int:
        """Where this block ends: after a line, never within a secret."""
        limit = self._done + BLOCK
        cut = window.rfind(b"\n", self._done, limit) + 1
        if cut <= self._done:
            cut = limit
        for one in found:
            if one.start < cut < one.end:
                return one.start if one.start > self._done else one.end
        return cut

    def _leave(self, final: bool) -> bytes:
        """Swallow what belongs to a secret whose beginning went out as a placeholder."""
        match = BARE.match(self._held, self._done)
        end = match.end() if match else self._done
        self._inside = end == len(self._held) and not final
        if self.places and end > self._done:
            offset, length, kind = self.places[-1]
            self.places[-1] = (offset, length + end - self._done, kind)
        self._forget(end)
        return b""

    def _forget(self, done: int) -> None:
        drop = max(0, done - LOOKBACK)
        if drop:
            del self._held[:drop]
            self._offset += drop
        self._done = done - drop
