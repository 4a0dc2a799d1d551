"""What stands in a secret's place: `[secret:KIND:ID]`. Says which id; never decides what a secret is.

A value that cannot be guessed gets a keyed digest of itself, salted with the target: equal values in one
target read as equal, and nobody without the key can test a guess or join two targets. A value that could
be guessed is numbered by its place, so that not even equality shows.
"""
# ruff: noqa: E501

from __future__ import annotations

import hashlib
import re
from typing import Final

PLACEHOLDER: Final = re.compile(rb"\[secret:[a-z][a-z0-9-]{0,40}:[a-z0-9]{1,16}\]")
PLACEHOLDER_TEXT: Final = re.compile(r"\[secret:[a-z][a-z0-9-]{0,40}:[a-z0-9]{1,16}\]")
OPEN: Final = b"[secret:"
LONGEST: Final = 8 + 41 + 1 + 16 + 1
_ID_BYTES: Final = 8  # 64 bits

_RUNS: Final = re.compile(rb"a+|A+|0+|[^aA0]+")
_CLASSES: Final = bytes(
    ord("a") if 97 <= c <= 122 else ord("A") if 65 <= c <= 90 else ord("0") if 48 <= c <= 57 else ord("-")
    for c in range(256)
)
_HEX: Final = re.compile(rb"[0-9a-f-]{32,}|[0-9A-F-]{32,}")


class Numbers:
    """Ids for one text of one target. Stateful: guessable values are counted in the order of their places."""

    def __init__(self, key: bytes, target: str) -> None:
        self._key = hashlib.blake2b(target.encode("utf-8", "surrogatepass"), key=key[:64], digest_size=32).digest()
        self._next = 1
        self._taken: set[bytes] = set()

    def take_all(self, data: bytes) -> None:
        """Placeholders that the text already holds: their numbers are not given again."""
        if OPEN in data:
            self._taken.update(match.group().rpartition(b":")[2][:-1] for match in PLACEHOLDER.finditer(data))

    def placeholder(self, kind: str, value: bytes, guessable: bool) -> bytes:
        if guessable:
            while (number := b"%d" % self._next) in self._taken:
                self._next += 1
            self._next += 1
            return b"[secret:%s:%s]" % (kind.encode(), number)
        digest = hashlib.blake2b(value, key=self._key, digest_size=_ID_BYTES).hexdigest()
        return f"[secret:{kind}:{digest}]".encode()


def is_random(value: bytes) -> bool:
    """Whether nobody could guess it: long, of mixed classes that change often, like machines write and people do not."""
    length = len(value)
    if length < 20:
        return False
    if _HEX.fullmatch(value):
        return len(set(value)) >= 9
    classes = value.translate(_CLASSES)
    if classes.count(b"0") < 2 or len(set(value)) < 12:
        return False
    return len(_RUNS.findall(classes)) >= 0.45 * length
