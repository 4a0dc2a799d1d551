"""What a policy means for clusters: contexts, namespaces, kinds, registries. Decided by names, nothing looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.globs import Matcher, compile_globs
from interlock.guard.errors import Code, Refused
from interlock.guard.model import Action, Attribute, Risk, UndoClass
from interlock.untrusted import one_line

from . import names
from .actions import Section, action
from .discovery import Resource
from .objects import Target

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

EVERYWHERE = "*"


class Bounds:
    """The bounds of one policy. Immutable."""

    def __init__(self, policy: Policy) -> None:
        section = policy.section(Section)
        if section is None:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the policy has no `kubectl` section, so no cluster can be reached",
                hint="a person adds `kubectl: {contexts: ...}` to the policy and restarts the server",
            )
        self.policy = policy
        self.section = section
        self._namespaces = {name: compile_globs(c.namespaces) for name, c in section.contexts.items()}
        self._cluster_scoped = {name: compile_globs(c.cluster_scoped) for name, c in section.contexts.items()}
        self._kinds = compile_globs(section.kinds)
        self._registries = compile_globs(section.registries) if section.registries else None

    def context(self, given: str) -> str:
        """The context of a call: the only one, or the one that is named. Raises Refused."""
        known = ", ".join(self.section.contexts)
        if not given:
            if len(self.section.contexts) > 1:
                raise Refused(Code.INVALID, "`context` is required: the policy has several", hint=f"one of {known}")
            return next(iter(self.section.contexts))
        if given not in self.section.contexts:
            raise Refused(
                Code.OUT_OF_BOUNDS,
                f"the context {one_line(given, 60)!r} is outside the bounds of the policy",
                hint=f"the contexts are {known}",
                rule="builtin.outside",
            )
        return given

    def namespace(self, context: str, given: str) -> str:
        """A namespace as given, checked and within bounds; `*` where the policy allows that; empty stays empty."""
        if not given:
            return ""
        if given == EVERYWHERE:
            if not self.section.contexts[context].all_namespaces:
                raise self._outside(context, "all namespaces at once")
            return given
        names.label(given)
        if not self._namespaces[context].matches(given):
            raise self._outside(context, f"the namespace {given}")
        return given

    def holds(self, context: str, resource: Resource, namespace: str) -> bool:
        """Whether objects of this kind and namespace are within bounds."""
        if resource.namespaced:
            return (namespace == EVERYWHERE or self._namespaces[context].matches(namespace)) and self.kind(resource)
        return _either(self._cluster_scoped[context], resource)

    def kind(self, resource: Resource) -> bool:
        return _either(self._kinds, resource)

    def in_namespaces(self, context: str, namespace: str) -> bool:
        return self._namespaces[context].matches(namespace)

    def registry(self, image: names.Image) -> bool:
        return self._registries is None or self._registries.matches(image.registry)

    def target(self, context: str, resource: Resource, namespace: str, name: str = "") -> Target:
        """The place of an object. Raises Refused where a namespace is missing."""
        if not resource.namespaced:
            return Target(context, resource, "", name)
        if not namespace:
            raise Refused(
                Code.INVALID,
                f"`namespace` is required for {resource.name}",
                hint=f"within bounds: {', '.join(self.section.contexts[context].namespaces)}",
            )
        return Target(context, resource, namespace, name)

    def action(
        self, verb: str, target: Target, *, effect: str = "", risk: Risk = Risk.LOW, lost: str = "",
        undo: UndoClass | None = None, **attributes: Attribute | None,
    ) -> Action:  # fmt: skip
        """The action of that verb on one object, its bounds judged."""
        return action(
            verb, target.text, effect=effect, lost=lost, undo=undo, risk=risk,
            **{
                "context": target.context, "namespace": target.namespace, "kind": target.resource.name,
                "name": target.name, "inside": self.holds(target.context, target.resource, target.namespace),
                **attributes,
            },
        )  # fmt: skip

    def _outside(self, context: str, what: str) -> Refused:
        return Refused(
            Code.OUT_OF_BOUNDS,
            f"{what} is outside the bounds of the policy",
            hint=f"in {context} the namespaces are {', '.join(self.section.contexts[context].namespaces)}",
            rule="builtin.outside",
        )


def _either(globs: Matcher, resource: Resource) -> bool:
    return globs.matches(resource.name) or globs.matches(resource.full)
