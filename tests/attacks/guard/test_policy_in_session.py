"""A policy that changes under a running server: narrower at once, broken refuses everything, wider needs a restart.

Stopped by: one `stat` per call, and refusing what cannot be read whole (design, section 4; CVE-2026-16584, where a
policy that failed to load left an empty denylist for the life of the process).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from installation import Reply

from interlock.guard.keys import Person
from interlock.guard.statements import switch_profile

from .conftest import World, until

NARROW = "rules:\n  none: {deny: files.write, where: {path: '**/*.txt'}, reason: 'no texts'}\n"


def reads(world: World) -> Reply:
    return world.peers[0].call("read_file", path=str(world.work / "a.txt"))


def test_narrower_holds_at_once_and_wider_bounds_do_not(world: World) -> None:
    world.policy("")
    peer = world.peer()
    assert not reads(world).is_error
    world.policy(NARROW)
    until(lambda: peer.call("write_file", path=str(world.work / "b.txt"), content="x").code == "denied")
    text = world.apart.policy.read_text().replace(
        "  roots:\n", f"  roots:\n    - {{path: {world.outside}, access: write}}\n"
    )
    world.apart.policy.write_text(text)
    secret = str(world.outside / "secret.txt")
    until(lambda: "restart" in peer.call("read_file", path=secret).text)
    assert peer.call("read_file", path=secret).code == "out_of_bounds"
    assert not reads(world).is_error


@pytest.fixture(scope="module")
def shared(make_world: Callable[[], World]) -> World:
    made = make_world()
    made.policy("limits: {calls: {max: 100000, per: 1m}}\n")
    made.peer()
    return made


@pytest.mark.parametrize("how", ["half saved", "unknown key", "gone", "writable by all", "a folder"])
def test_broken_refuses_everything_until_it_is_mended(shared: World, how: str) -> None:
    world, peer, policy = shared, shared.peers[0], shared.apart.policy
    good = policy.read_text()
    assert not reads(world).is_error
    if how in ("gone", "a folder"):
        policy.unlink()
        if how == "a folder":
            policy.mkdir()
    elif how == "writable by all":
        policy.chmod(0o666)
    else:
        policy.write_text(good[: len(good) // 2] if how == "half saved" else good + "allow_all: true\n")
    until(lambda: reads(world).code == "guard_failure")
    target = world.work / "b.txt"
    for tool, arguments in [
        ("read_file", {"path": str(world.work / "a.txt")}),
        ("list_directory", {"path": str(world.work)}),
        ("write_file", {"path": str(target), "content": "x"}),
        ("files_guard", {}),
    ]:
        reply = peer.call(tool, **arguments)
        assert reply.code == "guard_failure" and "hello" not in reply.text, (tool, reply.text)
    assert not target.exists()
    if policy.is_dir():
        policy.rmdir()
    policy.write_text(good)
    policy.chmod(0o600)
    until(lambda: not reads(world).is_error)


def test_a_policy_where_the_agent_writes_does_not_start(world: World) -> None:
    """The agent would write its own rules: by folder, by a link, or by state within a root."""
    world.policy("")
    inside = world.work / "policy.yaml"
    inside.write_text(world.apart.policy.read_text())
    inside.chmod(0o600)
    link = world.apart.folder / "link.yaml"
    link.symlink_to(inside)
    environment = {**world.apart.environment, "INTERLOCK_HOME": os.fspath(world.work / "state")}
    for options, variables in [
        (["--policy", os.fspath(inside)], world.apart.environment),
        (["--policy", os.fspath(link)], world.apart.environment),
        (["--policy", "policy.yaml"], world.apart.environment),
        (["--policy", "${HOME}/policy.yaml"], world.apart.environment),
        ([], environment),
    ]:
        command = world.apart.command("serve", "files", *options)
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=60, cwd=world.work, input=""
        )
        assert done.returncode == 1 and done.stdout == "", (options, done)
        assert "Traceback" not in done.stderr and "interlock: " in done.stderr


def test_reads_never_ask(world: World) -> None:
    """In no profile, and not by a rule that asks for everything that changes."""
    world.policy("rules: {all: {ask: changes}}\n")
    peer, work, state = world.peer(), str(world.work), world.state()
    person = Person.load(None, world.keys_folder)
    for profile in ("readonly", "development", "staging", "production", "incident"):
        switch_profile(person, state, profile, state.now() + 600, "a test")
        for tool, arguments in [
            ("read_file", {"path": f"{work}/a.txt"}),
            ("list_directory", {"path": work}),
            ("search_files", {"path": work, "pattern": "hello"}),
            ("file_info", {"path": f"{work}/a.txt"}),
            ("files_guard", {}),
        ]:
            reply = peer.call(tool, **arguments)
            assert not reply.is_error, (profile, tool, reply.text)
    state.close()
