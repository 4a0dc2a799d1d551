"""write, edit, move, delete, clean_up and undo: what changes, what is kept, what is refused, and the way back."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from files_server import FilesServer, body, seen


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- write and edit


def test_a_new_file_and_its_folders(server: FilesServer, work: Path):
    text = server.call("write_file", path="a/b/c.txt", content="x\n")
    assert (work / "a/b/c.txt").read_text() == "x\n"
    assert f"folders made: {work}/a, {work}/a/b" in text and body(text) == "@@ -0,0 +1 @@\n+x\n"
    assert mode(work / "a/b/c.txt") == 0o666 & ~umask()


def umask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now


def test_undo_of_a_new_file_takes_its_folders_away(server: FilesServer, work: Path):
    before = seen(work)
    id = server.change("write_file", path="a/b/c.txt", content="x\n")
    server.undo(id)
    assert seen(work) == before
    again = server.change("write_file", path="a/b/c.txt", content="x\n")
    (work / "a/other").write_text("somebody's\n")
    server.undo(again)
    assert not (work / "a/b").exists() and (work / "a/other").exists()


def test_replacing_keeps_mode_owner_and_attributes_and_undo_restores_all(server: FilesServer, work: Path):
    path = work / "s.sh"
    path.write_text("old\n")
    path.chmod(0o751)
    os.utime(path, (1, 1))
    attributes = True
    try:
        os.setxattr(path, "user.kept", b"1")
    except OSError:
        attributes = False
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = seen(work)
    id = server.change("write_file", path="s.sh", content="new\n")
    assert (path.read_text(), mode(path)) == ("new\n", 0o751)
    if os.geteuid() == 0:
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    if attributes:
        assert os.getxattr(path, "user.kept") == b"1"
    redo = server.undo(id)
    assert seen(work) == before
    if attributes:
        assert os.getxattr(path, "user.kept") == b"1"
    server.undo(redo)
    assert path.read_text() == "new\n"


def test_the_access_list_of_a_folder_lets_nobody_in_to_what_had_none(server: FilesServer, work: Path):
    others = b"\x02\x00\x00\x00" + b"".join(
        tag.to_bytes(2, "little") + may.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, may, who in [
            (1, 7, 2**32 - 1),
            (2, 6, 12345),
            (4, 0, 2**32 - 1),
            (16, 6, 2**32 - 1),
            (32, 0, 2**32 - 1),
        ]
    )
    path = work / "shared/private.txt"
    path.parent.mkdir()
    path.write_text("a\n")
    path.chmod(0o640)
    try:
        os.setxattr(path.parent, "system.posix_acl_default", others)
    except (AttributeError, OSError):
        pytest.skip("this file system keeps no access lists: run the tests on ext4, xfs or btrfs")
    id = server.change("write_file", path="shared/private.txt", content="b\n")
    assert os.listxattr(path) == [] and mode(path) == 0o640
    server.undo(id)
    assert os.listxattr(path) == [] and mode(path) == 0o640


def test_edits_are_exact_unique_and_all_or_none(server: FilesServer, work: Path):
    path = work / "a.txt"
    path.write_text("one two two\n")
    refused = server.refused("edit_file", path="a.txt", edits=[{"old": "one", "new": "1"}, {"old": "two", "new": "2"}])
    assert refused.startswith("conflict") and "2 times" in refused and path.read_text() == "one two two\n"
    assert server.refused("edit_file", path="a.txt", edits=[{"old": "three", "new": "3"}]).startswith("conflict")
    assert server.refused("edit_file", path="a.txt", edits=[{"old": "one", "new": "one"}]).startswith("invalid")
    assert "other spaces" in server.refused("edit_file", path="a.txt", edits=[{"old": "one  two", "new": "x"}])
    text = server.call("edit_file", path="a.txt", edits=[{"old": "two", "new": "2", "replace_all": True}], dry_run=True)
    assert "-one two two" in text and path.read_text() == "one two two\n"
    server.call("edit_file", path="a.txt", edits=[{"old": "two", "new": "2", "replace_all": True}])
    assert path.read_text() == "one 2 2\n"


def test_an_expected_digest_guards_against_lost_updates(server: FilesServer, work: Path):
    path = work / "a.txt"
    path.write_text("one\n")
    digest = server.call("read_file", path="a.txt").split("digest ")[1].split(";")[0]
    server.call("write_file", path="a.txt", content="two\n", expected=digest)
    assert server.refused("write_file", path="a.txt", content="three\n", expected=digest).startswith("conflict")
    assert server.refused("write_file", path="new.txt", content="x", expected=digest).startswith("conflict")


@pytest.mark.parametrize(
    ("data", "after"),
    [
        (b"a\r\nold\r\n", b"a\r\nnew\r\nmore\r\n"),
        ("\ufeffa\nold\n".encode("utf-16-le"), "\ufeffa\nnew\nmore\n".encode("utf-16-le")),
        (b"\xef\xbb\xbfa\nold\n", b"\xef\xbb\xbfa\nnew\nmore\n"),
        (b"caf\xe9\nold\n", b"caf\xe9\nnew\nmore\n"),
    ],
)
def test_line_ends_and_encoding_are_kept(server: FilesServer, work: Path, data: bytes, after: bytes):
    (work / "e.txt").write_bytes(data)
    server.call("edit_file", path="e.txt", edits=[{"old": "old\n", "new": "new\nmore\n"}])
    assert (work / "e.txt").read_bytes() == after


def test_a_secret_survives_an_edit_around_it(server: FilesServer, work: Path):
    password = "hunter2" * 3
    path = work / "conf.yaml"
    path.write_text(f"db:\n  user: app\n  password: {password}\n  timeout: 5s\n")
    text = server.call("edit_file", path="conf.yaml", edits=[{"old": "timeout: 5s", "new": "timeout: 30s"}])
    assert password not in text and path.read_text().endswith(f"password: {password}\n  timeout: 30s\n")
    whole = body(server.call("read_file", path="conf.yaml"))
    assert password not in whole
    server.call("write_file", path="conf.yaml", content=whole.replace("30s", "60s"))
    assert f"password: {password}\n  timeout: 60s" in path.read_text()


def test_a_placeholder_is_put_back_only_in_its_place(server: FilesServer, work: Path):
    password = "hunter2" * 3
    (work / "conf.yaml").write_text(f"password: {password}\n")
    whole = body(server.call("read_file", path="conf.yaml"))
    placeholder = whole.split(": ")[1].strip()
    for path, content in (("other.yaml", whole), ("conf.yaml", f"note: {placeholder}\n"), ("x.txt", placeholder)):
        assert password not in server.refused("write_file", path=path, content=content)
    assert not (work / "other.yaml").exists()


@pytest.mark.parametrize(
    "name", [".env", ".git/hooks/pre-commit", ".github/workflows/x.yml", ".mcp.json", "a/.ENV.local"]
)
def test_protected_names_are_not_written_moved_or_deleted(server: FilesServer, work: Path, name: str):
    path = work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert server.refused("write_file", path=name, content="x").startswith("protected")
    path.write_text("x\n")
    (work / "ok.txt").write_text("ok\n")
    (work / "alias").symlink_to(name)
    before = seen(work)
    top = name.split("/")[0]
    for tool, arguments in (
        ("write_file", {"path": "alias", "content": "y"}),
        ("edit_file", {"path": name, "edits": [{"old": "x", "new": "y"}], "dry_run": True}),
        ("delete_file", {"path": name}),
        ("delete_file", {"path": top}),
        ("move_file", {"source": name, "destination": "z"}),
        ("move_file", {"source": top, "destination": "z"}),
        ("move_file", {"source": "ok.txt", "destination": name}),
    ):
        assert server.refused(tool, **arguments).startswith("protected"), (tool, arguments)
    assert seen(work) == before


def test_a_tree_is_not_moved_to_where_what_is_in_it_is_protected(server: FilesServer, work: Path):
    (work / "x/workflows").mkdir(parents=True)
    (work / "x/workflows/run.yml").write_text("on: push\n")
    assert server.refused("move_file", source="x", destination=".github").startswith("protected")


def test_no_folder_becomes_a_repository(server: FilesServer, work: Path):
    for name in ("HEAD", "objects/x"):
        server.call("write_file", path=f"r/{name}", content="x\n")
    assert server.refused("write_file", path="r/refs/heads/main", content="x\n").startswith("protected")
    (work / "bare/objects").mkdir(parents=True)
    (work / "bare/refs").mkdir()
    (work / "bare/HEAD").write_text("ref: refs/heads/main\n")
    assert server.refused("write_file", path="bare/config", content="[core]\n").startswith("protected")


def test_what_is_no_regular_file_is_not_written(server: FilesServer, work: Path, tmp_path: Path):
    os.mkfifo(work / "pipe")
    (work / "folder").mkdir()
    (work / "out").symlink_to(tmp_path / "outside.txt")
    (work / "dangling").symlink_to("nothing")
    for name in ("pipe", "folder", "out", "dangling"):
        assert server.answer("write_file", path=name, content="x").is_error
    assert not (tmp_path / "outside.txt").exists() and not (work / "nothing").exists()


def test_a_link_inside_is_written_through_and_stays_a_link(server: FilesServer, work: Path):
    (work / "real.txt").write_text("old\n")
    (work / "link").symlink_to("real.txt")
    assert f"{work}/real.txt" in server.call("write_file", path="link", content="new\n")
    assert (work / "link").is_symlink() and (work / "real.txt").read_text() == "new\n"


def test_a_hard_link_is_never_written_through(server: FilesServer, work: Path, tmp_path: Path):
    (tmp_path / "outside.txt").write_text("outside\n")
    os.link(tmp_path / "outside.txt", work / "a.txt")
    assert server.refused("write_file", path="a.txt", content="new\n").startswith("out_of_bounds")
    again = FilesServer(server.installation, None, more="  hard_links: any\n")
    again.call("write_file", path="a.txt", content="new\n")
    assert (tmp_path / "outside.txt").read_text() == "outside\n" and (work / "a.txt").read_text() == "new\n"
    again.close()


def test_changed_keys_reach_the_rules(server: FilesServer, work: Path):
    where = '{path: "**/*.yaml", changed: {beyond: [replicas]}}'
    rule = f'rules:\n  only: {{deny: files.write, where: {where}, reason: "only that"}}\n'
    again = FilesServer(server.installation, None, more=rule)
    (work / "d.yaml").write_text("replicas: 1\nimage: a\n")
    again.call("edit_file", path="d.yaml", edits=[{"old": "replicas: 1", "new": "replicas: 2"}])
    assert again.refused("edit_file", path="d.yaml", edits=[{"old": "image: a", "new": "image: b"}]).startswith(
        "denied"
    )
    (work / "e.yaml").write_text("image: c\n")
    assert again.refused("move_file", source="e.yaml", destination="d.yaml").startswith("denied")
    again.close()


# ---------------------------------------------------------------- move


def test_moves_and_their_undo(server: FilesServer, work: Path):
    (work / "a/b").mkdir(parents=True)
    (work / "a/b/f").write_text("f\n")
    (work / "t.txt").write_text("target\n")
    (work / "s.txt").write_text("source\n")
    before = seen(work)
    moved = server.change("move_file", source="a", destination="new/place/a")
    onto = server.change("move_file", source="s.txt", destination="t.txt")
    assert (work / "new/place/a/b/f").exists() and (work / "t.txt").read_text() == "source\n"
    server.undo(onto)
    server.undo(moved)
    assert seen(work) == before


def test_moves_that_are_refused(server: FilesServer, work: Path):
    (work / "a/b").mkdir(parents=True)
    (work / "f").write_text("f\n")
    for source, destination in (
        ("a", "a/c"),
        ("a", "a"),
        ("f", "a"),
        ("a", "f"),
        ("none", "x"),
        ("f", "f"),
        (".", "x"),
    ):
        assert server.answer("move_file", source=source, destination=destination).is_error
    assert "name" in server.refused("move_file", source="f", destination="a")


# ---------------------------------------------------------------- delete and undo


def rich_tree(top: Path) -> None:
    (top / "d/empty").mkdir(parents=True)
    (top / "f.txt").write_text("f\n")
    (top / "d/ro").write_text("read only\n")
    (top / "d/ro").chmod(0o440)
    (top / "inside").symlink_to("f.txt")
    (top / "outside").symlink_to("/etc/passwd")
    (top / "nowhere").symlink_to("none")
    os.mkfifo(top / "pipe", 0o640)
    os.link(top / "f.txt", top / "hard")
    with (top / "sparse").open("wb") as file:
        file.seek(50_000_000)
        file.write(b"end")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(top, os.O_RDONLY)
        one.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    Path(os.fsdecode(os.fsencode(top) + b"/odd\xff\n")).write_bytes(b"odd")
    os.utime(top / "f.txt", (5, 5))
    os.utime(top / "inside", (6, 6), follow_symlinks=False)
    os.utime(top / "d", (7, 7))
    if os.geteuid() == 0:
        os.chown(top / "d/ro", 1234, 1234)


@pytest.mark.parametrize("copied", [False, True], ids=["same file system", "another file system"])
def test_a_whole_tree_goes_and_comes_back(
    server: FilesServer, work: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
):
    if copied:
        monkeypatch.setattr("interlock.files.tools.can_rename", lambda folder, store: False)
        monkeypatch.setattr("interlock.files.undo.can_rename", lambda folder, store: False)
    rich_tree(work / "tree")
    before, times = seen(work), (work / "tree/d").stat().st_mtime
    id = server.change("delete_file", path="tree")
    assert not (work / "tree").exists() and list(work.iterdir()) == []
    redo = server.undo(id)
    assert seen(work) == before and (work / "tree/d").stat().st_mtime == times
    assert (work / "tree/f.txt").stat().st_nlink == 2
    assert (work / "tree/sparse").stat().st_blocks * 512 < 1_000_000
    again = server.undo(redo)
    assert list(work.iterdir()) == []
    server.undo(again)
    assert seen(work) == before


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """A folder of another file system."""
    point = tmp_path / "other"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    point.chmod(0o700)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_across_real_file_systems(server: FilesServer, work: Path, other: Path):
    policy = server.installation.policy.read_text()
    root = f"    - {{path: {work}, access: write}}\n"
    server.installation.write_policy(policy.replace(root, root + root.replace(str(work), str(other))))
    again = FilesServer(server.installation, None)
    rich_tree(other / "tree")
    before = seen(other)
    id = again.change("delete_file", path=str(other / "tree"))
    assert list(other.iterdir()) == []
    again.undo(id)
    assert seen(other) == before
    moved = again.change("move_file", source=str(other / "tree"), destination=str(work / "x/tree"))
    assert list(other.iterdir()) == [] and seen(work / "x")["tree/f.txt"] == before["tree/f.txt"]
    again.undo(moved)
    assert seen(other) == before and list(work.iterdir()) == []
    again.close()


def test_deleting_a_link_takes_the_link(server: FilesServer, work: Path, tmp_path: Path):
    (tmp_path / "keep.txt").write_text("keep\n")
    (work / "link").symlink_to(tmp_path / "keep.txt")
    id = server.change("delete_file", path="link")
    assert (tmp_path / "keep.txt").exists() and not (work / "link").is_symlink()
    server.undo(id)
    assert (work / "link").is_symlink()
    assert server.answer("read_file", path="link").is_error


@pytest.mark.parametrize("path", [".", "..", "/", "", "none", "a/../..", "./"])
def test_deletes_that_are_refused(server: FilesServer, work: Path, path: str):
    (work / "a").mkdir()
    assert server.answer("delete_file", path=path).is_error
    assert (work / "a").exists()


def test_same_names_go_back_each_to_its_place(server: FilesServer, work: Path):
    for folder in "pq":
        (work / folder).mkdir()
        (work / folder / "n.txt").write_text(folder)
    ids = [server.change("delete_file", path=f"{folder}/n.txt") for folder in "pq"]
    for id in ids:
        server.undo(id)
    assert [(work / folder / "n.txt").read_text() for folder in "pq"] == ["p", "q"]


# ---------------------------------------------------------------- drift


def test_undo_over_newer_content_asks(server: FilesServer, work: Path):
    (work / "a.txt").write_text("old\n")
    id = server.change("write_file", path="a.txt", content="ours\n")
    (work / "a.txt").write_text("somebody's\n")
    assert server.refused("files_undo", id=id).startswith("approval_required")
    assert (work / "a.txt").read_text() == "somebody's\n"


def test_undo_where_something_stands_in_the_way_is_refused(server: FilesServer, work: Path):
    (work / "a.txt").write_text("old\n")
    id = server.change("delete_file", path="a.txt")
    (work / "a.txt").write_text("new\n")
    assert server.refused("files_undo", id=id).startswith("conflict")
    (work / "a.txt").unlink()
    server.undo(id)
    assert (work / "a.txt").read_text() == "old\n"
    assert server.refused("files_undo", id=id).startswith("invalid")


@pytest.mark.parametrize("tool", ["write_file", "delete_file"])
def test_an_undo_says_when_what_was_kept_is_gone(server: FilesServer, work: Path, tool: str):
    (work / "a").write_bytes(b"x" * 100_000)
    id = server.change(tool, path="a", **({"content": "new"} if tool == "write_file" else {}))
    shutil.rmtree(server.installation.home / "snapshots")
    assert "what was kept of it is gone" in server.refused("files_undo", id=id)


def test_undo_makes_folders_again_that_went_away(server: FilesServer, work: Path):
    (work / "a/b").mkdir(parents=True)
    (work / "a/b/f.txt").write_text("f\n")
    id = server.change("delete_file", path="a/b/f.txt")
    (work / "a/b").rmdir()
    server.undo(id)
    assert (work / "a/b/f.txt").read_text() == "f\n"


def test_an_undo_never_follows_a_link_out(server: FilesServer, work: Path, tmp_path: Path):
    (work / "d").mkdir()
    (work / "d/f.txt").write_text("f\n")
    id = server.change("delete_file", path="d/f.txt")
    (tmp_path / "outside").mkdir()
    (work / "d").rmdir()
    (work / "d").symlink_to(tmp_path / "outside")
    assert server.answer("files_undo", id=id).is_error
    assert list((tmp_path / "outside").iterdir()) == []


# ---------------------------------------------------------------- clean_up


def builds(work: Path, count: int = 6) -> None:
    for i in range(count):
        folder = work / f"builds/build-{i}"
        folder.mkdir(parents=True)
        (folder / "out").write_text(str(i))
        os.utime(folder, (1000 + i, 1000 + i))


def rule(work: Path, more: str = "keep_newest: 2, keep: 1h") -> str:
    return f"  clean_up:\n    old: {{path: {work}/builds, match: ['build-*/'], older_than: 1d, {more}}}\n"


def test_a_clean_up_takes_what_its_rule_names_and_one_undo_brings_it_back(
    server: FilesServer, work: Path, tmp_path: Path
):
    builds(work)
    (work / "builds/keep.txt").write_text("k\n")
    (work / "builds/build-file").write_text("a file, no folder\n")
    (tmp_path / "outside").mkdir()
    (work / "builds/build-link").symlink_to(tmp_path / "outside")
    os.utime(work / "builds/build-link", (1, 1), follow_symlinks=False)
    (work / "builds/build-new").mkdir()
    again = FilesServer(server.installation, None, more=rule(work))
    before = seen(work)
    dry = again.call("clean_up", name="old", dry_run=True)
    assert "would be taken" in dry and seen(work) == before
    answer = again.answer("clean_up", name="old", reason="space")
    assert "restorable until" in answer.text and "space is freed" in answer.text
    left = sorted(path.name for path in (work / "builds").iterdir())
    assert left == ["build-5", "build-file", "build-link", "build-new", "keep.txt"]
    kept = {one["id"]: one["keep"] for one in again.guard.snapshots.usage()["snapshots"]}
    assert kept[answer.id] == 3600
    assert again.refused("clean_up", name="old").startswith("invalid")
    again.undo(answer.id)
    assert seen(work) == before
    again.close()


def test_a_clean_up_that_is_too_much_takes_nothing(server: FilesServer, work: Path):
    builds(work)
    again = FilesServer(server.installation, None, more=rule(work, "max: {files: 5}"))
    assert again.refused("clean_up", name="old").startswith("too_large")
    assert again.refused("clean_up", name="new").startswith("invalid")
    assert len(list((work / "builds").iterdir())) == 6
    again.close()


def test_a_clean_up_never_goes_through_a_link(server: FilesServer, work: Path, tmp_path: Path):
    builds(work)
    again = FilesServer(server.installation, None, more=rule(work))
    (tmp_path / "outside/build-1").mkdir(parents=True)
    os.utime(tmp_path / "outside/build-1", (1, 1))
    (work / "builds").rename(work / "real")
    (work / "builds").symlink_to(tmp_path / "outside")
    assert again.answer("clean_up", name="old").is_error
    (work / "builds").unlink()
    (work / "builds").symlink_to("real")
    assert again.answer("clean_up", name="old").is_error
    assert (tmp_path / "outside/build-1").exists() and len(list((work / "real").iterdir())) == 6
    again.close()


def test_a_path_that_names_a_folder_gets_no_file(server: FilesServer, work: Path):
    refusal = server.refused("write_file", path="made/", content="x\n")
    assert refusal.startswith("invalid") and "names a folder" in refusal and not (work / "made").exists()
