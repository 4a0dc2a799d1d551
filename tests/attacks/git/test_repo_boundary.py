"""Family repo-boundary: another repository by any way. Stopped by `Repositories` (real paths within the policy's globs,
no `.git`, `commondir`, alternates, work tree or include that leads elsewhere) and by rule builtin.outside."""
# ruff: noqa: E501

from __future__ import annotations

import os

import pytest
from git.attacked import Attacked, Case, attack, survives

OUT = "out_of_bounds|invalid|protected"
CASES = [
    attack("another repository", "out_of_bounds", "git_log", repo="OTHER", rule="builtin.outside"),
    attack("the folder above", OUT, "git_status", repo="ROOM"),
    attack("a neighbour by its prefix", "out_of_bounds", "git_status", repo="REPO-evil", world="cp -r \"$OTHER\" \"$REPO-evil\""),
    attack("dot-dot", "out_of_bounds", "git_show", repo="REPO/../other", ref="HEAD:secret.txt"),
    attack("dot-dot after a folder", "out_of_bounds", "git_log", repo="REPO/src/../../other"),
    attack("a link to another repository", "out_of_bounds", "git_log", repo="ROOM/link", world="ln -s \"$OTHER\" ../link"),
    attack("a link in the place of the repository", "out_of_bounds", "git_log", repo="ROOM/wt", world="ln -s \"$OTHER\" ../wt"),
    attack("a folder below", OUT, "git_status", repo="REPO/src"),
    attack("its .git", OUT, "git_status", repo="REPO/.git"),
    attack("a relative path", "invalid", "git_status", repo="repo"),
    attack("the working directory", "invalid|out_of_bounds", "git_status", repo="."),
    attack("nothing", "invalid", "git_status", repo=""),
    attack("a URL", "invalid", "git_status", repo="file://OTHER"),
    attack("a network URL", "invalid", "git_status", repo="https://example.com/r.git"),
    attack("an option", "invalid", "git_status", repo="--git-dir=OTHER/.git"),
    attack("a home", OUT, "git_status", repo="~/.ssh"),
    attack("somebody's home", OUT, "git_status", repo="~root"),
    attack("the root", OUT, "git_status", repo="/"),
    attack("proc", OUT, "git_status", repo="/proc/self/cwd"),
    attack("a variable", "invalid|out_of_bounds", "git_status", repo="$HOME/r"),
    attack("a NUL", "invalid|out_of_bounds", "git_status", repo="REPO\0/../other"),
    attack("a line end", "invalid|out_of_bounds", "git_status", repo="REPO\n"),
    attack("another case", OUT, "git_status", repo="REPO".replace("REPO", "REPO/../Repo")),
    attack("a nested repository", OUT, "git_status", repo="REPO/inner", world="git init -q inner"),
    attack("the pattern itself", OUT, "git_status", repo="ROOM/../*/repo"),
    attack("a .git file that leads away", "out_of_bounds", "git_log", repo="ROOM/wt", world="mkdir ../wt; echo \"gitdir: $OTHER/.git\" >../wt/.git"),
    attack("a .git link that leads away", "out_of_bounds", "git_log", repo="ROOM/wt", world="mkdir ../wt; ln -s \"$OTHER/.git\" ../wt/.git"),
    attack("a relative .git file that leads away", "out_of_bounds", "git_log", repo="ROOM/wt", world="mkdir ../wt; echo 'gitdir: ../other/.git' >../wt/.git"),
    attack("a work tree that another repository claims", "out_of_bounds", "git_log", repo="ROOM/wt", world="git -C \"$OTHER\" worktree add -q \"$ROOM/wt\" -b w"),
    attack("core.worktree outside, status", "out_of_bounds", "git_status", world="git config core.worktree \"$OUTSIDE\""),
    attack("core.worktree outside, restore", "out_of_bounds", "git_restore", paths=["."], world="git config core.worktree \"$OUTSIDE\""),
    attack("core.worktree outside, reset", "out_of_bounds", "git_reset", ref="HEAD", mode="hard", world="git config core.worktree \"$OUTSIDE\""),
    attack("core.worktree by a relative path", "out_of_bounds", "git_status", world="git config core.worktree ../../outside"),
    attack("core.worktree in config.worktree", "out_of_bounds", "git_status", world="git config extensions.worktreeConfig true; git config --worktree core.worktree \"$OUTSIDE\""),
    attack("alternates", "out_of_bounds", "git_show", ref="HEAD", world="echo \"$OTHER/.git/objects\" >.git/objects/info/alternates"),
    attack("relative alternates", "out_of_bounds", "git_show", ref="HEAD", world="echo ../../../other/.git/objects >.git/objects/info/alternates"),
    attack("alternates through a link", "out_of_bounds", "git_show", ref="HEAD", world="rm -rf .git/objects/info; ln -s \"$OTHER/.git/objects\" .git/objects/info"),
    attack("an object folder that is a link", "out_of_bounds", "git_log", world="mv .git/objects ../objects; ln -s ../../objects .git/objects"),
    attack("refs that are a link", "out_of_bounds", "git_log", world="rm -rf .git/refs; ln -s \"$OTHER/.git/refs\" .git/refs"),
    attack("HEAD that is a link", "out_of_bounds", "git_log", world="rm .git/HEAD; ln -s \"$OUTSIDE/secret.txt\" .git/HEAD"),
    attack("config that is a link", "out_of_bounds", "git_log", world="mv .git/config ../c; ln -s ../../c .git/config"),
    attack("an index that is a link", "out_of_bounds", "git_status", world="mv .git/index ../i; ln -s ../../i .git/index"),
    attack("packed-refs that is a link", "out_of_bounds", "git_log", world="ln -s \"$OUTSIDE/secret.txt\" .git/packed-refs"),
    attack("commondir that leads away", "out_of_bounds", "git_log", world="echo \"$OTHER/.git\" >.git/commondir"),
    attack("include.path", "out_of_bounds", "git_log", world="git config include.path \"$OUTSIDE/secret.txt\""),
    attack("includeIf", "out_of_bounds", "git_log", world="git config includeIf.onbranch:feature/x.path \"$OUTSIDE/secret.txt\""),
    attack("an excludes file outside", "out_of_bounds", "git_status", world="git config core.excludesFile \"$OUTSIDE/secret.txt\""),
    survives("a ref that is a link into another repository", "git_log", ref="stolen", world="ln -s \"$OTHER/.git/refs/heads/main\" .git/refs/heads/stolen"),
    survives("a loose object that is a link", "git_show", ref="HEAD", world="ln -sf \"$OUTSIDE/secret.txt\" .git/info/exclude"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_repo_boundary(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
@pytest.mark.parametrize("what", [".", ".git", ".git/config"])
def test_a_repository_of_somebody_else(attacked: Attacked, what: str) -> None:
    """CVE-2022-24765."""
    attacked.judge(
        survives(
            "",
            "git_status",
            world=f'chown -R 12345 {what}; git config core.fsmonitor "touch $PWNED;" || true',
            shows=("",),
        )
    )


TOOLS = {
    "git_status": {}, "git_log": {}, "git_show": {}, "git_diff": {}, "git_blame": {"path": "secret.txt"},
    "git_commit": {"message": "x", "allow_empty": True}, "git_branch": {"action": "create", "name": "x"},
    "git_switch": {"ref": "main"}, "git_merge": {"ref": "main"}, "git_revert": {"ref": "HEAD"}, "git_reset": {"ref": "HEAD", "mode": "hard"},
    "git_restore": {"paths": ["."]}, "git_stash": {"action": "push"}, "git_sync": {"action": "fetch"}, "git_push": {}, "git_tag": {"name": "t"},
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_has_the_same_bounds(attacked: Attacked, tool: str) -> None:
    """CVE-2025-68145: the bound was at the start of the server and not in each call."""
    attacked.judge(attack("", "out_of_bounds", tool, **{**TOOLS[tool], "repo": "OTHER"}, rule="builtin.outside"))
