"""The keys: what this installation derives its secrets from, and the pair with which a person consents.

Three files in one 0700 folder outside every home: `installation.key` (32 random bytes, for servers and command line),
`person.key` (Ed25519, PEM, with or without a passphrase; only the command line reads it) and `person.pub`.
Not for what is signed (`statements`). `cryptography` is loaded at the first signature, not at start.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .disk import check_home, check_private_file, write_private
from .errors import Broken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

INSTALLATION: Final = "installation.key"
PERSON: Final = "person.key"
PUBLIC: Final = "person.pub"
KEY_BYTES: Final = 32
_LARGEST: Final = 4096  # bytes; no key file is larger
_TITLE: Final = b"interlock person key ed25519 "


def keys_dir() -> Path:
    """The folder of the keys: `$XDG_CONFIG_HOME/interlock/keys`, else `~/.config/interlock/keys`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base and base.startswith("/") else Path.home() / ".config") / "interlock" / "keys"


@dataclass(frozen=True, slots=True)
class Keys:
    """What servers hold: the installation's key and the person's public half. Never the person's own key."""

    public: bytes  # the person's Ed25519 public key, 32 bytes
    _root: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: Path | None = None) -> Keys:
        """Read the keys. Raises Broken where one is missing, damaged, or open to others."""
        folder = folder or keys_dir()
        if not folder.is_dir():
            raise Broken(f"there are no keys in {folder}", hint="run `interlock init` first")
        check_home(folder)
        root = _read(folder / INSTALLATION)
        if len(root) != KEY_BYTES:
            raise Broken(
                f"{folder / INSTALLATION} is damaged", hint="put the original back; a new one voids placeholders"
            )
        return cls(_public(folder / PUBLIC), root)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256, RFC 5869): knowing them tells nothing of those for another."""
        extracted = hmac.digest(b"interlock installation v1", self._root, "sha256")
        return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")

    def mac(self, purpose: str, body: bytes) -> bytes:
        """A keyed digest (HMAC-SHA256, 32 bytes) that only this installation can make or check."""
        return hmac.digest(self.derive(purpose), body, "sha256")

    def sign_checkpoint(self, body: bytes) -> bytes:
        """The servers' own Ed25519 signature (64 bytes), for checkpoints of chains."""
        return _private(self.derive("checkpoint")).sign(body)

    def verify_checkpoint(self, body: bytes, signature: bytes) -> bool:
        return _verify(_private(self.derive("checkpoint")).public_key().public_bytes_raw(), body, signature)

    def verify_person(self, body: bytes, signature: bytes) -> bool:
        """Whether the person whose public half lies here signed exactly these bytes."""
        return _verify(self.public, body, signature)


@dataclass(frozen=True, slots=True)
class Person:
    """A person at the command line, able to sign. Made by `Person.load`; no server ever makes one."""

    by: str  # the account's name, as records show it
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def load(cls, passphrase: Callable[[], str] | None = None, folder: Path | None = None) -> Person:
        """Read the person's key; `passphrase` is asked only where the key has one. Raises Broken."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        folder = folder or keys_dir()
        if not folder.is_dir():
            raise Broken(f"there are no keys in {folder}", hint="run `interlock init` first")
        check_home(folder)
        path = folder / PERSON
        pem, secret = _read(path), None
        if b"ENCRYPTED" in pem[:64]:
            if passphrase is None:
                raise Broken(f"{path} has a passphrase and nobody is there to type it", hint="run this in a terminal")
            secret = passphrase().encode()
        try:
            key = load_pem_private_key(pem, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            why = "the passphrase is wrong" if secret is not None else f"{path} is damaged"
            raise Broken(why, hint="try again" if secret is not None else "put the original back") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise Broken(f"{path} is not an Ed25519 key", hint="put the original back")
        if key.public_key().public_bytes_raw() != _public(folder / PUBLIC):
            raise Broken(
                f"{path} does not belong to {PUBLIC}: servers would refuse what it signs", hint="put the originals back"
            )
        return cls(account(), key)

    def sign(self, body: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return self._key.sign(body)


def create_keys(passphrase: str | None = None, folder: Path | None = None) -> Path:
    """Make the folder and whichever keys are missing; never replaces one. Returns the folder. Raises Broken."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder = folder or keys_dir()
    check_home(folder, create=True)
    try:
        if not _exists(folder / INSTALLATION):
            write_private(folder / INSTALLATION, os.urandom(KEY_BYTES), replace=False)
        if _exists(folder / PERSON) != _exists(folder / PUBLIC):
            present, missing = (PERSON, PUBLIC) if _exists(folder / PERSON) else (PUBLIC, PERSON)
            raise Broken(
                f"{folder} holds {present} but not {missing}",
                hint=f"put {missing} back, or move {present} away to begin with a new pair",
            )
        if not _exists(folder / PERSON):
            key = Ed25519PrivateKey.generate()
            public = _TITLE + key.public_key().public_bytes_raw().hex().encode() + b"\n"
            write_private(folder / PERSON, _pem(key, passphrase), replace=False)
            write_private(folder / PUBLIC, public, replace=False)
    except OSError as error:
        raise Broken(f"keys cannot be written to {folder} ({os.strerror(error.errno or 5).lower()})") from error
    return folder


def protected_by_passphrase(folder: Path | None = None) -> bool:
    """Whether the person's key has a passphrase: without one, who holds the account can consent."""
    return b"ENCRYPTED" in _read((folder or keys_dir()) / PERSON)[:64]


def account() -> str:
    """The name of this account by its number: no variable decides who signed."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def fingerprint(public: bytes) -> str:
    """A public key in few characters, for people to compare."""
    return hashlib.sha256(public).hexdigest()[:16]


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _pem(key: Ed25519PrivateKey, passphrase: str | None) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    locked = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


def _read(path: Path) -> bytes:
    """A private file's bytes; refuses what is no plain file of this account. Raises Broken."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            check_private_file(path, tighten=False)
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise Broken(f"the key {path} is missing", hint="put it back, or run `interlock init`") from None
    except OSError as error:
        raise Broken(f"the key {path} cannot be read ({os.strerror(error.errno or 5).lower()})") from error
    if not content or len(content) > _LARGEST:
        raise Broken(f"the key {path} is damaged", hint="put the original back")
    return content


def _public(path: Path) -> bytes:
    content = _read(path)
    try:
        public = bytes.fromhex(content.removeprefix(_TITLE).decode("ascii"))
    except ValueError:
        public = b""
    if not content.startswith(_TITLE) or len(public) != KEY_BYTES:
        raise Broken(f"the key {path} is damaged", hint="put the original back")
    return public


def _private(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _verify(public: bytes, body: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True
