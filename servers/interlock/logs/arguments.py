"""What the model sees of each tool's arguments. Every character is paid for in every conversation.

Bounds are checked here but kept out of the schemas: a model learns them from the refusal, if it ever needs to.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from interlock.schemas import at_most, between

Name = Annotated[str, at_most(200)]
When = Annotated[str, at_most(64)]
Cursor = Annotated[str, at_most(80)]
Text = Annotated[str, at_most(1_000)]
Level = Literal["debug", "info", "warn", "error", "fatal"]


class Arguments(BaseModel):
    """Strict types, no unknown keys: what is not understood is refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ListSources(Arguments):
    source: Name | None = Field(default=None, description="its files in full")


class ReadLog(Arguments):
    source: Name
    tail: Annotated[int, between(1, 5_000)] | None = Field(default=None, description="last lines (default: 50)")
    head: Annotated[int, between(1, 5_000)] | None = None
    around: When | None = Field(default=None, description="a time or @cursor: lines on both sides")
    cursor: Cursor | None = Field(default=None, description="go on from here; with tail: lines before it")
    lines: Annotated[int, between(1, 5_000)] = Field(default=50, description="for around, cursor, follow")
    follow: Annotated[int, between(0, 60)] = Field(default=0, description="seconds to wait for new lines")
    level: Level | None = Field(default=None, description="least severity")
    since: When | None = Field(default=None, description="ISO time, 15m, 2h, 12:30")
    until: When | None = None


class SearchLogs(Arguments):
    source: Name
    pattern: Text | None = Field(default=None, description="plain text, or RE2 with regex")
    regex: bool = False
    ignore_case: bool = False
    exclude: Text | None = Field(default=None, description="leave out lines with this")
    level: Level | None = Field(default=None, description="least severity")
    since: When | None = Field(default=None, description="ISO time, 15m, 2h, 12:30")
    until: When | None = None
    context: Annotated[int, between(0, 20)] = 0
    limit: Annotated[int, between(1, 500)] = 50
    last: bool = Field(default=False, description="newest matches")
    count: bool = Field(default=False, description="only count")
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _something(self) -> SearchLogs:
        if self.pattern is None and self.level is None and self.exclude is None:
            raise ValueError("give a pattern or a level")
        return self


class SummarizeLogs(Arguments):
    source: Name
    since: When | None = Field(default=None, description="ISO time, 15m, 2h, 12:30")
    until: When | None = None
    limit: Annotated[int, between(1, 500)] = Field(default=40, description="templates shown")
    cursor: Annotated[int, between(0, 1_000_000)] = Field(default=0, description="templates to skip")
    template: Annotated[str, at_most(12)] | None = Field(default=None, description="#id: its values and examples")


class CompareLogs(Arguments):
    source: Name
    since: When = Field(description="the window's start")
    until: When | None = Field(default=None, description="its end (default: now)")
    baseline_since: When | None = Field(default=None, description="default: three times as long, right before")
    baseline_until: When | None = None
    limit: Annotated[int, between(1, 200)] = 25


class Step(Arguments):
    program: Annotated[str, at_most(100)]
    args: list[Annotated[str, at_most(4_000)]] = Field(default_factory=list)


class AnalyzeLogs(Arguments):
    source: Name
    steps: list[Step] = Field(description="a pipeline; no shell")
    since: When | None = None
    until: When | None = None
