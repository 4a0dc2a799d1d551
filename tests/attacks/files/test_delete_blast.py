"""Deletes that take more than was meant. Stopped by bounds, by what is in the tree, and by the policy's own rules."""

from __future__ import annotations

import pytest
from attack_world import World


@pytest.mark.parametrize(
    "path",
    ["", ".", "./", "..", "/", "ROOT", "ROOT/", "ROOT/.", "ROOT/src/..", "*", "src/*", "ROOT/../", "OUTSIDE", "~"],
)
def test_no_root_no_parent_no_glob(world: World, path: str):
    world.refused("delete_file", path=path.replace("ROOT", str(world.root)).replace("OUTSIDE", str(world.outside)))


def test_no_tree_with_something_protected_in_it(world: World):
    (world.root / "repo/.git").mkdir(parents=True)
    (world.root / "repo/.git/config").write_text("x\n")
    (world.root / "deep/a/b").mkdir(parents=True)
    (world.root / "deep/a/b/.env").write_text("K=v\n")
    for path in ("repo", "repo/.git", "deep", "deep/a"):
        assert world.refused("delete_file", path=path).startswith("protected")


def test_what_a_tree_is_refused_for_is_named(world: World):
    for name in ("one/two/.env", "one/z/id_rsa", "one/a.txt", "innocent/hooks/x"):
        (world.root / name).parent.mkdir(parents=True, exist_ok=True)
        (world.root / name).write_text("x\n")
    named = str(world.root / "one/two/.env")
    assert f" {named}:" in world.refused("delete_file", path="one")
    assert f" {named}:" in world.refused("move_file", source="one", destination="elsewhere")
    assert f" {world.root}/.husky" in world.refused("move_file", source="innocent", destination=".husky")
    (world.root / "innocent/.git").mkdir()
    assert f" {world.root}/innocent/.git:" in world.refused("move_file", source="innocent", destination="x")


def test_many_files_at_once_need_a_person(world: World):
    (world.root / "many").mkdir()
    for i in range(150):
        (world.root / f"many/{i}").touch()
    assert world.refused("delete_file", path="many").startswith("approval_required")


def test_edits_to_nothing_and_moves_onto_can_be_put_back(world: World):
    before = (world.root / "README.md").read_text()
    for tool, arguments in (
        ("write_file", {"path": "README.md", "content": ""}),
        ("edit_file", {"path": "README.md", "edits": [{"old": "# app\n", "new": ""}]}),
        ("move_file", {"source": "src/main.py", "destination": "README.md"}),
    ):
        answer = world.attack(tool, **arguments)
        assert not answer.is_error, answer.text
        assert not world.attack("files_undo", id=answer.id).is_error
        assert (world.root / "README.md").read_text() == before
    assert (world.root / "src/main.py").exists()


def test_no_tool_recurses_purges_or_changes_modes(world: World):
    for tool in ("purge_trash", "list_trash", "set_mode", "chmod", "run", "copy"):
        world.refused(tool, path="src", mode="4755")
    world.refused("delete_file", path="src", recursive=True, force=True)
