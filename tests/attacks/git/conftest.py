from __future__ import annotations

from collections.abc import Iterator

import pytest
from git.attacked import Attacked
from git.conftest import workshop, world

__all__ = ["workshop", "world"]


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One served, confined process for all rows of these files; each row has repositories of its own."""
    made = Attacked(tmp_path_factory.mktemp("attacked"))
    yield made
    made.close()
