"""What the policy sees of logs: the table of actions and the policy's `logs` section. Pure; light to import."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from interlock.guard.model import Kind, Risk, UndoClass, Verb
from interlock.guard.policy.types import NameGlob, Place, PolicyModel, Text, place_glob

_COMMON: Final = {"source": Kind.TEXT, "inside": Kind.FLAG}

VERBS: Final = (
    Verb("logs.read", False, Risk.LOW, UndoClass.FULL, _COMMON),
    Verb("logs.analyze", False, Risk.LOW, UndoClass.FULL, {**_COMMON, "program": Kind.TEXT}),
)


class Journald(PolicyModel):
    """Entries of the systemd journal."""

    unit: NameGlob = Field(description="Unit by name or glob, e.g. nginx.service.")
    directory: Place | None = Field(
        default=None, description="Where the journal's files lie, e.g. /var/log/journal/remote; absent: this machine's."
    )


class Docker(PolicyModel):
    """Output of Docker containers, by label or by name."""

    label: Text | None = Field(default=None, description="Label that the containers carry, e.g. app=web.")
    name: NameGlob | None = Field(default=None, description="Container name or glob.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.label is None) == (self.name is None):
            raise ValueError("give either `label` or `name`")
        return self


class Kubernetes(PolicyModel):
    """Output of pods, within the bounds of the `kubectl` section."""

    context: Text = Field(description="A context of the `kubectl` section.")
    namespace: Text = Field(description="A namespace that the context allows.")
    workload: NameGlob | None = Field(
        default=None, description="kind/name, e.g. deployments/web; absent: every pod of the namespace."
    )


def _as_written(value: Any) -> str:
    """Checked as every glob over places, but with its links left: whoever can place a link in a source's folder
    must not choose what is read, so `sources` refuses a folder that leads through one. Raises ValueError."""
    place_glob(value)
    text: str = os.path.expanduser(value)  # noqa: PTH111 (a glob, not a path)
    return os.path.normpath(text)


LogGlob = Annotated[
    str,
    BeforeValidator(_as_written),
    WithJsonSchema({"type": "string", "pattern": "^(~$|~/|/)", "examples": ["~/work/*", "/var/log/app/*.log*"]}),
]


class SourceSettings(PolicyModel):
    """One log source: exactly one of path, journald, docker, kubernetes."""

    path: LogGlob | None = Field(default=None, description="Files by path or glob, e.g. /var/log/app/*.log*.")
    journald: Journald | None = Field(default=None, description="Entries of a systemd unit.")
    docker: Docker | None = Field(default=None, description="Output of Docker containers.")
    kubernetes: Kubernetes | None = Field(default=None, description="Output of Kubernetes pods.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [n for n in ("path", "journald", "docker", "kubernetes") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("a source has exactly one of path, journald, docker, kubernetes")
        return self


class Section(PolicyModel):
    """Which log sources the logs server reads, and with which programs it may analyse them."""

    sources: Annotated[dict[str, SourceSettings], Field(min_length=1)] = Field(
        description="Sources by the name that the agent uses."
    )
    analyze: tuple[NameGlob, ...] = Field(
        default=("grep", "sort", "uniq", "cut", "tr", "awk", "jq", "head", "tail", "wc"),
        description="Programs that analyze_logs may run in the sandbox. None: analyze_logs refuses.",
    )
