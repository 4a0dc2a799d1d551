"""Keeps a running server within the bounds it was started with: a reload may narrow them, never widen them.

A server is confined to its bounds when it starts, so what a later edit adds could only half work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

# The keys of each section that are bounds. A section of a server that is not named here is a bound as a whole.
BOUNDS: Final[Mapping[str, tuple[str, ...]]] = {
    "files": ("roots", "clean_up"),
    "git": ("repositories", "remotes"),
    "kubectl": ("kubeconfig", "contexts", "kinds", "registries"),
    "logs": ("sources", "analyze", "sandbox"),
}

_EMPTY_IS_ANY: Final = frozenset(["registries"])


def narrowed(
    start: Mapping[str, BaseModel], new: Mapping[str, BaseModel]
) -> tuple[dict[str, BaseModel], tuple[str, ...]]:
    """The new sections without what they add to the bounds at start; and what that was, in words."""
    kept: dict[str, BaseModel] = {}
    added: list[str] = []
    for name, section in new.items():
        if name not in start:
            added.append(name)
            continue
        update: dict[str, Any] = {}
        for key in BOUNDS.get(name, tuple(type(section).model_fields)):
            before, after = getattr(start[name], key, None), getattr(section, key, None)
            value, more = _narrow_choice(before, after) if key in _EMPTY_IS_ANY else _narrow(before, after)
            if more:
                added += [f"{name}.{key}: {what}" for what in more]
                update[key] = value
        kept[name] = section.model_copy(update=update) if update else section
    return kept, tuple(added)


def _narrow_choice(old: Any, new: Any) -> tuple[Any, list[str]]:
    """The same for a tuple that means `any` when it is empty."""
    if not old:
        return new, []
    return (old, ["any"]) if not new else _narrow(old, new)


def _narrow(old: Any, new: Any) -> tuple[Any, list[str]]:
    """What of `new` is within `old`, and what is not."""
    if old == new:
        return new, []
    if isinstance(new, tuple) and isinstance(old, tuple):
        if any(hasattr(item, "access") for item in old):
            return _narrow_roots(old, new)
        kept = tuple(item for item in new if item in old)
        more = [_name(item) for item in new if item not in old]
        return kept, more
    if isinstance(new, dict) and isinstance(old, dict):
        return _narrow_mapping(old, new)
    return old, ["changed"]


def _narrow_roots(old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[str]]:
    """The same for folders with an access, where the innermost one decides: taking an inner one away may widen."""
    kept = [root for root in new if _held(old, root.path) in (root.access, "write")]
    more = [_name(root) for root in new if root not in kept]
    for root in old:
        if root.access == "read" and _held(kept, root.path) == "write":
            kept.append(root)
            more.append(f"{root.path} (write)")
    return tuple(kept), more


def _held(roots: Sequence[Any], path: Path) -> str:
    """The access to a folder: of the innermost root that holds it. "" where there is none."""
    holding = [root for root in roots if path.is_relative_to(root.path)]
    return max(holding, key=lambda root: len(root.path.parts)).access if holding else ""


def _narrow_mapping(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    kept: dict[str, Any] = {}
    more: list[str] = []
    for key, value in new.items():
        if key not in old:
            more.append(key)
        elif isinstance(value, BaseModel) and (wanted := getattr(value, "namespaces", None)) is not None:
            namespaces, added = _narrow(old[key].namespaces, wanted)
            scoped, also = _narrow(getattr(old[key], "cluster_scoped", ()), getattr(value, "cluster_scoped", ()))
            kept[key] = value.model_copy(update={"namespaces": namespaces, "cluster_scoped": scoped})
            more += [f"{key} {item}" for item in added + also]
        else:
            value, added = (value, []) if value == old[key] else (old[key], [key])
            kept[key] = value
            more += added
    return kept, more


def _name(item: Any) -> str:
    path, access = getattr(item, "path", None), getattr(item, "access", None)
    return f"{path} ({access})" if path is not None else str(item)
