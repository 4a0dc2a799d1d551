"""The arguments of the git tools, as models send them. Typed; unknown keys are refused. Names are checked by `names`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Short = Annotated[str, Field(max_length=300)]
Paths = Annotated[list[Annotated[str, Field(max_length=4000)]], Field(max_length=1000)]
Reason = Annotated[str, Field(max_length=2000, description="why, for people")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    repository: Annotated[str, Field(max_length=4000)] = ""


class Status(_Arguments):
    show: Literal["files", "branches", "tags", "stashes", "remotes"] = "files"
    offset: Annotated[int, Field(ge=0)] = 0


class Log(_Arguments):
    ref: Short = "HEAD"
    path: Short = ""
    limit: Annotated[int, Field(ge=1)] = 20
    after: Annotated[Short, Field(description="id: continue after it")] = ""
    author: Short = ""
    search: Annotated[Short, Field(description="text in messages")] = ""
    since: Annotated[Short, Field(description="YYYY-MM-DD")] = ""
    until: Short = ""


class Show(_Arguments):
    ref: Annotated[Short, Field(description="commit, tag, or ref:path")] = "HEAD"
    path: Annotated[Short, Field(description="a file or folder at ref")] = ""
    search: Annotated[Short, Field(description="find this text in the files at ref")] = ""
    paths: Annotated[Paths, Field(description="hunks of these only")] = []
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=2000)] = 300


class Diff(_Arguments):
    base: Annotated[Short, Field(description="revision, a..b or a...b; empty: the index")] = ""
    target: Annotated[Short, Field(description="revision; empty: the work tree")] = ""
    staged: bool = False
    paths: Annotated[Paths, Field(description="full hunks of these")] = []
    context: Annotated[int, Field(ge=0, le=20)] = 3
    offset: Annotated[int, Field(ge=0)] = 0


class Blame(_Arguments):
    path: Short
    ref: Short = "HEAD"
    start: Annotated[int, Field(ge=1)] = 1
    end: Annotated[int, Field(ge=0)] = 0


class Commit(_Arguments):
    message: Annotated[str, Field(max_length=20000)] = ""
    paths: Annotated[Paths, Field(description="stage these first")] = []
    all: Annotated[bool, Field(description="stage all tracked changes")] = False
    stage_only: bool = False
    amend: bool = False
    allow_empty: bool = False
    reason: Reason = ""


class Branch(_Arguments):
    action: Literal["create", "delete", "rename"]
    name: Short
    start: Annotated[Short, Field(description="create: from here")] = "HEAD"
    to: Annotated[Short, Field(description="rename: new name")] = ""
    reason: Reason = ""


class Switch(_Arguments):
    ref: Annotated[Short, Field(description="branch, or a revision to detach at")]
    create: bool = False
    reason: Reason = ""


class Merge(_Arguments):
    ref: Short = ""
    ff_only: bool = False
    message: Annotated[str, Field(max_length=20000)] = ""
    keep_conflicts: Annotated[bool, Field(description="write conflicts to the files, to resolve and continue")] = False
    continue_: Annotated[bool, Field(alias="continue")] = False
    abort: bool = False
    reason: Reason = ""


class Revert(_Arguments):
    ref: Short
    mainline: Annotated[int, Field(ge=0, le=9)] = 0
    keep_conflicts: bool = False
    reason: Reason = ""


class Reset(_Arguments):
    ref: Short
    mode: Literal["soft", "mixed", "hard"] = "mixed"
    reason: Reason = ""


class Restore(_Arguments):
    paths: Annotated[Paths, Field(min_length=1)]
    ref: Annotated[Short, Field(description="empty: from the index, or HEAD if staged")] = ""
    staged: Annotated[bool, Field(description="unstage instead of changing files")] = False
    reason: Reason = ""


class Stash(_Arguments):
    action: Literal["push", "apply", "pop", "drop"]
    message: Short = ""
    index: Annotated[int, Field(ge=0, le=9999)] = 0
    untracked: bool = False
    reason: Reason = ""


class Sync(_Arguments):
    action: Literal["fetch", "pull"]
    remote: Short = "origin"
    branch: Short = ""
    ff_only: bool = False
    reason: Reason = ""


class Push(_Arguments):
    branch: Annotated[Short, Field(description="pushed to the same name; empty: the current one")] = ""
    remote: Short = "origin"
    force: Annotated[bool, Field(description="with lease")] = False
    delete: bool = False
    tag: Annotated[Short, Field(description="push this tag instead")] = ""
    reason: Reason = ""


class Tag(_Arguments):
    action: Literal["create", "delete"] = "create"
    name: Short
    ref: Short = "HEAD"
    message: Annotated[str, Field(max_length=20000)] = ""
    reason: Reason = ""
