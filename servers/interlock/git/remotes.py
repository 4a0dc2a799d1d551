"""The policy's remotes: which URL of the repository's configuration is used, and which transports exist at all."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

from .repositories import Facts, Repositories

_SCP: Final = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^:\x00-\x20][^\x00-\x20]*)\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z|\[[0-9a-fA-F:]+\]\Z")
_PATH: Final = re.compile(r"/[^\x00-\x20\x7f]*\Z")
LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Remote:
    """`scheme`: https, http (loopback only), ssh or local. `path`: of a local one, real."""

    name: str
    url: str  # as git gets it; may hold a password, so it is never shown
    scheme: str
    path: Path | None = None

    @property
    def shown(self) -> str:
        return shown_url(self.url)


def remote_of(facts: Facts, repositories: Repositories, name: str) -> Remote:
    """The remote of that name, judged. Raises Refused (invalid, out_of_bounds)."""
    configuration = facts.configuration
    urls = configuration.all(f"remote.{name}.url")
    if not urls:
        raise Refused(
            Code.INVALID,
            f"the repository has no remote {one_line(name, 60)}",
            hint="git_status(show=remotes) lists them",
        )
    pushes = configuration.all(f"remote.{name}.pushurl")
    if len(set(urls)) > 1 or any(url != urls[0] for url in pushes):
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the remote {one_line(name, 60)} has several URLs or another one for pushing",
            hint="a person must leave exactly one `url` and no `pushurl`",
        )
    for key in configuration.names():
        if re.fullmatch(r"url\..*\.(push)?insteadof", key, re.DOTALL):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the repository's configuration rewrites URLs (url.*.insteadOf)",
                hint="a person must remove it from .git/config",
            )
    return _judge(name, urls[0], facts, repositories)


def _judge(name: str, url: str, facts: Facts, repositories: Repositories) -> Remote:
    if url.startswith(("https://", "http://", "ssh://")):
        return _by_url(name, url)
    if url.startswith("file://"):
        return _local(name, unquote(url.removeprefix("file://").removeprefix("localhost")), facts, repositories)
    if "://" in url or "::" in url or url.startswith("-"):
        raise _transport(name)
    match = _SCP.match(url)
    if match and not url.startswith((".", "/")):
        if match[3].startswith("-"):
            raise _transport(name)
        return Remote(name, url, "ssh")
    return _local(name, url, facts, repositories)


def _by_url(name: str, url: str) -> Remote:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _transport(name) from None
    host = parts.netloc.rpartition("@")[2]
    host = host.rpartition(":")[0] if port is not None else host
    user = parts.username or ""
    if not _HOST.match(host) or user.startswith("-") or not _PATH.match(parts.path or "/") or parts.fragment:
        raise _transport(name)
    if parts.scheme == "http" and host.lower() not in LOOPBACK:
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the remote {one_line(name, 60)} is reached over plain http",
            hint="a person must change it to https or ssh",
        )
    return Remote(name, url, parts.scheme)


def _local(name: str, text: str, facts: Facts, repositories: Repositories) -> Remote:
    path = Path(os.path.realpath(facts.root / text))
    owner = path.parent if path.name == ".git" else path
    if not repositories.within(str(owner)):
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the remote {one_line(name, 60)} is a folder outside the policy's repositories",
            hint="a person can add that folder under git.repositories",
        )
    return Remote(name, url=str(path), scheme="local", path=owner)


def _transport(name: str) -> Refused:
    return Refused(
        Code.OUT_OF_BOUNDS,
        f"the remote {one_line(name, 60)} uses a transport that is not allowed",
        hint="only https, ssh, and folders of the policy's repositories are",
    )


def shown_url(url: str) -> str:
    """Without user names, passwords and queries: they may be credentials."""
    if "://" in url:
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return one_line(f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}", 200)
    return one_line(url.rpartition("@")[2] if ":" in url else url, 200)
