"""Scaling to nothing, foreign images, deletes, local files: one effect is judged alike through whatever tool."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from attack_cluster import reached

ASK, DENIED, OUT, BAD, LARGE = "approval_required", "denied", "out_of_bounds", "invalid", "too_large"
AT = {"namespace": "NS"}


@pytest.fixture(scope="module")
def doors(world, tmp_path_factory):
    """Registries are bounded here, and `latest` is refused."""
    with reached(
        world.cluster,
        tmp_path_factory.mktemp("doors"),
        section="registries: [registry.example.com, '*.good.example.com']",
        more="rules:\n  latest: {deny: kubectl.image, where: {tag: latest}, reason: say which version}\n",
    ) as made:
        made.make(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "web"},
                "spec": {
                    "minReplicas": 1,
                    "maxReplicas": 3,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"},
                },
            },
            {"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "db"}, "spec": {"replicas": 3}},
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            },
            *(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"many{n}", "labels": {"many": "x"}}}
                for n in range(12)
            ),
        )
        before = made.state()
        yield made
        assert made.state() == before


def deployment(replicas: int | None = 2, **spec: Any) -> str:
    pod = {"containers": [{"name": "c", "image": "registry.example.com/web:1.1"}], **spec}
    made: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
    }
    if replicas is not None:
        made["replicas"] = replicas
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": made})


ZERO: dict[str, tuple[str, str, dict[str, Any]]] = {
    "scale": (DENIED, "scale", {"kind": "deploy", "name": "web", "replicas": 0}),
    "scale by another word": (DENIED, "scale", {"kind": "Deployment.apps", "name": "web", "replicas": 0}),
    "patch": (DENIED, "patch", {"kind": "deploy", "name": "web", "patch": {"spec": {"replicas": 0}}}),
    "merge patch": (
        DENIED,
        "patch",
        {"kind": "deploy", "name": "web", "type": "merge", "patch": {"spec": {"replicas": 0}}},
    ),
    "json patch": (
        DENIED,
        "patch",
        {
            "kind": "deploy",
            "name": "web",
            "type": "json",
            "patch": [{"op": "replace", "path": "/spec/replicas", "value": 0}],
        },
    ),
    "apply": (DENIED, "apply", {"manifest": deployment(0)}),
    "custom kind": (DENIED, "scale", {"kind": "dbs", "name": "db", "replicas": 0}),
    "custom kind by a patch": (
        DENIED,
        "patch",
        {"kind": "dbs", "name": "db", "type": "merge", "patch": {"spec": {"replicas": 0}}},
    ),
    "custom kind without a number": (
        DENIED,
        "patch",
        {"kind": "dbs", "name": "db", "type": "merge", "patch": {"spec": {"replicas": None}}},
    ),
    "custom kind with a text": (
        DENIED,
        "patch",
        {"kind": "dbs", "name": "db", "type": "merge", "patch": {"spec": {"replicas": "0"}}},
    ),
    "autoscaler's floor": (
        f"{DENIED}|{BAD}",
        "patch",
        {"kind": "hpa", "name": "web", "patch": {"spec": {"minReplicas": 0}}},
    ),
    "below nothing": (BAD, "scale", {"kind": "deploy", "name": "web", "replicas": -1}),
    "runaway": (ASK, "scale", {"kind": "deploy", "name": "web", "replicas": 100_000}),
    "runaway by a patch": (ASK, "patch", {"kind": "deploy", "name": "web", "patch": {"spec": {"replicas": 500}}}),
}


@pytest.mark.parametrize("name", ZERO)
def test_no_door_scales_to_nothing_or_without_end(doors, name: str) -> None:
    code, tool, arguments = ZERO[name]
    doors.refused(code, tool, **AT, **arguments)


IMAGES: dict[str, tuple[str, str]] = {
    "another registry": (OUT, "evil.example.io/web:1"),
    "name that ends alike": (OUT, "registry.example.com.evil.io/web:1"),
    "name that begins alike": (OUT, "evil-registry.example.com/web:1"),
    "port": (OUT, "registry.example.com:5000/web:1"),
    "no registry": (OUT, "web:1"),
    "registry as a folder": (OUT, "evil/registry.example.com/web:1"),
    "login before it": (f"{OUT}|{BAD}", "registry.example.com@evil.io/web:1"),
    "upper case": (f"{OUT}|{BAD}", "EVIL/web:1"),
    "address": (OUT, "10.0.0.9/web:1"),
    "localhost": (OUT, "localhost/web:1"),
    "scheme": (f"{OUT}|{BAD}", "https://registry.example.com/web:1"),
    "deeper than the glob": (OUT, "a.b.good.example.com.io/web:1"),
    "no tag": (DENIED, "registry.example.com/web"),
    "latest": (DENIED, "registry.example.com/web:latest"),
    "space": (BAD, "registry.example.com/web:1 --all"),
    "option": (BAD, "--image=x"),
    "line": (BAD, "registry.example.com/web:1\nevil.io/x:1"),
    "bidi": (BAD, "registry.example.com/\u202eweb:1"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_comes_from_the_registries_of_the_policy(doors, name: str) -> None:
    code, image = IMAGES[name]
    doors.refused(code, "set_image", kind="deploy", name="web", images={"c": image}, **AT)
    containers = {"containers": [{"name": "c", "image": image}]}
    if name not in ("space", "option", "line", "bidi"):
        doors.refused(f"{code}|{BAD}", "apply", manifest=deployment(2, **containers), **AT)
        beside = {"initContainers": [{"name": "i", "image": image}]}
        doors.refused(f"{code}|{BAD}", "apply", manifest=deployment(2, **beside), **AT)


DELETES: dict[str, tuple[str, dict[str, Any]]] = {
    "one workload": (ASK, {"kind": "deploy", "name": "web"}),
    "one bare pod": (ASK, {"kind": "pods", "name": "p1"}),
    "a volume's claim": (ASK, {"kind": "pvc", "name": "data"}),
    "a config map": (ASK, {"kind": "cm", "name": "settings"}),
    "all of a selector": (ASK, {"kind": "pods", "selector": "app=web"}),
    "all that lack a label": (f"{ASK}|{LARGE}", {"kind": "cm", "selector": "!none"}),
    "too many": (LARGE, {"kind": "cm", "selector": "many=x"}),
    "too many by negation": (LARGE, {"kind": "cm", "selector": "many notin (y),many"}),
    "a namespace": (OUT, {"kind": "ns", "name": "NS"}),
    "a secret": (OUT, {"kind": "secret", "name": "s1"}),
    "a custom kind": (OUT, {"kind": "crd", "name": "databases.example.com"}),
    "a volume": (OUT, {"kind": "pv", "name": "x"}),
    "a node": (ASK, {"kind": "node", "name": "n1"}),
    "without a name": (BAD, {"kind": "pods"}),
    "name and selector": (BAD, {"kind": "pods", "name": "p1", "selector": "app=web"}),
    "several kinds": (BAD, {"kind": "deploy,cm", "name": "web"}),
    "several kinds by selector": (BAD, {"kind": "deploy,cm", "selector": "app=web"}),
    "everything": (BAD, {"kind": "all", "selector": "app=web"}),
    "with all": (BAD, {"kind": "pods", "all": True}),
    "by force": (BAD, {"kind": "pods", "name": "p1", "force": True, "grace_period": 0}),
    "orphaned": (BAD, {"kind": "deploy", "name": "web", "cascade": "orphan"}),
    "list of names": (BAD, {"kind": "pods", "name": ["p1", "p2"]}),
}


@pytest.mark.parametrize("name", DELETES)
def test_a_delete_asks_or_is_refused(doors, name: str) -> None:
    code, arguments = DELETES[name]
    doors.refused(code, "delete", **AT, **arguments)


OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "exec": (f"{DENIED}|{BAD}", "exec", {"pod": "p1", "command": ["id"]}),
    "exec of a shell": (f"{DENIED}|{BAD}", "exec", {"pod": "p1", "command": ["sh", "-c", "cat /run/secrets/*"]}),
    "exec as one text": ("denied", "exec", {"pod": "p1", "command": "id"}),
    "exec of nothing": ("denied", "exec", {"pod": "p1", "command": []}),
    "exec with a terminal": ("denied", "exec", {"pod": "p1", "command": ["id"], "tty": True}),
    "cordon": (ASK, "cordon", {"node": "n1"}),
    "json patch that tests": (
        BAD,
        "patch",
        {
            "kind": "cm",
            "name": "settings",
            "type": "json",
            "patch": [{"op": "test", "path": "/data/password", "value": "x"}],
        },
    ),
    "json patch that copies": (
        BAD,
        "patch",
        {
            "kind": "cm",
            "name": "settings",
            "type": "json",
            "patch": [{"op": "copy", "from": "/data/password", "path": "/data/colour"}],
        },
    ),
    "json patch that moves": (
        BAD,
        "patch",
        {
            "kind": "cm",
            "name": "settings",
            "type": "json",
            "patch": [{"op": "move", "from": "/data/password", "path": "/data/colour"}],
        },
    ),
    "patch of a name": (
        f"{BAD}|conflict",
        "patch",
        {"kind": "cm", "name": "settings", "patch": {"metadata": {"name": "x"}}},
    ),
    "patch of a namespace": (
        f"{BAD}|conflict",
        "patch",
        {"kind": "cm", "name": "settings", "patch": {"metadata": {"namespace": "OTHER"}}},
    ),
    "patch of a kind": (BAD, "patch", {"kind": "cm", "name": "settings", "patch": {"kind": "Secret"}}),
    "placeholder elsewhere": (
        BAD,
        "patch",
        {"kind": "cm", "name": "settings", "patch": {"data": {"colour": "[secret:password:1]"}}},
    ),
    "undo of nothing": (BAD, "undo", {"id": "kubectl-aaaaaaa"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_for_agents_is_refused(doors, name: str) -> None:
    code, tool, arguments = OTHERS[name]
    more = AT if tool not in ("cordon", "undo") else {}
    doors.refused(code, tool, **more, **arguments)


FILES = (
    "/etc/passwd",
    "/dev/stdin",
    "-",
    "https://example.invalid/x.yaml",
    "file:///etc/passwd",
    "WORK/*.yaml",
    "WORK/../x.yaml",
    "WORK/link.yaml",
    "WORK/fifo.yaml",
    "WORK/.env",
    "WORK/absent.yaml",
    "WORK/folder",
    "~/x.yaml",
    "relative.yaml",
    "WORK/secret.txt",
    "WORK/kustomize/kustomization.yaml",
    "/proc/self/environ",
    "WORK/binary.yaml",
    "WORK/a.yaml,WORK/b.yaml",
)


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_a_manifest_within_the_roots_or_nothing(doors, path: str) -> None:
    work = doors.apart.work
    if not (work / "folder").exists():
        outside = doors.apart.folder / "outside.yaml"
        outside.write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {{a: {doors.canary}}}\n")
        (work / "link.yaml").symlink_to(outside)
        os.mkfifo(work / "fifo.yaml")
        (work / ".env").write_text(f"API_KEY={doors.canary}\n")
        (work / "secret.txt").write_text(f"{doors.canary}\n")
        (work / "binary.yaml").write_bytes(b"\xff\xfe\0")
        (work / "folder").mkdir()
        (work / "kustomize").mkdir()
        (work / "kustomize/kustomization.yaml").write_text("resources: [https://example.invalid/x.yaml]\n")
    doors.refused("invalid|out_of_bounds|protected|failed", "apply", path=path, **AT)
