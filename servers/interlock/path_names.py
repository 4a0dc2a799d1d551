"""File names as text, both ways: what an agent writes becomes a path, and a path is shown so that it can be written.

A name that is no plain text (bytes that are no UTF-8, control or invisible characters) is shown in double quotes with
`\\xff` escapes, and is understood in that form. Not for opening anything: `paths` does.
"""

from __future__ import annotations

import os
import re
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line, visible

MAX_PATH: Final = 4096  # bytes; the kernel's own limit
MAX_NAME: Final = 255  # bytes of one component
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://")
_ENCODED: Final = re.compile(r"%(?:25){0,8}(?:2e|2f|5c|00)", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\(.)")
_PLAIN: Final = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\", '"': b'"'}
_QUOTED: Final = re.compile(r'"(?:[^"\\/]|\\[^/])*\\[^/](?:[^"\\/]|\\[^/])*"\Z')


def shown(path: str) -> str:
    """A path or name for an answer: plain where it is plain text, else its odd components quoted."""
    if path.isascii() and path.isprintable() and '"' not in path:
        return path if len(path) <= 1000 else one_line(path, 300)
    return "/".join(map(_shown_name, path.split("/")))


def _shown_name(name: str) -> str:
    if not name or (visible(name) == name and "\n" not in name and "\t" not in name and not _looks_quoted(name)):
        return name
    out = []
    for char in name:
        if char in '"\\':
            out.append("\\" + char)
        elif visible(char) != char or char in "\n\t":
            out += [f"\\x{byte:02x}" for byte in os.fsencode(char)]
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def _looks_quoted(name: str) -> bool:
    return len(name) > 1 and name[0] == '"' and name[-1] == '"'


def parse(text: str, roots: tuple[str, ...]) -> str:
    """What an agent wrote as an absolute, normalised path (by its text alone: `..` removes what stands before it).

    A relative path is taken from the root where there is only one. Raises Refused (invalid) for what is no path:
    empty, NUL, `~`, URLs, encoded dots and slashes, lone surrogates, too long.
    """
    if not text:
        raise Refused(Code.INVALID, "the path is empty", hint=f"the roots are {', '.join(map(shown, roots))}")
    if "\0" in text:
        raise Refused(Code.INVALID, "the path holds a NUL character")
    if _URL.match(text):
        raise Refused(Code.INVALID, "the path is a URL", hint="give a plain path, such as /srv/app/file.txt")
    if text.startswith("~"):
        raise Refused(Code.INVALID, "`~` is not expanded", hint="write the path out")
    if _ENCODED.search(text):
        raise Refused(Code.INVALID, "the path is URL-encoded", hint="give a plain path")
    if len(text) > 4 * MAX_PATH:
        raise Refused(Code.INVALID, f"the path is longer than {MAX_PATH} bytes")
    parts: list[str] = []
    if not text.startswith("/"):
        if len(roots) != 1:
            raise Refused(
                Code.INVALID,
                "a relative path needs a single root",
                hint=f"the roots are {', '.join(map(shown, roots))}",
            )
        parts = [part for part in roots[0].split("/") if part]
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(_name(part))
    path = "/" + "/".join(parts)
    if len(os.fsencode(path)) >= MAX_PATH:
        raise Refused(Code.INVALID, f"the path is longer than {MAX_PATH} bytes")
    return path


def parse_name(text: str) -> str:
    """One name as a listing shows it. Raises Refused (invalid)."""
    name = text.rstrip("/")
    if not name or "/" in name or "\0" in name:
        raise Refused(Code.INVALID, "this is not the name of an entry")
    return _name(name)


def _name(part: str) -> str:
    try:
        data = part.encode()
    except UnicodeEncodeError:
        raise Refused(
            Code.INVALID, "the path holds half a character", hint='write odd bytes as in the listing: "a\\xff"'
        ) from None
    if part[0] == '"' and len(part) <= 4 * MAX_NAME + 2 and _QUOTED.match(part):
        data = _unquoted(part)
        if b"\0" in data or b"/" in data or data in (b"", b".", b".."):
            raise Refused(Code.INVALID, "the quoted name in the path is no name of a file")
    if len(data) > MAX_NAME:
        raise Refused(Code.INVALID, f"a name in the path is longer than {MAX_NAME} bytes")
    return os.fsdecode(data)


def _unquoted(part: str) -> bytes:
    out, at = b"", 1
    for match in _ESCAPE.finditer(part, 1, len(part) - 1):
        out += part[at : match.start()].encode()
        if match[1] is not None:
            out += bytes([int(match[1], 16)])
        elif match[2] is not None:
            out += bytes([int(match[2], 8) & 0xFF])
        else:
            out += _PLAIN.get(match[3], b"\\" + match[3].encode())
        at = match.end()
    return out + part[at : len(part) - 1].encode()
