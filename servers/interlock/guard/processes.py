"""Which process is meant: a pid alone is reused, so it is always named with its start time and the boot.

For settling, snapshots and chains. Not for starting or ending processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path


def process_start(pid: int) -> int | None:
    """When the process started, in a unit that only equality makes sense for; None when it is gone.

    Linux: clock ticks since boot. A zombie counts as gone: it can do nothing any more.
    """
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold spaces and parentheses
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    shown = subprocess.run(
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "TZ": "UTC"},
        check=False,
    ).stdout.split()
    if len(shown) < 6 or shown[0].startswith("Z"):
        return None
    import calendar
    import time

    return calendar.timegm(time.strptime(" ".join(shown[1:6]), "%a %b %d %H:%M:%S %Y"))


@cache
def boot() -> str:
    """Names this boot of the machine: what was not synced may be gone after another one."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return subprocess.run(
        ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, env={}, check=False
    ).stdout.strip()


def alive(pid: int, start: int, booted: str) -> bool:
    """Whether the process that was noted under these three still runs."""
    return booted == boot() and process_start(pid) == start


def myself() -> tuple[int, int, str]:
    """Pid, start and boot of this process, as others will look for it."""
    pid = os.getpid()
    return pid, _own_start(pid), boot()


@cache
def _own_start(pid: int) -> int:
    return process_start(pid) or 0


os.register_at_fork(after_in_child=_own_start.cache_clear)
