"""What the policy sees of kubectl: the table of actions and the policy's `kubectl` section. Pure; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from interlock.guard.model import Action, Attribute, Kind, Risk, UndoClass, Verb
from interlock.guard.policy.types import NameGlob, Place, PolicyModel, Seconds, Text

_COMMON: Final = {
    "context": Kind.TEXT,
    "namespace": Kind.TEXT,  # empty for what belongs to the whole cluster
    "kind": Kind.TEXT,  # plural name, as in `kinds`: deployments, or certificates.cert-manager.io
    "name": Kind.TEXT,
    "inside": Kind.FLAG,  # context, namespace and kind are all within the policy's bounds
    "objects": Kind.NUMBER,  # how many objects the whole call touches
}
_CHANGED: Final = {"changed": Kind.KEYS, "sensitive": Kind.FLAG}  # sensitive: privileged pod, RBAC, webhook, Secret...

VERBS: Final = (
    Verb("kubectl.read", False, Risk.LOW, UndoClass.FULL, _COMMON),
    Verb("kubectl.create", True, Risk.MEDIUM, UndoClass.PARTIAL, {**_COMMON, **_CHANGED}),
    Verb("kubectl.update", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_CHANGED}),
    Verb("kubectl.scale", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, "replicas": Kind.NUMBER}),
    Verb(
        "kubectl.image",
        True,
        Risk.HIGH,
        UndoClass.PARTIAL,
        {**_COMMON, "container": Kind.TEXT, "image": Kind.TEXT, "registry": Kind.TEXT, "tag": Kind.TEXT},
    ),
    Verb("kubectl.restart", True, Risk.MEDIUM, UndoClass.PARTIAL, _COMMON),
    Verb("kubectl.rollback", True, Risk.HIGH, UndoClass.PARTIAL, _COMMON),
    Verb(
        "kubectl.delete",
        True,
        Risk.HIGH,
        UndoClass.PARTIAL,
        {**_COMMON, "data": Kind.FLAG, "rebuilt": Kind.FLAG},  # rebuilt: a controller makes it anew
    ),
    Verb("kubectl.node", True, Risk.HIGH, UndoClass.FULL, {**_COMMON, "drain": Kind.FLAG}),
    Verb(
        "kubectl.exec", True, Risk.CRITICAL, UndoClass.NONE, {**_COMMON, "container": Kind.TEXT, "command": Kind.TEXT}
    ),
)


class Context(PolicyModel):
    """One cluster context: its namespaces, and the profile that speaks for it."""

    profile: Text | None = Field(
        default=None,
        description="Profile whose rules and limits hold for actions in this context, instead of `extends`.",
    )
    namespaces: Annotated[tuple[NameGlob, ...], Field(min_length=1)] = Field(
        description='Namespaces by name or glob, such as [payments, "web-*"].'
    )
    cluster_scoped: tuple[NameGlob, ...] = Field(
        default=(), description="Kinds without a namespace that are within bounds, such as [nodes]."
    )
    all_namespaces: bool = Field(
        default=False,
        description='Whether namespace "*" reads across namespaces; what lies outside the bounds is left out.',
    )
    proxy: bool = Field(default=False, description="Whether the kubeconfig's proxy-url of this cluster is used.")
    impersonate: Text | None = Field(
        default=None, description="User that every request is made as (kubectl --as), such as one of `interlock rbac`."
    )
    service_account: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9.-]*$")] | None = Field(
        default=None,
        description="NAMESPACE/NAME, such as payments/interlock: every request is made with a token of this account "
        "that lasts ten minutes and that the kubeconfig's own user asks for (TokenRequest).",
    )


class Section(PolicyModel):
    """Which contexts, namespaces and kinds the kubectl server works with."""

    kubeconfig: Place | None = Field(
        default=None, description="The kubeconfig file, e.g. ~/.kube/config. The agent never sees it."
    )
    contexts: Annotated[dict[str, Context], Field(min_length=1)] = Field(
        description="Contexts of the kubeconfig by name. With several, `context` is a required argument of every tool."
    )
    kinds: Annotated[tuple[NameGlob, ...], Field(min_length=1)] = Field(
        default=(
            "pods", "deployments", "replicasets", "statefulsets", "daemonsets", "services", "ingresses", "configmaps",
            "jobs", "cronjobs", "events", "endpoints", "endpointslices", "horizontalpodautoscalers",
            "poddisruptionbudgets", "serviceaccounts", "persistentvolumeclaims", "networkpolicies", "resourcequotas",
        ),
        description="Kinds by plural name, CRDs with their group (certificates.cert-manager.io).",
    )  # fmt: skip
    registries: tuple[NameGlob, ...] = Field(
        default=(), description="Image registries that may be deployed from. None: rules alone decide."
    )
    max_replicas: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=20, description="Scaling beyond this asks a person, unless it scales down."
    )
    timeout: Seconds = Field(default=15, description="Longest that one request to a cluster may take.")
    max_objects: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Most objects that one selector may match in a change."
    )


DECLARED: Final[Mapping[str, Verb]] = {verb.name: verb for verb in VERBS}


def action(
    verb: str, resource: str, *, effect: str = "", risk: Risk = Risk.LOW, lost: str = "",
    undo: UndoClass | None = None, **attributes: Attribute | None,
) -> Action:  # fmt: skip
    """The action of that verb with what it declares of these attributes; None is one that is not known yet."""
    declared = DECLARED[f"kubectl.{verb}"].attributes
    known: dict[str, Any] = {k: v for k, v in attributes.items() if k in declared and v is not None}
    return Action(f"kubectl.{verb}", resource, known, effect=effect, risk=risk, undo=undo, lost=lost)
