"""Folders that an ordinary user can reach too, and the rule that root is needed to become somebody else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may use, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="interlock-test-"))
    path.chmod(0o777)
    yield path.resolve()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["root", "user"])
def user(request: pytest.FixtureRequest) -> bool:
    """Both kinds of account where we can be both; else the one we are."""
    if os.geteuid() != 0 and request.param == "root":
        pytest.skip("not run by root")
    return os.geteuid() == 0 and request.param == "user"
