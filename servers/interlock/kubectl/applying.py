"""kubectl_apply and kubectl_diff: every object judged on its own, the whole refused when one is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Call, Look, Result

from .arguments import Apply, Diff
from .changing import annotated
from .cluster import ClusterError
from .guesses import noted, untold
from .judging import meaning
from .manifests import Described, objects_of
from .objects import Object, Target, changed, metadata, named
from .placeholders import Restored, diverted, put_back
from .plans import Plan, Step
from .running import bare

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl


@dataclass(frozen=True, slots=True)
class Applied:
    """What the server's dry run makes of one object. `told` is `after` but for the hidden values given `anew`."""

    target: Target
    manifest: Object
    live: Object | None
    after: Object
    told: Object
    anew: list[str]

    @property
    def differs(self) -> bool:
        """Whether it is to be changed, as far as that may be told."""
        return self.live is None or bool(self.anew or changed(self.live, self.told))

    def diff(self, kubectl: Kubectl) -> str:
        return noted(kubectl.shower.diff(self.live, self.told, self.target.text), self.anew)


def look_apply(kubectl: Kubectl, call: Call) -> Look:
    args, bounds = call.arguments, kubectl.bounds(call.policy)
    assert isinstance(args, Apply)
    context = bounds.context(args.context)
    namespace = bounds.namespace(context, args.namespace)
    objects = objects_of(kubectl, bounds, context, namespace, args.manifest, args.path)
    asks: list[str] = []
    actions, steps, previews, unchanged = [], [], [], []
    outside = [target for target, _, _ in objects if not bounds.holds(context, target.resource, target.namespace)]
    if outside:  # the whole is refused, before anything of any object is read
        return Look(tuple(bounds.action("create", target) for target in outside))
    for one in dry_run(kubectl, context, objects, asks):
        if one.live is not None and not one.differs:
            unchanged.append(one.target.text)
            continue
        meant = meaning(
            bounds, one.target, one.live, one.after, objects=len(objects), sent=None if one.live else one.manifest
        )
        actions += meant.actions
        asks += meant.asks
        previews.append(one.diff(kubectl))
        if one.live is None:
            steps.append(Step("create", one.target, None, one.after, body=annotated(one.manifest)))
        else:
            steps.append(Step("replace", one.target, one.live, one.after, body=bare(one.after)))
    if not steps:
        raise Refused(Code.INVALID, f"nothing would change: {', '.join(unchanged)[:300]} are like that already")
    plan = Plan(context, steps, preview="\n".join(previews))
    words = [f"{'create' if step.before is None else 'update'} {step.target.text}" for step in steps]
    plan.header = "; ".join(words)[:600] + (f"; {len(unchanged)} unchanged" if unchanged else "")
    return Look(tuple(actions), plan, asks=tuple(asks), size=plan.size, remote=True, dry=args.dry_run)


def dry_run(kubectl: Kubectl, context: str, objects: Sequence[Described], asks: list[str]) -> list[Applied]:
    """What `kubectl apply` would make of each object, asked of the server. Placeholders are put back first."""
    lives: list[Object | None] = []
    bodies: list[Object] = []
    places: list[Restored] = []
    for target, one, _ in objects:
        live = kubectl.cluster.find(context, target.path)
        restored = put_back(kubectl.shower, one, live, target)
        places.append(restored)
        lives.append(live)
        bodies.append(restored.value)
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}).encode()
    argv = ["apply", "--dry-run=server", "--validate=strict", "--output=json", "--filename=-"]
    answer = json.loads(kubectl.cluster.kubectl(context, argv, stdin=manifest))
    items = answer["items"] if answer.get("kind") == "List" else [answer]
    after = {_mark(one): one for one in items}
    made = [
        Applied(target, body, live, after[_mark(body)], *untold(kubectl.shower, one, live, after[_mark(body)], target))
        for (target, one, _), body, live in zip(objects, bodies, lives, strict=True)
    ]
    for applied, restored in zip(made, places, strict=True):
        asks += diverted(restored, applied.live, applied.after, applied.target)
    return made


def _mark(one: Object) -> tuple[str, ...]:
    """Which object of several it is: names repeat from namespace to namespace and from group to group."""
    group = str(one["apiVersion"]).rpartition("/")[0]
    return group, str(one["kind"]), str(metadata(one).get("namespace") or ""), named(one)


# ---------------------------------------------------------------- diff


@dataclass(frozen=True, slots=True)
class DiffPlan:
    context: str
    objects: list[Described]
    invalid: list[str]  # what is wrong in a folder, by file


def look_diff(kubectl: Kubectl, call: Call) -> Look:
    args, bounds = call.arguments, kubectl.bounds(call.policy)
    assert isinstance(args, Diff)
    context = bounds.context(args.context)
    namespace = bounds.namespace(context, args.namespace)
    invalid: list[str] = []
    objects = objects_of(kubectl, bounds, context, namespace, args.manifest, args.path, invalid)
    return Look(tuple(bounds.action("read", target) for target, _, _ in objects), DiffPlan(context, objects, invalid))


def run_diff(kubectl: Kubectl, permit: Permit) -> Result:
    plan = permit.look.plan
    assert isinstance(plan, DiffPlan)
    differing, missing, same, texts = 0, 0, 0, []
    invalid = list(plan.invalid)
    one_file = len({one.source for one in plan.objects}) == 1 and not invalid  # then the API's no is the answer
    for one in dry_run(kubectl, plan.context, plan.objects, []) if one_file else _each(kubectl, plan.objects, invalid):
        if one.live is None:
            missing += 1
        elif not one.differs:
            same += 1
            continue
        else:
            differing += 1
        texts.append(one.diff(kubectl))
    header = f"{plan.context}: {differing} differ, {missing} are missing, {same} are as described"
    header += f", {len(invalid)} are invalid" if invalid else ""
    texts += [f"# invalid: {one}" for one in invalid]
    return Result("\n".join(texts), header=header, untrusted=bool(texts))


def _each(kubectl: Kubectl, objects: Sequence[Described], invalid: list[str]) -> list[Applied]:
    """All at once; where the API refuses, each half of them, down to the one that is at fault."""
    try:
        return dry_run(kubectl, objects[0].target.context, objects, [])
    except ClusterError as error:
        if not error.reason:
            raise  # no answer: nothing is known of the rest either
        if len(objects) == 1:
            invalid.append(f"{objects[0].source}: {objects[0].target.text}: {error.message}")
            return []
    middle = len(objects) // 2
    return [*_each(kubectl, objects[:middle], invalid), *_each(kubectl, objects[middle:], invalid)]
