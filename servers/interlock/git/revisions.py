"""From what an agent calls a commit to its id. One small grammar of our own; libgit2 never parses the agent's text.

    NAME ~N ^N ^{commit} ^{tree}      NAME: an id of 4 to 40 hex digits, HEAD or @, a branch, tag or remote branch,
                                      NAME@{upstream}, stash@{N}

Nothing resolves into `refs/interlock` or `refs/replace`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

if TYPE_CHECKING:
    import pygit2

_HEX: Final = re.compile(r"[0-9a-fA-F]{4,40}\Z")
_STEP: Final = re.compile(r"(~\d{0,6}|\^\d{0,3}(?!\{)|\^\{(?:commit|tree|tag|)\})")
_NAME: Final = re.compile(r"[^\x00-\x20~^:?*\[\\\x7f{}-][^\x00-\x20~^:?*\[\\\x7f{}]{0,250}\Z")
_SPECIAL: Final = re.compile(r"(.*)@\{(u|upstream|\d{1,4})\}\Z")
_OUR_PREFIXES: Final = ("refs/heads/", "refs/tags/", "refs/remotes/", "refs/notes/")
_HEADS: Final = ("HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")


@dataclass(frozen=True, slots=True)
class Range:
    """`a..b` or `a...b` (`symmetric`: from their merge base)."""

    old: str
    new: str
    symmetric: bool


def split_range(text: str) -> Range | None:
    """The two sides of a range; None when it is none. An empty side is HEAD."""
    for dots in ("...", ".."):
        if dots in text:
            old, _, new = text.partition(dots)
            if ".." in new:
                raise _unknown(text)
            return Range(old or "HEAD", new or "HEAD", dots == "...")
    return None


def commit(repo: pygit2.Repository, text: str) -> pygit2.Commit:
    """The commit that `text` names. Raises Refused (invalid)."""
    import pygit2

    found = resolve(repo, text)
    try:
        return found.peel(pygit2.Commit)
    except (pygit2.InvalidSpecError, pygit2.GitError, ValueError) as error:
        raise Refused(Code.INVALID, f"{one_line(text, 80)} is no commit") from error


def tree(repo: pygit2.Repository, text: str) -> pygit2.Tree:
    """The tree of a commit, tag or tree id. Raises Refused (invalid)."""
    import pygit2

    found = resolve(repo, text)
    try:
        return found.peel(pygit2.Tree)
    except (pygit2.InvalidSpecError, pygit2.GitError, ValueError) as error:
        raise Refused(Code.INVALID, f"{one_line(text, 80)} has no tree") from error


def resolve(repo: pygit2.Repository, text: str) -> pygit2.Object:
    """The object that `text` names. Raises Refused (invalid) with the same words for all that is not there."""
    import pygit2

    steps = list(_STEP.finditer(text))
    name = text[: steps[0].start()] if steps else text
    if steps and "".join(step[0] for step in steps) != text[len(name) :]:
        raise _unknown(text)
    try:
        found = _base(repo, name, text)
        for step in steps:
            found = _walk(found, step[0], text)
        return found
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise _unknown(text) from error


def between(repo: pygit2.Repository, old: str, new: str) -> list[str]:
    """Ids of the commits that `new` has and `old` has not, newest first; of many the first 5,000."""
    from pygit2.enums import SortMode

    walker = repo.walk(new, SortMode.NONE)
    walker.hide(old)
    found = []
    for commit in walker:
        found.append(str(commit.id))
        if len(found) >= 5000:
            break
    return found


def ref_of(repo: pygit2.Repository, name: str) -> str | None:
    """The full name of the ref that a short name means, in git's own order; None when there is none."""
    import pygit2

    if name == "@":
        name = "HEAD"
    if name in _HEADS or name.startswith("refs/"):
        candidates = [name]
    else:
        candidates = [f"{p}{name}" for p in ("refs/tags/", "refs/heads/", "refs/remotes/")]
        candidates += [f"refs/{name}", f"refs/remotes/{name}/HEAD"]
    for candidate in candidates:
        allowed = candidate in _HEADS or candidate.startswith(_OUR_PREFIXES) or candidate == "refs/stash"
        if not allowed:
            continue
        try:
            if candidate in repo.references:
                return candidate
        except (pygit2.InvalidSpecError, pygit2.GitError, ValueError):
            continue
    return None


def upstream_of(repo: pygit2.Repository, branch: str) -> str | None:
    """The remote-tracking ref of a local branch, from the configuration; None when it has none or it is not there."""
    try:
        remote = repo.config[f"branch.{branch}.remote"] or "."
        merge = repo.config[f"branch.{branch}.merge"] or ""
    except (KeyError, ValueError):
        return None
    if remote == "." or not merge.startswith("refs/heads/"):
        return None
    name = f"refs/remotes/{remote}/{merge.removeprefix('refs/heads/')}"
    return name if name in repo.references else None


def _base(repo: pygit2.Repository, name: str, text: str) -> pygit2.Object:
    special = _SPECIAL.match(name)
    if special:
        return _special(repo, special[1], special[2], text)
    if not _NAME.match(name) or ".." in name:
        raise _unknown(text)
    full = ref_of(repo, name)
    if full is not None:
        return repo.get(repo.lookup_reference(full).resolve().target) or _missing(text)
    if _HEX.match(name):
        return repo.get(name) or _missing(text)
    raise _unknown(text)


def _special(repo: pygit2.Repository, name: str, what: str, text: str) -> pygit2.Object:
    if what.isdigit():
        if name not in ("stash", "refs/stash"):
            raise Refused(
                Code.INVALID, f"{one_line(text, 80)}: reflog positions are not resolved", hint="use ids from git_log"
            )
        stashes = repo.listall_stashes()
        if int(what) >= len(stashes):
            raise Refused(Code.INVALID, f"there is no stash {what}", hint="git_status(show=stashes) lists them")
        return repo.get(stashes[int(what)].commit_id) or _missing(text)
    if name in ("", "HEAD", "@"):
        if repo.head_is_detached or repo.head_is_unborn:
            raise Refused(Code.INVALID, "HEAD is on no branch, so it has no upstream")
        name = repo.head.name.removeprefix("refs/heads/")
    full = upstream_of(repo, name.removeprefix("refs/heads/"))
    if full is None:
        raise Refused(Code.INVALID, f"the branch {one_line(name, 60)} has no upstream")
    return repo.get(repo.lookup_reference(full).resolve().target) or _missing(text)


def _walk(found: Any, step: str, text: str) -> Any:
    import pygit2

    if step.startswith("^{"):
        kinds = {"commit": pygit2.Commit, "tree": pygit2.Tree, "tag": pygit2.Tag}
        return found.peel(kinds[step[2:-1]]) if step != "^{}" else found.peel(None)
    here = found.peel(pygit2.Commit)
    if step[0] == "~":
        for _ in range(int(step[1:] or 1)):
            if not here.parent_ids:
                raise _unknown(text)
            here = here.parents[0]
        return here
    number = int(step[1:] or 1)
    if number == 0:
        return here
    if number > len(here.parent_ids):
        raise _unknown(text)
    return here.parents[number - 1]


def _missing(text: str) -> pygit2.Object:
    raise _unknown(text)


def _unknown(text: str) -> Refused:
    return Refused(
        Code.INVALID,
        f"{one_line(text, 80)!r} names no revision here",
        hint="give a branch, a tag, an id, HEAD, or one of them with ~N or ^; git_log and git_status list them",
    )
