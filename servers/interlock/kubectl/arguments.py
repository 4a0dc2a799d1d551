"""What the model sees of each tool's arguments. Every character is paid for in every conversation."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from interlock.schemas import at_most, between


def _words(words: list[str]) -> list[str]:
    if not 1 <= len(words) <= 100 or any(not 1 <= len(word) <= 4000 or "\0" in word for word in words):
        raise ValueError("from 1 to 100 words")
    return words


COLUMNS: Final = "custom-columns="
Word = Annotated[str, at_most(600)]
Text = Annotated[str, at_most(1_000_000)]
Limit = Annotated[int, between(1, 1000)]


class Arguments(BaseModel):
    """Strict types, no unknown keys: what is not understood is refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)
    namespace: Word = ""
    context: Word = ""


class Change(Arguments):
    reason: Annotated[str, at_most(2000)] = ""


class Previewed(Change):
    dry_run: bool = False


class Get(Arguments):
    kind: Word = Field(description="deploy,svc")
    name: Word = ""
    selector: Word = ""
    field_selector: Word = ""
    output: Literal["table", "wide", "yaml", "json", "name", "explain"] = "table"
    path: Annotated[str, at_most(1000)] = Field(default="", description=".status.phase")
    sort_by: Word = ""
    limit: Limit = 100
    cursor: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _as_typed(cls, given: Any) -> Any:
        """`output: jsonpath={.x}` and `custom-columns=A:.x`, as one types them for kubectl, are paths."""
        output = given.get("output") if isinstance(given, dict) else None
        if not isinstance(output, str) or given.get("path") or not output.startswith(("jsonpath=", COLUMNS)):
            return given
        return {**given, "output": "table", "path": output.removeprefix("jsonpath=").strip("'")}


class Describe(Arguments):
    kind: Word
    name: Word


class Logs(Arguments):
    pod: Word = Field(description="or deploy/NAME")
    container: Word = ""
    tail: Annotated[int, between(1, 5000)] = 200
    since: Word = Field(default="", description="15m")
    previous: bool = False
    contains: Word = ""


class Events(Arguments):
    about: Word = Field(default="", description="kind/name")
    warnings: bool = False


class Top(Arguments):
    kind: Literal["pods", "nodes"] = "pods"


class RolloutStatus(Arguments):
    kind: Word
    name: Word
    wait: Annotated[int, between(0, 600)] = 60


class Diff(Arguments):
    manifest: Text = ""
    path: Word = Field(default="", description="file or folder")


class Apply(Previewed):
    manifest: Text = ""
    path: Word = Field(default="", description="file")


class Scale(Change):
    kind: Word
    name: Word
    replicas: Annotated[int, between(0, 1_000_000)]


class SetImage(Change):
    kind: Word
    name: Word
    images: dict[str, str] = Field(description="container: image")


class Rollout(Change):
    kind: Word
    name: Word
    action: Literal["restart", "undo", "pause", "resume"]
    revision: Annotated[int, between(1, 10**9)] | None = None


class Patch(Previewed):
    kind: Word
    name: Word
    patch: Annotated[dict[str, Any] | list[dict[str, Any]], WithJsonSchema({"type": ["object", "array"]})]
    type: Literal["strategic", "merge", "json"] = "strategic"


class Delete(Previewed):
    kind: Word
    name: Word = ""
    selector: Word = ""


class Cordon(Change):
    node: Word
    on: bool = True


class Drain(Previewed):
    node: Word


class Exec(Change):
    pod: Word
    container: Word = ""
    command: Annotated[list[str], AfterValidator(_words)] = Field(description="argv")
