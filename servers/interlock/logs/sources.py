"""The policy's log sources as objects: files here; journald, Docker and Kubernetes as streams that the broker starts.

Only names of the policy lead anywhere: no argument of an agent becomes a path, a unit, a label or a pod's name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.globs import Matcher, compile_globs
from interlock.guard.errors import Broken, Failed
from interlock.paths import Roots

from .actions import Section, SourceSettings
from .blocks import Budget
from .parts import FileSource, Part, fixed_folder
from .windows import Source

if TYPE_CHECKING:
    from interlock.guard.policy import Policy

MAX_STREAM: Final = 2 << 30  # bytes read of one stream
JOURNALCTL: Final = "journalctl"
DOCKER: Final = "docker-logs"
KUBECTL: Final = "kubectl-logs"


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


def open_sources(policy: Policy, broker: Any) -> Sources:
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
        else:
            found[name] = StreamSource(name, one, broker)
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


class StreamSource:
    """One stream per unit, container or pod, read from its start at each call."""

    def __init__(self, name: str, settings: SourceSettings, broker: Any) -> None:
        self.name = name
        self._settings = settings
        self._broker = broker
        self.kind = next(kind for kind in ("journald", "docker", "kubernetes") if getattr(settings, kind) is not None)

    @property
    def about(self) -> str:
        one = self._settings
        if one.journald is not None:
            return f"unit {one.journald.unit}"
        if one.docker is not None:
            return f"containers {one.docker.label or one.docker.name}"
        assert one.kubernetes is not None
        where = one.kubernetes
        return f"pods of {where.context}/{where.namespace}" + (f" {where.workload}" if where.workload else "")

    def parts(self, budget: Budget) -> list[Part]:
        one = self._settings
        if one.journald is not None:
            return [self._stream(JOURNALCTL, ["--unit", one.journald.unit], one.journald.unit)]
        program, common = (DOCKER, self._docker()) if one.docker is not None else (KUBECTL, self._kubernetes())
        return [self._stream(program, ["read", *common, name], name) for name in self._names(program, common, budget)]

    def _docker(self) -> list[str]:
        docker = self._settings.docker
        assert docker is not None
        return ["--label", docker.label] if docker.label is not None else ["--name", docker.name or ""]

    def _kubernetes(self) -> list[str]:
        where = self._settings.kubernetes
        assert where is not None
        return ["--context", where.context, "--namespace", where.namespace, "--workload", where.workload or ""]

    def _names(self, program: str, common: list[str], budget: Budget) -> list[str]:
        """Containers or pods that the source stands for now."""
        self._there(program)
        ended = self._broker.run(program, ["list", *common], timeout=15, max_output=200_000, stop=budget.cancelled)
        if ended.code != 0:
            raise Failed(f"the {self.kind} source cannot be listed: {_said(ended.stderr)}")
        names = [line for line in ended.stdout.decode("utf-8", "replace").split("\n") if line]
        if len(names) > 100:
            budget.note(f"{len(names)} streams; the first 100 are read")
        return names[:100]

    def _stream(self, program: str, argv: list[str], name: str) -> Part:
        def reads(budget: Budget) -> Callable[[int], bytes]:
            self._there(program)
            process = self._broker.start(program, argv, timeout=max(1.0, budget.seconds), stop=budget.cancelled)
            left = MAX_STREAM

            def read(count: int) -> bytes:
                nonlocal left
                data: bytes = process.read(count) if left > 0 else b""
                left -= len(data)
                if not data:
                    code = process.wait() if left > 0 else 0
                    if code not in (0, -9):
                        budget.note(f"{name}: {_said(process.stderr)}")
                    process.close()
                return data

            return read

        return Part(name, _identity(name), time.time(), None, streamer=reads, series=name)

    def _there(self, program: str) -> None:
        if self._broker is None or program not in self._broker.programs:
            raise Failed(
                f"{self.kind} sources cannot be read here: {program} is not installed or was not there at the start",
                hint="a person can install it and restart the server",
            )


def _identity(name: str) -> str:
    import hashlib

    return hashlib.blake2s(name.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _said(stderr: bytes) -> str:
    """A program's last word, short; the exit redacts it."""
    from interlock.untrusted import one_line

    text = stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    return one_line(text, 160) or "it ended without a word"


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


__all__ = ["DOCKER", "JOURNALCTL", "KUBECTL", "Broken", "Sources", "StreamSource", "folders", "known", "open_sources"]
