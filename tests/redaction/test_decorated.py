"""Values behind YAML's anchors, tags and explicit keys, and on continuation lines, go; the decoration itself stays."""

from __future__ import annotations

import pytest
from redaction.fixtures import detector, human, machine_made

DETECTOR = detector()
HUMAN = human(11)
TOKEN = machine_made(24, 5)

BEFORE_AND_AFTER = [
    "password: &p {}",
    "password: !!str {}",
    "password: !mine {}\n",
    'password: !mine "{}"',
    "password: !!str '{}'\n",
    'password: ! "{}"\n',
    "password: !<tag:yaml.org,2002:str> {}\n",
    "a:\n  password: &p !!str {}  # rotate\n",
    "password: &p\n  {}\n",
    "password:\n  &p {}\n",
    "password: &p |\n  {}\n",
    "password: !!str >-\n  {}\n",
    "password: &p\u00e4ss {}\n",
    "? password\n: {}\n",
    '? "password"\n: &p "{}"\n',
    "? password\n: |\n  {}\n",
    "- ? password\n  : {}\n",
    "- name: PASSWORD\n  value: &x {}\n",
    '- name: PASSWORD\n  value: &x "{}"\n',
    "- {{name: PASSWORD, value: {}}}\n",
    "- {{name: PASSWORD, value: &x {}}}\n",
    "{{password: &p {}, x: 1}}\n",
    "password=\\\n{}\n",
    "db.password=\\\n    {}\nx=1\n",
]


@pytest.mark.parametrize("secret", [HUMAN, TOKEN])
@pytest.mark.parametrize("text", BEFORE_AND_AFTER)
def test_the_value_goes_and_its_decoration_stays(text: str, secret: str) -> None:
    shown = DETECTOR.redact(text.format(secret), "/w/a.yaml").text
    assert shown == text.format("[secret:password:1]")


@pytest.mark.parametrize("text", ["token: &t {}\n", '"api_key": !k "{}"\n', "key: &k {}\n", "token: !secret {}\n"])
def test_what_a_machine_made_goes_too(text: str) -> None:
    shown = DETECTOR.redact(text.format(TOKEN), "/w/a.yaml").text
    assert TOKEN not in shown and shown.startswith(text.partition("{")[0])


@pytest.mark.parametrize("cut", [4, 6, 12])
@pytest.mark.parametrize("indent", ["", "    "])
def test_a_value_that_goes_on_in_the_next_line_goes_whole(cut: int, indent: str) -> None:
    text = f"x=1\nadmin_token={TOKEN[:cut]}\\\n{indent}{TOKEN[cut:]}\ny=2\n"
    shown = DETECTOR.redact(text, "/w/a.properties").text
    assert TOKEN[:cut] not in shown and TOKEN[cut:] not in shown
    assert shown.startswith("x=1\nadmin_token=") and shown.endswith("\ny=2\n")


@pytest.mark.parametrize(
    "text",
    [
        "password: *p\n",
        "password: !Ref DbPassword\n",
        'password: !Sub "${Foo}"\n',
        "password: !secret mqtt_password\n",
        "password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n",
        "password: &p ${X}\n",
        "password: !!null\n",
        "tokens: &t\n  - first\n",
        "secrets: &s\n  level: info\n",
        "fn login(password: &str, token: &mut TokenStream) {",
        "fn login(password: &mut Passwd<X>) {",
        "token: !isValid && foo ? a : b",
        "? level\n: password\n",
        "? password\n",
    ],
)
def test_references_aliases_and_code_stay(text: str) -> None:
    assert DETECTOR.redact(text, "/w/a.yaml").text == text
