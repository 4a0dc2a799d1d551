"""The kubectl server beside two npm ones on the same real API server: a get of 20 pods, and of 5,000.

The peers take part where their commands are named: MCP_SERVER_KUBERNETES (npm mcp-server-kubernetes, which starts
kubectl too) and KUBERNETES_MCP_SERVER (npm kubernetes-mcp-server, which talks to the API itself). PODS sets the 5,000.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, CALLS = 5, 8
MANY = int(os.environ.get("PODS", "5000"))
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "annotations": {"kwok.x-k8s.io/node": "fake"}}}


@dataclass
class Contender:
    name: str
    command: list[str]
    environment: dict[str, str]
    tool: str
    arguments: dict[str, Any]
    times: list[float] = field(default_factory=list)

    def of(self, namespace: str) -> dict[str, Any]:
        return {**self.arguments, "namespace": namespace}

    def parameters(self) -> StdioServerParameters:
        return StdioServerParameters(command=self.command[0], args=self.command[1:], env=self.environment)


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from cluster.control_plane import ControlPlane, missing

    if reason := missing():
        print(f"   not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder) / "cluster") as plane:
        kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
        fill([kubectl, f"--kubeconfig={plane.kubeconfig}"])
        anyio.run(measure, Path(folder), plane.kubeconfig, str(Path(kubectl).parent))


def fill(kubectl: list[str]) -> None:
    """Two namespaces of running pods."""

    def create(value: Any) -> None:
        subprocess.run(
            [*kubectl, "create", "-f", "-"], input=json.dumps(value), text=True, check=True, capture_output=True
        )

    create(NODE)
    for namespace, count in (("few", 20), ("many", MANY)):
        create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for begin in range(0, count, 500):
            pods = [pod(namespace, number) for number in range(begin, min(count, begin + 500))]
            create({"apiVersion": "v1", "kind": "List", "items": pods})
    running = [*kubectl, "get", "pods", "-n", "many", "--field-selector=status.phase=Running", "-o", "name"]
    while subprocess.run(running, capture_output=True, text=True, check=False).stdout.count("\n") < MANY:
        time.sleep(1)


def pod(namespace: str, number: int) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "registry.example.com/team/web:1.2.3",
        "env": [{"name": "MODE", "value": "fast"}],
    }
    labels = {"app": "web", "tier": "front", "pod-template-hash": "5d9c7b8f64"}
    metadata = {"name": f"web-5d9c7b8f64-{number:05}", "namespace": namespace, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [container]},
    }


async def measure(folder: Path, kubeconfig: Path, path: str) -> None:
    times = folder / "times"
    contenders = [interlock(folder, kubeconfig, path, times), *peers(kubeconfig, path)]
    for _ in range(ROUNDS):  # in turns, so that the machine's other work meets all alike
        for one in contenders:
            async with Client(one.parameters()) as client:
                await client.call_tool(one.tool, one.of("few"))
                times.write_text("")
                for _ in range(CALLS):
                    begun = time.perf_counter()
                    result = await client.call_tool(one.tool, one.of("few"))
                    one.times.append(time.perf_counter() - begun)
                    assert not result.is_error, result.content
                if one.name == "interlock":
                    own = statistics.median(one.times[-CALLS:]) - statistics.median(
                        map(float, times.read_text().split())
                    )
    print(f"{'get of 20 pods':28}{'p50 ms':>9}{'p90 ms':>9}")
    for one in contenders:
        quantiles = statistics.quantiles(one.times, n=10)
        print(f"{one.name:28}{statistics.median(one.times) * 1000:9.0f}{quantiles[8] * 1000:9.0f}")
    print(f"the guard's, the client's and the protocol's own share of a call: {own * 1000:.2f} ms (last round)")
    print(f"{f'get of {MANY:,} pods':28}{'s':>9}{'characters':>12}")
    for one in contenders:
        async with Client(one.parameters()) as client:
            begun = time.perf_counter()
            try:
                result = await client.call_tool(one.tool, one.of("many"))
            except MCPError as error:
                print(f"{one.name:28}   failed: {str(error)[:80]}")
                continue
            spent = time.perf_counter() - begun
        size = sum(len(getattr(part, "text", "")) for part in result.content)
        print(f"{one.name:28}{spent:9.1f}{size:12,}{'  (refused)' if result.is_error else ''}")


def interlock(folder: Path, kubeconfig: Path, path: str, times: Path) -> Contender:
    from interlock.guard.keys import create_keys

    config = folder / "config" / "interlock"
    config.mkdir(parents=True, mode=0o700)
    create_keys(None, config / "keys")
    policy = config / "policy.yaml"
    policy.write_text(
        f"version: 1\nextends: readonly\nagent: bench\nkubectl:\n  kubeconfig: {kubeconfig}\n"
        "  contexts: {test: {namespaces: [few, many]}}\nlimits: {calls: {max: 100000, per: 1m}}\n"
    )
    policy.chmod(0o600)
    environment = {
        **os.environ, "PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "INTERLOCK_POLICY": str(policy), "INTERLOCK_HOME": str(folder / "home"), "TIMES": str(times),
    }  # fmt: skip
    command = [sys.executable, "-m", "bench._timed_kubectl"]
    return Contender("interlock", command, environment, "kubectl_get", {"kind": "pods"})


def peers(kubeconfig: Path, path: str) -> list[Contender]:
    environment = {
        **os.environ, "PATH": f"{path}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig),
        "SPAWN_MAX_BUFFER": str(1 << 30),  # else one of them fails from some 200 pods on
    }  # fmt: skip
    known = (
        ("MCP_SERVER_KUBERNETES", "mcp-server-kubernetes", "kubectl_get", {"resourceType": "pods", "name": ""}),
        ("KUBERNETES_MCP_SERVER", "kubernetes-mcp-server", "pods_list_in_namespace", {}),
    )
    found = []
    for variable, name, tool, arguments in known:
        if command := os.environ.get(variable):
            found.append(Contender(name, shlex.split(command), environment, tool, arguments))
        else:
            print(f"   {name} is not measured: {variable} does not name its command")
    return found


if __name__ == "__main__":
    main()
