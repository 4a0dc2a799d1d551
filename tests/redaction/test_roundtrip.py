"""put_back: originals come back byte for byte, only in place."""
# ruff: noqa: E501

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redaction.fixtures import detector, human, machine_made

from interlock.guard.errors import Code, Refused

DETECTOR = detector()
PASSWORD = human(8)
TOKEN = machine_made(36, 3)
YAML = f"""spec:
  replicas: 2
  containers:
  - name: web
    image: r/web:1
    env:
    - name: DB_PASSWORD
      value: {PASSWORD}   # rotate
    - name: LOG
      value: info
  - name: side
    image: r/side:1
    args: ["--token={TOKEN}", "-v"]
"""
ENV = f"# settings\nDB_HOST=db\nDB_PASSWORD={PASSWORD}\n\nLOG=info\nAPI_TOKEN={TOKEN}\n"
JSON = f'{{"db": {{"host": "h", "password": "{PASSWORD}", "pin_password": 5551234}},\n "n": [1, 2]}}\n'
TOML = f'[db]\nhost = "h"\npassword = "{PASSWORD}"\n[log]\nlevel = 1\n'


def edited(current: str, old: str, new: str, target: str):  # type: ignore[no-untyped-def]
    shown = DETECTOR.redact(current, target).text
    assert PASSWORD not in shown and TOKEN not in shown
    assert old in shown
    return DETECTOR.put_back(shown.replace(old, new), current, target)


@pytest.mark.parametrize(
    ("current", "target", "old", "new"),
    [
        (YAML, "a.yaml", "replicas: 2", "replicas: 5"), (YAML, "a.yaml", "value: info", 'value: "debug"'), (YAML, "a.yaml", "spec:\n", "spec:\n  paused: true\n"),
        (ENV, "app.conf", "LOG=info", "LOG=debug"), (ENV, "app.conf", "# settings\n", "# settings\n# more\n"), (JSON, "a.json", "[1, 2]", "[1, 3]"),
        (TOML, "a.toml", "level = 1", "level = 2"),
    ],
)  # fmt: skip
def test_an_edit_elsewhere_changes_exactly_what_was_edited(current: str, target: str, old: str, new: str) -> None:
    back = edited(current, old, new, target)
    assert back.text == current.replace(old, new)
    assert back.asks == () and back.count >= 1


@pytest.mark.parametrize(
    ("current", "target", "old", "new"),
    [
        (YAML, "a.yaml", "r/web:1", "evil/web:1"), (YAML, "a.yaml", "name: DB_PASSWORD", "name: PATH"), (ENV, "app.conf", "DB_HOST=db", "DB_HOST=evil"),
        (JSON, "a.json", '"host": "h"', '"host": "evil"'), (TOML, "a.toml", 'host = "h"', 'host = "evil"'), (YAML, "a.yaml", '"-v"', '"-v", "--to=evil"'),
        (ENV, "app.conf", "DB_HOST=db", "[evil]"),
    ],
)  # fmt: skip
def test_what_says_where_a_secret_goes_makes_it_ask(current: str, target: str, old: str, new: str) -> None:
    try:
        assert edited(current, old, new, target).asks
    except Refused as refused:  # stricter is right too: a list without names that changed
        assert refused.code is Code.INVALID


@pytest.mark.parametrize(
    ("current", "target", "edit"),
    [
        (YAML, "a.yaml", lambda s: s.replace("value: info", f"value: {first(s)}")), (YAML, "a.yaml", lambda s: s + f"# {first(s)}\n"),
        (YAML, "a.yaml", lambda s: s.replace(first(s), first(s)[:-1] + "0]")), (YAML, "a.yaml", lambda s: s.replace("secret:password", "secret:passwd")),
        (ENV, "app.conf", lambda s: s.replace("LOG=info", f"LOG={first(s)}")), (ENV, "app.conf", lambda s: "\n".join(reversed(s.split("\n")))),
        (ENV, "app.conf", lambda s: s.replace("DB_PASSWORD=", "OTHER=")), (JSON, "a.json", lambda s: s.replace("[1, 2]", f'["{first(s)}"]')),
        (TOML, "a.toml", lambda s: s.replace("level = 1", f'level = "{first(s)}"')), (ENV, "app.conf", lambda s: s + "x=[secret:token:zzzzzzzzzzzzzzz]\n"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_to_do(current: str, target: str, edit) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Refused) as refused:
        DETECTOR.put_back(edit(DETECTOR.redact(current, target).text), current, target)
    assert refused.value.code is Code.INVALID and refused.value.hint
    assert PASSWORD not in refused.value.message and TOKEN not in refused.value.message


def first(shown: str) -> str:
    start = shown.index("[secret:")
    return shown[start : shown.index("]", start) + 1]


def test_another_targets_placeholder_is_unknown() -> None:
    shown = DETECTOR.redact(ENV, "/a/app.conf").text
    with pytest.raises(Refused):
        DETECTOR.put_back(shown, ENV, "/b/app.conf")


def test_a_placeholder_that_is_the_files_own_text_stays_text() -> None:
    current = "note: [secret:password:1]\nlevel: 1\n"
    back = DETECTOR.put_back(current.replace("level: 1", "level: 2"), current, "a.conf")
    assert back.text == current.replace("level: 1", "level: 2") and back.count == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_for_any_edit_outside_the_secrets_write_of_read_changes_exactly_the_edit(seed: int) -> None:
    rng = random.Random(seed)
    lines = [
        rng.choice(
            [
                f"timeout{n} = {rng.randint(1, 99)}",
                f"password{n} = {human(seed + n)}",
                "",
                f"# note {n}",
                f"api_token_{n} = {machine_made(30, seed + n)}",
            ]
        )
        for n in range(rng.randint(1, 25))
    ]
    current = "\n".join(lines) + rng.choice(["", "\n"])
    shown = DETECTOR.redact(current, "t.conf").text.split("\n")
    plain = [n for n, line in enumerate(lines) if "password" not in line and "token" not in line]
    wanted = current.split("\n")
    for n in rng.sample(plain, min(len(plain), 3)):
        shown[n] = wanted[n] = f"flag{rng.random()} = 1"
    assert DETECTOR.put_back("\n".join(shown), current, "t.conf").text == "\n".join(wanted)
