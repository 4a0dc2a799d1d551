from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from installation import ERAS, PATTERNS, Installation

from interlock.redaction import open_detector

# Two shared cores: how long an example takes says nothing about the code.
settings.register_profile("interlock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("interlock")


@pytest.fixture(scope="session", autouse=True)
def patterns(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile the detector's patterns once: every installation gets a copy."""
    folder = tmp_path_factory.mktemp("patterns")
    folder.chmod(0o700)
    open_detector(bytes(32), None, folder).redact("password: swordfish-is-not-enough")
    PATTERNS[:] = [folder]


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
