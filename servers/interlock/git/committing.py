"""git_commit: stage what is named, then commit all that is staged. Also amending the own last commit."""

from __future__ import annotations

import os
import stat as stat_module
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Call
from interlock.untrusted import one_line

from .arguments import Commit
from .branches import current_branch, not_protected, protected_in
from .contents import private, secret_file, shown_path
from .effects import git_action, names_of
from .names import tree_path
from .outgoing import Limits, check_files, check_message
from .patches import Changed, is_ignored, stored_form
from .planning import (
    EXECUTABLE,
    LINK,
    PLAIN,
    Planned,
    Target,
    changed_between,
    effect_of,
    fresh_index,
    head_tree,
    idle,
    no_conflicts,
    tree_with,
    with_work_tree,
)
from .repositories import Facts
from .transition import RefMove, Transition
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from .tools import Git

POINTER: Final = b"version https://git-lfs.github.com/spec/v1\n"


def plan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Raises Refused: invalid, protected, too_large, conflict."""
    arguments = call.arguments
    assert isinstance(arguments, Commit)
    with_work_tree(facts)
    idle(repo, facts)
    section = git.section(call.policy)
    index = fresh_index(repo)
    no_conflicts(repo)
    target = stage(git, repo, facts, call, arguments.paths, arguments.all)
    if arguments.stage_only:
        return _only_staged(git, repo, facts, call, target, index)
    check_message(arguments.message or _kept_message(repo, arguments), git.detector)
    git.committer.check(repo, facts, section)
    branch = current_branch(repo)
    shield = protected_in(repo, section)
    if branch is not None:
        not_protected(branch, shield, "commit")
    tree = tree_with(repo, target)
    old = head_tree(repo)
    files = changed_between(repo, old, tree)
    if not files and not arguments.allow_empty and not arguments.amend:
        raise Refused(
            Code.INVALID,
            "there is nothing to commit",
            hint="name files in paths, or set all=true; git_status shows what has changed",
        )
    against = files
    parents = [] if repo.head_is_unborn else [str(repo.head.target)]
    asks: list[str] = []
    if arguments.amend:
        parents, against = _amended(repo, tree)
        asks += _published(repo)
    limits = Limits(section.max_file, section.max_files)
    asks += check_files(repo, facts.name, against, call.policy, git.detector, limits)
    message = arguments.message or _kept_message(repo, arguments)
    transition = Transition(facts, index=target.put if target.entries else None)
    head = None if repo.head_is_unborn else str(repo.head.target)

    def complete(handle: pygit2.Repository, final: Call) -> None:
        import pygit2

        author = handle.head.peel(pygit2.Commit).author if arguments.amend else None
        id = git.committer.commit(handle, section, final, message, pygit2.Oid(hex=tree), parents, author)
        subject = one_line(message.strip().split("\n")[0], 80)
        name = "HEAD" if branch is None else f"refs/heads/{branch}"
        word = "commit (amend)" if arguments.amend else "commit"
        transition.refs.append(RefMove(name, head, id, f"{word}: {subject}"))
        planned.header = f"commit {id[:12]} on {one_line(branch or 'a detached HEAD', 80)}: {len(files)} files"

    effect = effect_of("commit", tree, *parents, message, arguments.amend)
    common: dict[str, Any] = {
        "branch": branch or "HEAD",
        "protected_branch": False,
        "force": False,
        "files": len(files),
    }
    actions: list[Action] = [git_action("commit", facts, effect=effect, commits=1, protected=False, **common)]
    if arguments.amend:
        actions.append(git_action("rewind", facts, effect=effect, commits=1, protected=False, **common))
    actions += _per_path(facts, files, effect, branch or "HEAD")
    preview = (
        f"commit on {one_line(branch or 'a detached HEAD', 80)}:\n{names_of(f'{f.status} {f.path}' for f in files)}"
    )
    preview += f"\n\n{git.contents.message(message)[:2000]}"
    planned = Planned(facts, transition, actions, preview, "", asks, complete=complete)
    return planned


def stage(git: Git, repo: pygit2.Repository, facts: Facts, call: Call, paths: list[str], everything: bool) -> Target:
    """What staging these paths puts into the index. Raises Refused (invalid, out_of_bounds, protected, too_large)."""
    wanted: dict[str, None] = {}
    if paths or everything:
        scan = git.scanner.scan(repo, facts)
        live = {entry.path: entry for entry in scan.entries if entry.code == "??" or entry.code[1] != " "}
        if everything:
            wanted.update((p, None) for p, entry in live.items() if entry.code != "??")
        for text in paths:
            wanted.update((p, None) for p in _expand(repo, facts, tree_path(text, facts.name), live))
    target = Target()
    for path in wanted:
        target.entries[path] = staged_entry(git, repo, facts, call, path)
    return target


def staged_entry(git: Git, repo: pygit2.Repository, facts: Facts, call: Call, path: str) -> tuple[str, int] | None:
    """What lies at a path of the work tree, as an index entry: id and mode, None for nothing. Raises Refused."""
    section = git.section(call.policy)
    tree = WorkTree(facts.root)
    full = f"{facts.name}/{path}"
    state = tree.state(path)
    if state is None:
        return None
    if state.kind == "other":
        raise Refused(
            Code.INVALID,
            f"{shown_path(path)} is no regular file (a submodule or another repository?)",
            hint="leave it out; a person commits submodules",
        )
    if private(full, call.policy) or secret_file(full):
        raise Refused(
            Code.PROTECTED,
            f"{shown_path(path)} is a file for secrets, which does not go into a commit",
            hint="leave it out, and list it in .gitignore",
            rule="builtin.protected",
        )
    if state.size > section.max_file:
        raise Refused(
            Code.TOO_LARGE,
            f"{shown_path(path)} has {state.size:,} bytes; the policy allows {section.max_file:,}",
            hint="leave it out, or ask a person to raise git.max_file",
        )
    data = tree.read(path, section.max_file) or b""
    if state.kind == "link":
        return str(repo.create_blob(data)), LINK
    _no_foreign_filter(repo, path, data)
    return str(repo.create_blob(stored_form(repo, path, data))), _mode(repo, path, state.mode)


def _expand(repo: pygit2.Repository, facts: Facts, path: str, live: dict[str, Any]) -> list[str]:
    """The changed files at or below a path. An unchanged or ignored one is nothing to stage."""
    import pygit2

    found: list[str] = []
    folders: list[str] = []
    for name, entry in live.items():
        if name == path or path == "" or name.startswith(f"{path}/"):
            (folders if entry.code == "??" and name.endswith("/") else found).append(name)
        elif name.endswith("/") and (path + "/").startswith(name):
            folders.append(path)
    for folder in folders:
        below = repo.status(untracked_files="all", ignored=False)
        prefix = folder.rstrip("/")
        found += [p for p, flags in below.items() if (p == prefix or p.startswith(f"{prefix}/")) and int(flags) & 128]
    if found:
        return list(dict.fromkeys(found))
    if path and path not in repo.index:
        state = WorkTree(facts.root).state(path)
        if state is None:
            raise Refused(
                Code.INVALID,
                f"{shown_path(path)} is not in the work tree",
                hint="links are not followed; git_status lists what has changed",
            )
        try:
            ignored = is_ignored(repo, path)
        except pygit2.GitError:
            ignored = False
        if ignored and state.kind != "other":
            raise Refused(
                Code.INVALID, f"{shown_path(path)} is ignored by .gitignore", hint="leave it out, or a person adds it"
            )
    return []


def _mode(repo: pygit2.Repository, path: str, mode: int) -> int:
    try:
        if not repo.config.get_bool("core.filemode"):
            known = int(repo.index[path].mode)
            return known if known in (PLAIN, EXECUTABLE) else PLAIN
    except (KeyError, ValueError):
        pass
    return EXECUTABLE if mode & stat_module.S_IXUSR else PLAIN


def _no_foreign_filter(repo: pygit2.Repository, path: str, data: bytes) -> None:
    """External filters are programs and never run; what they would have changed must not be committed raw."""
    name = repo.get_attr(os.fsencode(path), "filter")
    if isinstance(name, str) and name and not (name == "lfs" and data.startswith(POINTER)):
        raise Refused(
            Code.INVALID,
            f"{shown_path(path)} is stored through the external filter {one_line(name, 40)!r}, which is not run",
            hint="a person commits this file with git; LFS pointers as they are can be committed",
        )
    if isinstance(repo.get_attr(os.fsencode(path), "working-tree-encoding"), str):
        raise Refused(Code.INVALID, f"{shown_path(path)} has a working-tree-encoding, which is not supported")


def _kept_message(repo: pygit2.Repository, arguments: Commit) -> str:
    """When amending without a message: the old one without our trailer, which is written anew."""
    import pygit2

    if not arguments.amend or repo.head_is_unborn:
        return arguments.message
    text = repo.head.peel(pygit2.Commit).raw_message.decode("utf-8", "replace")
    return "\n".join(
        line for line in text.split("\n") if not line.startswith(("Interlock-Agent:", "Interlock-Change:"))
    )


def _amended(repo: pygit2.Repository, tree: str) -> tuple[list[str], list[Changed]]:
    import pygit2

    if repo.head_is_unborn:
        raise Refused(Code.INVALID, "there is no commit to amend")
    last = repo.head.peel(pygit2.Commit)
    base = last.parents[0].tree if last.parent_ids else None
    return [str(id) for id in last.parent_ids], changed_between(repo, base, tree)


def _published(repo: pygit2.Repository) -> list[str]:
    head = repo.head.target
    for name in repo.references:
        if name.startswith("refs/remotes/"):
            target = repo.lookup_reference(name).resolve().target
            if target == head or repo.descendant_of(target, head):
                return ["it rewrites a commit that a remote already has"]
    return []


def _per_path(facts: Facts, files: list[Changed], effect: str, branch: str) -> list[Action]:
    """One action a path for the first ones, so that rules with `path` see them."""
    return [
        git_action(
            "commit",
            facts,
            effect=effect,
            path=f"{facts.name}/{changed.path}",
            protected=False,
            files=len(files),
            commits=1,
            branch=branch,
            force=False,
            protected_branch=False,
        )
        for changed in files[:100]
    ]


def _only_staged(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, target: Target, index: pygit2.Index
) -> Planned:
    if not target.entries:
        raise Refused(Code.INVALID, "there is nothing to stage", hint="name changed files in paths; see git_status")
    transition = Transition(facts, index=target.put)
    entries = sorted(target.entries)
    effect = effect_of("stage", *[(p, target.entries[p]) for p in entries])
    action = git_action(
        "commit", facts, effect=effect, files=len(entries), commits=0, protected=False, force=False,
        branch=current_branch(repo) or "HEAD", protected_branch=False,
    )  # fmt: skip
    header = f"staged {len(entries)} files"
    return Planned(facts, transition, [action], f"stage:\n{names_of(entries)}", header, text=names_of(entries))
