"""What the tests of the guard's ledgers share: a home with keys, a clock to turn, calls and looks to make."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from interlock.guard.consent.approvals import Approvals
from interlock.guard.keys import Keys, Person, create_keys
from interlock.guard.limits import LimitsLedger
from interlock.guard.model import Action, Call, Decision, Effect, Look, Principal, Risk
from interlock.guard.policy.model import ApprovalsSettings
from interlock.guard.state import State

START = 1_800_000_000.0  # a multiple of all slices of time


class Clock:
    """A wall clock that goes where a test sets it."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Ledgers:
    """One home, opened."""

    home: Path
    keys_folder: Path
    clock: Clock
    state: State
    keys: Keys
    person: Person
    approvals: Approvals
    limits: LimitsLedger
    settings: ApprovalsSettings = field(default_factory=ApprovalsSettings)

    def ask(self, call: Call, look: Look, decision: Decision | None = None) -> Any:
        from interlock.guard.consent.approvals import digest

        return self.approvals.open(
            call, digest(call, look), decision or asking(), "a preview", look, {"path": "/a"}, self.settings
        )


def open_ledgers(folder: Path, clock: Clock | None = None) -> Ledgers:
    clock = clock or Clock()
    keys_folder = create_keys(None, folder / "keys")
    state, keys = State(folder / "home", clock), Keys.load(keys_folder)
    return Ledgers(
        home=folder / "home",
        keys_folder=keys_folder,
        clock=clock,
        state=state,
        keys=keys,
        person=Person.load(None, keys_folder),
        approvals=Approvals(state, keys),
        limits=LimitsLedger(state),
    )


def principal(agent: str = "bot", user: str = "ops", client: str = "claude-code") -> Principal:
    return Principal(agent=agent, user=user, session="s-1", client=client)


def make_call(
    id: str = "files-aaaaaaa",
    *,
    server: str = "files",
    tool: str = "write_file",
    raw: Mapping[str, Any] | None = None,
    who: Principal | None = None,
    reason: str = "because",
) -> Call:
    return Call(
        id=id,
        server=server,
        tool=tool,
        arguments=cast(Any, None),
        raw={"path": "/a"} if raw is None else raw,
        reason=reason,
        principal=who or principal(),
        time=START,
        policy=cast(Any, SimpleNamespace()),
    )


def make_look(*actions: tuple[str, str, str], remote: bool = False, undoes: str = "", asks: Sequence[str] = ()) -> Look:
    """Each action is (verb, resource, effect)."""
    made = tuple(
        Action(verb, resource, {}, effect) for verb, resource, effect in actions or [("files.write", "/a", "1")]
    )
    return Look(made, asks=tuple(asks), remote=remote, undoes=undoes)


def asking(risk: Risk = Risk.MEDIUM) -> Decision:
    return Decision(Effect.ASK, risk, "writes are asked", ("rule",))


def python(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Another process that runs `script`; `sys.argv[1:]` are the arguments."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=options.pop("cwd", "/"),
        **options,
    )


def together(processes: Sequence[subprocess.Popen[str]]) -> list[Any]:
    """Let processes that said `ready` go at the same moment; what each printed last, as JSON."""
    try:
        for process in processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "ready\n", line + (process.stderr.read() if process.stderr and process.poll() else "")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = []
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            said.append(json.loads(out.strip().splitlines()[-1]))
        return said
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
