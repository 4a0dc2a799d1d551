"""The assembled filter says what it should, on both architectures, by an interpreter of the few instructions."""

from __future__ import annotations

import struct

import pytest

from interlock.sandbox import seccomp
from interlock.sandbox.syscalls import NUMBERS

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def run(program: bytes, machine: str, number: int, *arguments: int) -> int:
    data = struct.pack("=IIQ6Q", number, ARCHITECTURE[machine], 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            at += true if holds else false


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_denies_by_name(machine: str) -> None:
    program = seccomp.build(machine=machine)
    numbers = NUMBERS[machine]
    for name in seccomp.NEVER.split():
        if name in numbers:
            assert run(program, machine, numbers[name]) == EPERM, name
    for name in ("execve", "ioctl", "prlimit64", "sendmsg", "rt_sigqueueinfo"):
        assert run(program, machine, numbers[name]) == ALLOW, name
    assert run(program, machine, numbers["connect"]) == EPERM
    assert run(program, machine, numbers["clone3"]) == ENOSYS


def test_known_numbers() -> None:
    """From the kernel's own tables, so that a slip in ours shows."""
    known = {
        "x86_64": {"socket": 41, "ptrace": 101, "mount": 165},
        "aarch64": {"socket": 198, "ptrace": 117, "mount": 40},
    }
    for machine, numbers in known.items():
        assert {name: NUMBERS[machine][name] for name in numbers} == numbers


def test_sockets_by_family(machine: str) -> None:
    number = NUMBERS[machine]["socket"]
    alone, network = seccomp.build(machine=machine), seccomp.build(machine=machine, network=True, unix_sockets=False)
    assert run(alone, machine, number, 1, 1) == ALLOW
    assert run(alone, machine, number, 1 | 1 << 40, 1) == ALLOW  # the kernel reads the low half too
    for family in (2, 10, 16, 17, 40):
        assert run(alone, machine, number, family, 1) == EPERM
    assert run(network, machine, number, 1, 1) == EPERM
    assert run(network, machine, number, 2, 0o2000000 | 1) == ALLOW
    assert run(network, machine, number, 10, 2) == ALLOW
    assert run(network, machine, number, 2, 3) == EPERM  # raw
    assert run(network, machine, number, 2, 1, 262) == 0x00050000 | 93  # MPTCP
    assert run(network, machine, NUMBERS[machine]["connect"]) == ALLOW


def test_clone_and_terminal(machine: str) -> None:
    program, numbers = seccomp.build(machine=machine), NUMBERS[machine]
    assert run(program, machine, numbers["clone"], 0x3D0F00) == ALLOW  # a thread
    for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000, 0x04000000, 0x08000000):
        assert run(program, machine, numbers["clone"], flag | 17) == EPERM
    assert run(program, machine, numbers["ioctl"], 0, 0x5401) == ALLOW
    assert run(program, machine, numbers["ioctl"], 0, 0x5412) == EPERM


def test_the_wrong_architecture_dies(machine: str) -> None:
    other = "aarch64" if machine == "x86_64" else "x86_64"
    assert run(seccomp.build(machine=machine), other, 1) == KILL


def test_x32_calls_do_not_pass_by() -> None:
    assert run(seccomp.build(machine="x86_64"), "x86_64", 0x40000000 + 41, 2, 1) == ENOSYS


def test_no_program_from_a_server(machine: str) -> None:
    program = seccomp.build(machine=machine, execute=False)
    assert run(program, machine, NUMBERS[machine]["execve"]) == EPERM
