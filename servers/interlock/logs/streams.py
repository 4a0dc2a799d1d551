"""Sources that are no files: units of the journal, containers, pods. The broker starts a program that prints them.

All containers of a label and all pods of a workload are one log, merged by the times that their runtimes wrote.
No argument of an agent reaches a program's command line. For Kubernetes the policy's `kubectl` section is the bound.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.globs import compile_globs
from interlock.guard.errors import Code, Failed, Refused
from interlock.sandbox.children import Program
from interlock.untrusted import one_line

from .actions import Section, SourceSettings
from .blocks import LINE_CAP, Budget
from .parts import Part

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

MAX_STREAM: Final = 2 << 30  # bytes read of one stream
MAX_MERGED: Final = 24  # containers or pods read at once
JOURNALCTL: Final = "journalctl"
DOCKER: Final = "docker-logs"
KUBECTL: Final = "kubectl-logs"
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,252}")
_KINDS: Final = frozenset(("deployments", "statefulsets", "daemonsets", "replicasets", "jobs"))

Read = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class ClusterBounds:
    """What the policy's `kubectl` section allows, and where its kubeconfig is. Empty without such a section."""

    kubeconfig: Path
    namespaces: Mapping[str, tuple[str, ...]]  # by context

    def allow(self, context: str, namespace: str) -> bool:
        return context in self.namespaces and compile_globs(self.namespaces[context]).matches(namespace)


def bounds_of(policy: Policy) -> ClusterBounds:
    """From the policy's own `kubectl` section, by its field names: the logs server knows no other server."""
    section: Any = getattr(policy, "sections", {}).get("kubectl")
    contexts = getattr(section, "contexts", {})
    path = getattr(section, "kubeconfig", None) or Path.home() / ".kube" / "config"
    return ClusterBounds(Path(path), {name: tuple(one.namespaces) for name, one in contexts.items()})


class StreamSource:
    """One log of the policy that programs print. Read from its start at each call."""

    def __init__(self, name: str, settings: SourceSettings, broker: Any, bounds: ClusterBounds) -> None:
        self.name = name
        self._settings = settings
        self._broker = broker
        self._bounds = bounds
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
        """One part: the unit, or all its containers or pods merged. Raises Refused and Failed."""
        one = self._settings
        if one.journald is not None:
            argv = ["--unit", one.journald.unit]
            return [self._part(one.journald.unit, lambda limits: self._stream(JOURNALCTL, argv, "journal", limits))]
        names, command = self._docker(budget) if one.docker is not None else self._pods(budget)
        if len(names) > MAX_MERGED:
            budget.note(f"{len(names)} streams; the first {MAX_MERGED} are read")
            names = names[:MAX_MERGED]
        if not names:
            return []
        program = DOCKER if one.docker is not None else KUBECTL

        def merged(limits: Budget) -> Read:
            return merge([(name, self._stream(program, command(name), name, limits)) for name in names])

        return [self._part(names[0] if len(names) == 1 else f"{len(names)} streams merged", merged)]

    def _part(self, name: str, streamer: Callable[[Budget], Read]) -> Part:
        identity = hashlib.blake2s(f"{self.name} {self.about}".encode("utf-8", "replace"), digest_size=6).hexdigest()
        return Part(name, identity, time.time(), None, streamer=streamer, series=name)

    def _docker(self, budget: Budget) -> tuple[list[str], Callable[[str], list[str]]]:
        docker = self._settings.docker
        assert docker is not None
        common = ["--label", docker.label] if docker.label is not None else ["--name", docker.name or ""]
        out = self._run(DOCKER, ["list", *common], budget)
        return [line for line in out.split("\n") if line], lambda name: ["read", *common, name]

    def _pods(self, budget: Budget) -> tuple[list[str], Callable[[str], list[str]]]:
        where = self._settings.kubernetes
        assert where is not None
        if not self._bounds.allow(where.context, where.namespace):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy's kubectl section does not allow this source's context and namespace",
                hint="a person adds them there",
            )
        common = [f"--context={where.context}", f"--namespace={where.namespace}"]
        selector: list[str] = []
        if where.workload:
            kind, _, name = where.workload.partition("/")
            if kind not in _KINDS or not _NAME.fullmatch(name):
                raise Refused(
                    Code.INVALID, "a workload is kind/name, such as deployments/web", hint="a person mends it"
                )
            labels = self._selector(
                json.loads(self._run(KUBECTL, ["get", *common, "--output=json", kind, name], budget))
            )
            selector = ["--selector=" + ",".join(f"{key}={value}" for key, value in sorted(labels.items()))]
        out = self._run(KUBECTL, ["get", *common, "--output=name", *selector, "pods"], budget)
        names = [line.removeprefix("pod/") for line in out.split("\n") if line.startswith("pod/")]
        logs = ["logs", *common, "--all-containers", "--timestamps", f"--limit-bytes={MAX_STREAM}", "--"]
        return sorted(name for name in names if _NAME.fullmatch(name)), lambda name: [*logs, name]

    @staticmethod
    def _selector(workload: Any) -> dict[str, str]:
        labels = (
            (workload.get("spec", {}).get("selector") or {}).get("matchLabels") if isinstance(workload, dict) else None
        )
        if not isinstance(labels, dict) or not labels:
            raise Failed("this workload selects its pods by no labels")
        return {str(key): str(value) for key, value in labels.items()}

    def _run(self, program: str, argv: Sequence[str], budget: Budget) -> str:
        self._there(program)
        ended = self._broker.run(program, argv, timeout=15, max_output=2_000_000, stop=budget.cancelled)
        if ended.code != 0:
            raise Failed(f"the {self.kind} source cannot be listed: {_said(ended.stderr)}")
        text: str = ended.stdout.decode("utf-8", "replace")
        return text

    def _stream(self, program: str, argv: Sequence[str], name: str, budget: Budget) -> Read:
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

    def _there(self, program: str) -> None:
        if self._broker is None or program not in self._broker.programs:
            raise Failed(
                f"{self.kind} sources cannot be read here: {program} is not installed or was not there at the start",
                hint="a person can install it and restart the server",
            )


def merge(streams: Sequence[tuple[str, Read]]) -> Read:
    """One stream of `TIME NAME| message` lines, by time, of several whose lines begin with their time."""
    lines = heapq.merge(*(_lines(name, read) for name, read in streams))
    rest = b""

    def read(count: int) -> bytes:
        nonlocal rest
        out = [rest]
        size = len(rest)
        while size < count:
            line = next(lines, None)
            if line is None:
                break
            out.append(line[2])
            size += len(line[2])
        data = b"".join(out)
        rest = data[count:]
        return data[:count]

    return read


def _lines(name: str, read: Read) -> Iterator[tuple[bytes, str, bytes]]:
    """(time, name, line with its LF). A line without a time goes with the one above it."""
    rest, at = b"", b""
    mark = name.encode("utf-8", "replace")
    while True:
        data = read(64 << 10)
        rows = (rest + data).split(b"\n")
        rest = rows.pop()
        if len(rest) > LINE_CAP:
            rest = rest[:LINE_CAP]  # what goes beyond would be cut later anyway
        if not data and rest:
            rows.append(rest)
        for row in rows:
            time_, _, text = row.partition(b" ")
            if time_[4:5] == b"-" and time_[10:11] == b"T":
                at = max(at, time_)
                stream, bar, message = text.partition(b"| ")
                named = text if bar and stream in (b"stdout", b"stderr") else b""
                yield at, name, b"%s %s| %s\n" % (time_, mark, message if named else text)
            else:
                yield at, name, row + b"\n"
        if not data:
            return


def _said(stderr: bytes) -> str:
    """A program's last word, short; the exit redacts it."""
    text = stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    return one_line(text, 160) or "it ended without a word"


def programs(policy: Policy) -> dict[str, Program]:
    """What the policy's streams need, each with its own confinement. What is not installed is left out."""
    section = policy.section(Section)
    kinds = {
        kind
        for one in (section.sources.values() if section is not None else ())
        for kind in ("journald", "docker", "kubernetes")
        if getattr(one, kind) is not None
    }
    found: dict[str, Program] = {}
    journalctl, kubectl = Path("/usr/bin/journalctl"), shutil.which("kubectl")
    if "journald" in kinds and journalctl.is_file():
        found[JOURNALCTL] = Program(
            journalctl,
            arguments=("--no-pager", "--output=json", "--all", "--quiet"),
            read=tuple(Path(place) for place in ("/var/log/journal", "/run/log/journal", "/etc/machine-id")),
            limits={"cpu": 60},
        )
    if "docker" in kinds:
        code = {sys.prefix, sys.base_prefix, os.fspath(Path(__file__).parents[2]), "/run", "/var/run"}
        found[DOCKER] = Program(
            Path(sys.executable),
            arguments=("-m", "interlock.logs.docker_logs"),
            read=tuple(Path(place) for place in sorted(code)),
            unix_sockets=True,
            limits={"cpu": 60},
        )
    if "kubernetes" in kinds and kubectl is not None:
        bounds = bounds_of(policy)
        found[KUBECTL] = Program(
            Path(kubectl).resolve(),
            arguments=(f"--kubeconfig={bounds.kubeconfig}",),
            read=(bounds.kubeconfig,),
            network=True,
            environment={"KUBERC": "off", "KUBECTL_KUBERC": "false"},
            limits={"cpu": 60, "files": 256},
        )
    return found
