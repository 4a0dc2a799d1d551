"""What an engineer on call does all day: it goes through, at once, and the answer is of use (`says`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

AT = {"namespace": "NS"}
GET: dict[str, tuple[dict[str, Any], str]] = {
    "pods": ({"kind": "pods"}, "p1"),
    "singular": ({"kind": "pod"}, "p1"),
    "short": ({"kind": "po"}, "p1"),
    "kind as in manifests": ({"kind": "Pod"}, "p1"),
    "upper case": ({"kind": "PODS"}, "p1"),
    "with its group": ({"kind": "deployments.apps"}, "web"),
    "with version and group": ({"kind": "deployments.v1.apps"}, "web"),
    "short of a group": ({"kind": "deploy"}, "web"),
    "several": ({"kind": "deploy,svc,cm"}, "settings"),
    "everything": ({"kind": "all"}, "web"),
    "kind and name in one": ({"kind": "deploy/web"}, "web"),
    "kind and name apart": ({"kind": "deploy", "name": "web"}, "web"),
    "custom kind by its group": ({"kind": "databases.example.com"}, "found"),
    "custom kind by its short name": ({"kind": "dbs"}, "found"),
    "autoscalers": ({"kind": "hpa"}, "found"),
    "nodes": ({"kind": "nodes", "namespace": ""}, "n1"),
    "one label": ({"kind": "pods", "selector": "app=web"}, "p1"),
    "label with a prefix": ({"kind": "pods", "selector": "app.kubernetes.io/name=web"}, "p1"),
    "label that differs": ({"kind": "pods", "selector": "app!=api"}, "p1"),
    "double equals": ({"kind": "pods", "selector": "app==web"}, "p1"),
    "set of labels": ({"kind": "pods", "selector": "app in (web, api),tier notin (cache)"}, "p1"),
    "label that is there": ({"kind": "pods", "selector": "app"}, "p1"),
    "label that is not there": ({"kind": "pods", "selector": "!canary"}, "p1"),
    "no such label": ({"kind": "pods", "selector": "app=none"}, "0 found"),
    "phase": ({"kind": "pods", "field_selector": "status.phase!=Failed"}, "p1"),
    "node": ({"kind": "pods", "field_selector": "spec.nodeName=n1,metadata.name=p1"}, "p1"),
    "wide": ({"kind": "pods", "output": "wide"}, "NODE"),
    "names": ({"kind": "pods", "output": "name"}, "p1"),
    "yaml": ({"kind": "deploy", "name": "web", "output": "yaml"}, "replicas: 2"),
    "json": ({"kind": "deploy", "name": "web", "output": "json"}, '"replicas":2'),
    "path": ({"kind": "deploy", "name": "web", "path": ".spec.replicas"}, "2"),
    "path in braces": ({"kind": "deploy", "name": "web", "path": "{.spec.replicas}"}, "2"),
    "path as an output": ({"kind": "deploy", "name": "web", "output": "jsonpath={.spec.replicas}"}, "2"),
    "path over items": ({"kind": "pods", "path": "{.items[*].metadata.name}"}, "p1"),
    "path of one item": ({"kind": "deploy", "path": ".items[0].metadata.name"}, "web"),
    "path with a range": (
        {"kind": "pods", "path": '{range .items[*]}{.metadata.name}{"\\t"}{.status.phase}{"\\n"}{end}'},
        "p1\t",
    ),
    "path with a filter": (
        {"kind": "deploy", "name": "web", "path": '{.spec.template.spec.containers[?(@.name=="c")].image}'},
        "web:1.1",
    ),
    "path with a filter by condition": (
        {"kind": "nodes", "name": "n1", "namespace": "", "path": "{.status.conditions[?(@.type=='Ready')].status}"},
        "True",
    ),
    "path with an escaped dot": (
        {"kind": "pods", "name": "p1", "path": r"{.metadata.labels.app\.kubernetes\.io/name}"},
        "web",
    ),
    "path with a quoted key": (
        {"kind": "pods", "name": "p1", "path": "{.metadata.labels['app.kubernetes.io/name']}"},
        "web",
    ),
    "path to the last": ({"kind": "deploy", "name": "web", "path": ".spec.template.spec.containers[-1].name"}, "c"),
    "path with a slice": ({"kind": "deploy", "name": "web", "path": "{.spec.template.spec.containers[0:1].name}"}, "c"),
    "path at any depth": ({"kind": "deploy", "name": "web", "path": "{..image}"}, "web:1.1"),
    "several paths with words": (
        {"kind": "deploy", "name": "web", "path": "{.metadata.name} has {.spec.replicas}"},
        "web has 2",
    ),
    "columns": (
        {"kind": "pods", "output": "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image"},
        "web:1.1",
    ),
    "sorted by a path": ({"kind": "pods", "sort_by": ".metadata.creationTimestamp"}, "p1"),
    "sorted by a path in braces": ({"kind": "pods", "sort_by": "{.metadata.name}"}, "p1"),
    "sorted by restarts": ({"kind": "pods", "sort_by": ".status.containerStatuses[0].restartCount"}, "p1"),
    "sorted by a column": ({"kind": "pods", "sort_by": "age"}, "p1"),
    "a few": ({"kind": "pods", "limit": 1}, "cursor="),
    "what a field means": ({"kind": "deployment", "path": "spec.strategy", "output": "explain"}, "RollingUpdate"),
    "what a kind means": ({"kind": "cm", "output": "explain"}, "ConfigMap"),
    "words in a config map": ({"kind": "cm", "name": "settings", "output": "yaml"}, "colour: green"),
    "environment that is no secret": ({"kind": "pods", "name": "p1", "output": "yaml"}, "value: fast"),
}


@pytest.mark.parametrize("name", GET)
def test_reading(world, name: str) -> None:
    arguments, says = GET[name]
    assert says in world.done("get", **{**AT, **arguments}).text


READS: dict[str, tuple[str, dict[str, Any], str]] = {
    "describe": ("describe", {"kind": "deploy", "name": "web"}, "StrategyType"),
    "describe in one word": ("describe", {"kind": "pod", "name": "p1"}, "registry.example.com/web:1.1"),
    "describe a node": ("describe", {"kind": "node", "name": "n1", "namespace": ""}, "Capacity"),
    "logs": ("logs", {"pod": "p1"}, "started"),
    "logs of a workload": ("logs", {"pod": "deploy/web"}, "started"),
    "logs of a container": ("logs", {"pod": "p1", "container": "c", "tail": 5}, "started"),
    "logs of the last hour": ("logs", {"pod": "pod/p1", "since": "1h"}, "p1"),
    "logs with a word": ("logs", {"pod": "p1", "contains": "star"}, "started"),
    "events": ("events", {}, "events"),
    "warnings of one": ("events", {"about": "deploy/web", "warnings": True}, "events"),
    "rollout": ("rollout_status", {"kind": "deploy", "name": "web", "wait": 20}, "web"),
}


@pytest.mark.parametrize("name", READS)
def test_looking_closer(world, name: str) -> None:
    tool, arguments, says = READS[name]
    assert says in world.done(tool, **{**AT, **arguments}).text


def workload(name: str, replicas: int = 2, image: str = "registry.example.com/web:1.1", **spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": image, **spec}]}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "NS"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: work, namespace: NS}\ndata: {a: '1'}\n"
SAFE = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    "env": [
        {"name": "MODE", "value": "fast"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
}
APPLIES: dict[str, str] = {
    "a config map": CONFIG,
    "with the namespace of the call": CONFIG.replace(", namespace: NS", "").replace("work", "work2"),
    "windows line ends": CONFIG.replace("work", "work3").replace("\n", "\r\n"),
    "with a byte order mark": "\ufeff" + CONFIG.replace("work", "work4"),
    "begun by a mark": "---\n" + CONFIG.replace("work", "work5"),
    "ended by a mark": CONFIG.replace("work", "work6") + "---\n",
    "with comments": "# why\n" + CONFIG.replace("work", "work7") + "# and more\n",
    "marks within a text": CONFIG.replace("work", "work8").replace("{a: '1'}", "\n  a: |\n    one\n    ---\n    two"),
    "script with shell words": CONFIG.replace("work", "work9").replace(
        "{a: '1'}", '\n  run.sh: |\n    #!/bin/sh\n    set -e; rm -rf "$TMP" && kubectl get pods | sort'
    ),
    "two documents": CONFIG.replace("work", "work10") + "---\n" + CONFIG.replace("work", "work11"),
    "json": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "work12", "namespace": "NS"}}),
    "list": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "work13", "namespace": "NS"}}],
        }
    ),
    "a deployment": json.dumps(workload("work14")),
    "a careful deployment": json.dumps(workload("work15", **SAFE)),
    "a service": "apiVersion: v1\nkind: Service\nmetadata: {name: work16, namespace: NS}\n"
    "spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}\n",
    "a headless service": "apiVersion: v1\nkind: Service\nmetadata: {name: work17, namespace: NS}\n"
    "spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}\n",
    "prose about passwords": CONFIG.replace("work", "work18").replace(
        "'1'", "'the password policy is in the handbook'"
    ),
    "other scripts of the world": CONFIG.replace("work", "work19").replace("'1'", "'größer, 日本語, привет'"),
    "numbers and booleans in quotes": CONFIG.replace("work", "work20").replace("'1'", "'yes', b: '0777', c: 'null'"),
    "a cron job": json.dumps(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "work21", "namespace": "NS"},
            "spec": {
                "schedule": "*/5 * * * *",
                "jobTemplate": {
                    "spec": {
                        "template": {
                            "spec": {
                                "restartPolicy": "Never",
                                "containers": [{"name": "c", "image": "registry.example.com/job:1"}],
                            }
                        }
                    }
                },
            },
        }
    ),
}


@pytest.mark.parametrize("name", APPLIES)
def test_applying(world, name: str) -> None:
    tried = world.done("apply", **AT, manifest=APPLIES[name], dry_run=True)
    assert "work" in tried.text
    assert "missing" in world.done("diff", **AT, manifest=APPLIES[name]).text
    assert "create" in world.done("apply", **AT, manifest=APPLIES[name]).text


CHANGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "scale up": ("scale", {"kind": "deploy", "name": "chg", "replicas": 4}, "2 -> 4"),
    "scale by one word": ("scale", {"kind": "deploy/chg", "name": "", "replicas": 3}, "4 -> 3"),
    "restart": ("rollout", {"kind": "deploy", "name": "chg", "action": "restart"}, "restart"),
    "pause": ("rollout", {"kind": "deploy", "name": "chg", "action": "pause"}, "pause"),
    "resume": ("rollout", {"kind": "deploy", "name": "chg", "action": "resume"}, "resume"),
    "new image": (
        "set_image",
        {"kind": "deploy", "name": "chg", "images": {"c": "registry.example.com/web:1.2"}},
        "1.2",
    ),
    "image by digest": (
        "set_image",
        {"kind": "deploy", "name": "chg", "images": {"c": "registry.example.com:5000/t/web@sha256:" + "a" * 64}},
        "sha256",
    ),
    "back again": ("rollout", {"kind": "deploy", "name": "chg", "action": "undo"}, "revision"),
    "strategic patch": (
        "patch",
        {
            "kind": "deploy",
            "name": "chg",
            "patch": {
                "spec": {
                    "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "50m"}}}]}}
                }
            },
        },
        "cpu",
    ),
    "merge patch": (
        "patch",
        {"kind": "cm", "name": "chg", "type": "merge", "patch": {"data": {"b": "2", "a": None}}},
        "b",
    ),
    "json patch": (
        "patch",
        {
            "kind": "cm",
            "name": "chg",
            "type": "json",
            "patch": [
                {"op": "add", "path": "/data/c", "value": "3"},
                {"op": "replace", "path": "/data/b", "value": "9"},
            ],
        },
        "c",
    ),
    "label": ("patch", {"kind": "deploy", "name": "chg", "patch": {"metadata": {"labels": {"team": "a"}}}}, "team"),
    "annotation": (
        "patch",
        {"kind": "deploy", "name": "chg", "patch": {"metadata": {"annotations": {"example.com/why": "incident 12"}}}},
        "why",
    ),
    "option of a program": (
        "patch",
        {
            "kind": "deploy",
            "name": "secretive",
            "patch": {"spec": {"template": {"spec": {"containers": [{"name": "c", "args": ["--log-level=debug"]}]}}}},
        },
        "debug",
    ),
    "image where a secret is read": (
        "set_image",
        {"kind": "deploy", "name": "secretive", "images": {"c": "registry.example.com/web:1.3"}},
        "1.3",
    ),
    "replicas where a secret is read": ("scale", {"kind": "deploy", "name": "secretive", "replicas": 3}, "3"),
    "a label of a custom object": (
        "patch",
        {"kind": "dbs", "name": "chg", "type": "merge", "patch": {"spec": {"size": 3}}},
        "size",
    ),
    "a dry run": (
        "patch",
        {"kind": "deploy", "name": "chg", "patch": {"spec": {"minReadySeconds": 9}}, "dry_run": True},
        "9",
    ),
}


@pytest.fixture(scope="module")
def changing(world):
    secretive = workload("secretive")
    secretive["spec"]["template"]["spec"] |= {
        "serviceAccountName": "web",
        "containers": [
            {"name": "c", "image": "registry.example.com/web:1", "envFrom": [{"secretRef": {"name": "s1"}}]}
        ],
    }
    world.make(
        workload("chg"),
        secretive,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chg"}, "data": {"a": "1"}},
        {"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "chg"}, "spec": {"size": 1}},
    )
    world.until(
        lambda: world.live("/apis/apps/v1/namespaces/NS/deployments/chg").get("status", {}).get("observedGeneration"),
        "chg",
    )
    return world


@pytest.mark.parametrize("name", CHANGES)
def test_changing(changing, name: str) -> None:
    tool, arguments, says = CHANGES[name]
    assert says in changing.done(tool, **AT, **arguments).text
