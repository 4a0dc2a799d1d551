"""The Docker engine: containers that are used once, made ahead, without network, rights or a writable tree.

The runtime is selectable: with gVisor (`runsc`) or Kata it is the VM-grade level. Access to Docker's socket is
root on the host, so it stays in the keeper; the server gets only the connection to one container's streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken

from . import image, seccomp
from .broker_loop import Rejected, start_time
from .bubblewrap import STRICT

if TYPE_CHECKING:
    from .settings import Settings

REPOSITORY = "interlock-sandbox"
LABEL = "interlock.sandbox"  # value: pid-start of the keeper that made it, by which leftovers are known
TOOLS_LABEL = "interlock.tools"  # on the image: what a step may name, if the build says so
_USER = "65534:65534"
_TIMEOUT = 60  # seconds for one request to the daemon
_START = "start Docker and let this user reach its socket, or set the engine to bubblewrap"


class Containers:
    """Makes boxes in threads, for the daemon is slow; the keeper's loop never waits for it."""

    name = "docker"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.docker_image:
            self._image, self.tools = settings.docker_image, frozenset(settings.tools)
        else:
            built = image.load(settings.folder)
            self._image, self.tools = f"{REPOSITORY}:{built.digest}", built.tools
        client = connect()
        try:
            _check(client, self._image, settings.runtime)
        finally:
            client.close()
        self._made: queue.SimpleQueue[_Attached | Rejected] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.making = 0

    def begin(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        own = os.getpid()
        self._owner = f"{own}-{start_time(own)}"
        self._client = connect()
        self._workers = ThreadPoolExecutor(2, "make")
        self._removers = ThreadPoolExecutor(2, "remove")
        self._live: set[str] = set()
        self._removers.submit(remove_leftovers)

    def want(self, count: int) -> None:
        with self._lock:
            self.making += count
        for _ in range(count):
            self._workers.submit(self._make)

    def made(self) -> _Attached | Rejected | None:
        try:
            return self._made.get_nowait()
        except queue.Empty:
            return None

    def _make(self) -> None:
        result: _Attached | Rejected
        try:
            result = self._create()
        except Exception as error:
            result = Rejected(f"Docker refused ({_words(error)})")
        with self._lock:
            self.making -= 1
        self._made.put(result)
        self._wake()

    def _create(self) -> _Attached:
        settings = self._settings
        api = self._client.api
        host = api.create_host_config(
            auto_remove=True,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true", f"seccomp={json.dumps(profile())}"],
            mem_limit=settings.memory,
            memswap_limit=settings.memory,
            pids_limit=settings.processes,
            nano_cpus=int(settings.cpu * 1_000_000_000),
            # its own mode and owner, for a tmpfs takes those of a directory that exists in the image
            tmpfs={"/tmp": f"size={settings.temporary},uid=65534,gid=65534,mode=0700,nosuid,nodev,noexec"},
            ulimits=_ulimits(settings.temporary),
            ipc_mode="none",
            log_config={"Type": "none", "Config": {}},
            oom_score_adj=500,
            runtime=settings.runtime or None,
        )
        container = api.create_container(
            self._image,
            list(image.COMMAND),
            user=_USER,
            stdin_open=True,
            network_disabled=True,
            hostname="sandbox",
            working_dir="/tmp",
            environment={},
            labels={LABEL: self._owner},
            host_config=host,
        )
        name = str(container["Id"])
        with self._lock:
            self._live.add(name)
        try:
            streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = api.attach_socket(name, streams)
            connection = os.dup(attached.fileno())
            attached.close()
            api.start(name)
        except BaseException:
            self._remove(name)
            raise
        return _Attached(self, name, connection)

    def let_go(self, name: str) -> None:
        self._removers.submit(self._remove, name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(Exception):  # it removes itself when it ends: gone already is as well
            self._client.api.remove_container(name, force=True)
        with self._lock:
            self._live.discard(name)

    def reap(self) -> None:
        """Nothing to collect: the daemon is their parent."""

    def finish(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)
        for name in list(self._live):
            self.let_go(name)
        self._removers.shutdown(wait=True)
        self._client.close()


class _Attached:
    kind = "attached"

    def __init__(self, owner: Containers, name: str, connection: int) -> None:
        self._owner, self._name, self._connection = owner, name, connection

    def descriptors(self) -> list[int]:
        return [self._connection]

    def alive(self) -> bool:
        """A container that has ended closes the connection; until a run begins it says one byte only."""
        try:
            peeked = socket.socket(fileno=os.dup(self._connection))
            with peeked:
                peeked.setblocking(False)
                return bool(peeked.recv(16, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def release(self) -> None:
        if self._connection >= 0:
            os.close(self._connection)
            self._connection = -1

    def end(self) -> None:
        self._owner.let_go(self._name)


def connect() -> Any:
    """A client of the daemon. Raises Broken, saying what to do, when there is none to reach."""
    try:
        import docker  # type: ignore[import-untyped]
    except ImportError:
        raise Broken("the Docker engine needs the `docker` package", hint="pip install docker") from None
    try:
        client = docker.from_env(timeout=_TIMEOUT)
        client.ping()
        return client
    except Exception as error:
        raise Broken(f"Docker cannot be reached ({_words(error)})", hint=_START) from None


def load_image(built: image.Image) -> str:
    """Give the built tree to the daemon as an image; returns its name. Raises Broken."""
    client = connect()
    name = f"{REPOSITORY}:{built.digest}"
    try:
        if not client.images.list(name=name):
            told = client.api.import_image_from_data(
                image.archive(built), REPOSITORY, built.digest, [f"LABEL {TOOLS_LABEL}=built"]
            )
            if "error" in str(told).lower():
                raise Broken("Docker did not take the image", hint="see the daemon's own log")
        others = [old for old in client.images.list(name=REPOSITORY) if name not in old.tags]
        for old in sorted(others, key=lambda each: str(each.attrs.get("Created")))[:-1]:  # servers may have the last
            with contextlib.suppress(Exception):  # still in use
                client.images.remove(old.id)
        return name
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"Docker did not take the image ({_words(error)})", hint="see the daemon's own log") from None
    finally:
        client.close()


def remove_leftovers() -> int:
    """Remove containers whose keeper is gone; returns how many. They end by themselves when their input closes,
    so there are some only where the daemon itself was interrupted."""
    client = connect()
    removed = 0
    try:
        for container in client.api.containers(all=True, filters={"label": LABEL}):
            pid, _, started = container["Labels"].get(LABEL, "").partition("-")
            if not pid.isdigit() or start_time(int(pid)) != int(started or 0):
                with contextlib.suppress(Exception):
                    client.api.remove_container(container["Id"], force=True)
                    removed += 1
    finally:
        client.close()
    return removed


def profile() -> dict[str, Any]:
    """Our seccomp filter in Docker's form. No sockets of any kind; namespaces and mounts fall under its list."""
    flags = [1 << bit for bit in range(32) if seccomp.NEW_NAMESPACES & (1 << bit)]
    namespaces = [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"} for flag in flags]
    refused = sorted({*seccomp.NEVER.split(), *STRICT.split(), "socket", "connect"})
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            *({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [test]} for test in namespaces),
        ],
    }


def _check(client: Any, name: str, runtime: str) -> None:
    try:
        found = client.images.list(name=name)
        runtimes = client.info().get("Runtimes") or {}
    except Exception as error:
        raise Broken(f"Docker does not answer as it should ({_words(error)})", hint=_START) from None
    if not found:
        raise Broken(f"Docker has no image {name}", hint="run `interlock sandbox build`")
    if runtime and runtime not in runtimes:
        raise Broken(f"Docker has no runtime {runtime!r}", hint=f"it has: {', '.join(sorted(runtimes))}")


def _ulimits(size: int) -> list[Any]:
    from docker.types import Ulimit  # type: ignore[import-untyped]

    values = {"nofile": 256, "fsize": size, "core": 0}
    return [Ulimit(name=name, soft=value, hard=value) for name, value in values.items()]


def _words(error: Exception) -> str:
    """What went wrong, in a few words: Docker's own explanation, or the kind of error."""
    told = str(getattr(error, "explanation", "") or type(error).__name__)
    return " ".join(told.split())[:200]
