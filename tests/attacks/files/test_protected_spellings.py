"""Protected names in every spelling that some file system, tool or person takes for them.

Stopped by `builtin.protected`: a name is folded, normalised and stripped of what lenient systems ignore before it is
compared, and every folder above it counts (CVE-2014-9390, CVE-2025-59944, CVE-2021-21300 and their kin).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attack_served import Served, served


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    more = '  protected: ["**/customers/**", "**/*.ledger", "**/हिन्दी/**", "**/\u0131ş\u0131k*"]\n'
    more += '  unprotected: ["**/.env.example"]\n'
    with served(tmp_path_factory.mktemp("protected"), more=more) as made:
        yield made


NEVER_WRITTEN = (
    ".git/config", ".GIT/config", ".Git/hooks/post-checkout", "sub/.git/HEAD", ".git./config", ".git /config",
    ".git\u200c/config", ".g\u200dit/config", "\u200e.git/config", ".git\u2060/x", ".git::$INDEX_ALLOCATION/config",
    "git~1/config", "GIT~1/config", "\uff0egit/config", ".g\u0131t/config", ".\uff27\uff29\uff34/config",
    ".git\ufeff/config", ".ssh/authorized_keys", ".SSH/config", ".\u017fsh/id", "x/.ssh./config", ".env", ".ENV",
    ".Env.Production", ".env.local", ".env ", ".env.", ".env:stream", ".env::$DATA", ".\u200benv", "\uff0eenv",
    ".e\u0345nv", "prod.env", "PROD.ENV", "id_rsa", "ID_ED25519", "id_rsa.pub", "server.pem", "SERVER.PEM",
    "server.pem.", "a.key", "a.p12", "my.kdbx", ".npmrc", ".NetRC", "_netrc", ".pypirc", ".git-credentials",
    ".kube/config", ".KUBE/Config", "kubeconfig", "kubeconfig.yaml", ".docker/config.json", ".Docker/CONFIG.json",
    ".aws/credentials", "terraform.tfstate", "x.tfstate.backup", ".mcp.json", "MCP.JSON", ".claude/settings.json",
    ".CLAUDE/settings.local.json", ".cursor/mcp.json", ".vscode/tasks.json", ".VSCode/Settings.json",
    ".github/workflows/ci.yml", ".GitHub/Workflows/ci.yml", ".github/actions/x/action.yml", ".gitlab-ci.yml",
    ".bashrc", ".BASHRC", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".gitattributes", ".gitmodules",
    ".gitconfig", ".config/git/config", ".config/fish/config.fish", ".config/systemd/user/x.service", "x.pth",
    "lib/site-packages/a.py", "sitecustomize.py", ".husky/pre-commit", ".envrc", ".direnv/x", ".vimrc",
    "secrets/db.yaml", "Secrets/db.yaml", "secrets./db.yaml", "customers/list.csv", "Customers/list.csv",
    "CUSTOMERS/sub/x", "customer\u017f/list.csv", "a.ledger", "A.Ledger", "हिन्दी/x", "\u0131ş\u0131k.txt",
    "IŞIK.txt", "cron.d/job", "Library/LaunchAgents/x.plist", ".gitea/workflows/ci.yml", ".Forgejo/Actions/x.yml",
    "Jenkinsfile", "jenkinsfile", ".travis.yml", "azure-pipelines.yml", "Bitbucket-Pipelines.yaml", ".buildkite/x.yml",
    ".woodpecker.yml", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".cargo/config.toml", ".kiro/settings/mcp.json",
    ".roo/rules.md", ".roomodes", ".amazonq/rules/x.md", ".clinerules", "opencode.json", ".windsurfrules",
    ".vault_pass", ".Vault-Pass.txt", "etc/shadow", "kubeconfig.md/x.yaml/kubeconfig", "kubeconfig.py.bak",
)  # fmt: skip


@pytest.mark.parametrize("name", NEVER_WRITTEN)
def test_it_is_not_made_changed_moved_or_deleted(at: Served, name: str) -> None:
    room = at.room()
    there = room / "there" / name
    there.parent.mkdir(parents=True)
    there.write_text("mine\n")
    (room / "hook").write_text("#!/bin/sh\n")
    for path in (f"{room}/new/{name}", str(there)):
        at.refused("write_file", path=path, content="pwned\n")
        at.refused("move_file", source=f"{room}/hook", destination=path)
    at.refused("edit_file", path=str(there), edits=[{"old": "mine", "new": "pwned"}])
    at.refused("delete_file", path=str(there))
    at.refused("move_file", source=str(there), destination=f"{room}/seen")
    at.refused("move_file", source=f"{room}/there", destination=f"{room}/elsewhere")
    at.refused("delete_file", path=f"{room}/there")


NEVER_READ = (
    ".git/config", ".GIT/config", ".git./config", ".ssh/id_ed25519", ".SSH/known_hosts", "id_rsa", "ID_RSA",
    "id_rsa.old", "tls.key", "TLS.KEY", "tls.pem", "tls.pem.", "store.jks", "vault.kdbx", "secrets/db.txt",
    "SECRETS/db.txt", ".gnupg/x", ".config/gh/hosts.yml", ".bash_history", ".vault-token", "git~1/x",
    "customers/a.csv", "Customers/A.csv", ".vault_pass", ".vault-pass.txt", ".passwd-s3fs", ".mylogin.cnf",
    "etc/shadow", "etc/gshadow-", ".config/sops/age/keys.txt", ".config/op/config",
)  # fmt: skip
KEYS_ALONE = (
    ".env", ".ENV", ".env.local", ".Env.Test", "prod.env", ".env ", ".npmrc", ".netrc", "_NETRC", ".kube/config",
    "kubeconfig", ".aws/credentials", ".docker/config.json", "terraform.tfstate", ".pgpass", ".git-credentials",
    ".envrc", ".s3cfg", ".cargo/credentials.toml", ".gem/credentials", ".databrickscfg", "rclone.conf",
    "credentials.tfrc.json", "kubeconfig-prod", "kubeconfig.yaml",
)  # fmt: skip


def _windows(at: Served, path: str) -> None:
    for more in ({"offset": 1, "limit": 1}, {"tail": 1}, {"limit": 1}):
        assert at.call("read_file", path=path, **more).is_error


@pytest.mark.parametrize("name", NEVER_READ)
def test_it_is_not_read_by_its_name_by_a_link_or_by_a_search(at: Served, name: str) -> None:
    room = at.room()
    there = room / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(f"K={at.canary}\nmarker\n")
    (room / "link").symlink_to(there)
    for path in (str(there), f"{room}/link", f"{there}/", f"{room}/./{name}", f"{room}//{name}"):
        at.refused("read_file", path=path)
        _windows(at, path)
        at.refused("edit_file", path=path, edits=[{"old": "marker", "new": "x"}], dry_run=True)
        assert "marker" not in at.call("search_files", path=path, pattern="mark.r").text
    assert "marker" not in at.done("search_files", path=str(room), pattern="mark.r", ignored=True).text


@pytest.mark.parametrize("name", KEYS_ALONE)
def test_of_it_only_names_of_keys_are_read(at: Served, name: str) -> None:
    room = at.room()
    there = room / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(f"API_KEY={at.canary}\n")
    (room / "link").symlink_to(there)
    for path in (str(there), f"{room}/link"):
        at.call("read_file", path=path)  # checks that the value is not in the answer
        _windows(at, path)
        assert at.canary[:4] not in at.call("search_files", path=path, pattern=f"={at.canary[:4]}").text
        for pattern in (at.canary[:2], "API_KEY=.", f"={at.canary[:6]}"):
            assert "1 matching" not in at.call("search_files", path=str(room), pattern=pattern).text


def test_an_exception_is_only_what_it_says(at: Served) -> None:
    room = at.room()
    at.done("write_file", path=f"{room}/.env.example", content="API_KEY=changeme\n")
    for name in (".env.example2", ".env", "x.env.example/.env", ".env.exampl"):
        at.refused("write_file", path=f"{room}/{name}", content="x\n")
