"""A line that gives one long random token a name, whatever the name is: `K=...`, `"x": "..."`.

Not for names that announce a secret (`keyed`), nor for what is random and public: digests, ids, revisions, also
where only their shape tells.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from .names import says_public
from .values import is_public, runs_of

if TYPE_CHECKING:
    from .page import Page

SHORTEST: Final = 20
LONGEST: Final = 128  # beyond, it is data more often than a token
ASSIGNED: Final = (
    rf"(?:^|[\r\n])[-+ \t]{{0,24}}(?:(?:export|set|const|let|var|ENV|ARG)[ \t]{{1,4}})?"
    rf"[\"']?[A-Za-z_][\w.-]{{0,48}}[\"']?[ \t]{{0,16}}(?::=|[:=])[ \t]{{0,8}}[\"'`]?[\w+/-]{{{SHORTEST}}}"
)
_BACK: Final = 120  # more than what stands before a value
_LINE: Final = re.compile(
    rb"(?:^|[\r\n])[-+ \t]*(?:(?:export|set|const|let|var|ENV|ARG)[ \t]+)?[\"']?([A-Za-z_][\w.-]*)[\"']?"
    rb"[ \t]*(?::=|[:=])[ \t]*([\"'`]?)([\w+/-]+)\Z"
)
_REST: Final = re.compile(rb"[\w+/-]*={0,2}")
_END: Final = re.compile(rb"[ \t]*[,;]?[ \t]*(?:(?:#|//)[^\r\n]*)?(?=[\r\n]|\Z)")
_HEX: Final = re.compile(rb"(?:0x)?[0-9a-fA-F_-]+")
_UUIDS: Final = re.compile(rb"(?:.*[^0-9a-zA-Z])?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_WORD_AND_HEX: Final = re.compile(rb"((?:[A-Za-z]{2,}[_-])+)v?[0-9a-fA-F_-]+")
# Kubernetes names what it makes after its maker: NAME-56bc65b5ff-22cfw, NAME-28391040-x7k2p, NAME-0; Azure's nodes.
# People who make such names up for an example know the shape, not the letters.
_SAFE: Final = "[bcdfghjklmnpqrstvwxz2456789]"  # without vowels, so that no word comes out
_MADE: Final = re.compile(
    rf"(?:[A-Za-z]{{2,40}}/)?([a-z][a-z0-9-]*?)(?:-(?:[0-9a-z]{{8,10}}-[0-9a-z]{{5}}|{_SAFE}{{8,10}}|{_SAFE}{{5}}|vmss[0-9a-z]{{6}}|\d{{1,10}})){{1,3}}".encode()
)
_STACK: Final = re.compile(rb"([A-Za-z0-9]{1,60}(?:-[A-Za-z0-9]{1,60}){0,7})-[0-9A-Z]{12,13}")  # CloudFormation does so
_KIND: Final = re.compile(rb"[A-Z][A-Za-z]{2,40}/")
_ALGORITHM: Final = re.compile(rb"(?:SHA|AES|RSA|MD)[-_]?\d")  # SHA256withRSAandMGF1
_FOLDER: Final = re.compile(rb"/[a-z]{2,40}/")  # a path from the root
_DIGEST: Final = re.compile(rb"apiserver-[a-z2-7]{26}|applyset-[\w-]{43}-v1")  # in letters of its own
_DIGITS: Final = re.compile(rb"\d+")
_PART: Final = re.compile(rb"[A-Z]?[a-z\d]*|[A-Z\d]*|(?:[A-Z]?[a-z]+|[A-Z]+|\d+){0,3}")  # of a name, not of a token
_SEPARATORS: Final = re.compile(rb"[-_+/]")
_HUMP: Final = re.compile(rb"[A-Z][a-z]{2,}|[a-z]{3,}|[A-Z]{4,}")
# The letters that follow each letter in 97 % of the pairs of English words and of names in code.
_FOLLOWS: Final = (
    b"abcdfgiklmnprstuvxy baceijlorsuy cacehiklorstu dadeilorsu eabcdefgilmnpqrstvwxy faefilortu "
    b"gaehilnorsu haeiort iabcdefglmnoprstvxz jeo keis ladefilostuy mabeimopsu nacdefgiklnostuvy "
    b"oabcdefgiklmnoprstuvw paehiloprstuy qu racdefgiklmnorstuvy sacehiklopstuwy tacdefhiloprstuwy "
    b"uabcdefgilmnprst vaei waehinor xceipt yipst ze"
)
_PAIRS: Final = frozenset(bytes((word[0], follower)) for word in _FOLLOWS.split() for follower in word[1:])


def assigned(page: Page, end: int) -> None:
    """Called `SHORTEST` bytes into the value."""
    if end <= page.covered:
        return  # another rule knows better what it is
    data = page.data
    opened = _LINE.search(data, max(0, end - _BACK), end)
    if opened is None:
        return
    name, quote, start = opened.group(1), opened.group(2), opened.start(3)
    rest = _REST.match(data, end, start + LONGEST + 3)
    stop = rest.end() if rest else end
    value = data[start:stop]
    if quote:
        if data[stop : stop + 1] != quote or not _END.match(data, stop + 1):
            return
    elif not _END.match(data, stop):
        return
    if len(value) <= LONGEST and not says_public(name) and is_token(value):
        page.add(start, stop, "random")


def field(page: Page, name: bytes) -> None:
    """The same where the name is a field's, and the text its whole value."""
    if not page.found and is_named_token(name, page.data):
        start = len(page.data) - len(page.data.lstrip())
        page.add(start, len(page.data.rstrip()), "random")


def is_named_token(name: bytes, value: bytes) -> bool:
    """Whether a field is one token and nothing else. Without a name nothing is."""
    if not name or len(value) < SHORTEST or not (bare := _FIELD.fullmatch(value)) or len(bare.group(1)) > LONGEST:
        return False
    return not says_public(name) and is_token(bare.group(1))


_FIELD: Final = re.compile(rb"\s*([\w+/-]{%d,}={0,2})\s*" % SHORTEST)


def is_token(value: bytes) -> bool:
    """Whether nothing but a generator writes this, and it is no digest, id or piece of data by its looks."""
    if kind := _KIND.match(value):
        value = value[kind.end() :]  # `Pod/web-0`: the whole, wherever it is one
    if (
        _HEX.fullmatch(value)
        or _UUIDS.fullmatch(value)
        or _FOLDER.match(value)
        or is_public(value)
        or _ALGORITHM.search(value)
    ):
        return False
    if (text := _text(value)) is not None:  # `encoded` looks into it, but for one token that nothing announces
        return len(text) >= SHORTEST and _REST.fullmatch(text) is not None and is_token(text)
    if _DIGEST.fullmatch(value) or ((made := _MADE.fullmatch(value)) and not is_token(made.group(1))):
        return False
    if (stack := _STACK.fullmatch(value)) and not is_token(stack.group(1)):
        return False
    named = _WORD_AND_HEX.fullmatch(value)
    if named and (named.end() - named.end(1) < SHORTEST or _worded(named.group(1)) >= 3):
        return False  # `snap-08bd...`, `release-4f2a...`
    bare = value.rstrip(b"=")
    runs, digits, separators, kinds = runs_of(bare)
    if len(set(bare)) < 10 or separators > 0.2 * len(bare) or kinds < 2:
        return False
    if separators and all(
        (len(part) < 10 and _PART.fullmatch(part)) or _worded(part) == len(part) for part in _SEPARATORS.split(bare)
    ):
        return False  # names joined together, paths
    if digits < 2 or len(_DIGITS.findall(bare)) < 2:
        return runs >= 0.33 * len(bare) and _worded(bare) <= 0.25 * len(bare)
    return _worded(bare) <= 0.45 * len(bare)


def _worded(value: bytes) -> int:
    """How many letters stand in runs that can be read as words."""
    return sum(len(hump) for hump in _HUMP.findall(value) if _spoken(hump.lower()))


def _spoken(letters: bytes) -> bool:
    odd = sum(letters[at : at + 2] not in _PAIRS for at in range(len(letters) - 1))
    return odd <= len(letters) // 5


def _text(value: bytes) -> bytes | None:
    """What it is in base64, where that is text."""
    if len(value) % 4:
        return None
    try:
        text = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return text.strip() if text and all(32 <= c < 127 or c in b"\t\r\n" for c in text) else None
