"""The other end of a remote: list, fetch, push. Over the network through `transfer`, else `neighbours`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

from . import neighbours
from .remotes import Remote, remote_of
from .repositories import Facts
from .transfer import Listing, Transfer, transfer

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

    from .tools import Git


def chosen(git: Git, facts: Facts, policy: Policy, name: str) -> Remote:
    """The remote of that name, if it is one of the policy's. Raises Refused."""
    from interlock.globs import compile_globs

    section = git.section(policy)
    if not compile_globs(section.remotes).matches(name):
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the remote {one_line(name, 60)} is none of the policy's",
            hint=f"the policy allows {', '.join(section.remotes) or 'none'}",
            rule="builtin.outside",
        )
    return remote_of(facts, git.repositories(policy), name)


class Peer:
    """One remote, for one call."""

    def __init__(self, git: Git, repo: pygit2.Repository, facts: Facts, policy: Policy, remote: Remote) -> None:
        self._git = git
        self._repo = repo
        self._facts = facts
        self._policy = policy
        self.remote = remote

    def listing(self, names: Sequence[str]) -> Listing:
        """What it has under these full names, and its default branch. Raises Failed."""
        if self.remote.path is None:
            with self._transfer() as moving:
                return moving.listing(names)
        facts = self._other()
        with self._git.opened(facts) as other:
            found = neighbours.listing(other)
        return Listing(
            {name: id for name, id in found.refs.items() if name in names or "refs/heads/*" in names}, found.head
        )

    def fetch(self, branch: str) -> tuple[dict[str, str], dict[str, str], str]:
        """Bring objects; its branches, its tags (full names) and its default branch. Raises Failed."""
        if self.remote.path is None:
            with self._transfer() as moving:
                found = moving.fetch(branch)
                head = moving.listing([]).head
            heads = {n.removeprefix("refs/new/"): id for n, id in found.items() if n.startswith("refs/new/")}
            tags = {n: id for n, id in found.items() if n.startswith("refs/tags/")}
            return heads, tags, head
        facts = self._other()
        with self._git.opened(facts) as other:
            listed = neighbours.listing(other)
            heads = {
                n.removeprefix("refs/heads/"): id
                for n, id in listed.refs.items()
                if n.startswith("refs/heads/") and (not branch or n == f"refs/heads/{branch}")
            }
            tags = {n: id for n, id in listed.refs.items() if n.startswith("refs/tags/")} if not branch else {}
            neighbours.copy_objects(other, self._repo, [*heads.values(), *tags.values()])
        return heads, tags, listed.head

    def push(self, name: str, old: str | None, new: str | None, force: bool) -> None:
        """Move one ref of the other side. Raises Failed."""
        if self.remote.path is None:
            with self._transfer() as moving:
                moving.push(name, old, new, force)
            return
        facts = self._other()
        neighbours.receives(facts)
        with self._git.opened(facts) as other:
            if new is not None:
                neighbours.copy_objects(self._repo, other, [new])
            neighbours.move(other, facts, name, old, new, force)

    def check_receiving(self) -> None:
        """What can be known of a push before it is decided. Raises Refused."""
        if self.remote.path is not None:
            neighbours.receives(self._other())

    def _other(self) -> Facts:
        assert self.remote.path is not None
        return self._git.repositories(self._policy).facts(str(self.remote.path))

    def _transfer(self) -> AbstractContextManager[Transfer]:
        section = self._git.section(self._policy)
        return transfer(self._git.world.broker, self._repo, self._facts, self.remote, section)
