"""How sandboxes are made: what a policy or a command chooses, as values. Checked where an engine is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Settings:
    """How sandboxes are made. Sizes in bytes; they hold for a whole pipeline."""

    tools: tuple[str, ...]  # the programs that a step may name, by name or glob
    folder: Path  # where `interlock sandbox build` put the image: `image.folder(home)`
    engine: Literal["bubblewrap", "docker"] = "bubblewrap"
    runtime: str = ""  # Docker's: "runsc" (gVisor), "kata"; empty is its default
    docker_image: str = ""  # an image of one's own, built from the Dockerfile; empty: the one that `build` imported
    memory: int = 256 << 20
    processes: int = 64
    temporary: int = 32 << 20  # /tmp, in memory
    cpu: float = 1.0  # cores
    pool: int = 2  # kept ready once one was used

    def write(self) -> dict[str, Any]:
        """As JSON values, for the way to the broker."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """The inverse of `write`."""
        return cls(**{**values, "tools": tuple(values["tools"]), "folder": Path(values["folder"])})
