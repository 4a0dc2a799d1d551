"""What says where a secret goes: names of keys (host, url, image, ...), and in plain text whole lines and their sections.

Knows nothing of placeholders. It cannot know what a program does with a line: it names the usual words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from .names import WORDS

_WORDS: Final = frozenset(
    """host hosts hostname hostnames url urls uri uris href server servers endpoint endpoints addr addrs address addresses
    domain domains proxy image images command commands cmd args argv arguments entrypoint registry repository repo target targets
    webhook webhooks remote remotes machine destination dest upstream origin issuer index baseurl broker brokers exec run script sink
    output forward redirect callback site node nodes cluster peer peers gateway relay mailhost bootstrap dsn jdbc ip ips to smtp mail
    mailto sendto email bucket buckets connection conn connstr recipient recipients realm tenant socket include source
    pass_through proxypass datasource""".split()
)
# Endings that leave a name what it was: `host_name`, `server_1`, `url_prod`.
_ENDINGS: Final = frozenset(
    """name names string str list prod production staging stage dev test primary secondary main default override internal external
    public private value values""".split()
)
# Below a key that says where: these alone steer nothing (`server: {log_level: debug}`).
_HARMLESS: Final = frozenset(
    """level replicas timeout timeouts interval retries threads workers verbose verbosity cpu memory ttl size count seconds""".split()
)
_KEY: Final = re.compile(r"(?<![\w.-])([A-Za-z_][\w.-]*+)[\"'\])]{0,2}[ \t]{0,40}(?:=>|:=|[:=])")
_TAG: Final = re.compile(r"<([A-Za-z][\w.:-]*+)[^<>\n]{0,400}>")
_FIRST: Final = re.compile(r"[ \t]*+([A-Za-z][\w.-]*+)[ \t]++[^\s=:]")
_COMMENT: Final = re.compile(r"[ \t]*+(?:#(?!!|define|include|pragma)|//)")
_SENDS: Final = re.compile(r"://|(?i:\b(?:curl|wget|ssh|scp|sftp|rsync|ncat|nc|docker|kubectl|mysql|psql|mongosh?|redis-cli)\b)")
_CODE: Final = re.compile(r"[ \t]*+(?:class|def|if|elif|else|for|while|with|try|except|async|match|case)\b")
_GOES_ON: Final = ("=", ":", "[", "(", ">", "\\", "|", ",")


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
    below = -1  # the indent of an unfinished line that says where
    wrapped = False
    for number, line in enumerate(lines):
        text = line.rstrip()
        if not text:
            continue
        indent = len(text) - len(text.lstrip())
        if wrapped or (below >= 0 and indent > below):
            found.append(number)
            wrapped = text.endswith("\\")
            continue
        below = -1
        if says_where(line):
            found.append(number)
            wrapped = text.endswith("\\")
            if text.endswith(_GOES_ON) and not _CODE.match(text):
                below = indent
    return found


_INI: Final = re.compile(r"\[(?!secret:)([^\[\]\n]{1,200})\][ \t]*(?:[#;].*)?\s*\Z")
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
    """For each wanted line the less indented lines above that open what it stands in, outermost first."""
    asked = set(wanted)
    found: dict[int, tuple[str, ...]] = {}
    stack: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        if number in asked:
            found[number] = tuple(opener for _, opener in stack)
        if _ENCLOSES.match(line):
            stack.append((indent, text))
    return found
