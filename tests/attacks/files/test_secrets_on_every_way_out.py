"""A secret that a file holds is in no answer, whichever call it is asked through, and whatever fails.

Stopped by redaction before selection (`redacted`), by keyed digests, and by the one exit (`answers`).
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterator
from typing import Any

import pytest
from attack_served import Served, served
from files_server import body

TOKEN = "ghp_" + "Zx8Kq2Lm4Nv6Bw1Rt3Yu5Io7Pa9Sd0Fg2Hj4"
PASSWORD = "Tr0ub4dor" + "&3xyzQ9"
AWS = "AKIA" + "QWERTYUIOPASDFGH"
BASIC = base64.b64encode(f"app:{PASSWORD}".encode()).decode()
STANDS_FOR = {"@T@": TOKEN, "@P@": PASSWORD, "@A@": AWS, "@B@": BASIC}

FILES: dict[str, str] = {
    "app.yaml": "db:\n  user: app\n  password: @P@\n  host: db1\nport: 1\n",
    "app.json": '{"db": {"password": "@P@"}, "token": "@T@", "port": 1}\n',
    "app.toml": '[db]\npassword = "@P@"\n\n[web]\nport = 1\n',
    "app.ini": "[db]\npassword = @P@\nport = 1\n",
    "app.properties": "db.password=@P@\nport=1\n",
    "run.sh": "#!/bin/sh\nexport GITHUB_TOKEN=@T@\ncurl -H 'Authorization: Bearer @T@' https://example.com\nport=1\n",
    "app.py": "TOKEN = '@T@'\npassword = '@P@'\nport = 1\n",
    "notes.md": "The token is @T@ and the\npassword: @P@\nport 1\n",
    "app.log": "2026-01-01 INFO login password=@P@ user=app\n2026-01-01 INFO key @A@ port 1\n",
    "url.txt": "postgres://app:@P@@db1:5432/app\nport 1\n",
    "crlf.yaml": "db:\r\n  password: @P@\r\nport: 1\r\n",
    "compose.yml": "services:\n  a:\n    environment:\n      - DB_PASSWORD=@P@\n      - GH=@T@\n    ports: [1]\n",
    "one line": "x" * 5000 + " @T@ " + "y" * 5000 + " port 1\n",
    "no line end": "port 1\ntoken: @T@",
    "marks.yaml": "\ufeffdb:\n  password: @P@\nport: 1\n",
    "docker/config.json": '{"auths": {"x": {"auth": "@B@"}}, "port": 1}\n',
}  # fmt: skip


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("secrets")) as made:
        yield made


def hidden(text: str) -> None:
    for secret in (TOKEN, PASSWORD, AWS):
        forms = [secret, secret[::-1], secret[4:], secret[:-4], json.dumps(secret)[1:-1], secret.encode().hex()]
        forms += [base64.b64encode(b"x" * pad + secret.encode()).decode()[4:-4] for pad in range(3)]
        assert not [form for form in forms if form in text], text[:500]


@pytest.mark.parametrize("name", FILES)
def test_through_every_call(at: Served, name: str) -> None:
    room = at.room()
    path = room / name
    path.parent.mkdir(exist_ok=True)
    text = FILES[name]
    for word, secret in STANDS_FOR.items():
        text = text.replace(word, secret)
    path.write_bytes(text.encode())
    said: list[str] = []

    def call(tool: str, **arguments: Any) -> str:
        reply = at.call(tool, **arguments)
        assert reply.code != "guard_failure", reply.text
        said.append(reply.text)
        return reply.text

    call("read_file", path=str(path))
    for number in range(1, 8):
        call("read_file", path=str(path), offset=number, limit=1)
        call("read_file", path=str(path), tail=number)
    for pattern in (".", "password", "token|TOKEN|=|:", "[A-Za-z0-9]{20}", "port", TOKEN[:8], PASSWORD[:5]):
        call("search_files", path=str(room), pattern=pattern, context=3)
        call("search_files", path=str(path), pattern=pattern)
    call("file_info", path=str(path))
    call("edit_file", path=str(path), edits=[{"old": "port", "new": "PORT"}], dry_run=True)
    call("edit_file", path=str(path), edits=[{"old": "nowhere", "new": "PORT"}])
    edited = at.call("edit_file", path=str(path), edits=[{"old": "port", "new": "PORT"}])
    said.append(edited.text)
    if not edited.is_error:
        assert path.read_bytes() == text.replace("port", "PORT").encode()
        call("files_undo", id=edited.id, dry_run=True)
        call("files_undo", id=edited.id)
    call("write_file", path=str(path), content="new\n")
    moved = at.call("move_file", source=str(path), destination=f"{room}/moved.txt")
    said.append(moved.text)
    call("delete_file", path=f"{room}/moved.txt")
    call("files_guard")
    for one in said:
        hidden(one)


GUESSES = ("pattern", "literal", "class", "case", "edge", "context", "glob")


@pytest.mark.parametrize("way", GUESSES)
def test_a_search_answers_a_right_guess_like_a_wrong_one(at: Served, way: str) -> None:
    room = at.room()
    (room / "a.txt").write_text(f"before\npassword: {PASSWORD}\nafter\n")
    right, wrong = PASSWORD[:6], "Xr0ub4"
    answers = []
    for guess in (right, wrong):
        arguments: dict[str, Any] = {"pattern": guess}
        if way == "literal":
            arguments = {"pattern": f": {guess}", "literal": True}
        elif way == "class":
            arguments = {"pattern": f"[{guess[0]}]{guess[1:]}|nothing"}
        elif way == "case":
            arguments = {"pattern": guess.lower(), "ignore_case": True}
        elif way == "edge":
            arguments = {"pattern": rf"\b{guess}\B"}
        elif way == "context":
            arguments = {"pattern": guess, "context": 5}
        elif way == "glob":
            arguments = {"pattern": guess, "glob": "*.txt", "ignored": True}
        answers.append(at.done("search_files", path=str(room), **arguments).text)
    assert answers[0] == answers[1] and "0 matching lines" in answers[0]


def test_digests_tell_no_guess(at: Served) -> None:
    """Two files that differ in a password alone have the same digest; and it is no digest that could be computed."""
    room = at.room()
    texts = [f"user: app\npassword: {value}\n" for value in (PASSWORD, PASSWORD[::-1])]
    digests = []
    for number, text in enumerate(texts):
        (room / str(number)).mkdir()
        (room / str(number) / "a.yaml").write_text(text)
        digests.append(at.done("read_file", path=f"{room}/{number}/a.yaml").text.split("digest ")[1][:20])
    assert digests[0] == digests[1]


def test_an_edit_guesses_nothing(at: Served) -> None:
    room = at.room()
    (room / "a.yaml").write_text(f"user: app\npassword: {PASSWORD}\n")
    right = at.refused("edit_file", path=f"{room}/a.yaml", edits=[{"old": PASSWORD[:6], "new": "x"}])
    wrong = at.refused("edit_file", path=f"{room}/a.yaml", edits=[{"old": "Xr0ub4", "new": "x"}])
    assert right.text.split("(id")[0] == wrong.text.split("(id")[0]


def test_a_write_of_the_right_content_is_told_like_another(at: Served) -> None:
    """`the content is the same` would say that a guess was right."""
    room = at.room()
    said = []
    for guess in (PASSWORD, PASSWORD[::-1]):
        (room / "a.yaml").write_text(f"user: app\npassword: {PASSWORD}\n")
        reply = at.done("write_file", path=f"{room}/a.yaml", content=f"user: app\npassword: {guess}\n")
        said.append(reply.text.replace(reply.id, "").split(">\n", 1)[-1].split("</")[0])
    assert said[0] == said[1]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "latin-1", "utf-8-sig"])
def test_in_other_encodings(at: Served, codec: str) -> None:
    room = at.room()
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(codec, b"")
    (room / "a.txt").write_bytes(mark + f"größe\npassword: {PASSWORD}\ntoken {TOKEN}\n".encode(codec))
    for tool, more in (("read_file", {}), ("search_files", {"pattern": "."})):
        text = at.done(tool, path=f"{room}/a.txt", **more).text
        hidden(text)
    assert "größe" in at.done("read_file", path=f"{room}/a.txt").text
    assert "gr" in at.done("search_files", path=f"{room}/a.txt", pattern="größe").text


def test_a_name_that_is_a_secret(at: Served) -> None:
    room = at.room()
    (room / f"dump-{TOKEN}.txt").write_text("x\n")
    hidden(at.done("list_directory", path=str(room)).text)
    hidden(at.done("search_files", path=str(room), glob="*").text)
    hidden(at.done("search_files", path=str(room), pattern="x").text)


def test_a_move_says_that_secrets_move(at: Served) -> None:
    room = at.room()
    (room / "creds.yaml").write_text(f"password: {PASSWORD}\n")
    moved = at.done("move_file", source=f"{room}/creds.yaml", destination=f"{room}/site/index.html")
    assert "it holds 1 secret" in moved.text
    assert "it holds" not in at.done("move_file", source=f"{room}/site", destination=f"{room}/sites").text
    (room / "plain.txt").write_text("x\n")
    assert "it holds" not in at.done("move_file", source=f"{room}/plain.txt", destination=f"{room}/p.txt").text
    hidden(body(at.done("read_file", path=f"{room}/sites/index.html").text))
