"""What may stand in a policy file, as pydantic models; and what becomes of it, as plain values.

The sections of the servers are in their `actions` modules, rules in `rules`. Defaults are the profiles'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from .types import Place, PolicyModel, Seconds, Size, Text, seconds

AGENT: Final = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$"  # what an agent may be called: people read it in prompts
PLACES: Final[dict[str, frozenset[str]]] = {
    # Keys that name places: they have no default and no profile or extended policy gives them.
    "files": frozenset(["roots", "clean_up"]),
    "git": frozenset(["repositories", "remotes"]),
    "kubectl": frozenset(["kubeconfig", "contexts", "registries"]),
    "logs": frozenset(["sources"]),
}


# ---------------------------------------------------------------- values that the rest of the guard reads


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `max` per `per` seconds; for failures also how long the breaker stays open."""

    max: int
    per: int
    open_for: int = 0

    @property
    def chars(self) -> int:
        return self.max


@dataclass(frozen=True, slots=True)
class Limits:
    """What an agent may do in a time, over all servers. The defaults are for tests; a policy always gives all."""

    calls: Rate = Rate(240, 60)
    changes: Rate = Rate(20, 3600)  # outside this machine: cluster, remote
    local_changes: Rate = Rate(600, 3600)
    repeats: Rate = Rate(3, 600)  # the same effect on the same thing, and A-B-A-B
    failures: Rate = Rate(5, 300, 300)  # permitted changes that failed: the breaker
    output: Rate = Rate(2_000_000, 3600)  # characters
    result_chars: int = 12_000


@dataclass(frozen=True, slots=True)
class ApprovalsSettings:
    """How people are asked. Times in seconds."""

    expires: int = 900
    wait: int = 30
    client_consent: str = "none"  # none | medium | high: up to which risk the client's own prompt is enough
    people: str = "terminal"  # terminal | none: nobody is there, so ask refuses at once


@dataclass(frozen=True, slots=True)
class SnapshotsSettings:
    """How long (seconds) and how much (bytes) of the prior state is kept."""

    keep: int = 30 * 86400
    max_size: int = 10 * 1024**3

    @property
    def share(self) -> int:
        """What one agent, and so one change, may fill. What is larger cannot be kept at all."""
        return self.max_size // 2


# ---------------------------------------------------------------- the file

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _wait(value: Any) -> int:
    return 0 if value == "0s" else seconds(value)


class RateFile(PolicyModel):
    """How many in which time."""

    max: Count = Field(description="How many.")
    per: Seconds = Field(description="In which time, such as 1m or 1h.")


class FailuresFile(PolicyModel):
    """When the breaker opens and for how long."""

    max: Count = Field(description="After how many failed changes of one resource the breaker opens.")
    per: Seconds = Field(description="Within which time, such as 5m.")
    open_for: Seconds = Field(description="How long it stays open, such as 5m.")


class OutputFile(PolicyModel):
    """How much text an agent may be given in which time."""

    chars: Count = Field(description="Characters of all answers together.")
    per: Seconds = Field(description="In which time, such as 1h.")


class LimitsFile(PolicyModel):
    """Limits, counted per agent and OS user over all servers, kept over restarts. Absent ones: the profile's."""

    calls: RateFile = Field(description="Calls of any kind, refused ones too.")
    changes: RateFile = Field(description="Changes outside this machine: cluster, git remotes.")
    local_changes: RateFile = Field(description="Changes on this machine: files, local git.")
    repeats: RateFile = Field(description="The same effect on the same thing, and going back and forth (A-B-A-B).")
    failures: FailuresFile = Field(description="The breaker: permitted changes that failed.")
    output: OutputFile = Field(description="What the agent's context may cost.")
    result_chars: Annotated[int, Field(ge=1000, le=200_000)] = Field(description="Longest single answer, characters.")

    def limits(self) -> Limits:
        def rate(file: RateFile) -> Rate:
            return Rate(file.max, file.per)

        return Limits(
            calls=rate(self.calls),
            changes=rate(self.changes),
            local_changes=rate(self.local_changes),
            repeats=rate(self.repeats),
            failures=Rate(self.failures.max, self.failures.per, self.failures.open_for),
            output=Rate(self.output.chars, self.output.per),
            result_chars=self.result_chars,
        )


class ApprovalsFile(PolicyModel):
    """How people are asked. Absent keys: the profile's."""

    expires: Seconds = Field(description="How long a request waits for a person, such as 15m.")
    wait: Annotated[int, BeforeValidator(_wait, json_schema_input_type=str), Field(ge=0, le=3600)] = Field(
        description="How long a call is held before it returns `approval_required`, such as 30s."
    )
    client_consent: Literal["none", "medium", "high"] = Field(
        description="Up to which risk a yes in the client's own prompt is enough. Critical always needs the terminal."
    )
    people: Literal["terminal", "none"] = Field(
        description="`terminal`: people answer with `interlock approve`. `none`: nobody is there (CI), ask refuses."
    )

    def settings(self) -> ApprovalsSettings:
        return ApprovalsSettings(self.expires, self.wait, self.client_consent, self.people)


class SnapshotsFile(PolicyModel):
    """What is kept for undo. Absent keys: the profile's."""

    keep: Seconds = Field(description="How long, such as 30d.")
    max_size: Size = Field(
        description="How much, such as 10G. When it is full, changes are refused; nothing is dropped."
    )

    def settings(self) -> SnapshotsSettings:
        return SnapshotsSettings(self.keep, self.max_size)


class Head(PolicyModel):
    """The keys of a policy that are neither a section of a server nor rules nor settings with parts."""

    version: Literal[1] = Field(description="Version of the format: 1.")
    extends: Text = Field(
        description="A profile (readonly, development, staging, production, incident), or the ~ or absolute path of "
        "another policy."
    )
    agent: Annotated[str, Field(pattern=AGENT)] = Field(
        default="agent", description="Name of the agent in records and limits; `serve --agent` overrides it."
    )
    contacts: tuple[Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[~/].*)$")], ...] = Field(
        default=(),
        description="Who is told: addresses taken from a variable (env:SLACK_URL) or a file (file:~/path), never "
        "written here.",
    )
    confine: Literal["best-effort", "required"] = Field(
        default="best-effort", description="`required`: do not start where the kernel cannot confine the servers."
    )
    state: Place | None = Field(default=None, description="Where state and records lie, e.g. ~/.local/state/interlock.")


PARTS: Final[dict[str, type[PolicyModel]]] = {
    "limits": LimitsFile,
    "approvals": ApprovalsFile,
    "snapshots": SnapshotsFile,
}
