"""What the model sees of each tool's arguments. Every description is paid for in every conversation: few words."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PathText = Annotated[str, Field(min_length=1, max_length=16384)]
MAX_CONTENT = 8 * 1024**2  # characters of one write


class Arguments(BaseModel):
    """Strict types, no unknown keys: what is not understood is refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Change(Arguments):
    reason: str = Field(default="", max_length=2000, description="why, for people")


class ReadFile(Arguments):
    path: PathText
    offset: int | None = Field(default=None, ge=1, le=10**12, description="first line, from 1")
    limit: int | None = Field(default=None, ge=1, le=100_000, description="lines at most")
    tail: int | None = Field(default=None, ge=1, le=100_000, description="last lines instead")


class ListDirectory(Arguments):
    path: PathText
    limit: int = Field(default=200, ge=1, le=2000)
    after: str | None = Field(default=None, max_length=4096, description="go on after this name")


class SearchFiles(Arguments):
    path: PathText = Field(description="folder or file")
    pattern: str = Field(default="", max_length=2000, description="regex over lines (RE2); empty: list files by glob")
    glob: str = Field(default="", max_length=500, description="names, e.g. *.py or src/**/*.ts")
    literal: bool = False
    ignore_case: bool = False
    context: int = Field(default=0, ge=0, le=10, description="lines around")
    limit: int = Field(default=100, ge=1, le=1000)
    ignored: bool = Field(default=False, description="also git-ignored files")


class FileInfo(Arguments):
    path: PathText


class WriteFile(Change):
    path: PathText
    content: str = Field(max_length=MAX_CONTENT)
    expected: str = Field(default="", max_length=64, description="digest from read_file; refuse if changed since")


class Edit(Arguments):
    old: str = Field(min_length=1, max_length=MAX_CONTENT, description="exact text, as read_file shows it")
    new: str = Field(max_length=MAX_CONTENT)
    replace_all: bool = False


class EditFile(Change):
    path: PathText
    edits: list[Edit] = Field(min_length=1, max_length=100)
    dry_run: bool = False
    expected: str = Field(default="", max_length=64, description="digest, as for write_file")


class MoveFile(Change):
    source: PathText
    destination: PathText


class DeleteFile(Change):
    path: PathText


class CleanUpArguments(Change):
    name: str = Field(max_length=100, description="of a clean-up in the policy")
    dry_run: bool = False
