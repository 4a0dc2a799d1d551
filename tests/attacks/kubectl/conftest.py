from __future__ import annotations

from collections.abc import Iterator

import pytest
from attack_cluster import Reached, reached
from kubectl.conftest import TestCluster, place, shared_cluster

__all__ = ["place", "shared_cluster"]


@pytest.fixture(scope="module")
def world(shared_cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """The server of a file's tables of cases, and a namespace of their own."""
    if shared_cluster.plane is not None:
        shared_cluster.plane.pod_log("started")
    with reached(shared_cluster, tmp_path_factory.mktemp("world")) as made:
        yield made
