"""Limits count effects per agent and account: no restart, no other client name and no second server gives more.

Stopped by: the ledger in `state.db`, counted in one transaction before the change (design, section 4 `limits`).
"""

from __future__ import annotations

from .conftest import ASK, World

FEW = "limits: {local_changes: {max: 3, per: 1h}, repeats: {max: 2, per: 10m}, calls: {max: 60, per: 10m}}\n"


def test_over_restart_other_client_name_and_two_servers(world: World) -> None:
    world.policy(FEW)

    def write(peer, number: int):  # type: ignore[no-untyped-def]
        return peer.call("write_file", path=str(world.work / f"n{number}.txt"), content=f"{number}\n")

    one = world.peer()
    assert not write(one, 1).is_error
    one.close()
    two, three = world.peer(name="somebody-else"), world.peer(era="2026-07-28")
    started = [
        (peer, peer.start("write_file", path=str(world.work / f"n{n}.txt"), content=f"{n}\n"))
        for n in range(2, 8)
        for peer in (two, three)
    ]
    replies = [peer.reply(id) for peer, id in started]
    assert len([reply for reply in replies if not reply.is_error]) == 2
    assert {reply.code for reply in replies if reply.is_error} <= {"limit_reached", "conflict"}, replies
    refused = write(two, 9)
    assert refused.code == "limit_reached" and "s" in refused.text
    assert not two.call("read_file", path=str(world.work / "a.txt")).is_error, "reading goes on"
    other = world.peer("--agent", "other")
    assert not write(other, 10).is_error, "another agent has limits of its own"


def test_refused_calls_count_and_the_refusal_says_when(world: World) -> None:
    world.policy("limits: {calls: {max: 10, per: 10m}}\n")
    one, two = world.peer(), world.peer(name="other")
    for n in range(10):
        assert (one, two)[n % 2].call("read_file", path="/etc/passwd").code == "out_of_bounds"
    for peer in (one, two):
        refused = peer.call("read_file", path=str(world.work / "a.txt"))
        assert refused.code == "limit_reached" and "hello" not in refused.text and "Instead: " in refused.text


def test_the_same_again_and_back_and_forth(world: World) -> None:
    world.policy("limits: {repeats: {max: 3, per: 10m}}\n")
    one, two = world.peer(), world.peer(name="other")
    path = str(world.work / "flap.txt")
    replies = [(one, two)[n % 2].call("write_file", path=path, content=("on\n", "off\n")[n % 2]) for n in range(10)]
    done = [reply for reply in replies if not reply.is_error]
    assert len(done) <= 6 and replies[-1].code == "limit_reached", [reply.text[:80] for reply in replies]


def test_waiting_requests_do_not_bury_the_person(world: World) -> None:
    world.policy(ASK)
    peer = world.peer()
    for n in range(30):
        last = peer.call("write_file", path=str(world.work / "docs" / f"{n}.md"), content="x\n")
    assert last.code == "limit_reached"
    assert world.forge("SELECT count(*) FROM pending WHERE status = 'pending'")[0][0] <= 20
