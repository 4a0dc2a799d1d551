"""Objects as objects: YAML, JSON, chosen paths, Secrets' keys. Tables of kubectl's own making are in `reading`.

A page of them is read, redacted whole, and only then selected from.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Result

from . import jsonpath
from .arguments import COLUMNS, Get
from .bounds import EVERYWHERE, Bounds
from .objects import Object, Target, dump, metadata, named

if TYPE_CHECKING:
    from .tools import Kubectl

MARGIN: Final = 600  # characters of an answer that are not the cluster's
_CHUNK: Final = 500  # objects of one request
_MOST: Final = 10_000  # objects that one call reads


@dataclass(slots=True)
class _Found:
    items: list[tuple[Target, Object]] = field(default_factory=list)
    unread: int | None = 0  # how many more there are; None: nobody counted them


def run_objects(kubectl: Kubectl, call: Call, args: Get, targets: Sequence[Target], bounds: Bounds) -> Result:
    """One page of objects, in the form that was asked for."""
    first, offset = targets[0], offset_of(args.cursor)
    found = _Found()
    for target in targets:
        _read(kubectl, args, target, bounds, found, offset + args.limit)
    page = found.items[offset : offset + args.limit]
    room = call.policy.limits.result_chars - MARGIN
    if args.path:
        text, count, redactions = _selected(kubectl, args, first, page, room)
        header = f"{first.text} {args.path}"
    elif args.output in ("table", "wide", "name"):
        return secrets(first, *_shown(kubectl, page), header=_header(first, found, offset, len(page)))
    else:
        text, count, redactions = _whole(kubectl, args, page, room)
        header = f"{first.context}/{first.namespace or 'cluster'}"
    if not first.name or not args.path:
        header = _header(first, found, offset, count, header)
    return Result(text, header=header, untrusted=True, redactions=redactions, truncated=count < len(page))


def _header(first: Target, found: _Found, offset: int, count: int, head: str = "") -> str:
    total, exact = len(found.items) + (found.unread or 0), found.unread is not None
    head = head or f"{first.context}/{first.namespace or 'cluster'}"
    head += f": {total} found" if exact else f": more than {total} found"
    more = offset + count < total or not exact
    if more or offset:
        head += f", {offset + 1}-{offset + count} shown" if count else ", none shown"
    return f"{head}; more with cursor={cursor_of(offset + count)}" if more and count else head


def _read(kubectl: Kubectl, args: Get, target: Target, bounds: Bounds, found: _Found, wanted: int) -> None:
    """Go on with one kind until enough is found; what lies outside the bounds is not even counted."""
    if target.name:
        found.items.append((target, kubectl.cluster.get(target.context, target.path)))
        return
    if len(found.items) >= wanted:
        found.unread = None
        return
    query = {"labelSelector": args.selector} if args.selector else {}
    query |= {"fieldSelector": args.field_selector} if args.field_selector else {}
    everywhere = target.namespace == EVERYWHERE
    path, read = target.resource.path("" if everywhere else target.namespace), 0
    while True:
        size = str(_CHUNK if everywhere else min(_CHUNK, wanted - len(found.items)))
        answer = kubectl.cluster.get(target.context, path, **query, limit=size)
        for one in answer.get("items") or ():
            read += 1
            where = str(metadata(one).get("namespace") or "")
            if target.resource.namespaced and not bounds.in_namespaces(target.context, where):
                continue
            one = {"apiVersion": target.resource.api_version, "kind": target.resource.kind, **one}
            found.items.append((Target(target.context, target.resource, where, named(one)), one))
        query["continue"] = str(metadata(answer).get("continue") or "")
        if not query["continue"]:
            return
        if len(found.items) >= wanted or read >= _MOST:
            left = metadata(answer).get("remainingItemCount")
            if isinstance(left, int) and not everywhere and found.unread is not None:
                found.unread += left
            else:
                found.unread = None
            return


def every(kubectl: Kubectl, args: Get, target: Target, bounds: Bounds) -> list[tuple[Target, Object]]:
    """All objects of a kind that a selection matches within bounds, up to a bound of their number."""
    found = _Found()
    _read(kubectl, args, target, bounds, found, _MOST)
    return found.items


def _shown(kubectl: Kubectl, page: list[tuple[Target, Object]]) -> tuple[list[Object], int]:
    redactions, shown = 0, []
    for target, one in page:
        made, count = kubectl.shower.shown(one, target.text)
        redactions += count
        shown.append(made)
    return shown, redactions


def _whole(kubectl: Kubectl, args: Get, page: list[tuple[Target, Object]], room: int) -> tuple[str, int, int]:
    """(text, how many, redactions) of as many objects as fit, at least one."""
    texts: list[str] = []
    redactions = 0
    for target, one in page:
        made, count = kubectl.shower.shown(one, target.text)
        text = dump(made) if args.output == "yaml" else json.dumps(made, ensure_ascii=False, separators=(",", ":"))
        if texts and len(text) > room:
            break
        texts.append(text.rstrip("\n"))
        redactions += count
        room -= len(text) + 4
    return ("\n---\n" if args.output == "yaml" else "\n").join(texts), len(texts), redactions


def _selected(
    kubectl: Kubectl, args: Get, first: Target, page: list[tuple[Target, Object]], room: int
) -> tuple[str, int, int]:
    """The same of what a path chooses: of each object, or of all of them as one list."""
    shown, redactions = _shown(kubectl, page)
    if args.path.startswith(COLUMNS):
        heads, paths = jsonpath.columns(args.path.removeprefix(COLUMNS))
        rows = [heads, *([jsonpath.words(jsonpath.select(one, path)) or "<none>" for path in paths] for one in shown)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        head, *lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        kept = _fitting(lines, room - len(head))
        return "\n".join([head, *kept]), len(kept), redactions
    whole = [{"items": shown}] if ".items" in args.path and not first.name else shown
    parts = jsonpath.template(args.path)
    if parts is not None:
        lines = [jsonpath.render(one, parts) for one in whole]
    else:
        steps = jsonpath.parse(args.path)
        labelled = whole is shown and not first.name and len(shown) > 1
        lines = [(f"{named(one)}  " if labelled else "") + jsonpath.words(jsonpath.select(one, steps)) for one in whole]
    if whole is not shown:
        return "\n".join(lines), len(page), redactions
    kept = _fitting(lines, room)
    return "\n".join(kept), len(kept), redactions


def _fitting(lines: list[str], room: int) -> list[str]:
    for count, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0 and count:
            return lines[:count]
    return lines


def secrets(first: Target, shown: list[Object], redactions: int, header: str = "") -> Result:
    """Secrets by their keys, other objects by their names."""
    lines = []
    for one in shown:
        if one.get("kind") != "Secret":
            lines.append(f"{one.get('kind', '')} {named(one)}")
            continue
        lines.append(f"{named(one)}  type={one.get('type', 'Opaque')}")
        lines += [f"  {key}  {value}" for key, value in (one.get("data") or {}).items()]
    header = header or f"{first.context}/{first.namespace or 'cluster'}: {len(shown)} found"
    header += "; values of Secrets are never shown"
    return Result("\n".join(lines), header=header, untrusted=True, redactions=redactions)


def cursor_of(offset: int) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(str(offset).encode()).decode().rstrip("=")


def offset_of(cursor: str) -> int:
    """The inverse of `cursor_of`; 0 where there is none. Raises Refused."""
    if not cursor:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except ValueError:
        raise Refused(Code.INVALID, "this cursor is not one of ours", hint="ask without a cursor") from None
