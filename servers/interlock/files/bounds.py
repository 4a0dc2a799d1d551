"""What a policy means for paths: its roots, opened, and what is protected or Interlock's own. One per policy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action
from interlock.path_names import parse
from interlock.paths import LINUX, Root, Roots

from .actions import Section, action, within

if TYPE_CHECKING:
    from interlock.guard.policy import Policy

_KEPT: Final = 2  # policies whose roots stay open: the current one, and the one of calls in flight


class Bounds:
    """The bounds of one policy. Immutable but for the descriptors in `roots`."""

    def __init__(self, policy: Policy) -> None:
        section = policy.section(Section)
        if section is None:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy has no `files` section, so no file can be reached",
                hint="a person adds `files: {roots: [...]}` to the policy and restarts the server",
            )
        self.policy = policy
        self.section = section
        self.roots = Roots((str(root.path), root.access == "write") for root in section.roots)
        self.paths = tuple(root.path for root in self.roots.roots)
        self._own = tuple(map(str, policy.own))
        self._protection, self._known_secret = _protections()

    def parse(self, text: str) -> str:
        """An argument as an absolute path, by its text alone. Raises Refused (invalid)."""
        return parse(text, self.paths)

    def root(self, path: str) -> Root | None:
        return self.roots.holding(path)

    def protected(self, path: str) -> bool:
        """Whether the name of this path, or of a folder above it, is protected."""
        return self._protection(path, self.policy) is not None

    def known_secret(self, path: str) -> bool:
        """Whether this is a file known to hold secrets, of which the key names may be read."""
        return self._known_secret(path)

    def own(self, path: str) -> bool:
        """Whether this is Interlock's own, or lies below what is, or holds it."""
        return any(within(path, own) or within(own, path) for own in self._own)

    def action(self, verb: str, path: str, *, write: bool = False, tree: bool = False, **more: object) -> Action:
        """The action on this path, its bounds judged by name. `tree`: what lies below counts too.

        A folder that holds Interlock's own files may be looked at; it may not be changed.
        """
        root = self.roots.holding(path)
        inside = root is not None and (root.write or not write)
        own = any(within(path, own) or (tree and within(own, path)) for own in self._own)
        protected = self.protected(path)
        if protected and verb == "read":
            protected = not self.known_secret(path)  # key names, whole file only: see `reading`
        if protected and verb == "list":
            protected = False  # names and sizes are no secret
        return action(verb, path, inside=inside, own=own, **{"protected": protected, **more})  # type: ignore[arg-type]


class BoundsOf:
    """The bounds of each call's policy, kept while that policy is current. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Bounds] = []

    def __call__(self, policy: Policy) -> Bounds:
        for bounds in self._kept:
            if bounds.policy is policy:
                return bounds
        with self._lock:
            bounds = Bounds(policy)
            self._kept = [bounds, *self._kept][:_KEPT]
            return bounds


def _protections() -> tuple[Callable[[str, Policy], str | None], Callable[[str], bool]]:
    from interlock.globs import compile_globs
    from interlock.guard.builtin import KNOWN_SECRET_FILES, protection

    known = compile_globs(KNOWN_SECRET_FILES)
    return protection, lambda path: known.matches(path.casefold())


__all__ = ["LINUX", "Bounds", "BoundsOf"]
