"""Walking folders by descriptor: links are never followed, mounts never crossed, and every walk is bounded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.path_names import shown

MAX_DEPTH: Final = 200  # folders within folders; one descriptor each
MAX_ENTRIES: Final = 200_000
MAX_SECONDS: Final = 4.0


class TooMuch(Refused):
    """The walk ended at its bound."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry on the walk. `folder` is open only until the walk goes on."""

    path: str  # below the top, with `/`
    name: str
    folder: int
    inode: int
    is_folder: bool
    stat: os.stat_result | None  # of the entry itself, where asked for


def walk(
    top: int, shown_as: str, *, stats: bool = True, entries: int = MAX_ENTRIES, seconds: float = MAX_SECONDS
) -> Iterator[Entry]:
    """Every entry below the folder `top`, a folder before what is in it. Raises TooMuch at the bound, or OSError.

    Folders of other file systems are yielded and not entered.
    """
    until = time.monotonic() + seconds
    device = os.fstat(top).st_dev
    stack: list[tuple[int, str, Iterator[os.DirEntry[str]]]] = []
    count = 0
    try:
        _push(stack, ".", top, "")
        while stack:
            fd, prefix, names = stack[-1]
            item = next(names, None)
            if item is None:
                os.close(fd)
                stack.pop()
                continue
            count += 1
            if count > entries or (count % 256 == 0 and time.monotonic() > until):
                raise TooMuch(
                    Code.TOO_LARGE,
                    f"{shown(shown_as)} holds more than can be looked through ({count - 1} entries and more)",
                    hint="take a smaller part of it",
                )
            is_folder = item.is_dir(follow_symlinks=False)
            found = item.stat(follow_symlinks=False) if stats else None
            path = prefix + item.name
            yield Entry(path, item.name, fd, item.inode(), is_folder, found)
            if is_folder:
                if len(stack) >= MAX_DEPTH:
                    raise TooMuch(Code.TOO_LARGE, f"{shown(shown_as)} nests deeper than {MAX_DEPTH} folders")
                _push(stack, item.name, fd, path + "/", device)
    finally:
        for fd, _, names in stack:
            names.close()  # type: ignore[attr-defined]
            os.close(fd)


def _push(
    stack: list[tuple[int, str, Iterator[os.DirEntry[str]]]], name: str, parent: int, prefix: str, device: int = -1
) -> None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return  # gone meanwhile
    try:
        if device >= 0 and os.fstat(fd).st_dev != device:
            os.close(fd)
            return
        stack.append((fd, prefix, os.scandir(fd)))
    except BaseException:
        os.close(fd)
        raise
