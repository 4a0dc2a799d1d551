"""An open merge or revert, whose conflicts stand in the files: carried on once they are resolved, or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call
from interlock.untrusted import one_line

from .arguments import Merge
from .branches import current_branch, not_protected, protected_in
from .conflicts import path_of
from .contents import shown_path
from .effects import file_actions, names_of, work_action
from .outgoing import Limits, check_files, check_message
from .patches import changed_files, entry_in
from .planning import (
    Mover,
    Planned,
    Target,
    changed_between,
    effect_of,
    fresh_index,
    head_tree,
    known_ids,
    move_digest,
    tree_with,
)
from .repositories import Facts
from .transition import AdminMove, RefMove, Transition
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from .tools import Git

_ADMIN: Final = ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "REVERT_HEAD", "SQUASH_MSG")


def carry_on(git: Git, repo: pygit2.Repository, facts: Facts, call: Call, arguments: Merge) -> Planned:
    """Stage the resolved files and make the commit that was waiting."""
    import pygit2

    from .committing import stage, staged_entry

    mark = _open_mark(repo)
    index = fresh_index(repo)
    section = git.section(call.policy)
    branch = current_branch(repo)
    if branch is not None:
        not_protected(branch, protected_in(repo, section), "commit")
    open_paths = sorted({path_of(stages) for stages in (index.conflicts or ())})
    tree = WorkTree(facts.root)
    marked = []
    for path in open_paths:
        data = tree.read(path, section.max_file)
        if data is not None and any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in data.split(b"\n")):
            marked.append(path)
    if marked:
        raise Refused(
            Code.CONFLICT,
            f"conflict marks are still in {', '.join(shown_path(p) for p in marked[:5])}",
            hint="resolve them with edit_file, then git_merge(continue=true)",
        )
    target = stage(git, repo, facts, call, [], False)
    for path in open_paths:
        staged = staged_entry(git, repo, facts, call, path)
        target.entries[path] = staged
    new_tree = tree_with(repo, target)
    head = repo.head.peel(pygit2.Commit)
    files = changed_between(repo, head.tree, new_tree)
    theirs = (facts.gitdir / mark).read_text("ascii", "replace").strip()
    side = repo.get(theirs) if mark == "MERGE_HEAD" else None
    own = [f for f in files if not (isinstance(side, pygit2.Commit) and _has(side.tree, f.path, f.new_id))]
    asks = check_files(repo, facts.name, own, call.policy, git.detector, Limits(section.max_file, section.max_files))
    message = arguments.message or _kept(facts)
    check_message(message, git.detector)
    git.committer.check(repo, facts, section)
    parents = [str(head.id)] + ([theirs] if mark == "MERGE_HEAD" else [])
    transition = Transition(facts, index=target.put, admin=_cleared(facts))
    name = "HEAD" if branch is None else f"refs/heads/{branch}"

    def complete(handle: pygit2.Repository, final: Call) -> None:
        id = git.committer.commit(handle, section, final, message, pygit2.Oid(hex=new_tree), parents)
        transition.refs.append(
            RefMove(name, str(head.id), id, f"commit (merge): {one_line(message.split(chr(10))[0], 60)}")
        )
        planned.header = f"finished as {id[:12]} on {one_line(branch or 'a detached HEAD', 60)}"

    effect = effect_of("continue", new_tree, *parents, message)
    action = work_action("merge" if mark == "MERGE_HEAD" else "commit", facts, branch, effect, len(files), 1)
    preview = f"finish the {'merge' if mark == 'MERGE_HEAD' else 'revert'}:\n{names_of(f.path for f in files)}"
    planned = Planned(facts, transition, [action], preview, "finished", asks, complete=complete)
    return planned


def give_up(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Back to HEAD in every path that the open merge or revert touches; other work stays."""
    mark = _open_mark(repo)
    index = fresh_index(repo)
    tree = head_tree(repo)
    target = Target()
    diff = tree.diff_to_index(index) if tree is not None else index.diff_to_workdir()
    for changed in changed_files(diff, False):
        target.entries[changed.path] = entry_in(tree, changed.path)
    for stages in index.conflicts or ():
        for entry in stages:
            if entry is not None:
                target.entries[str(entry.path)] = entry_in(tree, str(entry.path))
    moves = Mover(repo, facts).moves(target, known_ids(repo, tree), force=True)
    transition = Transition(facts, files=moves, index=target.put, admin=_cleared(facts))
    effect = effect_of("abort", mark, move_digest(moves))
    files, asks = file_actions(facts, moves, call.policy)
    branch = current_branch(repo)
    header = f"the {'merge' if mark == 'MERGE_HEAD' else 'revert'} is given up; {len(moves)} files are as in HEAD"
    actions = [work_action("merge", facts, branch, effect, len(moves), 0), *files]
    return Planned(facts, transition, actions, f"{header}:\n{names_of(m.path for m in moves)}", header, asks)


def _has(tree: pygit2.Tree, path: str, id: str) -> bool:
    entry = entry_in(tree, path)
    return entry is not None and entry[0] == id


def _open_mark(repo: pygit2.Repository) -> str:
    state = int(repo.state())
    if state == 1:
        return "MERGE_HEAD"
    if state in (2, 3):
        return "REVERT_HEAD"
    raise Refused(Code.INVALID, "no merge or revert is open here")


def _cleared(facts: Facts) -> list[AdminMove]:
    moves = []
    for name in _ADMIN:
        try:
            moves.append(AdminMove(name, (facts.gitdir / name).read_bytes(), None))
        except OSError:
            continue
    return moves


def _kept(facts: Facts) -> str:
    try:
        text = (facts.gitdir / "MERGE_MSG").read_text("utf-8", "surrogateescape")
    except OSError:
        return "Merge"
    return "\n".join(line for line in text.split("\n") if not line.startswith("#")).strip() or "Merge"
