from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from installation import ERAS, Installation

# Two shared cores: how long an example takes says nothing about the code.
settings.register_profile("interlock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("interlock")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A fresh installation with the usual policy: profile development, one write root `work`."""
    made = Installation(tmp_path)
    made.write_policy()
    return made


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    """Both protocol eras, one after the other."""
    return str(request.param)
