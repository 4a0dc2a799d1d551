"""Pods of a workload or a namespace as one log, by the times that their runtimes wrote.

kubectl prints them, within the bounds of the policy's `kubectl` section; nothing here reaches further than it.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from interlock import kubeconfig
from interlock.cluster_program import KUBECTL, cache_folder
from interlock.globs import compile_globs
from interlock.guard.errors import Code, Failed, Refused

from .actions import Kubernetes, Section
from .blocks import Budget
from .joining import Joined, Stream, as_they_come, by_time, stamped
from .parts import Part, Wanted
from .streams import MAX_STREAM, StreamSource, last_word

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

MAX_MERGED: Final = 24  # pods read at once
_PATIENCE: Final = "--request-timeout=15s"
_KUBECTLS: Final = ("error: ", "Error ", "Unable to connect", "The connection to the server")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,252}")
_KINDS: Final = frozenset(("deployments", "statefulsets", "daemonsets", "replicasets", "jobs"))


@dataclass(frozen=True, slots=True)
class Clusters:
    """What the policy's `kubectl` section allows of pods, and how its contexts are reached."""

    section: Any  # of any type to us; None where the policy has none
    facts: kubeconfig.Kubeconfig | None  # read once, before the process was confined

    def options(self, context: str, namespace: str) -> list[str]:
        """What every request carries. Raises Refused outside of the bounds, Broken where the context cannot be used."""
        if self.facts is None or not self._hold(context, namespace):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy's kubectl section does not allow pods in this source's context and namespace",
                hint="a person adds them there",
            )
        options = self.facts.options(self.section, context)
        return [*options, f"--namespace={namespace}", f"--cache-dir={cache_folder()}"]

    def _hold(self, context: str, namespace: str) -> bool:
        place = getattr(self.section, "contexts", {}).get(context)
        if place is None or not compile_globs(self.section.kinds).matches("pods"):
            return False
        return compile_globs(place.namespaces).matches(namespace)


def clusters_of(policy: Policy, facts: kubeconfig.Kubeconfig | None) -> Clusters:
    """From the policy's own `kubectl` section, by its field names: the logs server knows no other server."""
    return Clusters(policy.sections.get("kubectl"), facts)


def facts_of(policy: Policy) -> kubeconfig.Kubeconfig | None:
    """The kubeconfig of the policy, where one of its sources needs it. To be read before the process is confined."""
    section: Any = policy.sections.get("kubectl")
    return kubeconfig.read(section) if section is not None and has_pods(policy) else None


def has_pods(policy: Policy) -> bool:
    section = policy.section(Section)
    return section is not None and any(one.kubernetes is not None for one in section.sources.values())


class PodsSource(StreamSource):
    """All pods of a namespace, or all replicas of one workload."""

    kind = "kubernetes"

    def __init__(self, name: str, settings: Kubernetes, broker: Any, clusters: Clusters) -> None:
        where = f"{settings.context}/{settings.namespace}"
        super().__init__(name, f"pods of {where}" + (f" {settings.workload}" if settings.workload else ""), broker)
        self._where = settings
        self._clusters = clusters

    def parts(self, budget: Budget) -> list[Part]:
        where = self._where
        common = self._clusters.options(where.context, where.namespace)
        names = self._names(common, budget)
        if len(names) > MAX_MERGED:
            budget.note(f"{len(names)} pods; the {MAX_MERGED} made last are read")
            names = names[:MAX_MERGED]
        if not names:
            return []

        def stream(limits: Budget, wanted: Wanted) -> Stream:
            argv = ["logs", *common, "--all-containers", "--timestamps", f"--limit-bytes={MAX_STREAM}"]
            if wanted.since is not None:
                since = datetime.fromtimestamp(math.floor(wanted.since), UTC)
                argv.append(f"--since-time={since:%Y-%m-%dT%H:%M:%SZ}")
            argv += [f"--tail={wanted.last}"] if wanted.last is not None and wanted.until is None else []
            argv += ["--follow", "--max-log-requests=50"] if wanted.follow else []
            started: list[Stream] = []
            try:
                for name in names:
                    started.append(self._start(KUBECTL, [*argv, "--", name], name, limits))
            except BaseException:
                _close(started)
                raise
            each = [stamped(name, one) for name, one in zip(names, started, strict=True)]
            if wanted.follow:  # each is closed by the thread that reads it, once the budget is spent
                return Joined(as_they_come(each), lambda: None, eager=True)
            return Joined(by_time(each), lambda: _close(started))

        return [self._part(names[0] if len(names) == 1 else f"{len(names)} pods", stream)]

    def _said(self, stderr: bytes) -> str:
        lines = stderr.decode("utf-8", "replace").splitlines()
        if self._clusters.facts is not None and self._clusters.facts.plugins:  # what plugins say is not for the agent
            lines = [line for line in lines if line.startswith(_KUBECTLS)]
        return last_word(lines)

    def _names(self, common: list[str], budget: Budget) -> list[str]:
        """The pods, those made last first."""
        selector: list[str] = []
        if self._where.workload:
            kind, _, name = self._where.workload.partition("/")
            if kind not in _KINDS or not _NAME.fullmatch(name):
                raise Refused(
                    Code.INVALID, "a workload is kind/name, such as deployments/web", hint="a person mends it"
                )
            labels = _selector(
                json.loads(self._run(KUBECTL, ["get", *common, _PATIENCE, "--output=json", kind, name], budget))
            )
            selector = ["--selector=" + ",".join(f"{key}={value}" for key, value in sorted(labels.items()))]
        listed = self._run(
            KUBECTL,
            ["get", *common, _PATIENCE, "--output=name", "--sort-by=.metadata.creationTimestamp", *selector, "pods"],
            budget,
        )
        names = [line.removeprefix("pod/") for line in listed.split("\n") if line.startswith("pod/")]
        return [name for name in reversed(names) if _NAME.fullmatch(name)]


def _selector(workload: Any) -> dict[str, str]:
    labels = (workload.get("spec", {}).get("selector") or {}).get("matchLabels") if isinstance(workload, dict) else None
    if not isinstance(labels, dict) or not labels:
        raise Failed("this workload selects its pods by no labels")
    return {str(key): str(value) for key, value in labels.items()}


def _close(streams: list[Stream]) -> None:
    for one in streams:
        with contextlib.suppress(OSError):
            one.close()
