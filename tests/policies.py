"""A place for policies: a home and configuration of their own, and a file that is written and loaded."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from interlock.guard.policy.loading import Policy, PolicyError, Problem, load


class Place:
    """Everything lies under `folder`, which is also the account's home folder for the test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.config = folder / ".config" / "interlock"
        self.path = self.config / "policy.yaml"
        for made in (self.work, self.config):
            made.mkdir(parents=True, mode=0o700)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setattr("interlock.guard.policy.places.user_home", lambda: folder)
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "INTERLOCK_POLICY", "INTERLOCK_HOME"):
            monkeypatch.delenv(name, raising=False)

    def write(self, text: str, path: Path | None = None) -> Path:
        path = path or self.path
        path.write_text(textwrap.dedent(text), "utf-8")
        path.chmod(0o600)
        return path

    def load(self, text: str, **more: object) -> Policy:
        return load(self.write(text), **more)  # type: ignore[arg-type]

    def usual(self, more: str = "", profile: str = "development") -> Policy:
        """One write root `~/work`, and `more` at the end."""
        return self.load(self.usual_text(more, profile))

    def usual_text(self, more: str = "", profile: str = "development") -> str:
        head = f"version: 1\nextends: {profile}\nfiles:\n  roots: [{{path: ~/work, access: write}}]\n"
        return head + textwrap.dedent(more)

    def problems(self, text: str) -> tuple[Problem, ...]:
        """What is wrong with a policy; fails where nothing is."""
        with pytest.raises(PolicyError) as caught:
            self.load(text)
        return caught.value.errors

    def problem(self, text: str) -> Problem:
        (one,) = self.problems(text)
        return one
