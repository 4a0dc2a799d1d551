"""The same calls through an old kubectl and the newest: what the server needs of the program is the same in both."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .conftest import KUBECTL

pytestmark = pytest.mark.anyio
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: '1'}\n"


def old() -> Path | None:
    """kubectl 1.32: the one that INTERLOCK_TEST_KUBECTL_OLD names, or one beside the machine's, as SDKs install it."""
    named, own = os.environ.get("INTERLOCK_TEST_KUBECTL_OLD"), shutil.which("kubectl")
    beside = Path(own).resolve().with_name("kubectl.1.32") if own else None
    found = Path(named) if named else beside
    return found if found is not None and found.exists() else None


@pytest.fixture(params=["1.32", "newest"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with that kubectl alone in it."""
    if request.param == "newest":
        return Path(KUBECTL).parent
    found = old()
    if found is None:
        pytest.skip("no kubectl 1.32 here: INTERLOCK_TEST_KUBECTL_OLD names one")
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(found, folder / "kubectl")
    return folder


async def test_every_way_to_the_cluster(place, program):
    place.installation.variables["PATH"] = f"{program}:{os.environ['PATH']}"
    place.policy(
        kubectl="kinds: [pods, deployments, configmaps, secrets, events]",
        more="rules:\n  look: {allow: kubectl.exec, where: {command: id}, overrides: [development.exec]}\n"
        "  gone: {allow: kubectl.delete, overrides: [development.delete]}\n",
    )
    place.kubectl("create", "secret", "generic", "db", "--from-literal=password=" + "swordfish-is-not-77")
    web = {"kind": "deploy", "name": "web", "namespace": place.namespace}
    at = {"namespace": place.namespace}
    async with place.installation.agent("kubectl") as agent:
        table = await agent.call("kubectl_get", kind="pods", **at)
        mixed = await agent.call("kubectl_get", kind="deploy,cm", **at)
        path = await agent.call("kubectl_get", path=".spec.replicas", **web)
        secret = await agent.call("kubectl_get", kind="secret/db", **at)
        explained = await agent.call("kubectl_get", kind="deploy", path=".spec.replicas", output="explain", **at)
        described = await agent.call("kubectl_describe", **web)
        logs = await agent.call("kubectl_logs", pod="deploy/web", **at)
        events = await agent.call("kubectl_events", **at)
        diff = await agent.call("kubectl_diff", manifest=MANIFEST, **at)
        applied = await agent.call("kubectl_apply", manifest=MANIFEST, **at)
        patched = await agent.call("kubectl_patch", patch={"metadata": {"labels": {"a": "b"}}}, **web)
        scaled = await agent.call("kubectl_scale", replicas=3, **web)
        status = await agent.call("kubectl_rollout_status", **web)
        image = await agent.call("kubectl_set_image", images={"web": "registry.example.com/web:2"}, **web)
        restarted = await agent.call("kubectl_rollout", action="restart", **web)
        undone = await agent.call("kubectl_rollout", action="undo", **web)
        back = await agent.call("kubectl_undo", id=scaled.id)
        deleted = await agent.call("kubectl_delete", kind="cm", name="settings", **at)
        again = await agent.call("kubectl_undo", id=deleted.id)
        drained = await agent.call("kubectl_drain", node="n1", dry_run=True)
        absent = await agent.call("kubectl_get", kind="pods", name="absent", **at)
        unknown = await agent.call("kubectl_get", kind="unicorns", **at)
    answers = (table, mixed, path, secret, explained, described, logs, events, diff, applied, patched, scaled, status,
               image, restarted, undone, back, deleted, again, drained)  # fmt: skip
    for reply in answers:
        assert not reply.is_error and "swordfish" not in reply.text, reply.text
    assert "2 found" in table.text and "deployment.apps/web" in mixed.text and "-bytes:" in secret.text
    assert "desired pods" in explained.text and "done: 3 of 3" in status.text and "1 are missing" in diff.text
    assert unknown.code == "invalid" and absent.is_error and "not found" in absent.text, absent.text + unknown.text
    live = place.get("deployment", "web")
    assert live["spec"]["replicas"] == 2 and live["metadata"]["labels"]["a"] == "b"
    assert place.get("cm", "settings")["data"] == {"a": "1"}
