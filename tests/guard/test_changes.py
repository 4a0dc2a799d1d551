"""The ledger of changes: from permission to outcome and undo, and what a crash leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.guard.model import Action, Call, Decision, Effect, Look, Outcome, Principal, Risk, UndoClass
from interlock.guard.state import State
from interlock.guard.undo.changes import Change, Changes


@dataclass
class Ledger:
    state: State
    changes: Changes

    def begin(
        self,
        id: str,
        *resources: str,
        undoes: str = "",
        pid: int | None = None,
        server: str = "files",
        agent: str = "tester",
        asked: bool = False,
    ) -> Change:
        call = Call(
            id=id,
            server=server,
            tool="write_file",
            arguments=cast(Any, None),
            raw={},
            reason="because",
            principal=Principal(agent, "me", "s-1", "a client"),
            time=0.0,
            policy=cast(Any, None),
        )
        attributes: dict[str, Any] = {"path": "x", "size": 3, "exists": True, "changed": ("a.b", "c")}
        actions = tuple(Action("files.write", resource, attributes) for resource in resources or (f"/srv/{id}",))
        decision = Decision(Effect.ALLOW, Risk.MEDIUM, "", (), undo=UndoClass.PARTIAL, lost=("the old times",))
        look = Look(actions, undoes=undoes)
        with self.state.tx() as db:
            self.changes.begin(db, call, look, decision, asked=asked)
            if pid is not None:
                db.execute("UPDATE changes SET pid = ? WHERE id = ?", (pid, id))
        change = self.changes.get(id)
        assert change is not None
        return change

    def finish(self, id: str, status: Outcome, after: str = "") -> bool:
        with self.state.tx() as db:
            return self.changes.finish(db, id, status, after)

    def status(self, id: str) -> str:
        change = self.changes.get(id)
        return change.status if change is not None else ""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    state = State(tmp_path / "home")
    return Ledger(state, Changes(state))


def dead() -> int:
    """A pid that was, and is no more."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_change_is_what_was_permitted(ledger: Ledger) -> None:
    change = ledger.begin("files-1", "/srv/a", "/srv/b", "/srv/a", asked=True)
    assert (change.status, change.undo, change.lost) == ("permitted", UndoClass.PARTIAL, "the old times")
    assert change.resources == ("/srv/a", "/srv/b") and change.asked and change.pid == os.getpid()
    assert change.actions[0]["verb"] == "files.write"
    assert change.actions[0]["attributes"] == {"path": "x", "size": 3, "exists": True, "changed": ["a.b", "c"]}
    assert (change.agent, change.user, change.session, change.client) == ("tester", "me", "s-1", "a client")


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED, Outcome.UNKNOWN])
def test_an_outcome_is_given_once(ledger: Ledger, outcome: Outcome) -> None:
    ledger.begin("files-1")
    assert ledger.finish("files-1", outcome, after="digest")
    assert ledger.status("files-1") == outcome.value
    assert not ledger.finish("files-1", Outcome.DONE)
    assert ledger.status("files-1") == outcome.value
    change = ledger.changes.get("files-1")
    assert change is not None and change.after == "digest" and change.ended >= change.at


def test_finishing_what_never_began(ledger: Ledger) -> None:
    assert not ledger.finish("files-1", Outcome.DONE)
    assert ledger.changes.get("files-1") is None


def test_an_undo_that_is_done_marks_what_it_undid(ledger: Ledger) -> None:
    ledger.begin("files-1")
    ledger.finish("files-1", Outcome.DONE)
    ledger.begin("files-2", undoes="files-1")
    assert ledger.status("files-1") == "done"
    ledger.finish("files-2", Outcome.DONE)
    first = ledger.changes.get("files-1")
    assert first is not None and (first.status, first.undone_by) == ("undone", "files-2")
    assert ledger.status("files-2") == "done"


def test_an_undo_that_failed_leaves_it(ledger: Ledger) -> None:
    ledger.begin("files-1")
    ledger.finish("files-1", Outcome.DONE)
    ledger.begin("files-2", undoes="files-1")
    ledger.finish("files-2", Outcome.FAILED)
    assert ledger.status("files-1") == "done"


def test_discard_forgets_only_what_did_not_run(ledger: Ledger) -> None:
    ledger.begin("files-1")
    ledger.begin("files-2")
    ledger.finish("files-2", Outcome.DONE)
    with ledger.state.tx() as db:
        ledger.changes.discard(db, "files-1")
        ledger.changes.discard(db, "files-2")
    assert ledger.changes.get("files-1") is None
    assert ledger.status("files-2") == "done"


# ---------------------------------------------------------------- cut off in flight


def test_unsettled_is_permitted_and_its_process_gone(ledger: Ledger) -> None:
    ledger.begin("files-1")  # ours: it runs
    ledger.begin("files-2", pid=dead())
    ledger.begin("git-3", pid=dead(), server="git")
    ledger.begin("files-4", pid=dead())
    ledger.finish("files-4", Outcome.DONE)
    assert [change.id for change in ledger.changes.unsettled("files")] == ["files-2"]
    assert [change.id for change in ledger.changes.unsettled("git")] == ["git-3"]


def test_the_same_pid_with_another_start_or_boot_is_gone(ledger: Ledger) -> None:
    ledger.begin("files-1")
    ledger.begin("files-2")
    with ledger.state.tx() as db:
        db.execute("UPDATE changes SET pid_start = pid_start + 1 WHERE id = 'files-1'")
        db.execute("UPDATE changes SET boot = 'the boot before' WHERE id = 'files-2'")
    assert {change.id for change in ledger.changes.unsettled("files")} == {"files-1", "files-2"}


def test_two_processes_do_not_settle_the_same_change(ledger: Ledger) -> None:
    ledger.begin("files-1", pid=dead())
    assert ledger.changes.unsettled("files") and ledger.changes.unsettled("files")  # ours: again and again
    pid = os.fork()
    if pid == 0:
        found = Changes(State(ledger.state.home)).unsettled("files")
        os._exit(len(found))
    assert os.waitpid(pid, 0)[1] == 0


def test_a_settler_that_died_is_followed_by_another(ledger: Ledger) -> None:
    ledger.begin("files-1", pid=dead())
    pid = os.fork()
    if pid == 0:
        os._exit(len(Changes(State(ledger.state.home)).unsettled("files")))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert [change.id for change in ledger.changes.unsettled("files")] == ["files-1"]


def test_an_unknown_change_blocks_its_resource_until_a_person_settles_it(ledger: Ledger) -> None:
    ledger.begin("files-1", "/srv/app", "/srv/b/x")
    ledger.finish("files-1", Outcome.UNKNOWN)
    for resource in ("/srv/app", "/srv/app/deep/er", "/srv", "/srv/b", "/srv/b/x"):
        blocked = ledger.changes.blocked(resource)
        assert blocked is not None and blocked.id == "files-1", resource
    for resource in ("/srv/application", "/srv/b/y", "/other"):
        assert ledger.changes.blocked(resource) is None, resource

    assert ledger.changes.acknowledge("files-1", "ada")
    assert ledger.changes.blocked("/srv/app") is None
    change = ledger.changes.get("files-1")
    assert change is not None and (change.status, change.settled_by) == ("unknown", "ada")
    assert not ledger.changes.acknowledge("files-2", "ada")


def test_two_unknown_changes_block_until_both_are_settled(ledger: Ledger) -> None:
    for id in ("files-1", "files-2"):
        ledger.begin(id, "/srv/app")
    for id in ("files-1", "files-2"):
        ledger.finish(id, Outcome.UNKNOWN)
    ledger.changes.acknowledge("files-2", "ada", Outcome.DONE)
    assert ledger.status("files-2") == "done"
    blocked = ledger.changes.blocked("/srv/app")
    assert blocked is not None and blocked.id == "files-1"


def test_listing_is_newest_first_and_filtered(ledger: Ledger) -> None:
    for number in range(6):
        ledger.begin(f"files-{number}", agent="a" if number % 2 else "b")
    assert [change.id for change in ledger.changes.list(limit=2)] == ["files-5", "files-4"]
    assert [change.id for change in ledger.changes.list(agent="a", server="files")] == ["files-5", "files-3", "files-1"]
    assert ledger.changes.list(session="s-2") == [] and len(ledger.changes.list(session="s-1")) == 6


@given(st.lists(st.tuples(st.sampled_from(["begin", "done", "failed", "unknown", "settle"]), st.integers(0, 4))))
def test_blocked_is_what_is_unknown_and_not_settled(steps: list[tuple[str, int]]) -> None:
    """Against a slow and obvious twin: a dictionary of what each change is."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder) / "home")
        ledger, twin, settled = Ledger(state, Changes(state)), dict[str, str](), set[str]()
        for step, number in steps:
            id = f"files-{number}"
            if step == "begin":
                if id not in twin:
                    ledger.begin(id)
                    twin[id] = "permitted"
            elif step == "settle":
                if twin.get(id) == "unknown":
                    settled.add(id)
                ledger.changes.acknowledge(id, "ada")
            else:
                if twin.get(id) == "permitted":
                    twin[id] = step
                ledger.finish(id, Outcome(step))
        for id, status in twin.items():
            assert ledger.status(id) == status
            assert (ledger.changes.blocked(f"/srv/{id}") is not None) == (status == "unknown" and id not in settled)
        state.close()
