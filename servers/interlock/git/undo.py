"""Turns a captured change round, looks for drift first, and settles what was cut off. Works from manifests alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Action, Call, Outcome
from interlock.untrusted import one_line

from .applying import Stands, compare, put_back, ref_value, unlock_own
from .branches import protected_in
from .contents import shown_path
from .effects import file_actions, git_action, names_of
from .planning import Planned, effect_of, move_digest
from .repositories import Facts
from .snapshot import INDEX_OLD, Manifest
from .transition import AdminMove, FileMove, Kept, RefMove, Transition
from .worktree import WorkTree

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.undo.changes import Change

    from .tools import Git


def plan_undo(
    git: Git, repo: pygit2.Repository, facts: Facts, call: Call, change: Change, manifest: Manifest
) -> Planned:
    """What putting it back would do now. Drift is a reason to ask, never overwritten without. Raises Refused."""
    if manifest.partial:
        raise Refused(Code.INVALID, f"{change.id} was too large to be captured, so it cannot be undone")
    stands = compare(repo, facts, manifest)
    drift = [name for name, state in stands.items() if state is Stands.NEITHER]
    if stands and all(state is Stands.BEFORE for state in stands.values()):
        raise Refused(Code.INVALID, f"{change.id} is undone already: everything is as it was before")
    transition = reversed_transition(repo, facts, manifest)
    section = git.section(call.policy)
    shield = protected_in(repo, section)
    asks: list[str] = []
    for move in transition.refs:
        if move.name.startswith("refs/heads/") and not _forward_only(repo, move):
            name = move.name.removeprefix("refs/heads/")
            if shield.covers(name):
                asks.append(f"it rewinds the protected branch {one_line(name, 60)}")
    if drift:
        names = ", ".join(shown_path(p) for p in drift[:5]) + (", …" if len(drift) > 5 else "")
        asks.append(f"changed since, and would be put back as well: {names}")
    files, more = file_actions(facts, transition.files, call.policy)
    effect = effect_of(
        "undo", change.id, *[(r.name, r.old, r.new) for r in transition.refs], move_digest(transition.files)
    )
    actions = [*_actions(change, facts, effect, bool(drift)), *files]
    lines = [f"{r.name}: {_short(r.old)} -> {_short(r.new)}" for r in transition.refs]
    preview = f"put back what {change.id} ({change.tool}) did:\n" + "\n".join(one_line(line, 200) for line in lines)
    if transition.files:
        preview += f"\nfiles:\n{names_of(m.path for m in transition.files)}"
    if drift:
        preview += f"\nchanged since:\n{names_of(drift)}"
    header = f"{change.id} is undone: {len(transition.refs)} refs and {len(transition.files)} files are as before"
    return Planned(facts, transition, actions, preview, header, [*asks, *more], undo=True)


def reversed_transition(repo: pygit2.Repository, facts: Facts, manifest: Manifest) -> Transition:
    """From the world as it is now to the world before the change."""
    tree = WorkTree(facts.root)
    transition = Transition(facts)
    for ref in manifest.refs:
        here = ref_value(repo, ref.name)
        if here != ref.old:
            transition.refs.append(RefMove(ref.name, here, ref.old, "interlock: undo"))
    for captured in manifest.files:
        path, old, _, _ = captured
        now = tree.state(path)
        if now is old is None or (now is not None and now.same(old)):
            continue
        if now is not None and now.kind == "other":
            raise Refused(Code.CONFLICT, f"a folder stands at {shown_path(path)}", hint="move it away first")
        transition.files.append(FileMove(path, now, old, _content(manifest.kept(captured))))
    for admin in manifest.admin:
        place = admin.place(facts)
        here_bytes = place.read_bytes() if place.is_file() else None
        if here_bytes != admin.old:
            transition.admin.append(AdminMove(admin.name, here_bytes, admin.old))
    if manifest.index is not None:
        if manifest.index[0] is None:
            transition.drop_index = True
        else:
            transition.index_file = manifest.path / INDEX_OLD
            transition.blobs = [
                (id, Kept(manifest.path / "blobs.pack", at, length)) for id, at, length in manifest.blobs
            ]
    return transition


def settle(repo: pygit2.Repository, facts: Facts, manifest: Manifest, tag: str) -> Outcome:
    """A change that was cut off: done if everything is after, else back to before; UNKNOWN where that cannot be."""
    tree = WorkTree(facts.root)
    for path, *_ in manifest.files:
        tree.clean(path, tag)
    unlock_own(facts, tag)
    stands = list(compare(repo, facts, manifest).values())
    if stands and all(state is Stands.AFTER for state in stands):
        return Outcome.DONE
    try:
        put_back(repo, facts, manifest, tag)
    except (Failed, OSError):
        return Outcome.UNKNOWN
    return Outcome.FAILED


def _content(kept: Kept | None) -> Callable[[], Iterator[bytes]] | None:
    return None if kept is None else kept.chunks


def _actions(change: Change, facts: Facts, effect: str, drifted: bool) -> list[Action]:
    """The same verbs that the change had, for the same names, decided anew; `rewind` too where newer work goes."""
    found: list[Action] = []
    for action in change.actions:
        verb = str(action["verb"])
        if not verb.startswith("git.") or verb == "git.read":
            continue
        attributes: dict[str, Any] = {
            key: value for key, value in dict(action["attributes"]).items() if value is not None
        }
        attributes |= {"repository": facts.name, "inside": True, "own": False}
        found.append(Action(verb, str(action["resource"]), attributes, effect=effect))
    if drifted or not found:
        found.append(
            git_action(
                "rewind",
                facts,
                effect=effect,
                branch="HEAD",
                protected_branch=False,
                force=True,
                commits=0,
                files=0,
                protected=False,
            )
        )
    return found


def _forward_only(repo: pygit2.Repository, move: RefMove) -> bool:
    """A branch that only moves on, or comes back, loses nothing."""
    if move.new is None or move.old is None:
        return move.old is None
    return move.new in repo and bool(repo.descendant_of(move.new, move.old))


def _short(target: str | None) -> str:
    return "nothing" if target is None else target[:12] if not target.startswith("ref: ") else target[5:]
