"""Diffs between two sides, made from redacted texts: the list of files first, hunks on demand.

libgit2 finds which files differ; their hunks come from comparing the redacted sides, so nothing is cut out of a raw
diff. Text only; not for deciding what may be asked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .contents import Contents, Shown, short_line, shown_path
from .repositories import Facts
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

FILES_COUNTED: Final = 300  # files whose lines are counted for the list; of more only the names are given
_STATUS: Final = {1: "A", 2: "D", 3: "M", 4: "R", 5: "C", 8: "T", 10: "U", 7: "?"}
_EMPTY: Final = Shown("")


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that differs. Ids are hex; a new side in the work tree has none (`live`)."""

    status: str  # A D M R C T
    old_path: str
    path: str
    old_id: str
    new_id: str
    old_mode: int
    new_mode: int
    live: bool


@dataclass(slots=True)
class FilePatch:
    """One file's hunks and how many lines they add and remove; `note` where there are none to show."""

    changed: Changed
    added: int = 0
    removed: int = 0
    lines: Sequence[str] = ()
    note: str = ""
    redactions: int = 0

    def summary(self) -> str:
        """One line of the list: status, path, counts."""
        changed = self.changed
        name = shown_path(changed.path)
        if changed.status in "RC" and changed.old_path != changed.path:
            name = f"{shown_path(changed.old_path)} -> {name}"
        counts = f" +{self.added} -{self.removed}" if self.added or self.removed else ""
        mode = ""
        if changed.old_mode != changed.new_mode and changed.status not in "AD":
            mode = f" mode {changed.old_mode:o} -> {changed.new_mode:o}"
        return f"{changed.status} {name}{counts}{mode}{f' ({self.note})' if self.note else ''}"


def changed_files(diff: pygit2.Diff, live: bool) -> list[Changed]:
    """The files of a libgit2 diff. `live`: its new side is the work tree."""
    found = []
    for delta in diff.deltas:
        old, new = delta.old_file, delta.new_file
        status = _STATUS.get(int(delta.status), "M")
        if status == "?":
            status = "A"
        found.append(
            Changed(
                status,
                _text(old.raw_path),
                _text(new.raw_path),
                str(old.id),
                str(new.id),
                int(old.mode),
                int(new.mode),
                live,
            )
        )
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class Patches:
    """Makes file patches for one repository."""

    def __init__(self, repo: pygit2.Repository, facts: Facts, contents: Contents, policy: Policy) -> None:
        self._repo = repo
        self._facts = facts
        self._contents = contents
        self._policy = policy

    def make(self, changed: Changed, context: int = 3) -> FilePatch:
        """Compare the two redacted sides."""
        import pygit2

        old = _EMPTY if changed.status == "A" else self._stored(changed.old_id, changed.old_mode, changed.old_path)
        new = _EMPTY if changed.status == "D" else self._new(changed)
        note = new.note or old.note
        if old.text is None or new.text is None:
            return FilePatch(changed, note=note)
        # libgit2 points into these buffers as long as the patch is read.
        old_bytes, new_bytes = old.text.encode("utf-8", "replace"), new.text.encode("utf-8", "replace")
        patch = pygit2.Patch.create_from(old_bytes, new_bytes, context_lines=context)
        lines: list[str] = []
        _, added, removed = patch.line_stats
        for hunk in patch.hunks:
            lines.append(f"@@ -{hunk.old_start},{hunk.old_lines} +{hunk.new_start},{hunk.new_lines} @@")
            for line in hunk.lines:
                if line.origin in " +-":
                    lines.append(short_line(line.origin + _line(line)))
                elif line.origin in "<>=":
                    lines.append("\\ no newline at the end")
        if not lines and changed.status == "M" and changed.old_mode == changed.new_mode:
            note = note or "only line ends or hidden secret values differ"
        return FilePatch(changed, added, removed, lines, note, old.redactions + new.redactions)

    def _new(self, changed: Changed) -> Shown:
        if not changed.live:
            return self._stored(changed.new_id, changed.new_mode, changed.path)
        if changed.new_mode == 0o160000:
            return Shown(None, "submodule")
        from .contents import TEXT_LIMIT

        data = WorkTree(self._facts.root).read(changed.path, TEXT_LIMIT)
        if data is None:
            return Shown(None, "gone or not a file")
        if changed.new_mode == 0o120000:
            return self._link(data)
        return self._contents.raw(
            stored_form(self._repo, changed.path, data), changed.path, self._facts.name, self._policy
        )

    def _stored(self, id: str, mode: int, path: str) -> Shown:
        import pygit2

        if mode == 0o160000:
            return Shown(None, f"submodule at {id[:10]}")
        blob = self._repo.get(id)
        if not isinstance(blob, pygit2.Blob):
            return Shown(None, "its content is not in this repository (partial clone?)")
        if mode == 0o120000:
            return self._link(blob.data)
        return self._contents.blob(blob, path, self._facts.name, self._policy)

    def _link(self, data: bytes) -> Shown:
        return Shown(self._contents.message(data.decode("utf-8", "replace")), "a symbolic link")


def entry_in(tree: pygit2.Tree | None, path: str) -> tuple[str, int] | None:
    """Id and mode of what a tree holds at a path; None for nothing."""
    if tree is None:
        return None
    try:
        found = tree[path]
    except KeyError:
        return None
    return str(found.id), int(found.filemode)


def is_ignored(repo: pygit2.Repository, path: str) -> bool:
    """Whether git ignores the path. libgit2's question takes text only: other names count as not ignored."""
    try:
        return bool(repo.path_is_ignored(path))
    except UnicodeEncodeError:
        return False


def new_mode(facts: Facts, path: str, old: int) -> int:
    """The mode that a work-tree file would be stored with; the old one where it cannot be told."""
    state = WorkTree(facts.root).lstat(path)
    if state is None or old == 0o160000:
        return old
    if stat.S_ISLNK(state.st_mode):
        return 0o120000
    if not stat.S_ISREG(state.st_mode) or not facts.configuration.true("core.filemode"):
        return old
    return 0o100755 if state.st_mode & stat.S_IXUSR else 0o100644


def stored_form(repo: pygit2.Repository, path: str, data: bytes) -> bytes:
    """A work-tree file's bytes as git would store them: line ends and idents, by libgit2's own filters, no others."""
    return _filtered(repo, path, data, to_odb=True)


def tree_form(repo: pygit2.Repository, path: str, data: bytes) -> bytes:
    """The other way: an object's bytes as they stand in the work tree."""
    return _filtered(repo, path, data, to_odb=False)


def _filtered(repo: pygit2.Repository, path: str, data: bytes, to_odb: bool) -> bytes:
    from pygit2.enums import FilterMode
    from pygit2.ffi import C, ffi

    filters = repo.load_filter_list(
        os.fsencode(path),  # type: ignore[arg-type]  # bytes are taken as they are
        FilterMode.TO_ODB if to_odb else FilterMode.TO_WORKTREE,
    )
    if filters is None:
        return data
    # pygit2's own apply_to_buffer stops at the first NUL byte.
    buffer = ffi.new("git_buf *")
    if C.git_filter_list_apply_to_buffer(buffer, filters._pointer, data, len(data)):
        return data
    try:
        return bytes(ffi.buffer(buffer.ptr, buffer.size))
    finally:
        C.git_buf_dispose(buffer)


def _line(line: Any) -> str:
    return str(line.content).rstrip("\n")
