"""How a server confines itself, once, before it serves: Landlock on directories, seccomp without network,
no new privileges, no capabilities beyond those for files.

What it cannot do: take back descriptors that are already open, or hold threads that already run (there must be
none). Children are the broker's, which is forked before this.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interlock.guard.errors import Broken

from . import kernel, landlock, seccomp
from .kernel import Line

Mode = Literal["best-effort", "required"]

_MACOS = "macOS has no Landlock and no seccomp: containment rests on how the server opens paths alone"
# Read by libraries when they are first used; nothing in them is anybody's secret. /proc for "does that process
# still run": the kernel refuses what is private of processes outside our domain (environ, mem, fd, root).
_SYSTEM_FILES = (
    "/dev/urandom /dev/random /dev/zero /dev/full /proc /sys/devices/system/cpu /usr/share/zoneinfo "
    "/etc/localtime /etc/timezone /etc/ld.so.cache /etc/ld.so.conf /etc/passwd /etc/group /etc/nsswitch.conf "
    "/usr/lib /usr/lib64 /lib /lib64 "
    "/usr/lib/locale /usr/share/locale /etc/ssl/openssl.cnf"
)


@dataclass(frozen=True, slots=True)
class Confinement:
    """What `confine` achieved. `full` is what `confine: required` asks for."""

    lines: tuple[Line, ...]

    @property
    def full(self) -> bool:
        return all(line.ok for line in self.lines)


def confine(
    read: Sequence[Path],
    write: Sequence[Path],
    *,
    network: bool = False,
    execute: Sequence[Path] = (),
    mode: Mode = "best-effort",
) -> Confinement:
    """Confine this process and every later child to `read` and `write` (directories, with all beneath them, or files).

    Call it in a process of one thread, with everything open that lies outside. The interpreter keeps what it
    needs to import, tell time zones and draw random numbers. Paths that do not exist grant nothing.
    `network`: TCP may be connected (never without need: stdio servers have none); `execute`: programs that
    may still be started from here, none as a rule.

    Raises Broken when threads run already, when `mode` is "required" and the kernel cannot do all of it,
    or when the kernel refuses halfway (then the process must end).
    """
    if kernel.thread_count() > 1 and kernel.LINUX:
        raise Broken(
            "cannot confine: this process already runs threads, which would stay free",
            hint="this is a fault in Interlock; please report it with the output of `interlock doctor`",
        )
    lines = probe()
    if mode == "required" and not all(line.ok for line in lines):
        lacking = "; ".join(f"{line.name}: {line.detail}" for line in lines if not line.ok)
        raise Broken(
            f"the policy says `confine: required`, and this machine cannot ({lacking})",
            hint="run on a kernel that can, or set `confine: best-effort` and accept what doctor says",
        )
    if not kernel.LINUX:
        return Confinement(tuple(lines))
    try:
        kernel.no_new_privileges()
        kernel.drop_capabilities()
        if landlock.abi():
            rules = [(path, landlock.READ) for path in (*interpreter_paths(), *read)]
            rules += [(path, landlock.WRITE) for path in write]
            rules.append((Path("/dev/null"), landlock.READ | landlock.WRITE_FILE))
            rules += [(path, landlock.READ | landlock.EXECUTE) for path in (*execute, *(loaders() if execute else ()))]
            landlock.restrict(rules, connect=None if network else ())
        if seccomp.supported():
            seccomp.install(seccomp.build(network=network, execute=bool(execute)))
    except OSError as error:
        raise Broken(
            f"the kernel refused to confine this process ({error.strerror})", hint="run `interlock doctor`"
        ) from None
    return Confinement(tuple(lines))


def probe() -> list[Line]:
    """What this machine's kernel offers for `confine`, for `interlock doctor`. Changes nothing."""
    if not kernel.LINUX:
        detail = _MACOS if sys.platform == "darwin" else f"none on {kernel.system()}"
        return [Line("landlock", False, detail), Line("seccomp", False, detail)]
    version = landlock.abi()
    if version:
        has = ["files"]
        has += [name for since, name in _LANDLOCK_PARTS if version >= since]
        lacks = [name for since, name in _LANDLOCK_PARTS if version < since and since <= _NEEDED_ABI]
        detail = f"ABI {version}: {', '.join(has)}" + (f"; lacks {', '.join(lacks)}" if lacks else "")
        first = Line("landlock", version >= _NEEDED_ABI, detail)
    else:
        first = Line("landlock", False, "the kernel has none (5.13 or newer with `landlock` in its `lsm=` list has)")
    if seccomp.supported():
        second = Line("seccomp", _has_seccomp(), "no network, no other processes' memory, no mounts")
    else:
        second = Line("seccomp", False, f"no filter for {kernel.machine()}: x86_64 and aarch64 have one")
    return [first, second]


# Without REFER a soft delete across directories would fail; without TRUNCATE a readable file could be emptied.
_NEEDED_ABI = 3
_LANDLOCK_PARTS = (
    (2, "renames across directories"),
    (3, "truncation"),
    (4, "TCP ports"),
    (5, "device ioctls"),
    (6, "signals"),
    (9, "path sockets"),
)


def interpreter_paths() -> list[Path]:
    """What a running Python reads when it imports lazily: its library directories, the packages, this package,
    and the system's files that libraries look at. Never the working directory or the whole of a prefix."""
    places: list[str] = [str(Path(os.__file__).parent)]
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    for prefix in prefixes:
        places += [
            str(Path(prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")),
            f"{prefix}/pyvenv.cfg",
        ]
        with contextlib.suppress(OSError):
            places += [str(library) for library in Path(prefix, "lib").glob("libpython*")]
    places += [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")]
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    package = Path(__file__).resolve().parent.parent
    places += [str(package), str(package.parent.parent / "policy"), *_SYSTEM_FILES.split()]
    return [Path(place) for place in dict.fromkeys(places)]


def loaders() -> list[Path]:
    """The dynamic loaders that the kernel starts programs with; a program's own right is of no use without."""
    return _existing(f"/{lib}" for lib in ("lib64", "lib", "usr/lib64", "usr/lib"))


def _existing(directories: Iterable[str]) -> list[Path]:
    return [path for directory in directories for path in Path(directory).glob("ld-*.so*")]


def _has_seccomp() -> bool:
    return os.path.exists("/proc/sys/kernel/seccomp/actions_avail")  # noqa: PTH110 - one stat, no import
