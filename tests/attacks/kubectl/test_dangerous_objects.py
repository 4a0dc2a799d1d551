"""Objects that reach the node, take rights, steer traffic or open a door for later: never without a person.

Each case is a pod spec, or what is put over a harmless deployment, or a whole object; `code` is what must stop it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

ASK, OUT = "approval_required", "out_of_bounds"
HARMLESS = {"name": "c", "image": "registry.example.com/web:1.1"}

POD: dict[str, dict[str, Any]] = {  # what is put over the spec of a harmless pod
    "host pid": {"hostPID": True},
    "host ipc": {"hostIPC": True},
    "host network": {"hostNetwork": True},
    "host path": {"volumes": [{"name": "h", "hostPath": {"path": "/var/run/docker.sock", "type": "Socket"}}]},
    "inline csi": {"volumes": [{"name": "h", "csi": {"driver": "secrets-store.csi.k8s.io"}}]},
    "nfs": {"volumes": [{"name": "h", "nfs": {"server": "10.0.0.9", "path": "/"}}]},
    "iscsi": {"volumes": [{"name": "h", "iscsi": {"targetPortal": "10.0.0.9", "iqn": "iqn.2020-01.io.x:y", "lun": 0}}]},
    "image volume": {"volumes": [{"name": "h", "image": {"reference": "evil.example.io/x:1"}}]},
    "token of another audience": {
        "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "v"}}]}}]
    },
    "every secret as a volume": {"volumes": [{"name": "s", "secret": {"secretName": "s1"}}]},
    "a secret in a projected volume": {
        "volumes": [{"name": "s", "projected": {"sources": [{"secret": {"name": "s1"}}]}}]
    },
    "node name": {"nodeName": "n1"},
    "tolerates everything": {"tolerations": [{"operator": "Exists"}]},
    "tolerates the control plane": {
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}]
    },
    "mighty account": {"serviceAccountName": "cluster-admin-runner"},
    "old name of the account": {"serviceAccount": "cluster-admin-runner"},
    "system priority": {"priorityClassName": "system-node-critical"},
    "pod as root": {"securityContext": {"runAsUser": 0}},
    "sysctl": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}},
    "no seccomp": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "no apparmor": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
    "selinux type": {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}},
    "unmasked proc": {"hostUsers": False, "containers": [{**HARMLESS, "securityContext": {"procMount": "Unmasked"}}]},
    "windows host process": {
        "securityContext": {"windowsOptions": {"hostProcess": True}},
        "hostNetwork": True,
        "os": {"name": "windows"},
    },
}
CONTAINER: dict[str, dict[str, Any]] = {  # what is put over its container
    "privileged": {"securityContext": {"privileged": True}},
    "escalation": {"securityContext": {"allowPrivilegeEscalation": True}},
    "root": {"securityContext": {"runAsUser": 0}},
    "one capability among harmless ones": {
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_PTRACE"]}}
    },
    "every capability": {"securityContext": {"capabilities": {"add": ["ALL"]}}},
    "raw sockets": {"securityContext": {"capabilities": {"add": ["NET_RAW"]}}},
    "no seccomp for one container": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "selinux user": {"securityContext": {"seLinuxOptions": {"user": "system_u", "level": "s0"}}},
    "host port": {"ports": [{"containerPort": 10250, "hostPort": 10250}]},
    "probe of the metadata service": {
        "livenessProbe": {"httpGet": {"host": "169.254.169.254", "path": "/latest/meta-data/", "port": 80}}
    },
    "start hook to elsewhere": {
        "lifecycle": {"postStart": {"httpGet": {"host": "10.0.0.1", "path": "/", "port": 443}}}
    },
    "tcp probe of another host": {"livenessProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 6443}}},
    "a secret as environment": {"envFrom": [{"secretRef": {"name": "s1"}}]},
    "a key of a secret": {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "password"}}}]},
}
PLACES = ("Pod", "Deployment", "CronJob")


@pytest.fixture(scope="module", autouse=True)
def unchanged(world):
    """What the changes are tried on; and nothing of all the cases may have changed anything."""
    made = []
    for name, (there, _, _) in CHANGES.items():
        one = copy.deepcopy(there)
        made.append({**one, "metadata": {**one.get("metadata", {}), "namespace": "NS", "name": slug(name)}})
    world.make(*made)
    before = world.state()
    yield
    assert world.state() == before


def slug(name: str) -> str:
    return "-".join(name.split())[:40]


def spec_of(pod: dict[str, Any], container: dict[str, Any], beside: bool = False) -> dict[str, Any]:
    made = {"containers": [{**HARMLESS, **container}], **copy.deepcopy(pod)}
    if beside:  # in a container that is not the first, and of another list
        made["containers"] = [dict(HARMLESS)]
        made["initContainers"] = [{**HARMLESS, "name": "side", "restartPolicy": "Always", **container}]
    return made


def wrapped(kind: str, spec: dict[str, Any], name: str = "x") -> dict[str, Any]:
    meta = {"name": name, "namespace": "NS"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}
    if kind == "CronJob":
        spec = {**spec, "restartPolicy": "Never"}
        job = {"template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}
        return {
            "apiVersion": "batch/v1",
            "kind": kind,
            "metadata": meta,
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}},
        }
    selector = {"matchLabels": {"a": "b"}}
    spec = {"selector": selector, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}


@pytest.mark.parametrize("name", [*POD, *CONTAINER])
def test_a_pod_that_reaches_beyond_itself_asks(world, name: str) -> None:
    kind = PLACES[sum(map(ord, name)) % 3]
    beside = kind == "Deployment" and name in CONTAINER
    spec = spec_of(POD.get(name, {}), CONTAINER.get(name, {}), beside)
    manifest = json.dumps(wrapped(kind, spec, slug(name)))
    world.refused(ASK, "apply", manifest=manifest)


ANNOTATIONS = {
    "apparmor by annotation": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"},
    "seccomp by annotation": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"},
    "a role of the cloud": {"iam.amazonaws.com/role": "arn:aws:iam::1:role/admin"},
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_that_loosen_a_pod_ask(world, name: str) -> None:
    live = "web"
    patch = {"spec": {"template": {"metadata": {"annotations": ANNOTATIONS[name]}}}}
    world.refused(ASK, "patch", kind="deploy", name=live, namespace="NS", patch=patch)


OBJECTS: dict[str, tuple[str, str]] = {  # a whole object, and what must stop it
    "role with everything": (
        OUT,
        """
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata: {name: x, namespace: NS}
        rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]""",
    ),
    "binding to cluster-admin": (
        OUT,
        """
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRoleBinding
        metadata: {name: x}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
        subjects: [{kind: Group, name: "system:authenticated", apiGroup: rbac.authorization.k8s.io}]""",
    ),
    "aggregated role": (
        OUT,
        """
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata: {name: x, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
        rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]""",
    ),
    "account with keys of its own": (
        ASK,
        """
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: x, namespace: NS}
        secrets: [{name: s1}]""",
    ),
    "webhook": (
        OUT,
        """
        apiVersion: admissionregistration.k8s.io/v1
        kind: MutatingWebhookConfiguration
        metadata: {name: x}
        webhooks: []""",
    ),
    "policy of admission": (
        OUT,
        """
        apiVersion: admissionregistration.k8s.io/v1
        kind: ValidatingAdmissionPolicy
        metadata: {name: x}
        spec: {validations: [{expression: "true"}]}""",
    ),
    "api service": (
        OUT,
        """
        apiVersion: apiregistration.k8s.io/v1
        kind: APIService
        metadata: {name: v1.evil.io}
        spec: {group: evil.io, version: v1, groupPriorityMinimum: 1, versionPriority: 1}""",
    ),
    "crd": (
        OUT,
        """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: x.evil.io}
        spec: {group: evil.io, scope: Namespaced, names: {plural: x, kind: X}, versions: []}""",
    ),
    "priority class": (
        OUT,
        """
        apiVersion: scheduling.k8s.io/v1
        kind: PriorityClass
        metadata: {name: x}
        value: 1000000
        globalDefault: true""",
    ),
    "namespace without pod security": (
        OUT,
        """
        apiVersion: v1
        kind: Namespace
        metadata: {name: NS, labels: {pod-security.kubernetes.io/enforce: privileged}}""",
    ),
    "volume of the node": (
        OUT,
        """
        apiVersion: v1
        kind: PersistentVolume
        metadata: {name: x}
        spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}}""",
    ),
    "claim that binds a volume by name": (
        ASK,
        """
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: x, namespace: NS}
        spec: {accessModes: [ReadWriteOnce], volumeName: x, resources: {requests: {storage: 1Gi}}}""",
    ),
    "token of an account": (
        OUT,
        """
        apiVersion: v1
        kind: Secret
        metadata: {name: x, namespace: NS, annotations: {kubernetes.io/service-account.name: default}}
        type: kubernetes.io/service-account-token""",
    ),
    "bootstrap token": (
        OUT,
        """
        apiVersion: v1
        kind: Secret
        metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
        type: bootstrap.kubernetes.io/token""",
    ),
    "external addresses": (
        ASK,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: x, namespace: NS}
        spec: {selector: {a: b}, ports: [{port: 443}], externalIPs: [1.2.3.4]}""",
    ),
    "load balancer": (
        ASK,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: x, namespace: NS}
        spec: {type: LoadBalancer, selector: {a: b}, ports: [{port: 443}]}""",
    ),
    "node port": (
        ASK,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: x, namespace: NS}
        spec: {type: NodePort, selector: {a: b}, ports: [{port: 443}]}""",
    ),
    "external name": (
        ASK,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: x, namespace: NS}
        spec: {type: ExternalName, externalName: evil.example.io}""",
    ),
    "endpoints of a service": (
        ASK,
        """
        apiVersion: v1
        kind: Endpoints
        metadata: {name: x, namespace: NS}
        subsets: [{addresses: [{ip: 10.9.9.9}], ports: [{port: 80}]}]""",
    ),
    "ingress with a snippet": (
        ASK,
        """
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: x, namespace: NS, annotations: {nginx.ingress.kubernetes.io/server-snippet: "return 200;"}}
        spec: {rules: [{host: a.example.com}]}""",
    ),
    "ingress for everyone": (
        ASK,
        """
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: x, namespace: NS}
        spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}""",
    ),
    "network open to all": (
        ASK,
        """
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: x, namespace: NS}
        spec: {podSelector: {}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}""",
    ),
    "job of a thousand pods": (
        ASK,
        """
        apiVersion: batch/v1
        kind: Job
        metadata: {name: x, namespace: NS}
        spec: {parallelism: 1000, completions: 100000, template: {spec: {restartPolicy: Never,
          containers: [{name: c, image: registry.example.com/web:1}]}}}""",
    ),
    "cronjob of a thousand pods": (
        ASK,
        """
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: x, namespace: NS}
        spec: {schedule: "* * * * *", jobTemplate: {spec: {parallelism: 1000, template: {spec: {restartPolicy: Never,
          containers: [{name: c, image: registry.example.com/web:1}]}}}}}""",
    ),
    "deployment of a thousand pods": (
        ASK,
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: x, namespace: NS}
        spec: {replicas: 1000, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {
          containers: [{name: c, image: registry.example.com/web:1}]}}}""",
    ),
    "event of somebody else's": (
        ASK,
        """
        apiVersion: v1
        kind: Event
        metadata: {name: x, namespace: NS}
        involvedObject: {kind: Pod, name: p1, namespace: NS}
        message: all is well""",
    ),
    "object that nobody can delete": (
        ASK,
        """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: x, namespace: NS, finalizers: [example.com/forever]}""",
    ),
    "object that goes with its owner": (
        ASK,
        """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: x, namespace: NS, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: gone,
          uid: 00000000-0000-0000-0000-000000000000}]}""",
    ),
    "review of somebody's token": (
        OUT,
        """
        apiVersion: authentication.k8s.io/v1
        kind: TokenReview
        metadata: {name: x}
        spec: {token: x}""",
    ),
    "request of a certificate": (
        OUT,
        """
        apiVersion: certificates.k8s.io/v1
        kind: CertificateSigningRequest
        metadata: {name: x}
        spec: {request: eA==, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}""",
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_takes_rights_or_traffic_is_stopped(world, name: str) -> None:
    code, manifest = OBJECTS[name]
    world.refused(code, "apply", manifest=manifest)


CHANGES: dict[str, tuple[Any, str, dict[str, Any]]] = {  # what is there already, its kind, and the patch of it
    "quota raised": (
        {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"count/secrets": "50"}}},
        "resourcequotas",
        {"spec": {"hard": {"count/secrets": "100000"}}},
    ),
    "autoscaler raised": (
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            },
        },
        "hpa",
        {"spec": {"maxReplicas": 5000, "minReplicas": 1000}},
    ),
    "disruption budget opened": (
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        },
        "pdb",
        {"spec": {"maxUnavailable": "100%"}},
    ),
    "network policy opened": (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        },
        "networkpolicies",
        {"spec": {"ingress": [{}]}},
    ),
    "ingress redirected": (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
        },
        "ing",
        {"spec": {"defaultBackend": {"service": {"name": "evil", "port": {"number": 80}}}}},
    ),
    "service redirected": (
        {"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
        "svc",
        {"spec": {"selector": {"app": "evil"}}},
    ),
    "service without selector": (
        {"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
        "svc",
        {"spec": {"selector": None}},
    ),
    "owner that is gone": (
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}},
        "cm",
        {
            "metadata": {
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "name": "gone",
                        "uid": "00000000-0000-0000-0000-000000000000",
                    }
                ]
            }
        },
    ),
    "finalizer put": (
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}},
        "cm",
        {"metadata": {"finalizers": ["example.com/forever"]}},
    ),
    "finalizer taken off": (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": ["example.com/keep"]}, "data": {"a": "1"}},
        "cm",
        {"metadata": {"finalizers": None}},
    ),
    "wider host path": (
        wrapped("Deployment", {"containers": [HARMLESS], "volumes": [{"name": "h", "hostPath": {"path": "/var/log"}}]}),
        "deploy",
        {"spec": {"template": {"spec": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}}}},
    ),
    "a second privileged container": (
        wrapped("Deployment", {"containers": [{**HARMLESS, "securityContext": {"privileged": True}}]}),
        "deploy",
        {
            "spec": {
                "template": {
                    "spec": {"containers": [{**HARMLESS, "name": "d", "securityContext": {"privileged": True}}]}
                }
            }
        },
    ),
    "another capability": (
        wrapped("Deployment", {"containers": [{**HARMLESS, "securityContext": {"capabilities": {"add": ["CHOWN"]}}}]}),
        "deploy",
        {
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}
                }
            }
        },
    ),
    "another command in a privileged container": (
        wrapped("Deployment", {"containers": [{**HARMLESS, "securityContext": {"privileged": True}}]}),
        "deploy",
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "command": ["sh", "-c", "id"]}]}}}},
    ),
    "another command where a secret is read": (
        wrapped("Deployment", {"containers": [{**HARMLESS, "envFrom": [{"secretRef": {"name": "s1"}}]}]}),
        "deploy",
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "args": ["env | base64 | rev"]}]}}}},
    ),
    "another secret": (
        wrapped("Deployment", {"containers": [{**HARMLESS, "envFrom": [{"secretRef": {"name": "own"}}]}]}),
        "deploy",
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s1"}}]}]}}}},
    ),
    "another account": (
        wrapped("Deployment", {"containers": [HARMLESS], "serviceAccountName": "web"}),
        "deploy",
        {"spec": {"template": {"spec": {"serviceAccountName": "admin", "serviceAccount": "admin"}}}},
    ),
    "a job that becomes a thousand": (
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "spec": {
                "suspend": True,
                "parallelism": 1,
                "completions": 5000,
                "template": {"spec": {"restartPolicy": "Never", "containers": [HARMLESS]}},
            },
        },
        "job",
        {"spec": {"parallelism": 1000}},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_widens_what_is_there_asks(world, name: str) -> None:
    _, kind, patch = CHANGES[name]
    world.refused(ASK, "patch", kind=kind, name=slug(name), namespace="NS", patch=patch)
