from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attack_world import World
from files_server import FilesServer, Search, search
from installation import Installation

__all__ = ["search", "world"]


@pytest.fixture
def world(installation: Installation, monkeypatch: pytest.MonkeyPatch, search: Search) -> Iterator[World]:
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    world = World(installation, search)
    yield world
    world.server.close()


@pytest.fixture
def opened(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, search: Search
) -> Iterator[Callable[[str], FilesServer]]:
    """Opens a server whose policy has these lines more."""
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    servers: list[FilesServer] = []

    def open_one(more: str) -> FilesServer:
        servers.append(FilesServer(installation, search, more=more))
        return servers[-1]

    yield open_one
    for server in servers:
        server.close()
