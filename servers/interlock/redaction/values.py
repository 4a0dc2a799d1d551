"""Whether a value that stands under a secret's name is a secret: the value alone, never its line or host.

Placeholders, references, code, types, paths and prose are none. Every test is linear in at most 160 bytes.
"""
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Final

from .names import BENIGN, HUMAN, STRONG, WEAK, classify

__all__ = ["BENIGN", "HUMAN", "STRONG", "WEAK", "is_public", "is_reference", "is_secret", "looks_random", "runs_of"]

_LOOK: Final = 160
_PROSE: Final = 80  # what only stands where a secret will be is short
_RUNS: Final = re.compile(rb"a+|A+|0+|[^aA0]+")
_CLASSES: Final = bytes(
    ord("a") if 97 <= c <= 122 else ord("A") if 65 <= c <= 90 else ord("0") if 48 <= c <= 57 else ord("-")
    for c in range(256)
)
_RUNS_ENOUGH: Final = re.compile(rb"(?:a++|A++|0++|-++){6}")
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX: Final = re.compile(rb"[0-9a-fA-F]+")

# What stands where a secret will be: templates, variables, masks, stores of secrets.
_REFERENCE: Final = re.compile(
    rb"(?:"
    rb"\$\{.*|\{\{.*|\{%.*|<%.*|\$\(.*|`.*|%\(?[A-Za-z_][\w.]*\)?[%s]?|%[sdvq]|\$\$?[A-Za-z_][\w.:]*|\$env:\w+|#\{.*|@@?[A-Za-z_]+@{0,2}|__\w+__|<[^<>]*>?|\[[A-Za-z _-]*\]|\{[A-Za-z_][\w.]*\}|:[a-z_]+|[\w.:/ -]{0,12}(?:\{[^{}]{1,60}\}[\w.:/ -]{0,12})+|\?|\$\d+"
    rb"|[*\xe2\x80\xa2xX.#_?-]{3,}|[xX]{3,}(?:[-_][xX]{3,})*+|[*x]{2,}\w{0,4}|\w{0,4}\*{3,}\w{0,4}|\W+"
    rb"|(?:vault|vaultsecret|op|ssm|secretsmanager|awssm|gcpsm|azkv|keyvault|kms|sops|env|file|ref\+\w+|secretref|secret|conjur|bws|doppler|cmd|exec|akv|gsm|keyring|pass):[^\s]*"
    rb"|arn:aws[\w-]*:.*|projects/[^/]+/secrets/.*|@Microsoft\.KeyVault.*|ENC\[.*|AQICA.*|\{cipher\}.*|vault:v\d:.*|!\w+ .*|\(\(.*\)\)?|data\.\w+\..*|var\.\w+.*|local\.\w+.*|module\.\w+.*"
    rb")",
    re.DOTALL,
)
_WORDS: Final = frozenset(
    b"""null none nil undefined true false yes no on off unset empty blank n/a na tbd todo fixme unknown default required optional
    string str text bytes int integer number boolean bool object array any void optional[str] secretstr char varchar password passwd pwd
    secret token key apikey api_key credential credentials changeme change-me change_me changeit replaceme replace-me replace_me example
    placeholder redacted masked hidden filtered removed sensitive encrypted protected provided external generated auto automatic manual
    invalid incorrect wrong missing expired revoked rejected accepted failed failure success successful ok error denied mismatch matched
    valid present absent set not is was has have the a an for from with to of in by at and or if must should can cannot may will your my
    disabled enabled updated changed created deleted rotated reset verified confirmed weak strong too short long
    basic bearer digest negotiate ntlm oauth oauth2 oidc saml ldap jwt hmac rsa aes md5 sha1 sha256 sha512 bcrypt scrypt argon2 plain plaintext
    public private shared user username email login session cookie header query body form json yaml env file value values name
    here test-only dummy foo bar baz foobar lorem ipsum sample test testing xxx yyy zzz primary secondary partition sort foreign
    inherit managed system local remote internal static dynamic rotate always never once daily weekly immutable opaque""".split()
)
_PLACEHOLDER_TEXT: Final = re.compile(
    rb"(?i)(?:[<\[{(]?(?:your|my|the|enter|insert|put|add|replace|change|update|set|fill|paste|use|some|any|provide|configure|todo|fixme|example|sample|dummy|fake|placeholder|redacted|masked|hidden|removed|omitted|sensitive|filtered|not[-_ ]?(?:set|a|real)|no[-_ ]?(?:secret|password|token|key)|to[-_ ]?be)[-_ ./](?:[a-z]++[-_ ./]){0,8}+[a-z]*+\d{0,2}[>\]})]?!?|\(?(?:sensitive|redacted|hidden|masked|filtered|known after apply|sensitive value|encrypted|none|unset|empty|not set|null)\)?|.*(?:change[-_ ]?me|replace[-_ ]?me|placeholder|redacted|changeit|example[-_]?(?:key|token|secret|password)|(?:key|token|secret|password)[-_]?(?:here|goes[-_]here|example)|_here).*)"
)
# Code that names a value instead of holding it. Only for values without quotes.
_CODE: Final = re.compile(
    rb"(?:[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+(?:[(\[].*)?|[A-Za-z_$][\w$.]*(?:\(|\[['\"$A-Za-z_\d*:\[-]|<[A-Z]).*|(?:new|await|return|not|function|func|lambda|typeof|const|self|this|std|String)\b.*|&\w+[,;)]?|\*\w+|[({\[].*|=>.*|[a-z][A-Za-z_]*[?!]{1,2}|[|&]{1,2}.*)",
    re.DOTALL,
)
_COMPOUND: Final = re.compile(rb"[A-Za-z]+(?:[_.-][A-Za-z]+|[A-Z][a-z]+)+")
_NUMBERED: Final = re.compile(rb"[A-Za-z]+\.[A-Za-z]+\d{2,5}")  # two words and a number: a password, not an attribute
_PATH: Final = re.compile(
    rb"(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[\w.@+~ -]+[/\\])*[\w.@+~ -]*|(?:[a-z][\w.-]*/)+[a-z][\w.-]*\.[a-z]{2,4}|[\w.-]+\.(?:pem|key|crt|cer|pub|json|ya?ml|txt|env|jks|p12|pfx|toml|ini|conf|cfg|py|js|ts|go|java|html?|md|log|sh|gpg|asc)"
)
_FILE: Final = re.compile(rb"[\w./+~-]*/[\w.+~-]*\.(?:csv|json|parquet|gz|tar|zip|png|jpe?g|html?|txt|log|ya?ml)")
_URL: Final = re.compile(rb"(?i)[a-z][a-z0-9+.-]{0,20}://.*", re.DOTALL)
_IDENTIFIER: Final = re.compile(
    rb"[A-Za-z_$][a-z]*+(?:[-_./: ]?[A-Z]?[a-z]++|[-_./:]?\d{1,3}+(?=[-_./:]|$))*+|[A-Z]++(?:[-_.:][A-Z]++)*+\d{0,2}|[a-z]++(?:[-_.:/][a-z0-9]{1,12}+){1,8}+"
)
_NUMBER: Final = re.compile(
    rb"[-+]?\.?\d[\d_,]*+(?:\.\d++)?(?:\s*(?:[eE][-+]?\d+|ms|us|ns|s|m|h|d|w|y|[kKMGT]i?[bB]?|%|seconds?|minutes?|hours?|days?))?|0x[0-9a-fA-F]+|(?:\d++[dhms]){1,4}|#[0-9a-fA-F]{3,8}|\d{1,4}[-/:.]\d{1,2}(?:[-/:.T ]\d.*)?|\d++[*/ ]++\d.*"
)
_DIGEST: Final = re.compile(rb"(?:.*[@ ])?(?:sha(?:1|224|256|384|512)|md5|blake2[bs]?|h1)[-:=].*|SHA256:.*|MD5:.*")
_CALL: Final = re.compile(rb"[A-Za-z_$][\w$.]{0,60}\([^()]*(?:\([^()]*\)[^()]*)*\)?[;,]?")
_PUBLIC: Final = re.compile(
    rb"(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-\S+|sk-ssh-\S+) .*|-----BEGIN (?:PUBLIC KEY|CERTIFICATE|RSA PUBLIC|OPENSSH PUBLIC|X509).*|pk_(?:live|test)_.*|age1[a-z0-9]{30,}|xpub.*|MII[BC][A-Za-z0-9+/]{40,}|pub-.*|pk\.eyJ.*",
    re.DOTALL,
)
_SENTENCE: Final = re.compile(rb"[A-Za-z'(][A-Za-z',.()/-]*(?: [A-Za-z0-9'(\"][\w',.()\"/%:-]*)+[.!?]?")


def is_reference(value: bytes) -> bool:
    """Whether it only says where the secret is, or that it was taken out already."""
    value = value[:_LOOK]
    return bool(_REFERENCE.fullmatch(value) or (len(value) <= _PROSE and _PLACEHOLDER_TEXT.fullmatch(value)))


def looks_random(value: bytes, least: int = 16) -> bool:
    """Whether a machine made it: long enough, its character classes change often."""
    value = value[:_LOOK].rstrip(b"=")
    length = len(value)
    if length < least:
        return False
    classes = value.translate(_CLASSES)
    digits = classes.count(b"0")
    runs = len(_RUNS.findall(classes))
    if digits < 2:
        return runs >= 0.38 * length and classes.count(b"A") > 2 and classes.count(b"-") <= 0.2 * length
    return runs >= 0.25 * length and digits < length


def runs_of(value: bytes) -> tuple[int, int, int, int]:
    """How often the class of character changes; how many digits and separators there are; how many classes but these
    last."""
    classes = value.translate(_CLASSES)
    kinds = sum(mark in classes for mark in (b"a", b"A", b"0"))
    return len(_RUNS.findall(classes)), classes.count(b"0"), classes.count(b"-"), kinds


def is_public(value: bytes) -> bool:
    """Public by its own form: a digest with its algorithm, a public key, a certificate."""
    return bool(_DIGEST.fullmatch(value) or _PUBLIC.fullmatch(value))


def is_secret(value: bytes, force: int, quoted: bool) -> bool:
    """Whether `value` under a name of this force (see `names`) must go."""
    length = len(value)
    if length < 3 or force == BENIGN or (force == WEAK and length < 20):
        return False
    if length > _LOOK:
        value = value[:_LOOK]
    if length >= 12 and force >= STRONG and value.isalnum():
        # the common case first: letters and digits alone, often changing
        classes = value.translate(_CLASSES)
        if b"0" in classes and _RUNS_ENOUGH.match(classes) and not value.startswith(b"MII"):
            return True
    lower = value.lower()
    if lower in _WORDS or _REFERENCE.fullmatch(value):
        return False
    if len(value) <= _PROSE and _PLACEHOLDER_TEXT.fullmatch(value):
        return False
    if is_public(value):
        return False
    code = _CALL.fullmatch(value) or (_CODE.fullmatch(value) and (wordy(value) or not looks_random(value)))
    if code and not quoted and (force != HUMAN or not _NUMBERED.fullmatch(value)):
        return False
    if _URL.match(value):
        return False  # what is secret inside a URL has rules of its own
    if _COMPOUND.fullmatch(value) and classify(value)[0] >= STRONG:
        return False  # the name of a secret
    if force == HUMAN:
        return _is_human(value, quoted)
    if len(value) < 8 or b" " in value or _NUMBER.fullmatch(value):
        return False
    if _UUID.fullmatch(value):
        return force == STRONG
    if _FILE.fullmatch(value) or (
        _PATH.fullmatch(value) and not (value.count(b"/") <= 3 and looks_random(value.replace(b"/", b""), 20))
    ):
        return False
    if force == STRONG:
        if _IDENTIFIER.fullmatch(value):
            return looks_random(value, 20)
        return looks_random(value, 12) or _mixed(value) or mixed_case(value)
    if _HEX.fullmatch(value):
        return False
    return len(value) >= 20 and looks_random(value, 20) and not _IDENTIFIER.fullmatch(value)


def _is_human(value: bytes, quoted: bool) -> bool:
    if _NUMBER.fullmatch(value):
        return value.isdigit() and len(value) >= 4
    if _PATH.fullmatch(value) and (value[:1] in b"/~." or b"." in value) and not looks_random(value):
        return False
    if b" " in value:
        words = lower_words(value)
        if 3 <= len(words) <= 12 and all(
            word.isalpha() and 2 < len(word) < 12 and word not in _WORDS for word in words
        ):
            return True  # a pass phrase
        return quoted and not _SENTENCE.fullmatch(value)
    return not (not quoted and len(value) < 4)


def is_chosen(value: bytes) -> bool:
    """Whether it reads like a password rather than like a word for one, or for how it is kept."""
    return _CHOSEN.search(value[:_LOOK]) is not None


def is_description(value: bytes) -> bool:
    """Whether it rather says something about a secret: a version, the name of a variable."""
    return _DESCRIPTION.fullmatch(value[:_LOOK]) is not None


_CHOSEN: Final = re.compile(
    rb"(?i)^(?!\W|.*(?:sha|md5|aes|rsa|utf|base64|scram|25519|x509|http|\.\w{2,4}$))(?=.*(?:\d\d|[!@#$%^&*?+~]))"
)
_DESCRIPTION: Final = re.compile(
    rb"[\^~<>=v]{0,3}\d{1,6}(?:\.[\dx*]{1,6}){1,4}(?:[-+][\w.]{1,40})?|v\d{1,3}(?:alpha|beta|rc)\d{1,3}|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
)


def wordy(value: bytes) -> bool:
    """Words joined into a name, as in code: most of it is lower-case runs, hardly a digit."""
    runs = _LOWER.findall(value)
    return sum(map(len, runs)) >= 0.45 * len(value) and sum(48 <= c <= 57 for c in value) <= 0.12 * len(value)


_LOWER: Final = re.compile(rb"[a-z]{4,}")


def mixed_case(value: bytes) -> bool:
    """Letters alone, long, upper and lower case in no order that a name has."""
    classes = value.translate(_CLASSES)
    if len(value) < 14 or not value.isalpha() or b"aaaaaa" in classes or classes.count(b"A") <= 3:
        return False
    return len(_RUNS.findall(classes)) >= 0.35 * len(value) and b"AA" in classes


def lower_words(value: bytes) -> list[bytes]:
    return value.lower().split()


def _mixed(value: bytes) -> bool:
    """Letters with digits or symbols among them, as in short tokens and human secrets."""
    classes = value[:64].translate(_CLASSES)
    kinds = len(set(classes))
    return kinds >= 3 or (kinds == 2 and b"0" in classes and len(_RUNS.findall(classes)) >= 4)
