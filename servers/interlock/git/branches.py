"""Which branches are protected here, and the refusals that follow. One place for all tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

from .actions import Section
from .names import Protected, branch_name, protected

if TYPE_CHECKING:
    import pygit2


def protected_in(repo: pygit2.Repository, section: Section, defaults: tuple[str, ...] = ()) -> Protected:
    """The policy's protected branches and every remote's default branch, as far as it is known here."""
    found = list(defaults)
    for name in repo.references:
        if name.startswith("refs/remotes/") and name.endswith("/HEAD"):
            target = repo.lookup_reference(name).raw_target
            prefix = name.removesuffix("HEAD")
            if isinstance(target, bytes) and target.decode("utf-8", "replace").startswith(prefix):
                found.append(target.decode("utf-8", "replace").removeprefix(prefix))
    return protected(section.protected_branches).also(found)


def plain_branch(text: str, shield: Protected, what: str = "branch") -> str:
    """A branch name by grammar that is no protected one in disguise. Raises Refused."""
    name = branch_name(text, what)
    if shield.resembles(name):
        raise Refused(
            Code.PROTECTED,
            f"the {what} name {one_line(name, 60)!r} looks like a protected branch but is another",
            hint="use plain letters",
            rule="builtin.protected_branch",
        )
    return name


def not_protected(name: str, shield: Protected, doing: str) -> None:
    """Raises Refused (protected) when the branch is one that nothing may touch directly."""
    if shield.covers(name):
        raise Refused(
            Code.PROTECTED,
            f"the branch {one_line(name, 60)} is protected: no direct {doing}",
            hint="work on a branch of your own (git_switch(ref=NAME, create=true)) and let people merge it",
            rule="builtin.protected_branch",
        )


def current_branch(repo: pygit2.Repository) -> str | None:
    """The branch that HEAD is on, existing or not yet; None when it is detached."""
    if repo.head_is_detached:
        return None
    target = repo.lookup_reference("HEAD").raw_target
    return target.decode("utf-8", "surrogateescape").removeprefix("refs/heads/") if isinstance(target, bytes) else None
