"""Which branches are protected here, and the refusals that follow. One place for all tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

from .actions import Section
from .names import Protected, branch_name, protected

if TYPE_CHECKING:
    import pygit2


_STEPS: Final = 6  # symbolic refs that are followed, as git does


class Shielded(Refused):
    """A protected branch is in the way. The server answers `look` with the action itself, so that the rule decides."""

    def __init__(self, branch: str, message: str, hint: str) -> None:
        super().__init__(Code.PROTECTED, message, hint=hint, rule="builtin.branch")
        self.branch = branch


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
        raise Shielded(
            name,
            f"the {what} name {one_line(name, 60)!r} looks like a protected branch but is another",
            hint="use plain letters",
        )
    return name


def not_protected(name: str, shield: Protected, doing: str) -> None:
    """Raises Refused (protected) when the branch is one that nothing may touch directly."""
    if shield.covers(name):
        raise Shielded(
            name,
            f"the branch {one_line(name, 60)} is protected: no direct {doing}",
            hint="work on a branch of your own (git_switch(ref=NAME, create=true)) and let people merge it",
        )


def current_branch(repo: pygit2.Repository) -> str | None:
    """The branch that HEAD is on, existing or not yet, also through symbolic branches; None when it is detached."""
    if repo.head_is_detached:
        return None
    name = "HEAD"
    for _ in range(_STEPS):
        target = repo.lookup_reference(name).raw_target
        if not isinstance(target, bytes):
            break
        name = target.decode("utf-8", "surrogateescape")
        if name not in repo.references:
            break
    return name.removeprefix("refs/heads/") if name != "HEAD" else None
