"""What kubectl's own words would give away: tables that cut, templates without end, logs by a workload's name."""

from __future__ import annotations

import anyio.to_thread
import pytest

from interlock.guard.errors import Refused
from interlock.kubectl import jsonpath

pytestmark = pytest.mark.anyio
HIDDEN = "swordfish-" + "77"


async def test_what_a_custom_kind_prints_of_a_secret_is_hidden_also_where_it_is_cut(place):
    """Of several lines kubectl's tables show the first; numbers are secrets as well."""
    kind = f"boxes.{place.namespace}.example.com"
    place.cluster.kubectl("create", "-f", "-", input={
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": kind},
        "spec": {
            "group": kind.partition(".")[2], "scope": "Namespaced",
            "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "additionalPrinterColumns": [
                    {"name": "Word", "type": "string", "jsonPath": ".spec.password"},
                    {"name": "Pin", "type": "integer", "jsonPath": ".spec.pin.password"},
                    {"name": "Shelf", "type": "string", "jsonPath": ".spec.shelf"},
                ],
            }],
        },
    })  # fmt: skip
    place.policy(kubectl=f"kinds: [{kind}]")
    spec = {"password": f"{HIDDEN}\nsecond line", "pin": {"password": 90817263}, "shelf": "lower-left"}
    box = {"apiVersion": f"{kind.partition('.')[2]}/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": spec}
    made = lambda: "created" in place.kubectl("create", "-f", "-", input=box)  # noqa: E731
    await anyio.to_thread.run_sync(place.cluster.until, made, "no custom kind")
    async with place.installation.agent("kubectl") as agent:
        replies = [
            await agent.call("kubectl_get", kind=kind, namespace=place.namespace),
            await agent.call("kubectl_describe", kind=kind, name="b", namespace=place.namespace),
        ]
    place.cluster.kubectl("delete", "crd", kind, "--wait=false")
    for reply in replies:
        assert not reply.is_error and "lower-left" in reply.text, reply.text
        assert HIDDEN not in reply.text and "90817263" not in reply.text, reply.text


async def test_logs_of_a_workload_are_logs_of_pods(place):
    """A policy without the kind pods shows no pod's log, by whatever name the pod goes."""
    place.policy(kubectl="kinds: [deployments]")
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_logs", pod="deploy/web", namespace=place.namespace)
    assert reply.code == "out_of_bounds", reply.text


async def test_a_template_writes_no_more_than_an_answer_may_ever_need(place):
    async with place.installation.agent("kubectl") as agent:
        path = '{.items}{"' + "x" * 600 + '"}'
        whole = await agent.call("kubectl_get", kind="pods", namespace=place.namespace, path=path)
    assert not whole.is_error and "x" * 600 in whole.text, whole.text
    with pytest.raises(Refused):
        jsonpath.render({"items": ["y" * 1_000_000]}, jsonpath.template("{.items}" * 100))
