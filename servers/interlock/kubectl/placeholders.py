"""Secrets that an agent never held come back: a placeholder in a manifest or patch, in its old place, is the original.

Only in place: the same key path of the live object (items of lists by their name). Anything else is refused; where
something changes beside it or above it that says where the secret goes, a person is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from interlock.guard.errors import Code, Refused
from interlock.redaction.destinations import is_harmless, names_destination

from .objects import Object, Shower, Target, essence

_MARK: Final = "[secret:"
_NAMES: Final = ("name", "key", "id")
_NONE: Final = object()
Path = tuple[str, ...]  # keys; items of lists as `[name]`, else `[0]`


@dataclass(frozen=True, slots=True)
class Restored:
    """The value with its originals; never shown. `places`: where they went."""

    value: Any
    places: tuple[Path, ...] = ()


def put_back(shower: Shower, new: Any, live: Object | None, target: Target) -> Restored:
    """Originals for the placeholders in `new`. Raises Refused (invalid) for one without a place there."""
    if not _holds(new):
        return Restored(new)
    if live is None:
        raise _refused(target, "there is no such object whose secret it could stand for")
    shown, _ = shower.shown(live, target.text)
    places: list[Path] = []

    def walk(value: Any, redacted: Any, original: Any, path: Path) -> Any:
        if isinstance(value, str):
            if not marked(value):
                return value
            if value != redacted or not isinstance(original, str):
                raise _refused(target, f"at {_text(path)} the live object holds no such secret")
            places.append(path)
            return original
        if isinstance(value, dict):
            old, raw = _dict(redacted), _dict(original)
            return {k: walk(v, old.get(k), raw.get(k), (*path, str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [
                walk(item, *partner(item, place, value, redacted, original), (*path, _item(item, place)))
                for place, item in enumerate(value)
            ]
        return value

    return Restored(walk(new, shown, live, ()), tuple(places))


def diverted(restored: Restored, live: Object | None, after: Object, target: Target) -> list[str]:
    """Reasons to ask: what differs after the change and says where a secret that was put back goes."""
    if not restored.places:
        return []
    old, new = (dict(_leaves(essence(one or {}), ())) for one in (live, after))
    differing = sorted(path for path in old.keys() | new.keys() if old.get(path, _NONE) != new.get(path, _NONE))
    found = {
        f"{target.text}: {_text(path[: depth + 1])} changes: it says where the hidden value at {_text(place)} goes"
        for path in differing
        for depth in range(len(path))
        if _steers(path, depth)
        for place in restored.places
        if place != path and place[:depth] == path[:depth]
    }
    return sorted(found)


def _steers(path: Path, depth: int) -> bool:
    """Whether the key at this depth says where something goes, and what stands below it has a part in that."""
    if not names_destination(path[depth]):
        return False
    leaf = next((part for part in reversed(path) if not part.startswith("[")), "")
    return leaf == path[depth] or not is_harmless(leaf)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _leaves(item, (*path, _item(item, place)))
    else:
        yield path, value


def _item(item: Any, place: int) -> str:
    named: Mapping[Any, Any] = _dict(item)
    return next((f"[{named[key]}]" for key in _NAMES if isinstance(named.get(key), str)), f"[{place}]")


def _text(path: Path) -> str:
    return ".".join(path).replace(".[", "[")[:200]


def partner(item: Any, place: int, items: list[Any], redacted: Any, original: Any) -> tuple[Any, Any]:
    """What stands at an item's place in the redacted and the original list: by its name, else among equal siblings."""
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
        if isinstance(one, str) and marked(one):
            return True
        if isinstance(one, dict):
            stack += [*one.values(), *one.keys()]
        elif isinstance(one, list):
            stack += one
    return False


def marked(text: str) -> bool:
    """Whether it stands for something hidden, or holds what does."""
    return _MARK in text


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _refused(target: Target, why: str) -> Refused:
    return Refused(
        Code.INVALID,
        f"a placeholder in {target.text} cannot be put back: {why}",
        hint="leave placeholders exactly where kubectl_get shows them, or leave the field out of the patch",
    )
