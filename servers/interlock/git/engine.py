"""Sets libgit2 up once per process, before it is confined: which of the user's own configuration files are in force."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from .configuration import read_configuration

SYSTEM: Final = Path("/etc/gitconfig")
LIMIT: Final = 1 << 20
_lock: Final = threading.Lock()
_ready = False
UMASK: Final = os.umask(0o022)
os.umask(UMASK)


def user_configurations() -> list[Path]:
    """The files of the user's own git configuration, weakest first, whether or not they exist."""
    home = Path.home()
    base = os.environ.get("XDG_CONFIG_HOME")
    return [(Path(base) if base else home / ".config") / "git" / "config", home / ".gitconfig"]


def readable() -> list[Path]:
    """Everything that libgit2 reads of the user's and the system's configuration, for the confinement."""
    found: list[Path] = []
    for place in (SYSTEM, *user_configurations()):
        if not place.is_file():
            continue
        found.append(place)
        configuration = read_configuration(place, LIMIT)
        for key in configuration.names():
            if key in ("core.excludesfile", "core.attributesfile") or key.startswith(("include.", "includeif.")):
                found += [_below(place, value) for value in configuration.all(key)]
    folder = user_configurations()[0].parent
    found += [folder / "ignore", folder / "attributes"]
    return [place for place in dict.fromkeys(found) if place.exists()]


def prepare() -> None:
    """Idempotent. Files that are not there now are never looked for: a confined process could not tell why."""
    global _ready
    with _lock:
        if _ready:
            return
        import pygit2
        from pygit2.enums import ConfigLevel

        settings = pygit2.Settings()
        xdg, home = user_configurations()
        settings.search_path[ConfigLevel.PROGRAMDATA] = ""
        for level, place in ((ConfigLevel.SYSTEM, SYSTEM), (ConfigLevel.GLOBAL, home), (ConfigLevel.XDG, xdg)):
            if not place.is_file():
                settings.search_path[level] = ""
        settings.owner_validation = True
        settings.enable_strict_object_creation(True)
        _ready = True


def _below(place: Path, value: str) -> Path:
    return place.parent / Path(value).expanduser()
