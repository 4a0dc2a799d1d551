"""Draining a node for real: what is lost is said before, budgets are kept, and the answer tells what is left."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from interlock.guard.model import Link
from interlock.kubectl import draining
from interlock.kubectl.cluster import ClusterError
from interlock.kubectl.discovery import Resource
from interlock.kubectl.objects import Target
from interlock.kubectl.plans import Step

from .conftest import Place, deployment

pytestmark = pytest.mark.anyio


@pytest.fixture
def node(place: Place) -> Iterator[str]:
    """A node of this test's own, with what runs on it: `moves`, `guarded` by a budget, `alone`, and a daemon."""
    name = f"node-{place.namespace}"
    labels = {"only": place.namespace}
    place.cluster.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
    })  # fmt: skip
    container = {"name": "c", "image": "registry.example.com/x:1"}
    scratch = {"name": "scratch", "emptyDir": {}}
    spec = {"containers": [container], "nodeSelector": labels}
    place.kubectl("create", "-f", "-", input=deployment("moves", 2, nodeSelector=labels, volumes=[scratch]))
    place.kubectl("create", "-f", "-", input=deployment("guarded", 1, nodeSelector=labels))
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "keep"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
    })  # fmt: skip
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": spec,
    })  # fmt: skip
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "daemon"},
        "spec": {"selector": {"matchLabels": {"app": "daemon"}},
                 "template": {"metadata": {"labels": {"app": "daemon"}}, "spec": spec}},
    })  # fmt: skip
    place.ready("moves")
    place.ready("guarded")
    place.cluster.until(lambda: len(pods(place, name)) == 5, "the node's pods do not come up")
    yield name
    place.cluster.kubectl("delete", "node", name, "--wait=false")


def pods(place: Place, node: str) -> list[str]:
    """Running pods of that node."""
    chosen = f"--field-selector=spec.nodeName={node},status.phase=Running"
    return place.kubectl("get", "pods", chosen, "-o", "name").split()


async def test_a_drain_keeps_budgets_and_says_what_is_lost(place, node):
    async with place.installation.agent("kubectl") as agent:
        dry = await agent.call("kubectl_drain", node=node, dry_run=True)
        asked = await agent.call("kubectl_drain", node=node)
        shown = place.installation.cli("show", asked.id).stdout
        assert len(pods(place, node)) == 5 and "Scheduling" not in place.cluster.kubectl("get", "node", node)

        async def release() -> None:  # somebody widens the budget while the drain waits
            def waits() -> bool:
                return len(pods(place, node)) == 2

            await anyio.to_thread.run_sync(place.cluster.until, waits, "the other pods are not evicted")
            place.kubectl("delete", "pdb", "keep")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            done = await place.approved(agent, asked, typed=node)
        left = [name.partition("-")[0] for name in pods(place, node)]
        undone = await agent.call("kubectl_undo", id=done.id)
        back = await agent.call("kubectl_cordon", node=node, on=False)
        back = await place.approved(agent, back) if back.code == "approval_required" else back
    for text in (dry.text, shown):
        assert "alone altogether: nobody makes them anew" in text or "alone (nobody makes it anew)" in text, text
        assert "emptyDir" in text and "disruption budget keep" in text, text
    assert "critical" in shown and "pods of daemonsets" in dry.text
    assert not done.is_error and "drained: 4 of 4 pods evicted" in done.text, done.text
    assert "cannot be undone" in done.text and "stays lost" in done.text
    assert left == ["pod/daemon"]
    assert undone.is_error and "on=false" in undone.text, undone.text
    assert not back.is_error and "Scheduling" not in place.cluster.kubectl("get", "node", node), back.text


async def test_what_a_budget_keeps_is_told_and_never_forced(place, node):
    async with place.installation.agent("kubectl") as agent:
        asked = await agent.call("kubectl_drain", node=node)
        done = None

        async def drain() -> None:
            nonlocal done
            done = await place.approved(agent, asked, typed=node)

        with anyio.move_on_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drain)
                await anyio.to_thread.run_sync(
                    place.cluster.until, lambda: len(pods(place, node)) == 2, "the other pods are not evicted"
                )
                tasks.cancel_scope.cancel()  # the client stops waiting: nothing is forced
        listed = place.installation.cli("changes").stdout
    left = sorted(name.partition("-")[0] for name in pods(place, node))
    assert left == ["pod/daemon", "pod/guarded"] and done is None
    assert "kubectl_drain" in listed, listed


def test_a_cluster_that_falls_silent_after_the_evictions_does_not_make_them_undone():
    """Nobody tells whether the pods are gone: they count as still ending. The drain itself is no failure."""
    pod = Target("test", Resource("", "v1", "pods", "Pod", True), "team", "p1")
    step, link = Step("evict", pod, {"metadata": {"uid": "u1"}}, None), Link()
    link.cancel()

    class Silent:
        def find(self, context: str, path: str) -> None:
            raise ClusterError("", "the cluster did not answer within 4 s")

    assert draining._ended(Silent(), [step], link) == [step]


def test_a_pod_that_goes_while_its_budget_is_waited_for_is_not_left(monkeypatch):
    pod = Target("test", Resource("", "v1", "pods", "Pod", True), "team", "p1")
    answers = [ClusterError("TooManyRequests", "the budget"), ClusterError("NotFound", "gone")]

    def evict(*_: object) -> None:
        raise answers.pop(0)

    monkeypatch.setattr(draining, "evict", evict)
    monkeypatch.setattr(draining, "_PAUSE", 0.01)
    assert draining._evicted(None, [Step("evict", pod, {"metadata": {"uid": "u1"}}, None)], Link()) == {}
    assert answers == []
