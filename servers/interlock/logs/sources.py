"""The policy's log sources as objects: files, and what the broker prints for journald, Docker and Kubernetes.

Only names of the policy lead anywhere: no argument of an agent becomes a path, a unit, a label or a pod's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.globs import Matcher, compile_globs
from interlock.paths import Roots

from .actions import Section
from .parts import FileSource, fixed_folder
from .pods import PodsSource, clusters_of
from .streams import DockerSource, JournalSource
from .windows import Source

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy
    from interlock.kubeconfig import Kubeconfig


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of one policy. Holds the roots' descriptors."""

    by_name: Mapping[str, Source]
    roots: Roots
    readable: Matcher

    @property
    def stale(self) -> bool:
        """Was a folder missing when they were opened, or has one been replaced since? Then open them anew."""
        return bool(self.roots.absent) or any(os.fstat(root.fd).st_nlink == 0 for root in self.roots.roots)


def open_sources(policy: Policy, broker: Any, facts: Kubeconfig | None = None) -> Sources:
    """Build them; opens the folders of file sources, nothing else."""
    section = policy.section(Section)
    settings = dict(section.sources) if section is not None else {}
    patterns = {name: os.fspath(one.path) for name, one in settings.items() if one.path is not None}
    real = {name: _real(pattern) for name, pattern in patterns.items()}
    straight = {pattern for pattern in real.values() if not leads_through_link(fixed_folder(pattern))}
    roots = Roots([(folder, False) for folder in sorted({fixed_folder(pattern) for pattern in straight})])
    readable = compile_globs(sorted(straight))
    found: dict[str, Source] = {}
    for name, one in settings.items():
        if name in real:
            found[name] = FileSource(name, real[name], roots, readable, linked=real[name] not in straight)
        elif one.journald is not None:
            found[name] = JournalSource(name, one.journald, broker)
        elif one.docker is not None:
            found[name] = DockerSource(name, one.docker, broker)
        elif one.kubernetes is not None:
            found[name] = PodsSource(name, one.kubernetes, broker, clusters_of(policy, facts))
    return Sources(found, roots, readable)


def _real(pattern: str) -> str:
    """The glob with the first name of its path resolved where the system links it (`/var` on macOS).

    Any further link in the fixed folder would let whoever can place a link there choose what is read: such a
    source has no files until the policy names the real folder.
    """
    pattern = os.path.expanduser(pattern)  # noqa: PTH111 (a glob, not a path)
    first, slash, rest = pattern.lstrip("/").partition("/")
    return os.path.realpath(f"/{first}") + slash + rest if slash and not _special(first) else pattern


def _special(name: str) -> bool:
    return any(char in name for char in "*?[{\\")


def leads_through_link(folder: str) -> bool:
    """Is the folder, or one above it, a link?"""
    return os.path.realpath(folder) != folder.rstrip("/") and os.path.lexists(folder)


def folders(policy: Policy) -> list[Path]:
    """What the confined process must be able to read."""
    section = policy.section(Section)
    if section is None:
        return []
    found = {fixed_folder(_real(os.fspath(one.path))) for one in section.sources.values() if one.path is not None}
    return [Path(folder) for folder in sorted(found) if not leads_through_link(folder)]


def known(sources: Sources, name: str) -> Source | None:
    """A source by its exact name."""
    return sources.by_name.get(name)
