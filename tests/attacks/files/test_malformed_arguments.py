"""Arguments that are no arguments. Stopped by strict types before anything is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from attack_world import World


@pytest.mark.parametrize(
    "path",
    [
        None,
        1,
        True,
        ["README.md"],
        {"path": "README.md"},
        "",
        "a\0b",
        "README.md\0.txt",
        "x" * 300,
        "x/" * 5000,
        "\ud800",
        "a\udcff",
    ],
)
def test_what_is_no_path(world: World, path: Any):
    world.refused("read_file", path=path)
    world.refused("delete_file", path=path)
    world.refused("write_file", path=path, content="x")


@pytest.mark.parametrize(
    "arguments",
    [
        {"offset": 0},
        {"offset": -1},
        {"offset": "1"},
        {"offset": 1.5},
        {"limit": 0},
        {"limit": 10**9},
        {"tail": -5},
        {"tail": True},
        {"offset": 10**30},
        {"head": 1},
        {"PATH": "x"},
    ],
)
def test_numbers_that_are_none(world: World, arguments: dict[str, Any]):
    world.refused("read_file", path="README.md", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"edits": []},
        {"edits": {}},
        {"edits": [{"old": "", "new": "x"}]},
        {"edits": [{"old": "a"}]},
        {"edits": "x"},
        {"edits": [{"old": "#", "new": "\ud800"}]},
        {"edits": [{"old": "#", "new": "x", "all": True}]},
    ],
)
def test_edits_that_are_none(world: World, arguments: dict[str, Any]):
    world.refused("edit_file", path="README.md", **arguments)


@pytest.mark.parametrize("content", [None, 1, ["x"], "\ud800", "x" * (9 * 1024**2)])
def test_contents_that_are_none(world: World, content: Any):
    world.refused("write_file", path="new.txt", content=content)
