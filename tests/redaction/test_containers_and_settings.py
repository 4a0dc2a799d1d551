"""Known secret files, JSON-like values, and what a policy may say."""
# ruff: noqa: E501

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError
from redaction.fixtures import KEY, detector, human, machine_made

from interlock.redaction import RedactionSettings, open_detector

DETECTOR = detector()
TOKEN = machine_made(30, 2)


@pytest.mark.parametrize(
    ("path", "head", "kind"),
    [
        ("/a/.env", "", "env"), ("/a/.env.production", "", "env"), ("/a/.env.example", "", None), ("/h/.kube/config", "", "kubeconfig"), ("/h/.docker/config.json", "", "dockerconfig"),
        ("x/terraform.tfstate", "", "tfstate"), ("chart/values-prod.yaml", "", "helm-values"), ("m.yaml", "apiVersion: v1\nkind: Secret\n", "k8s-secret"),
        ("k.json", '{"type": "service_account"}', "service-account"), ("/var/log/app.log", "", None), ("main.py", "print()", None), ("/h/.netrc", "", "credentials"),
    ],
)  # fmt: skip
def test_known_containers(path: str, head: str, kind: str | None) -> None:
    assert DETECTOR.known_container(path, head) == kind


def test_every_value_of_an_env_file_goes_whatever_it_looks_like() -> None:
    shown = DETECTOR.redact("A=1\nexport B='two words'\n# c\nC=\n", "/x/.env").text
    assert shown == "A=[secret:value:1]\nexport B='[secret:value:2]'\n# c\nC=\n"


def test_secret_names_in_helm_values_go_whatever_they_look_like() -> None:
    shown = DETECTOR.redact(
        "auth:\n  password: changeme\n  existingSecret: web\nreplicas: 2\n", "chart/values.yaml"
    ).text
    assert "changeme" not in shown and "replicas: 2" in shown


def test_keys_only() -> None:
    assert DETECTOR.keys_only("A=1\nB=2\n", "env") == "A\nB\n"
    assert DETECTOR.keys_only('{"a": {"b": 1}, "c": [2]}', "dockerconfig") == "a.b\nc[0]\n"


def test_objects_are_judged_whole() -> None:
    value = {
        "password": "abc123!",
        "n": 1,
        "env": [{"name": "API_TOKEN", "value": TOKEN}],
        "note": f"token={TOKEN}",
        "kind": "x",
        "list": ["a"],
    }
    shown, count = DETECTOR.redact_value(value)
    assert count == 3 and TOKEN not in str(shown) and "abc123!" not in str(shown)
    assert shown["n"] == 1 and shown["list"] == ["a"] and list(shown) == list(value)
    assert DETECTOR.redact_value(shown) == (shown, 0)
    secret, count = DETECTOR.redact_value({"kind": "Secret", "data": {"a": "b"}, "metadata": {"name": "n"}})
    assert count == 1 and secret["metadata"] == {"name": "n"} and secret["data"]["a"].startswith("[secret:")


def test_extra_patterns_allowed_values_and_switched_off_kinds() -> None:
    password = human()
    settings = RedactionSettings.model_validate(
        {
            "extra": {"staff-id": {"pattern": r"staff-(\d{6})", "group": 1}},
            "allowed": [hashlib.sha256(password.encode()).hexdigest()],
            "off": ["url-password"],
        }
    )
    one = open_detector(KEY, settings)
    assert one.redact("staff-123456 x").text == "staff-[secret:staff-id:1] x"
    assert one.redact(f"password={password}").text == f"password={password}"
    assert one.redact("postgres://a:" + "Walnut77" + "@h/x").count == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"extra": {"a": {"pattern": r"(a)\1"}}},
        {"extra": {"A b": {"pattern": "abc"}}},
        {"extra": {"a": {"pattern": "x*y*"}}},
        {"allowed": ["secret"]},
        {"unknown": 1},
    ],
)
def test_bad_settings_are_errors(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RedactionSettings.model_validate(bad)


def test_sources_only_tighten() -> None:
    settings = RedactionSettings.model_validate({"sources": {"**/payments/*.log": {"values": True, "random": True}}})
    one = open_detector(KEY, settings)
    text = f"user=bob {TOKEN}\n"
    assert one.redact(text, "/var/other/a.log").text == text
    shown = one.redact(text, "/var/payments/a.log").text
    assert "bob" not in shown and TOKEN not in shown and shown.startswith("user=[secret:")
