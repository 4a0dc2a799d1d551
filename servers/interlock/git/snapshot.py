"""Captures what a transition will replace, and reads it back: the manifest is all that settling and undo know.

    files.pack   the bytes of every work-tree path that changes, one after another
    index.old    the index as it was, byte for byte; index.new: as it will be
    blobs.pack   staged contents that no commit holds: a `git gc` may take them from the repository

Commits that the repository has are kept there, by refs below `refs/interlock/`; nothing else of it lies there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Broken, Code, Failed
from interlock.untrusted import one_line

from .names import HIDDEN
from .repositories import Facts
from .transition import AdminMove, FileMove, Kept, RefMove, Transition, as_json, from_json
from .worktree import State, WorkTree

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.undo.snapshots import Slot

FILES: Final = "files.pack"
BLOBS: Final = "blobs.pack"
INDEX_OLD: Final = "index.old"
INDEX_NEW: Final = "index.new"


@dataclass(slots=True)
class Manifest:
    """A captured transition, as sealed in the slot. `index`: None where the index is not touched."""

    root: str
    refs: list[RefMove]
    files: list[tuple[str, State | None, State | None, int]]  # path, before, after, offset in files.pack
    admin: list[AdminMove]
    index: tuple[str | None, str | None] | None  # sha256 of the bytes before and after; None: no index
    blobs: list[tuple[str, int, int]]  # id, offset, length
    keep: list[str]
    path: Path
    remote: Mapping[str, Any] | None = None  # what a push did at the other end
    partial: bool = False  # too large to capture: files and index cannot be put back

    def json(self) -> dict[str, Any]:
        def text(data: bytes | None) -> str | None:
            return None if data is None else base64.b64encode(data).decode()

        return {
            "version": 1,
            "root": self.root,
            "refs": [[r.name, r.old, r.new, r.message] for r in self.refs],
            "files": [[path, as_json(old), as_json(new), at] for path, old, new, at in self.files],
            "admin": [[a.name, text(a.old), text(a.new)] for a in self.admin],
            "index": None if self.index is None else list(self.index),
            "blobs": [list(b) for b in self.blobs],
            "keep": self.keep,
            "remote": self.remote,
            "partial": self.partial,
        }

    def kept(self, move: tuple[str, State | None, State | None, int]) -> Kept | None:
        """The captured bytes of a file's before."""
        old = move[1]
        return None if old is None else Kept(self.path / FILES, move[3], old.size)


def load(slot: Slot) -> Manifest:
    """The manifest of a sealed slot. Raises Broken when there is none."""
    state = slot.state
    if state.get("version") != 1:
        raise Broken("the snapshot's manifest cannot be read")

    def data(text: str | None) -> bytes | None:
        return None if text is None else base64.b64decode(text)

    return Manifest(
        root=state["root"],
        refs=[RefMove(*r) for r in state["refs"]],
        files=[(path, from_json(old), from_json(new), at) for path, old, new, at in state["files"]],
        admin=[AdminMove(name, data(old), data(new)) for name, old, new in state["admin"]],
        index=None if state["index"] is None else (state["index"][0], state["index"][1]),
        blobs=[(id, at, length) for id, at, length in state["blobs"]],
        keep=state["keep"],
        path=slot.path,
        remote=state.get("remote"),
        partial=state.get("partial", False),
    )


def capture(repo: pygit2.Repository, transition: Transition, slot: Slot, keep_seconds: int) -> Manifest:
    """Everything durable before this returns. Raises Failed (conflict) when the world is not as planned."""
    facts = transition.facts
    prune_hidden(repo, keep_seconds)
    manifest = Manifest(
        root=facts.name, refs=transition.refs, files=[], admin=transition.admin, index=None, blobs=[], keep=[],
        path=slot.folder(), remote=transition.remote, partial=slot.too_large,
    )  # fmt: skip
    _capture_files(facts, transition.files, manifest)
    if transition.touches_index:
        _capture_index(repo, transition, manifest)
    manifest.keep = _keep_commits(repo, transition, slot.id)
    slot.seal(manifest.json(), size=sum(f.stat().st_size for f in manifest.path.iterdir()))
    return manifest


def _capture_files(facts: Facts, moves: list[FileMove], manifest: Manifest) -> None:
    tree = WorkTree(facts.root)
    with (manifest.path / FILES).open("wb") as pack:
        for move in moves:
            at = pack.tell()
            if move.old is not None and not manifest.partial:
                found = tree.copy_out(move.path, pack)
                if found is None or not found.same(move.old):
                    raise Failed(
                        f"{one_line(move.path, 120)} changed while it was captured",
                        hint="make the call again",
                        code=Code.CONFLICT,
                    )
            manifest.files.append((move.path, move.old, move.new, at))
        _sync(pack)


def _capture_index(repo: pygit2.Repository, transition: Transition, manifest: Manifest) -> None:
    import pygit2

    old, new = manifest.path / INDEX_OLD, manifest.path / INDEX_NEW
    source = transition.facts.gitdir / "index"
    try:
        shutil.copyfile(source, old, follow_symlinks=False)
        before: str | None = file_digest(old)
        _sync_path(old)
    except FileNotFoundError:
        before = None
    with (manifest.path / BLOBS).open("wb") as pack:
        for id in _staged(repo):
            content = repo.get(id)
            if isinstance(content, pygit2.Blob):
                manifest.blobs.append((id, pack.tell(), content.size))
                pack.write(content.data)
        _sync(pack)
    for id, kept in transition.blobs:
        written = repo.create_blob(b"".join(kept.chunks()))
        if str(written) != id:
            raise Broken("the snapshot's objects are damaged", hint="`interlock audit verify` tells more")
    after: str | None = None
    if transition.index is not None:
        if before is not None:
            shutil.copyfile(old, new)
        index = pygit2.Index(str(new))
        transition.index(index)
        index.write()
        after = file_digest(new)
    elif transition.index_file is not None:
        shutil.copyfile(transition.index_file, new)
        after = file_digest(new)
    manifest.index = (before, after)


def _staged(repo: pygit2.Repository) -> list[str]:
    """Ids that the index holds and HEAD's tree does not, conflict stages included."""
    import pygit2

    index = repo.index
    index.read(False)
    ids: dict[str, None] = {}
    if repo.head_is_unborn:
        ids.update((str(entry.id), None) for entry in index)
    else:
        diff = index.diff_to_tree(repo.head.peel(pygit2.Tree))
        ids.update((str(d.old_file.id), None) for d in diff.deltas if d.old_file.mode)
        ids.update((str(d.new_file.id), None) for d in diff.deltas if d.new_file.mode)
    for stages in index.conflicts or ():
        ids.update((str(entry.id), None) for entry in stages if entry is not None)
    return [id for id in ids if set(id) != {"0"}]


def _keep_commits(repo: pygit2.Repository, transition: Transition, change_id: str) -> list[str]:
    wanted = [r.old for r in transition.refs if r.old and not r.old.startswith("ref: ")]
    wanted += transition.keep
    if not repo.head_is_unborn:
        wanted.append(str(repo.head.target))
    kept = []
    day = time.strftime("%Y%m%d", time.gmtime())
    for number, id in enumerate(dict.fromkeys(wanted)):
        if id not in repo:
            continue
        name = f"{HIDDEN}{day}/{change_id}/{number}"
        repo.references.create(name, id, force=True)
        kept.append(name)
    return kept


def prune_hidden(repo: pygit2.Repository, keep_seconds: int) -> None:
    """Let go of commits whose snapshots have expired (one day later, to be sure)."""
    oldest = time.strftime("%Y%m%d", time.gmtime(time.time() - keep_seconds - 86400))
    folder = Path(repo.path)
    common = folder.parent.parent if (folder / "commondir").exists() else folder
    hidden = common / "refs" / "interlock"
    try:
        days = [entry.name for entry in os.scandir(hidden)]
    except OSError:
        return
    if not any(day.isdigit() and day < oldest for day in days):
        return
    for name in list(repo.references):
        if name.startswith(HIDDEN) and name.removeprefix(HIDDEN).split("/")[0] < oldest:
            repo.references.delete(name)


def file_digest(path: Path) -> str | None:
    try:
        with path.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_path(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def object_written(repo: pygit2.Repository, kind: str, content: str) -> str:
    """Write an object by its content; nothing refers to it yet. Returns its id."""
    from pygit2.enums import ObjectType

    kinds = {"tag": ObjectType.TAG, "commit": ObjectType.COMMIT}
    return str(repo.write(kinds[kind], content.encode("utf-8", "surrogateescape")))
