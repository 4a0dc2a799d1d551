"""What the policy sees of logs: the table of actions and the policy's `logs` section. Pure; light to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from interlock.guard.model import Kind, Risk, UndoClass, Verb
from interlock.guard.policy.types import NameGlob, Place, PolicyModel, Text, place_glob

if TYPE_CHECKING:
    from interlock.sandbox.settings import Settings

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


class Sandbox(PolicyModel):
    """What analyze_logs runs its programs in. Where that is not there, analyze_logs is off: nothing else is tried."""

    engine: Literal["bubblewrap", "docker"] = Field(
        default="bubblewrap", description="docker needs `interlock sandbox build --docker`."
    )
    runtime: Text | None = Field(
        default=None, description="A runtime that Docker's daemon has, such as runsc (gVisor) or kata; docker only."
    )
    image: Text | None = Field(
        default=None, description="An image built from `interlock sandbox build --context`'s Dockerfile; docker only."
    )

    @model_validator(mode="after")
    def _of_docker(self) -> Self:
        if self.engine != "docker" and (self.runtime or self.image):
            raise ValueError("`runtime` and `image` are Docker's: set `engine: docker`")
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
    sandbox: Sandbox = Field(default_factory=Sandbox, description="The sandbox's engine.")

    def sandbox_settings(self, home: Path) -> Settings:
        """For the engine of this policy; the image lies where `interlock sandbox build` put it."""
        from interlock.sandbox.image import folder
        from interlock.sandbox.settings import Settings

        chosen = self.sandbox
        return Settings(
            tools=self.analyze,
            folder=folder(home),
            engine=chosen.engine,
            runtime=chosen.runtime or "",
            docker_image=chosen.image or "",
        )
