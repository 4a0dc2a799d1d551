"""What a policy may say about redaction. Import-light: the policy loader imports it. Not the detector.

Everything here tightens, but for what is named by id in `off` and by digest in `allowed`.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

_ID: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_DIGEST: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


class ExtraPattern(BaseModel):
    """One pattern of the user's own; RE2 syntax, so linear in time whatever the text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: Annotated[str, Field(min_length=3, max_length=1000)]
    group: Annotated[int, Field(ge=0, le=20)] = 0  # what is replaced: the whole match, or one group

    @field_validator("pattern")
    @classmethod
    def _linear(cls, pattern: str) -> str:
        import re2  # type: ignore[import-untyped,unused-ignore]

        options = re2.Options()
        options.log_errors = False
        try:
            compiled = re2.compile(pattern, options)
        except re2.error as problem:
            raise ValueError(f"not a linear-time (RE2) pattern: {problem}") from None
        if compiled.match("") is not None:
            raise ValueError("matches the empty text, so it would redact nothing or everything")
        return pattern


class SourceSettings(BaseModel):
    """Switches for targets that match a glob. They only tighten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: bool = False  # every value of key = value lines goes, whatever it looks like
    random: bool = False  # long random-looking words go, also where no name or shape points at them


class RedactionSettings(BaseModel):
    """The policy's `redaction` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extra: dict[str, ExtraPattern] = Field(default_factory=dict)  # id -> pattern; the id is the placeholder's kind
    allowed: tuple[str, ...] = ()  # SHA-256 of values that are no secrets (documented test keys, say)
    off: tuple[str, ...] = ()  # kinds of the catalogue that this installation does not want: the only loosening
    sources: dict[str, SourceSettings] = Field(default_factory=dict)  # glob of targets -> switches

    @field_validator("extra")
    @classmethod
    def _ids(cls, extra: dict[str, ExtraPattern]) -> dict[str, ExtraPattern]:
        for name in extra:
            if not _ID.fullmatch(name) or len(name) > 40:
                raise ValueError(f"{name!r} is no id: lower-case letters, digits and single dashes, at most 40")
        return extra

    @field_validator("allowed")
    @classmethod
    def _digests(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        for digest in allowed:
            if not _DIGEST.fullmatch(digest):
                raise ValueError("allowed takes SHA-256 digests (64 hex digits): printf %s VALUE | sha256sum")
        return tuple(digest.removeprefix("sha256:") for digest in allowed)
