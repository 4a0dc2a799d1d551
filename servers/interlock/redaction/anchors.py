"""Where a secret may stand that only its surroundings give away: what the one-pass engine looks for.

Each anchor ends a fixed number of characters into the value (or at a marker), so that one occurrence is one
hit. They only say where to look; the module named by the family decides. All widths are bounded (`REACH`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .commands import COMMANDS, PRINTED, PRINTED_NEAR
from .decoding import ENTITY, PERCENT
from .shapes import SHAPES


class Anchor(NamedTuple):
    family: str
    pattern: str
    caseless: bool = True
    near: bool = False  # begins with a name: looked for only around the words that announce a secret


# Words that announce a secret wherever they stand in a name, and those that do only at its end.
_LONG: Final = (
    "pass|pwd|secret|token|key|auth|cred|cookie|session|mnemonic|bearer|signature|licen[sc]e|contrasena|motdepasse|senha"
)
_SHORT: Final = "psk|pin|pat|pw|jwt|sas|sig|dsn|sid|salt|seed|hmac|otp|totp|xprv|webhook|community|pswd|psw|pepper"
_TAIL: Final = r"[\w.-]{0,32}"
NAME: Final = rf"(?:(?:{_LONG}){_TAIL}|(?:{_SHORT})[\d_]{{0,3}})"
_SEPARATOR: Final = r"(?:=>|:=|[:=]{1,2})"
_VALUE: Final = r"\d{0,15}[^\s\d\"'\\\[{(,;][^\r\n]{2}"
_QUOTED: Final = r"\\{0,4}[\"'`]{1,3}[^\s\"'\\][^\r\n]{2}"

# One hit a word: the engine then looks for the anchors that begin with a name, between BEFORE and AFTER of it.
TRIGGER: Final = rf"(?:{_LONG}|(?:{_SHORT})[\d_]{{0,3}}[^a-z0-9_])"
BEFORE: Final = 64
AFTER: Final = 224

ANCHORS: Final = (
    # key = value, "key": "value", key: value, key => value, 'key' := value
    Anchor("keyed", rf"{NAME}(?:[ \t]#?\d{{1,2}})?[\"'`\\\])]{{0,5}}[ \t]{{0,20}}{_SEPARATOR}[ \t]{{0,40}}(?:{_VALUE}|{_QUOTED})", near=True),
    Anchor("keyed", rf"{NAME}[\"'\\]{{0,5}}[ \t]{{0,20}}[:=][ \t]{{0,4}}[burf@N]{{1,2}}[\"'][^\s\"'\\][^\r\n]{{2}}", near=True),
    # the value on the next line, a YAML block
    Anchor("next", rf"{NAME}[\"']{{0,2}}[ \t]{{0,4}}[:=][ \t]{{0,4}}(?:[|>][+-]?\d?|\\)?[ \t]{{0,4}}\r?\n[ \t+-]{{1,60}}[\"']?[^\s\"'#][^\r\n]{{2}}", near=True),
    # --key value, "--key", "value", ("key", "value"), <key>value<, key 'value'
    Anchor("argument", rf"-{NAME}[\"']?,?[ \t\n]{{1,12}}\\?[\"']?[^\s\"'\\-][^\r\n]{{2}}", near=True),
    Anchor("argument", rf"[\"']{NAME}\\?[\"'],[ \t\n]{{0,12}}\\?[\"'][^\s\"'\\][^\r\n]{{2}}", near=True),
    Anchor("element", rf"<[\w:.-]{{0,40}}{NAME}(?:[ \t][^<>\n]{{0,80}})?>[^<\s][^\r\n]{{2}}", near=True),
    Anchor("spaced", rf"{NAME}[ \t]{{1,4}}(?:as[ \t]|is[ \t])?N?[\"'`][^\s\"'][^\r\n]{{2}}", near=True),
    Anchor("spaced", r"identified[ \t]{1,4}(?:with[ \t]{1,4}[\"'`\w]{1,40}[ \t]{1,4})?(?:by|as)[ \t]{1,4}(?:password[ \t]{1,4})?[\"'][^\s\"'][^\r\n]{2}"),
    # name: KEY / value: VALUE
    Anchor("paired", rf"{NAME}[\"'\\]{{0,4}}[,;]?\s{{0,40}}(?:-[ \t])?[\"'\\]{{0,4}}(?:\w{{0,12}}value)[\"'\\]{{0,4}}\s{{0,4}}[:=]\s{{0,4}}[\"'\\]{{0,4}}[^\s\"'\\][^\r\n]{{2}}", near=True),
    Anchor("paired", rf"{NAME}[\"'\\]{{0,4}}\s{{0,4}}[:=]\s{{0,4}}\{{[^{{}}]{{0,100}}[\"'\\\s]value[\"'\\]{{0,4}}\s{{0,4}}[:=]\s{{0,4}}[\"'\\]{{0,4}}[^\s\"'\\][^\r\n]{{2}}", near=True),
    # scheme://user:password@host
    Anchor("url", r"://[^\s\"'<>/@:]{0,80}:[^\s\"'<>@]{1,255}@"),
    Anchor("url", r"://[^\s\"'<>/@:]{16,255}@"),
    Anchor("header", r"\b(?:bearer|basic|apikey|negotiate|ntlm|splunk|genie-?key|ssws)[ \t]{1,3}[A-Za-z0-9+/_.~=-]{14}"),
    Anchor("header", r"authorization[\"'\\]{0,4}\s{0,4}[:=,]\s{0,4}[\"'\\]{0,4}[^\s\"'\\]{6}"),
    Anchor("cookie", r"cookie2?[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}[\w.-]{1,64}="),
    Anchor("said", rf"{NAME}[\"'`)]{{0,2}}[ \t]{{1,2}}(?:(?:is|was|value|of|equals|to|=)[ \t:]{{1,2}})?[\"'`(]{{0,2}}[A-Za-z0-9+/_.~=-]{{16}}", near=True),
    Anchor("described", rf"{NAME}:[ \t]{{0,2}}\r?\n-{{3,5}}\r?\n[^\s]{{3}}", near=True),
    Anchor("table", rf"(?:[ \t]{{2,20}}|\|[ \t]{{0,20}}|[,\t\n][\"']?){NAME}(?:[ \t]{{2,40}}[A-Z|]|[ \t]{{0,20}}[|\n\t]|[\"']?[,\n])", near=True),
    Anchor("secret", r"kind[\"'\\]{0,4}[ \t]{0,3}:[ \t]{0,3}[\"'\\]{0,4}Secret[\s\"'\\,}]", caseless=False),
    Anchor("percent", NAME + PERCENT, near=True),
    Anchor("percent", r"%3A%2F%2F[^\s%&]{1,60}%3A[^\s&]{1,100}%40"),
    Anchor("entity", NAME + ENTITY, near=True),
    Anchor("printed", PRINTED),
    Anchor("printed", PRINTED_NEAR, near=True),
    *(Anchor("command", command) for command in COMMANDS),
    *(Anchor(f"shape:{number}", shape.anchor, caseless=False) for number, shape in enumerate(SHAPES)),
    Anchor("pem", r"-----(?:BEGIN|END)[ A-Z0-9]{0,40}PRIVATE KEY", caseless=False),
)
# fmt: skip
REACH: Final = 1024  # more than any anchor or token beginning is wide
