"""What of a file's bytes may be shown: redacted whole before anything is selected, protected files as the policy says.

The same for work trees, the index and history: a removed credential in an old commit is still one.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from interlock.guard.decide import Decider
from interlock.guard.model import Action, Attribute, Detector, Effect
from interlock.registry import VERBS
from interlock.untrusted import one_line

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

TEXT_LIMIT: Final = 2 << 20  # bytes of one file that are redacted and shown; above, only its size
CACHE: Final = 512  # redacted texts kept
CACHE_BYTES: Final = 32 << 20
BETWEEN: Final = "\n\x1e\n"
LINE: Final = 400  # characters of one line that are shown


@dataclass(frozen=True, slots=True)
class Shown:
    """One file's text as it may be shown. `note`: why it is not, or what is special."""

    text: str | None
    note: str = ""
    redactions: int = 0


class Contents:
    """Redacts file contents, and remembers by object id what it has redacted. Thread-safe."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str], Shown] = OrderedDict()
        self._bytes = 0

    def blob(self, blob: pygit2.Blob, path: str, root: str, policy: Policy) -> Shown:
        """A stored object, shown as the file at `path`."""
        if blob.size > TEXT_LIMIT:
            return Shown(None, f"{blob.size:,} bytes: too large to show")
        return self._remembered(str(blob.id), lambda: blob.data, path, root, policy)

    def raw(self, data: bytes, path: str, root: str, policy: Policy) -> Shown:
        """Bytes of the file at `path` (relative to the work tree's root)."""
        if len(data) > TEXT_LIMIT:
            return Shown(None, f"{len(data):,} bytes: too large to show")
        id = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        return self._remembered(id, lambda: data, path, root, policy)

    def _remembered(self, id: str, read: Callable[[], bytes], path: str, root: str, policy: Policy) -> Shown:
        key = (id, f"{policy.digest}:{root}/{path}")
        with self._lock:
            known = self._cache.get(key)
            if known is not None:
                self._cache.move_to_end(key)
                return known
        shown = self._shown(read(), path, root, policy)
        size = len(shown.text or "")
        with self._lock:
            if key not in self._cache:
                self._bytes += size
            self._cache[key] = shown
            while self._bytes > CACHE_BYTES or len(self._cache) > CACHE:
                _, gone = self._cache.popitem(last=False)
                self._bytes -= len(gone.text or "")
        return shown

    def _shown(self, data: bytes, path: str, root: str, policy: Policy) -> Shown:
        if b"\0" in data[:8000]:
            return Shown(None, f"binary, {len(data):,} bytes")
        text = data.decode("utf-8", "replace")
        full = f"{root}/{path}"
        if private(full, policy):
            return Shown(None, "protected: content not shown")
        if not readable(root, full, policy):
            return Shown(None, "the policy does not let it be read")
        if secret_file(full):
            return _keys_only(self.detector, text, full)
        redacted = self.detector.redact(text, full)
        return Shown(redacted.text, "", redacted.count)

    def messages(self, texts: Sequence[str]) -> list[str]:
        """Many short texts, redacted at once: each whole, none seen with its neighbours."""
        if not texts:
            return []
        redacted = self.detector.redact(BETWEEN.join(text.replace("\x1e", " ") for text in texts)).text.split(BETWEEN)
        return redacted if len(redacted) == len(texts) else [self.message(text) for text in texts]

    def message(self, text: str, place: str = "") -> str:
        """Commit and tag messages, names of authors: redacted."""
        return self.detector.redact(text, place).text


def _keys_only(detector: Detector, text: str, full: str) -> Shown:
    kind = detector.known_container(full, text[:4096])  # type: ignore[attr-defined]
    if kind is None:
        return Shown(None, "a secrets file: content not shown")
    return Shown(detector.keys_only(text, kind), "a secrets file: names only")  # type: ignore[attr-defined]


def protection(path: str, policy: Policy) -> str | None:
    """The pattern that protects this real path against changes, or None."""
    from interlock.guard.policy import builtin

    return builtin.protection(path, policy)


def readable(root: str, path: str, policy: Policy) -> bool:
    """Whether the rules let this very file be read: an answer about many files shows only those."""
    if not _paths_matter(policy):
        return True
    attributes: dict[str, Attribute] = {
        "repository": root,
        "inside": True,
        "own": False,
        "path": path,
        "protected": False,
    }
    return _decider(policy).decide([Action("git.read", path, attributes)]).effect <= Effect.NOTIFY


@lru_cache(4)
def _paths_matter(policy: Policy) -> bool:
    return any("git.read" in rule.verbs and "path" in rule.where for rule in policy.rules)


@lru_cache(4)
def _decider(policy: Policy) -> Decider:
    return Decider(policy.rules, VERBS)


def secret_file(path: str) -> bool:
    """Whether the file is one of which only key names are shown, and which is never committed."""
    from interlock.guard.policy import builtin

    return builtin.known_secret(path)


def private(path: str, policy: Policy) -> bool:
    """Whether the file's content is not shown at all (keys, git's own folder)."""
    from interlock.guard.policy import builtin

    return builtin.protection(path, policy, change=False) is not None


def shown_path(path: str) -> str:
    """A path for people and models: one line, nothing invisible, bytes that are no text written out."""
    try:
        path.encode()
    except UnicodeEncodeError:
        path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return one_line(path, 400)


def short_line(line: str) -> str:
    return line if len(line) <= LINE else f"{line[:LINE]}… [{len(line) - LINE} more characters]"
