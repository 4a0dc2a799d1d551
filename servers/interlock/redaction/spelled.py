"""Values under a secret's name in other spellings than `name = value`: flags, arguments, elements, statements, prose.

Each function is called at the end of an anchor, a few bytes into the value, and adds what it confirms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .keyed import LEAD, NAME_BYTES, TO_NAME, quoted_end, take
from .names import BENIGN, HUMAN, STRONG, classify
from .values import is_chosen, is_secret, looks_random, wordy

if TYPE_CHECKING:
    from .page import Page

_BACK: Final = 160  # how far before a value its name may begin
_DIGITS: Final = re.compile(rb"(\d{4,64})(?=[\s,;&)\]}]|$)")
CREDENTIAL_BYTES: Final = bytes(97 if (chr(c).isalnum() and c < 128) or c in b"+/_.~=-" else 32 for c in range(256))
_CREDENTIAL: Final = re.compile(rb"[A-Za-z0-9+/_.~=-]+")


def stated(page: Page, end: int) -> None:
    """`ENV NAME value`, `setx NAME value`."""
    start = end - LEAD
    head = page.data[max(0, start - _BACK) : start]
    name = head.rstrip().translate(NAME_BYTES).rpartition(b" ")[2]
    force, kind = classify(name)
    if force != BENIGN:
        take(page, start, force, kind, head, 0, b" ", loose=True)


def number(page: Page, end: int) -> None:
    """A password that is a number without quotes."""
    start = end - 4
    match = _DIGITS.match(page.data, start)
    head = page.data[max(0, start - _BACK) : start]
    name_end = head.rstrip(TO_NAME)
    name = name_end.translate(NAME_BYTES).rpartition(b" ")[2]
    force, kind = classify(name)
    if match is None or force != HUMAN or not is_secret(match.group(1), force, False):
        return
    quoted = head.rstrip(b" \t:=")[-1:] in (b'"', b"'") or head[-3:] == b" = "
    page.add(start, match.end(1), kind, True, quoted)


def argument(page: Page, end: int) -> None:
    """`--token value`, `["--token", "value"]`, `set("token", "value")`."""
    start = end - LEAD
    data = page.data
    low = max(0, start - _BACK)
    head = data[low:start]
    name_end = head.rstrip(b" \t\n,\"'\\")
    name = name_end.translate(NAME_BYTES).rpartition(b" ")[2]
    flag = name.startswith(b"-")
    force, kind = classify(name)
    if force == BENIGN:
        return
    quoted = head[-1:] in (b'"', b"'")
    if not flag:
        tail = quoted_end(data, start, head, head[-1])[0] if quoted else start
        value = data[start:tail]
        if not (
            (is_secret(value, STRONG, True) and not wordy(value))
            or (force == HUMAN and (is_chosen(value) or b"define(" in head[-100:]))
        ):
            return
    take(page, start, force if flag else min(force, HUMAN), kind, head, len(name_end) - len(name), b" ", loose=True)


def element(page: Page, end: int) -> None:
    """`<password>value</password>`."""
    data = page.data
    start = end - LEAD
    opened = data.rfind(b"<", max(0, start - _BACK), start)
    if opened < 0:
        return
    name = data[opened + 1 : start].split(b">")[0].split(b" ")[0].rpartition(b":")[2]
    force, kind = classify(name)
    stop = data.find(b"<", start, start + 4096)
    if force == BENIGN or stop < 0:
        return
    value = data[start:stop]
    cdata = value.startswith(b"![CDATA[")
    if is_secret(value.strip(), force, True):
        page.add(start, stop, kind)
    elif cdata:
        return


def spaced(page: Page, end: int) -> None:
    """`PASSWORD 'x'`, `identified by 'x'`, `set password "x"`: a quoted value after a space."""
    data = page.data
    start = end - LEAD
    head = data[max(0, start - _BACK) : start]
    before = head.rstrip(b"\"'`").rstrip(b" \tN")
    word = before.translate(NAME_BYTES).rpartition(b" ")[2]
    if word.lower() in (b"by", b"as", b"is"):
        stripped = before[: -len(word)].rstrip()
        word = stripped.translate(NAME_BYTES).rpartition(b" ")[2]
        if b"identified" in before.lower()[-60:]:
            word = b"password"
    force, kind = classify(word)
    if force != HUMAN and force != STRONG:
        return
    finish, closed = quoted_end(data, start, head, head[-1])
    value = data[start:finish]
    if b" " in value or not is_secret(value, force, True):
        return
    compound = force == HUMAN and re.search(rb"[_.-]|[a-z][A-Z]", word)
    if (
        not compound
        and not re.search(rb"\d|[^\w\s-]", value)
        and not re.search(rb"(?i)identified|create|alter|with|set", before[-60:])
    ):
        return
    page.add(start, finish, kind, closed)


def said(page: Page, end: int) -> None:
    """Prose and tables of two columns: `the access token is x`, `API_KEY x`. Only what a machine made."""
    data = page.data
    start = end - 16
    low = start - 200 if start > 200 else 0
    start = low + data[low:start].translate(CREDENTIAL_BYTES).rfind(b" ") + 1
    if start == low and low:
        return
    head = data[max(0, start - _BACK) : start]
    before = re.sub(rb"(?i)[ \t\"'`(:=]*(?:\\b(?:is|was|value|of|equals|to|=)[ \t:]*)?[\"'`(]*$", b"", head[-40:])
    words = head.translate(NAME_BYTES).split()
    while words and words[-1].lower() in (b"is", b"was", b"value", b"of", b"equals", b"to"):
        words.pop()
    if not words or not before:
        return
    name = words[-1]
    if len(words) > 1 and name.lower() in (b"key", b"token", b"secret", b"password"):
        name = words[-2] + b"_" + name
    force, kind = classify(name)
    match = _CREDENTIAL.match(data, start, start + 4096)
    value = match.group().rstrip(b".,") if match else b""
    if b"=" in value.rstrip(b"=") or b"-----" in head[-20:] or name.count(b"/") or before.endswith((b"/", b"-----")):
        return
    if force == BENIGN or not looks_random(value, 16) or not is_secret(value, STRONG, False):
        return
    if len(value) >= 20 or force >= STRONG:
        page.add(start, start + len(value), kind)
