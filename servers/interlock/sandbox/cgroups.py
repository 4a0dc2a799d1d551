"""Memory, process and CPU limits for a whole sandbox, by control groups, version 1 or 2, where we may make them.

Root may; an ordinary user as a rule may not (then the engine has rlimits alone, and doctor says so).
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from .broker_loop import start_time

_NAME = "interlock"
_CONTROLLERS = ("memory", "pids", "cpu")
_PERIOD = 100_000  # microseconds: of each, a group gets `cpu` times as many


@dataclass(frozen=True, slots=True)
class Group:
    """One sandbox's group: a directory for each hierarchy (version 2 has one for all)."""

    directories: tuple[Path, ...]

    def enter(self) -> None:
        """Put the calling process, and so its children, into the group. Raises OSError."""
        for directory in self.directories:
            _write(directory / "cgroup.procs", os.getpid())

    def remove(self, patience: float = 2.0) -> bool:
        """Take the group away once its processes are gone (they were killed); False if some still end."""
        left = list(self.directories)
        deadline = time.monotonic() + patience
        while left:
            for directory in list(left):
                with contextlib.suppress(OSError):
                    directory.rmdir()
                if not directory.exists():
                    left.remove(directory)
            if left and time.monotonic() >= deadline:
                return False
            if left:
                time.sleep(0.005)
        return True


class Groups:
    """Makes groups below the place that was found to work; `places` is empty where none does."""

    def __init__(self, memory: int, processes: int, cpu: float) -> None:
        self._memory, self._processes, self._cpu = memory, processes, cpu
        self._made = 0
        self.places = _places()
        if self.places:
            _remove_stale(self.places)
            try:
                self.make().remove()
            except OSError:
                self.places = {}

    def make(self) -> Group:
        """A new, empty group with all limits set. Raises OSError."""
        self._made += 1
        own = os.getpid()
        name = f"{_NAME}-{own}-{start_time(own)}-{self._made}"
        made: dict[str, Path] = {}
        try:
            for controller, place in self.places.items():
                directory = place / name
                directory.mkdir(exist_ok=True)
                made[controller] = directory
                self._limit(controller, directory)
        except OSError:
            Group(tuple(made.values())).remove(0)
            raise
        return Group(tuple(dict.fromkeys(made.values())))

    def _limit(self, controller: str, directory: Path) -> None:
        if (directory.parent / "cgroup.controllers").exists():  # version 2
            if controller == "memory":
                _write(directory / "memory.max", self._memory)
                _write(directory / "memory.swap.max", 0, optional=True)
                _write(directory / "memory.oom.group", 1, optional=True)
            elif controller == "pids":
                _write(directory / "pids.max", self._processes)
            else:
                _write(directory / "cpu.max", f"{int(self._cpu * _PERIOD)} {_PERIOD}", optional=True)
        elif controller == "memory":
            _write(directory / "memory.limit_in_bytes", self._memory)
            _write(directory / "memory.memsw.limit_in_bytes", self._memory, optional=True)
        elif controller == "pids":
            _write(directory / "pids.max", self._processes)
        else:
            _write(directory / "cpu.cfs_period_us", _PERIOD, optional=True)
            _write(directory / "cpu.cfs_quota_us", int(self._cpu * _PERIOD), optional=True)


def _places() -> dict[str, Path]:
    """controller -> the directory below which we may make groups; all of memory and pids, or nothing."""
    try:
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines()]
    except OSError:
        return {}
    places: dict[str, Path] = {}
    for _, controllers, path in own:
        for controller in controllers.split(","):
            if controller in _CONTROLLERS:
                for mount in (Path("/sys/fs/cgroup", controllers), Path("/sys/fs/cgroup", controller)):
                    inside = mount / path[1:]
                    if inside.is_dir() or mount.is_dir():
                        places[controller] = inside if inside.is_dir() else mount
    if not places:
        places = unified_places(own)
    if not {"memory", "pids"} <= places.keys():
        return {}
    writable = all(os.access(place, os.W_OK) for place in places.values())
    return places if writable else {}


def unified_places(own: list[list[str]], root: Path = Path("/sys/fs/cgroup")) -> dict[str, Path]:
    """Version 2: a group that holds processes cannot have limited children, so look upwards for one that can."""
    path = next((path for number, controllers, path in own if number == "0" and not controllers), None)
    if path is None or not (root / "cgroup.controllers").exists():
        return {}
    here = root / path[1:]
    while True:
        with contextlib.suppress(OSError):
            enabled = set((here / "cgroup.subtree_control").read_text("utf-8").split())
            if {"memory", "pids"} <= enabled and os.access(here, os.W_OK):
                return {name: here for name in _CONTROLLERS if name in enabled}
        if here == root:
            return {}
        here = here.parent


def _remove_stale(places: dict[str, Path]) -> None:
    """What a keeper that was killed outright has left; its processes died with it."""
    for place in set(places.values()):
        for directory in place.glob(f"{_NAME}-*"):
            with contextlib.suppress(ValueError, IndexError, OSError):
                _, pid, started, _ = directory.name.split("-")
                if start_time(int(pid)) != int(started):
                    directory.rmdir()


def _write(path: Path, value: int | str, *, optional: bool = False) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write(f"{value}\n")
    except OSError:
        if not optional:
            raise
