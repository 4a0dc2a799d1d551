"""Holes that reviewers found in the guard, each with the calls that went through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from installation import Installation

from interlock.guard.errors import Refused
from interlock.guard.keys import Keys, Person
from interlock.guard.model import Link, Principal
from interlock.guard.pipeline import Pipeline
from interlock.guard.policy.loading import Source
from interlock.opening import open_guard, open_server

TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
ASK = 'rules:\n  docs: {ask: files.write, where: {path: "**/docs/**"}, reason: "docs are reviewed"}\n'


@pytest.fixture
def pipeline(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    for key, value in installation.environment.items():
        monkeypatch.setenv(key, value)
    installation.write_policy(more=ASK + "approvals: {wait: 20s}\n")
    (installation.work / "docs").mkdir()
    keys = Keys.load()
    guard = open_guard(Source(installation.policy), installation.home, keys, "files")
    server, tools = open_server("files", guard, installation.home, keys)
    yield Pipeline(server, tools, guard, Principal("tester", "me", "s-test"))
    server.close()
    guard.records.close()


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    return thread, answers


def until(condition: Any) -> Any:
    """Wait for another thread's doing, at most 20 s."""
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_no_secret_of_an_argument_reaches_a_record(pipeline: Pipeline, installation: Installation):
    path = installation.work / "s.txt"
    arguments = {"path": str(path), "content": f"token: {TOKEN}\n", "reason": f"rotate, password=Hunter2xyz9 {TOKEN}"}
    assert not pipeline.call("write_file", arguments, Link()).is_error
    pipeline.guard.records.close()
    written = b"".join(
        p.read_bytes() for p in installation.home.rglob("*") if p.is_file() and "snapshots" not in p.parts
    )
    for secret in (TOKEN, "Hunter2xyz9"):
        assert secret.encode() not in written


def test_a_bare_token_that_the_agent_searches_for_is_not_recorded(pipeline: Pipeline, installation: Installation):
    token = "q7Rw2mXp9LdK4vZt8NsB3hYc6GjF1aUe"
    stay = [
        "e83c5163316f89bfbde7d9ab23ca2e25604af290", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "customer-order-service",
        "MAX_CONNECTION_POOL_SIZE", "/home/me/kX9/q7Rw2mXp9LdK4vZt", "src/components/UserProfileCard",
    ]  # fmt: skip
    for pattern in (token, *stay):
        pipeline.call("search_files", {"path": str(installation.work), "pattern": pattern, "literal": True}, Link())
    pipeline.guard.records.close()
    written = "".join(p.read_text() for p in (installation.home / "audit").rglob("*.jsonl"))
    assert token not in written and '"pattern":"[secret:random:' in written
    assert not [pattern for pattern in stay if f'"pattern":"{pattern}"' not in written]


def test_a_policy_tightened_while_a_call_waits_judges_that_call(pipeline: Pipeline, installation: Installation):
    target = installation.work / "docs" / "d.md"
    thread, answers = in_thread(lambda: pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link()))
    waiting = until(lambda: pipeline.guard.approvals.pending())[0]
    installation.write_policy(more=ASK.replace("ask:", "deny:") + "approvals: {wait: 20s}\n")
    until(lambda: any(r.effect.name == "DENY" and r.id == "docs" for r in pipeline.guard.source.current().rules))
    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id)
    thread.join(20)
    assert answers[0].text.startswith("denied: "), answers[0].text
    assert not target.exists()


def test_a_grant_is_for_what_was_looked_at_when_it_was_used(pipeline: Pipeline, installation: Installation):
    docs, link = installation.work / "docs", installation.work / "x"
    (docs / "a.md").write_text("a\n")
    (docs / "prod.md").write_text("prod\n")
    link.symlink_to(docs / "a.md")
    arguments = {"path": str(link), "content": "new\n"}
    thread, answers = in_thread(lambda: pipeline.call("write_file", arguments, Link()))
    waiting = until(lambda: pipeline.guard.approvals.pending())[0]
    pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id, for_s=600, times=5)
    thread.join(20)
    assert not answers[0].is_error, answers[0].text
    (docs / "a.md").write_text("a again\n")
    real, turned = pipeline.server.look, []

    def look(call: Any) -> Any:
        found = real(call)
        if not turned:
            turned.append(True)
            link.unlink()
            link.symlink_to(docs / "prod.md")
        return found

    pipeline.server.look = look  # type: ignore[method-assign]
    answer = pipeline.call("write_file", {**arguments, "content": "newer\n"}, Link())
    assert answer.text.startswith("conflict: "), answer.text
    assert (docs / "prod.md").read_text() == "prod\n"


def test_what_asks_about_a_secrets_place_is_never_granted(pipeline: Pipeline, installation: Installation):
    target = installation.work / "app.yaml"
    target.write_text("db:\n  host: staging.internal\n  password: Zx9kQ2mW7pLt4\n")
    shown = pipeline.call("read_file", {"path": str(target)}, Link()).text
    placeholder = shown[shown.index("[secret:") :].partition("]")[0] + "]"
    content = f"db:\n  host: evil.example\n  password: {placeholder}\n"
    thread, _ = in_thread(lambda: pipeline.call("write_file", {"path": str(target), "content": content}, Link()))
    waiting = until(lambda: pipeline.guard.approvals.pending())[0]
    assert waiting.asks
    with pytest.raises(Refused, match="one call at a time"):
        pipeline.guard.approvals.approve(Person.load(lambda: ""), waiting.id, for_s=600, times=5)
    pipeline.guard.approvals.deny(waiting.id, "me")
    thread.join(20)
    assert "staging.internal" in target.read_text()


def test_calls_that_make_no_sense_count(pipeline: Pipeline, installation: Installation):
    installation.write_policy(more="limits: {calls: {max: 5, per: 1m}}\n")
    until(lambda: pipeline.guard.source.current().limits.calls.max == 5)
    codes = [pipeline.call("read_file", {"nope": 1}, Link()).text.partition(":")[0] for _ in range(8)]
    assert codes == ["invalid"] * 5 + ["limit_reached"] * 3


def test_a_change_whose_answer_cannot_be_worded_can_still_be_undone(
    pipeline: Pipeline, installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    from interlock.guard import answers

    target = installation.work / "b.txt"
    with monkeypatch.context() as broken:
        broken.setattr(answers, "answer", lambda *_: 1 / 0)
        ran = pipeline.call("write_file", {"path": str(target), "content": "x\n"}, Link())
    assert "its output is withheld" in ran.text and target.exists()
    assert not pipeline.call("files_undo", {"id": ran.id}, Link()).is_error
    assert not target.exists()


def test_a_log_that_cannot_be_written_ends_no_call(
    pipeline: Pipeline, installation: Installation, monkeypatch: pytest.MonkeyPatch
):

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for module in ("pipeline", "undo.settling"):
        broken = failing(full)
        monkeypatch.setattr(f"interlock.guard.{module}.log", broken)
    pipeline.server.run = lambda permit: 1 / 0  # type: ignore[method-assign,assignment]
    answer = pipeline.call("write_file", {"path": str(installation.work / "c.txt"), "content": "x\n"}, Link())
    assert answer.is_error and answer.text.partition(":")[0] in ("failed", "unknown", "guard_failure")


def failing(full: Any) -> Any:
    class Log:
        error = exception = info = warning = staticmethod(full)

    return Log()


def test_the_servers_own_log_never_fails(monkeypatch: pytest.MonkeyPatch):
    import sys

    from interlock.serve import configure_log

    configure_log()
    import structlog

    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, which is the point
    monkeypatch.setattr(sys, "stderr", full)
    structlog.get_logger("test").error("nobody can read this", exc_info=ValueError("x"))
    monkeypatch.undo()
    with suppress(OSError):
        full.close()


def test_a_noted_halt_is_seen_by_the_first_call_of_every_thread(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    from interlock.guard.halt.switch import Halt

    halt = pipeline.guard.halt
    halt.halt("stop")
    (pipeline.guard.source.current().path.parents[2] / "state" / "HALT").unlink()
    fresh = Halt(halt._home, halt._state, halt._keys)
    slow, real = threading.Event(), fresh._released

    def released() -> set[str]:
        slow.set()
        time.sleep(0.3)
        return real()

    monkeypatch.setattr(fresh, "_released", released)
    thread, first = in_thread(fresh.orders)
    slow.wait(10)
    assert fresh.orders(), "the second thread must wait for the truth"
    thread.join(10)
    assert first[0]
