"""Values of mappings: judged by the keys above them and by what they are once unpacked. What describes a secret stays."""
# ruff: noqa: E501

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import pytest
from redaction.fixtures import detector, hexadecimal, human, machine_made

DETECTOR = detector()
TOKEN = machine_made(32, 12)
SHORT = machine_made(12, 5)
CHOSEN = human(3)
WORD = "mar" + "lin"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hidden(value: Any, *secrets: str) -> Any:
    shown, count = DETECTOR.redact_value(value)
    text = json.dumps(shown)
    assert count and not [one for one in secrets if one in text], shown
    assert DETECTOR.redact_value(shown) == (shown, 0)
    return shown


# ---------------------------------------------------------------- a token under any key


@pytest.mark.parametrize(
    "value",
    [{"k": TOKEN}, {"k": f"{TOKEN}\n"}, {"a": {"k": [TOKEN]}}, {"a": [{"k": TOKEN}]}, {"pattern": TOKEN, "literal": True},
     {"name": "APP_K", "value": TOKEN}, {"k": b64(TOKEN.encode())}],
)  # fmt: skip
def test_a_key_names_the_token_beside_it(value: dict[str, Any]) -> None:
    hidden(value, TOKEN, b64(TOKEN.encode()))


@pytest.mark.parametrize(
    "value",
    [
        {"requestId": TOKEN}, {"etag": TOKEN}, {"cursor": TOKEN}, {"name": "BUILD_ID", "value": TOKEN},
        {"paths": [f"a/{TOKEN}"]}, {"k": hexadecimal(40)}, {"k": "many-56bc65b5ff-22cfw"}, {"k": f"/home/me/kX9/{TOKEN}"},
        {"part-of": f"applyset-{machine_made(43, 9)}-v1"}, {"k": "EC2Contai-EcsElast-15DCDAURT3ZO2"},
        {"shape": "__stringMin1Max100000"}, {"k": "gke-cluster-1-default-pool-0a1b2c3d-x1yz"}, [TOKEN], TOKEN,
    ],
)  # fmt: skip
def test_what_is_public_or_has_no_key_stays(value: Any) -> None:
    assert DETECTOR.redact_value(value) == (value, 0)


def test_hardly_a_token_reads_as_words() -> None:
    tokens = {f"k{seed}": machine_made(24, seed) for seed in range(3000)}
    shown, _ = DETECTOR.redact_value(tokens)
    assert sum(shown[key] == token for key, token in tokens.items()) < 0.012 * len(tokens)


# ---------------------------------------------------------------- below a secret's name

SECRET = [
    {"password": {"value": WORD}}, {"password": {"default": WORD}}, {"db_password": {"data": [WORD, CHOSEN]}},
    {"password": {"prod": WORD, "dev": CHOSEN}}, {"password": {"value": {"raw": WORD}}}, {"password": {"value": 90817263}},
    {"password": {"master": CHOSEN}}, {"passwords": {"root": WORD, "alice": [WORD]}}, {"passwords": {"root": 90817263}},
    {"passwords": [{"user": "bob", "value": WORD}]}, {"token": {"value": SHORT}}, {"tokens": {"alice": SHORT}},
    {"apiKeys": {"alice": {"value": SHORT}}}, {"secret": {"data": {"db": SHORT}}}, {"secret": {"stringData": {"db": SHORT}}},
    {"name": "DB_PASSWORD", "value": {"default": WORD}}, {"in": "query", "name": "password", "default": WORD},
    {"variable": {"db_password": {"type": "string", "default": WORD}}},
    {"outputs": {"db_password": {"value": WORD, "type": "string", "sensitive": False}}},
    {"components": {"schemas": {"Login": {"properties": {"password": {"type": "string", "default": CHOSEN}}}}}},
    {"args": {"password": {"old": WORD, "new": CHOSEN}}},
]  # fmt: skip


@pytest.mark.parametrize("value", SECRET, ids=json.dumps)
def test_a_secret_goes_however_deep_below_its_name(value: dict[str, Any]) -> None:
    hidden(value, WORD, CHOSEN, SHORT, "90817263")


ORDINARY = [
    # OpenAPI, JSON schema, forms
    {"password": {"type": "string", "format": "password", "minLength": 8, "maxLength": 4096, "nullable": False,
                  "pattern": "^[A-Za-z0-9!@#]{8,}$", "description": "At least 8 characters", "title": "Password2"}},
    {"password": {"$ref": "#/components/schemas/Password1"}}, {"password": {"enum": ["low-12", "high-34"]}},
    {"token": {"type": "object", "properties": {"issuedAt": {"type": "string", "example": "2026-11-22T10:00:05Z"}}}},
    {"password": {"label": "Kennwort", "placeholder": "min. 12 characters", "autocomplete": "current-password"}},
    # Kubernetes
    {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-2024", "key": "password", "optional": False}}},
    {"name": "DB_PASSWORD", "valueFrom": {"configMapKeyRef": {"name": "db-2024", "key": "pw.v2"}}},
    {"secret": {"secretName": "web-tls-2024.1", "defaultMode": 420, "items": [{"key": "tls.crt", "path": "tls-1.crt"}]}},
    {"password": {"valueFrom": {"secretKeyRef": {"name": "db-2024", "key": "password"}}}},
    {"serviceAccountToken": {"audience": "vault-2024.example.com", "expirationSeconds": 3607, "path": "token"}},
    {"imagePullSecrets": [{"name": "registry-2024.1"}]}, {"secrets": [{"name": "bot-token-x7k2p"}]},
    {"privateKey": {"algorithm": "RSA", "size": 2048, "encoding": "PKCS1", "rotationPolicy": "Always"}},
    {"webhook": {"clientConfig": {"service": {"name": "hook-2.1", "port": 8443, "path": "/convert-v1.2"}}}},
    # Helm values
    {"auth": {"enabled": True, "existingSecret": "db-2024.1-auth", "username": "svc_01.web", "database": "web_01.prod",
              "image": {"tag": "1.27.3-alpine", "repository": "bitnami/os-shell-12.4"}, "replicas": 3000}},
    {"auth": {"secretKeys": {"adminPasswordKey": "postgres-password", "userPasswordKey": "password"}}},
    {"password": {"value": "${DB_PASSWORD}"}}, {"password": {"default": ""}}, {"passwords": {"root": "{{ .Values.root }}"}},
    {"passwords": {"alice": "ALICE_PASSWORD_1"}}, {"tokens": {"alice": "$ALICE_TOKEN_1"}},
    # docker-compose, Terraform
    {"secrets": {"db_password": {"file": "./db_password_01.txt"}, "other": {"external": True, "name": "app_1.2_other"},
                 "env": {"environment": "DB_PASSWORD_01"}}},
    {"services": {"web": {"secrets": ["db_password", {"source": "db_password", "target": "/run/db-01", "uid": "1003"}]}}},
    {"variable": {"db_password": {"type": "string", "description": "Password of the database no. 42", "sensitive": True}}},
    {"random_password": {"db": {"length": 2048, "special": True, "override_special": "!#$%&*()-_=+[]{}<>:?"}}},
    # packages, tokens that are none
    {"dependencies": {"js-tokens": {"version": "4.0.0", "resolved": "https://registry.example.com/js-tokens-4.0.0.tgz",
                                    "integrity": "sha512-" + b64(bytes(range(64))), "license": "BSD-3-Clause"}}},
    {"node_modules/generate-password": {"version": "1.7.1", "engines": {"node": "^14.17.0"}, "requires": {"x": "^1.2.3-rc.4"}}},
    {"usage": {"tokens": {"prompt": 5180, "completion": 4096}}},
    {"tokens": {"shadow": "rgba(0,0,0,0.12)", "space-2": "1.25rem", "ink": {"value": "{color.base.10}"}, "v": "v2alpha1"}},
    {"password": {"hashing": "argon2id", "rounds": 4096, "strategy": "PBKDF2WithHmacSHA512"}},
    {"credentials": {"username": "svc_01.web", "region": "eu-west-1", "host": "db-01.prod.example.com", "port": 5432}},
]  # fmt: skip


@pytest.mark.parametrize("value", ORDINARY, ids=lambda value: json.dumps(value)[:60])
def test_what_is_said_about_a_secret_stays(value: dict[str, Any]) -> None:
    assert DETECTOR.redact_value(value) == (value, 0)


@pytest.mark.parametrize(
    "text",
    [
        "password:\n  value: {}\n", "db:\n  password:\n    type: string\n    default: '{}'\n  port: 5432\n", "passwords:\n  - value: {}\n",
        "password:\n  prod: {}  # rotate\n", '"password": {{\n  "type": "string",\n  "default": "{}"\n}}', '{{"password": {{"value": "{}"}}}}',
        "+password:\n+  value: {}\n",
    ],
)  # fmt: skip
def test_the_same_goes_in_the_text_of_a_document(text: str) -> None:
    before, _, after = text.format("\0").partition("\0")
    shown = DETECTOR.redact(text.format(CHOSEN)).text
    assert CHOSEN not in shown and shown.startswith(before) and shown.endswith(after)


@pytest.mark.parametrize(
    "text",
    [
        "password:\n  type: string\n  minLength: 8\n  description: default value no. 12\n", "password:\n  default: ${DB_PASSWORD}\n",
        "password:\n  valueFrom:\n    secretKeyRef:\n      name: value-2024\n      key: default-2024\n", "password:\nvalue: Ordinary2024\n",
        "token:\n  default: true\n  value: {{ .Values.token }}\n", '"password": {"type": "string", "default": ""}, "default": "Ordinary2024"',
    ],
)  # fmt: skip
def test_what_is_said_about_it_stays_in_the_text_of_a_document(text: str) -> None:
    assert DETECTOR.redact(text).text == text


# ---------------------------------------------------------------- packed data

NAMELESS = f"login for db.pwd: '{CHOSEN}'\n".encode()  # nothing that shows through base64
CONFIG = json.dumps({"chart": "web " * 40, "config": {"password": CHOSEN}}).encode()
PACKED = [
    b64(NAMELESS), b64(b64(NAMELESS).encode()), b64(b64(b64(NAMELESS).encode()).encode()), base64.encodebytes(NAMELESS * 9).decode(),
    b64(gzip.compress(CONFIG)), b64(b64(gzip.compress(CONFIG)).encode()), b64(gzip.compress(b64(NAMELESS).encode())),
    b64(gzip.compress(gzip.compress(CONFIG))), b64(gzip.compress(CONFIG)[:-9]), b64(gzip.compress(b"x") + gzip.compress(CONFIG)),
    b64(gzip.compress(CONFIG)[:3] + b"\x08" + gzip.compress(CONFIG)[4:10] + b"name\0" + gzip.compress(CONFIG)[10:]),
    b64("Настройки сервера, пароль и прочее\n".encode() + NAMELESS),
    base64.urlsafe_b64encode(b"???>>>" + NAMELESS).decode().rstrip("="),
]  # fmt: skip


@pytest.mark.parametrize("packed", PACKED, ids=range(len(PACKED)))
def test_a_value_that_is_nothing_but_packed_data_is_unpacked(packed: str) -> None:
    shown = hidden({"blob": packed, "lines": [packed], "note": "stays"})
    assert packed[:20] not in json.dumps(shown) and shown["note"] == "stays"


@pytest.mark.parametrize(
    "packed",
    [b64(b"ordinary words, encoded."), b64(b64(b"ordinary words, encoded.").encode()), b64(gzip.compress(b"ordinary " * 99)),
     b64(bytes(range(200))), "customer-order-service"],
)  # fmt: skip
def test_packed_data_without_a_secret_stays(packed: str) -> None:
    assert DETECTOR.redact_value({"blob": packed}) == ({"blob": packed}, 0)


def test_in_a_text_the_same_layers_are_read() -> None:
    for packed in (b64(gzip.compress(CONFIG)), b64(b64(gzip.compress(CONFIG)).encode()), PACKED[10], PACKED[8]):
        shown = DETECTOR.redact(f"release {packed} done").text
        assert packed[:20] not in shown and shown.endswith("done")


def test_what_is_too_large_to_unpack_goes_unread() -> None:
    packed = b64(gzip.compress(b"nothing in here " * 500_000))
    assert packed not in json.dumps(hidden({"blob": packed})) and packed not in DETECTOR.redact(f"a {packed} b").text


def test_a_little_gzip_that_makes_much_of_more_gzip_costs_little() -> None:
    bomb = b64(gzip.compress(b"password=x" * 8000))
    for _ in range(2):
        bomb = b64(gzip.compress(f"{bomb} ".encode() * 400))
    start = time.process_time()
    DETECTOR.redact(f"{bomb} " * 50)
    DETECTOR.redact_value({f"k{number}": bomb for number in range(50)})
    assert time.process_time() - start < 2
