"""git_merge and git_revert: two histories, or a change and its opposite, brought together in memory first.

Conflicts are data: files and hunks are told and the repository stays as it was, unless the agent asks to have them
written into the files (`keep_conflicts`), resolves them and continues.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call
from interlock.untrusted import fence, one_line, visible

from . import revisions
from .arguments import Merge, Revert
from .branches import current_branch, not_protected, protected_in
from .branching import commits
from .conflicts import conflict_hunks, conflict_texts, path_of
from .contents import shown_path
from .effects import file_actions, names_of, work_action
from .outgoing import Limits, check_files, check_message
from .patches import changed_files
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
    tree_changes,
    tree_of,
    with_work_tree,
)
from .repositories import Facts
from .transition import AdminMove, FileMove, RefMove, Transition
from .unfinished import carry_on, give_up
from .worktree import State, WorkTree, digest_of

if TYPE_CHECKING:
    import pygit2

    from .tools import Git


def plan_merge(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Raises Refused: invalid, protected, conflict (with the conflicts)."""
    arguments = call.arguments
    assert isinstance(arguments, Merge)
    with_work_tree(facts)
    if arguments.continue_:
        return carry_on(git, repo, facts, call, arguments)
    if arguments.abort:
        return give_up(git, repo, facts, call)
    if not arguments.ref:
        raise Refused(Code.INVALID, "say what to merge: ref, or continue, or abort")
    theirs = revisions.commit(repo, arguments.ref)
    full = revisions.ref_of(repo, arguments.ref)
    return merge_of(git, repo, facts, call, theirs, full, arguments.ref, arguments)


def merge_of(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, theirs: pygit2.Commit, full: str | None, name: str,
    arguments: Merge, ff_only: bool = False,
) -> Planned:  # fmt: skip
    """Bring `theirs` into the current branch. Raises Refused."""
    ours = settled_head(repo, facts)
    section = git.section(call.policy)
    branch = current_branch(repo)
    base = repo.merge_base(ours.id, theirs.id)
    if base == theirs.id:
        return _nothing(facts, branch, f"already up to date with {one_line(name, 60)}")
    forward = base == ours.id
    if branch is not None and not (forward and full == f"refs/remotes/{_own_remote(repo, branch)}/{branch}"):
        not_protected(branch, protected_in(repo, section), "merge")
    incoming = revisions.between(repo, str(ours.id), str(theirs.id))
    word = f"merge {one_line(name, 80)} ({len(incoming)} commits)"
    if forward:
        return _move_to(git, repo, facts, call, branch, theirs, incoming, word)
    if ff_only:
        raise Refused(
            Code.CONFLICT,
            f"{one_line(name, 60)} and the current branch have both moved on: no fast-forward",
            hint="merge without ff_only, or look at git_log(ref=HEAD...ref)",
        )
    merged = repo.merge_commits(ours, theirs)
    text = arguments.message or f"Merge {name} into {branch or 'HEAD'}"
    joined = _Joined(text, [str(ours.id), str(theirs.id)], "MERGE_HEAD", str(theirs.id), word, "merge")
    return _join(git, repo, facts, call, branch, ours, merged, joined, arguments.keep_conflicts, incoming)


def plan_revert(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """A new commit that takes back what `ref` did. Raises Refused."""
    import pygit2

    arguments = call.arguments
    assert isinstance(arguments, Revert)
    ours = settled_head(repo, facts)
    branch = current_branch(repo)
    if branch is not None:
        not_protected(branch, protected_in(repo, git.section(call.policy)), "revert commit")
    commit = revisions.commit(repo, arguments.ref)
    mainline = 1 if len(commit.parent_ids) > 1 else 0  # of a merge: what the merged branch brought
    try:
        merged = repo.revert_commit(commit, ours, mainline)
    except pygit2.GitError as error:
        raise Refused(Code.INVALID, f"that cannot be reverted ({one_line(str(error), 100)})") from error
    subject = commit.raw_message.decode("utf-8", "replace").strip().split("\n")[0]
    text = f'Revert "{subject}"\n\nThis reverts commit {commit.id}.'
    word = f"revert {str(commit.id)[:10]}"
    joined = _Joined(text, [str(ours.id)], "REVERT_HEAD", str(commit.id), word, "revert", check=False)
    return _join(git, repo, facts, call, branch, ours, merged, joined, arguments.keep_conflicts, [])


@dataclass(frozen=True, slots=True)
class _Joined:
    """What comes of a merge or revert: the commit to be, and what marks it while conflicts are open."""

    message: str
    parents: list[str]
    mark: str
    mark_id: str
    word: str
    verb: str
    check: bool = True


def _join(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, branch: str | None, ours: pygit2.Commit,
    merged: pygit2.Index, joined: _Joined, keep: bool, incoming: list[str],
) -> Planned:  # fmt: skip

    conflicts = list(merged.conflicts) if merged.conflicts is not None else []
    if conflicts:
        return _conflicted(git, repo, facts, call, branch, ours, merged, joined, keep)
    section = git.section(call.policy)
    git.committer.check(repo, facts, section)
    if joined.check:
        check_message(joined.message, git.detector)
    tree_id = merged.write_tree(repo)
    tree = tree_of(repo, tree_id)
    target = tree_changes(ours.tree, tree)
    if not target.entries and joined.verb == "revert":
        return _nothing(facts, branch, "that is reverted already")
    moves = Mover(repo, facts).moves(target, known_ids(repo, ours.tree), force=False)
    asks: list[str] = []
    if joined.verb == "revert":
        files = changed_files(ours.tree.diff_to_tree(tree), False)
        asks += check_files(
            repo, facts.name, files, call.policy, git.detector, Limits(section.max_file, section.max_files)
        )
    transition = Transition(facts, files=moves, index=target.put if target.entries else None)
    name = "HEAD" if branch is None else f"refs/heads/{branch}"

    def complete(handle: pygit2.Repository, final: Call) -> None:
        id = git.committer.commit(handle, section, final, joined.message, tree_id, joined.parents)
        transition.refs.append(RefMove(name, str(ours.id), id, f"{joined.word}"))
        planned.header = (
            f"{joined.word}: {id[:12]} on {one_line(branch or 'a detached HEAD', 60)}, {len(moves)} files changed"
        )

    effect = effect_of(joined.verb, ours.id, tree_id, *joined.parents, joined.message)
    verb = "merge" if joined.verb == "merge" else "commit"
    actions = [work_action(verb, facts, branch, effect, len(moves), max(1, len(incoming)))]
    files_too, more = file_actions(facts, moves, call.policy)
    preview = f"{joined.word}\n{commits(git, repo, incoming)}\nfiles that change:\n{names_of(m.path for m in moves)}"
    planned = Planned(
        facts, transition, [*actions, *files_too], preview, joined.word, [*asks, *more], complete=complete
    )
    planned.text = names_of(m.path for m in moves)
    return planned


def _move_to(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, branch: str | None, theirs: pygit2.Commit,
    incoming: list[str], word: str,
) -> Planned:  # fmt: skip
    """Fast-forward."""
    tree = head_tree(repo)
    target = tree_changes(tree, theirs.tree)
    moves = Mover(repo, facts).moves(target, known_ids(repo, tree), force=False)
    name = "HEAD" if branch is None else f"refs/heads/{branch}"
    old = str(repo.head.target)
    transition = Transition(
        facts,
        refs=[RefMove(name, old, str(theirs.id), f"{word}: Fast-forward")],
        files=moves,
        index=target.put if target.entries else None,
    )
    effect = effect_of("forward", name, old, theirs.id, move_digest(moves))
    files, asks = file_actions(facts, moves, call.policy)
    header = f"{word}: fast-forward to {str(theirs.id)[:12]}, {len(moves)} files changed"
    preview = f"{header}\n{commits(git, repo, incoming)}\nfiles that change:\n{names_of(m.path for m in moves)}"
    actions = [work_action("merge", facts, branch, effect, len(moves), len(incoming)), *files]
    return Planned(facts, transition, actions, preview, header, asks, text=names_of(m.path for m in moves))


def _conflicted(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, branch: str | None, ours: pygit2.Commit,
    merged: pygit2.Index, joined: _Joined, keep: bool,
) -> Planned:  # fmt: skip
    texts = conflict_texts(repo, merged)
    if not keep:
        raise Refused(
            Code.CONFLICT,
            f"{joined.word} has conflicts in {len(texts)} files, and nothing was changed\n"
            f"{fence(visible(conflict_hunks(git, facts, call, texts)), secrets.token_hex(4))}",
            hint="call it again with keep_conflicts=true to have them in the files; then resolve, and "
            "git_merge(continue=true), or git_merge(abort=true)",
        )
    clean = Target()
    import pygit2

    ours_entries = entries_of(ours.tree)
    theirs_paths = {entry.path for entry in merged}
    for entry in merged:
        if entry.path in texts:  # its three stages
            continue
        new_entry = (str(entry.id), int(entry.mode))
        if ours_entries.get(entry.path) != new_entry:
            clean.entries[entry.path] = new_entry
    for path in ours_entries:
        if path not in theirs_paths and path not in texts:
            clean.entries[path] = None
    moves = Mover(repo, facts).moves(clean, known_ids(repo, ours.tree), force=False)
    tree = WorkTree(facts.root)
    stages = {}
    for ancestor, mine, other in merged.conflicts or ():
        path = path_of((mine, other, ancestor))
        stages[path] = (ancestor, mine, other)
    for path, data in texts.items():
        here = tree.state(path)
        known = known_ids(repo, ours.tree)(path)
        if here is not None and known and not Mover(repo, facts)._clean(path, here, known):
            raise Refused(
                Code.CONFLICT, f"{shown_path(path)} has changes that are not committed", hint="commit or stash them"
            )
        if here is not None and not known:
            raise Refused(Code.CONFLICT, f"{shown_path(path)} lies untracked in the way", hint="move it away first")
        new = State(
            "file", here.mode if here is not None and here.kind == "file" else 0o644, len(data), digest_of(data)
        )
        moves.append(FileMove(path, here, new, lambda data=data: iter((data,))))  # type: ignore[misc]

    def index(target: pygit2.Index) -> None:
        clean.put(target)
        for path, (ancestor, mine, other) in stages.items():
            if path in target:
                target.remove(path)
            target.add_conflict(*[_again(e) for e in (ancestor, mine, other)])  # type: ignore[arg-type]

    def _again(entry: pygit2.IndexEntry | None) -> pygit2.IndexEntry | None:
        return None if entry is None else pygit2.IndexEntry(entry.path, entry.id, entry.mode)

    admin = [AdminMove(joined.mark, None, f"{joined.mark_id}\n".encode()), _admin(facts, "MERGE_MSG", joined.message)]
    if joined.mark == "MERGE_HEAD":
        admin.append(_admin(facts, "MERGE_MODE", ""))
    transition = Transition(facts, files=moves, index=index, admin=admin, keep=[joined.mark_id])
    effect = effect_of(joined.verb, "conflicts", ours.id, joined.mark_id, move_digest(moves))
    files, asks = file_actions(facts, moves, call.policy)
    verb = "merge" if joined.verb == "merge" else "commit"
    header = (
        f"{joined.word} is open with conflicts in {len(texts)} files: resolve them (edit_file), then "
        "git_merge(continue=true); or git_merge(abort=true)"
    )
    preview = f"{joined.word}, with conflicts written into:\n{names_of(texts)}"
    actions: list[Action] = [work_action(verb, facts, branch, effect, len(moves), 1), *files]
    return Planned(facts, transition, actions, preview, header, asks, text=conflict_hunks(git, facts, call, texts))


# -------------------------------------------------------------------- small pieces


def _nothing(facts: Facts, branch: str | None, header: str) -> Planned:
    return Planned(
        facts,
        Transition(facts),
        [work_action("merge", facts, branch, effect_of("nothing", header), 0, 0)],
        header,
        header,
    )


def _own_remote(repo: pygit2.Repository, branch: str) -> str:
    upstream = revisions.upstream_of(repo, branch)
    return upstream.removeprefix("refs/remotes/").split("/")[0] if upstream else "origin"


def _admin(facts: Facts, name: str, text: str) -> AdminMove:
    old = None
    with contextlib.suppress(OSError):
        old = (facts.gitdir / name).read_bytes()
    return AdminMove(name, old, text.encode("utf-8", "surrogateescape"))
