"""The engine and what its hits mean: from bytes to merged spans, and from spans to placeholders. Not the public face."""
# ruff: noqa: E501

from __future__ import annotations

import bisect
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .containers import container_spans, known_container
from .engine import BLOCK, MASK, SHIFT, Engine, Pattern, open_engine
from .keyed import BARE, LONGEST
from .page import Page
from .placeholders import OPEN, PLACEHOLDER, Numbers, is_random
from .spans import Found, merge

if TYPE_CHECKING:
    from .settings import RedactionSettings

_GUESSABLE: Final = frozenset(("password", "url-password", "hash", "cookie", "value", "kubernetes-secret"))
_DENSE: Final = 24  # bytes between one near miss and the next,
_FLOOD: Final = 256  # and so many in a row: no text that means anything; it goes whole, unread
_BEFORE_ANCHOR: Final = 120
_AFTER_ANCHOR: Final = 400
_WHOLE: Final = frozenset(
    ("private-key", "kubernetes-secret", "flood", "value")
)  # go whole, a placeholder among them or not
_DEEP: Final = 4096  # a hit this far inside what was found adds nothing


class Rules:
    """The engine and what its hits mean. Made once, at the first text."""

    def __init__(self, settings: RedactionSettings | None, cache: Path | None) -> None:
        from . import assigned, blocks, commands, decoding, disguised, keyed, named, places, shapes, spelled
        from .anchors import ANCHORS
        from .catalogue import RULES, literal_beginnings

        self._off = frozenset(settings.off) if settings else frozenset()
        self._allow = frozenset(settings.allowed) if settings else frozenset()
        self._token_rules = [rule for rule in RULES if rule.kind not in self._off]
        families: dict[str, Callable[[Page, int], None]] = {
            "keyed": keyed.keyed,
            "assigned": assigned.assigned,
            "number": spelled.number,
            "stated": spelled.stated,
            "named": named.Named(self.find),
            "said": spelled.said,
            "spaced": spelled.spaced,
            "url": places.url,
            "header": places.header,
            "cookie": places.cookie,
            "pem": places.pem,
            "secret": blocks.kubernetes_secret,
            "encoded": lambda page, end: decoding.encoded(page, end, self.find),
            "disguised": disguised.disguised,
            "hexed": lambda page, end: decoding.hexed(page, end, self.find),
            "percent": lambda page, end: decoding.percent(page, end, self.find),
            "printed": commands.printed,
            "command": commands.command,
            **{f"shape:{n}": partial(shapes.shape, number=n) for n in range(len(shapes.SHAPES))},
        }
        encoded = -1 - len(ANCHORS)
        digest = hashlib.sha256(
            repr(
                (ANCHORS, decoding.MARKS, decoding.PACKED, [(rule.shape, rule.anchor) for rule in self._token_rules])
            ).encode()
        ).hexdigest()

        def patterns() -> list[Pattern]:
            made = [Pattern(a.pattern, a.caseless, -1 - n, 0) for n, a in enumerate(ANCHORS)]
            starts = [
                text for rule in self._token_rules for one, _ in rule.begins() for text in literal_beginnings(one)
            ]
            marks = decoding.encoded_marks(starts)
            made += [Pattern(re.escape(mark), False, encoded, 0) for mark in marks]
            for number, rule in enumerate(self._token_rules):
                made += [Pattern(text, False, number, width) for text, width in rule.begins()]
            return made

        self.engine: Engine
        self.engine, listed = open_engine(patterns, digest, cache)
        self._means = [(one.rule, one.width) for one in listed]
        self._by_anchor = [families[anchor.family] for anchor in ANCHORS] + [families["encoded"]]
        self._whole, self._field = decoding.whole, assigned.field
        self._sources = _compile_sources(settings)
        self._extras = _compile_extra(settings)
        self._shapes: dict[int, tuple[re.Pattern[bytes], bool]] = {}

    def untouched(self, data: bytes) -> bool:
        """Whether no pattern hits at all: then `find` finds nothing, in the whole or in any part of it."""
        return not self._extras and not any(True for _ in self.engine.hits(data, 0, len(data)))

    def find(self, page: Page, target: str = "", name: bytes | None = None) -> list[Found]:
        """Every secret, merged and in order. `name`: of the field whose whole value the text is."""
        data = page.data
        streak = last = flood = 0
        floods: dict[int, int] = {}
        means, families, token = self._means, self._by_anchor, self._token
        for start in range(0, len(data), BLOCK):
            for hit in self.engine.hits(data, start, min(len(data), start + BLOCK)):
                end = hit >> SHIFT
                rule, width = means[hit & MASK]
                if rule >= 0:
                    if end + _DEEP >= page.covered:
                        token(page, rule, end, width)
                    continue
                streak = streak + 1 if end - last < _DENSE else 0
                last = end
                if streak > _FLOOD:
                    if streak == _FLOOD + 1:
                        flood = end
                    floods[flood] = end
                elif end + _DEEP >= page.covered:
                    families[-1 - rule](page, end)
        for start, end in floods.items():
            page.add(start, end, "flood")
        if page.depth or name is not None:
            self._whole(page, self.find)
        if name is not None:
            self._field(page, name)
        found = page.found
        if not page.depth:
            if target and (container := known_container(target, "")):
                found += container_spans(data, container)
            self._extra(data, found)
            if target and self._sources:
                self._tighten(data, found, target)
        if not found:
            return found
        held = [match.span() for match in PLACEHOLDER.finditer(data)] if OPEN in data else []
        if held:
            found = _outside(found, held)
        return self._allowed(data, _settle(data, merge(found), held))

    def placeholder(self, data: bytes, one: Found, numbers: Numbers) -> bytes:
        """What takes the place of `one`."""
        long = one.end - one.start > LONGEST
        value = b"" if long else data[one.start : one.end]
        made = numbers.placeholder(one.kind, value, long or one.kind in _GUESSABLE or not is_random(value))
        return b'"%s"' % made if one.quote else made

    def replace(
        self, data: bytes, found: list[Found], numbers: Numbers, start: int, end: int
    ) -> tuple[bytes, dict[str, int]]:
        """`data[start:end]` with placeholders for `found`, and how many of each kind."""
        parts: list[bytes] = []
        kinds: Counter[str] = Counter()
        at = start
        for one in found:
            parts.append(data[at : one.start])
            parts.append(self.placeholder(data, one, numbers))
            kinds[one.kind] += 1
            at = one.end
        parts.append(data[at:end])
        return b"".join(parts), dict(kinds)

    def _extra(self, data: bytes, found: list[Found]) -> None:
        for kind, pattern, group in self._extras:
            for match in pattern.finditer(data):
                if match.end(group) > match.start(group):
                    found.append(Found(match.start(group), match.end(group), kind))

    def _tighten(self, data: bytes, found: list[Found], target: str) -> None:
        for matcher, switches in self._sources:
            if matcher.matches(target):
                if switches.values:
                    found += container_spans(data, "source")
                if switches.random:
                    found += [
                        Found(*match.span(), "random")
                        for match in _LONG_WORD.finditer(data)
                        if is_random(match.group())
                    ]

    def _allowed(self, data: bytes, found: list[Found]) -> list[Found]:
        allowed, off = self._allow, self._off
        if not allowed and not off:
            return found
        return [
            one
            for one in found
            if one.kind not in off
            and not (allowed and hashlib.sha256(data[one.start : one.end]).hexdigest() in allowed)
        ]

    def _token(self, page: Page, number: int, end: int, width: int) -> None:
        known = self._shapes.get(number)
        if known is None:
            rule = self._token_rules[number]
            known = self._shapes[number] = (re.compile(rule.shape.encode()), rule.needs_boundary)
        shape, boundary = known
        data = page.data
        if width:
            start = end - width
            if (boundary and start and not _at_word(data, start)) or not (match := shape.match(data, start)):
                return
        else:  # the anchor lies somewhere within
            for match in shape.finditer(data, max(0, end - _BEFORE_ANCHOR), end + _AFTER_ANCHOR):
                if match.start() < end <= match.end() + 1 and (not match.start() or _at_word(data, match.start())):
                    break
            else:
                return
        page.add(match.start(), match.end(), self._token_rules[number].kind)


_LONG_WORD: Final = re.compile(rb"[A-Za-z0-9+/_=-]{20,}")


def _compile_sources(settings: RedactionSettings | None) -> list[tuple[Any, Any]]:
    if not settings or not settings.sources:
        return []
    from interlock.globs import compile_globs

    return [(compile_globs([glob]), switches) for glob, switches in settings.sources.items()]


def _compile_extra(settings: RedactionSettings | None) -> list[tuple[str, Any, int]]:
    if not settings or not settings.extra:
        return []
    import re2  # type: ignore[import-untyped,unused-ignore]

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return [(kind, re2.compile(one.pattern.encode(), options), one.group) for kind, one in settings.extra.items()]


def _at_word(data: bytes, start: int) -> bool:
    before = data[start - 1]
    if not (48 <= before <= 57 or 65 <= before <= 90 or 97 <= before <= 122):
        return True  # a dash and an underscore too: dump-TOKEN.txt, KEY_TOKEN
    # an escape before it: \n, \t, %3D, \u0022
    return data[start - 2 : start - 1] == b"\\" or (start >= 3 and data[start - 3] == 37)


def _outside(found: list[Found], held: list[tuple[int, int]]) -> list[Found]:
    """Without what only a placeholder's own words made look like a secret."""
    starts = [low for low, _ in held]
    kept: list[Found] = []
    for one in found:
        index = bisect.bisect_left(starts, one.start) - 1
        if index < 0 or one.start >= held[index][1]:
            kept.append(one)
    return kept


def _counts(piece: bytes, kind: str) -> bool:
    """Whether what is left of a secret beside a placeholder still is one."""
    return len(piece) >= 6 and (kind in _WHOLE or is_random(piece.strip()))


def _settle(data: bytes, found: list[Found], held: list[tuple[int, int]]) -> list[Found]:
    """Placeholders that the text already holds stay as they are; an overlong secret goes to the end of its run."""
    if not held and all(one.end - one.start <= LONGEST for one in found):
        return found
    settled: list[Found] = []
    index = 0
    for one in found:
        if settled and one.start < settled[-1].end:
            continue
        start, end = one.start, one.end
        if end - start > LONGEST and (run := BARE.match(data, end)):
            end = run.end()
        while index < len(held) and held[index][1] <= start:
            index += 1
        at = index
        while at < len(held) and held[at][0] < end:
            low, high = held[at]
            if _counts(data[start:low], one.kind):
                settled.append(one._replace(start=start, end=low, quote=False))
            start = max(start, high)
            at += 1
        if at == index:
            settled.append(one._replace(end=end))
        elif _counts(data[start:end], one.kind):
            settled.append(one._replace(start=start, end=end, quote=False))
    return settled
