from __future__ import annotations

from git.conftest import workshop, world

__all__ = ["workshop", "world"]
