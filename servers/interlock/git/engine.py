"""Sets libgit2 up once per process: nothing from the network, no configuration that cannot be read."""

from __future__ import annotations

import os
import threading
from typing import Final

_lock: Final = threading.Lock()
_ready = False
UMASK: Final = os.umask(0o022)
os.umask(UMASK)


def prepare() -> None:
    """Idempotent. The user's own configuration stays in force where it can be read (line ends, ignores)."""
    global _ready
    if _ready:
        return
    with _lock:
        if _ready:
            return
        import pygit2
        from pygit2.enums import ConfigLevel

        from .repositories import user_configurations

        settings = pygit2.Settings()
        settings.search_path[ConfigLevel.PROGRAMDATA] = ""
        xdg, home = user_configurations()
        for level, place in ((ConfigLevel.GLOBAL, home), (ConfigLevel.XDG, xdg)):
            if not place.exists() or not os.access(place, os.R_OK):
                settings.search_path[level] = ""
        settings.owner_validation = True
        settings.enable_strict_object_creation(True)
        _ready = True
