"""Secrets with a shape but no prefix of their own: password hashes, webhook addresses, DSNs, JWK members, signatures.

Each row: family, the anchor's end, the expression that confirms it (group 1 goes), how far back it may begin.
"""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .values import is_reference, looks_random

if TYPE_CHECKING:
    from .page import Page


class Shape(NamedTuple):
    kind: str
    anchor: str
    confirm: str
    back: int
    random: int = 0  # the value must look random from this length on


SHAPES: Final = (
    Shape("hash", r"\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|argon2i?d?|scrypt|pbkdf2[\w-]{0,12}|P|H|md5|bcrypt-sha256)\$[./A-Za-z0-9=,$+]{8}", r"(\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|argon2i?d?|scrypt|pbkdf2[\w-]{0,12}|P|H|md5|bcrypt-sha256)\$[./A-Za-z0-9=,$+-]{16,300})", 40),
    Shape("hash", r"(?:pbkdf2_sha\d{1,3}|pbkdf2:sha\d{1,3}|scrypt|bcrypt_sha256|argon2)[:$]\$?[0-9:]{2,20}\$[A-Za-z0-9./+=]{4}", r"((?:pbkdf2_sha\d+|pbkdf2:sha\d+|scrypt|bcrypt_sha256|argon2)[:$]\$?[0-9:]{2,20}\$[A-Za-z0-9./+=$]{16,300})", 60),
    Shape("hash", r"\{(?:S?SHA\d{0,3}|S?MD5|CRYPT|PBKDF2[\w-]{0,8})\}[A-Za-z0-9+/=$.]{8}", r"\{(?:S?SHA\d{0,3}|S?MD5|CRYPT|PBKDF2[\w-]{0,8})\}([A-Za-z0-9+/=$.]{16,200})", 30),
    Shape("hash", r"SCRAM-SHA-(?:1|256|512)\$\d{3,6}:[A-Za-z0-9+/=]{8}", r"(SCRAM-SHA-\d+\$\d+:[A-Za-z0-9+/=$:]{30,300})", 40),
    Shape("hash", r"[a-fA-F0-9]{8}:::", r":[0-9]{3,7}:([a-fA-F0-9]{32}:[a-fA-F0-9]{32}):::", 100),
    Shape("webhook", r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/", r"slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9_/]{16,})", 60),
    Shape("webhook", r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/", r"/webhooks/\d{5,}/([A-Za-z0-9_-]{20,})", 60),
    Shape("webhook", r"webhook\.office\.com/webhookb2/", r"/webhookb2/([0-9a-f-]{30,}@[0-9a-f-]{30,}/IncomingWebhook/[0-9a-f]{20,}/[0-9a-f-]{30,}(?:/[\w-]+)?)", 60),
    Shape("webhook", r"(?:hooks\.zapier\.com/hooks/catch|open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/v2/hook|maker\.ifttt\.com/trigger/[\w-]{1,60}/(?:json/)?with/key|hc-ping\.com|events\.pagerduty\.com/integration|hook\.\w{2,4}\d?\.make\.com|hook\.integromat\.com|api\.telegram\.org/file|webhooks\.mongodb-stitch\.com[\w/.-]{1,80}|chat\.googleapis\.com/v1/spaces/[\w-]{5,20}/messages\?key=|/hooks/incoming|outlook\.office\.com/webhook|uptime\.betterstack\.com/api/v1/heartbeat|cronitor\.link/p|nosnch\.in)/?", r"(?:catch|hook|key|hc-ping\.com|integration|make\.com|integromat\.com|file|stitch\.com[\w/.-]*|messages\?key=|incoming|webhook|heartbeat|/p|nosnch\.in)/?([A-Za-z0-9_@/-]{10,})", 120, 10),
    Shape("webhook", r"/hooks/[a-z0-9]{26}", r"/hooks/([a-z0-9]{26})(?![a-z0-9])", 40, 20),
    Shape("url-password", r"[\w.-]{1,40}:[^\s\"'<>@:/(){}\[\],;=]{4,100}@(?:tcp|udp|unix)\(", r"[\w.-]{1,40}:([^\s\"'<>@:/(){}\[\],;=]{4,100})@(?:tcp|udp|unix)\(", 150),
    Shape("url-password", r"jdbc:oracle:\w{2,8}:[\w$#.-]{1,40}/[^\s\"'@/]{2,80}@", r"jdbc:oracle:\w{2,8}:[\w$#.-]{1,40}/\"?([^\s\"'@/]{2,80})\"?@", 160),
    Shape("url-password", r"[^\s\"'<>@:/(){}\[\],;=]@[\w-]{1,40}(?:\.[\w-]{1,40}){1,5}:\d{2}", r"(?<![\w/.:-])[A-Za-z][\w.-]{1,30}:([^\s\"'<>@:/(){}\[\],;=]{6,80})@[\w-]{1,40}(?:\.[\w-]{1,40}){1,5}:\d{2,5}", 260),
    Shape("password", r":(?:5432|5433|5434|6432|6543|\*):[\w.*-]{1,60}:[\w.*-]{1,60}:[^\s:]{3}", r"(?:^|\n)[+-]?(?:[\w.-]{1,80}|\*):(?:\d{2,5}|\*):[\w.*-]{1,60}:[\w.*-]{1,60}:([^\s:]{3,200})(?=\s|$)", 320),
    Shape("private-key", r"\"(?:d|p|q|dp|dq|qi|k)\\?\"[ \t\n]{0,4}:[ \t\n]{0,4}\\?\"[A-Za-z0-9_-]{20}", r"\"(?:d|p|q|dp|dq|qi|k)\\?\"\s{0,4}:\s{0,4}\\?\"([A-Za-z0-9_-]{20,})", 60, 20),
    Shape("private-key", r"Private-Lines:[ \t]{0,3}\d{1,3}\r?\n[A-Za-z0-9+/=]{8}", r"Private-Lines:\s*\d+\s*\n((?:[A-Za-z0-9+/=]{4,80}\s*\n?){1,80}?)(?=\s*(?:Private-|$)|\n\n)", 60),
    Shape("private-key", r"(?:PrivateKey|PresharedKey)[ \t]{0,4}=[ \t]{0,4}[A-Za-z0-9+/]{42}", r"=[ \t]*([A-Za-z0-9+/]{42,44}=?)", 80),
    # Amazon's secret key has no beginning of its own, but it is handed out beside its id.
    Shape("key", r"(?:AKIA|ASIA)[A-Z2-7]{16}[\"']?[ \t,;:|]{1,4}[\"']?[A-Za-z0-9/+]{40}", r"(?:AKIA|ASIA)[A-Z2-7]{16}[\"']?[ \t,;:|]{1,4}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])", 80),
    Shape("password", r"(?:userPassword|unicodePwd|sambaNTPassword|sambaLMPassword)::?[ \t]{1,3}[^\s]{4}", r"::?[ \t]+(\S{4,200})", 40),
    Shape("signature", r"(?:X-Amz-Signature|X-Goog-Signature|X-Oss-Signature|q-signature|X-Tos-Signature)(?:=|%3D)[0-9a-fA-F]{16}", r"ignature(?:=|%3D)([0-9a-fA-F]{16,})", 60),
    Shape("authorization", r"Credential=[^\s]{10,200}Signature=[0-9a-f]{16}", r"Signature=([0-9a-f]{16,})", 80),
    Shape("authorization", r"\bDigest[ \t][^\n]{0,300}\bresponse=\"?[0-9a-f]{16}", r"response=\"?([0-9a-f]{16,64})", 60),
    Shape("token", r"\b(?:macaroon|invite|activation|magic|unsubscribe|confirmation)[\w-]{0,12}[=/][A-Za-z0-9_-]{24}", r"[=/]([A-Za-z0-9_-]{24,})", 60, 24),
    Shape("recovery-phrase", r"\b(?:mnemonic|seed[_ -]?phrase|recovery[_ -]?phrase|backup[_ -]?phrase)[\"']{0,2}[ \t]{0,3}(?:[:=]|is)[ \t]{0,3}[\"']?(?:[a-z]{3,8}[ ,-]){5}", r"(?i)(?:mnemonic|phrase)[\"']{0,2}[ \t]{0,3}(?:[:=]|is)[ \t]{0,3}[\"']?((?:[a-z]{3,8}[ ,-]){5,23}[a-z]{3,8})", 130),
)
# fmt: on
_COMPILED: Final[dict[int, re.Pattern[bytes]]] = {}


def shape(page: Page, end: int, number: int) -> None:
    """Confirm one row's hit."""
    row = SHAPES[number]
    pattern = _COMPILED.get(number)
    if pattern is None:
        pattern = _COMPILED[number] = re.compile(row.confirm.encode())
    low = max(0, end - row.back)
    match = None
    for match in pattern.finditer(page.data, low, end + 4096):
        if match.end() >= end:
            break
    if match is None or match.end() < end - 1:
        return
    value = match.group(1)
    if is_reference(value) or (row.random and not looks_random(value.replace(b"/", b""), row.random)):
        return
    if row.kind == "private-key" and row.anchor.startswith('\\"'):
        around = page.data[max(0, end - 3000) : end + 3000]
        if b"kty" not in around:
            return
    page.add(match.start(1), match.end(1), row.kind)
