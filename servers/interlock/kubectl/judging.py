"""What a change of an object would mean: its actions, and what in it is dangerous. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.changed import covers
from interlock.guard.model import Action, Risk, UndoClass

from .bounds import Bounds
from .discovery import Resource
from .names import Image, parse_image
from .objects import Object, Target, changed, digest, essence, metadata, uid

_PLAIN_KINDS: Final = frozenset(
    ("pods", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "services", "configmaps")
)
_RIGHTS: Final = frozenset(  # groups whose objects grant rights or change what the API server lets through
    ("rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
     "certificates.k8s.io", "flowcontrol.apiserver.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
     "storage.k8s.io", "scheduling.k8s.io", "node.k8s.io", "policy.networking.k8s.io")
)  # fmt: skip
_CORE_RIGHTS: Final = frozenset(
    ("secrets", "serviceaccounts", "namespaces", "nodes", "persistentvolumes", "endpoints", "endpointslices", "events")
)
_VOLUMES: Final = frozenset(
    ("name", "configMap", "secret", "emptyDir", "downwardAPI", "projected", "persistentVolumeClaim", "ephemeral")
)
_CAPABILITIES: Final = frozenset(("NET_BIND_SERVICE",))
_RESTART: Final = 'spec.template.metadata.annotations."kubectl.kubernetes.io/restartedAt"'
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
    sensitive, asking = dangers(target.resource, after)
    if before is not None:
        known, known_asking = dangers(target.resource, before)
        always = target.resource.group in _RIGHTS or target.resource.name in _CORE_RIGHTS
        sensitive = sensitive if always else sensitive - known
        asking -= known_asking if not always else set()
    common: dict[str, Any] = {"objects": objects}
    risk = Risk.CRITICAL if sensitive else Risk.LOW
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


def replicas(one: Mapping[str, Any] | None) -> int | None:
    """How many pods an object asks for, where it says so."""
    spec = one.get("spec") if one else None
    number = spec.get("replicas") if isinstance(spec, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _scale(
    made: Meaning, bounds: Bounds, target: Target, before: Object | None, after: Object, common: dict[str, Any]
) -> None:
    old, new = replicas(before), replicas(after)
    if new is None or new == old or (before is None and new == 0):
        return
    effect = f"{uid(before)} {new}"
    made.actions.append(bounds.action("scale", target, effect=effect, replicas=new, **common))
    if new > max(bounds.section.max_replicas, old or 0):
        made.asks.append(f"{target.text}: {new} replicas are more than {bounds.section.max_replicas}")


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
        for group in ("initContainers", "containers", "ephemeralContainers"):
            for container in _dicts(spec.get(group)):
                name, image = str(container.get("name", "")), container.get("image")
                if isinstance(image, str):
                    found[f"{number}/{group}/{name}"] = (name, image)
    return found


def pod_specs(one: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in an object that is a pod's spec, in whatever kind it stands."""
    stack = [one]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if any(isinstance(value.get(key), list) for key in ("containers", "initContainers", "ephemeralContainers")):
                yield value
            stack += [item for key, item in value.items() if key not in ("status", "managedFields")]
        elif isinstance(value, list):
            stack += value


def dangers(resource: Resource, one: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """(sensitive, asking): what grants rights, changes admission or reaches the node; and what steers others."""
    sensitive: set[str] = set()
    asking: set[str] = set()
    if resource.group in _RIGHTS or (resource.name in _CORE_RIGHTS):
        sensitive.add(f"{resource.name} grant rights, hold credentials or steer traffic")
    elif resource.name not in _PLAIN_KINDS:
        asking.add(f"{resource.name} steer what other things may do")
    meta = metadata(one)
    if metadata(one).get("finalizers"):
        asking.add("finalizers keep it from being deleted")
    if isinstance(meta.get("annotations"), dict) and any("snippet" in key for key in meta["annotations"]):
        sensitive.add("annotations put configuration into the ingress controller")
    if resource.name == "services":
        spec = one.get("spec") or {}
        if spec.get("externalIPs") or spec.get("type") == "ExternalName":
            sensitive.add("it takes traffic meant for other addresses")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            asking.add(f"it is reached from outside the cluster ({spec['type']})")
    for spec in pod_specs(one):
        sensitive |= set(_pod_dangers(spec))
        account = spec.get("serviceAccountName") or spec.get("serviceAccount")
        if account and account != "default":
            asking.add(f"its pods act as the service account {str(account)[:60]}")
    return sensitive, asking


def _pod_dangers(spec: Mapping[str, Any]) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key}: its pods are in the node's own namespaces"
    if spec.get("nodeName"):
        yield "nodeName goes around the scheduler"
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        yield "a system priority drives other pods away"
    for toleration in _dicts(spec.get("tolerations")):
        key = str(toleration.get("key") or "")
        if (toleration.get("operator") == "Exists" and not key) or key.startswith("node-role.kubernetes.io/"):
            yield "tolerations let it run on control-plane nodes"
    for volume in _dicts(spec.get("volumes")):
        for kind in volume.keys() - _VOLUMES:
            yield f"a volume of type {str(kind)[:40]}"
    if spec.get("ephemeralContainers"):
        yield "ephemeral containers look into other containers"
    yield from _security(spec.get("securityContext"))
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in _dicts(spec.get(group)):
            yield from _security(container.get("securityContext"))
            if any(port.get("hostPort") for port in _dicts(container.get("ports"))):
                yield "hostPort opens a port of the node"


def _security(context: Any) -> Iterator[str]:
    if not isinstance(context, dict):
        return
    if context.get("privileged"):
        yield "privileged: it has the node to itself"
    if context.get("allowPrivilegeEscalation"):
        yield "allowPrivilegeEscalation: its programs may become root"
    added = (context.get("capabilities") or {}).get("add") if isinstance(context.get("capabilities"), dict) else None
    if isinstance(added, list) and set(map(str, added)) - _CAPABILITIES:
        yield "added capabilities"
    if context.get("runAsUser") == 0:
        yield "runAsUser: 0"
    if context.get("procMount") == "Unmasked" or context.get("sysctls"):
        yield "it changes or sees the kernel's settings"
    for key in ("seccompProfile", "appArmorProfile"):
        if isinstance(context.get(key), dict) and context[key].get("type") == "Unconfined":
            yield f"{key}: Unconfined"
    windows = context.get("windowsOptions")
    if isinstance(windows, dict) and windows.get("hostProcess"):
        yield "hostProcess: it is a process of the node"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def delete_action(bounds: Bounds, target: Target, live: Object, objects: int, data: str, lost: str) -> Action:
    """The action of deleting one object. `data`: what of it is gone for good, empty where nothing is."""
    from .objects import controller

    return bounds.action(
        "delete", target, effect=uid(live), risk=Risk.CRITICAL if data else Risk.LOW, objects=objects,
        undo=UndoClass.NONE if data else None, lost=data or lost, data=bool(data),
        rebuilt=controller(live) is not None,
    )  # fmt: skip
