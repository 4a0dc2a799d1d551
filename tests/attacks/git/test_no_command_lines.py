"""Families config-injection, dangerous-subcommand, option-injection, shell-metacharacters, patch.

There is no tool that takes a command line, sets configuration, applies patches or starts a shell: such names are
unknown. What was meant for one is then tried word by word in every text field of the tools that there are, where names
are judged by grammar (`git/names.py`), revisions resolved by a grammar of our own (`git/revisions.py`), and nothing is
handed to a program (`git/repositories.py`).
"""
# ruff: noqa: E501

from __future__ import annotations

import pytest
from git.attacked import Attacked, Case, attack, survives

LINES: dict[str, tuple[str, ...]] = {
    "-c core.fsmonitor": ("-c", "core.fsmonitor=touch PWNED;", "status"),
    "-c glued": ("-ccore.fsmonitor=touch PWNED;", "status"),
    "-c core.sshCommand": ("-c", "core.sshCommand=touch PWNED;", "fetch", "origin"),
    "-c alias": ("-c", "alias.zork=!touch PWNED", "zork"),
    "-c core.hooksPath": ("-c", "core.hooksPath=OUTSIDE", "commit", "--allow-empty", "-mx"),
    "-c core.editor": ("-c", "core.editor=touch PWNED;", "commit", "--amend"),
    "-c sequence.editor": ("-c", "sequence.editor=touch PWNED;", "rebase", "-i", "HEAD~1"),
    "-c gpg.program": ("-c", "gpg.program=OUTSIDE/x", "commit", "-S", "-mx"),
    "-c credential.helper": ("-c", "credential.helper=!touch PWNED;", "fetch"),
    "-c url.insteadOf": ("-c", "url.OTHER.insteadOf=../origin.git", "fetch", "origin"),
    "-c include.path": ("-c", "include.path=OUTSIDE/secret.txt", "status"),
    "-c core.worktree": ("-c", "core.worktree=OUTSIDE", "checkout", "-f"),
    "-c http.proxy": ("-c", "http.proxy=http://127.0.0.1:9", "fetch"),
    "--config-env": ("--config-env=core.pager=HOME", "log"),
    "--exec-path": ("--exec-path=OUTSIDE", "zork"),
    "--git-dir": ("--git-dir=OTHER/.git", "log", "-p"),
    "--work-tree": ("--work-tree=OUTSIDE", "checkout", "--", "."),
    "-C": ("-C", "OTHER", "show", "HEAD:secret.txt"),
    "--namespace": ("--namespace=../../x", "push"),
    "--super-prefix": ("--super-prefix=../", "status"),
    "-p with a pager": ("-p", "--paginate", "log"),
    "ls-remote --upload-pack": ("ls-remote", "--upload-pack=touch PWNED;", "origin"),
    "ls-remote abbreviated": ("ls-remote", "--upload-pa=touch PWNED;", "."),
    "fetch --upload-pack": ("fetch", "--upload-pack", "touch PWNED;", "origin"),
    "clone -u": ("clone", "-utouch PWNED;", "OTHER", "REPO/c"),
    "clone --config": ("clone", "--config=core.fsmonitor=touch PWNED", "OTHER"),
    "clone --template": ("clone", "--template=OUTSIDE", "OTHER"),
    "push --mirror": ("push", "--mirror", "origin"),
    "push --all": ("push", "--all", "origin"),
    "push --prune": ("push", "--prune", "origin", "refs/heads/*:refs/heads/*"),
    "push --delete": ("push", "origin", "--delete", "main"),
    "push --del": ("push", "--del", "origin", "main"),
    "push --no-verify": ("push", "--no-verify", "origin", "HEAD:main"),
    "push -o": ("push", "-o", "ci.skip", "origin", "feature/x"),
    "push --repo": ("push", "--repo=OTHER", "feature/x"),
    "push --receive-pack": ("push", "--receive-pack=touch PWNED;", "origin", "feature/x"),
    "push --signed": ("push", "--signed=if-asked", "--push-option=x"),
    "diff --no-index": ("diff", "--no-index", "/dev/null", "OUTSIDE/secret.txt"),
    "diff two paths": ("diff", "/dev/null", "OUTSIDE/secret.txt"),
    "diff --ext-diff": ("diff", "--ext-diff", "--textconv", "HEAD~1"),
    "diff --output": ("diff", "--output=OUTSIDE/x", "HEAD~1"),
    "diff -O": ("diff", "-OOUTSIDE/secret.txt", "HEAD~1"),
    "shortlog --output": ("shortlog", "--output=OUTSIDE/x"),
    "stash show --output": ("stash", "show", "-p", "--output=OUTSIDE/x"),
    "show --format": ("show", "--format=%(trailers)%x00%B", "--output=OUTSIDE/x"),
    "log --output glued": ("log", "-1", "--output=OUTSIDE/x"),
    "log -L": ("log", "-L1,1:OUTSIDE/secret.txt"),
    "log --show-signature": ("log", "--show-signature"),
    "grep -O": ("grep", "-Otouch PWNED", "one"),
    "grep --open-files-in-pager": ("grep", "--open-files-in-pager=touch PWNED;", "one"),
    "grep -f": ("grep", "-f", "OUTSIDE/secret.txt"),
    "grep --no-index": ("grep", "--no-index", ".", "OUTSIDE"),
    "blame --contents": ("blame", "--contents", "OUTSIDE/secret.txt", "a.txt"),
    "blame --ignore-revs-file": ("blame", "--ignore-revs-file=OUTSIDE/secret.txt", "a.txt"),
    "commit -F": ("commit", "-F", "OUTSIDE/secret.txt", "--allow-empty"),
    "commit -t": ("commit", "--template=OUTSIDE/secret.txt"),
    "commit --author": ("commit", "--author=Root <root@example.com>", "--date=2001-01-01", "-mx"),
    "commit --pathspec-from-file": ("commit", "--pathspec-from-file=OUTSIDE/secret.txt"),
    "add --pathspec-from-file": ("add", "--pathspec-from-file=OUTSIDE/secret.txt"),
    "tag -F": ("tag", "-a", "-F", "OUTSIDE/secret.txt", "t"),
    "tag -u": ("tag", "-u", "x", "-s", "t"),
    "notes -F": ("notes", "add", "-F", "OUTSIDE/secret.txt"),
    "hash-object": ("hash-object", "-w", "OUTSIDE/secret.txt"),
    "update-index": ("update-index", "--add", "--cacheinfo", "160000,TIP,.git/hooks"),
    "update-ref": ("update-ref", "refs/heads/main", "HEAD"),
    "symbolic-ref": ("symbolic-ref", "HEAD", "refs/heads/main"),
    "read-tree --index-output": ("read-tree", "--index-output=OUTSIDE/x", "HEAD"),
    "checkout-index --prefix": ("checkout-index", "-a", "--prefix=OUTSIDE/"),
    "archive -o": ("archive", "-oOUTSIDE/x.tar", "HEAD"),
    "archive --remote": ("archive", "--remote=OTHER", "HEAD"),
    "archive --exec": ("archive", "--exec=touch PWNED;", "--remote=.", "HEAD"),
    "bundle": ("bundle", "create", "OUTSIDE/x.bundle", "--all"),
    "format-patch": ("format-patch", "-oOUTSIDE", "-1"),
    "fast-export": ("fast-export", "--export-marks=OUTSIDE/x", "--all"),
    "fast-import": ("fast-import", "--export-marks=OUTSIDE/x"),
    "filter-branch": ("filter-branch", "--tree-filter", "touch PWNED", "HEAD"),
    "rebase --exec": ("rebase", "--exec=touch PWNED", "HEAD~1"),
    "rebase --exe": ("rebase", "--exe=touch PWNED", "HEAD~1"),
    "bisect run": ("bisect", "run", "touch", "PWNED"),
    "submodule foreach": ("submodule", "foreach", "touch PWNED"),
    "worktree add": ("worktree", "add", "OUTSIDE/wt"),
    "difftool": ("difftool", "-y", "-x", "touch PWNED;", "HEAD~1"),
    "mergetool": ("mergetool", "--tool=x"),
    "difftool --extcmd": ("difftool", "--extcmd=touch PWNED;"),
    "instaweb": ("instaweb", "--httpd=touch PWNED"),
    "web--browse": ("web--browse", "--browser=x", "file://OUTSIDE"),
    "send-email": ("send-email", "--sendmail-cmd=touch PWNED;", "--to=x@example.com", "HEAD~1"),
    "imap-send": ("imap-send",),
    "daemon": ("daemon", "--export-all", "--base-path=OUTSIDE"),
    "shell": ("shell", "-c", "git-upload-pack 'OTHER'"),
    "upload-pack": ("upload-pack", "OTHER"),
    "receive-pack": ("receive-pack", "ORIGIN"),
    "remote-ext": ("remote-ext", "x", "touch PWNED"),
    "remote-fd": ("remote-fd", "x", "0"),
    "credential fill": ("credential", "fill"),
    "credential-store": ("credential-store", "--file=OUTSIDE/secret.txt", "get"),
    "maintenance": ("maintenance", "start"),
    "gc": ("gc", "--prune=now", "--aggressive"),
    "reflog expire": ("reflog", "expire", "--expire=now", "--all"),
    "prune": ("prune", "--expire=now"),
    "replace": ("replace", "HEAD", "HEAD~1"),
    "interpret-trailers": ("interpret-trailers", "--trailer", "x=1"),
    "config --file": ("config", "--file", "OUTSIDE/x", "a.b", "c"),
    "config -f read": ("config", "-f", "OUTSIDE/secret.txt", "--list"),
    "config --global": ("config", "--global", "core.pager", "touch PWNED"),
    "apply": ("apply", "--unsafe-paths", "--directory=OUTSIDE", "p"),
    "am": ("am", "--exec=touch PWNED", "OUTSIDE/secret.txt"),
    "var": ("var", "GIT_EDITOR"),
    "help": ("help", "-w", "git"),
    "an alias of the repository": ("zork",),
    "en dashes": ("\u2013\u2013output=OUTSIDE/x", "\u2014upload-pack=touch PWNED"),
    "full width": ("\uff0d\uff0doutput=OUTSIDE/x",),
    "quoted option": ("'--output=OUTSIDE/x'", '"--output=OUTSIDE/x"'),
    "option after a space": (" --output=OUTSIDE/x", "HEAD --output=OUTSIDE/x"),
    "option after a line end": ("HEAD\n--output=OUTSIDE/x", "main\r\n-c"),
    "option after --": ("--", "--end-of-options", "--output=OUTSIDE/x"),
    "tilde and globs": ("~root/.ssh", ":(top,glob)**/*", ":!a.txt", ":/three", ":(attr:x)"),
    "backticks": ("`touch PWNED`", "x`touch PWNED`"),
    "dollar": ("$(touch PWNED)", "${IFS}touch${IFS}PWNED"),
    "separators": ("x; touch PWNED", "x && touch PWNED", "x | touch PWNED", "x\ntouch PWNED\n"),
    "quotes": ('x" ; touch PWNED ; "', "x' ; touch PWNED ; '"),
    "redirects": ("x > PWNED", "x >>PWNED 2>&1", "<(touch PWNED)"),
    "nul": ("main\0x", "a.txt\0--output"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_never_one(attacked: Attacked, line: str) -> None:
    words = tuple(word for word in LINES[line] if not word.isalpha())
    attacked.everywhere(words or LINES[line], world="echo s >>a.txt; git stash -q; echo dirty >>a.txt")


TOOLS = ("git_raw", "git", "git_config", "git_clone", "git_init", "git_apply", "git_am", "git_clean", "git_submodule", "git_worktree",
         "git_rebase", "git_cherry_pick", "git_remote", "git_grep", "git_checkout", "git_add", "git_fetch", "git_pull", "git_reflog",
         "git_filter", "run", "shell", "exec", "GIT_STATUS", "git_status ", "git_status;git_push")  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_no_such_tool(attacked: Attacked, tool: str) -> None:
    line = ["-c", "core.fsmonitor=touch PWNED", "status"]
    attacked.judge(attack("", "invalid", tool, args=line, options=line, key="core.pager", value="touch PWNED"))


FOREIGN = {  # keys that no schema has: refused before anything is looked at
    "git_dir": {"git_dir": "OTHER/.git"}, "cwd": {"cwd": "OTHER"}, "env": {"env": {"GIT_DIR": "OTHER/.git"}},
    "options": {"options": ["--output=OUTSIDE/x"]}, "extra": {"extra": "-c core.pager=x"}, "args": {"args": ["--no-index"]},
    "redact": {"redact": False}, "approved": {"approved": True}, "force": {"force": True}, "no_verify": {"no_verify": True},
    "Repo": {"Repo": "OTHER"}, "_repo": {"_repo": "OTHER"}, "upload_pack": {"upload_pack": "touch PWNED"}, "work_tree": {"work_tree": "OUTSIDE"},
    "dunder": {"__class__": "x"}, "config": {"config": {"core.fsmonitor": "touch PWNED"}},
}  # fmt: skip


@pytest.mark.parametrize("key", FOREIGN)
def test_no_such_key(attacked: Attacked, key: str) -> None:
    for tool, more in (("git_status", {}), ("git_show", {"ref": "HEAD"}), ("git_diff", {})):
        attacked.judge(attack("", "invalid", tool, **more, **FOREIGN[key]))


TYPES = [
    attack("context as text", "invalid", "git_diff", context="3 --output=OUTSIDE/x"),
    attack("context as an option", "invalid", "git_diff", context="--output=OUTSIDE/x"),
    attack("context beyond", "invalid", "git_diff", context=10**9),
    attack("negative context", "invalid", "git_diff", context=-1),
    attack("limit as text", "invalid", "git_log", limit="1 --output=OUTSIDE/x"),
    attack("limit as a boolean", "invalid", "git_log", limit=True),
    attack("limit as a float", "invalid", "git_log", limit=1.5),
    attack("negative limit", "invalid", "git_log", limit=-1),
    attack("ref as a list", "invalid", "git_show", ref=["--output=OUTSIDE/x"]),
    attack("ref as an object", "invalid", "git_show", ref={"$ne": ""}),
    attack("paths as text", "invalid", "git_commit", paths="a.txt", message="x"),
    attack("paths of numbers", "invalid", "git_commit", paths=[1], message="x"),
    attack("repo as a list", "invalid", "git_status", repo=["REPO"]),
    attack("repo as null", "invalid", "git_status", repo=None),
    attack("staged as text", "invalid", "git_diff", staged="true"),
    attack("mode unknown", "invalid", "git_reset", ref="HEAD", mode="--hard"),
    attack("mode keep", "invalid", "git_reset", ref="HEAD", mode="keep"),
    attack("action unknown", "invalid", "git_stash", action="clear"),
    attack("branch action unknown", "invalid", "git_branch", action="force", name="x"),
    attack("since as an option", "invalid", "git_log", since="--output=OUTSIDE/x"),
    attack("since as words", "invalid", "git_log", since="yesterday; touch PWNED"),
    attack("a very long ref", "invalid", "git_show", ref="x" * 100_000),
    survives("a very long path", "git_show", path="d/" * 1999 + "x"),
    survives("ten thousand tildes", "git_show", ref="HEAD" + "~" * 200),
    survives("a large step", "git_show", ref="HEAD~999999"),
]  # fmt: skip


@pytest.mark.parametrize("case", TYPES, ids=str)
def test_types(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)


PATCHES = {
    "dot-dot": "diff --git a/../outside/p b/../outside/p\nnew file mode 100644\n--- /dev/null\n+++ b/../outside/p\n@@ -0,0 +1 @@\n+x\n",
    "a hook": "diff --git a/.git/hooks/pre-commit b/.git/hooks/pre-commit\nnew file mode 100755\n--- /dev/null\n+++ b/.git/hooks/pre-commit\n@@ -0,0 +1 @@\n+x\n",
    "an absolute name": "--- /dev/null\n+++ OUTSIDE/p\n@@ -0,0 +1 @@\n+x\n",
    "a link, then below it": "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+OUTSIDE\n\\ No newline at end of file\ndiff --git a/l/p b/l/p\n",
    "a rename out": "diff --git a/a.txt b/../a.txt\nsimilarity index 100%\nrename from a.txt\nrename to ../a.txt\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PATCHES)
def test_no_tool_applies_a_patch(attacked: Attacked, name: str) -> None:
    for tool in ("git_apply", "git_am", "git_patch"):
        attacked.judge(attack("", "invalid", tool, patch=PATCHES[name]))
    attacked.everywhere((PATCHES[name][:280],))
