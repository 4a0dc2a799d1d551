"""Names, links, pipes and hard links that should lead out of the sources. None may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from logs_server import Desk

from interlock.guard.errors import Code, Failed, Refused

CANARY = "CANARY-outside-the-sources"
READS = (
    ("read_log", {}),
    ("search_logs", {"pattern": "CANARY"}),
    ("summarize_logs", {}),
    ("search_logs", {"pattern": "C", "count": True}),
)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "app.log").write_text("2026-11-22T10:00:00Z INFO worker 1\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(CANARY + "\n")
    return folder


def answers(desk: Desk, source: str = "app") -> str:
    found = []
    for tool, arguments in READS:
        try:
            found.append(desk.text(tool, source=source, **arguments))
        except (Refused, Failed) as problem:
            found.append(problem.message)
    return "\n".join([*found, desk.text("list_sources")])


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside/secret.txt",
        "APP/../../outside/secret.txt",
        "file:///etc/passwd",
        "app.log",
        "App",
        "app\0",
        "",
        "app/",
        "*",
    ],
)
def test_a_source_is_a_name_of_the_policy_and_nothing_else(logs: Path, name: str) -> None:
    desk = Desk({"app": logs / "app.log*"})
    for tool, arguments in READS:
        with pytest.raises(Refused) as refusal:
            desk.text(tool, source=name, **arguments)
        assert refusal.value.code is Code.OUT_OF_BOUNDS


def test_a_link_that_leads_out_is_not_read(logs: Path) -> None:
    (logs / "app.log").unlink()
    (logs / "app.log").symlink_to(logs.parent / "outside" / "secret.txt")
    assert CANARY not in answers(Desk({"app": logs / "app.log*"}))


def test_a_link_within_the_folder_to_what_no_source_names_is_not_read(logs: Path) -> None:
    (logs / "private.txt").write_text(CANARY + "\n")
    (logs / "app.log.1").symlink_to(logs / "private.txt")
    text = answers(Desk({"app": logs / "app.log*"}))
    assert CANARY not in text
    assert "belongs to no source" in text


def test_a_folder_that_is_a_link_is_not_followed(logs: Path) -> None:
    (logs / "d").symlink_to(logs.parent / "outside")
    text = answers(Desk({"app": logs / "app.log", "d": logs / "d" / "*.txt"}), "d")
    assert CANARY not in text
    assert "link" in text


def test_a_hard_link_is_not_read(logs: Path) -> None:
    (logs / "app.log").unlink()
    os.link(logs.parent / "outside" / "secret.txt", logs / "app.log")
    text = answers(Desk({"app": logs / "app.log*"}))
    assert CANARY not in text
    assert "hard link" in text


def test_pipes_and_folders_are_named_not_opened(logs: Path) -> None:
    (logs / "app.log").unlink()
    os.mkfifo(logs / "app.log")
    (logs / "app.log.1").mkdir()
    text = answers(Desk({"app": logs / "app.log*"}))
    assert "not a regular file" in text


def test_a_file_swapped_for_a_link_between_listing_and_reading_is_not_read(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlock.logs.blocks import Budget

    desk = Desk({"app": logs / "app.log*"})
    source = desk.server.sources(desk.policy).by_name["app"]
    part = source.parts(Budget())[0]
    (logs / "app.log").unlink()
    (logs / "app.log").symlink_to(logs.parent / "outside" / "secret.txt")
    with pytest.raises(Refused):
        list(part.blocks(Budget()))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named_without_its_path(logs: Path) -> None:
    (logs / "app.log").chmod(0)
    text = answers(Desk({"app": logs / "app.log*"}))
    assert "cannot be opened" in text


def test_a_token_in_a_files_name_is_hidden_and_what_rotation_makes_is_not(logs: Path) -> None:
    token, pod = "q7Rw2mXp9LdK4vZt8NsB3hYc6GjF1aUe", "web-56bc65b5ff-22cfw_prod_app-" + "0a1b2c3d" * 8
    names = ["app.log.20261122T100000Z", "app.log.2026-11-22-10", f"app.log.{pod}"]
    for name in [*names, f"app.log.{token}"]:
        (logs / name).write_text("2026-11-22T10:00:05 INFO old\n")
    desk = Desk({"app": logs / "app.log*"})
    listed = desk.text("list_sources", source="app")
    assert token not in listed and "app.log.[secret:random:" in listed
    assert not [name for name in names if f"  {name}: " not in listed]
    assert token not in desk.text("read_log", source="app", tail=20)


def test_three_thousand_rotated_files_are_bounded_and_the_live_one_is_kept(logs: Path) -> None:
    for number in range(3_000):
        (logs / f"app.log.{number + 1}").write_text("l\n")
    desk = Desk({"app": logs / "app.log*"})
    listed = desk.text("list_sources")
    assert len(listed) < 2_000
    assert "app.log: " in listed
    found = desk.text("search_logs", source="app", pattern="worker")
    assert "1 lines match" in found
    assert "3,001 files match" in found
