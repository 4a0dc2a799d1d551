"""JSON-like values, judged whole: a value under a secret's name goes, and so does everything in a Secret's data.

A mapping under a secret's name holds the secret and what is said about it. Each key tells which: see `_below`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .assigned import SHORTEST, is_named_token
from .decoding import may_hold
from .names import BENIGN, HUMAN, STRONG, carries, classify, describes, holds_many
from .placeholders import Numbers, is_random
from .values import is_chosen, is_description, is_secret

if TYPE_CHECKING:
    from interlock.guard.model import Redacted

_NAMES: Final = (
    "name",
    "key",
    "Name",
    "Key",
    "ParameterKey",
    "parameter",
    "id",
    "field",
    "header",
    "variable",
    "option",
)
_VALUES: Final = ("value", "Value", "ParameterValue", "val", "content", "default")
_RUN: Final = re.compile(rf"\s*[\w+/-]{{{SHORTEST}}}", re.ASCII)
_DEEPEST: Final = 200


class _Under(NamedTuple):
    """What the names above a value say about it."""

    name: bytes = b""
    force: int = BENIGN
    kind: str = ""
    whole: bool = False  # whatever it looks like
    many: bool = False  # if it is a mapping: a secret under each name
    doubt: int = 0  # 1: unless it reads like a description; 2: and only if people choose such passwords


def wants_look(name: bytes, text: str) -> bool:
    """Whether a field may be more than a text: one token, packed data."""
    if len(text) < SHORTEST or not _RUN.match(text):
        return False
    value = _bytes(text)
    return is_named_token(name, value) or may_hold(value)


def plain_object(value: Any, texts: list[str], depth: int = 0, name: bytes = b"") -> bool:
    """Gather all texts of a value, names of fields included; whether no name in it says anything of a secret.

    Then only what is in the texts themselves could be one.
    """
    if isinstance(value, str):
        texts.append(value)
        return not wants_look(name, value)
    if isinstance(value, Mapping):
        plain = depth < _DEEPEST and value.get("kind") != "Secret" and "sensitive" not in value
        for key, item in value.items():
            field = str(key)
            data = _bytes(field)
            texts.append(field)
            plain = classify(data)[0] == BENIGN and plain
            if isinstance(item, str):
                if field in _NAMES:
                    plain = classify(_bytes(item))[0] == BENIGN and plain
                texts.append(item)
                plain = plain and not wants_look(data, item)
            elif isinstance(item, (Mapping, list, tuple)):
                plain = depth < _DEEPEST and plain_object(item, texts, depth + 1, data) and plain
        return plain
    if isinstance(value, (list, tuple)):
        within = [plain_object(item, texts, depth + 1, name) for item in value] if depth < _DEEPEST else [False]
        return all(within)
    return True


def redact_object(value: Any, redact: Callable[[str, bytes], Redacted], numbers: Numbers) -> tuple[Any, int]:
    """The value without its secrets, and how many there were. Keys stay.

    `redact` takes a text and the name of the field that it is the value of, if any.
    """
    counter = [0]

    def text(one: str, name: bytes) -> str:
        redacted = redact(one, name)
        counter[0] += redacted.count
        return redacted.text

    def gone(one: str, kind: str) -> str:
        if one.startswith("[secret:") and one.endswith("]"):
            return one
        counter[0] += 1
        data = _bytes(one)
        return numbers.placeholder(kind, data, kind == "password" or not is_random(data)).decode()

    def walk(one: Any, under: _Under, depth: int) -> Any:
        if depth > _DEEPEST:
            return gone(str(type(one).__name__), "nested")
        if isinstance(one, str):
            if one and (under.whole or (under.force and _is_secret(_bytes(one), under))):
                return gone(one, under.kind or "secret")
            return text(one, under.name)
        if isinstance(one, Mapping):
            return mapping(one, under, depth)
        if isinstance(one, (list, tuple)):
            return [walk(item, under._replace(many=False), depth + 1) for item in one]
        if under.whole and one is not None and not isinstance(one, bool):
            return gone(str(one), under.kind or "secret")
        if under.force == HUMAN and isinstance(one, int) and not isinstance(one, bool) and abs(one) >= 1000:
            return gone(str(one), under.kind)
        return one

    def mapping(one: Mapping[Any, Any], under: _Under, depth: int) -> dict[Any, Any]:
        secret = one.get("kind") == "Secret"
        said = _bytes(next((str(one[name]) for name in _NAMES if isinstance(one.get(name), str)), ""))
        said_force, said_kind = classify(said)
        result: dict[Any, Any] = {}
        for key, item in one.items():
            name = str(key)
            below = _below(under, _bytes(name), item)
            if name in _VALUES:
                below = below._replace(name=said + b" " + below.name)
                if one.get("sensitive") is True:
                    below = below._replace(whole=True, kind="secret")
                elif said_force > below.force:
                    below = below._replace(force=said_force, kind=said_kind, doubt=0)
            if secret and (under.whole or name in ("data", "stringData")):
                below = below._replace(whole=True, kind="kubernetes-secret")
            shown = text(name, b"") if isinstance(key, str) else key
            result[shown] = walk(item, below, depth + 1)
        return result

    return walk(value, _Under(), 0), counter[0]


def _below(under: _Under, name: bytes, item: Any) -> _Under:
    """What the key `name` says of `item`, in a mapping that `under` tells about."""
    force, kind = classify(name)
    many = force >= STRONG and isinstance(item, Mapping) and holds_many(name)
    own = _Under(name, force, kind, under.whole, many)
    if force >= under.force:
        return own
    inherited = own._replace(force=under.force, kind=under.kind, many=False)
    if carries(name):
        return inherited._replace(many=b"data" in name.lower())  # of a secret's data each part is one
    if force != BENIGN or describes(name):
        return own
    if under.many:
        return inherited._replace(doubt=0 if isinstance(item, Mapping) else 1)
    return inherited._replace(doubt=2) if under.force == HUMAN and isinstance(item, str) else own


def _is_secret(value: bytes, under: _Under) -> bool:
    if not under.doubt:
        return is_secret(value, under.force, True)
    if under.doubt == 2 and not is_chosen(value):
        return False
    return is_secret(value, under.force, False) and not is_description(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
