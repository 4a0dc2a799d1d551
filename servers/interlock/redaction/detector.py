"""The one detector: finds secrets in text and puts placeholders in their places. Loads its engine at first use."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.model import Redacted

from .containers import keys_only, known_container
from .engine import BLOCK
from .page import Page, Room
from .placeholders import Numbers
from .rules import Rules
from .spans import PutBack, Span
from .stream import LOOKBACK, Stream

if TYPE_CHECKING:
    from .settings import RedactionSettings


class Detector:
    """Thread-safe; cheap to make. `key` is the installation's (32 bytes), `cache` a private folder or None."""

    LOOKBACK: Final = LOOKBACK

    def __init__(self, key: bytes, settings: RedactionSettings | None = None, cache: Path | None = None) -> None:
        self._key = key
        self._settings = settings
        self._cache = cache
        self._lock = threading.Lock()
        self._rules: Rules | None = None

    def redact(self, text: str, target: str = "") -> Redacted:
        """Replace every secret by a placeholder. `target` (a real path, say) salts ids and names the place."""
        page = Page(text.encode("utf-8", "surrogatepass"))
        return self._redact(text, page, Numbers(self._key, target), target)

    def redact_value(self, value: Any, target: str = "") -> tuple[Any, int]:
        """The same for JSON-like values, judged whole: keys stay, what stands under a secret's name goes."""
        from .objects import plain_object, redact_object, wants_look

        numbers = Numbers(self._key, target)
        texts: list[str] = []
        plain = plain_object(value, texts)
        quiet = self._nothing_in(texts)
        if quiet and plain:
            return value, 0
        room = Room(sum(map(len, texts)))

        def redact(text: str, name: bytes) -> Redacted:
            look = wants_look(name, text)
            if quiet and not look:
                return Redacted(text)
            page = Page(text.encode("utf-8", "surrogatepass"), room=room)
            return self._redact(text, page, numbers, name=name if look else None)

        return redact_object(value, redact, numbers)

    def spans(self, text: str, target: str = "") -> list[Span]:
        """The secrets of a text with their places in it (code points), in order."""
        data = text.encode("utf-8", "surrogatepass")
        rules = self._rules or self._load()
        numbers = Numbers(self._key, target)
        numbers.take_all(data)
        ascii_ = len(data) == len(text)
        spans: list[Span] = []
        byte = point = 0
        for one in rules.find(Page(data), target):
            placeholder = rules.placeholder(data, one, numbers).decode()
            if ascii_:
                spans.append(Span(one.start, one.end, one.kind, placeholder))
                continue
            point += len(data[byte : one.start].decode("utf-8", "surrogatepass"))
            start = point
            point += len(data[one.start : one.end].decode("utf-8", "surrogatepass"))
            byte = one.end
            spans.append(Span(start, point, one.kind, placeholder))
        return spans

    def stream(self, target: str = "") -> Stream:
        """Redaction in constant memory, for bytes; the same result however they are cut into pieces."""
        return Stream(self._rules or self._load(), Numbers(self._key, target))

    def find_in_outgoing(self, text: str, target: str = "") -> list[Span]:
        """Secrets in text that is about to leave this machine (a commit, a push)."""
        return self.spans(text, target)

    def has_placeholder(self, text: str) -> bool:
        """Whether a placeholder stands in the text, also one that was altered."""
        return "[secret:" in text

    def put_back(self, new: str, current: str, target: str) -> PutBack:
        """Originals for the placeholders in `new`, from the target's current content, only in place.

        Raises Refused (invalid) where a placeholder is unknown, altered or stands somewhere else.
        """
        from .roundtrip import put_back

        return put_back(new, current, target, lambda text: self.spans(text, target))

    @staticmethod
    def known_container(path: str, head: str = "") -> str | None:
        """What kind of secret file this is ("env", "kubeconfig", ...), by path or beginning; None: none."""
        return known_container(path, head)

    @staticmethod
    def keys_only(text: str, kind: str) -> str:
        """A secret file's key names, one a line; nothing of any value."""
        return keys_only(text, kind)

    def _nothing_in(self, texts: list[str]) -> bool:
        """Whether no pattern is anywhere in the texts of a value, seen in one pass: the usual case for records."""
        data = "\n".join(texts).encode("utf-8", "surrogatepass")
        return len(data) <= BLOCK and (self._rules or self._load()).untouched(data)

    def _redact(self, text: str, page: Page, numbers: Numbers, target: str = "", name: bytes | None = None) -> Redacted:
        rules, data = self._rules or self._load(), page.data
        found = rules.find(page, target, name)
        if not found:
            return Redacted(text)
        numbers.take_all(data)
        body, kinds = rules.replace(data, found, numbers, 0, len(data))
        return Redacted(body.decode("utf-8", "surrogatepass"), len(found), kinds)

    def _load(self) -> Rules:
        with self._lock:
            if self._rules is None:
                self._rules = Rules(self._settings, self._cache)
            return self._rules
