"""What there is of an entry and all below it, and the actions that a change of it is: one for each entry.

A user's rule on a path holds whichever way the path is reached: a tree that goes is so many deletes, and one that
moves is so many reads and writes. Not for deciding on them, nor for acting.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import UNKNOWN, Action
from interlock.path_names import shown
from interlock.paths import mounts_below

from .bounds import Bounds
from .plans import changed_keys
from .trees import MAX_ENTRIES, MAX_SECONDS, Entry, walk

if TYPE_CHECKING:
    from .redacted import Reader

NAMED: Final = 500  # entries of one tree with an action each; the rest have one together, whose path is UNKNOWN
_PATIENT: Final = 120.0  # seconds that looking through a tree may take which must come back


@dataclass(frozen=True, slots=True)
class Child:
    """One entry in a tree."""

    path: str  # below the top
    size: int
    tree: bool
    mark: str  # size, time and number: it is the same entry, unchanged


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of an entry and all below it."""

    files: int
    size: int
    tree: bool
    mark: str  # of path, kind, size, time and number of every entry
    names: str = ""  # of the paths and kinds in it alone
    children: tuple[Child, ...] = ()  # at most NAMED, in order of their paths
    rest: int = 0  # entries beyond those
    rest_size: int = 0
    protected: str = ""  # the first protected path in it, or in it where it would be moved to
    own: bool = False
    mount: bool = False


def extent(
    bounds: Bounds, folder: int, name: str, real: str, found: os.stat_result, to: str = "", *, patient: bool = False
) -> Extent:
    """Count an entry whole and look for protected names in it, and in it where it would be moved `to`.

    `patient`: more and longer than else, for what must be put back. Raises TooMuch where it is too large to be known.
    """
    own = bounds.own(real, tree=True)
    top_mark = f"{found.st_dev}:{mark_of(found)}"
    if not stat.S_ISDIR(found.st_mode):
        return Extent(1, _held(found), False, top_mark, own=own)
    if any(root.startswith(real + "/") or root == real for root in bounds.paths):
        raise Refused(Code.OUT_OF_BOUNDS, f"{shown(real)} holds a root of the policy", hint="name what is inside it")
    size, mount = 0, mounts_below(real)
    protected: tuple[int, str] | None = None
    marks: list[bytes] = []
    names: list[bytes] = []
    children: list[Child] = []
    named = 0
    most, seconds = (2 * MAX_ENTRIES, _PATIENT) if patient else (MAX_ENTRIES, MAX_SECONDS)
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        for entry in walk(top, real, entries=most, seconds=seconds):
            assert entry.stat is not None
            size += _held(entry.stat)
            child = _child(entry)
            marks.append(_short(f"{child.mark}:{child.path}"))
            names.append(_short(f"{child.tree}:{child.path}"))
            if len(children) < NAMED:
                children.append(child)
                named += child.size
            for number, top_path in enumerate((real, to) if to else (real,)):
                path = f"{top_path}/{entry.path}"
                if (not protected or (number, path) < protected) and bounds.protected(path, change=True):
                    protected = (number, path)
            mount = mount or (entry.is_folder and entry.stat.st_dev != found.st_dev)
    finally:
        os.close(top)
    return Extent(
        files=1 + len(marks),
        size=size,
        tree=True,
        mark=f"{found.st_dev}:{found.st_ino}:{_together(marks)}",
        names=_together(names),
        children=tuple(sorted(children, key=lambda child: child.path)),
        rest=len(marks) - len(children),
        rest_size=size - named,
        protected=protected[1] if protected else "",
        own=own,
        mount=mount,
    )


def mark_of(found: os.stat_result) -> str:
    """Kind, size, time and number of an entry."""
    return f"{stat.S_IFMT(found.st_mode):o}:{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"


def _child(entry: Entry) -> Child:
    assert entry.stat is not None
    return Child(entry.path, _held(entry.stat), entry.is_folder, mark_of(entry.stat))


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _together(marks: list[bytes]) -> str:
    """One digest of all, whatever the order in which the system gave them."""
    marks.sort()
    return hashlib.sha256(b"".join(marks)).hexdigest()


def _held(found: os.stat_result) -> int:
    """Bytes that an entry really takes: holes take none."""
    return min(found.st_size, found.st_blocks * 512)


def same_names(bounds: Bounds, real: str, looked: Extent, to: str = "") -> Callable[[int, str], str]:
    """A check in the act: why the tree, as it is now, is not what was decided on. "" when it is."""

    def why_not(folder: int, name: str) -> str:
        now = extent(bounds, folder, name, real, os.lstat(name, dir_fd=folder), to)
        if now.protected or now.own or now.mount:
            return "something protected came into it meanwhile"
        return "" if now.names == looked.names else "something came into it, or left it, meanwhile"

    return why_not


# ---------------------------------------------------------------- actions


def below(
    bounds: Bounds, reader: Reader, verb: str, real: str, found: Extent, to: str = "", **more: Any
) -> list[Action]:
    """The actions on what is in a tree: `verb` on each entry; the attribute `to` for each where it is a move."""
    actions = [
        bounds.action(
            verb,
            f"{real}/{child.path}",
            effect=reader.digest(child.mark),
            to=f"{to}/{child.path}" if to else None,
            **_about(verb, f"{real}/{child.path}", child),
            **more,
        )
        for child in found.children
    ]
    if found.rest:
        actions.append(_unnamed(bounds, reader, verb, real, found, to, more))
    return actions


def _about(verb: str, path: str, child: Child) -> dict[str, Any]:
    if verb == "read":
        return {"size": child.size}
    flags: dict[str, Any] = {"files": 1, "size": child.size}
    if verb == "write":
        return {**flags, "exists": False, "changed": None if child.tree else changed_keys(path, None, b"")}
    return flags if verb == "clean_up" else {**flags, "tree": child.tree}


def _unnamed(
    bounds: Bounds, reader: Reader, verb: str, real: str, found: Extent, to: str, more: dict[str, Any]
) -> Action:
    """One action for all beyond NAMED: every deny and every ask with `where: path` matches it."""
    about: dict[str, Any] = {"size": found.rest_size}
    if verb != "read":
        about["files"] = found.rest
    if verb in ("move", "delete"):
        about["tree"] = UNKNOWN
    if verb == "write":
        about |= {"exists": False, "changed": UNKNOWN}
    if to:
        about["to"] = UNKNOWN
    made = bounds.action(verb, f"{real}/…", effect=reader.digest(found.mark), **{**about, **more})
    return bounds.with_flags(made, path=UNKNOWN, protected=False, own=False)


def moved(bounds: Bounds, reader: Reader, source: str, target: str, found: Extent) -> list[Action]:
    """The actions on what is in a tree that moves: it is read, moved, and written where it comes to."""
    return [
        *below(bounds, reader, "read", source, found),
        *below(bounds, reader, "move", source, found, target),
        *below(bounds, reader, "write", target, found),
    ]


def hidden_otherwise(bounds: Bounds, source: str, target: str, found: Extent) -> tuple[str, ...]:
    """A reason to ask, where the policy's `redaction.sources` hide more (or less) of a file where it comes to."""
    if not bounds.sources:
        return ()
    pairs: Sequence[tuple[str, str]] = [
        (source, target),
        *((f"{source}/{child.path}", f"{target}/{child.path}") for child in found.children),
    ]
    differs = any(bounds.hides(one) != bounds.hides(other) for one, other in pairs)
    if not differs and not found.rest:
        return ()
    where = f"{shown(source)} and {shown(target)}"
    return (f"the policy's redaction.sources may hide different values of it at {where}",)
