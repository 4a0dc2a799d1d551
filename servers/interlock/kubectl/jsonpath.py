"""The part of kubectl's JSON paths that selects: `.spec.containers[*].image`, `.items[0]`, quoted keys. No filters."""

from __future__ import annotations

import re
from typing import Any, Final

from interlock.guard.errors import Code, Refused

_STEP: Final = re.compile(
    r"\.?(?:\[(\*|-?\d{1,6}|'[^']{1,200}'|\"[^\"]{1,200}\")\]|\"([^\"]{1,200})\"|(\*|[A-Za-z0-9_$@][A-Za-z0-9_$@/-]*))"
)


def parse(path: str) -> list[str | int]:
    """The steps of a path: keys, places, `*`. Raises Refused (invalid)."""
    steps: list[str | int] = []
    at = 0
    path = path.removeprefix("$")
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise Refused(
                Code.INVALID, "this JSON path cannot be read", hint='keys, [0], [*] and "quoted.keys" are understood'
            )
        item, quoted, word = match.groups()
        if item is not None and item not in ("*",) and item[0] not in "'\"":
            steps.append(int(item))
        else:
            steps.append((item or quoted or word).strip("'\""))
        at = match.end()
    return steps


def select(value: Any, steps: list[str | int]) -> list[Any]:
    """Everything that the path leads to."""
    found = [value]
    for step in steps:
        reached: list[Any] = []
        for one in found:
            if step == "*":
                reached += list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
            elif isinstance(step, int):
                reached += one[step : step + 1 or None] if isinstance(one, list) else []
            elif isinstance(one, dict) and step in one:
                reached.append(one[step])
        found = reached
    return found
