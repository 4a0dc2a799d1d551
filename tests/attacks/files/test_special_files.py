"""Pipes, sockets, devices, /proc, endless lines: answered at once. Stopped by looking before opening."""

from __future__ import annotations

import os

import pytest
from attack_world import World


@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "search_files"])
def test_a_pipe_never_blocks(world: World, tool: str):
    os.mkfifo(world.root / "pipe")
    more = {
        "write_file": {"content": "x"},
        "edit_file": {"edits": [{"old": "a", "new": "b"}]},
        "search_files": {"pattern": "x"},
    }
    answer = world.attack(tool, path="pipe", **more.get(tool, {}))
    assert answer.is_error or "0 matching" in answer.text


def test_a_pipe_in_a_searched_or_deleted_tree(world: World):
    os.mkfifo(world.root / "src/pipe")
    assert "1 matching" in world.attack("search_files", path=".", pattern="def main").text
    assert not world.attack("delete_file", path="src").is_error


@pytest.mark.parametrize(
    "path", ["/proc/self/environ", "/proc/self/fd", "/proc/self/fd/1", "/dev/stdout", "/dev/zero", "/dev/tty"]
)
def test_nothing_of_the_kernel_is_in_bounds(world: World, path: str):
    world.refused("read_file", path=path)
    world.refused("list_directory", path=path)
    world.refused("write_file", path=path, content='{"jsonrpc":"2.0"}')


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make devices")
def test_a_device_inside_a_root_is_not_opened(world: World):
    os.mknod(world.root / "zero", 0o20666, os.makedev(1, 5))
    world.refused("read_file", path="zero")
    world.refused("write_file", path="zero", content="x")


def test_one_line_without_an_end(world: World):
    with (world.root / "oneline").open("wb") as file:
        for _ in range(30):
            file.write(b"a" * 1_000_000)
    assert len(world.attack("read_file", path="oneline", limit=10).text) <= 12_000


def test_a_large_hole_costs_nothing(world: World):
    with (world.root / "hole").open("wb") as file:
        file.truncate(10**12)
    assert world.attack("read_file", path="hole").is_error
    assert not world.attack("delete_file", path="hole").is_error


def test_a_setuid_file_gets_no_new_content(world: World):
    (world.root / "tool").write_text("x\n")
    (world.root / "tool").chmod(0o4755)
    world.refused("write_file", path="tool", content="y")
