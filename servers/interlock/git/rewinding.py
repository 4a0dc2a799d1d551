"""git_reset and git_restore: back to an earlier state of a branch, the index, files. What goes is captured first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call
from interlock.untrusted import one_line

from . import revisions
from .arguments import Reset, Restore
from .branches import current_branch, not_protected, protected_in
from .branching import commits
from .contents import shown_path
from .effects import file_actions, git_action, names_of, work_action
from .names import tree_path
from .patches import changed_files, entry_in, stored_form
from .planning import (
    FILE_LIMIT,
    Mover,
    Planned,
    Target,
    blob_id,
    effect_of,
    fresh_index,
    head_tree,
    id_in,
    idle,
    known_ids,
    move_digest,
    with_work_tree,
)
from .repositories import Facts
from .scan import against_tree
from .transition import FileMove, RefMove, Transition
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from .tools import Git


def plan_reset(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """`soft` moves the branch, `mixed` the index too, `hard` the work tree too. Raises Refused."""
    arguments = call.arguments
    assert isinstance(arguments, Reset)
    with_work_tree(facts)
    idle(repo, facts)
    mode = arguments.mode or "mixed"
    index = fresh_index(repo)
    if repo.head_is_unborn:
        raise Refused(Code.INVALID, "there is no commit yet")
    goal = revisions.commit(repo, arguments.ref)
    branch = current_branch(repo)
    old = str(repo.head.target)
    moved = old != str(goal.id)
    if branch is not None and moved:
        not_protected(branch, protected_in(repo, git.section(call.policy)), "reset")
    lost = revisions.between(repo, str(goal.id), old) if moved else []
    refs = []
    if moved:
        name = "HEAD" if branch is None else f"refs/heads/{branch}"
        refs.append(RefMove(name, old, str(goal.id), f"reset: moving to {goal.id}"))
    target = Target()
    if mode != "soft":
        for changed in changed_files(goal.tree.diff_to_index(index), False):
            for path in {changed.path, changed.old_path}:
                target.entries[path] = entry_in(goal.tree, path)
        for stages in index.conflicts or ():
            for entry in stages:
                if entry is not None:
                    target.entries[str(entry.path)] = entry_in(goal.tree, str(entry.path))
    moves: list[FileMove] = []
    if mode == "hard":
        moves = _hard_moves(repo, facts, goal.tree, target)
    transition = Transition(facts, refs=refs, files=moves, index=target.put if target.entries else None)
    effect = effect_of("reset", mode, branch, old, goal.id, move_digest(moves))
    action = work_action("rewind", facts, branch, effect, len(moves), len(lost))
    files, asks = file_actions(facts, moves, call.policy)
    discarded = _discarded(repo, facts, moves)
    if discarded:
        asks.append(f"it discards work that is not committed in {len(discarded)} files")
    if lost and not _kept_elsewhere(repo, branch, old):
        asks.append(f"{len(lost)} commits would be on no branch any more")
    header = f"{one_line(branch or 'HEAD', 60)} is at {str(goal.id)[:12]} ({mode}); {len(moves)} files changed"
    preview = f"reset {one_line(branch or 'HEAD', 60)} from {old[:12]} to {str(goal.id)[:12]}, {mode}"
    if lost:
        preview += f"\ncommits that it leaves:\n{commits(git, repo, lost)}"
    if moves:
        preview += f"\nfiles that change:\n{names_of(m.path for m in moves)}"
    return Planned(facts, transition, [action, *files], preview, header, asks)


def plan_restore(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Paths of the work tree (or, `staged`, of the index) as they are at `ref`, in the index or in HEAD."""
    arguments = call.arguments
    assert isinstance(arguments, Restore)
    with_work_tree(facts)
    index = fresh_index(repo)
    tree = revisions.tree(repo, arguments.ref) if arguments.ref else None
    paths = [tree_path(p, facts.name) for p in arguments.paths]
    branch = current_branch(repo)
    target = Target()
    if arguments.staged:
        base = tree if tree is not None else head_tree(repo)
        diff = base.diff_to_index(index) if base is not None else None
        listed = (
            [p for c in changed_files(diff, False) for p in {c.path, c.old_path}] if diff else [e.path for e in index]
        )
        for path in listed:
            if _below(path, paths):
                target.entries[path] = entry_in(base, path)
        _found(target, paths)
        transition = Transition(facts, index=target.put)
        effect = effect_of("unstage", *sorted(target.entries))
        action = git_action(
            "commit", facts, effect=effect, branch=branch or "HEAD", protected_branch=False, force=False, commits=0,
            files=len(target.entries), protected=False,
        )  # fmt: skip
        header = f"{len(target.entries)} paths of the index restored; the work tree is as it was"
        return Planned(facts, transition, [action], header, header, text=names_of(target.entries))
    if tree is not None:
        for changed in against_tree(repo, facts, git.scanner.scan(repo, facts), tree):
            if _below(changed.path, paths):
                target.entries[changed.path] = entry_in(tree, changed.path)
    else:
        for changed in changed_files(index.diff_to_workdir(), True):
            if _below(changed.path, paths):
                entry = index[changed.path]
                target.entries[changed.path] = (str(entry.id), int(entry.mode))
    # Only tracked files are restored: what git does not know is never taken away here.
    target.entries = {p: e for p, e in target.entries.items() if e is not None or p in index}
    _found(target, paths)
    moves = Mover(repo, facts).moves(target, known_ids(repo, head_tree(repo)), force=True)
    transition = Transition(facts, files=moves, index=target.put if tree is not None else None)
    effect = effect_of("restore", arguments.ref, move_digest(moves))
    files, asks = file_actions(facts, moves, call.policy)
    discarded = _discarded(repo, facts, moves)
    if discarded:
        asks.append(f"it discards work that is not committed in {len(discarded)} files")
    action = work_action("rewind", facts, branch, effect, len(moves), 0)
    source = one_line(arguments.ref, 60) if arguments.ref else "the index"
    header = f"{len(moves)} files restored from {source}"
    preview = f"{header}:\n{names_of(m.path for m in moves)}"
    return Planned(facts, transition, [action, *files], preview, header, asks, text=names_of(m.path for m in moves))


def _hard_moves(repo: pygit2.Repository, facts: Facts, tree: pygit2.Tree, target: Target) -> list[FileMove]:
    """The work tree's part of a hard reset: what the index will hold, and tracked files that were edited."""
    wanted = Target(dict(target.entries))
    for changed in changed_files(repo.index.diff_to_workdir(), True):
        for path in {changed.path, changed.old_path}:
            wanted.entries.setdefault(path, entry_in(tree, path))
    return Mover(repo, facts).moves(wanted, known_ids(repo, head_tree(repo)), force=True)


def _discarded(repo: pygit2.Repository, facts: Facts, moves: list[FileMove]) -> list[str]:
    """Paths whose bytes are neither in HEAD nor in the index."""
    tree, found = head_tree(repo), []
    work = WorkTree(facts.root)
    for move in moves:
        if move.old is None:
            continue
        ids = {id_in(tree, move.path)}
        data = work.read(move.path, FILE_LIMIT)
        if data is None:
            continue
        if blob_id(data) not in ids and blob_id(stored_form(repo, move.path, data)) not in ids:
            found.append(move.path)
    return found


def _kept_elsewhere(repo: pygit2.Repository, branch: str | None, tip: str) -> bool:
    """Whether another branch, tag or remote branch still holds the commits."""
    own = f"refs/heads/{branch}"
    for name in repo.references:
        if name != own and name.startswith(("refs/heads/", "refs/tags/", "refs/remotes/")):
            target = str(repo.lookup_reference(name).resolve().target)
            if target == tip:
                return True
            found = repo.get(target)
            if found is not None and found.type_str == "commit" and repo.descendant_of(target, tip):
                return True
    return False


def _found(target: Target, paths: list[str]) -> None:
    if not target.entries:
        names = ", ".join(shown_path(p) or "everything" for p in paths[:5])
        raise Refused(Code.INVALID, f"nothing to restore in {names}", hint="git_status lists what has changed")


def _below(path: str, paths: list[str]) -> bool:
    return any(p == "" or path == p or path.startswith(f"{p}/") for p in paths)
