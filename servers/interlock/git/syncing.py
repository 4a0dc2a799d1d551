"""git_sync: fetch what a remote has, and bring it into the current branch (pull).

The transfer brings objects only; then one transition moves the remote-tracking refs and, for a pull, does the merge.
What the merge would do is known only after the transfer: if it would need a person, the pull ends after fetching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.guard.decide import Decider
from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Action, Call, Effect, Result
from interlock.registry import VERBS
from interlock.untrusted import one_line

from . import revisions
from .applying import apply, ref_value
from .arguments import Merge, Sync
from .branches import current_branch
from .effects import git_action
from .identity import identity
from .merging import merge_of
from .peers import Peer, chosen
from .planning import Planned, effect_of, idle, with_work_tree
from .remotes import Remote
from .repositories import Facts
from .snapshot import capture
from .transition import RefMove, Transition

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.undo.snapshots import Slot

    from .tools import Git


def plan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Raises Refused: invalid, out_of_bounds, conflict."""
    arguments = call.arguments
    assert isinstance(arguments, Sync)
    remote = chosen(git, facts, call.policy, arguments.remote or "origin")
    branch = arguments.branch
    pull = arguments.action == "pull"
    current = current_branch(repo)
    if pull:
        with_work_tree(facts)
        idle(repo, facts)
        if current is None:
            raise Refused(Code.INVALID, "HEAD is on no branch", hint="fetch, then git_merge(ref=...)")
        branch = branch or _upstream(repo, current, remote.name)
    prefix = f"refs/remotes/{remote.name}/"
    known = [(name, ref_value(repo, name)) for name in sorted(repo.references) if name.startswith(prefix)]
    effect = effect_of(arguments.action, remote.url, branch, current, ref_value(repo, f"refs/heads/{current}"), known)
    actions: list[Action] = [
        git_action(
            "fetch", facts, effect=effect, remote=remote.name, known_remote=True, url=remote.shown, branch=branch or "*"
        )
    ]
    if pull:
        actions.append(
            git_action(
                "merge",
                facts,
                effect=effect,
                branch=current or "HEAD",
                protected_branch=False,
                force=False,
                commits=0,
                files=0,
                protected=False,
            )
        )

    def run(handle: pygit2.Repository, final: Call, slot: Slot) -> Result:
        return _run(git, handle, facts, final, slot, remote, branch, current if pull else None, arguments.ff_only)

    preview = (
        f"{arguments.action} from {remote.name} ({remote.shown}){f', branch {one_line(branch, 80)}' if branch else ''}"
    )
    return Planned(facts, Transition(facts), actions, preview, preview, run=run)


def _run(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, slot: Slot, remote: Remote, branch: str,
    into: str | None, ff_only: bool,
) -> Result:  # fmt: skip
    heads, tags, default = Peer(git, repo, facts, call.policy, remote).fetch(branch)
    if into is not None and branch not in heads:
        raise Failed(f"the remote has no branch {one_line(branch, 80)}", hint="git_sync(action=fetch), then git_status")
    transition = Transition(facts, refs=_tracking(repo, remote, heads, tags, default))
    lines = _described(repo, transition.refs)
    fetched = len(transition.refs)
    header = (
        f"fetched from {remote.name}: {fetched} refs moved" if fetched else f"fetched from {remote.name}: nothing new"
    )
    if into is not None:
        header += "; " + _merge(git, repo, facts, call, transition, heads[branch], remote, branch, ff_only)
    keep = call.policy.snapshots
    try:
        manifest = capture(repo, transition, slot, keep.keep)
    except OSError as error:
        raise Failed("the snapshot cannot be written, so no ref was moved") from error
    who = identity(repo, git.section(call.policy), call.time)
    repo.set_ident(who.name, who.email)
    apply(repo, transition, manifest, slot.id)
    return Result(text="\n".join(lines), header=header, untrusted=bool(lines))


def _merge(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, transition: Transition, tip: str, remote: Remote,
    branch: str, ff_only: bool,
) -> str:  # fmt: skip
    """Add the merge to the transition, if the policy allows what it would do; say what became of it."""
    import pygit2

    theirs = repo.get(tip)
    assert isinstance(theirs, pygit2.Commit)
    name = f"{remote.name}/{branch}"
    try:
        merged = merge_of(git, repo, facts, call, theirs, f"refs/remotes/{name}", name, Merge(ref=name), ff_only)
    except Refused as error:
        return f"not merged: {error.message}"
    decision = Decider(call.policy.rules, VERBS).decide(merged.actions, merged.asks)
    if decision.effect > Effect.NOTIFY:
        return f"not merged, for that needs more: {decision.reason}; call git_merge(ref={one_line(name, 80)})"
    if merged.complete is not None:
        merged.complete(repo, call)
    transition.refs += merged.transition.refs
    transition.files += merged.transition.files
    transition.admin += merged.transition.admin
    transition.index = merged.transition.index
    return merged.header


def _tracking(
    repo: pygit2.Repository, remote: Remote, heads: dict[str, str], tags: dict[str, str], default: str
) -> list[RefMove]:
    """Remote-tracking refs as the remote has them now; tags only where there is none of the name."""
    moves = []
    for name, id in sorted(heads.items()):
        full = f"refs/remotes/{remote.name}/{name}"
        old = ref_value(repo, full)
        if old != id:
            moves.append(RefMove(full, old, id, "fetch"))
    for full, id in sorted(tags.items()):
        if full not in repo.references:
            moves.append(RefMove(full, None, id, ""))
    head = f"refs/remotes/{remote.name}/HEAD"
    known = f"refs/remotes/{remote.name}/{default}"
    if default and head not in repo.references and (default in heads or known in repo.references):
        moves.append(RefMove(head, None, f"ref: {known}", ""))
    return moves


def _described(repo: pygit2.Repository, moves: list[RefMove]) -> list[str]:
    lines = []
    for move in moves[:100]:
        name = one_line(move.name.removeprefix("refs/remotes/").removeprefix("refs/"), 120)
        if move.old is None:
            lines.append(f"new {name} {(move.new or '')[:12]}")
            continue
        forced = "" if move.new and repo.descendant_of(move.new, move.old) else " (rewritten)"
        lines.append(f"{name} {move.old[:10]}..{(move.new or '')[:10]}{forced}")
    return lines


def _upstream(repo: pygit2.Repository, current: str, remote: str) -> str:
    full = revisions.upstream_of(repo, current)
    prefix = f"refs/remotes/{remote}/"
    return full.removeprefix(prefix) if full and full.startswith(prefix) else current
