"""Arguments that a program could take for options or commands. Stopped by a fixed argument list and no shell."""

from __future__ import annotations

import pytest
from attack_world import World

TEXTS = (
    "--files",
    "--pre=touch",
    "-f /etc/passwd",
    "--follow",
    "-uuu",
    "--hostname-bin=x",
    "-e",
    "--",
    "$(touch PWNED)",
    "`touch PWNED`",
    "x; touch PWNED",
    "x | touch PWNED",
    "x\ttouch PWNED",
    "zzz -o -name main.py -delete",
    "--regexp=x --replace=y",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_pattern_a_glob_and_a_path_are_only_that(world: World, text: str):
    text = text.replace("PWNED", str(world.pwned))
    for arguments in (
        {"path": ".", "pattern": text, "literal": True},
        {"path": ".", "pattern": text},
        {"path": ".", "glob": text},
        {"path": ".", "pattern": "x", "glob": text},
        {"path": text, "pattern": "x"},
    ):
        world.attack("search_files", **arguments)
    world.attack("read_file", path=text)
    assert (world.root / "src/main.py").exists()


@pytest.mark.parametrize("glob", ["/etc/*", "../outside/*", "../**", "!*", "{../outside,src}/*"])
def test_a_glob_stays_below_its_path(world: World, glob: str):
    answer = world.attack("search_files", path=".", glob=glob)
    assert answer.is_error or "passwd" not in answer.text


def test_files_named_like_options(world: World):
    for name in ("-rf", "--help", "-e"):
        (world.root / name).write_text("needle\n")
    assert "3 matching lines" in world.attack("search_files", path=".", pattern="needle").text
    assert not world.attack("delete_file", path="-rf").is_error
    assert (world.root / "README.md").exists()
