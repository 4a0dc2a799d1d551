"""What the model sees of each tool's arguments. Every character is paid for in every conversation.

Bounds are checked here too, but kept out of the schemas: a model learns them from the refusal, if it ever needs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from interlock.schemas import at_most, between

MAX_CONTENT: Final = 8 * 1024**2  # characters of one write


def _items(most: int) -> Callable[[list[Any]], list[Any]]:
    def check(items: list[Any]) -> list[Any]:
        if not 1 <= len(items) <= most:
            raise ValueError(f"from 1 to {most} of them")
        return items

    return check


Path = Annotated[str, at_most(16384)]
Lines = Annotated[int, between(1, 100_000)]
Content = Annotated[str, at_most(MAX_CONTENT)]
Digest = Annotated[str, at_most(64)]


class Arguments(BaseModel):
    """Strict types, no unknown keys: what is not understood is refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Change(Arguments):
    reason: Annotated[str, at_most(2000)] = Field(default="", description="why, for people")


class ReadFile(Arguments):
    path: Path
    offset: Annotated[int, between(1, 10**12)] | None = Field(default=None, description="first line, from 1")
    limit: Lines | None = Field(default=None, description="lines at most")
    tail: Lines | None = Field(default=None, description="last lines instead")


class ListDirectory(Arguments):
    path: Path
    limit: Annotated[int, between(1, 2000)] = 200
    after: Annotated[str, at_most(4096)] | None = Field(default=None, description="go on after this name")


class SearchFiles(Arguments):
    path: Path = Field(description="folder or file")
    pattern: Annotated[str, at_most(2000)] = Field(
        default="", description="regex over lines (RE2); empty: list files by glob"
    )
    glob: Annotated[str, at_most(500)] = Field(default="", description="names, e.g. *.py or src/**/*.ts")
    literal: bool = False
    ignore_case: bool = False
    context: Annotated[int, between(0, 10)] = Field(default=0, description="lines around")
    limit: Annotated[int, between(1, 1000)] = 100
    ignored: bool = Field(default=False, description="also git-ignored files")

    @model_validator(mode="after")
    def _glob_below_the_path(self) -> Self:
        """A glob is relative to `path`; `./*.py`, and one that repeats the path, are meant so too."""
        glob = self.glob.removeprefix(f"{self.path.rstrip('/')}/")
        while glob.startswith("./"):
            glob = glob[2:]
        if glob != self.glob:
            self.glob = glob
        return self


class FileInfo(Arguments):
    path: Path


class WriteFile(Change):
    path: Path
    content: Content
    expected: Digest = Field(default="", description="digest from read_file; refuse if changed since")


class Edit(Arguments):
    old: Content = Field(min_length=1, description="exact text, as read_file shows it")
    new: Content
    replace_all: bool = False


class EditFile(Change):
    path: Path
    edits: Annotated[list[Edit], AfterValidator(_items(100))]
    dry_run: bool = False
    expected: Digest = Field(default="", description="digest, as for write_file")


class MoveFile(Change):
    source: Path
    destination: Path


class DeleteFile(Change):
    path: Path


class CleanUpArguments(Change):
    name: Annotated[str, at_most(100)] = Field(description="of a clean-up in the policy")
    dry_run: bool = False
