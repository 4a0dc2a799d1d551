"""The embedded engine: bubblewrap. Namespaces without network, a read-only tree, /tmp in memory, seccomp, Landlock's
network and signal scopes, and control groups where we may make them (else rlimits).

Root's sandboxes run as an unprivileged uid of their own: run as root, a mapped uid would still be root to files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken

from . import image, kernel, landlock, seccomp
from .broker_loop import Rejected, kill_group, wait_for_any
from .cgroups import Group, Groups
from .children import spawn

if TYPE_CHECKING:
    from .settings import Settings

_INSTALL = "install it (Debian, Ubuntu: apt-get install bubblewrap), or set the engine to docker"
# Uids that systemd sets aside for services without an account: no file belongs to them.
_FIRST_UID, _UIDS = 61184, 4096
_PIPE = 1 << 20
_SECCOMP_FD = 3
# On top of what no program of ours may do: no text tool needs one of these.
STRICT = (
    "socketpair bind listen accept accept4 shmget msgget semget mq_open mknod mknodat setxattr lsetxattr fsetxattr "
    "inotify_init inotify_init1 fanotify_mark setpriority ioprio_set sched_setscheduler sched_setattr "
    "pidfd_open pidfd_send_signal landlock_create_ruleset memfd_create"
)


class Bubblewrap:
    """Makes boxes by fork and exec; single-threaded."""

    name = "bubblewrap"

    def __init__(self, settings: Settings) -> None:
        if not kernel.LINUX:
            raise Broken(f"bubblewrap needs Linux, and this is {kernel.system()}", hint="set the engine to docker")
        found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
        if found is None:
            raise Broken("bubblewrap is not installed on this machine", hint=_INSTALL)
        if not seccomp.supported():
            raise Broken(f"there is no seccomp filter for {kernel.machine()}", hint="set the engine to docker")
        self._image = image.load(settings.folder)
        self.tools = self._image.tools
        self._settings = settings
        self._executable = Path(found)
        self._filter = seccomp.build(network=False, unix_sockets=False, also=STRICT.split())
        self._argv = _argv(self._image.root, settings.temporary, _version(self._executable) >= (0, 8))
        _try_namespaces(self._executable, self._image.root)
        self._groups: Groups | None = None
        self._free: list[Group] = []
        self._boxes: dict[int, _Pipes] = {}
        self._made: deque[_Pipes | Rejected] = deque()
        self._count = 0
        self.making = 0

    def begin(self, wake: Callable[[], None]) -> None:
        kernel.adopt_orphans()
        kernel.drop_capabilities(kernel.FILE_CAPABILITIES | _SWITCH_USER)
        self._groups = Groups(self._settings.memory, self._settings.processes, self._settings.cpu)

    def want(self, count: int) -> None:
        for _ in range(count):
            try:
                self._made.append(self._make())
            except OSError as error:
                self._made.append(Rejected(f"the system refused ({error.strerror})"))

    def made(self) -> _Pipes | Rejected | None:
        return self._made.popleft() if self._made else None

    def _make(self) -> _Pipes:
        group = self._group()
        self._count += 1
        uid = _FIRST_UID + (os.getpid() * 16 + self._count) % _UIDS if os.geteuid() == 0 else None
        theirs: list[int] = []
        ours: list[int] = []
        try:
            for number in range(3):
                reader, writer = os.pipe()
                theirs.append(reader if number == 0 else writer)
                ours.append(writer if number == 0 else reader)
                with contextlib.suppress(OSError, AttributeError):
                    _widen(writer)
            filter_ = os.memfd_create("seccomp")
            theirs.append(filter_)
            os.write(filter_, self._filter)
            os.lseek(filter_, 0, os.SEEK_SET)
            limits = {"files": 256, "file_size": self._settings.temporary, "core": 0}
            if group is None:
                limits["memory"] = self._settings.memory
            pid = spawn(
                self._executable,
                self._argv,
                {},
                {0: theirs[0], 1: theirs[1], 2: theirs[2], _SECCOMP_FD: filter_},
                directory=None,
                before=lambda: _step_down(group, uid),
                limits=limits,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            if group is not None:
                self._free.append(group)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        box = self._boxes[pid] = _Pipes(pid, ours, group)
        return box

    def _group(self) -> Group | None:
        if self._free:
            return self._free.pop()
        return self._groups.make() if self._groups is not None and self._groups.places else None

    def reap(self) -> None:
        while True:
            pid, _ = wait_for_any(lambda pid: pid in self._boxes)
            if not pid:
                return
            box = self._boxes.pop(pid, None)
            if box is not None:
                box.ended = True
                if box.group is not None:
                    self._free.append(box.group)

    def finish(self) -> None:
        for box in list(self._boxes.values()):
            box.end()
        with contextlib.suppress(ChildProcessError):
            while self._boxes:
                os.waitpid(-1, 0)
        groups = [*self._free, *(box.group for box in self._boxes.values() if box.group is not None)]
        for group in groups:
            group.remove()


class _Pipes:
    kind = "pipes"

    def __init__(self, pid: int, descriptors: list[int], group: Group | None) -> None:
        self.pid = pid
        self.group = group
        self.ended = False
        self._descriptors = descriptors

    def descriptors(self) -> list[int]:
        return self._descriptors

    def alive(self) -> bool:
        return not self.ended

    def release(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def end(self) -> None:
        if not self.ended:
            kill_group(self.pid)  # the first process inside dies with it, and everything with that


# KILL, SETGID, SETUID: to run sandboxes as somebody else, and to end them.
_SWITCH_USER = (1 << 5) | (1 << 6) | (1 << 7)


def _step_down(group: Group | None, uid: int | None) -> None:
    """In the child, before bubblewrap: into the group, out of every right."""
    parent = os.getppid()
    if group is not None:
        group.enter()
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        kernel.die_with_parent(signal.SIGKILL)  # the change of user has cleared it
        if os.getppid() != parent:
            os._exit(1)
    kernel.no_new_privileges()
    if landlock.abi() >= 4:  # files would forbid bubblewrap its mounts; network and signals it may do without
        landlock.restrict((), files=False)


def _argv(root: Path, temporary: int, nested: bool) -> list[str]:
    walls = "--unshare-user --unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL --hostname sandbox"
    argv = [*walls.split(), *(["--disable-userns"] if nested else []), "--ro-bind", str(root), "/"]
    for name in ("null", "zero", "full", "random", "urandom"):
        argv += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    argv += ["--size", str(temporary), "--tmpfs", "/tmp", "--chdir", "/tmp", "--seccomp", str(_SECCOMP_FD), "--"]
    return [*argv, *image.COMMAND]


def _try_namespaces(executable: Path, root: Path) -> None:
    """Raises Broken where this user may not make namespaces: some systems and most containers forbid it."""
    walls = ["--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", str(root), "/"]
    argv = [str(executable), *walls, "--", image.PYTHON, "-I", "-S", "-E", "-c", ""]
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_nobody = {"user": _FIRST_UID, "group": _FIRST_UID, "extra_groups": []}
    try:
        done = subprocess.run(argv, capture_output=True, timeout=20, check=False, env={}, cwd="/", **as_nobody)
    except (OSError, subprocess.SubprocessError) as error:
        raise Broken(f"bubblewrap cannot be started ({type(error).__name__})", hint=_INSTALL) from None
    if done.returncode:
        said = done.stderr.decode("ascii", "replace").strip().splitlines()
        raise Broken(
            f"bubblewrap cannot make a sandbox here ({said[-1][:200] if said else done.returncode})", hint=_namespaces()
        )


def _namespaces() -> str:
    """What most likely forbids it, and the way out."""
    for name, forbids, hint in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "give bwrap an AppArmor profile that allows userns"),
        ("kernel/unprivileged_userns_clone", "0", "set kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "set user.max_user_namespaces above 0"),
    ):
        with contextlib.suppress(OSError):
            if Path("/proc/sys", name).read_text("utf-8").strip() == forbids:
                return f"{hint}, or set the engine to docker"
    where = "a container without the right to make namespaces" if kernel.in_container() else "this system"
    return f"{where} does not let it; set the engine to docker"


def _version(executable: Path) -> tuple[int, ...]:
    told = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    return tuple(int(part) for part in told.split()[-1].split(".")[:2]) if told else (0,)


def _widen(descriptor: int) -> None:
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
