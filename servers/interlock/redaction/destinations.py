"""What says where a secret goes: names of keys (host, url, image, ...); in plain text whole lines and their sections.

Knows nothing of placeholders. It cannot know what a program does with a line: it names the usual words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from .names import WORDS


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS: Final = _set(
    "host hosts hostname hostnames url urls uri uris href server servers endpoint endpoints addr addrs address "
    "addresses domain domains proxy image images command commands cmd args argv arguments entrypoint registry "
    "repository repo target targets webhook webhooks remote remotes machine destination dest upstream origin "
    "issuer index baseurl broker brokers exec run script sink output forward redirect callback site node nodes "
    "cluster peer peers gateway relay mailhost bootstrap dsn jdbc ip ips to smtp mail mailto sendto email bucket "
    "buckets connection conn connstr recipient recipients realm tenant socket include source pass_through "
    "proxypass datasource "
)
# Endings that leave a name what it was: `host_name`, `server_1`, `url_prod`.
_ENDINGS: Final = _set(
    "name names string str list prod production staging stage dev test primary secondary main default override "
    "internal external public private value values "
)
# Below a key that says where: these alone steer nothing (`server: {log_level: debug}`).
_HARMLESS: Final = _set(
    "level replicas timeout timeouts interval retries threads workers verbose verbosity cpu memory ttl size count "
    "seconds "
)
_KEY: Final = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]*+)[\"'\])]{0,2}[ \t]{0,40}(?:=>|:=|[:=])")
_TAG: Final = re.compile(r"<([A-Za-z][\w.:-]*+)[^<>\n]{0,400}>")
_FIRST: Final = re.compile(r"[ \t]*+([A-Za-z][\w.-]*+)[ \t]++[^\s=:]")
_COMMENT: Final = re.compile(r"[ \t]*+(?:#(?!!|define|include|pragma)|//)")
_SENDS: Final = re.compile(
    r"://|(?i:\b(?:curl|wget|ssh|scp|sftp|rsync|ncat|nc|docker|kubectl|mysql|psql|mongosh?|redis-cli)\b)"
)
_CODE: Final = re.compile(r"[ \t]*+(?:class|def|if|elif|else|for|while|with|try|except|async|match|case)\b")


def names_destination(key: str) -> bool:
    """Whether a key's name says where something goes: `DB_HOST`, `baseUrl`, `server_name`, `<<` (YAML's merge)."""
    return _names(key[-120:])


@lru_cache(maxsize=4096)
def _names(key: str) -> bool:
    if key == "<<":
        return True
    words = [word.decode().lower() for word in WORDS.findall(key.encode("utf-8", "replace"))]
    while words and (words[-1].isdigit() or words[-1] in _ENDINGS):
        words.pop()
    return bool(words) and (words[-1] in _WORDS or "".join(words[-2:]) in _WORDS)


def is_harmless(key: str) -> bool:
    """Whether a key's name says how much or how long, never where."""
    words = WORDS.findall(key[-120:].encode("utf-8", "replace"))
    return bool(words) and words[-1].decode().lower() in _HARMLESS


def says_where(line: str) -> bool:
    """Whether a line of plain text says where something goes. Comments say nothing."""
    if _COMMENT.match(line):
        return False
    if _SENDS.search(line):
        return True
    first = _FIRST.match(line)
    if first and first.group(1).lower() != "to" and names_destination(first.group(1)):
        return True
    return any(names_destination(match.group(1)) for match in _KEY.finditer(line)) or any(
        names_destination(match.group(1).rpartition(":")[2]) for match in _TAG.finditer(line)
    )


def destination_lines(lines: Sequence[str]) -> list[int]:
    """The numbers of the lines that say where something goes, with the lines that such a line goes on in."""
    found: list[int] = []
    below = -1  # the indent of the last line that says where: what is indented deeper belongs to its value
    element = wrapped = False
    for number, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        if not wrapped and (text[0] == ";" or _COMMENT.match(line)):
            continue
        inside = below >= 0 and indent > below and not (element and text[0] == "<")
        if wrapped or inside or says_where(line) or (_ODD_HEADER.match(line) and not _INI.match(line)):
            found.append(number)
            if not wrapped and not inside:
                below = -1 if text[-1] == "{" or _CODE.match(text) else indent
                element = text[0] == "<"
            wrapped = text[-1] == "\\"
        elif indent <= below:
            below = -1
    return found


_INI: Final = re.compile(r"\[(?!secret:)([^\[\]\n]{1,200})\][ \t]*(?:[#;].*)?\s*\Z")
# What some programs read as a header and others do not: as if it said where, for the whole file.
_ODD_HEADER: Final = re.compile(r"\[(?!secret:)|[ \t]+\[(?!secret:)[^\[\],\"'\n]{1,200}\][ \t]*(?:[#;].*)?\s*\Z")
_MACHINE: Final = re.compile(r"machine[ \t]+(\S{1,200})|default\s*\Z")
_OPENS: Final = re.compile(r"[^\s#/}\])][^#]*\{\s*\Z")
_FOR_ALL: Final = frozenset(("default", "defaults", "global", "common", "all", "main"))
WHOLE: Final = ""  # lines outside of every section belong to all of them


def sections(lines: Sequence[str]) -> list[str]:
    """Per line, which section it stands in: INI's `[x]`, netrc's `machine x`, a block `x {` up to its `}`.

    Sections of one name are one. Only headers at a line's beginning count.
    """
    found: list[str] = []
    current, block = WHOLE, False
    for line in lines:
        head = line[:1]
        if _ODD_HEADER.match(line) and not _INI.match(line):
            found.append(WHOLE)
            continue
        if head == "[" and (ini := _INI.match(line)):
            name = " ".join(ini.group(1).casefold().split())
            current, block = (WHOLE if name in _FOR_ALL else f"[{name}"), False
        elif head in "mM" and (machine := _MACHINE.match(line)):
            current, block = f"machine {machine.group(1)}", False
        elif current == WHOLE and _OPENS.match(line):
            current, block = "{" + " ".join(line.split()), True
        elif block and head in "})":
            found.append(current)
            current, block = WHOLE, False
            continue
        found.append(current)
    return found


def related(one: str, other: str) -> bool:
    """Whether what stands in the one section may bear on the other: the same, for all, or one within the other."""
    if WHOLE in (one, other) or one == other:
        return True
    short, long = sorted((one, other), key=len)
    return short[0] == "[" and long.startswith(short) and not long[len(short)].isalnum()


_ENCLOSES: Final = re.compile(r"[^#]*[:{\[(]\s*\Z|\s*<[^/!?][^>]*>\s*\Z|\s*\[.*\]\s*\Z")


def enclosing(lines: Sequence[str], wanted: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """For each wanted line what it stands in, outermost first: the less indented lines above that open something.

    The last less indented line is always one of them: an indented line may go on what that began.
    """
    asked = set(wanted)
    found: dict[int, tuple[str, ...]] = {}
    stack: list[tuple[int, str, bool]] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        comment = text[0] == ";" or _COMMENT.match(line)
        while not comment and stack and stack[-1][0] >= indent:
            stack.pop()
        if number in asked:
            above = [one for one in stack if one[0] < indent]
            found[number] = tuple(opener for _, opener, opens in above if opens or opener is above[-1][1])
        if not comment and len(stack) < _DEEPEST:
            stack.append((indent, text, bool(_ENCLOSES.match(line))))
    return found


_DEEPEST: Final = 200
