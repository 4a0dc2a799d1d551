"""A real repository, a real policy and the real guard around the git server, in this process. No mocks."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.git.tools import programs
from interlock.guard.keys import Keys, Person, create_keys
from interlock.guard.model import Link, Principal
from interlock.guard.pipeline import Guard, Pipeline
from interlock.guard.policy.loading import Source
from interlock.opening import open_guard, open_server
from interlock.sandbox.broker import start_broker

# Compiled detector patterns, kept between tests: compiling takes seconds and is not what is tested here.
SHARED = Path(tempfile.mkdtemp(prefix="interlock-git-tests-")) / "cache"
atexit.register(shutil.rmtree, SHARED.parent, ignore_errors=True)

QUIET = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
}


def git(folder: Path, *words: str, data: bytes | None = None, check: bool = True, when: int = 0) -> str:
    """What a person does with git beside the agent: a plain git, with nobody's configuration."""
    environment = dict(QUIET)
    if when:
        environment["GIT_AUTHOR_DATE"] = environment["GIT_COMMITTER_DATE"] = f"{when} +0000"
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=data, capture_output=True, check=False, timeout=60
    )
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(words)}: {done.stderr.decode('utf-8', 'replace')}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


@dataclass(frozen=True)
class Reply:
    text: str
    is_error: bool
    id: str

    @property
    def code(self) -> str:
        return self.text.partition(":")[0] if self.is_error else ""


@dataclass
class Workshop:
    """`folder/repo` on branch `feature/x` (three commits), `folder/origin.git` with main; both in the bounds."""

    folder: Path
    section: str = ""
    profile: str = "development"
    extra: str = "approvals: {wait: 1s}\n"
    network: bool = False  # start the broker, as a served process does
    repo: Path = field(init=False)
    origin: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(os.path.realpath(self.folder))
        self.repo, self.origin = self.folder / "repo", self.folder / "origin.git"
        self.outside = self.folder / "outside"
        self.pwned = self.folder / "PWNED"
        self.outside.mkdir()
        git(self.folder, "init", "-q", "--bare", "origin.git")
        git(self.folder, "init", "-q", "repo")
        git(self.repo, "remote", "add", "origin", str(self.origin))
        self.write("a.txt", "one\n")
        self.write(".gitignore", "*.ignored\n.env\n")
        self.commit("one", 1_700_000_000)
        self.write("a.txt", "one\ntwo\n")
        self.commit("two", 1_700_000_100)
        git(self.repo, "push", "-q", "origin", "main")
        git(self.repo, "checkout", "-q", "-b", "feature/x")
        self.write("a.txt", "one\ntwo\nthree\n")
        self.write("src/b.py", "print('b')\n")
        self.commit("three", 1_700_000_200)

    # ---------------------------------------------------------------- the world

    def write(self, path: str, text: str | bytes) -> Path:
        place = self.repo / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        return place

    def commit(self, message: str, when: int = 0) -> str:
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "--allow-empty", "-m", message, when=when)
        return self.rev("HEAD")

    def rev(self, name: str, folder: Path | None = None) -> str:
        return git(folder or self.repo, "rev-parse", name)

    def state(self) -> dict[str, Any]:
        """Everything that an undo must put back, byte for byte: refs, HEAD, index, and every file with its mode."""
        refs = git(self.repo, "for-each-ref", "--format=%(refname) %(objectname) %(symref)")
        gitdir = Path(git(self.repo, "rev-parse", "--absolute-git-dir"))
        index = gitdir / "index"
        marks = {
            n: (gitdir / n).read_bytes() for n in ("MERGE_HEAD", "MERGE_MSG", "REVERT_HEAD") if (gitdir / n).exists()
        }
        log = gitdir / "logs/refs/stash"
        return {
            "refs": [line for line in refs.splitlines() if not line.startswith("refs/interlock/")],
            "head": (gitdir / "HEAD").read_text(),
            "index": index.read_bytes() if index.exists() else None,
            "files": tree_of(self.repo),
            "marks": marks,
            "stashes": log.read_bytes() if log.exists() else None,
        }

    # ---------------------------------------------------------------- the guard around it

    def open(self) -> Workshop:
        """Policy, keys, guard, server. Call it after the world is built; again after the policy was changed."""
        config = self.folder / "config"
        config.mkdir(mode=0o700, exist_ok=True)
        policy = config / "policy.yaml"
        section = self.section or (
            f"  repositories: ['{self.folder}/repo', '{self.folder}/origin.git']\n"
            "  protected_branches: [main, 'release/*']\n"
            "  remotes: [origin]\n"
            "  author: {name: bot, email: bot@example.com}\n"
        )
        policy.write_text(f"version: 1\nextends: {self.profile}\nagent: tester\ngit:\n{section}{self.extra}")
        policy.chmod(0o600)
        keys = config / "keys"
        if not keys.exists():
            create_keys(None, keys)
        self.keys, self.person = Keys.load(keys), Person.load(folder=keys)
        self.home = self.folder / "state"
        self.home.mkdir(mode=0o700, exist_ok=True)
        if SHARED.is_dir() and not (self.home / "cache").exists():
            shutil.copytree(SHARED, self.home / "cache")
        guard = open_guard(Source(policy), self.home, self.keys, "git")
        self.guard: Guard = guard
        programs_of = programs(guard.source.current()) if self.network else {}
        self.broker = start_broker(programs_of) if programs_of else None
        server, tools = open_server("git", guard, self.home, self.keys, self.broker)
        self.server = server
        self.pipeline = Pipeline(server, tools, guard, Principal("tester", "user", "session"))
        return self

    def call(self, tool: str, **arguments: Any) -> Reply:
        return self.raw(tool, {"repo": str(self.repo), **arguments})

    def raw(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        link = Link()
        answer = self.pipeline.call(tool, arguments, link)
        return Reply(answer.text, answer.is_error, answer.id)

    def ok(self, tool: str, **arguments: Any) -> Reply:
        reply = self.call(tool, **arguments)
        assert not reply.is_error, reply.text
        return reply

    def refused(self, tool: str, code: str, **arguments: Any) -> Reply:
        reply = self.call(tool, **arguments)
        assert reply.code == code, reply.text
        return reply

    def approved(self, tool: str, **arguments: Any) -> Reply:
        """A call that asks, a person's yes, and the same call again."""
        asked = self.call(tool, **arguments)
        assert asked.code == "approval_required", asked.text
        self.guard.approvals.approve(self.person, asked.id)
        reply = self.call(tool, **arguments)
        assert not reply.is_error, reply.text
        return reply

    def undo(self, id: str) -> Reply:
        return self.raw("git_undo", {"id": id})

    def close(self) -> None:
        self.server.close()
        if self.broker is not None:
            self.broker.close()
        self.guard.records.close()
        if (self.home / "cache").is_dir() and not SHARED.exists():
            shutil.copytree(self.home / "cache", SHARED)


def tree_of(folder: Path) -> dict[str, tuple[str, int, str]]:
    """Kind, mode and digest of everything below a folder but `.git`."""
    found: dict[str, tuple[str, int, str]] = {}
    for base, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in files:
            place = Path(base) / name
            info = place.lstat()
            key = str(place.relative_to(folder))
            if stat.S_ISLNK(info.st_mode):
                found[key] = ("link", 0, str(place.readlink()))
            elif not stat.S_ISREG(info.st_mode):
                found[key] = ("other", info.st_mode, "")
            else:
                digest = hashlib.sha256(place.read_bytes()).hexdigest()
                found[key] = ("file", stat.S_IMODE(info.st_mode), digest)
    return found


def token() -> str:
    """Something that every detector takes for a secret, made here so that no scanner of this repository does."""
    return "gh" + "p_" + "R4nd0mV4lu3F0rT3st1ngPurp0s3s0nly42xZ"[:36]


def unfenced(text: str) -> str:
    return re.sub(r"</?untrusted-data-[0-9a-f]+>\n?", "", text)
