"""What was deleted is out of reach, and comes back only to its own place. Stopped by bounds, drift and ownership."""

from __future__ import annotations

from attack_world import World


def test_the_store_is_not_reached(world: World):
    world.attack("delete_file", path="README.md")
    for path in ("snapshots", "snapshots/..", "state.db", "audit"):
        world.refused("list_directory", path=str(world.installation.home / path))
        world.refused("read_file", path=str(world.installation.home / path))


def test_an_id_is_an_id(world: World):
    for id in ("", "../../x", "files-zzzzzzz", "*", "files-aaaaaaa'; drop table changes; --", "git-2222222", "\0"):
        world.refused("files_undo", id=id)


def test_an_undo_happens_once_and_to_no_other_place(world: World):
    deleted = world.attack("delete_file", path="src/main.py")
    world.refused("files_undo", id=deleted.id, to=str(world.outside / "x"))
    assert not world.attack("files_undo", id=deleted.id).is_error
    world.refused("files_undo", id=deleted.id)


def test_an_undo_does_not_overwrite(world: World):
    deleted = world.attack("delete_file", path="README.md")
    (world.root / "README.md").write_text("newer\n")
    assert world.refused("files_undo", id=deleted.id).startswith("conflict")


def test_an_undo_into_a_folder_that_became_a_link(world: World):
    deleted = world.attack("delete_file", path="src/main.py")
    (world.root / "src").rmdir()
    (world.root / "src").symlink_to(world.outside)
    world.refused("files_undo", id=deleted.id)


def test_what_became_protected_meanwhile_is_not_put_back(world: World):
    deleted = world.attack("delete_file", path="src/main.py")
    policy = world.installation.policy
    policy.write_text(policy.read_text().replace("files:\n", 'files:\n  protected: ["**/src/**"]\n'))
    from files_server import FilesServer

    again = FilesServer(world.installation, None)
    assert again.refused("files_undo", id=deleted.id).startswith("protected")
    again.close()
