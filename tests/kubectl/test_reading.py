"""Reads against a real API server: bounds, every name of a kind, secrets never, compact pages."""

from __future__ import annotations

import base64
import json
import random
from itertools import product

import pytest

from .conftest import deployment

pytestmark = pytest.mark.anyio
HIDDEN = "swordfish-" + "is-not-enough-77"
CODED = base64.b64encode(HIDDEN.encode()).decode()


async def test_a_table_with_a_header_of_facts(place):
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_get", kind="pods", namespace=place.namespace)
    assert reply.text.startswith(f"test/{place.namespace}: 2 found")
    assert reply.text.count("Running") == 2 and "untrusted-data" in reply.text


async def test_every_name_of_a_kind_is_the_same_kind(place):
    async with place.installation.agent("kubectl") as agent:
        for kind in ("deploy", "deployment", "Deployment", "deployments.apps", "deployments.v1.apps"):
            reply = await agent.call("kubectl_get", kind=kind, namespace=place.namespace, output="name")
            path = await agent.call("kubectl_get", kind=f"{kind}/web", namespace=place.namespace, path=".spec.replicas")
            assert "deployments/web" in reply.text, kind
            assert "\n2\n" in path.text, kind


OUTSIDE = [
    "secrets",
    "secret",
    "Secret",
    "secrets.v1.",
    "pods,secrets",
    "all,secrets",
    "roles.rbac.authorization.k8s.io",
]


async def test_kinds_outside_the_bounds_are_not_even_asked_for(place):
    async with place.installation.agent("kubectl") as agent:
        for kind in OUTSIDE:
            reply = await agent.call("kubectl_get", kind=kind, namespace=place.namespace)
            assert reply.code in ("out_of_bounds", "invalid"), (kind, reply.text)


CALLS = [("kubectl_get", {"kind": "pods"}), ("kubectl_events", {}), ("kubectl_logs", {"pod": "p"})]
NAMESPACES = ["kube-system", "*", "Kube-System", " default", "a/../b", "--server=http://x", ""]


async def test_namespaces_outside_the_bounds(place):
    async with place.installation.agent("kubectl") as agent:
        for namespace, (tool, more) in product(NAMESPACES, CALLS):
            reply = await agent.call(tool, namespace=namespace, **more)
            assert reply.code in ("out_of_bounds", "invalid"), (tool, namespace, reply.text)


async def test_reading_across_namespaces_leaves_out_what_is_outside(place):
    place.policy(context="all_namespaces: true")
    place.cluster.kubectl("create", "configmap", "outside-marker", "-n", "default")
    async with place.installation.agent("kubectl") as agent:
        table = await agent.call("kubectl_get", kind="cm", namespace="*")
        whole = await agent.call("kubectl_get", kind="cm", namespace="*", output="yaml")
    for reply in (table, whole):
        assert "kube-root-ca.crt" in reply.text and "outside-marker" not in reply.text
        assert ": 1 found" in reply.text


async def test_secrets_show_key_names_sizes_and_fingerprints(place):
    place.policy(kubectl="kinds: [pods, secrets]")
    place.kubectl("create", "secret", "generic", "db", f"--from-literal=password={HIDDEN}", "--from-literal=user=app")
    place.kubectl("annotate", "secret", "db", f"note={HIDDEN}")
    seen = []
    async with place.installation.agent("kubectl") as agent:
        for output in ("table", "wide", "yaml", "json", "name"):
            seen.append(await agent.call("kubectl_get", kind="secrets", namespace=place.namespace, output=output))
        seen.append(await agent.call("kubectl_get", kind="secret/db", namespace=place.namespace, path=".data.password"))
        seen.append(await agent.call("kubectl_describe", kind="secret", name="db", namespace=place.namespace))
        place.kubectl("delete", "secret", "db")
        place.kubectl("create", "secret", "generic", "db", "--from-literal=password=other")
        after = await agent.call("kubectl_get", kind="secret/db", namespace=place.namespace, path=".data.password")
    for reply in seen:
        assert not reply.is_error and HIDDEN not in reply.text and CODED not in reply.text, reply.text
    assert (
        all(f"[secret:of-{len(HIDDEN)}-bytes:" in seen[at].text for at in (0, 1, 2, 3, 5, 6))
        and "password" in seen[0].text
    )
    assert after.text != seen[5].text


async def test_values_that_look_like_credentials_in_other_objects(place):
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{
            "name": "c", "image": "x/y:1", "command": ["app", f"--password={HIDDEN}"],
            "env": [{"name": "DB_PASSWORD", "value": HIDDEN}, {"name": "MODE", "value": "fast-lane"}],
        }]},
    }  # fmt: skip
    place.kubectl("apply", "-f", "-", input=pod)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "binaryData": {"k": CODED}}
    place.kubectl("create", "-f", "-", input=config)
    async with place.installation.agent("kubectl") as agent:
        replies = [
            await agent.call("kubectl_get", kind="pod/p", namespace=place.namespace, output="yaml"),
            await agent.call("kubectl_get", kind="pod/p", namespace=place.namespace, output="json"),
            await agent.call("kubectl_get", kind="pod/p", namespace=place.namespace, path=".spec.containers[0].env[*]"),
            await agent.call("kubectl_describe", kind="pod", name="p", namespace=place.namespace),
        ]
        binary = await agent.call("kubectl_get", kind="cm/c", namespace=place.namespace, output="yaml")
    for reply in replies:
        assert HIDDEN not in reply.text and "fast-lane" in reply.text, reply.text
        assert "last-applied" not in reply.text
    assert CODED not in binary.text and "-bytes:" in binary.text


async def test_logs_are_redacted_before_lines_are_chosen(place):
    if place.cluster.plane is None:
        pytest.skip("only where the test writes the pods' logs")
    place.cluster.plane.pod_log("first", f"Authorization: Bearer {HIDDEN}", "last")
    async with place.installation.agent("kubectl") as agent:
        tail = await agent.call("kubectl_logs", pod="deploy/web", namespace=place.namespace, tail=2)
        probe = await agent.call("kubectl_logs", pod="deploy/web", namespace=place.namespace, contains=HIDDEN[:9])
        known = await agent.call("kubectl_logs", pod="deploy/web", namespace=place.namespace, contains="Authorization")
    assert "last" in tail.text and HIDDEN not in tail.text and "first" not in tail.text
    assert "last 0 lines" in probe.text and "last 1 lines" in known.text


async def test_events_once_each_and_harmless_to_show(place):
    for number in range(3):
        event = {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"e{number}"}, "type": "Warning",
            "reason": "Failed", "message": f"pull failed for user:{HIDDEN}@registry \x1b[2J", "count": 2,
            "involvedObject": {"kind": "Pod", "name": f"p{number}", "namespace": place.namespace},
        }  # fmt: skip
        place.kubectl("create", "-f", "-", input=event)
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_events", namespace=place.namespace, warnings=True)
    assert "3 events, 1 different" in reply.text and "Failed x6" in reply.text and "p0 and 2 more" in reply.text
    assert HIDDEN not in reply.text and "\x1b" not in reply.text


async def test_why_a_rollout_is_stuck_is_told_once_and_of_this_workload_alone(place):
    place.kubectl("create", "quota", "small", "--hard=pods=3")
    place.kubectl("create", "-f", "-", input=deployment("web-api", 4))

    def refused() -> bool:
        return place.kubectl("get", "events").count("exceeded quota") > 2

    place.cluster.until(refused, "the quota refuses nothing")
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        status = await agent.call("kubectl_rollout_status", kind="deploy", name="web-api", wait=1, **at)
        about = await agent.call("kubectl_events", about="deploy/web-api", warnings=True, **at)
        other = await agent.call("kubectl_events", about="deploy/web", **at)
        wrong = await agent.call("kubectl_rollout_status", kind="cm", name="kube-root-ca.crt", **at)
    assert "not done" in status.text and status.text.count("warning:") == 1, status.text
    assert "exceeded quota: small" in status.text and about.text.count("FailedCreate") == 1, about.text
    assert "web-api" not in other.text and "ScalingReplicaSet" in other.text and "Pod/web-" in other.text, other.text
    assert wrong.is_error and "do not roll out" in wrong.text


async def test_pages_go_on_where_they_ended(place):
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"item-{number:03}", "namespace": place.namespace},
        }
        for number in range(120)
    ]
    place.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": items})
    seen: list[str] = []
    cursor = ""
    async with place.installation.agent("kubectl") as agent:
        for _ in range(5):
            reply = await agent.call("kubectl_get", kind="cm", namespace=place.namespace, limit=50, cursor=cursor)
            seen += [line.split()[0] for line in reply.text.splitlines() if line.startswith("item-")]
            cursor = reply.text.partition("cursor=")[2].split()[0] if "cursor=" in reply.text else ""
            if not cursor:
                break
        at = {"kind": "cm", "namespace": place.namespace}
        names = await agent.call("kubectl_get", path=".metadata.name", limit=50, **at)
        more = await agent.call("kubectl_get", path=".metadata.name", limit=50, cursor="MTAw", **at)
        chosen = await agent.call("kubectl_get", output="yaml", limit=1, selector="!absent", **at)
        bad = await agent.call("kubectl_get", cursor="???", **at)
    assert ": 121 found, 1-50 shown; more with cursor=NTA" in names.text.splitlines()[0], names.text
    assert names.text.count("item-") == 100 and "item-049  item-049" in names.text
    assert "121 found, 101-121 shown" in more.text and "cursor" not in more.text
    assert "more than 1 found, 1-1 shown; more with cursor=MQ" in chosen.text, chosen.text
    assert seen == [one["metadata"]["name"] for one in items]
    assert bad.code == "invalid"


OPTIONS = [
    {"kind": "pods", "name": "-shttp://127.0.0.1:1"},
    {"kind": "pods", "name": "\u200b--server=x"},
    {"kind": "pods;id"},
    {"kind": "pods", "extra": ["-A"]},
    {"kind": "pods", "selector": "--all"},
    {"kind": "pods", "output": "json --server=x"},
    {"kind": "pods", "path": "{.x}{`id`}"},
    {"kind": "pods", "namespace": ["x"]},
]


async def test_nothing_becomes_an_option(place):
    async with place.installation.agent("kubectl") as agent:
        for arguments in OPTIONS:
            reply = await agent.call("kubectl_get", **{"namespace": place.namespace, **arguments})
            assert reply.code == "invalid", (arguments, reply.text)


async def test_selectors_paths_sorting_and_explaining_work(place):
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        one = await agent.call("kubectl_get", kind="pods", selector="app=web,tier!=cache", **at)
        none = await agent.call("kubectl_get", kind="pods", selector="app notin (web)", **at)
        phases = await agent.call("kubectl_get", kind="pods", path="{.status.phase}", **at)
        sorted_ = await agent.call("kubectl_get", kind="po", sort_by=".metadata.name", **at)
        mixed = await agent.call("kubectl_get", kind="deploy,po", **at)
        explained = await agent.call("kubectl_get", kind="deploy", path=".spec.replicas", output="explain")
    assert "2 found" in one.text and "0 found" in none.text
    assert phases.text.count("  Running") == 2
    assert not sorted_.is_error and "3 found" in mixed.text and "deployment.apps/web" in mixed.text
    assert "desired pods" in explained.text


async def test_the_guard_tells_the_bounds(place):
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_guard")
    assert place.namespace in json.dumps(reply.data)


async def test_a_setting_reads_the_same_in_every_form(place):
    token = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=40))
    coded = base64.b64encode(token.encode()).decode()
    data = {"k": token, "b": coded, "mode": "fast-lane", "pod": "many-56bc65b5ff-22cfw"}
    place.kubectl("create", "-f", "-", input={
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data,
    })  # fmt: skip
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "cm/c", "namespace": place.namespace}
        replies = [
            await agent.call("kubectl_get", **at, **how)
            for how in ({"output": "yaml"}, {"output": "json"}, {"path": ".data"})
        ]
        replies.append(await agent.call("kubectl_describe", kind="cm", name="c", namespace=place.namespace))
    for reply in replies:
        assert token not in reply.text and coded not in reply.text, reply.text
        assert "fast-lane" in reply.text and "many-56bc65b5ff-22cfw" in reply.text, reply.text
