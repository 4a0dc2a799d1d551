"""git_push: one branch (or tag) to the same name at one remote. Scanned whole before it leaves.

The remote is asked first: what it has now decides what goes out, names the default branch, and is the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Call, Outcome, Result, Risk, UndoClass
from interlock.untrusted import one_line

from .applying import _move_refs, ref_value
from .arguments import Push
from .branches import current_branch, not_protected, plain_branch, protected_in
from .branching import commits
from .effects import git_action
from .names import pushed_name
from .outgoing import check_files
from .patches import changed_files
from .peers import Peer, chosen
from .planning import Planned, effect_of
from .repositories import Facts
from .snapshot import Manifest, load
from .transition import RefMove, Transition

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot

    from .tools import Git

COMMITS: Final = 1000  # commits that one push may take along
_LOST: Final = "whoever has fetched it keeps it"


def plan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
    """Raises Refused: invalid, protected, out_of_bounds, conflict, too_large."""
    arguments = call.arguments
    assert isinstance(arguments, Push)
    section = git.section(call.policy)
    remote = chosen(git, facts, call.policy, arguments.remote or "origin")
    shield = protected_in(repo, section)
    if arguments.tag and (arguments.branch or arguments.force or arguments.delete):
        raise Refused(Code.INVALID, "a tag is pushed alone, never forced or deleted")
    name = arguments.tag or pushed_name(arguments.branch) or current_branch(repo) or ""
    if not name:
        raise Refused(Code.INVALID, "HEAD is on no branch: say which one to push")
    what = "tag" if arguments.tag else "branch"
    name = plain_branch(name, shield, what)
    not_protected(name, shield, "push")
    full = f"refs/tags/{name}" if arguments.tag else f"refs/heads/{name}"
    new = None if arguments.delete else _local(repo, full, name, what)
    peer = Peer(git, repo, facts, call.policy, remote)
    peer.check_receiving()
    try:
        listing = peer.listing([full])
    except Failed as error:
        raise Refused(Code.FAILED, f"{remote.name}: {error.message}", hint=error.hint) from error
    not_protected(name, shield.also([listing.head]), "push")
    old = listing.refs.get(full)
    if arguments.tag and old is not None:
        raise Refused(Code.CONFLICT, f"the remote has a tag {one_line(name, 60)} already", hint="tags are never moved")
    if old == new:
        raise Refused(Code.INVALID, f"{remote.name} has it already" if new else f"{remote.name} has no such branch")
    if old is not None and old not in repo:
        raise Refused(
            Code.CONFLICT,
            f"{remote.name} has commits on {one_line(name, 60)} that are not here",
            hint="git_sync(action=fetch), look at them, then decide",
        )
    forced = old is not None and new is not None and not repo.descendant_of(new, old)
    if forced and not arguments.force:
        raise Refused(
            Code.CONFLICT,
            f"{remote.name}/{one_line(name, 60)} is not an ancestor of yours",
            hint="git_sync(action=pull) first; force=true replaces it, with a person's approval",
        )
    outgoing = _outgoing(repo, remote.name, old, new)
    files, asks = _scan(git, repo, facts, call, outgoing)
    replaced = _replaced(repo, old, new) if forced or new is None else []
    if forced:
        asks.append(f"it replaces {len(replaced)} commits at the remote")
    if new is None:
        asks.append("it deletes a branch at the remote")
    if arguments.tag:
        asks.append("it publishes a tag")
    effect = effect_of("push", remote.url, full, old, new)
    action = git_action(
        "push", facts, effect=effect, resource=f"{facts.name} -> {remote.name}/{name}", branch=name, remote=remote.name,
        known_remote=True, url=remote.shown, protected_branch=False, force=forced or new is None, commits=len(outgoing),
        files=files, risk=Risk.HIGH if forced or new is None else Risk.LOW, undo=UndoClass.PARTIAL, lost=_LOST,
    )  # fmt: skip
    preview = _preview(git, repo, remote.name, remote.shown, name, old, new, outgoing, replaced, files)
    far = {"remote": remote.name, "ref": full, "old": old, "new": new, "started": False}
    transition = Transition(facts, keep=[id for id in (old, new) if id], remote=far)

    def run(handle: pygit2.Repository, final: Call, slot: Slot) -> Result:
        return run_push(git, handle, facts, final, slot, far, forced or new is None)

    return Planned(facts, transition, [action], preview, "pushed", asks, run=run, remote=True)


def run_push(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, slot: Slot, far: dict[str, Any], force: bool
) -> Result:
    """Seal what it will do at the other end, then do it. Raises Failed."""
    manifest = load(slot)
    manifest.remote = {**far, "started": True}
    slot.seal(manifest.json())
    remote = chosen(git, facts, call.policy, far["remote"])
    Peer(git, repo, facts, call.policy, remote).push(far["ref"], far["old"], far["new"], force)
    name = str(far["ref"]).removeprefix("refs/heads/")
    if str(far["ref"]).startswith("refs/heads/"):
        tracking = f"refs/remotes/{remote.name}/{name}"
        here = ref_value(repo, tracking)
        if here != far["new"]:
            _move_refs(repo, [RefMove(tracking, here, far["new"], "update by push")])
    goal = str(far["new"])[:12] if far["new"] else "deleted"
    return Result(
        header=f"{remote.name}/{one_line(name, 80)}: {str(far['old'])[:12] if far['old'] else 'new'} -> {goal}"
    )


def plan_undo_push(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, change: Change, manifest: Manifest
) -> Planned:
    """The other way round, if nobody has pushed since. Raises Refused."""
    far = manifest.remote
    assert far is not None
    remote = chosen(git, facts, call.policy, far["remote"])
    peer = Peer(git, repo, facts, call.policy, remote)
    try:
        here = peer.listing([far["ref"]]).refs.get(far["ref"])
    except Failed as error:
        raise Refused(Code.FAILED, f"{remote.name}: {error.message}", hint=error.hint) from error
    if here != far["new"]:
        raise Refused(
            Code.CONFLICT, "somebody has pushed there since: undoing would take their work away", hint="ask a person"
        )
    name = str(far["ref"]).removeprefix("refs/heads/")
    effect = effect_of("unpush", remote.url, far["ref"], far["new"], far["old"])
    action = git_action(
        "push", facts, effect=effect, resource=f"{facts.name} -> {remote.name}/{name}", branch=name, remote=remote.name,
        known_remote=True, url=remote.shown, protected_branch=False, force=True, commits=0, files=0, risk=Risk.HIGH,
        undo=UndoClass.PARTIAL, lost=_LOST,
    )  # fmt: skip
    back = {"remote": far["remote"], "ref": far["ref"], "old": far["new"], "new": far["old"], "started": False}
    transition = Transition(facts, keep=[id for id in (far["old"], far["new"]) if id], remote=back)

    def run(handle: pygit2.Repository, final: Call, slot: Slot) -> Result:
        return run_push(git, handle, facts, final, slot, back, True)

    to = str(far["old"])[:12] if far["old"] else "nothing (it was new)"
    preview = f"move {remote.name}/{one_line(name, 80)} back to {to}; {_LOST}"
    return Planned(facts, transition, [action], preview, preview, [], run=run, remote=True, undo=True)


def settle_push(git: Git, repo: pygit2.Repository, facts: Facts, policy: Policy, manifest: Manifest) -> Outcome:
    """Ask the remote what it has: after is done, before is failed. UNKNOWN when it cannot be asked."""
    far = manifest.remote
    assert far is not None
    if not far["started"]:
        return Outcome.FAILED
    try:
        peer = Peer(git, repo, facts, policy, chosen(git, facts, policy, far["remote"]))
        here = peer.listing([far["ref"]]).refs.get(far["ref"])
    except (Failed, Refused):
        return Outcome.UNKNOWN
    if here == far["new"]:
        return Outcome.DONE
    return Outcome.FAILED if here == far["old"] else Outcome.UNKNOWN


def _local(repo: pygit2.Repository, full: str, name: str, what: str) -> str:
    if full not in repo.references:
        raise Refused(Code.INVALID, f"there is no {what} {one_line(name, 60)} here", hint="git_status(show=branches)")
    target = repo.lookup_reference(full).raw_target
    if isinstance(target, bytes):
        raise Refused(Code.PROTECTED, f"{one_line(name, 60)} is a symbolic ref, which is not pushed")
    return str(target)


def _outgoing(repo: pygit2.Repository, remote: str, old: str | None, new: str | None) -> list[str]:
    """Commits that the remote does not have, as far as is known here, newest first."""
    import pygit2
    from pygit2.enums import SortMode

    if new is None:
        return []
    tip = repo.get(new)
    start = tip.peel(pygit2.Commit) if tip is not None else None
    if start is None:
        raise Refused(Code.INVALID, "that names no commit")
    walker = repo.walk(start.id, SortMode.NONE)
    if old is not None:
        walker.hide(old)
    for name in repo.references:
        if name.startswith(f"refs/remotes/{remote}/"):
            walker.hide(repo.lookup_reference(name).resolve().target)
    found = []
    for commit in walker:
        found.append(str(commit.id))
        if len(found) > COMMITS:
            raise Refused(
                Code.TOO_LARGE,
                f"more than {COMMITS} commits would go out",
                hint="git_sync(action=fetch) first, so that it is known what the remote has; else a person pushes",
            )
    return found


def _scan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call, ids: list[str]) -> tuple[int, list[str]]:
    """Every commit that goes out: message, author, files. Returns how many files, and reasons to ask."""
    import pygit2

    from .outgoing import Limits, _findings, _secret

    section = git.section(call.policy)
    limits = Limits(section.max_file, 1_000_000)
    seen: set[str] = set()
    asks: dict[str, None] = {}
    for id in ids:
        commit = repo.get(id)
        assert isinstance(commit, pygit2.Commit)
        text = commit.raw_message.decode("utf-8", "replace")
        found = _findings(git.detector, text, "") or _findings(
            git.detector, f"{commit.author.name} {commit.committer.name}", ""
        )
        if found:
            raise _secret([f"the message of commit {id[:12]}, line {found[0][0]}"])
        parents = commit.parents
        diff = parents[0].tree.diff_to_tree(commit.tree) if parents else commit.tree.diff_to_tree(swap=True)
        files = [f for f in changed_files(diff, False) if not _from_other(parents, f.path, f.new_id)]
        seen.update(f.path for f in files)
        asks.update(
            (a, None) for a in check_files(repo, facts.name, files, call.policy, git.detector, limits, f" in {id[:10]}")
        )
    return len(seen), list(asks)


def _from_other(parents: list[pygit2.Commit], path: str, id: str) -> bool:
    """In a merge: the file came from another parent as it is, and was scanned there."""
    for parent in parents[1:]:
        try:
            if str(parent.tree[path].id) == id:
                return True
        except KeyError:
            continue
    return False


def _replaced(repo: pygit2.Repository, old: str | None, new: str | None) -> list[str]:
    from pygit2.enums import SortMode

    if old is None:
        return []
    walker = repo.walk(old, SortMode.NONE)
    if new is not None:
        walker.hide(new)
    else:
        for name in repo.references:
            if name.startswith("refs/heads/"):
                walker.hide(repo.lookup_reference(name).resolve().target)
    found = []
    for commit in walker:
        found.append(str(commit.id))
        if len(found) >= COMMITS:
            break
    return found


def _preview(
    git: Git, repo: pygit2.Repository, remote: str, url: str, name: str, old: str | None, new: str | None,
    outgoing: list[str], replaced: list[str], files: int,
) -> str:  # fmt: skip
    here = f"{old[:12] if old else 'new'} -> {new[:12] if new else 'deleted'}"
    lines = [f"push {one_line(name, 80)} to {remote} ({url}): {here}; {files} files"]
    if outgoing:
        lines.append(f"{len(outgoing)} commits go out:\n{commits(git, repo, outgoing)}")
    if replaced:
        lines.append(f"{len(replaced)} commits at the remote are replaced:\n{commits(git, repo, replaced)}")
    return "\n".join(lines)
