"""What a policy means for paths: its roots, opened, and what is protected or Interlock's own. One per policy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from interlock.globs import Matcher, compile_globs
from interlock.guard.decide import Decider
from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Attribute, Decision, Effect, Layer
from interlock.guard.policy.builtin import known_secret, owned, protection
from interlock.path_names import parse
from interlock.paths import Root, Roots, lstat
from interlock.registry import VERBS

from .actions import Section, action

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

_KEPT: Final = 2  # policies whose roots stay open: the current one, and the one of calls in flight


class Bounds:
    """The bounds of one policy. Immutable but for the descriptors in `roots`."""

    def __init__(self, policy: Policy, *, cleaning: bool = False) -> None:
        """`cleaning`: the folders of the policy's clean-ups count as well, for them and for putting back."""
        section = policy.section(Section)
        if section is None:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy has no `files` section, so no file can be reached",
                hint="a person adds `files: {roots: [...]}` to the policy and restarts the server",
            )
        self.policy = policy
        self.section = section
        wanted = [(str(root.path), root.access == "write") for root in section.roots]
        wanted += [(str(rule.path), True) for rule in section.clean_up.values()] if cleaning else []
        self.roots = Roots(wanted)
        self.paths = tuple(root.path for root in self.roots.roots)
        spelled = {root.written: str(root.path) for root in section.roots if root.written != str(root.path)}
        self._spelled = sorted(spelled.items(), key=lambda names: -len(names[0]))

    def parse(self, text: str) -> str:
        """An argument as an absolute path, by its text alone. Raises Refused (invalid).

        A root that the policy names through a link may be named so here as well. No other link is looked at: whether
        one is there, and where it leads, is nobody's business outside the roots.
        """
        path = parse(text, self.paths)
        if self.roots.holding(path) is None:
            for written, real in self._spelled:
                if path == written or path.startswith(f"{written}/"):
                    return real.rstrip("/") + path[len(written) :] or "/"
        return path

    def root(self, path: str) -> Root | None:
        return self.roots.holding(path)

    def protected(self, path: str, *, change: bool) -> bool:
        """Whether the name of this path, or of a folder above it, is protected from reading (or from changes)."""
        return protection(path, self.policy, change=change) is not None

    def known_secret(self, path: str) -> bool:
        """Whether this is a file known to hold secrets, of which the key names alone are read."""
        return known_secret(path) and self.protected(path, change=True)

    def own(self, path: str, *, tree: bool = False) -> bool:
        """Whether this is Interlock's own or lies below what is; with `tree`, or holds it."""
        return owned(path, self.policy, tree=tree)

    # ---------------------------------------------------------------- the rules, for what is found below a folder

    @cached_property
    def _decider(self) -> Decider:
        return Decider(self.policy.rules, VERBS)

    @cached_property
    def _judging(self) -> frozenset[str]:
        """The verbs on which a rule of the policy may say another thing for one entry than for another."""
        return frozenset(
            verb for rule in self.policy.rules if rule.where and rule.layer is not Layer.BUILTIN for verb in rule.verbs
        )

    def judges(self, verb: str) -> bool:
        """Whether entries must be judged one by one: a rule for this verb has conditions."""
        return f"files.{verb}" in self._judging

    def may(self, actions: Sequence[Action], given: Decision | None = None) -> bool:
        """Whether the policy lets these happen to what was found below a folder, as it would by name.

        `given`: the decision on the whole call, where a person consented to it: what asks by the same rules is meant.
        """
        decision = self._decider.decide(actions)
        if decision.effect <= Effect.NOTIFY:
            return True
        return given is not None and decision.effect is Effect.ASK and set(decision.rules) <= set(given.rules)

    @cached_property
    def sources(self) -> tuple[Matcher, ...]:
        """The globs of the policy's `redaction.sources`."""
        return tuple(compile_globs([glob]) for glob in getattr(self.policy.redaction, "sources", ()))

    def hides(self, path: str) -> tuple[bool, ...]:
        """Which of those hold for a path."""
        return tuple(matcher.matches(path) for matcher in self.sources)

    # ---------------------------------------------------------------- actions

    def repository(self, path: str) -> bool:
        """Whether this lies in what git takes for a repository of its own, or would make a folder into one.

        Such a folder needs no `.git` in its name, and its `config` starts programs.
        """
        folder, below = path.rsplit("/", 1)
        while folder and self.roots.holding(folder) is not None:
            try:
                opened = self.roots.open(folder)
            except Refused:
                opened = None
            if opened is not None:
                try:
                    if all(name == below or lstat(name, opened.fd) for name in ("HEAD", "objects", "refs")):
                        return True
                except Refused:
                    pass  # not a folder: nothing of git's
                finally:
                    opened.close()
            folder, below = folder.rsplit("/", 1)
        return False

    def change(self, verb: str, path: str, written: str = "", *, effect: str = "", **more: Any) -> Action:
        """The action of a change on a real path. `written`: the path as the agent gave it, judged by name as well."""
        made = self.action(verb, path, effect=effect, **more)
        protected = bool(made.attributes["protected"]) or self.repository(path)
        if written and written != path:
            protected = protected or self.protected(written, change=True)
        return self.with_flags(made, protected=protected)

    @staticmethod
    def with_flags(made: Action, **flags: Attribute) -> Action:
        """The same action with what was found out about it since."""
        return replace(made, attributes={**made.attributes, **flags})

    def action(self, verb: str, path: str, *, whole: bool = False, effect: str = "", **more: Any) -> Action:
        """The action on this path, its bounds judged by name. `whole`: all that lies below is meant too.

        Looking at names and sizes is no reading: a protected entry may be listed.
        """
        change = verb not in ("read", "list")
        root = self.roots.holding(path)
        flags: dict[str, Attribute | None] = {
            "protected": verb != "list" and self.protected(path, change=change),
            **more,
        }
        inside = root is not None and (root.write or not change)
        return action(verb, path, effect=effect, inside=inside, own=self.own(path, tree=whole), **flags)


class BoundsOf:
    """The bounds of each call's policy, kept while that policy is current. Thread-safe."""

    def __init__(self, *, cleaning: bool = False) -> None:
        self._lock = threading.Lock()
        self._kept: list[Bounds] = []
        self._cleaning = cleaning

    def __call__(self, policy: Policy) -> Bounds:
        for bounds in self._kept:
            if bounds.policy is policy:
                return bounds
        with self._lock:
            bounds = Bounds(policy, cleaning=self._cleaning)
            self._kept = [bounds, *self._kept][:_KEPT]
            return bounds
