"""Scale, image, patch, rollout, cordon: one object brought from its live state to a new one, seen in a dry run."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look

from . import names, rollouts
from .arguments import Cordon, Patch, Rollout, Scale, SetImage
from .bounds import Bounds
from .dangers import pod_specs
from .discovery import unknown_kind
from .guesses import noted, untold
from .judging import meaning
from .objects import LAST_APPLIED, RESTARTED, Object, Target, changed, metadata
from .placeholders import diverted, put_back
from .plans import Plan, Step
from .running import bare

if TYPE_CHECKING:
    from .tools import Kubectl


def one_target(kubectl: Kubectl, call: Call, kind: str, name: str) -> tuple[Bounds, Target]:
    """The one object that a change names, within the words of the policy. Raises Refused."""
    bounds, args = kubectl.bounds(call.policy), call.arguments
    kind, name = names.kind_and_name(kind, name)
    context = bounds.context(getattr(args, "context", ""))
    namespace = bounds.namespace(context, getattr(args, "namespace", ""))
    if namespace == "*":
        raise Refused(Code.INVALID, "a change names one namespace")
    resource = kubectl.resource(context, kind)
    if resource is None or "," in kind:
        raise unknown_kind(kind)
    if not name:
        raise Refused(Code.INVALID, "`name` is required for a change")
    return bounds, bounds.target(context, resource, namespace, name)


def refuse_outside(bounds: Bounds, target: Target, verb: str = "read") -> None:
    """Before anything of an object is read: its kind and place must be within bounds."""
    if not bounds.holds(target.context, target.resource, target.namespace):
        raise Refused(
            Code.OUT_OF_BOUNDS,
            f"{target.text} lies outside the bounds of the policy",
            hint="kubectl_guard lists the bounds; only a person can widen them, in the policy",
            rule="builtin.outside",
        )


def change_of(
    kubectl: Kubectl, call: Call, bounds: Bounds, target: Target, live: Object, new: Object, verb: str,
    asks: tuple[str, ...] = (), header: str = "",
) -> Look:  # fmt: skip
    """The look of replacing one live object: the server's own dry run says what would come of it."""
    after = dry_replace(kubectl, target, new)
    return look_of(kubectl, call, bounds, target, live, after, new, verb, asks, header)


def dry_replace(kubectl: Kubectl, target: Target, new: Object) -> Object:
    """What the server would make of a new state, whatever its controllers noted since it was read."""
    body = new
    if not target.resource.custom:  # those cannot be replaced without one
        body = {**new, "metadata": {k: v for k, v in metadata(new).items() if k != "resourceVersion"}}
    return kubectl.cluster.send("replace", target.context, target.path, body, dry=True)


def look_of(
    kubectl: Kubectl, call: Call, bounds: Bounds, target: Target, live: Object, after: Object, body: Object,
    verb: str, asks: tuple[str, ...] = (), header: str = "", sent: Any = None,
) -> Look:  # fmt: skip
    meant = meaning(bounds, target, live, after, verb=verb)
    told, anew = untold(kubectl.shower, sent, live, after, target)
    paths = [*changed(live, told), *anew]
    if not paths:
        raise Refused(Code.INVALID, f"{target.text} is like that already: nothing would change")
    plan = Plan(target.context, [Step("replace", target, live, after, body=bare(body))])
    plan.preview = noted(kubectl.shower.diff(live, told, target.text), anew)
    plan.header = header or f"{target.text}: {', '.join(paths)[:300]}"
    if not meant.actions:
        meant.actions.append(bounds.action("update", target, changed=meant.changed, sensitive=False))
    dry = bool(getattr(call.arguments, "dry_run", False))
    return Look(tuple(meant.actions), plan, asks=(*asks, *meant.asks), size=plan.size, remote=True, dry=dry)


def _live(kubectl: Kubectl, bounds: Bounds, target: Target) -> Object:
    refuse_outside(bounds, target)
    return kubectl.cluster.get(target.context, target.path)


def look_scale(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Scale)
    bounds, target = one_target(kubectl, call, args.kind, args.name)
    live = _live(kubectl, bounds, target)
    spec = live.get("spec")
    if not isinstance(spec, dict) or "replicas" not in spec:
        raise Refused(Code.INVALID, f"{target.resource.name} cannot be scaled")
    new = bare(live)
    new["spec"]["replicas"] = args.replicas
    header = f"{target.text}: replicas {spec['replicas']} -> {args.replicas}"
    return change_of(kubectl, call, bounds, target, live, new, "scale", header=header)


def look_set_image(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, SetImage)
    bounds, target = one_target(kubectl, call, args.kind, args.name)
    wanted = {names.label(name, "container"): names.image(image) for name, image in args.images.items()}
    live = _live(kubectl, bounds, target)
    new = bare(live)
    seen: list[str] = []
    for spec in pod_specs(new):
        for group in ("initContainers", "containers"):
            for container in spec.get(group) or ():
                if container.get("name") in wanted:
                    seen.append(container["name"])
                    container["image"] = wanted[container["name"]].text
    absent = wanted.keys() - set(seen)
    if absent or not wanted:
        known = ", ".join(str(c.get("name")) for spec in pod_specs(new) for c in spec.get("containers") or ())
        raise Refused(Code.INVALID, f"no container {', '.join(sorted(absent))}", hint=f"the containers are {known}")
    return change_of(kubectl, call, bounds, target, live, new, "image")


def look_patch(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Patch)
    bounds, target = one_target(kubectl, call, args.kind, args.name)
    live = _live(kubectl, bounds, target)
    _refuse_odd(args)
    restored = put_back(kubectl.shower, args.patch, live, target)
    argv = ["patch", f"--type={args.type}", "--dry-run=server", "--output=json", "--patch-file=/dev/stdin"]
    argv += [f"--namespace={target.namespace}"] if target.namespace else []
    argv += ["--", target.resource.argument, target.name]
    text = json.dumps(restored.value).encode()
    after: Object = json.loads(kubectl.cluster.kubectl(target.context, argv, stdin=text))
    if metadata(after).get("uid") != metadata(live).get("uid"):
        raise Refused(Code.CONFLICT, f"{target.text} was replaced while it was looked at", hint="look again")
    asks = tuple(diverted(restored, live, after, target))
    return look_of(kubectl, call, bounds, target, live, after, after, "update", asks, sent=_sent(args, after))


def _refuse_odd(args: Patch) -> None:
    """JSON patches only say what stands where: `test` would answer guesses, `copy` would carry hidden values off."""
    if (args.type == "json") != isinstance(args.patch, list):
        raise Refused(Code.INVALID, "a json patch is a list of operations, others are objects")
    for one in args.patch if isinstance(args.patch, list) else ():
        if one.get("op") not in ("add", "replace", "remove") or not isinstance(one.get("path"), str):
            raise Refused(Code.INVALID, "operations of a json patch are add, replace and remove, each with a path")


def _sent(args: Patch, after: Object) -> Any:
    """What a patch gives, where it stands: of a json patch, what came of it below its paths."""
    if not isinstance(args.patch, list):
        return args.patch
    paths = [one["path"].replace("~1", "/").replace("~0", "~") for one in args.patch]

    def given(value: Any, at: str) -> Any:
        if isinstance(value, dict):
            return {key: given(item, f"{at}/{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [given(item, f"{at}/{place}") for place, item in enumerate(value)]
        named = at.endswith(("/name", "/key", "/id"))  # by which items are found again
        return value if named or any(at == path or at.startswith(f"{path}/") for path in paths) else None

    return given(after, "")


def look_rollout(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Rollout)
    bounds, target = one_target(kubectl, call, args.kind, args.name)
    live = _live(kubectl, bounds, target)
    if target.resource.plural not in ("deployments", "statefulsets", "daemonsets") or target.resource.group != "apps":
        raise Refused(Code.INVALID, "only deployments, statefulsets and daemonsets roll out")
    new = bare(live)
    if args.action == "restart":
        if live["spec"].get("paused"):
            raise Refused(Code.INVALID, f"{target.text} is paused", hint="resume it first")
        annotations = new["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
        annotations[RESTARTED] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return change_of(kubectl, call, bounds, target, live, new, "restart", header=f"{target.text}: restart")
    if args.action == "undo":
        revision, template = rollouts.earlier(kubectl.cluster, target, live, args.revision)
        new["spec"]["template"] = template
        header = f"{target.text}: back to revision {revision}"
        return change_of(kubectl, call, bounds, target, live, new, "rollback", header=header)
    if target.resource.plural != "deployments":
        raise Refused(Code.INVALID, "only deployments can be paused and resumed")
    new["spec"]["paused"] = args.action == "pause"
    return change_of(kubectl, call, bounds, target, live, new, "update", header=f"{target.text}: {args.action}")


def look_cordon(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Cordon)
    bounds, target = node_target(kubectl, call, args.node)
    live = _live(kubectl, bounds, target)
    new = cordoned(live, args.on)
    after = dry_replace(kubectl, target, new)
    word = "cordon" if args.on else "uncordon"
    look = look_of(kubectl, call, bounds, target, live, after, new, "update", header=f"{target.text}: {word}")
    action = bounds.action("node", target, effect=f"{metadata(live).get('uid')} {args.on}", drain=False)
    return Look((action,), look.plan, size=look.size, remote=True, dry=bool(getattr(args, "dry_run", False)))


def node_target(kubectl: Kubectl, call: Call, node: str) -> tuple[Bounds, Target]:
    bounds = kubectl.bounds(call.policy)
    context = bounds.context(getattr(call.arguments, "context", ""))
    resource = kubectl.resource(context, "nodes")
    if resource is None:
        raise unknown_kind("nodes")
    return bounds, bounds.target(context, resource, "", names.name(node))


def cordoned(live: Object, on: bool) -> Object:
    new = bare(copy.deepcopy(live))
    spec: dict[str, Any] = new.setdefault("spec", {})
    if on:
        spec["unschedulable"] = True
    else:
        spec.pop("unschedulable", None)
    if on:
        return new
    taints = [t for t in spec.get("taints") or () if t.get("key") != "node.kubernetes.io/unschedulable"]
    if taints:
        spec["taints"] = taints
    else:
        spec.pop("taints", None)
    return new


def annotated(manifest: Object) -> Object:
    """A manifest as `kubectl apply` creates it: it remembers what was applied."""
    made = copy.deepcopy(manifest)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"
    made.setdefault("metadata", {}).setdefault("annotations", {})[LAST_APPLIED] = text
    return made
