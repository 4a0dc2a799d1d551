"""What a preview tells of other objects, and the way back over fields that cannot be changed."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.anyio
WEB = {"kind": "deploy", "name": "web"}


async def test_an_autoscaler_that_would_fight_and_a_service_without_endpoints(place):
    place.policy(
        more="rules:\n  zero: {ask: kubectl.scale, where: {replicas: 0}, overrides: [development.scale-to-zero]}\n"
    )
    place.kubectl("create", "service", "clusterip", "web", "--tcp=80:80")
    place.kubectl("create", "service", "clusterip", "other", "--tcp=80:80")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4},
    })  # fmt: skip
    moved = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
             "spec": {"selector": {"app": "wbe"}, "ports": [{"name": "80-80", "port": 80}]}}  # fmt: skip
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        up = await agent.call("kubectl_scale", replicas=3, **WEB, **at)
        zero = await agent.call("kubectl_scale", replicas=0, **WEB, **at)
        shown = place.installation.cli("show", zero.id).stdout if zero.code == "approval_required" else zero.text
        renamed = await agent.call("kubectl_apply", manifest=json.dumps(moved), dry_run=True, **at)
        gone = await agent.call("kubectl_delete", dry_run=True, **WEB, **at)
        pod = place.kubectl("get", "pods", "-l", "app=web", "-o", "name").split()[0]
        one = await agent.call("kubectl_delete", kind=pod, dry_run=True, **at)
        every = await agent.call("kubectl_delete", kind="pods", selector="app=web", dry_run=True, **at)
    assert "keeps web between 2 and 4 replicas: it may set this back" in up.text, up.text
    assert "no endpoints" not in up.text and "no endpoints" not in one.text
    assert "at 0 it is switched off" in shown and "the Service web has no endpoints left" in shown, shown
    assert "no pod has the labels that the Service web would choose" in renamed.text, renamed.text
    assert "the Service web has no endpoints left: nobody" in gone.text and "other" not in gone.text, gone.text
    assert "no endpoints left until its new pods are ready" in every.text, every.text


async def test_undo_makes_anew_what_cannot_be_changed_back(place):
    place.policy(more="rules:\n  gone: {allow: kubectl.delete, overrides: [development.delete]}\n")
    place.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    first = place.get("cm", "settings")["metadata"]["uid"]
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "cm", "name": "settings", "namespace": place.namespace}
        done = await agent.call("kubectl_patch", patch={"immutable": True, "data": {"a": "2"}}, **at)
        back = await agent.call("kubectl_undo", id=done.id)
        live = place.get("cm", "settings")
        again = await agent.call("kubectl_undo", id=back.id)
        again = await place.approved(agent, again) if again.code == "approval_required" else again
    assert not done.is_error and not back.is_error, done.text + back.text
    assert live["data"] == {"a": "1"} and "immutable" not in live and live["metadata"]["uid"] != first
    assert "new uid" in back.text, back.text
    assert not again.is_error and place.get("cm", "settings")["immutable"] is True, again.text


async def test_undo_says_so_where_making_anew_would_lose_more(place):
    spec = {"containers": [{"name": "c", "image": "registry.example.com/x:1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    place.kubectl("create", "-f", "-", input=pod)
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "pod", "name": "p", "namespace": place.namespace}
        done = await agent.call("kubectl_patch", patch={"spec": {"activeDeadlineSeconds": 900}}, **at)
        back = await agent.call("kubectl_undo", id=done.id)
    assert not done.is_error, done.text
    assert back.code == "invalid" and "would lose more" in back.text, back.text
    assert place.get("pod", "p")["spec"]["activeDeadlineSeconds"] == 900
