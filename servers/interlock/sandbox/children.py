"""From the broker to a running program: the one place that forks and executes, and what a child may do.

Runs in a process without threads only: between fork and exec it opens, limits and confines, which is safe there
and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from . import kernel, landlock, seccomp
from .confine import loaders
from .landlock import EXECUTE, READ, WRITE, WRITE_FILE

_SYSTEM = (
    "/lib /lib64 /usr/lib /usr/lib64 /usr/libexec /usr/share /usr/local/lib /usr/local/share /etc/ld.so.cache "
    "/etc/localtime /etc/timezone /etc/nsswitch.conf /etc/passwd /etc/group /etc/ssl /etc/pki /etc/ca-certificates "
    "/dev/urandom /dev/random /dev/zero"
)
_NETWORK = "/etc/resolv.conf /etc/hosts /etc/host.conf /etc/gai.conf /etc/services /etc/protocols /run/systemd/resolve"
# What programs read that belongs to the system and to nobody: libraries, time zones, certificates, names.
SYSTEM = tuple(Path(place) for place in _SYSTEM.split())
# The same for programs with a network.
NETWORK = tuple(Path(place) for place in _NETWORK.split())

_FAILED_TO_START = 126
_LIMITS = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "files": resource.RLIMIT_NOFILE,
    "file_size": resource.RLIMIT_FSIZE,
    "memory": resource.RLIMIT_AS,
    "stack": resource.RLIMIT_STACK,
}
if hasattr(resource, "RLIMIT_NPROC"):
    _LIMITS["processes"] = resource.RLIMIT_NPROC


@dataclass(frozen=True, slots=True)
class Program:
    """One program that the broker may start, and its written confinement. Made from the policy, before the fork.

    `read`, `write`: places beside the system's own (`SYSTEM`); never state, keys or policy. `execute`: further
    programs that it may start itself (files or directories). `ports`: with `network`, the TCP ports it may
    connect to; empty is all. `unix_sockets`: it may connect to path sockets (an ssh agent, a daemon).
    `variables`: names that a request may set on top of `environment`. `limits`: core, cpu (s), files, file_size,
    memory, stack (bytes), processes (per user). `capabilities`: which of root's file capabilities it keeps.
    """

    executable: Path
    arguments: tuple[str, ...] = ()
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    execute: tuple[Path, ...] = ()
    network: bool = False
    ports: tuple[int, ...] = ()
    unix_sockets: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    capabilities: int = kernel.FILE_CAPABILITIES


@dataclass(frozen=True, slots=True)
class Table:
    """All that a broker will ever do: the programs that it starts and the files that it opens, by name."""

    programs: Mapping[str, Program]
    files: Mapping[str, Path]

    def write(self) -> dict[str, Any]:
        """As JSON values, for the way to the broker."""
        programs = {
            name: {field.name: _plain(getattr(program, field.name)) for field in fields(program)}
            for name, program in self.programs.items()
        }
        return {"programs": programs, "files": {name: str(path) for name, path in self.files.items()}}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Table:
        """The inverse of `write`."""
        programs = {name: Program(**_typed(each)) for name, each in values["programs"].items()}
        return cls(programs, {name: Path(path) for name, path in values["files"].items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(each) for each in value] if isinstance(value, (tuple, frozenset)) else value


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    paths = {name: tuple(Path(path) for path in values[name]) for name in ("read", "write", "execute")}
    rest = {"executable": Path(values["executable"]), "variables": frozenset(values["variables"])}
    return {**values, **paths, **rest, "arguments": tuple(values["arguments"]), "ports": tuple(values["ports"])}


ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


def spawn(
    executable: Path,
    argv: Sequence[str],
    environment: Mapping[str, str],
    descriptors: Mapping[int, int],
    *,
    directory: int | str | None,
    before: Callable[[], None],
    limits: Mapping[str, int],
) -> int:
    """Fork, prepare and execute. Returns the child's pid, which is also its process group and session.

    `descriptors` maps the child's numbers to ours; all others are closed by the exec. `before` runs last before
    the exec and confines. What fails before the exec is told on the child's stderr in one line, exit code 126.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_FAILED_TO_START)
        for number in (
            signal.SIGPIPE,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
            signal.SIGXFSZ,
        ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o077)
        if isinstance(directory, int):
            os.fchdir(directory)
        else:
            os.chdir(directory or "/")
        _place(descriptors)
        _limit({"core": 0, **limits})
        before()
        os.execve(executable, [str(executable), *argv], dict(environment))
    except BaseException as error:
        told = getattr(error, "strerror", None) or type(error).__name__
        with contextlib.suppress(OSError):
            os.write(2, f"interlock: cannot start {executable.name}: {told}\n".encode())
    os._exit(_FAILED_TO_START)


@dataclass(frozen=True, slots=True)
class Walls:
    """A program's confinement, worked out before the fork so that the child only has to hand it to the kernel."""

    version: int  # the Landlock ABI
    rules: tuple[tuple[Path, int], ...]
    connect: tuple[int, ...] | None
    filter: bytes  # empty where there is no seccomp
    capabilities: int


def walls(program: Program) -> Walls:
    """What `program` will be held by on this machine."""
    system = _distinct((*SYSTEM, *(NETWORK if program.network else ())))
    rules = [(path, READ) for path in (*system, *program.read)]
    rules += [(path, WRITE) for path in program.write]
    rules += [(path, READ | EXECUTE) for path in (program.executable, *loaders(), *program.execute)]
    rules += [(Path("/dev/null"), READ | WRITE_FILE), (Path("/proc/self"), READ)]
    connect = None if program.network and not program.ports else program.ports if program.network else ()
    if program.unix_sockets:
        rules.append((Path("/"), landlock.RESOLVE_UNIX))  # kernels that ask for it: which ones, the files' modes say
    filter_ = b""
    if seccomp.supported():
        unix_sockets = program.unix_sockets or not program.network  # pairs are harmless where nothing can be connected
        filter_ = seccomp.build(network=program.network, unix_sockets=unix_sockets, connect=program.unix_sockets)
    return Walls(landlock.abi(), tuple(rules), connect, filter_, program.capabilities)


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """The real paths that exist, without those that lie beneath another: fewer rules, the same effect."""
    real = {path.resolve() for path in paths if path.exists()}
    return sorted(path for path in real if not any(parent in real for parent in path.parents))


def confine_child(held: Walls) -> None:
    """Give the calling process these walls, for good. Raises OSError when the kernel refuses."""
    kernel.no_new_privileges()
    if held.capabilities != kernel.FILE_CAPABILITIES:  # the broker itself has no more than those
        kernel.drop_capabilities(held.capabilities)
    if held.version:
        landlock.restrict(held.rules, connect=held.connect, version=held.version)
    if held.filter:
        seccomp.install(held.filter)


def _place(descriptors: Mapping[int, int]) -> None:
    """Move our descriptors to the child's numbers, in two steps so that none overwrites another.

    All others of this process close on exec, as Python makes them.
    """
    high = max(*descriptors, *descriptors.values()) + 1
    for target, source in descriptors.items():
        os.dup2(source, high + target, inheritable=False)
    for target in descriptors:
        os.dup2(high + target, target, inheritable=True)


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        if name not in _LIMITS:
            continue
        _, hard = resource.getrlimit(_LIMITS[name])
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(_LIMITS[name], (ceiling, ceiling))
        except (ValueError, OSError) as error:
            if getattr(error, "errno", errno.EINVAL) != errno.EINVAL:  # macOS refuses some; the rest must hold
                raise
