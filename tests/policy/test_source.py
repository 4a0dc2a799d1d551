"""The policy of a running server: read again when it is still, refused while it is odd, never wider."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest
from policies import Place

from interlock.guard.model import Layer
from interlock.guard.policy.loading import Policy, PolicyError, Source


class Clock:
    """Wall and steady clock of a test; files are given their time by `Edited.edit`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Edited:
    """A policy that is edited while a server runs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = Clock()
        self.override: str | None = None
        self.source = Source(place.path, lambda: self.override, wall=self.clock, steady=self.clock)
        self._stamp = 0

    def edit(self, text: str) -> None:
        """Save the file now, by the test's clock. Its change time is the machine's, which lies far ahead of that."""
        self.place.write(text)
        self._stamp += 1
        os.utime(self.place.path, (self.clock.now + self._stamp, self.clock.now + self._stamp))

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def current(self) -> Policy:
        return self.source.current()

    def settled(self, text: str) -> Policy:
        self.edit(text)
        self.peek()
        self.wait(1.1)
        return self.current()

    def peek(self) -> None:
        """One call, whatever it answers."""
        with contextlib.suppress(PolicyError):
            self.current()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


@pytest.fixture
def edited(place: Place) -> Edited:
    made = Edited(place)
    made.edit(place.usual_text())
    return made


def ids(policy: Policy) -> set[str]:
    return {rule.id for rule in policy.rules if rule.layer is Layer.USER}


def test_the_same_file_is_the_same_policy(edited: Edited) -> None:
    assert edited.current() is edited.current()


def test_an_edit_holds_once_it_is_still(edited: Edited, place: Place) -> None:
    before = edited.current()
    edited.edit(place.usual_text("rules: {x: {deny: git.push}}\n"))
    assert edited.current() is before
    edited.wait(0.9)
    assert edited.current() is before
    edited.wait(0.2)
    assert ids(edited.current()) == {"x"}


def test_each_save_starts_the_second_anew(edited: Edited, place: Place) -> None:
    before = edited.current()
    for i in range(5):
        edited.edit(place.usual_text(f"rules: {{x{i}: {{deny: git.push}}}}\n"))
        assert edited.current() is before
        edited.wait(0.7)
    edited.wait(0.5)
    assert ids(edited.current()) == {"x4"}


def test_an_old_edit_holds_at_the_first_call_after_it(place: Place) -> None:
    """Nobody called for an hour: the policy of an hour ago must not judge one more call."""
    clock = Clock()
    clock.now = 4_000_000_000.0  # the machine's own times lie long before
    place.write(place.usual_text())
    source = Source(place.path, wall=clock, steady=clock)
    source.current()
    place.write(place.usual_text("rules: {x: {deny: git.push}}\n"))
    os.utime(place.path, (1_000_000, 1_000_000))
    assert ids(source.current()) == {"x"}


@pytest.mark.parametrize("text", ["", "{", "version: 1\n", "version: 1\nextends: development\nfiles:\n", "\0"])
def test_an_invalid_edit_refuses_until_it_is_mended(edited: Edited, place: Place, text: str) -> None:
    edited.current()
    with pytest.raises(PolicyError):
        edited.settled(text)
    with pytest.raises(PolicyError):
        edited.current()
    edited.edit(place.usual_text("rules: {x: {deny: git.push}}\n"))
    with pytest.raises(PolicyError):  # not yet still
        edited.current()
    edited.wait(1.1)
    assert ids(edited.current()) == {"x"}


def test_a_policy_that_goes_away_refuses_and_may_come_back(edited: Edited, place: Place) -> None:
    before = edited.current()
    place.path.unlink()
    assert edited.current() is before  # an editor may be replacing it
    edited.wait(1.1)
    with pytest.raises(PolicyError, match="there is no policy here"):
        edited.current()
    assert edited.settled(place.usual_text()).agent == "agent"


def test_a_policy_that_others_may_write_refuses(edited: Edited, place: Place) -> None:
    edited.current()
    place.path.chmod(0o666)
    edited.peek()
    edited.wait(1.1)
    with pytest.raises(PolicyError, match="every account"):
        edited.current()


def test_a_start_with_an_invalid_policy_is_refused_and_tried_again(place: Place) -> None:
    source = Source(place.write("{"))
    with pytest.raises(PolicyError):
        source.current()
    place.write(place.usual_text())
    assert source.current().profile == "development"


def test_an_extended_policy_is_watched_too(place: Place) -> None:
    team = place.write("version: 1\nextends: staging\n", place.config / "team.yaml")
    clock = Clock()
    place.write(place.usual_text().replace("development", str(team)))
    source = Source(place.path, wall=clock, steady=clock)
    assert "team.x" not in {rule.id for rule in source.current().rules}
    place.write("version: 1\nextends: staging\nrules: {x: {deny: git.push}}\n", team)
    source.current()
    clock.now += 1.1
    assert "team.x" in {rule.id for rule in source.current().rules}


def test_a_profile_is_switched_on_and_off_at_once(edited: Edited) -> None:
    assert edited.current().profile == "development"
    edited.override = "incident"
    assert edited.current().profile == "incident"
    edited.override = None
    assert edited.current().profile == "development"


# ---------------------------------------------------------------- bounds


def with_roots(*roots: str, more: str = "") -> str:
    listed = ", ".join(f"{{path: {path}, access: {access}}}" for path, _, access in (r.partition(":") for r in roots))
    return f"version: 1\nextends: development\nfiles: {{roots: [{listed}]}}\n{more}"


def roots(policy: Policy) -> list[tuple[str, str]]:
    return [(root.path.name, root.access) for root in policy.sections["files"].roots]  # type: ignore[attr-defined]


def test_a_narrower_root_holds_at_once(place: Place) -> None:
    edited = Edited(place)
    edited.edit(with_roots("~/work:write"))
    edited.current()
    policy = edited.settled(with_roots("~/work/sub:write"))
    assert roots(policy) == [("sub", "write")]
    assert policy.widened == ()
    assert roots(edited.settled(with_roots("~/work:read"))) == [("work", "read")]
    assert roots(edited.settled(with_roots("~/work:write"))) == [("work", "write")]  # as at start


@pytest.mark.parametrize("new", ["~/other:write", "~/other:read", "/srv:read"])
def test_a_wider_root_waits_for_a_restart(place: Place, new: str) -> None:
    edited = Edited(place)
    edited.edit(with_roots("~/work:write"))
    edited.current()
    policy = edited.settled(with_roots("~/work:write", new))
    assert roots(policy) == [("work", "write")]
    assert len(policy.widened) == 1
    outside = next(rule for rule in policy.rules if rule.id == "builtin.outside")
    assert "restart the server" in outside.hint
    assert Path(new.partition(":")[0]).name in outside.hint


def test_a_read_root_does_not_become_a_write_root(place: Place) -> None:
    edited = Edited(place)
    edited.edit(with_roots("~/work:read"))
    edited.current()
    policy = edited.settled(with_roots("~/work:write"))
    assert roots(policy) == []
    assert policy.widened


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (["~/work:write"], [("work", "write"), ("inner", "read")]),
        (["~/work:write", "~/work/inner:write"], [("work", "write"), ("inner", "read")]),
        (["~/work:write", "~/work/inner/deep:write"], [("work", "write"), ("inner", "read")]),
        (["~/work/inner/deep:write"], []),
    ],
)
def test_a_read_root_inside_a_write_root_stays_read(place: Place, new: list[str], kept: list[tuple[str, str]]) -> None:
    edited = Edited(place)
    edited.edit(with_roots("~/work:write", "~/work/inner:read"))
    edited.current()
    policy = edited.settled(with_roots(*new))
    assert sorted(roots(policy)) == sorted(kept) and policy.widened
    for narrower in (["~/work:read"], ["~/work/inner:read"], ["~/work:write", "~/work/inner:read", "~/work/a:write"]):
        policy = edited.settled(with_roots(*narrower))
        assert len(roots(policy)) == len(narrower) and policy.widened == ()


def test_rules_and_limits_of_a_wider_edit_hold_at_once(place: Place) -> None:
    edited = Edited(place)
    edited.edit(with_roots("~/work:write"))
    edited.current()
    more = "rules: {x: {deny: files.write}}\nlimits: {calls: {max: 3, per: 1m}}\n"
    policy = edited.settled(with_roots("~/work:write", "/srv:read", more=more))
    assert ids(policy) == {"x"}
    assert policy.limits.calls.max == 3


K = "version: 1\nextends: development\nkubectl: {{contexts: {{a: {{namespaces: [{n}]}}{more}}}, kinds: [{k}]{reg}}}\n"


@pytest.mark.parametrize(
    ("old", "new", "widened"),
    [
        (K.format(n="x", k="pods", more="", reg=""), K.format(n="x, y", k="pods", more="", reg=""), "a y"),
        (K.format(n="x, y", k="pods", more="", reg=""), K.format(n="x", k="pods", more="", reg=""), ""),
        (K.format(n="x", k="pods", more="", reg=""), K.format(n="x", k="pods, jobs", more="", reg=""), "jobs"),
        (K.format(n="x", k="pods, jobs", more="", reg=""), K.format(n="x", k="pods", more="", reg=""), ""),
        (
            K.format(n="x", k="pods", more="", reg=""),
            K.format(n="x", k="pods", more=", b: {namespaces: [x]}", reg=""),
            "contexts: b",
        ),
        (
            K.format(n="x", k="pods", more="", reg=", registries: [r.example.com]"),
            K.format(n="x", k="pods", more="", reg=""),
            "registries: any",
        ),
        (
            K.format(n="x", k="pods", more="", reg=""),
            K.format(n="x", k="pods", more="", reg=", registries: [r.example.com]"),
            "",
        ),
        (
            "version: 1\nextends: development\ngit: {repositories: [~/work/a], remotes: [origin]}\n",
            "version: 1\nextends: development\ngit: {repositories: [~/work/a, ~/work/b], remotes: [origin, other]}\n",
            "work/b, git.remotes: other",
        ),
        (
            "version: 1\nextends: development\nlogs: {sources: {a: {path: /var/log/a}}}\n",
            "version: 1\nextends: development\nlogs: {sources: {a: {path: /var/log/b}}}\n",
            "sources: a",
        ),
        (
            "version: 1\nextends: development\nlogs: {sources: {a: {path: /var/log/a}}}\n",
            "version: 1\nextends: development\ngit: {repositories: [~/work/a]}\n",
            "git",
        ),
    ],
)
def test_other_bounds(place: Place, old: str, new: str, widened: str) -> None:
    edited = Edited(place)
    edited.edit(old)
    start = edited.current()
    policy = edited.settled(new)
    assert widened in ", ".join(policy.widened)
    assert bool(policy.widened) is bool(widened)
    if widened:
        from interlock.guard.policy.bounds import narrowed

        again, more = narrowed(start.sections, policy.sections)
        assert more == ()
        assert again == policy.sections


def test_a_home_that_is_given_later_is_interlocks_own(place: Place) -> None:
    place.write(place.usual_text())
    source = Source(place.path)
    source.current()
    source.protect(place.folder / "elsewhere")
    assert place.folder / "elsewhere" in source.current().own
    with pytest.raises(PolicyError, match="the state would lie in it"):
        source.protect(place.work / "state")


def test_many_threads_and_an_edit(place: Place) -> None:
    """Every answer is a whole policy, the old one or the new one."""
    clock = Clock()
    place.write(place.usual_text())
    source = Source(place.path, wall=clock, steady=clock)
    first = source.current()
    seen: list[Policy] = []

    def work() -> None:
        for _ in range(200):
            seen.append(source.current())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    place.write(place.usual_text("rules: {x: {deny: git.push}}\n"))
    source.current()
    clock.now += 1.1
    last = source.current()
    for thread in threads:
        thread.join()
    assert ids(last) == {"x"}
    assert {id(policy) for policy in seen} <= {id(first), id(last)}
