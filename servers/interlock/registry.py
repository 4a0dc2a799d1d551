"""Which servers exist: the folders beside this file that have `actions.py`. Nothing else adds one.

Discovery walks our own package only; no entry points, so installing a package never adds code to the guard.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

    from interlock.guard.model import Verb

SERVERS: Final[tuple[str, ...]] = tuple(
    sorted(folder.name for folder in Path(__file__).parent.iterdir() if (folder / "actions.py").is_file())
)


def actions_of(server: str) -> ModuleType:
    """A server's `actions` module: VERBS and Section."""
    return importlib.import_module(f"interlock.{server}.actions")


VERBS: Final[Mapping[str, Verb]] = {verb.name: verb for server in SERVERS for verb in actions_of(server).VERBS}
SECTIONS: Final[Mapping[str, type[BaseModel]]] = {server: actions_of(server).Section for server in SERVERS}
