"""The one path of a call: its stage order, and that everything which breaks before `run` refuses."""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installation import Installation

import interlock
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.keys import Keys
from interlock.guard.model import Link, Principal
from interlock.guard.pipeline import Permit, Pipeline
from interlock.guard.policy.loading import Source
from interlock.opening import open_guard, open_server

READ = ["receive", "admit", "interpret", "look", "decide", "secure", "run", "give_back"]
ASKED = ["receive", "admit", "interpret", "look", "decide", "consent", "look", "decide", "agree"]
ASKED += ["secure", "run", "give_back"]


class Traced(Pipeline):
    """Notes each stage as it begins; `breaks` names one that fails."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stages: list[str] = []
        self.breaks: tuple[str, Exception] | None = None

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in ASKED:
            return value

        def stage(*arguments: Any) -> Any:
            self.stages.append(name)
            if self.breaks is not None and self.breaks[0] == name:
                raise self.breaks[1]
            return value(*arguments)

        return stage


@pytest.fixture
def pipeline(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    more = 'rules:\n  docs: {ask: files.write, where: {path: "**/docs/**"}, reason: "docs are reviewed"}\n'
    installation.write_policy(more=more + "approvals: {wait: 0s}\n")
    (installation.work / "docs").mkdir()
    (installation.work / "a.txt").write_text("hello\n")
    keys = Keys.load()
    guard = open_guard(Source(installation.policy), installation.home, keys, "files")
    server, tools = open_server("files", guard, installation.home, keys)
    yield Traced(server, tools, guard, Principal("tester", "me", "s-test"))
    server.close()
    guard.records.close()


def records(pipeline: Pipeline) -> list[dict[str, Any]]:
    from interlock.guard.audit.reading import read_all

    home = pipeline.guard.source.current().path.parents[2] / "state"
    return [dict(record) for record in read_all(home) if record.get("call")]


def test_a_read_passes_each_stage_once_in_order(pipeline: Traced, installation: Installation):
    answer = pipeline.call("read_file", {"path": str(installation.work / "a.txt")}, Link())
    assert not answer.is_error, answer.text
    assert pipeline.stages == READ
    assert [r["stage"] for r in records(pipeline)] == ["done"]


def test_a_change_is_permitted_durably_before_it_is_done(pipeline: Traced, installation: Installation):
    answer = pipeline.call("write_file", {"path": str(installation.work / "b.txt"), "content": "x\n"}, Link())
    assert not answer.is_error, answer.text
    assert pipeline.stages == READ
    assert [r["stage"] for r in records(pipeline)] == ["permitted", "done"]


def test_an_asked_change_looks_and_decides_once_more(pipeline: Traced, installation: Installation):
    from interlock.guard.keys import Person

    target = installation.work / "docs" / "d.md"
    arguments = {"path": str(target), "content": "# d\n", "reason": "the docs lag behind"}
    waiting = pipeline.call("write_file", arguments, Link())
    assert waiting.is_error and waiting.text.startswith("approval_required: ")
    assert pipeline.stages == [*READ[:5], "consent"]
    assert not target.exists()

    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    pipeline.stages.clear()
    answer = pipeline.call("write_file", {**arguments, "reason": "said in other words"}, Link())
    assert not answer.is_error, answer.text
    assert pipeline.stages == ASKED
    assert answer.id == waiting.id
    assert target.read_text() == "# d\n"
    assert [r["stage"] for r in records(pipeline)] == ["refused", "permitted", "done"]
    assert {r["call"] for r in records(pipeline)} == {waiting.id}


def test_an_approval_is_spent_once(pipeline: Traced, installation: Installation):
    from interlock.guard.keys import Person

    target = installation.work / "docs" / "d.md"
    arguments = {"path": str(target), "content": "# d\n"}
    waiting = pipeline.call("write_file", arguments, Link())
    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    assert not pipeline.call("files_guard", {"resume": waiting.id}, Link()).is_error
    again = pipeline.call("files_guard", {"resume": waiting.id}, Link())
    assert again.is_error and again.text.startswith("invalid: ")


def test_an_approval_is_void_when_the_world_has_moved_on(pipeline: Traced, installation: Installation):
    from interlock.guard.keys import Person

    target = installation.work / "docs" / "d.md"
    target.write_text("one\ntwo\n")
    arguments = {"path": str(target), "edits": [{"old": "one", "new": "1"}]}
    waiting = pipeline.call("edit_file", arguments, Link())
    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    target.write_text("one\nthree\n")
    answer = pipeline.call("files_guard", {"resume": waiting.id}, Link())
    assert answer.is_error and answer.text.startswith("approval_required: "), answer.text
    assert answer.id != waiting.id, "it is asked anew"
    assert target.read_text() == "one\nthree\n"
    old = pipeline.guard.approvals.find(waiting.id)
    assert old is not None and old.status == "void"


@pytest.mark.parametrize("stage", READ[:6])
@pytest.mark.parametrize("error", [ValueError("boom s3cret"), OSError(28, "No space left on device")], ids=str)
def test_whatever_breaks_before_run_refuses_and_is_recorded(
    pipeline: Traced, installation: Installation, stage: str, error: Exception
):
    target = installation.work / "b.txt"
    pipeline.breaks = (stage, error)
    answer = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert answer.is_error and answer.text.startswith("guard_failure: "), answer.text
    assert "s3cret" not in answer.text
    assert not target.exists()
    assert [r["stage"] for r in records(pipeline)] == ["refused"]


def test_a_change_that_breaks_off_is_judged_by_comparing(pipeline: Traced, installation: Installation):
    target = installation.work / "b.txt"
    pipeline.breaks = ("run", ValueError("boom"))
    answer = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert answer.is_error and answer.text.startswith("failed: "), answer.text
    assert not target.exists()
    assert [r["stage"] for r in records(pipeline)] == ["permitted", "failed"]
    pipeline.breaks = None
    assert not pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link()).is_error


def test_no_permitted_record_no_run(pipeline: Traced, installation: Installation, monkeypatch: pytest.MonkeyPatch):
    target = installation.work / "b.txt"
    real = pipeline.guard.records.append

    def full(fields: Any, durable: bool = False, also: Any = None) -> Any:
        if fields["stage"] == "permitted":
            raise Broken("the disk is full", hint="free some space")
        return real(fields, durable, also)

    monkeypatch.setattr(pipeline.guard.records, "append", full)
    answer = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert answer.text.startswith("guard_failure: the disk is full"), answer.text
    assert not target.exists()
    assert pipeline.guard.changes.list() == [] and pipeline.guard.snapshots.usage()["count"] == 0


def test_no_seal_no_run(pipeline: Traced, installation: Installation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(pipeline.server), "capture", lambda self, call, look, slot: None)
    target = installation.work / "b.txt"
    answer = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert answer.text.startswith("guard_failure: "), answer.text
    assert not target.exists() and pipeline.guard.changes.list() == []


def test_a_full_disk_lets_no_change_begin_but_undo(
    pipeline: Traced, installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    target = installation.work / "b.txt"
    done = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    monkeypatch.setattr("interlock.guard.state.free_bytes", lambda folder: 1 << 20)
    answer = pipeline.call("write_file", {"path": str(target), "content": "y\n"}, Link())
    assert answer.text.startswith("guard_failure: ") and "full" in answer.text and target.read_text() == "x\n"
    assert not pipeline.call("files_undo", {"id": done.id}, Link()).is_error and not target.exists()


def test_a_limit_does_not_cost_the_approval(pipeline: Traced, installation: Installation):
    """What a person said yes to waits until there is room for it: they are not asked twice."""
    from interlock.guard.keys import Person

    more = 'rules:\n  docs: {ask: files.write, where: {path: "**/docs/**"}, reason: "docs are reviewed"}\n'
    more += "approvals: {wait: 0s}\n"
    installation.write_policy(more=more + "limits: {local_changes: {max: 1, per: 3s}}\n")
    while pipeline.guard.source.current().limits.local_changes.max != 1:
        time.sleep(0.1)
    target = installation.work / "docs" / "d.md"
    waiting = pipeline.call("write_file", {"path": str(target), "content": "# d\n"}, Link())
    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    assert not pipeline.call("write_file", {"path": str(installation.work / "b"), "content": "x\n"}, Link()).is_error
    answer = pipeline.call("files_guard", {"resume": waiting.id}, Link())
    assert answer.text.startswith("limit_reached: ") and not target.exists(), answer.text
    assert records(pipeline)[-1]["consent"] is None  # what was not used up is not told of as used
    time.sleep(3)
    answer = pipeline.call("files_guard", {"resume": waiting.id}, Link())
    assert not answer.is_error and target.read_text() == "# d\n", answer.text


def test_a_read_that_cannot_be_recorded_is_withheld(pipeline: Traced, installation: Installation, monkeypatch):
    def broken(fields: Any, durable: bool = False, also: Any = None) -> Any:
        raise Broken("the records cannot be written")

    monkeypatch.setattr(pipeline.guard.records, "append", broken)
    answer = pipeline.call("read_file", {"path": str(installation.work / "a.txt")}, Link())
    assert answer.is_error and "hello" not in answer.text
    assert answer.text.startswith("guard_failure: ")


def test_a_change_whose_output_cannot_be_redacted_is_still_said_to_have_run(
    pipeline: Traced, installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    from interlock.guard import answers

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no detector")

    monkeypatch.setattr(answers, "answer", broken)
    target = installation.work / "b.txt"
    answer = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert target.exists()
    assert answer.text.startswith("the change ran (files-") and "withheld" in answer.text


@pytest.mark.parametrize("stage", ["interpret", "look"])
def test_a_cancelled_call_stops_before_anything_runs(pipeline: Traced, installation: Installation, stage: str):
    link = Link()
    real = type(pipeline).admit
    pipeline.admit = lambda call, tool: (link.cancel(), real(pipeline, call, tool))  # type: ignore[method-assign]
    answer = pipeline.call("write_file", {"path": str(installation.work / "b.txt"), "content": "x\n"}, link)
    assert answer.is_error and "cancelled" in answer.text
    assert not (installation.work / "b.txt").exists()
    assert records(pipeline)[-1]["stage"] == "refused"


def test_bad_arguments_are_refused_by_name_and_never_echoed(pipeline: Traced):
    for arguments, word in [
        ({"path": ["/etc/passwd-s3cret"]}, "path"),
        ({"path": None}, "path"),
        ({}, "path"),
        ({"path": "a", "cwd": "/s3cret"}, "cwd"),
    ]:
        answer = pipeline.call("read_file", arguments, Link())
        assert answer.text.startswith("invalid: ") and word in answer.text, answer.text
        assert "s3cret" not in answer.text
    assert len(records(pipeline)) == 4


def test_an_unknown_tool_is_refused_and_recorded(pipeline: Traced):
    answer = pipeline.call("run_shell", {"command": "id"}, Link())
    assert answer.text.startswith("invalid: no such tool")
    assert records(pipeline)[0]["tool"] == "run_shell"


def test_a_tool_that_the_policy_never_allows_is_not_called_unknown(pipeline: Traced, installation: Installation):
    pipeline.tools = {name: tool for name, tool in pipeline.tools.items() if name != "write_file"}
    answer = pipeline.call("write_file", {"path": str(installation.work / "x"), "content": "x"}, Link())
    assert answer.text.startswith("denied: the policy allows no call of write_file"), answer.text


def test_only_the_pipeline_makes_a_permit():
    with pytest.raises(Broken):
        Permit(None, None, None)  # type: ignore[arg-type]
    source = Path(inspect.getfile(interlock)).parent
    makers = []
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Permit":
                makers.append(path.name)
    assert set(makers) == {"pipeline.py"}


def test_refusals_have_codes_of_the_glossary(pipeline: Traced):
    pipeline.breaks = ("decide", Refused(Code.LIMIT_REACHED, "too many", hint="come back in 40 s"))
    answer = pipeline.call("read_file", {"path": "/"}, Link())
    assert answer.text.split(":")[0] in {code.value for code in Code}
