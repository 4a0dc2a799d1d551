"""Secrets that show only once a text is read as what it is: words of a command line, packed data, a login in a message.

What the detector finds by names and shapes it finds by itself; this prepares objects for it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from interlock.guard.model import Detector

_PACKED: Final = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}\Z")
_LAYERS: Final = 4
_MOST: Final = 4 << 20  # bytes of what is unpacked; the rest is left unread, and the whole is hidden
_LOGIN: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):(?!//)[^\s:@/]{4,200}@(?!sha256:)(?=[A-Za-z0-9])")
_ADDRESSES: Final = frozenset(("mailto", "acct", "sip", "sips", "xmpp", "im"))


def without_logins(text: str) -> str:
    """Messages of kubelets name registries as `user:password@host`, without a scheme that would tell a URL."""
    return _LOGIN.sub(_login, text) if "@" in text else text


def _login(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in _ADDRESSES else f"{found[1]}:[secret:url-password:0]@"


def read_as_meant(detector: Detector, value: Any, mark: Callable[[str], str]) -> tuple[Any, int]:
    """A copy without secrets of these sorts, and how many there were. `mark` makes a packed secret's fingerprint."""
    count = 0

    def text(one: str) -> str:
        nonlocal count
        if _holds_secret(detector, one):
            count += 1
            return f"[secret:packed:{mark(one)}]"
        return without_logins(one)

    def words(told: list[Any], program: str) -> list[Any]:
        nonlocal count
        made = list(told)
        for place, (flag, word) in enumerate(pairwise(told), start=1):
            if not isinstance(flag, str) or not isinstance(word, str) or flag[:1] != "-" or word[:1] in ("-", ""):
                continue
            before = f"{program or 'run'} {flag} "
            shown = detector.redact(before + word).text
            if shown.startswith(before) and shown != before + word:
                made[place] = shown[len(before) :]
                count += 1
        return made

    def walk(one: Any) -> Any:
        if isinstance(one, str):
            return text(one)
        if isinstance(one, dict):
            made = {key: walk(item) for key, item in one.items()}
            command = made.get("command")
            program = next((word for word in command if isinstance(word, str)), "") if isinstance(command, list) else ""
            made.update({k: words(made[k], program) for k in ("command", "args") if isinstance(made.get(k), list)})
            return made
        return [walk(item) for item in one] if isinstance(one, list) else one

    return walk(value), count


def _holds_secret(detector: Detector, text: str) -> bool:
    """Whether a text that is nothing but packed data unpacks to something with a secret in it."""
    if len(text) < 24 or not _PACKED.match(bare := "".join(text.split())):
        return False
    data, layers = bare.encode(), 0
    while layers < _LAYERS and (under := _unpacked(data)) is not None:
        data, layers = under, layers + 1
        if len(data) > _MOST:
            return True
        with contextlib.suppress(UnicodeDecodeError):
            if detector.redact(data.decode()).count:
                return True
    return False


def _unpacked(data: bytes) -> bytes | None:
    if data[:3] == b"\x1f\x8b\x08":
        try:
            return zlib.decompressobj(31).decompress(data, _MOST + 1)
        except zlib.error:
            return None
    bare = b"".join(data.split()).translate(bytes.maketrans(b"-_", b"+/"))
    if len(bare) < 16 or not re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}", bare):
        return None
    try:
        return base64.b64decode(bare.rstrip(b"=") + b"=" * (-len(bare.rstrip(b"=")) % 4))
    except binascii.Error:
        return None
