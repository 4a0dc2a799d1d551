"""Where in a YAML, JSON or TOML document placeholders stand, by key path. Reads through `interlock.documents`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.documents import DocumentError, load_documents

from .destinations import is_harmless, names_destination

Path = tuple[str | int, ...]
_NAMES: Final = ("name", "key", "id")
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Located:
    """A document's values, with a stand-in for each placeholder."""

    paths: dict[int, Path] = field(default_factory=dict)  # placeholder -> where it stands
    places: dict[int, Path] = field(default_factory=dict)  # the same, with plain indexes for list items
    at: dict[Path, list[int]] = field(default_factory=dict)  # path -> the placeholders in its value, in order
    values: dict[Path, Any] = field(default_factory=dict)  # path -> value, placeholders as they read
    by_place: dict[Path, Path] = field(default_factory=dict)
    lists: dict[Path, list[Any]] = field(default_factory=dict)  # lists whose items have no names, by path of indexes
    named: dict[Path, list[Any]] = field(default_factory=dict)  # and those whose items have
    texts: list[str] = field(default_factory=list)
    unchanged: dict[Path, bool] = field(default_factory=dict)
    destinations: list[tuple[Path, Path]] | None = None  # what changed and says where something goes: (below, path)

    def name(self, number: int) -> str:
        return _name(self.paths[number])

    def scalar(self, number: int) -> Any:
        return self.values[self.paths[number]]

    def renamed(self, after: Located, number: int) -> list[int] | None:
        """The placeholders of the value at the same index, where only what names the item has changed."""
        place = after.places[number]
        path = self.by_place.get(place)
        if path is None or path not in self.at:
            return None
        for depth, part in enumerate(place):
            if isinstance(part, int):
                old, new = self.named.get(place[:depth]), after.named.get(place[:depth])
                if (old is None) != (new is None):
                    return None
                if old is not None and new is not None and not _others_equal(old, new, part):
                    return None
        return self.at[path]

    def same_lists(self, after: Located, number: int) -> bool:
        """Whether in each nameless list on the way the other items are as they were."""
        place = after.places[number]
        for depth, part in enumerate(place):
            if isinstance(part, int) and depth and place[:depth] in after.lists:
                old = self.lists.get(place[:depth])
                if old is None or not _others_equal(old, after.lists[place[:depth]], part):
                    return False
        return True

    def moved(self, after: Located, number: int) -> list[str]:
        """Names of what changed on the way to the secret and says where it goes."""
        path = after.paths[number]
        after.unchanged[path] = self.values.get(path) == after.values.get(path)
        if after.destinations is None:
            after.destinations = [
                (other[:depth], other)
                for other in self.values.keys() | after.values.keys()
                if self.values.get(other, _NONE) != after.values.get(other, _NONE)
                for depth, part in enumerate(other)
                if isinstance(part, str) and _steers(other, depth)
            ]
        return sorted(
            {_name(other) for above, other in after.destinations if other != path and path[: len(above)] == above}
        )


_NONE: Final = object()


def locate(text: str, places: Sequence[tuple[int, int]], kind: str) -> Located | None:
    """The document's values with its placeholders found in them; None where it cannot be read for certain."""
    mark = "zq"
    while mark in text:
        mark += "q"
    parts: list[str] = []
    tokens: dict[str, int] = {}
    at = 0
    for number, (start, end) in enumerate(places):
        token = f"{mark}{_base36(number)}".ljust(end - start - 1, "_") + "z"
        if len(token) != end - start:
            return None
        tokens[token] = number
        parts += (text[at:start], token)
        at = end
    stand_in = "".join([*parts, text[at:]])
    originals = {token: text[places[number][0] : places[number][1]] for token, number in tokens.items()}
    try:
        documents = load_documents(stand_in, kind)
    except (DocumentError, RecursionError, ValueError):
        return None
    found = Located(texts=[text[start:end] for start, end in places])
    for path, place, value in _walk(
        documents if len(documents) > 1 else documents[0] if documents else None, found, originals
    ):
        held = (
            [number for token, number in tokens.items() if token in value]
            if isinstance(value, str) and mark in value
            else []
        )
        held.sort(key=lambda number: value.index(next(t for t, n in tokens.items() if n == number)))
        found.values[path] = _shown(value, originals)
        found.by_place[place] = path
        for number in held:
            if number in found.paths:
                return None  # one placeholder, two values: an alias
            found.paths[number] = path
            found.places[number] = place
        if held:
            found.at[path] = held
    return found


def values(text: str, kind: str) -> dict[Path, Any] | None:
    """Path -> value; None where the text cannot be read for certain."""
    found = locate(text, (), kind)
    return None if found is None else found.values


def _walk(value: Any, found: Located, originals: dict[str, str]) -> Iterator[tuple[Path, Path, Any]]:
    stack: list[tuple[Any, Path, Path]] = [(value, (), ())]
    while stack:
        one, path, place = stack.pop()
        if isinstance(one, dict):
            if not one:
                yield path, place, {}
            stack += [(item, (*path, str(key)), (*place, str(key))) for key, item in reversed(list(one.items()))]
        elif isinstance(one, list):
            if not one:
                yield path, place, []
            label = _label(one)
            shown = [_shown(item, originals) for item in one]
            (found.named if label else found.lists)[place] = shown
            for number in range(len(one) - 1, -1, -1):
                named = f"[{one[number][label]}]" if label else number
                stack.append((one[number], (*path, named), (*place, number)))
        else:
            yield path, place, one


def _label(items: list[Any]) -> str:
    for label in _NAMES:
        names = [item.get(label) for item in items if isinstance(item, dict)]
        if (
            len(names) == len(items)
            and all(isinstance(name, (str, int)) for name in names)
            and len(set(names)) == len(names)
        ):
            return label
    return ""


def _shown(value: Any, originals: dict[str, str]) -> Any:
    if isinstance(value, str):
        if originals and "zq" in value:
            for token, original in originals.items():
                if token in value:
                    value = value.replace(token, original)
        return value
    if isinstance(value, dict):
        return {key: _shown(item, originals) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item, originals) for item in value]
    return value


def _others_equal(old: list[Any], new: list[Any], index: int) -> bool:
    return len(old) == len(new) and all(
        a == b for number, (a, b) in enumerate(zip(old, new, strict=True)) if number != index
    )


def _steers(path: Path, depth: int) -> bool:
    """Whether the key at this depth says where something goes, and what stands below it there has a part in that."""
    if not names_destination(str(path[depth])):
        return False
    leaf = next((part for part in reversed(path) if isinstance(part, str) and not part.startswith("[")), "")
    return leaf == path[depth] or not is_harmless(leaf)


def _name(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else part if part.startswith("[") else f".{part}" if text else part
    return text or "the document"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _ALPHABET[rest] + digits
    return digits or "0"
