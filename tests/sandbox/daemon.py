"""Docker's daemon for tests: one of our own, apart from the machine's, where we may start one; else the machine's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.guard.errors import Broken
from interlock.sandbox.containers import connect

HOW = "needs Docker: apt-get install docker.io (dockerd, containerd, runc), run by root"
GVISOR = "needs gVisor: apt-get install runsc (Debian 13 or newer)"
_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"


def reachable() -> bool:
    try:
        connect().close()
    except Broken:
        return False
    return True


@contextmanager
def docker_daemon() -> Iterator[bool]:
    """True while a daemon answers. Ours has no bridge, a folder and a socket of its own, and a second runtime, "other",
    and goes at the end with all that it held."""
    program = shutil.which("dockerd", path=_PATH)
    if program is None or shutil.which("containerd", path=_PATH) is None or os.geteuid() != 0:
        yield reachable()
        return
    with tempfile.TemporaryDirectory(prefix="interlock-dockerd-", ignore_cleanup_errors=True) as scratch:
        runtimes = {"other": {"path": "runc"}}
        if gvisor := shutil.which("runsc", path=_PATH):
            runtimes["runsc"] = {"path": gvisor, "runtimeArgs": ["--platform=systrap", "--network=none"]}  # type: ignore[dict-item]
        Path(scratch, "daemon.json").write_text(json.dumps({"runtimes": runtimes}))
        host = f"unix://{scratch}/docker.sock"
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--config-file={scratch}/daemon.json"]
        options += [f"--host={host}", f"--data-root={scratch}/data", f"--exec-root={scratch}/exec"]
        with Path(scratch, "log").open("wb") as log:
            daemon = subprocess.Popen(
                [program, *options, f"--pidfile={scratch}/pid"], stdout=log, stderr=log, start_new_session=True
            )
        before = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = host
        try:
            deadline = time.monotonic() + 60
            while daemon.poll() is None and not reachable() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield reachable()
        finally:
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
