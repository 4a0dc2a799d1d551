"""Kubernetes objects as they are compared, shown and put back: what is noise, what is secret, what differs."""

from __future__ import annotations

import base64
import copy
import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.changed import changed_values

from .discovery import Resource
from .worded import read_as_meant

if TYPE_CHECKING:
    from interlock.guard.model import Detector

Object = dict[str, Any]
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
REVISION: Final = "deployment.kubernetes.io/revision"
_SERVER_OWNED: Final = (
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One object's place."""

    context: str
    resource: Resource
    namespace: str
    name: str

    @property
    def text(self) -> str:
        """What a person would call it: `ctx/ns/deployments/web`."""
        return f"{self.context}/{self.namespace or '-'}/{self.resource.name}/{self.name or '*'}"

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    def sub(self, subresource: str) -> str:
        return self.resource.path(self.namespace, self.name, subresource)


def metadata(one: Mapping[str, Any]) -> dict[str, Any]:
    found = one.get("metadata")
    return found if isinstance(found, dict) else {}


def uid(one: Mapping[str, Any] | None) -> str:
    return str(metadata(one).get("uid", "")) if one else ""


def named(one: Mapping[str, Any]) -> str:
    return str(metadata(one).get("name", ""))


def essence(one: Mapping[str, Any]) -> Object:
    """What a person wrote or would write: without status and what the server or kubectl keeps for itself."""
    made = {key: value for key, value in one.items() if key != "status"}
    meta = {key: value for key, value in metadata(one).items() if key not in _SERVER_OWNED}
    annotations = {
        key: value for key, value in (meta.get("annotations") or {}).items() if key not in (LAST_APPLIED, REVISION)
    }
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    made["metadata"] = meta
    return made


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two states of an object mean the same, whatever the controllers noted meanwhile."""
    return essence(one) == essence(other)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The key paths that differ, by meaning."""
    return changed_values(essence(before), essence(after))


def digest(one: Any) -> str:
    """For comparing effects; never shown."""
    return hashlib.sha256(json.dumps(one, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()[:32]


def create_body(one: Mapping[str, Any]) -> Object:
    """An object as it can be created again: what the old one had from the server is gone."""
    made = copy.deepcopy({key: value for key, value in one.items() if key != "status"})
    meta = metadata(made)
    for key in _SERVER_OWNED:
        meta.pop(key, None)
    spec = made.get("spec")
    if made.get("kind") == "PersistentVolumeClaim" and isinstance(spec, dict):
        spec.pop("volumeName", None)
        for key in [k for k in meta.get("annotations") or {} if k.startswith("pv.kubernetes.io/")]:
            del meta["annotations"][key]
    if made.get("kind") == "Pod" and isinstance(spec, dict):
        spec.pop("nodeName", None)
    if made.get("kind") == "Job" and isinstance(spec, dict) and not spec.get("manualSelector"):
        spec.pop("selector", None)
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        for key in [k for k in labels if k.endswith(("controller-uid", "/job-name")) or k == "job-name"]:
            del labels[key]
    return made


class Shower:
    """Objects and texts without their secrets. `key` makes the fingerprints of a Secret's values."""

    def __init__(self, detector: Detector, key: bytes) -> None:
        self._detector = detector
        self._key = key

    def shown(self, one: Mapping[str, Any], target: str) -> tuple[Object, int]:
        """One object for the agent's eyes, and how many secrets it held: judged whole, before anything is selected."""
        made = _without_noise(one)
        hidden = 0
        if made.get("kind") == "Secret":
            made, hidden = self._secret(made, target)
        elif isinstance(made.get("binaryData"), dict):
            made["binaryData"] = {k: self._fingerprint(v, target) for k, v in made["binaryData"].items()}
            hidden = len(made["binaryData"])
        made, told = read_as_meant(self._detector, made)
        redacted, count = self._detector.redact_value(made, target)
        assert isinstance(redacted, dict)
        if one.get("kind") == "Secret":
            redacted["data"] = made["data"]
        return redacted, count + hidden + told

    def hidden(self, raw: Any, redacted: Any) -> set[str]:
        """The texts that redaction took out of an object, to be taken out of any other form of it as well."""
        found: set[str] = set()
        stack = [(raw, redacted)]
        while stack:
            one, other = stack.pop()
            if isinstance(one, dict):
                items = other if isinstance(other, dict) else {}
                stack += [(value, items[key]) for key, value in one.items() if key in items]  # else it is shown nowhere
            elif isinstance(one, list):
                rest = other if isinstance(other, list) else []
                stack += [(value, rest[i] if i < len(rest) else None) for i, value in enumerate(one)]
            elif isinstance(one, (str, int, float)) and one != other and len(text := str(one)) >= 4:
                found.add(text)
        return found

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, target: str) -> str:
        """A unified diff of the redacted objects; secrets that differ are named by their path."""
        old, new = (essence(one) if one else {} for one in (before, after))
        lines = list(
            difflib.unified_diff(
                _sorted(self.shown(old, target)[0]) if old else [],
                _sorted(self.shown(new, target)[0]) if new else [],
                f"{target} (live)", f"{target} (after)", lineterm="", n=2,
            )
        )  # fmt: skip
        shown_old, shown_new = (self.shown(one, target)[0] if one else {} for one in (old, new))
        unseen = set(changed_values(old, new)) - set(changed_values(shown_old, shown_new)) if old and new else set()
        lines += [
            f"# a hidden value differs: {path}" for path in sorted(unseen) if not _covered(path, shown_old, shown_new)
        ]
        return "\n".join(lines)

    def _secret(self, one: Object, target: str) -> tuple[Object, int]:
        made: Object = {key: one[key] for key in ("apiVersion", "kind", "type", "immutable") if key in one}
        meta = metadata(one)
        made["metadata"] = {key: value for key, value in meta.items() if key != "annotations"}
        if meta.get("annotations"):
            made["metadata"]["annotations"] = dict.fromkeys(meta["annotations"], "(not shown)")
        data = one.get("data") or {}
        plain = {k: base64.b64encode(str(v).encode()).decode() for k, v in (one.get("stringData") or {}).items()}
        made["data"] = {key: self._fingerprint(value, target) for key, value in sorted({**data, **plain}.items())}
        return made, len(made["data"])

    def _fingerprint(self, encoded: Any, target: str) -> str:
        """A value's size and fingerprint, as a placeholder: no redaction after this takes it for a value."""
        try:
            raw = base64.b64decode(str(encoded), validate=True)
        except ValueError:
            raw = str(encoded).encode()
        return f"[secret:of-{len(raw)}-bytes:{self._mark(raw, target)}]"

    def _mark(self, raw: bytes, target: str) -> str:
        return hashlib.blake2b(target.encode() + b"\0" + raw, key=self._key[:64], digest_size=8).hexdigest()


def _sorted(one: Object) -> list[str]:
    return dump(json.loads(json.dumps(one, sort_keys=True))).splitlines()


def _covered(path: str, old: Any, new: Any) -> bool:
    return any(path.startswith(seen) for seen in changed_values(old, new) if seen)


def _without_noise(one: Mapping[str, Any]) -> Object:
    made = dict(one)
    meta = {k: v for k, v in metadata(one).items() if k not in ("managedFields", "selfLink", "generation")}
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != LAST_APPLIED}
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    if meta or "metadata" in made:
        made["metadata"] = meta
    return made


def dump(value: Any) -> str:
    """YAML as people write it: keys in their order, texts of several lines as blocks."""
    import yaml

    return yaml.dump(
        value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=False
    )


def _dumper() -> Any:
    import yaml

    class Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value.strip() else None)

    Plain.add_representer(str, text)
    return Plain


def controller(one: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner that makes this object anew when it goes."""
    owners = metadata(one).get("ownerReferences")
    for owner in owners if isinstance(owners, Sequence) else ():
        if isinstance(owner, dict) and owner.get("controller") is True:
            return owner
    return None
