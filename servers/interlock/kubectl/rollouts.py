"""Rollouts: earlier revisions, and whether one is done or why it is stuck."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Result

from .arguments import RolloutStatus
from .cluster import Cluster
from .objects import REVISION, Object, Target, metadata, named, uid
from .worded import without_logins

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl


def earlier(cluster: Cluster, target: Target, live: Object, wanted: int | None) -> tuple[int, Object]:
    """(revision, pod template) of an earlier rollout: the one wanted, else the last before this. Raises Refused."""
    revisions = _revisions(cluster, target, live)
    if wanted is None:
        current = _current(revisions, live)
        older = [number for number in revisions if number != current]
        wanted = max(older, default=0)
    if wanted not in revisions:
        known = ", ".join(map(str, sorted(revisions))) or "none"
        raise Refused(Code.INVALID, "there is no such earlier revision", hint=f"the revisions are {known}")
    return wanted, revisions[wanted]


def _revisions(cluster: Cluster, target: Target, live: Object) -> dict[int, Object]:
    found: dict[int, Object] = {}
    if target.resource.plural == "deployments":
        path = f"/apis/apps/v1/namespaces/{target.namespace}/replicasets"
        for one in cluster.get(target.context, path).get("items") or ():
            number = (metadata(one).get("annotations") or {}).get(REVISION)
            if _owned(one, live) and number and number.isdecimal():
                template = copy.deepcopy(one["spec"]["template"])
                (metadata(template).get("labels") or {}).pop("pod-template-hash", None)
                found[int(number)] = template
        return found
    path = f"/apis/apps/v1/namespaces/{target.namespace}/controllerrevisions"
    for one in cluster.get(target.context, path).get("items") or ():
        if _owned(one, live):
            template = copy.deepcopy(((one.get("data") or {}).get("spec") or {}).get("template") or {})
            template.pop("$patch", None)
            found[int(one.get("revision", 0))] = template
    return found


def _current(revisions: Mapping[int, Object], live: Object) -> int:
    number = (metadata(live).get("annotations") or {}).get(REVISION, "")
    return int(number) if number.isdecimal() else max(revisions, default=0)


def _owned(one: Mapping[str, Any], live: Object) -> bool:
    return any(owner.get("uid") == uid(live) for owner in metadata(one).get("ownerReferences") or ())


# ---------------------------------------------------------------- status


def run_status(kubectl: Kubectl, permit: Permit) -> Result:
    """Poll until the rollout is done, is stuck for good, or the time is over; then say why."""
    from .reading import ReadPlan

    args, plan, link = permit.call.arguments, permit.look.plan, permit.call.link
    assert isinstance(args, RolloutStatus) and isinstance(plan, ReadPlan)
    target = plan.targets[0]
    if target.resource.name not in ("deployments", "statefulsets", "daemonsets"):
        raise Failed(f"{target.resource.name} do not roll out", hint="deployments, statefulsets and daemonsets do")
    start = time.monotonic()
    while True:
        live = kubectl.cluster.get(target.context, target.path)
        done, words, final = state(live)
        spent = time.monotonic() - start
        if done or final or spent >= args.wait or link.cancelled:
            break
        link.progress(spent + 0.001, words)
        link.wait(min(1.0, max(0.1, args.wait - spent)))
    header = f"{target.text}: {'done' if done else 'not done'}: {words}"
    if done:
        return Result(header=header, text="")
    reasons = why(kubectl, target, live)
    redacted = kubectl.detector.redact(without_logins("\n".join(reasons)), target.text)
    return Result(redacted.text, header=header, untrusted=True, redactions=redacted.count)


def state(live: Object) -> tuple[bool, str, bool]:
    """(done, in words, no use waiting)."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    kind = live.get("kind")
    if int(status.get("observedGeneration", 0)) < int(metadata(live).get("generation", 0)):
        return False, "the controller has not seen the change yet", False
    if kind == "DaemonSet":
        wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
        ready = status.get("numberAvailable", 0)
    else:
        wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
        ready = status.get("availableReplicas", status.get("readyReplicas", 0))
    old = max(0, status.get("replicas", updated) - updated) if kind == "Deployment" else 0
    words = f"{updated} of {wanted} updated, {ready} available" + (f", {old} old ones left" if old else "")
    conditions = status.get("conditions") or ()
    stuck = any(c.get("reason") == "ProgressDeadlineExceeded" for c in conditions if isinstance(c, dict))
    if spec.get("paused"):
        return False, f"{words}; it is paused", True
    return updated >= wanted and ready >= wanted and not old, words, stuck


def why(kubectl: Kubectl, target: Target, live: Object) -> list[str]:
    """What holds a rollout up: its conditions, its pods' containers, and their latest warnings."""
    lines = [
        f"condition {c.get('type')}={c.get('status')}: {c.get('reason', '')} {c.get('message', '')}".strip()
        for c in (live.get("status") or {}).get("conditions") or ()
        if c.get("status") != "True" or c.get("type") == "ReplicaFailure"
    ]
    selector = _selector((live.get("spec") or {}).get("selector") or {})
    pods = kubectl.cluster.get(
        target.context, f"/api/v1/namespaces/{target.namespace}/pods", labelSelector=selector, limit="200"
    )
    waiting: dict[str, list[str]] = {}
    for pod in pods.get("items") or () if selector else ():
        for what in _trouble(pod):
            waiting.setdefault(what, []).append(named(pod))
    for what, who in waiting.items():
        lines.append(f"{len(who)} {'pods' if len(who) > 1 else 'pod'} ({', '.join(who[:3])}): {what}")
    from .events import belongs, grouped

    query = {"fieldSelector": "type=Warning", "limit": "500"}
    events = kubectl.cluster.get(target.context, f"/api/v1/namespaces/{target.namespace}/events", **query)
    mine = [one for one in events.get("items") or () if belongs(one, target.name)]
    lines += [f"warning: {line}" for line in grouped(mine)[:8]]
    return lines or ["nothing says why; kubectl_events and kubectl_describe may"]


def _selector(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as the API takes it in a query; empty where it has no conditions."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, values = one.get("key"), ",".join(one.get("values") or ())
        made = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(str(made.get(str(one.get("operator")), f"!{key}")))
    return ",".join(parts)


def _trouble(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    found = []
    first = status.get("initContainerStatuses") or []
    for one in [*first, *(status.get("containerStatuses") or ())]:
        state, who = one.get("state") or {}, f"container {one.get('name')} ({one.get('image')})"
        ended = (one.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
        if waiting := state.get("waiting"):
            found.append(f"{who} waits: {waiting.get('reason', '')} {waiting.get('message', '')}")
        elif state.get("running") and not one.get("ready"):
            why = "it runs before the others" if one in first else "its readiness probe does not succeed yet"
            found.append(f"{who} runs but is not ready: {why}")
        if ended and ended.get("exitCode"):
            times = f", restarted {one['restartCount']} times" if one.get("restartCount") else ""
            found.append(f"{who} ended with {ended.get('exitCode')} {ended.get('reason', '')}{times}")
    if not found and status.get("phase") == "Pending":
        for one in status.get("conditions") or ():
            if one.get("type") == "PodScheduled" and one.get("status") == "False":
                found.append(f"not scheduled: {one.get('message', '')}")
    return [" ".join(what.split()) for what in found]
