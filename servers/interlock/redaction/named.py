"""What follows a name that announces a secret, where it is no plain `name = value`: one look decides which reading fits."""
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .blocks import described, table
from .decoding import PERCENT, entity, percent
from .keyed import LEAD, NAME_BYTES, explicit, next_line, take
from .names import BENIGN, classify
from .spelled import argument, element, said, spaced
from .values import is_secret, mixed_case

if TYPE_CHECKING:
    from .page import Page
    from .spans import Found

_BACK: Final = 64
_AFTER: Final = 320
_DELIMITERS: Final = b" \t\r\n\"'`\\,)]|%&;><:={"

# In this order; each ends where the value begins.
_FOLLOWS: Final = re.compile(
    rb"(?P<described>:[ \t]{0,2}\r?\n-{3,5}\r?\n(?=\S))"
    rb"|(?P<paired>[\"'\\]{0,4}(?:[,;]\s{0,40}|\s{1,40})(?:-[ \t])?[\"'\\]{0,4}(?i:\w{0,12}value)[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}(?=[^\s\"'\\]))"
    rb"|(?P<nested>[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}\{[^{}]{0,200}?[\"'\\\s](?:value|default|plaintext)[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}(?=[^\s\"'\\]))"
    rb"|(?P<variable>[\"']\s{0,4}\{[^{}]{0,240}?\b(?:default|value|secret_string)\s{0,8}=\s{0,8}[\"'](?=[^\s\"'\\]))"
    rb"|(?P<bar>[`\"']?[ \t]{1,40}\|[ \t]{1,40}[`\"']?(?=[^\s|`\"']))"
    rb"|(?P<next>[\"']{0,2}[ \t]{0,4}[:=][ \t]{0,4}(?:[&!][^\s,\[\]{}]{0,128}[ \t]{0,8}){0,2}(?:(?:[|>][+-]?\d?)?[ \t]{0,4}\r?\n[ \t+-]{1,60}|\\\r?\n[ \t+-]{0,60})[\"']?(?=[^\s\"'#]))"
    rb"|(?P<explicit>[\"']?[ \t]{0,8}\r?\n[ \t]{0,60}:[ \t]{1,40}[\"']?(?=[^\s\"'#]))"
    rb"|(?P<argument>\\?[\"'],[ \t\r\n]{0,40}\\?[\"'](?=[^\s\"'\\]))"
    rb"|(?P<flag>\\?[\"']?[ \t]{1,4}\\?[\"']?(?=[^\s\"'\\-]))"
    rb"|(?P<element>(?:[ \t][^<>\n]{0,80})?>(?=[^<\s]))"
    rb"|(?P<spaced>[ \t]{1,4}(?:as[ \t]|is[ \t])?N?[\"'`](?=[^\s\"']))"
    rb"|(?P<said>[\"'`)]{1,2}[ \t]{1,2}[\"'`(]{0,2}(?=[A-Za-z0-9+/_.~=-]{16}))"
    rb"|(?P<percent>(?:"
    + PERCENT
    + rb"2[27])?(?:"
    + PERCENT
    + rb"20)?"
    + PERCENT
    + rb"3[ADad](?:"
    + PERCENT
    + rb"20)?(?:"
    + PERCENT
    + rb"2[27])?(?=[^\s&%]))"
    rb"|(?P<entity>&(?:quot|#34|#39|apos);[ \t]{0,3}(?:[:=]|=&gt;)[ \t]{0,3}&(?:quot|#34|#39|apos);(?=[^\s&]))"
    rb"|(?P<bare>[ \t]{3,40}(?=[A-Za-z0-9+/_.~=-]{16}))"
)


_CELL: Final = re.compile(rb"([^\s|`\"']{3,400})[`\"']?[ \t]{0,400}\|")
_TELLING: Final = re.compile(rb"\d|[^\w\s-]")  # what a column's title has not


class Named:
    def __init__(self, find: Callable[[Page], list[Found]]) -> None:
        self._find = find

    def __call__(self, page: Page, end: int) -> None:
        data = page.data
        low = end - _BACK if end > _BACK else 0
        head = data[low:end]
        bare = head.rstrip(_DELIMITERS)
        if len(bare) == len(head):  # the anchor took the first letter of what follows a comma
            bare = head[:-1].rstrip(_DELIMITERS)
        name_end = low + len(bare)
        if name_end <= page.named:
            return  # the same name once more
        page.named = name_end
        name = bare.translate(NAME_BYTES).rpartition(b" ")[2]
        force, word = classify(name)
        if force == BENIGN:
            return
        match = _FOLLOWS.match(data, name_end, name_end + _AFTER)
        if match is None:
            if data[name_end - len(name) - 2 : name_end - len(name)] not in (b": ", b"= "):
                table(page, end)
            return
        start, kind = match.end(), match.lastgroup
        if kind == "flag":
            if name[:1] == b"-":
                argument(page, start + LEAD)
                return
            if data[start - 1] in b"\"'":
                spaced(page, start + LEAD)
            elif match.end() - match.start() >= 3:
                said(page, start + 16)
            table(page, end)
        elif kind in ("paired", "nested", "variable"):
            take(page, start, force, word, data[max(0, start - _BACK) : start], 0, b":", loose=True)
        elif kind == "explicit":
            explicit(page, start, force, word, name_end)
        elif kind == "bar":
            cell = _CELL.match(data, start)
            if (
                cell
                and is_secret(cell.group(1), force, True)
                and (_TELLING.search(cell.group(1)) or mixed_case(cell.group(1)))
            ):
                page.add(start, cell.end(1), word)
            else:
                table(page, end)
        elif kind == "element":
            element(page, start + LEAD)
        elif kind == "percent":
            percent(page, start, self._find)
        elif kind in ("said", "bare"):
            said(page, start + 16)
            table(page, end)
        else:
            _READERS[kind or ""](page, start + (1 if kind == "entity" else LEAD))


_READERS: Final[dict[str, Callable[[Page, int], None]]] = {
    "described": described,
    "next": next_line,
    "argument": argument,
    "spaced": spaced,
    "entity": entity,
}
