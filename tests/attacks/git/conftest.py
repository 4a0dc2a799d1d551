from __future__ import annotations

from collections.abc import Iterator

import pytest
from git.attacked import Attacked
from git.conftest import workshop, world

__all__ = ["workshop", "world"]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One served, confined process for the rows of a file; each row has repositories of its own.

    (Not one for all files: an agent may leave no more than a few calls waiting for a person.)
    """
    made = Attacked(tmp_path_factory.mktemp("attacked"))
    yield made
    made.close()
