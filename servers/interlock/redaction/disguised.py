r"""Names of secrets in other letters: escaped (`"p\u0061ssword": "x"`), of full width (U+FF01 to U+FF5E), or of an
alphabet whose letters look like Latin ones, in a word with these (a Cyrillic a in `password`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .keyed import LEAD, NAME_BYTES, TO_NAME, take
from .names import BENIGN, classify, narrow

if TYPE_CHECKING:
    from .page import Page

_BACK: Final = 240  # bytes before the value: a letter takes three, an escaped one six
_VALUE: Final = r"[ \t]{0,4}\\{0,3}[\"']?(?:[A-Za-z0-9!#$%&*+./?@^_~-][^\r\n]{2}|\\u[0-9a-fA-F])"
_WIDE: Final = r"\xef(?:\xbc[\xa1-\xba]|\xbd[\x81-\x9a])"
_SEPARATOR: Final = r"(?:[:=]|\xef\xbc[\x9a\x9d])"
_LETTER: Final = rf"(?:[\w.-]|{_WIDE}|\xef\xbc[\xbf\x8d\x8e])"
_ALIKE: Final = r"[\xce-\xd4][\x80-\xbf]"  # two bytes of Greek and Cyrillic
DISGUISED: Final = (
    rf"(?:[A-Za-z]{_ALIKE}|{_ALIKE}[A-Za-z])"
    rf"(?:[\w.-]|{_ALIKE}){{0,32}}[\"']?[ \t]{{0,4}}[:=]{_VALUE}",
    rf"\\(?:u00|x)[4-7][0-9a-fA-F][^\"'\r\n:=]{{0,60}}\\{{0,3}}[\"'][ \t]{{0,4}}[:=]{_VALUE}",
    rf"{_WIDE}{_LETTER}{{0,40}}[\"']?[ \t]{{0,4}}{_SEPARATOR}{_VALUE}",
    rf"\w[\"']?[ \t]{{0,4}}\xef\xbc[\x9a\x9d]{_VALUE}",
)
_ESCAPE: Final = re.compile(rb"\\{1,4}(?:u00|x)([4-7][0-9a-fA-F])")
_LIKE: Final = {
    letter.encode(): plain.encode()
    for letter, plain in zip(
        "аеорсухіјѕһԁԛԝкмтвнАВЕКМНОРСТУХІЈЅοαερτυνκιΟΑΒΕΖΗΙΚΜΝΡΤΥΧ",
        "aeopcyxijshdqwkmtbhABEKMHOPCTYXIJSoaeptuvkiOABEZHIKMNPTYX",
        strict=True,
    )
}
_LIKES: Final = re.compile(b"|".join(_LIKE))


def disguised(page: Page, end: int) -> None:
    """Called `LEAD` bytes into the value."""
    if end <= page.covered:
        return
    start = end - LEAD
    head = page.data[max(0, start - _BACK) : start]
    plain = narrow(_ESCAPE.sub(lambda found: bytes.fromhex(found.group(1).decode()), head))
    plain = _LIKES.sub(lambda found: _LIKE[found.group()], plain)
    bare = plain.rstrip(b"\"'\\ \t")
    force, kind = classify(bare.rstrip(TO_NAME).translate(NAME_BYTES).rpartition(b" ")[2])
    if force != BENIGN:
        take(page, start, force, kind, head, 0, bare[-1:], loose=True)
