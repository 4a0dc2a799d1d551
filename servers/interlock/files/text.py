"""Bytes of a file as text and back, and what kind of bytes they are. Pure; knows no secrets and opens nothing."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = (
    (b"\x7fELF", "an ELF program"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive (or an office document)"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"(\xb5/\xfd", "zstd data"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x78\x01", "zlib data"),
    (b"\x78\x9c", "zlib data"),
    (b"\x78\xda", "zlib data"),
    (b"RIFF", "RIFF media"),
    (b"\xca\xfe\xba\xbe", "Java or Mach-O code"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\0asm", "WebAssembly"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a text file is written. `codec` decodes and encodes its bytes after the mark, without loss."""

    name: str  # for people: "utf-8", "utf-16-le", "latin-1"
    codec: str
    mark: bytes = b""

    def decode(self, data: bytes) -> str:
        """Raises UnicodeDecodeError."""
        return data[len(self.mark) :].decode(self.codec)

    def decode_lossy(self, data: bytes) -> str:
        """For comparing only: what cannot be decoded becomes U+FFFD."""
        return data[len(self.mark) :].decode(self.codec, "replace")

    def encode(self, text: str) -> bytes:
        """Raises UnicodeEncodeError where the text has characters that the encoding lacks."""
        return self.mark + text.encode(self.codec)


UTF8: Final = Encoding("utf-8", "utf-8")
UTF8_MARK: Final = Encoding("utf-8 with BOM", "utf-8", codecs.BOM_UTF8)
LATIN1: Final = Encoding("not utf-8, shown as latin-1", "latin-1")


_TEXT: Final = bytes(byte for byte in range(256) if byte >= 32 or byte in b"\t\n\r\f\b\x1b")


def binary_kind(head: bytes) -> str | None:
    """What binary data this is, in words; None for text. `head`: the first some thousand bytes."""
    for magic, name in _MAGIC:
        if head.startswith(magic) and (b"\0" in head or not _is_utf8(head)):
            return name
    if _marked(head) is not None:
        return None
    if b"\0" in head:
        return "binary data"
    odd = len(head.translate(None, _TEXT))
    return "binary data" if odd > max(8, len(head) // 20) and not _is_utf8(head) else None


def encoding_of(data: bytes) -> Encoding:
    """The encoding of a whole text: by its mark, else UTF-8, else latin-1 (which never fails)."""
    marked = _marked(data)
    if marked is not None:
        return marked
    return UTF8 if _is_utf8(data, whole=True) else LATIN1


def _marked(data: bytes) -> Encoding | None:
    if data.startswith(codecs.BOM_UTF8):
        return UTF8_MARK if _is_utf8(data[3:]) else None
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark) and not data.startswith(codecs.BOM_UTF32_LE):
            return Encoding(codec, codec, mark)
    return None


def _is_utf8(data: bytes, whole: bool = False) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def size_text(size: int) -> str:
    """Bytes for people: `512 B`, `1.4 kB`, `2.0 GB` (powers of 1000)."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value:.1f} PB"


def counted(number: int, what: str) -> str:
    """`1 line`, `2 lines`, `3 entries`."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"


def count_lines(text: str) -> int:
    """Lines as an editor counts them: a last one without its newline counts."""
    return text.count("\n") + (1 if text and not text.endswith("\n") else 0)
