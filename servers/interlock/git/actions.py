"""What the policy sees of git: the table of actions and the policy's `git` section. Pure; light to import."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from interlock.guard.model import Kind, Risk, UndoClass, Verb
from interlock.guard.policy_types import NameGlob, PlaceGlob, PolicyModel, Size, Text

_COMMON: Final = {
    "repository": Kind.PATH,
    "inside": Kind.FLAG,  # one of the policy's repositories
    "own": Kind.FLAG,  # holds Interlock's own files
}
_REF: Final = {"branch": Kind.TEXT, "protected_branch": Kind.FLAG, "force": Kind.FLAG, "commits": Kind.NUMBER}
_REMOTE: Final = {"remote": Kind.TEXT, "known_remote": Kind.FLAG}
_PATH: Final = {"path": Kind.PATH, "protected": Kind.FLAG, "files": Kind.NUMBER}

VERBS: Final = (
    Verb("git.read", False, Risk.LOW, UndoClass.FULL, {**_COMMON, "path": Kind.PATH, "protected": Kind.FLAG}),
    Verb("git.commit", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_REF, **_PATH}),
    Verb("git.branch", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_REF}),
    Verb("git.rewind", True, Risk.HIGH, UndoClass.FULL, {**_COMMON, **_REF, **_PATH}),
    Verb("git.merge", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_REF, **_PATH}),
    Verb("git.fetch", True, Risk.LOW, UndoClass.FULL, {**_COMMON, **_REMOTE, "branch": Kind.TEXT}),
    Verb("git.push", True, Risk.MEDIUM, UndoClass.PARTIAL, {**_COMMON, **_REF, **_REMOTE, "files": Kind.NUMBER}),
    Verb(
        "git.tag",
        True,
        Risk.MEDIUM,
        UndoClass.FULL,
        {**_COMMON, "name": Kind.TEXT, "force": Kind.FLAG, "protected_branch": Kind.FLAG},
    ),
)


class Author(PolicyModel):
    """Who stands as author and committer of the agent's commits."""

    name: Text = Field(description="Name in the commit, e.g. infra-bot")
    email: Text = Field(description="Address in the commit, e.g. bot@example.com")


class Section(PolicyModel):
    """Which repositories, branches and remotes the git server works with."""

    repositories: Annotated[tuple[PlaceGlob, ...], Field(min_length=1)] = Field(
        description="Repositories by path or glob, such as ~/work/app or ~/work/*. Nothing outside is reachable."
    )
    protected_branches: tuple[NameGlob, ...] = Field(
        default=("main", "master", "release/*"),
        description="Branches that no commit, push, reset, rename or delete may touch; the remote's default branch "
        "is always one.",
    )
    remotes: tuple[NameGlob, ...] = Field(
        default=(), description="Remotes by name for fetch, pull and push. None: nothing leaves or enters."
    )
    author: Author | None = Field(
        default=None, description="Author and committer of the agent's commits; the repository's own if absent."
    )
    max_file: Size = Field(default=5 * 1024**2, description="Largest file that may be committed, e.g. 5M.")
