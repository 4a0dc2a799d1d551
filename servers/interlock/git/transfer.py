"""Git's own command line for the network, and nothing of the repository for it to read.

It runs in a repository made for one transfer: an empty folder with our configuration, the refs that we have, and the
real repository's object store. So neither the repository's configuration, hooks, attributes nor aliases exist for it,
and it moves no ref: `syncing` and `pushing` do that with libgit2. The command lines are templates; names and ids that
stand in them were checked by grammar. The user's own configuration is not read either; credentials come from ssh's
agent and keys, and over https from the one helper that the policy names.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.policy.places import apart

from .actions import Section
from .engine import UMASK
from .identity import SIGN
from .names import HIDDEN
from .remotes import Remote
from .repositories import Facts

if TYPE_CHECKING:
    import pygit2

    from interlock.sandbox.broker import BrokerClient, Completed, Program

NETWORK: Final = "git-network"  # the broker's name for git
PREFIX: Final = "interlock-transfer-"
LIST_SECONDS: Final = 20.0
MOVE_SECONDS: Final = 300.0
OUTPUT: Final = 8 << 20
_LINE: Final = re.compile(r"([0-9a-f]{40,64})\t(\S+)\Z")
_SYMREF: Final = re.compile(r"ref: (refs/heads/\S+)\tHEAD\Z")
_SEARCH: Final = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"
_TROUBLE: Final = (
    (r"could not read (username|password)|authentication failed|terminal prompts disabled|\b40[13]\b|permission denied",
     "the credentials were refused, or there are none", "a person checks the ssh agent or git.credential_helper"),
    (r"host key verification failed", "the server's ssh key is not known", "a person connects once by hand"),
    (r"could not resolve host|name or service not known", "the server's name cannot be resolved", "try again later"),
    (r"connection refused|failed to connect|timed out|connection reset|couldn't connect|network is unreachable",
     "the server cannot be reached", "try again later"),
    (r"not found|does not appear to be a git repository|does not exist", "there is no such repository at the remote",
     "a person checks the remote's URL"),
    (r"stale info|fetch first|non-fast-forward", "the remote has moved on meanwhile",
     "git_sync(action=fetch), then look again"),
    (r"redirect", "the remote redirects elsewhere", "a person sets the remote's final URL"),
    (r"transport .* not allowed|protocol", "the transport is not allowed", "only https and ssh are"),
    (r"declined|rejected|denied", "the remote declined it (its own rules or hooks)", "look at the remote's own rules"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """What a remote says it has. `head`: its default branch, short; "" when it does not say."""

    refs: Mapping[str, str]
    head: str


def network_programs(section: Section, places: Sequence[Path], own: Sequence[Path]) -> Mapping[str, Program]:
    """The broker's programs for git: git itself (network, no file but the repositories), and what signs commits.

    `own`: what is Interlock's own, and no child's, wherever a configuration of ssh may lie.
    """
    from interlock.sandbox.broker import Program

    found: dict[str, Program] = {}
    git = shutil.which("git", path=_SEARCH)
    home = Path.home()
    if git and section.remotes:
        core = [
            p
            for p in map(
                Path, ("/usr/lib/git-core", "/usr/libexec/git-core", f"{Path(git).parent.parent}/libexec/git-core")
            )
            if p.is_dir()
        ]
        ssh = shutil.which("ssh", path=_SEARCH)
        execute = [*core, *([Path(ssh)] if ssh else [])]
        if section.credential_helper or section.ssh_config:
            execute.append(Path("/bin/sh"))
        if section.credential_helper:
            execute.append(section.credential_helper)
        beside = apart(section.ssh_config.parent, own) if section.ssh_config else ()  # the keys that it names
        read = [home / ".ssh", *section.credential_files, *beside]
        found[NETWORK] = Program(
            Path(git),
            read=tuple(p for p in read if p.exists()),
            write=tuple(p for p in places if p.exists()),
            execute=tuple(execute),
            network=True,
            unix_sockets=True,
            environment=_environment(section, ssh),
            variables=frozenset({"GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALLOW_PROTOCOL"}),
            limits={"file_size": 8 << 30, "files": 1024},
        )
    if section.signing is not None:
        agent = {name: os.environ[name] for name in ("SSH_AUTH_SOCK", "GNUPGHOME") if os.environ.get(name)}
        key = Path(section.signing.key).expanduser()
        gnupg = Path(agent.get("GNUPGHOME", str(home / ".gnupg")))
        found[SIGN] = Program(
            section.signing.program,
            read=tuple(_halves(key)) if key.is_absolute() else (),
            write=(gnupg,) if section.signing.program.name != "ssh-keygen" and gnupg.exists() else (),
            execute=tuple(p for p in map(Path, ("/usr/bin/gpg-agent", "/usr/lib/gnupg")) if p.exists()),
            unix_sockets=True,
            environment={"PATH": _SEARCH, "HOME": str(home), "LC_ALL": "C.UTF-8", **agent},
        )
    return found


def _halves(key: Path) -> Iterator[Path]:
    """The files of an ssh key, and no more of its folder, which may be anything's."""
    private = key.with_suffix("") if key.suffix == ".pub" else key
    yield from (place for suffix in ("", ".pub", "-cert.pub") if (place := Path(f"{private}{suffix}")).exists())


def _environment(section: Section, ssh: str | None) -> dict[str, str]:
    """Everything that git and its children see of the environment. Nothing comes from ours but the ssh agent."""
    environment = {
        "PATH": _SEARCH,
        "HOME": str(Path.home()),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_SSH_VARIANT": "ssh",
    }
    agent = os.environ.get("SSH_AUTH_SOCK")
    if agent:
        environment["SSH_AUTH_SOCK"] = agent
    if ssh and section.ssh_config:
        environment["GIT_SSH_COMMAND"] = shlex.join([ssh, "-F", str(section.ssh_config), "-oBatchMode=yes"])
    elif ssh:
        environment["GIT_SSH"] = ssh  # started directly; without a terminal it can ask for nothing
    return environment


class Transfer:
    """One transfer repository, open. Used in a `with`."""

    def __init__(self, broker: BrokerClient, facts: Facts, remote: Remote, folder: Path) -> None:
        self._broker = broker
        self._facts = facts
        self._remote = remote
        self._folder = folder

    def listing(self, names: Sequence[str]) -> Listing:
        """Ask the remote for HEAD and these full ref names (or patterns ending in `*`)."""
        done = self._git(["ls-remote", "--symref", "--quiet", "--", "r", "HEAD", *names], LIST_SECONDS)
        refs: dict[str, str] = {}
        head = ""
        for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
            symbolic = _SYMREF.match(line)
            if symbolic:
                head = symbolic[1].removeprefix("refs/heads/")
            match = _LINE.match(line)
            if match:
                refs[match[2]] = match[1]
        return Listing(refs, head)

    def fetch(self, branch: str) -> dict[str, str]:
        """Bring the objects of all branches (or one) and their tags; return the refs that the remote has for them."""
        spec = f"+refs/heads/{branch}:refs/new/{branch}" if branch else "+refs/heads/*:refs/new/*"
        self._git(
            ["fetch", "--quiet", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules",
             "--refmap=", "--", "r", spec],
            MOVE_SECONDS,
        )  # fmt: skip
        found = {}
        for base in ("refs/new", "refs/tags"):
            for place in (self._folder / base).rglob("*"):
                if place.is_file():
                    found[str(place.relative_to(self._folder))] = place.read_text("ascii").strip()
        return found

    def push(self, name: str, old: str | None, new: str | None, force: bool) -> None:
        """Move one ref of the remote from `old` to `new` (None: delete it). Raises Failed."""
        lease = [f"--force-with-lease={name}:{old or ''}"] if force or new is None else []
        done = self._git(
            ["push", "--porcelain", "--no-verify", "--recurse-submodules=no", *lease, "--", "r", f"{new or ''}:{name}"],
            MOVE_SECONDS,
        )
        del done

    def _git(self, argv: list[str], seconds: float) -> Completed:
        done = self._broker.run(
            NETWORK,
            argv,
            cwd=self._folder,
            timeout=seconds,
            max_output=OUTPUT,
            env={
                "GIT_DIR": str(self._folder),
                "GIT_OBJECT_DIRECTORY": str(self._facts.common / "objects"),
                "GIT_ALLOW_PROTOCOL": self._remote.scheme,
            },
        )
        if done.code == 0 and not done.truncated:
            return done
        if done.timed_out:
            raise Failed(f"the remote did not answer within {seconds:.0f} s", hint="try again later", code=Code.UNKNOWN)
        said = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").lower()
        for pattern, what, hint in _TROUBLE:
            if re.search(pattern, said):
                raise Failed(what, hint=hint)
        raise Failed("git could not talk to the remote", hint="a person tries it by hand to see why")


@contextmanager
def transfer(
    broker: BrokerClient | None, repo: pygit2.Repository, facts: Facts, remote: Remote, section: Section
) -> Iterator[Transfer]:
    """Make the transfer repository, lend it, take it away. Raises Refused where there is no git to start."""
    if broker is None or NETWORK not in broker.programs:
        raise Refused(
            Code.INVALID, "git is not installed here, or no remote is in the policy", hint="a person installs git"
        )
    _sweep(facts)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=facts.common))
    try:
        for name in ("refs", "objects"):
            (folder / name).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "config").write_text(_configuration(facts, remote, section))
        (folder / "config").chmod(0o600)
        (folder / "packed-refs").write_text(_refs(repo), "utf-8", "surrogateescape")
        shallow = facts.common / "shallow"
        if shallow.is_file():
            shutil.copyfile(shallow, folder / "shallow")
        yield Transfer(broker, facts, remote, folder)
        if shallow.is_file() and (folder / "shallow").is_file():
            fresh = (folder / "shallow").read_bytes()
            if fresh != shallow.read_bytes():
                (folder / "shallow").rename(shallow)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(facts: Facts) -> None:
    """What a killed process left behind."""
    import time

    for place in facts.common.glob(f"{PREFIX}*"):
        try:
            if time.time() - place.stat().st_mtime > 2 * MOVE_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
        except OSError:
            continue


def _refs(repo: pygit2.Repository) -> str:
    """All that we have, so that only what is missing is transferred; tags under their own names."""
    lines = []
    for name in repo.references:
        target = repo.lookup_reference(name).raw_target
        if isinstance(target, bytes) or name.startswith(HIDDEN):
            continue
        own = name if name.startswith("refs/tags/") else f"refs/have/{name.removeprefix('refs/')}"
        lines.append((own, str(target)))
    return "".join(["# pack-refs with: sorted \n", *(f"{id} {name}\n" for name, id in sorted(lines))])


def _configuration(facts: Facts, remote: Remote, section: Section) -> str:
    partial = facts.configuration.get("extensions.partialclone")
    shared = 0o666 & ~UMASK
    lines = [
        "[core]",
        f"\trepositoryformatversion = {1 if partial else 0}",
        "\tbare = true",
        f"\tsharedRepository = 0{shared:o}",  # the broker's children have a strict umask; objects are not ours alone
        "\thooksPath = /dev/null",
        "\tfsmonitor = false",
        "\tpager = cat",
        "[gc]\n\tauto = 0",
        "[maintenance]\n\tauto = false",
        "[submodule]\n\trecurse = false",
        "[push]\n\tgpgSign = false\n\tfollowTags = false",
        "[http]\n\tfollowRedirects = false\n\tlowSpeedLimit = 100\n\tlowSpeedTime = 30",
        "[protocol]\n\tallow = never",
        f'[protocol "{remote.scheme}"]\n\tallow = always',
        "[credential]\n\thelper =",
    ]
    if section.credential_helper:
        lines.append(f"\thelper = {_quoted(shlex.quote(str(section.credential_helper)))}")
    lines.append(f'[remote "r"]\n\turl = {_quoted(remote.url)}')
    if partial:
        chosen = facts.configuration.get(f"remote.{partial}.partialclonefilter") or "blob:none"
        if re.fullmatch(r"[A-Za-z0-9:=._%+-]{1,100}", chosen):
            lines.append(f"\tpromisor = true\n\tpartialclonefilter = {chosen}")
        lines.append("[extensions]\n\tpartialClone = r")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
