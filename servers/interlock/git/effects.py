"""From a planned change to the actions that rules judge: the git verb, and `files.write` or `files.delete` of every
path of the work tree that it rewrites. Every way to an effect yields its action.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from interlock.guard.decide import Decider
from interlock.guard.model import Action, Attribute, Effect, Risk, UndoClass
from interlock.registry import VERBS

from .contents import protection, secret_file, shown_path
from .repositories import Facts
from .transition import FileMove

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

EACH: Final = 40  # paths up to which each is an action; of more, those that a rule restricts, and the first few


def git_action(
    verb: str,
    facts: Facts,
    *,
    effect: str = "",
    risk: Risk = Risk.LOW,
    undo: UndoClass | None = None,
    lost: str = "",
    resource: str = "",
    **attributes: Attribute,
) -> Action:
    """An action of git in a repository that is within the bounds."""
    return Action(
        verb=f"git.{verb}",
        resource=resource or facts.name,
        attributes={"repository": facts.name, "inside": True, "own": False, **attributes},
        effect=effect,
        risk=risk,
        undo=undo,
        lost=lost,
    )


def work_action(verb: str, facts: Facts, branch: str | None, effect: str, files: int, commits: int) -> Action:
    """An action of git on a branch that is not protected, with how many files and commits it concerns."""
    return git_action(
        verb,
        facts,
        effect=effect,
        branch=branch or "HEAD",
        protected_branch=False,
        force=False,
        commits=commits,
        files=files,
        protected=False,
    )


def file_actions(facts: Facts, moves: Sequence[FileMove], policy: Policy) -> tuple[list[Action], list[str]]:
    """The actions on files, and reasons to ask: protected files of the work tree change only with a person."""
    from interlock.guard.policy.builtin import owned

    actions: list[Action] = []
    shielded: list[str] = []
    for move in moves:
        path = f"{facts.name}/{move.path}"
        if protection(path, policy) or secret_file(path):
            shielded.append(move.path)
        attributes: dict[str, Attribute] = {
            "path": path,
            "inside": True,
            "own": owned(path, policy),
            "protected": False,
        }
        if move.new is None:
            assert move.old is not None
            attributes |= {"files": 1, "size": move.old.size, "tree": False}
            actions.append(Action("files.delete", path, attributes, effect=f"delete {move.old.digest}"))
        else:
            attributes |= {"exists": move.old is not None, "size": move.new.size}
            actions.append(Action("files.write", path, attributes, effect=move.new.digest))
    asks = []
    if shielded:
        names = ", ".join(shown_path(p) for p in shielded[:5]) + (", …" if len(shielded) > 5 else "")
        asks.append(f"it changes protected files in the work tree: {names}")
    return _fewer(actions, policy), asks


def _fewer(actions: list[Action], policy: Policy) -> list[Action]:
    if len(actions) <= EACH:
        return actions
    decider = Decider(policy.rules, VERBS)
    strict = [action for action in actions[EACH:] if decider.decide([action]).effect > Effect.NOTIFY]
    deleted = [a for a in actions if a.verb == "files.delete"]
    kept = [*actions[:EACH], *strict[:EACH]]
    if len(deleted) > EACH:  # the number counts for rules, and each delete alone would not show it
        first = deleted[0]
        kept.append(
            Action("files.delete", first.resource, {**first.attributes, "files": len(deleted)}, effect=first.effect)
        )
    return kept


def names_of(paths: Iterable[str], limit: int = 30) -> str:
    listed = [shown_path(p) for p in paths]
    more = f"\n… and {len(listed) - limit} more" if len(listed) > limit else ""
    return "\n".join(listed[:limit]) + more
