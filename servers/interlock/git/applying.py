"""Carries a captured transition out, puts it back, and compares the world with it.

Order: work-tree files, index, administrative files, refs. Each step checks that what it replaces is what was planned;
the first that is not ends it, and everything done so far goes back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Failed
from interlock.untrusted import one_line

from .repositories import Facts
from .snapshot import INDEX_NEW, INDEX_OLD, Manifest, file_digest
from .transition import AdminMove, FileMove, RefMove, Transition
from .worktree import State, WorkTree

if TYPE_CHECKING:
    import pygit2


class Stands(StrEnum):
    """Where one thing stands between before and after."""

    BEFORE = "before"
    AFTER = "after"
    NEITHER = "neither"


@dataclass(slots=True)
class Progress:
    """How far a change got: only that goes back. What somebody else changed meanwhile was never ours."""

    files: set[str] = field(default_factory=set)
    index: bool = False
    admin: set[str] = field(default_factory=set)
    refs: bool = False


def apply(repo: pygit2.Repository, transition: Transition, manifest: Manifest, tag: str) -> None:
    """Carry it out. Raises Failed: conflict or failed (all is put back), unknown (putting back failed)."""
    progress = Progress()
    try:
        with _index_lock(transition.facts, manifest, tag) as index_lock:
            _apply_files(transition, tag, progress)
            if index_lock is not None:
                _refresh(transition, manifest)
                progress.index = True
                index_lock(manifest.path / INDEX_NEW if manifest.index and manifest.index[1] else None)
            for move in transition.admin:
                if not move.name.startswith("logs/"):
                    _write_admin(move, transition.facts, check=True)
                    progress.admin.add(move.name)
            _move_refs(repo, transition.refs)
            progress.refs = True
            for move in transition.admin:
                if move.name.startswith("logs/"):
                    progress.admin.add(move.name)
                    _write_admin(move, transition.facts, check=False)
    except BaseException as error:
        try:
            put_back(repo, transition.facts, manifest, tag, progress)
        except Exception as worse:
            raise Failed("the change broke off and not all of it could be put back", code=Code.UNKNOWN) from worse
        if isinstance(error, Failed):
            raise
        raise Failed(_why(error), hint="nothing was changed; read the state before trying again") from error


def put_back(
    repo: pygit2.Repository, facts: Facts, manifest: Manifest, tag: str, progress: Progress | None = None
) -> None:
    """Back to before: what `progress` says was done, or (None: it was cut off) whatever is not as before.

    What is neither before nor after is left alone and raises Failed.
    """
    foreign: list[str] = []
    for move in manifest.refs if progress is None or progress.refs else ():
        here = ref_value(repo, move.name)
        if here == move.new and here != move.old:
            _move_refs(repo, [RefMove(move.name, move.new, move.old, "interlock: put back")])
        elif here != move.old:
            foreign.append(move.name)
    for admin in manifest.admin:
        here_bytes = _read_small(admin.place(facts))
        if here_bytes != admin.old and (progress is None or admin.name in progress.admin):
            _write_admin(AdminMove(admin.name, here_bytes, admin.old), facts, check=False)
    if not manifest.partial:
        foreign += _put_back_files(facts, manifest, tag, progress)
    if manifest.index is not None and (progress is None or progress.index):
        unlock_own(facts, tag)
        here_index = file_digest(facts.gitdir / "index")
        if here_index != manifest.index[0]:
            _replace_index(facts, manifest.path / INDEX_OLD if manifest.index[0] else None, tag)
    if foreign:
        raise Failed(f"{one_line(', '.join(foreign[:5]))} is neither as before nor as after", code=Code.UNKNOWN)


def compare(repo: pygit2.Repository, facts: Facts, manifest: Manifest) -> dict[str, Stands]:
    """Where each ref, path and the index stands now. The index counts by its entries, not by cached times."""
    found = {move.name: _stands(ref_value(repo, move.name), move.old, move.new) for move in manifest.refs}
    tree = WorkTree(facts.root)
    for path, old, new, _ in manifest.files:
        here = tree.state(path)
        if _same(here, new):
            found[path] = Stands.AFTER
        else:
            found[path] = Stands.BEFORE if _same(here, old) else Stands.NEITHER
    if manifest.index is not None:
        found["the index"] = _index_stands(facts, manifest)
    for admin in manifest.admin:
        if not admin.name.startswith("logs/"):
            found[admin.name] = _stands(_read_small(admin.place(facts)), admin.old, admin.new)
    return found


def ref_value(repo: pygit2.Repository, name: str) -> str | None:
    """What a ref holds now: an id, `ref: NAME`, or None."""
    import pygit2

    try:
        reference = repo.lookup_reference(name)
    except (KeyError, pygit2.InvalidSpecError):
        return None
    target = reference.raw_target
    return f"ref: {target.decode('utf-8', 'surrogateescape')}" if isinstance(target, bytes) else str(target)


# -------------------------------------------------------------------- files


def _apply_files(transition: Transition, tag: str, progress: Progress) -> None:
    tree = WorkTree(transition.facts.root)
    for move in sorted((m for m in transition.files if m.new is None), key=lambda m: m.path, reverse=True):
        if move.old is not None:
            tree.remove(move.path, move.old, tag)
            progress.files.add(move.path)
    for move in transition.files:
        if move.new is not None:
            assert move.content is not None
            tree.replace(move.path, move.old, move.new, move.content(), tag)
            progress.files.add(move.path)


def _put_back_files(facts: Facts, manifest: Manifest, tag: str, progress: Progress | None) -> list[str]:
    tree = WorkTree(facts.root)
    foreign = []
    for path, *_ in manifest.files:
        tree.clean(path, tag)
    pending = []
    for move in manifest.files:
        path, old, new, _at = move
        if progress is not None and path not in progress.files:
            continue
        here = tree.state(path)
        if _same(here, old):
            continue
        if not _same(here, new):
            foreign.append(path)
        elif old is None:
            assert here is not None
            tree.remove(path, here, tag)
        else:
            pending.append((move, here))
    for move, here in pending:
        kept = manifest.kept(move)
        assert kept is not None and move[1] is not None
        tree.replace(move[0], here, move[1], kept.chunks(), tag)
    return foreign


# -------------------------------------------------------------------- the index


@contextmanager
def _index_lock(facts: Facts, manifest: Manifest, tag: str) -> Iterator[_Publish | None]:
    """Hold git's own lock while files change; give a function that puts the new index in its place."""
    if manifest.index is None:
        yield None
        return
    lock, own = facts.gitdir / "index.lock", facts.gitdir / f"interlock-{tag}.lock"
    own.write_bytes(b"")
    try:
        os.link(own, lock)
    except FileExistsError:
        own.unlink()
        raise _locked(facts) from None
    try:
        if file_digest(facts.gitdir / "index") != manifest.index[0]:
            raise Failed(
                "the index was changed by somebody else meanwhile", hint="make the call again", code=Code.CONFLICT
            )
        yield _Publish(facts, lock)
    finally:
        with suppress(OSError):
            if lock.samefile(own):
                lock.unlink()
        with suppress(OSError):
            own.unlink()


class _Publish:
    """Puts a file in the index's place, under the lock that is already held."""

    def __init__(self, facts: Facts, lock: Path) -> None:
        self._facts = facts
        self._lock = lock

    def __call__(self, source: Path | None) -> None:
        index = self._facts.gitdir / "index"
        if source is None:
            with suppress(FileNotFoundError):
                index.unlink()
            return
        fresh = self._facts.gitdir / f"{self._lock.name}.interlock"
        _copy_whole(source, fresh, index)
        fresh.rename(index)


def _replace_index(facts: Facts, source: Path | None, tag: str) -> None:
    lock, own = facts.gitdir / "index.lock", facts.gitdir / f"interlock-{tag}.lock"
    own.write_bytes(b"")
    try:
        os.link(own, lock)
    except FileExistsError:
        own.unlink()
        raise _locked(facts) from None
    try:
        _Publish(facts, lock)(source)
    finally:
        lock.unlink(missing_ok=True)
        own.unlink(missing_ok=True)


def unlock_own(facts: Facts, tag: str) -> None:
    """A lock that this change left behind when it was killed; never somebody else's."""
    lock, own = facts.gitdir / "index.lock", facts.gitdir / f"interlock-{tag}.lock"
    with suppress(OSError):
        if lock.samefile(own):
            lock.unlink()
    with suppress(OSError):
        own.unlink()
    with suppress(OSError):
        (facts.gitdir / "index.lock.interlock").unlink()


def _copy_whole(source: Path, target: Path, like: Path) -> None:
    try:
        mode = stat.S_IMODE(like.stat().st_mode)
    except FileNotFoundError:
        mode = 0o644
    with source.open("rb") as old, target.open("wb") as new:
        while chunk := old.read(1 << 20):
            new.write(chunk)
        new.flush()
        os.fchmod(new.fileno(), mode)
        os.fsync(new.fileno())


def _refresh(transition: Transition, manifest: Manifest) -> None:
    """Note the new files' times in the new index, so that nobody has to read them to see that they are unchanged."""
    written = [move for move in transition.files if move.new is not None and move.new.kind == "file"]
    if transition.index is None or not written:
        return
    from .indexing import with_times

    with_times(manifest.path / INDEX_NEW, transition.facts.root, [move.path for move in written])
    if manifest.index is not None:
        manifest.index = (manifest.index[0], file_digest(manifest.path / INDEX_NEW))


def _index_stands(facts: Facts, manifest: Manifest) -> Stands:
    from .indexing import entries

    assert manifest.index is not None
    here = facts.gitdir / "index"
    digest = file_digest(here)
    if digest == manifest.index[1]:
        return Stands.AFTER
    if digest == manifest.index[0]:
        return Stands.BEFORE
    now = entries(here)
    if now == entries(manifest.path / INDEX_NEW if manifest.index[1] else None):
        return Stands.AFTER
    return Stands.BEFORE if now == entries(manifest.path / INDEX_OLD if manifest.index[0] else None) else Stands.NEITHER


def _locked(facts: Facts) -> Failed:
    return Failed(
        "the repository's index is locked by another git process (index.lock)",
        hint="wait and try again; if no git is running, a person removes .git/index.lock",
        code=Code.CONFLICT,
    )


# -------------------------------------------------------------------- administrative files and refs


def _write_admin(move: AdminMove, facts: Facts, check: bool) -> None:
    place = move.place(facts)
    if check and _read_small(place) != move.old:
        raise Failed(f"{move.name} was changed by somebody else meanwhile", code=Code.CONFLICT)
    if move.new is None:
        place.unlink(missing_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f"{place.name}.interlock")
    fresh.write_bytes(move.new)
    fresh.rename(place)


def _read_small(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _move_refs(repo: pygit2.Repository, moves: list[RefMove]) -> None:
    """All under their locks, each compared first: all move or none does."""
    import pygit2

    moves = [move for move in moves if move.old != move.new]
    if not moves:
        return
    try:
        with repo.transaction() as transaction:
            for move in moves:
                transaction.lock_ref(move.name)
            for move in moves:
                if ref_value(repo, move.name) != move.old:
                    raise Failed(
                        f"{one_line(move.name, 100)} was moved by somebody else meanwhile",
                        hint="look at it again (git_log), then decide anew",
                        code=Code.CONFLICT,
                    )
                if move.new is None:
                    transaction.remove(move.name)
                elif move.new.startswith("ref: "):
                    transaction.set_symbolic_target(move.name, move.new[5:], message=move.message or None)
                else:
                    transaction.set_target(move.name, move.new, message=move.message or None)
    except pygit2.GitError as error:
        raise Failed(
            f"a ref could not be moved ({one_line(str(error), 120)})",
            hint="another git process may hold it; try again",
            code=Code.CONFLICT,
        ) from error


def _stands(here: object, old: object, new: object) -> Stands:
    if here == new:
        return Stands.AFTER
    return Stands.BEFORE if here == old else Stands.NEITHER


def _same(here: State | None, other: State | None) -> bool:
    return here is other is None or (here is not None and here.same(other))


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"the change could not be made: {os.strerror(error.errno).lower()}"
    return f"the change could not be made ({type(error).__name__})"


__all__ = ["FileMove", "Stands", "apply", "compare", "put_back", "ref_value"]
