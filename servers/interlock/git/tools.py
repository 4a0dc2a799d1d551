"""The git server: its tools, and the one object through which the guard knows it. What each does is beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.globs import special
from interlock.guard.errors import Broken, Code, Failed, Refused
from interlock.guard.model import Action, Call, Look, Outcome, Result, Tool, World
from interlock.registry import VERBS
from interlock.untrusted import one_line

from . import arguments
from .actions import Section
from .contents import Contents
from .effects import git_action
from .names import branch_name, git_internal, pushed_name, remote_name, tree_path
from .repositories import Facts, Repositories
from .scan import Scanner
from .snapshot import Manifest, capture, load

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.pipeline import Permit
    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot
    from interlock.sandbox.children import Program

    from .planning import Planned

_READ: Final = ("git.read",)
ORIGIN: Final = "origin"  # what an empty remote means
_FILES: Final = ("files.write", "files.delete")

TOOLS: Final = (
    Tool("git_status", "Branch and changed files, or a list of branches, tags...", arguments.Status, _READ),
    Tool("git_log", "Commits, newest first; search: text in messages.", arguments.Log, _READ),
    Tool(
        "git_show", "A commit (paths: hunks of these), or a file or folder at ref. search: lines with a text.",
        arguments.Show, _READ,
    ),
    Tool(
        "git_diff", "Index to work tree, or base (or a..b) to target, or staged. paths: hunks of these.",
        arguments.Diff, _READ,
    ),
    Tool("git_blame", "Who last changed each line.", arguments.Blame, _READ),
    Tool(
        "git_commit", "Stage paths, or all tracked changes, and commit.", arguments.Commit,
        ("git.commit", "git.rewind"), change=True,
    ),
    Tool("git_branch", "Change a branch.", arguments.Branch, ("git.branch",), change=True, destructive=True),
    Tool("git_switch", "Go to a branch or revision.", arguments.Switch, ("git.branch", *_FILES), change=True),
    Tool(
        "git_merge", "Merge ref. Conflicts change nothing, or are kept in the files, to resolve and continue.",
        arguments.Merge, ("git.merge", "git.commit", *_FILES), change=True,
    ),
    Tool("git_revert", "A new commit that takes one back.", arguments.Revert, ("git.commit", *_FILES), change=True),
    Tool(
        "git_reset", "Move the current branch to ref.", arguments.Reset, ("git.rewind", *_FILES), change=True,
        destructive=True,
    ),
    Tool(
        "git_restore", "Discard changes of paths (staged: unstage them).", arguments.Restore,
        ("git.rewind", "git.commit", *_FILES), change=True, destructive=True,
    ),
    Tool(
        "git_stash", "Put work aside, bring it back.", arguments.Stash,
        ("git.commit", "git.rewind", *_FILES), change=True, destructive=True,
    ),
    Tool("git_sync", "Fetch, or pull.", arguments.Sync, ("git.fetch", "git.merge", *_FILES), change=True),
    Tool("git_push", "Push a branch to the same name.", arguments.Push, ("git.push",), change=True, destructive=True),
    Tool("git_tag", "Create or delete a tag.", arguments.Tag, ("git.tag",), change=True, destructive=True),
)  # fmt: skip

Plan = Callable[["Git", "pygit2.Repository", Facts, Call], "Planned"]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """A read, bound to its repository; nothing is held open between looking and running."""

    facts: Facts
    read: Callable[[pygit2.Repository], Result]


class Git:
    """The server. Thread-safe: what calls share (handles, caches) has its own locks."""

    name = "git"
    tools = TOOLS

    def __init__(self, world: World) -> None:
        from .identity import Committer
        from .reads import Reads
        from .showing import Showing

        self.world = world
        self.detector = world.detector
        self.contents = Contents(world.detector)
        self.scanner = Scanner()
        self.committer = Committer(world.broker)
        self.reads = Reads(self.contents, self.scanner)
        self.showing = Showing(self.contents, self.scanner)
        self._repositories: dict[tuple[str, ...], Repositories] = {}

    # ---------------------------------------------------------------- the policy's view

    def section(self, policy: Policy) -> Section:
        section = policy.section(Section)
        if section is None:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy has no git section: no repository can be reached",
                hint="a person adds git.repositories to the policy",
            )
        return section

    def repositories(self, policy: Policy) -> Repositories:
        patterns = self.section(policy).repositories
        found = self._repositories.get(patterns)
        if found is None:
            found = self._repositories[patterns] = Repositories(patterns)
        return found

    def instructions(self, policy: Policy) -> str:
        section = policy.section(Section)
        if section is None:
            return "The policy names no repositories: none can be reached."
        shown = ", ".join(one_line(p, 120) for p in section.repositories[:10])
        lines = [f"Repositories: {shown}. Give the absolute path of a repository's root."]
        lines.append(
            f"Protected branches: {', '.join(section.protected_branches)}, and each remote's default branch: work on "
            "a branch of your own."
        )
        lines.append(f"Remotes: {', '.join(section.remotes) or 'none'}. Hooks, filters and aliases are never run.")
        return "\n".join(lines)

    # ---------------------------------------------------------------- the guard's protocol

    def interpret(self, call: Call) -> tuple[Action, ...]:
        """Bounds and grammar, from names alone."""
        root = self.repositories(call.policy).locate(call.arguments.repo)  # type: ignore[attr-defined]
        inside = self.repositories(call.policy).within(root)
        _check_names(call.arguments)
        own = _owned(root, call.policy)
        verbs = [verb for verb in _tool(call.tool).verbs if verb.startswith("git.")]
        attributes: dict[str, str | bool] = {"repository": root, "inside": inside, "own": own}
        remote = getattr(call.arguments, "remote", None)
        if not isinstance(remote, str):
            return (Action(verbs[0], root, attributes),)
        name = remote or ORIGIN
        known = self._known(name, call.policy)  # a remote is a bound like a repository
        attributes |= {"remote": name, "known_remote": known, "inside": inside and known}
        return (Action(verbs[0], root if known else f"{root} -> remote {name}", attributes),)

    def look(self, call: Call) -> Look:
        root = self.repositories(call.policy).locate(call.arguments.repo)  # type: ignore[attr-defined]
        facts = self.repositories(call.policy).facts(root)
        reader = READS.get(call.tool)
        if reader is not None:
            plan = ReadPlan(facts, lambda repo: reader(self, repo, facts, call))
            actions = [
                git_action("read", facts, protected=False, path=path) for path in _paths_of(call.arguments, facts)
            ]
            return Look(actions=tuple(actions), plan=plan)
        from .branches import Shielded

        try:
            with self.opened(facts) as repo:
                planned = CHANGES[call.tool](self, repo, facts, call)
        except Shielded as shielded:
            return Look(actions=(_on_protected(call.tool, facts, shielded.branch),))
        return self._look_of(planned)

    def preview(self, call: Call, look: Look) -> str:
        from .planning import planned_of

        return planned_of(look).preview

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        from .planning import planned_of

        planned = planned_of(look)
        try:
            with self.opened(planned.facts) as repo:
                if planned.complete is not None:
                    planned.complete(repo, call)
                capture(repo, planned.transition, slot, call.policy.snapshots.keep)
        except Failed as error:  # nothing has changed yet, so it is a refusal
            raise Refused(error.code, error.message, hint=error.hint) from error
        except OSError as error:
            raise Broken(
                f"the snapshot cannot be written ({os.strerror(error.errno or 0).lower()}); without it nothing runs"
            ) from error

    def run(self, permit: Permit) -> Result:
        plan = permit.look.plan
        if isinstance(plan, ReadPlan):
            with self.opened(plan.facts) as repo:
                return plan.read(repo)
        from .applying import apply
        from .identity import identity
        from .planning import planned_of

        planned, slot = planned_of(permit.look), permit.slot
        assert slot is not None
        with self.opened(planned.facts) as repo:
            if planned.run is not None:
                return planned.run(repo, permit.call, slot)
            who = identity(repo, self.section(permit.call.policy), permit.call.time)
            repo.set_ident(who.name, who.email)
            apply(repo, planned.transition, load(slot), slot.id)
        return Result(text=planned.text, header=planned.header, untrusted=bool(planned.text))

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        from .undo import plan_undo

        manifest = load(slot)
        facts = self.repositories(call.policy).facts(manifest.root)
        with self.opened(facts) as repo:
            if manifest.remote is not None:
                from .pushing import plan_undo_push

                return self._look_of(plan_undo_push(self, repo, facts, call, change, manifest))
            return self._look_of(plan_undo(self, repo, facts, call, change, manifest))

    def settle(self, change: Change, slot: Slot) -> Outcome:
        from .undo import settle

        manifest = load(slot)
        facts = self.repositories(self.world.policy).facts(manifest.root)
        with self.opened(facts) as repo:
            if manifest.remote is not None:
                from .pushing import settle_push

                return settle_push(self, repo, facts, self.world.policy, manifest)
            return settle(repo, facts, manifest, slot.id)

    def close(self) -> None:
        self.scanner.close()
        self._repositories.clear()

    # ---------------------------------------------------------------- small pieces

    def opened(self, facts: Facts) -> AbstractContextManager[pygit2.Repository]:
        """Lend an open handle of the repository."""
        return self.repositories(self.world.policy).open(facts)

    def _look_of(self, planned: Planned) -> Look:
        return Look(
            actions=tuple(planned.actions),
            plan=planned,
            asks=tuple(planned.asks),
            size=planned.transition.size() + planned.extra_size,
            remote=planned.remote,
        )

    def _known(self, name: str, policy: Policy) -> bool:
        from interlock.globs import compile_globs

        return compile_globs(self.section(policy).remotes).matches(name)


def _paths_of(given: object, facts: Facts) -> list[str]:
    """The files or folders that a read asks for by name; else the repository as a whole. Raises Refused."""
    texts = [*getattr(given, "paths", ()), getattr(given, "path", "")]
    if isinstance(given, arguments.Show) and ":" in given.ref:
        texts.append(given.ref.partition(":")[2])
    inner = [tree_path(text, facts.name) for text in texts if text]
    return [f"{facts.name}/{path}" if path else facts.name for path in inner] or [facts.name]


def _check_names(given: object) -> None:
    """Grammar of names that are names and nothing else. Raises Refused (invalid)."""
    remote = getattr(given, "remote", None)
    if isinstance(remote, str) and remote:
        remote_name(remote)
    if isinstance(given, arguments.Branch):
        branch_name(given.name)
        if given.action == "rename":
            branch_name(given.to)
    if isinstance(given, arguments.Tag):
        branch_name(given.name, "tag")
    if isinstance(given, arguments.Push | arguments.Sync) and given.branch:
        branch_name(pushed_name(given.branch) if isinstance(given, arguments.Push) else given.branch)
    if isinstance(given, arguments.Push) and given.tag:
        branch_name(given.tag, "tag")


@lru_cache(64)  # by the policy as it is now: another one is another value
def _owned(root: str, policy: Policy) -> bool:
    from interlock.guard.policy.builtin import owned

    return owned(root, policy, tree=True) or any(git_internal(part) for part in Path(root).parts)


def _on_protected(tool: str, facts: Facts, name: str) -> Action:
    """What the call would do to a protected branch, or to a tag of its name."""
    verb = next(verb for verb in _tool(tool).verbs if "protected_branch" in VERBS[verb].attributes)
    named: dict[str, Any] = {"branch" if "branch" in VERBS[verb].attributes else "name": name}
    return git_action(verb.removeprefix("git."), facts, resource=f"{facts.name} {name}", protected_branch=True, **named)


def _tool(name: str) -> Tool:
    return next(tool for tool in TOOLS if tool.name == name)


def _status(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Result:
    assert isinstance(call.arguments, arguments.Status)
    return git.reads.status(repo, facts, call.arguments, call.policy)


def _log(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Result:
    assert isinstance(call.arguments, arguments.Log)
    return git.reads.log(repo, facts, call.arguments, call.policy)


def _show(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Result:
    assert isinstance(call.arguments, arguments.Show)
    return git.showing.show(repo, facts, call.arguments, call.policy)


def _diff(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Result:
    assert isinstance(call.arguments, arguments.Diff)
    return git.showing.diff(repo, facts, call.arguments, call.policy)


def _blame(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Result:
    assert isinstance(call.arguments, arguments.Blame)
    return git.showing.blame(repo, facts, call.arguments, call.policy)


READS: Final[Mapping[str, Callable[[Git, pygit2.Repository, Facts, Call], Result]]] = {
    "git_status": _status,
    "git_log": _log,
    "git_show": _show,
    "git_diff": _diff,
    "git_blame": _blame,
}


def _lazily(module: str, function: str) -> Plan:
    """The changing tools are loaded when one is first used: a server that only reads starts faster."""

    def plan(git: Git, repo: pygit2.Repository, facts: Facts, call: Call) -> Planned:
        import importlib

        found: Plan = getattr(importlib.import_module(f"interlock.git.{module}"), function)
        return found(git, repo, facts, call)

    return plan


CHANGES: Final[Mapping[str, Plan]] = {
    "git_commit": _lazily("committing", "plan"),
    "git_branch": _lazily("branching", "plan_branch"),
    "git_switch": _lazily("branching", "plan_switch"),
    "git_tag": _lazily("branching", "plan_tag"),
    "git_merge": _lazily("merging", "plan_merge"),
    "git_revert": _lazily("merging", "plan_revert"),
    "git_reset": _lazily("rewinding", "plan_reset"),
    "git_restore": _lazily("rewinding", "plan_restore"),
    "git_stash": _lazily("stashing", "plan"),
    "git_sync": _lazily("syncing", "plan"),
    "git_push": _lazily("pushing", "plan"),
}


def open_server(world: World) -> Git:
    from .engine import prepare

    prepare()
    return Git(world)


def reach(policy: Policy) -> tuple[list[Path], list[Path]]:
    """The user's git configuration to read; the policy's repositories to write (for a glob, the folder above)."""
    section = policy.section(Section)
    if section is None:
        return [], []
    from .engine import readable

    return readable(), [place for place in places(section) if place.exists()]


def places(section: Section) -> list[Path]:
    """Folders that hold all repositories of the policy."""
    found = []
    for pattern in section.repositories:
        parts = pattern.split("/")
        plain = next((i for i, part in enumerate(parts) if special(part)), len(parts))
        found.append(Path("/".join(parts[:plain]) or "/"))
    return list(dict.fromkeys(found))


def programs(policy: Policy) -> Mapping[str, Program]:
    """git for the network, and the program that signs: each in its own confinement."""
    section = policy.section(Section)
    if section is None:
        return {}
    from .transfer import network_programs

    return network_programs(section, places(section), policy.own)


__all__ = ["TOOLS", "Git", "Manifest", "open_server", "places", "programs", "reach"]
