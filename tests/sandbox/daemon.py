"""Docker's daemon for tests: the machine's own where it runs, else one of ours without bridge and iptables."""

from __future__ import annotations

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


def reachable() -> bool:
    try:
        connect().close()
    except Broken:
        return False
    return True


@contextmanager
def docker_daemon() -> Iterator[bool]:
    """True while a daemon answers. One that was not there before is stopped at the end."""
    if reachable():
        yield True
        return
    program = shutil.which("dockerd", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
    if program is None or shutil.which("containerd") is None:
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="interlock-dockerd-") as scratch:
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--pidfile={scratch}/pid"]
        with Path(scratch, "log").open("wb") as log:
            daemon = subprocess.Popen([program, *options], stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 30
            while daemon.poll() is None and not reachable() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield reachable()
        finally:
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
