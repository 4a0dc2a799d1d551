"""What others do in a folder while a file in it is changed is done as if the change came wholly before it or after.

Somebody acts between two system calls of the change, chosen among all of them: exchanges the file with another, renames
it away and back, replaces it, unlinks it. The folder must then be what the same acts give without the change
(`conflict`, `failed`), or with the change at one moment (`done`): so the new content has come under no other name,
nothing of anybody is lost, and nothing is left over.
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

import pytest
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


def replace_other(folder: Path, number: int) -> None:
    new = folder / f"n{number}"
    new.write_text(f"newer {number}\n")
    new.replace(folder / "g")


def exchange_other(folder: Path, number: int) -> None:
    _rename(folder, "g", "a", 2)


def other_away(folder: Path, number: int) -> None:
    _rename(folder, "g", "c", 1)


def remove_other(folder: Path, number: int) -> None:
    (folder / "g").unlink(missing_ok=True)


ACTS: tuple[Act, ...] = (exchange, away, back, replace, remove)
OTHER: tuple[Act, ...] = (exchange_other, other_away, replace_other, remove_other)


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


def fresh(folder: Path, files: World | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        entry.unlink()
    for name, text in {"f": "first\n", "a": "another\n", **(files or {})}.items():
        (folder / name).write_text(text)
    return folder


def world(folder: Path) -> World:
    return {entry.name: entry.read_text() for entry in folder.iterdir()}


def write_once(folder: Path) -> bool:
    """The whole change at one moment. False where it could not be then: what was decided on is not there."""
    if not _holds(folder / "f", "first\n"):
        return False
    (folder / "new").write_text("ours\n")
    (folder / "new").replace(folder / "f")
    return True


def write_new_once(folder: Path) -> bool:
    if (folder / "g").exists():
        return False
    (folder / "g").write_text("ours\n")
    return True


def delete_once(folder: Path) -> bool:
    if not _holds(folder / "f", "first\n"):
        return False
    (folder / "f").unlink()
    return True


def move_once(folder: Path) -> bool:
    if not _holds(folder / "f", "first\n") or (folder / "g").exists():
        return False
    (folder / "f").rename(folder / "g")
    return True


def move_onto_once(folder: Path) -> bool:
    if not _holds(folder / "f", "first\n") or not _holds(folder / "g", "target\n"):
        return False
    (folder / "f").replace(folder / "g")
    return True


def _holds(path: Path, text: str) -> bool:
    with suppress(FileNotFoundError):
        return path.read_text() == text
    return False


def kept(act: Act) -> set[str]:
    """What must be somewhere after the act, whatever was moved: what stood in its way, it removed itself."""
    return {"another\n", "newer 0\n"} if act in (replace, replace_other) else {"another\n"}


def as_if(
    folder: Path, acts: Sequence[Act], at: int | None, once: Callable[[Path], bool], files: World | None = None
) -> World | None:
    """The world after the acts, with the change before the act of this number; None where it could not be then."""
    fresh(folder, files)
    for number, act in enumerate([*acts, None]):
        if number == at and not once(folder):
            return None
        if act is not None:
            act(folder, number)
    return world(folder)


def between_calls(
    server: FilesServer, folder: Path, plan: Sequence[tuple[int, Act]], tool: str, arguments: dict[str, str]
) -> tuple[str, int]:
    """What is answered when somebody acts as planned while the change runs; and how many system calls it makes."""
    between, run = Between(plan, folder), server.server.run

    def act_here(permit: Any) -> Any:  # before that, nothing but looking and saving was done
        sys.setprofile(between)
        try:
            return run(permit)
        finally:
            between.rest()

    server.server.run = act_here  # type: ignore[method-assign]
    try:
        answer = server.answer(tool, **arguments)
    finally:
        server.server.run = run  # type: ignore[method-assign]
    return "done" if not answer.is_error else answer.text.partition(":")[0], between.calls


def test_acts_between_any_two_system_calls_of_a_write(server: FilesServer, work: Path, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    arguments = {"path": "d/f", "content": "ours\n"}

    def check(*plan: tuple[int, Act]) -> None:
        acts = [act for _, act in plan]
        outcome, _ = between_calls(server, fresh(work / "d"), plan, "write_file", arguments)
        found = world(work / "d")
        moments = range(len(acts) + 1) if outcome == "done" else [None]
        possible = [as_if(tmp_path / "as-if", acts, at, write_once) for at in moments]
        told = [(at, act.__name__) for at, act in plan]
        assert outcome in ("done", "conflict", "failed"), (outcome, told, found)
        assert found in possible, (outcome, told, found, possible)
        outcomes[outcome] += 1

    outcome, calls = between_calls(server, fresh(work / "d"), [], "write_file", arguments)
    assert outcome == "done" and calls > 10
    for at, act in itertools.product(range(1, calls + 4), ACTS):
        check((at, act))
    chosen, until = random.Random("swaps"), time.monotonic() + SECONDS
    while time.monotonic() < until:
        moments = sorted(chosen.randint(max(1, calls - 14), calls + 20) for _ in range(chosen.choice((2, 2, 3))))
        check(*((at, chosen.choice(ACTS)) for at in moments))
    assert outcomes["done"] > 20 and outcomes["conflict"] > 20, outcomes


@pytest.mark.parametrize(
    ("tool", "arguments", "once", "acts", "files"),
    [
        pytest.param("write_file", {"path": "d/g", "content": "ours\n"}, write_new_once, OTHER, {}, id="new"),
        pytest.param("delete_file", {"path": "d/f"}, delete_once, ACTS, {}, id="delete"),
        pytest.param(
            "move_file",
            {"source": "d/f", "destination": "d/g"},
            move_once,
            (*ACTS, *OTHER),
            {},
            id="move",
        ),
        pytest.param(
            "move_file",
            {"source": "d/f", "destination": "d/g"},
            move_onto_once,
            (*ACTS, *OTHER),
            {"g": "target\n"},
            id="move onto",
        ),
    ],
)
def test_one_act_between_any_two_system_calls_of_other_changes(
    server: FilesServer,
    work: Path,
    tmp_path: Path,
    tool: str,
    arguments: dict[str, str],
    once: Callable[[Path], bool],
    acts: Sequence[Act],
    files: World,
) -> None:
    outcome, calls = between_calls(server, fresh(work / "d", files), [], tool, arguments)
    assert outcome == "done" and calls > 8
    wrong, unknown = [], 0
    for at, act in itertools.product(range(1, calls + 4), acts):
        outcome, _ = between_calls(server, fresh(work / "d", files), [(at, act)], tool, arguments)
        found = world(work / "d")
        if outcome == "unknown":  # where nobody can know: then nothing that anybody made may be lost
            for change in server.guard.changes.list(limit=1):
                server.guard.changes.acknowledge(change.id, "a person")
            if not set(found.values()) >= kept(act):
                wrong.append((outcome, at, act.__name__, found))
            unknown += 1
            continue
        moments = (0, 1) if outcome == "done" else [None]
        if found not in [as_if(tmp_path / "as-if", [act], moment, once, files) for moment in moments]:
            wrong.append((outcome, at, act.__name__, found))
    assert not wrong and unknown < calls * len(acts) // 4


def test_an_entry_whose_place_left_the_folder_is_not_lost(server: FilesServer, work: Path) -> None:
    """The new content is renamed into another folder at the one moment when it stands for somebody's newer file."""
    (work / "other").mkdir()
    answers: Counter[str] = Counter()

    def out(folder: Path, number: int) -> None:
        _rename(folder, "f", "../other/f", 1)

    for at in range(1, 45):
        (work / "other/f").unlink(missing_ok=True)
        plan = [(1, replace), (at, out)]
        code, _ = between_calls(server, fresh(work / "d"), plan, "write_file", {"path": "d/f", "content": "ours\n"})
        kept = [text for name, (*_, text) in seen(work).items() if text == b"newer 0\n"]
        assert code != "done" and len(kept) == 1, (at, code, seen(work))
        assert code == "unknown" or b"ours\n" not in [text for *_, text in seen(work).values()], (at, code)
        answers[code] += 1
        if code == "unknown":
            break  # it blocks its resource, as it should
    assert answers["conflict"] > 3 and answers["unknown"] == 1, answers
