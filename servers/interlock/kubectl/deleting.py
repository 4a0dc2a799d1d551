"""kubectl_delete: exactly the objects that were looked at, with what goes along and what is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look

from . import names
from .arguments import Delete
from .bounds import Bounds
from .changing import refuse_outside
from .cluster import ClusterError
from .discovery import Resource, unknown_kind
from .judging import delete_action
from .objects import Object, Target, controller, metadata, named, uid
from .plans import Plan, Step

if TYPE_CHECKING:
    from .tools import Kubectl

# What a controller makes anew from its owner: of these nothing has to be put back.
_REBUILT: Final = frozenset(("Pod", "ReplicaSet", "Job", "ControllerRevision", "EndpointSlice"))
_HISTORY: Final = {
    "deployments": "its earlier revisions (rollout history)",
    "statefulsets": "its earlier revisions; its pods start anew",
    "daemonsets": "its earlier revisions; its pods start anew",
    "cronjobs": "the jobs that it ran, with their logs",
    "jobs": "that it ran: put back, it runs again",
    "pods": "the pod's memory, logs and emptyDir volumes",
    "services": "its address, unless it is still free",
}
_CHILDREN: Final = (
    "custom-columns=KIND:.kind,API:.apiVersion,NAME:.metadata.name,UID:.metadata.uid,"
    "OWNERS:.metadata.ownerReferences[*].uid"
)


def look_delete(kubectl: Kubectl, call: Call) -> Look:
    args, bounds = call.arguments, kubectl.bounds(call.policy)
    assert isinstance(args, Delete)
    kind, name = names.kind_and_name(args.kind, args.name)
    if bool(name) == bool(args.selector):
        raise Refused(Code.INVALID, "a delete takes either `name` or `selector`")
    selector = names.selector(args.selector)
    context = bounds.context(args.context)
    namespace = bounds.namespace(context, args.namespace)
    resource = kubectl.resource(context, kind)
    if resource is None or "," in kind:
        raise unknown_kind(kind)
    if namespace == "*":
        raise Refused(Code.INVALID, "a change names one namespace")
    place = bounds.target(context, resource, namespace, name)
    refuse_outside(bounds, place)
    lives = _matched(kubectl, bounds, place, selector)
    steps, actions, lines, children = [], [], [], []
    for live in lives:
        target = Target(context, resource, namespace, named(live))
        made, lost, data = _what_goes(kubectl, target, live)
        actions.append(delete_action(bounds, target, live, len(lives), data, lost))
        steps.append(Step("delete", target, live, None))
        children += made
        lines += [f"delete {target.text}" + (f" (stays lost: {data or lost})" if data or lost else "")]
        lines += [f"  goes along: {one['kind']}/{named(one)}" for one in made]
    plan = Plan(context, steps, preview="\n".join(lines), children=children)
    plan.header = f"{len(steps)} deleted: {', '.join(step.target.text for step in steps)}"[:600]
    return Look(tuple(actions), plan, size=plan.size, remote=True, dry=args.dry_run)


def _matched(kubectl: Kubectl, bounds: Bounds, place: Target, selector: str) -> list[Object]:
    if place.name:
        return [kubectl.cluster.get(place.context, place.path)]
    path = place.resource.path(place.namespace)
    page = kubectl.cluster.get(place.context, path, labelSelector=selector, limit="1000")
    found = page.get("items") or []
    most = bounds.section.max_objects
    if len(found) > most:
        shown = ", ".join(named(one) for one in found[:20])
        unread = "more than " if metadata(page).get("continue") else ""
        more = f" and {unread}{len(found) - 20} more" if len(found) > 20 else ""
        raise Refused(
            Code.TOO_LARGE,
            f"the selector matches {unread}{len(found)} {place.resource.name}, more than {most}: {shown}{more}",
            hint="name them, or use a narrower selector",
        )
    if not found:
        raise Refused(Code.INVALID, f"no {place.resource.name} match the selector")
    whole = {"apiVersion": place.resource.api_version, "kind": place.resource.kind}
    return [{**whole, **one} for one in found]


def _what_goes(kubectl: Kubectl, target: Target, live: Object) -> tuple[list[Object], str, str]:
    """(what the cascade takes that nobody makes anew, what stays lost, data that is lost for good)."""
    lost = _HISTORY.get(target.resource.name, "its uid and status")
    if target.resource.name == "pods" and controller(live) is not None:
        return [], "", ""
    data = _data(kubectl, target, live)
    if data or target.resource.name == "pods" or not target.resource.namespaced:
        return [], lost, data
    found, unseen = _children(kubectl, target, live)
    if unseen:
        lost += f"; whatever it owns of {', '.join(unseen[:5])}, which these credentials may not list"
    return found, lost, ""


def _data(kubectl: Kubectl, target: Target, live: Object) -> str:
    """What a delete would lose for good, in words; empty where nothing is."""
    kind = target.resource.name
    if kind == "persistentvolumeclaims":
        volume = str((live.get("spec") or {}).get("volumeName") or "")
        if not volume:
            return ""
        try:
            pv = kubectl.cluster.find(target.context, f"/api/v1/persistentvolumes/{names.name(volume)}")
        except ClusterError:
            return f"perhaps the data of its volume {volume}: its reclaim policy cannot be read"
        policy = ((pv or {}).get("spec") or {}).get("persistentVolumeReclaimPolicy")
        return "" if policy == "Retain" else f"the data of its volume {volume}: reclaim policy {policy or 'unknown'}"
    if kind == "statefulsets":
        retention = (live.get("spec") or {}).get("persistentVolumeClaimRetentionPolicy") or {}
        return "the data of its volumes: they are deleted with it" if retention.get("whenDeleted") == "Delete" else ""
    if kind in ("namespaces", "nodes", "persistentvolumes") or target.resource.group == "apiextensions.k8s.io":
        return f"everything that belongs to {kind[:-1]} {target.name}"
    return ""


def _children(kubectl: Kubectl, target: Target, live: Object) -> tuple[list[Object], list[str]]:
    """What belongs to an object and is made by nobody else, and the kinds that could not be looked at."""
    kinds = [
        r for r in kubectl.cluster.kinds(target.context).all
        if r.namespaced and {"list", "get"} <= r.verbs and r.plural != "events" and r.group != "metrics.k8s.io"
    ]  # fmt: skip
    argv = ["get", f"--namespace={target.namespace}", f"--output={_CHILDREN}", "--no-headers", "--ignore-not-found"]
    argv += ["--", ",".join(r.argument for r in kinds)]
    done = kubectl.cluster.run(target.context, argv)
    said = done.stderr.decode("utf-8", "replace")
    unseen = [r.name for r in kinds if f'resource "{r.plural}"' in said and "forbidden" in said]
    if done.timed_out or (done.code and not unseen):
        raise ClusterError("", "what belongs to it cannot be found out, so it is not deleted")
    owned = {uid(live)}
    rows = [line.split(None, 4) for line in done.stdout.decode("utf-8", "replace").splitlines()]
    found: list[list[str]] = []
    grown = True
    while grown:
        grown = False
        for row in rows:
            if len(row) == 5 and row[3] not in owned and owned.intersection(row[4].split(",")):
                owned.add(row[3])
                found.append(row)
                grown = True
    known = {(r.kind, r.api_version): r for r in kinds}
    children = []
    for kind, api, name, _, _ in found:
        resource: Resource | None = known.get((kind, api))
        if kind in _REBUILT or resource is None:
            continue
        children.append(kubectl.cluster.get(target.context, resource.path(target.namespace, name)))
    return children, unseen
