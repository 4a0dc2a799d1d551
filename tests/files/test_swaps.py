"""What others do in the folder of a file while it is written is done to the world as if the write came before or after.

Somebody acts between two system calls of a write, chosen among all of them: exchanges the file with another, renames it
away and back, replaces it, unlinks it. The folder must then be what the same acts give without the write (`conflict`,
`failed`), or with the write at one moment (`done`): so the new content has come under no other name, nothing of
anybody is lost, and nothing is left over.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from files_server import FilesServer, seen

SECONDS = 8.0  # for the pairs and triples of acts; every single one is always tried
_libc = ctypes.CDLL(None, use_errno=True)

Act = Callable[[Path, int], None]
World = dict[str, str]


def _rename(folder: Path, name: str, to: str, flags: int) -> None:
    before = ctypes.get_errno()  # the server's own, which it may be about to read
    _libc.renameat2(-100, os.fsencode(folder / name), -100, os.fsencode(folder / to), flags)
    ctypes.set_errno(before)


def exchange(folder: Path, number: int) -> None:
    _rename(folder, "f", "a", 2)


def away(folder: Path, number: int) -> None:
    _rename(folder, "f", "b", 1)


def back(folder: Path, number: int) -> None:
    _rename(folder, "b", "f", 1)


def replace(folder: Path, number: int) -> None:
    new = folder / f"n{number}"
    new.write_text(f"newer {number}\n")
    new.replace(folder / "f")


def remove(folder: Path, number: int) -> None:
    (folder / "f").unlink(missing_ok=True)


ACTS: tuple[Act, ...] = (exchange, away, back, replace, remove)


class Between:
    """Does each act before the system call of its number; those that are left over at the end."""

    def __init__(self, plan: Sequence[tuple[int, Act]], folder: Path) -> None:
        self.plan, self.folder, self.calls, self.acted = deque(plan), folder, 0, 0

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event == "c_call" and getattr(arg, "__module__", None) in ("posix", "_ctypes"):
            self.calls += 1
            while self.plan and self.plan[0][0] <= self.calls:
                self.act()

    def act(self) -> None:
        sys.setprofile(None)
        self.plan.popleft()[1](self.folder, self.acted)
        self.acted += 1
        sys.setprofile(self)

    def rest(self) -> None:
        sys.setprofile(None)
        while self.plan:
            self.act()
            sys.setprofile(None)


def fresh(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        entry.unlink()
    (folder / "f").write_text("first\n")
    (folder / "a").write_text("another\n")
    return folder


def world(folder: Path) -> World:
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def as_if(folder: Path, acts: Sequence[Act], at: int | None) -> World | None:
    """The world after the acts, with the write before the act of this number; None where it could not be then."""
    fresh(folder)
    for number, act in enumerate([*acts, None]):
        if number == at:
            with suppress(FileNotFoundError):
                if (folder / "f").read_text() == "first\n":
                    (folder / "new").write_text("ours\n")
                    (folder / "new").replace(folder / "f")
                    at = None
        if act is not None:
            act(folder, number)
    return world(folder) if at is None else None


def test_acts_between_any_two_system_calls_of_a_write(server: FilesServer, work: Path, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    run = server.server.run

    def write(plan: Sequence[tuple[int, Act]]) -> tuple[str, int]:
        between = Between(plan, fresh(work / "d"))

        def act_here(permit: Any) -> Any:  # before that, nothing but looking and saving was done
            sys.setprofile(between)
            try:
                return run(permit)
            finally:
                between.rest()

        server.server.run = act_here  # type: ignore[method-assign]
        answer = server.answer("write_file", path="d/f", content="ours\n")
        return "done" if not answer.is_error else answer.text.partition(":")[0], between.calls

    def check(*plan: tuple[int, Act]) -> None:
        acts = [act for _, act in plan]
        outcome, _ = write(plan)
        found = world(work / "d")
        moments = range(len(acts) + 1) if outcome == "done" else [None]
        possible = [as_if(tmp_path / "as-if", acts, at) for at in moments]
        told = [(at, act.__name__) for at, act in plan]
        assert outcome in ("done", "conflict", "failed"), (outcome, told, found)
        assert found in possible, (outcome, told, found, possible)
        outcomes[outcome] += 1

    outcome, calls = write([])
    assert outcome == "done" and calls > 10
    for at, act in itertools.product(range(1, calls + 4), ACTS):
        check((at, act))
    chosen, until = random.Random("swaps"), time.monotonic() + SECONDS
    while time.monotonic() < until:
        moments = sorted(chosen.randint(max(1, calls - 14), calls + 20) for _ in range(chosen.choice((2, 2, 3))))
        check(*((at, chosen.choice(ACTS)) for at in moments))
    assert outcomes["done"] > 20 and outcomes["conflict"] > 20, outcomes


def test_an_entry_whose_place_left_the_folder_is_not_lost(server: FilesServer, work: Path) -> None:
    """The new content is renamed into another folder at the one moment when it stands for somebody's newer file."""
    (work / "other").mkdir()
    answers: Counter[str] = Counter()

    def out(folder: Path, number: int) -> None:
        _rename(folder, "f", "../other/f", 1)

    run = server.server.run
    for at in range(1, 45):
        (work / "other/f").unlink(missing_ok=True)
        between = Between([(1, replace), (at, out)], fresh(work / "d"))

        def act_here(permit: Any, between: Between = between) -> Any:
            sys.setprofile(between)
            try:
                return run(permit)
            finally:
                between.rest()

        server.server.run = act_here  # type: ignore[method-assign]
        answer = server.answer("write_file", path="d/f", content="ours\n")
        code = answer.text.partition(":")[0]
        kept = [text for name, (*_, text) in seen(work).items() if text == b"newer 0\n"]
        assert answer.is_error and len(kept) == 1, (at, answer.text, seen(work))
        assert code == "unknown" or b"ours\n" not in [text for *_, text in seen(work).values()], (at, answer.text)
        answers[code] += 1
        if code == "unknown":
            break  # it blocks its resource, as it should
    assert answers["conflict"] > 3 and answers["unknown"] == 1, answers
