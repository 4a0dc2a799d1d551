"""kubectl_events: what happened, each thing once, with how often and when last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.model import Call, Look, Result

from . import names
from .arguments import Events
from .discovery import unknown_kind
from .objects import Object
from .worded import without_logins

_MOST: Final = 60
_OWNERS: Final = frozenset(("deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"))
# What controllers append to the name of what they make something for: a number, hashes without vowels.
_HASH: Final = "-[bcdfghjklmnpqrstvwxz2456789]{5,10}"
_MADE: Final = re.compile(rf"(?:-\d{{1,10}})?(?:{_HASH}){{0,2}}")
_MADE_NAMES: Final = re.compile(rf"…?{_HASH}\b")

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl


def look(kubectl: Kubectl, call: Call) -> Look:
    from .reading import ReadPlan

    args, bounds = call.arguments, kubectl.bounds(call.policy)
    assert isinstance(args, Events)
    context = bounds.context(args.context)
    namespace = bounds.namespace(context, args.namespace)
    resource = kubectl.resource(context, "events.v1.")
    if resource is None:
        raise unknown_kind("events")
    target = bounds.target(context, resource, namespace)
    targets = [target]
    if args.about:
        kind, name = names.kind_and_name(args.about, "")
        about = kubectl.resource(context, kind)
        if about is None:
            raise unknown_kind(kind)
        targets.append(bounds.target(context, about, namespace, name))
    return Look(tuple(bounds.action("read", one) for one in targets), ReadPlan(tuple(targets), bounds))


def run(kubectl: Kubectl, permit: Permit) -> Result:
    from .reading import ReadPlan

    args, plan = permit.call.arguments, permit.look.plan
    assert isinstance(args, Events) and isinstance(plan, ReadPlan)
    target = plan.targets[0]
    wanted, family = ["type=Warning"] if args.warnings else [], ""
    if len(plan.targets) > 1:
        about = plan.targets[1]
        family = about.name if about.resource.name in _OWNERS else ""
        wanted += [] if family else [f"involvedObject.kind={about.resource.kind}"]
        wanted += [f"involvedObject.name={about.name}"] if about.name and not family else []
    query = {"fieldSelector": ",".join(wanted)} if wanted else {}
    everywhere = target.namespace == "*"
    path = target.resource.path("" if everywhere else target.namespace)
    items = kubectl.cluster.get(target.context, path, **query, limit="5000").get("items") or []
    if everywhere:
        items = [
            one for one in items if plan.bounds.in_namespaces(target.context, one["metadata"].get("namespace", ""))
        ]
    items = [one for one in items if belongs(one, family)] if family else items
    redacted, count = kubectl.detector.redact_value([_told(one) for one in items], target.text)
    lines = grouped(redacted)
    header = f"{target.context}/{target.namespace}: {len(items)} events, {len(lines)} different"
    if len(lines) > _MOST:
        header += f", the latest {_MOST} shown"
    return Result("\n".join(lines[:_MOST]), header=header, untrusted=True, redactions=count)


def belongs(event: Object, name: str) -> bool:
    """Whether an event is about the workload of that name, or what its controllers named after it."""
    about = str((event.get("involvedObject") or {}).get("name") or "")
    return about.startswith(name) and _MADE.fullmatch(about[len(name) :]) is not None


def _told(one: Object) -> Object:
    """What of an event is shown at all."""
    about = one.get("involvedObject") or {}
    return {
        "type": one.get("type"), "reason": one.get("reason"),
        "message": without_logins(str(one.get("message") or "")), "count": one.get("count"),
        "lastTimestamp": _last(one), "involvedObject": {"kind": about.get("kind"), "name": about.get("name")},
    }  # fmt: skip


def grouped(events: list[Any]) -> list[str]:
    """One line for each different event, the latest first."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for one in events:
        about = one.get("involvedObject") or {}
        message = " ".join(str(one.get("message") or "").split())[:400]
        owner = str(about.get("name") or "")
        short = _MADE_NAMES.sub("…", message.replace(owner, "…") if owner else message)
        short = short.removeprefix("(combined from similar events): ")
        key = (str(one.get("type")), str(one.get("reason")), str(about.get("kind")), short)
        count = int(one.get("count") or (one.get("series") or {}).get("count") or 1)
        kept = found.setdefault(key, [0, "", set(), message])
        kept[0] += count
        kept[1] = max(kept[1], _last(one))
        kept[2].add(owner)
    lines = []
    for (kind, reason, about_kind, _), (count, last, owners, message) in sorted(
        found.items(), key=lambda item: item[1][1], reverse=True
    ):
        who = sorted(owners)
        more = f" and {len(who) - 1} more" if len(who) > 1 else ""
        times = f" x{count}" if count > 1 else ""
        lines.append(f"{last} {kind} {reason}{times} {about_kind}/{who[0]}{more}: {message}")
    return lines


def _last(one: Object) -> str:
    series = one.get("series") or {}
    at = str(
        one.get("lastTimestamp") or series.get("lastObservedTime") or one.get("eventTime")
        or (one.get("metadata") or {}).get("creationTimestamp") or ""
    )  # fmt: skip
    return f"{at[:19]}Z" if "." in at else at
