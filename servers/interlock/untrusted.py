"""Text from the world, made safe to show: nothing invisible, nothing that moves a cursor, fenced as data.

Not redaction: secrets are gone before text comes here. For models and for terminals alike.
"""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1, soft hyphen, Arabic letter mark, Mongolian vowel separator, zero-width and
# bidi marks, line and paragraph separators, bidi embeddings and isolates, invisible operators, Hangul fillers,
# interlinear annotation, BOM, variation selectors, tags; lone surrogates, which are not even text.
# Sources: Unicode 16 Bidi_Control and Default_Ignorable_Code_Point; ECMA-48 for the controls.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The same text with every character that cannot be seen written out, as `\\x1b` or `<U+202E>`.

    Line ends become LF: a CR before LF is dropped, any other CR is written out. Idempotent.
    """
    if _HIDDEN.search(text) is None:
        return text
    return _HIDDEN.sub(_written_out, text.replace("\r\n", "\n"))


def one_line(text: str, limit: int = 200) -> str:
    """For names and reasons inside a sentence: visible, on one line, cut at `limit` characters and said so."""
    line = visible(text).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def fence(text: str, nonce: str) -> str:
    """Mark text as data that nobody should take orders from. The nonce makes the end impossible to forge."""
    end = "" if text.endswith("\n") else "\n"
    return f"<untrusted-data-{nonce}>\n{text}{end}</untrusted-data-{nonce}>"


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x0D:
        return "\\r"
    return f"\\x{code:02x}" if code < 0x100 else f"<U+{code:04X}>"
