"""Limits: never exceeded, by nobody, over any number of processes; refusals that say when; the breaker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guard.ledgers import Clock, Ledgers, make_call, make_look, open_ledgers, principal, python, together
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.limits import RESOURCES_MAX, LimitsLedger
from interlock.guard.model import Call, Look, Principal
from interlock.guard.policy.model import Limits, Rate
from interlock.guard.state import State

LIMITS = Limits()


@pytest.fixture
def it(tmp_path: Path) -> Ledgers:
    return open_ledgers(tmp_path)


def refused(work: Callable[[], object]) -> Refused | None:
    try:
        work()
    except Refused as refusal:
        return refusal
    return None


def seconds(refusal: Refused | None) -> int:
    """What the hint says of when to come back; it gives the clock time too."""
    assert refusal is not None
    found = re.search(r"in (\d+) s, at \d\d:\d\d:\d\d UTC", refusal.hint)
    assert found is not None, refusal.hint
    return int(found[1])


def reserve(state: State, ledger: LimitsLedger, who: Principal, call: Call, look: Look, limits: Limits) -> None:
    with state.tx() as db:
        ledger.reserve_change(db, who, call, look, limits)


def output(it: Ledgers, who: Principal, chars: int, limits: Limits) -> None:
    with it.state.tx() as db:
        it.limits.output(db, who, chars, limits)


def change(
    it: Ledgers, resource: str = "/a", effect: str = "1", limits: Limits = LIMITS, id: str = "files-1", **options: Any
) -> Refused | None:
    who = options.pop("who", principal())
    verb = options.pop("verb", "files.write")
    look = make_look((verb, resource, effect), **options)
    return refused(lambda: reserve(it.state, it.limits, who, make_call(id), look, limits))


def number_of(what: Callable[[int], Refused | None], times: int) -> int:
    return sum(what(number) is None for number in range(times))


# ---------------------------------------------------------------- calls and output


def test_calls_are_counted_and_the_refusal_says_when_to_come_back(it: Ledgers) -> None:
    limits = Limits(calls=Rate(5, 60))
    assert number_of(lambda _: refused(lambda: it.limits.admit(principal(), limits)), 8) == 5
    no = refused(lambda: it.limits.admit(principal(), limits))
    assert no is not None and no.code is Code.LIMIT_REACHED and "5 calls in 1 min" in no.message
    wait = seconds(no)
    assert 60 <= wait <= 63
    it.clock.forward(wait - 2.5)
    assert refused(lambda: it.limits.admit(principal(), limits)) is not None
    it.clock.forward(2.5)
    assert refused(lambda: it.limits.admit(principal(), limits)) is None


def test_neither_a_restart_nor_another_name_of_the_client_nor_a_session_starts_anew(it: Ledgers) -> None:
    limits = Limits(calls=Rate(5, 60), local_changes=Rate(5, 600))
    for number in range(5):
        it.limits.admit(principal(), limits)
        change(it, f"/{number}", limits=limits)
    it.state.close()
    again = open_ledgers(it.home.parent, it.clock)
    who = replace(principal(client="another"), session="s-2")
    assert refused(lambda: again.limits.admit(who, limits)) is not None
    assert change(again, "/x", limits=limits, who=who) is not None


def test_agents_and_accounts_are_counted_apart(it: Ledgers) -> None:
    limits = Limits(calls=Rate(1, 60), local_changes=Rate(1, 60))
    for who in (principal(), principal("other"), principal(user="eve")):
        assert refused(lambda who=who: it.limits.admit(who, limits)) is None
        assert refused(lambda who=who: it.limits.admit(who, limits)) is not None
        assert change(it, "/a", who=who, limits=limits) is None
        assert change(it, "/b", who=who, limits=limits) is not None


def test_a_clock_that_goes_forth_and_back_frees_nothing(it: Ledgers) -> None:
    limits = Limits(local_changes=Rate(10, 600), calls=Rate(10, 60))
    for number in range(10):
        assert change(it, f"/{number}", limits=limits) is None
    it.clock.forward(3600)
    it.state.now()
    it.clock.forward(-3600)
    with pytest.raises(Broken, match="went back"):
        change(it, "/11", limits=limits)


def test_output_is_counted_and_stops_further_calls(it: Ledgers) -> None:
    limits = Limits(output=Rate(1000, 3600))
    it.limits.admit(principal(), limits)
    output(it, principal(), 999, limits)
    it.limits.admit(principal(), limits)
    output(it, principal(), 12_000, limits)  # the answer has been made: it may go over once
    no = refused(lambda: it.limits.admit(principal(), limits))
    assert no is not None and "12999 characters" in no.message and 3600 <= seconds(no) <= 3700
    it.clock.forward(seconds(no))
    it.limits.admit(principal(), limits)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 3)), max_size=60), st.integers(1, 6), st.integers(1, 60))
def test_no_span_ever_holds_more_than_the_limit(steps: list[tuple[float, int]], most: int, per: int) -> None:
    """Against the obvious twin: all admitted times, compared with each other."""
    limits, clock, admitted = Limits(calls=Rate(most, per)), Clock(), []
    ledger = LimitsLedger(_Memory(clock))  # type: ignore[arg-type]
    for pause, times in steps:
        clock.forward(pause)
        for _ in range(times):
            no = refused(lambda: ledger.admit(principal(), limits))
            within = [at for at in admitted if at > clock.now - per]
            if no is None:
                admitted.append(clock.now)
                assert len(within) < most
            else:
                # late by one slice at most, and what the hint promises holds
                assert len([at for at in admitted if at > clock.now - per - 2 * per / 60]) >= most
                assert seconds(no) <= per + 2 * per / 60 + 2


class _Memory:
    """The few words of a state that the ledger of calls needs, without a disk."""

    def __init__(self, clock: Clock) -> None:
        import sqlite3

        from interlock.guard.tables import TABLES

        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.row_factory = sqlite3.Row
        for table in TABLES:
            self.db.execute(table)
        self.now = clock

    def tx(self, durable: bool = False) -> Any:
        from contextlib import nullcontext

        return nullcontext(self.db)


# ---------------------------------------------------------------- changes


def test_changes_here_and_outside_are_counted_apart(it: Ledgers) -> None:
    limits = Limits(changes=Rate(2, 3600), local_changes=Rate(3, 3600))
    assert number_of(lambda n: change(it, f"c/{n}", remote=True, limits=limits), 5) == 2
    assert number_of(lambda n: change(it, f"/{n}", limits=limits), 5) == 3
    no = change(it, "c/x", remote=True, limits=limits)
    assert no is not None and "outside this machine" in no.message and seconds(no) == 3601
    it.clock.forward(3600)
    assert number_of(lambda n: change(it, f"c/{n}", remote=True, limits=limits), 5) == 2


def test_a_change_outside_weighs_as_many_as_it_has_resources(it: Ledgers) -> None:
    limits = Limits(changes=Rate(5, 3600))
    three = make_look(*(("kubectl.update", f"c/{n}", "") for n in range(3)), remote=True)
    reserve(it.state, it.limits, principal(), make_call(), three, limits)
    no = refused(lambda: reserve(it.state, it.limits, principal(), make_call(), three, limits))
    assert no is not None and no.code is Code.LIMIT_REACHED
    scaled = make_look(("kubectl.update", "c/9", ""), ("kubectl.scale", "c/9", ""), remote=True)
    reserve(it.state, it.limits, principal(), make_call(), scaled, limits)  # two effects on one thing: one
    assert it.limits.budgets(principal(), limits)["changes"]["left"] == 1
    six = make_look(*(("kubectl.update", f"d/{n}", "") for n in range(6)), remote=True)
    no = refused(lambda: reserve(it.state, it.limits, principal(), make_call(), six, limits))
    assert no is not None and "smaller parts" in no.hint


def test_a_local_change_of_many_files_weighs_one_and_leaves_few_rows(it: Ledgers) -> None:
    many = make_look(*(("files.write", f"/{n}", "") for n in range(5000)))
    for _ in range(3):
        reserve(it.state, it.limits, principal(), make_call(), many, LIMITS)
    assert it.limits.budgets(principal(), LIMITS)["local_changes"]["left"] == 597
    assert refused(lambda: reserve(it.state, it.limits, principal(), make_call(), many, LIMITS)) is not None  # a repeat
    assert it.state.read().execute("SELECT count(*) FROM effects")[0][0] <= 3 * RESOURCES_MAX


def test_effects_do_not_pile_up(it: Ledgers) -> None:
    for number in range(50):
        for step in range(5):
            assert change(it, f"/{step}", str(number)) is None
        it.clock.forward(1800)
    change(it, who=principal("another"))
    assert it.state.read().execute("SELECT count(*) FROM effects")[0][0] <= 20
    it.clock.forward(401 * 86400)
    change(it)
    assert it.state.read().execute("SELECT count(*) FROM effects")[0][0] == 1


def test_a_limit_over_a_month_holds_for_a_month(it: Ledgers) -> None:
    """Whatever other agents do meanwhile, whose limits are short."""
    limits = Limits(local_changes=Rate(1, 30 * 86400), calls=Rate(1, 30 * 86400))
    assert change(it, "/a", limits=limits) is None
    it.limits.admit(principal(), limits)
    it.clock.forward(20 * 86400)
    assert change(it, "/b", who=principal("another")) is None
    it.limits.admit(principal("another"), LIMITS)
    assert change(it, "/c", limits=limits) is not None
    assert refused(lambda: it.limits.admit(principal(), limits)) is not None


# ---------------------------------------------------------------- repeats and loops


def test_the_same_effect_on_the_same_thing(it: Ledgers) -> None:
    assert number_of(lambda _: change(it), 6) == 3
    no = change(it)
    assert no is not None and no.code is Code.LIMIT_REACHED and "3 times in 10 min" in no.message
    assert seconds(no) == 601
    assert change(it, effect="2") is None
    assert change(it, resource="/b") is None
    assert change(it, verb="files.delete") is None
    it.clock.forward(600)
    assert number_of(lambda _: change(it), 6) == 3


def test_back_and_forth_is_a_loop_and_a_correction_is_not(it: Ledgers) -> None:
    assert [change(it, effect=e) is None for e in "aba"] == [True] * 3
    no = change(it, effect="b")
    assert no is not None and "back and forth" in no.message and 0 < seconds(no) <= 601
    assert change(it, effect="c") is None
    assert [change(it, "/other", e) is None for e in "abcabcabd"] == [True] * 9


def test_a_loop_over_two_resources_is_seen_on_each(it: Ledgers) -> None:
    allowed = 0
    for step in range(20):
        effect = "ab"[step % 2]
        allowed += change(it, "c/web", effect, remote=True) is None
        allowed += change(it, "c/api", effect, remote=True) is None
    assert allowed == 2 * 4  # a-b-a, and a once more


def test_847_deployments(it: Ledgers) -> None:
    """An agent that deploys, sees the check fail, and deploys again, all night: whatever it varies, a person hears."""
    limits = Limits(changes=Rate(20, 3600), repeats=Rate(3, 600))
    deploy = lambda image: change(it, "prod/shop/deployments/web", image, limits, remote=True, verb="kubectl.image")  # noqa: E731
    same = 0
    for _ in range(847):
        same += deploy("web:1.0") is None
        it.clock.forward(30)
    assert same <= 3 * (847 * 30 // 600 + 1) and same <= 20 * (847 * 30 // 3600 + 2)
    it.clock.forward(7200)
    alternating = sum(deploy(f"web:{step % 2}") is None for step in range(847))
    assert alternating == 4
    it.clock.forward(7200)
    fresh = sum(deploy(f"web:2.{step}") is None for step in range(847))
    assert fresh == 20
    no = deploy("web:3")
    assert no is not None and "ask a person" in no.hint


def test_undo_is_counted_but_never_refused_for_a_limit(it: Ledgers) -> None:
    limits = Limits(local_changes=Rate(3, 3600))
    for number in range(3):
        assert change(it, f"/{number}", "new", limits, id=f"files-{number}") is None
    assert change(it, "/9", "new", limits) is not None
    for number in range(3):
        assert change(it, f"/{number}", "old", limits, id=f"files-u{number}", undoes=f"files-{number}") is None
    redo = change(it, "/0", "new", limits, id="files-r", undoes="files-u0")
    assert redo is not None and redo.code is Code.LIMIT_REACHED


def test_undo_and_redo_cannot_go_on_for_ever(it: Ledgers) -> None:
    before, done = "", 0
    for step in range(50):
        id = f"files-{step}"
        if change(it, "/a", "ab"[step % 2], id=id, undoes=before) is not None:
            break
        before, done = id, done + 1
    assert done <= 5


# ---------------------------------------------------------------- several processes

RESERVE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from guard.ledgers import make_call, make_look, principal
from interlock.guard.errors import Refused
from interlock.guard.limits import LimitsLedger
from interlock.guard.policy.model import Limits, Rate
from interlock.guard.state import State
from concurrent.futures import ThreadPoolExecutor
state = State(Path(sys.argv[1]))
ledger = LimitsLedger(state)
limits = Limits(local_changes=Rate(10, 600), calls=Rate(25, 600))
def reserve(number):
    try:
        look = make_look(("files.delete", f"/{sys.argv[3]}{number}", ""))
        with state.tx() as db:
            ledger.reserve_change(db, principal(), make_call(), look, limits)
        return True
    except Refused:
        return False
def admit(number):
    try:
        ledger.admit(principal(), limits)
        return True
    except Refused:
        return False
print("ready", flush=True); sys.stdin.readline()
with ThreadPoolExecutor(8) as pool:
    print(json.dumps([sum(pool.map(reserve, range(20))), sum(pool.map(admit, range(20)))]))
"""


def test_forty_effects_at_once_over_two_processes_never_exceed_ten(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    for round in range(3):
        home = tmp_path / str(round)
        home.mkdir(mode=0o700)
        said = together([python(RESERVE, home, tests, name) for name in "ab"])
        assert sum(one[0] for one in said) == 10
        assert sum(one[1] for one in said) == 25


# ---------------------------------------------------------------- budgets


def test_budgets_say_what_is_left(it: Ledgers) -> None:
    limits = Limits(failures=Rate(1, 60, 300))
    assert it.limits.budgets(principal(), limits)["calls"] == {"left": 240, "max": 240, "per_s": 60}
    it.limits.admit(principal(), limits)
    output(it, principal(), 500, limits)
    change(it)
    change(it, "c/web", remote=True)
    it.limits.breaker_result(principal(), "kubectl", "c/web", True, limits)
    found = it.limits.budgets(principal(), limits)
    assert [found[name]["left"] for name in ("calls", "output", "changes", "local_changes")] == [
        239,
        1_999_500,
        19,
        599,
    ]
    assert found["breakers"] == [{"server": "kubectl", "resource": "c/web", "closes_in_s": 300}]


def test_a_policy_with_other_times_keeps_what_was_counted(it: Ledgers) -> None:
    for _ in range(5):
        it.limits.admit(principal(), Limits(calls=Rate(10, 60)))
    assert it.limits.budgets(principal(), Limits(calls=Rate(10, 3600)))["calls"]["left"] == 5


# ---------------------------------------------------------------- the breaker


def fail(it: Ledgers, failed: bool = True, resource: str = "c/web", server: str = "kubectl") -> None:
    it.limits.breaker_result(principal(), server, resource, failed, LIMITS)


def is_open(it: Ledgers, resource: str = "c/web", server: str = "kubectl", agent: str = "bot") -> bool:
    no = refused(lambda: it.limits.breaker_admit(principal(agent), server, resource, LIMITS))
    assert no is None or no.code is Code.BREAKER_OPEN
    return no is not None


def test_failures_open_the_breaker_and_a_pause_closes_it(it: Ledgers) -> None:
    for _ in range(4):
        fail(it)
        assert not is_open(it)
    fail(it)
    assert is_open(it)
    no = refused(lambda: it.limits.breaker_admit(principal(), "kubectl", "c/web", LIMITS))
    assert no is not None and seconds(no) == 301 and "failed 5 times in 5 min" in no.message
    assert not is_open(it, "c/api") and not is_open(it, server="git") and not is_open(it, agent="other")
    it.clock.forward(299)
    assert is_open(it)
    it.clock.forward(1)
    assert not is_open(it)
    for _ in range(4):
        fail(it)
    assert not is_open(it)
    fail(it)
    assert is_open(it)


def test_a_success_forgets_failures_and_old_ones_do_not_count(it: Ledgers) -> None:
    for _ in range(4):
        fail(it)
    fail(it, failed=False)
    fail(it)
    assert not is_open(it)
    for _ in range(10):
        fail(it, resource="c/slow")
        it.clock.forward(76)
    assert not is_open(it, "c/slow")


def test_a_success_in_flight_does_not_close_an_open_breaker(it: Ledgers) -> None:
    for _ in range(5):
        fail(it)
    fail(it, failed=False)
    assert is_open(it)


def test_the_breaker_survives_a_restart_and_forgets_in_time(it: Ledgers) -> None:
    for _ in range(5):
        fail(it)
    it.state.close()
    again = open_ledgers(it.home.parent, it.clock)
    assert is_open(again)
    again.clock.forward(2 * 400 * 86400)
    fail(again, resource="c/other")
    assert again.state.read().execute("SELECT count(*) FROM breakers")[0][0] == 1
