"""Remotes that are folders of the policy's own repositories: objects and refs move through libgit2, no program runs.

The other side's hooks are programs too: where it has any for receiving, a push is refused rather than done without.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Failed, Refused

from .applying import _move_refs, ref_value
from .names import HIDDEN
from .repositories import Facts
from .transfer import Listing
from .transition import RefMove

if TYPE_CHECKING:
    import pygit2

OBJECTS: Final = 2_000_000  # objects that one transfer may move
_HOOKS: Final = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive")


def listing(other: pygit2.Repository) -> Listing:
    """All branches and tags of the other repository."""
    refs = {}
    for name in other.references:
        if name.startswith(("refs/heads/", "refs/tags/")) and not name.startswith(HIDDEN):
            target = other.lookup_reference(name).raw_target
            if not isinstance(target, bytes):
                refs[name] = str(target)
    head = other.lookup_reference("HEAD").raw_target
    return Listing(refs, head.decode("utf-8", "replace").removeprefix("refs/heads/") if isinstance(head, bytes) else "")


def copy_objects(source: pygit2.Repository, target: pygit2.Repository, tips: list[str]) -> None:
    """Write into `target` what it lacks of the history of `tips`, as one pack. Raises Failed."""
    import pygit2
    from pygit2.enums import SortMode

    missing = [tip for tip in tips if tip not in target]
    if not missing:
        return
    packer = pygit2.PackBuilder(source)
    seen: set[str] = set()

    def add(id: pygit2.Oid) -> bool:
        if str(id) in seen or id in target:
            return False
        seen.add(str(id))
        packer.add(id)
        if len(seen) > OBJECTS:
            raise Failed("the transfer is too large", hint="a person does it with git")
        return True

    starts: list[pygit2.Oid] = []
    for tip in missing:
        found = source.get(tip)
        while isinstance(found, pygit2.Tag):
            add(found.id)
            found = source.get(found.target)
        if isinstance(found, pygit2.Commit) and found.id not in target:
            starts.append(found.id)
    if starts:
        walker = source.walk(starts[0], SortMode.NONE)
        for start in starts[1:]:
            walker.push(start)
        for name in target.references:
            known = target.lookup_reference(name).resolve().target
            if known in source and isinstance(source.get(known), pygit2.Commit):
                walker.hide(known)
        for commit in walker:
            if add(commit.id):
                _add_tree(source, commit.tree, add)
    if seen:
        packer.write(str(_objects(target) / "pack"))


def _add_tree(source: pygit2.Repository, tree: pygit2.Tree, add: Callable[[pygit2.Oid], bool]) -> None:
    import pygit2

    if not add(tree.id):
        return
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            _add_tree(source, entry, add)
        elif int(entry.filemode) != 0o160000:
            add(entry.id)


def receives(facts: Facts) -> None:
    """Whether the other side may be pushed to without its own programs. Raises Refused."""
    hooks = [name for name in facts.programs if name.removeprefix("hooks/") in _HOOKS]
    if hooks:
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the remote folder has hooks for receiving ({', '.join(hooks)}), which are not run from here",
            hint="a person pushes it with git",
        )


def move(other: pygit2.Repository, facts: Facts, name: str, old: str | None, new: str | None, force: bool) -> None:
    """Move a ref of the other side, under its lock. Raises Failed (conflict, failed)."""
    configuration = facts.configuration
    if not facts.bare and ref_value(other, "HEAD") == f"ref: {name}":
        raise Failed("the remote folder has that branch checked out", hint="push another branch", code=Code.CONFLICT)
    if new is None and (configuration.true("receive.denydeletes")):
        raise Failed("the remote declined it (receive.denyDeletes)")
    if force and configuration.true("receive.denynonfastforwards"):
        raise Failed("the remote declined it (receive.denyNonFastForwards)")
    if ref_value(other, name) != old:
        raise Failed(
            "the remote has moved on meanwhile", hint="git_sync(action=fetch), then look again", code=Code.CONFLICT
        )
    _move_refs(other, [RefMove(name, old, new, "push")])


def _objects(repo: pygit2.Repository) -> Path:
    own = Path(repo.path)
    return (own.parent.parent if (own / "commondir").exists() else own) / "objects"
