"""The arguments of the git tools, as models send them. Typed; unknown keys are refused. Names are checked by `names`.

Every character of the schema is paid for in each conversation: defaults are empty, and descriptions stand on the tool.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Short = Annotated[str, Field(max_length=300)]
Message = Annotated[str, Field(max_length=20000)]
Paths = Annotated[list[Annotated[str, Field(max_length=4000)]], Field(max_length=1000)]
Number = Annotated[int, Field(ge=0)]
Reason = Annotated[str, Field(max_length=2000)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    repo: Annotated[str, Field(max_length=4000)] = ""


class Status(_Arguments):
    show: Annotated[
        Literal["", "files", "branches", "tags", "stashes", "remotes"],
        WithJsonSchema({"enum": ["files", "branches", "tags", "stashes", "remotes"]}),
    ] = ""
    offset: Number = 0


class Log(_Arguments):
    ref: Short = ""
    path: Short = ""
    limit: Number = 0
    after: Short = ""
    author: Short = ""
    search: Short = ""
    since: Short = ""


class Show(_Arguments):
    ref: Short = ""
    path: Short = ""
    search: Short = ""
    paths: Paths = []
    offset: Number = 0


class Diff(_Arguments):
    base: Short = ""
    target: Short = ""
    staged: bool = False
    paths: Paths = []
    context: Annotated[int, Field(ge=0, le=20)] = 0  # lines; 0 means 3
    offset: Number = 0


class Blame(_Arguments):
    path: Short
    ref: Short = ""
    start: Number = 0
    end: Number = 0


class Commit(_Arguments):
    message: Message = ""
    paths: Paths = []
    all: bool = False
    stage_only: bool = False
    amend: bool = False
    allow_empty: bool = False
    reason: Reason = ""


class Branch(_Arguments):
    action: Annotated[Literal["create", "delete", "rename"], WithJsonSchema({"enum": ["create", "delete", "rename"]})]
    name: Short
    start: Short = ""
    to: Short = ""
    reason: Reason = ""


class Switch(_Arguments):
    ref: Short
    create: bool = False
    reason: Reason = ""


class Merge(_Arguments):
    ref: Short = ""
    message: Message = ""
    keep_conflicts: bool = False
    continue_: Annotated[bool, Field(alias="continue")] = False
    abort: bool = False
    reason: Reason = ""


class Revert(_Arguments):
    ref: Short
    keep_conflicts: bool = False
    reason: Reason = ""


class Reset(_Arguments):
    ref: Short
    mode: Annotated[Literal["", "soft", "mixed", "hard"], WithJsonSchema({"enum": ["soft", "mixed", "hard"]})] = ""
    reason: Reason = ""


class Restore(_Arguments):
    paths: Annotated[Paths, Field(min_length=1)]
    ref: Short = ""
    staged: bool = False
    reason: Reason = ""


class Stash(_Arguments):
    action: Annotated[
        Literal["push", "apply", "pop", "drop"], WithJsonSchema({"enum": ["push", "apply", "pop", "drop"]})
    ]
    message: Short = ""
    index: Annotated[int, Field(ge=0, le=9999)] = 0
    untracked: bool = False
    reason: Reason = ""


class Sync(_Arguments):
    action: Annotated[Literal["fetch", "pull"], WithJsonSchema({"enum": ["fetch", "pull"]})]
    remote: Short = ""  # empty: origin
    branch: Short = ""
    ff_only: bool = False
    reason: Reason = ""


class Push(_Arguments):
    branch: Short = ""
    remote: Short = ""  # empty: origin
    force: bool = False
    delete: bool = False
    tag: Short = ""
    reason: Reason = ""


class Tag(_Arguments):
    name: Short
    ref: Short = ""
    message: Message = ""
    delete: bool = False
    reason: Reason = ""
