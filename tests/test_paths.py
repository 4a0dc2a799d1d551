"""Opening beneath roots: what is judged is what was opened, by the kernel's way and by the walk alike."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.guard.errors import Code, Refused
from interlock.path_names import parse, parse_name, shown
from interlock.paths import Roots


@pytest.fixture(params=[True, False], ids=["openat2", "walk"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Roots]:
    """`app` may be written, `lib` and `app/vendor` read; `outside` is no root."""
    for folder in ("app/src", "app/vendor", "lib", "outside", "app-evil"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "app/src/main.py").write_text("main\n")
    (tmp_path / "lib/x.py").write_text("lib\n")
    (tmp_path / "outside/secret").write_text("secret\n")
    (tmp_path / "app-evil/secret").write_text("secret\n")
    wanted = [("app", True), ("lib", False), ("app/vendor", False)]
    made = Roots([(str(tmp_path / name), write) for name, write in wanted], openat2=request.param)
    yield made
    made.close()


def content(roots: Roots, path: Path | str) -> bytes:
    opened = roots.open(str(path))
    try:
        fd = opened.read_fd()
        try:
            return os.read(fd, 100)
        finally:
            os.close(fd)
    finally:
        opened.close()


def refusal(roots: Roots, path: Path | str) -> Refused:
    with pytest.raises(Refused) as caught:
        content(roots, path)
    return caught.value


def test_what_is_inside_opens(roots: Roots, tmp_path: Path):
    assert content(roots, tmp_path / "app/src/main.py") == b"main\n"
    opened = roots.open(str(tmp_path / "app/vendor"))
    assert not opened.root.write, "the innermost root decides"
    opened.close()


@pytest.mark.parametrize("name", ["outside/secret", "app-evil/secret", "app/../outside/secret"])
def test_what_is_outside_does_not(roots: Roots, tmp_path: Path, name: str):
    assert refusal(roots, f"{tmp_path}/{name}").code is Code.OUT_OF_BOUNDS


def test_links_that_stay_inside_are_followed(roots: Roots, tmp_path: Path):
    (tmp_path / "app/relative").symlink_to("src/main.py")
    (tmp_path / "app/absolute").symlink_to(tmp_path / "app/src/main.py")
    (tmp_path / "app/up").symlink_to("src/../src/main.py")
    (tmp_path / "app/folder").symlink_to(tmp_path / "app/src")
    (tmp_path / "app/other-root").symlink_to(tmp_path / "lib/x.py")
    for name in ("relative", "absolute", "up", "folder/main.py"):
        assert content(roots, tmp_path / "app" / name) == b"main\n"
    opened = roots.open(str(tmp_path / "app/folder/main.py"))
    assert opened.real == str(tmp_path / "app/src/main.py")
    opened.close()
    other = roots.open(str(tmp_path / "app/other-root"))
    assert (other.real, other.root.write) == (str(tmp_path / "lib/x.py"), False)
    other.close()


@pytest.mark.parametrize(
    "target", ["../outside/secret", "../../outside", "/etc/passwd", "/proc/self/root/etc/passwd", ".."]
)
def test_links_that_lead_out_are_refused_whether_or_not_there_is_something(roots: Roots, tmp_path: Path, target: str):
    (tmp_path / "app/link").symlink_to(target)
    (tmp_path / "app/chain").symlink_to("link")
    (tmp_path / "app/to-nothing").symlink_to(tmp_path / "outside/nothing")
    for name in ("link", "chain", "link/x"):
        assert refusal(roots, tmp_path / "app" / name).code is Code.OUT_OF_BOUNDS
    there, not_there = refusal(roots, tmp_path / "app/link"), refusal(roots, tmp_path / "app/to-nothing")
    assert there.message.replace("link ", "") == not_there.message.replace("to-nothing", "link").replace("link ", "")


def test_loops_and_long_chains_end(roots: Roots, tmp_path: Path):
    (tmp_path / "app/a").symlink_to("b")
    (tmp_path / "app/b").symlink_to("a")
    assert refusal(roots, tmp_path / "app/a").code is Code.INVALID
    (tmp_path / "app/l0").symlink_to("src/main.py")
    for i in range(1, 60):
        (tmp_path / f"app/l{i}").symlink_to(f"l{i - 1}")
    assert refusal(roots, tmp_path / "app/l59").code is Code.INVALID


def test_special_files_are_looked_at_and_never_read(roots: Roots, tmp_path: Path):
    os.mkfifo(tmp_path / "app/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(tmp_path / "app", os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        for name, what in (("pipe", "named pipe"), ("socket", "socket"), ("src", "folder")):
            assert what in refusal(roots, tmp_path / "app" / name).message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_mount_points_are_not_crossed(roots: Roots, tmp_path: Path):
    import subprocess

    point = tmp_path / "app/mounted"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", str(tmp_path / "outside"), str(point)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        same_device = point.stat().st_dev == (tmp_path / "app").stat().st_dev
        if roots._openat2 or not same_device:
            assert refusal(roots, point / "secret").code is Code.OUT_OF_BOUNDS
            with pytest.raises(Refused):
                roots.place(str(point), follow=False)
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_places(roots: Roots, tmp_path: Path):
    (tmp_path / "app/link").symlink_to("src/main.py")
    (tmp_path / "app/dangling").symlink_to("src/new.py")
    place = roots.place(str(tmp_path / "app/link"), follow=True)
    assert place.real == str(tmp_path / "app/src/main.py")
    place.close()
    place = roots.place(str(tmp_path / "app/link"), follow=False)
    assert place.stat is not None and stat.S_ISLNK(place.stat.st_mode)
    place.close()
    place = roots.place(str(tmp_path / "app/src/a/b/c.txt"), follow=True)
    assert (place.missing, place.stat, place.name) == (("a", "b"), None, "c.txt")
    place.close()
    for bad in ("app", "app/dangling", "app/dangling/x", "app/src/main.py/x", "outside/x"):
        with pytest.raises(Refused):
            roots.place(str(tmp_path / bad), follow=True).close()


def test_no_descriptor_is_left(roots: Roots, tmp_path: Path):
    (tmp_path / "app/link").symlink_to("../outside")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        content(roots, tmp_path / "app/src/main.py")
        roots.place(str(tmp_path / "app/src/a/b"), follow=True).close()
        for bad in ("app/link/x", "app/none", "app/src/main.py/x"):
            refusal(roots, tmp_path / bad)
            with pytest.raises(Refused):
                roots.place(str(tmp_path / bad / "y"), follow=True).close() if bad != "app/none" else refuse()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def refuse() -> None:
    raise Refused(Code.INVALID, "")


def test_a_folder_swapped_for_a_link_never_leads_out(roots: Roots, tmp_path: Path):
    """Many rounds against a thread that swaps; every read gives the inside or a refusal."""
    (tmp_path / "app/d").mkdir()
    (tmp_path / "app/d/secret").write_text("inside\n")
    (tmp_path / "app/other").symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for a, b in (("d", "kept"), ("other", "d"), ("d", "other"), ("kept", "d")):
                (tmp_path / "app" / a).rename(tmp_path / "app" / b)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outcomes = set()
        for _ in range(3000):
            try:
                outcomes.add(content(roots, tmp_path / "app/d/secret"))
            except Refused as refused:
                outcomes.add(refused.code)
    finally:
        stop.set()
        thread.join()
    assert b"secret\n" not in outcomes
    assert outcomes - {Code.INVALID, Code.CONFLICT, Code.OUT_OF_BOUNDS, b"inside\n"} == set()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\x00b",
        "~",
        "~/x",
        "~root/x",
        "file:///srv/x",
        "http://x",
        "%2e%2e/x",
        "a%2Fb",
        "%252e%252e",
        "\ud800",
        "x" * 256,
        "y/" * 3000,
        "/" + "z" * 20000,
    ],
)
def test_what_is_no_path(text: str):
    with pytest.raises(Refused) as caught:
        parse(text, ("/srv",))
    assert caught.value.code is Code.INVALID


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/srv/a/../b", "/srv/b"),
        ("a//./b/", "/srv/a/b"),
        ("../x", "/x"),
        ("/srv/ä ö", "/srv/ä ö"),
        ("a ", "/srv/a "),
        ("100%", "/srv/100%"),
        ("x~", "/srv/x~"),
        ('"b\\xff"', "/srv/b\udcff"),
        ("a\\b", "/srv/a\\b"),
        ("-rf", "/srv/-rf"),
        ("$(x)", "/srv/$(x)"),
        ("C:\\x", "/srv/C:\\x"),
        ("/../../etc", "/etc"),
    ],
)
def test_paths_by_their_text(text: str, path: str):
    assert parse(text, ("/srv",)) == path


def test_a_relative_path_needs_one_root():
    with pytest.raises(Refused):
        parse("a", ("/a", "/b"))


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..")))
def test_any_name_is_shown_so_that_it_can_be_written(name: bytes):
    from interlock.untrusted import visible

    text = shown(os.fsdecode(name))
    assert visible(text) == text and "\n" not in text
    assert parse(f"/srv/{text}", ()) == f"/srv/{os.fsdecode(name)}"
    assert parse_name(text) == os.fsdecode(name)
