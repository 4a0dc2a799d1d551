"""Merges templates that differ in one word, when the words look like values rather than like meaning.

Runs once over the templates of a file (thousands), not over lines. Counts decide nothing: only the distinct
words do, so that the same lines always give the same templates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

_TOKEN: Final = re.compile(r"<\*>|[^\s=,:;()\[\]{}\"'|<>]+|\s+|.", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]")
_IDENTIFIER: Final = re.compile(r"[_.$/@\\*]|[a-z][A-Z]|\d|^[A-Z0-9_-]{4,}$|-.*-")
_DEED: Final = re.compile(r"^[a-z]+(?:ed|ing)$")  # `started`, `closing`: what happened, not to whom
# Words behind which a value stands.
_SLOT_WORDS: Final = frozenset(
    (
        "user",
        "username",
        "uid",
        "account",
        "login",
        "for",
        "from",
        "to",
        "by",
        "host",
        "hostname",
        "node",
        "client",
        "server",
        "file",
        "path",
        "name",
        "id",
        "key",
        "type",
        "class",
        "package",
        "program",
        "device",
        "interface",
        "table",
        "database",
        "queue",
        "topic",
        "job",
        "task",
        "pid",
        "session",
        "service",
        "module",
        "component",
        "container",
        "pod",
        "image",
        "method",
    )
)
_NAMES: Final = frozenset({"user", "username", "account", "login", "ruser"})
MANY: Final = 9  # distinct words that make a place variable whatever they look like
SOME: Final = 3  # distinct identifiers that do, or words behind a slot word
MAX_TOKENS: Final = 120
MAX_ROUNDS: Final = 6


def merge(keys: Iterable[str]) -> dict[str, str]:
    """For each template its merged form (often itself). Deterministic in the set of keys."""
    final: dict[str, str] = {}
    current: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key in keys:
        tokens = tuple(_TOKEN.findall(key))
        if len(tokens) > MAX_TOKENS:
            final[key] = key
        else:
            current[tokens].append(key)
    for _ in range(MAX_ROUNDS):
        renamed = _round(current)
        if not renamed:
            break
        for old, new in renamed.items():
            current[new].extend(current.pop(old))
    for tokens, members in current.items():
        name = "".join(tokens)
        for member in members:
            final[member] = name
    return final


def _round(current: Mapping[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    places: dict[tuple[tuple[str, ...], int], list[tuple[str, ...]]] = defaultdict(list)
    for tokens in current:
        for at, token in enumerate(tokens):
            if token == "<*>" or ((len(token) > 1 or token.isalnum()) and not token.isspace()):
                places[(*tokens[:at], "", *tokens[at + 1 :]), at].append(tokens)
    renamed: dict[tuple[str, ...], tuple[str, ...]] = {}
    # The places with most variants first: they are the surest, and one renaming a round keeps it orderly.
    for (frame, at), variants in sorted(places.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(variants) < 2:
            break
        variants = [tokens for tokens in variants if tokens not in renamed]
        if len(variants) < 2 or not _variable(frame, at, [tokens[at] for tokens in variants]):
            continue
        merged = (*frame[:at], "<*>", *frame[at + 1 :])
        for tokens in variants:
            if tokens != merged:
                renamed[tokens] = merged
    return renamed


def _variable(frame: tuple[str, ...], at: int, words: list[str]) -> bool:
    """Are these words values of one place?"""
    constants = [t for t in frame if t and t != "<*>" and _WORD.search(t) and len(t) > 1]
    if not constants:
        return False
    words = [word for word in words if word != "<*>"]
    before = _before(frame, at)
    if before in _NAMES and len(words) >= 1:
        return True
    if len(words) >= MANY and len(constants) >= 2:
        return True
    deeds = sum(1 for word in words if _DEED.search(word))
    identifiers = sum(1 for word in words if _IDENTIFIER.search(word))
    assigned = at > 0 and frame[at - 1] in "=" and frame[at - 1] != ""
    if len(words) >= SOME and (identifiers * 3 >= len(words) * 2 or assigned or before in _SLOT_WORDS):
        return (len(constants) >= 2 or assigned) and deeds * 2 < len(words)
    return False


def _before(frame: tuple[str, ...], at: int) -> str:
    """The word before a place, over blanks, quotes and `=`; empty where there is none."""
    for back in range(at - 1, max(-1, at - 4), -1):
        token = frame[back]
        if token.isspace() or token in "='\"[(":
            continue
        return token.lower()
    return ""
