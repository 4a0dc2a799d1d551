"""Capture, undo, settle: the live objects before a change, and the way back to them.

What cannot come back (uids, the memory of pods, immutable fields) is said before and after.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look, Outcome, Result

from . import rollouts
from .bounds import Bounds
from .changing import dry_replace
from .cluster import Cluster, ClusterError
from .executing import ExecPlan
from .judging import delete_action, meaning
from .objects import RESTARTED, Object, Target, changed, create_body, metadata, named, same, uid
from .plans import Plan, Step, read, written
from .running import bare, carry_out, revert

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot

    from .tools import Kubectl

# What holds nothing but what is written in it: deleted and made anew it is the same but for its uid.
_REMADE: Final = frozenset(
    ("configmaps", "secrets", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
     "ingresses", "networkpolicies", "poddisruptionbudgets", "horizontalpodautoscalers", "limitranges",
     "resourcequotas")
)  # fmt: skip
_PATIENCE = 60.0  # seconds until what was put back should be there again


def capture(look: Look, slot: Slot) -> None:
    """The live objects, and what a cascade would take along, durably."""
    if isinstance(look.plan, ExecPlan):
        slot.seal({"exec": look.plan.target.text})
        return
    assert isinstance(look.plan, Plan)
    if slot.too_large:
        slot.seal({"context": look.plan.context, "steps": [], "too_large": True})
        return
    slot.seal(written(look.plan))


def look_undo(kubectl: Kubectl, call: Call, change: Change, slot: Slot) -> Look:
    """What would bring each object back now: actions, drift as reasons to ask. Raises Refused."""
    plan = read(slot.state)
    bounds = kubectl.bounds(call.policy)
    if not plan.steps or any(step.verb == "evict" for step in plan.steps):
        raise Refused(Code.INVALID, f"{change.id} cannot be undone: its prior state was not kept")
    bounds.context(plan.context)
    steps: list[Step] = []
    actions: list[Any] = []
    asks: list[str] = []
    previews: list[str] = []
    for step in reversed(plan.steps):
        target = step.target
        if not bounds.holds(target.context, target.resource, target.namespace):
            return Look((bounds.action("update", target),))
        going = any(one.verb == "delete" and one.target.text == target.text for one in steps)
        live = None if going else kubectl.cluster.find(target.context, target.path)
        if step.verb == "delete":
            made = [_again(kubectl, bounds, target, step, live, actions, asks)]
            made += _children(kubectl, bounds, plan, step, actions)
        elif step.verb == "create":
            made = _uncreated(bounds, target, step, live, actions, asks)
        else:
            made = _restored(kubectl, bounds, target, step, live, actions, asks)
        steps += made
        previews += [
            kubectl.shower.diff(s.before if s.verb != "create" else None, s.after, s.target.text) for s in made
        ]
    if not steps:
        raise Refused(Code.INVALID, f"nothing is left to undo of {change.id}: it is as it was before")
    back = Plan(plan.context, steps, preview="\n".join(previews), undo=True)
    back.header = "put back: " + ", ".join(step.target.text for step in steps)[:600]
    return Look(tuple(actions), back, asks=tuple(asks), size=back.size, remote=True)


def _again(
    kubectl: Kubectl, bounds: Bounds, target: Target, step: Step, live: Object | None, actions: list[Any],
    asks: list[str],
) -> Step:  # fmt: skip
    assert step.before is not None
    if live is not None and "deletionTimestamp" not in metadata(live):
        raise Refused(Code.CONFLICT, f"{target.text} is there again", hint="look at it; delete it first if it is wrong")
    body = create_body(step.before)
    owners = [owner for owner in metadata(body).get("ownerReferences") or () if _there(kubectl, target, owner)]
    if owners:
        metadata(body)["ownerReferences"] = owners
    else:
        metadata(body).pop("ownerReferences", None)
    meant = meaning(bounds, target, None, body)
    actions += meant.actions
    asks += meant.asks
    return Step("create", target, step.before, body, body=body)


def _there(kubectl: Kubectl, target: Target, owner: dict[str, Any]) -> bool:
    """Whether an owner lives: what is put back under a dead one is collected at once."""
    resource = kubectl.cluster.kinds(target.context).of(str(owner.get("apiVersion", "")), str(owner.get("kind", "")))
    if resource is None:
        return False
    found = kubectl.cluster.find(
        target.context, resource.path(target.namespace if resource.namespaced else "", str(owner.get("name", "")))
    )
    return uid(found) == owner.get("uid")


def _children(kubectl: Kubectl, bounds: Bounds, plan: Plan, owner: Step, actions: list[Any]) -> list[Step]:
    """What the cascade took along, in the order of its owners; their references are renewed as they are made."""
    found, owners = [], {uid(owner.before)}
    for child in plan.children:
        of = {reference.get("uid") for reference in metadata(child).get("ownerReferences") or ()}
        resource = kubectl.cluster.kinds(plan.context).of(str(child.get("apiVersion")), str(child.get("kind")))
        if resource is None or not of & owners:
            continue
        owners.add(uid(child))
        target = Target(plan.context, resource, owner.target.namespace, named(child))
        if kubectl.cluster.find(plan.context, target.path) is None:
            body = create_body(child)
            actions += meaning(bounds, target, None, body).actions
            found.append(Step("create", target, child, body, body=body))
    return found


def _uncreated(
    bounds: Bounds, target: Target, step: Step, live: Object | None, actions: list[Any], asks: list[str]
) -> list[Step]:
    if live is None:
        return []
    if uid(live) != uid(step.made):
        raise Refused(Code.CONFLICT, f"{target.text} is another object of the same name now")
    if step.made is not None and not same(live, step.made):
        asks.append(f"{target.text} was changed since it was created")
    actions.append(delete_action(bounds, target, live, 1, "", "what it became since"))
    return [Step("delete", target, live, None)]


def _restored(
    kubectl: Kubectl, bounds: Bounds, target: Target, step: Step, live: Object | None, actions: list[Any],
    asks: list[str],
) -> list[Step]:  # fmt: skip
    assert step.before is not None
    if live is None or uid(live) != uid(step.before):
        raise Refused(Code.CONFLICT, f"{target.text} is gone or another object now", hint="look at it")
    after = step.made or step.after or {}
    new = merged(bare(step.before), bare(after), bare(live))
    if same(new, live):
        return []
    mine = changed(step.before, after)
    drifted = [path for path in changed(after, live) if any(_touch(path, own) for own in mine)]
    if drifted:
        asks.append(f"{target.text} was changed since ({', '.join(drifted)[:200]})")
    verb = _verb_back(changed(live, new))
    try:
        answered = dry_replace(kubectl, target, new)
    except ClusterError as error:
        if error.reason != "Invalid":
            raise
        return _anew(bounds, target, step, live, new, error, actions, asks)
    meant = meaning(bounds, target, live, answered, verb=verb)
    if target.resource.name == "nodes":
        actions.append(bounds.action("node", target, effect=f"{uid(live)} undo", drain=False))
    else:
        actions += meant.actions or [bounds.action("update", target, changed=meant.changed, sensitive=False)]
        asks += meant.asks
    return [Step("replace", target, live, answered, body=new)]


def _anew(
    bounds: Bounds, target: Target, step: Step, live: Object, new: Object, error: ClusterError, actions: list[Any],
    asks: list[str],
) -> list[Step]:  # fmt: skip
    """The way back over a field that cannot be changed: deleted and made again, where nothing is lost by that."""
    if target.resource.name not in _REMADE:
        raise Refused(
            Code.INVALID,
            f"{target.text} cannot be put back as it is ({error.message[:300]}), and deleting it to make it anew would"
            f" lose more than the change did",
            hint="bring it to the wanted state with a change of its own, or have a person do it",
        )
    body = create_body(new)
    lost = "its uid; for a moment it is not there"
    actions.append(delete_action(bounds, target, live, 1, "", lost))
    meant = meaning(bounds, target, None, body)
    actions += meant.actions
    asks += meant.asks
    return [Step("delete", target, live, None), Step("create", target, live, body, body=body)]


def _touch(one: str, other: str) -> bool:
    """Whether two changed paths are of the same value, or one of a part of the other's."""
    return one == other or one.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{one}.", f"{one}["))


def _verb_back(paths: tuple[str, ...]) -> str:
    if all(path == "spec.replicas" for path in paths):
        return "scale"
    if all(path.endswith(".image") for path in paths):
        return "image"
    if all(RESTARTED in path or path == "spec.template.metadata.annotations" for path in paths):
        return "restart"
    return "update"


def merged(before: Any, after: Any, live: Any) -> Any:
    """`live` with what the change did taken back: three ways, so that what others changed since stays."""
    if before == after:
        return copy.deepcopy(live)
    if isinstance(before, dict) and isinstance(after, dict) and isinstance(live, dict):
        made: dict[str, Any] = {}
        for key in [*live, *(key for key in before if key not in live)]:
            if key in before and key in after:
                if key in live:
                    made[key] = merged(before[key], after[key], live[key])
            elif key in before:  # the change removed it
                made[key] = copy.deepcopy(before[key])
            elif key in after:  # the change added it
                if live.get(key) != after[key]:
                    made[key] = merged({}, after[key], live[key]) if isinstance(after[key], dict) else live[key]
            else:
                made[key] = copy.deepcopy(live[key])
        return made
    return copy.deepcopy(before)


# ---------------------------------------------------------------- in the act


def run_undo(kubectl: Kubectl, permit: Permit) -> Result:
    """Put back, wait until it is there again, and tell what could not return."""
    plan, slot, link = permit.look.plan, permit.slot, permit.call.link
    assert isinstance(plan, Plan) and slot is not None
    carry_out(kubectl.cluster, plan, slot, link)
    notes = []
    for step in plan.steps:
        if step.verb == "create" and step.before is not None:
            notes.append(f"{step.target.text} is there again, with a new uid; its status and its pods are made anew")
            lost = _not_returned(step.before, step.made or {})
            notes += [f"{step.target.text}: {what} did not come back" for what in lost]
    waited = _wait(kubectl.cluster, plan, permit)
    redacted = kubectl.detector.redact("\n".join([*notes, *waited, plan.preview]))
    return Result(redacted.text, header=plan.header, untrusted=True)


def _not_returned(before: Object, made: Object) -> list[str]:
    old, new = before.get("spec") or {}, made.get("spec") or {}
    return [key for key in ("clusterIP", "nodePort", "volumeName") if old.get(key) and new.get(key) != old[key]]


def _wait(cluster: Cluster, plan: Plan, permit: Permit) -> list[str]:
    notes, link, spent = [], permit.call.link, 0.0
    for step in plan.steps:
        if step.verb == "delete" or step.target.resource.plural not in ("deployments", "statefulsets", "daemonsets"):
            continue
        while True:
            live = cluster.find(step.target.context, step.target.path)
            done, words, final = rollouts.state(live) if live else (True, "", True)
            if done or final or spent >= _PATIENCE or link.cancelled:
                break
            spent += 0.5
            link.progress(spent, f"{step.target.text}: {words}")
            link.wait(0.5)
        notes.append(f"{step.target.text}: {'ready' if done else 'not ready yet'}: {words}")
    return notes


def settle(cluster: Cluster, slot: Slot) -> Outcome:
    """What a change that was cut off came to: after, before (half done is put back), or unknown."""
    plan = read(slot.state)
    if not plan.steps:
        return Outcome.UNKNOWN
    states = [_state(cluster, step) for step in plan.steps]
    if all(state == "after" for state in states):
        return Outcome.DONE
    if any(state == "other" for state in states):
        return Outcome.UNKNOWN
    for step, state in reversed(list(zip(plan.steps, states, strict=True))):
        if state == "after":
            if step.made is None:
                step.made = cluster.find(step.target.context, step.target.path)
            try:
                if not revert(cluster, step):
                    return Outcome.UNKNOWN
            except ClusterError:
                return Outcome.UNKNOWN
    return Outcome.FAILED


def _state(cluster: Cluster, step: Step) -> str:
    live = cluster.find(step.target.context, step.target.path)
    gone = live is None or uid(live) != uid(step.before) or "deletionTimestamp" in metadata(live)
    if step.verb in ("delete", "evict"):
        return "after" if gone else "before"
    if step.verb == "create":
        if live is None or uid(live) == uid(step.before):
            return "before"
        mine = step.after is not None and set(changed(step.after, live)) <= _DEFAULTED
        return "after" if mine or uid(live) == uid(step.made) else "other"
    if live is None or uid(live) != uid(step.before):
        return "other"
    if step.after is not None and same(live, step.after):
        return "after"
    return "before" if step.before is not None and same(live, step.before) else "other"


_DEFAULTED = frozenset(("spec.clusterIP", "spec.clusterIPs"))
