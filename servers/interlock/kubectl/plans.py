"""What a permitted change will do, step by step, with the facts it holds to. Made by looks, carried out by `run`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .discovery import Resource
from .objects import Object, Target

Verb = Literal["replace", "create", "delete", "evict"]


@dataclass(slots=True)
class Step:
    """One request. `before` is the live object (None: there is none), `after` what the server's dry run answered."""

    verb: Verb
    target: Target
    before: Object | None
    after: Object | None
    body: Object = field(default_factory=dict)
    made: Object | None = None  # what the server answered when it was done


@dataclass(slots=True)
class Plan:
    """A whole change. `preview` is redacted. `notes`: what the answer should tell once it is done."""

    context: str
    steps: list[Step]
    preview: str = ""
    header: str = ""
    notes: list[str] = field(default_factory=list)
    children: list[Object] = field(default_factory=list)  # what a delete takes along and nobody makes anew
    undo: bool = False

    @property
    def size(self) -> int:
        kept = [step.before for step in self.steps] + [step.after for step in self.steps] + list(self.children)
        return sum(len(json.dumps(one)) for one in kept if one) + 4096


def written(plan: Plan) -> dict[str, Any]:
    """The plan as the slot keeps it: enough to compare, to finish and to undo."""
    return {
        "context": plan.context,
        "steps": [_step(step) for step in plan.steps],
        "children": plan.children,
    }


def _step(step: Step) -> dict[str, Any]:
    resource = step.target.resource
    return {
        "verb": step.verb,
        "namespace": step.target.namespace,
        "name": step.target.name,
        "resource": [resource.group, resource.version, resource.plural, resource.kind, resource.namespaced],
        "before": step.before,
        "after": step.after,
        "made": step.made,
    }


def read(state: Mapping[str, Any]) -> Plan:
    """The inverse of `written`."""
    steps = []
    for one in state.get("steps") or ():
        resource = Resource(*one["resource"])
        target = Target(state["context"], resource, one["namespace"], one["name"])
        steps.append(Step(one["verb"], target, one["before"], one["after"], made=one["made"]))
    return Plan(str(state.get("context", "")), steps, children=list(state.get("children") or ()))
