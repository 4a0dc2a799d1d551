"""CVE-2022-24439 and CVE-2026-28292: `ext::` and its kin as a remote, also where the repository's configuration allows
them; CVE-2017-1000117 and CVE-2018-17456: a dash in a host. Transports are https, ssh and our own folders."""

from __future__ import annotations

import pytest
from git.workshop import Workshop, git


@pytest.mark.parametrize(
    "url",
    ["ext::sh -c touch% {pwned}", "EXT::sh -c touch% {pwned}", "fd::7", "testgit::x", "ssh://-oProxyCommand=touch%20{pwned}/r",
     "-oProxyCommand=touch {pwned}:r", "git@-oProxyCommand=x:r", "ssh://u@h:99999/r", "transport::address", "file:///etc",
     "https://user:x@/r", "\\\\host\\share"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["url", "argument"])
def test_transports(world: Workshop, url: str, where: str):
    text = url.format(pwned=world.pwned)
    git(world.repo, "config", "protocol.ext.allow", "always")
    if where == "url":
        git(world.repo, "config", "remote.origin.url", text)
    world.open()
    remote = "origin" if where == "url" else text
    for tool, arguments in (("git_sync", {"action": "fetch"}), ("git_sync", {"action": "pull"}), ("git_push", {})):
        reply = world.call(tool, remote=remote, **arguments)
        assert reply.code in ("out_of_bounds", "invalid"), reply.text
    assert not world.pwned.exists()
    world.close()
