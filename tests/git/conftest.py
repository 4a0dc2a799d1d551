from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from git.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """The usual world, opened."""
    made = Workshop(tmp_path).open()
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path) -> Workshop:
    """The usual world, not opened yet: for tests that build on it first."""
    return Workshop(tmp_path)
