"""Secrets under encodings: base64, gzip and hexadecimal runs, percent-encoded text, HTML entities. Decoded, judged, mapped back."""
# ruff: noqa: E501

from __future__ import annotations

import base64
import bisect
import contextlib
import re
import zlib
from typing import TYPE_CHECKING, Final

from .names import BENIGN, classify
from .page import Page
from .values import is_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from .page import Room
    from .spans import Found

DEPTH: Final = 4  # encodings within encodings that are looked through, of whatever sorts
_LONGEST: Final = 1 << 16
PACKED: Final = "H4sI"  # how a gzip begins in base64
PERCENT: Final = b"%%(?:25){0,%d}" % (DEPTH - 1)  # a percent sign, encoded as often as is looked through
_GZIP: Final = b"\x1f\x8b\x08"
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_CONTINUED: Final = re.compile(
    rb"(?:\r?\n|\\n)[ \t]{0,40}[\"']?(?=[A-Za-z0-9+/]{2,100}={0,2}[\"']?[ \t,]{0,4}(?:[\r\n\\]|$))"
)
_BASE64: Final = bytes(97 if (chr(c).isalnum() and c < 128) or c in b"+/_-" else 32 for c in range(256))
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\r\n"

# Words whose base64, at any of the three alignments, makes a run worth decoding; tokens add their beginnings.
MARKS: Final = ("password", "passwd", "secret", "token", "api_key", "apiKey", "api-key", "apikey", "key=", "Key=", "KEY=", "key\"", "Key\"", "KEY\"", "pwd\"", "psk\"", "auth\":", "://", "PRIVATE", "credential", "PWD=", "pwd=", "Authorization", "Bearer ", "pass", "dsn")  # fmt: skip


def encoded_marks(beginnings: list[str]) -> list[str]:
    """What base64 turns each mark into, wherever in the text it stands: the characters that do not depend on neighbours."""
    words = {form for mark in MARKS for form in (mark, mark.upper(), mark.capitalize(), mark.title())}
    words |= {PACKED, *beginnings}
    twice = _pieces({PACKED, *(mark for mark in MARKS if len(mark) > 5 and mark.isalpha())})
    return sorted({PACKED, *_pieces(words), *_pieces(twice)})


def _pieces(words: set[str]) -> set[str]:
    marks: set[str] = set()
    for word in words:
        data = word.encode()
        for shift in range(3):
            text = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
            whole = (shift + len(data)) * 8 // 6  # characters that the last byte does not share with what follows
            piece = text[-(-shift * 8 // 6) : whole]
            if len(piece) >= 4:
                marks.add(piece[:10])
    return marks


def encoded(page: Page, end: int, find: Callable[[Page], list[Found]]) -> None:
    """A base64 run that decodes to text with a secret goes whole."""
    data = page.data
    if end <= page.decoded or page.depth >= DEPTH:
        return
    first = max(0, end - 4)
    start = first
    for reach in (64, 512, 4096, _LONGEST):
        low = max(page.decoded, first - reach, 0)
        gap = data[low:first].translate(_BASE64).rfind(b" ")
        start = low + gap + 1
        if gap >= 0 or low == max(page.decoded, 0):
            break
    pieces: list[tuple[int, int]] = []
    at = start
    total = 0
    longest = len(data) if data.startswith(PACKED.encode(), start) else _LONGEST  # half a gzip tells half of it
    while total < longest:
        match = _RUN.match(data, at, at + longest)
        if match is None:
            break
        pieces.append((match.start(), match.end()))
        total += match.end() - match.start()
        again = _CONTINUED.match(data, match.end(), match.end() + 80)
        if (
            again is None
            or (match.end() - match.start()) % 4
            or match.end() - match.start() < 40
            or match.group().endswith(b"=")
        ):
            break
        at = again.end()
    page.decoded = pieces[-1][1] if pieces else end
    if not pieces:
        return
    run = b"".join(data[low:high] for low, high in pieces)
    if kind := _held(page, run, find):
        page.add(pieces[0][0], pieces[-1][1], kind)


def whole(page: Page, find: Callable[[Page], list[Found]]) -> None:
    """A text that is nothing but one run, wrapped or not, needs no mark of what is in it to be looked into."""
    data = page.data
    if page.decoded or page.depth >= DEPTH or not _WHOLE.fullmatch(data):
        return
    if kind := _held(page, b"".join(data.split()), find):
        page.add(0, len(data.rstrip()), kind)


def may_hold(value: bytes) -> bool:
    """Whether a value is nothing but packed data, so that `whole` will look into it."""
    if not _WHOLE.fullmatch(value):
        return False
    run = _bare(b"".join(value.split()))
    return run.startswith(PACKED.encode()) or _begins(run) is not None


def _held(page: Page, run: bytes, find: Callable[[Page], list[Found]]) -> str:
    """The kind of the secret that a base64 run holds; none: ""."""
    bare = _bare(run)
    try:
        text = _unpacked(bare, page.room) if bare.startswith(PACKED.encode()) else _decoded(bare)
    except _TooMuchError:
        return "packed"
    found = find(Page(text, page)) if text else None
    return max(found, key=lambda one: one.end - one.start).kind if found else ""


_WHOLE: Final = re.compile(rb"[A-Za-z0-9+/_-]{24}[A-Za-z0-9+/_\s-]*+={0,2}\s*")


def _bare(run: bytes) -> bytes:
    return run.rstrip(b"=").translate(_STANDARD)


# The same in hexadecimal. Digests hold ten such digits by chance once in a million million places.
HEXED: Final = "|".join(word.encode().hex() for mark in ("password", "passwd", "secret", "token", "api_key", "api-key", "apikey", "PRIVATE KEY", "Authorization", "Bearer ", "credential") for word in dict.fromkeys((mark, mark.upper(), mark.capitalize())))  # fmt: skip
_HEX_DIGITS: Final = bytes(97 if c in b"0123456789abcdefABCDEF" else 32 for c in range(256))


def hexed(page: Page, end: int, find: Callable[[Page], list[Found]]) -> None:
    """A run of hexadecimal digits that decodes to text with a secret goes whole."""
    if end <= page.unhexed or page.depth >= DEPTH:
        return
    low, data = max(page.unhexed, end - _LONGEST, 0), page.data
    start = low + data[low:end].translate(_HEX_DIGITS).rfind(b" ") + 1
    stop = data[end : end + _LONGEST].translate(_HEX_DIGITS).find(b" ")
    stop = end + stop if stop >= 0 else min(len(data), end + _LONGEST)
    page.unhexed = stop
    for first in (start, start + 1):  # wherever its pairs begin
        text = bytes.fromhex(data[first : first + (stop - first) // 2 * 2].decode())
        printable = len(text.translate(None, _PRINTABLE)) <= 0.1 * len(text)
        if printable and (found := find(Page(text, page))):
            page.add(start, stop, max(found, key=lambda one: one.end - one.start).kind)
            return


class _TooMuchError(Exception):
    """More than there is room for: nobody knows what is in the rest."""


def _unpacked(run: bytes, room: Room) -> bytes:
    """What a gzip in base64 holds, and a gzip in that: as far as it is whole."""
    data = _plain(run)
    for _ in range(DEPTH):
        if not data.startswith(_GZIP):
            break
        data = _unzipped(data, room)
    return data


def _unzipped(data: bytes, room: Room) -> bytes:
    parts: list[bytes] = []
    with contextlib.suppress(zlib.error):  # cut short or damaged: what came before counts
        while data.startswith(_GZIP):
            reader = zlib.decompressobj(31)
            for at in range(0, len(data), _PIECE):
                rest = data[at : at + _PIECE]
                while rest and not reader.eof:
                    if room.left <= 0:
                        raise _TooMuchError
                    parts.append(reader.decompress(rest, room.left))
                    room.left -= len(parts[-1])
                    rest = reader.unconsumed_tail
                if reader.eof:
                    data = reader.unused_data + data[at + _PIECE :]
                    break
            else:
                break
    return b"".join(parts)


_PIECE: Final = 1 << 12


def _decoded(run: bytes) -> bytes | None:
    """The text that a run holds; None where it holds none."""
    at = _begins(run)
    return None if at is None else _plain(run[at:])


def _begins(run: bytes) -> int | None:
    """Where in a run its groups of four begin, by the text that then comes out; None where none does."""
    for shift in range(4):
        aligned = run[shift : shift + 200]
        if len(aligned) < 12:
            return None
        sample = _plain(aligned)
        if len(sample.translate(None, _PRINTABLE)) <= 0.1 * len(sample) or (not shift and _letters(sample)):
            return shift
    return None


def _plain(run: bytes) -> bytes:
    if len(run) % 4 == 1:
        run = run[:-1]  # a character that no byte ends with
    return base64.b64decode(run + b"=" * (-len(run) % 4))


def _letters(sample: bytes) -> bool:
    """Whether it is text of other alphabets (UTF-8, the last letter perhaps cut)."""
    text = sample.decode("utf-8", "ignore")
    return len(text.encode()) >= len(sample) - 3 and all(one.isprintable() or one in "\t\r\n" for one in text)


_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PERCENT_RUN: Final = re.compile(rb"[A-Za-z0-9%._~+*/:,!$()@;=-]+")
_PAIR: Final = re.compile(rb"[0-9A-Fa-f]{2}")
_PERCENT_BYTES: Final = bytes(
    97 if (chr(c).isalnum() and c < 128) or c in b"%._~+*/:,!$()@;=-" else 32 for c in range(256)
)


def percent(page: Page, end: int, find: Callable[[Page], list[Found]]) -> None:
    """Percent-encoded text: decoded, judged, and only the secret's own part goes."""
    data = page.data
    if end <= page.unquoted or page.depth >= DEPTH:
        return
    low = max(page.unquoted, end - 4096, 0)
    start = low + data[low:end].translate(_PERCENT_BYTES).rfind(b" ") + 1
    match = _PERCENT_RUN.match(data, start, end + 4096)
    if match is None:
        return
    page.unquoted = match.end()
    head, *rest = data[start : match.end()].split(b"%")
    pieces = [head]
    decoded, raw = [0], [start]  # where each piece begins, decoded and as it stands
    length, place = len(head), start + len(head)
    for piece in rest:
        if _PAIR.match(piece):
            made = bytes((int(piece[:2], 16),))
            decoded += (length, length + 1)
            raw += (place, place + 3)
            pieces += (made, piece[2:])
            length += len(piece) - 1
        else:
            pieces += (b"%", piece)
            length += len(piece) + 1
        place += len(piece) + 1
    for one in find(Page(b"".join(pieces), page)):
        low = bisect.bisect_right(decoded, one.start) - 1
        high = bisect.bisect_right(decoded, one.end - 1) - 1
        last = raw[high] + one.end - decoded[high]
        if high + 1 < len(raw) and decoded[high + 1] == one.end:
            last = raw[high + 1]
        page.add(raw[low] + one.start - decoded[low], last, one.kind)


def entity(page: Page, end: int) -> None:
    """`&quot;password&quot;:&quot;x&quot;`."""
    data = page.data
    start = end - 1
    head = data[max(0, start - 160) : start]
    name = re.search(rb"([\w.-]+)&[^&;]{1,5};[^&]*&[^&;]{1,5};$", head)
    stop = data.find(b"&", start, start + 2048)
    if name is None or stop < 0:
        return
    force, kind = classify(name.group(1))
    if force != BENIGN and is_secret(data[start:stop], force, True):
        page.add(start, stop, kind)
