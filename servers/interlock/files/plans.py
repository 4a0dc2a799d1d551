"""What a change is going to do: its steps, and what is said of it. Made by a look, run with the permit."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import UNKNOWN, Action, Attribute
from interlock.path_names import shown
from interlock.paths import Place

from .bounds import Bounds
from .ground import Ground
from .redacted import WHOLE
from .steps import Make, Step
from .text import encoding_of

_KINDS: Final = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}


@dataclass(slots=True)
class Plan:
    """The steps of one change, in order. `preview` and `done` are redacted text; `keep` in seconds."""

    bounds: Bounds
    steps: list[Step]
    preview: str = ""
    header: str = ""
    before: str = ""
    after: str = ""
    keep: int | None = None
    redactions: int = 0
    whole: Callable[[], str] | None = None  # all that a person should see before a yes, where `preview` is shorter

    def for_people(self) -> str:
        """What the change would do, for the one who is asked: what cannot be shown is said before anything else."""
        text = self.whole() if self.whole is not None else self.preview
        first, rest = text.partition("\n")[::2] if text.startswith("NOT SHOWN") else ("", text)
        return "\n".join(part for part in (first, self.header, rest) if part)

    def manifest(self) -> dict[str, Any]:
        return {"version": 1, "steps": [step.json() for step in self.steps]}


def refused_by_name(action: Action) -> bool:
    """Whether the builtin rules refuse this action anyway: then nothing more is looked at."""
    flags = action.attributes
    return not flags["inside"] or flags["protected"] is True or flags["own"] is True


def put_back(bounds: Bounds, size: int, kept: str) -> str:
    """What is promised of a change that replaces or takes so many bytes: `kept`, or that it is not kept.

    Then the change is of class `none`, and only a person allows it.
    """
    if size <= bounds.policy.snapshots.share:
        return kept
    return "it is too large for the store of snapshots, so it is NOT KEPT and cannot be put back"


_MADE: Final = 50  # folders one call makes: deeper trees are past what other calls look through


def temp_name() -> str:
    """A name for what stands beside its place for a moment; random, and in the manifest before it is made."""
    return f".interlock-{secrets.token_hex(8)}"


def parents(place: Place) -> list[Step]:
    """The steps that make the folders which are missing above a place. Raises Refused for very many."""
    if len(place.missing) > _MADE:
        raise Refused(Code.TOO_LARGE, f"{len(place.missing)} folders would be made; at most {_MADE} at once")
    folder = place.real.rsplit("/", len(place.missing) + 1)[0]
    made: list[Step] = []
    for name in place.missing:
        folder = f"{folder}/{name}"
        made.append(Make(folder))
    return made


def refuse_foreign_owner(found: os.stat_result, real: str) -> None:
    """Replacing a file makes it ours; where its owner could not be kept, it is refused before anything happens."""
    if found.st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(found.st_mode):
        raise Refused(Code.PROTECTED, f"{shown(real)} runs with another user's rights (setuid or setgid)")
    if os.geteuid() == 0:
        return
    if found.st_uid != os.geteuid() or found.st_gid not in {os.getegid(), *os.getgroups()}:
        raise Refused(Code.INVALID, f"{shown(real)} belongs to another user, and its owner could not be kept")


def changed_keys(real: str, old: bytes | None, new: bytes | None) -> Attribute | None:
    """The attribute `changed` for new content at a path: None where its kind has no keys, or where it is too large.

    `old` None: there was no file.
    """
    kind = _KINDS.get(PurePosixPath(real).suffix.lower())
    if kind is None:
        return None
    if old is None:
        return ("",)
    if new is None:
        return UNKNOWN
    from interlock.changed import changed

    before, after = (encoding_of(data).decode_lossy(data) for data in (old, new))
    return changed(before, after, kind)


def small_content(folder: int, name: str) -> bytes | None:
    """The bytes of a regular file that is small enough to be compared; else None. Raises OSError."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > WHOLE:
            return None
        return os.pread(fd, WHOLE, 0)
    finally:
        os.close(fd)


# What `look` saw is not there any more, or something else is.
_LOST_RACES: Final = (errno.ENOENT, errno.ELOOP, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


def perform(ground: Ground, steps: Sequence[Step]) -> None:
    """Do the steps in order; when one fails, take back those before it. Raises Failed."""
    done: list[Step] = []
    try:
        for step in steps:
            step.do(ground)
            done.append(step)
        for step in steps:
            with suppress(OSError):  # all is done; what is left over is hidden beside its place
                step.finish(ground)
    except (Failed, OSError) as error:
        problem = _problem(error)
        try:
            for step in reversed(done):
                step.back(ground)
        except (Failed, OSError):
            raise Failed(
                f"{problem.message}; and what was already done could not be taken back",
                hint="read the state before trying again",
                code=Code.UNKNOWN,
            ) from error
        raise problem from None


def _problem(error: Failed | OSError) -> Failed:
    if isinstance(error, Failed):
        return error
    why = os.strerror(error.errno or 0)
    if error.errno in _LOST_RACES:
        return Failed(f"it changed meanwhile ({why}); nothing was changed", hint="look again", code=Code.CONFLICT)
    return Failed(f"the system refused it ({why}); nothing was changed")
