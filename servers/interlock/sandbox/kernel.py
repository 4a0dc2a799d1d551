"""The few kernel calls that Python does not offer, and what this machine has of them.

Not the place for what to allow: `landlock` and `seccomp` build the rules, `confine` chooses them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

LINUX = sys.platform.startswith("linux")

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_DUMPABLE = 4

# What a root process needs to put files back with mode and owner; all other capabilities are dropped.
# CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID.
FILE_CAPABILITIES = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4)
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class Line:
    """One line of `interlock doctor`: what was looked at, whether it holds, and the detail in words."""

    name: str
    ok: bool
    detail: str


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; raises OSError. Pointers are passed as ctypes objects, numbers as Python ints."""
    wrapped = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_syscall(ctypes.c_long(number), *wrapped))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def prctl(option: int, *arguments: int) -> None:
    """prctl(2); raises OSError."""
    values = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(ctypes.c_int(option), *values) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def no_new_privileges() -> None:
    """From here on no exec gains rights (setuid bits and file capabilities are ignored). Cannot be undone."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal when the thread that forked us ends. Nothing outside Linux."""
    if LINUX:
        prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none is lost sight of."""
    if LINUX:
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def not_dumpable() -> None:
    """No core file, and no other process of the same account may read this one's memory."""
    if LINUX:
        prctl(_PR_SET_DUMPABLE, 0)


def drop_capabilities(keep: int = FILE_CAPABILITIES) -> None:
    """Leave this (single-threaded) process only the capabilities in `keep`, also after an exec.

    An ordinary user has none, and nothing happens. Raises OSError.
    """
    if not LINUX:
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    permitted = data[1] | data[4] << 32
    if not permitted:
        return
    if permitted & (1 << 8):  # SETPCAP: the bounding set can be narrowed, so an exec by root regains nothing
        for number in range(64):
            if not keep & (1 << number):
                try:
                    prctl(_PR_CAPBSET_DROP, number)
                except OSError:
                    break  # past the last capability that this kernel knows
    left = permitted & keep
    for word, shift in ((0, 0), (3, 32)):
        data[word] = data[word + 1] = (left >> shift) & 0xFFFFFFFF
        data[word + 2] = 0
    if _libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def thread_count() -> int:
    """Threads of this process, also those that Python does not know; 1 where it cannot be told."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - called where nothing may be imported
    except OSError:
        return 1


def machine() -> str:
    """x86_64, aarch64, ... as the kernel calls it."""
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(os.uname().machine, os.uname().machine)


def system() -> str:
    """The system's name as people say it."""
    return {"darwin": "macOS", "linux": "Linux"}.get(sys.platform, sys.platform)


def in_container() -> bool:
    """True inside Docker or Podman, as far as their marker files tell."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
