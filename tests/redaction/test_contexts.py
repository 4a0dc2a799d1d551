"""Secrets by their surroundings, and what must come through untouched. Values are made at run time."""
# ruff: noqa: E501

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from redaction.fixtures import detector, hexadecimal, human, machine_made, pem

DETECTOR = detector()
PASSWORD = human(3)
TOKEN = machine_made(32, 5)
HEX = hexadecimal(40, 7)
BASE64 = base64.b64encode(f"app:{PASSWORD}".encode()).decode()


def gone(text: str, *secrets: str, keep: tuple[str, ...] = ()) -> str:
    shown = DETECTOR.redact(text).text
    for secret in secrets:
        assert secret not in shown, shown
    for kept in keep:
        assert kept in shown, shown
    assert DETECTOR.redact(shown).text == shown
    return shown


@pytest.mark.parametrize(
    "line",
    [
        "password={}", "password: {}", "DB_PASSWORD={}", 'export DB_PASSWORD="{}"', '"password": "{}"', "'passwd' => '{}'",
        'password = "{}"  # note', "spring.datasource.password={}", "<password>{}</password>", '<add key="dbPassword" value="{}"/>',
        "--password {}", "--password={}", '["--password", "{}"]', "- name: DB_PASSWORD\n  value: {}", '{{"name":"DB_PASSWORD","value":"{}"}}',
        "ALTER USER app WITH PASSWORD '{}'", "CREATE USER a IDENTIFIED BY '{}'", "postgres://app:{}@db.internal:5432/x",
        "redis://:{}@cache:6379/0", "jdbc:oracle:thin:app/{}@//db:1521/X", "app:{}@tcp(db:3306)/x", "Server=db;User Id=a;Password={};",
        "host=db user=a password={} sslmode=require", "sshpass -p '{}' ssh h", "mysql -u root -p{} db", "curl -u app:{} https://h",
        "redis-cli -a {} ping", "machine h login a password {}", "password:\n  {}", "password: |\n  {}\nnext: 1",
        "password:\n----\n{}\n\nother:\n----\nx", '\\"password\\":\\"{}\\"', "&quot;password&quot;:&quot;{}&quot;", "+  password: {}",
        "openssl rsa -passin pass:{} -in x", "keytool -list -storepass {} -alias x", 'os.environ["DB_PASSWORD"] = "{}"',
    ],
)  # fmt: skip
def test_a_password_goes_in_every_spelling(line: str) -> None:
    gone(line.format(PASSWORD), PASSWORD)


@pytest.mark.parametrize(
    "line",
    [
        "api_key={}", "apiKey: '{}'", "X-Api-Key: {}", "Authorization: Bearer {}", "Authorization: Token {}", "authorization={}",
        '"clientSecret": "{}"', "https://h/hook?token={}&x=1", "https://{}@github.com/a/b.git", "//registry.npmjs.org/:_authToken={}",
        "the access token is {}", "Cookie: session={}; theme=dark", "AccountName=a;AccountKey={};EndpointSuffix=x", "kubectl --token={} get pods",
        "secret: {}", "ENV SECRET_KEY {}", "aws configure set aws_secret_access_key {}", "const apiToken = '{}';", 'token := "{}"',
        "NAME   TOKEN\nweb    {}\n", "| user | token |\n|---|---|\n| a | {} |\n", "user,token\nbob,{}\n", "vault login {}", '{{"token":{{"value":"{}"}}}}',
        "$ vault kv get -field=x secret/y\n{}\n", "$ kubectl get secret x -o jsonpath='{{.data.t}}'\n{}\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("secret", [TOKEN, HEX])
def test_a_token_goes_in_every_spelling(line: str, secret: str) -> None:
    gone(line.format(secret), secret)


@pytest.mark.parametrize("prefix", ["", "  ", "+", "2026-01-02T03:04:05Z "])
@pytest.mark.parametrize("cut", ["whole", "no end", "no begin"])
def test_key_blocks_go_also_when_they_are_cut(prefix: str, cut: str) -> None:
    lines = pem()
    body = lines[1:-1]
    shown = {"whole": lines, "no end": lines[:-1], "no begin": lines[1:]}[cut]
    text = "".join(f"{prefix}{line}\n" for line in shown) + f"{prefix}INFO after\n"
    gone(text, *body, keep=("INFO after",))


def test_key_blocks_go_on_one_escaped_line() -> None:
    lines = pem("")
    gone(json.dumps({"k": "\n".join(lines), "next": 1}), *lines[1:-1], keep=('"next": 1',))


@pytest.mark.parametrize("between", [" ", ":", ", ", '", "', "\t"])
def test_the_secret_key_beside_an_amazon_id_goes(between: str) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzQ9LdK4v3X"
    shown = DETECTOR.redact(f"AKIAQ3EGVLOHUQN2PBHT{between}{secret} and more\n").text
    assert secret not in shown and shown.endswith(" and more\n")


def test_a_public_key_and_a_certificate_stay() -> None:
    for kind in ("PUBLIC KEY", "CERTIFICATE"):
        text = "\n".join([f"-----BEGIN {kind}-----", *pem()[1:-1], f"-----END {kind}-----"])
        assert DETECTOR.redact(text).text == text


def secret_manifest() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "data": {"a": "eA==", "b.txt": BASE64},
        "kind": "Secret",
        "metadata": {"name": "n", "uid": "u"},
    }


def test_a_kubernetes_secret_shows_its_keys_alone() -> None:
    for text in (
        json.dumps(secret_manifest()), json.dumps(secret_manifest(), indent=2), json.dumps(json.dumps(secret_manifest())),
        f"apiVersion: v1\ndata:\n  a: eA==\n  b.txt: {BASE64}\nkind: Secret\nmetadata:\n  name: n\n",
        f"kind: Secret\nstringData:\n  a: 'eA=='\n  b.txt: |\n    {BASE64}\n    more\nmetadata: {{name: n}}\n",
        f"items:\n- kind: ConfigMap\n  data:\n    plain: text\n- data:\n    a: eA==\n    b.txt: {BASE64}\n  kind: Secret\n",
    ):  # fmt: skip
        shown = gone(text, "eA==", BASE64, keep=("b.txt", "Secret"))
        assert "plain" not in text or "plain: text" in shown


@pytest.mark.parametrize(
    "encode", [lambda t: base64.b64encode(t.encode()).decode(), lambda t: urllib.parse.quote(t, safe="")]
)
def test_one_encoding_deep_is_not_hidden(encode) -> None:  # type: ignore[no-untyped-def]
    inner = json.dumps({"password": PASSWORD, "token": TOKEN})
    text = f"payload={encode(inner)} done"
    gone(text, encode(PASSWORD).rstrip("=")[:12], TOKEN, keep=("done",))


@pytest.mark.parametrize(
    "text",
    [
        "if password == '': raise ValueError('give one')", "PASSWORD=''; start the-server", 'login(password="") # none',
        "id=6f1c2b9e-3d44-4c1a-9a55-0b7e3a1d2c3f", f"commit {HEX}", f"image: r/x@sha256:{hexadecimal(64)}", f"trace_id={hexadecimal(32)}",
        "pod/web-7d9c5b6f8d-x2x9k Running", 'resourceVersion: "3878695301"', "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ" + machine_made(43) + " a@b", f"checksum/secret: {hexadecimal(64)}", f'etag: "{hexadecimal(32)}"',
        "password: <password>", "password=${DB_PASSWORD}", "token: {{ .Values.token }}", "password: ********", "password: changeme", "secretKeyRef:\n  name: db\n  key: password",
        "password = os.environ['DB_PASSWORD']", "connect(user=user, password=password)", "const apiKey = config.get('apiKey');", "if password != confirm_password:",
        "The password must have at least 12 characters.", "token expired for session, refreshing", "invalid password for user root", "max_tokens: 4096", "keys=5180",
        "token_ttl: 3600", "secretName: web-tls", "password_file: /run/secrets/db", "public_key: ssh-rsa", "cache_key: user:42:profile", "type: kubernetes.io/service-account-token",
        "imagePullSecrets:\n- name: registry-pull", "Authorization: Bearer <token>", "https://user@host.example.com/path", f"go.sum h1:{machine_made(43)}=", "--token-primary: #12f04e;",
        "SELECT id, password_hash FROM users WHERE token = $1", "passwordHash := bcrypt.GenerateFromPassword([]byte(password), 12)", "auth_token = token_urlsafe(32)",
    ],
)  # fmt: skip
def test_ordinary_text_comes_through_untouched(text: str) -> None:
    assert DETECTOR.redact(text).text == text


def test_only_the_secret_goes() -> None:
    text = f'{{"host": "db", "password": "{PASSWORD}", "port": 5432}}'
    shown = json.loads(DETECTOR.redact(text).text)
    assert shown["host"] == "db" and shown["port"] == 5432 and shown["password"].startswith("[secret:password:")
    number = json.loads(DETECTOR.redact('{"password": 12345678, "port": 1}').text)
    assert number["password"].startswith("[secret:") and number["port"] == 1
