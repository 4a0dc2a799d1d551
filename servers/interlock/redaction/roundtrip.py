"""Puts originals back in place of placeholders: the agent edits a file full of secrets and never holds one.

The originals come from the target's current content, redacted again; no store of secrets exists. Only in place: in
YAML, JSON and TOML at the same key path, elsewhere on a line that the diff leaves unchanged and unmoved. When
something around it that says where the secret goes has changed, or a document cannot be read for certain, a person
is asked. All else is refused, also what would make a secret that went back readable for the agent.
"""
# ruff: noqa: E501

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from interlock.guard.errors import Code, Refused

from .documents import Located, locate
from .lines import LineMatch, match_lines
from .placeholders import PLACEHOLDER_TEXT
from .spans import PutBack, Span

KINDS: Final = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".tfstate": "json", ".ipynb": "json"}
_LEAVE_IT: Final = "leave the line with the placeholder exactly as you read it, and change only other lines"


@dataclass(frozen=True, slots=True)
class Place:
    """One placeholder in a text: where it stands, and which secret of the current content it is (-1: literal text)."""

    start: int
    end: int
    text: str
    secret: int = -1


def put_back(new: str, current: str, target: str, find: Callable[[str], Sequence[Span]]) -> PutBack:
    """See `Detector.put_back`. `find` gives a text's secrets, in order."""
    if "[secret:" not in new:
        return PutBack(new)
    if new == current:
        return PutBack(new)  # placeholders that are the file's own text
    secrets = find(current)
    shown, here = _shown(current, secrets)
    there = _places(new, shown, here, target)
    if not there:
        return PutBack(new)
    kind = document_kind(target, current)
    before = locate(shown, [(one.start, one.end) for one in here], kind) if kind else None
    after = locate(new, [(one.start, one.end) for one in there], kind) if before is not None else None
    if before is not None and after is None:
        raise _refused(
            f"the new content cannot be read for certain as {kind.upper()} (a key twice, an alias, a template, or broken),"
            " so it is not known where its secrets would go",
            "mend that part and write again; everything else may stay as it is",
        )
    by_line = [place.start for number, place in enumerate(there) if after is None or number not in after.paths]
    lines = match_lines(shown, new) if by_line else None
    if lines is not None:
        lines.read(by_line)
    chosen: list[tuple[Place, int]] = []
    asks: list[str] = []
    if kind and before is None:
        asks.append(f"the file cannot be read for certain as {kind.upper()}, so it is not known where its secrets go")
    by_path: list[tuple[int, int]] = []
    for number, place in enumerate(there):
        if lines is None or (before is not None and after is not None and number in after.paths):
            assert before is not None and after is not None
            secret, ask = _at_path(number, place, before, after, here)
            if secret >= 0:
                by_path.append((number, secret))
        else:
            secret, ask = _on_line(place, lines, here)
        chosen.append((place, here[secret].secret))
        asks += ask
    text, restored = _restore(new, chosen, current, secrets)
    if before is not None and after is not None and kind:
        _verify(text, new, current, kind, after, [number for number, _ in by_path])
    _still_hidden(text, restored, find)
    return PutBack(text, tuple(dict.fromkeys(asks)), len(restored))


def document_kind(target: str, current: str) -> str:
    """yaml, json, toml or nothing: by the target's name, else by how its content begins."""
    suffix = PurePosixPath(target.replace("\\", "/")).suffix.lower()
    if suffix in KINDS:
        return KINDS[suffix]
    if current.lstrip()[:1] == "{" and current.rstrip()[-1:] == "}":
        return "json"
    if suffix in ("", ".conf", ".config") and ("\napiVersion:" in current or current.startswith("apiVersion:")):
        return "yaml"
    return ""


def _shown(current: str, secrets: Sequence[Span]) -> tuple[str, list[Place]]:
    """The redacted content and every placeholder in it, literal ones included."""
    parts: list[str] = []
    places: list[Place] = []
    at = length = 0
    for number, one in enumerate(secrets):
        piece = current[at : one.start]
        places += [Place(m.start() + length, m.end() + length, m.group()) for m in PLACEHOLDER_TEXT.finditer(piece)]
        length += len(piece)
        parts += (piece, one.placeholder)
        quote = one.placeholder.startswith('"')
        places.append(Place(length + quote, length + len(one.placeholder) - quote, one.placeholder.strip('"'), number))
        length += len(one.placeholder)
        at = one.end
    rest = current[at:]
    places += [Place(m.start() + length, m.end() + length, m.group()) for m in PLACEHOLDER_TEXT.finditer(rest)]
    return "".join([*parts, rest]), places


def _places(new: str, shown: str, here: Sequence[Place], target: str) -> list[Place]:
    """The new text's placeholders. Refuses what is none of the current content's."""
    known: dict[str, set[bool]] = {}
    for one in here:
        known.setdefault(one.text, set()).add(one.secret >= 0)
    places: list[Place] = []
    at = 0
    while (at := new.find("[secret:", at)) >= 0:
        match = PLACEHOLDER_TEXT.match(new, at)
        line = new.count("\n", 0, at) + 1
        if match is None:
            if new[at : at + 24] not in shown:
                raise _refused(
                    f"the placeholder in line {line} was altered", "write placeholders exactly as you read them"
                )
            at += 8
            continue
        if match.group() not in known:
            raise _refused(
                f"the placeholder in line {line} is none of this file's: it holds no such secret",
                "read the file again; a secret cannot be moved from one file to another",
            )
        if len(known[match.group()]) > 1:
            raise _refused(
                f"the placeholder in line {line} is ambiguous: the file itself holds the same text",
                "let a person remove that text from the file first",
            )
        places.append(Place(at, match.end(), match.group(), 0))
        at = match.end()
    return places


def _at_path(
    number: int, place: Place, before: Located, after: Located, here: Sequence[Place]
) -> tuple[int, list[str]]:
    """The secret at the same key path, and why to ask. Refuses any other path."""
    path = after.paths[number]
    asks: list[str] = []
    held = before.at.get(path)
    if held is None:
        held = before.renamed(after, number)
        if held is None:
            raise _refused(
                f"a placeholder stands at {after.name(number)}, where the file has no secret",
                "a secret stays at its own key: move, copy or rename nothing that holds a placeholder",
            )
        asks.append(f"{after.name(number)}: what names the secret there has changed")
    mine = after.at[path]
    if [here[one].text for one in held] != [after.texts[one] for one in mine]:
        raise _refused(
            f"the placeholder at {after.name(number)} belongs to another key",
            "put each placeholder back where you read it",
        )
    if before.scalar(held[0]) != after.scalar(number):
        asks.append(f"{after.name(number)}: the text around the secret has changed")
    if not before.same_lists(after, number):
        raise _refused(
            f"the list that holds the placeholder at {after.name(number)} has changed, and its items have no names",
            "change nothing else in a list without names while an item of it holds a secret",
        )
    asks += [
        f"{name} has changed: it says where the secret at {after.name(number)} goes"
        for name in before.moved(after, number)
    ]
    return held[mine.index(number)], asks


def _on_line(place: Place, lines: LineMatch, here: Sequence[Place]) -> tuple[int, list[str]]:
    """The secret on the same line, which must be unchanged and unmoved."""
    there = lines.new.line_of(place.start)
    old = lines.same.get(there)
    if old is None:
        raise _refused(
            f"line {there + 1} holds a placeholder and was changed, moved or copied",
            _LEAVE_IT,
        )
    offset = place.start - lines.new.starts[there] + lines.old.starts[old]
    at = bisect_right([one.start for one in here], offset) - 1
    if at < 0 or here[at].start != offset or here[at].text != place.text:
        raise _refused(f"the placeholder in line {there + 1} is not where the file has a secret", _LEAVE_IT)
    return at, lines.asks(old, there, place.start)


def _restore(
    new: str, chosen: Sequence[tuple[Place, int]], current: str, secrets: Sequence[Span]
) -> tuple[str, list[tuple[int, int]]]:
    """The text with its originals, and where they stand in it."""
    parts: list[str] = []
    restored: list[tuple[int, int]] = []
    at = length = 0
    for place, number in chosen:
        start, end = place.start, place.end
        if number < 0:
            continue
        secret = secrets[number]
        if secret.placeholder.startswith('"'):
            if new[start - 1 : start] != '"' or new[end : end + 1] != '"':
                raise _refused("a placeholder lost its quotes", _LEAVE_IT)
            start, end = start - 1, end + 1
        parts += (new[at:start], current[secret.start : secret.end])
        length += start - at
        restored.append((length, length + secret.end - secret.start))
        length += secret.end - secret.start
        at = end
    return "".join([*parts, new[at:]]), restored


def _still_hidden(text: str, restored: Sequence[tuple[int, int]], find: Callable[[str], Sequence[Span]]) -> None:
    """Refuses a change around a secret after which nothing would give it away any more: the next read would show it."""
    found = find(text)
    ends = [one.end for one in found]
    for start, end in restored:
        at = bisect_left(ends, end)
        if at == len(found) or found[at].start > start:
            line = text.count("\n", 0, start) + 1
            raise _refused(
                f"after this change nothing would tell that line {line} holds a secret: what names it was changed",
                "leave the lines beside the placeholder as they are, or write the line without the secret",
            )


def _verify(text: str, new: str, current: str, kind: str, after: Located, numbers: Sequence[int]) -> None:
    """What was put back must read as the values that were there, and change nothing else."""
    from .documents import values

    restored, original = values(text, kind), values(current, kind)
    if restored is None or original is None:
        raise _refused("with the secrets put back, the file can no longer be read", _LEAVE_IT)
    paths = {after.paths[number] for number in numbers}
    for path, value in after.values.items():
        if path in paths:
            if path in original and after.unchanged.get(path) and restored.get(path) != original[path]:
                raise _refused(
                    f"the quotes or indentation at {'.'.join(map(str, path))} changed, and the secret does not fit them",
                    _LEAVE_IT,
                )
        elif restored.get(path) != value:
            raise _refused("a secret put back there would change another value", _LEAVE_IT)
    if restored.keys() != after.values.keys():
        raise _refused("a secret put back there would add or remove keys", _LEAVE_IT)


def _refused(message: str, hint: str) -> Refused:
    return Refused(Code.INVALID, message, hint=hint)
