"""The one detector: finds secrets in text and puts placeholders in their places. Loads its engine at first use."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from interlock.guard.model import Redacted

from .engine import BLOCK, Engine, Pattern, open_engine
from .page import Page
from .placeholders import OPEN, PLACEHOLDER, Numbers, is_random
from .settings import RedactionSettings
from .spans import Found, Span, merge

_GUESSABLE: Final = frozenset(("password", "url-password", "hash", "cookie"))


class Detector:
    """Thread-safe; cheap to make. `key` is the installation's (32 bytes), `cache` a private folder or None."""

    def __init__(self, key: bytes, settings: RedactionSettings | None = None, cache: Path | None = None) -> None:
        self._key = key
        self._settings = settings or RedactionSettings()
        self._cache = cache
        self._lock = threading.Lock()
        self._rules: Rules | None = None

    def redact(self, text: str, target: str = "") -> Redacted:
        """Replace every secret by a placeholder. `target` salts ids and names the place."""
        data = text.encode("utf-8", "surrogatepass")
        found = self._find(data)
        if not found:
            return Redacted(text)
        body, kinds = self._replace(data, found, Numbers(self._key, target))
        return Redacted(body.decode("utf-8", "surrogatepass"), sum(kinds.values()), kinds)

    def redact_value(self, value: Any, target: str = "") -> tuple[Any, int]:
        """The same for JSON-like values: keys stay, what stands under a secret's name goes."""
        if isinstance(value, str):
            redacted = self.redact(value, target)
            return redacted.text, redacted.count
        if isinstance(value, dict):
            pairs = {key: self.redact_value(one, target) for key, one in value.items()}
            return {key: one for key, (one, _) in pairs.items()}, sum(count for _, count in pairs.values())
        if isinstance(value, (list, tuple)):
            items = [self.redact_value(one, target) for one in value]
            return [one for one, _ in items], sum(count for _, count in items)
        return value, 0

    def spans(self, text: str, target: str = "") -> list[Span]:
        """The secrets of a text with their places in it (code points), in order."""
        data = text.encode("utf-8", "surrogatepass")
        numbers = Numbers(self._key, target)
        ascii_ = len(data) == len(text)
        spans: list[Span] = []
        byte = point = 0
        for one in self._find(data):
            placeholder = self._placeholder(data, one, numbers).decode()
            if ascii_:
                spans.append(Span(one.start, one.end, one.kind, placeholder))
                continue
            point += len(data[byte : one.start].decode("utf-8", "surrogatepass"))
            start = point
            point += len(data[one.start : one.end].decode("utf-8", "surrogatepass"))
            byte = one.end
            spans.append(Span(start, point, one.kind, placeholder))
        return spans

    def has_placeholder(self, text: str) -> bool:
        return "[secret:" in text and PLACEHOLDER.search(text.encode("utf-8", "surrogatepass")) is not None

    def _find(self, data: bytes) -> list[Found]:
        rules = self._rules or self._load()
        return rules.find(data)

    def _load(self) -> Rules:
        with self._lock:
            if self._rules is None:
                self._rules = Rules(self._settings, self._cache)
            return self._rules

    def _placeholder(self, data: bytes, one: Found, numbers: Numbers) -> bytes:
        value = data[one.start : one.end]
        made = numbers.placeholder(one.kind, value, one.kind in _GUESSABLE or not is_random(value))
        return b'"%s"' % made if one.quote else made

    def _replace(self, data: bytes, found: list[Found], numbers: Numbers) -> tuple[bytes, dict[str, int]]:
        if OPEN in data:
            for match in PLACEHOLDER.finditer(data):
                numbers.take(match.group())
        parts: list[bytes] = []
        kinds: Counter[str] = Counter()
        at = 0
        for one in found:
            parts.append(data[at : one.start])
            parts.append(self._placeholder(data, one, numbers))
            kinds[one.kind] += 1
            at = one.end
        parts.append(data[at:])
        return b"".join(parts), dict(kinds)


class Rules:
    """The engine and what its hits mean. Made once, at the first text."""

    def __init__(self, settings: RedactionSettings, cache: Path | None) -> None:
        from . import blocks, commands, decoding, keyed, places, shapes
        from .anchors import ANCHORS
        from .catalogue import RULES

        self._token_rules = [rule for rule in RULES if rule.kind not in settings.off]
        self._families: dict[str, Callable[[Page, int], None]] = {
            "keyed": keyed.keyed,
            "next": keyed.next_line,
            "argument": keyed.argument,
            "element": keyed.element,
            "spaced": keyed.spaced,
            "paired": keyed.paired,
            "url": places.url,
            "header": places.header,
            "cookie": places.cookie,
            "pem": places.pem,
            "said": keyed.said,
            "described": blocks.described,
            "table": blocks.table,
            "secret": blocks.kubernetes_secret,
            "encoded": lambda page, end: decoding.encoded(page, end, self.find),
            "percent": lambda page, end: decoding.percent(page, end, self.find),
            "entity": decoding.entity,
            "printed": commands.printed,
            "command": commands.command,
            **{f"shape:{n}": partial(shapes.shape, number=n) for n in range(len(shapes.SHAPES))},
        }
        names = [anchor.family for anchor in ANCHORS]
        digest = hashlib.sha256(
            "\n".join([*(a.pattern for a in ANCHORS), *(r.shape for r in self._token_rules)]).encode()
        ).hexdigest()

        def patterns() -> list[Pattern]:
            made = [Pattern(a.pattern, a.caseless, -1 - n, 0) for n, a in enumerate(ANCHORS)]
            for number, rule in enumerate(self._token_rules):
                made += [Pattern(text, False, number, width) for text, width in rule.begins()]
            return made

        self.engine: Engine
        self.engine, listed = open_engine(patterns, digest, cache)
        self._means = [(one.rule, one.width) for one in listed]
        self._names = names
        self._shapes: dict[int, tuple[re.Pattern[bytes], bool]] = {}

    def find(self, data: bytes, depth: int = 0) -> list[Found]:
        """Every secret, merged and in order."""
        page = Page(data, depth)
        means, names, families = self._means, self._names, self._families
        for start in range(0, len(data), BLOCK):
            for end, pattern in self.engine.hits(data, start, min(len(data), start + BLOCK)):
                rule, width = means[pattern]
                if rule >= 0:
                    self._token(page, rule, end - width)
                else:
                    families[names[-1 - rule]](page, end)
        if not page.found:
            return page.found
        return _without_placeholders(data, merge(page.found))

    def _token(self, page: Page, number: int, start: int) -> None:
        known = self._shapes.get(number)
        if known is None:
            rule = self._token_rules[number]
            known = self._shapes[number] = (re.compile(rule.shape.encode()), rule.needs_boundary)
        shape, boundary = known
        if boundary and start and not _at_word(page.data, start):
            return
        match = shape.match(page.data, start)
        if match:
            page.add(start, match.end(), self._token_rules[number].kind)


def _at_word(data: bytes, start: int) -> bool:
    before = data[start - 1]
    if not (48 <= before <= 57 or 65 <= before <= 90 or 97 <= before <= 122 or before == 95 or before == 45):
        return True
    # an escape before it: \n, \t, %3D, \u0022
    return data[start - 2 : start - 1] == b"\\" or (start >= 3 and data[start - 3] == 37)


def _without_placeholders(data: bytes, found: list[Found]) -> list[Found]:
    """Placeholders that the text already holds stay as they are."""
    if OPEN not in data:
        return found
    held = [(match.start(), match.end()) for match in PLACEHOLDER.finditer(data)]
    if not held:
        return found
    return [one for one in found if not any(start < one.end and one.start < end for start, end in held)]
