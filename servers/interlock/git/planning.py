"""What every change has in common: the plan, the moves between two trees, and what stands in the way.

A plan is made by looking only. The objects it needs (blobs, trees, merged files) may already be written: unreferenced
objects change nothing. Commits are made when it is captured, for they bear the change's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call, Result

from .contents import shown_path
from .engine import UMASK
from .patches import Changed, changed_files, is_ignored, stored_form, tree_form
from .repositories import Facts
from .transition import FileMove, Transition
from .worktree import State, WorkTree, digest_of

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.model import Look
    from interlock.guard.undo.snapshots import Slot

FILE_LIMIT: Final = 512 << 20  # bytes of one file that is compared or written
CONTENT_LIMIT: Final = 1 << 30  # bytes that one change writes into a work tree
LINK, GITLINK, EXECUTABLE, PLAIN = 0o120000, 0o160000, 0o100755, 0o100644


@dataclass(slots=True)
class Planned:
    """One change, worked out. `complete` makes what needs the change's id (commits), and is called before capture."""

    facts: Facts
    transition: Transition
    actions: list[Action]
    preview: str
    header: str  # what the answer says when it is done
    asks: list[str] = field(default_factory=list)
    text: str = ""  # the answer's body
    complete: Callable[[pygit2.Repository, Call], None] | None = None
    run: Callable[[pygit2.Repository, Call, Slot], Result] | None = None  # for what needs the network
    extra_size: int = 0
    remote: bool = False
    undo: bool = False

    def close(self) -> None:
        """Holds no descriptors; the contents go with it."""


def planned_of(look: Look) -> Planned:
    plan = look.plan
    assert isinstance(plan, Planned)
    return plan


@dataclass(slots=True)
class Target:
    """What the index is to hold at some paths: id and mode, or None for nothing."""

    entries: dict[str, tuple[str, int] | None] = field(default_factory=dict)

    def put(self, index: pygit2.Index) -> None:
        import pygit2

        for path, entry in self.entries.items():
            conflicts = index.conflicts
            if conflicts is not None and path in conflicts:
                del conflicts[path]
            if entry is None:
                if path in index:
                    index.remove(path)
            else:
                index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=entry[0]), entry[1]))  # type: ignore[arg-type]


def tree_changes(old: pygit2.Tree | None, new: pygit2.Tree) -> Target:
    """The paths at which two trees differ, with what the new one holds there."""
    target = Target()
    diff = new.diff_to_tree(swap=True) if old is None else old.diff_to_tree(new)
    for changed in changed_files(diff, False):
        if changed.status == "D":
            target.entries[changed.old_path] = None
            continue
        if changed.old_path != changed.path and changed.status == "R":
            target.entries[changed.old_path] = None
        target.entries[changed.path] = (changed.new_id, changed.new_mode)
    return target


class Mover:
    """Works out the work-tree moves that bring paths to a target, and refuses to lose what is not committed."""

    def __init__(self, repo: pygit2.Repository, facts: Facts) -> None:
        self._repo = repo
        self._facts = facts
        self._tree = WorkTree(facts.root)
        self._written = 0

    def moves(self, target: Target, known: Callable[[str], set[str]], force: bool) -> list[FileMove]:
        """`known`: ids that a path may hold and be clean (its entries in HEAD and in the index).

        Without `force`, anything else that lies there is in the way, unless git ignores it. Raises Refused.
        """
        found: list[FileMove] = []
        in_way: list[str] = []
        gone = {path for path, entry in target.entries.items() if entry is None}
        for path, entry in target.entries.items():
            here = self._tree.state(path)
            if entry is not None and entry[1] == GITLINK:
                continue
            if here is not None and here.kind == "other":
                if entry is None or any(other.startswith(f"{path}/") for other in gone):
                    here = None
                else:
                    in_way.append(path)
                    continue
            if here is None and entry is None:
                continue
            new, content = self._new(path, entry)
            if here is not None and here.same(new):
                continue
            if here is not None and not force and not self._clean(path, here, known(path)):
                in_way.append(path)
                continue
            found.append(FileMove(path, here, new, content))
        if in_way:
            names = ", ".join(shown_path(p) for p in in_way[:5]) + (", …" if len(in_way) > 5 else "")
            raise Refused(
                Code.CONFLICT,
                f"this would overwrite work that is not committed: {names}",
                hint="commit it, or put it aside with git_stash, then try again",
            )
        return found

    def _new(
        self, path: str, entry: tuple[str, int] | None
    ) -> tuple[State | None, Callable[[], Iterator[bytes]] | None]:
        import pygit2

        if entry is None:
            return None, None
        blob = self._repo.get(entry[0])
        if not isinstance(blob, pygit2.Blob):
            raise Refused(
                Code.INVALID,
                f"the content of {shown_path(path)} is not in this repository (a partial clone)",
                hint="a person can fetch it with `git fetch --refetch`",
            )
        if blob.size > FILE_LIMIT:
            raise Refused(Code.TOO_LARGE, f"{shown_path(path)} is too large to write")
        data = blob.data if entry[1] == LINK else tree_form(self._repo, path, blob.data)
        self._written += len(data)
        if self._written > CONTENT_LIMIT:
            raise Refused(Code.TOO_LARGE, "the change writes too much at once", hint="a person can do it with git")
        if entry[1] == LINK:
            state = State("link", 0o777, len(data), digest_of(data))
        else:
            state = State("file", (0o777 if entry[1] == EXECUTABLE else 0o666) & ~UMASK, len(data), digest_of(data))
        return state, lambda: iter((data,))

    def _clean(self, path: str, here: State, known: set[str]) -> bool:
        """Whether what lies there is held by git already, or ignored (then only the snapshot holds it)."""
        if known:
            data = self._tree.read(path, FILE_LIMIT)
            if data is None or len(data) > FILE_LIMIT:
                return False
            stored = data if here.kind == "link" else stored_form(self._repo, path, data)
            return blob_id(stored) in known or blob_id(data) in known
        return is_ignored(self._repo, path)


def blob_id(data: bytes) -> str:
    """The id that git gives to these bytes as a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def known_ids(repo: pygit2.Repository, tree: pygit2.Tree | None) -> Callable[[str], set[str]]:
    """For a path: its id in the tree, and its id in the index when that is the same (else staged work would go)."""
    index = repo.index

    def known(path: str) -> set[str]:
        in_tree = id_in(tree, path)
        try:
            staged: str | None = str(index[path].id)
        except KeyError:
            staged = None
        if staged is not None and staged != in_tree:
            return {"staged"}  # nothing in the work tree can be equal to this
        return {in_tree} if in_tree else set()

    return known


def id_in(tree: pygit2.Tree | None, path: str) -> str | None:
    if tree is None:
        return None
    try:
        return str(tree[path].id)
    except KeyError:
        return None


def head_tree(repo: pygit2.Repository) -> pygit2.Tree | None:
    """None before the first commit."""
    import pygit2

    return None if repo.head_is_unborn else repo.head.peel(pygit2.Tree)


def fresh_index(repo: pygit2.Repository) -> pygit2.Index:
    """The repository's index as it is on disk now. Raises Refused where libgit2 cannot read its form."""
    import pygit2

    try:
        repo.index.read(True)
    except pygit2.GitError as error:
        raise Refused(
            Code.INVALID,
            "the repository's index has a form that is not supported (split or sparse)",
            hint="a person can run `git update-index --no-split-index`, or `git sparse-checkout disable`",
        ) from error
    index: pygit2.Index = repo.index
    return index


def settled_head(repo: pygit2.Repository, facts: Facts) -> pygit2.Commit:
    """The commit that a merge, a revert or a stash starts from: there is one, nothing is under way, no conflict open.

    Raises Refused.
    """
    import pygit2

    with_work_tree(facts)
    idle(repo, facts)
    fresh_index(repo)
    no_conflicts(repo)
    if repo.head_is_unborn:
        raise Refused(Code.INVALID, "there is no commit yet")
    return repo.head.peel(pygit2.Commit)


def tree_of(repo: pygit2.Repository, id: str | pygit2.Oid) -> pygit2.Tree:
    import pygit2

    tree = repo.get(id)
    assert isinstance(tree, pygit2.Tree)
    return tree


def entries_of(tree: pygit2.Tree) -> dict[str, tuple[str, int]]:
    """Every file of a tree: id and mode by path. Through an index in memory: fast, and names stay exact."""
    import pygit2

    index = pygit2.Index()
    index.read_tree(tree)
    return {entry.path: (str(entry.id), int(entry.mode)) for entry in index}


def tree_with(repo: pygit2.Repository, target: Target) -> str:
    """The tree that the index with the target would give; the index itself stays as it is."""
    try:
        target.put(repo.index)
        return str(repo.index.write_tree())
    finally:
        repo.index.read(True)


def changed_between(repo: pygit2.Repository, old: pygit2.Tree | None, new: str) -> list[Changed]:
    """The files at which two trees differ; `old` is None before the first commit."""
    tree = tree_of(repo, new)
    return changed_files(tree.diff_to_tree(swap=True) if old is None else old.diff_to_tree(tree), False)


def no_conflicts(repo: pygit2.Repository) -> None:
    if repo.index.conflicts is not None and next(iter(repo.index.conflicts), None) is not None:
        raise Refused(
            Code.CONFLICT,
            "there are unresolved conflicts",
            hint="resolve them and git_merge(continue=true), or git_merge(abort=true)",
        )


def with_work_tree(facts: Facts) -> None:
    if facts.bare:
        raise Refused(Code.INVALID, "a bare repository can only be read", hint="use a repository with a work tree")


def idle(repo: pygit2.Repository, facts: Facts) -> None:
    """Nothing is under way that a change would tear. Raises Refused."""
    state = int(repo.state())
    words = {1: "merge", 2: "revert", 3: "revert", 4: "cherry-pick", 5: "cherry-pick", 6: "bisect"}.get(state, "rebase")
    if state:
        ours = state in (1, 2)
        raise Refused(
            Code.CONFLICT,
            f"a {words} is in progress",
            hint="finish it with git_merge(continue=true) or git_merge(abort=true)"
            if ours
            else f"a person must finish it (`git {words} --continue` or `--abort`)",
        )
    if facts.configuration.true("core.sparsecheckout"):
        raise Refused(
            Code.INVALID,
            "the work tree is sparse, which changes do not support",
            hint="reading works; a person can run `git sparse-checkout disable`",
        )


def effect_of(*parts: object) -> str:
    """What would really change, as one digest: for approvals and the repeat limit."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode("utf-8", "surrogateescape")).hexdigest()


def move_digest(moves: Iterable[FileMove]) -> str:
    return effect_of(*[(m.path, m.new.digest if m.new else "", m.old.digest if m.old else "") for m in moves])
