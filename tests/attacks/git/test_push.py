"""Families push-protected, push-config, push-delete-force, submodule-transport.

A push is one plain name, to the same name, at one of the policy's remotes (`names.branch_name`, `remotes.remote_of`,
rules builtin.outside and builtin.branch); nothing of the repository's push configuration is read (`transfer`).
Whatever would go out asks, by the profile's rules push and force-push.
"""
# ruff: noqa: E501

from __future__ import annotations

import pytest
from git.attacked import Attacked, Case, attack, survives

NO = "invalid|protected|out_of_bounds|conflict"
MOVED = "git branch -f main feature/x; "
SPECS = (
    "main", "main:main", "release/1.0:release/1.0", ":feature/x", "feature/x:", "a:b:a", "MAIN", "Main", "ma\u0131n", "m\u0430in", "main\u200b", "\ufeffmain", "ma\u00adin", "m\uff41in", "\uff4d\uff41\uff49\uff4e", "ma\u0456n", "refs/heads/main", "heads/main",
    "origin/main", "refs/remotes/origin/main", "HEAD:main", "@:main", "HEAD:refs/heads/main", "feature/x:main", "feature/x:refs/heads/main", "feature/x:heads/main",
    "HEAD~0:main", "TIP:main", "TIP:refs/heads/main", "refs/tags/v:main", "+feature/x:main", "+main", "+refs/heads/feature/x:refs/heads/main", ":main", ":refs/heads/main", ":",
    "+:", "refs/heads/*:refs/heads/*", "fe*:ma*", "refs/heads/fe*:refs/heads/ma*", "*", "refs/*", "^refs/heads/none feature/x:main", "feature/x main", "feature/x\nmain",
    "feature/x\tmain", "feature/x:main\0x", "main\0", "release/1.0", "release/2", "RELEASE/1.0", "release/\u0661.0", "release//1.0", "rel\u0435ase/1.0", "refs/heads//main",
    "refs/heads/main ", " main", "main.", "main/", "./main", "refs/heads/./main", "main.lock", "HEAD", "feature/x:HEAD", "refs/heads/HEAD", "FETCH_HEAD", "@", "@{u}", "@{upstream}",
    "main@{0}", "main^{}", "main~0", "feature/x:refs/heads/refs/heads/main", "refs/heads/refs/heads/main", "HEAD:refs/notes/commits", "refs/notes/commits", "HEAD:refs/tags/v", "refs/tags/main",
    "HEAD:refs/pull/1/head", "refs/interlock/x", "HEAD:refs/replace/TIP", "refs/meta/config", "HEAD:refs/for/main", "--mirror", "--all", "--delete", "-d", "--tags", "--follow-tags", "-f", "tag v", "",
)  # fmt: skip


@pytest.mark.parametrize("spec", [s for s in SPECS if s], ids=ascii)
def test_no_spelling_of_a_protected_branch_or_a_refspec_goes(attacked: Attacked, spec: str) -> None:
    world = MOVED + "git tag v; git branch fein"
    for more in ({}, {"force": True}, {"delete": True}):
        attacked.judge(attack("", NO, "git_push", world, branch=spec, **more))
    attacked.judge(attack("", NO, "git_push", world, tag=spec)) if spec != "v" else None


@pytest.mark.parametrize("spec", [s for s in SPECS if s and "\0" not in s], ids=ascii)
def test_nor_does_any_of_them_make_or_move_a_branch(attacked: Attacked, spec: str) -> None:
    world = "git tag v; git branch fein; git checkout -q fein"
    if spec not in ("origin/main", "heads/main"):
        attacked.judge(attack("", NO, "git_branch", world, action="create", name=spec))
        attacked.judge(attack("", NO, "git_branch", world, action="rename", name="feature/x", to=spec))
        attacked.judge(attack("", NO, "git_switch", world, ref=spec, create=True))
        attacked.judge(attack("", NO, "git_tag", world, name=spec))
    attacked.judge(attack("", NO, "git_branch", world, action="delete", name=spec))


REMOTES = {
    "another": ("git remote add mirror2 \"$ORIGIN\"", "mirror2"), "unknown": ("", "nowhere"), "a path": ("", "ORIGIN"), "a relative path": ("", "../origin.git"), "a URL": ("", "https://example.com/r.git"),
    "ext": ("", "ext::sh -c touch% PWNED"), "ssh": ("", "ssh://git@example.com/r"), "scp": ("", "git@example.com:r"), "an option": ("", "--receive-pack=touch PWNED;"), "upper case": ("", "ORIGIN2".lower().upper()),
    "shell": ("", "origin|touch PWNED"), "a space": ("", "origin mirror2"), "dots": ("", ".."), "one dot": ("", "."), "a NUL": ("", "origin\0x"), "unicode": ("", "or\u0456gin"), "Origin": ("git remote add Origin \"$OTHER\"", "Origin"),
}  # fmt: skip


@pytest.mark.parametrize("name", REMOTES)
def test_remotes_are_the_policys(attacked: Attacked, name: str) -> None:
    world, remote = REMOTES[name]
    rule = "builtin.outside" if name in ("another", "unknown", "Origin") else ""
    attacked.judge(attack("", "out_of_bounds|invalid", "git_push", world, remote=remote, branch="feature/x", rule=rule))
    attacked.judge(attack("", "out_of_bounds|invalid", "git_sync", world, remote=remote, action="fetch"))
    attacked.judge(attack("", "out_of_bounds|invalid", "git_sync", world, remote=remote, action="pull"))


EVIL = 'git init -q --bare "$OUTSIDE/evil.git"; '
CONFIGS = {
    "pushurl": EVIL + "git config remote.origin.pushurl \"$OUTSIDE/evil.git\"",
    "pushInsteadOf": EVIL + "git config url.\"$OUTSIDE/evil.git\".pushInsteadOf ../origin.git",
    "insteadOf": EVIL + "git config url.\"$OUTSIDE/evil.git\".insteadOf ../origin.git",
    "insteadOf with another case": EVIL + "git config URL.\"$OUTSIDE/evil.git\".INSTEADOF ../",
    "a second url": EVIL + "git config --add remote.origin.url \"$OUTSIDE/evil.git\"",
    "a url outside": EVIL + "git config remote.origin.url \"$OUTSIDE/evil.git\"",
    "a file url outside": EVIL + "git config remote.origin.url \"file://$OUTSIDE/evil.git\"",
    "a file url with escapes": EVIL + "git config remote.origin.url \"file://$ROOM/%6futside/evil.git\"",
    "a link outside": EVIL + "ln -s \"$OUTSIDE/evil.git\" ../o2.git; git config remote.origin.url ../o2.git",
    "another repository": "git config remote.origin.url \"$OTHER\"",
    "ext": "git config remote.origin.url 'ext::sh -c touch% PWNED'; git config protocol.ext.allow always",
    "ext in capitals": "git config remote.origin.url 'EXT::sh -c touch% PWNED'; git config protocol.allow always",
    "fd": "git config remote.origin.url fd::17",
    "git": "git config remote.origin.url git://127.0.0.1:1/r",
    "ftp": "git config remote.origin.url ftp://127.0.0.1:1/r",
    "plain http": "git config remote.origin.url http://example.com/r",
    "a dash in a host": "git config remote.origin.url 'ssh://-oProxyCommand=touch PWNED/r'",
    "a dash in a user": "git config remote.origin.url 'ssh://-oProxyCommand=x@h/r'",
    "a dash in a path": "git config remote.origin.url 'git@h:-oProxyCommand=x'",
    "a bundle": "git config remote.origin.url ../x.bundle; git bundle create -q ../x.bundle main",
    "a line end": "git config remote.origin.url \"$(printf '../origin.git\\n-c x')\"",
    "a helper": "git config remote.origin.vcs ext",
    "none": "git remote remove origin",
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_where_it_goes_is_one_plain_place(attacked: Attacked, name: str) -> None:
    after = '[ ! -d "$OUTSIDE/evil.git" ] || [ -z "$(git -C "$OUTSIDE/evil.git" for-each-ref)" ]'
    helper = name == "a helper"  # libgit2 and our own git know no such key: it goes to origin, and asks
    for tool, more in (
        ("git_push", {"branch": "feature/x"}),
        ("git_sync", {"action": "fetch"}),
        ("git_sync", {"action": "pull"}),
    ):
        case = survives if helper else attack
        words = ("",) if helper else ("", "out_of_bounds|invalid|failed")
        attacked.judge(case(*words, tool, CONFIGS[name], after, **more))


QUIET = [
    Case("push.default=matching", (("git_push", {}),), "approval_required", MOVED + "git config push.default matching", after="[ $(git -C \"$ORIGIN\" rev-parse main) != $(git rev-parse main) ]"),
    Case("push.default=upstream", (("git_push", {}),), "approval_required", "git config push.default upstream; git branch -q -u origin/main"),
    Case("remote.push", (("git_push", {}),), "approval_required", "git config remote.origin.push +refs/heads/feature/x:refs/heads/main"),
    Case("remote.mirror", (("git_push", {}),), "approval_required", "git config remote.origin.mirror true"),
    Case("push.followTags", (("git_push", {}),), "approval_required", "git config push.followTags true; git tag -a -m x vz"),
    Case("branch.merge", (("git_push", {}),), "approval_required", "git config branch.feature/x.merge refs/heads/main; git config branch.feature/x.remote origin"),
    Case("branch.pushRemote", (("git_push", {}),), "approval_required", "git remote add evil \"$OTHER\"; git config branch.feature/x.pushRemote evil"),
    Case("remote.pushDefault", (("git_push", {}),), "approval_required", "git remote add evil \"$OTHER\"; git config remote.pushDefault evil"),
    Case("push options", (("git_push", {}),), "approval_required", "git config push.pushOption merge"),
    Case("push.recurseSubmodules", (("git_push", {}),), "approval_required", "git config push.recurseSubmodules on-demand"),
    Case("force over another history", (("git_push", {"force": True}),), "approval_required", "git push -q origin feature/x; git commit -q --amend -m other"),
    Case("delete of an own branch", (("git_push", {"delete": True, "branch": "old"}),), "approval_required", "git push -q origin main:old; git fetch -q"),
    Case("a tag", (("git_push", {"tag": "v1"}),), "approval_required", "git tag v1"),
    attack("without force over another history", "conflict", "git_push", "git push -q origin feature/x; git commit -q --amend -m other"),
    attack("a tag that is there", NO, "git_push", "git tag v1; git push -q origin v1; git tag -f v1 main", tag="v1"),
    attack("a tag by force", "invalid", "git_push", "git tag v1", tag="v1", force=True),
    attack("a tag that goes", "invalid", "git_push", "git tag v1; git push -q origin v1", tag="v1", delete=True),
    attack("the current branch is main", "protected", "git_push", "git checkout -q main; git commit -q --allow-empty -m x", rule="builtin.branch"),
    attack("a symbolic ref to main", "protected|invalid", "git_push", "git symbolic-ref refs/heads/alias refs/heads/main", branch="alias"),
    attack("the remote's default branch of another name", "protected", "git_push", "git -C \"$ORIGIN\" branch trunk main; git -C \"$ORIGIN\" symbolic-ref HEAD refs/heads/trunk; git branch trunk", branch="trunk", rule="builtin.branch"),
    attack("the remote's symbolic alias of main", NO + "|approval_required", "git_push", "git -C \"$ORIGIN\" symbolic-ref refs/heads/alias refs/heads/main; git branch alias", branch="alias"),
    attack("a detached HEAD", "invalid", "git_push", "git checkout -q --detach"),
    attack("a secret in an old commit", "protected", "git_push", "printf 'AKIA%s\\n' QWERTYUIOPASDFGH >k; git add k; git commit -qm k; git rm -q k; git commit -qm gone"),
    attack("a secret in a message", "protected", "git_push", "git commit -q --allow-empty -m \"ghp_$(printf 'aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5')\""),
    attack("a password in the URL", "failed|out_of_bounds", "git_push", "git remote set-url origin \"https://user:$CANARY@127.0.0.1:1/r.git\""),
    attack("a password in the URL, fetch", "failed|out_of_bounds", "git_sync", "git remote set-url origin \"https://user:$CANARY@127.0.0.1:1/r.git\"", action="fetch"),
    survives("a password in the list of remotes", "git_status", "git remote set-url origin \"https://user:$CANARY@127.0.0.1:1/r.git\"", show="remotes"),
    survives("a token as the user", "git_status", "git remote set-url origin \"https://$CANARY@127.0.0.1:1/r.git\"", show="remotes"),
    survives("a token in the query", "git_status", "git remote set-url origin \"https://127.0.0.1:1/r.git?token=$CANARY\"", show="remotes"),
]  # fmt: skip


@pytest.mark.parametrize("case", QUIET, ids=str)
def test_push(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)


MODULES = {
    "hooks through a name": "printf '[submodule \"../../hooks\"]\\n\\tpath = s\\n\\turl = %s\\n' \"$OTHER\" >.gitmodules",
    "a carriage return in a path": "printf '[submodule \"s\"]\\n\\tpath = \"s\\r\"\\n\\turl = %s\\n' \"$OTHER\" >.gitmodules",
    "ext as its url": "printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = ext::sh -c touch%% %s\\n' \"$PWNED\" >.gitmodules",
    "a dash as its url": "printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = --upload-pack=touch %s\\n' \"$PWNED\" >.gitmodules",
    "a link in its path": "ln -s .git s; printf '[submodule \"s\"]\\n\\tpath = s/modules\\n\\turl = ../origin.git\\n' >.gitmodules",
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_submodules_are_never_fetched_or_entered(attacked: Attacked, name: str) -> None:
    for tool in ("git_clone", "git_submodule", "git_submodule_update"):
        attacked.judge(attack("", "invalid", tool, MODULES[name], url="OTHER", to="REPO/c", init=True, recursive=True))
    for tool, more in (
        ("git_sync", {"action": "fetch"}),
        ("git_sync", {"action": "pull"}),
        ("git_status", {}),
        ("git_switch", {"ref": "main"}),
    ):
        attacked.judge(survives("", tool, MODULES[name], "[ ! -e .git/modules ] && [ ! -e s/secret.txt ]", **more))
