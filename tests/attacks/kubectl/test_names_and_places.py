"""Names, kinds, namespaces and contexts spelled so that a check and the cluster read them apart: refused, nothing read.

CVE-2026-39884, -47250, -61459 and their followers: every field in turn; CVE-2025-53355: words of a shell in names.
"""

from __future__ import annotations

from typing import Any

import pytest

BAD, OUT = "invalid", "out_of_bounds"
BOTH = f"{BAD}|{OUT}"
KINDS: dict[str, str] = {  # a kind out of bounds, in every spelling
    "secrets": OUT,
    "secret": OUT,
    "Secret": OUT,
    "SECRETS": OUT,
    "sEcReTs": OUT,
    "secrets.v1.": BOTH,
    "secrets.v1": BOTH,
    "secrets.": BOTH,
    "secret/s1": OUT,
    "secrets/s1/": BAD,
    "v1/secrets": BOTH,
    "pods,secrets": OUT,
    "secrets,pods": OUT,
    "pods,,secrets": BAD,
    "pods,secrets,": BAD,
    " secrets": BAD,
    "secrets ": BAD,
    "pods secrets": BAD,
    "pods;secrets": BAD,
    "\u017fecrets": BAD,
    "secre\u0442s": BAD,
    "secrets\u200b": BAD,
    "\uff53ecrets": BAD,
    "secrets\n": BAD,
    "secrets\x00": BAD,
    "all,secrets": OUT,
    "sa": "",
    "clusterroles": OUT,
    "clusterrolebindings.rbac.authorization.k8s.io": OUT,
    "ns": OUT,
    "namespaces": OUT,
    "pv": OUT,
    "crd": OUT,
    "csr": OUT,
    "leases": OUT,
    "controllerrevisions": OUT,
    "roles": OUT,
    "pods/exec": f"{BOTH}|failed",
    "pods/p1/exec": BAD,
    "pods/log": f"{BOTH}|failed",
    "nodes/proxy": f"{BOTH}|failed",
    "serviceaccounts/token": f"{BOTH}|failed",
    "*": BAD,
    "**": BAD,
    "pods/*": BAD,
    "..": BAD,
    "pods/../secrets": BAD,
    "pods%2f..%2fsecrets": BAD,
    "secrets?limit=1": BAD,
    "pods#": BAD,
    "-A": BAD,
    "--raw": BAD,
    "-f": BAD,
    "": BAD,
    "pods --all-namespaces": BAD,
    "componentstatuses": OUT,
    "validatingadmissionpolicies": OUT,
    "priorityclasses": OUT,
    "storageclasses": OUT,
    "apiservices": OUT,
}


@pytest.mark.parametrize("kind", [kind for kind, code in KINDS.items() if code])
def test_a_kind_out_of_bounds_is_not_read_in_any_spelling(world, kind: str) -> None:
    name = {} if "/" in kind or "," in kind or kind == "all" else {"name": "s1"}
    tool = ("get", "describe", "get")[len(kind) % 3]
    if tool == "describe" and "/" not in kind and "," not in kind:
        world.refused(KINDS[kind], "describe", kind=kind, namespace="NS", name="s1")
    else:
        world.refused(KINDS[kind], "get", kind=kind, namespace="NS", output="yaml", **name)


NAMES = (
    "-A",
    "--all",
    "-sEVIL",
    "p1 --all",
    "p1;id",
    "$(id)",
    "`id`",
    "p1|sh",
    "p1&&id",
    "p1\nid",
    "p1\r",
    "p1\x00",
    "p1\t",
    "../s1",
    "..",
    "./p1",
    "p1/../s1",
    "p1%2e%2e",
    "p1?x=1",
    "p1#",
    "P1",
    "p\u0131",
    "p1\u200b",
    "\u202ep1",
    "p1.",
    ".p1",
    "p1..x",
    "*",
    "p*",
    "{p1,p2}",
    "p" * 300,
    "p1,p2",
    "p1 p2",
    "@p1",
    "=p1",
    "p1=",
    "'p1'",
    '"p1"',
    "~",
    "/etc/passwd",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_name_is_refused_by_every_tool(world, name: str) -> None:
    tries: tuple[tuple[str, dict[str, Any]], ...] = (
        ("get", {"kind": "pods", "name": name}),
        ("logs", {"pod": "p1", "container": name}),
        ("delete", {"kind": "pods", "name": name}),
        ("logs", {"pod": name}),
        ("scale", {"kind": "deploy", "name": name, "replicas": 2}),
        ("set_image", {"kind": "deploy", "name": "web", "images": {name: "registry.example.com/x:1"}}),
    )
    for tool, arguments in tries[NAMES.index(name) % 3 :: 3]:
        world.refused(BOTH, tool, namespace="NS", **arguments)
    world.refused(BOTH, "cordon", node=name)


NAMESPACES = (
    "kube-system",
    "OTHER",
    "Kube-System",
    "*",
    "default",
    "NS/../kube-system",
    "NS ",
    " NS",
    "NS,kube-system",
    "NS\n",
    "NS*",
    "--all-namespaces",
    "-A",
    "NS\u200b",
    "NS%2f..",
    "NS-",
    "NS.",
    "",
    "all",
    "team-*",
    "NS\x00",
    "{NS,default}",
)
READS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("get", {"kind": "pods"}),
    ("describe", {"kind": "pods", "name": "p1"}),
    ("logs", {"pod": "p1"}),
    ("events", {}),
    ("diff", {"manifest": "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}"}),
    ("rollout_status", {"kind": "deploy", "name": "web", "wait": 0}),
    ("scale", {"kind": "deploy", "name": "web", "replicas": 3}),
    ("rollout", {"kind": "deploy", "name": "web", "action": "restart"}),
    ("patch", {"kind": "cm", "name": "c", "patch": {"a": 1}}),
    ("delete", {"kind": "pods", "name": "p1"}),
    ("apply", {"manifest": "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}"}),
)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_no_tool_leaves_the_namespaces_of_the_policy(world, namespace: str) -> None:
    for tool, arguments in READS:
        world.refused(BOTH, tool, namespace=namespace, **arguments)


FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "selector as an option": ("get", {"kind": "pods", "selector": "--server=http://127.0.0.1:9"}),
    "selector of a shell": ("get", {"kind": "pods", "selector": "app=$(id)"}),
    "selector with a line": ("get", {"kind": "pods", "selector": "app=web\n--all-namespaces"}),
    "field selector as an option": ("get", {"kind": "pods", "field_selector": "-A"}),
    "order as an option": ("get", {"kind": "pods", "sort_by": "--server=x"}),
    "order by a template": ("get", {"kind": "pods", "sort_by": "{{.x}}"}),
    "path that runs": ("get", {"kind": "pods", "path": "{.x | base64decode}"}),
    "path that never ends": ("get", {"kind": "pods", "path": "{range .items[*]}{.x}"}),
    "path too long": ("get", {"kind": "pods", "path": ".a" * 600}),
    "output of a file": ("get", {"kind": "pods", "output": "jsonpath-file=/etc/passwd"}),
    "output of a template file": ("get", {"kind": "pods", "output": "templatefile=/etc/passwd"}),
    "cursor of somebody's": ("get", {"kind": "pods", "cursor": "../../x"}),
    "context of another": ("get", {"kind": "pods", "context": "prod"}),
    "context in other case": ("get", {"kind": "pods", "context": "TEST"}),
    "context with a space": ("get", {"kind": "pods", "context": "test "}),
    "context as an option": ("get", {"kind": "pods", "context": "--kubeconfig=/x"}),
    "span as an option": ("logs", {"pod": "p1", "since": "--previous"}),
    "span of centuries": ("logs", {"pod": "p1", "since": "99999999h"}),
    "events about an option": ("events", {"about": "-A"}),
    "events about a foreign kind": ("events", {"about": "secret/s1"}),
    "explaining a path": ("get", {"kind": "pods", "output": "explain", "path": "--output=x"}),
    "unknown field": ("get", {"kind": "pods", "all_namespaces": True}),
    "insecure": ("get", {"kind": "pods", "insecure_skip_tls_verify": True}),
    "as somebody else": ("get", {"kind": "pods", "as": "system:admin"}),
    "kubeconfig": ("get", {"kind": "pods", "kubeconfig": "/tmp/x"}),
    "environment": ("get", {"kind": "pods", "env": {"HTTPS_PROXY": "http://127.0.0.1:9"}}),
    "subresource": ("get", {"kind": "pods", "name": "p1", "subresource": "exec"}),
    "number for a name": ("get", {"kind": "pods", "name": 5}),
    "list for a kind": ("get", {"kind": ["pods"]}),
    "text for a flag": ("logs", {"pod": "p1", "previous": "true"}),
    "limit below nothing": ("get", {"kind": "pods", "limit": -1}),
    "tail without end": ("logs", {"pod": "p1", "tail": 10**9}),
    "status of a config map": ("rollout_status", {"kind": "cm", "name": "settings"}),
    "logs of a config map": ("logs", {"pod": "cm/settings"}),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_never_more_than_itself(world, name: str) -> None:
    tool, arguments = FIELDS[name]
    world.refused(f"{BOTH}|failed", tool, namespace="NS", **arguments)


@pytest.mark.parametrize(
    "tool",
    [
        "raw",
        "generic",
        "exec_in_pod",
        "port_forward",
        "proxy",
        "attach",
        "cp",
        "debug",
        "run",
        "config",
        "edit",
        "replace",
        "auth",
        "plugin",
        "create_token",
        "certificate",
        "label",
        "annotate",
        "expose",
        "autoscale",
        "taint",
        "wait",
        "kustomize",
    ],
)
def test_there_is_no_tool_for_command_lines(world, tool: str) -> None:
    answer = world.peer.wait(world.peer.start(f"kubectl_{tool}", args=["get", "--raw", "/api/v1/secrets"]))
    said = str(answer.get("error") or answer["result"])
    assert "error" in answer or answer["result"]["isError"]
    world.holds(said)


def test_a_node_tells_nothing_of_other_namespaces(world) -> None:
    text = world.done("describe", kind="node", name="n1").text
    assert world.namespace in text
    assert world.outside not in text and "kube-system" not in text
