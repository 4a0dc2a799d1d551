"""Secrets that an agent never held come back: a placeholder in a manifest or patch, in its old place, is the original.

Only in place: the same key path of the live object (items of lists by their name). Anything else is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from interlock.guard.errors import Code, Refused

from .objects import Object, Shower, Target

_MARK: Final = "[secret:"
_FINGERPRINT: Final = re.compile(r"\(\d+ bytes, fingerprint [0-9a-f]{16}\)\Z")
_STEERS: Final = frozenset(
    ("host", "hostname", "url", "uri", "server", "image", "command", "args", "endpoint", "address")
)
_NAMES: Final = ("name", "key", "id")


@dataclass(frozen=True, slots=True)
class Restored:
    """The value with its originals; never shown."""

    value: Any
    asks: tuple[str, ...] = ()


def put_back(shower: Shower, new: Any, live: Object | None, target: Target) -> Restored:
    """Originals for the placeholders in `new`. Raises Refused (invalid) for one without a place there."""
    if not _holds(new):
        return Restored(new)
    if live is None:
        raise _refused(target, "there is no such object whose secret it could stand for")
    shown, _ = shower.shown(live, target.text)
    asks: set[str] = set()

    def walk(value: Any, redacted: Any, original: Any, path: str) -> Any:
        if isinstance(value, str):
            if not _marked(value):
                return value
            if value != redacted or not isinstance(original, str):
                raise _refused(target, f"at {path} the live object holds no such secret")
            return original
        if isinstance(value, dict):
            old, raw = _dict(redacted), _dict(original)
            made = {k: walk(v, old.get(k), raw.get(k), f"{path}.{k}" if path else str(k)) for k, v in value.items()}
            if any(isinstance(v, str) and _marked(v) for v in value.values()):
                moved = [k for k in value if str(k).lower() in _STEERS and value[k] != old.get(k)]
                asks.update(f"{path}: {k} changes beside a hidden value that is kept" for k in moved)
            return made
        if isinstance(value, list):
            return [
                walk(item, *_partner(item, place, value, redacted, original), f"{path}[{place}]")
                for place, item in enumerate(value)
            ]
        return value

    return Restored(walk(new, shown, live, ""), tuple(sorted(asks)))


def _partner(item: Any, place: int, items: list[Any], redacted: Any, original: Any) -> tuple[Any, Any]:
    old = redacted if isinstance(redacted, list) else []
    raw = original if isinstance(original, list) else []
    if len(old) != len(raw):
        return None, None
    key = next((n for n in _NAMES if isinstance(item, dict) and isinstance(item.get(n), str)), None)
    if key is not None:
        found = [i for i, one in enumerate(old) if isinstance(one, dict) and one.get(key) == item[key]]
        return (old[found[0]], raw[found[0]]) if len(found) == 1 else (None, None)
    same = len(items) == len(old) and all(a == b for i, (a, b) in enumerate(zip(items, old, strict=True)) if i != place)
    return (old[place], raw[place]) if same else (None, None)


def _holds(value: Any) -> bool:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str) and _marked(one):
            return True
        if isinstance(one, dict):
            stack += [*one.values(), *one.keys()]
        elif isinstance(one, list):
            stack += one
    return False


def _marked(text: str) -> bool:
    return _MARK in text or _FINGERPRINT.match(text) is not None


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _refused(target: Target, why: str) -> Refused:
    return Refused(
        Code.INVALID,
        f"a placeholder in {target.text} cannot be put back: {why}",
        hint="leave placeholders exactly where kubectl_get shows them, or leave the field out of the patch",
    )
