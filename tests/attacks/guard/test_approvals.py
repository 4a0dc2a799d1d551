"""An approval is one person's yes to one effect, once: what copies, forges, delays or swaps it runs nothing.

Stopped by: the digest (arguments and effect), the signature over it, `spend` in one durable transaction, and looking
and deciding once more after the yes (design, section 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.guard.errors import Refused

from .conftest import ASK, ROOMY, World, until


@dataclass
class Scene:
    """Two servers of one agent, one in each era of the protocol, and a place of their own for each test."""

    world: World
    folder: Path

    def __post_init__(self) -> None:
        self.one, self.two = self.world.peers[:2]
        self.target = self.folder / "d.md"
        self.target.write_text("old\n")

    def asked(self, content: str = "new\n", path: Path | None = None) -> str:
        reply = self.one.call("write_file", path=str(path or self.target), content=content)
        assert reply.code == "approval_required", reply.text
        return reply.id

    def unchanged(self) -> bool:
        return self.target.read_text() == "old\n"


@pytest.fixture(scope="module")
def shared(make_world: Callable[[], World]) -> World:
    made = make_world()
    made.policy(ASK + ROOMY)
    made.peer()
    made.peer(era="2026-07-28")
    return made


@pytest.fixture
def scene(shared: World, request: pytest.FixtureRequest) -> Scene:
    folder = shared.work / "docs" / request.node.name.replace("[", "-").replace("]", "")
    folder.mkdir()
    return Scene(shared, folder)


def test_a_replay_is_asked_anew(scene: Scene) -> None:
    id = scene.asked()
    scene.world.approve(id)
    assert not scene.one.call("files_guard", resume=id).is_error
    scene.target.write_text("old\n")
    for peer in (scene.one, scene.two):
        assert peer.call("files_guard", resume=id).code == "invalid"
        again = peer.call("write_file", path=str(scene.target), content="new\n")
        assert again.code == "approval_required" and again.id != id
    assert scene.unchanged()


def test_twenty_executions_at_once_spend_it_once(scene: Scene) -> None:
    id = scene.asked()
    scene.world.approve(id)
    calls = [(peer, peer.start("files_guard", resume=id)) for _ in range(10) for peer in (scene.one, scene.two)]
    replies = [peer.reply(call) for peer, call in calls]
    assert [reply.is_error for reply in replies].count(False) == 1, [reply.text for reply in replies]
    assert [change.id for change in scene.world.changes()].count(id) == 1
    assert scene.world.stages(id) == ["refused", "permitted", "done"]  # who came second has an id of its own
    assert not [reply.text for reply in replies if f"(id {id})" in reply.text]


@pytest.mark.parametrize("to", ["outside", "inside"])
def test_a_link_swapped_after_the_yes(scene: Scene, to: str) -> None:
    link, other = scene.folder / "link", scene.folder / "other.md"
    other.write_text("other\n")
    link.symlink_to(scene.target)
    id = scene.asked(path=link)
    scene.world.approve(id)
    aim = other if to == "inside" else scene.world.outside / "secret.txt"
    before = aim.read_text()
    link.unlink()
    link.symlink_to(aim)
    reply = scene.two.call("files_guard", resume=id)
    assert reply.code in ("out_of_bounds", "conflict", "approval_required"), reply.text
    assert aim.read_text() == before and scene.unchanged()


def test_content_swapped_after_the_yes(scene: Scene) -> None:
    """The person saw a diff against what was there; it is not that any more."""
    id = scene.asked()
    scene.world.approve(id)
    scene.target.write_text("a colleague's work\n")
    reply = scene.one.call("files_guard", resume=id)
    assert reply.code in ("conflict", "approval_required") and scene.target.read_text() == "a colleague's work\n"


def test_a_row_set_to_approved_by_hand(scene: Scene) -> None:
    id = scene.asked()
    scene.world.forge("UPDATE pending SET status = 'approved', by = 'root', channel = 'terminal' WHERE id = ?", id)
    reply = scene.one.call("files_guard", resume=id)
    assert reply.code == "approval_required" and "not signed" in reply.text
    assert scene.unchanged()


def test_a_row_said_to_come_from_the_client(scene: Scene) -> None:
    id = scene.asked()
    query = "UPDATE pending SET status='approved', by='root', channel='client', answered=1.0, statement=? WHERE id=?"
    scene.world.forge(query, "0" * 64, id)
    assert scene.one.call("files_guard", resume=id).code == "approval_required"
    assert scene.unchanged()


def test_a_signature_copied_from_another_approval(scene: Scene) -> None:
    harmless = scene.asked("harmless\n")
    scene.world.approve(harmless)
    harmful = scene.asked("harmful\n")
    query = "UPDATE pending SET (status, by, channel, answered, statement) = (SELECT status, by, channel, answered,"
    scene.world.forge(query + " statement FROM pending WHERE id = ?) WHERE id = ?", harmless, harmful)
    reply = scene.one.call("files_guard", resume=harmful)
    assert reply.code == "approval_required" and "another call" in reply.text
    assert scene.unchanged()


def test_arguments_swapped_under_an_approval(scene: Scene) -> None:
    """The row's arguments are what a resume runs: they are covered by what was signed."""
    id = scene.asked("harmless\n")
    scene.world.approve(id)
    scene.world.forge("UPDATE pending SET raw = replace(raw, 'harmless', 'harmful') WHERE id = ?", id)
    reply = scene.one.call("files_guard", resume=id)
    assert reply.is_error and scene.unchanged(), reply.text


def test_a_statement_edited_by_hand(scene: Scene) -> None:
    id = scene.asked()
    scene.world.approve(id)
    query = "UPDATE statements SET body = replace(body, '\"approve\"', '\"grant\"') WHERE nonce ="
    scene.world.forge(query + " (SELECT statement FROM pending WHERE id = ?)", id)
    assert scene.one.call("files_guard", resume=id).code == "approval_required"
    assert scene.unchanged()


def test_a_spent_row_set_back(scene: Scene) -> None:
    id = scene.asked()
    before = scene.world.forge("SELECT raw FROM pending WHERE id = ?", id)[0][0]
    scene.world.approve(id)
    assert not scene.one.call("files_guard", resume=id).is_error
    scene.target.write_text("old\n")
    scene.world.forge("UPDATE pending SET status = 'approved', raw = ?, ended = NULL WHERE id = ?", before, id)
    reply = scene.two.call("files_guard", resume=id)
    assert reply.is_error and scene.unchanged(), reply.text


def test_an_expiry_moved_by_hand(scene: Scene) -> None:
    """What was signed ends when it was signed to end."""
    id = scene.asked()
    scene.world.approve(id)
    scene.world.forge("UPDATE statements SET until = until + 1e6, body = replace(body, '1', '2') WHERE nonce ="
                      " (SELECT statement FROM pending WHERE id = ?)", id)  # fmt: skip
    scene.world.forge("UPDATE pending SET expires = expires + 1e6 WHERE id = ?", id)
    assert scene.one.call("files_guard", resume=id).is_error
    assert scene.unchanged()


def test_another_agents_and_another_clients_approval(scene: Scene) -> None:
    id = scene.asked()
    scene.world.approve(id)
    other = scene.world.peer("--agent", "other")
    assert other.call("files_guard", resume=id).code == "invalid"
    assert other.call("write_file", path=str(scene.target), content="new\n").code == "approval_required"
    renamed = scene.world.peer(name="another-client")
    assert renamed.call("write_file", path=str(scene.target), content="new\n").code == "approval_required"
    assert scene.unchanged()
    for peer in (other, renamed):
        peer.close()


def test_no_tool_consents(scene: Scene) -> None:
    """Nothing that an agent can name answers for a person, in either era."""
    for peer in (scene.one, scene.two):
        assert not [
            tool for tool in peer.tools() if any(word in tool for word in ("approve", "grant", "resume", "halt"))
        ]
    id = scene.asked()
    for extra in ({"approve": id}, {"resume": id, "approved": True}):
        assert scene.one.call("files_guard", **extra).code == "invalid"
    assert scene.one.call("files_guard", resume=id).code == "approval_required"
    own = [scene.world.home / "state.db", scene.world.keys_folder / "person.key", scene.world.apart.policy]
    for path in own:
        assert scene.one.call("read_file", path=str(path)).code in ("out_of_bounds", "protected")
        assert scene.one.call("write_file", path=str(path), content="x").code in ("out_of_bounds", "protected")


def test_a_late_answer(world: World) -> None:
    """Silence is no: after its time nobody can say yes, and an earlier yes is worth nothing."""
    world.apart.write_policy(more=ASK + "approvals: {wait: 0s, expires: 1s}\n")
    peer, target = world.peer(), world.work / "docs" / "d.md"
    arguments = {"path": str(target), "content": "x\n"}
    late, early = peer.call("write_file", **arguments).id, peer.call("write_file", **{**arguments, "content": "y\n"}).id
    world.approve(early)
    world.forge("UPDATE home SET highest = highest + 2")  # two seconds later
    with pytest.raises(Refused) as refusal:
        world.approve(late)
    assert "expired" in refusal.value.message
    for id in (late, early):
        assert peer.call("files_guard", resume=id).is_error
    assert not target.exists()


def test_an_answer_after_a_halt(world: World) -> None:
    world.policy(ASK)
    peer, target = world.peer(), world.work / "docs" / "d.md"
    id = peer.call("write_file", path=str(target), content="x\n").id
    world.approve(id)
    (world.home / "HALT").touch()
    assert peer.call("files_guard", resume=id).code == "halted"
    until(lambda: world.forge("SELECT status FROM pending WHERE id = ?", id)[0][0] == "void")
    (world.home / "HALT").unlink()
    assert peer.call("files_guard", resume=id).is_error, "what waited is void"
    assert not target.exists()


def test_the_clock_set_back(world: World) -> None:
    """Time is the highest ever seen: an approval cannot be made young again."""
    world.policy(ASK)
    peer, target = world.peer(), world.work / "docs" / "d.md"
    id = peer.call("write_file", path=str(target), content="x\n").id
    world.approve(id)
    world.forge("UPDATE home SET highest = highest + 86400")  # as if the clock had been a day ahead
    peer.close()
    peer = world.peer()
    reply = peer.call("files_guard", resume=id)
    assert reply.code == "guard_failure" and "clock" in reply.text, reply.text
    assert world.apart.cli("doctor", "--mend-clock").returncode == 0
    assert peer.call("files_guard", resume=id).is_error
    assert not target.exists()
