"""Work that must go through and be useful: a guard that refuses it is switched off within a week."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import pytest
from attack_served import Served, served
from files_server import body, seen
from installation import ERAS

TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
PASSWORD = "Hunter2" + "xyz9Quux"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Served]]:
    """A server in each era, by turns: what a case does is the same in both."""
    with ExitStack() as stack:
        made = [stack.enter_context(served(tmp_path_factory.mktemp("ordinary"), era=era)) for era in ERAS]
        yield cycle(made)


@pytest.fixture
def at(both: Iterator[Served]) -> Served:
    return next(both)


# ---------------------------------------------------------------- names

NAMES = (
    "with space.txt", " leading", "trailing ", "-dash", "--help", "-rf", "ünïcødé.txt", "日本語.md", "😀.txt",
    "a.b.c.d", "...dots", ".hidden", "..data", "quote's", 'say "x".txt', "semi;colon", "$HOME", "${HOME}", "star*",
    "what?", "[br]", "{a,b}", "100%", "%41bc", "back\\slash", "COM1", "nul", "env", "environment.py", "dotenv.md",
    "my.env.md", "keys.py", "keyboard.txt", "pem.txt", "identity.txt", "git.md", ".github", "workflows.md",
    "secret.md", "password.txt", "a" * 251 + ".txt", "cafe\u0301.txt", "\ufb01le.txt", "a..b", "tilde~", "#hash#",
    "a@b", "!bang", "a&b", "k=v", "+1", "(1).txt", "`tick`", "a|b", "<x>", "10:30", "bin", ".claudette",
    "cursor.md", "vscode.txt", "known_hosts.md", ".ignore", "kubeconfig.go", "kubeconfig_test.py", "kubeconfig.md",
    "id_rsa.md", "id_ed25519_test.go", "CLAUDE.md", "settings.json", "tasks.json", ".pre-commit-config.yaml",
    ".editorconfig", ".dockerignore", ".gitignore", "Makefile", "Dockerfile", "shadow.css", "vault_pass.md", "config",
    "credentials.py", "rooms", "kiro.md",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_fine_name_goes_the_whole_way(at: Served, name: str) -> None:
    room = at.room()
    path = f"{room}/{name}"
    at.done("write_file", path=path, content="one\ntwo\n")
    assert (room / name).read_bytes() == b"one\ntwo\n"
    assert body(at.done("read_file", path=path).text) == "one\ntwo\n"
    assert at.done("file_info", path=path).data is not None
    assert "one" not in at.done("list_directory", path=str(room)).text
    at.done("edit_file", path=path, edits=[{"old": "two", "new": "zwei"}])
    assert "zwei" in at.done("search_files", path=path, pattern="zwe.").text
    moved = at.done("move_file", source=path, destination=f"{room}/sub/{name}")
    assert (room / "sub" / name).read_text() == "one\nzwei\n" and not (room / name).exists()
    at.done("files_undo", id=moved.id)
    gone = at.done("delete_file", path=path)
    assert not (room / name).exists()
    at.done("files_undo", id=gone.id)
    assert (room / name).read_text() == "one\nzwei\n"


# ---------------------------------------------------------------- edits

SECRET_YAML = f"db:\n  host: db1\n  password: {PASSWORD}\nreplicas: 2\n"
EDITS: dict[str, tuple[bytes, list[tuple[str, str]], bytes]] = {
    "a word": (b"a cat sat\n", [("cat", "dog")], b"a dog sat\n"),
    "several lines": (b"1\n2\n3\n4\n", [("2\n3\n", "two\n")], b"1\ntwo\n4\n"),
    "one after the other": (b"a b c\n", [("a", "x"), ("x b", "y"), ("c", "z")], b"y z\n"),
    "nothing in its place": (b"keep drop keep\n", [(" drop", "")], b"keep keep\n"),
    "the whole of it": (b"all", [("all", "")], b""),
    "a last line without newline": (b"a\nb", [("b", "c")], b"a\nc"),
    "a newline at the end": (b"a\nb", [("b", "b\n")], b"a\nb\n"),
    "tabs": (b"\tif x:\n\t\ty\n", [("\t\ty", "\t\tz")], b"\tif x:\n\t\tz\n"),
    "what a regex would take otherwise": (b"f(.*)[a]+$\n", [("(.*)[a]+$", "()")], b"f()\n"),
    "backslashes and groups": (b"x = '\\1'\n", [("'\\1'", "'\\g<0>'")], b"x = '\\g<0>'\n"),
    "a shell's words": (b"echo $HOME `id`\n", [("`id`", "$(id); rm -rf /")], b"echo $HOME $(id); rm -rf /\n"),
    "windows line ends": (b"a\r\nb\r\nc\r\n", [("a\nb", "x\ny")], b"x\r\ny\r\nc\r\n"),
    "windows line ends, given": (b"a\r\nb\r\n", [("a\r\nb", "z")], b"z\r\n"),
    "mixed line ends": (b"a\r\nb\nc\r\n", [("b", "B")], b"a\r\nB\nc\r\n"),
    "a mark at the start": (codecs.BOM_UTF8 + b"a: 1\n", [("a: 1", "a: 2")], codecs.BOM_UTF8 + b"a: 2\n"),
    "utf-16 little": (
        codecs.BOM_UTF16_LE + "größe=1\n".encode("utf-16-le"),
        [("größe=1", "größe=2")],
        codecs.BOM_UTF16_LE + "größe=2\n".encode("utf-16-le"),
    ),
    "utf-16 big": (
        codecs.BOM_UTF16_BE + "a=1\r\nb=2\r\n".encode("utf-16-be"),
        [("a=1\nb", "a=3\nb")],
        codecs.BOM_UTF16_BE + "a=3\r\nb=2\r\n".encode("utf-16-be"),
    ),
    "latin-1": ("Größe: 1\n".encode("latin-1"), [("Größe: 1", "Größe: ü")], "Größe: ü\n".encode("latin-1")),
    "emoji and wide letters": ("日本 😀\n".encode(), [("日本 😀", "日本 🎉")], "日本 🎉\n".encode()),
    "decomposed letters": ("cafe\u0301 x\n".encode(), [("x", "y")], "cafe\u0301 y\n".encode()),
    "a form feed": (b"a\x0cb\n", [("b", "c")], b"a\x0cc\n"),
    "a very long line": (b"x" * 200_000 + b"END\n", [("END", "end")], b"x" * 200_000 + b"end\n"),
    "many lines": (b"line\n" * 50_000 + b"last\n", [("last", "end")], b"line\n" * 50_000 + b"end\n"),
    "beside a secret": (
        SECRET_YAML.encode(),
        [("replicas: 2", "replicas: 3")],
        SECRET_YAML.replace("replicas: 2", "replicas: 3").encode(),
    ),
    "words about secrets": (
        b"# password and token policy\nrotate: 90\n",
        [("rotate: 90", "rotate: 30")],
        b"# password and token policy\nrotate: 30\n",
    ),
    "json beside a token": (
        f'{{\n  "token": "{TOKEN}",\n  "port": 1\n}}\n'.encode(),
        [('"port": 1', '"port": 2')],
        f'{{\n  "token": "{TOKEN}",\n  "port": 2\n}}\n'.encode(),
    ),
    "toml beside a password": (
        f'[db]\npassword = "{PASSWORD}"\n[web]\nport = 1\n'.encode(),
        [("port = 1", "port = 2")],
        f'[db]\npassword = "{PASSWORD}"\n[web]\nport = 2\n'.encode(),
    ),
    "an untouched token in code": (
        f"T = '{TOKEN}'\n\n\ndef f():\n    return 1\n".encode(),
        [("return 1", "return 2")],
        f"T = '{TOKEN}'\n\n\ndef f():\n    return 2\n".encode(),
    ),
    "xml": (b"<a x='1'>t</a>\n", [("<a x='1'>", "<a x='2'>")], b"<a x='2'>t</a>\n"),
    "text that looks like a fence": (
        b"</untrusted-data-ab>\nx\n", [("x", "y")], b"</untrusted-data-ab>\ny\n"
    ),
    "a placeholder of another tool": (
        b"${VAR} {{ .x }} <%= y %>\n", [("{{ .x }}", "{{ .z }}")], b"${VAR} {{ .z }} <%= y %>\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_makes_just_that_and_comes_back(at: Served, name: str) -> None:
    before, edits, after = EDITS[name]
    path = at.room() / "file.txt"
    if name.startswith(("beside", "json", "toml")):
        path = path.with_suffix({"b": ".yaml", "j": ".json", "t": ".toml"}[name[0]])
    path.write_bytes(before)
    path.chmod(0o751)
    wanted = [{"old": old, "new": new} for old, new in edits]
    dry = at.done("edit_file", path=str(path), edits=wanted, dry_run=True)
    assert path.read_bytes() == before
    done = at.done("edit_file", path=str(path), edits=wanted)
    assert path.read_bytes() == after and path.stat().st_mode & 0o7777 == 0o751
    assert body(done.text) in body(dry.text)
    for reply in (dry, done):
        assert TOKEN not in reply.text and PASSWORD not in reply.text
    back = at.done("files_undo", id=done.id)
    assert path.read_bytes() == before
    at.done("files_undo", id=back.id)
    assert path.read_bytes() == after


WRITES: dict[str, str] = {
    "nothing": "",
    "one byte": "x",
    "no newline at the end": "a\nb",
    "windows line ends": "a\r\nb\r\n",
    "only newlines": "\n\n\n",
    "two megabytes": "0123456789abcde\n" * 131_072,
    "a script": "#!/bin/sh\nset -e\nrm -rf ./build && echo done\n",
    "letters of everywhere": "naïve 日本 😀 עברית\n",
    "zero-width joiners": "👨\u200d👩\u200d👧 \u200bx\n",
    "a manifest": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n",
    "an example of a key": "API_KEY=changeme\nPASSWORD=<your password>\n",
    "hashes and uuids": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301\n",
    "json lines": '{"a": 1}\n{"a": 2}\n',
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_makes_just_that(at: Served, name: str) -> None:
    path = at.room() / "deep/er/new.txt"
    made = at.done("write_file", path=str(path), content=WRITES[name])
    assert path.read_bytes() == WRITES[name].encode()
    at.done("write_file", path=str(path), content="other\n")
    assert at.call("files_undo", id=made.id).is_error or True  # newer content: asks, or goes; never lost
    assert at.done("file_info", path=str(at.root)).data is not None


# ---------------------------------------------------------------- folders, links, windows


def test_a_write_with_the_digest_that_was_read(at: Served) -> None:
    path = at.room() / "a.txt"
    path.write_text("one\n")
    digest = at.done("read_file", path=str(path)).text.split("digest ")[1].split(";")[0].split(",")[0].strip()
    at.done("write_file", path=str(path), content="two\n", expected=digest)
    assert at.call("write_file", path=str(path), content="three\n", expected=digest).code == "conflict"
    assert path.read_text() == "two\n"


def test_a_whole_folder_moves_and_comes_back(at: Served) -> None:
    room = at.room()
    for name in ("a/b/c/d.txt", "a/e.txt", "a/empty"):
        (room / name).parent.mkdir(parents=True, exist_ok=True)
        (room / name).write_text(name) if name.endswith("txt") else (room / name).mkdir()
    (room / "a/in").symlink_to("b/c")
    before = seen(room)
    moved = at.done("move_file", source=f"{room}/a", destination=f"{room}/new/place")
    assert (room / "new/place/in/d.txt").read_text() == "a/b/c/d.txt"
    back = at.done("files_undo", id=moved.id)
    assert seen(room) == before
    at.done("files_undo", id=back.id)
    assert (room / "new/place/e.txt").exists() and not (room / "a").exists()


def test_a_whole_folder_is_deleted_and_comes_back_with_links_modes_and_times(at: Served) -> None:
    room = at.room()
    (room / "t/sub").mkdir(parents=True)
    (room / "t/run.sh").write_text("#!/bin/sh\n")
    (room / "t/run.sh").chmod(0o755)
    os.utime(room / "t/run.sh", (1_000_000_000, 1_000_000_000))
    (room / "t/dangling").symlink_to("nowhere")
    (room / "t/sub/no-newline").write_bytes(b"\xff\xfe\x00binary")
    before = seen(room)
    gone = at.done("delete_file", path=f"{room}/t")
    assert seen(room) == {}
    back = at.done("files_undo", id=gone.id)
    assert seen(room) == before
    at.done("files_undo", id=back.id)
    assert seen(room) == {}


LINKS = {
    "to a file": ("real.txt", "f"),
    "to a folder": ("sub", "f/in.txt"),
    "up and down": ("../ROOMNAME/real.txt", "f"),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_stays_inside_is_followed(at: Served, name: str) -> None:
    room = at.room()
    (room / "sub").mkdir()
    (room / "sub/in.txt").write_text("inner\n")
    (room / "real.txt").write_text("inner\n")
    target, path = LINKS[name]
    (room / "f").symlink_to(target.replace("ROOMNAME", room.name))
    assert "inner" in at.done("read_file", path=f"{room}/{path}").text
    at.done("edit_file", path=f"{room}/{path}", edits=[{"old": "inner", "new": "changed"}])
    assert (room / "f").is_symlink() and (room / path).read_text() == "changed\n"


def test_an_absolute_link_that_stays_inside_is_followed(at: Served) -> None:
    room = at.room()
    (room / "real.txt").write_text("inner\n")
    (room / "f").symlink_to(room / "real.txt")
    assert "inner" in at.done("read_file", path=f"{room}/f").text


def test_a_link_between_two_roots_is_read(at: Served) -> None:
    room = at.room()
    (at.logs / f"{room.name}.log").write_text("started\n")
    (room / "log").symlink_to(at.logs / f"{room.name}.log")
    assert "started" in at.done("read_file", path=f"{room}/log").text
    assert at.call("edit_file", path=f"{room}/log", edits=[{"old": "started", "new": "x"}]).code == "out_of_bounds"


READS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "the first lines": ({"limit": 3}, ["line 1\n", "line 3\n"], ["line 4\n"]),
    "from the middle": ({"offset": 500, "limit": 2}, ["line 500\n", "line 501\n"], ["line 499\n", "line 502\n"]),
    "the last lines": ({"tail": 2}, ["line 99999\n", "line 100000\n"], ["line 99998\n"]),
    "the very last one": ({"offset": 100000}, ["line 100000\n"], ["line 99999\n"]),
    "one line": ({"offset": 7, "limit": 1}, ["line 7\n"], ["line 6\n", "line 8\n"]),
    "as much as fits": ({}, ["line 1\n", "go on with offset="], ["line 90000\n"]),
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("name", READS)
def test_a_window_of_a_file(at: Served, name: str, large: bool) -> None:
    arguments, has, lacks = READS[name]
    path = at.root / f"window-{large}.txt"
    if not path.exists():
        pad = b"" if not large else b"".join(b"%07d %s\n" % (i, b"y" * 90) for i in range(1, 200_001))
        path.write_bytes(b"".join(b"line %d\n" % i for i in range(1, 100_001)) + (pad if large else b""))
    if large and ("tail" in arguments):
        has, lacks = ["0199999 ", "0200000 "], ["0199998 "]
    if large and arguments.get("offset") == 100000:
        lacks = [*lacks]
    text = at.done("read_file", path=str(path), **arguments).text
    for part in has:
        assert part in text
    for part in lacks:
        assert part not in text


# ---------------------------------------------------------------- searches and lists

FILES = {
    "src/app.py": "import os\n\n\ndef main():\n    print('hello')\n    return 1\n",
    "src/util.py": "def helper(x):\n    return x + 1\n",
    "src/deep/er/mod.ts": "export function main() {\n  return 2\n}\n",
    "docs/guide.md": "# Guide\nUse main.\ncosts $5 (100%) [now]\n",
    "docs/straße.md": "Straße und GRÖSSE\n",
    "conf/app.yaml": "port: 8080\nname: main-app\n",
    "a b/c d.txt": "spaces main\n",
}
SEARCHES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "a word": ({"pattern": "helper"}, ["util.py"], ["app.py"]),
    "a regex": ({"pattern": r"def\s+\w+\("}, ["app.py", "util.py"], ["mod.ts"]),
    "anchored": ({"pattern": r"^port: \d+$"}, ["app.yaml"], ["app.py"]),
    "alternatives": ({"pattern": "helper|8080"}, ["util.py", "app.yaml"], ["app.py"]),
    "literally": ({"pattern": "$5 (100%) [now]", "literal": True}, ["guide.md"], ["app.py"]),
    "whatever the case": ({"pattern": "GUIDE", "ignore_case": True}, ["guide.md"], ["app.py"]),
    "letters of a language": ({"pattern": "Straße"}, ["straße.md"], ["guide.md"]),
    "their case": ({"pattern": "grösse", "ignore_case": True}, ["straße.md"], ["guide.md"]),
    "their case, by a pattern": ({"pattern": "^STRA[ß]E U.D gr[ÖX][a-s]+$", "ignore_case": True}, ["straße"], []),
    "their case, literally": ({"pattern": "straße und", "ignore_case": True, "literal": True}, ["straße"], ["guide"]),
    "in some files": ({"pattern": "main", "glob": "*.py"}, ["app.py"], ["mod.ts", "guide.md"]),
    "in a folder by glob": ({"pattern": "main", "glob": "src/**/*.ts"}, ["mod.ts"], ["app.py"]),
    "of several kinds": ({"pattern": "main", "glob": "*.{md,yaml}"}, ["guide.md", "app.yaml"], ["app.py"]),
    "with lines around": ({"pattern": "print", "context": 1}, ["def main", "return 1"], ["import os"]),
    "names alone": ({"glob": "*.py"}, ["app.py", "util.py"], ["mod.ts"]),
    "names with spaces": ({"glob": "* */*"}, ["c d.txt"], ["app.py"]),
    "names anywhere": ({"glob": "**/mod.*"}, ["mod.ts"], ["app.py"]),
    "word borders": ({"pattern": r"\bmain\b", "limit": 50}, ["app.py", "guide.md"], ["util.py"]),
    "nothing there": ({"pattern": "zzzzz"}, ["0 matching lines"], ["app.py"]),
    "only a few": ({"pattern": "main", "limit": 1}, ["main"], []),
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_is_there(at: Served, name: str) -> None:
    room = at.root / "searched"
    for file, text in FILES.items():
        (room / file).parent.mkdir(parents=True, exist_ok=True)
        (room / file).write_text(text)
    arguments, has, lacks = SEARCHES[name]
    text = at.done("search_files", path=str(room), **arguments).text
    for part in has:
        assert part in text, text
    for part in lacks:
        assert part not in text, text


def test_a_listing_goes_on_where_it_stopped(at: Served) -> None:
    room = at.room()
    wanted = {f"file {i:03}" for i in range(250)}
    for name in wanted:
        (room / name).touch()
    got: set[str] = set()
    after: dict[str, str] = {}
    for _ in range(5):
        listed = [
            line.split("  ")[0]
            for line in body(at.done("list_directory", path=str(room), limit=100, **after).text).splitlines()
        ]
        got |= set(listed)
        if len(listed) < 100:
            break
        after = {"after": listed[-1]}
    assert got == wanted


def test_an_empty_folder_and_an_empty_file(at: Served) -> None:
    room = at.room()
    (room / "empty").touch()
    (room / "folder").mkdir()
    assert "empty" in at.done("read_file", path=f"{room}/empty").text
    at.done("list_directory", path=f"{room}/folder")
    at.done("search_files", path=f"{room}/folder", pattern="x")
    at.done("move_file", source=f"{room}/folder", destination=f"{room}/renamed")
    assert at.done("delete_file", path=f"{room}/renamed").id


def test_a_file_is_replaced_by_a_move_and_both_come_back(at: Served) -> None:
    room = at.room()
    (room / "a").write_text("A\n")
    (room / "b").write_text("B\n")
    moved = at.done("move_file", source=f"{room}/a", destination=f"{room}/b")
    assert (room / "b").read_text() == "A\n"
    at.done("files_undo", id=moved.id)
    assert ((room / "a").read_text(), (room / "b").read_text()) == ("A\n", "B\n")


def test_the_case_of_a_name_changes(at: Served) -> None:
    room = at.room()
    (room / "readme.md").write_text("x\n")
    at.done("move_file", source=f"{room}/readme.md", destination=f"{room}/README.md")
    assert [p.name for p in room.iterdir()] == ["README.md"]


def test_a_second_server_sees_and_undoes_nothing_it_may_not(at: Served) -> None:
    room = at.room()
    (room / "a.txt").write_text("1\n")
    other = at.apart.peer(era=at.era)
    try:
        mine = at.done("edit_file", path=f"{room}/a.txt", edits=[{"old": "1", "new": "2"}])
        theirs = other.call("edit_file", path=f"{room}/a.txt", edits=[{"old": "2", "new": "3"}])
        assert not theirs.is_error, theirs.text
        assert (room / "a.txt").read_text() == "3\n"
        assert not other.call("files_undo", id=theirs.id).is_error
        at.done("files_undo", id=mine.id)
        assert (room / "a.txt").read_text() == "1\n"
    finally:
        other.close()
