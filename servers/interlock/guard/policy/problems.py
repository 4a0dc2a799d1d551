"""What is wrong with a policy: each problem with file, line, column and what to do. Not for finding problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interlock.documents import Node
from interlock.guard.errors import Broken


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or odd, as a warning). Line and column count from 1; 0 where there is none."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class PolicyError(Broken):
    """The policy cannot be used, so nothing runs. `errors` holds every problem found, in the order of the file."""

    def __init__(self, errors: Sequence[Problem]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        place = ":".join([first.file, *(str(n) for n in (first.line, first.column) if n)])
        hint = "; ".join(part for part in (first.hint, "`interlock policy check` shows all" if more else "") if part)
        super().__init__(f"the policy cannot be used: {place}: {first.message}{more}", hint=hint)


def at(node: Node, message: str, hint: str = "") -> Problem:
    """A problem with a value."""
    return Problem(node.file, node.line, node.column, message, hint)


def at_key(mapping: Node, key: str, message: str, hint: str = "") -> Problem:
    """A problem with a key of a mapping."""
    line, column = mapping.keys.get(key, (mapping.line, mapping.column))
    return Problem(mapping.file, line, column, message, hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean x?`, or else what there is to choose from."""
    from difflib import get_close_matches

    choices = sorted(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"one of {', '.join(choices)}" if choices and len(choices) <= 24 else ""
