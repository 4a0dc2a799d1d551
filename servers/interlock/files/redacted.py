"""Files as redacted text: whole where they are small enough, else a window scanned from a safe point.

Redact first, then select: whatever picks lines, matches or compares works on what comes from here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Detector, Redacted
from interlock.path_names import shown
from interlock.paths import Opened

from .text import LATIN1, UTF8, UTF8_MARK, Encoding, binary_kind, count_lines, encoding_of, size_text

WHOLE: Final = 8 * 1024**2  # bytes up to which a file is redacted whole
HEAD: Final = 8192  # bytes that tell binary from text
WINDOW: Final = 256 * 1024  # bytes of a large file that one answer is taken from
MARGIN: Final = 64 * 1024  # bytes around a window that are scanned with it, where the detector names no number
BLOCK: Final = 4 * 1024**2  # bytes of a large file that are searched at a time
CACHE: Final = 4 * 1024**2  # characters of redacted text that are kept
_CHUNK: Final = 1024**2
_SETTLED: Final = 2.0  # seconds after which a file's time tells every further change


class Span(Protocol):
    """Where a secret stands in a text, in characters, and what stands for it."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def placeholder(self) -> str: ...


class PutBack(Protocol):
    """A text whose placeholders are secrets again, and what a person should know of it."""

    @property
    def text(self) -> str: ...
    @property
    def asks(self) -> tuple[str, ...]: ...


class FilesDetector(Detector, Protocol):
    """What the files server uses of the detector beyond the guard's own needs."""

    def spans(self, text: str, target: str = "") -> Sequence[Span]: ...
    def put_back(self, new: str, current: str, target: str) -> PutBack: ...
    def known_container(self, path: str, head: str) -> str | None: ...
    def keys_only(self, text: str, kind: str) -> str: ...
    def has_placeholder(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Document:
    """A whole small file as redacted text."""

    text: str
    count: int  # secrets replaced
    encoding: Encoding
    digest: str  # keyed, of the redacted text: tells a change, and nothing about a secret
    lines: int
    size: int  # bytes of the file


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a large file as redacted lines."""

    lines: tuple[str, ...]
    first: int | None  # number of the first line; None where it was not counted
    count: int
    encoding: Encoding
    cut: bool  # the last line goes on beyond what was read
    more: bool  # there is more after (or, for a tail, before) these lines


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines, twice: to be shown, and to be matched with 0xFF for each secret (and for odd bytes)."""

    shown: str
    matched: bytes
    count: int
    last: bool  # the file ends here


class Reader:
    """Reads and redacts. Thread-safe; keeps a little redacted text for paging."""

    def __init__(self, detector: FilesDetector, key: bytes) -> None:
        self.detector = detector
        self._key = key
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[Any, ...], Document] = OrderedDict()
        self._held = 0

    def digest(self, data: bytes | str) -> str:
        """A keyed digest, short enough to be written into a call."""
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        return hmac.new(self._key, raw, hashlib.sha256).hexdigest()[:20]

    def redact(self, text: str, target: str, *, keys_only: bool = False) -> Redacted:
        """Redact a whole text. `keys_only`: of a known secret file, nothing but the names of its keys."""
        if not keys_only:
            return self.detector.redact(text, target)
        kind = self.detector.known_container(target, text[:HEAD])
        if kind is None:
            raise Refused(
                Code.PROTECTED,
                f"{shown(target)} is a known secret file of a form that cannot be read by key names",
                hint="work without it, or ask a person for what you need from it",
            )
        whole = self.detector.keys_only(text, kind)
        again = self.detector.redact(whole, target)
        return Redacted(again.text, max(again.count, 1), again.kinds)

    def document(self, opened: Opened, policy: str, *, keys_only: bool = False) -> Document:
        """A file of at most WHOLE bytes, redacted. Raises Refused for binary data and for larger ones."""
        found = opened.stat
        known = (opened.real, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        key = (*known, policy, keys_only)
        with self._lock:
            kept = self._cache.get(key)
            if kept is not None:
                self._cache.move_to_end(key)
                return kept
        data = read_whole(opened)
        document = self.of_bytes(data, opened.real, keys_only=keys_only)
        if time.time() - found.st_mtime > _SETTLED and len(data) == found.st_size:
            self._keep(key, document)
        return document

    def of_bytes(self, data: bytes, real: str, *, keys_only: bool = False) -> Document:
        """The same for bytes already read. Raises Refused for binary data."""
        refuse_binary(data[:HEAD], real, len(data))
        encoding = encoding_of(data)
        try:
            text = encoding.decode(data)
        except UnicodeDecodeError:
            raise Refused(
                Code.INVALID, f"{shown(real)} is {encoding.name} with errors in it: no readable text"
            ) from None
        redacted = self.redact(text, real, keys_only=keys_only)
        lines = count_lines(redacted.text)
        return Document(redacted.text, redacted.count, encoding, self.digest(redacted.text), lines, len(data))

    def window(self, opened: Opened, offset: int, limit: int, stop: Callable[[], bool]) -> Window:
        """Lines of a large file from line `offset` on, at constant memory. `stop` ends a long count."""
        fd = opened.read_fd()
        try:
            refuse_binary(os.pread(fd, HEAD, 0), opened.real, opened.stat.st_size)
            start = _find_line(fd, offset, stop)
            if start is None:
                raise Refused(
                    Code.INVALID, f"{shown(opened.real)} has fewer than {offset} lines", hint="tail=N shows its end"
                )
            pieces, encoding, whole = self._region(fd, start, start + WINDOW, opened.real)
        finally:
            os.close(fd)
        lines, count = _joined(pieces).split("\n"), _count(pieces)
        cut = False
        if not whole:
            if len(lines) > 1:
                lines.pop()  # it may go on
            else:
                cut = True
        elif lines and not lines[-1]:
            lines.pop()
        more = not whole or len(lines) > limit
        return Window(tuple(lines[:limit]), offset, count, encoding, cut, more)

    def tail(self, opened: Opened, limit: int) -> Window:
        """The last lines of a large file."""
        fd = opened.read_fd()
        try:
            refuse_binary(os.pread(fd, HEAD, 0), opened.real, opened.stat.st_size)
            size = os.fstat(fd).st_size
            start = max(0, size - WINDOW)
            pieces, encoding, _ = self._region(fd, start, size, opened.real)
        finally:
            os.close(fd)
        lines, count = _joined(pieces).split("\n"), _count(pieces)
        if lines and not lines[-1]:
            lines.pop()
        cut = start > 0 and len(lines) == 1
        if start > 0 and len(lines) > 1:
            lines.pop(0)  # it began earlier
        return Window(tuple(lines[-limit:]), None, count, encoding, cut, True)

    def blocks(self, opened: Opened, *, named: bool = False) -> Iterator[Block]:
        """The whole of a text file of any size in redacted blocks of whole lines, at constant memory, for matching.

        Raises Refused where it comes to what is no text. Bytes that are no UTF-8 are read as U+FFFD: as another engine
        sees them, which picks the candidates of a folder. Of a file that is `named` they are read as it is shown.
        """
        fd = opened.read_fd()
        try:
            head = os.pread(fd, HEAD, 0)
            refuse_binary(head, opened.real, opened.stat.st_size)
            if opened.stat.st_size <= WHOLE or encoding_of(head[:2]).mark:
                data = _pread(fd, WHOLE + 1, 0)
                marked = data[:2] in (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb")
                encoding = encoding_of(data if named else data[:3]) if marked or named else UTF8
                if len(data) <= WHOLE:
                    text = data[len(encoding.mark) :].decode(encoding.codec, "replace")
                    if "\0" in text:
                        raise _no_text(opened.real)
                    yield _block(_pieces(text, self.detector.spans(text, opened.real), 0, len(text)), last=True)
                    return
                if encoding.mark and encoding.name != UTF8_MARK.name:
                    raise too_large(opened.real, opened.stat.st_size)
            start = 0
            while True:
                end = _line_end(fd, start + BLOCK)
                pieces, _, whole = self._region(fd, start, end, opened.real)
                block = _block(pieces, last=whole)
                if b"\0" in block.matched:
                    raise _no_text(opened.real)
                yield block
                if whole:
                    return
                start = end
        finally:
            os.close(fd)

    def _region(self, fd: int, start: int, end: int, real: str) -> tuple[list[tuple[str, bool]], Encoding, bool]:
        """Bytes `start` to `end` as redacted pieces; whether the file ends there.

        Scanned from LOOKBACK bytes before to as many after: a secret that begins earlier or ends later is whole.
        """
        margin = int(getattr(self.detector, "LOOKBACK", MARGIN))
        begin = max(0, start - margin)
        data = _pread(fd, end + margin - begin, begin)
        before, inside, after = data[: start - begin], data[start - begin : end - begin], data[end - begin :]
        if after:  # do not split a character
            cut = _whole_characters(inside)
            inside, after = inside[:cut], inside[cut:] + after
        before = before[_first_character(before) :]
        parts, encoding = _decode((before, inside, after))
        text = "".join(parts)
        low = len(parts[0])
        pieces = _pieces(text, self.detector.spans(text, real), low, low + len(parts[1]))
        return pieces, encoding, not after

    def _keep(self, key: tuple[Any, ...], document: Document) -> None:
        with self._lock:
            self._cache[key] = document
            self._held += len(document.text)
            while self._held > CACHE and self._cache:
                _, dropped = self._cache.popitem(last=False)
                self._held -= len(dropped.text)


def _pieces(text: str, spans: Sequence[Span], low: int, high: int) -> list[tuple[str, bool]]:
    """`text[low:high]` in pieces; True for a placeholder. A secret that is cut by an edge is whole."""
    out: list[tuple[str, bool]] = []
    at = low
    for span in sorted(spans, key=lambda span: span.start):
        if span.end <= at or span.start >= high:
            continue
        if span.start > at:
            out.append((text[at : span.start], False))
        out.append((span.placeholder, True))
        at = max(at, span.end)
    if at < high:
        out.append((text[at:high], False))
    return out


def _joined(pieces: list[tuple[str, bool]]) -> str:
    return "".join(piece for piece, _ in pieces)


def _count(pieces: list[tuple[str, bool]]) -> int:
    return sum(1 for _, secret in pieces if secret)


def _no_text(real: str) -> Refused:
    return Refused(Code.INVALID, f"{shown(real)} is no text to its end")


def _block(pieces: list[tuple[str, bool]], *, last: bool) -> Block:
    matched = b"".join(
        b"\xff" if secret else piece.encode("utf-8", "replace").replace(b"\xef\xbf\xbd", b"\xff")
        for piece, secret in pieces
    )
    return Block(_joined(pieces), matched, _count(pieces), last)


def _line_end(fd: int, at: int) -> int:
    """The end of the line that byte `at` is in, at most a window further on."""
    chunk = os.pread(fd, WINDOW, at)
    found = chunk.find(b"\n")
    return at + (found + 1 if found >= 0 else len(chunk))


def read_whole(opened: Opened, limit: int = WHOLE) -> bytes:
    """All bytes of a regular file. Raises Refused (too_large) beyond `limit`, however it grew."""
    fd = opened.read_fd()
    try:
        data = _pread(fd, limit + 1, 0)
    except OSError as error:
        raise Refused(Code.INVALID, f"{shown(opened.real)} cannot be read ({os.strerror(error.errno or 0)})") from None
    finally:
        os.close(fd)
    if len(data) > limit:
        raise too_large(opened.real, max(opened.stat.st_size, len(data)), limit)
    return data


def too_large(real: str, size: int, limit: int = WHOLE) -> Refused:
    return Refused(
        Code.TOO_LARGE,
        f"{shown(real)} has {size_text(size)}; at most {size_text(limit)} are handled whole",
        hint="read_file with offset, limit or tail reads a window; search_files finds lines in it",
    )


def refuse_binary(head: bytes, real: str, size: int) -> None:
    kind = binary_kind(head)
    if kind is not None:
        raise Refused(
            Code.INVALID,
            f"{shown(real)} is no text: {kind}, {size_text(size)}",
            hint="file_info tells more about it; its bytes are not shown",
        )


def _pread(fd: int, length: int, offset: int) -> bytes:
    """As many bytes as there are, at most `length`."""
    out = bytearray()
    while len(out) < length:
        chunk = os.pread(fd, min(_CHUNK, length - len(out)), offset + len(out))
        if not chunk:
            break
        out += chunk
    return bytes(out)


def _find_line(fd: int, line: int, stop: Callable[[], bool]) -> int | None:
    """The byte at which line number `line` (from 1) begins; None where there are fewer."""
    missing, at = line - 1, 0
    while missing:
        chunk = os.pread(fd, _CHUNK, at)
        if not chunk:
            return None
        if stop():
            raise Refused(
                Code.TOO_LARGE,
                f"line {line} was not reached in time",
                hint="use tail, or search_files for what you look for",
            )
        found = chunk.count(b"\n")
        if found < missing:
            missing -= found
            at += len(chunk)
            continue
        inside = -1
        for _ in range(missing):
            inside = chunk.index(b"\n", inside + 1)
        return at + inside + 1 if os.pread(fd, 1, at + inside + 1) else None
    return at


def _decode(parts: tuple[bytes, bytes, bytes]) -> tuple[list[str], Encoding]:
    try:
        last = parts[2][: _whole_characters(parts[2])]
        return [parts[0].decode(), parts[1].decode(), last.decode()], UTF8
    except UnicodeDecodeError:
        return [part.decode("latin-1") for part in parts], LATIN1


def _first_character(data: bytes) -> int:
    """How many bytes at the start are the rest of a character."""
    return next((i for i in range(min(4, len(data))) if data[i] & 0xC0 != 0x80), 0)


def _whole_characters(data: bytes) -> int:
    """The length of `data` without a last character that is cut off."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        need = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if need > back else len(data)
    return len(data)
