"""Changes of one object: previewed by the server, judged by what they would change, captured, undone, never half."""

from __future__ import annotations

import pytest

from .conftest import deployment

pytestmark = pytest.mark.anyio
HIDDEN = "swordfish-" + "is-not-enough-77"
WEB = {"kind": "deploy", "name": "web"}


async def test_scale_and_back(place):
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        done = await agent.call("kubectl_scale", replicas=3, **at)
        assert "replicas 2 -> 3" in done.text and place.get("deployment", "web")["spec"]["replicas"] == 3
        status = await agent.call("kubectl_rollout_status", **at)
        back = await agent.call("kubectl_undo", id=done.id)
        again = await agent.call("kubectl_undo", id=done.id)
        same = await agent.call("kubectl_scale", replicas=2, **at)
        zero = await agent.call("kubectl_scale", replicas=0, **at)
        many = await agent.call("kubectl_scale", replicas=100_000, **at)
        outside = await agent.call("kubectl_scale", replicas=3, kind="deploy", name="web", namespace="default")
    assert "done: 3 of 3 updated" in status.text
    assert not back.is_error and place.get("deployment", "web")["spec"]["replicas"] == 2
    assert again.code == "invalid" and same.code == "invalid"
    assert zero.code == "denied" and "scale-to-zero" in zero.text
    assert many.code == "approval_required" and outside.code == "out_of_bounds"
    assert place.get("deployment", "web")["spec"]["replicas"] == 2


async def test_images_are_bound_to_registries_and_tags(place):
    place.policy(
        kubectl='registries: [registry.example.com, "*.internal"]',
        more="rules:\n  latest: {deny: kubectl.image, where: {tag: latest}, reason: name a version}\n",
    )
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}

        async def deploy(image: str, container: str = "web"):
            return await agent.call("kubectl_set_image", images={container: image}, **at)

        foreign = [await deploy(one) for one in ("evil.example.com/web:2", "web:2", "registry.example.com.evil/web:2")]
        latest = [await deploy(one) for one in ("registry.example.com/web", "registry.example.com/web:latest")]
        nobody = await deploy("registry.example.com/web:2", "sidecar")
        by_patch = await agent.call(
            "kubectl_patch",
            patch={"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil/x:1"}]}}}},
            **at,
        )
        done = await deploy("registry.example.com/web:2")
        back = await agent.call("kubectl_undo", id=done.id)
    assert [one.code for one in foreign] == ["out_of_bounds"] * 3
    assert [one.code for one in latest] == ["denied"] * 2
    assert nobody.code == "invalid" and by_patch.code == "out_of_bounds"
    assert not done.is_error and not back.is_error, back.text
    assert place.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"].endswith("web:1")


async def test_set_replicas_cannot_move_a_probe(place):
    rule = "rules:\n  only-asked: {deny: kubectl.update, where: {changed: {beyond: [spec.replicas]}}}\n"
    place.policy(more=rule)
    probe = {"readinessProbe": {"httpGet": {"path": "/x", "port": 80}}}
    template = {"spec": {"containers": [{"name": "web", **probe}]}}
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        both = await agent.call("kubectl_patch", patch={"spec": {"replicas": 3, "template": template}}, **at)
        alone = await agent.call("kubectl_patch", patch={"spec": {"replicas": 3}}, **at)
    assert both.code == "denied" and "only-asked" in both.text
    assert not alone.is_error, alone.text
    live = place.get("deployment", "web")
    assert live["spec"]["replicas"] == 3
    assert "readinessProbe" not in live["spec"]["template"]["spec"]["containers"][0]


async def test_rollouts_restart_go_back_and_say_why_they_are_stuck(place):
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        restart = await agent.call("kubectl_rollout", action="restart", **at)
        await agent.call("kubectl_rollout_status", **at)
        stuck = {"spec": {"template": {"metadata": {"labels": {"plays": "stuck"}}}}}
        broken = await agent.call("kubectl_patch", patch=stuck, **at)
        why = await agent.call("kubectl_rollout_status", wait=3, **at)
        back = await agent.call("kubectl_rollout", action="undo", **at)
        status = await agent.call("kubectl_rollout_status", **at)
        absent = await agent.call("kubectl_rollout", action="undo", revision=99, **at)
        paused = await agent.call("kubectl_rollout", action="pause", **at)
        refused = await agent.call("kubectl_rollout", action="restart", **at)
        resumed = await agent.call("kubectl_undo", id=paused.id)
    assert not restart.is_error and not broken.is_error, restart.text + broken.text
    assert "not done" in why.text and "ImagePullBackOff" in why.text, why.text
    assert not back.is_error and ": done:" in status.text, back.text
    assert absent.code == "invalid" and "revisions are" in absent.text
    assert refused.code == "invalid" and not resumed.is_error
    assert not place.get("deployment", "web")["spec"].get("paused")


async def test_an_approval_is_for_the_effect_that_was_seen(place):
    place.policy(more="rules:\n  all: {ask: kubectl.scale}\n")
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        asked = await agent.call("kubectl_scale", replicas=4, **at)
        assert asked.code == "approval_required" and place.get("deployment", "web")["spec"]["replicas"] == 2
        shown = place.installation.cli("show", asked.id).stdout
        place.kubectl("annotate", "deploy", "web", "note=by-someone-else")  # no matter for this effect
        done = await place.approved(agent, asked)
        other = await agent.call("kubectl_scale", replicas=5, **at)
        place.kubectl("delete", "deploy", "web")
        place.kubectl("create", "-f", "-", input=deployment())
        void = await place.approved(agent, other)
    assert "replicas" in shown
    assert not done.is_error and "approved by" in done.text, done.text
    assert void.is_error and place.get("deployment", "web")["spec"]["replicas"] == 2


async def test_undo_keeps_what_others_changed_since(place):
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        done = await agent.call("kubectl_scale", replicas=3, **at)
        place.kubectl("annotate", "deploy", "web", "owner=someone")
        back = await agent.call("kubectl_undo", id=done.id)
        next_ = await agent.call("kubectl_scale", replicas=4, **at)
        place.kubectl("scale", "deploy/web", "--replicas=5")
        drifted = await agent.call("kubectl_undo", id=next_.id)
    live = place.get("deployment", "web")
    assert not back.is_error and live["metadata"]["annotations"]["owner"] == "someone"
    assert drifted.code == "approval_required" and "was changed since" in drifted.text
    assert live["spec"]["replicas"] == 5


async def test_a_secret_stays_where_a_placeholder_stands(place):
    env = [{"name": "DB_PASSWORD", "value": HIDDEN}, {"name": "DB_HOST", "value": "db.internal"}]
    web = deployment(containers=[{"name": "web", "image": "registry.example.com/web:1", "env": env}])
    place.kubectl("apply", "-f", "-", input=web)
    async with place.installation.agent("kubectl") as agent:
        at = {**WEB, "namespace": place.namespace}
        shown = await agent.call("kubectl_get", path=".spec.template.spec.containers[0].env[0].value", **at)
        mark = next(line for line in shown.text.splitlines() if line.startswith("[secret:"))

        def patch(*env: dict) -> dict:
            return {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": list(env)}]}}}}

        kept = {"name": "DB_PASSWORD", "value": mark}
        done = await agent.call("kubectl_patch", patch=patch(kept, {"name": "MODE", "value": "fast"}), **at)
        host = await agent.call("kubectl_patch", patch=patch(kept, {"name": "DB_HOST", "value": "evil.example"}), **at)
        moved = await agent.call("kubectl_patch", patch=patch({"name": "OTHER", "value": mark}), **at)
        made_up = await agent.call("kubectl_patch", patch=patch({"name": "DB_PASSWORD", "value": "[secret:x:9]"}), **at)
        diverted = await agent.call(
            "kubectl_patch", patch={"spec": {"template": {"spec": {"containers": [
                {"name": "web", "image": "registry.example.com/web:2", "env": [kept]}]}}}}, **at)  # fmt: skip
    values = {
        e["name"]: e["value"]
        for e in place.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert HIDDEN not in shown.text + done.text and not done.is_error, done.text
    assert values == {"DB_PASSWORD": HIDDEN, "DB_HOST": "db.internal", "MODE": "fast"}
    assert moved.code == made_up.code == "invalid"
    assert diverted.code == host.code == "approval_required"
    shown = [place.installation.cli("show", one.id).stdout for one in (diverted, host)]
    assert "[web].image changes: it says where the hidden value at" in shown[0], shown[0]
    assert "env[DB_HOST] changes" in shown[1], shown[1]


async def test_deploy_and_rollback_in_turns_is_stopped(place):
    place.policy(more="limits: {changes: {max: 500, per: 1h}, repeats: {max: 3, per: 10m}}\n")
    codes = []
    async with place.installation.agent("kubectl") as agent:
        for turn in range(12):
            image = f"registry.example.com/web:{2 + turn % 2}"
            reply = await agent.call("kubectl_set_image", images={"web": image}, namespace=place.namespace, **WEB)
            codes.append(reply.code)
    assert codes[:3] == ["", "", ""] and "" not in codes[4:] and "limit_reached" in codes, codes


async def test_one_version_after_the_other_is_stopped_too(place):
    """An agent that deployed 847 times, each time another version, by whichever tool came to hand."""
    place.policy(more="limits: {calls: {max: 5000, per: 1m}, changes: {max: 500, per: 1h}}\n")
    codes = []
    async with place.installation.agent("kubectl") as agent:
        for turn in range(8):
            image = f"registry.example.com/web:{turn + 2}"
            patch = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}
            how = [("kubectl_set_image", {"images": {"web": image}}), ("kubectl_patch", {"patch": patch})][turn % 2]
            reply = await agent.call(how[0], namespace=place.namespace, **WEB, **how[1])
            codes.append(reply.code)
        scaled = await agent.call("kubectl_scale", replicas=3, namespace=place.namespace, **WEB)
    assert codes.count("") <= 6 and codes[-1] == "limit_reached", codes
    assert not scaled.is_error, scaled.text


async def test_cordon_and_back(place):
    place.policy(more="rules:\n  nodes: {allow: kubectl.node, where: {drain: false}, overrides: [development.node]}\n")
    async with place.installation.agent("kubectl") as agent:
        done = await agent.call("kubectl_cordon", node="n1")
        assert "SchedulingDisabled" in place.cluster.kubectl("get", "node", "n1")
        back = await agent.call("kubectl_undo", id=done.id)
        drain = await agent.call("kubectl_drain", node="n1")
    assert not back.is_error, back.text
    assert "SchedulingDisabled" not in place.cluster.kubectl("get", "node", "n1")
    assert drain.code == "approval_required"


async def test_exec_is_denied_unless_the_very_words_are_allowed(place):
    async with place.installation.agent("kubectl") as agent:
        pod = place.kubectl("get", "pods", "-o", "name").split()[0].removeprefix("pod/")
        denied = await agent.call("kubectl_exec", pod=pod, namespace=place.namespace, command=["id"])
    assert denied.is_error
    rule = 'rules:\n  look: {allow: kubectl.exec, where: {command: "echo **"}, overrides: [development.exec]}\n'
    place.policy(more=rule)
    async with place.installation.agent("kubectl") as agent:
        at = {"pod": pod, "namespace": place.namespace}
        other = await agent.call("kubectl_exec", command=["sh", "-c", "echo hello"], **at)
        asked = await agent.call("kubectl_exec", command=["echo", "a b", "$(id)"], **at)
        done = await place.approved(agent, asked, typed=pod)
    assert other.code == "denied"
    assert "a b $(id)" in done.text and "ended with code 0" in done.text, done.text
