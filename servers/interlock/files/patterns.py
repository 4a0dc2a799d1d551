r"""An agent's pattern in the two engines that search: one meaning, or none.

ripgrep finds candidates in raw text; RE2 then decides on redacted text. If RE2 could match where ripgrep does not,
whether a file is a candidate could depend on a secret in it. So only a common language is accepted, and written out
for each engine (`\w` is ASCII in both, `$` before a CR too, classes without set operations). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from interlock.guard.errors import Code, Refused

MAX_REPEAT: Final = 1000
_CLASSES: Final = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": "\\t\\n\\x0b\\x0c\\r ",
}
_CONTROLS: Final = {"t": "\\t", "n": "\\n", "r": "\\r", "f": "\\x0c", "v": "\\x0b", "a": "\\x07"}
_POSIX: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "space": _CLASSES["s"],
    "xdigit": "0-9A-Fa-f", "word": "0-9A-Za-z_", "blank": "\\t ", "punct": "!-/:-@\\[-`{-~",
}  # fmt: skip
_ANY_CASE: Final = "(?i)"  # where models write ignore_case
_NAMED: Final = re.compile(r"\?P?<[A-Za-z_]\w{0,63}>", re.ASCII)  # a group's name, which nothing here asks for


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern for both engines. `edges`: it asks what stands beside a match (`\\b`, `\\B`)."""

    ripgrep: str
    re2: Any
    edges: bool

    def matches(self, line: bytes) -> bool:
        r"""Whether a redacted line matches; 0xFF bytes in it stand for secrets and match nothing.

        With `\b` or `\B` a match that touches a secret does not count: whether there is a word edge would tell
        the secret's first or last character.
        """
        if not self.edges:
            return self.re2.search(line) is not None
        found: Iterator[Any] = self.re2.finditer(line)
        return any(
            not (line[m.start() - 1 : m.start()] == b"\xff" or line[m.end() : m.end() + 1] == b"\xff") for m in found
        )


def compile_pattern(text: str, *, literal: bool, ignore_case: bool) -> Pattern:
    """Raises Refused (invalid) with what is wrong and where."""
    import re2  # type: ignore[import-untyped,unused-ignore]

    if "\n" in text or "\r" in text or "\0" in text:
        raise _bad("a pattern matches within one line", "search for one of the lines")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _bad("the pattern holds half a character") from None
    if not literal and text.startswith(_ANY_CASE):
        text, ignore_case = text.removeprefix(_ANY_CASE), True
    spelled = ignore_case and not text.isascii()  # both cases written out: the engines' tables of letters may differ
    ignore_case = ignore_case and not spelled
    if literal:
        ripgrep = plain = "".join(map(_either if spelled else _quoted, text))
        edges = False
    else:
        translated = _Translation(text, spelled)
        ripgrep, plain, edges = translated.ripgrep, translated.re2, translated.edges
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = 8 << 20
    try:
        compiled = re2.compile(plain.encode(), options)
    except re2.error as error:
        what = error.args[0] if error.args else "it is no pattern"
        raise _bad(
            f"the pattern is not valid: {str(what, 'utf-8', 'replace') if isinstance(what, bytes) else what}"
        ) from None
    return Pattern(("(?i)" if ignore_case else "") + ripgrep, compiled, edges)


class _Translation:
    """One pass over the pattern; unknown syntax is refused, not passed on."""

    def __init__(self, text: str, spelled: bool) -> None:
        self._text = text
        self._at = 0
        self._spelled = spelled
        self._quoted = _either if spelled else _quoted
        self.edges = False
        rg: list[str] = []
        plain: list[str] = []
        while self._at < len(text):
            one, other = self._item()
            rg.append(one)
            plain.append(other)
        self.ripgrep, self.re2 = "".join(rg), "".join(plain)

    def _item(self) -> tuple[str, str]:
        c = self._take()
        if c == "\\":
            return self._escape()
        if c == "[":
            made = self._class()
            return made, made
        if c == "(":
            return self._group()
        if c == "$":
            return "(?:\\r?$)", "$"
        if c == "{":
            made = self._repeat()
            return made, made
        if c in "*+?|)^.":
            return c, c
        return self._quoted(c), self._quoted(c)

    def _take(self) -> str:
        c = self._text[self._at : self._at + 1]
        self._at += 1
        return c

    def _escape(self) -> tuple[str, str]:
        c = self._take()
        if not c:
            raise _bad("the pattern ends in a backslash")
        if c in _CLASSES:
            return f"[{_CLASSES[c]}]", f"[{_CLASSES[c]}]"
        if c.lower() in _CLASSES:
            return f"[^{_CLASSES[c.lower()]}]", f"[^{_CLASSES[c.lower()]}]"
        if c in "bB":
            self.edges = True
            return f"(?-u:\\{c})", f"\\{c}"
        if c in "xu" or (c.isalnum() and c not in _CONTROLS):
            raise _bad(f"\\{c} is not supported", "characters, classes, groups, | * + ? {} ^ $ . \\d \\w \\s \\b are")
        if c in _CONTROLS:
            return _CONTROLS[c], _CONTROLS[c]
        return self._quoted(c), self._quoted(c)

    def _group(self) -> tuple[str, str]:
        if self._text[self._at : self._at + 1] != "?":
            return "(?:", "(?:"
        if self._text[self._at : self._at + 2] == "?:":
            self._at += 2
            return "(?:", "(?:"
        if named := _NAMED.match(self._text, self._at):
            self._at = named.end()
            return "(?:", "(?:"
        raise _bad("only plain groups (...) and (?:...) are supported", "for case use ignore_case")

    def _repeat(self) -> str:
        end = self._text.find("}", self._at)
        inside = self._text[self._at : end] if end >= 0 else ""
        low, comma, high = inside.partition(",")
        if not low.isdecimal() or not low.isascii() or (high and not (high.isdecimal() and high.isascii())):
            return "\\{"
        if max(int(low), int(high or 0)) > MAX_REPEAT:
            raise _bad(f"a repetition of more than {MAX_REPEAT}")
        self._at = end + 1
        return "{" + low + comma + high + "}"

    def _class(self) -> str:
        negated = self._text[self._at : self._at + 1] == "^"
        if negated:
            self._at += 1
        items: list[str] = []
        first = True
        while True:
            c = self._take()
            if not c:
                raise _bad("a [ is not closed")
            if c == "]" and not first:
                break
            first = False
            if c == "[" and self._text[self._at : self._at + 1] == ":":
                items.append(self._posix())
                continue
            if c == "\\":
                d = self._take()
                if d in _CLASSES:
                    items.append(_CLASSES[d])
                    continue
                if d.isalnum() and d not in _CONTROLS:
                    raise _bad(f"\\{d} in [ ] is not supported")
                low = _CONTROLS.get(d) or _quoted(d)
            else:
                low = _quoted(c)
                if self._spelled:
                    items += map(_quoted, _cases(c) - {c})
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._take()
                if high == "\\":
                    high = self._take()
                    if high.isalnum():
                        raise _bad("a range in [ ] ends in an escape")
                if high == "[":
                    raise _bad("a [ in [ ] is written \\[")
                items.append(f"{low}-{_quoted(high)}")
                if self._spelled:
                    items += _other_range(low, high)
            else:
                items.append(low)
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _posix(self) -> str:
        end = self._text.find(":]", self._at)
        name = self._text[self._at + 1 : end] if end >= 0 else ""
        if name not in _POSIX:
            raise _bad("a [: in [ ] begins a class that is not known")
        self._at = end + 2
        return _POSIX["alpha" if self._spelled and name in ("lower", "upper") else name]


def _cases(c: str) -> set[str]:
    """The letter in both cases, where each is one letter."""
    return {c, *(other for other in (c.lower(), c.upper()) if len(other) == 1)}


def _either(c: str) -> str:
    """One character in either case."""
    cases = sorted(_cases(c))
    return _quoted(c) if len(cases) == 1 else f"[{''.join(map(_quoted, cases))}]"


def _other_range(low: str, high: str) -> list[str]:
    """A range of letters in the other case. Raises Refused where there is no such range."""
    if not (low.isascii() and high.isascii()):
        raise _bad("a range of such letters has no other case", "write the letters out")
    same = low.isalpha() and high.isalpha() and low.islower() == high.islower()
    return [f"{low.swapcase()}-{high.swapcase()}"] if same else []


def _quoted(c: str) -> str:
    """One character that means itself in both engines, inside classes and outside."""
    if c.isascii() and not c.isalnum() and c not in "_ \"'%,:;<>=@!`/":
        return "\\" + c if c.isprintable() else f"\\x{ord(c):02x}"
    return c


def _bad(message: str, hint: str = "") -> Refused:
    return Refused(Code.INVALID, message, hint=hint)
