"""`interlock init`: a policy that starts, from what lies here; nothing is overwritten, nothing dangerous is a root."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from admin.apart import Apart, on_terminal
from admin.conftest import Run

from interlock.guard.policy.loading import load


@pytest.fixture
def project(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout below a home folder, and no policy and no keys yet."""
    for path in sorted((apart.config / "interlock").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    monkeypatch.delenv("INTERLOCK_POLICY")
    made = apart.folder / "projects" / "app"
    (made / "src").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", made], check=True)
    subprocess.run(["git", "-C", made, "remote", "add", "origin", "https://example.com/app.git"], check=True)
    monkeypatch.chdir(made)
    return made


def test_in_a_checkout_it_finds_the_repository_and_prints_how_to_register(
    apart: Apart, project: Path, interlock: Run
) -> None:
    said = interlock("init")
    assert said.code == 0, said.err
    policy = load(apart.policy)
    assert policy.agent == "agent" and set(policy.sections) == {"files", "git"}
    assert f"folder   {project}  (read)" in said.out and f"git      {project}  (remotes origin)" in said.out
    assert "claude mcp add files -- /" in said.out and "claude mcp add git -- /" in said.out
    assert "An agent that has a shell of its own" in said.out
    assert (apart.config / "interlock" / "keys" / "person.key").stat().st_mode & 0o777 == 0o600
    assert apart.policy.stat().st_mode & 0o777 == 0o600


def test_a_second_time_it_overwrites_nothing(apart: Apart, project: Path, interlock: Run) -> None:
    interlock("init")
    before = apart.policy.read_text(), (apart.config / "interlock/keys/person.key").read_bytes()
    said = interlock("init", "--profile", "incident")
    assert said.code == 1 and str(apart.policy) in said.err and "interlock policy check" in said.err
    assert (apart.policy.read_text(), (apart.config / "interlock/keys/person.key").read_bytes()) == before


@pytest.mark.parametrize("where", ["home", "above", "/"])
def test_a_folder_that_holds_the_keys_is_no_root(
    apart: Apart, project: Path, interlock: Run, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir({"home": apart.folder, "above": apart.folder.parent, "/": Path("/")}[where])
    said = interlock("init")
    assert said.code == 1 and "interlock init PATH" in said.err and "home folder" in said.err
    assert not apart.policy.exists() and not (apart.config / "interlock/keys/person.key").exists()


def test_a_policy_where_agents_work_is_refused(apart: Apart, project: Path, interlock: Run) -> None:
    said = interlock("init", "--policy", "policy.yaml", "--profile", "development")
    assert said.code == 1 and "where agents work" in said.err
    assert not (project / "policy.yaml").exists()


def test_another_place_is_told_to_the_command_line(apart: Apart, project: Path, interlock: Run) -> None:
    target = apart.folder / "elsewhere.yaml"
    said = interlock("init", "--policy", str(target), "--profile", "development", "src")
    assert said.code == 0, said.err
    assert f"export INTERLOCK_POLICY={target}" in said.out and f"--policy {target}" in said.out
    assert "(read and write)" in said.out
    load(target)


def test_contexts_of_the_kubeconfig_are_taken_in(apart: Apart, project: Path, interlock: Run) -> None:
    kube = apart.folder / ".kube"
    kube.mkdir()
    (kube / "config").write_text(
        "contexts:\n- {name: staging, context: {cluster: c, namespace: payments}}\n"
        "- {name: prod, context: {cluster: d}}\n"
    )
    said = interlock("init")
    assert said.code == 0, said.err
    contexts = load(apart.policy).sections["kubectl"].contexts  # type: ignore[attr-defined]
    assert {name: context.namespaces for name, context in contexts.items()} == {
        "staging": ("payments",),
        "prod": ("default",),
    }


def test_a_broken_kubeconfig_is_left_out_and_said(apart: Apart, project: Path, interlock: Run) -> None:
    kube = apart.folder / ".kube"
    kube.mkdir()
    (kube / "config").write_text("contexts: [\n")
    said = interlock("init")
    assert said.code == 0 and "cannot be read as a kubeconfig" in said.err


def test_a_passphrase_is_asked_twice_and_locks_the_key(apart: Apart, project: Path) -> None:
    environment = {key: value for key, value in apart.environment.items() if key != "INTERLOCK_POLICY"}
    command = apart.command("init", "--passphrase")
    asked = [("passphrase for your key: ", "open sesame"), ("once more: ", "open sesame")]
    code, screen = on_terminal(command, environment, [asked[0], (asked[1][0], "other")])
    assert code == 1 and "differ" in screen and not apart.policy.exists()
    code, screen = on_terminal(command, environment, [(asked[0][0], "")])
    assert code == 1 and "empty passphrase" in screen
    code, screen = on_terminal(command, environment, asked)
    assert code == 0, screen
    assert "open sesame" not in screen
    assert b"ENCRYPTED" in (apart.config / "interlock/keys/person.key").read_bytes()
