"""Consent: to exactly one call, signed, spent once, in time; grants that cover exactly what they name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guard.ledgers import Ledgers, asking, make_call, make_look, open_ledgers, principal, python, together
from hypothesis import given
from hypothesis import strategies as st

from interlock.guard import statements
from interlock.guard.consent.approvals import KEEP_ROWS, WAITING_MAX, Approvals, digest
from interlock.guard.errors import Code, Refused
from interlock.guard.keys import Person, create_keys
from interlock.guard.model import Approval, Call, Link, Look, Risk
from interlock.guard.state import State


@pytest.fixture
def it(tmp_path: Path) -> Ledgers:
    return open_ledgers(tmp_path)


@pytest.fixture
def waiting(it: Ledgers) -> Any:
    return it.ask(make_call(), make_look())


def refusal(work: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value


# ---------------------------------------------------------------- the digest

words = st.text(max_size=6)
calls = st.fixed_dictionaries(
    {
        "server": words,
        "tool": words,
        "agent": words,
        "client": words,
        "arguments": st.dictionaries(
            words, st.integers() | words | st.booleans() | st.lists(words, max_size=2), max_size=3
        ),
        "effects": st.lists(st.tuples(words, words, words), max_size=3),
    }
)


def digest_of(what: dict[str, Any], **other: Any) -> str:
    """The digest of a call described by `what`; `other` is what it must not depend on."""
    who = replace(principal(what["agent"], client=what["client"]), session=other.get("session", "s"))
    arguments = {key: value for key, value in what["arguments"].items() if key != "reason"}
    if "reason" in other:
        arguments["reason"] = other["reason"]
    call = make_call(other.get("id", "x-1"), server=what["server"], tool=what["tool"], raw=arguments, who=who)
    call = replace(call, reason=other.get("reason", ""), time=other.get("time", 0.0))
    look = make_look(*what["effects"]) if what["effects"] else Look(())
    actions = [
        replace(action, attributes=other.get("attributes", {}), risk=other.get("risk", Risk.LOW))
        for action in look.actions
    ]
    if other.get("turned"):
        actions.reverse()
    return digest(call, replace(look, actions=tuple(actions), size=other.get("size", 0)))


def normal(what: dict[str, Any]) -> Any:
    arguments = {key: value for key, value in what["arguments"].items() if key != "reason"}
    return (
        repr([what[k] for k in ("server", "tool", "agent", "client")]),
        sorted(map(repr, arguments.items())),
        sorted(what["effects"]),
    )


@given(calls, calls)
def test_two_calls_share_a_digest_only_if_everything_covered_is_the_same(one: Any, other: Any) -> None:
    assert (digest_of(one) == digest_of(other)) == (normal(one) == normal(other))


@given(calls, st.sampled_from(["server", "tool", "agent", "client"]), words)
def test_the_digest_changes_with_each_name_it_covers(what: Any, key: str, value: str) -> None:
    assert (digest_of(what) == digest_of({**what, key: value})) == (what[key] == value)


@given(calls, st.tuples(words, words, words), st.data())
def test_the_digest_changes_with_each_effect(what: Any, effect: tuple[str, str, str], data: Any) -> None:
    assert digest_of({**what, "effects": [*what["effects"], effect]}) != digest_of(what)
    if what["effects"]:
        place = data.draw(st.integers(0, len(what["effects"]) - 1))
        part = data.draw(st.integers(0, 2))
        changed = [list(one) for one in what["effects"]]
        changed[place][part] += "x"
        assert digest_of({**what, "effects": [tuple(one) for one in changed]}) != digest_of(what)


@given(calls, words, words)
def test_the_digest_changes_with_nothing_else(what: Any, reason: str, name: str) -> None:
    same = digest_of(what, reason=reason, session=name, id=name, time=1.0, size=5, risk=Risk.HIGH, turned=True)
    assert same == digest_of(what) == digest_of(what, attributes={"path": name})


def test_one_true_and_text_are_different_arguments() -> None:
    seen = {digest(make_call(raw={"n": value}), make_look()) for value in (1, True, "1", 1.5, None, [1], "\ud800")}
    assert len(seen) == 7


# ---------------------------------------------------------------- asking


def test_the_same_call_waits_once(it: Ledgers, waiting: Any) -> None:
    again = it.ask(make_call("files-bbbbbbb", reason="again"), make_look())
    assert again.id == waiting.id and len(it.approvals.pending()) == 1
    other = it.ask(make_call("files-ccccccc", who=principal("other")), make_look())
    assert other.id == "files-ccccccc"
    third = it.ask(make_call("files-ddddddd", who=principal(user="eve")), make_look())
    assert third.id == "files-ddddddd"


def test_a_request_holds_what_a_person_and_a_resume_need(it: Ledgers) -> None:
    call, look = make_call(raw={"path": "/a", "content": "é\ud800"}), make_look(asks=["it moved"])
    it.ask(call, look, replace(asking(Risk.HIGH), lost=("the old pods",)))
    found = it.approvals.find(call.id)
    assert found is not None
    assert (found.raw, found.tool, found.reason, found.risk) == (call.raw, "write_file", "because", Risk.HIGH)
    assert found.why == "writes are asked"
    assert found.rules == ("rule",) and found.lost == ("the old pods",) and found.asks == ("it moved",)
    assert found.preview == "a preview" and found.shown == {"path": "/a"} and found.resources == ("/a",)
    assert found.digest == digest(call, look) and found.status == "pending" and found.expires == it.clock.now + 900


def test_an_id_never_stands_for_two_things(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    moved = it.ask(make_call(waiting.id), make_look(("files.write", "/a", "another content")))
    assert moved.id != waiting.id and moved.id.startswith("files-") and moved.status == "pending"
    before = it.approvals.find(waiting.id)
    assert before is not None and before.status == "void" and "has changed" in before.ended_why
    assert spend(it, waiting.id, waiting.digest).code is Code.APPROVAL_REQUIRED


def test_one_agent_cannot_bury_the_person(it: Ledgers) -> None:
    for number in range(WAITING_MAX):
        it.ask(make_call(f"files-{number}"), make_look(("files.write", f"/{number}", "")))
    full = refusal(lambda: it.ask(make_call("files-x"), make_look(("files.write", "/x", ""))))
    assert full.code is Code.LIMIT_REACHED
    it.ask(make_call("files-y", who=principal("other")), make_look(("files.write", "/x", "")))
    it.clock.forward(901)
    it.ask(make_call("files-z"), make_look(("files.write", "/x", "")))


def test_a_declined_call_is_declined_again_not_asked_again(it: Ledgers, waiting: Any) -> None:
    it.approvals.deny(waiting.id, "ops")
    again = it.approvals.match(waiting.digest, principal())
    assert again is not None and again.status == "declined" and again.id == waiting.id
    it.clock.forward(901)
    assert it.approvals.match(waiting.digest, principal()) is None


# ---------------------------------------------------------------- yes and no


def test_an_approval_is_spent_once(it: Ledgers, waiting: Any) -> None:
    assert it.approvals.approve(it.person, waiting.id).status == "approved"
    approval = used(it.state, it.approvals, waiting.id, waiting.digest, it.state.now())
    assert (approval.call, approval.by, approval.channel) == (waiting.id, it.person.by, "terminal")
    again = refusal(lambda: used(it.state, it.approvals, waiting.id, waiting.digest, it.state.now()))
    assert again.code is Code.APPROVAL_REQUIRED and "spent" in again.message
    found = it.approvals.find(waiting.id)
    assert found is not None and found.status == "spent" and found.raw == {}
    assert it.approvals.match(waiting.digest, principal()) is None


def test_what_nobody_approved_cannot_be_spent(it: Ledgers, waiting: Any) -> None:
    assert refusal(lambda: used(it.state, it.approvals, waiting.id, waiting.digest, 0)).code is Code.APPROVAL_REQUIRED
    assert refusal(lambda: used(it.state, it.approvals, "files-none", waiting.digest, 0)).code is Code.APPROVAL_REQUIRED


def test_a_no_needs_no_key_and_takes_back_a_yes(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    it.approvals.deny(waiting.id, "ops")
    assert refusal(lambda: used(it.state, it.approvals, waiting.id, waiting.digest, 0)).code is Code.DECLINED
    assert "declined" in refusal(lambda: it.approvals.approve(it.person, waiting.id)).message


def test_a_late_yes_is_void(it: Ledgers, waiting: Any) -> None:
    it.clock.forward(900)
    assert "expired" in refusal(lambda: it.approvals.approve(it.person, waiting.id)).message
    assert "expired" in refusal(lambda: it.approvals.deny(waiting.id, "ops")).message
    assert it.approvals.pending() == []


def test_a_yes_that_is_used_too_late_is_void_whatever_the_clock_says(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    it.clock.forward(901)
    it.state.now()
    it.clock.forward(-300)
    late = refusal(lambda: used(it.state, it.approvals, waiting.id, waiting.digest, it.clock.now - 5000))
    assert late.code is Code.APPROVAL_REQUIRED and "expired" in late.message


def test_an_extended_row_does_not_extend_what_was_signed(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    edit(it, "UPDATE pending SET expires = expires + 1e6")
    it.clock.forward(901)
    late = refusal(lambda: used(it.state, it.approvals, waiting.id, waiting.digest, it.state.now()))
    assert "has ended" in late.message


# ---------------------------------------------------------------- forgeries


def edit(it: Ledgers, sql: str, *values: Any) -> None:
    with it.state.tx() as db:
        db.execute(sql, values)


def used(state: State, approvals: Approvals, id: str, mark: str, now: float) -> Approval:
    with state.tx() as db:
        return approvals.spend(db, id, mark, now)


def spend(it: Ledgers, id: str, mark: str) -> Refused:
    return refusal(lambda: used(it.state, it.approvals, id, mark, it.state.now()))


def test_a_row_marked_approved_by_hand_is_refused(it: Ledgers, waiting: Any) -> None:
    for channel in ("terminal", "client", ""):
        edit(it, "UPDATE pending SET status = 'approved', by = 'ops', channel = ?, answered = 1", channel)
        assert spend(it, waiting.id, waiting.digest).code is Code.APPROVAL_REQUIRED


def test_a_signature_by_another_key_is_refused(it: Ledgers, waiting: Any, tmp_path: Path) -> None:
    stranger = Person.load(None, create_keys(None, tmp_path / "stranger"))
    it.approvals.approve(stranger, waiting.id)
    assert "not signed by a person" in spend(it, waiting.id, waiting.digest).message


def test_an_approval_copied_to_another_call_is_refused(it: Ledgers, waiting: Any) -> None:
    other = it.ask(make_call("files-bbbbbbb"), make_look(("files.delete", "/b", "")))
    it.approvals.approve(it.person, waiting.id)
    edit(
        it,
        "UPDATE pending SET status = 'approved', channel = 'terminal', answered = 1,"
        " statement = (SELECT statement FROM pending WHERE id = ?) WHERE id = ?",
        waiting.id, other.id,
    )  # fmt: skip
    assert "another call" in spend(it, other.id, other.digest).message
    edit(it, "UPDATE pending SET digest = ? WHERE id = ?", waiting.digest, other.id)
    assert "another call" in spend(it, other.id, waiting.digest).message
    assert used(it.state, it.approvals, waiting.id, waiting.digest, 0)


def test_an_edited_statement_is_refused(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    edit(it, "UPDATE statements SET body = replace(body, '/a', '/b')")
    edit(
        it, "UPDATE statements SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB)", waiting.id, "files-zzzzzzz"
    )
    assert "not signed" in spend(it, waiting.id, waiting.digest).message


def test_a_row_edited_after_the_yes_is_refused(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    for column, value in (
        ("agent", "other"),
        ("server", "git"),
        ("tool", "delete_file"),
        ("digest", "0" * 64),
        ("risk", 3),
    ):
        was = it.state.read().execute(f"SELECT {column} FROM pending")[0][0]
        edit(it, f"UPDATE pending SET {column} = ?", value)
        assert spend(it, waiting.id, waiting.digest).code is Code.APPROVAL_REQUIRED, column
        edit(it, f"UPDATE pending SET {column} = ?", was)
    assert used(it.state, it.approvals, waiting.id, waiting.digest, 0)


def test_a_spent_approval_put_back_is_refused(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    row = dict(it.state.read().execute("SELECT * FROM pending")[0])
    used(it.state, it.approvals, waiting.id, waiting.digest, 0)
    edit(it, "UPDATE pending SET status = 'approved', raw = ?", row["raw"])
    assert "used already" in spend(it, waiting.id, waiting.digest).message


def test_another_effect_is_not_what_was_approved(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id)
    other = digest(make_call(), make_look(("files.write", "/a", "2")))
    assert "not what was approved" in spend(it, waiting.id, other).message


def test_an_approval_from_another_home_is_refused(it: Ledgers, waiting: Any, tmp_path: Path) -> None:
    other = open_ledgers(tmp_path / "other")
    theirs = replace(other, approvals=type(other.approvals)(other.state, it.keys))
    same = theirs.ask(make_call(), make_look())
    theirs.approvals.approve(it.person, same.id)
    row = other.state.read().execute("SELECT * FROM statements")[0]
    edit(it, "INSERT INTO statements VALUES (?,?,?,?,?,?)", *row)
    edit(it, "UPDATE pending SET status = 'approved', channel = 'terminal', statement = ?", row["nonce"])
    assert "not signed" in spend(it, waiting.id, waiting.digest).message


# ---------------------------------------------------------------- consent through the client


def test_consent_through_the_client_is_marked_and_spent_once(it: Ledgers, waiting: Any) -> None:
    it.approvals.consent_in_client(waiting.id, waiting.digest, "claude-code")
    approval = used(it.state, it.approvals, waiting.id, waiting.digest, 0)
    assert (approval.by, approval.channel) == ("claude-code", "client")
    edit(it, "UPDATE pending SET status = 'approved'")
    assert "used already" in spend(it, waiting.id, waiting.digest).message


def test_the_client_never_consents_to_what_is_critical(it: Ledgers) -> None:
    pending = it.ask(make_call(), make_look(), asking(Risk.CRITICAL))
    assert (
        refusal(lambda: it.approvals.consent_in_client(pending.id, pending.digest, "x")).code is Code.APPROVAL_REQUIRED
    )
    assert refusal(lambda: it.approvals.consent_in_client(pending.id, "0" * 64, "x"))


# ---------------------------------------------------------------- waiting, and the end of a request


def test_waiting_ends_with_the_answer(it: Ledgers, waiting: Any) -> None:
    looks: list[float] = []

    def answered_at_the_third_look() -> bool:
        looks.append(time.monotonic())
        if len(looks) == 3:
            it.approvals.approve(it.person, waiting.id)
        return False

    assert it.approvals.wait(waiting.id, 30, Link(), answered_at_the_third_look).status == "approved"
    assert len(looks) == 3


def test_waiting_ends_with_a_cancel_a_halt_or_its_time(it: Ledgers, waiting: Any) -> None:
    assert it.approvals.wait(waiting.id, 0, Link(), lambda: False).status == "pending"
    link = Link()
    link.cancel()
    assert it.approvals.wait(waiting.id, 30, link, lambda: False).status == "pending"
    halted = it.approvals.wait(waiting.id, 30, Link(), lambda: True)
    assert halted.status == "void"
    assert "void" in refusal(lambda: it.approvals.approve(it.person, waiting.id)).message


def test_void_all_follows_the_orders_scope(it: Ledgers) -> None:
    from interlock.guard.halt.switch import Order

    for agent, server in (("a", "files"), ("a", "git"), ("b", "files")):
        it.ask(make_call(f"{server}-{agent}", server=server, who=principal(agent)), make_look())
    order = Order("halt-1", "ops", 0.0, "loop", agent="a", server="git")
    assert it.approvals.void_all(order) == 1
    assert {p.id for p in it.approvals.pending()} == {"files-a", "files-b"}
    assert it.approvals.void_all("halted") == 2 and it.approvals.pending() == []
    found = it.approvals.find("git-a")
    assert found is not None and "loop" in found.ended_why


def test_ended_requests_do_not_pile_up_and_hold_no_arguments(it: Ledgers) -> None:
    with it.state.tx() as db:
        for number in range(KEEP_ROWS + 50):
            db.execute(
                "INSERT INTO pending (id, digest, status, agent, user, session, client, server, tool, raw, reason,"
                " risk, why, rules, lost, shown, preview, actions, asks, opened, expires, ended)"
                " VALUES (?, '', 'spent', '', '', '', '', '', '', '{}', '', 1, '', '[]', '[]', '{}', '', '[]', '[]',"
                " 0, 0, ?)",
                (f"x-{number}", it.clock.now - number),
            )
    it.ask(make_call(raw={"content": "x" * 1000}), make_look())
    it.clock.forward(901)
    assert it.approvals.expire(it.state.now()) == 1
    rows = it.state.read().execute("SELECT count(*), max(length(raw)) FROM pending")[0]
    assert rows[0] == KEEP_ROWS and rows[1] == 2
    it.clock.forward(8 * 86400)
    it.approvals.expire(it.state.now())
    assert it.state.read().execute("SELECT count(*) FROM pending")[0][0] == 0


# ---------------------------------------------------------------- grants


@pytest.fixture
def granted(it: Ledgers) -> Ledgers:
    """A grant of four further writes to /a and /b, for half an hour."""
    pending = it.ask(make_call(), make_look(("files.write", "/a", "1"), ("files.write", "/b", "2")))
    it.approvals.approve(it.person, pending.id, for_s=1800, times=5)
    used(it.state, it.approvals, pending.id, pending.digest, 0)
    return it


def write(*paths: str, **options: Any) -> tuple[Call, Look]:
    asks = options.pop("asks", ())
    return make_call("files-later", **options), make_look(*(("files.write", path, "new") for path in paths), asks=asks)


def covered(it: Ledgers, call: Call, look: Look, risk: Risk = Risk.MEDIUM) -> bool:
    approval = it.approvals.grant_for(call, look, asking(risk))
    assert approval is None or (approval.channel, approval.by, approval.call) == ("grant", it.person.by, call.id)
    return approval is not None


def test_a_grant_covers_other_contents_of_the_same_pattern_as_often_as_it_says(granted: Ledgers) -> None:
    assert [covered(granted, *write("/a")) for _ in range(6)] == [True] * 4 + [False] * 2
    assert granted.approvals.grants() == []


def test_a_grant_covers_a_part_of_its_pattern_and_nothing_beside_it(granted: Ledgers) -> None:
    assert covered(granted, *write("/a", "/b"))
    assert not covered(granted, *write("/a", "/c"))
    assert not covered(granted, *write("/a/b"))
    assert not covered(granted, make_call(), make_look(("files.delete", "/a", "")))
    assert not covered(granted, *write("/a", who=principal("other")))
    assert not covered(granted, *write("/a", server="git"))
    assert not covered(granted, *write("/a", tool="edit_file"))
    assert not covered(granted, *write("/a", asks=["it would move a secret"]))
    assert not covered(granted, *write("/a"), risk=Risk.HIGH)
    assert not covered(granted, make_call(), Look(()))
    assert granted.approvals.grants()[0].uses_left == 3


def test_a_grant_ends_by_time_and_by_hand(granted: Ledgers) -> None:
    grant = granted.approvals.grants()[0]
    granted.clock.forward(1799)
    assert covered(granted, *write("/a"))
    granted.clock.forward(1)
    assert not covered(granted, *write("/a"))
    granted.clock.forward(-100)
    assert not covered(granted, *write("/a"))
    granted.approvals.revoke(grant.id, "ops")
    assert granted.approvals.grants() == []


def test_a_revoked_grant_covers_nothing(granted: Ledgers) -> None:
    grant = granted.approvals.grants()[0]
    granted.approvals.revoke(grant.id, "ops")
    assert not covered(granted, *write("/a"))
    assert refusal(lambda: granted.approvals.revoke(grant.id, "ops")).code is Code.INVALID


def test_an_edited_grant_covers_what_was_signed_and_no_more(granted: Ledgers) -> None:
    edit(granted, "UPDATE grants SET times = 1000, expires = expires + 1e6, agent = 'other'")
    assert not covered(granted, *write("/a", who=principal("other")))
    edit(granted, "UPDATE grants SET agent = 'bot'")
    assert [covered(granted, *write("/a")) for _ in range(6)].count(True) == 4
    edit(granted, "UPDATE grants SET used = 0")  # set back: each use has left its mark
    assert not any(covered(granted, *write("/a")) for _ in range(6))


def test_a_grant_that_nobody_signed_covers_nothing(granted: Ledgers, tmp_path: Path) -> None:
    stranger = Person.load(None, create_keys(None, tmp_path / "stranger"))
    pending = granted.ask(make_call("files-x"), make_look(("files.write", "/c", "")))
    granted.approvals.approve(stranger, pending.id, for_s=600, times=3)
    assert not covered(granted, *write("/c"))
    assert [grant.what for grant in granted.approvals.grants()] == ["files.write /a; files.write /b"]


def test_a_call_that_is_approved_itself_leaves_the_grant_alone(it: Ledgers) -> None:
    call, look = make_call(), make_look()
    pending = it.ask(call, look)
    it.approvals.approve(it.person, pending.id, times=3)
    assert it.approvals.grant_for(call, look, asking()) is None
    used(it.state, it.approvals, pending.id, pending.digest, 0)
    assert it.approvals.grants()[0].uses_left == 2


def test_what_is_critical_is_never_granted(it: Ledgers) -> None:
    pending = it.ask(make_call(), make_look(), asking(Risk.CRITICAL))
    assert refusal(lambda: it.approvals.approve(it.person, pending.id, for_s=60, times=2)).code is Code.INVALID
    assert it.approvals.approve(it.person, pending.id).status == "approved"


@pytest.mark.parametrize(("for_s", "times"), [(0, 5), (-1, 5), (8 * 86400, 5), (60, 0), (None, 0)])
def test_a_grant_without_sense_is_refused(it: Ledgers, waiting: Any, for_s: Any, times: Any) -> None:
    assert refusal(lambda: it.approvals.approve(it.person, waiting.id, for_s=for_s, times=times)).code is Code.INVALID
    assert it.approvals.grants() == [] and it.approvals.find(waiting.id).status == "pending"


def test_once_is_no_grant(it: Ledgers, waiting: Any) -> None:
    it.approvals.approve(it.person, waiting.id, for_s=60, times=1)
    assert it.approvals.grants() == []


# ---------------------------------------------------------------- several processes

SPEND = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from guard.ledgers import asking, make_call, make_look
from interlock.guard.consent.approvals import Approvals
from interlock.guard.errors import Refused
from interlock.guard.keys import Keys
from interlock.guard.state import State
state, keys = State(Path(sys.argv[1]), lambda: float(sys.argv[5])), Keys.load(Path(sys.argv[2]))
approvals = Approvals(state, keys)
print("ready", flush=True); sys.stdin.readline()
done = 0
for line in sys.argv[3].split():
    try:
        if line.startswith("grant"):
            done += approvals.grant_for(make_call("files-later"), make_look(), asking()) is not None
        else:
            with state.tx(durable=True) as db:
                approvals.spend(db, line, approvals.find(line).digest, state.now())
            done += 1
    except Refused:
        pass
print(json.dumps(done))
"""


def race(it: Ledgers, what: str, processes: int) -> int:
    tests = Path(__file__).parent.parent
    arguments = (it.home, it.keys_folder, what, tests, it.clock.now)
    return sum(together([python(SPEND, *arguments) for _ in range(processes)]))


def test_each_approval_is_spent_by_one_of_two_processes(it: Ledgers) -> None:
    ids = []
    for number in range(15):
        pending = it.ask(make_call(f"files-{number}"), make_look(("files.write", f"/{number}", "")))
        it.approvals.approve(it.person, pending.id)
        ids.append(pending.id)
    assert race(it, " ".join(ids), 2) == 15


def test_a_grant_is_used_no_oftener_than_it_says_by_three_processes(it: Ledgers) -> None:
    pending = it.ask(make_call(), make_look())
    it.approvals.approve(it.person, pending.id, for_s=600, times=11)
    used(it.state, it.approvals, pending.id, pending.digest, 0)
    assert race(it, "grant " * 8, 3) == 10


def test_statements_are_used_up_once(it: Ledgers) -> None:
    with it.state.tx() as db:
        assert statements.use_up(db, "n", 1e12)
        assert not statements.use_up(db, "n", 1e12)
