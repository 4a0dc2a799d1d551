"""Paths that spell their way out. Stopped by `builtin.outside`: components are compared, never text."""

from __future__ import annotations

import pytest
from attack_world import World, path_of

READS = ("read_file", "list_directory", "file_info")
SPELLINGS = (
    "ROOT/../outside/secret.txt",
    "ROOT/./.././outside/secret.txt",
    "ROOT//..//outside//secret.txt",
    "../outside/secret.txt",
    "ROOT/src/../../outside/secret.txt",
    "OUTSIDE/secret.txt",
    "OUTSIDE",
    "ROOT/..",
    "/",
    "/etc/passwd",
    "ROOT-evil/secret.txt",
    "ROOT /secret.txt",
    "file://OUTSIDE/secret.txt",
    "file:OUTSIDE/secret.txt",
    "ROOT/%2e%2e/outside/secret.txt",
    "ROOT/%252e%252e%252foutside",
    "ROOT/..%2foutside/secret.txt",
    "ROOT/..\\outside\\secret.txt",
    "~/secret.txt",
    "~root/.bashrc",
    "ROOT/\uff0e\uff0e/outside/secret.txt",
    "ROOT/\u2024\u2024/outside",
    "ROOT/..\u200b/outside",
    "\\\\?\\OUTSIDE",
    "ROOT/.../outside",
    "$HOME/secret.txt",
    "${HOME}/secret.txt",
    "/proc/self/cwd/x",
    "/proc/self/root/OUTSIDE/secret.txt",
    "/dev/fd/0",
)


@pytest.mark.parametrize("tool", READS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_reads_outside(world: World, tool: str, spelling: str):
    world.refused(tool, path=path_of(world, spelling))


@pytest.mark.parametrize(
    "spelling", [s for s in SPELLINGS if "\uff0e" not in s and "\u2024" not in s and "\u200b" not in s]
)
def test_no_spelling_changes_outside(world: World, spelling: str):
    path = path_of(world, spelling)
    inside = ("$", "ROOT/..\\", "\\\\?", "file:O", "ROOT/...")  # odd names, but inside: made there or not
    for tool, arguments in (
        ("write_file", {"path": path, "content": "pwned"}),
        ("edit_file", {"path": path, "edits": [{"old": "a", "new": "b"}]}),
        ("delete_file", {"path": path}),
        ("move_file", {"source": "README.md", "destination": path}),
        ("move_file", {"source": path, "destination": "x"}),
    ):
        if spelling.startswith(inside):
            world.attack(tool, **arguments)
        else:
            world.refused(tool, **arguments)


def test_a_refusal_does_not_tell_whether_there_is_something(world: World):
    there = world.refused("read_file", path=str(world.outside / "secret.txt"))
    absent = world.refused("read_file", path=str(world.outside / "absent.txt"))
    assert there.split(" (id ")[0].replace("secret", "absent") == absent.split(" (id ")[0]


def test_a_working_directory_of_ones_own_is_no_argument(world: World):
    for more in ({"cwd": str(world.outside)}, {"root": "/"}, {"encoding": "zlib_codec"}, {"follow": True}):
        world.refused("read_file", path="secret.txt", **more)
