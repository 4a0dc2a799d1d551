"""What the policy sees of git: the table of actions and the policy's `git` section. Pure; light to import."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from interlock.guard.model import Kind, Risk, UndoClass, Verb
from interlock.guard.policy.types import NameGlob, Place, PlaceGlob, PolicyModel, Size, Text

_COMMON: Final = {
    "repository": Kind.PATH,
    "inside": Kind.FLAG,  # one of the policy's repositories
    "own": Kind.FLAG,  # holds Interlock's own files
}
_REF: Final = {"branch": Kind.TEXT, "protected_branch": Kind.FLAG, "force": Kind.FLAG, "commits": Kind.NUMBER}
_REMOTE: Final = {"remote": Kind.TEXT, "known_remote": Kind.FLAG, "url": Kind.TEXT}
_PATH: Final = {"path": Kind.PATH, "protected": Kind.FLAG, "files": Kind.NUMBER}

VERBS: Final = (
    Verb("git.read", False, Risk.LOW, UndoClass.FULL, {**_COMMON, "path": Kind.PATH, "protected": Kind.FLAG}),
    Verb("git.commit", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_REF, **_PATH}),
    Verb("git.branch", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_REF, "deletes": Kind.FLAG}),
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


class Signing(PolicyModel):
    """The program and the key that sign commits and tags; the agent never sees the key."""

    program: Place = Field(description="/usr/bin/ssh-keygen or /usr/bin/gpg, as an absolute path.")
    key: Text = Field(description="ssh: the key's file (private, or public with an agent); gpg: the key's id.")


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
    max_files: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=500, description="Most files that one commit may change."
    )
    credential_helper: Place | None = Field(
        default=None,
        description="The one program that git may ask for credentials over https, e.g. "
        "/usr/lib/git-core/git-credential-store. Absent: none is run.",
    )
    credential_files: tuple[Place, ...] = Field(
        default=(), description="What the credential helper reads, e.g. ~/.git-credentials."
    )
    ssh_config: Place | None = Field(
        default=None, description="An ssh configuration for git's remotes, instead of the user's own ~/.ssh/config."
    )
    signing: Signing | None = Field(
        default=None,
        description="How commits and tags are signed where the repository asks for it. Absent: then they are refused.",
    )
    max_file: Size = Field(default=5 * 1024**2, description="Largest file that may be committed, e.g. 5M.")
