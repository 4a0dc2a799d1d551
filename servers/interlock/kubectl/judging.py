"""What a change of an object would mean: its actions, and what in it is dangerous. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.changed import covers
from interlock.guard.model import Action, Risk, UndoClass

from .bounds import Bounds
from .dangers import containers, dangers, pod_specs
from .names import Image, parse_image
from .objects import Object, Target, changed, controller, digest, essence, metadata, uid

# What limits repeats goes by what follows `>`: one more version on a workload is one more try, whatever its tag.
_DEPLOY: Final = ">another image"
_COUNTS: Final = ("replicas", "minReplicas", "maxReplicas", "parallelism")
_LOST: Final = {
    "create": "what its controllers did meanwhile",
    "image": "the pods that ran before, and what they held in memory",
    "restart": "the pods that ran before, and what they held in memory",
    "rollback": "the pods that ran before, and what they held in memory",
}


@dataclass(slots=True)
class Meaning:
    """The actions of one object's change, and reasons to ask a person that no rule needs to name."""

    actions: list[Action] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    changed: tuple[str, ...] = ()


def meaning(
    bounds: Bounds,
    target: Target,
    before: Object | None,
    after: Object,
    *,
    verb: str = "update",
    objects: int = 1,
    sent: Object | None = None,
) -> Meaning:
    """What it is to bring this object from `before` (None: it does not exist) to `after`.

    `verb`: update for whatever a manifest or patch may hold; scale, image, restart, rollback where the tool is for
    that alone: then nothing else may change. `sent`: what is created, as it was written.
    """
    made = Meaning()
    made.changed = changed(before, after) if before is not None else ("",)
    mark = digest(_timeless(sent or after))  # what is sent: admission may add random names
    sensitive, asking = dangers(target.resource, before, after)
    common: dict[str, Any] = {"objects": objects}
    risk = Risk.CRITICAL if sensitive else Risk.LOW
    if before is not None and images(before) != images(after):
        mark += _DEPLOY
    if before is None:
        made.actions.append(
            bounds.action("create", target, effect=mark, risk=risk, lost=_LOST["create"], sensitive=bool(sensitive),
                          changed=made.changed, **common)
        )  # fmt: skip
    elif verb in ("update", "scale", "image") and (verb == "update" or _beyond(made.changed, verb)):
        made.actions.append(
            bounds.action("update", target, effect=f"{uid(before)} {mark}", risk=risk, sensitive=bool(sensitive),
                          changed=made.changed, **common)
        )  # fmt: skip
    elif verb in ("restart", "rollback"):
        effect = uid(before) if verb == "restart" else f"{uid(before)} {mark}"
        made.actions.append(bounds.action(verb, target, effect=effect, risk=risk, lost=_LOST[verb], **common))
    _scale(made, bounds, target, before, after, common)
    _images(made, bounds, target, before, after, common, mark)
    made.asks += [f"{target.text}: {what}" for what in sorted(sensitive)]
    made.asks += [f"{target.text}: {what}" for what in sorted(asking)]
    return made


def _beyond(paths: tuple[str, ...], verb: str) -> bool:
    own = ["spec.replicas"] if verb == "scale" else ["**.image"]
    return any(not any(covers(pattern, path) for pattern in own) for path in paths)


def _timeless(one: Object) -> Object:
    made = essence(one)
    template = (made.get("spec") or {}).get("template") if isinstance(made.get("spec"), dict) else None
    annotations = metadata(template).get("annotations") if isinstance(template, dict) else None
    if isinstance(annotations, dict) and any("restartedAt" in key for key in annotations):
        made = {**made, "spec": {**made["spec"], "template": {**template, "metadata": {"restarted": True}}}}  # type: ignore[dict-item]
    return made


def replicas(one: Mapping[str, Any] | None) -> dict[str, Any]:
    """How many pods an object asks for, by where it says so: its replicas, an autoscaler's bounds, what a job does."""
    spec = one.get("spec") if one else None
    if isinstance(spec, dict) and isinstance(spec.get("jobTemplate"), dict):
        spec = spec["jobTemplate"].get("spec")
    return {key: spec[key] for key in _COUNTS if spec.get(key) is not None} if isinstance(spec, dict) else {}


def _scale(
    made: Meaning, bounds: Bounds, target: Target, before: Object | None, after: Object, common: dict[str, Any]
) -> None:
    old, new = replicas(before), replicas(after)
    for key in _COUNTS:
        value = new.get(key)
        if value == old.get(key) or (before is None and value == 0 and key == "replicas"):
            continue
        known = value if isinstance(value, int) and not isinstance(value, bool) else None  # else: no rule may allow it
        most = max(bounds.section.max_replicas, _number(old.get(key)))
        if key == "parallelism":  # what a job does at once, no size that is kept
            if _number(value) > most:
                made.asks.append(f"{target.text}: {known} pods at once are more than {bounds.section.max_replicas}")
            continue
        made.actions.append(bounds.action("scale", target, effect=f"{uid(before)} {value}", replicas=known, **common))
        if known is not None and known > most:
            made.asks.append(f"{target.text}: {known} replicas are more than {bounds.section.max_replicas}")


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _images(
    made: Meaning, bounds: Bounds, target: Target, before: Object | None, after: Object, common: dict[str, Any],
    mark: str,
) -> None:  # fmt: skip
    old = images(before) if before is not None else {}
    for place, (container, text) in images(after).items():
        if place in old and old[place][1] == text:
            continue
        image: Image = parse_image(text)
        more: dict[str, Any] = {} if bounds.registry(image) else {"inside": False}
        made.actions.append(
            bounds.action("image", target, effect=f"{uid(before)} {mark}", lost=_LOST["image"], container=container,
                          image=text, registry=image.registry, tag=image.tag, **common, **more)
        )  # fmt: skip


def images(one: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Every container's image by its place: (container, image)."""
    found = {}
    for number, spec in enumerate(pod_specs(one)):
        for group, container in containers(spec):
            name, image = str(container.get("name", "")), container.get("image")
            if isinstance(image, str):
                found[f"{number}/{group}/{name}"] = (name, image)
    return found


def delete_action(bounds: Bounds, target: Target, live: Object, objects: int, data: str, lost: str) -> Action:
    """The action of deleting one object. `data`: what of it is gone for good, empty where nothing is."""
    return bounds.action(
        "delete", target, effect=uid(live), risk=Risk.CRITICAL if data else Risk.LOW, objects=objects,
        undo=UndoClass.NONE if data else None, lost=data or lost, data=bool(data),
        rebuilt=controller(live) is not None,
    )  # fmt: skip
