"""Landlock: which parts of the file tree this process may touch, by the kernel's ABI.

Rights that the running kernel does not know are left out, never guessed. Landlock knows nothing of chmod,
stat and path sockets: `seccomp` takes the sockets, the rest is for the descriptor-based containment above.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from ctypes import c_char, c_void_p
from pathlib import Path

from . import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every architecture
_VERSION = 1 << 0
_PATH_BENEATH, _NET_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV, RESOLVE_UNIX = (1 << bit for bit in range(13, 17))

READ = READ_FILE | READ_DIR
# No device nodes. REFER lets a rename cross directories, which soft deletes and moves live on.
WRITE = (
    READ
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE
)
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1

# handled file rights by ABI: each entry adds to those before it
_RIGHTS = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV), (9, RESOLVE_UNIX))


def abi() -> int:
    """The Landlock ABI of the running kernel; 0 where there is none (macOS, old kernels, switched off)."""
    if not kernel.LINUX:
        return 0
    try:
        return kernel.syscall(_CREATE_RULESET, c_void_p(None), 0, _VERSION)
    except OSError:
        return 0


def handled(version: int) -> int:
    """The file rights that a ruleset of this ABI takes away unless a rule grants them."""
    rights = 0
    for since, added in _RIGHTS:
        if version >= since:
            rights |= added
    return rights


def restrict(
    rules: Iterable[tuple[Path, int]],
    *,
    connect: Sequence[int] | None = (),
    version: int | None = None,
    scoped: bool = True,
    files: bool = True,
) -> list[Path]:
    """Confine the calling thread and its future children to `rules`; they can never be widened again.

    `connect`: TCP ports that may be connected to, None for all; binding is never allowed.
    `scoped`: no signals to and no abstract sockets of processes outside (kernels with ABI 6).
    `files`: False leaves the file tree as it is (no `rules`), for a program that still has to mount.
    Paths that do not exist are left out and returned. Raises OSError when the kernel refuses.
    The caller has set no_new_privs.
    """
    version = abi() if version is None else version
    rights = handled(version) if files else 0
    network = 0
    if version >= 4:
        network = _BIND_TCP if connect is None else _BIND_TCP | _CONNECT_TCP
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", network)
    if version >= 6:
        attributes += struct.pack("=Q", (_SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL) if scoped else 0)
    ruleset = kernel.syscall(_CREATE_RULESET, _buffer(attributes), len(attributes), 0)
    missing: list[Path] = []
    try:
        for path, wanted in rules:
            if not _add_path(ruleset, path, wanted & rights):
                missing.append(path)
        if network & _CONNECT_TCP:
            for port in connect or ():
                rule = _buffer(struct.pack("=QQ", _CONNECT_TCP, port))
                kernel.syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0)
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return missing


def _add_path(ruleset: int, path: Path, rights: int) -> bool:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FOR_FILES
        if rights:
            rule = _buffer(struct.pack("=Qi", rights, descriptor))
            kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    except OSError as error:
        if error.errno != errno.EBADFD:  # pipes and the like, which no rule can name: nothing is granted
            raise
    finally:
        os.close(descriptor)
    return True


def _buffer(data: bytes) -> object:
    return (c_char * len(data)).from_buffer_copy(data)
