"""A real kubectl server over stdio on the real control plane, one for a whole table of cases, and its namespace."""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from admin.apart import Apart, Peer
from installation import Reply
from kubectl.conftest import TestCluster

ROOMY = (
    "limits: {calls: {max: 1000000, per: 1m}, changes: {max: 100000, per: 1h}, repeats: {max: 10000, per: 10m},"
    " failures: {max: 10000, per: 5m, open_for: 1s}, output: {chars: 1000000000, per: 1h}}\n"
    "approvals: {people: none}\n"  # what asks is refused at once, and says that it asks
)
KINDS = (
    "pods, deployments, replicasets, statefulsets, daemonsets, services, ingresses, configmaps, jobs, cronjobs, events,"
    " endpoints, horizontalpodautoscalers, poddisruptionbudgets, serviceaccounts, persistentvolumeclaims,"
    " networkpolicies, resourcequotas, databases.example.com"
)
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufe0f\U000e0000-\U000e0fff]")
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "databases.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "databases", "singular": "database", "kind": "Database", "shortNames": ["dbs"]},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            "additionalPrinterColumns": [
                {"name": "Engine", "type": "string", "jsonPath": ".spec.engine"},
                {"name": "Admin", "type": "string", "jsonPath": ".spec.adminPassword"},
            ],
        }],
    },
}  # fmt: skip


class Api:
    """The API server as its administrator sees it, without a program between."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        address = urllib.parse.urlparse(config["clusters"][0]["cluster"]["server"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, context=ssl._create_unverified_context()
        )

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
        self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        made: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return made


class Reached:
    """One namespace in bounds, one of nearly the same name outside, and a canary that must never be seen."""

    def __init__(
        self, cluster: TestCluster, folder: Path, kinds: str = KINDS, section: str = "", more: str = ""
    ) -> None:
        folder.chmod(0o700)
        self.cluster, self.api = cluster, Api(cluster.kubeconfig)
        self.namespace = f"team-{secrets.token_hex(4)}"
        self.outside = f"{self.namespace}-evil"
        self.canary = f"Kx9{secrets.token_hex(9)}Zq7W"
        self.apart = Apart(folder.resolve())
        self.apart.variables["PATH"] = _path()
        for name in (self.namespace, self.outside):
            cluster.kubectl("create", "namespace", name)
        cluster.kubectl("apply", "-f", "-", input=CRD)
        self.until(lambda: "items" in self.live("/apis/example.com/v1/namespaces/NS/databases"), "no custom kind")
        text = f"kubectl:\n  kubeconfig: {cluster.kubeconfig}\n  kinds: [{kinds}]\n  contexts:\n    test:\n"
        text += f"      namespaces: [{self.namespace}]\n      cluster_scoped: [nodes]\n"
        text += "".join(f"  {line}\n" for line in section.splitlines())
        self.apart.write_policy(more=text + more + ROOMY)
        self._make_world()
        self.peer = Peer(self.apart.command("serve", "kubectl"), self.apart.environment, "legacy", "attacks")

    def _make_world(self) -> None:
        coded = base64.b64encode(self.canary.encode()).decode()
        for where in (self.namespace, self.outside):
            meta = {"namespace": where}
            self.make(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s1", **meta}, "data": {"password": coded}},
                {
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": "p1", "labels": {"app": "web", "app.kubernetes.io/name": "web"}, **meta},
                    "spec": {"nodeName": "n1", "containers": [{
                        "name": "c", "image": "registry.example.com/web:1.1", "args": [f"--password={self.canary}"],
                        "env": [{"name": "DB_PASS", "value": self.canary}, {"name": "MODE", "value": "fast"}],
                    }]},
                },
                self.workload("web", where),
            )  # fmt: skip
        self.make(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
             "data": {"colour": "green", "password": self.canary}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
             "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
        )  # fmt: skip

    def workload(self, name: str = "d1", namespace: str = "", replicas: int = 2, **pod: Any) -> Any:
        spec = {"containers": [{"name": "c", "image": "registry.example.com/web:1.1"}], **pod}
        return {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace or self.namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
        }  # fmt: skip

    def make(self, *objects: Any) -> None:
        """As the administrator."""
        items = [{**o, "metadata": {"namespace": self.namespace, **o["metadata"]}} for o in map(self.named, objects)]
        said = self.cluster.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": items})
        assert said.count(" created") == len(objects), said

    def live(self, path: str) -> dict[str, Any]:
        return self.api.ask("GET", path.replace("NS", self.namespace))

    def until(self, true: Any, what: str) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end, what
            time.sleep(0.05)

    def state(self) -> set[str]:
        """What people wrote: a change by anyone but controllers shows."""
        found = set()
        for where in (self.namespace, self.outside):
            for path in (
                f"/apis/apps/v1/namespaces/{where}/deployments", f"/api/v1/namespaces/{where}/configmaps",
                f"/api/v1/namespaces/{where}/secrets", f"/api/v1/namespaces/{where}/services",
                f"/api/v1/namespaces/{where}/pods", f"/apis/autoscaling/v2/namespaces/{where}/horizontalpodautoscalers",
                f"/apis/batch/v1/namespaces/{where}/jobs", f"/apis/example.com/v1/namespaces/{where}/databases",
                f"/apis/rbac.authorization.k8s.io/v1/namespaces/{where}/rolebindings",
            ):  # fmt: skip
                for one in self.api.ask("GET", path)["items"]:
                    meta = one["metadata"]
                    rest = {k: meta.get(k) for k in ("labels", "annotations", "finalizers", "ownerReferences")}
                    noted = rest["annotations"] or {}  # what controllers note is no change
                    rest["annotations"] = {k: v for k, v in noted.items() if "deployment.kubernetes.io" not in k}
                    mark = [path, meta["name"], meta["uid"], rest, one.get("spec"), one.get("data")]
                    made = any(owner.get("controller") for owner in meta.get("ownerReferences") or ())
                    if "deletionTimestamp" not in meta and not made:
                        found.add(json.dumps(mark, sort_keys=True))
        return found

    def named(self, value: Any) -> Any:
        """A case's words: NS and OTHER stand for the namespaces, CANARY for the canary, WORK for the files root."""
        if isinstance(value, str):
            words = {"NS": self.namespace, "OTHER": self.outside, "CANARY": self.canary, "WORK": str(self.apart.work)}
            return re.sub(r"\b(NS|OTHER|CANARY|WORK)\b", lambda found: words[found[1]], value)
        if isinstance(value, list):
            return [self.named(item) for item in value]
        if isinstance(value, dict):
            return {self.named(key): self.named(item) for key, item in value.items()}
        return value

    def call(self, tool: str, **arguments: Any) -> Reply:
        """One call, after which what must hold whatever the answer is has been checked."""
        start = time.monotonic()
        reply = self.peer.call(f"kubectl_{tool}", **self.named(arguments))
        self.holds(reply.text)
        assert HIDDEN.search(reply.text) is None, reply.text
        assert reply.code != "guard_failure", reply.text
        assert len(reply.text) < 20_000
        assert time.monotonic() - start < 30
        return reply

    def holds(self, text: str) -> None:
        """The canary is nowhere: plain, upside down, hexadecimal, or in base64 at any place."""
        raw = self.canary.encode()
        forms = [self.canary, raw.hex(), self.canary[::-1], *(_coded(raw, pad) for pad in range(3))]
        around = [text[max(0, text.index(form) - 200) :][:400] for form in forms if form in text]
        assert not around

    def done(self, tool: str, **arguments: Any) -> Reply:
        reply = self.call(tool, **arguments)
        assert not reply.is_error, reply.text
        return reply

    def refused(self, code: str, tool: str, **arguments: Any) -> Reply:
        """A call that must end with this code; `|` between several."""
        reply = self.call(tool, **arguments)
        assert reply.is_error, reply.text
        asked = reply.code == "denied" and "it needs a person's approval" in reply.text
        assert ("approval_required" if asked else reply.code) in code.split("|"), reply.text
        return reply

    def close(self) -> None:
        self.peer.close()
        for path in (self.apart.home / "audit").rglob("*.jsonl"):
            self.holds(path.read_text())
        for name in (self.namespace, self.outside):
            self.cluster.kubectl("delete", "namespace", name, "--wait=false")


def _coded(raw: bytes, pad: int) -> str:
    """The part of its base64 that does not depend on what stands around it."""
    return base64.b64encode(b"x" * pad + raw).decode()[4:-4]


def _path() -> str:
    import os

    from kubectl.conftest import KUBECTL

    return f"{Path(KUBECTL).parent}:{os.environ['PATH']}"


@contextmanager
def reached(cluster: TestCluster, folder: Path, **how: Any) -> Iterator[Reached]:
    made = Reached(cluster, folder, **how)
    try:
        yield made
    finally:
        made.close()
