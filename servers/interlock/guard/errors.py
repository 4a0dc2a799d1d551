"""The ways a call can end badly. Not for wording: whoever raises says what happened and what to do."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The first word of every refusal; the agent and people can rely on its meaning."""

    DENIED = "denied"  # the policy says no
    DECLINED = "declined"  # a person said no: do not try again
    APPROVAL_REQUIRED = "approval_required"
    HALTED = "halted"
    LIMIT_REACHED = "limit_reached"
    BREAKER_OPEN = "breaker_open"
    OUT_OF_BOUNDS = "out_of_bounds"
    PROTECTED = "protected"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    CONFLICT = "conflict"  # the world is not what was decided on
    FAILED = "failed"  # the change was permitted, did not work and was put back
    UNKNOWN = "unknown"  # cut off in flight: read the state before trying again
    GUARD_FAILURE = "guard_failure"  # the guard itself is broken; nothing ran


class Refused(Exception):
    """The guard's no, before anything ran.

    `message` is one sentence that says what was refused and why; `hint` what to do instead;
    `rule` the id of the rule that said so, where one did. Neither ever holds a raw value from the world.
    """

    def __init__(self, code: Code, message: str, *, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.rule = rule


class Failed(Exception):
    """A permitted call did not work. The world is as before unless `code` is UNKNOWN."""

    def __init__(self, message: str, *, hint: str = "", code: Code = Code.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Broken(Exception):
    """The guard cannot do its work (policy, state, records, keys, clock). Refused as guard_failure until mended."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
