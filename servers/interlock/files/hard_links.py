"""Files with several names: one of the names may lie outside of the roots, or be protected."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.path_names import shown
from interlock.paths import Opened, Place, Root

from .bounds import Bounds
from .trees import TooMuch, walk

_ENTRIES: Final = 100_000
_SECONDS: Final = 1.0
_KNOWN: OrderedDict[tuple[object, ...], str] = OrderedDict()  # answers for links that are as they were
_LOCK: Final = threading.Lock()


def refuse_foreign_names(bounds: Bounds, opened: Opened | Place) -> None:
    """Refuse a file one of whose names is protected, or cannot be found inside its root.

    What a hard link shows is somebody else's file as much as this one's, and nothing in it says whose.
    """
    found = opened.stat
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_nlink < 2 or bounds.section.hard_links == "any":
        return
    key = (bounds.policy.digest, found.st_dev, found.st_ino, found.st_ctime_ns, found.st_nlink)
    with _LOCK:
        why = _KNOWN.get(key)
    if why is None:
        why = _why_not(bounds, found, opened.root)
        with _LOCK:
            _KNOWN[key] = why
            while len(_KNOWN) > 1000:
                _KNOWN.popitem(last=False)
    if why:
        raise Refused(
            Code.PROTECTED if "protected" in why else Code.OUT_OF_BOUNDS,
            f"{shown(opened.real)} is a hard link, and {why}",
            hint="a person can copy the file, or set `hard_links: any` in the policy's files section",
        )


def _why_not(bounds: Bounds, found: os.stat_result, root: Root) -> str:
    missing = found.st_nlink
    top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root.fd)
    try:
        for entry in walk(top, root.path, stats=False, entries=_ENTRIES, seconds=_SECONDS):
            if entry.inode != found.st_ino or entry.is_folder:
                continue
            path = f"{root.path.rstrip('/')}/{entry.path}"
            if bounds.own(path) or bounds.protected(path, change=False) or bounds.known_secret(path):
                return "another of its names is protected"
            missing -= 1
            if not missing:
                return ""
    except (TooMuch, OSError):
        return "its other names were not found in the root in time"
    finally:
        os.close(top)
    return "its other names are not in the root"
