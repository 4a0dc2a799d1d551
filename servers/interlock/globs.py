"""The one glob dialect of policies, matched in linear time. Not for walking directories.

`*` and `?` stay within `/`; `**` crosses it. `[abc]`, `[a-z]`, `[!a]` match one character, never `/`.
`{a,b}` is either. `\\` takes the next character as it is. `dir/**` is the directory itself and all below it,
`**/x` is `x` anywhere. A trailer `/` means "directories only" and is allowed in clean-up rules alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

MAX_LENGTH: Final = 1000  # characters of one glob
MAX_ALTERNATIVES: Final = 64  # what its braces may multiply to
SPECIAL: Final = frozenset("*?[]{}\\")
_REGEX_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$#&-~/ \t\n\r\v\f")


class Matcher:
    """Matches text by any of some globs. Made by `compile_globs`; immutable; compiled at first use."""

    __slots__ = ("_exact", "_match", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._exact = frozenset(p for p in self.patterns if not special(p))
        self._match: Callable[[str], Any] | None = None

    def matches(self, text: str) -> bool:
        """Whether the whole text is matched. Linear in its length; text that is no Unicode is no problem."""
        if text in self._exact:
            return True
        if len(self._exact) == len(self.patterns):
            return False
        if self._match is None:
            self._match = _compile([p for p in self.patterns if p not in self._exact])
        try:
            return self._match(text) is not None
        except UnicodeEncodeError:  # a file name that is no UTF-8: its odd bytes match wildcards only
            return self._match(text.encode("utf-8", "replace").decode()) is not None

    def __repr__(self) -> str:
        return f"Matcher({', '.join(self.patterns)})"


def compile_globs(patterns: Sequence[str]) -> Matcher:
    """A matcher for any of these. Raises ValueError where `check` would."""
    for pattern in patterns:
        check(pattern, directories=True)
    return Matcher(patterns)


def check(pattern: str, *, directories: bool = False) -> None:
    """Raises ValueError with the reason when this is no glob. `directories`: a trailing `/` is allowed."""
    to_regex(pattern.rstrip("/") or pattern if directories else pattern)
    if not directories and pattern.endswith("/") and len(pattern) > 1:
        raise ValueError("a glob that ends in `/` matches nothing: write `/**` for all below")


def special(text: str) -> bool:
    """Whether any character of it has a meaning in a glob."""
    return not SPECIAL.isdisjoint(text)


def escape(text: str) -> str:
    """The glob that matches exactly this text."""
    return "".join("\\" + c if c in SPECIAL else c for c in text) if special(text) else text


def to_regex(pattern: str) -> str:
    """The anchored regular expression (RE2 syntax) of a glob. Raises ValueError with the reason."""
    if not pattern:
        raise ValueError("an empty glob matches nothing")
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a glob has at most {MAX_LENGTH} characters")
    return r"(?s)\A(?:" + "|".join(_translate(plain) for plain in expand(pattern)) + r")\z"


def expand(pattern: str) -> list[str]:
    """The brace-free globs that a glob stands for. Raises ValueError."""
    whole = [""]
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\" or c == "[":
            end = _end_of_escape(pattern, i) if c == "\\" else _end_of_class(pattern, i)
            whole = [w + pattern[i:end] for w in whole]
            i = end
        elif c == "{":
            alternatives, i = _alternatives(pattern, i)
            whole = [w + a for w in whole for a in alternatives]
            if len(whole) > MAX_ALTERNATIVES:
                raise ValueError(f"its braces stand for more than {MAX_ALTERNATIVES} globs: use a list")
        elif c == "}":
            raise ValueError("`}` closes nothing (write \\} for the character itself)")
        else:
            whole = [w + c for w in whole]
            i += 1
    return whole


def _alternatives(pattern: str, start: int) -> tuple[list[str], int]:
    """What stands between the braces that open at `start`, expanded; and where the text goes on."""
    parts, begin, depth, i = [], start + 1, 0, start + 1
    while i < len(pattern):
        c = pattern[i]
        if c == "\\":
            i = _end_of_escape(pattern, i)
            continue
        if c == "[":
            i = _end_of_class(pattern, i)
            continue
        if c == "{":
            depth += 1
            if depth > 3:
                raise ValueError("braces nest too deeply")
        elif c == "}" and depth:
            depth -= 1
        elif c == "}" or (c == "," and not depth):
            parts.append(pattern[begin:i])
            begin = i + 1
            if c == "}":
                if len(parts) < 2:
                    raise ValueError("braces hold alternatives, `{a,b}` (write \\{ for the character itself)")
                return [plain for part in parts for plain in expand(part)], begin
        i += 1
    raise ValueError("`{` is not closed (write \\{ for the character itself)")


def _end_of_escape(pattern: str, start: int) -> int:
    if start + 1 >= len(pattern):
        raise ValueError("it ends in `\\`, which takes the next character as it is")
    return start + 2


def _end_of_class(pattern: str, start: int) -> int:
    begin = start + 1
    if pattern[begin : begin + 1] in ("!", "^"):
        begin += 1
    end = pattern.find("]", begin + 1)  # a `]` that comes first is itself a member
    if end < 0:
        raise ValueError("`[` is not closed (write \\[ for the character itself)")
    return end + 1


def _translate(plain: str) -> str:
    """The regular expression of a glob without braces, not anchored."""
    out: list[str] = []
    i, n = 0, len(plain)
    while i < n:
        c = plain[i]
        at_start = i == 0 or plain[i - 1] == "/"
        if c == "*" and plain.startswith("**", i):
            end = i + 2
            while end < n and plain[end] == "*":
                end += 1
            if at_start and end < n and plain[end] == "/":
                out.append("(?:.*/)?")
                end += 1
            elif at_start and end == n and out and out[-1] == "/" and i > 1:
                out[-1] = "(?:/.*)?"  # `dir/**` is the directory too
            else:
                out.append(".*")
            i = end
        elif c == "*":
            out.append("[^/]*")
            i += 1
        elif c == "?":
            out.append("[^/]")
            i += 1
        elif c == "[":
            end = _end_of_class(plain, i)
            out.append(_class(plain[i + 1 : end - 1]))
            i = end
        elif c == "\\":
            out.append(_quote(plain[i + 1]))
            i += 2
        elif c == "]":
            raise ValueError("`]` closes nothing (write \\] for the character itself)")
        else:
            out.append("/" if c == "/" else _quote(c))
            i += 1
    return "".join(out)


def _class(inner: str) -> str:
    negated = inner[:1] in ("!", "^")
    members = inner[1:] if negated else inner
    out = []
    i = 0
    while i < len(members):
        low = members[i]
        high = low
        if members[i + 1 : i + 2] == "-" and i + 2 < len(members):
            high = members[i + 2]
            i += 2
        i += 1
        if low > high:
            raise ValueError(f"the range {low}-{high} is the wrong way round")
        if low <= "/" <= high:
            raise ValueError("a class cannot hold `/`, as it stays within one name")
        out.append(_quote(low) if low == high else f"{_quote(low)}-{_quote(high)}")
    return f"[^{''.join(out)}/]" if negated else f"[{''.join(out)}]"


def _quote(c: str) -> str:
    if c == "\0":
        return r"\x00"
    return "\\" + c if c in _REGEX_SPECIAL and c not in " \t\n\r\v\f/" else c


def _compile(patterns: Sequence[str]) -> Callable[[str], Any]:
    import re2  # type: ignore[import-untyped]  # 5 ms: only a policy with wildcards that are really tried pays for it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 16 << 20
    try:
        compiled = re2.compile("|".join(f"(?:{to_regex(p)})" for p in patterns), options)
    except re2.error as error:
        raise ValueError("this glob is too large") from error
    return compiled.fullmatch  # type: ignore[no-any-return]
