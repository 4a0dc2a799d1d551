"""The one place where clusters are changed: steps, each with its preconditions, put back where a later one fails."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import structlog

from interlock.guard.errors import Code, Failed
from interlock.guard.model import Link, Result

from .cluster import Cluster, ClusterError
from .objects import Object, create_body, metadata, same, uid
from .plans import Plan, Step, written

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit
    from interlock.guard.undo.snapshots import Slot

    from .tools import Kubectl

log = structlog.get_logger("interlock.kubectl")
_TRIES = 8
_GONE = 30.0  # seconds that a deleted object may take to make room


def run_change(kubectl: Kubectl, permit: Permit) -> Result:
    """Carry out a plan. Raises Failed: the world is as before, or the code is UNKNOWN."""
    plan, slot = permit.look.plan, permit.slot
    assert isinstance(plan, Plan) and slot is not None
    carry_out(kubectl.cluster, plan, slot, permit.call.link)
    text = "\n".join(filter(None, [*plan.notes, plan.preview]))
    return Result(text, header=plan.header, untrusted=bool(text))


def carry_out(cluster: Cluster, plan: Plan, slot: Slot, link: Link) -> None:
    """All steps or none. What was done is sealed into the slot as it is done."""
    done: list[Step] = []
    for step in plan.steps:
        try:
            step.made = _do(cluster, plan, step, done, link)
        except ClusterError as error:
            if error.reason == "" or not _put_back(cluster, done):
                raise Failed(
                    f"{step.target.text}: {error.message}", hint="read the state before trying again", code=Code.UNKNOWN
                ) from None
            failed = error.failed()
            failed.message = f"{step.target.text}: {error.message}" + ("; the rest was put back" if done else "")
            raise failed from None
        done.append(step)
        slot.seal(written(plan))


def _do(cluster: Cluster, plan: Plan, step: Step, done: list[Step], link: Link) -> Object:
    if step.verb == "replace":
        return replace(cluster, step)
    if step.verb == "create":
        return _create(cluster, step, done, link)
    if step.verb == "evict":
        return evict(cluster, step)
    body = {
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": uid(step.before)},
    }  # fmt: skip
    return cluster.send("delete", step.target.context, step.target.path, body)


def replace(cluster: Cluster, step: Step) -> Object:
    """Write the new state over the very object that was looked at; what its controllers note meanwhile is no matter."""
    assert step.before is not None
    body, live = copy.deepcopy(step.body), step.before
    for _ in range(_TRIES):
        meta = body.setdefault("metadata", {})
        meta["resourceVersion"], meta["uid"] = metadata(live).get("resourceVersion"), uid(live)
        try:
            return cluster.send("replace", step.target.context, step.target.path, body, strict=False)
        except ClusterError as error:
            if error.reason != "Conflict":
                raise
            found = cluster.find(step.target.context, step.target.path)
            if found is None or uid(found) != uid(step.before) or not same(found, step.before):
                raise ClusterError("Conflict", "it was changed by someone else meanwhile") from None
            live = found
    raise ClusterError("Conflict", "it keeps changing")


def _create(cluster: Cluster, step: Step, done: list[Step], link: Link) -> Object:
    body = copy.deepcopy(step.body)
    renewed = {uid(one.before): uid(one.made) for one in done if one.verb == "create" and one.before and one.made}
    for owner in metadata(body).get("ownerReferences") or ():
        owner["uid"] = renewed.get(owner.get("uid"), owner.get("uid"))
    path = step.target.resource.path(step.target.namespace)
    end = time.monotonic() + _GONE
    while True:
        try:
            return cluster.send("create", step.target.context, path, body, strict=False)
        except ClusterError as error:
            if error.reason != "AlreadyExists" or step.before is None:
                raise
            found = cluster.find(step.target.context, step.target.path)
            going = found is None or "deletionTimestamp" in metadata(found)
            if not going or time.monotonic() > end:
                raise
            link.progress(_GONE - (end - time.monotonic()), "waiting until the old one is gone")
            link.wait(0.5)


def evict(cluster: Cluster, step: Step) -> Object:
    """Ask for the eviction of the very pod that was looked at. Raises ClusterError, TooManyRequests by its budget."""
    body = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": step.target.name, "namespace": step.target.namespace},
        "deleteOptions": {"preconditions": {"uid": uid(step.before)}},
    }  # fmt: skip
    return cluster.send("create", step.target.context, step.target.sub("eviction"), body, strict=False)


def _put_back(cluster: Cluster, done: list[Step]) -> bool:
    """Undo finished steps, newest first. False: one could not be, and nobody knows what is there now."""
    for step in reversed(done):
        try:
            if not revert(cluster, step):
                return False
        except ClusterError as error:
            log.warning("step not put back", target=step.target.text, reason=error.reason)
            return False
    return True


def revert(cluster: Cluster, step: Step) -> bool:
    """Bring one object back to where it was before its step; False where that cannot be."""
    if step.verb == "evict":
        return False
    if step.verb == "create":
        if step.made is None:
            return True
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid(step.made)}}
        cluster.send("delete", step.target.context, step.target.path, body)
        return True
    if step.before is None:
        return False
    if step.verb == "delete":
        body = create_body(step.before)
        cluster.send(
            "create", step.target.context, step.target.resource.path(step.target.namespace), body, strict=False
        )
        return True
    back = Step("replace", step.target, step.made or step.after, step.before, body=bare(step.before))
    replace(cluster, back)
    return True


def bare(one: Object) -> Object:
    """An object as the body of a PUT: what only the server writes is left to it."""
    made = {key: value for key, value in copy.deepcopy(one).items() if key != "status"}
    for key in ("managedFields", "selfLink"):
        metadata(made).pop(key, None)
    return made
