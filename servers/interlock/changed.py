"""Which key paths differ between two documents, by parsed values. For rules and previews; it writes nothing.

A path is the keys from the root, joined by `.`; an item of a list is `[NAME]` by its `name`, `key` or `id`, else
`[0]` by its place; a key that holds `.`, `[`, `]` or a quote is quoted as in JSON. `""` is the root itself.
Several documents in one file are told apart by a first part `#0`, `#1`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from interlock.documents import DocumentError, load_documents
from interlock.guard.model import UNKNOWN, Unknown

NAMES: Final = ("name", "key", "id")  # what tells the items of a list apart, the first that all items have


def changed(old: str, new: str, kind: str) -> tuple[str, ...] | Unknown:
    """The sorted key paths that differ. `kind` is yaml, json or toml; a file that is not there is `""`.

    UNKNOWN when either text cannot be read for certain: templates, duplicate keys, aliases, broken syntax.
    """
    if old == new:
        return ()
    if not old.strip() or not new.strip():
        return ("",) if old.strip() != new.strip() else ()
    try:
        before, after = load_documents(old, kind), load_documents(new, kind)
    except DocumentError:
        return UNKNOWN
    if len(before) == len(after) == 1:
        return changed_values(before[0], after[0])
    paths = [
        f"#{i}" + ("." + path if path and not path.startswith("[") else path)
        for i in range(min(len(before), len(after)))
        for path in changed_values(before[i], after[i])
    ]
    paths += [f"#{i}" for i in range(min(len(before), len(after)), max(len(before), len(after)))]
    return tuple(sorted(paths))


def changed_values(old: Any, new: Any) -> tuple[str, ...]:
    """The sorted key paths that differ between two parsed values; `("",)` when they are of different shape."""
    found: set[str] = set()
    _compare(old, new, "", found)
    return tuple(sorted(found))


def covers(pattern: str, path: str) -> bool:
    """Whether a pattern of a rule covers a changed path: the path itself or anything below it.

    `*` stands for one part (a key or an item), `**` for any number of parts, `[*]` for any item. A pattern that
    names no document holds for each document of a file.
    """
    wanted, parts = split(pattern), split(path)
    if path.startswith("#") and not pattern.startswith("#"):  # a key that begins so is quoted
        parts = parts[1:]
        if not parts and wanted:
            return False
    return _covers(wanted, parts)


@lru_cache(4096)
def split(path: str) -> tuple[str, ...]:
    """The parts of a key path, as written: keys (quoted ones unquoted, with a leading NUL) and items with brackets.

    Raises ValueError when it is no key path.
    """
    parts: list[str] = []
    i = 0
    while i < len(path):
        c = path[i]
        if c == ".":
            if i == 0 or i + 1 == len(path) or path[i + 1] in ".[":
                raise ValueError("a `.` stands between two keys")
            i += 1
        elif c == "[":
            end = _end_of_item(path, i)
            parts.append(path[i:end])
            i = end
            if i < len(path) and path[i] not in ".[":
                raise ValueError("after `]` comes `.`, `[` or the end")
        elif c == '"':
            key, length = _quoted(path, i)
            parts.append(_plain(key))
            i += length
            if i < len(path) and path[i] not in ".[":
                raise ValueError("after a quoted key comes `.`, `[` or the end")
        else:
            end = min((at for at in (path.find(".", i), path.find("[", i)) if at >= 0), default=len(path))
            if '"' in path[i:end] or "]" in path[i:end]:
                raise ValueError("a key that holds quotes or brackets is written in quotes")
            parts.append(path[i:end])
            i = end
    return tuple(parts)


def _compare(old: Any, new: Any, path: str, found: set[str]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            below = _below(path, key)
            if key in old and key in new:
                _compare(old[key], new[key], below, found)
            else:
                found.add(below)
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, found)
    elif type(old) is not type(new) or old != new:
        found.add(path)


def _compare_lists(old: list[Any], new: list[Any], path: str, found: set[str]) -> None:
    name = _naming(old, new)
    if name is None:
        for i in range(max(len(old), len(new))):
            if i < len(old) and i < len(new):
                _compare(old[i], new[i], f"{path}[{i}]", found)
            else:
                found.add(f"{path}[{i}]")
        return
    before, after = {item[name]: item for item in old}, {item[name]: item for item in new}
    for key in before.keys() | after.keys():
        below = f"{path}[{_item(key)}]"
        if key in before and key in after:
            _compare(before[key], after[key], below, found)
        else:
            found.add(below)
    if [key for key in before if key in after] != [key for key in after if key in before]:
        found.add(path)  # what stayed is in another order, and order can matter


def _naming(old: list[Any], new: list[Any]) -> str | None:
    """The key by which the items of both lists can be told apart."""
    for name in NAMES:
        if (old or new) and all(
            all(isinstance(item, dict) and type(item.get(name)) is str and item[name] for item in items)
            and len({item[name] for item in items}) == len(items)
            for items in (old, new)
        ):
            return name
    return None


def _below(path: str, key: Any) -> str:
    text = key if isinstance(key, str) else json.dumps(key)
    written = text if _simple(text) else json.dumps(text, ensure_ascii=False)
    return f"{path}.{written}" if path else written


def _simple(text: str) -> bool:
    return bool(text) and not any(c in '.[]"' or c == "*" for c in text) and not text.startswith("#")


def _item(name: str) -> str:
    plain = bool(name) and not any(c in '[]"*' for c in name) and not name.isdecimal()
    return name if plain else json.dumps(name, ensure_ascii=False)


def _end_of_item(path: str, start: int) -> int:
    if path[start + 1 : start + 2] == '"':
        _, length = _quoted(path, start + 1)
        end = start + 1 + length
        if path[end : end + 1] != "]":
            raise ValueError("`[` is not closed")
        return end + 1
    end = path.find("]", start)
    if end < 0 or end == start + 1:
        raise ValueError("`[` is not closed" if end < 0 else "`[]` names no item (any item is `[*]`)")
    return end + 1


def _quoted(path: str, start: int) -> tuple[str, int]:
    try:
        value, end = json.JSONDecoder().raw_decode(path, start)
    except ValueError:
        raise ValueError("a quoted key is not closed") from None
    return value, end - start


def _plain(key: str) -> str:
    """A quoted key is never a wildcard."""
    return "\0" + key if key in ("*", "**") else key


def _covers(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_covers(pattern[1:], path[i:]) for i in range(len(path) + 1))
    if not path:
        return False
    head = pattern[0]
    if head == "*" or head == path[0] or (head == "[*]" and path[0].startswith("[")):
        return _covers(pattern[1:], path[1:])
    return False
