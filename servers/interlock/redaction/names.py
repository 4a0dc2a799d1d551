"""Which names announce a secret: `DB_PASSWORD`, `herokuApiKey`, `spring.datasource.password`. Names only, no values.

A name is split into words; its last meaningful word decides, the word before `key` and a benign ending may
overrule. The answer says how hard the value has to look like a secret.
"""

from __future__ import annotations

import re
from typing import Final

BENIGN: Final = 0
WEAK: Final = 1  # only long random values
STRONG: Final = 2  # tokens and keys: what machines make
HUMAN: Final = 3  # passwords: what people choose, also short

WORDS: Final = re.compile(rb"[A-Z]{2,}(?=[A-Z][a-z])|[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_FULL: Final = re.compile(rb"\xef([\xbc\xbd])([\x80-\xbf])")
_CACHE: Final[dict[bytes, tuple[int, str]]] = {}
_CACHE_SIZE: Final = 20_000


def _set(words: str) -> frozenset[bytes]:
    return frozenset(words.encode().split())


_HUMAN: Final = _set(
    "password passwd passwords passphrase passphrases passcode pass pwd pword passw psw pw pswd passwort contrasena "
    "motdepasse senha psk "
    "mnemonic requirepass masterauth community passkey storepass keypass pin"
)
_STRONG: Final = _set(
    "secret secrets token tokens jwt pat bearer credential credentials creds cred apikey apikeys accesskey secretkey "
    "privatekey authkey "
    "authtoken accesstoken refreshtoken idtoken clientsecret appsecret signature sig hmac sas xprv nonce_secret "
    "seckey pkey privkey appkey "
    "identitytoken registrytoken masterkey encryptionkey signingkey sharedkey accountkey licensekey dsn webhook "
    "authorization auth "
    "sharedaccesskey passhash passwordhash userkey sharedaccesssignature sessiontoken securitytoken bottoken keybase "
    "otp totp passcodes"
)
_WEAK: Final = _set(
    "session sessionid sess cookie cookies sid salt seed pepper hash authenticator assertion ticket code license "
    "serial cert"
)
_BEFORE_KEY: Final = _set(
    "cache caches partition sort primary foreign public pub publishable object row composite unique index idempotency "
    "idempotent "
    "routing redis lookup dedup dedupe dedupl group map message hot hash metadata meta label annotation topology "
    "bucket shard range "
    "cluster column field record join sorting s3 blob event translation i18n locale msg messages property prop json "
    "yaml "
    "config conf setting node dict option options ctrl shift alt press pressed shortcut return enter escape arrow "
    "hotkey host known "
    "value pair any no not missing invalid unknown duplicate this that the registry hkey feature flag topic span "
    "trace issue "
    "project jira ticket scan compose compound natural surrogate business alternate candidate super search query "
    "filter list item entry "
    "ordering order grouping sharding clustering distribution versioned verification verify expired rate limit "
    "throttle lock mutex "
    "sequence stats metric metrics tag concurrency default max min total num last first next prev start end exclusive "
    "inclusive upper lower"
)
_BENIGN_LAST: Final = _set(
    "name names file files filename path paths id ids ttl type types policy policies url urls uri ref refs length len "
    "size sizes "
    "count counts limit limits max min expiry expires expire expiration timeout age enabled enable disabled required "
    "optional prefix "
    "suffix version format algorithm alg algo rotation issuer audience field fields column label labels env envs var "
    "vars variable "
    "header headers selector index status state reset strength hint placeholder mount dir directory provider "
    "providers manager arn "
    "date time at by usage usages scope scopes endpoint server host hosts port user username users email method grant "
    "interval period "
    "days hours minutes seconds secs ms revision generation location region namespace class kind description desc "
    "title message msg "
    "error errors reason attempts attempt retries failures valid invalid checks check rules rule validator encoder "
    "decoder service "
    "factory store storage handler filter validation verification change changed updated created expired last bits "
    "bit rounds iterations "
    "cost mode modes source sources backend driver plugin plugins plugintype cache cached refresh rate bucket budget "
    "budgets used remaining "
    "total per window position offset pattern patterns regex template templates schema schemas example examples doc "
    "docs page link button "
    "input form tab icon image color colour primary secondary success warning danger border background text font enc "
    "usages flow request requests "
    "response responses exchange review reviews group groups role roles account accounts list map pair pairs ring "
    "chain slot press up down code codes "
    "management rotate rotated rotator renew renewal revocation revoked sync syncer duration seconds milliseconds "
    "owner purpose title spec "
    "space spaces value_from from vault engine length complexity history lock locked login logins mech mechanism"
)
_ANYWHERE: Final = _set(
    "checksum checksums sha sha1 sha256 sha512 md5 digest digests fingerprint fingerprints thumbprint integrity "
    "public pubkey publishable "
    "monkey turkey keyboard hockey keyword keywords donkey etag gosum sum"
)
# What is random and no secret: ids, revisions, digests. A name with one of these words says so.
_PUBLIC_WORDS: Final = _set(
    "id ids uid uids uuid uuids guid guids cid oid arn urn commit commits rev revs revision revisions ref "
    "refs tree blob head parent hash hashes crc md sri nar ipfs checksum version versions build builds trace "
    "span request req correlation transaction cursor slug url urls uri href link links path paths file files "
    "filename image images layer layers container containers node pod test tests case alphabet charset chars "
    "table tag tags license cert certificate certificates ca pem data content contents body payload bytes "
    "base64 b64 example sample"
)
_NEUTRAL: Final = _set(
    "value values data b64 base64 raw string str plain plaintext cleartext prod production staging stage dev test "
    "live sandbox old new "
    "current previous backup main base override bytes hex decoded encoded env qa uat admin root rw ro readonly v1 v2 "
    "v3 local ci key1 key2 a b secure encrypted"
)
# In a mapping under a secret's name: what the secret itself stands under,
_CARRIERS: Final = (_NEUTRAL - _set("env encrypted secure")) | _set("default val content contents primary secondary")
# and what is said about it, beside the endings that say so of any name.
_DESCRIBING: Final = _BENIGN_LAST | _set(
    "author bin component condition deprecated digits encrypted engines enum environment external funding gid hasher "
    "hashing help homepage keepers maximum minimum operator permission permissions property repository resolution "
    "resolved secure shape special strategy tag target tooltip unit widget"
)
_MANY: Final = _set("passwords passphrases passcodes secrets tokens apikeys")
_NO_KEYS: Final = _set(
    "hotkey whiskey lackey passkey partitionkey primarykey foreignkey cachekey sortkey idempotencykey"
)
_JOINED: Final = re.compile(
    rb"(?:.*(?:password|passwd|passphrase|pwd|passwort)|(?:db|pg|my|sql|mysql|root|user|admin|ssh|smtp|redis|mongo|ldap|ftp|app|key|store|bind|vault|become|sudo)pass|.{2,}(?:pw|psk))$"
)
_JOINED_STRONG: Final = re.compile(
    rb".*(?:token|secret|(?:api|auth|access|secret|private|master|encryption|encrypt|signing|shared|account|license|service|app|client|hmac|storage|admin|deploy|session)key)s?$"
)


def classify(name: bytes) -> tuple[int, str]:
    """How much a name announces a secret, and the placeholder's kind. Cached; linear in the name."""
    known = _CACHE.get(name)
    if known is None:
        known = _classify(name)
        if len(_CACHE) >= _CACHE_SIZE:
            _CACHE.clear()
        _CACHE[name] = known
    return known


def _words(name: bytes) -> list[bytes]:
    return [word.lower() for word in WORDS.findall(name[-120:])]


def says_public(name: bytes) -> bool:
    """Whether a name says that what it stands for is random without being a secret."""
    words = set(_words(name))
    return bool(words & _PUBLIC_WORDS or words & _ANYWHERE)


def carries(name: bytes) -> bool:
    """Whether what stands under it, in a mapping under a secret's name, is the secret: `value`, `default`, `prod`."""
    return all(word in _CARRIERS or word.isdigit() for word in _words(name))


def describes(name: bytes) -> bool:
    """Whether what stands under it there is said about the secret: `type`, `minLength`, `secretKeyRef`."""
    words = _words(name)
    return bool(words and (words[-1] in _DESCRIBING or _ANYWHERE & set(words)))


def holds_many(name: bytes) -> bool:
    """Whether a mapping under it has a secret under each name: `passwords`, `apiTokens`."""
    words = _words(name)
    return bool(words and (words[-1] in _MANY or words[-2:] == [b"api", b"keys"]))


def narrow(text: bytes) -> bytes:
    """Letters of full width (U+FF01 to U+FF5E: ASCII once more) as plain ones."""
    return _FULL.sub(_narrow, text) if b"\xef" in text else text


def _narrow(found: re.Match[bytes]) -> bytes:
    code = ((found.group(1)[0] & 63) << 6 | found.group(2)[0] & 63) - 0xF00 + 32
    return bytes((code,)) if 33 <= code <= 126 else found.group()


def _classify(name: bytes) -> tuple[int, str]:
    words = _words(narrow(name))
    while words and (words[-1].isdigit() or (words[-1] in _NEUTRAL and len(words) > 1)):
        words.pop()
    if not words or _ANYWHERE & set(words):
        return BENIGN, ""
    force, kind = _judge(words)
    # in a path (`registry/team/auth-proxy:`) or an annotation's domain only a full name counts
    return (BENIGN, "") if force == WEAK and b"/" in name else (force, kind)


def _judge(words: list[bytes]) -> tuple[int, str]:
    last = words[-1]
    before = words[-2] if len(words) > 1 else b""
    if last in _HUMAN or _JOINED.match(last):
        if last == b"pin" and before in (b"", b"gpio", b"ssl", b"certificate", b"public"):
            return BENIGN, ""
        if last == b"pass" and before in (b"by", b"two", b"first", b"single", b"multi", b"test", b"tests"):
            return BENIGN, ""
        return HUMAN, "password"
    if last in (b"key", b"keys"):
        if not before or before in _BEFORE_KEY:
            return (WEAK, "key") if not before else (BENIGN, "")
        return STRONG, "api-key" if before in (b"api", b"app") else "key"
    if last in _STRONG or _JOINED_STRONG.match(last):
        return STRONG, _kind(last)
    if last in _WEAK:
        return WEAK, _kind(last)
    if last == b"id" and before in (b"secret", b"session", b"sess"):
        return (STRONG if before == b"secret" else WEAK), before.decode()
    if last in _BENIGN_LAST:
        return BENIGN, ""
    if last.endswith(b"key") and len(last) > 6 and last not in _NO_KEYS:
        return WEAK, "key"
    for word in words:
        if word in _HUMAN or word in _STRONG or _JOINED.match(word) or _JOINED_STRONG.match(word):
            return WEAK, _kind(word)
    return BENIGN, ""


def _kind(word: bytes) -> str:
    for kind in ("token", "secret", "password", "key", "cookie", "session", "signature", "credential", "hash"):
        if kind in word.decode():
            return kind
    if word in (b"auth", b"authorization"):
        return "authorization"
    if word == b"dsn":
        return "dsn"
    return "token" if word in (b"jwt", b"pat", b"bearer") else "secret"
