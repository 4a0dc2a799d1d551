"""What an engineer's assistant reads all day. A guard that stands in the way of this is switched off."""
# ruff: noqa: E501

from __future__ import annotations

import pytest
from git.attacked import Attacked, Case, works

HISTORY = "GIT_AUTHOR_DATE='2024-03-01T10:00:00Z' GIT_COMMITTER_DATE='2024-03-01T10:00:00Z' git commit -q --allow-empty --author 'Bob <bob@example.com>' -m 'fix: retry --force on $HOME in main'; "
SIDE = "git checkout -q -b side main; echo side >side.txt; git add side.txt; git commit -qm 'on the side'; git checkout -q feature/x; "
CASES = [
    works("log with a path and a limit", "git_log", path="a.txt", limit=2, shows=("three", "two"), hides=("one\n",)),
    works("log of a range", "git_log", ref="main..feature/x", shows="1 commit", hides=("two",)),
    works("log of a symmetric range", "git_log", ref="side...feature/x", world=SIDE, shows=("on the side", "three")),
    works("log by author, any case", "git_log", author="BOB", world=HISTORY, shows="1 commit"),
    works("log by address", "git_log", author="bob@example.com", world=HISTORY, shows="fix: retry"),
    works("log since a day", "git_log", since="2024-01-01", limit=5, shows="commits"),
    works("log since a time with a zone", "git_log", since="2024-01-01T10:00+02:00", shows="commits"),
    works("log of the last weeks", "git_log", since="2 weeks ago", shows="commits"),
    works("log since yesterday", "git_log", since="yesterday", world="GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' git commit -q --amend --no-edit; git commit -q --allow-empty -m late", shows="late", hides=("three",)),
    works("log for a text with dashes and a dollar", "git_log", search="--force on $HOME", world=HISTORY, shows="1 commit"),
    works("log for a quote", "git_log", search='"', shows="0 commits"),
    works("log of one file's folder", "git_log", path="src", shows=("three", "1 commit")),
    works("log of a remote branch", "git_log", ref="origin/main", shows=("two", "one")),
    works("log from an ancestor", "git_log", ref="HEAD~1", shows="2 commits"),
    works("log by a short id", "git_log", ref="TIP", shows="3 commits"),
    works("log of a bare repository", "git_log", repo="ORIGIN", ref="main", shows="two"),
    works("show a commit", "git_show", ref="HEAD", shows=("three", "src/run.py", "+def run():")),
    works("show a commit by id", "git_show", ref="TIP", shows="three"),
    works("show a merge", "git_show", world=SIDE + "git merge -q --no-ff -m 'bring side' side", shows=("bring side", "parents", "side.txt")),
    works("show a tag with its message", "git_show", ref="v1.0", world="git tag -a -m 'first release' v1.0 main", shows=("first release", "two")),
    works("show a tree", "git_show", ref="HEAD", path="src", shows="run.py"),
    works("show a tree by git's colon", "git_show", ref="HEAD:src", shows="run.py"),
    works("show the root", "git_show", ref="HEAD:", shows=("a.txt", "docs/")),
    works("show a file at a branch", "git_show", ref="main:a.txt", shows=("one", "two"), hides=("three",)),
    works("show a file from its absolute path", "git_show", path="REPO/src/run.py", shows="def run()"),
    works("show a staged file", "git_show", ref=":a.txt", world="echo staged >>a.txt; git add a.txt; echo later >>a.txt", shows="staged", hides=("later",)),
    works("show a removed file in an old commit", "git_show", ref="HEAD~1:src/run.py", world="git rm -q src/run.py; git commit -qm gone", shows="def run()"),
    works("show the parent of a merge's second side", "git_show", ref="HEAD^2", world=SIDE + "git merge -q --no-ff -m m side", shows="on the side"),
    works("show a stash", "git_show", ref="stash@{0}", world="echo wip >>a.txt; git stash -q", shows="+wip"),
    works("show paths of a commit", "git_show", ref="HEAD", paths=["src"], shows="def run()", hides=("words",)),
    works("show a page of a long file", "git_show", ref="HEAD:long.txt", offset=300, world="seq 1 900 >long.txt; git add .; git commit -qm long", shows=("301", "offset=600")),
    works("search a text", "git_show", search="return", shows=("src/run.py:2", "1 lines")),
    works("search what looks like an option", "git_show", search="--output", shows="0 lines"),
    works("search in a folder", "git_show", search="words", path="docs", shows="docs/guide.md:1"),
    works("search with a colon and brackets", "git_show", search="run():", shows="src/run.py:1"),
    works("diff of the work tree", "git_diff", world="echo more >>a.txt", shows=("+more", "1 file")),
    works("diff with nothing", "git_diff", shows="0 files"),
    works("diff staged", "git_diff", staged=True, world="echo z >>a.txt; git add a.txt", shows="+z"),
    works("diff staged against a branch", "git_diff", staged=True, base="main", shows=("a.txt", "+three")),
    works("diff between branches", "git_diff", base="main", target="feature/x", shows=("+three", "src/run.py")),
    works("diff of a range", "git_diff", base="main..feature/x", shows="+three"),
    works("diff from the merge base", "git_diff", base="main...feature/x", world="git checkout -q main; echo x >x.txt; git add .; git commit -qm x; git checkout -q feature/x", shows="+three", hides=("x.txt",)),
    works("diff of a branch to the work tree", "git_diff", base="main", world="echo more >>a.txt", shows=("+more", "+three")),
    works("diff of paths", "git_diff", base="main", target="HEAD", paths=["docs"], shows="+words", hides=("three",)),
    works("diff with context", "git_diff", base="HEAD~1", target="HEAD", context=0 + 1, shows="+three"),
    works("diff of a rename", "git_diff", staged=True, world="git mv docs/guide.md docs/manual.md", shows="manual.md"),
    works("diff of a mode", "git_diff", world="chmod +x a.txt", shows="mode"),
    works("diff of a binary", "git_diff", world="printf '\\0\\1\\2' >b.bin; git add b.bin; git commit -qm b; printf '\\0\\1\\3' >b.bin", shows="binary"),
    works("blame", "git_blame", path="a.txt", shows=("Ann", "3: three")),
    works("blame of a range", "git_blame", path="a.txt", start=2, end=2, shows="2: two", hides=("three",)),
    works("blame at a ref", "git_blame", path="a.txt", ref="main", shows="two", hides=("three",)),
    works("status", "git_status", world="echo m >>a.txt; echo n >new.txt; git add new.txt; echo u >u.txt", shows=("M a.txt", "A  new.txt", "?? u.txt")),
    works("status of a name with a space", "git_status", world="echo u >'two words.txt'", shows="two words.txt"),
    works("status of a unicode name", "git_status", world="echo u >'größe-日本.txt'", shows="größe-日本.txt"),
    works("branches", "git_status", show="branches", shows=("* feature/x", "main", "origin/main")),
    works("tags", "git_status", show="tags", world="git tag v1 main; git tag v2", shows=("2 tags", "v1")),
    works("stashes", "git_status", show="stashes", world="echo wip >>a.txt; git stash -q -m 'half done'", shows="half done"),
    works("remotes", "git_status", show="remotes", shows="origin"),
    works("status while a merge is open", "git_status", world=SIDE + "echo mine >side.txt; git add .; git commit -qm mine; git merge -q side || true", shows=("merge in progress", "conflict")),
    works("status while detached", "git_status", world="git checkout -q --detach", shows="detached at"),
    works("status of a clone that is behind", "git_status", world="git branch -q -u origin/main", shows="1 ahead, 0 behind origin/main"),
    works("status of a linked work tree", "git_status", repo="ROOM/wt", world="git worktree add -q ../wt -b wt2", shows="on wt2"),
    works("a file full of words about secrets", "git_show", ref="HEAD:notes.md", world="printf 'The password prompt reads .env in main.\\nid: 0f8fad5b-d9cb-469f-a165-70867728950e\\nsha: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\\n' >notes.md; git add .; git commit -qm n", shows=("password prompt", "0f8fad5b-d9cb-469f-a165-70867728950e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)
