"""Both versions of control groups get the limits in their own words. (What they then do is tried in the engines.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.sandbox import cgroups
from interlock.sandbox.cgroups import Groups


def _written(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in directory.iterdir() if path.is_file()}


def test_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    monkeypatch.setattr(cgroups, "_places", dict)
    groups = Groups(1000, 20, 0.5)
    groups.places = dict.fromkeys(("memory", "pids", "cpu"), tmp_path)
    group = groups.make()
    assert len(group.directories) == 1
    assert _written(group.directories[0]) == {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "20",
        "cpu.max": "50000 100000",
    }


def test_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_places", dict)
    groups = Groups(1000, 20, 2)
    groups.places = {name: tmp_path / name for name in ("memory", "pids", "cpu")}
    for place in groups.places.values():
        place.mkdir()
    memory, pids, cpu = groups.make().directories
    assert _written(memory) == {"memory.limit_in_bytes": "1000", "memory.memsw.limit_in_bytes": "1000"}
    assert _written(pids) == {"pids.max": "20"}
    assert _written(cpu) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "200000"}


def test_the_nearest_group_that_may_have_children(tmp_path: Path) -> None:
    """Version 2: our own group holds processes, so its limited children must stand beside it."""
    here = tmp_path / "user.slice/user-1.slice/session"
    here.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    for path, enabled in ((tmp_path, "cpu memory pids"), (here.parent, "memory pids"), (here, "")):
        (path / "cgroup.subtree_control").write_text(enabled)
    own = [["0", "", "/user.slice/user-1.slice/session"]]
    assert cgroups.unified_places(own, tmp_path) == {"memory": here.parent, "pids": here.parent}
    assert cgroups.unified_places([["0", "", "/absent"]], tmp_path) == {
        "memory": tmp_path,
        "pids": tmp_path,
        "cpu": tmp_path,
    }
    (tmp_path / "cgroup.controllers").unlink()
    assert cgroups.unified_places(own, tmp_path) == {}
