from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from installation import ERAS, PATTERNS, Installation

from interlock.redaction import open_detector

# Two shared cores: how long an example takes says nothing about the code.
settings.register_profile("interlock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("interlock")


def pytest_configure(config: pytest.Config) -> None:
    """Many installations are opened in one process: as many descriptors as the system gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


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
