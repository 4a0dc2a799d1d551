"""What may still be recorded when the disk is full, and how that is said.

The reserve itself is `state`'s: freed when space runs out, set aside again when there is plenty.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from interlock.guard.disk import RESERVE_BYTES
from interlock.guard.errors import Broken

REFUSED_AT: Final = "nothing runs unrecorded"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
LAST_OF_RESERVE: Final = 4 << 20  # bytes kept for outcomes and undo when reads live on the reserve
BESIDES_RESERVE: Final = RESERVE_BYTES + (8 << 20)  # bytes; with less and no reserve, it is the reserve that is in use


def check_room(folder: int, home: Path, fields: Mapping[str, Any]) -> None:
    """While the reserve is in use no new change is permitted, and its last part is for outcomes and undo.

    `folder`: a descriptor on the disk of `home`. Raises OSError (ENOSPC).
    """
    found = os.fstatvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free >= BESIDES_RESERVE or _matters(fields) or (home / "reserve").exists():
        return
    if free < LAST_OF_RESERVE or not may_use_reserve(fields):
        raise OSError(errno.ENOSPC, "what is left is kept for outcomes and undo")


def may_use_reserve(fields: Mapping[str, Any]) -> bool:
    """Everything but the permission of a new change: that waits until there is space."""
    return fields.get("stage") != "permitted" or str(fields.get("tool", "")).endswith("_undo")


def _matters(fields: Mapping[str, Any]) -> bool:
    """The outcome of a change, or part of an undo: the last that may fail on a full disk."""
    outcome = fields.get("undo_class") is not None and fields.get("stage") in ("done", "failed", "unknown")
    return outcome or str(fields.get("tool", "")).endswith("_undo")


def is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return "full" in str(error)


def broken(error: BaseException, what: str) -> Broken:
    if isinstance(error, Broken):
        return error
    number = error.errno if isinstance(error, OSError) else None
    why = os.strerror(number).lower() if number else type(error).__name__
    hint = {
        errno.ENOSPC: "free space on the disk that holds the state; undo and reads go on while the reserve lasts",
        errno.EROFS: "the disk is mounted read-only; mend that and go on",
        errno.EACCES: "make the state folder writable for this account (0700)",
        errno.EFBIG: "the file-size limit of this process is reached (ulimit -f)",
    }.get(number or 0, "`interlock doctor` tells more")
    return Broken(f"{what} ({why}); {REFUSED_AT}", hint=hint)
