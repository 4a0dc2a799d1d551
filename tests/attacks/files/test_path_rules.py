"""A user's rules on paths hold whichever way a file is reached: through its folder, a search, a move, a clean-up, an
undo. Stopped by judging every entry (`files.extent`, `Bounds.may`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from files_server import FilesServer, body, seen
from installation import Installation

from interlock.files.tools import Files
from interlock.guard.model import Call, Look
from interlock.guard.undo.snapshots import Slot

NO_CUSTOMERS = 'rules:\n  none: {deny: [files.read, files.list], where: {path: "**/customers/**"}}\n'
ASK_CUSTOMERS = NO_CUSTOMERS.replace("deny", "ask")
NO_DEPLOY = "rules:\n  none: {deny: [files.write, files.delete, files.move, files.clean_up], "
NO_DEPLOY += 'where: {path: "**/deploy/*.yaml"}}\n'
MANY = 600


@pytest.fixture
def work(installation: Installation) -> Path:
    work = Path(os.path.realpath(installation.work))
    for name, text in (
        ("customers/list.txt", "Elm Street 5\n"),
        ("customers/Jane-Roe.txt", "x\n"),
        ("public.txt", "Elm\n"),
        ("deploy/a.yaml", "replicas: 1\n"),
        ("staged/a.yaml", "replicas: 2\n"),
    ):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    return work


# ---------------------------------------------------------------- search and list


@pytest.mark.parametrize("rule", [NO_CUSTOMERS, ASK_CUSTOMERS], ids=["deny", "ask"])
def test_a_search_of_a_folder_reads_no_file_that_may_not_be_read(
    opened: Callable[[str], FilesServer], work: Path, rule: str
):
    server = opened(rule)
    assert server.answer("read_file", path="customers/list.txt").is_error
    text = server.call("search_files", path=".", pattern="Elm")
    assert body(text) == "public.txt (4 B)\n1: Elm\n" and "are not searched" in text
    other = server.call("search_files", path=".", pattern="Nowhere")
    assert "are not searched" in other and "left out" not in text + other  # a count would tell what is in them


def test_a_glob_lists_no_name_that_may_not_be_listed(opened: Callable[[str], FilesServer], work: Path):
    server = opened(NO_CUSTOMERS)
    text = server.call("search_files", path=".", glob="**/*.txt")
    assert body(text) == "public.txt\n" and "2 files left out by the policy's rules" in text


def test_a_listing_shows_no_name_that_may_not_be_listed(opened: Callable[[str], FilesServer], work: Path):
    server = opened('rules:\n  none: {deny: files.list, where: {path: "**/*Roe*"}}\n')
    assert server.answer("file_info", path="customers/Jane-Roe.txt").is_error
    text = server.call("list_directory", path="customers")
    assert "Roe" not in text and "list.txt" in text and "1 name left out" in text


def test_a_rule_by_size_judges_files_and_no_folder(opened: Callable[[str], FilesServer], work: Path):
    server = opened("rules:\n  large: {deny: files.read, where: {size: {min: 5}}}\n")
    assert body(server.call("search_files", path=".", pattern="Elm")) == "public.txt (4 B)\n1: Elm\n"
    assert server.refused("search_files", path="customers/list.txt", pattern="Elm").startswith("denied")


# ---------------------------------------------------------------- trees


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("delete_file", {"path": "deploy"}),
        ("move_file", {"source": "deploy", "destination": "d2"}),
        ("move_file", {"source": "staged", "destination": "x/deploy"}),
        ("clean_up", {"name": "all"}),
    ],
)
@pytest.mark.parametrize("effect", ["deny", "ask"])
def test_no_tree_is_a_way_around_a_rule(
    opened: Callable[[str], FilesServer], work: Path, tool: str, arguments: dict[str, str], effect: str
):
    clean_up = f"  clean_up:\n    all: {{path: {work}, match: ['deploy/'], older_than: 1s}}\n"
    os.utime(work / "deploy", (1, 1))
    server = opened(clean_up + NO_DEPLOY.replace("deny", effect))
    before = seen(work)
    expected = "denied" if effect == "deny" else "approval_required"
    assert server.refused(tool, **arguments).startswith(expected)
    assert seen(work) == before


def test_what_is_in_a_moved_tree_is_judged_by_its_keys(opened: Callable[[str], FilesServer], work: Path):
    where = '{path: "**/deploy/*.yaml", changed: {beyond: [replicas]}}'
    server = opened(f"rules:\n  only: {{deny: files.write, where: {where}}}\n")
    assert server.refused("move_file", source="staged", destination="x/deploy").startswith("denied")
    server.call("move_file", source="staged", destination="x/other")


def test_an_undo_of_a_tree_is_judged_entry_by_entry(opened: Callable[[str], FilesServer], work: Path):
    first = opened("")
    deleted = first.change("delete_file", path="deploy")
    moved = first.change("move_file", source="staged", destination="elsewhere")
    (work / "elsewhere/secret.yaml").write_text("x: 1\n")
    rules = 'rules:\n  one: {deny: files.write, where: {path: "**/deploy/a.yaml"}}\n'
    rules += '  two: {deny: files.move, where: {path: "**/secret.yaml"}}\n'
    server = opened(rules)
    before = seen(work)
    assert server.refused("files_undo", id=deleted).startswith("denied")
    assert server.refused("files_undo", id=moved).startswith("denied")
    assert seen(work) == before


@pytest.mark.parametrize("tool", ["delete_file", "move_file"])
def test_beyond_the_entries_that_are_named_every_rule_on_paths_holds(
    opened: Callable[[str], FilesServer], work: Path, tool: str
):
    (work / "many").mkdir()
    for i in range(MANY):
        (work / f"many/{i}").touch()
    rules = 'rules:\n  none: {deny: [files.delete, files.move], where: {path: "**/no-such-name"}}\n'
    arguments = {"path": "many"} if tool == "delete_file" else {"source": "many", "destination": "more"}
    assert opened(rules).refused(tool, **arguments).startswith("denied")
    (work / "many/0").unlink()
    for i in range(1, MANY - 450):
        (work / f"many/{i}").unlink()
    if tool == "move_file":
        opened(rules).call(tool, **arguments)
    else:
        assert opened(rules).refused(tool, **arguments).startswith("approval_required")  # only for its number


def test_a_tree_that_gains_a_file_between_look_and_act_is_left_alone(
    opened: Callable[[str], FilesServer], work: Path, monkeypatch: pytest.MonkeyPatch
):
    server, capture = opened(NO_DEPLOY), Files.capture
    for tool, arguments in (
        ("move_file", {"source": "empty", "destination": "x/deploy"}),
        ("delete_file", {"path": "empty"}),
    ):
        (work / "empty").mkdir(exist_ok=True)

        def late(files: Files, call: Call, look: Look, slot: Slot) -> None:
            capture(files, call, look, slot)
            (work / "empty/a.yaml").write_text("late\n")

        with monkeypatch.context() as patch:
            patch.setattr(Files, "capture", late)
            assert server.refused(tool, **arguments).startswith("conflict")
        assert (work / "empty/a.yaml").read_text() == "late\n" and not (work / "x/deploy").exists()
        (work / "empty/a.yaml").unlink()


# ---------------------------------------------------------------- a move is a read of what moves


@pytest.mark.parametrize("effect", ["deny", "ask"])
def test_nothing_moves_out_of_where_its_reading_is_judged(
    opened: Callable[[str], FilesServer], work: Path, effect: str
):
    server = opened(f'rules:\n  none: {{{effect}: files.read, where: {{path: "**/customers/*.txt"}}}}\n')
    before = seen(work)
    expected = "denied" if effect == "deny" else "approval_required"
    for source in ("customers", "customers/list.txt"):
        assert server.refused("move_file", source=source, destination="c2").startswith(expected)
    assert seen(work) == before
    server.call("move_file", source="public.txt", destination="p2.txt")


def test_a_move_to_where_less_is_hidden_asks(opened: Callable[[str], FilesServer], work: Path):
    server = opened('redaction:\n  sources: {"**/list.txt": {values: true}}\n')
    for source, destination in (("customers/list.txt", "x.txt"), ("public.txt", "list.txt")):
        refused = server.refused("move_file", source=source, destination=destination)
        assert refused.startswith("approval_required") and "redaction.sources" in refused
    server.call("move_file", source="customers", destination="c2")  # list.txt is hidden there as well
    moved = server.change("move_file", source="public.txt", destination="p2.txt")
    server.undo(moved)


# ---------------------------------------------------------------- the folders of clean-ups


def test_a_clean_up_outside_of_the_roots_is_a_bound_of_its_own(
    opened: Callable[[str], FilesServer], work: Path, tmp_path: Path
):
    builds = Path(os.path.realpath(tmp_path)) / "builds"
    for name in ("build-1", "build-2"):
        (builds / name).mkdir(parents=True)
        (builds / name / "out").write_text("Elm\n")
        os.utime(builds / name, (1, 1))
    server = opened(f"  clean_up:\n    old: {{path: {builds}, match: ['build-*/'], older_than: 1d}}\n")
    before = seen(builds)
    for tool, arguments in (
        ("read_file", {"path": f"{builds}/build-1/out"}),
        ("list_directory", {"path": f"{builds}"}),
        ("file_info", {"path": f"{builds}/build-1"}),
        ("search_files", {"path": f"{builds}", "pattern": "Elm"}),
        ("write_file", {"path": f"{builds}/build-1/out", "content": "x"}),
        ("edit_file", {"path": f"{builds}/build-1/out", "edits": [{"old": "E", "new": "F"}]}),
        ("move_file", {"source": f"{builds}/build-1", "destination": "x"}),
        ("move_file", {"source": "public.txt", "destination": f"{builds}/x"}),
        ("delete_file", {"path": f"{builds}/build-1"}),
    ):
        assert server.refused(tool, **arguments).startswith("out_of_bounds"), tool
    assert seen(builds) == before
    id = server.change("clean_up", name="old")
    assert list(builds.iterdir()) == []
    redo = server.undo(id)
    assert seen(builds) == before
    server.undo(redo)
    assert list(builds.iterdir()) == []
