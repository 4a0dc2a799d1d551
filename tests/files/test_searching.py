"""search_files: what it finds, what it never searches, and that it is no oracle for secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from files_server import FilesServer, body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.files.patterns import compile_pattern
from interlock.files.redacted import Block
from interlock.guard.errors import Refused
from interlock.paths import Opened


def test_lines_by_regex_and_by_text(server: FilesServer, work: Path):
    (work / "src").mkdir()
    (work / "src/a.py").write_text("import os\ndef main():\n    return os.name\n")
    (work / "b.txt").write_text("def [x] main\nnothing\r\n")
    text = server.call("search_files", path=".", pattern=r"def\s+main")
    assert body(text) == "src/a.py (41 B)\n2: def main():\n" and "1 matching line in 1 file" in text
    assert "b.txt" in server.call("search_files", path=".", pattern="[x]", literal=True)
    assert "nothing" in server.call("search_files", path=".", pattern="^NOTHING$", ignore_case=True)
    for spelled in ("(?i)NOTHING", "(?P<word>nothing)", "(?i)(?<word>NO)thing"):
        assert "1 matching line" in server.call("search_files", path=".", pattern=spelled)
    assert "0 matching lines" in server.call("search_files", path=".", pattern="(?i)nothing", literal=True)
    assert "0 matching lines" in server.call("search_files", path="src", pattern="nothing")
    assert body(server.call("search_files", path="src/a.py", pattern="os", context=1)).splitlines()[1:] == [
        "1: import os",
        "2- def main():",
        "3:     return os.name",
    ]


def test_files_by_glob(server: FilesServer, work: Path):
    for name in ("a.py", "x/b.py", "x/y/c.ts", "x/.hidden.py"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).touch()
    assert body(server.call("search_files", path=".", glob="*.py")).split() == ["a.py", "x/.hidden.py", "x/b.py"]
    assert body(server.call("search_files", path=".", glob="x/**/*.ts")).split() == ["x/y/c.ts"]
    for glob in ("./x/**/*.ts", f"{work}/x/**/*.ts", f"{work}/./x/**/*.ts"):
        assert body(server.call("search_files", path=str(work), glob=glob)).split() == ["x/y/c.ts"]
    for glob in ("!*.py", "/etc/*", f"{work}-other/*", f"{work}//etc/*", ".//etc/*"):
        assert server.refused("search_files", path=".", glob=glob).startswith("invalid")
    assert server.refused("search_files", path=".").startswith("invalid")
    assert "glob is not valid" in server.refused("search_files", path=".", glob="a[")


@pytest.mark.parametrize("pattern", ["--files", "-e x", "$(touch x)", "; touch x", "--pre=sh", "`id`", "|cat"])
def test_a_pattern_is_a_pattern(server: FilesServer, work: Path, pattern: str):
    (work / "a.txt").write_text(f"here: {pattern}\n")
    assert "1 matching line" in server.call("search_files", path=".", pattern=pattern, literal=True)
    server.answer("search_files", path=".", pattern=pattern)
    assert [p.name for p in work.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\C",
        r"\p{L}",
        "x(?i)y",
        "(?-i)x",
        "(?<=a)x",
        "(?<!a)x",
        "(?P=n)",
        "(?P<1>x)",
        "[a",
        "a{1,2000}",
        "\\",
        "a\nb",
        "(",
        "*",
        r"\Qx\E",
    ],
)
def test_what_the_engines_do_not_share_is_refused(server: FilesServer, pattern: str):
    assert server.refused("search_files", path=".", pattern=pattern).startswith("invalid")


def test_hostile_patterns_cost_no_time(server: FilesServer, work: Path):
    (work / "a.txt").write_text("a" * 5000 + "b\n")
    assert "0 matching" in server.call("search_files", path=".", pattern="(a+)+$")
    assert "0 matching" in server.call("search_files", path=".", pattern="(a|a)*c")


def test_protected_files_links_and_binaries_are_not_searched(server: FilesServer, work: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.txt").write_text("needle\n")
    (work / "link").symlink_to(tmp_path / "outside")
    (work / ".env").write_text("needle=needle\n")
    (work / ".git").mkdir()
    (work / ".git/config").write_text("needle\n")
    (work / "binary").write_bytes(b"needle\n\0" + b"x" * 9000)
    (work / "late").write_bytes(b"needle\n" + b"x" * 20000 + b"\0needle\n")
    (work / "ok.txt").write_text("needle\n")
    assert body(server.call("search_files", path=".", pattern="needle", ignored=True)) == "ok.txt (7 B)\n1: needle\n"
    assert server.refused("search_files", path=".env", pattern="needle").startswith("protected")
    assert server.answer("search_files", path=".git", pattern="needle").is_error
    assert server.answer("search_files", path="link", pattern="needle").is_error


def test_ignored_files_are_searched_when_asked_for(server: FilesServer, work: Path):
    (work / ".git").mkdir()
    (work / ".gitignore").write_text("out/\n")
    (work / "out").mkdir()
    (work / "out/x").write_text("needle\n")
    assert "0 matching" in server.call("search_files", path=".", pattern="needle")
    assert "1 matching" in server.call("search_files", path=".", pattern="needle", ignored=True)


def test_answers_are_bounded_and_say_so(server: FilesServer, work: Path):
    for i in range(60):
        (work / f"{i:03d}.txt").write_text("needle and more text on the line\n" * 50)
    text = server.call("search_files", path=".", pattern="needle", limit=1000)
    assert len(text) <= 12_000 and "there are more" in text
    text = server.call("search_files", path=".", pattern="needle", limit=3)
    assert "3 matching lines" in text and "there are more" in text


def test_a_large_file_is_searched_in_blocks_when_it_is_named(server: FilesServer, work: Path):
    line = b"2026-01-01T00:00:00Z INFO all is well with the world today, nothing to see\n"
    (work / "big.log").write_bytes(line * 200_000 + b"ERROR needle here\n")
    text = server.call("search_files", path="big.log", pattern="needle")
    assert body(text).splitlines()[1] == "200001: ERROR needle here" and "not searched" not in text
    text = server.call("search_files", path=".", pattern="needle")
    assert "0 matching lines" in text and "files over 8.4 MB are searched only when named" in text


def test_what_of_a_file_was_not_searched_is_said(server: FilesServer, work: Path, monkeypatch: pytest.MonkeyPatch):
    line = b"all is well with the world today, nothing to see\n"
    (work / "late").write_bytes(line * 200_000 + b"\0needle\n")
    (work / "binary").write_bytes(b"\0needle\n")
    for name in ("late", "binary"):
        assert "not to its end" in server.call("search_files", path=name, pattern="needle")
    (work / "long.txt").write_bytes(line * 400_000)
    monkeypatch.setattr("interlock.files.searching._SECONDS", 0.0)
    text = server.call("search_files", path="long.txt", pattern="needle")
    assert "0 matching lines" in text and "of the last file: what follows was not searched" in text


# ---------------------------------------------------------------- no oracle


@pytest.mark.parametrize("large", [True, False])
def test_a_search_looks_at_as_much_whatever_the_secret_is(
    server: FilesServer, work: Path, monkeypatch: pytest.MonkeyPatch, large: bool
):
    """A file is redacted or not by its size and its name, so that the time tells nothing of its secrets."""
    from interlock.files.redacted import Reader

    token = "gh" + "p_16C7e42F292c6912E7710c838347Ae178B4a"
    line = "all is well with the world today, nothing to see\n"
    (work / "x.log").write_text(line * (200_000 if large else 10) + f"token: {token}\n")
    blocks, asked = Reader.blocks, []

    def counting(self: Reader, opened: Opened, *, named: bool = False) -> Iterator[Block]:
        for block in blocks(self, opened, named=named):
            asked.append(block)
            yield block

    monkeypatch.setattr(Reader, "blocks", counting)
    counts = []
    for path in ("x.log", ".") if large else ("x.log",):
        for pattern in (token[:8], token[:7] + "f"):
            asked.clear()
            text = server.call("search_files", path=path, pattern=pattern)
            counts.append((path, len(asked), text.split("<untrusted")[0].split(": ", 1)[1].split("id=")[0]))
    assert len(set(counts)) == (2 if large else 1)


ALPHABET = "ab1_. é"
SECRETS = st.text(st.sampled_from("abhXY12"), min_size=20, max_size=20)
PATTERNS = st.one_of(
    st.sampled_from(
        [
            r"password: (\[|h)", r"password: h", r"password: .", r"\bh", r"\Ba", "a$", "^a", "[^x]$", "h*", "", ".",
            r"\W", r"\w+$", r"(?:a|password: a)", r": [a-h]", r"\d{3}", "a|b|h|1|2", r"x\b", r": \b", r" \B", r"é|h",
            r"(?:\Wx)|password: h", r"app:\w", r"\b@db", r"\B@db", r"[^h]@db", r"\w@",
        ]
    ),
    st.text(st.sampled_from("ab1h.*+?|^$[]()\\bBwWd: é"), max_size=12),
)  # fmt: skip


def placeholder_file(secret: str, around: str) -> str:
    return f"{around}\npassword: {secret}\nurl: postgres://app:{secret}@db/{around}\néx {around}\n"


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    one=SECRETS,
    other=SECRETS,
    pattern=PATTERNS,
    around=st.text(st.sampled_from(ALPHABET), max_size=6),
    caseless=st.booleans(),
)
def test_two_files_that_differ_in_their_secrets_answer_the_same(
    server: FilesServer, work: Path, one: str, other: str, pattern: str, around: str, caseless: bool
):
    """Through ripgrep and all: whatever a pattern says, the answer is a function of the redacted text."""
    path = str(work / "same.conf")
    answers = []
    for secret in (one, other):
        Path(path).write_text(placeholder_file(secret, around))
        shown = server.answer("read_file", path=path).text
        if not (shown.count("[secret:") == 2 and secret not in shown):
            return  # not hidden by redaction itself: then a search tells nothing more than a read
        found = server.answer("search_files", path=str(work), pattern=pattern or "x*", ignore_case=caseless)
        answers.append((found.is_error, body(found.text) if not found.is_error else found.text.split(" (id ")[0]))
    assert answers[0] == answers[1]
    assert one not in answers[0][1] and other not in answers[1][1]


@given(
    st.text(st.sampled_from("ab1.*+?|^$[]()\\bBwd: -{},"), max_size=14),
    st.text(st.sampled_from("ab1 .-:\r"), max_size=20),
)
def test_ripgrep_finds_every_line_that_re2_does(pattern: str, line: str):
    """The slow twin is ripgrep's own language, by its own program."""
    import subprocess

    from interlock.files.searching import ripgrep

    try:
        compiled = compile_pattern(pattern, literal=False, ignore_case=False)
    except Refused:
        return
    stripped = line.removesuffix("\r")
    if compiled.matches(stripped.encode()) and "\n" not in line:
        command = [str(ripgrep()), "--no-config", "--text", "-c", "-e", compiled.ripgrep, "--", "-"]
        found = subprocess.run(command, input=line.encode() + b"\n", capture_output=True, check=False)
        assert found.returncode == 0, (compiled.ripgrep, found.stderr)


def test_a_word_edge_at_a_secret_tells_nothing():
    edged = compile_pattern(r"\b", literal=False, ignore_case=False)
    assert not edged.matches(b"\xff") and not edged.matches(b": \xff ")
    assert edged.matches(b"ab: \xff")
    plain = compile_pattern(r"password: .", literal=False, ignore_case=False)
    assert not plain.matches(b"password: \xff") and plain.matches(b"password: x")
