"""Credentials outside of Secrets: whatever the object, whatever the form it is read in, the value is not shown.

Each case is an object that holds the canary; `keeps` is what must still be readable of it.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

C = "CANARY"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"colour": "green", **data}}


def pod(**container: Any) -> dict[str, Any]:
    image = {"name": "c", "image": "registry.example.com/web:1.1", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"colour": "green"}},
        "spec": {"containers": [image]},
    }


def database(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Database", "spec": {"engine": "green", **spec}}


def objects(canary: str) -> dict[str, dict[str, Any]]:
    """Every value that needs the canary itself is made here: base64 of it cannot be put in later."""
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(b64(canary * 9)[n : n + 64] for n in range(0, 192, 64))
    key += "\n-----END RSA PRIVATE KEY-----\n"
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "u", "user": {"token": canary}}]}
    registry = json.dumps({"auths": {"registry.example.com": {"auth": b64(f"user:{canary}")}}})
    applied = json.dumps({"kind": "Deployment", "spec": {"env": [{"name": "DB_PASSWORD", "value": canary}]}})
    packed = base64.b64encode(gzip.compress(json.dumps({"config": {"password": canary}}).encode())).decode()
    return {
        "password in data": config(password=canary),
        "key of a naming convention": config(**{"SMTP_PASSWD": canary, "X-API-Key": canary}),
        "env file in data": config(**{".env": f"COLOUR=green\nAPI_KEY={canary}\n"}),
        "properties in data": config(
            **{"app.properties": f"a=1\ndb.password: {canary}\nspring.mail.password={canary}\n"}
        ),
        "yaml in data": config(**{"values.yaml": f"a: 1\nauth:\n  password: {canary}\n"}),
        "json in data": config(**{"config.json": json.dumps({"a": 1, "client_secret": canary})}),
        "toml in data": config(**{"app.toml": f'a = 1\n[db]\npassword = "{canary}"\n'}),
        "ini in data": config(**{"alertmanager.ini": f"[smtp]\nsmtp_auth_password = {canary}\n"}),
        "xml in data": config(**{"settings.xml": f"<server><password>{canary}</password></server>"}),
        "script in data": config(**{"run.sh": f"export PGPASSWORD='{canary}'\ncurl -u admin:{canary} http://x/\n"}),
        "url in data": config(uri=f"postgres://web:{canary}@db:5432/app"),
        "url in fullwidth key": config(dsn=f"amqp://u:{canary}@mq/"),
        "base64 of an assignment": config(blob=b64(f"password={canary}")),
        "base64 twice": config(blob=b64(b64(f"password={canary}"))),
        "gzip of a release": config(release=packed),
        "private key in data": config(**{"tls.key": key}),
        "kubeconfig in data": config(kubeconfig=json.dumps(kubeconfig)),
        "registry login in data": config(**{".dockerconfigjson": registry}),
        "basic auth in data": config(header=f"Authorization: Basic {b64('user:' + canary)}"),
        "htpasswd-like line": config(users=f"admin:x\npassword: {canary}"),
        "binary data": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {"colour": "green"},
            "binaryData": {"k": b64(canary)},
        },
        "value in env": pod(env=[{"name": "DB_PASSWORD", "value": canary}]),
        "value in env under a short name": pod(
            env=[{"name": "PGPASS", "value": canary}, {"name": "TOKEN", "value": canary}]
        ),
        "url in env": pod(env=[{"name": "DATABASE_URL", "value": f"mysql://root:{canary}@db/x"}]),
        "flag in arguments": pod(args=["--user=web", f"--db-password={canary}"]),
        "flag and value apart": pod(args=["--token", canary, "--port", "80"]),
        "shell line in the command": pod(command=["sh", "-c", f"mysql -uroot -p{canary} app"]),
        "header in a probe": pod(
            livenessProbe={
                "httpGet": {
                    "path": "/",
                    "port": 80,
                    "httpHeaders": [{"name": "Authorization", "value": f"Bearer {canary}"}],
                }
            }
        ),
        "query in a probe": pod(livenessProbe={"httpGet": {"path": f"/health?access_token={canary}", "port": 80}}),
        "command of a probe": pod(livenessProbe={"exec": {"command": ["redis-cli", "-a", canary, "ping"]}}),
        "hook": pod(
            lifecycle={"preStop": {"exec": {"command": ["sh", "-c", f"curl -H 'X-Api-Key: {canary}' http://x"]}}}
        ),
        "annotation": {**config(), "metadata": {"annotations": {"example.com/api-token": canary}}},
        "annotation of a former state": {
            **config(),
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        },
        "annotation of another tool": {
            **config(),
            "metadata": {"annotations": {"objectset.rio.cattle.io/applied": applied}},
        },
        "custom resource": database(adminPassword=canary),
        "custom resource in depth": database(users=[{"name": "web", "credentials": {"password": canary}}]),
        "custom resource with a url": database(connection={"url": f"redis://:{canary}@cache:6379/0"}),
        "custom resource with a template": database(template={"kind": "Secret", "stringData": {"word": canary}}),
        "message of a failed pull": {
            "apiVersion": "v1",
            "kind": "Event",
            "type": "Warning",
            "reason": "green",
            "message": f"Failed to pull image: unauthorized for web:{canary}@registry.example.com",
            "involvedObject": {"kind": "Pod", "name": "p1", "namespace": "NS", "apiVersion": "v1"},
        },
        "message with a header": {
            "apiVersion": "v1",
            "kind": "Event",
            "type": "Warning",
            "reason": "green",
            "message": f"webhook said 401, sent Authorization: Bearer {canary}",
            "involvedObject": {"kind": "Pod", "name": "p1", "namespace": "NS", "apiVersion": "v1"},
        },
        "job": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"labels": {"colour": "green"}},
            "spec": {
                "suspend": True,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {
                                "name": "c",
                                "image": "registry.example.com/web:1",
                                "env": [{"name": "SECRET_KEY", "value": canary}],
                            }
                        ],
                    }
                },
            },
        },
        "ingress": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"labels": {"colour": "green"}, "annotations": {"example.com/auth-password": canary}},
            "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
        },
    }


NAMES = tuple(objects("x" * 24))
KINDS = {"ConfigMap": "cm", "Pod": "po", "Database": "dbs", "Event": "ev", "Job": "job", "Ingress": "ing"}


def slug(name: str) -> str:
    return "held-" + "-".join(name.split())


@pytest.fixture(scope="module", autouse=True)
def held(world):
    made = []
    for name, one in objects(world.canary).items():
        meta = {**one.get("metadata", {}), "name": slug(name), "namespace": world.namespace}
        made.append({**one, "metadata": meta})
    world.make(*made)
    yield
    world.cluster.kubectl("-n", world.namespace, "delete", "cm,po,dbs,ev,job,ing", "--all", "--wait=false")


@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_in_no_form_of_the_object(world, name: str) -> None:
    one = {"kind": KINDS[objects("x")[name]["kind"]], "name": slug(name), "namespace": "NS"}
    whole = world.done("get", **one, output=("yaml", "json")[len(name) % 2])
    assert "green" in whole.text
    assert "[secret:" in whole.text or "former state" in name
    world.done("describe", **one)
    for path in (".data", ".spec", ".message", ".metadata.annotations"):
        world.call("get", **one, path=path)


@pytest.mark.parametrize("kind", ["cm", "po", "dbs", "ev", "job", "ing", "all"])
@pytest.mark.parametrize("output", ["table", "wide", "name"])
def test_the_value_is_in_no_table(world, kind: str, output: str) -> None:
    world.done("get", kind=kind, namespace="NS", output=output, limit=1000)


def test_events_and_a_dry_run_do_not_tell_it(world) -> None:
    world.done("events", namespace="NS")
    world.done("events", namespace="NS", about="pod/p1", warnings=True)
    manifest = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": slug("password in data")},
            "data": {"colour": "blue"},
        }
    )
    assert "-  colour: green" in world.done("apply", namespace="NS", manifest=manifest, dry_run=True).text
    assert "-  colour: green" in world.done("diff", namespace="NS", manifest=manifest).text


ERRORS: dict[str, tuple[str, dict[str, Any]]] = {  # a no of the API's that quotes the object
    "immutable template of a job": (
        "job",
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "registry.example.com/web:2"}]}}}},
    ),
    "immutable fields of a pod": ("value in env", {"spec": {"terminationGracePeriodSeconds": 9, "hostname": "x"}}),
    "wrong type beside it": ("value in env", {"spec": {"containers": [{"name": "c", "ports": "none"}]}}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_does_not_quote_it(world, name: str) -> None:
    held_by, patch = ERRORS[name]
    kind = KINDS[objects("x")[held_by]["kind"]]
    reply = world.refused("invalid", "patch", kind=kind, name=slug(held_by), namespace="NS", patch=patch)
    assert len(reply.text) < 900


def test_an_order_does_not_tell_it(world) -> None:
    """Sorting by a hidden value would let its order against known ones be read, character by character."""
    raw = config(password=world.canary[:-1] + "!")
    low = {**raw, "metadata": {"name": "order-low"}}
    high = {**config(password="~" + world.canary), "metadata": {"name": "order-high"}}
    world.make(low, high, {**config(password=world.canary), "metadata": {"name": "order-mid"}})
    found = world.done("get", kind="cm", namespace="NS", sort_by=".data.password", limit=1000).text
    by_name = [line.split()[0] for line in found.splitlines() if line.startswith("order-")]
    again = world.done("get", kind="cm", namespace="NS", sort_by="{.data.colour}", limit=1000).text
    assert by_name == [line.split()[0] for line in again.splitlines() if line.startswith("order-")]


@pytest.mark.parametrize("tool", ["diff", "apply", "patch"])
def test_a_guess_is_not_answered(world, tool: str) -> None:
    """Whether a value that is sent equals the hidden one must not be told, or a short one is found by trying."""
    name = slug("password in data")
    told = []
    for guess in (world.canary, world.canary[:-1] + "!"):
        data = {"colour": "green", "password": guess}
        if tool == "patch":
            reply = world.call(tool, kind="cm", name=name, namespace="NS", patch={"data": data}, dry_run=True)
        else:
            one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
            more = {"dry_run": True} if tool == "apply" else {}
            reply = world.call(tool, namespace="NS", manifest=json.dumps(one), **more)
        told.append(
            (reply.code, [line.partition("(")[0] for line in reply.text.splitlines() if "untrusted" not in line])
        )
    assert told[0] == told[1]
