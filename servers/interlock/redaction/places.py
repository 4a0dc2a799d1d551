"""Secrets by their place: in URLs, HTTP headers, cookies, key blocks. Each function confirms one anchor's hit."""
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .names import BENIGN, STRONG, WEAK, classify
from .spelled import CREDENTIAL_BYTES
from .values import is_reference, is_secret, looks_random

if TYPE_CHECKING:
    from .page import Page

_URL_BACK: Final = 400
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*$")
_DOCUMENTED: Final = frozenset(
    (
        b"password",
        b"pass",
        b"passwd",
        b"pwd",
        b"secret",
        b"token",
        b"pw",
        b"user",
        b"x",
        b"xxx",
        b"oauth",
        b"oauth2",
        b"x-oauth-basic",
    )
)


def url(page: Page, end: int) -> None:
    """`scheme://user:password@host`: the password, or a user that is a token."""
    data = page.data
    at = end - 1
    opened = data.rfind(b"://", max(0, at - _URL_BACK), at)
    if opened < 0:
        return
    begin = opened + 3
    inner = data[begin:at]
    user, colon, password = inner.partition(b":")
    if b"/" in user or not colon:
        if not colon and b"/" not in inner and looks_random(inner, 16):
            page.add(begin, at, "url-token")
        return
    slash = password.find(b"/")
    if (
        slash >= 0
        and re.match(rb"\d{0,5}/", password[slash - 5 if slash > 5 else 0 : slash + 1])
        and password[:slash].isdigit()
    ):
        return  # host:port/path@...
    if not re.match(rb"[\w\[.:%{<$-]", data[end : end + 1] or b" "):
        return
    if len(password) < 2 or is_reference(password) or password.lower() in _DOCUMENTED:
        return
    page.add(begin + len(user) + 1, at, "url-password")
    if looks_random(user, 24):
        page.add(begin, begin + len(user), "url-token")


_CREDENTIAL: Final = re.compile(rb"[A-Za-z0-9+/_.~=|:%-]+")
_SCHEME_WORDS: Final = (b"bearer", b"basic", b"token", b"digest", b"aws4-", b"apikey", b"negotiate")
_SCHEMES: Final = re.compile(
    rb"(?i)(bearer|basic|token|apikey|negotiate|ntlm|digest|splunk|genie-?key|ssws|bot|key|hmac|signature)[ \t]+$"
)


def header(page: Page, end: int) -> None:
    """`Authorization: Bearer x` and its like."""
    data = page.data
    start = end - 6
    low = start - 80 if start > 80 else 0
    start = low + data[low:start].translate(CREDENTIAL_BYTES).rfind(b" ") + 1
    head = data[max(0, start - 100) : start]
    match = _CREDENTIAL.match(data, start)
    value = match.group() if match else b""
    scheme = _SCHEMES.search(head)
    named = re.search(rb"(?i)authorization[\"'\\]*\s*[:=,]\s*[\"'\\]*", head)
    if scheme:
        word = scheme.group(1).lower()
        if word == b"basic" and not named and not _decodes(value):
            return
        if named or word in (b"bearer", b"basic", b"ssws"):
            least = 6 if named else 16
            if len(value) < least or is_reference(value) or not (named or looks_random(value, least)):
                return
            if named and value.isalpha() and len(value) < 12 and value.islower():
                return
            if word == b"digest":
                return
            page.add(start, start + len(value), "authorization")
        elif looks_random(value, 20) and word not in (b"key", b"bot", b"signature"):
            page.add(start, start + len(value), "authorization")
        return
    scheme_follows = value.lower().startswith(_SCHEME_WORDS)
    if named and len(value) >= 8 and not scheme_follows and is_secret(value, STRONG, True):
        page.add(start, start + len(value), "authorization")


def _decodes(value: bytes) -> bool:
    import base64
    import binascii

    try:
        return b":" in base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        return False


_COOKIE: Final = re.compile(rb"([\w.-]+)=([^;\s\"'\\,]+)")


def cookie(page: Page, end: int) -> None:
    """The values of a Cookie header that name a session or look made by a machine."""
    data = page.data
    line = data.rfind(b"\n", max(0, end - 300), end) + 1
    at = max(line, end - 200)
    if end <= page.cookies:
        return
    begun = re.compile(rb"(?i)cookie2?[\"'\\]{0,4}\s*[:=]\s*").search(data, at, end)
    if not begun:
        return
    stop = data.find(b"\n", end, end + 4096)
    stop = min(len(data), end + 4096) if stop < 0 else stop
    page.cookies = stop
    for match in _COOKIE.finditer(data, begun.end(), stop):
        name, value = match.group(1), match.group(2)
        if name.lower() in (b"path", b"domain", b"expires", b"max-age", b"samesite", b"version", b"priority"):
            continue
        force, _ = classify(name)
        if re.search(rb"(?i)sess|sid|auth|token|jwt|login|remember|csrf|xsrf|connect", name):
            force = STRONG
        if not is_reference(value) and (
            (force >= WEAK and len(value) >= 8 and not value.isdigit() and (force == STRONG or looks_random(value, 16)))
            or (force == BENIGN and looks_random(value, 24) and not re.match(rb"GA\d|_?ga|G-", value))
        ):
            page.add(match.start(2), match.end(2), "cookie")


_PEM_END: Final = b"-----END"
_PEM_REACH: Final = 1 << 15
_PEM_BODY: Final = re.compile(rb"[A-Za-z0-9+/=]{16,}")


def pem(page: Page, end: int) -> None:
    """A private key's block, also cut off at either side, prefixed line by line, or escaped on one line."""
    data = page.data
    begun = data.rfind(b"-----", max(0, end - 80), end)
    if data.startswith(_PEM_END, begun):
        _pem_tail(page, begun)
        return
    page.begun = begun
    after = data.find(b"-----", end, end + 40)
    body = after + 5 if after >= 0 else end
    limit = min(len(data), body + _PEM_REACH)
    stop = page.next_pem_end(body, limit)
    again = data.find(b"-----BEGIN", body, limit if stop < 0 else stop)
    if stop < 0 or again >= 0:
        stop = _pem_cut(data, body, limit if again < 0 else again)
    first = _PEM_BODY.search(data, body, min(stop, body + 2000))
    if first is None:
        return
    last = stop
    while last > first.start() and data[last - 1 : last] in (
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\\",
        b"n",
        b"r",
        b'"',
        b"+",
        b"-",
    ):
        if data[last - 1 : last] in (b"n", b"r") and data[last - 2 : last - 1] != b"\\":
            break
        last -= 1
    page.add(first.start(), last, "private-key")
    page.pem_done = max(page.pem_done, last)


_PEM_LINE: Final = re.compile(
    rb"[^\n]{0,80}?[A-Za-z0-9+/=]{16,}\s*$|[ \t+-]*[A-Za-z0-9+/]{1,16}={0,2}\s*$|[ \t+-]*(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset)\b.*$|\s*$"
)


def _pem_cut(data: bytes, at: int, limit: int) -> int:
    """The end of a block that nobody closed: after its last line of base64."""
    last = at
    while at < limit:
        stop = data.find(b"\n", at, limit)
        stop = limit if stop < 0 else stop
        line = data[at : min(stop, at + 400)]
        if b"\\n" in line or stop - at > 400:
            run = re.compile(rb"(?:[A-Za-z0-9+/=\s]|\\[nr])+").match(data, at, limit)
            return run.end() if run else last
        if not _PEM_LINE.match(line):
            break
        if line.strip():
            last = at + len(line.rstrip())
        at = stop + 1
    return last


def _pem_tail(page: Page, begun: int) -> None:
    """END without BEGIN: the lines of base64 above it."""
    data = page.data
    if page.begun >= begun - _PEM_REACH and page.pem_done >= begun - 8:
        return  # of a block that was done
    low = max(0, begun - _PEM_REACH)
    at = first = begun
    if data[max(0, begun - 2) : begun] == b"\\n":
        run = re.compile(rb"(?:[A-Za-z0-9+/=]|\\[nr])+$").search(data, max(low, begun - 8192), begun)
        if run:
            page.add(run.start(), begun - 2, "private-key")
        return
    line_at = max(data.rfind(b"\n", low, begun) + 1, low)
    if begun - line_at < 80 and not re.search(rb"[A-Za-z0-9+/=]{16,}", data[line_at:begun]):
        at = line_at  # what stands before END on its line is no part of the block
    while at > low:
        line_at = data.rfind(b"\n", low, at - 1) + 1 if at - 1 > low else low
        line_at = max(line_at, low)
        text = data[line_at:at].rstrip()
        match = re.search(rb"[A-Za-z0-9+/=]{16,}$", text[-400:])
        short = re.fullmatch(rb"[ \t+-]*[A-Za-z0-9+/]{1,16}={0,2}", text)
        if not (match or (short and first == begun)) or b"-----" in text:
            if text.strip(b" \t+-"):
                break
        elif match:
            first = line_at + len(text) - len(text[-400:]) + match.start()
        else:
            first = line_at + len(text) - len(text.lstrip(b" \t+-"))
        if line_at == low:
            break
        at = line_at
    if first < begun:
        last = begun
        while last > first and data[last - 1] in b" \t\r\n+-":
            last -= 1
        page.add(first, last, "private-key")
