"""Secrets by name: every spelling, link, window and search. Stopped by `builtin.protected`, and key names only."""

from __future__ import annotations

import os

import pytest
from attack_world import World

SPELLINGS = (
    ".env", ".env/", "./.env", "src/../.env", ".ENV", ".Env", ".env ", ".env.", ".env::$DATA", ".env:x", ".\u200benv",
    ".e\u0301nv", "\uff0eenv", ".en\uff56",
)  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_shows_the_value(world: World, spelling: str):
    world.attack("read_file", path=spelling)
    world.attack("read_file", path=spelling, encoding="base64")
    world.attack("search_files", path=spelling, pattern=".")
    world.attack("edit_file", path=spelling, edits=[{"old": "K=", "new": "K="}], dry_run=True)
    world.attack("edit_file", path=spelling, edits=[{"old": "API_KEY", "new": "KEY"}], dry_run=True)
    assert world.canary in (world.root / ".env").read_text()


def test_no_window_reads_it_bit_by_bit(world: World):
    for number in range(1, 30):
        for window in ({"offset": number, "limit": 1}, {"tail": number}, {"limit": number}):
            assert world.refused("read_file", path=".env", **window).startswith("protected")


def test_no_name_of_another_kind_shows_it(world: World):
    (world.root / "link").symlink_to(".env")
    os.link(world.root / ".env", world.root / "hard.txt")
    for name in ("link", "hard.txt"):
        world.attack("read_file", path=name)
        world.attack("search_files", path=name, pattern=".")
    world.attack("search_files", path=".", pattern="API_KEY|.", ignored=True)


def test_it_is_not_moved_to_a_name_that_can_be_read(world: World):
    for destination in ("plain.txt", "src/plain.txt", "../work/x.txt"):
        world.refused("move_file", source=".env", destination=destination)
    (world.root / "conf/.env").write_text(f"API_KEY={world.canary}\n")
    world.refused("move_file", source="conf", destination="other")


@pytest.mark.parametrize(
    "name", ["id_rsa", "key.pem", ".ssh/config", ".git/config", ".git/objects/ab/cd", "secrets/db.txt", ".gnupg/x"]
)
def test_private_files_are_not_read_at_all(world: World, name: str):
    path = world.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{world.canary}\n")
    world.refused("read_file", path=name)
    world.refused("search_files", path=name, pattern=".")
    world.attack("search_files", path=".", pattern=".", ignored=True)


def test_a_pattern_is_no_way_to_guess(world: World):
    """A secret in a file that may be searched: a right guess and a wrong one answer the same."""
    (world.root / "conf/app.conf").write_text(f"db_password: 7{world.canary}\n")
    right, wrong = "7", "8"  # neither begins a word elsewhere
    for form in ("db_password: {}", "db_password: (\\[|{})", "(?:x|: {})", ": [{}]", "\\b{}", "d: {}.*"):
        answers = {
            world.attack("search_files", path=".", pattern=form.format(guess))
            .text.partition(": ")[2]
            .partition("\n")[0]
            for guess in (right, wrong)
        }
        assert len(answers) == 1, (form, answers)
