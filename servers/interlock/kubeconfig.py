"""What the kubeconfig says of the policy's contexts: where their servers are, and which programs give credentials.

Read once, before the process is confined; credentials are not kept. kubectl itself reads the file at each call.
Beside the guard, because two servers reach clusters: kubectl, and logs for what pods print.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from interlock.guard.errors import Broken, Code, Refused
from interlock.untrusted import one_line


class Clusters(Protocol):
    """What is needed of the policy's `kubectl` section."""

    @property
    def kubeconfig(self) -> Path | None: ...

    @property
    def contexts(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The facts. `missing`: contexts of the policy that the file does not have."""

    path: Path
    ports: tuple[int, ...] = ()
    files: tuple[Path, ...] = ()  # certificates and tokens that it points at
    plugins: tuple[Path, ...] = ()  # programs that give credentials
    proxied: frozenset[str] = frozenset()  # contexts whose cluster has a proxy-url
    missing: frozenset[str] = frozenset()
    problem: str = ""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    minting: Mapping[str, Any] = field(default_factory=dict)  # clusters of the contexts with a `service_account`

    @property
    def minted(self) -> Path:
        """The kubeconfig that `cluster_program` writes for them: of its own, as other policies may have others."""
        told = json.dumps([str(self.path), self.minting], sort_keys=True, default=str)
        return cache_folder() / f"minting-{hashlib.sha256(told.encode()).hexdigest()[:16]}.kubeconfig"

    def options(self, section: Clusters, context: str) -> list[str]:
        """What every request to a context says of it. Raises Broken and Refused where it cannot be used."""
        if self.problem:
            raise Broken(self.problem, hint="a person mends the kubeconfig that the policy names")
        if context in self.missing:
            raise Broken(
                f"the kubeconfig has no context {one_line(context, 60)}",
                hint="a person adds it to the kubeconfig, or takes it out of the policy, and restarts the server",
            )
        place = section.contexts.get(context)
        if context in self.proxied and not (place is not None and place.proxy):
            raise Refused(
                Code.OUT_OF_BOUNDS,
                "the kubeconfig sends this cluster's requests through a proxy, which the policy does not allow",
                hint="a person sets `proxy: true` for the context in the policy",
            )
        as_user = place.impersonate if place is not None else None
        path = self.minted if context in self.minting else self.path
        return [f"--kubeconfig={path}", f"--context={context}", *([f"--as={as_user}"] if as_user else [])]


def cache_folder() -> Path:
    """Where kubectl keeps what it learned of each server's kinds: a folder of its own, outside the guard's home."""
    home = Path(os.environ.get("HOME") or Path.home())
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "interlock-kubectl"


def path_of(section: Clusters) -> Path:
    """The policy's kubeconfig, else the usual place."""
    home = Path(os.environ.get("HOME") or Path.home())
    return section.kubeconfig or home / ".kube" / "config"


def read(section: Clusters) -> Kubeconfig:
    """Look at the file. What is wrong with it is told in `problem`: calls then refuse with it. Never raises."""
    path = path_of(section)
    try:
        return _facts(path, section, _load(path))
    except Broken as broken:
        return Kubeconfig(path, missing=frozenset(section.contexts), problem=broken.message)


def _load(path: Path) -> Any:
    from interlock.documents import DocumentError, load_documents

    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise Broken(f"the kubeconfig cannot be read ({type(error).__name__})") from None
    try:
        documents = load_documents(text, "json" if text.lstrip().startswith("{") else "yaml")
    except DocumentError as error:
        raise Broken(f"the kubeconfig cannot be understood: line {error.line}: {error.message}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Broken("the kubeconfig holds no single document")
    return documents[0]


def _facts(path: Path, section: Clusters, config: Mapping[str, Any]) -> Kubeconfig:
    clusters, users = _named(config, "clusters", "cluster"), _named(config, "users", "user")
    contexts = _named(config, "contexts", "context")
    ports: set[int] = set()
    files: list[Path] = []
    plugins: list[Path] = []
    proxied: set[str] = set()
    minting: dict[str, Any] = {}
    for name in section.contexts:
        context = contexts.get(name)
        if context is None:
            continue
        cluster, user = clusters.get(str(context.get("cluster")), {}), users.get(str(context.get("user")), {})
        server = urlsplit(str(cluster.get("server") or ""))
        ports.add(server.port or (80 if server.scheme == "http" else 443))
        if cluster.get("proxy-url"):
            proxied.add(name)
            ports.add(urlsplit(str(cluster["proxy-url"])).port or 3128)
        for entry, key in (
            (cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key"), (user, "tokenFile")
        ):  # fmt: skip
            if isinstance(entry.get(key), str):
                files.append(path.parent / Path(entry[key]).expanduser())
        account = getattr(section.contexts[name], "service_account", None)
        if account:
            minting[name] = {"account": account, "cluster": _absolute(cluster, path.parent)}
        plugin = user.get("exec")
        if isinstance(plugin, dict) and isinstance(plugin.get("command"), str):
            found = shutil.which(plugin["command"]) or str(path.parent / plugin["command"])
            plugins.append(Path(found).absolute())
    missing = frozenset(section.contexts) - frozenset(contexts)
    return Kubeconfig(
        path, tuple(sorted(ports)), tuple(dict.fromkeys(files)), tuple(dict.fromkeys(plugins)), frozenset(proxied),
        missing, minting=minting,
    )  # fmt: skip


def _absolute(cluster: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The cluster's entry for a kubeconfig in another folder."""
    authority = cluster.get("certificate-authority")
    return {**cluster, **({"certificate-authority": str(folder / authority)} if isinstance(authority, str) else {})}


def minting_config(facts: Kubeconfig, kubectl: Path) -> dict[str, Any]:
    """A kubeconfig whose users are kubectl itself: it asks, as the user of the real one, for a token of ten minutes.

    The token goes from one kubectl to the other; it is never stored, and neither the guard nor a command line holds it.
    """
    clusters, users, contexts = [], [], []
    for name, one in facts.minting.items():
        namespace, _, account = str(one["account"]).partition("/")
        words = [
            "create", "token", account, f"--namespace={namespace}", f"--kubeconfig={facts.path}", f"--context={name}",
            "--duration=10m", "--request-timeout=10s", f"--cache-dir={cache_folder()}", f"--output={_CREDENTIAL}",
        ]  # fmt: skip
        plugin = {"apiVersion": _EXEC, "command": str(kubectl), "args": words, "interactiveMode": "Never"}
        clusters.append({"name": name, "cluster": one["cluster"]})
        users.append({"name": name, "user": {"exec": plugin}})
        contexts.append({"name": name, "context": {"cluster": name, "user": name}})
    return {"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": contexts}


_EXEC: Final = "client.authentication.k8s.io/v1"
_CREDENTIAL: Final = (
    'go-template={"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":'
    '{"token":"{{.status.token}}","expirationTimestamp":"{{.status.expirationTimestamp}}"}}'
)


def _named(config: Mapping[str, Any], key: str, inner: str) -> dict[str, dict[str, Any]]:
    entries = config.get(key)
    found: dict[str, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get(inner), dict):
            found.setdefault(str(entry.get("name")), entry[inner])
    return found
