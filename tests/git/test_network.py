"""Fetch, pull and push through the broker's confined git: http and ssh on loopback, nothing of the repository run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from git.far_ends import SSHD, backend, over_http, over_ssh
from git.workshop import Workshop, git, token

needs_http = pytest.mark.skipif(backend() is None, reason="git http-backend is not installed")
needs_ssh = pytest.mark.skipif(not Path(SSHD).exists(), reason="sshd is not installed")
FREE = "rules:\n  push: {allow: git.push, overrides: [development.push]}\napprovals: {wait: 1s}\n"


def section(w: Workshop, more: str = "") -> str:
    return (
        f"  repositories: ['{w.folder}/repo', '{w.folder}/origin.git']\n  protected_branches: ['release/*']\n"
        f"  remotes: [origin]\n  author: {{name: bot, email: bot@example.com}}\n{more}"
    )


@pytest.fixture
def networked(world: Workshop) -> Iterator[Workshop]:
    world.network = True
    world.extra = FREE
    git(world.origin, "config", "http.receivepack", "true")
    yield world
    world.close()


def _round_trip(w: Workshop) -> None:
    """Push a branch, see it there, let a colleague push, pull that."""
    pushed = w.ok("git_push")
    assert w.rev("feature/x", w.origin) == w.rev("feature/x")
    assert w.rev("origin/feature/x") == w.rev("feature/x")
    git(w.folder, "clone", "-q", str(w.origin), "colleague")
    colleague = w.folder / "colleague"
    git(colleague, "checkout", "-q", "feature/x")
    (colleague / "c.txt").write_text("from a colleague\n")
    git(colleague, "add", "-A")
    git(colleague, "commit", "-qm", "colleague")
    git(colleague, "push", "-q", "origin", "feature/x")
    assert w.undo(pushed.id).code == "conflict"  # theirs would go
    pulled = w.ok("git_sync", action="pull")
    assert (w.repo / "c.txt").read_text() == "from a colleague\n"
    assert w.rev("HEAD") == w.rev("feature/x", w.origin)
    assert not w.undo(pulled.id).is_error
    assert not (w.repo / "c.txt").exists()
    assert git(w.repo, "status", "--porcelain") == ""
    assert not list((w.repo / ".git").glob("interlock-*"))


@needs_http
def test_http_round_trip(networked: Workshop):
    with over_http(networked.folder) as url:
        git(networked.repo, "remote", "set-url", "origin", f"{url}/origin.git")
        networked.section = section(networked)
        networked.open()
        _round_trip(networked)


@needs_ssh
def test_ssh_round_trip(networked: Workshop):
    with over_ssh(networked.folder / "ssh") as (url, client):
        git(networked.repo, "remote", "set-url", "origin", f"{url}{networked.origin}")
        networked.section = section(networked, f"  ssh_config: {client}\n")
        networked.open()
        _round_trip(networked)


def test_a_folder_round_trip_needs_no_program(networked: Workshop):
    networked.network = False
    networked.section = section(networked)
    networked.open()
    _round_trip(networked)


@needs_http
def test_the_remotes_default_branch_is_protected_whatever_the_policy_says(networked: Workshop):
    with over_http(networked.folder) as url:
        git(networked.repo, "remote", "set-url", "origin", f"{url}/origin.git")
        git(networked.repo, "branch", "-f", "main", "feature/x")
        networked.section = section(networked)
        networked.open()
        before = networked.rev("main", networked.origin)
        for force in (False, True):
            networked.refused("git_push", "protected", branch="main", force=force)
        networked.refused("git_push", "protected", branch="main", delete=True)
        assert networked.rev("main", networked.origin) == before


@needs_http
def test_a_forced_push_asks_names_what_goes_and_holds_a_lease(networked: Workshop):
    with over_http(networked.folder) as url:
        git(networked.repo, "remote", "set-url", "origin", f"{url}/origin.git")
        networked.section = section(networked)
        networked.open()
        networked.ok("git_push")
        old = networked.rev("feature/x")
        git(networked.repo, "commit", "-q", "--amend", "-m", "three, rewritten")
        networked.refused("git_push", "conflict")
        asked = networked.refused("git_push", "approval_required", force=True)
        pending = networked.guard.approvals.find(asked.id)
        assert pending is not None and "three" in pending.preview and old[:10] in pending.preview
        assert networked.rev("feature/x", networked.origin) == old
        networked.guard.approvals.approve(networked.person, asked.id)
        # The remote moves between the yes and the push: the approval is for another effect, so it is void.
        tree = networked.rev("main^{tree}", networked.origin)
        theirs = git(networked.origin, "commit-tree", "-m", "theirs", tree)
        git(networked.origin, "update-ref", "refs/heads/feature/x", theirs)
        assert networked.call("git_push", force=True).is_error
        assert networked.rev("feature/x", networked.origin) == theirs


@needs_http
def test_credentials_come_from_the_policys_helper_alone(networked: Workshop):
    password = token()
    helper = networked.folder / "helper"
    helper.write_text(f"#!/bin/sh\necho username=bot\necho password={password}\n")
    helper.chmod(0o700)
    evil = networked.folder / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {networked.pwned}\n")
    evil.chmod(0o700)
    for key in ("credential.helper", "core.askPass", "core.sshCommand", "core.fsmonitor"):
        git(networked.repo, "config", key, str(evil))
    with over_http(networked.folder, password) as url:
        git(networked.repo, "remote", "set-url", "origin", f"{url}/origin.git")
        networked.section = section(networked)
        networked.open()
        refused = networked.call("git_sync", action="fetch")
        assert refused.is_error and "credentials" in refused.text
        networked.close()
        networked.section = section(networked, f"  credential_helper: {helper}\n")
        networked.open()
        reply = networked.ok("git_sync", action="fetch")
        assert password not in reply.text
    assert not networked.pwned.exists()


@needs_http
def test_only_what_is_missing_is_transferred(networked: Workshop):
    with over_http(networked.folder) as url:
        git(networked.repo, "remote", "set-url", "origin", f"{url}/origin.git")
        networked.section = section(networked)
        networked.open()
        networked.ok("git_sync", action="fetch")
        packs = sorted((networked.repo / ".git/objects/pack").glob("*.pack"))
        networked.ok("git_sync", action="fetch")
        assert sorted((networked.repo / ".git/objects/pack").glob("*.pack")) == packs


@needs_http
def test_a_shallow_and_a_partial_clone_fetch_and_push(networked: Workshop):
    for n in range(5):
        networked.write("a.txt", f"{n}\n")
        networked.commit(f"more {n}")
    git(networked.repo, "push", "-q", "origin", "HEAD:refs/heads/long")
    git(networked.origin, "config", "uploadpack.allowfilter", "true")
    git(networked.origin, "symbolic-ref", "HEAD", "refs/heads/long")
    with over_http(networked.folder) as url:
        for name, options in (("shallow", ["--depth=2"]), ("partial", ["--filter=blob:none"])):
            git(networked.folder, "clone", "-q", *options, f"{url}/origin.git", name)
            repo = networked.folder / name
            git(repo, "checkout", "-q", "-b", f"own-{name}")
            (repo / "own.txt").write_text("own\n")
        networked.section = section(networked).replace(
            "['", f"['{networked.folder}/shallow', '{networked.folder}/partial', '", 1
        )
        networked.open()
        for name in ("shallow", "partial"):
            networked.repo = networked.folder / name
            networked.ok("git_commit", message="own work", paths=["own.txt"])
            networked.ok("git_push")
            assert networked.rev(f"own-{name}", networked.origin) == networked.rev("HEAD")
            networked.ok("git_sync", action="fetch")
            assert git(networked.repo, "fsck", "--connectivity-only", "--no-dangling", check=False) == ""


def test_transports_that_are_none_of_ours(networked: Workshop):
    networked.section = section(networked)
    urls = [
        f"ext::sh -c touch% {networked.pwned}",
        "git://127.0.0.1:1/r",
        "http://example.com/r.git",
        f"file://{networked.outside}",
        str(networked.outside),
        "ssh://-oProxyCommand=x/r",
        "-oProxyCommand=x:r",
        "host:-r",
        "fd::17",
        "https://user@-host/r",
    ]
    networked.open()
    for url in urls:
        git(networked.repo, "config", "remote.origin.url", url)
        reply = networked.call("git_sync", action="fetch")
        assert reply.code in ("out_of_bounds", "invalid"), (url, reply.text)
    assert not networked.pwned.exists()


def test_other_urls_for_pushing_and_rewriting_are_refused(networked: Workshop):
    git(networked.folder, "init", "-q", "--bare", "outside/evil.git")
    networked.section = section(networked)
    networked.open()
    git(networked.repo, "config", "remote.origin.pushurl", f"{networked.outside}/evil.git")
    networked.refused("git_push", "out_of_bounds")
    git(networked.repo, "config", "--unset", "remote.origin.pushurl")
    git(networked.repo, "config", f"url.{networked.outside}/evil.git.pushInsteadOf", str(networked.origin))
    networked.refused("git_push", "out_of_bounds")
    assert git(networked.outside / "evil.git", "for-each-ref") == ""


def test_a_password_in_a_url_is_never_shown(networked: Workshop):
    secret = token()
    git(networked.repo, "remote", "set-url", "origin", f"https://user:{secret}@127.0.0.1:1/r.git")
    networked.section = section(networked)
    networked.open()
    for reply in (
        networked.call("git_push"),
        networked.call("git_sync", action="fetch"),
        networked.call("git_status", show="remotes"),
    ):
        assert secret not in reply.text
    assert "127.0.0.1" in networked.call("git_status", show="remotes").text
