"""Family path-argument: paths that leave the work tree, reach git's own folder, or stage what must not be committed.

Stopped by `names.tree_path`, by `WorkTree` (opened from its descriptor, no link followed), and by the protections of
secret files in `committing.staged_entry` and `outgoing.check_files`. Names of refs: `names.branch_name`.
"""
# ruff: noqa: E501

from __future__ import annotations

import pytest
from git.attacked import Attacked, Case, attack, survives, works

NO = "out_of_bounds|invalid|protected"
PATHS = {
    "absolute": "OUTSIDE/secret.txt", "dot-dot": "../outside/secret.txt", "inner dot-dot": "src/../../outside/secret.txt",
    "through a linked folder": "ld/secret.txt", "git's own": ".git/config", "git's own, upper case": ".GIT/config",
    "git's own, short name": "GIT~1/config", "git's own, with a stream": ".git::$INDEX_ALLOCATION/config", "git's own, with a dot": ".git./config",
    "git's own, invisible": ".g\u200cit/config", "git's own, deep": "src/.git/config", "the secrets file": ".env", "a NUL": "a.txt\0.env",
    "magic": ":(top).env", "a negative magic": ":!a.txt", "a home": "~/.ssh/id_rsa", "proc": "/proc/self/environ", "another repository": "OTHER/secret.txt",
    "a network path": "\\\\host\\share", "the neighbour by prefix": "REPO/../repo-evil/x", "only dots": "..", "dots and slashes": "../" * 40 + "etc/passwd",
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_staging(attacked: Attacked, name: str) -> None:
    world = 'ln -s "$OUTSIDE" ld; mkdir -p ../repo-evil; echo x >../repo-evil/x'
    for more in ({"message": "x"}, {"stage_only": True}):
        attacked.judge(attack("", NO, "git_commit", world, paths=[PATHS[name]], **more))


@pytest.mark.parametrize("name", PATHS)
def test_reading(attacked: Attacked, name: str) -> None:
    world = 'ln -s "$OUTSIDE" ld'
    path = PATHS[name]
    attacked.judge(attack("", NO, "git_show", world, path=path))
    attacked.judge(attack("", NO, "git_blame", world, path=path))
    attacked.judge(attack("", NO, "git_restore", world, paths=[path]))
    attacked.judge(survives("", "git_show", world, ref=f"HEAD:{path}"))
    attacked.judge(survives("", "git_diff", world, paths=[path]))
    attacked.judge(survives("", "git_log", world, path=path))


CASES = [
    attack("a link that was put where a file was", "conflict", "git_restore", paths=["src/run.py"], world="rm -rf src; ln -s \"$OUTSIDE\" src"),
    survives("a link that leads out is a link in a diff", "git_diff", world="ln -sf \"$OUTSIDE/secret.txt\" a.txt"),
    survives("a link that leads out is staged as a link", "git_commit", paths=["l"], message="l", world="ln -s \"$OUTSIDE/secret.txt\" l"),
    attack("a pipe", NO, "git_commit", paths=["p"], message="x", world="mkfifo p"),
    attack("a repository within", NO, "git_commit", paths=["inner"], message="x", world="cp -r \"$OTHER\" inner; rm -rf inner/.git/x"),
    attack("an ignored secrets file", NO, "git_commit", paths=[".env"], message="x"),
    attack("a key", "protected", "git_commit", paths=["deploy.pem"], message="x", world="echo x >deploy.pem"),
    attack("an ssh key", "protected", "git_commit", paths=["id_ed25519"], message="x", world="echo x >id_ed25519"),
    attack("netrc", "protected", "git_commit", paths=[".netrc"], message="x", world="echo x >.netrc"),
    attack("a kubeconfig", "protected", "git_commit", paths=["kubeconfig"], message="x", world="echo x >kubeconfig"),
    attack("an environment file of production", "protected", "git_commit", paths=[".env.production"], message="x", world="echo x >.env.production"),
    attack("an environment file in capitals", "protected", "git_commit", paths=[".ENV"], message="x", world="echo x >.ENV"),
    attack("a secrets file in a folder", "protected", "git_commit", paths=["."], message="x", world="mkdir d; echo x >d/.env.local"),
    attack("a branch named HEAD", "invalid", "git_branch", action="create", name="HEAD", start="main"),
    attack("a branch named by its full ref", "invalid|protected|conflict", "git_branch", action="create", name="refs/heads/main"),
    attack("a branch named like refs", "invalid", "git_branch", action="create", name="refs/remotes/origin/x"),
    attack("a branch named like a lock", "invalid", "git_branch", action="create", name="x.lock"),
    attack("a branch named like an id", "invalid", "git_branch", action="create", name="TIP"),
    attack("a branch named FETCH_HEAD", "invalid", "git_branch", action="create", name="FETCH_HEAD"),
    attack("a branch named with a dash", "invalid", "git_branch", action="create", name="--delete"),
    attack("a branch that climbs", "invalid", "git_branch", action="create", name="../../hooks/pre-commit"),
    attack("a branch below a dot", "invalid", "git_branch", action="create", name="a/.b"),
    attack("a branch with a reflog step", "invalid", "git_branch", action="create", name="x@{1}"),
    attack("a branch with a space", "invalid", "git_branch", action="create", name="a b"),
    attack("a branch with a line end", "invalid", "git_branch", action="create", name="a\nb"),
    attack("a branch with a NUL", "invalid", "git_branch", action="create", name="a\0b"),
    attack("a branch that is empty", "invalid", "git_branch", action="create", name=""),
    attack("a branch that is @", "invalid", "git_branch", action="create", name="@"),
    attack("a branch in Interlock's place", "invalid", "git_branch", action="create", name="refs/interlock/x"),
    attack("a branch over a folder of branches", "conflict", "git_branch", action="create", name="feature"),
    attack("a branch that differs in case", "conflict", "git_branch", action="create", name="Feature/X"),
    attack("a tag that climbs", "invalid", "git_tag", name="../heads/main"),
    attack("a tag by its full ref", "invalid|protected", "git_tag", name="refs/heads/x"),
    attack("a tag named like a branch", "invalid", "git_tag", name="feature/x"),
    attack("a revision in Interlock's place", "invalid", "git_show", ref="refs/interlock/x"),
    attack("a revision by a reflog", "invalid", "git_show", ref="HEAD@{1}"),
    attack("a revision by a text", NO, "git_show", ref=":/two"),
    attack("a revision by a date", "invalid", "git_show", ref="HEAD@{yesterday}"),
    attack("a revision of nothing", "invalid", "git_show", ref="0" * 40),
    attack("a revision by describe", "invalid", "git_show", ref="v1-0-gTIP"),
    attack("a file of git as a revision", "invalid", "git_show", ref="../config"),
    works("a folder named like a lock is a path", "git_commit", paths=["yarn.lock"], message="lock", world="echo x >yarn.lock"),
    works("a path with dots", "git_commit", paths=["v1..v2.md"], message="dots", world="echo x >v1..v2.md"),
    works("a path with brackets and stars", "git_commit", paths=["a[1]*.txt"], message="glob", world="echo x >'a[1]*.txt'; echo y >'a1b.txt'", after="! git ls-files | grep -q a1b"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_path_argument(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)
