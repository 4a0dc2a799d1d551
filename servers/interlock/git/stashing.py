"""git_stash: put uncommitted work aside and bring it back, in git's own form, so that `git stash` sees the same.

A stash is a commit with HEAD and the index as parents (and untracked files as a third); `refs/stash` and its reflog
hold the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call
from interlock.untrusted import one_line

from .arguments import Stash
from .branches import current_branch
from .conflicts import path_of
from .contents import shown_path
from .effects import file_actions, names_of, work_action
from .identity import identity
from .outgoing import check_message
from .patches import changed_files, entry_in
from .planning import (
    Mover,
    Planned,
    Target,
    effect_of,
    entries_of,
    head_tree,
    known_ids,
    move_digest,
    settled_head,
    tree_of,
    tree_with,
)
from .repositories import Facts
from .transition import AdminMove, FileMove, RefMove, Transition
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from .tools import Git

LOG = "logs/refs/stash"


def plan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Raises Refused."""
    arguments = call.arguments
    assert isinstance(arguments, Stash)
    head = settled_head(repo, facts)
    if arguments.action == "push":
        return _push(git, repo, facts, call, arguments, head)
    stashes = repo.listall_stashes()
    if arguments.index >= len(stashes):
        raise Refused(Code.INVALID, f"there is no stash {arguments.index}", hint="git_status(show=stashes) lists them")
    id = str(stashes[arguments.index].commit_id)
    if arguments.action == "drop":
        transition = _dropped(repo, facts, arguments.index, id, Transition(facts))
        action = work_action("rewind", facts, current_branch(repo), effect_of("drop", id), 0, 0)
        header = f"dropped stash {arguments.index} ({id[:12]})"
        return Planned(facts, transition, [action], header, header, ["it drops stashed work"])
    planned = _apply(git, repo, facts, call, id, arguments)
    if arguments.action == "pop":
        _dropped(repo, facts, arguments.index, id, planned.transition)
        planned.header += " and taken off the list"
    return planned


def _push(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, arguments: Stash, head: pygit2.Commit
) -> Planned:
    import pygit2

    from .committing import staged_entry

    if arguments.message:
        check_message(arguments.message, git.detector)
    scan = git.scanner.scan(repo, facts)
    live = [e.path for e in scan.entries if e.code not in ("??", "UU") and e.code[1] != " "]
    new_files = []
    if arguments.untracked:
        status = repo.status(untracked_files="all", ignored=False)
        new_files = [p for p, flags in status.items() if int(flags) & 128]
    staged = [e.path for e in scan.entries if e.code[0] not in " ?"]
    if not live and not staged and not new_files:
        raise Refused(Code.INVALID, "there is nothing to put aside")
    index_tree = str(repo.index.write_tree())
    work = Target({path: staged_entry(git, repo, facts, call, path) for path in live})
    work_tree = tree_with(repo, work)
    back = Target()
    for changed in changed_files(head.tree.diff_to_tree(tree_of(repo, work_tree)), False):
        for path in {changed.path, changed.old_path}:
            back.entries[path] = entry_in(head.tree, path)
    for changed in changed_files(head.tree.diff_to_index(repo.index), False):
        for path in {changed.path, changed.old_path}:
            back.entries.setdefault(path, entry_in(head.tree, path))
    moves = Mover(repo, facts).moves(back, known_ids(repo, head.tree), force=True)
    extra: Target = Target()
    if new_files:
        extra.entries = {path: staged_entry(git, repo, facts, call, path) for path in new_files}
        tree = WorkTree(facts.root)
        moves += [FileMove(path, tree.state(path), None) for path in new_files]
    branch = current_branch(repo) or "(no branch)"
    subject = head.raw_message.decode("utf-8", "replace").strip().split("\n")[0]
    base = f"{branch}: {str(head.id)[:7]} {subject}"
    title = f"On {branch}: {arguments.message}" if arguments.message else f"WIP on {base}"
    transition = Transition(facts, files=moves, index=back.put)
    section = git.section(call.policy)

    def complete(handle: pygit2.Repository, final: Call) -> None:
        who = identity(handle, section, final.time)
        oid = pygit2.Oid
        make = handle.create_commit
        index_commit = make(None, who, who, f"index on {base}\n", oid(hex=index_tree), [head.id])
        parents = [head.id, index_commit]
        if new_files:
            only = pygit2.Index()
            extra.put(only)
            parents.append(make(None, who, who, f"untracked files on {base}\n", only.write_tree(handle), []))
        id = str(make(None, who, who, title, oid(hex=work_tree), parents))
        old = _stash_ref(handle)
        transition.refs.append(RefMove("refs/stash", old, id, title))
        transition.admin.append(_log(facts, old, id, who, title))
        planned.header = f"put aside as stash 0 ({id[:12]}): {len(moves)} files are as in HEAD"

    action = work_action(
        "commit",
        facts,
        current_branch(repo),
        effect_of("stash", index_tree, work_tree, *sorted(new_files)),
        len(moves),
        0,
    )
    files, asks = file_actions(facts, moves, call.policy)
    preview = f"put aside the changes in:\n{names_of(m.path for m in moves)}"
    planned = Planned(facts, transition, [action, *files], preview, "put aside", asks, complete=complete)
    return planned


def _apply(git: Git, repo: pygit2.Repository, facts: Facts, call: Call, id: str, arguments: Stash) -> Planned:
    """A merge of what was put aside with what is there now; conflicts change nothing."""
    import pygit2

    stash = repo.get(id)
    assert isinstance(stash, pygit2.Commit)
    base = stash.parents[0].tree
    ours = head_tree(repo)
    assert ours is not None
    merged = repo.merge_trees(base, ours, stash.tree)
    conflicts = list(merged.conflicts) if merged.conflicts is not None else []
    if conflicts:
        paths = [path_of(stages) for stages in conflicts]
        raise Refused(
            Code.CONFLICT,
            f"the stash does not fit in {len(paths)} files, and nothing was changed: "
            f"{', '.join(map(shown_path, paths[:10]))}",
            hint="go to the commit it was made on (git_switch), or look at it with git_show(ref=stash@{N})",
        )
    result = tree_of(repo, merged.write_tree(repo))
    target = Target()
    for changed in changed_files(ours.diff_to_tree(result), False):
        for path in {changed.path, changed.old_path}:
            target.entries[path] = entry_in(result, path)
    if len(stash.parent_ids) > 2:
        target.entries.update(entries_of(stash.parents[2].tree))
    new_in_index = Target(
        {p: e for p, e in target.entries.items() if e is not None and entry_in(ours, p) is None and entry_in(result, p)}
    )
    moves = Mover(repo, facts).moves(target, known_ids(repo, ours), force=False)
    transition = Transition(facts, files=moves, index=new_in_index.put if new_in_index.entries else None, keep=[id])
    action = work_action(
        "commit", facts, current_branch(repo), effect_of("unstash", id, move_digest(moves)), len(moves), 0
    )
    files, asks = file_actions(facts, moves, call.policy)
    header = f"stash {arguments.index} is back in {len(moves)} files"
    preview = f"{header}:\n{names_of(m.path for m in moves)}"
    return Planned(facts, transition, [action, *files], preview, header, asks, text=names_of(m.path for m in moves))


def _dropped(repo: pygit2.Repository, facts: Facts, number: int, id: str, transition: Transition) -> Transition:
    """Take one line out of the stash's reflog; the ref is the newest that is left."""
    place = AdminMove(LOG, None, None).place(facts)
    old = place.read_bytes()
    lines = [line for line in old.split(b"\n") if line]
    at = len(lines) - 1 - number
    if at < 0 or lines[at].split(b" ")[1].decode("ascii", "replace") != id:
        raise Refused(Code.CONFLICT, "the list of stashes has changed", hint="git_status(show=stashes), then try again")
    previous = lines[at].split(b" ")[0]
    if at + 1 < len(lines):
        lines[at + 1] = previous + lines[at + 1][len(previous) :]
    del lines[at]
    top = lines[-1].split(b" ")[1].decode("ascii") if lines else None
    current = _stash_ref(repo)
    transition.refs.append(RefMove("refs/stash", current, top, "stash: dropped"))
    transition.admin.append(AdminMove(LOG, old, b"\n".join(lines) + b"\n" if lines else None))
    transition.keep += [line.split(b" ")[1].decode("ascii", "replace") for line in old.split(b"\n") if line]
    return transition


def _log(facts: Facts, old: str | None, id: str, who: pygit2.Signature, title: str) -> AdminMove:
    """The reflog with one more line: without it git would lose the older stashes."""
    move = AdminMove(LOG, None, None)
    try:
        before: bytes | None = move.place(facts).read_bytes()
    except OSError:
        before = None
    text = one_line(title.replace("\n", " "), 300)
    line = f"{old or '0' * 40} {id} {who.name} <{who.email}> {who.time} +0000\t{text}\n"
    return AdminMove(LOG, before, (before or b"") + line.encode("utf-8", "surrogateescape"))


def _stash_ref(repo: pygit2.Repository) -> str | None:
    return str(repo.lookup_reference("refs/stash").target) if "refs/stash" in repo.references else None
