"""Values that an agent sends where the live object holds a hidden one: whether the two are the same is not told.

Else a short secret could be found by trying: a preview would say which guess changes nothing.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from .objects import Object, Shower, Target
from .placeholders import marked, partner

_WHOLE: Final = re.compile(r"\[secret:[^\]]{1,80}\]")


def untold(shower: Shower, sent: Any, live: Object | None, after: Object, target: Target) -> tuple[Object, list[str]]:
    """`after` as it may be compared and shown, with the live values back in such places; and these places."""
    if live is None:
        return after, []
    shown, shown_after = shower.shown(live, target.text)[0], shower.shown(after, target.text)[0]
    made = copy.deepcopy(after)
    if isinstance(sent, dict) and live.get("kind") == "Secret" and isinstance(sent.get("stringData"), dict):
        sent = {**sent, "data": {**(sent.get("data") or {}), **sent["stringData"]}}
    places: list[str] = []

    def walk(value: Any, old: Any, raw: Any, new: Any, new_shown: Any, path: str) -> Any:
        """What stands in `made` here."""
        if isinstance(value, str):
            given = isinstance(raw, str) and isinstance(new, str) and raw != old and not marked(value)
            if given and (new_shown == old or _WHOLE.fullmatch(str(new_shown))):
                places.append(path)
                return raw
        elif isinstance(value, dict) and all(isinstance(one, dict) for one in (old, raw, new, new_shown)):
            for key, item in value.items():
                if key in new and key in raw:
                    new[key] = walk(item, old.get(key), raw[key], new[key], new_shown.get(key), f"{path}.{key}")
        elif isinstance(value, list) and isinstance(new, list):
            for place, item in enumerate(value):
                one, one_raw = partner(item, place, value, old, raw)
                at = _place(item, place, new)
                if one_raw is not None and at is not None and isinstance(new_shown, list) and at < len(new_shown):
                    new[at] = walk(item, one, one_raw, new[at], new_shown[at], f"{path}[{place}]")
        return new

    return walk(sent, shown, live, made, shown_after, ""), [path.lstrip(".") for path in places]


def _place(item: Any, place: int, items: list[Any]) -> int | None:
    """Where an item of what is sent stands in what came of it."""
    name = item.get("name") if isinstance(item, dict) else None
    if isinstance(name, str):
        found = [at for at, one in enumerate(items) if isinstance(one, dict) and one.get("name") == name]
        return found[0] if len(found) == 1 else None
    return place if place < len(items) else None


def noted(diff: str, places: list[str]) -> str:
    """A diff with what it does not tell."""
    return "\n".join([*filter(None, [diff]), *(f"# a hidden value is given anew: {place}" for place in sorted(places))])
