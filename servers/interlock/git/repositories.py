"""Opens the policy's repositories, and refuses what would lead elsewhere or was prepared to.

libgit2 does everything local, and libgit2 runs no program: no hook, filter, textconv, fsmonitor, merge driver, alias,
pager or editor. So what a repository's configuration names is listed for people (`Facts.programs`) and never run; what
redirects - another work tree, includes, foreign alternates, links inside `.git` - refuses the repository.
Not for the network: `transfer` keeps the git command line away from the repository's configuration altogether.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.globs import Matcher, compile_globs, special
from interlock.guard.errors import Broken, Code, Refused
from interlock.untrusted import one_line

from .configuration import Configuration, read_configuration
from .engine import SYSTEM, prepare, user_configurations

if TYPE_CHECKING:
    import pygit2

CONFIG_LIMIT: Final = 1 << 20
POOL: Final = 4  # open handles kept per repository
# What git's own folder may not lend to another place. `objects/pack` and friends hang below these.
_OWN: Final = (
    "HEAD",
    "config",
    "config.worktree",
    "index",
    "objects",
    "refs",
    "packed-refs",
    "info",
    "logs",
    "shallow",
)
_PROGRAMS: Final = re.compile(
    r"(filter\..*\.(clean|smudge|process)|diff\..*\.(command|textconv)|diff\.external|merge\..*\.driver|alias\..*"
    r"|core\.(fsmonitor|hookspath|sshcommand|pager|editor|askpass|gitproxy|alternaterefscommand)|sequence\.editor"
    r"|credential\.(.*\.)?helper|gpg\.(.*\.)?program|remote\..*\.(uploadpack|receivepack|vcs|proxy)|protocol\..*"
    r"|url\..*\.(push)?insteadof|trailer\..*\.(command|cmd)|uploadpack\..*hook|interactive\.difffilter|pager\..*"
    r"|(difftool|mergetool|browser|man|web|guitool|submodule)\..*\.(cmd|update)|sendemail\..*cmd|http\..*)\Z"
)
_QUIET: Final = ("false", "true", "")  # core.fsmonitor=true is git's own daemon, which we do not start either


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a repository lies and what was found when it was opened. All paths are real."""

    root: Path  # the work tree's root, or the bare repository
    gitdir: Path  # this work tree's own folder: HEAD, index
    common: Path  # shared by all work trees: objects, refs, config
    bare: bool
    configuration: Configuration
    programs: tuple[str, ...] = ()  # keys of the configuration, and hooks, that name programs; none is run
    stamp: tuple[object, ...] = field(default=(), compare=False)  # changes when it must be judged anew

    @property
    def name(self) -> str:
        return str(self.root)


class Repositories:
    """All repositories within the policy's bounds. Thread-safe."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._globs: Matcher = compile_globs(self._patterns)
        self._lock = threading.Lock()
        self._facts: dict[str, Facts] = {}
        self._pool: dict[tuple[str, tuple[object, ...]], list[pygit2.Repository]] = {}

    def within(self, path: str) -> bool:
        """Whether a real path is one of the policy's repositories."""
        return self._globs.matches(path)

    def only(self) -> str:
        """The one repository that the policy names without a glob; "" when there are several."""
        return self._patterns[0] if len(self._patterns) == 1 and not special(self._patterns[0]) else ""

    def locate(self, text: str) -> str:
        """The real path of what the agent called a repository. Raises Refused (invalid, out_of_bounds)."""
        wanted = text or self.only()
        if not wanted:
            raise Refused(Code.INVALID, "say which repository", hint="give its absolute path; git_guard() lists them")
        if not wanted.startswith(("/", "~/")) or "\0" in wanted or len(wanted) > 4000:
            raise Refused(
                Code.INVALID, f"{one_line(wanted, 80)!r} is no repository", hint="give the repository's absolute path"
            )
        return os.path.realpath(Path(wanted).expanduser() if wanted.startswith("~/") else wanted)

    def facts(self, root: str) -> Facts:
        """Judge the repository at this real path. Raises Refused (out_of_bounds, protected, invalid)."""
        if not self.within(root):
            raise outside(root)
        known = self._facts.get(root)
        if known is not None and _stamp(known) == known.stamp:
            return known
        found = self._judge(Path(root))
        with self._lock:
            self._facts[root] = found
            self._pool = {key: value for key, value in self._pool.items() if key[0] != root}
        return found

    @contextmanager
    def open(self, facts: Facts) -> Iterator[pygit2.Repository]:
        """Lend an open handle; a libgit2 handle must not be used by two threads at once.

        What libgit2 cannot do in the meantime, and nobody expected, is raised as Refused (invalid).
        """
        from pygit2 import GitError

        key = (facts.name, facts.stamp)
        with self._lock:
            free = self._pool.get(key)
            repository = free.pop() if free else None
        if repository is None:
            repository = _open(facts)
        try:
            yield repository
        except GitError as error:
            raise Refused(
                Code.INVALID,
                f"git cannot work with this repository as it is ({one_line(str(error), 100)})",
                hint="it may be damaged: a person runs `git fsck`",
            ) from error
        finally:
            with self._lock:
                kept = self._pool.setdefault(key, [])
                if len(kept) < POOL:
                    kept.append(repository)

    def _judge(self, root: Path) -> Facts:
        bare, gitdir = self._gitdir(root)
        common = self._common(gitdir)
        for place in (root, gitdir, common):
            _owned(place, root)
        for folder in {gitdir, common}:
            for name in _OWN:
                if (folder / name).is_symlink():
                    raise _redirects(root, f"`.git/{name}` is a link")
        self._alternates(common / "objects", root, 0)
        configuration = read_configuration(common / "config", CONFIG_LIMIT)
        if configuration.true("extensions.worktreeconfig") and (gitdir / "config.worktree").exists():
            configuration = configuration.merged(read_configuration(gitdir / "config.worktree", CONFIG_LIMIT))
        self._redirections(root, gitdir, configuration)
        facts = Facts(root, gitdir, common, bare, configuration, _programs(configuration, common))
        return replace(facts, stamp=_stamp(facts))

    def _gitdir(self, root: Path) -> tuple[bool, Path]:
        """Whether it is bare, and its own folder. A `.git` file must lead to a folder of our own repositories."""
        dot = root / ".git"
        try:
            info = dot.lstat()
        except FileNotFoundError:
            if all((root / name).exists() for name in ("HEAD", "objects", "refs")):
                return True, root
            raise Refused(
                Code.INVALID,
                f"there is no git repository at {one_line(str(root), 120)}",
                hint="give the repository's root; git_guard() lists the policy's repositories",
            ) from None
        except OSError as error:
            raise Refused(Code.INVALID, f"{one_line(str(root), 120)} cannot be read ({error.strerror})") from error
        if stat.S_ISDIR(info.st_mode):
            return False, dot
        if not stat.S_ISREG(info.st_mode) or info.st_size > 4096:
            raise _redirects(root, "its `.git` is a link")
        text = dot.read_text("utf-8", "surrogateescape").strip()
        if not text.startswith("gitdir: "):
            raise _redirects(root, "its `.git` file is no git file")
        target = Path(os.path.realpath(root / text.removeprefix("gitdir: ")))
        parts = target.parts
        for keyword in ("worktrees", "modules"):
            if ".git" in parts and keyword in parts[parts.index(".git") :]:
                owner = Path(*parts[: parts.index(".git")])
                if self.within(str(owner)) and self._claims(target, root, keyword):
                    return False, target
        raise _redirects(root, "its `.git` file leads to a folder outside the policy's repositories")

    def _claims(self, gitdir: Path, root: Path, keyword: str) -> bool:
        """A linked work tree is named by its folder too; a submodule by its `core.worktree`."""
        if keyword == "worktrees":
            try:
                named = (gitdir / "gitdir").read_text("utf-8", "surrogateescape").strip()
            except OSError:
                return False
            return os.path.realpath(named) == str(root / ".git")
        worktree = read_configuration(gitdir / "config", CONFIG_LIMIT).get("core.worktree")
        return worktree is not None and os.path.realpath(gitdir / worktree) == str(root)

    def _common(self, gitdir: Path) -> Path:
        try:
            text = (gitdir / "commondir").read_text("utf-8", "surrogateescape").strip()
        except FileNotFoundError:
            return gitdir
        common = Path(os.path.realpath(gitdir / text))
        if gitdir.parent.name != "worktrees" or common != gitdir.parent.parent:
            raise _redirects(gitdir, "its `commondir` leads elsewhere")
        return common

    def _alternates(self, objects: Path, root: Path, depth: int) -> None:
        listed = objects / "info" / "alternates"
        if depth > 5:
            raise _redirects(root, "its alternates are nested too deeply")
        if (objects / "info").is_symlink() or listed.is_symlink() or (objects / "pack").is_symlink():
            raise _redirects(root, "its object folder holds links")
        try:
            text = listed.read_bytes()[:CONFIG_LIMIT].decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            other = Path(os.path.realpath(objects / line.strip('"')))
            owner = other.parent.parent if other.parent.name == ".git" else other.parent
            if not self.within(str(owner)):
                raise _redirects(root, "it borrows objects from outside the policy's repositories (alternates)")
            self._alternates(other, root, depth + 1)

    def _redirections(self, root: Path, gitdir: Path, configuration: Configuration) -> None:
        worktree = configuration.get("core.worktree")
        if worktree is not None and os.path.realpath(gitdir / worktree) != str(root):
            raise _redirects(root, "its configuration names another work tree (core.worktree)")
        for key in configuration.names():
            if key.startswith(("include.", "includeif.")):
                raise _redirects(root, "its configuration includes another file")
            if key in ("core.excludesfile", "core.attributesfile"):
                target = os.path.realpath(root / Path(configuration.get(key) or "").expanduser())
                if not target.startswith(f"{root}/") and os.path.exists(target):  # noqa: PTH110  # a plain fact
                    raise _redirects(root, f"its configuration reads a file outside ({key})")


def outside(root: str) -> Refused:
    return Refused(
        Code.OUT_OF_BOUNDS,
        f"{one_line(root, 120)} is none of the policy's repositories",
        hint="git_guard() lists them; a person can add it under git.repositories",
        rule="builtin.outside",
    )


def _redirects(root: Path, why: str) -> Refused:
    return Refused(
        Code.OUT_OF_BOUNDS,
        f"the repository {one_line(str(root), 120)} is not opened: {why}",
        hint="a person must look at its .git folder and put that right",
    )


def _owned(place: Path, root: Path) -> None:
    """What git asks of `safe.directory`: a repository of somebody else is opened only if the user said so."""
    try:
        owner = place.lstat().st_uid
    except OSError as error:
        raise Refused(Code.INVALID, f"{one_line(str(place), 120)} cannot be read ({error.strerror})") from error
    if owner in (os.geteuid(), int(os.environ.get("SUDO_UID", os.geteuid()) or os.geteuid())):
        return
    if not _safe_directory(str(root)):
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"the repository {one_line(str(root), 120)} belongs to another user",
            hint="a person who trusts it can run `git config --global --add safe.directory PATH`",
        )


def _safe_directory(root: str) -> bool:
    trusted: list[str] = []
    for place in (SYSTEM, *user_configurations()):
        for value in read_configuration(place, CONFIG_LIMIT).all("safe.directory"):
            trusted = [*trusted, value] if value else []
    return "*" in trusted or any(os.path.realpath(Path(v).expanduser()) == root for v in trusted if v != "*")


def _programs(configuration: Configuration, common: Path) -> tuple[str, ...]:
    keys = [
        key for key in configuration.names() if _PROGRAMS.match(key) and (configuration.get(key) or "") not in _QUIET
    ]
    hooks: list[str] = []
    try:
        for entry in os.scandir(common / "hooks"):
            if not entry.name.endswith(".sample") and entry.is_file() and os.access(entry.path, os.X_OK):
                hooks.append(f"hooks/{entry.name}")
    except OSError:
        pass
    return tuple(one_line(k, 60) for k in [*sorted(set(keys)), *sorted(hooks)][:50])


def _stamp(facts: Facts) -> tuple[object, ...]:
    """A few `lstat` calls that tell whether anything that was judged has changed."""
    root, gitdir, common = facts.name, os.fspath(facts.gitdir), os.fspath(facts.common)
    places = (  # plain strings: this runs in every call
        f"{root}/.git",
        gitdir,
        common,
        f"{common}/config",
        f"{gitdir}/config.worktree",
        f"{common}/objects/info",
        f"{common}/objects/info/alternates",
        f"{gitdir}/commondir",
        f"{common}/hooks",
    )
    stamp: list[object] = []
    for place in places:
        try:
            info = os.lstat(place)
        except OSError:
            stamp.append(None)
            continue
        volatile = stat.S_ISDIR(info.st_mode)
        stamp.append((info.st_ino, info.st_mode, info.st_uid, 0 if volatile else (info.st_mtime_ns, info.st_size)))
    for folder in dict.fromkeys((gitdir, common)):
        stamp.append(tuple(name for name in _OWN if os.path.islink(f"{folder}/{name}")))  # noqa: PTH114
    return tuple(stamp)


def _open(facts: Facts) -> pygit2.Repository:
    import pygit2

    prepare()
    try:
        repository = pygit2.Repository(str(facts.gitdir if not facts.bare else facts.root))
    except pygit2.GitError as error:
        if "owne" in str(error):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                f"the repository {one_line(facts.name, 120)} belongs to another user",
                hint="a person who trusts it can run `git config --global --add safe.directory PATH`",
            ) from error
        raise Refused(
            Code.INVALID,
            f"the repository {one_line(facts.name, 120)} cannot be opened ({one_line(str(error), 100)})",
            hint="it may be damaged, or use a format that is not supported (reftable, sha256)",
        ) from error
    except OSError as error:  # libgit2 says so when one of the user's own files cannot be read any more
        raise Broken(
            "git's configuration of this account has changed since the server started", hint="restart the server"
        ) from error
    if not facts.bare and os.path.realpath(repository.workdir or "/") != facts.name:
        raise _redirects(facts.root, "its work tree lies elsewhere")
    return repository
