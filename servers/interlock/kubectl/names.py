"""The grammar of what an agent may name: objects, namespaces, kinds, selectors, images. Nothing is looked up here.

What does not fit is refused before any program starts; what fits can never be read as an option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.:-]{0,251}[a-z0-9])?\Z")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_KIND: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_SELECTOR: Final = re.compile(r"[A-Za-z0-9!(][A-Za-z0-9_./=!,() -]{0,999}\Z")
_FIELDS: Final = re.compile(r"[a-zA-Z][A-Za-z0-9_./=!,:-]{0,499}\Z")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,499}\Z")
_DURATION: Final = re.compile(r"[1-9][0-9]{0,5}[smh]\Z")
_PATH: Final = re.compile(r"[A-Za-z0-9_.\[\]*\"/ {}$@-]{1,300}\Z")


@dataclass(frozen=True, slots=True)
class Image:
    """An image reference in its parts. `tag` is `latest` where none is named, empty for a digest alone."""

    text: str
    registry: str
    tag: str


def _fit(pattern: re.Pattern[str], text: str, what: str, hint: str) -> str:
    if not pattern.match(text) or ".." in text:
        raise Refused(Code.INVALID, f"{one_line(text, 60)!r} is no {what}", hint=hint)
    return text


def name(text: str) -> str:
    """An object's name. Raises Refused (invalid)."""
    return _fit(_NAME, text, "name of an object", "lower-case letters, digits, `-` and `.`")


def label(text: str, what: str = "namespace") -> str:
    """A namespace's or container's name. Raises Refused (invalid)."""
    return _fit(_LABEL, text, f"name of a {what}", "lower-case letters, digits and `-`")


def kinds(text: str) -> list[str]:
    """`pods`, `deploy,svc`, `deployments.apps`: each as written. Raises Refused (invalid)."""
    return [_fit(_KIND, one, "kind", "such as pods, deployments.apps or deploy,svc") for one in text.split(",")]


def kind_and_name(kind: str, named: str) -> tuple[str, str]:
    """`pod/web-1` or `pod` and `web-1`, checked. Raises Refused (invalid)."""
    if "/" in kind:
        kind, _, own = kind.partition("/")
        if named and own != named:
            raise Refused(Code.INVALID, "two different names are given", hint="name the object once")
        named = own
        name(named)
    parts = kinds(kind)
    if named and len(parts) > 1:
        raise Refused(Code.INVALID, "a name goes with one kind only", hint="ask for one kind, or leave the name out")
    return ",".join(parts), name(named) if named else ""


def selector(text: str) -> str:
    """A label selector. Raises Refused (invalid)."""
    return _fit(_SELECTOR, text, "label selector", "such as app=web,tier!=cache") if text else ""


def fields(text: str) -> str:
    """A field selector. Raises Refused (invalid)."""
    return _fit(_FIELDS, text, "field selector", "such as status.phase=Running") if text else ""


def since(text: str) -> str:
    """A span back in time, such as `15m`. Raises Refused (invalid)."""
    return _fit(_DURATION, text, "time span", "such as 90s, 15m or 4h") if text else ""


def path(text: str) -> str:
    """A JSON path, without its braces. Raises Refused (invalid)."""
    checked = _PATH.match(text)
    if not checked:
        raise Refused(Code.INVALID, "this is no JSON path", hint="such as .status.phase or .items[*].metadata.name")
    return text.strip("{} ")


def image(text: str) -> Image:
    """An image reference. Raises Refused (invalid)."""
    _fit(_IMAGE, text, "image", "such as registry.example.com/team/web:1.2.3")
    return parse_image(text)


def parse_image(text: str) -> Image:
    """The parts of an image reference, as the container runtimes read it. Never raises."""
    bare, _, digest = text.partition("@")
    head, slash, rest = bare.partition("/")
    named = bool(slash) and ("." in head or ":" in head or head == "localhost")
    last = (rest if named else bare).rsplit("/", 1)[-1]
    _, colon, tag = last.partition(":")
    return Image(text, head if named else "docker.io", tag if colon else ("" if digest else "latest"))
