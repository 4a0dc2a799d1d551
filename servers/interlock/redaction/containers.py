"""Files that are known to hold secrets: their key names may be seen, their values never, whatever they look like."""
# ruff: noqa: E501

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from .names import STRONG, classify
from .spans import Found

_HEAD: Final = 65536
_EXAMPLES: Final = re.compile(r"(?i)[._-](?:example|sample|template|dist|tmpl|tpl|schema|defaults?)(?:[._-]|$)")


def known_container(path: str, head: str = "") -> str | None:
    """What kind of secret file this is, by its path or by how it begins; None where it is none."""
    name = PurePosixPath(path.replace("\\", "/")).name.lower()
    if _EXAMPLES.search(name):
        return None
    lower = path.replace("\\", "/").lower()
    if re.fullmatch(r"\.env(?:rc|\..*)?|.*\.env|env\.(?:local|production|prod|secret)", name):
        return "env"
    if lower.endswith(".kube/config") or "kubeconfig" in name:
        return "kubeconfig"
    if lower.endswith(".docker/config.json") or name in (".dockercfg", ".dockerconfigjson", "auth.json"):
        return "dockerconfig"
    if ".tfstate" in name:
        return "tfstate"
    if name.endswith((".tfvars", ".tfvars.json")):
        return "tfvars"
    if lower.endswith(".aws/credentials") or name in (".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".my.cnf", ".git-credentials", "credentials.toml", ".htpasswd", ".s3cfg", ".boto"):  # fmt: skip
        return "credentials"
    if re.fullmatch(r"values(?:[._-].*)?\.ya?ml|.*[._-]values\.ya?ml", name):
        return "helm-values"
    return _by_head(head[:_HEAD]) if head else None


def _by_head(head: str) -> str | None:
    if re.search(r"(?m)^[\s\"{]{0,4}kind[\"']?\s{0,4}:\s{0,4}[\"']?Secret\b", head):
        return "k8s-secret"
    if re.search(r"(?m)^[\s\"{]{0,4}kind[\"']?\s{0,4}:\s{0,4}[\"']?Config\b", head) and re.search(
        r"\bclusters\b", head
    ):
        return "kubeconfig"
    if re.search(r"\"type\"\s{0,4}:\s{0,4}\"service_account\"", head):
        return "service-account"
    if re.search(r"^\s{0,8}\{\s{0,8}\"(?:auths|credHelpers|credsStore)\"\s{0,4}:", head):
        return "dockerconfig"
    if '"terraform_version"' in head and '"lineage"' in head:
        return "tfstate"
    return None


_ENV: Final = re.compile(
    rb"(?m)^[ \t]{0,40}(?:export[ \t]{1,8}|set[ \t]{1,8})?([A-Za-z_][\w.-]{0,200})[ \t]{0,8}[=:][ \t]{0,8}"
    rb"(?:\"((?:[^\"\\]|\\.)*+)\"|'([^']*+)'|([^\s#][^\r\n]*))"
)
_PAIR: Final = re.compile(
    rb"(?m)(?:^[ \t]{0,200}(?:- {1,8})?|[{,][ \t\r\n]{0,200})([\"']?)([\w./-]{1,200})\1[ \t]{0,8}[:=][ \t]{0,8}"
    rb"(?:\"((?:[^\"\\\n]|\\.)*+)\"|'([^'\n]*+)'|([^\s#\"'\[{|>&*!][^\r\n,}]*))"
)
_ANYWHERE: Final = re.compile(rb"(?<![\w.-])[A-Za-z_][\w.-]{0,100}[\"']?[=:][ \t]?[\"']?([^\s\"',;=&]{1,400})")
_KUBECONFIG: Final = frozenset(
    b"token password client-key-data client-certificate-data access-token id-token refresh-token client-secret secret cookie tokenfile".split()
)
_DOCKER: Final = frozenset(b"auth password identitytoken registrytoken secret token".split())
_ACCOUNT_OPEN: Final = frozenset(
    b"type auth_uri token_uri auth_provider_x509_cert_url client_x509_cert_url universe_domain project_id".split()
)
_EMPTY: Final = frozenset((b"", b"null", b"~", b"true", b"false", b"{}", b"[]", b"none"))


def container_spans(data: bytes, container: str) -> list[Found]:
    """Every value that this kind of file hides, judged by its name alone."""
    found: list[Found] = []
    if container == "source":  # `key=value` anywhere in a line
        return [Found(*match.span(1), "value") for match in _ANYWHERE.finditer(data)]
    for match in (_ENV if container == "env" else _PAIR).finditer(data):
        groups = match.lastindex or 0
        start, end = match.span(groups)
        value = data[start:end].rstrip()
        name = match.group(1 if container == "env" else 2)
        if value.rstrip(b",;").lower() in _EMPTY or not _hides(container, name):
            continue
        if groups == (4 if container == "env" else 5):
            value = value.partition(b" #")[0].rstrip(b" ,;")
        found.append(Found(start, start + len(value), "value" if container == "env" else "secret"))
    return found


def _hides(container: str, name: bytes) -> bool:
    lower = name.lower()
    if container == "env":
        return True
    if container == "kubeconfig":
        return lower in _KUBECONFIG
    if container == "dockerconfig":
        return lower in _DOCKER
    if container == "service-account":
        return lower not in _ACCOUNT_OPEN
    return classify(name)[0] >= STRONG


def keys_only(text: str, container: str) -> str:
    """The key names of a secret file, one a line, in order; nothing of any value. Unreadable files give no lines."""
    data = text.encode("utf-8", "surrogatepass")
    if container in ("env", "tfvars", "credentials"):
        return "".join(f"{match.group(1).decode()}\n" for match in _ENV.finditer(data))
    return "".join(f"{path}\n" for path in _paths(_load(text), ""))


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        documents = list(YAML(typ="safe", pure=True).load_all(text))
    except (YAMLError, ValueError, RecursionError):
        return None
    return documents[0] if len(documents) == 1 else documents


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _paths(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _paths(one, f"{path}[{number}]")
    elif path:
        yield path
