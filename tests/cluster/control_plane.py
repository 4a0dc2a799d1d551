"""A real Kubernetes control plane for tests: etcd, API server, controllers, scheduler; kwok for nodes; metrics.

Built once per version from the pinned Go module beside this file, into a cache folder outside the repository. Each
cluster listens on loopback only, on ports of its own, and ends with the process that started it.

    python tests/cluster/control_plane.py build | run FOLDER
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

MODULE = Path(__file__).resolve().parent
KUBERNETES = "v1.36.3"
COMMANDS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "etcd": "go.etcd.io/etcd/server/v3",
}
TOKENS = {  # user: (token, groups); a test cluster's own, worth nothing elsewhere
    "admin": ("admin-token", "system:masters"),
    "controllers": ("controllers-token", "system:masters"),
    "scheduler": ("scheduler-token", "system:masters"),
    "kwok": ("kwok-token", "system:masters"),
    "limited": ("limited-token", "limited"),
}


_CONTEXT = ssl._create_unverified_context()  # loopback; its certificate is a second old


def cache() -> Path:
    """Where the binaries lie, by the content of the module's go.sum: a new version is a new folder."""
    base = os.environ.get("INTERLOCK_TEST_CACHE") or Path.home() / ".cache" / "interlock-tests"
    mark = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    return Path(base) / f"control-plane-{mark}"


def missing() -> str:
    """Why no cluster can be had here; empty where one can."""
    if all((cache() / name).exists() for name in COMMANDS):
        return ""
    return (
        ""
        if shutil.which("go")
        else "no Go toolchain to build a control plane: apt-get install golang, or set KUBECONFIG"
    )


def build() -> Path:
    """Build what is not in the cache yet: minutes the first time, nothing afterwards."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    major, minor = KUBERNETES.lstrip("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    flags = f"-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    for name, package in COMMANDS.items():
        target = folder / name
        if target.exists():
            continue
        made = folder / f"{name}.new-{os.getpid()}"
        command = ["go", "build", "-trimpath", "-ldflags", flags, "-o", os.fspath(made), package]
        subprocess.run(command, cwd=MODULE, check=True, env={**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false"})
        made.rename(target)
    return folder


@dataclass
class ControlPlane:
    """One running cluster. `kubeconfig` is the administrator's; `kubeconfig_of(user)` gives others."""

    folder: Path
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> ControlPlane:
        binaries = build()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, etcd_port, peer_port, kubelet_port, scheduler_port, manager_port = _free_ports(6)
        self._write_tokens()
        _run(["openssl", "genrsa", "-out", os.fspath(self.folder / "sa.key"), "2048"])
        front = f"-keyout {self.folder}/front.key -out {self.folder}/front.crt"  # the aggregation layer's own
        _run(f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=aggregator {front}".split())
        etcd = f"http://127.0.0.1:{etcd_port}"
        self._spawn(
            binaries / "etcd",
            f"--data-dir={self.folder}/etcd --listen-client-urls={etcd} --advertise-client-urls={etcd}"
            f" --listen-peer-urls=http://127.0.0.1:{peer_port} --unsafe-no-fsync --log-level=error",
        )
        self._spawn(
            binaries / "kube-apiserver",
            f"--etcd-servers={etcd} --secure-port={self.port} --bind-address=127.0.0.1 --advertise-address=127.0.0.1"
            f" --cert-dir={self.folder}/certs --token-auth-file={self.folder}/tokens.csv --authorization-mode=RBAC"
            f" --service-account-issuer=https://kubernetes.default.svc --service-account-key-file={self.folder}/sa.key"
            f" --service-account-signing-key-file={self.folder}/sa.key --service-cluster-ip-range=10.0.0.0/24"
            " --endpoint-reconciler-type=none --allow-privileged=true --profiling=false"
            " --kubelet-preferred-address-types=InternalIP"
            f" --requestheader-client-ca-file={self.folder}/front.crt --proxy-client-cert-file={self.folder}/front.crt"
            f" --proxy-client-key-file={self.folder}/front.key --requestheader-username-headers=X-Remote-User"
            " --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra-",
        )
        self._wait_for("/readyz")
        for user in TOKENS:
            self.kubeconfig_of(user)
        self._spawn(
            binaries / "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig_of('controllers')} --bind-address=127.0.0.1 --secure-port={manager_port}"
            f" --cert-dir={self.folder}/certs --service-account-private-key-file={self.folder}/sa.key"
            f" --leader-elect=false --root-ca-file={self.folder}/certs/apiserver.crt --profiling=false",
        )
        self._spawn(
            binaries / "kube-scheduler",
            f"--kubeconfig={self.kubeconfig_of('scheduler')} --bind-address=127.0.0.1 --secure-port={scheduler_port}"
            f" --cert-dir={self.folder}/certs --leader-elect=false --profiling=false",
        )
        self._spawn(
            binaries / "kwok",
            f"--kubeconfig={self.kubeconfig_of('kwok')} --manage-all-nodes=true --node-ip=127.0.0.1"
            f" --node-port={kubelet_port} --server-address=127.0.0.1:{kubelet_port} --config={self._write_stages()}"
            f" --tls-cert-file={self.folder}/certs/apiserver.crt"
            f" --tls-private-key-file={self.folder}/certs/apiserver.key"
            f" --node-lease-duration-seconds=40 --cidr=10.1.0.0/16",
        )
        return self

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        """A kubeconfig with one context named `test` for that user of TOKENS."""
        path = self.folder / f"{user}.kubeconfig"
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": f"{self.folder}/certs/apiserver.crt",
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": TOKENS[user][0]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        if not path.exists():
            path.write_text(json.dumps(config))
            path.chmod(0o600)
        return path

    def stop(self) -> None:
        """End every process of the cluster, the last started first, and wait for each."""
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> ControlPlane:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, program: Path, options: str) -> None:
        log = (self.folder / f"{program.name}.log").open("wb")
        command = [os.fspath(program), *options.split()]
        with log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, preexec_fn=_die_with_parent
            )
        self.processes.append(process)

    def serve_metrics(self) -> None:
        """From now on this cluster serves metrics.k8s.io, of nodes that tell kwok's path of them; soon, not at once."""
        (port,) = _free_ports(1)
        admin = self.kubeconfig_of("admin")
        self._spawn(
            cache() / "metrics-server",
            f"--kubeconfig={admin} --authentication-kubeconfig={admin} --authorization-kubeconfig={admin}"
            f" --bind-address=127.0.0.1 --secure-port={port} --cert-dir={self.folder}/metrics-certs"
            " --kubelet-insecure-tls --kubelet-use-node-status-port --kubelet-preferred-address-types=InternalIP"
            " --metric-resolution=10s --kubelet-request-timeout=5s",
        )
        service = {"externalName": "localhost", "type": "ExternalName", "ports": [{"port": port}]}
        place = {"name": "metrics-server", "namespace": "kube-system"}
        self._create("/api/v1/namespaces/kube-system/services", {"metadata": place, "spec": service})
        offered = {
            "group": "metrics.k8s.io", "version": "v1beta1", "service": {**place, "port": port},
            "insecureSkipTLSVerify": True, "groupPriorityMinimum": 100, "versionPriority": 100,
        }  # fmt: skip
        made = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": offered}
        self._create("/apis/apiregistration.k8s.io/v1/apiservices", made)

    def pod_log(self, *lines: str) -> None:
        """From now on every container of this cluster has logged these lines."""
        text = "".join(f"2026-01-01T00:00:00.000000000Z stdout F {line}\n" for line in lines)
        (self.folder / "pod.log").write_text(text)

    def _write_stages(self) -> Path:
        self.pod_log("started")
        path = self.folder / "kwok.yaml"
        path.write_text((MODULE / "kwok.yaml").read_text().replace("LOGS_FILE", f"{self.folder}/pod.log"))
        return path

    def _write_tokens(self) -> None:
        lines = [f'{token},{user},{user},"{groups}"' for user, (token, groups) in TOKENS.items()]
        path = self.folder / "tokens.csv"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)

    def _request(self, path: str) -> urllib.request.Request:
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}")
        request.add_header("Authorization", f"Bearer {TOKENS['admin'][0]}")
        return request

    def _create(self, path: str, body: dict[str, object]) -> None:
        request = self._request(path)
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, json.dumps(body).encode(), 10, context=_CONTEXT).close()

    def _wait_for(self, path: str, seconds: float = 90.0) -> None:
        request = self._request(path)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(process.poll() is not None for process in self.processes):
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=2, context=_CONTEXT) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        logs = {p.name: p.read_text(errors="replace")[-800:] for p in self.folder.glob("*.log")}
        raise RuntimeError(f"the control plane did not come up: {logs}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _die_with_parent() -> None:
    """Linux: when the tests are killed, so is the cluster."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["build"]:
        print(build())  # noqa: T201
    elif sys.argv[1:2] == ["run"]:
        with ControlPlane(Path(sys.argv[2]).resolve()) as plane:
            print(plane.kubeconfig, flush=True)  # noqa: T201
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
