"""Manifests written so that one reader sees another object than the next: refused whole, or judged as what is sent."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

INVALID, OUT, ASK, LARGE = "invalid", "out_of_bounds", "approval_required", "too_large"
FINE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine, namespace: NS}\ndata: {a: '1'}\n"
EVIL = "apiVersion: v1\nkind: Namespace\nmetadata: {name: evil}\n"
HOST = {"hostNetwork": True, "containers": [{"name": "c", "image": "registry.example.com/web:1"}]}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "smuggled", "namespace": "NS"}, "spec": HOST}
LIST = {"apiVersion": "v1", "kind": "List"}

MANIFESTS: dict[str, tuple[str, str]] = {
    "second document": (OUT, f"{FINE}---\n{EVIL}"),
    "second document after comments": (OUT, f"{FINE}--- # more\n# nothing\n\n--- \n{EVIL}"),
    "document end mark between": (OUT, f"{FINE}...\n---\n{EVIL}"),
    "windows line ends": (OUT, f"{FINE}---\n{EVIL}".replace("\n", "\r\n")),
    "byte order mark": (OUT, f"\ufeff{EVIL}"),
    "byte order mark in the middle": (f"{INVALID}|{OUT}", f"{FINE}---\n\ufeff{EVIL}"),
    "next line character": (f"{INVALID}|{OUT}", f"a: b\x85---\n{EVIL}"),
    "line separator": (f"{INVALID}|{OUT}", f"{FINE}\u2028---\u2028{EVIL}"),
    "directive": (f"{INVALID}|{OUT}", f"%YAML 1.1\n---\n{EVIL}"),
    "tag directive": (INVALID, f"%TAG ! tag:evil.io,2000:\n---\n{EVIL}"),
    "anchor and alias": (INVALID, "k: &k Namespace\napiVersion: v1\nkind: *k\nmetadata: {name: evil}\n"),
    "merge key": (INVALID, "apiVersion: v1\n<<: {kind: Namespace}\nmetadata: {name: evil}\n"),
    "alias bomb": (INVALID, "a: &a [x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in pairwise("abcdefgh"))),
    "duplicate kind": (INVALID, f"kind: ConfigMap\n{EVIL}"),
    "duplicate kind in json": (
        INVALID,
        '{"apiVersion":"v1","kind":"ConfigMap","kind":"Namespace","metadata":{"name":"x"}}',
    ),
    "duplicate in depth": (INVALID, FINE.replace("{name: fine,", "{name: fine, namespace: kube-system,")),
    "two json objects at once": (INVALID, json.dumps(POD) + json.dumps(POD)),
    "json lines": (INVALID, json.dumps(POD) + "\n" + json.dumps(POD)),
    "array of objects": (INVALID, json.dumps([POD])),
    "upper-case key": (INVALID, FINE.replace("kind: ConfigMap", "kind: ConfigMap\nKind: Namespace")),
    "only an upper-case key": (INVALID, EVIL.replace("kind:", "KIND:")),
    "unknown field": (INVALID, FINE.replace("data:", "dataa:")),
    "kind in lower case": (INVALID, EVIL.replace("Namespace", "namespace")),
    "kind in plural": (INVALID, EVIL.replace("Namespace", "namespaces")),
    "kind with a space": (INVALID, EVIL.replace("Namespace", "'Namespace '")),
    "kind with a zero-width space": (INVALID, EVIL.replace("Namespace", '"Name\\u200bspace"')),
    "kind in fullwidth": (INVALID, EVIL.replace("Namespace", "\uff2eamespace")),
    "kind escaped": (OUT, EVIL.replace("Namespace", '"N\\x61mespace"')),
    "kind folded over lines": (f"{INVALID}|{OUT}", EVIL.replace("Namespace", "\n  Namespace")),
    "kind as a block": (f"{INVALID}|{OUT}", EVIL.replace("Namespace", "|-\n  Namespace")),
    "kind is a list": (INVALID, EVIL.replace("Namespace", "[Namespace]")),
    "kind is missing": (INVALID, "apiVersion: v1\nmetadata: {name: x}\n"),
    "version with a space": (f"{INVALID}|{OUT}", EVIL.replace("v1", "'v1 '")),
    "group in other case": (INVALID, FINE.replace("v1", "APPS/v1").replace("ConfigMap", "Deployment")),
    "old group": (INVALID, "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: x, namespace: NS}\n"),
    "explicit tag": (INVALID, EVIL.replace("kind: ", "kind: !!str ")),
    "binary tag": (INVALID, EVIL.replace("Namespace", "!!binary TmFtZXNwYWNl")),
    "tag of a language": (INVALID, "!!python/object/new:os.system [id]\n"),
    "complex key": (INVALID, f"? [a, b]\n: c\n{EVIL}"),
    "number as a key": (f"{INVALID}|{OUT}", f"1: c\n{EVIL}"),
    "tab as indent": (INVALID, "apiVersion: v1\nkind: Namespace\nmetadata:\n\tname: evil\n"),
    "template left in": (INVALID, FINE.replace("fine", "{{ .Release.Name }}")),
    "bare word of yaml 1.1": (INVALID, FINE.replace("'1'", "yes")),
    "octal of yaml 1.1": (INVALID, FINE.replace("'1'", "0777")),
    "list of one": (ASK, json.dumps({**LIST, "items": [POD]})),
    "list in a list": (ASK, json.dumps({**LIST, "items": [{**LIST, "items": [{**LIST, "items": [POD]}]}]})),
    "too many lists": (
        INVALID,
        json.dumps(
            {**LIST, "items": [{**LIST, "items": [{**LIST, "items": [{**LIST, "items": [{**LIST, "items": [POD]}]}]}]}]}
        ),
    ),
    "typed list": (f"{ASK}|{INVALID}", json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [POD]})),
    "list of another kind": (ASK, json.dumps({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [POD]})),
    "list that is an object too": (f"{ASK}|{OUT}", json.dumps({**LIST, "metadata": {"name": "x"}, "items": [POD]})),
    "list whose items are a mapping": (INVALID, json.dumps({**LIST, "items": {"0": POD}})),
    "empty list": (INVALID, json.dumps({**LIST, "items": []})),
    "list with a foreign namespace": (
        f"{INVALID}|{OUT}",
        json.dumps({**LIST, "items": [{**POD, "metadata": {"name": "x", "namespace": "kube-system"}}]}),
    ),
    "list with an object of no kind": (INVALID, json.dumps({**LIST, "items": [{"metadata": {"name": "x"}}]})),
    "pod template object": (
        OUT,
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "PodTemplate",
                "metadata": {"name": "x", "namespace": "NS"},
                "template": {"spec": HOST},
            }
        ),
    ),
    "pod within a custom resource": (
        ASK,
        json.dumps(
            {
                "apiVersion": "example.com/v1",
                "kind": "Database",
                "metadata": {"name": "x", "namespace": "NS"},
                "spec": {"pods": [{"template": {"spec": HOST}}]},
            }
        ),
    ),
    "foreign namespace": (f"{INVALID}|{OUT}", FINE.replace("NS", "OTHER")),
    "namespace with a space": (INVALID, FINE.replace("NS", "'NS '")),
    "namespace in other case": (f"{INVALID}|{OUT}", FINE.replace("NS", "Kube-System")),
    "namespace is a number": (INVALID, FINE.replace("NS", "12")),
    "namespace is a list": (INVALID, FINE.replace("NS", "[NS]")),
    "name is a path": (INVALID, FINE.replace("fine", "'../secrets/s1'")),
    "name with a query": (INVALID, FINE.replace("fine", "'a?dryRun=All'")),
    "name with an escape": (INVALID, FINE.replace("fine", "'a%2fb'")),
    "name is an option": (INVALID, FINE.replace("fine", "'--all'")),
    "no name": (INVALID, FINE.replace("name: fine, ", "")),
    "name made by the server": (INVALID, FINE.replace("name:", "generateName:")),
    "both names": (INVALID, FINE.replace("name:", "generateName: a, name:")),
    "the same object twice": (INVALID, f"{FINE}---\n{FINE}"),
    "the same object twice, one without a namespace": (INVALID, f"{FINE}---\n{FINE.replace(', namespace: NS', '')}"),
    "nothing but comments": (INVALID, "# nothing\n---\n# here\n"),
    "a text": (INVALID, "Namespace evil"),
    "a kustomization": (
        INVALID,
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../x]\n",
    ),
    "a hundred and one documents": (LARGE, "---\n".join(FINE.replace("fine", f"c{n}") for n in range(101))),
    "deep nesting": (INVALID, FINE.replace("'1'", "[" * 200 + "]" * 200)),
    "resource version of another state": (
        f"{INVALID}|conflict",
        FINE.replace("fine", "settings, resourceVersion: '1'"),
    ),
    "uid of another object": (
        f"{INVALID}|conflict",
        FINE.replace("fine", "settings, uid: 00000000-0000-0000-0000-000000000001"),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def unchanged(world):
    before = world.state()
    yield
    assert world.state() == before


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_not_certain_is_refused_whole(world, name: str) -> None:
    code, text = MANIFESTS[name]
    world.refused(code, "apply", namespace="NS", manifest=text)


def test_every_document_is_judged_though_its_name_is_that_of_another(place) -> None:
    """Two objects of one kind and name in two namespaces: each is judged by what would come of itself."""
    other = f"{place.namespace}-b"
    place.cluster.kubectl("create", "namespace", other)
    place.policy()
    text = place.installation.policy.read_text().replace(f"[{place.namespace}]", f"[{place.namespace}, {other}]", 1)
    place.installation.policy.write_text(text)
    import anyio

    def pod(namespace: str, **spec: Any) -> dict[str, Any]:
        meta = {"name": "twin", "namespace": namespace}
        return {**POD, "metadata": meta, "spec": {"containers": HOST["containers"], **spec}}

    async def attack() -> None:
        async with place.installation.agent("kubectl") as agent:
            items = [pod(place.namespace, hostPID=True), pod(other)]
            reply = await agent.call("kubectl_apply", manifest=json.dumps({**LIST, "items": items}))
            assert reply.code == "approval_required", reply.text
            items = [pod(place.namespace), pod(other)]
            reply = await agent.call("kubectl_apply", manifest=json.dumps({**LIST, "items": items}))
            assert not reply.is_error, reply.text

    anyio.run(attack)
    for namespace in (place.namespace, other):
        live = place.cluster.get("pod", "twin", namespace)
        assert live["metadata"]["namespace"] == namespace and not live["spec"].get("hostPID")
    place.cluster.kubectl("delete", "namespace", other, "--wait=false")
