"""kubectl_top against a metrics-server that measures kwok's pods; last in a run, for it measures after a while."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def test_pods_and_nodes_within_bounds_the_hungriest_first(place):
    if "metrics" not in place.cluster.kubectl("get", "apiservices") and place.cluster.plane is None:
        pytest.skip("the given cluster has no metrics-server")
    uses = {"uses-cpu": "250m", "uses-memory": "1Gi"}
    hungry = {"name": "hungry", "annotations": uses}
    spec = {"containers": [{"name": "c", "image": "registry.example.com/x:1"}]}
    place.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "Pod", "metadata": hungry, "spec": spec})
    other = f"{place.namespace}-other"
    place.cluster.kubectl("create", "namespace", other)
    place.cluster.kubectl("run", "outside", "-n", other, "--image=registry.example.com/x:1")
    place.policy(context="all_namespaces: true")

    def measured() -> bool:
        return "hungry" in place.kubectl("top", "pods") and "outside" in place.cluster.kubectl(
            "top", "pods", "-n", other
        )

    place.cluster.until(measured, "nothing is measured", 90)
    async with place.installation.agent("kubectl") as agent:
        pods = await agent.call("kubectl_top", namespace=place.namespace)
        everywhere = await agent.call("kubectl_top", namespace="*")
        nodes = await agent.call("kubectl_top", kind="nodes")
        outside = await agent.call("kubectl_top", namespace=other)
    place.policy()
    policy = place.installation.policy
    policy.write_text(policy.read_text().replace("cluster_scoped: [nodes]", "cluster_scoped: [persistentvolumes]"))
    async with place.installation.agent("kubectl") as agent:
        unbound = [await agent.call("kubectl_top", kind="nodes"), await agent.call("kubectl_top", namespace="*")]
    place.cluster.kubectl("delete", "namespace", other, "--wait=false")
    rows = [line.split() for line in pods.text.splitlines() if "Mi" in line]
    assert pods.text.startswith(f"test/{place.namespace}: 3 found"), pods.text
    assert rows[0][0] == "hungry" and rows[0][1].rstrip("m") >= "24" and rows[0][2] == "1024Mi", pods.text
    assert len(rows) == 3 and "web-" in pods.text
    assert "hungry" in everywhere.text and "outside" not in everywhere.text and ": 3 found" in everywhere.text
    assert "n1" in nodes.text and "CPU" in nodes.text
    assert [one.code for one in (outside, *unbound)] == ["out_of_bounds"] * 3
