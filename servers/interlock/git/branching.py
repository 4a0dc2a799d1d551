"""git_branch, git_switch and git_tag: names that point at commits, and the one that the work tree follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call
from interlock.untrusted import one_line

from . import revisions
from .arguments import Branch, Switch, Tag
from .branches import current_branch, not_protected, plain_branch, protected_in
from .effects import file_actions, git_action, names_of
from .names import branch_name
from .outgoing import check_message
from .planning import (
    Mover,
    Planned,
    effect_of,
    fresh_index,
    head_tree,
    idle,
    known_ids,
    move_digest,
    tree_changes,
    with_work_tree,
)
from .repositories import Facts
from .transition import AdminMove, RefMove, Transition

if TYPE_CHECKING:
    import pygit2

    from .tools import Git


def plan_branch(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Create, delete or rename. Raises Refused."""
    arguments = call.arguments
    assert isinstance(arguments, Branch)
    shield = protected_in(repo, git.section(call.policy))
    if arguments.action == "create":
        name = plain_branch(arguments.name, shield)
        not_protected(name, shield, "creation")
        full = f"refs/heads/{name}"
        _free(repo, full)
        start = revisions.commit(repo, arguments.start or "HEAD")
        transition = Transition(facts, refs=[RefMove(full, None, str(start.id), f"branch: Created from {start.id}")])
        action = git_action(
            "branch", facts, effect=effect_of("create", full, start.id), branch=name, protected_branch=False,
            force=False, deletes=False, commits=0,
        )  # fmt: skip
        header = f"created {one_line(name, 80)} at {str(start.id)[:12]}"
        return Planned(facts, transition, [action], header, header)
    name = branch_name(arguments.name)
    not_protected(name, shield, f"{arguments.action} of it")
    full = f"refs/heads/{name}"
    old = _target(repo, full, name)
    _not_checked_out(repo, facts, name, arguments.action)
    if arguments.action == "delete":
        lonely = _unreachable(repo, full, old)
        transition = Transition(facts, refs=[RefMove(full, old, None)], admin=_reflog(facts, full))
        asks = [f"{len(lonely)} commits would be on no other branch"] if lonely else []
        action = git_action(
            "branch", facts, effect=effect_of("delete", full, old), branch=name, protected_branch=False,
            force=bool(lonely), deletes=True, commits=len(lonely),
        )  # fmt: skip
        preview = f"delete {one_line(name, 80)}, now at {old[:12]}"
        preview += (
            f"; commits on no other branch:\n{commits(git, repo, lonely)}"
            if lonely
            else "; all its commits are on other branches"
        )
        return Planned(facts, transition, [action], preview, f"deleted {one_line(name, 80)} (was {old[:12]})", asks)
    to = plain_branch(arguments.to, shield)
    not_protected(to, shield, "rename onto it")
    new = f"refs/heads/{to}"
    _free(repo, new)
    moves = [RefMove(full, old, None), RefMove(new, None, old, f"Branch: renamed {full} to {new}")]
    if current_branch(repo) == name:
        moves.append(RefMove("HEAD", f"ref: {full}", f"ref: {new}", f"Branch: renamed {full} to {new}"))
    transition = Transition(facts, refs=moves, admin=[*_reflog(facts, full), *_renamed_settings(facts, name, to)])
    action = git_action(
        "branch", facts, effect=effect_of("rename", full, new, old), branch=name, protected_branch=False, force=False,
        deletes=False, commits=0,
    )  # fmt: skip
    header = f"renamed {one_line(name, 80)} to {one_line(to, 80)}"
    return Planned(facts, transition, [action], header, header)


def plan_switch(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Move HEAD and the work tree; work that is not committed is carried along or stands in the way. Raises Refused."""
    arguments = call.arguments
    assert isinstance(arguments, Switch)
    with_work_tree(facts)
    idle(repo, facts)
    shield = protected_in(repo, git.section(call.policy))
    refs: list[RefMove] = []
    text = arguments.ref.removeprefix("refs/heads/")
    if arguments.create:
        name = plain_branch(text, shield)
        not_protected(name, shield, "creation")
        _free(repo, f"refs/heads/{name}")
        if repo.head_is_unborn:
            raise Refused(Code.INVALID, "there is no commit yet to start a branch from")
        commit = revisions.commit(repo, "HEAD")
        refs.append(RefMove(f"refs/heads/{name}", None, str(commit.id), "branch: Created from HEAD"))
        goal = f"ref: refs/heads/{name}"
    elif f"refs/heads/{text}" in _names(repo, text):
        name = branch_name(text)
        commit = revisions.commit(repo, f"refs/heads/{name}")
        goal = f"ref: refs/heads/{name}"
        _not_elsewhere(repo, facts, name)
    elif f"refs/remotes/origin/{text}" in _names(repo, text):
        name = plain_branch(text, shield)
        commit = revisions.commit(repo, f"refs/remotes/origin/{text}")
        refs.append(RefMove(f"refs/heads/{name}", None, str(commit.id), f"branch: Created from origin/{text}"))
        goal = f"ref: refs/heads/{name}"
    else:
        name, commit = "", revisions.commit(repo, arguments.ref)
        goal = str(commit.id)
    old_head = repo.lookup_reference("HEAD").raw_target
    before = f"ref: {old_head.decode('utf-8', 'surrogateescape')}" if isinstance(old_head, bytes) else str(old_head)
    here = name or str(commit.id)[:12]
    refs.append(RefMove("HEAD", before, goal, f"checkout: moving to {here}"))
    fresh_index(repo)
    tree = head_tree(repo)
    target = tree_changes(tree, commit.tree)
    moves = Mover(repo, facts).moves(target, known_ids(repo, tree), force=False)
    transition = Transition(facts, refs=refs, files=moves, index=target.put if target.entries else None)
    effect = effect_of("switch", before, goal, commit.id, move_digest(moves))
    action = git_action(
        "branch",
        facts,
        effect=effect,
        branch=name or "HEAD",
        protected_branch=False,
        force=False,
        deletes=False,
        commits=0,
    )
    files, asks = file_actions(facts, moves, call.policy)
    where = one_line(here, 80) + ("" if name else " (detached)")
    header = f"now on {where} at {str(commit.id)[:12]}; {len(moves)} files changed"
    preview = f"switch to {one_line(here, 80)}; files that change:\n{names_of(m.path for m in moves)}"
    return Planned(facts, transition, [action, *files], preview, header, asks)


def plan_tag(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Create (annotated with a message, else lightweight) or delete. An existing tag is never moved. Raises Refused."""
    arguments = call.arguments
    assert isinstance(arguments, Tag)
    section = git.section(call.policy)
    shield = protected_in(repo, section)
    name = plain_branch(arguments.name, shield, "tag")
    not_protected(name, shield, "tag of the same name")
    full = f"refs/tags/{name}"
    if arguments.delete:
        old = _target(repo, full, name, "tag")
        transition = Transition(facts, refs=[RefMove(full, old, None)], keep=[old])
        action = git_action(
            "tag", facts, effect=effect_of("untag", full, old), name=name, force=True, protected_branch=False
        )
        header = f"deleted tag {one_line(name, 80)} (was {old[:12]})"
        return Planned(facts, transition, [action], header, header, ["it deletes a tag"])
    if f"refs/heads/{name}" in repo.references:
        raise Refused(
            Code.INVALID, f"a branch has the name {one_line(name, 60)}", hint="choose another name for the tag"
        )
    _free(repo, full)
    commit = revisions.commit(repo, arguments.ref or "HEAD")
    transition = Transition(facts)
    git.committer.check_tag(repo, section, bool(arguments.message))
    if arguments.message:
        check_message(arguments.message, git.detector)
    message = arguments.message.rstrip() + "\n"

    def annotate(handle: pygit2.Repository, final: Call) -> None:
        from .identity import identity
        from .snapshot import object_written

        tagger = identity(handle, section, final.time)
        head = f"object {commit.id}\ntype commit\ntag {name}\ntagger {tagger.name} <{tagger.email}> {tagger.time} +0000"
        content = git.committer.tag(handle, section, f"{head}\n\n{message}")
        transition.refs.append(RefMove(full, None, object_written(handle, "tag", content)))

    if not arguments.message:
        transition.refs.append(RefMove(full, None, str(commit.id)))
    complete = annotate if arguments.message else None
    effect = effect_of("tag", full, commit.id, arguments.message)
    action = git_action("tag", facts, effect=effect, name=name, force=False, protected_branch=False)
    header = f"tagged {str(commit.id)[:12]} as {one_line(name, 80)}"
    return Planned(facts, transition, [action], header, header, complete=complete)


def commits(git: Git, repo: pygit2.Repository, ids: list[str], limit: int = 20) -> str:
    """One line a commit, redacted, for previews."""
    import pygit2

    lines = []
    for id in ids[:limit]:
        commit = repo.get(id)
        if isinstance(commit, pygit2.Commit):
            text = git.contents.message(commit.raw_message.decode("utf-8", "replace")).strip().split("\n")[0]
            lines.append(f"{id[:10]} {one_line(text, 100)}")
    if len(ids) > limit:
        lines.append(f"… and {len(ids) - limit} more")
    return "\n".join(lines)


def _names(repo: pygit2.Repository, text: str) -> set[str]:
    """Of the full names that a short one may mean, those that exist; none for what is no name."""
    import pygit2

    found = set()
    for full in (f"refs/heads/{text}", f"refs/remotes/origin/{text}"):
        try:
            if full in repo.references:
                found.add(full)
        except (pygit2.InvalidSpecError, pygit2.GitError, ValueError):
            continue
    return found


def _free(repo: pygit2.Repository, full: str) -> None:
    """The name is not taken, nor by a folder or file of refs, nor by one that differs only in case."""
    folded = full.casefold()
    for name in repo.references:
        other = name.casefold()
        if other == folded or other.startswith(f"{folded}/") or folded.startswith(f"{other}/"):
            raise Refused(
                Code.CONFLICT,
                f"{one_line(name, 80)} exists already",
                hint="choose another name; nothing existing is moved",
            )


def _target(repo: pygit2.Repository, full: str, name: str, what: str = "branch") -> str:
    if full not in repo.references:
        raise Refused(
            Code.INVALID,
            f"there is no {what} {one_line(name, 60)}",
            hint=f"git_status(show={what}{'es' if what == 'branch' else 's'}) lists them",
        )
    target = repo.lookup_reference(full).raw_target
    if isinstance(target, bytes):
        raise Refused(Code.INVALID, f"{one_line(name, 60)} is a symbolic ref, which is not changed")
    return str(target)


def _unreachable(repo: pygit2.Repository, full: str, tip: str) -> list[str]:
    """Commits that no other ref holds."""
    from pygit2.enums import SortMode

    walker = repo.walk(tip, SortMode.NONE)
    for name in repo.references:
        if name != full and name.startswith(("refs/heads/", "refs/remotes/", "refs/tags/")):
            target = repo.lookup_reference(name).resolve().target
            commit = repo.get(target)
            if commit is not None and commit.type_str in ("commit", "tag"):
                walker.hide(target)
    found = []
    for one in walker:
        found.append(str(one.id))
        if len(found) >= 1000:
            break
    return found


def _not_checked_out(repo: pygit2.Repository, facts: Facts, name: str, action: str) -> None:
    if action == "delete" and current_branch(repo) == name:
        raise Refused(Code.CONFLICT, f"{one_line(name, 60)} is the current branch", hint="switch to another one first")
    _not_elsewhere(repo, facts, name)


def _not_elsewhere(repo: pygit2.Repository, facts: Facts, name: str) -> None:
    """Another work tree of the same repository may be on the branch."""
    wanted = f"ref: refs/heads/{name}"
    places = [facts.common, *((facts.common / "worktrees").glob("*") if (facts.common / "worktrees").is_dir() else ())]
    for place in places:
        if place == facts.gitdir:
            continue
        try:
            text = (place / "HEAD").read_text("utf-8", "surrogateescape").strip()
        except OSError:
            continue
        if text == wanted:
            raise Refused(Code.CONFLICT, f"another work tree is on {one_line(name, 60)}", hint="choose another branch")


def _reflog(facts: Facts, full: str) -> list[AdminMove]:
    """Deleting a ref deletes its reflog: it belongs to what is put back."""
    move = AdminMove(f"logs/{full}", None, None)
    try:
        return [AdminMove(move.name, move.place(facts).read_bytes(), None)]
    except OSError:
        return []


def _renamed_settings(facts: Facts, name: str, to: str) -> list[AdminMove]:
    """The branch's upstream follows its name."""
    place = facts.common / "config"
    old = place.read_bytes()
    head, new_head = (f'[branch "{n}"]'.encode("utf-8", "surrogateescape") for n in (name, to))
    lines = [new_head if line.strip() == head else line for line in old.split(b"\n")]
    new = b"\n".join(lines)
    return [AdminMove("config", old, new)] if new != old else []
