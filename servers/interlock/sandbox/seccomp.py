"""Seccomp: a filter over system calls, assembled here, so that no library is needed.

It takes what Landlock does not know: sockets, other processes' memory, namespaces, mounts, and the parts of
the kernel that no server or text tool needs. Calls that it refuses fail with EPERM; nothing is killed, except a
process that speaks another architecture's calls.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from ctypes import addressof, c_char

from . import kernel
from .syscalls import NUMBERS

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _TSYNC = 1, 1 << 0

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000
# struct seccomp_data: nr, arch, instruction pointer, six 64-bit arguments (low word first)
_NR, _ARCH, _ARG0, _ARG1, _ARG2 = 0, 4, 16, 24, 32

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
_SOCK_RAW, _SOCK_PACKET, _SOCK_TYPE_MASK = 3, 10, 0xF
_IPPROTO_MPTCP = 262  # would pass by Landlock's TCP rules
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # typing into the terminal of whoever started us
NEW_NAMESPACES = 0x7E020000 | 0x80  # CLONE_NEWUSER, NEWPID, NEWNET, NEWNS, NEWIPC, NEWUTS, NEWCGROUP, NEWTIME

# No server, git, kubectl or text tool needs one of these.
NEVER = (
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd "
    "mount umount2 move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr pivot_root chroot "
    "unshare setns io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd "
    "add_key request_key keyctl kexec_load kexec_file_load init_module finit_module delete_module "
    "reboot swapon swapoff acct quotactl quotactl_fd settimeofday clock_settime clock_adjtime adjtimex "
    "sethostname setdomainname iopl ioperm modify_ldt open_by_handle_at name_to_handle_at lookup_dcookie "
    "nfsservctl vhangup syslog fanotify_init move_pages migrate_pages mbind set_mempolicy "
    "memfd_secret personality uselib ustat sysfs"
)


def supported() -> bool:
    """Whether this module knows the machine's calls (Linux on x86_64 or aarch64)."""
    return kernel.LINUX and kernel.machine() in _ARCHITECTURE


def build(
    *,
    network: bool = False,
    unix_sockets: bool = True,
    connect: bool = False,
    execute: bool = True,
    also: Iterable[str] = (),
    machine: str = "",
) -> bytes:
    """The filter as bytes (struct sock_filter[]), as seccomp(2) and `bwrap --seccomp` take it.

    `network`: internet sockets may be made and connected (never raw, packet or MPTCP ones).
    `unix_sockets`: unix sockets may be made; `connect`: and connected to a path (`network` allows it too).
    `execute`: other programs may be started. `also`: names of further calls to refuse.
    Raises KeyError for a machine that this module does not know.
    """
    machine = machine or kernel.machine()
    numbers = NUMBERS[machine]
    code = _Code()
    code.load(_ARCH)
    code.unless_equal(_ARCHITECTURE[machine], _KILL_PROCESS)
    code.load(_NR)
    if machine == "x86_64":
        code.when_at_least(_X32, _refuse(errno.ENOSYS))
    refused = [*NEVER.split(), *also]
    if not execute:
        refused += ["execve", "execveat"]
    if not network and not connect:
        refused.append("connect")
    for name in refused:
        if name in numbers:
            code.when_equal(numbers[name], _refuse(errno.EPERM))
    code.when_equal(numbers["clone3"], _refuse(errno.ENOSYS))  # its flags lie behind a pointer; libc falls back
    code.on_call(numbers["clone"], [(_ARG0, _JUMP_ANY_BIT, NEW_NAMESPACES, _refuse(errno.EPERM))])
    terminal = [(_ARG1, _JUMP_EQUAL, number, _refuse(errno.EPERM)) for number in (_TIOCSTI, _TIOCLINUX)]
    code.on_call(numbers["ioctl"], terminal)
    families = [AF_UNIX] if unix_sockets else []
    if network:
        families += [AF_INET, AF_INET6]
    code.on_socket(numbers["socket"], families)
    code.on_socket(numbers["socketpair"], [AF_UNIX])
    code.emit(_RETURN, 0, 0, _ALLOW)
    return code.bytes()


def install(program: bytes) -> None:
    """Put the filter on every thread of this process, for good. The caller has set no_new_privs. Raises OSError."""
    filter_ = (c_char * len(program)).from_buffer_copy(program)
    head = struct.pack("@HP", len(program) // 8, addressof(filter_))
    argument = (c_char * len(head)).from_buffer_copy(head)
    result = kernel.syscall(_SECCOMP[kernel.machine()], _SET_MODE_FILTER, _TSYNC, argument)
    if result:  # the id of a thread that could not be brought along
        raise OSError(errno.EBUSY, "a thread could not be given the seccomp filter")


def _refuse(number: int) -> int:
    return _ERRNO | number


class _Code:
    """The instructions so far. Every test jumps at most over its own return, so no label is needed."""

    def __init__(self) -> None:
        self._out: list[bytes] = []

    def emit(self, code: int, true: int, false: int, value: int) -> None:
        self._out.append(struct.pack("=HBBI", code, true, false, value))

    def load(self, offset: int) -> None:
        self.emit(_LOAD, 0, 0, offset)

    def when_equal(self, value: int, action: int) -> None:
        self.emit(_JUMP_EQUAL, 0, 1, value)
        self.emit(_RETURN, 0, 0, action)

    def unless_equal(self, value: int, action: int) -> None:
        self.emit(_JUMP_EQUAL, 1, 0, value)
        self.emit(_RETURN, 0, 0, action)

    def when_at_least(self, value: int, action: int) -> None:
        self.emit(_JUMP_AT_LEAST, 0, 1, value)
        self.emit(_RETURN, 0, 0, action)

    def on_call(self, number: int, tests: list[tuple[int, int, int, int]]) -> None:
        """For this call: each (argument, test, value, action) in turn, then allow."""
        self.emit(_JUMP_EQUAL, 0, 3 * len(tests) + 1, number)
        for argument, test, value, action in tests:
            self.load(argument)
            self.emit(test, 0, 1, value)
            self.emit(_RETURN, 0, 0, action)
        self.emit(_RETURN, 0, 0, _ALLOW)

    def on_socket(self, number: int, families: list[int]) -> None:
        """socket and socketpair: only these families, nothing raw, no MPTCP."""
        body = _Code()
        body.load(_ARG1)
        body.emit(0x54, 0, 0, _SOCK_TYPE_MASK)  # and
        for raw in (_SOCK_RAW, _SOCK_PACKET):
            body.when_equal(raw, _refuse(errno.EPERM))
        body.load(_ARG2)
        body.when_equal(_IPPROTO_MPTCP, _refuse(errno.EPROTONOSUPPORT))
        body.load(_ARG0)
        for family in families:
            body.when_equal(family, _ALLOW)
        body.emit(_RETURN, 0, 0, _refuse(errno.EPERM))
        self.emit(_JUMP_EQUAL, 0, len(body._out), number)
        self._out += body._out

    def bytes(self) -> bytes:
        return b"".join(self._out)
