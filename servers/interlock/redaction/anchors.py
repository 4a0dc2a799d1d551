"""Where a secret may stand that only its surroundings give away: what the one-pass engine looks for.

Each anchor ends a fixed number of characters into the value (or at a marker), so that one occurrence is one
hit. They only say where to look; the module named by the family decides. All widths are bounded (`REACH`).
"""
# ruff: noqa: E501

from __future__ import annotations

from typing import Final, NamedTuple

from .assigned import ASSIGNED
from .commands import COMMANDS, PRINTED, PRINTED_NEAR
from .decoding import HEXED, PERCENT
from .disguised import DISGUISED
from .shapes import SHAPES


class Anchor(NamedTuple):
    family: str
    pattern: str
    caseless: bool = True


# Words that announce a secret wherever they stand in a name, and those that do only at its end.
_LONG: Final = "pass|pwd|secret|token|key|auth|cred|cookie|session|mnemonic|bearer|signature|licen[sc]e|contrasena|motdepasse|senha"
_SHORT: Final = "psk|pin|pat|pw|jwt|sas|sig|dsn|sid|salt|seed|hmac|otp|totp|xprv|webhook|community|pswd|psw|pepper"
_P: Final = PERCENT.decode()
_TAIL: Final = r"[\w.-]{0,32}"
NAME: Final = rf"(?:(?:{_LONG}){_TAIL}|(?:{_SHORT})[\d_]{{0,3}})"
_SEPARATOR: Final = r"(?:=>|:=|[:=]{1,2})"
_VALUE: Final = r"\d{0,15}[^\s\d\"'\\\[{(,;][^\r\n]{2}"
_QUOTED: Final = r"\\{0,4}[\"'`]{1,3}(?:[^\s\"'\\][^\r\n]{2}|\\u[0-9a-f])"

# A name that announces a secret and what can stand between it and one, but for `name = value`. What follows is read
# by `named`: one hit, one look, and prose about passwords costs nothing.
_NAMED: Final = (
    rf"(?:(?:{_LONG})[\w.-]{{0,32}}|(?:{_SHORT})[\d_]{{0,3}})"
    r"(?:[\"'`\\]{1,3}[ \t]{0,4}[,)\]\r\n]|[\"'][ \t]{1,4}|,(?:[\w\"']|[ \t]{1,4}[\"']?v)|[ \t]{0,20}\||[%&;>\r\n]|[ \t]{1,4}[\"'`<>]|[ \t]{3}"
    r"|[\"'`\\]{0,4}[ \t]{0,4}[:=][ \t]{0,4}[|>{\\\r\n&!])"
    rf"|--[\w.-]{{0,24}}(?:{_LONG})[\w.-]{{0,32}}[ \t]|-(?:{_LONG})[\w.-]{{0,32}}[ \t]|-(?:{_SHORT})[ \t]"
)

ANCHORS: Final = (
    # key = value, "key": "value", key: value, key => value, 'key' := value
    Anchor(
        "keyed",
        rf"{NAME}(?:[ \t]#?\d{{1,2}})?[\"'`\\\])]{{0,5}}[ \t]{{0,20}}{_SEPARATOR}[ \t]{{0,40}}(?:{_VALUE}|{_QUOTED})",
    ),
    # the value on the next line, a YAML block
    # --key value, "--key", "value", ("key", "value"), <key>value<, key 'value'
    Anchor(
        "spaced",
        r"identified[ \t]{1,4}(?:with[ \t]{1,4}[\"'`\w]{1,40}[ \t]{1,4})?(?:by|as)[ \t]{1,4}(?:password[ \t]{1,4})?[\"'][^\s\"'][^\r\n]{2}",
    ),
    # name: KEY / value: VALUE
    # scheme://user:password@host
    Anchor("url", r"://[^\s\"'<>/@:]{0,80}:[^\s\"'<>@]{1,255}@"),
    Anchor("url", r"://[^\s\"'<>/@:]{16,255}@"),
    Anchor(
        "header", r"\b(?:bearer|basic|apikey|negotiate|ntlm|splunk|genie-?key|ssws)[ \t]{1,3}[A-Za-z0-9+/_.~=-]{14}"
    ),
    Anchor("header", r"authorization[\"'\\]{0,4}\s{0,4}[:=,]\s{0,4}[\"'\\]{0,4}[^\s\"'\\]{6}"),
    Anchor("cookie", r"cookie2?[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}[\w.-]{1,64}="),
    Anchor(
        "stated",
        rf"\b(?:ENV|setx|setenv|secrets? set|config set)[ \t]{{1,4}}[\w.-]{{0,40}}{NAME}[ \t]{{1,4}}[^\s\"'=][^\r\n]{{2}}",
    ),
    Anchor("number", r"(?:pass|pwd|pin)[\w.-]{0,16}[\"'\\]{0,4}[ \t]{0,8}[:=][ \t]{0,8}\d{4}"),
    Anchor("named", _NAMED),
    Anchor("assigned", ASSIGNED, caseless=False),
    Anchor(
        "said",
        rf"{NAME}[\"'`)]{{0,2}}[ \t]{{1,2}}(?:(?:is|was|value|of|equals|to|=)[ \t:]{{1,2}})?[\"'`(]{{0,2}}[A-Za-z0-9+/_.~=-]{{16}}",
    ),
    Anchor("secret", r"kind[\"'\\]{0,4}[ \t]{0,3}:[ \t]{0,3}[\"'\\]{0,4}Secret[\s\"'\\,}]", caseless=False),
    Anchor("percent", rf"{_P}3A(?:{_P}2F|/){{2}}[^\s%&]{{1,60}}{_P}3A[^\s&]{{1,100}}{_P}40"),
    *(Anchor("disguised", one, caseless=False) for one in DISGUISED),
    Anchor("hexed", HEXED),
    Anchor("printed", PRINTED),
    Anchor("printed", PRINTED_NEAR, caseless=False),
    *(Anchor("command", command) for command in COMMANDS),
    *(Anchor(f"shape:{number}", shape.anchor, caseless=False) for number, shape in enumerate(SHAPES)),
    Anchor("pem", r"-----(?:BEGIN|END)[ A-Z0-9]{0,40}PRIVATE KEY", caseless=False),
)
REACH: Final = 1024  # more than any anchor or token beginning is wide
