from __future__ import annotations

from collections.abc import Iterator

import pytest
from attack_world import World
from files_server import Search, search
from installation import Installation

__all__ = ["search", "world"]


@pytest.fixture
def world(installation: Installation, monkeypatch: pytest.MonkeyPatch, search: Search) -> Iterator[World]:
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    world = World(installation, search)
    yield world
    world.server.close()
