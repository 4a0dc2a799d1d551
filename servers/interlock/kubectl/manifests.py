"""Manifests: text or files into single objects, every document and every List's items, or a refusal of the whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interlock.documents import Ambiguous, DocumentError, load_documents
from interlock.guard.errors import Code, Refused
from interlock.guard.policy.builtin import owned, protection
from interlock.path_names import parse, shown
from interlock.paths import Roots
from interlock.untrusted import one_line

from . import names
from .bounds import Bounds
from .discovery import unknown_kind
from .objects import Object, Target

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

    from .tools import Kubectl

MOST_DOCUMENTS: Final = 100
MOST_FILES: Final = 200
_MOST_BYTES: Final = 1 << 20
_ENDINGS: Final = (".yaml", ".yml", ".json")


class Described(NamedTuple):
    """One object of a manifest, its place, and the file that describes it."""

    target: Target
    manifest: Object
    source: str


def objects_of(
    kubectl: Kubectl, bounds: Bounds, context: str, namespace: str, manifest: str, path: str,
    invalid: list[str] | None = None,
) -> list[Described]:  # fmt: skip
    """Every object of a manifest or file, each with its place. Raises Refused for anything that is not certain.

    With `invalid` the path may be a folder: what is wrong in one of its files goes there, and the rest is returned.
    """
    if bool(manifest) == bool(path):
        raise Refused(Code.INVALID, "give either `manifest` or `path`")
    texts = [("the manifest", manifest)] if manifest else list(_files(bounds.policy, path, invalid is not None))
    found: dict[str, Described] = {}
    for source, text in texts:
        try:
            for one in list(_documents(source, text)):
                target = place(kubectl, bounds, context, namespace, one, source)
                if target.text in found:
                    raise Refused(Code.INVALID, f"{target.text} stands twice in what is to be applied")
                found[target.text] = Described(target, one, source)
        except Refused as no:
            if invalid is None or len(texts) == 1 or no.code is not Code.INVALID:
                raise
            invalid.append(f"{source}: {no.message}")
    if not found:
        raise Refused(Code.INVALID, "; ".join(invalid or ())[:600] or "there is no object in it")
    return list(found.values())


def place(
    kubectl: Kubectl, bounds: Bounds, context: str, namespace: str, one: Object, source: str = "the manifest"
) -> Target:
    """Where an object belongs; its namespace is written into it. Raises Refused."""
    kind, version, meta = one.get("kind"), one.get("apiVersion"), one.get("metadata")
    if not isinstance(kind, str) or not isinstance(version, str) or not isinstance(meta, dict):
        raise Refused(
            Code.INVALID,
            f"{source} holds an object without apiVersion, kind or metadata",
            hint="plain manifests only: render kustomizations and charts into a file or folder of their own",
        )
    resource = kubectl.cluster.kinds(context).of(version, kind) or kubectl.cluster.kinds(context, anew=True).of(
        version, kind
    )
    if resource is None:
        raise unknown_kind(f"{version} {kind}")
    name = meta.get("name")
    if not isinstance(name, str) or not name or "generateName" in meta:
        raise Refused(Code.INVALID, f"a {one_line(kind, 40)} in {source} has no name", hint="name every object")
    names.name(name)
    own = meta.get("namespace") or ""
    if not isinstance(own, str) or (own and namespace and own != namespace):
        raise Refused(
            Code.INVALID, f"{resource.name}/{name} names another namespace than the call", hint="name it in one place"
        )
    where = bounds.namespace(context, own or namespace)
    if where == "*":
        raise Refused(Code.INVALID, "a change names one namespace")
    target = bounds.target(context, resource, where, name)
    if resource.namespaced:
        meta["namespace"] = where
    return target


def _documents(source: str, text: str) -> Iterator[Object]:
    if text.count("\n---") > MOST_DOCUMENTS:
        raise Refused(Code.TOO_LARGE, f"more than {MOST_DOCUMENTS} documents", hint="apply them in smaller parts")
    try:
        values = load_documents(
            text.removeprefix("\ufeff"), "json" if text.lstrip("\ufeff \t\r\n")[:1] == "{" else "yaml"
        )
    except DocumentError as error:
        where = f" (line {error.line})" if error.line else ""
        raise Refused(
            Code.INVALID,
            f"{source} cannot be read for certain: {error.message}{where}",
            hint="write plain YAML or JSON",
        ) from None
    count = 0
    for value in values:
        for one in _unfolded(value, source, 0):
            count += 1
            if count > MOST_DOCUMENTS:
                raise Refused(Code.TOO_LARGE, f"more than {MOST_DOCUMENTS} objects", hint="apply them in smaller parts")
            yield one


def _unfolded(value: Any, source: str, depth: int) -> Iterator[Object]:
    if value is None:
        return
    if not isinstance(value, dict) or depth > 3:
        raise Refused(Code.INVALID, f"{source} holds a document that is no object")
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from _unfolded(item, source, depth + 1)
        return
    if any(isinstance(one, Ambiguous) for one in _leaves(value)):
        raise Refused(
            Code.INVALID,
            f"{source} holds a bare word that YAML 1.1 reads otherwise (yes, on, 012, a date)",
            hint="put it in quotes, or write true or false",
        )
    yield value


def _leaves(value: Any) -> Iterator[Any]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += one.values()
        elif isinstance(one, list):
            stack += one
        else:
            yield one


def _files(policy: Policy, text: str, folder: bool) -> Iterator[tuple[str, str]]:
    """The text of a file inside the files roots, or of all manifests below a folder, opened beneath the root."""
    files: Any = policy.sections.get("files")
    if files is None or not files.roots:
        raise Refused(Code.OUT_OF_BOUNDS, "the policy names no files roots", hint="give the manifest as text")
    roots = Roots((str(root.path), False) for root in files.roots)
    try:
        path = parse(text, tuple(root.path for root in roots.roots))
        yield from _beneath(roots, policy, path, folder, [0])
    finally:
        roots.close()


def _beneath(roots: Roots, policy: Policy, path: str, folder: bool, count: list[int]) -> Iterator[tuple[str, str]]:
    opened = roots.open(path)
    try:
        real = opened.real
        for one in (path, real):
            if owned(one, policy) or protection(one, policy, change=False):
                raise Refused(Code.PROTECTED, f"{shown(real)} is protected", rule="builtin.protected")
        if not stat.S_ISDIR(opened.stat.st_mode):
            count[0] += 1
            if count[0] > MOST_FILES:
                raise Refused(Code.TOO_LARGE, f"more than {MOST_FILES} files")
            yield shown(real), _text(opened.read_fd(), real)
            return
        if not folder:
            raise Refused(
                Code.INVALID, f"{shown(real)} is a folder", hint="apply one file at a time; diff takes folders"
            )
        entries = sorted(entry.name for entry in Path(real).iterdir())  # each is opened beneath the root again
    finally:
        opened.close()
    for entry in entries:
        below = f"{real}/{entry}"
        if entry.startswith(".") or not (entry.endswith(_ENDINGS) or "." not in entry):
            continue
        if entry.endswith(_ENDINGS) or Path(below).is_dir():
            yield from _beneath(roots, policy, below, folder, count)


def _text(fd: int, real: str) -> str:
    with os.fdopen(fd, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise Refused(Code.TOO_LARGE, f"{shown(real)} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Code.INVALID, f"{shown(real)} is no UTF-8 text") from None
