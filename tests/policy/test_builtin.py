"""Built-in protections: by name, in every disguise that a file system or a reader might take for the name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import Place

from interlock.guard.errors import Code
from interlock.guard.model import Effect, Layer
from interlock.guard.policy import builtin
from interlock.guard.policy.builtin import KNOWN_SECRET_FILES, PRIVATE, STEERING, folded, known_secret, protection
from interlock.guard.policy.loading import Policy
from interlock.registry import VERBS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


@pytest.fixture
def policy(place: Place) -> Policy:
    return place.usual()


@pytest.mark.parametrize(
    "path",
    [
        "/w/.git",
        "/w/.git/config",
        "/w/.git/hooks/pre-commit",
        "/w/.GIT/config",
        "/w/.git./config",
        "/w/.git /x",
        "/w/.g\u200cit/config",
        "/w/.\uff47\uff49\uff54/config",
        "/w/git~1/config",
        "/w/.git::$INDEX_ALLOCATION/config",
        "/w/a/../.git/x",
        "/w/.ssh/id_ed25519",
        "/w/id_rsa",
        "/w/id_rsa.pub",
        "/w/server.pem",
        "/w/SERVER.KEY",
        "/w/a.key/b",
        "/w/.gnupg/x",
        "/w/secrets/db.txt",
        "/w/.bash_history",
        "/w/.config/interlock/policy.yaml",
        "/w/x.kdbx",
        "/w/.vault-token",
        "/w/.config/gcloud/credentials.db",
        "/w/.hg/hgrc",
    ],
)
def test_neither_read_nor_written(policy: Policy, path: str) -> None:
    assert protection(path, policy, change=True)
    assert protection(path, policy, change=False)


@pytest.mark.parametrize(
    "path",
    [
        "/w/.env",
        "/w/.env.production",
        "/w/.envrc",
        "/w/.ENV",
        "/w/.env ",
        "/w/.env.",
        "/w/.env::$DATA",
        "/w/prod.env",
        "/w/.env/x",
        "/w/.netrc",
        "/w/_netrc",
        "/w/.npmrc",
        "/w/.pypirc",
        "/w/.git-credentials",
        "/w/.kube/config",
        "/w/kubeconfig",
        "/w/kubeconfig.yaml",
        "/w/eu.kubeconfig",
        "/w/.docker/config.json",
        "/w/.aws/credentials",
        "/w/terraform.tfstate",
    ],
)
def test_known_secret_files_are_read_without_their_values_only(policy: Policy, path: str) -> None:
    assert known_secret(path)
    assert protection(path, policy, change=True)
    assert protection(path, policy, change=False) is None


@pytest.mark.parametrize(
    "path",
    [
        "/w/.github/workflows/ci.yml",
        "/w/.GitHub/Workflows/ci.yml",
        "/w/.gitattributes",
        "/w/.gitmodules",
        "/w/.gitconfig",
        "/w/.bashrc",
        "/w/.zshrc",
        "/w/.profile",
        "/w/.mcp.json",
        "/w/.claude/settings.json",
        "/w/.cursor/mcp.json",
        "/w/.vscode/tasks.json",
        "/w/x.pth",
        "/w/venv/lib/site-packages/a.py",
        "/w/.devcontainer/devcontainer.json",
        "/w/.config/systemd/user/x.service",
        "/w/LaunchAgents/x.plist",
        "/w/.gitlab-ci.yml",
    ],
)
def test_what_steers_programs_is_read_but_not_written(policy: Policy, path: str) -> None:
    assert protection(path, policy, change=True)
    assert protection(path, policy, change=False) is None
    assert not known_secret(path)


@pytest.mark.parametrize(
    "path",
    [
        "/w/a.py",
        "/w/environment.yml",
        "/w/env/a.py",
        "/w/id_generator.py",
        "/w/keys.py",
        "/w/key",
        "/w/.github/README.md",
        "/w/.github/ISSUE_TEMPLATE/a.md",
        "/w/.gitignore",
        "/w/git/a",
        "/w/monkey.txt",
        "/w/docs/kube.md",
        "/w/secrets.py",
        "/w/src/secret/a.py",
        "/w/Makefile",
        "/w/CLAUDE.md",
        "/w/config/app.yaml",
        "/w/docker/config.json",
        "/w/workflows/ci.yml",
        "/w/naïve.md",
        "/w/日本.txt",
        "/w/a:b.txt",
        "/w/...",
        "/",
    ],
)
def test_ordinary_names_are_free(policy: Policy, path: str) -> None:
    assert protection(path, policy, change=True) is None
    assert not known_secret(path)


def test_the_lists_are_found_by_themselves(policy: Policy) -> None:
    """Every entry protects a plain example of itself."""
    for pattern in (*PRIVATE, *KNOWN_SECRET_FILES, *STEERING):
        example = builtin_example(pattern)
        assert protection(f"/w/{example}", policy, change=True), pattern
        assert (protection(f"/w/{example}", policy, change=False) is not None) is (pattern in PRIVATE), pattern


def builtin_example(pattern: str) -> str:
    from interlock.globs import expand

    return expand(pattern)[0].replace("*", "x")


def test_a_policys_own_list(place: Place) -> None:
    policy = place.load(
        "version: 1\nextends: development\nfiles:\n  roots: [{path: ~/work}]\n"
        "  protected: ['**/customers/**']\n  unprotected: ['**/.env.example', '**/docs/secrets/**']\n"
    )
    for path in ("/w/customers", "/w/customers/a", "/w/Customers/a/b"):
        assert protection(path, policy, change=False), path
    assert protection("/w/customer/a", policy) is None
    assert protection("/w/.env.example", policy) is None
    assert protection("/w/.env", policy)
    assert protection("/w/docs/secrets/intro.md", policy) is None
    assert protection("/w/docs/secrets/.git/config", policy) is None  # a whole tree is excepted
    assert protection("/w/secrets/intro.md", policy)


def test_a_policys_own_list_knows_the_home_folder_and_links(place: Place) -> None:
    (place.folder / "link").symlink_to("work")
    policy = place.load(
        "version: 1\nextends: development\nfiles:\n  roots: [{path: ~/work}]\n"
        "  protected: ['~/work/Customers/**', '~/link/more']\n"
    )
    for path in ("customers/a", "Customers", "more"):
        assert protection(f"{place.work}/{path}", policy), path
    assert protection(f"{place.folder}/Customers/a", policy) is None


@pytest.mark.parametrize("glob", ["customers/**", "*.secret", "${HOME}/x", "/srv/[a"])
def test_a_protection_that_would_never_match_is_an_error(place: Place, glob: str) -> None:
    text = f"version: 1\nextends: development\nfiles:\n  roots: [{{path: ~/work}}]\n  protected: ['{glob}']\n"
    assert any("`protected`" in problem.message for problem in place.problems(text))


def test_an_exception_is_no_exception_for_what_the_policy_itself_protects(place: Place) -> None:
    policy = place.load(
        "version: 1\nextends: development\nfiles:\n  roots: [{path: ~/work}]\n"
        "  protected: ['**/customers/**']\n  unprotected: ['**/*.md']\n"
    )
    assert protection("/w/customers/a.md", policy)


@given(st.text(max_size=30))
def test_any_path_has_an_answer(path: str) -> None:
    parts = folded(path)
    assert all(part not in ("", ".", "..") for part in parts)
    assert folded(path.upper().lower()) is not None
    known_secret(path)


def test_the_rules_of_the_layer_cover_every_action() -> None:
    rules = {rule.id: rule for rule in builtin.builtin_rules(VERBS)}
    assert set(rules) == {"builtin.own", "builtin.outside", "builtin.protected", "builtin.branch"}
    assert all(rule.effect is Effect.DENY and rule.layer is Layer.BUILTIN and rule.hint for rule in rules.values())
    assert rules["builtin.outside"].code is Code.OUT_OF_BOUNDS
    for verb in VERBS.values():
        assert "inside" in verb.attributes, f"{verb.name} has no bound"
        assert verb.name in rules["builtin.outside"].verbs
    for verb in VERBS.values():
        if verb.name.startswith("files."):
            assert verb.name in rules["builtin.protected"].verbs
            assert verb.name in rules["builtin.own"].verbs
