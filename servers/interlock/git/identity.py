"""Who commits, what the trailer says, and how commits and tags are signed. The one place where commits are made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Call

from .actions import Section
from .repositories import Facts

if TYPE_CHECKING:
    import pygit2

    from interlock.sandbox.broker import BrokerClient

SIGN: Final = "git-sign"  # the broker's name for the signing program
_COMMITS: Final = ("commit.gpgsign",)
_TAGS: Final = ("tag.gpgsign", "tag.forcesignannotated")
_TRAILERS: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*: .*\n?)+\Z")


def identity(repo: pygit2.Repository, section: Section, time: float) -> pygit2.Signature:
    """The policy's author, else what git is set up with. Raises Refused when there is neither."""
    import pygit2

    if section.author is not None:
        return pygit2.Signature(section.author.name, section.author.email, int(time), 0)
    try:
        own = repo.default_signature
    except (KeyError, pygit2.GitError) as error:
        raise Refused(
            Code.INVALID, "there is no author for commits", hint="a person sets git.author in the policy"
        ) from error
    return pygit2.Signature(own.name, own.email, int(time), 0)


def with_trailer(message: str, call: Call) -> str:
    """The message, cleaned, with the lines that say which agent and which change made the commit."""
    body = "\n".join(line.rstrip() for line in message.strip().replace("\r\n", "\n").split("\n"))
    last = body.rpartition("\n\n")[2]
    joint = "\n" if "\n\n" in body and _TRAILERS.match(last + "\n") else "\n\n"
    agent = re.sub(r"[^\w.@+-]", "-", call.principal.agent or "agent")[:80]
    return f"{body}{joint}Interlock-Agent: {agent}\nInterlock-Change: {call.id}\n"


class Committer:
    """Makes one server's commits and tags: author and trailer from the policy, signed where the repository says so."""

    def __init__(self, broker: BrokerClient | None) -> None:
        self._broker = broker

    def check(self, repo: pygit2.Repository, facts: Facts, section: Section) -> None:
        """Before anything is planned: can a commit be made as the repository wants it? Raises Refused."""
        if _any(repo, _COMMITS):
            self._can_sign(section, "commits")

    def check_tag(self, repo: pygit2.Repository, section: Section, annotated: bool) -> None:
        """The same for a tag. Raises Refused."""
        if not annotated and _any(repo, _TAGS[:1]):
            raise Refused(
                Code.INVALID, "the repository signs its tags, and one without a message has no room for it",
                hint="give a message",
            )  # fmt: skip
        if annotated and _any(repo, _TAGS):
            self._can_sign(section, "tags")

    def commit(
        self,
        repo: pygit2.Repository,
        section: Section,
        call: Call,
        message: str,
        tree: pygit2.Oid,
        parents: Sequence[str],
        author: pygit2.Signature | None = None,
        trailer: bool = True,
    ) -> str:
        """Write the commit object; nothing refers to it yet. Returns its id. Raises Failed when it cannot be signed."""
        import pygit2

        committer = identity(repo, section, call.time)
        text = with_trailer(message, call) if trailer else message
        ids: list[str | pygit2.Oid] = [pygit2.Oid(hex=p) for p in parents]
        if not _any(repo, _COMMITS):
            return str(repo.create_commit(None, author or committer, committer, text, tree, ids))
        # pygit2's stub says Oid; what comes is the commit's text.
        content = str(repo.create_commit_string(author or committer, committer, text, tree, ids))
        return str(repo.create_commit_with_signature(content, self._signature(section, content), "gpgsig"))

    def tag(self, repo: pygit2.Repository, section: Section, content: str) -> str:
        """An annotated tag's text, signed at its end where the repository says so. Raises Failed."""
        return content + (self._signature(section, content) if _any(repo, _TAGS) else "")

    def _can_sign(self, section: Section, what: str) -> None:
        if section.signing is None or self._broker is None:
            raise Refused(
                Code.INVALID,
                f"the repository signs its {what}, and the policy names no program for it",
                hint="a person sets git.signing (program and key) in the policy, or does it by hand",
            )

    def _signature(self, section: Section, content: str) -> str:
        assert section.signing is not None and self._broker is not None
        key = section.signing.key
        if section.signing.program.name == "ssh-keygen":
            argv = ["-Y", "sign", "-n", "git", "-f", str(Path(key).expanduser())]
        else:
            argv = ["--batch", "--no-tty", "--status-fd=2", "-bsau", key]
        data = content.encode("utf-8", "surrogateescape")
        done = self._broker.run(SIGN, argv, stdin=data, timeout=20, max_output=64 << 10)
        text = done.stdout.decode("ascii", "replace")
        if done.code != 0 or "-----BEGIN" not in text:
            raise Failed(
                "it could not be signed",
                hint="a person checks git.signing: the key must be usable without a passphrase prompt (an agent)",
            )
        return text


def _any(repo: pygit2.Repository, settings: Sequence[str]) -> bool:
    """Whether one of the repository's settings says yes."""
    for setting in settings:
        try:
            if repo.config.get_bool(setting):
                return True
        except (KeyError, ValueError):
            continue
    return False
