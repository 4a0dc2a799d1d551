"""Manifests: every object judged, all or nothing, previewed by the server, and put back."""

from __future__ import annotations

import json

import pytest

from .conftest import deployment

pytestmark = pytest.mark.anyio
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ok}\ndata: {a: '1'}\n"


def pod(**spec) -> str:
    spec = {"containers": [{"name": "c", "image": "registry.example.com/x:1"}], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})


async def test_create_update_unchanged_and_undo(place):
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        dry = await agent.call("kubectl_apply", manifest=CONFIG, dry_run=True, **at)
        assert place.get("cm", "ok") == {} and "+  a: '1'" in dry.text
        made = await agent.call("kubectl_apply", manifest=CONFIG, **at)
        same = await agent.call("kubectl_apply", manifest=CONFIG, **at)
        more = await agent.call("kubectl_apply", manifest=CONFIG.replace("'1'", "'2'"), **at)
        drift = await agent.call("kubectl_diff", manifest=CONFIG, **at)
        back = await agent.call("kubectl_undo", id=more.id)
        assert place.get("cm", "ok")["data"] == {"a": "1"}
        gone = await agent.call("kubectl_undo", id=made.id)
        gone = await place.approved(agent, gone) if gone.code == "approval_required" else gone
    assert same.code == "invalid" and "nothing would change" in same.text
    assert "1 differ" in drift.text and "-  a: '2'" in drift.text
    assert not back.is_error and not gone.is_error, back.text + gone.text
    assert place.get("cm", "ok") == {}


async def test_one_refused_object_refuses_the_whole(place):
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: []\n"
    other = CONFIG.replace("{name: ok}", "{name: ok2, namespace: default}")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [json.loads(pod()), {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}}]})  # fmt: skip
    broken = json.dumps({**deployment("bad"), "spec": {"replicas": "many"}})
    async with place.installation.agent("kubectl") as agent:
        for second in (role, other, broken, listed, "kind: ConfigMap\n", CONFIG, "[1, 2]"):
            manifest = f"{CONFIG}---\n{second}"
            reply = await agent.call("kubectl_apply", manifest=manifest, namespace=place.namespace)
            assert reply.is_error and reply.code != "guard_failure", (second, reply.text)
        whole = await agent.call("kubectl_apply", manifest=listed, namespace=place.namespace)
    assert whole.is_error
    assert place.get("cm", "ok") == {} and place.get("pod", "x") == {}


async def test_what_is_not_certain_is_refused(place):
    manifests = [
        "base: &b {apiVersion: v1, kind: Namespace}\n<<: *b\nmetadata: {name: evil}\n",
        "apiVersion: v1\nkind: !!str Namespace\nmetadata: {name: evil}\n",
        "\ufeffapiVersion: v1\nkind: Namespace\nmetadata: {name: evil}\n",
        'apiVersion: v1\nkind: "Name\\x73pace"\nmetadata: {name: evil}\n',
        "apiVersion: v1\nkind: ConfigMap\nkind: Namespace\nmetadata: {name: evil}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: ok-}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ok}\ndata: {on: yes}\n",
        '!!python/object/apply:os.system ["touch x"]\n',
        "[" * 20_000,
        f"{CONFIG}---\n" * 5000,
        '{"a": 1}{"b": 2}',
    ]
    async with place.installation.agent("kubectl") as agent:
        for manifest in manifests:
            reply = await agent.call("kubectl_apply", manifest=manifest, namespace=place.namespace)
            assert reply.code in ("invalid", "out_of_bounds", "too_large"), (manifest[:60], reply.text)


async def test_what_reaches_the_node_or_steers_others_is_asked(place):
    container = {"name": "c", "image": "registry.example.com/x:1"}
    manifests = [
        pod(containers=[{**container, "securityContext": {"privileged": True}}]),
        pod(containers=[{**container, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]),
        pod(hostNetwork=True),
        pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]),
        pod(nodeName="control-plane", tolerations=[{"operator": "Exists"}]),
        pod(serviceAccountName="builder"),
        json.dumps({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"},
                    "spec": {"maxUnavailable": "100%", "selector": {}}}),
        json.dumps({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                    "spec": {"hard": {"pods": "100000"}}}),
        json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
                    "spec": {"externalIPs": ["1.2.3.4"], "ports": [{"port": 80}]}}),
    ]  # fmt: skip
    place.kubectl("create", "serviceaccount", "builder")
    async with place.installation.agent("kubectl") as agent:
        for manifest in manifests:
            reply = await agent.call("kubectl_apply", manifest=manifest, namespace=place.namespace)
            assert reply.code in ("approval_required", "denied", "invalid"), (manifest, reply.text)
        approved = await agent.call("kubectl_apply", manifest=manifests[0], namespace=place.namespace)
        done = await place.approved(agent, approved, typed="x")
    assert not done.is_error, done.text
    assert place.get("pod", "x")["spec"]["containers"][0]["securityContext"]["privileged"] is True


async def test_files_within_the_roots_and_folders_for_drift(place):
    work = place.installation.work
    (work / "deploy").mkdir()
    (work / "deploy" / "config.yaml").write_text(CONFIG)
    (work / "deploy" / "web.json").write_text(json.dumps(deployment(replicas=3)))
    (work / "deploy" / ".env").write_text("A=b")
    (work / "link.yaml").symlink_to("/etc/passwd")
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        drift = await agent.call("kubectl_diff", path=str(work / "deploy"), **at)
        made = await agent.call("kubectl_apply", path=str(work / "deploy" / "config.yaml"), **at)
        outside = [
            await agent.call("kubectl_apply", path=path, **at)
            for path in (
                "/etc/passwd",
                str(work / "link.yaml"),
                str(work / ".." / "state"),
                "http://127.0.0.1:1/x.yaml",
            )
        ]
        env = await agent.call("kubectl_diff", path=str(work / "deploy" / ".env"), **at)
        both = await agent.call("kubectl_apply", path=str(work / "deploy"), manifest=CONFIG, **at)
    assert "1 differ, 1 are missing" in drift.text, drift.text
    assert not made.is_error and place.get("cm", "ok")["data"] == {"a": "1"}
    assert all(one.is_error for one in [*outside, env, both])


async def test_what_is_wrong_in_a_folder_is_told_by_file_and_the_rest_is_compared(place):
    folder = place.installation.work / "deploy"
    folder.mkdir()
    broken = {
        "a.yaml": "a: [",
        "b.yaml": "apiVersion: v1\nkind: ConfigMap\n",
        "c.yaml": CONFIG.replace("ConfigMap", "Nope"),
    }
    for name, text in broken.items():
        (folder / name).write_text(text)
    (folder / "refused.yaml").write_text(
        json.dumps(deployment("Web_1")).replace('"Web_1"', '"web-1"', 1).replace("replicas", "replica")
    )
    (folder / "web.json").write_text(json.dumps(deployment(replicas=3)))
    async with place.installation.agent("kubectl") as agent:
        at = {"namespace": place.namespace}
        drift = await agent.call("kubectl_diff", path=str(folder), **at)
        alone = await agent.call("kubectl_diff", path=str(folder / "a.yaml"), **at)
        (folder / "outside.yaml").write_text(CONFIG.replace("{name: ok}", "{name: ok, namespace: default}"))
        outside = await agent.call("kubectl_diff", path=str(folder), namespace="")
    assert "1 differ, 0 are missing, 0 are as described, 4 are invalid" in drift.text, drift.text
    assert all(f"# invalid: {folder}/{name}: " in drift.text for name in (*broken, "refused.yaml")), drift.text
    assert "replicas: 3" in drift.text and "replica" in drift.text.partition("refused.yaml: ")[2], drift.text
    assert alone.is_error and "a.yaml" in alone.text and outside.code == "out_of_bounds", outside.text


async def test_a_step_that_fails_takes_the_others_back(place):
    place.kubectl("create", "quota", "small", "--hard=count/configmaps=2")  # one is there already
    place.kubectl("get", "quota", "small", "-o", "yaml")
    place.cluster.until(lambda: place.get("quota", "small").get("status", {}).get("used"), "the quota is not counted")
    second = CONFIG.replace("{name: ok}", "{name: ok2}")
    async with place.installation.agent("kubectl") as agent:
        reply = await agent.call("kubectl_apply", manifest=f"{CONFIG}---\n{second}", namespace=place.namespace)
    assert reply.code == "failed" and "the rest was put back" in reply.text, reply.text
    assert place.get("cm", "ok") == {} and place.get("cm", "ok2") == {}
