"""What an engineer's assistant changes all day, on branches of its own: it goes through without a person, unless said."""
# ruff: noqa: E501

from __future__ import annotations

import re

import pytest
from git.attacked import Attacked, Case, day, works

SIDE = "git checkout -q -b side main; echo side >side.txt; git add side.txt; git commit -qm 'on the side'; git checkout -q feature/x; "
AHEAD = 'git clone -q "$ORIGIN" ../theirs; cd ../theirs; git checkout -q main; echo theirs >t.txt; git add .; git commit -qm theirs; git push -q origin main; '
CASES = [
    works("commit selected paths", "git_commit", message="one of two", paths=["a.txt"], world="echo m >>a.txt; echo n >n.txt", shows="1 files", after="[ \"$(git show --name-only --format=%s HEAD | xargs)\" = 'one of two a.txt' ] && git status --porcelain | grep -q '?? n.txt'"),
    works("commit all that is tracked", "git_commit", message="all", all=True, world="echo m >>a.txt; echo n >n.txt", after="! git ls-files | grep -q n.txt; git diff --quiet"),
    works("commit what is staged", "git_commit", message="staged", world="echo m >>a.txt; git add a.txt; echo later >>a.txt", after="git show HEAD:a.txt | grep -q m; ! git show HEAD:a.txt | grep -q later"),
    works("commit a deleted file", "git_commit", message="gone", paths=["docs/guide.md"], world="rm docs/guide.md", after="! git ls-files | grep -q guide"),
    works("commit a folder", "git_commit", message="folder", paths=["new"], world="mkdir -p new/deep; echo 1 >new/a; echo 2 >new/deep/b", shows="2 files"),
    works("commit a name that begins with a dash", "git_commit", message="draft", paths=["docs/-draft.md"], world="echo d >docs/-draft.md", after="git ls-files | grep -q draft"),
    works("stage a name that begins with a dash", "git_commit", stage_only=True, paths=["docs/-draft.md"], world="echo d >docs/-draft.md", after="git diff --cached --name-only | grep -q draft"),
    works("commit names with spaces and foreign letters", "git_commit", message="names", paths=["two words.txt", "größe.md"], world="echo 1 >'two words.txt'; echo 2 >größe.md", shows="2 files"),
    works("commit a message with quotes, dollars and many lines", "git_commit", message="fix: don't expand \"$HOME\" or `x`\n\nIt said --force; and main, .env, password.\n\nRefs: #12", allow_empty=True, after="git log -1 --format=%B | grep -q 'expand \"$HOME\" or `x`'"),
    works("commit an address and an id in a message", "git_commit", message="see e3b0c44298fc1c149afbf4c8996fb92427ae41e4 and 0f8fad5b-d9cb-469f-a165-70867728950e", allow_empty=True),
    works("commit a co-author", "git_commit", message="pair\n\nCo-authored-by: Ann <ann@example.com>", allow_empty=True, after="git log -1 --format=%B | grep -q Co-authored-by"),
    works("amend one's own last commit", "git_commit", message="better words", amend=True, after="[ \"$(git rev-list --count main..HEAD)\" = 1 ] && git log -1 --format=%s | grep -q better"),
    works("amend with more", "git_commit", amend=True, paths=["a.txt"], world="echo m >>a.txt", after="git show HEAD:a.txt | grep -q m; git log -1 --format=%s | grep -q three"),
    works("an executable stays one", "git_commit", message="tool", paths=["tool.sh"], world="printf '#!/bin/sh\\n' >tool.sh; chmod +x tool.sh", after="git ls-files -s tool.sh | grep -q ^100755"),
    works("a branch is created", "git_branch", action="create", name="fix/ISSUE-123_retry.2", start="HEAD", after="git rev-parse -q --verify fix/ISSUE-123_retry.2"),
    works("a branch from another start", "git_branch", action="create", name="from-main", start="origin/main", after="[ $(git rev-parse from-main) = $(git rev-parse main) ]"),
    works("a branch in foreign letters", "git_branch", action="create", name="größe/日本", after="git rev-parse -q --verify größe/日本"),
    works("a branch is renamed", "git_branch", action="rename", name="feature/x", to="feature/y", after="[ $(git symbolic-ref --short HEAD) = feature/y ]"),
    works("a merged branch is deleted", "git_branch", action="delete", name="old", world="git branch old main", after="! git rev-parse -q --verify old"),
    works("switch to main", "git_switch", ref="main", shows="main", after="[ $(git symbolic-ref --short HEAD) = main ]"),
    works("switch and create", "git_switch", ref="feature/new", create=True, after="[ $(git symbolic-ref --short HEAD) = feature/new ]"),
    works("switch to a remote's branch", "git_switch", ref="feature/remote", world="git push -q origin HEAD:refs/heads/feature/remote; git fetch -q; ", after="[ $(git symbolic-ref --short HEAD) = feature/remote ]"),
    works("switch to a commit", "git_switch", ref="HEAD~1", shows="detached"),
    works("switch to a tag", "git_switch", ref="v1", world="git tag v1 main", shows="detached"),
    works("switch with other work under way", "git_switch", ref="main", world="echo u >u.txt", after="[ -f u.txt ]"),
    works("merge what is merged", "git_merge", ref="main", shows="up to date"),
    works("merge forward", "git_merge", ref="next", world="git checkout -q -b next; echo n >n.txt; git add .; git commit -qm n; git checkout -q feature/x", shows="fast-forward", after="[ -f n.txt ]"),
    works("merge another branch", "git_merge", ref="side", message="bring side", world=SIDE, after="[ $(git log -1 --format=%P | wc -w) = 2 ] && [ -f side.txt ]"),
    works("merge what a fetch brought", "git_merge", ref="origin/main", world=AHEAD + "cd \"$REPO\"; git fetch -q", after="[ -f t.txt ]"),
    works("revert a commit", "git_revert", ref="HEAD", after="! grep -q three a.txt && git log -1 --format=%s | grep -q Revert"),
    works("revert a merge", "git_revert", ref="HEAD", world=SIDE + "git merge -q --no-ff -m m side", after="[ ! -f side.txt ]"),
    works("reset of the index", "git_reset", ref="HEAD", mode="mixed", world="echo m >>a.txt; git add a.txt", after="git diff --cached --quiet; grep -q m a.txt"),
    works("soft reset of a kept commit", "git_reset", ref="HEAD~1", mode="soft", world="git branch kept", after="[ $(git rev-parse HEAD) = $(git rev-parse main) ]; git diff --cached --quiet && exit 1 || true"),
    works("unstage", "git_restore", paths=["a.txt"], staged=True, world="echo m >>a.txt; git add a.txt", after="git diff --cached --quiet; grep -q m a.txt"),
    works("bring a deleted file back", "git_restore", paths=["docs/guide.md"], world="rm docs/guide.md", after="[ -f docs/guide.md ]"),
    works("a clean file as it was on main", "git_restore", paths=["a.txt"], ref="main", after="! grep -q three a.txt"),
    works("put work aside", "git_stash", action="push", message="half done", world="echo wip >>a.txt", after="git diff --quiet; git stash list | grep -q 'half done'"),
    works("put new files aside too", "git_stash", action="push", untracked=True, world="echo n >n.txt", after="[ ! -f n.txt ]; git stash pop -q; [ -f n.txt ]"),
    works("take work back", "git_stash", action="pop", world="echo wip >>a.txt; git stash -q", after="grep -q wip a.txt; ! git rev-parse -q --verify refs/stash"),
    works("apply an older stash", "git_stash", action="apply", index=1, world="echo w1 >>a.txt; git stash -q; echo w2 >>docs/guide.md; git stash -q", after="grep -q w1 a.txt; [ $(git stash list | wc -l) = 2 ]"),
    works("a tag", "git_tag", name="v1.2.3-rc.1", after="git rev-parse -q --verify refs/tags/v1.2.3-rc.1"),
    works("a tag with a message", "git_tag", name="v2", ref="main", message="second release", after="[ $(git cat-file -t v2) = tag ]"),
    works("fetch", "git_sync", action="fetch", world=AHEAD, shows="main", after="git log -1 --format=%s origin/main | grep -q theirs"),
    works("fetch with nothing new", "git_sync", action="fetch", remote="origin"),
    works("pull main forward", "git_sync", action="pull", remote="origin", branch="main", ff_only=True, world="git checkout -q main; " + AHEAD, after="[ -f t.txt ]"),
    works("pull with nothing new", "git_sync", action="pull", branch="main", ff_only=True, world="git checkout -q main"),
    works("pull main into one's own branch", "git_sync", action="pull", branch="main", world=AHEAD, after="[ -f t.txt ] && grep -q three a.txt"),
    day("a feature from beginning to end", ("git_switch", {"ref": "feature/z", "create": True}), ("git_commit", {"message": "z", "paths": ["z.txt"]}), ("git_log", {"limit": 1}), ("git_diff", {"base": "main...HEAD"}), ("git_switch", {"ref": "feature/x"}), ("git_merge", {"ref": "feature/z"}), ("git_branch", {"action": "delete", "name": "feature/z"}), world="echo z >z.txt"),
    day("a conflict is kept, resolved and finished", ("git_merge", {"ref": "side", "keep_conflicts": True}), ("git_status", {}), ("git_merge", {"abort": True}), ("git_status", {}), world="git checkout -q -b side main; echo other >>a.txt; git commit -qam o; git checkout -q feature/x", shows="clean"),
    day("in a linked work tree", ("git_commit", {"repo": "ROOM/wt", "message": "there", "paths": ["w.txt"]}), ("git_log", {"repo": "ROOM/wt", "limit": 1}), world="git worktree add -q ../wt -b wt2; echo w >../wt/w.txt", shows="there"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_changing(attacked: Attacked, case: Case) -> None:
    attacked.judge(case)


PUSHES = {
    "the current branch": ("", {}),
    "a new branch by name": ("git branch feature/push-me", {"branch": "feature/push-me"}),
    "a branch on both sides of a colon": ("", {"branch": "feature/x:feature/x"}),
    "a branch by its full name": ("", {"branch": "refs/heads/feature/x"}),
    "a branch with foreign letters": ("git branch größe", {"branch": "größe"}),
    "a tag": ("git tag v9", {"tag": "v9"}),
    "over one's own older history": ("git push -q origin feature/x; git commit -q --amend -m other", {"force": True}),
    "a branch that goes": ("git push -q origin HEAD:refs/heads/gone; git fetch -q", {"branch": "gone", "delete": True}),
}


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_shows_its_commits_and_goes_with_a_persons_yes(attacked: Attacked, name: str) -> None:
    world, arguments = PUSHES[name]
    room = attacked.room()
    if world:
        room.shell(world)
    given = {"repo": str(room.repo), "remote": "origin", **arguments}
    far = room.far()
    asked = attacked.call(room, "git_push", given)
    assert asked.code == "approval_required", asked.text
    assert room.far() == far
    assert re.search(r"push .* to origin", attacked.shown(asked)), attacked.shown(asked)
    attacked.approve(asked)
    done = attacked.call(room, "git_push", given)
    assert not done.is_error, done.text
    assert room.far() != far


ASKED = {
    "discards an edit": ("git_restore", {"paths": ["a.txt"]}, "echo dirty >>a.txt"),
    "drops a stash": ("git_stash", {"action": "drop"}, "echo w >>a.txt; git stash -q"),
    "deletes a tag": ("git_tag", {"name": "v1", "delete": True}, "git tag v1"),
    "deletes work that is nowhere else": ("git_branch", {"action": "delete", "name": "wip"}, "git checkout -q -b wip; echo w >>a.txt; git commit -qam w; git checkout -q feature/x"),
    "amends what is published": ("git_commit", {"amend": True, "message": "other"}, "git push -q origin feature/x; git fetch -q"),
    "resets over an edit": ("git_reset", {"ref": "HEAD", "mode": "hard"}, "echo dirty >>a.txt"),
    "commits a workflow": ("git_commit", {"message": "ci", "paths": [".github"]}, "mkdir -p .github/workflows; echo 'on: push' >.github/workflows/x.yml"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_asks_runs_after_a_yes_and_can_be_undone(attacked: Attacked, name: str) -> None:
    tool, arguments, world = ASKED[name]
    room = attacked.room()
    room.shell(world)
    own = room.own()
    given = {"repo": str(room.repo), **arguments}
    asked = attacked.call(room, tool, given)
    assert asked.code == "approval_required", asked.text
    assert room.own() == own
    attacked.approve(asked)
    done = attacked.call(room, tool, given)
    assert not done.is_error, done.text
    assert room.own() != own
    undone = attacked.call(room, "git_undo", {"id": done.id or asked.id})
    if undone.code == "approval_required":
        attacked.approve(undone)
        undone = attacked.call(room, "git_undo", {"id": done.id or asked.id})
    assert not undone.is_error, undone.text
    back = room.own()
    assert back["files"] == own["files"] and back["refs"] == own["refs"]
