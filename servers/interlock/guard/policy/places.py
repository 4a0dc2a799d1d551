"""Whether a policy, its keys and its state lie where no agent and no other account can change them.

Also what counts as Interlock's own. Looks at names, modes and owners only; it opens nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from interlock.documents import Node
from interlock.globs import compile_globs, special
from interlock.kubeconfig import cache_folder

from .files import config_folder, policies_folder
from .problems import Problem, at

if TYPE_CHECKING:
    from pydantic import BaseModel

_SYSTEM: Final = ("/proc", "/sys", "/dev")
_MAX_LINKS: Final = 40


def user_home() -> Path:
    """The account's home folder, by number: no variable decides it."""
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def home_in_force(given: Path | None, named: Path | None) -> Path:
    """Where state lies: as given (--home), else $INTERLOCK_HOME, else as the policy names it, else the usual folder."""
    if given is not None:
        return given
    chosen = os.environ.get("INTERLOCK_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return named or (Path(base) if base else Path.home() / ".local" / "state") / "interlock"


def own_paths(files: Iterable[Path], home: Path) -> tuple[Path, ...]:
    """Real paths that are Interlock's own: policies, keys, state, code, the folder of running servers."""
    code = Path(__file__).resolve().parents[2]
    paths = [*files, config_folder(), config_folder() / "keys", home, code, policies_folder()]
    paths += [user_home() / ".local" / "state" / "interlock-servers", Path("/var/lib/interlock")]  # sandbox, of root
    paths.append(cache_folder())  # what kubectl takes a cluster's kinds from, and whom it asks for tokens
    return tuple(dict.fromkeys(Path(os.path.realpath(path)) for path in paths))


def apart(folder: Path, own: Sequence[Path]) -> Iterator[Path]:
    """A folder for a child to reach; where something of Interlock's own lies in it, all else that does."""
    real = folder.resolve()
    if any(real.is_relative_to(one) for one in own):
        return
    if not any(one.is_relative_to(real) for one in own):
        yield real
        return
    with suppress(OSError):
        for entry in sorted(real.iterdir()):
            if not entry.is_symlink() or not any(one.is_relative_to(entry.resolve()) for one in own):
                yield from apart(entry, own)


def exposed(files: Iterable[Path], home: Path) -> list[Problem]:
    """Policies, keys and state that another account can write, by themselves or by a folder above them."""
    problems = []
    for path in dict.fromkeys([*files, config_folder() / "keys", home]):
        for place in _chain(path):
            why = _writable(place)
            if why:
                where = "it" if place == path else f"the folder {place} above it"
                fix = f"chown it to yourself: {place}" if "belongs" in why else f"chmod go-w {place}"
                problems.append(Problem(str(path), 0, 0, f"{where} {why}", fix))
                break
    return problems


def inside_bounds(
    sections: Mapping[str, BaseModel], trees: Mapping[str, Node], files: Iterable[Path], home: Path
) -> list[Problem]:
    """Roots and repositories that reach Interlock's own files, the home folder as such, or the system's."""
    keep = {"the policy": [*files], "the keys": [config_folder() / "keys"], "the state": [home]}
    own = {name: [PurePosixPath(os.path.realpath(path)) for path in paths] for name, paths in keep.items()}
    problems = []
    for node, place, writes, what in _bounds(sections, trees):
        reason = _too_wide(place)
        if reason is None and writes:
            reason = next(
                (f"{name} would lie in it" for name, paths in own.items() for p in paths if _holds(place, p)), None
            )
        if reason is None:
            reason = next(
                (f"it lies within {name}" for name, paths in own.items() for p in paths if _within(place, p)), None
            )
        if reason is not None:
            problems.append(at(node, f"this cannot be a {what}: {reason}", "name the project's own folder"))
    return problems


def _bounds(sections: Mapping[str, BaseModel], trees: Mapping[str, Node]) -> Iterator[tuple[Node, str, bool, str]]:
    """Every root and repository: its node, its path or glob, whether it can be written, what it is called."""
    files, git = sections.get("files"), sections.get("git")
    roots = _items(trees.get("files"), "roots")
    for node, root in zip(roots, getattr(files, "roots", ()), strict=False):
        yield node, str(root.path), root.access == "write", "root"
    cleaned = (
        trees["files"].value.get("clean_up") if "files" in trees and isinstance(trees["files"].value, dict) else None
    )
    for name, rule in getattr(files, "clean_up", {}).items():
        nodes = cleaned.value if cleaned is not None and isinstance(cleaned.value, dict) else {}
        if name in nodes:
            yield nodes[name], str(rule.path), True, "clean-up"
    repositories = _items(trees.get("git"), "repositories")
    for node, repository in zip(repositories, getattr(git, "repositories", ()), strict=False):
        yield node, str(repository), True, "repository"


def _items(section: Node | None, key: str) -> list[Node]:
    value = section.value.get(key) if section is not None and isinstance(section.value, dict) else None
    return value.value if value is not None and isinstance(value.value, list) else []


def _too_wide(place: str) -> str | None:
    home = PurePosixPath(os.path.realpath(user_home()))
    path = PurePosixPath(place)
    if place == "/":
        return "it is the whole machine"
    if any(path.is_relative_to(system) for system in _SYSTEM):
        return "it is the system's own"
    for account in {home, PurePosixPath(os.path.realpath(Path.home()))}:
        if account.is_relative_to(path) and account != PurePosixPath("/"):
            return "it is your home folder or above it, with your keys and all you own"
    return None


def _holds(place: str, own: PurePosixPath) -> bool:
    """Whether `own` lies in what this path or glob reaches."""
    if not special(place):
        return own.is_relative_to(place)
    matcher = compile_globs([place])
    return any(matcher.matches(str(path)) for path in (own, *own.parents))


def _within(place: str, own: PurePosixPath) -> bool:
    return not special(place) and PurePosixPath(place).is_relative_to(own)


def _chain(path: Path) -> list[Path]:
    """The path and every folder above it, along each symbolic link that leads to it."""
    seen: dict[Path, None] = {}
    current = path.absolute()
    for _ in range(_MAX_LINKS):
        link = None
        for part in (current, *current.parents):
            if part.is_symlink():
                link = part
            else:
                seen.setdefault(part)
        if link is None:
            break
        for parent in link.parents:
            if not parent.is_symlink():
                seen.setdefault(parent)
        below = current.relative_to(link)
        current = Path(os.path.normpath(link.parent / link.readlink() / below))
    return list(seen)


def _writable(path: Path) -> str | None:
    """Why someone else could change what lies here; None when nobody can, or there is nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    if found.st_uid not in (0, os.getuid()):
        return "belongs to another account"
    sticky = bool(found.st_mode & stat.S_ISVTX) and stat.S_ISDIR(found.st_mode)
    if found.st_mode & stat.S_IWOTH and not sticky:
        return "is writable by every account"
    if found.st_mode & stat.S_IWGRP and not sticky and not _own_group(found.st_gid):
        return "is writable by its group"
    return None


def _own_group(gid: int) -> bool:
    """Whether a group is the account's own and nobody else's (or root's)."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
