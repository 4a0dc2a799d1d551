"""Who the cluster sees: plugins that look under HOME, impersonation, tokens of ten minutes. None reaches the agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster.control_plane import TOKENS

pytestmark = pytest.mark.anyio
PLUGIN = """#!/bin/sh
# reads its own settings under HOME, starts a helper, and complains on stderr as plugins do
token=$(cat "$HOME/.cloud/session")
echo "using $token" >&2
cat "$HOME/config/interlock/policy.yaml" > /dev/null 2>&1 && token=stolen
cat "$HOME"/config/interlock/keys/* "$HOME"/state/* > /dev/null 2>&1 && token=stolen
[ -n "$MODE" ] || exit 3
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$token"
"""


def config(place, name: str, user: dict) -> Path:
    """A kubeconfig of the test cluster for another user."""
    made = json.loads(place.cluster.kubeconfig.read_text())
    made["users"][0]["user"] = user
    path = place.installation.folder / f"{name}.kubeconfig"
    path.write_text(json.dumps(made))
    path.chmod(0o600)
    return path


def plugin(place, token: str, mode: str = "on", folder: str = "bin") -> Path:
    home = place.installation.folder
    for path, text in ((home / folder / "cloud-login", PLUGIN), (home / ".cloud" / "session", token)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o700)
    place.installation.variables["PATH"] = f"{home / folder}:{place.installation.variables['PATH']}"
    env = [{"name": "MODE", "value": mode}]
    call = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cloud-login", "env": env}
    return config(place, "plugin", {"exec": {**call, "interactiveMode": "Never"}})


@pytest.mark.parametrize("folder", ["bin", "", "config"])  # also where Interlock's own lies beside it
async def test_a_plugin_finds_what_it_keeps_under_home_and_nothing_of_interlock(place, folder):
    if place.cluster.plane is None:
        pytest.skip("needs the test cluster's own users")
    token = TOKENS["admin"][0]
    place.policy(kubeconfig=plugin(place, token, folder=folder))
    async with place.installation.agent("kubectl") as agent:
        at = {"kind": "deploy", "name": "web", "namespace": place.namespace}
        replies = [
            await agent.call("kubectl_get", **at),
            await agent.call("kubectl_describe", **at),
            await agent.call("kubectl_scale", replicas=3, **at),
        ]
        absent = await agent.call("kubectl_get", kind="deploy", name="absent", namespace=place.namespace)
    for reply in replies:
        assert not reply.is_error, reply.text
    assert "NotFound" in absent.text or "not found" in absent.text, absent.text
    assert not any(token in reply.text for reply in (*replies, absent))
    records = "".join(path.read_text() for path in place.installation.home.rglob("*.jsonl"))
    assert records and token not in records


async def test_what_a_failing_plugin_says_is_not_shown(place):
    place.policy(kubeconfig=plugin(place, "not-to-" + "be-seen-77", mode=""))
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_get", kind="pods", namespace=place.namespace)
    assert reply.code == "failed" and "exit code 3" in reply.text, reply.text
    assert "be-seen" not in reply.text and "using" not in reply.text


async def test_impersonation_is_bounded_by_the_clusters_own_rights(place):
    role, name = f"role-{place.namespace}", f"bot-{place.namespace}"
    place.kubectl("create", "role", role, "--verb=get,list", "--resource=pods")
    place.kubectl("create", "rolebinding", role, f"--role={role}", f"--user={name}")
    place.policy(context=f"impersonate: {name}")
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        pods = await agent.call("kubectl_get", kind="pods", **at)
        other = await agent.call("kubectl_get", kind="deploy", **at)
        change = await agent.call("kubectl_scale", kind="deploy", name="web", replicas=3, **at)
    checked = place.installation.cli("rbac", "--check")
    assert not pods.is_error, pods.text
    for reply in (other, change):
        assert reply.is_error and "forbidden" in reply.text and name in reply.text, reply.text
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert place.get("deployment", "web")["spec"]["replicas"] == 2


async def test_tokens_of_ten_minutes_carry_a_service_accounts_rights_alone(place):
    account = f"{place.namespace}/bot"
    place.kubectl("create", "serviceaccount", "bot")
    place.kubectl("create", "role", "bot", "--verb=get,list,update", "--resource=pods,deployments")
    place.kubectl("create", "rolebinding", "bot", "--role=bot", f"--serviceaccount={place.namespace}:bot")
    place.policy(context=f"service_account: {account}")
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        pods = await agent.call("kubectl_get", kind="pods", **at)
        scaled = await agent.call("kubectl_scale", kind="deploy", name="web", replicas=3, **at)
        other = await agent.call("kubectl_get", kind="cm", **at)
        place.kubectl("delete", "serviceaccount", "bot")
        after = await agent.call("kubectl_get", kind="pods", **at)
    assert not pods.is_error and not scaled.is_error, pods.text + scaled.text
    assert other.is_error and f"system:serviceaccount:{place.namespace}:bot" in other.text, other.text
    assert after.is_error and "bot" in after.text, after.text
    kept = [one.read_text() for one in place.installation.folder.rglob("minting-*.kubeconfig")]
    assert kept and TOKENS["admin"][0] not in kept[0] and "ey" + "J" not in kept[0]
