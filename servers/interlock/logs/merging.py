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
_NAME: Final = re.compile(r"\w[._$/\\]\w")
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
LOOSE: Final = 4  # templates that must share all but their values, where several places vary at once
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
    for number in range(MAX_ROUNDS):
        renamed = _round(current) or (_loose(current) if number < MAX_ROUNDS - 1 else {})
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


def _loose(current: Mapping[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Templates that differ in several places at once, all of them identifiers or values behind `=`."""
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for tokens in current:
        frame = tuple("" if _value(tokens, at) else token for at, token in enumerate(tokens))
        plain = sum(1 for token in frame if len(token) > 1 and token.isalpha())
        if "" in frame and plain >= 2:
            groups[frame].append(tokens)
    renamed: dict[tuple[str, ...], tuple[str, ...]] = {}
    for frame, variants in groups.items():
        varies = [token == "" and len({tokens[at] for tokens in variants}) > 1 for at, token in enumerate(frame)]
        places = [at for at, vary in enumerate(varies) if vary]
        known = any(all(tokens[at] == "<*>" for at in places) for tokens in variants)  # one shows them to be slots
        if len(variants) < (2 if known else LOOSE):
            continue
        for tokens in variants:
            merged = tuple("<*>" if vary else token for token, vary in zip(tokens, varies, strict=True))
            if merged != tokens:
                renamed[tokens] = merged
    return renamed


def _value(tokens: tuple[str, ...], at: int) -> bool:
    """Does a token look like a value by itself: a slot, a dotted or underscored name, what stands behind `=`?"""
    token = tokens[at]
    if token == "<*>":
        return True
    if not token[:1].isalnum():
        return False
    return (at > 0 and tokens[at - 1] == "=") or _NAME.search(token) is not None


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
