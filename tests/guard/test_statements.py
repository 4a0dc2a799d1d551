"""Statements: only what the person signed, for this home, of this kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guard.ledgers import Clock, Ledgers, open_ledgers
from hypothesis import given
from hypothesis import strategies as st

from interlock.guard import statements
from interlock.guard.errors import Broken
from interlock.guard.keys import Person, create_keys
from interlock.guard.statements import active_profile, canonical, end_profile, switch_profile


@pytest.fixture
def it(tmp_path: Path) -> Ledgers:
    return open_ledgers(tmp_path)


def row_of(statement: statements.Statement) -> dict[str, object]:
    return {"body": statement.body, "signature": statement.signature}


def test_a_statement_says_what_was_signed(it: Ledgers) -> None:
    made = statements.sign_and_store(it.person, it.state, "purge", ids=["a", "b"])
    found = statements.find(it.keys, it.state, made.nonce, "purge")
    assert found is not None
    assert (found.fields, found.by, found.at) == ({"ids": ["a", "b"]}, it.person.by, made.at)


def test_any_changed_byte_makes_it_nothing(it: Ledgers) -> None:
    made = statements.make(it.person, it.state, "purge", ids=["a"])
    assert statements.verify(it.keys, it.state, row_of(made), "purge") is not None
    for position in range(0, len(made.body), 7):
        body = bytearray(made.body)
        body[position] ^= 1
        row = {"body": bytes(body), "signature": made.signature}
        assert statements.verify(it.keys, it.state, row, "purge") is None
    for bad in (b"", made.signature[:-1], bytes(64)):
        assert statements.verify(it.keys, it.state, {"body": made.body, "signature": bad}, "purge") is None
    assert statements.verify(it.keys, it.state, None, "purge") is None
    assert statements.verify(it.keys, it.state, {"body": "text", "signature": "text"}, "purge") is None


def test_another_kind_another_key_another_home_are_nothing(it: Ledgers, tmp_path: Path) -> None:
    made = statements.make(it.person, it.state, "purge", ids=["a"])
    assert statements.verify(it.keys, it.state, row_of(made), "repair") is None
    stranger = Person.load(None, create_keys(None, tmp_path / "stranger"))
    assert statements.verify(it.keys, it.state, row_of(statements.make(stranger, it.state, "purge")), "purge") is None
    other = open_ledgers(tmp_path / "other")
    elsewhere = statements.make(it.person, other.state, "purge", ids=["a"])
    assert statements.verify(it.keys, it.state, row_of(elsewhere), "purge") is None


def test_the_servers_own_key_is_no_persons(it: Ledgers) -> None:
    made = statements.make(it.person, it.state, "purge")
    forged = it.keys.sign_checkpoint(b"interlock statement v1\n" + made.body)
    assert statements.verify(it.keys, it.state, {"body": made.body, "signature": forged}, "purge") is None


def test_an_unknown_kind_is_never_signed(it: Ledgers) -> None:
    with pytest.raises(Broken):
        statements.make(it.person, it.state, "halt")


def test_the_nonce_must_be_the_rows(it: Ledgers) -> None:
    made = statements.sign_and_store(it.person, it.state, "purge", ids=["a"])
    with it.state.tx() as db:
        db.execute("UPDATE statements SET nonce = 'another'")
    assert statements.find(it.keys, it.state, "another", "purge") is None
    assert statements.find(it.keys, it.state, made.nonce, "purge") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_canonical_is_one_spelling_for_one_value(one: object, other: object) -> None:
    def plain(value: object) -> str:
        return repr(sort(value))

    def sort(value: object) -> object:
        if isinstance(value, dict):
            return "object", [(key, sort(value[key])) for key in sorted(value)]
        return [sort(item) for item in value] if isinstance(value, list) else value

    spelled, again = canonical(one), canonical(other)
    assert (spelled == again) == (plain(json.loads(spelled)) == plain(json.loads(again)))
    assert canonical(json.loads(spelled)) == spelled


# ---------------------------------------------------------------- trimming


def test_statements_and_nonces_do_not_pile_up(it: Ledgers) -> None:
    for number in range(20):
        statements.sign_and_store(it.person, it.state, "purge", ids=[number])
        switch_profile(it.person, it.state, "incident", it.state.now() + 10, "r")
        with it.state.tx() as db:
            statements.use_up(db, f"{number}", it.state.now() + 10)
        it.clock.forward(3 * 86400)
    it.approvals.expire(it.state.now())
    for table in ("statements", "nonces"):
        assert it.state.read().execute(f"SELECT count(*) FROM {table}")[0][0] <= 24


def test_a_statement_that_still_holds_is_kept_however_old(it: Ledgers) -> None:
    made = statements.sign_and_store(
        it.person, it.state, "profile", it.state.now() + 365 * 86400, name="readonly", reason=""
    )
    it.clock.forward(300 * 86400)
    it.approvals.expire(it.state.now())
    assert statements.find(it.keys, it.state, made.nonce, "profile") is not None


# ---------------------------------------------------------------- the profile switch


def test_a_profile_holds_until_its_end(it: Ledgers) -> None:
    assert active_profile(it.state, it.keys) is None
    until = it.state.now() + 7200
    switch_profile(it.person, it.state, "incident", until, "db is down")
    assert active_profile(it.state, it.keys) == ("incident", until, "db is down")
    it.clock.forward(7199)
    assert active_profile(it.state, it.keys) is not None
    it.clock.forward(1)
    assert active_profile(it.state, it.keys) is None
    it.clock.forward(-300)  # and does not come back with the clock
    assert active_profile(it.state, it.keys) is None


def test_the_latest_switch_counts_and_can_be_ended(it: Ledgers) -> None:
    assert not end_profile(it.person, it.state)
    switch_profile(it.person, it.state, "incident", it.state.now() + 7200, "a")
    it.clock.forward(1)
    switch_profile(it.person, it.state, "readonly", it.state.now() + 60, "b")
    assert (active_profile(it.state, it.keys) or ("",))[0] == "readonly"
    it.clock.forward(60)
    assert active_profile(it.state, it.keys) is None  # the one before does not come back
    switch_profile(it.person, it.state, "incident", it.state.now() + 60, "c")
    it.clock.forward(1)
    assert end_profile(it.person, it.state)
    assert active_profile(it.state, it.keys) is None


def test_a_profile_that_nobody_signed_is_passed_over(it: Ledgers, tmp_path: Path) -> None:
    until = it.state.now() + 600
    switch_profile(it.person, it.state, "readonly", until, "real")
    stranger = Person.load(None, create_keys(None, tmp_path / "stranger"))
    it.clock.forward(5)
    switch_profile(stranger, it.state, "incident", until, "forged")
    with it.state.tx() as db:
        body = canonical({"kind": "profile", "fields": {"name": "development"}})
        db.execute("INSERT INTO statements VALUES ('n', 'profile', ?, ?, ?, ?)", (9e9, 9e9, body, bytes(64)))
    assert active_profile(it.state, it.keys) == ("readonly", until, "real")


def test_an_edited_row_changes_nothing(it: Ledgers) -> None:
    until = it.state.now() + 60
    switch_profile(it.person, it.state, "incident", until, "r")
    with it.state.tx() as db:
        db.execute("UPDATE statements SET until = until + 1e6, at = at + 10")
    assert active_profile(it.state, it.keys) == ("incident", until, "r")
    it.clock.forward(61)
    assert active_profile(it.state, it.keys) is None


def test_the_clock_of_a_test_is_the_states(it: Ledgers) -> None:
    assert isinstance(it.clock, Clock) and statements.make(it.person, it.state, "purge").at == it.clock.now
