"""The policy of a running server: looked at before each call, read again when it has changed and is still.

While an edit is younger than a second the policy before it holds (it may be half saved). An invalid edit
refuses everything until it is mended. Bounds never widen before a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .bounds import narrowed
from .files import mark_of
from .places import own_paths
from .problems import PolicyError

if TYPE_CHECKING:
    from .loading import Policy

STILL: Final = 1.0  # seconds without a change after which a file counts as saved

Marks = tuple[tuple[int, ...] | None, ...]


class Source:
    """Where a process gets its policy from. Thread-safe; `current` costs one `stat` a file.

    `override` names the profile that a person has switched to for a time, or None (asked at each call).
    """

    def __init__(
        self,
        path: Path,
        override: Callable[[], str | None] | None = None,
        *,
        home: Path | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.override = override
        self._home = home
        self._wall = wall
        self._steady = steady
        self._lock = threading.RLock()
        self._start: Policy | None = None
        self._policy: Policy | None = None
        self._error: PolicyError | None = None
        self._files: tuple[Path, ...] = (path,)
        self._marks: Marks = ()
        self._seen: tuple[Marks, float] = ((), 0.0)  # the newest state of the files, and when it was first seen

    def current(self) -> Policy:
        """The policy for a call that begins now. Raises PolicyError while it is missing or invalid."""
        profile = self.override() if self.override is not None else None
        marks: Marks = tuple(mark_of(path) for path in self._files)
        policy = self._policy
        if policy is not None and marks == self._marks and self._error is None and profile == self._profile:
            return policy
        with self._lock:
            return self._judge(marks, profile)

    def protect(self, home: Path) -> None:
        """Say where state really lies (`--home`): it becomes Interlock's own. PolicyError when a root holds it."""
        from .loading import load

        with self._lock:
            self._home = home
            load(self.path, home=home)
            for name in ("_start", "_policy"):
                policy = getattr(self, name)
                if policy is not None:
                    setattr(self, name, replace(policy, own=own_paths(policy.files, home)))

    _profile: str | None = None

    def _judge(self, marks: Marks, profile: str | None) -> Policy:
        if self._start is None:
            return self._read(marks, profile)
        if marks != self._marks and not self._is_still(marks):
            return self._last()
        if marks != self._marks or profile != self._profile:
            return self._read(marks, profile)
        return self._last()

    def _last(self) -> Policy:
        if self._error is not None:
            raise self._error
        assert self._policy is not None
        return self._policy

    def _is_still(self, marks: Marks) -> bool:
        now = self._steady()
        if marks != self._seen[0]:
            self._seen = (marks, now)
        changed = max((max(mark[0], mark[1]) / 1e9 for mark in marks if mark is not None), default=0.0)
        all_there = all(mark is not None for mark in marks)
        return (all_there and self._wall() - changed >= STILL) or now - self._seen[1] >= STILL

    def _read(self, marks: Marks, profile: str | None) -> Policy:
        from .loading import bounded, load

        try:
            policy = load(self.path, profile, self._home)
        except PolicyError as error:
            self._marks, self._profile = marks, profile
            self._error = error
            raise
        if self._start is None:
            self._start = policy
        else:
            sections, widened = narrowed(self._start.sections, policy.sections)
            if widened:
                policy = bounded(policy, sections, widened)
        self._files = policy.files
        self._marks = tuple(mark for _, mark in policy.marks)
        self._profile = profile
        self._error = None
        self._policy = policy
        return policy
