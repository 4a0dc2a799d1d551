"""What in an object is dangerous: it grants rights, reaches the node, reads Secrets, steers traffic or others. Pure.

What is dangerous only where it is new is told apart by its words: they name the container, the path, the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from .discovery import Resource
from .objects import metadata

_PLAIN_KINDS: Final = frozenset(
    ("pods", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "services", "configmaps")
)
_RIGHTS: Final = frozenset(  # groups whose objects grant rights or change what the API server lets through
    ("rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
     "certificates.k8s.io", "flowcontrol.apiserver.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
     "storage.k8s.io", "scheduling.k8s.io", "node.k8s.io", "policy.networking.k8s.io")
)  # fmt: skip
_CORE_RIGHTS: Final = frozenset(
    ("secrets", "serviceaccounts", "namespaces", "nodes", "persistentvolumes", "endpoints", "endpointslices", "events")
)
_VOLUMES: Final = frozenset(
    ("name", "configMap", "secret", "emptyDir", "downwardAPI", "projected", "persistentVolumeClaim", "ephemeral")
)
_CAPABILITIES: Final = frozenset(("NET_BIND_SERVICE",))
_IDENTITIES: Final = ("iam.amazonaws.com/", "eks.amazonaws.com/", "iam.gke.io/", "azure.workload.identity/")
_LOOSENED: Final = ("container.apparmor.security.beta.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/")
_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_SHELL: Final = frozenset(" \n;|&$`<>()")

Found = tuple[set[str], set[str]]


def dangers(resource: Resource, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Found:
    """(sensitive, asking) of a change: the first is critical, the second is put to a person. Each in words."""
    sensitive, asking = _of_kind(resource, after)
    pod_sensitive, pod_asking = _of_pods(after)
    if before is None:
        return sensitive | pod_sensitive, asking | pod_asking
    if not _steers_others(resource):
        old_sensitive, old_asking = _of_kind(resource, before)
        sensitive, asking = sensitive - old_sensitive, asking - old_asking
    asking |= _redirected(resource, before, after)
    old_sensitive, old_asking = _of_pods(before)
    if programs(after) - programs(before):  # what runs there is new: it has all that was granted to the old one
        old_sensitive = set()
        if any(program.free for program in programs(after) - programs(before)):
            old_asking = set()
    return sensitive | (pod_sensitive - old_sensitive), asking | (pod_asking - old_asking)


def _steers_others(resource: Resource) -> bool:
    """A kind of Kubernetes' own whose every change is felt elsewhere: quotas, autoscalers, policies, rights."""
    return not resource.custom and resource.name not in _PLAIN_KINDS


def _of_kind(resource: Resource, one: Mapping[str, Any]) -> Found:
    sensitive: set[str] = set()
    asking: set[str] = set()
    if resource.group in _RIGHTS or resource.name in _CORE_RIGHTS:
        sensitive.add(f"{resource.name} grant rights, hold credentials or steer traffic")
    elif resource.name not in _PLAIN_KINDS:
        asking.add(f"{resource.name} steer what other things may do")
    meta = metadata(one)
    asking |= {f"the finalizer {str(each)[:80]} keeps it from being deleted" for each in meta.get("finalizers") or ()}
    asking |= {
        f"it is deleted when {owner.get('kind')} {str(owner.get('name'))[:80]} goes ({owner.get('uid')})"
        for owner in _dicts(meta.get("ownerReferences"))
    }
    for key, value in _annotations(one):
        if "snippet" in key:
            sensitive.add("annotations put configuration into the ingress controller")
        if key.startswith(_LOOSENED) and "unconfined" in value:
            sensitive.add(f"the annotation {key[:100]} takes a container out of its confinement")
        if key.startswith(_IDENTITIES):
            asking.add(f"the annotation {key[:60]} gives it the cloud identity {value[:100]}")
    if resource.name == "services":
        spec = one.get("spec") or {}
        if spec.get("externalIPs") or spec.get("type") == "ExternalName":
            where = spec.get("externalIPs") or spec.get("externalName")
            sensitive.add(f"it takes traffic meant for other addresses ({str(where)[:100]})")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            asking.add(f"it is reached from outside the cluster ({spec['type']})")
    return sensitive, asking


def _redirected(resource: Resource, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """What a change takes away or turns elsewhere."""
    old, new = (set(map(str, metadata(one).get("finalizers") or ())) for one in (before, after))
    found = {f"the finalizer {each[:80]} is taken off: what it held back happens" for each in old - new}
    selectors = [(one.get("spec") or {}).get("selector") for one in (before, after)]
    if resource.name == "services" and selectors[0] != selectors[1]:
        found.add(f"its traffic goes to other pods: {str(selectors[1])[:100]}")
    return found


def _annotations(one: Any) -> Iterator[tuple[str, str]]:
    """Those of the object and of every template in it."""
    stack = [one]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            found = metadata(value).get("annotations")
            if isinstance(found, dict):
                yield from ((str(key), str(text)) for key, text in found.items())
            stack += [item for key, item in value.items() if key not in ("status", "metadata", "data")]
        elif isinstance(value, list):
            stack += value


# ---------------------------------------------------------------- pods


def pod_specs(one: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in an object that is a pod's spec, in whatever kind it stands."""
    stack = [one]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if any(isinstance(value.get(key), list) for key in _LISTS):
                yield value
            stack += [item for key, item in value.items() if key not in ("status", "managedFields")]
        elif isinstance(value, list):
            stack += value


def containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(the list it stands in, the container) for each of a pod."""
    for group in _LISTS:
        for one in _dicts(spec.get(group)):
            yield group, one


class Program(NamedTuple):
    """What one container is told to run."""

    container: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    hooks: tuple[str, ...]  # the programs of its probes and of its start and end

    @property
    def free(self) -> bool:
        """Whether it is more than options for a program that the image names: then it may do anything."""
        odd = any(not word.startswith("-") or _SHELL & set(word) for word in self.args)
        return bool(self.command or self.hooks) or odd


def programs(one: Mapping[str, Any]) -> set[Program]:
    """What the containers of an object are told to run."""
    return {_program(container) for spec in pod_specs(one) for _, container in containers(spec)}


def _program(container: Mapping[str, Any]) -> Program:
    hooks = [str(hook["exec"]) for hook in _hooks(container) if hook.get("exec")]
    return Program(
        str(container.get("name")), _words(container.get("command")), _words(container.get("args")), tuple(hooks)
    )


def _words(told: Any) -> tuple[str, ...]:
    return tuple(map(str, told)) if isinstance(told, list) else ()


def _hooks(container: Mapping[str, Any]) -> list[dict[str, Any]]:
    lifecycle = container.get("lifecycle")
    return _dicts([*map(container.get, _PROBES), *(lifecycle.values() if isinstance(lifecycle, dict) else ())])


def _of_pods(one: Mapping[str, Any]) -> Found:
    sensitive: set[str] = set()
    asking: set[str] = set()
    for spec in pod_specs(one):
        sensitive |= set(_reaching(spec))
        account = spec.get("serviceAccountName") or spec.get("serviceAccount")
        if account and account != "default":
            asking.add(f"its pods act as the service account {str(account)[:60]}")
        asking |= {f"its pods read the Secret {str(secret)[:80]}" for secret in _secrets(spec)}
        asking |= {f"its pods get a token for {str(audience)[:80]}" for audience in _audiences(spec)}
        if priority := spec.get("priorityClassName"):
            asking.add(f"its priority {str(priority)[:60]} may drive other pods away")
        asking |= set(_calls(spec))
    return sensitive, asking


def _reaching(spec: Mapping[str, Any]) -> Iterator[str]:
    """What gives a pod its node."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key}: its pods are in the node's own namespaces"
    if spec.get("nodeName"):
        yield f"nodeName {str(spec['nodeName'])[:60]} goes around the scheduler"
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        yield "a system priority drives other pods away"
    for toleration in _dicts(spec.get("tolerations")):
        key = str(toleration.get("key") or "")
        if (toleration.get("operator") == "Exists" and not key) or key.startswith("node-role.kubernetes.io/"):
            yield f"a toleration ({key or 'of everything'}) lets it run on control-plane nodes"
    for volume in _dicts(spec.get("volumes")):
        for kind in volume.keys() - _VOLUMES:
            place = volume[kind]
            where = place.get("path", "") if isinstance(place, dict) else ""
            yield f"a volume of type {str(kind)[:40]} {str(where or volume.get('name'))[:80]}"
    if spec.get("ephemeralContainers"):
        yield "ephemeral containers look into other containers"
    yield from (f"the pod: {what}" for what in _security(spec.get("securityContext")))
    for _, container in containers(spec):
        name = str(container.get("name"))[:63]
        yield from (f"{name}: {what}" for what in _security(container.get("securityContext")))
        for port in _dicts(container.get("ports")):
            if port.get("hostPort"):
                yield f"{name}: hostPort opens port {str(port['hostPort'])[:10]} of the node"


def _security(context: Any) -> Iterator[str]:
    if not isinstance(context, dict):
        return
    if context.get("privileged"):
        yield "privileged: it has the node to itself"
    if context.get("allowPrivilegeEscalation"):
        yield "allowPrivilegeEscalation: its programs may become root"
    added = (context.get("capabilities") or {}).get("add") if isinstance(context.get("capabilities"), dict) else None
    for one in sorted(set(map(str, added)) - _CAPABILITIES) if isinstance(added, list) else ():
        yield f"the capability {one[:40]} is added"
    if context.get("runAsUser") == 0:
        yield "runAsUser: 0"
    if context.get("procMount") == "Unmasked" or context.get("sysctls"):
        yield f"it changes or sees the kernel's settings {str(context.get('sysctls') or '')[:100]}".rstrip()
    for key in ("seccompProfile", "appArmorProfile"):
        if isinstance(context.get(key), dict) and context[key].get("type") == "Unconfined":
            yield f"{key}: Unconfined"
    labels = context.get("seLinuxOptions")
    if isinstance(labels, dict) and labels.keys() & {"user", "role", "type"}:
        yield f"seLinuxOptions of its own: {str(labels)[:100]}"
    windows = context.get("windowsOptions")
    if isinstance(windows, dict) and windows.get("hostProcess"):
        yield "hostProcess: it is a process of the node"


def _secrets(spec: Mapping[str, Any]) -> Iterator[str]:
    """Every Secret that a pod's programs can read: what they print of it, changed beyond recognition, is in its log."""
    for volume in _dicts(spec.get("volumes")):
        if isinstance(volume.get("secret"), dict):
            yield str(volume["secret"].get("secretName"))
    found = [source.get("secret") for source in _projected(spec)]
    for _, container in containers(spec):
        found += [source.get("secretRef") for source in _dicts(container.get("envFrom"))]
        origins = [variable.get("valueFrom") for variable in _dicts(container.get("env"))]
        found += [origin.get("secretKeyRef") for origin in _dicts(origins)]
    yield from (str(one.get("name")) for one in _dicts(found))


def _audiences(spec: Mapping[str, Any]) -> Iterator[str]:
    """Whom its tokens are for, where that is not the API server, whose token every pod gets."""
    for token in _dicts([source.get("serviceAccountToken") for source in _projected(spec)]):
        if token.get("audience"):
            yield str(token["audience"])


def _projected(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    volumes = _dicts([volume.get("projected") for volume in _dicts(spec.get("volumes"))])
    return [source for volume in volumes for source in _dicts(volume.get("sources"))]


def _calls(spec: Mapping[str, Any]) -> Iterator[str]:
    """Probes and hooks that the node makes to another host than the pod."""
    for _, container in containers(spec):
        for hook in _hooks(container):
            for to in _dicts([hook.get("httpGet"), hook.get("tcpSocket")]):
                if to.get("host"):
                    yield f"{str(container.get('name'))[:63]}: the node calls {str(to['host'])[:80]} for it"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
