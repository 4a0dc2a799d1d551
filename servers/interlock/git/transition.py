"""One change of a repository as a value: what each ref, file, index and administrative file is before and after.

Every changing tool only works out a Transition; `snapshot` captures its before, `applying` carries it out and puts it
back, `undo` turns it round. So there is one way to change a repository, and one to put it back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .worktree import CHUNK, State

if TYPE_CHECKING:
    import pygit2

    from .repositories import Facts


@dataclass(frozen=True, slots=True)
class RefMove:
    """A ref's target before and after: an id in hex, `ref: NAME` for a symbolic one, None for none."""

    name: str
    old: str | None
    new: str | None
    message: str = ""  # for the reflog


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes in a snapshot's pack of files."""

    pack: Path
    offset: int
    length: int

    def chunks(self) -> Iterator[bytes]:
        with self.pack.open("rb") as source:
            source.seek(self.offset)
            left = self.length
            while left and (chunk := source.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk


@dataclass(frozen=True, slots=True)
class FileMove:
    """A path of the work tree before and after; None: nothing there. `content` is called when it is written."""

    path: str
    old: State | None
    new: State | None
    content: Callable[[], Iterator[bytes]] | None = None


@dataclass(frozen=True, slots=True)
class AdminMove:
    """A small file below the repository's own folders (MERGE_HEAD, a reflog); bytes before and after."""

    name: str  # relative to `common` when it starts with `logs/refs`, else to the work tree's own folder
    old: bytes | None
    new: bytes | None

    def place(self, facts: Facts) -> Path:
        return (facts.common if self.name.startswith(("logs/refs", "config")) else facts.gitdir) / self.name


@dataclass(slots=True)
class Transition:
    """Everything that one change does to one repository. Nothing has happened yet."""

    facts: Facts
    refs: list[RefMove] = field(default_factory=list)
    files: list[FileMove] = field(default_factory=list)
    admin: list[AdminMove] = field(default_factory=list)
    # The index after: filled in by a function on an index that holds what it held, or taken from a file as it is.
    index: Callable[[pygit2.Index], None] | None = None
    index_file: Path | None = None
    drop_index: bool = False
    keep: list[str] = field(default_factory=list)  # commits to keep beside those that the refs named
    blobs: list[tuple[str, Kept]] = field(default_factory=list)  # objects that the new index needs again
    remote: dict[str, Any] | None = None  # what it does at the other end: remote, ref, old, new, started

    @property
    def touches_index(self) -> bool:
        return self.index is not None or self.index_file is not None or self.drop_index

    def size(self) -> int:
        """Bytes that its snapshot will take, for the account."""
        own = sum(move.old.size for move in self.files if move.old is not None)
        if self.touches_index:
            with contextlib.suppress(OSError):
                own += 2 * (self.facts.gitdir / "index").stat().st_size
        return own + sum(len(move.old or b"") for move in self.admin)

    def paths(self) -> list[str]:
        return [move.path for move in self.files]


def as_json(state: State | None) -> Any:
    return None if state is None else [state.kind, state.mode, state.size, state.digest, state.mtime]


def from_json(value: Any) -> State | None:
    return None if value is None else State(*value)
