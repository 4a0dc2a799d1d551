"""Deletes: exactly what was looked at, captured with all that goes along, and put back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from interlock.guard.errors import Refused
from interlock.kubectl.deleting import _matched
from interlock.kubectl.discovery import Resource
from interlock.kubectl.objects import Target

pytestmark = pytest.mark.anyio
ALLOWED = "rules:\n  gone: {allow: kubectl.delete, overrides: [development.delete]}\n"


async def test_a_deployment_comes_back_with_what_belonged_to_it(place):
    place.policy(more=ALLOWED)
    owner = place.get("deployment", "web")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"]}
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "belongs", "ownerReferences": [reference]},
        "data": {"a": "1"},
    })  # fmt: skip
    async with place.installation.agent("kubectl") as agent:
        done = await agent.call("kubectl_delete", kind="deploy", name="web", namespace=place.namespace)
        place.cluster.until(lambda: place.get("cm", "belongs") == {}, "the cascade does not come")
        place.cluster.until(lambda: "web" not in place.kubectl("get", "pods"), "the pods stay")
        back = await agent.call("kubectl_undo", id=done.id)
    assert "goes along: ConfigMap/belongs" in done.text and "rollout history" in done.text, done.text
    assert "ready: 2 of 2" in back.text and "new uid" in back.text, back.text
    live = place.get("deployment", "web")
    assert live["spec"] == owner["spec"]
    child = place.get("cm", "belongs")
    assert child["data"] == {"a": "1"} and child["metadata"]["ownerReferences"][0]["uid"] == live["metadata"]["uid"]


async def test_selectors_are_bounded_and_every_match_is_named(place):
    place.policy(more=ALLOWED, kubectl="max_objects: 3")
    for number in range(4):
        place.kubectl("create", "configmap", f"c{number}")
        place.kubectl("label", "configmap", f"c{number}", "batch=old", f"n={number}")
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "cm", "namespace": place.namespace}
        many = await agent.call("kubectl_delete", selector="batch=old", **at)
        none = await agent.call("kubectl_delete", selector="batch=new", **at)
        both = await agent.call("kubectl_delete", selector="batch=old", name="c1", **at)
        neither = await agent.call("kubectl_delete", **at)
        done = await agent.call("kubectl_delete", selector="batch=old,n!=3", **at)
        assert "c0" not in place.kubectl("get", "cm") and "c3" in place.kubectl("get", "cm")
        back = await agent.call("kubectl_undo", id=done.id)
    assert many.code == "too_large" and "c0, c1, c2, c3" in many.text
    assert none.code == both.code == neither.code == "invalid"
    assert not back.is_error and "c0" in place.kubectl("get", "cm")


async def test_a_pod_of_a_controller_may_go_where_the_policy_says_so(place):
    rule = "rules:\n  one: {allow: kubectl.delete, where: {kind: pods, rebuilt: true, objects: 1}"
    place.policy(more=f"{rule}, overrides: [development.delete]}}\n")
    place.kubectl("run", "alone", "--image=registry.example.com/x:1")
    names = [one.removeprefix("pod/") for one in place.kubectl("get", "pods", "-l", "app=web", "-o", "name").split()]
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "pods", "namespace": place.namespace}
        one = await agent.call("kubectl_delete", name=names[0], **at)
        alone = await agent.call("kubectl_delete", name="alone", **at)
        two = await agent.call("kubectl_delete", selector="app=web", **at)
    assert not one.is_error, one.text
    assert alone.code == two.code == "approval_required"
    assert "cannot" not in one.text


async def test_data_that_would_be_lost_for_good_is_critical(place):
    place.policy(more=ALLOWED)
    volume = f"pv-{place.namespace}"
    place.cluster.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"},
                 "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "x"},
    })  # fmt: skip
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                 "volumeName": volume, "storageClassName": "x"},
    })  # fmt: skip
    place.cluster.until(lambda: place.get("pvc", "data").get("status", {}).get("phase") == "Bound", "it is not bound")
    async with place.installation.agent("kubectl") as agent:
        asked = await agent.call("kubectl_delete", kind="pvc", name="data", namespace=place.namespace)
    shown = place.installation.cli("show", asked.id).stdout
    assert asked.code == "approval_required" and "reclaim policy Delete" in shown, shown
    assert "critical" in shown
    assert place.get("pvc", "data")["metadata"].get("deletionTimestamp") is None
    place.cluster.kubectl("delete", "pv", volume, "--wait=false")


async def test_an_object_of_the_same_name_is_not_the_one_that_was_looked_at(place):
    place.policy()
    place.kubectl("create", "configmap", "c")
    async with place.installation.agent("kubectl") as agent:
        asked = await agent.call("kubectl_delete", kind="cm", name="c", namespace=place.namespace)
        place.kubectl("delete", "configmap", "c")
        place.kubectl("create", "configmap", "c", "--from-literal=new=1")
        void = await place.approved(agent, asked)
    assert void.is_error and place.get("cm", "c")["data"] == {"new": "1"}


def test_a_page_that_is_not_the_last_is_no_count():
    pods = Resource("", "v1", "pods", "Pod", namespaced=True)
    page = {"items": [{"metadata": {"name": f"p{n}"}} for n in range(1000)], "metadata": {"continue": "next"}}
    kubectl = SimpleNamespace(cluster=SimpleNamespace(get=lambda *_, **__: page))
    bounds = SimpleNamespace(section=SimpleNamespace(max_objects=20))
    with pytest.raises(Refused, match=r"matches more than 1000 pods, more than 20: p0, .* and more than 980 more"):
        _matched(kubectl, bounds, Target("test", pods, "team", ""), "a=b")
    page["metadata"] = {}
    with pytest.raises(Refused, match=r"matches 1000 pods, .* and 980 more"):
        _matched(kubectl, bounds, Target("test", pods, "team", ""), "a=b")
