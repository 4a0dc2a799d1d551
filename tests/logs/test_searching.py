"""Search against its slow twin: redact the whole file, then match line by line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from logs_lines import labelled
from logs_server import Desk, body, detector, header
from pydantic import ValidationError

from interlock.globs import compile_globs
from interlock.guard.errors import Refused
from interlock.logs.blocks import Budget
from interlock.logs.matching import Pattern
from interlock.logs.parts import FileSource
from interlock.logs.safe import PLACEHOLDER, Safe
from interlock.logs.searching import Query, search
from interlock.logs.windows import Span
from interlock.paths import Roots

DETECTOR = detector()
PIECES = st.sampled_from(
    [
        "a",
        "ab",
        "error",
        "x=1",
        " ",
        "-",
        "password: swordfish99x",
        "password=Tr0ub4dor&3x",
        "\x1b[31mred\x1b[0m",
        "é",
        "b12",
        "2026-11-04T08:00:00Z",
        "END",
        "token: " + "gh" + "p_" + "a1B2" * 9,
    ]
)
LINES = st.lists(st.lists(PIECES, max_size=6).map(" ".join), min_size=1, max_size=25)
PATTERNS = st.sampled_from(
    [
        "a",
        "error",
        "^a",
        "b$",
        r"\bab\b",
        "[a-c]+ x",
        "x=1|END",
        r"\w+ \w+",
        ".",
        "(?i)ERROR",
        "é",
        "s+w",
        r"password[:=] ?\S",
        r"\d+",
        "red",
        "d\\b",
    ]
)


def source_of(folder: Path) -> FileSource:
    glob = f"{folder}/app.log*"
    return FileSource("app", glob, Roots([(os.fspath(folder), False)]), compile_globs([glob]))


def twin(lines: list[str], pattern: str, last: bool, limit: int) -> list[str]:
    safe = Safe(DETECTOR, "app")
    compiled = re2.compile(pattern)
    kept = []
    for line in safe.lines("\n".join(lines).encode()):
        pieces = PLACEHOLDER.split(line)
        found = False
        for number, piece in enumerate(pieces):
            # a match counts where it does not lean on a placeholder: try it with both kinds of neighbour
            left, right = number > 0, number < len(pieces) - 1
            views = [(("a" if left else ""), ("a" if right else "")), (("-" if left else ""), ("-" if right else ""))]
            spans = [set(_spans(compiled, a + piece + z, len(a), len(a) + len(piece))) for a, z in views]
            found = found or (bool(spans[0] & spans[1]) and bool(piece or not (left or right)))
        if found:
            kept.append(line)
    return kept[-limit:] if last else kept[:limit]


def _spans(compiled: object, text: str, low: int, high: int) -> list[tuple[int, int]]:
    found = []
    for start in range(low, high + 1):
        match = compiled.search(text, start)  # type: ignore[attr-defined]
        if match is not None and match.end() <= high:
            found.append((match.start() - low, match.end() - low))
    return found


@given(LINES, PATTERNS, st.booleans(), st.integers(1, 30))
def test_a_search_finds_what_the_slow_twin_finds(lines: list[str], pattern: str, last: bool, limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        (folder / "app.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
        query = Query(pattern=Pattern(pattern, regex=True), last=last, limit=limit)
        found = search(source_of(folder), query, DETECTOR, Budget())
        counted = search(
            source_of(folder), Query(pattern=Pattern(pattern, regex=True), count_only=True), DETECTOR, Budget()
        )
    wanted = twin(lines, pattern, last, limit)
    assert [_unnumbered(hit.text) for hit in found.hits] == [_unnumbered(line) for line in wanted]
    assert counted.count == len(twin(lines, pattern, False, 1000))


def _unnumbered(line: str) -> str:
    return PLACEHOLDER.sub("[secret]", line)


SECRET = "hT4rub4dor9x77"


@pytest.mark.parametrize(
    "pattern",
    [r"password: (\[|h)", "password: h", r"password: \S*77", "rub4", r"password: .{14}$", r": [a-m]", r"password:\s\w"],
)
def test_patterns_tell_nothing_about_a_secret(tmp_path: Path, pattern: str) -> None:
    answers = []
    for secret in (SECRET, "Zq7KpW2mVx9b4c"):
        (tmp_path / "app.log").write_text(f"before\nlogin password: {secret}\nafter\n")
        desk = Desk({"app": tmp_path / "app.log"})
        answers.append(
            [_unnumbered(row) for row in desk.lines("search_logs", source="app", pattern=pattern, regex=True)]
        )
        assert secret not in "\n".join(answers[-1])
        count = desk.text("search_logs", source="app", pattern=pattern, regex=True, count=True)
        answers[-1].append(count.rsplit("\n", 1)[-1])
        excluded = desk.lines("search_logs", source="app", exclude=pattern, regex=True)
        answers[-1] += [_unnumbered(row) for row in excluded]
    cut = [[row.split(" ", 1)[-1] for row in rows] for rows in answers]
    assert cut[0] == cut[1]


def test_context_levels_limits_and_cursors(tmp_path: Path) -> None:
    lines = [line for line, _ in labelled(4, 500)]
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n")
    desk = Desk({"app": tmp_path / "app.log"})
    errors = [line for line in lines if " ERROR " in line]
    first = desk.text("search_logs", source="app", level="error", limit=10)
    assert [row.split(" ", 1)[1] for row in body(first)] == errors[:10]
    assert "there are more" in header(first)
    cursor = header(first).split("there are more: cursor ")[1].split(" ")[0]
    second = desk.lines("search_logs", source="app", level="error", limit=10, cursor=cursor)
    assert [row.split(" ", 1)[1] for row in second] == errors[10:20]
    newest = desk.lines("search_logs", source="app", level="error", limit=3, last=True)
    assert [row.split(" ", 1)[1] for row in newest] == errors[-3:]
    at = lines.index(errors[5])
    around = desk.lines("search_logs", source="app", pattern=errors[5], context=2, limit=1)
    assert [row.strip() for row in around[:2]] == lines[at - 2 : at]
    assert [row.strip() for row in around[3:5]] == lines[at + 1 : at + 3]
    none = desk.text("search_logs", source="app", pattern="ERROR", exclude="ERROR")
    assert "0 lines match" in none
    assert "these are all" in none
    exactly = desk.text("search_logs", source="app", pattern="ERROR", count=True)
    assert f"exactly {len(errors)} lines" in exactly


def test_a_time_window_over_rotated_and_packed_files(tmp_path: Path) -> None:
    lines = [line for line, _ in labelled(6, 3_000)]
    thirds = [lines[:1000], lines[1000:2000], lines[2000:]]
    with gzip.open(tmp_path / "app.log.2.gz", "wt") as packed:
        packed.write("\n".join(thirds[0]) + "\n")
    (tmp_path / "app.log.1").write_text("\n".join(thirds[1]) + "\n")
    (tmp_path / "app.log").write_text("\n".join(thirds[2]) + "\n")
    desk = Desk({"app": tmp_path / "app.log*"})
    since, until = lines[700].split(" ")[0], lines[2500].split(" ")[0]
    wanted = [line for line in lines if since <= line.split(" ")[0] <= until and " WARN " in line]
    found = desk.text("search_logs", source="app", pattern=" WARN ", since=since, until=until, count=True)
    assert f"exactly {len(wanted)} lines" in found


LINEAR = [
    "(a+)+$",
    "(a|a)*b",
    r"(\w+\s?)*:$",
    r"(.*)*=x$",
    r"\s+$",
    "(x+x+)+y",
    "(.*?,){25}P",
    r"(.*),(.*),(.*),(.*),(.*)!",
]
REFUSED = [
    r"(a)\1",
    "(?=a)b",
    "(?<!a)b",
    "a++",
    "[",
    "\\",
    "a{1,30000}",
    r"\pL{900}",
    "((a{100}){100}){100}",
    r"\C",
    "x" * 1001,
]


@pytest.mark.parametrize("pattern", LINEAR)
def test_patterns_that_are_exponential_elsewhere_are_answered(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "app.log").write_text(("a" * 60 + "! " + "x" * 40 + " " * 400 + "1," * 30 + "\n") * 200)
    assert "match" in Desk({"app": tmp_path / "app.log"}).text("search_logs", source="app", pattern=pattern, regex=True)


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_has_no_linear_form_is_refused_with_what_to_do(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "app.log").write_text("aab\n")
    desk = Desk({"app": tmp_path / "app.log"})
    with pytest.raises((Refused, ValidationError)):
        desk.text("search_logs", source="app", pattern=pattern, regex=True)


@pytest.mark.parametrize("pattern", ["-f/etc/passwd", "${jndi:ldap://x/a}", "a|b", "$(touch x)", "--", "[x"])
def test_plain_text_is_plain_text(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "app.log").write_text(f"first\nholds {pattern} here\n")
    assert len(Desk({"app": tmp_path / "app.log"}).lines("search_logs", source="app", pattern=pattern)) == 1


RIPGREP = """
    import sys, os
    from pathlib import Path
    from interlock.sandbox.broker import start_broker
    from interlock.sandbox.children import Program
    broker = start_broker({"rg": Program(Path(sys.prefix) / "bin" / "rg")})
    sys.path.insert(0, sys.argv[2])
    from interlock.logs import searching
    from interlock.logs.blocks import Budget
    from interlock.logs.matching import Pattern
    from interlock.logs.searching import Query, search
    import test_searching as these
    searching.LARGE = 1
    source = these.source_of(Path(sys.argv[1]))
    patterns = ("error", "login failed for user [a-m]+", "password", "[.]snap, 9", "^2026.*WARN", "nowhere", "ms$")

    def look(text, broker, **options):
        query = Query(pattern=Pattern(text, regex=True), **options)
        found = search(source, query, these.DETECTOR, Budget(), broker)
        hits = [(h.offset, these._unnumbered(h.text), h.above, h.below) for h in found.hits]
        return hits, found.count, found.more

    for text in patterns:
        for options in ({"limit": 7, "context": 1}, {"count_only": True}):
            with_it, without = look(text, broker, **options), look(text, None, **options)
            assert with_it == without, (text, options, with_it, without)
    broker.close()
    print("the same")
"""


@pytest.mark.skipif(not (Path(sys.prefix) / "bin" / "rg").is_file(), reason="no ripgrep wheel here")
def test_with_ripgrep_the_answers_are_the_same(tmp_path: Path) -> None:
    lines = [line for line, _ in labelled(8, 4_000)]
    lines[::50] = [line + " password=correct-horse-9" for line in lines[::50]]
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n")
    here = Path(__file__).parent
    script = f"import sys; sys.path.insert(0, {str(here.parent)!r})\n" + textwrap.dedent(RIPGREP)
    done = subprocess.run(
        [sys.executable, "-c", script, os.fspath(tmp_path), os.fspath(here)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "the same", done.stderr[-2000:]


def test_spans_of_time_are_checked(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("x\n")
    desk = Desk({"app": tmp_path / "app.log"})
    for bad in ({"since": "'; touch x"}, {"since": "2026-01-02", "until": "2026-01-01"}):
        with pytest.raises(Refused):
            desk.text("search_logs", source="app", pattern="x", **bad)
    assert Span(1, 2).holds(1.5)
