"""Conflicts as data: what git would write into each file, and the parts that clash, from redacted texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from interlock.guard.model import Call

from .contents import short_line, shown_path
from .repositories import Facts

if TYPE_CHECKING:
    import pygit2

    from .tools import Git

HUNKS: Final = 2500  # characters of conflict hunks in one answer


def path_of(stages: Iterable[pygit2.IndexEntry | None]) -> str:
    """The path of a conflict: any of its stages bears it."""
    return str(next(entry.path for entry in stages if entry is not None))


def conflict_texts(repo: pygit2.Repository, merged: pygit2.Index) -> dict[str, bytes]:
    """What git would write into each conflicted file: both sides with marks, or the side that is left."""
    import pygit2

    texts: dict[str, bytes] = {}
    for ancestor, ours, theirs in merged.conflicts or ():
        path = path_of((ours, theirs, ancestor))
        if ours is not None and theirs is not None:
            try:
                texts[path] = repo.merge_file_from_index(ancestor, ours, theirs).contents.encode()
            except (UnicodeDecodeError, pygit2.GitError):  # no text: our side stays, as git does
                mine = repo.get(ours.id)
                texts[path] = mine.data if isinstance(mine, pygit2.Blob) else b""
        else:
            left = ours or theirs or ancestor
            blob = repo.get(left.id) if left is not None else None
            texts[path] = blob.data if isinstance(blob, pygit2.Blob) else b""
    return texts


def conflict_hunks(git: Git, facts: Facts, call: Call, texts: dict[str, bytes]) -> str:
    """The conflicting parts, from redacted texts."""
    out: list[str] = []
    used = 0
    for path, data in texts.items():
        shown = git.contents.raw(data, path, facts.name, call.policy)
        out.append(f"--- {shown_path(path)}{f' ({shown.note})' if shown.note else ''}")
        inside = False
        for line in (shown.text or "").split("\n"):
            inside = inside or line.startswith("<<<<<<< ")
            if inside and used < HUNKS:
                out.append(short_line(line))
                used += len(line)
            if line.startswith(">>>>>>> "):
                inside = False
        if used >= HUNKS:
            out.append("… [more conflicts are not shown]")
            break
    return "\n".join(out)
