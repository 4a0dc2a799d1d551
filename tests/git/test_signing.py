"""Commits signed by the policy's program, through the broker of a served, confined process; git verifies them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from admin.apart import Apart, Peer
from git.workshop import QUIET, Workshop, git

GPG, SSH = shutil.which("gpg"), shutil.which("ssh-keygen")


@dataclass
class Signer:
    program: str
    key: str
    settings: dict[str, str]  # what a person who verifies has in their configuration
    environment: dict[str, str]


@pytest.fixture
def gpg() -> Iterator[Signer]:
    if GPG is None:
        pytest.skip("gpg is not installed")
    home = Path(tempfile.mkdtemp(prefix="ilk-", dir="/tmp"))  # short: a socket lies in it
    home.chmod(0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}
    make = [GPG, "--batch", "--passphrase", "", "--quick-gen-key", "bot <bot@example.com>", "ed25519", "sign", "never"]
    try:
        subprocess.run(make, env=environment, check=True, capture_output=True)
        listed = subprocess.run([GPG, "--list-keys", "--with-colons"], env=environment, capture_output=True, text=True)
        key = next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr"))
        yield Signer(GPG, key, {"gpg.program": GPG}, {"GNUPGHOME": str(home)})
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def ssh(tmp_path: Path) -> Signer:
    if SSH is None:
        pytest.skip("ssh-keygen is not installed")
    key, allowed = tmp_path / "signing", tmp_path / "allowed"
    subprocess.run([SSH, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed.write_text(f"bot@example.com {key.with_suffix('.pub').read_text()}")
    return Signer(SSH, str(key), {"gpg.format": "ssh", "gpg.ssh.allowedSignersFile": str(allowed)}, {})


@contextmanager
def served(world: Workshop, signer: Signer, key: str = "", section: bool = True) -> Iterator[Peer]:
    apart = Apart(world.folder / "installation")
    signing = f"  signing: {{program: {signer.program}, key: '{key or signer.key}'}}\n" if section else ""
    apart.write_policy(
        f"version: 1\nextends: development\nagent: tester\ngit:\n  repositories: ['{world.repo}']\n"
        f"  author: {{name: bot, email: bot@example.com}}\n{signing}"
    )
    peer = Peer(apart.command("serve", "git"), {**apart.environment, **signer.environment}, "legacy", "signing")
    try:
        yield peer
    finally:
        peer.close()


def verified(world: Workshop, signer: Signer) -> str:
    words = [word for name, value in signer.settings.items() for word in ("-c", f"{name}={value}")]
    shown = subprocess.run(
        ["git", *words, "log", "-1", "--format=%G? %an %s"],
        cwd=world.repo,
        env={**QUIET, **signer.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()


@pytest.fixture(params=["gpg", "ssh"])
def signer(request: pytest.FixtureRequest) -> Signer:
    made: Signer = request.getfixturevalue(request.param)
    return made


def test_a_commit_a_merge_and_a_revert_are_signed(world: Workshop, signer: Signer) -> None:
    git(world.repo, "config", "commit.gpgsign", "true")
    git(world.repo, "checkout", "-q", "-b", "side", "main")
    world.write("side.txt", "side\n")
    git(world.repo, "-c", "commit.gpgsign=false", "add", ".")
    git(world.repo, "-c", "commit.gpgsign=false", "commit", "-qm", "side")
    git(world.repo, "checkout", "-q", "feature/x")
    world.write("a.txt", "signed\n")
    with served(world, signer) as peer:
        for tool, arguments, says in (
            ("git_commit", {"message": "one of ours", "all": True}, "one of ours"),
            ("git_merge", {"ref": "side", "message": "bring side"}, "bring side"),
            ("git_revert", {"ref": "HEAD~1"}, "Revert"),
            ("git_commit", {"message": "better words", "amend": True}, "better words"),
        ):
            reply = peer.call(tool, repo=str(world.repo), **arguments)
            assert not reply.is_error, reply.text
            said = verified(world, signer)
            assert said.split()[0] in ("G", "U") and says in said, said  # U: good, by a key that nobody has vouched for


def test_an_annotated_tag_is_signed_and_a_bare_one_refused(world: Workshop, signer: Signer) -> None:
    git(world.repo, "config", "tag.gpgsign", "true")
    with served(world, signer) as peer:
        reply = peer.call("git_tag", repo=str(world.repo), name="v1", message="first")
        bare = peer.call("git_tag", repo=str(world.repo), name="v2")
    assert not reply.is_error, reply.text
    words = [word for name, value in signer.settings.items() for word in ("-c", f"{name}={value}")]
    told = subprocess.run(
        ["git", *words, "tag", "-v", "v1"],
        cwd=world.repo,
        env={**QUIET, **signer.environment},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0 and "first" in told.stdout, told.stderr
    assert bare.code == "invalid" and "give a message" in bare.text, bare.text
    assert git(world.repo, "tag").split() == ["v1"]


@pytest.mark.parametrize("setting", ["tag.gpgsign", "tag.forceSignAnnotated"])
def test_a_tag_that_cannot_be_signed_is_refused(world: Workshop, ssh: Signer, setting: str) -> None:
    git(world.repo, "config", setting, "true")
    with served(world, ssh, section=False) as peer:
        reply = peer.call("git_tag", repo=str(world.repo), name="v1", message="first")
    assert reply.code == "invalid" and "git.signing" in reply.text, reply.text
    assert not git(world.repo, "tag").strip()


def test_a_key_that_is_not_there_changes_nothing(world: Workshop, signer: Signer) -> None:
    git(world.repo, "config", "commit.gpgsign", "true")
    world.write("a.txt", "signed\n")
    before = world.state()
    other = str(world.folder / "nowhere") if signer.key.startswith("/") else "0" * 40
    with served(world, signer, key=other) as peer:
        reply = peer.call("git_commit", repo=str(world.repo), message="x", all=True)
    assert reply.is_error and "git.signing" in reply.text, reply.text
    assert world.state() == before


def test_without_a_program_in_the_policy_it_is_refused_and_says_why(world: Workshop, ssh: Signer) -> None:
    git(world.repo, "config", "commit.gpgsign", "true")
    git(world.repo, "config", "gpg.program", str(world.pwned))
    world.write("a.txt", "signed\n")
    before = world.state()
    with served(world, ssh, section=False) as peer:
        reply = peer.call("git_commit", repo=str(world.repo), message="x", all=True)
    assert reply.code == "invalid" and "git.signing" in reply.text, reply.text
    assert world.state() == before
