"""The kubectl server: its tools, and the one object through which the guard knows it. What each does is beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock import cluster_program
from interlock.guard.errors import Broken
from interlock.guard.model import Action, Call, Look, Outcome, Result, Tool, World
from interlock.kubeconfig import read as read_kubeconfig

from . import (
    applying,
    arguments,
    changing,
    consequences,
    deleting,
    draining,
    events,
    executing,
    reading,
    rollouts,
    undo,
)
from .actions import Section, action
from .bounds import Bounds
from .cluster import Cluster, ClusterError, stopped_by
from .discovery import Resource
from .objects import Shower
from .plans import Plan
from .running import run_change

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit
    from interlock.guard.policy.loading import Policy
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot

_READ: Final = ("kubectl.read",)
_MANIFEST: Final = ("kubectl.create", "kubectl.update", "kubectl.scale", "kubectl.image")

TOOLS: Final = (
    Tool(
        "kubectl_get",
        "List or read; yaml, json or path for few.",
        arguments.Get,
        _READ,
    ),
    Tool("kubectl_describe", "One object with its events.", arguments.Describe, _READ),
    Tool("kubectl_logs", "Last log lines of a pod.", arguments.Logs, _READ),
    Tool("kubectl_events", "Recent events, each once.", arguments.Events, _READ),
    Tool("kubectl_top", "CPU and memory in use.", arguments.Top, _READ),
    Tool(
        "kubectl_rollout_status",
        "Wait for a rollout; why it is stuck.",
        arguments.RolloutStatus,
        _READ,
    ),
    Tool("kubectl_diff", "What applying a manifest, file or folder would change.", arguments.Diff, _READ),
    Tool(
        "kubectl_apply",
        "Create or update objects, all or none. Placeholders in place keep their secrets.",
        arguments.Apply,
        _MANIFEST,
        change=True,
        destructive=True,
    ),
    Tool("kubectl_scale", "Set replicas.", arguments.Scale, ("kubectl.scale",), change=True, destructive=True),
    Tool(
        "kubectl_set_image",
        "Deploy other images.",
        arguments.SetImage,
        ("kubectl.image",),
        change=True,
        destructive=True,
    ),
    Tool(
        "kubectl_rollout",
        "Act on a workload's rollout.",
        arguments.Rollout,
        ("kubectl.restart", "kubectl.rollback", "kubectl.update"),
        change=True,
        destructive=True,
    ),
    Tool("kubectl_patch", "Patch one object.", arguments.Patch, _MANIFEST[1:], change=True, destructive=True),
    Tool(
        "kubectl_delete",
        "Delete one object, or those of a selector.",
        arguments.Delete,
        ("kubectl.delete",),
        change=True,
        destructive=True,
    ),
    Tool(
        "kubectl_cordon",
        "Stop (on) or allow scheduling.",
        arguments.Cordon,
        ("kubectl.node",),
        change=True,
    ),
    Tool("kubectl_drain", "Evict a node's pods.", arguments.Drain, ("kubectl.node",), change=True, destructive=True),
    Tool(
        "kubectl_exec",
        "Run one program in a container; no shell.",
        arguments.Exec,
        ("kubectl.exec",),
        change=True,
        destructive=True,
    ),
)

programs = cluster_program.programs


@dataclass(frozen=True, slots=True)
class Operation:
    """What one tool is made of. `look`, `run` as in the guard's protocol; `verb`: its action by names alone."""

    verb: str
    look: Callable[[Kubectl, Call], Look]
    run: Callable[[Kubectl, Permit], Result]


class Kubectl:
    """The server. Thread-safe: what calls share is in `cluster`, with its own lock."""

    name = "kubectl"
    tools = TOOLS

    def __init__(self, world: World) -> None:
        self.world = world
        self.detector = world.detector
        self.shower = Shower(world.detector, world.key)
        section = world.policy.section(Section)
        self._cluster = (
            Cluster(world.broker, section, read_kubeconfig(section), world.detector) if section is not None else None
        )
        self._bounds: Bounds | None = None

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            raise Broken("the policy had no `kubectl` section when this server started", hint="restart the server")
        return self._cluster

    def bounds(self, policy: Policy) -> Bounds:
        kept = self._bounds
        if kept is None or kept.policy is not policy:
            kept = self._bounds = Bounds(policy)
        return kept

    def resource(self, context: str, word: str) -> Resource | None:
        return self.cluster.resource(context, word)

    def instructions(self, policy: Policy) -> str:
        section = policy.section(Section)
        if section is None:
            return "The policy names no contexts: no cluster can be reached."
        lines = [
            f"Context {name}: namespaces {', '.join(c.namespaces)}"
            + (f"; cluster-wide {', '.join(c.cluster_scoped)}" if c.cluster_scoped else "")
            for name, c in section.contexts.items()
        ]
        if len(section.contexts) > 1:
            lines.append("`context` is required.")
        lines.append(f"Kinds: {', '.join(section.kinds)}.")
        return "\n".join(lines)

    def interpret(self, call: Call) -> tuple[Action, ...]:
        """By names alone; the kind is known once the cluster was asked (`look`)."""
        bounds, args = self.bounds(call.policy), call.arguments
        context = bounds.context(getattr(args, "context", ""))
        namespace = bounds.namespace(context, getattr(args, "namespace", ""))
        named = str(getattr(args, "name", ""))
        where = f"{context}/{namespace or '-'}/{getattr(args, 'kind', '')}/{named or '*'}"
        return (action(OPERATIONS[call.tool].verb, where, context=context, namespace=namespace),)

    def look(self, call: Call) -> Look:
        try:
            with stopped_by(call.link):
                look = OPERATIONS[call.tool].look(self, call)
                if isinstance(look.plan, Plan):
                    warnings = consequences.told(self, self.bounds(call.policy), look.plan)
                    look.plan.preview = "\n".join([*warnings, look.plan.preview])
                return look
        except ClusterError as error:
            raise error.refused() from None

    def preview(self, call: Call, look: Look) -> str:
        plan = look.plan
        if isinstance(plan, executing.ExecPlan):
            return executing.preview(plan)
        return f"{plan.header}\n{plan.preview}" if isinstance(plan, Plan) else ""

    def capture(self, call: Call, look: Look, slot: Slot) -> None:
        undo.capture(look, slot)

    def run(self, permit: Permit) -> Result:
        operation = OPERATIONS.get(permit.call.tool)
        try:
            if operation is None:
                return undo.run_undo(self, permit)
            with nullcontext() if permit.slot is not None else stopped_by(permit.call.link):
                return operation.run(self, permit)
        except ClusterError as error:
            raise error.failed() from None

    def look_undo(self, call: Call, change: Change, slot: Slot) -> Look:
        try:
            return undo.look_undo(self, call, change, slot)
        except ClusterError as error:
            raise error.refused() from None

    def settle(self, change: Change, slot: Slot) -> Outcome:
        return undo.settle(self.cluster, slot)

    def close(self) -> None:
        """Nothing to do: the broker is the guard's."""


OPERATIONS: Final[Mapping[str, Operation]] = {
    "kubectl_get": Operation("read", reading.look, reading.run_get),
    "kubectl_describe": Operation("read", reading.look, reading.run_describe),
    "kubectl_logs": Operation("read", reading.look, reading.run_logs),
    "kubectl_events": Operation("read", events.look, events.run),
    "kubectl_top": Operation("read", reading.look, reading.run_top),
    "kubectl_rollout_status": Operation("read", reading.look, rollouts.run_status),
    "kubectl_diff": Operation("read", applying.look_diff, applying.run_diff),
    "kubectl_apply": Operation("update", applying.look_apply, run_change),
    "kubectl_scale": Operation("scale", changing.look_scale, run_change),
    "kubectl_set_image": Operation("image", changing.look_set_image, run_change),
    "kubectl_rollout": Operation("update", changing.look_rollout, run_change),
    "kubectl_patch": Operation("update", changing.look_patch, run_change),
    "kubectl_delete": Operation("delete", deleting.look_delete, run_change),
    "kubectl_cordon": Operation("node", changing.look_cordon, run_change),
    "kubectl_drain": Operation("node", draining.look_drain, draining.run_drain),
    "kubectl_exec": Operation("exec", executing.look_exec, executing.run_exec),
}


def open_server(world: World) -> Kubectl:
    return Kubectl(world)


def reach(policy: Policy) -> tuple[list[Path], list[Path]]:
    """Folders that the confined process reads itself: the files roots, for manifests. It writes nowhere."""
    files: Any = policy.sections.get("files")
    return ([root.path for root in files.roots] if files is not None else []), []
