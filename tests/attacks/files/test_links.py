"""Links that lead out, chains, loops, links in the middle. Stopped by judging what was opened (`builtin.outside`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin.apart import Apart, Peer
from attack_world import World


@pytest.fixture
def linked(world: World) -> World:
    root, outside = world.root, world.outside
    (root / "d").symlink_to(outside)
    (root / "src/r").symlink_to("../../outside/secret.txt")
    (root / "l3").symlink_to(outside / "secret.txt")
    (root / "l2").symlink_to("l3")
    (root / "l1").symlink_to("l2")
    (root / "new").symlink_to(outside / "absent.txt")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "up").symlink_to("..")
    return world


LINKS = ("d/secret.txt", "d", "src/r", "l1", "new", "proc", "up/outside/secret.txt", "d/sub", "d/absent/x")


@pytest.mark.parametrize("path", LINKS)
def test_a_link_out_is_neither_read_nor_written(linked: World, path: str):
    linked.refused("read_file", path=path)
    linked.refused("list_directory", path=path)
    linked.refused("search_files", path=path, pattern=".")
    linked.refused("write_file", path=path, content="pwned")
    linked.refused("edit_file", path=path, edits=[{"old": "a", "new": "b"}])


@pytest.mark.parametrize("path", ["d/secret.txt", "d/sub", "up/outside", "up/outside/secret.txt"])
def test_nothing_behind_a_link_out_is_moved_or_deleted(linked: World, path: str):
    linked.refused("delete_file", path=path)
    linked.refused("move_file", source=path, destination="x")
    linked.refused("move_file", source="README.md", destination=path)
    linked.refused("file_info", path=path)


@pytest.mark.parametrize("path", ["d", "l1", "new"])
def test_the_link_itself_goes_and_what_it_leads_to_stays(linked: World, path: str):
    answer = linked.attack("delete_file", path=path)
    assert not answer.is_error and not (linked.root / path).is_symlink()


def test_a_listing_and_a_search_show_nothing_of_the_outside(linked: World):
    linked.attack("list_directory", path=".")
    linked.attack("search_files", path=".", pattern=".", ignored=True)
    linked.attack("search_files", path=".", glob="**")


def test_a_restored_link_is_no_way_out(linked: World):
    deleted = linked.attack("delete_file", path="l3")
    linked.attack("files_undo", id=deleted.id)
    linked.refused("read_file", path="l3")


def test_no_tool_makes_links(world: World):
    for tool in ("make_symlink", "make_hardlink", "create_link", "extract", "copy"):
        world.refused(tool, path="esc", target=str(world.outside))


@pytest.fixture
def named(tmp_path: Path) -> Iterator[tuple[Peer, Path, Path]]:
    """A server whose policy names its root through a link; the link and the folder behind it."""
    tmp_path.chmod(0o700)
    apart = Apart(tmp_path.resolve())
    real, link = apart.folder / "disk" / "app", apart.folder / "app"
    real.mkdir(parents=True)
    (real / "a.txt").write_text("inner\n")
    (apart.folder / "secret.txt").write_text("SECRET-outside\n")
    link.symlink_to(real)
    apart.write_policy(
        f"version: 1\nextends: development\nagent: tester\nfiles: {{roots: [{{path: {link}, access: write}}]}}\n"
    )
    peer = apart.peer()
    yield peer, link, real
    peer.close()


def test_a_root_that_the_policy_names_through_a_link_is_called_so_by_agents_too(named: tuple[Peer, Path, Path]):
    peer, link, real = named
    for path in (f"{link}/a.txt", f"{real}/a.txt", "a.txt", f"{link}/./x/../a.txt"):
        assert "inner" in peer.call("read_file", path=path).text
    for tool, arguments in (
        ("write_file", {"path": f"{link}/new/b.txt", "content": "b\n"}),
        ("edit_file", {"path": f"{link}/a.txt", "edits": [{"old": "inner", "new": "other"}]}),
        ("move_file", {"source": f"{link}/new/b.txt", "destination": f"{link}/c.txt"}),
        ("delete_file", {"path": f"{link}/c.txt"}),
    ):
        done = peer.call(tool, **arguments)
        assert not done.is_error and str(real) in done.text, done.text
    assert "a.txt" in peer.call("list_directory", path=str(link)).text
    assert (real / "a.txt").read_text() == "other\n" and link.is_symlink()


def test_and_leads_nowhere_else(named: tuple[Peer, Path, Path]):
    peer, link, real = named
    for path in (f"{link}/../secret.txt", f"{link}-2/a.txt", str(link.parent), f"{link.parent}/disk"):
        assert peer.call("read_file", path=path).code == "out_of_bounds"
    for path in (str(link), f"{link}/", f"{link}/."):
        assert peer.call("delete_file", path=path).code == "out_of_bounds"
    link.unlink()
    link.symlink_to(link.parent)
    refused = peer.call("read_file", path=f"{link}/secret.txt")
    assert refused.is_error and "SECRET-outside" not in refused.text
    assert "inner" in peer.call("read_file", path=f"{link}/a.txt").text, "a root is opened once"
    assert (real / "a.txt").exists()
