"""The files server behind the real pipeline in this process: policy, state, records, broker and disk are real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from files_server import FilesServer, Search
from installation import Installation


@pytest.fixture(scope="session")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    """ripgrep by a real broker, which may read everything below the tests' own folder."""
    search = Search(tmp_path_factory.getbasetemp())
    yield search
    search.close()


@pytest.fixture
def server(installation: Installation, monkeypatch: pytest.MonkeyPatch, search: Search) -> Iterator[FilesServer]:
    """One write root, `installation.work`; a profile that asks for nothing but mass deletes."""
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    server = FilesServer(installation, search)
    yield server
    server.close()


@pytest.fixture
def work(installation: Installation) -> Path:
    return Path(os.path.realpath(installation.work))
