"""Secrets that show only once a text is read as what it is: words of a command line, a login in a message.

What the detector finds by names and shapes it finds by itself; this prepares objects for it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from interlock.guard.model import Detector

_LOGIN: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):(?!//)[^\s:@/]{4,200}@(?!sha256:)(?=[A-Za-z0-9])")
_ADDRESSES: Final = frozenset(("mailto", "acct", "sip", "sips", "xmpp", "im"))


def without_logins(text: str) -> str:
    """Messages of kubelets name registries as `user:password@host`, without a scheme that would tell a URL."""
    return _LOGIN.sub(_login, text) if "@" in text else text


def _login(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in _ADDRESSES else f"{found[1]}:[secret:url-password:0]@"


def read_as_meant(detector: Detector, value: Any) -> tuple[Any, int]:
    """A copy without secrets of these sorts, and how many words of commands were secrets."""
    count = 0

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
            return without_logins(one)
        if isinstance(one, dict):
            made = {key: walk(item) for key, item in one.items()}
            command = made.get("command")
            program = next((word for word in command if isinstance(word, str)), "") if isinstance(command, list) else ""
            made.update({k: words(made[k], program) for k in ("command", "args") if isinstance(made.get(k), list)})
            return made
        return [walk(item) for item in one] if isinstance(one, list) else one

    return walk(value), count
