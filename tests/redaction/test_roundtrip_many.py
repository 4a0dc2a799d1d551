"""Many calls in a row: no sequence of writes that nobody was asked about moves a secret, or shows it.

The twin is slow and obvious: the formats' own lenient parsers (last key wins) say where every secret stands and what
stands beside it; every byte of the secrets is looked for in what the agent sees.
"""

from __future__ import annotations

import configparser
import json
import random
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from redaction.fixtures import detector, human, machine_made

from interlock.guard.errors import Refused

DETECTOR = detector()
A, B, C = human(8), human(21), machine_made(36, 3)
SECRETS = (A, B, C)
YAML = f"""service:
  url: https://good
  replicas: 2

  auth:
    # the old one
    password: {A}
    user: app
other: 1
list:
- name: DB_PASSWORD
  value: {B}
- name: LEVEL
  value: info
plain:
- token: {C}
- level: 1
"""
OBJECT = json.dumps(
    {"db": {"host": "good", "password": A, "n": 1}, "x": [{"token": C}, {"url": "good"}], "y": {"password": B}},
    indent=1,
)
TOML = f'level = 1\n[db]\nhost = "good"\npassword = "{A}"\n[api]\nurl = "good"\ntoken = "{C}"\npassword = "{B}"\n'
INI = f"[db]\nhost = good\nlevel = 1\n\npassword = {A}\n\n[log]\nlevel = info\n\n"
INI += f"[api]\nurl = good\ntoken = {C}\npassword = {B}\n"
ENV = f"LEVEL=1\nDB_HOST=good\n\nDB_PASSWORD={A}\n\n# api\nAPI_URL=good\nAPI_TOKEN={C}\nOTHER_PASSWORD={B}\n"
FILES = {"a.yaml": YAML, "a.json": OBJECT, "a.toml": TOML, "a.ini": INI, "app.conf": ENV}
WHERE = re.compile(r"(?i)(?:^|[._])(?:host|url)$")
Path = tuple[str, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            yield from leaves(item, (*path, str(name or number)))
    else:
        yield path, value


def parsed(text: str, target: str) -> list[tuple[Path, Any]] | None:
    """Every value by its path, as a lenient program reads it; None: no program reads it."""
    try:
        if target.endswith(".yaml"):
            return [leaf for one in yaml.safe_load_all(text) for leaf in leaves(one)]
        if target.endswith(".json"):
            return list(leaves(json.loads(text)))
        if target.endswith(".toml"):
            return list(leaves(tomllib.loads(text)))
        if target.endswith(".ini"):
            parser = configparser.RawConfigParser(strict=False, allow_no_value=True, delimiters=("=",))
            parser.read_string(text)
            return [((name, key), value) for name in parser.sections() for key, value in parser.items(name)]
        pairs = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
        return list(leaves({key.strip(): value.strip() for key, _, value in pairs}))
    except (yaml.YAMLError, ValueError, configparser.Error, AttributeError, TypeError):
        return None


def stands(text: str, target: str) -> set[tuple[str, Path, tuple[Any, ...]]]:
    """(secret, its path, what stands beside or above it and says where it goes) for each value that holds one."""
    found = parsed(text, target)
    if found is None:
        return set()
    return {
        (
            secret,
            path,
            tuple(
                sorted(
                    (other, str(item))
                    for other, item in found
                    if WHERE.search(other[-1]) and other[-1][0] != ";" and path[: len(other) - 1] == other[:-1]
                )
            ),
        )
        for path, value in found
        for secret in SECRETS
        if path and secret in f"{path} {value}"
    }


def rewritten(shown: str, target: str, rng: random.Random) -> str:
    """One thing that an agent might try with what it sees."""
    lines = shown.split("\n")
    holding = [number for number, line in enumerate(lines) if "[secret:" in line]
    marks = re.findall(r"\[secret:[^\]]*\]", shown)
    at = rng.randrange(len(lines))
    sep = {"a.yaml": ": ", "a.json": ": "}.get(target, " = ")
    mark = rng.choice(marks) if marks else "x"
    one = rng.choice(holding) if holding else at
    match rng.randrange(16):
        case 0:  # copy a placeholder under another key
            lines.insert(at, f"note{sep}{mark}")
        case 1:  # move its line
            lines.insert(rng.randrange(len(lines)), lines.pop(one))
        case 2:  # double it
            lines.insert(at, lines[one])
        case 3:  # rename its key
            lines[one] = re.sub(r"password|token|value", "note", lines[one], flags=re.IGNORECASE)
        case 4:  # swap two placeholders
            other = rng.choice(marks) if marks else "x"
            return shown.replace(mark, "\0").replace(other, mark).replace("\0", other)
        case 5:  # another destination
            return shown.replace("good", f"evil{rng.randrange(9)}", rng.choice((1, 9)))
        case 6:  # one more destination
            lines.insert(at, rng.choice(("host", "url", "  url", "DB_HOST")) + f"{sep}evil")
        case 7:  # a key twice
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 8:  # headings
            lines.insert(
                at, rng.choice(("[db]", "[evil]", "[log]", "evil:", "  evil:", "---", "{", "}", "evil {", "}"))
            )
        case 9:  # drop a line
            del lines[at]
        case 10:  # swap lines
            lines[at : at + 2] = reversed(lines[at : at + 2])
        case 11:  # what other programs read as a comment, or no comment
            lines[at] = rng.choice(("#", "# ", ";", "\\", " ", "  ")) + lines[at]
        case 12:  # go on in the next line; open a string or a block
            lines[at] += rng.choice((" \\", "\\", ' "', " |", ": |", "'''", '"""', " &a", " #", ","))
        case 13:  # harmless
            return re.sub(r"(?i)(level\S*\s*[=:] *)\w+", lambda m: m.group(1) + str(rng.randrange(9)), shown, count=1)
        case 14:  # uncover or indent
            lines[at] = lines[at].lstrip("# ") if rng.random() < 0.5 else lines[at].strip()
        case _:  # an alias, a merge, a template
            lines.insert(at, rng.choice(("x: *a", "<<: *a", "{{ x }}", "? password", "%TAG ! x", "x: {{ y }}")))
    return "\n".join(lines)


def play(target: str, seed: int, steps: int) -> int:
    rng = random.Random(seed)
    current = FILES[target]
    before = stands(current, target)
    assert {secret for secret, *_ in before} == set(SECRETS)
    allowed = before
    done = 0
    for _ in range(steps):
        shown = DETECTOR.redact(current, target).text
        assert not any(secret in shown for secret in SECRETS), current
        wish = shown
        for _ in range(rng.choice((1, 1, 2, 3))):
            wish = rewritten(wish, target, rng)
        try:
            back = DETECTOR.put_back(wish, current, target)
        except Refused as refused:
            assert not any(secret in refused.message for secret in SECRETS)
            continue
        if back.asks:
            assert not any(secret in ask for ask in back.asks for secret in SECRETS)
            continue  # the person says no
        now = stands(back.text, target)
        assert now <= allowed, (now - allowed, current, wish)
        for secret in SECRETS:
            assert back.text.count(secret) <= current.count(secret)
        done += back.text != current
        current = back.text
    return done


@pytest.mark.parametrize("target", FILES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_no_sequence_of_writes_moves_or_shows_a_secret_unasked(target: str, seed: int) -> None:
    play(target, seed, 20)


@pytest.mark.parametrize("target", FILES)
def test_harmless_writes_pass_in_such_a_sequence(target: str) -> None:
    assert sum(play(target, seed, 20) for seed in range(8)) >= 8
