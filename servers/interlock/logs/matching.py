"""User patterns: compiled in linear time, and matched so that the answer depends on redacted text alone.

A fast engine may look for candidates in raw bytes. That is no oracle, because a line counts only if its redacted
text matches *outside* of its placeholders: the text is cut at each placeholder, and where the pattern asks what
stands next to a place (`\\b`, `^`, `$`) a match that touches a cut does not count. Such a match is, byte for byte,
also a match in the raw line, so no match is missed by the fast engine, and no raw byte of a secret decides.
"""

from __future__ import annotations

import re
from typing import Any, Final

from interlock.guard.errors import Code, Refused

from .safe import PLACEHOLDER

MAX_PATTERN: Final = 1_000  # characters
_MEMORY: Final = 8 << 20  # bytes for the automaton
_ATTEMPTS: Final = 64
_ASSERTS: Final = re.compile(r"\\[bBAzZ]|[\^$]")
# What RE2 and ripgrep's engine read differently, or might.
_DIFFERS: Final = re.compile(r"&&|--|~~|\[\^?\]?[^\]]*\[|\\[QEpPzAxCvhHRXKG0-9]|\(\?(?!:)|\{,|#|\s\s")
_NOT_LINEAR: Final = re.compile(r"\(\?(?:<?[=!]|>|P=)|\\[1-9]|\\k<|[*+?}]\+")


class Pattern:
    """A literal or regular expression over lines. Thread-safe."""

    def __init__(self, text: str, *, regex: bool, ignore_case: bool = False) -> None:
        """Raises Refused (invalid) for what cannot be compiled within bounds; the message never quotes log text."""
        if not text:
            raise Refused(Code.INVALID, "the pattern is empty", hint="leave it out to match every line")
        if len(text) > MAX_PATTERN:
            raise Refused(Code.INVALID, f"the pattern is longer than {MAX_PATTERN} characters", hint="search for less")
        if "\n" in text and not regex:
            raise Refused(Code.INVALID, "the pattern holds a line break; lines are matched one by one")
        import re2  # type: ignore[import-untyped]

        self.text = text
        self.regex = regex
        self.ignore_case = ignore_case
        if regex and re.search(r"(?<!\\)(?:\\\\)*\\C", text):
            raise Refused(Code.INVALID, "\\C (any byte) is not supported")
        self._asserts = regex and _ASSERTS.search(text) is not None
        source = text if regex else re2.escape(text)
        self.source = f"(?i:{source})" if ignore_case else source
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        options.never_nl = True
        options.never_capture = True
        try:
            self._line: Any = re2.compile(self.source, options)
            self._block: Any = re2.compile(f"(?m:{self.source})", options)
        except re2.error as error:
            raise Refused(
                Code.INVALID, f"the pattern cannot be used: {_reason(error, text)}", hint=_hint(text)
            ) from None
        except (UnicodeError, OverflowError):
            raise Refused(Code.INVALID, "the pattern is no valid text") from None
        self.matches_empty = self._line.search("") is not None

    def matches(self, redacted: str) -> bool:
        """Does this line, redacted already, count?"""
        if "[secret:" not in redacted:
            return self._line.search(redacted) is not None
        at = 0
        for placeholder in PLACEHOLDER.finditer(redacted):
            if self._in_piece(redacted[at : placeholder.start()], first=at == 0, last=False):
                return True
            at = placeholder.end()
        return self._in_piece(redacted[at:], first=at == 0, last=True)

    def candidates(self, block: bytes) -> list[int]:
        """Offsets of matches in raw bytes, at most one per line: a superset of the lines that count."""
        if self._asserts and b"\r\n" in block:
            block = block.replace(b"\r\n", b"\n\n")  # `$` stands before CRLF too; offsets stay
        found = []
        at, size = 0, len(block)
        search = self._block.search
        while at <= size:
            match = search(block, at)
            if match is None:
                break
            start = match.start()
            found.append(start)
            end = block.find(b"\n", start)
            if end < 0:
                break
            at = end + 1
        return found

    def for_ripgrep(self) -> list[str] | None:
        """Arguments with which ripgrep finds a superset of the lines that count; None where its syntax may differ."""
        if not self.regex:
            if not self.text.isprintable():
                return None
            return ["--fixed-strings", *(["--ignore-case"] if self.ignore_case else []), "-e", self.text]
        if _DIFFERS.search(self.text) or not self.text.isascii() or self.matches_empty:
            return None
        flags = ["--ignore-case"] if self.ignore_case else []
        if re.search(r"\\[WDSbB]|\[\^", self.text):
            flags.append("--no-unicode")
        return [*flags, "-e", self.text]

    def _in_piece(self, piece: str, *, first: bool, last: bool) -> bool:
        if not self._asserts:
            return bool(piece) and self._line.search(piece) is not None
        at = 0
        for _ in range(_ATTEMPTS):
            match = self._line.search(piece, at)
            if match is None:
                return False
            if (first or match.start() > 0) and (last or match.end() < len(piece)):
                return True
            at = match.start() + 1
            if at > len(piece):
                return False
        return False


def _reason(error: Exception, text: str) -> str:
    if _NOT_LINEAR.search(text):
        return "look-around, back references and possessive repeats are not supported"
    reason = str(error.args[0] if error.args else error)
    if isinstance(error.args[0] if error.args else None, bytes):
        reason = error.args[0].decode("utf-8", "replace")
    return reason.split(":")[0][:100]


def _hint(text: str) -> str:
    if _NOT_LINEAR.search(text):
        return "use RE2 syntax, `exclude` for what must not match, or two searches"
    return "use RE2 syntax, or leave `regex` out to search for plain text"
