"""read_file, list_directory, file_info: windows over redacted text, in bounded memory, with everything cut said."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from files_server import FilesServer, body
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.files.edits import unified
from interlock.files.redacted import WHOLE, Reader
from interlock.files.text import binary_kind, count_lines, encoding_of, size_text
from interlock.paths import Roots
from interlock.redaction import open_detector


def token(part: str = "a") -> str:
    """A value of a known shape, put together here so that no scanner finds one in this file."""
    return "ghp" + "_" + (part * 36)[:36]


def test_a_text_and_its_header(server: FilesServer, work: Path):
    (work / "a.txt").write_text("one\ntwo\nthree\n")
    text = server.call("read_file", path=str(work / "a.txt"))
    assert body(text) == "one\ntwo\nthree\n"
    head = text.splitlines()[0]
    assert "14 B, 3 lines, utf-8, modified " in head and head.endswith("lines 1-3 of 3")
    assert body(server.call("read_file", path="a.txt", offset=2, limit=1)) == "two\n"
    assert body(server.call("read_file", path="a.txt", tail=2)) == "two\nthree\n"
    assert "has 3 lines" in server.refused("read_file", path="a.txt", offset=9)
    assert server.refused("read_file", path="a.txt", tail=1, limit=1).startswith("invalid")


def test_an_empty_file(server: FilesServer, work: Path):
    (work / "empty").touch()
    assert "0 lines" in server.call("read_file", path="empty")
    assert "0 lines" in server.call("read_file", path="empty", tail=3)


def test_pages_join_to_the_whole(server: FilesServer, work: Path):
    lines = [f"line {i} {'x' * (i % 90)}" for i in range(2000)]
    (work / "long.txt").write_text("\n".join(lines) + "\n")
    got: list[str] = []
    offset = 1
    while True:
        text = server.call("read_file", path="long.txt", offset=offset)
        got += body(text).splitlines()
        if "go on with offset=" not in text:
            break
        offset = int(text.split("go on with offset=")[1].split()[0].rstrip(";"))
        assert len(text) <= 12_000
    assert got == lines


def test_a_secret_is_whole_before_a_window_is_cut(server: FilesServer, work: Path):
    """A window that begins inside of a secret of many lines shows its placeholder, never its rest."""
    kind = "PRIVATE" + " KEY"
    pem = [f"-----BEGIN {kind}-----", *["MIIEv" + f"{i:02d}" * 28 for i in range(30)], f"-----END {kind}-----"]
    (work / "k.txt").write_text("\n".join(["before", *pem, "after"]) + "\n")
    for offset in range(1, 4):
        answer = server.answer("read_file", path="k.txt", offset=offset)
        assert "MIIEv" not in answer.text
    for tail in range(1, 4):
        assert "MIIEv" not in server.call("read_file", path="k.txt", tail=tail)


def big(path: Path, size: int, last: str) -> None:
    """A sparse file: `size` bytes of nothing would be binary, so lines at both ends and a hole of lines between."""
    line = b"2026-01-01T00:00:00Z INFO request served in 12 ms, all is well with the world today\n"
    block = line * (1024**2 // len(line))
    with path.open("wb") as file:
        written = 0
        while written < size:
            written += file.write(block)
        file.write(last.encode())


def test_a_large_file_is_read_by_windows_in_constant_memory(server: FilesServer, work: Path):
    secret = token()
    big(work / "big.log", 64 * 1024**2, f"the end has {secret} in it\n")
    server.call("read_file", path="big.log", limit=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = server.call("read_file", path="big.log")
    assert "68.2 MB" in first and "go on with offset=" in first
    middle = server.call("read_file", path="big.log", offset=400_000, limit=2)
    assert "lines 400000-400001" in middle
    end = server.call("read_file", path="big.log", tail=2)
    assert secret not in end and "[secret:" in end
    assert server.refused("read_file", path="big.log", offset=10**9).startswith("invalid")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB


def test_a_line_of_many_megabytes(server: FilesServer, work: Path):
    (work / "one").write_bytes(b"a" * (WHOLE + 5))
    text = server.call("read_file", path="one")
    assert len(text) <= 12_000 and "longer than what is shown" in text
    (work / "two").write_text("short\n" + "b" * 100_000 + "\nlast\n")
    text = server.call("read_file", path="two")
    assert "1 long line" in text and body(text).splitlines()[2] == "last"
    assert len(body(server.call("read_file", path="two", offset=2, limit=1))) > 10_000


@pytest.mark.parametrize(
    ("data", "said", "shows"),
    [
        ("ä\n".encode("utf-16"), "utf-16-le", "ä"),
        (b"\xef\xbb\xbfa\n", "utf-8 with BOM", "a"),
        (b"caf\xe9\n", "latin-1", "café"),
        (b"a\r\nb\r\n", "CRLF", "a\nb"),
        ("日本 😀\n".encode(), "utf-8", "日本 😀"),
        (b"x\x1b[31mred\x00"[:-1], "utf-8", "x\\x1b[31mred"),
    ],
)
def test_encodings(server: FilesServer, work: Path, data: bytes, said: str, shows: str):
    (work / "e.txt").write_bytes(data)
    text = server.call("read_file", path="e.txt")
    assert said in text and body(text).rstrip("\n") == shows


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x7fELF\x02\x01\0\0", "ELF"),
        (b"\x89PNG\r\n\x1a\n\0", "PNG"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"a\0b", "binary"),
    ],
)
def test_binary_files_are_described_not_shown(server: FilesServer, work: Path, data: bytes, what: str):
    (work / "b").write_bytes(data)
    assert what in server.refused("read_file", path="b")
    assert what in server.call("file_info", path="b")


def test_a_known_secret_file_gives_key_names_and_only_whole(server: FilesServer, work: Path):
    secret = "s3cr3t" * 5
    (work / ".env").write_text(f"API_KEY={secret}\nDEBUG=1\n")
    text = server.call("read_file", path=".env")
    assert "API_KEY" in text and "DEBUG" in text and secret not in text and "=1\n" not in text
    for window in ({"offset": 1}, {"limit": 1}, {"tail": 1}):
        assert server.refused("read_file", path=".env", **window).startswith("protected")
    (work / "link").symlink_to(".env")
    assert secret not in server.call("read_file", path="link")
    assert server.refused("read_file", path="link", tail=1).startswith("protected")


def test_reads_of_private_names_are_refused(server: FilesServer, work: Path):
    (work / ".git").mkdir()
    (work / ".git/config").write_text("x\n")
    (work / "id_rsa").write_text("x\n")
    for name in (".git/config", "id_rsa", ".GIT/config", ".ssh/none"):
        assert server.answer("read_file", path=name).is_error


def test_hard_links(server: FilesServer, work: Path, tmp_path: Path):
    (tmp_path / "outside.txt").write_text("outside\n")
    os.link(tmp_path / "outside.txt", work / "foreign.txt")
    assert server.refused("read_file", path="foreign.txt").startswith("out_of_bounds")
    (work / "a.txt").write_text("a\n")
    os.link(work / "a.txt", work / "b.txt")
    assert body(server.call("read_file", path="b.txt")) == "a\n"
    (work / ".env").write_text("KEY=value\n")
    os.link(work / ".env", work / "innocent.txt")
    assert server.refused("read_file", path="innocent.txt").startswith("protected")


def test_hard_links_may_be_allowed(server: FilesServer, work: Path, tmp_path: Path):
    (tmp_path / "outside.txt").write_text("outside\n")
    os.link(tmp_path / "outside.txt", work / "foreign.txt")
    again = FilesServer(server.installation, None, more="  hard_links: any\n")
    assert body(again.call("read_file", path="foreign.txt")) == "outside\n"
    again.close()


def test_a_folder_is_listed_in_windows(server: FilesServer, work: Path):
    folder = work / "many"
    folder.mkdir()
    names = sorted(f"file-{i:05d}" for i in range(3000))
    for name in names:
        (folder / name).touch()
    (folder / "sub").mkdir()
    got: list[str] = []
    after: dict[str, str] = {}
    while True:
        text = server.call("list_directory", path="many", limit=1000, **after)
        got += [line.split("  ")[0] for line in body(text).splitlines()]
        assert "3,001 entries" in text and len(text) <= 12_000
        if "go on with after=" not in text:
            break
        after = {"after": text.split("go on with after=")[1].split("\n")[0]}
    assert got == [*names, "sub/"]


def test_odd_names_are_shown_and_can_be_given_back(server: FilesServer, work: Path):
    odd = [b"a\xff\xfe", b"new\nline", b"esc\x1b[31m", "bidi‮x".encode(), b'"quoted"', b"back\\slash", "ä ö".encode()]
    for name in odd:
        Path(os.fsdecode(os.fsencode(work) + b"/" + name)).write_bytes(name)
    for line in body(server.call("list_directory", path=".")).splitlines():
        name = line.split("  ")[0]
        assert server.call("file_info", path=name)
        assert server.call("read_file", path=f"{work}/{name}")


def test_file_info_tells_facts(server: FilesServer, work: Path, tmp_path: Path):
    (work / "a.txt").write_text("x")
    (work / "in").symlink_to("a.txt")
    (work / "out").symlink_to(tmp_path / "elsewhere")
    assert '"size":1' in server.call("file_info", path="a.txt")
    assert f'"leads_to":"{work}/a.txt"' in server.call("file_info", path="in")
    text = server.call("file_info", path="out")
    assert '"leads_to":"outside of the roots"' in text and "elsewhere" not in text
    assert '"type":"folder"' in server.call("file_info", path=str(work))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["plain text", "ä" * 30, "x" * 500, "KEY", ""]), max_size=400), st.integers(1, 500))
def test_a_window_is_what_the_whole_would_show(tmp_path_factory: pytest.TempPathFactory, lines: list[str], offset: int):
    """The slow twin: redact everything, then select."""
    secret = token("b")
    text = "".join(f"{line} token={secret}\n" if line == "KEY" else f"{line}\n" for line in lines)
    folder = tmp_path_factory.mktemp("window")
    (folder / "f").write_text(text)
    reader = Reader(DETECTOR, b"k" * 32)  # type: ignore[arg-type]
    opened = Roots([(str(folder), False)]).open(str(folder / "f"))
    whole = DETECTOR.redact(text, opened.real).text.splitlines()
    try:
        if offset <= len(whole):
            window = reader.window(opened, offset, 50, lambda: False)
            assert [strip(line) for line in window.lines] == [strip(line) for line in whole[offset - 1 : offset + 49]]
        tail = reader.tail(opened, 7)
        assert [strip(line) for line in tail.lines] == [strip(line) for line in whole[-7:]]
    finally:
        opened.close()


DETECTOR = open_detector(b"k" * 32)


def strip(line: str) -> str:
    assert token("b") not in line
    return line


@given(st.binary(max_size=300))
def test_text_and_back_without_loss(data: bytes):
    encoding = encoding_of(data)
    try:
        text = encoding.decode(data)
    except UnicodeDecodeError:
        return
    assert encoding.encode(text) == data
    assert binary_kind(data) is None or data


@given(st.text(st.sampled_from("ab\n"), max_size=60), st.text(st.sampled_from("ab\n"), max_size=60))
def test_a_diff_tells_every_changed_line(old: str, new: str):
    diff = unified(old, new, 100_000)
    assert (diff == "") == (old == new)
    added = [line[1:] for line in diff.splitlines() if line.startswith("+")]
    removed = [line[1:] for line in diff.splitlines() if line.startswith("-")]
    left = old.splitlines()
    for line in removed:
        left.remove(line)
    assert sorted([*left, *added]) == sorted(new.splitlines())


def test_sizes_and_lines():
    assert [size_text(n) for n in (0, 999, 1000, 1_000_000, 2_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.0 MB",
        "2.0 GB",
    ]
    assert [count_lines(t) for t in ("", "a", "a\n", "a\nb")] == [0, 1, 1, 2]
