"""What holds around the calls: silent clusters, proxies, several contexts, RBAC, cut-off changes, odd answers."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from interlock.kubectl import running, undo
from interlock.kubectl.discovery import Resource
from interlock.kubectl.objects import Target
from interlock.kubectl.plans import Plan, Step, read, written

from .relay import relayed

pytestmark = pytest.mark.anyio
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)


@contextmanager
def listening() -> Iterator[tuple[int, list[int]]]:
    """A port that accepts and never says a word; and how often it was connected to."""
    seen: list[int] = []
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return
                seen.append(1)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1], seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in kept:
                one.close()


def kubeconfig(path: Path, **cluster: str) -> Path:
    entry = {"name": "test", "cluster": cluster}
    context = {"name": "test", "context": {"cluster": "test", "user": "u"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [entry], "contexts": [context], "users": users}
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path


def point(installation, config: Path) -> None:
    text = f"kubectl:\n  kubeconfig: {config}\n  contexts: {{test: {{namespaces: [team-a]}}}}\n"
    installation.write_policy(more=text)


async def test_a_cluster_that_stays_silent_is_told_soon(installation):
    with listening() as (port, _):
        point(installation, kubeconfig(installation.folder / "kc", server=f"https://127.0.0.1:{port}"))
        async with installation.agent("kubectl") as agent:
            begun = time.monotonic()
            reply = await agent.call("kubectl_get", kind="pods", namespace="team-a")
            spent = time.monotonic() - begun
            alive = await agent.call("kubectl_guard")
    assert reply.code == "failed" and "did not answer within 4 s" in reply.text, reply.text
    assert spent < 15 and not alive.is_error  # it is 4 s; the machine may be busy


async def test_a_cluster_that_falls_silent_holds_no_call_for_long(place):
    with relayed(place.cluster.kubeconfig, place.installation.folder) as (config, relay):
        place.policy(kubectl="timeout: 5s", kubeconfig=config)
        async with place.installation.agent("kubectl") as agent:
            at = {"namespace": place.namespace}
            before = await agent.call("kubectl_get", kind="pods", **at)
            relay.silent.set()
            first = await agent.call("kubectl_get", kind="pods", **at)
            again = await agent.call("kubectl_describe", kind="deploy", name="web", **at)
            change = await agent.call("kubectl_scale", kind="deploy", name="web", replicas=3, **at)
            relay.silent.clear()
            after = await agent.call("kubectl_get", kind="pods", **at)
            scaled = await agent.call("kubectl_scale", kind="deploy", name="web", replicas=3, **at)
    assert not before.is_error and not after.is_error and not scaled.is_error, after.text + scaled.text
    assert first.code == "failed" and "did not answer within 5 s" in first.text, first.text
    assert again.code == change.code == "failed"
    assert "within 4 s" in again.text and "within 4 s" in change.text, again.text + change.text


async def test_a_cancelled_call_lets_go_of_a_silent_cluster(place):
    with relayed(place.cluster.kubeconfig, place.installation.folder) as (config, relay):
        place.policy(kubectl="timeout: 5m", kubeconfig=config)
        async with place.installation.agent("kubectl") as agent:
            await agent.call("kubectl_get", kind="pods", namespace=place.namespace)
            relay.silent.set()
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(agent.call, "kubectl_get", kind="pods", namespace=place.namespace))
                    await anyio.to_thread.run_sync(relay.heard.wait)
                    tasks.cancel_scope.cancel()
                relay.silent.clear()
                alive = await agent.call("kubectl_get", kind="pods", namespace=place.namespace)

            def recorded() -> bool:
                return "cancelled" in place.installation.cli("audit", "tail", "--json").stdout

            await anyio.to_thread.run_sync(place.cluster.until, recorded, "the cancelled call does not end")
    assert not alive.is_error, alive.text


async def test_a_proxy_in_the_kubeconfig_is_not_used_unless_the_policy_says_so(installation):
    with listening() as (port, seen):
        config = kubeconfig(
            installation.folder / "kc", **{"server": "https://127.0.0.1:1", "proxy-url": f"http://127.0.0.1:{port}"}
        )
        point(installation, config)
        async with installation.agent("kubectl") as agent:
            reply = await agent.call("kubectl_get", kind="pods", namespace="team-a")
    assert reply.code == "out_of_bounds" and "proxy" in reply.text and not seen


async def test_a_missing_kubeconfig_or_context_is_a_clear_error(installation):
    for config in (
        installation.folder / "nowhere",
        kubeconfig(installation.folder / "kc", server="https://127.0.0.1:1"),
    ):
        text = f"kubectl:\n  kubeconfig: {config}\n  contexts: {{other: {{namespaces: [team-a]}}}}\n"
        installation.write_policy(more=text)
        async with installation.agent("kubectl") as agent:
            reply = await agent.call("kubectl_get", kind="pods", namespace="team-a")
        assert reply.code == "guard_failure" and "kubeconfig" in reply.text, reply.text


async def test_several_contexts_each_with_its_profile(place):
    config = json.loads(place.cluster.kubeconfig.read_text())
    config["contexts"].append({**config["contexts"][0], "name": "prod"})
    path = place.installation.folder / "two.kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    text = f"kubectl:\n  kubeconfig: {path}\n  contexts:\n    test: {{namespaces: [{place.namespace}]}}\n"
    text += f"    prod: {{profile: readonly, namespaces: [{place.namespace}]}}\n"
    place.installation.write_policy(more=text)
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "deploy", "name": "web", "namespace": place.namespace, "replicas": 3}
        unnamed = await agent.call("kubectl_scale", **at)
        prod = await agent.call("kubectl_scale", context="prod", **at)
        done = await agent.call("kubectl_scale", context="test", **at)
        absent = await agent.call("kubectl_get", context="nope", kind="pods", namespace=place.namespace)
    assert unnamed.code == "invalid" and prod.code == "denied" and absent.code == "out_of_bounds"
    assert not done.is_error and done.text.splitlines()[1].startswith(f"test/{place.namespace}/"), done.text


async def test_the_printed_roles_are_enough_and_no_more(place):
    if place.cluster.plane is None:
        pytest.skip("needs the test cluster's own users")
    place.policy(kubectl="kinds: [pods, deployments, configmaps]")
    printed = place.installation.cli("rbac").stdout
    manifests = printed.partition("\n")[2]
    assert "secrets" not in printed and "pods/exec" not in printed
    assert "created" in place.cluster.kubectl("apply", "-f", "-", input=manifests)
    token = place.kubectl("create", "token", "interlock").strip()
    config = json.loads(place.cluster.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    path = place.installation.folder / "bot.kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    policy = place.installation.policy
    policy.write_text(policy.read_text().replace(str(place.cluster.kubeconfig), str(path)))
    enough = place.installation.cli("rbac", "--check")
    place.kubectl("create", "role", "more", "--verb=get", "--resource=secrets")
    place.kubectl("create", "rolebinding", "more", "--role=more", f"--serviceaccount={place.namespace}:interlock")
    beyond = place.installation.cli("rbac", "--check")
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "deploy", "name": "web", "namespace": place.namespace}
        table = await agent.call("kubectl_get", **at)
        scaled = await agent.call("kubectl_scale", replicas=3, **at)
        status = await agent.call("kubectl_rollout_status", **at)
        back = await agent.call("kubectl_undo", id=scaled.id)
    place.cluster.kubectl("delete", "clusterrole,clusterrolebinding", "interlock")
    assert enough.returncode == 0, enough.stdout
    assert beyond.returncode == 1 and "secrets: get" in beyond.stdout, beyond.stdout
    assert not any(one.is_error for one in (table, scaled, status, back)), scaled.text + status.text + back.text


# ---------------------------------------------------------------- cut off in flight


class OneObject:
    """A cluster of one object, to put a change that was cut off into any state."""

    def __init__(self, live: dict | None) -> None:
        self.live = live

    def find(self, context: str, path: str) -> dict | None:
        return self.live

    def send(self, verb: str, context: str, path: str, body: dict, **_: object) -> dict:
        self.live = None if verb == "delete" else {**body, "metadata": {**body.get("metadata", {})}}
        return self.live or {}


class Kept:
    def __init__(self, plan: Plan) -> None:
        self.state = json.loads(json.dumps(written(plan)))

    def load(self) -> dict:
        return self.state


def web(replicas: int, uid: str = "u1") -> dict:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas},
        "metadata": {"name": "web", "namespace": "a", "uid": uid, "resourceVersion": str(replicas)},
    }  # fmt: skip


TARGET = Target("test", DEPLOYMENTS, "a", "web")


@pytest.mark.parametrize(
    ("verb", "before", "after", "live", "outcome"),
    [
        ("replace", web(2), web(3), web(3), "done"),
        ("replace", web(2), web(3), web(2), "failed"),
        ("replace", web(2), web(3), web(9), "unknown"),
        ("replace", web(2), web(3), web(3, "u2"), "unknown"),
        ("delete", web(2), None, None, "done"),
        ("delete", web(2), None, web(2), "failed"),
        ("delete", web(2), None, web(2, "u2"), "done"),
        ("create", None, web(3), None, "failed"),
        ("create", None, web(3), web(3, "u9"), "done"),
        ("create", None, web(3), web(7, "u9"), "unknown"),
    ],
)
def test_a_change_that_was_cut_off_is_judged_by_the_world(verb, before, after, live, outcome):
    plan = Plan("test", [Step(verb, TARGET, before, after, body=after or {})])
    assert undo.settle(OneObject(live), Kept(plan)).value == outcome  # type: ignore[arg-type]


def test_what_is_written_is_read_again():
    plan = Plan("test", [Step("replace", TARGET, web(2), web(3), made=web(3))], children=[web(1)])
    assert written(read(json.loads(json.dumps(written(plan))))) == written(plan)
    assert running.bare({**web(2), "status": {}}) == web(2)


async def test_a_server_that_is_killed_leaves_a_change_that_can_be_undone(place):
    """kill -9 at different moments of a scale: the old state or the new, and a record that says which."""
    outcomes = set()
    for turn, pause in enumerate((0.05, 0.25, 0.45, 0.8)):
        wanted = 3 + turn
        before = place.get("deployment", "web")["spec"]["replicas"]
        cut = Cut(place, wanted, pause)
        cut.run()
        async with place.installation.agent("kubectl") as agent:  # its start settles what was cut off
            listed = json.loads(place.installation.cli("changes", "--json").stdout or "[]")
            now = place.get("deployment", "web")["spec"]["replicas"]
            mine = [one for one in listed if one.get("status") in ("permitted", "unknown")]
            assert now in (before, wanted) and not mine, (now, mine)
            outcomes.add(now == wanted)
            assert not (await agent.call("kubectl_get", kind="deploy", namespace=place.namespace)).is_error
    assert outcomes


class Cut:
    """A server process of which nothing is left after `pause` seconds of a scale."""

    def __init__(self, place, replicas: int, pause: float) -> None:
        self.place, self.replicas, self.pause = place, replicas, pause

    def run(self) -> None:
        import subprocess
        import sys

        command = [sys.executable, "-m", "interlock.admin.main", "serve", "kubectl"]
        process = subprocess.Popen(
            command, env=self.place.installation.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        arguments = {"kind": "deploy", "name": "web", "namespace": self.place.namespace, "replicas": self.replicas}
        for message in (
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "kubectl_scale", "arguments": arguments}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
            if message.get("id") == 1:
                process.stdout.readline()
        time.sleep(self.pause)
        os.kill(process.pid, 9)
        process.wait()
        process.stdin.close()
        process.stdout.close()
