"""Names that an agent gives: branches, tags, remotes, paths. Checked by grammar before anything is looked up.

A name can never be an option, a refspec or another name in disguise. Not for resolving them (`revisions`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from interlock.globs import compile_globs, expand
from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

HIDDEN: Final = "refs/interlock/"  # snapshots' commits; nothing the agent says resolves into it
_HEX: Final = re.compile(r"[0-9a-fA-F]{7,64}\Z")
_FORBIDDEN: Final = frozenset(" ~^:?*[\\\x7f")
_RESERVED: Final = frozenset({"head", "fetch_head", "orig_head", "merge_head", "cherry_pick_head", "revert_head", "@"})
_REMOTE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def branch_name(text: str, what: str = "branch") -> str:
    """A short branch (or tag) name; `refs/heads/x` is taken as `x`. Raises Refused (invalid).

    Stricter than git: no revision syntax, no name that reads like an id, a reserved ref or a full ref.
    """
    name = text.removeprefix("refs/tags/" if what == "tag" else "refs/heads/")
    shown = one_line(text, 60)
    parts = name.split("/")
    if (
        not name
        or len(name.encode("utf-8", "surrogateescape")) > 200
        or name.startswith(("-", "+"))
        or any(c in _FORBIDDEN or ord(c) < 33 for c in name)
        or any(not p or p.startswith((".", "-")) or p.endswith((".lock", ".")) for p in parts)
        or ".." in name
        or "@{" in name
    ):
        raise Refused(
            Code.INVALID,
            f"{shown!r} is no {what} name",
            hint="give one plain name such as feature/x; no options, refspecs or revisions",
        )
    if any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zs", "Zl", "Zp") for c in name):
        raise Refused(Code.INVALID, f"the {what} name {shown!r} holds characters that cannot be seen")
    if any(p.casefold() in _RESERVED for p in parts) or parts[0].casefold() == "refs" or _HEX.match(name):
        raise Refused(Code.INVALID, f"{shown!r} reads like another kind of name", hint=f"choose another {what} name")
    return name


def pushed_name(text: str) -> str:
    """`x:x` says no more than `x`: a branch goes to the same name. Any other refspec stays, and is no name."""
    source, colon, goal = text.partition(":")
    return source if colon and source == goal else text


def remote_name(text: str) -> str:
    """A remote's name; never a URL or an option. Raises Refused (invalid)."""
    if not _REMOTE.match(text) or ".." in text:
        raise Refused(
            Code.INVALID,
            f"{one_line(text, 60)!r} is no remote name",
            hint="git_guard() lists the remotes, such as origin",
        )
    return text


def tree_path(text: str, root: str) -> str:
    """A path inside the repository, relative to its root with `/`; an absolute one below `root` is accepted.

    "" stands for the whole repository. Raises Refused (invalid, out_of_bounds).
    """
    if "\0" in text or len(text) > 4000:
        raise Refused(Code.INVALID, "a path holds a NUL or is too long")
    path = text
    if path.startswith("/"):
        if path != root and not path.startswith(root + "/"):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                f"{one_line(text, 120)} is outside the repository",
                hint="give paths relative to the repository's root",
            )
        path = path[len(root) :].lstrip("/")
    parts = [p for p in path.split("/") if p not in ("", ".")]
    if ".." in parts:
        raise Refused(
            Code.OUT_OF_BOUNDS, "a path may not climb with `..`", hint="give paths from the repository's root"
        )
    if any(git_internal(p) for p in parts):
        raise Refused(Code.PROTECTED, "git's own folder is not reachable as a path", hint="use the git tools")
    return "/".join(parts)


def git_internal(part: str) -> bool:
    """Whether a path component is `.git` on any file system: case, ignorable characters, NTFS short names."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", part) if unicodedata.category(c) not in ("Cf", "Mn"))
    plain = plain.casefold().split(":", 1)[0].rstrip(" .")
    return plain in (".git", "git~1")


class Protected:
    """The branches that nothing may touch: the policy's globs and what is added (a remote's default branch)."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._globs = tuple(globs)
        self._exact = compile_globs(self._globs)
        self._folded = compile_globs([_fold(g) for g in self._globs])

    def also(self, names: Iterable[str]) -> Protected:
        """The same with further literal names."""
        from interlock.globs import escape

        more = tuple(escape(n) for n in names if n)
        return _protected((*self._globs, *more)) if more else self

    def covers(self, name: str) -> bool:
        """By name as a file system or a reader might take it: case and normal form do not matter."""
        return self._exact.matches(name) or self._folded.matches(_fold(name))

    def resembles(self, name: str) -> bool:
        """Whether a name with foreign letters could be read as a protected one (`m\u0430in`)."""
        folded = _fold(name)
        if folded.isascii():
            return False
        pattern = tuple(None if ord(c) > 127 else c for c in folded)
        return any(_could_be(pattern, plain) for glob in self._globs for plain in expand(_fold(glob)))


@lru_cache(maxsize=64)
def _protected(globs: tuple[str, ...]) -> Protected:
    return Protected(globs)


def protected(globs: Iterable[str]) -> Protected:
    """The same value for the same globs: compiling them is not free."""
    return _protected(tuple(globs))


def _fold(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c)[0] != "C")
    stripped = "".join(c for c in unicodedata.normalize("NFKD", plain) if unicodedata.category(c) != "Mn")
    return stripped.casefold()


def _could_be(name: tuple[str | None, ...], glob: str) -> bool:
    """Whether `name`, in which None stands for any one letter, can match the (brace-free) glob."""
    tokens: list[str] = []
    i = 0
    while i < len(glob):
        if glob.startswith("**", i):
            tokens.append("**")
            i += 2
        elif glob[i] == "[":
            end = glob.find("]", i + 2)
            tokens.append("?")
            i = (end if end > 0 else i) + 1
        elif glob[i] == "\\" and i + 1 < len(glob):
            tokens.append(glob[i + 1])
            i += 2
        else:
            tokens.append(glob[i])
            i += 1
    states = {0}
    for letter in (*name, ""):
        closed: set[int] = set()
        stack = list(states)
        while stack:  # a star may stand for nothing
            at = stack.pop()
            if at not in closed:
                closed.add(at)
                if at < len(tokens) and tokens[at] in ("*", "**"):
                    stack.append(at + 1)
        if letter == "":
            return len(tokens) in closed
        states = set()
        for at in closed:
            if at == len(tokens):
                continue
            token = tokens[at]
            if token == "**" or (token == "*" and letter != "/"):
                states.add(at)
            elif (token == "?" and letter != "/") or (letter is None and token not in ("*", "/")) or token == letter:
                states.add(at + 1)
    return False
