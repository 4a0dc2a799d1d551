"""What a change sets going elsewhere: an autoscaler that would fight it, a Service that nobody answers any more.

Only told, in the preview; nothing is decided by it. What these credentials may not read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .bounds import Bounds
from .cluster import ClusterError
from .dangers import pod_specs
from .draining import selects
from .objects import Object, controller, metadata, named, uid
from .plans import Plan, Step

if TYPE_CHECKING:
    from .tools import Kubectl


def told(kubectl: Kubectl, bounds: Bounds, plan: Plan) -> list[str]:
    """Lines for the preview of a plan."""
    lines: list[str] = []
    for step in plan.steps:
        if step.verb in ("replace", "delete") and step.target.namespace:
            for say in (_autoscaler, _services, _selector):
                lines += say(kubectl, bounds, step, plan)
    return list(dict.fromkeys(lines))


def _list(kubectl: Kubectl, bounds: Bounds, step: Step, kind: str) -> list[Object]:
    """Every object of a kind in the step's namespace; nothing where it is out of bounds or may not be read."""
    context = step.target.context
    try:
        resource = kubectl.resource(context, kind)
        if resource is None or not bounds.kind(resource):
            return []
        found: list[Object] = kubectl.cluster.get(context, resource.path(step.target.namespace)).get("items") or []
    except ClusterError:
        return []
    return found


def _spec(one: Object | None) -> Mapping[str, Any]:
    spec = (one or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def _autoscaler(kubectl: Kubectl, bounds: Bounds, step: Step, plan: Plan) -> Iterator[str]:
    new = _spec(step.after).get("replicas")
    if step.verb != "replace" or not isinstance(new, int) or _spec(step.before).get("replicas") == new:
        return
    for one in _list(kubectl, bounds, step, "horizontalpodautoscalers"):
        of = _spec(one).get("scaleTargetRef") or {}
        if (of.get("kind"), of.get("name")) == (step.target.resource.kind, step.target.name):
            least, most = _spec(one).get("minReplicas", 1), _spec(one).get("maxReplicas")
            what = f"the autoscaler {named(one)} keeps {step.target.name} between {least} and {most} replicas"
            yield f"warning: {what}: " + (
                "at 0 it is switched off until somebody scales up again" if new == 0 else "it may set this back at once"
            )


def _services(kubectl: Kubectl, bounds: Bounds, step: Step, plan: Plan) -> Iterator[str]:
    """Services whose last pods go with this step."""
    labels = _going(step)
    if labels is None:
        return
    services = [one for one in _list(kubectl, bounds, step, "services") if _chosen(one, labels)]
    pods = _list(kubectl, bounds, step, "pods") if services else []
    leaving = {uid(one.before) for one in plan.steps if one.verb == "delete"}
    for service in services:
        ready = [pod for pod in pods if _ready(pod) and _chosen(service, metadata(pod).get("labels") or {})]
        left = [pod for pod in ready if uid(pod) not in leaving and not _belongs(step, pod)]
        if ready and not left:
            again = step.target.resource.plural == "pods" and controller(step.before or {}) is not None
            until = " until its new pods are ready" if again else ""
            yield f"warning: the Service {named(service)} has no endpoints left{until}: nobody answers it"


def _going(step: Step) -> Mapping[str, str] | None:
    """The labels of the pods that end with this step for good; None where none do."""
    before, after = step.before or {}, step.after
    if step.target.resource.plural == "pods":
        return metadata(before).get("labels") or {} if step.verb == "delete" else None
    if next(iter(pod_specs(before)), None) is None or step.target.resource.group != "apps":
        return None
    old, new = (metadata(_spec(one).get("template") or {}).get("labels") or {} for one in (before, after))
    gone = step.verb == "delete" or _spec(after).get("replicas") == 0 != _spec(before).get("replicas") or new != old
    return old if gone else None


def _belongs(step: Step, pod: Object) -> bool:
    return step.target.resource.plural != "pods" and selects(
        _spec(step.before).get("selector"), metadata(pod).get("labels") or {}
    )


def _chosen(service: Object, labels: Mapping[str, str]) -> bool:
    chosen = _spec(service).get("selector")
    return bool(chosen) and selects({"matchLabels": chosen}, labels)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _selector(kubectl: Kubectl, bounds: Bounds, step: Step, plan: Plan) -> Iterator[str]:
    """A Service that would choose other pods, of which there are none."""
    if step.target.resource.name != "services" or step.verb != "replace" or step.after is None:
        return
    chosen = _spec(step.after).get("selector")
    if not chosen or chosen == _spec(step.before).get("selector"):
        return
    pods = _list(kubectl, bounds, step, "pods")
    if not any(_chosen(step.after, metadata(pod).get("labels") or {}) for pod in pods):
        yield f"warning: no pod has the labels that the Service {step.target.name} would choose: nobody answers it"
