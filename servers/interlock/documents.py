"""Reads YAML 1.2, JSON and TOML without executing anything: values for comparing, positions for error messages.

Whatever could mean two things is an error: aliases, anchors, tags, duplicate or odd keys, directives. Depth, size
and number of values are bounded. libyaml finds the structure (30 times faster than a parser in Python); what a
plain word means is decided here, by YAML 1.2. It writes no document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

MAX_CHARACTERS: Final = 4 << 20
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 200_000

Scalar = str | int | float | bool | None


class DocumentError(Exception):
    """A document that cannot be read for certain. Line and column count from 1; 0 where there is none."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class Ambiguous(str):
    """A plain word that YAML 1.1 reads as something else than text (`yes`, `012`, `1_000`, a date).

    It is text here. It equals the same text in quotes, but not for `changed`, which compares types too.
    """

    __slots__ = ()


@dataclass(slots=True)
class Node:
    """One value of a YAML document and where it stands (from 1). `value`: a dict or list of nodes, or a scalar."""

    value: dict[str, Node] | list[Node] | Scalar
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)  # where each key of a mapping stands
    plain: bool = False  # a scalar without quotes
    file: str = ""  # where it was read from, for error messages

    def data(self) -> Any:
        """The value without positions."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value


def parse_yaml_positions(text: str, file: str = "") -> Node:
    """The one document of a text. Raises DocumentError; also for an empty text and for several documents."""
    nodes = _compose(text, file)
    if not nodes:
        raise DocumentError("the file is empty", 1, 1)
    if len(nodes) > 1:
        raise DocumentError("a second document begins here (`---`); one is expected", nodes[1].line, nodes[1].column)
    return nodes[0]


def load_documents(text: str, kind: str) -> list[Any]:
    """The values of all documents in a text; kind is yaml, json or toml. Raises DocumentError.

    Template marks (`{{`, `{%`) that are not within a value make it an error: what they will become is unknown.
    """
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"more than {MAX_CHARACTERS} characters")
    if kind == "json":
        return [_json(text)]
    if kind == "toml":
        documents = [_toml(text)]
    elif kind == "yaml":
        documents = [node.data() for node in _compose(text)]
    else:
        raise ValueError(f"no such kind of document: {kind}")
    for mark in ("{{", "{%", "<%"):
        if mark in text and text.count(mark) != sum(value.count(mark) for value in _texts(documents)):
            raise DocumentError("it is a template")
    return documents


# ---------------------------------------------------------------- YAML


@cache
def _number() -> re.Pattern[str]:
    """A float of YAML 1.2, or an integer in hexadecimal."""
    return re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0x[0-9a-fA-F]+)\Z")


@cache
def _odd() -> re.Pattern[str]:
    """Numbers, dates and the like as YAML 1.1 has them."""
    return re.compile(
        r"(?:[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?|[-+]?[0-9_]*\.[0-9_]*|[-+]?0[bo][0-9_]+"
        r"|[-+]?0x[0-9a-fA-F_]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|\d{4}-\d\d?-\d\d?(?:[Tt \t].{0,40})?"
        r"|=|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    )


_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OLD_WORDS: Final = frozenset(
    word for base in ("y", "n", "yes", "no", "on", "off") for word in (base, base.capitalize(), base.upper())
)


def resolve(text: str) -> Scalar:
    """What a word without quotes means in YAML 1.2 (core schema)."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _OLD_WORDS:
        return Ambiguous(text)
    first, last = text[0], text[-1]
    if first not in "+-.0123456789=":
        return text
    if last.isalpha() and first.isdigit() and text[1:2] not in ("x", "X") and text[4:5] != "-":
        return text  # `15m`, `5M`: neither YAML reads these as anything else
    if len(text) > 40:
        return Ambiguous(text)
    digits = text[1:] if first in "+-" else text
    if digits.isdecimal() and digits.isascii() and (len(digits) == 1 or digits[0] != "0"):
        return int(text)
    if _number().match(text) and not (digits.isdecimal() and digits.isascii()):
        return int(text, 16) if text[1:2] == "x" else float(text)
    return Ambiguous(text) if _odd().match(text) else text


def _compose(text: str, file: str = "") -> list[Node]:
    """All documents of a YAML text as nodes. Iterative: no depth of nesting can exhaust the stack."""
    import yaml  # 10 ms: only where YAML is really read

    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"more than {MAX_CHARACTERS} characters")
    for separator in ("\x85", "\u2028", "\u2029"):  # a line break in YAML 1.1, a character in 1.2
        if separator in text:
            before = text[: text.index(separator)]
            raise DocumentError(
                "this character is a line break to some and none to others",
                before.count("\n") + 1,
                len(before) - before.rfind("\n"),
            )
    documents: list[Node] = []
    stack: list[tuple[Node, tuple[str, int, int] | None]] = []  # open collections, each with the key that waits
    values = 0
    try:
        for event in _events(yaml, text):
            name = type(event).__name__
            if name in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                continue
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if name == "DocumentStartEvent":
                if event.version is not None or event.tags:
                    raise DocumentError("a `%` directive is not accepted", line, column)
                continue
            _plainly(event, name, line, column)
            if name in ("MappingEndEvent", "SequenceEndEvent"):
                stack.pop()
                continue
            values += 1
            if values > MAX_VALUES:
                raise DocumentError(f"more than {MAX_VALUES} values", line, column)
            node = Node(None, line, column, file=file)
            if name == "ScalarEvent":
                node.plain = event.style is None or event.style == ""
                node.value = resolve(event.value) if node.plain else event.value
                if stack and isinstance(stack[-1][0].value, dict) and stack[-1][1] is None:
                    stack[-1] = (stack[-1][0], _key(stack[-1][0], node, event.value))
                    continue
            else:
                node.value = {} if name == "MappingStartEvent" else []
            _attach(documents, stack, node)
            if name != "ScalarEvent":
                if len(stack) >= MAX_DEPTH:
                    raise DocumentError(f"nested more than {MAX_DEPTH} deep", line, column)
                stack.append((node, None))
    except yaml.YAMLError as error:
        raise _syntax_error(error) from None
    except (UnicodeError, RecursionError, ValueError) as error:
        raise DocumentError(f"it cannot be read ({type(error).__name__})") from None
    return documents


def _events(yaml: Any, text: str) -> Iterator[Any]:
    return iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _plainly(event: Any, name: str, line: int, column: int) -> None:
    """Refuse what makes a value stand for another or for code."""
    if name == "AliasEvent":
        raise DocumentError(f"the alias `*{event.anchor}` is not accepted: write the value out", line, column)
    if getattr(event, "anchor", None):
        raise DocumentError(f"the anchor `&{event.anchor}` is not accepted: write the values out", line, column)
    if getattr(event, "tag", None):
        raise DocumentError("a tag (`!...`) is not accepted: values are only data", line, column)


def _key(mapping: Node, node: Node, written: str) -> tuple[str, int, int]:
    """The key that a scalar of a mapping is; keys are compared as text, so `1` and `"1"` are the same."""
    assert isinstance(mapping.value, dict)
    if node.plain and written == "<<":
        raise DocumentError("the merge key `<<` is not accepted: write the keys out", node.line, node.column)
    if written in mapping.value:
        first = mapping.keys[written]
        raise DocumentError(
            f"the key `{_short(written)}` stands here twice (first in line {first[0]})", node.line, node.column
        )
    mapping.keys[written] = (node.line, node.column)
    return written, node.line, node.column


def _attach(documents: list[Node], stack: list[tuple[Node, tuple[str, int, int] | None]], node: Node) -> None:
    if not stack:
        documents.append(node)
        return
    parent, key = stack[-1]
    if isinstance(parent.value, list):
        parent.value.append(node)
        return
    assert isinstance(parent.value, dict)
    if key is None:
        raise DocumentError(
            "a key must be a single word or text; braces or brackets stand here", node.line, node.column
        )
    parent.value[key[0]] = node
    stack[-1] = (parent, None)


def _syntax_error(error: Any) -> DocumentError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML")
    context = str(getattr(error, "context", None) or "")
    if "cannot start any token" in problem:
        problem = "a character stands here that cannot (a tab? indent with spaces; `@`, `` ` ``, `%` need quotes)"
    message = f"{problem} {context}".strip() if context else problem
    return DocumentError(message, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0)


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text[:60])
    return shown + ("..." if len(text) > 60 else "")


# ---------------------------------------------------------------- JSON and TOML


def _json(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            raise DocumentError("a key stands twice in one object")
        return made

    def refuse(word: str) -> Any:
        raise DocumentError(f"{word} is no JSON")

    try:
        value = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise DocumentError(error.msg, error.lineno, error.colno) from None
    except (RecursionError, ValueError) as error:
        raise DocumentError(f"it cannot be read ({type(error).__name__})") from None
    _bounded(value)
    return value


def _toml(text: str) -> Any:
    import tomllib

    try:
        value = tomllib.loads(text.removeprefix("\ufeff"))
    except (RecursionError, ValueError) as error:  # TOMLDecodeError is a ValueError
        raise DocumentError(str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it cannot be read") from None
    _bounded(value)
    return value


def _bounded(value: Any) -> None:
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_VALUES:
            raise DocumentError(f"more than {MAX_VALUES} values")
        level = [item for one in level for item in _children(one)]
        if not level:
            return
    raise DocumentError(f"nested more than {MAX_DEPTH} deep")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _texts(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            stack.extend(one.keys())
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
