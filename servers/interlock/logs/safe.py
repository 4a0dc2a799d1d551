"""The one way from raw bytes to text that may be selected from: escape sequences resolved, secrets replaced.

Line for line: a block of n lines gives n lines, so that offsets stay true. Everything else in this folder works on
what comes out of here. Making the remaining odd characters visible and fencing is the guard's, at the exit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

PLACEHOLDER: Final = re.compile(r"\[secret:[^\]\s]{1,120}\]")
_STRING: Final = re.compile(  # OSC, DCS, SOS, PM, APC with their payload, if they end on the line
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])([^\x07\x1b\x9c\n]{0,4096})(?:\x07|\x1b\\|\x9c)"
)
_CONTROL: Final = re.compile(r"(?:\x1b\[|\x9b)([0-?]{0,64}[ -/]{0,8})([@-~])")
_OTHER: Final = re.compile(r"\x1b[ -/]{0,8}[0-~]?|[\x80-\x9f]")
_KINDS: Final = {
    "]": "OSC",
    "\x9d": "OSC",
    "P": "DCS",
    "\x90": "DCS",
    "X": "SOS",
    "\x98": "SOS",
    "^": "PM",
    "\x9e": "PM",
}


CONTEXT: Final = 1_024  # bytes above a line in which a name may stand whose value is on the line
LONG_CONTEXT: Final = 16_384  # the same where keys in PEM form may be near
_SPANNING: Final = b"-----BEGIN"


def context_above(data: bytes, at: int) -> bytes:
    """The two lines above a start of a line (at most CONTEXT bytes), as far as they are in `data`."""
    low = at - 1
    for _ in range(2):
        if low <= 0:
            break
        low = data.rfind(b"\n", max(0, at - CONTEXT), low)
        if low < 0:
            low = max(0, at - CONTEXT) - 1
            break
    return data[low + 1 : at - 1] if at > 0 else b""


def spans_lines(data: bytes) -> bool:
    """May a secret here reach over many lines? Then whole blocks are redacted, not lines with their context."""
    return _SPANNING in data


class Spans(Protocol):
    """What is needed of the detector: where secrets stand in a text."""

    def spans(self, text: str, target: str = "") -> Sequence[Any]: ...


def without_sequences(text: str) -> str:
    """Terminal sequences resolved: colours vanish, others are named (`<CSI 2J>`, `<OSC>`); payloads go.

    What colours cut in two is whole again, so that the detector sees it.
    """
    text = _STRING.sub(lambda m: f"<{_kind(m.group())}>", text)
    text = _CONTROL.sub(lambda m: "" if m.group(2) == "m" else f"<CSI {m.group(1)}{m.group(2)}>", text)
    return _OTHER.sub("<ESC>", text)


def _kind(sequence: str) -> str:
    return _KINDS.get(sequence[1] if sequence[0] == "\x1b" else sequence[0], "APC")


class Safe:
    """Redacts blocks of one source. Cheap to make; thread-safe where the detector is."""

    def __init__(self, detector: Spans, target: str) -> None:
        self._detector = detector
        self._target = target
        self.redactions = 0
        self.escaped = 0  # lines that held terminal sequences

    def lines(self, data: bytes, before: bytes = b"") -> list[str]:
        """The redacted lines of a block of whole lines. `before`: whole lines above it, for secrets that span lines."""
        text = self._text(data)
        if before:
            above = self._text(before) + "\n"
            return self._redacted(above + text, skip=above.count("\n"))
        return self._redacted(text)

    def line(self, data: bytes, before: bytes = b"") -> str:
        """One redacted line; `before` as for `lines`."""
        return self.lines(data, before)[-1]

    def untouched(self, lines: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        """Of many (above, line) at once: the line's text where it certainly holds no secret, None where it may."""
        texts: list[str] = []
        starts: list[int] = []
        at = 0
        for above, line in lines:
            if b"\x1b" in line or b"\xc2" in line:
                texts.append("")
                starts.append(-1)
                at += 1
                continue
            if above:
                texts.append(above.decode("utf-8", "backslashreplace"))
                at += len(texts[-1]) + 1
            texts.append(line.decode("utf-8", "backslashreplace"))
            starts.append(at)
            at += len(texts[-1]) + 1
        text = "\n".join(texts)
        spans = self._detector.spans(text, self._target)
        found: list[str | None] = []
        number = 0
        for start in starts:
            if start < 0:
                found.append(None)
                continue
            end = text.find("\n", start)
            end = end if end >= 0 else len(text)
            while number < len(spans) and spans[number].end <= start:
                number += 1
            touched = number < len(spans) and spans[number].start < end
            found.append(None if touched else text[start:end].removesuffix("\r"))
        return found

    def block(self, data: bytes, before: bytes = b"") -> bytes:
        """The redacted block as bytes, with as many lines."""
        return "\n".join(self.lines(data, before)).encode("utf-8", "replace")

    def _text(self, data: bytes) -> str:
        text = data.decode("utf-8", "backslashreplace")
        if b"\x1b" in data or b"\xc2" in data:
            plain = without_sequences(text)
            if plain != text:
                self.escaped += 1
                text = plain
        return text

    def _redacted(self, text: str, skip: int = 0) -> list[str]:
        spans = self._detector.spans(text, self._target)
        lines = text.split("\n")
        if spans:
            self.redactions += sum(1 for span in spans)
            _replace(lines, spans)
        lines = lines[skip:] if skip else lines
        return [line[:-1] if line.endswith("\r") else line for line in lines]


def _replace(lines: list[str], spans: Sequence[Any]) -> None:
    """Put placeholders into lines; what a secret covers on further lines becomes the same placeholder."""
    starts: list[int] = []
    at = number = 0
    for text in lines:
        starts.append(at)
        at += len(text) + 1
    work: dict[int, list[tuple[int, int, str]]] = {}
    for span in spans:
        while number + 1 < len(starts) and starts[number + 1] <= span.start:
            number += 1
        row, start = number, span.start
        while True:
            end = starts[row] + len(lines[row])
            work.setdefault(row, []).append((start - starts[row], min(span.end, end) - starts[row], span.placeholder))
            if span.end <= end + 1 or row + 1 >= len(lines):
                break
            row += 1
            start = starts[row]
    for row, parts in work.items():
        text, done = lines[row], 0
        out: list[str] = []
        for start, end, placeholder in sorted(parts):
            if start < done:
                continue
            out += [text[done:start], placeholder]
            done = max(end, start)
        lines[row] = "".join([*out, text[done:]])
