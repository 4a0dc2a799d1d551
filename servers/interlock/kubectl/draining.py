"""kubectl_drain: a node's pods are evicted one by one, as their disruption budgets allow, and never forced.

What is lost is said before; what could not go is told after.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.model import Call, Link, Look, Result, UndoClass

from .arguments import Drain
from .bounds import Bounds
from .changing import cordoned, dry_replace, node_target, refuse_outside
from .cluster import Cluster, ClusterError
from .objects import Object, Target, controller, metadata, named, uid
from .plans import Plan, Step, written
from .running import carry_out, evict

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl

_PATIENCE: Final = 120.0  # seconds that a drain waits for disruption budgets and for pods to end
_PAUSE: Final = 1.0
_NAMED: Final = 5  # pods that a summary names
_UNNAMED: Final = "a pod outside the bounds"


def look_drain(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Drain)
    bounds, node = node_target(kubectl, call, args.node)
    refuse_outside(bounds, node)
    live = kubectl.cluster.get(node.context, node.path)
    resource = kubectl.resource(node.context, "pods")
    assert resource is not None
    steps: list[Step] = []
    if not (live.get("spec") or {}).get("unschedulable"):
        new = cordoned(live, True)
        steps.append(Step("replace", node, live, dry_replace(kubectl, node, new), body=new))
    going, staying = [], 0
    query = {"fieldSelector": f"spec.nodeName={node.name}", "limit": "5000"}
    for pod in kubectl.cluster.get(node.context, "/api/v1/pods", **query).get("items") or ():
        if _stays(pod):
            staying += 1
            continue
        place = Target(node.context, resource, str(metadata(pod).get("namespace")), named(pod))
        going.append(Step("evict", place, {"apiVersion": "v1", "kind": "Pod", **pod}, None))
    outside = sum(not bounds.in_namespaces(node.context, step.target.namespace) for step in going)
    held = _held(kubectl.cluster, bounds, going)
    lines = [f"cordon {node.text}" if steps else f"{node.text} is cordoned already"]
    lines += [f"evict {_shown(bounds, step)}{_remark(step, held)}" for step in going]
    lines += [f"{staying} pods of daemonsets or of the node itself stay"] if staying else []
    asks = (f"{outside} pods outside the bounds would be evicted too",) if outside else ()
    effect = json.dumps([uid(live), *sorted(uid(step.before) for step in going)])
    action = bounds.action(
        "node", node, effect=effect, drain=True, objects=len(going), lost=_lost(bounds, node, going),
        undo=UndoClass.NONE,
    )  # fmt: skip
    plan = Plan(node.context, [*steps, *going], preview="\n".join(lines), header=f"{node.text}: drain")
    return Look((action,), plan, asks=asks, size=plan.size, remote=True, dry=args.dry_run)


def _stays(pod: Object) -> bool:
    owner, annotations = controller(pod), metadata(pod).get("annotations") or {}
    return bool(owner and owner.get("kind") == "DaemonSet") or "kubernetes.io/config.mirror" in annotations


def _shown(bounds: Bounds, step: Step) -> str:
    inside = bounds.in_namespaces(step.target.context, step.target.namespace)
    return step.target.text if inside else _UNNAMED


def _volumes(step: Step) -> list[str]:
    """Its volumes that end with the pod."""
    volumes = ((step.before or {}).get("spec") or {}).get("volumes") or ()
    return [str(one.get("name")) for one in volumes if isinstance(one, dict) and "emptyDir" in one]


def _remark(step: Step, held: Mapping[str, str]) -> str:
    words = ["nobody makes it anew"] if controller(step.before or {}) is None else []
    words += [f"emptyDir {name} is lost" for name in _volumes(step)]
    words += [f"waits: {held[uid(step.before)]}"] if uid(step.before) in held else []
    return f" ({'; '.join(words)})" if words else ""


def _lost(bounds: Bounds, node: Target, going: list[Step]) -> str:
    words = [f"what {len(going)} pods hold in memory; they are ended and made anew elsewhere"] if going else []
    volumes = [_shown(bounds, step) for step in going if _volumes(step)]
    words += [f"the emptyDir volumes of {_some(volumes)}"] if volumes else []
    alone = [_shown(bounds, step) for step in going if controller(step.before or {}) is None]
    words += [f"{_some(alone)} altogether: nobody makes them anew"] if alone else []
    return "; ".join([*words, f"kubectl_cordon(node={node.name}, on=false) only lets pods come to it again"])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _held(cluster: Cluster, bounds: Bounds, going: list[Step]) -> dict[str, str]:
    """By uid, which disruption budget would refuse a pod's eviction now. Budgets that may not be read are left out."""
    budgets: dict[str, list[Object]] = {}
    found = {}
    for step in going:
        space, context = step.target.namespace, step.target.context
        if space not in budgets and bounds.in_namespaces(context, space):
            try:
                path = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
                budgets[space] = cluster.get(context, path, limit="500").get("items") or []
            except ClusterError:
                budgets[space] = []
        labels = metadata(step.before or {}).get("labels") or {}
        for budget in budgets.get(space, ()):
            allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
            if not allowed and selects((budget.get("spec") or {}).get("selector"), labels):
                found[uid(step.before)] = f"its disruption budget {named(budget)} allows no disruption now"
    return found


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; one that is absent matches nothing, an empty one everything."""
    if not isinstance(selector, dict):
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        key, operator, values = one.get("key"), one.get("operator"), one.get("values") or ()
        fits = {
            "In": labels.get(key) in values, "NotIn": labels.get(key) not in values,
            "Exists": key in labels, "DoesNotExist": key not in labels,
        }.get(operator, False)  # fmt: skip
        if not fits:
            return False
    return True


# ---------------------------------------------------------------- in the act


def run_drain(kubectl: Kubectl, permit: Permit) -> Result:
    """Cordon, then evict whatever may go, again and again until all are gone or the time is over.

    Raises Failed where the node could not even be cordoned: then nothing was done.
    """
    plan, slot, link = permit.look.plan, permit.slot, permit.call.link
    assert isinstance(plan, Plan) and slot is not None
    cordon = Plan(plan.context, [step for step in plan.steps if step.verb != "evict"])
    carry_out(kubectl.cluster, cordon, slot, link)
    slot.seal(written(plan))
    going = [step for step in plan.steps if step.verb == "evict"]
    left = _evicted(kubectl.cluster, going, link)
    ending = [step for step in going if step.target.text not in left]
    slow = _ended(kubectl.cluster, ending, link)
    slot.seal(written(plan))
    bounds = kubectl.bounds(permit.call.policy)
    lines = [f"not evicted: {_why(bounds, step, left)}" for step in going if step.target.text in left]
    lines += [f"still ending: {_shown(bounds, step)}" for step in slow]
    lines += [f"call kubectl_drain again for the {len(left)} that are left"] if left else []
    word = "drained" if not left else "cordoned, not empty"
    header = f"{permit.look.actions[0].resource}: {word}: {len(ending)} of {len(going)} pods evicted"
    redacted = kubectl.detector.redact("\n".join(lines))
    return Result(redacted.text, header=header, untrusted=bool(lines))


def _why(bounds: Bounds, step: Step, left: Mapping[str, str]) -> str:
    """What the API says of a pod outside the bounds may name it."""
    shown = _shown(bounds, step)
    return shown if shown == _UNNAMED else f"{shown}: {left[step.target.text]}"


def _evicted(cluster: Cluster, going: list[Step], link: Link) -> dict[str, str]:
    """Evict each; by target, why the others could not be. A budget that is used up is waited for."""
    left: dict[str, str] = {}
    waiting, end, told = list(going), time.monotonic() + _PATIENCE, 0.0
    while waiting:
        again = []
        for step in waiting:
            try:
                step.made = evict(cluster, step)
            except ClusterError as error:
                if error.reason == "NotFound":
                    left.pop(step.target.text, None)
                    continue
                left[step.target.text] = error.message
                if error.reason == "TooManyRequests":
                    again.append(step)
                continue
            left.pop(step.target.text, None)
        waiting = again
        if not waiting or time.monotonic() > end or link.cancelled:
            break
        told += _PAUSE
        link.progress(told, f"{len(waiting)} pods wait for their disruption budgets")
        link.wait(_PAUSE)
    return left


def _ended(cluster: Cluster, ending: list[Step], link: Link) -> list[Step]:
    """Wait until evicted pods are gone; those that are not yet."""
    end = time.monotonic() + _PATIENCE
    while True:
        ending = [step for step in ending if _there(cluster, step)]
        if not ending or time.monotonic() > end or link.cancelled:
            return ending
        link.wait(_PAUSE)


def _there(cluster: Cluster, step: Step) -> bool:
    """Whether the pod is still there; also where nobody says: by now much is done, and that must not look undone."""
    try:
        return uid(cluster.find(step.target.context, step.target.path)) == uid(step.before)
    except ClusterError:
        return True
