"""Where policy, keys and state may lie, and what may be a root: nothing an agent or another account can reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from policies import Place

from interlock.guard.policy.loading import PolicyError, load, owned
from interlock.guard.policy.places import apart


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


def root(path: str, access: str = "write") -> str:
    return f"version: 1\nextends: development\nfiles:\n  roots:\n    - {{path: {path}, access: {access}}}\n"


@pytest.mark.parametrize(
    ("path", "access", "says"),
    [
        ("/", "write", "the whole machine"),
        ("/", "read", "the whole machine"),
        ('"~"', "write", "your home folder"),
        ('"~"', "read", "your home folder"),
        ("~", "write", "has no value"),
        ("~/", "write", "your home folder"),
        ("~/.config", "write", "the policy would lie in it"),
        ("~/.config/interlock", "write", "the policy would lie in it"),
        ("~/.config/interlock/keys", "read", "within the keys"),
        ("~/.local", "write", "the state would lie in it"),
        ("~/.local/state/interlock", "write", "the state would lie in it"),
        ("~/.local/state/interlock/snapshots", "read", "within the state"),
        ("/proc/self", "read", "the system's own"),
        ("/dev", "write", "the system's own"),
    ],
)
def test_a_root_that_reaches_too_far(place: Place, path: str, access: str, says: str) -> None:
    one = place.problem(root(path, access))
    assert says in one.message
    assert one.line == 5


def test_the_folder_above_the_home_folder(place: Place) -> None:
    assert "above it" in place.problem(root(str(place.folder.parent), "read")).message


def test_a_link_does_not_hide_it(place: Place) -> None:
    (place.folder / "innocent").symlink_to(place.config)
    assert "the policy would lie in it" in place.problem(root("~/innocent")).message


def test_reading_where_the_policy_lies_is_no_reason_to_refuse(place: Place) -> None:
    """Its own files are refused one by one; a read root over the configuration of other programs is fine."""
    policy = place.load(root("~/.config", "read"))
    assert place.config in policy.own


@pytest.mark.parametrize("glob", ["~/*", "~/.config/*", "~/.config/**", "~/{.config,x}", "~/.local/state/*"])
def test_a_repository_that_holds_the_policy_or_the_state(place: Place, glob: str) -> None:
    text = f'version: 1\nextends: development\ngit:\n  repositories: ["{glob}"]\n'
    assert "would lie in it" in place.problem(text).message


def test_repositories_beside_it_are_fine(place: Place) -> None:
    place.load('version: 1\nextends: development\ngit: {repositories: ["~/work/*"]}\n')


def test_the_state_that_the_policy_names(place: Place) -> None:
    one = place.problem(root("~/work") + "state: ~/work/state\n")
    assert "the state would lie in it" in one.message
    policy = place.load(root("~/work") + "state: ~/elsewhere\n")
    assert policy.state == place.folder / "elsewhere"
    assert place.folder / "elsewhere" in policy.own


def test_a_home_given_otherwise(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(root("~/work"))
    with pytest.raises(PolicyError, match="the state would lie in it"):
        load(place.path, home=place.work / "state")
    monkeypatch.setenv("INTERLOCK_HOME", str(place.work / "state"))
    with pytest.raises(PolicyError, match="the state would lie in it"):
        load(place.path)
    place.write(root("~/work") + "state: ~/elsewhere\n")
    with pytest.raises(PolicyError, match="the state would lie in it"):  # the variable says otherwise
        load(place.path)
    load(place.path, home=place.folder / "third")


def test_a_policy_inside_a_write_root(place: Place) -> None:
    path = place.write(root("~/work"), place.work / "policy.yaml")
    with pytest.raises(PolicyError, match="the policy would lie in it"):
        load(path)
    team = place.write("version: 1\nextends: development\n", place.work / "team.yaml")
    with pytest.raises(PolicyError, match="the policy would lie in it"):
        place.load(root("~/work").replace("development", str(team)))


# ---------------------------------------------------------------- modes and owners


@pytest.mark.parametrize(
    ("target", "mode", "says"),
    [
        (".config/interlock/policy.yaml", 0o666, "every account"),
        (".config/interlock/policy.yaml", 0o602, "every account"),
        (".config/interlock", 0o777, "every account"),
        (".config", 0o757, "every account"),
        (".config/interlock/keys", 0o777, "every account"),
        (".local/state/interlock", 0o777, "every account"),
    ],
)
def test_what_others_can_write_is_refused(place: Place, target: str, mode: int, says: str) -> None:
    text = place.write(root("~/work"))
    for folder in ("keys", ""):
        (place.config / folder).mkdir(exist_ok=True, mode=0o700)
    (place.folder / ".local/state/interlock").mkdir(parents=True, exist_ok=True)
    load(text)
    (place.folder / target).chmod(mode)
    with pytest.raises(PolicyError) as caught:
        load(text)
    (one,) = caught.value.errors[:1]
    assert says in one.message
    assert one.hint.startswith("chmod go-w ")
    (place.folder / target).chmod(0o700)


def test_a_sticky_folder_above_is_like_tmp(place: Place) -> None:
    folder = place.folder / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    load(place.write(root("~/work"), folder / "policy.yaml"))


def test_a_link_in_a_folder_of_everybodys(place: Place) -> None:
    place.write(root("~/work"))
    folder = place.folder / "open"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(place.path)
    load(folder / "link.yaml")
    folder.chmod(0o777)
    with pytest.raises(PolicyError, match="every account"):
        load(folder / "link.yaml")


def test_links_that_go_round_are_refused(place: Place) -> None:
    (place.config / "a.yaml").symlink_to("b.yaml")
    (place.config / "b.yaml").symlink_to("a.yaml")
    with pytest.raises(PolicyError):
        load(place.config / "a.yaml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_policy_of_another_account(place: Place) -> None:
    place.write(root("~/work"))
    os.chown(place.path, 12345, 12345)
    with pytest.raises(PolicyError, match="another account") as caught:
        load(place.path)
    assert "chown" in caught.value.hint
    os.chown(place.path, 0, 0)
    place.path.chmod(0o660)
    os.chown(place.path, 0, 12345)
    with pytest.raises(PolicyError, match="writable by its group"):
        load(place.path)


def test_what_is_interlocks_own(place: Place) -> None:
    from interlock.guard.policy.loading import policies_folder

    policy = place.load(root("~/work"))
    code = Path(load.__code__.co_filename).resolve().parents[2]
    for path in (
        place.path,
        place.config / "keys" / "person.key",
        place.folder / ".local/state/interlock/audit/x.jsonl",
        place.folder / ".local/state/interlock-servers/1",
        code / "guard" / "decide.py",
        policies_folder() / "production.yaml",
    ):
        assert owned(str(path), policy), path
    assert not owned(str(place.work / "a.py"), policy)
    assert not owned(str(place.folder / ".local/state/interlock-x"), policy)
    assert not owned(str(code.parent), policy)
    assert owned(str(code.parent), policy, tree=True)


def test_what_kubectl_keeps_is_no_agents_to_write(place: Place) -> None:
    """It names the program that gives tokens, and what kinds a cluster has."""
    policy = place.load(root("~/.cache"))
    assert owned(str(place.folder / ".cache/interlock-kubectl/minting-1.kubeconfig"), policy)
    assert not owned(str(place.folder / ".cache/other"), policy)


def test_a_folder_for_a_child_without_what_is_ours(tmp_path: Path) -> None:
    for name in ("bin", "a/config/keys", "a/more", "a/config/other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "short").symlink_to(tmp_path / "a/config")
    own = [tmp_path / "a/config/keys"]
    assert {str(path.relative_to(tmp_path)) for path in apart(tmp_path, own)} == {"bin", "a/more", "a/config/other"}
    assert list(apart(tmp_path / "bin", own)) == [tmp_path / "bin"]
    assert list(apart(tmp_path / "a/config/keys", own)) == []
