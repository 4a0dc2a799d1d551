"""A repository prepared by an attacker: none of its programs runs, whatever the agent does with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from git.workshop import Workshop, git

EVERYTHING = (
    ("git_status", {}),
    ("git_diff", {}),
    ("git_diff", {"base": "main"}),
    ("git_log", {}),
    ("git_show", {}),
    ("git_show", {"ref": "HEAD:a.txt"}),
    ("git_blame", {"path": "a.txt"}),
    ("git_commit", {"message": "edit", "all": True}),
    ("git_branch", {"action": "create", "name": "made"}),
    ("git_switch", {"ref": "main"}),
    ("git_switch", {"ref": "feature/x"}),
    ("git_merge", {"ref": "side"}),
    ("git_revert", {"ref": "HEAD"}),
    ("git_tag", {"name": "v1", "message": "tagged"}),
    ("git_sync", {"action": "fetch"}),
    ("git_push", {}),
)


def program(w: Workshop) -> str:
    place = w.folder / "pwn.sh"
    place.write_text(f"#!/bin/sh\ntouch {w.pwned}\ncat\n")
    place.chmod(0o755)
    return str(place)


def configured(*pairs: str, attributes: str = "") -> Callable[[Workshop], None]:
    def prepare(w: Workshop) -> None:
        run = program(w)
        for pair in pairs:
            key, _, value = pair.partition("=")
            git(w.repo, "config", key, value.replace("PWN", run))
        if attributes:
            (w.repo / ".git/info").mkdir(exist_ok=True)
            (w.repo / ".git/info/attributes").write_text(attributes)

    return prepare


def hooks(w: Workshop) -> None:
    run = Path(program(w)).read_text()
    for name in [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "post-merge",
        "pre-push",
        "reference-transaction",
        "post-index-change",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "post-rewrite",
        "pre-merge-commit",
        "sendemail-validate",
    ]:
        place = w.repo / ".git/hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(run)
        place.chmod(0o755)


def own_git(w: Workshop) -> None:
    place = w.write("git", Path(program(w)).read_text())
    place.chmod(0o755)


HOSTILE: dict[str, Callable[[Workshop], None]] = {
    "fsmonitor": configured("core.fsmonitor=PWN"),
    "clean and smudge": configured(
        "filter.x.clean=PWN", "filter.x.smudge=PWN", "filter.x.required=true", attributes="*.txt filter=x\n"
    ),
    "process filter": configured("filter.x.process=PWN", attributes="*.txt filter=x\n"),
    "textconv": configured("diff.x.textconv=PWN", "diff.x.cachetextconv=true", attributes="*.txt diff=x\n"),
    "diff driver": configured("diff.external=PWN", "diff.x.command=PWN", attributes="*.txt diff=x\n"),
    "merge driver": configured("merge.x.driver=PWN", "merge.default=x", attributes="* merge=x\n"),
    "editor and pager": configured("core.editor=PWN", "core.pager=PWN", "sequence.editor=PWN", "pager.log=PWN"),
    "ssh and askpass": configured(
        "core.sshCommand=PWN", "core.askPass=PWN", "core.gitProxy=PWN", "credential.helper=!PWN"
    ),
    "hooks path": configured("core.hooksPath=.", "core.alternateRefsCommand=PWN"),
    "aliases": configured("alias.status=!PWN", "alias.push=!PWN", "alias.fetch=!PWN", "alias.remote-https=!PWN"),
    "trailers": configured("trailer.x.command=PWN", "trailer.x.cmd=PWN"),
    "gpg": configured("gpg.program=PWN", "gpg.ssh.program=PWN", "log.showSignature=true"),
    "remote programs": configured(
        "remote.origin.uploadpack=PWN", "remote.origin.receivepack=PWN", "remote.origin.vcs=ext"
    ),
    "transports": configured("protocol.ext.allow=always", "remote.origin.url=ext::PWN"),
    "identity": configured("user.email=$(PWN)@x"),
    "hooks": hooks,
    "a program called git": own_git,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_the_repository_runs(world: Workshop, name: str):
    git(world.repo, "branch", "side", "main")
    HOSTILE[name](world)
    world.extra = "rules:\n  push: {allow: git.push, overrides: [development.push]}\napprovals: {wait: 1s}\n"
    world.open()
    world.write("a.txt", "one\ntwo\nthree\nedited\n")
    for tool, arguments in EVERYTHING:
        reply = world.call(tool, **arguments)
        assert reply.code != "guard_failure", (tool, reply.text)
    assert not world.pwned.exists()
    world.close()


def test_what_is_not_run_is_named(world: Workshop):
    configured("core.fsmonitor=PWN", "alias.x=!PWN")(world)
    hooks(world)
    world.open()
    text = world.ok("git_status").text
    assert "not run" in text and "core.fsmonitor" in text
    world.close()


def test_the_environment_of_the_server_means_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    other = workshop.folder / "other"
    git(workshop.folder, "init", "-q", "other")
    for name, value in {
        "GIT_DIR": f"{other}/.git",
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": f"{other}/index",
        "GIT_EXTERNAL_DIFF": program(workshop),
        "GIT_SSH_COMMAND": program(workshop),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": program(workshop),
    }.items():
        monkeypatch.setenv(name, value)
    assert "on feature/x" in workshop.ok("git_status").text
    workshop.ok("git_commit", message="empty", allow_empty=True)
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    assert not workshop.pwned.exists()
    assert git(workshop.repo, "log", "-1", "--format=%s") == "empty"


def elsewhere(w: Workshop) -> Path:
    """Another repository, outside the bounds, with something to find."""
    place = w.outside / "private"
    place.mkdir()
    git(place, "init", "-q")
    (place / "found.txt").write_text("must not be seen\n")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "must not be seen")
    return place


def _worktree(w: Workshop) -> None:
    git(w.repo, "config", "core.worktree", str(w.outside))


def _git_file(w: Workshop) -> None:
    (w.repo / ".git").rename(w.folder / "moved")
    (w.repo / ".git").write_text(f"gitdir: {elsewhere(w)}/.git\n")


def _git_link(w: Workshop) -> None:
    (w.repo / ".git").rename(w.folder / "moved")
    (w.repo / ".git").symlink_to(elsewhere(w) / ".git")


def _alternates(w: Workshop) -> None:
    (w.repo / ".git/objects/info/alternates").write_text(f"{elsewhere(w)}/.git/objects\n")


def _nested_alternates(w: Workshop) -> None:
    (w.repo / ".git/objects/info/alternates").write_text(f"{w.origin}/objects\n")
    (w.origin / "objects/info/alternates").write_text(f"{elsewhere(w)}/.git/objects\n")


def _commondir(w: Workshop) -> None:
    (w.repo / ".git/commondir").write_text(f"{elsewhere(w)}/.git\n")


def _linked_objects(w: Workshop) -> None:
    (w.repo / ".git/objects").rename(w.folder / "objects")
    (w.repo / ".git/objects").symlink_to(elsewhere(w) / ".git/objects")


def _include(w: Workshop) -> None:
    git(w.repo, "config", "include.path", "../.gitconfig")


def _excludes(w: Workshop) -> None:
    (w.outside / "list").write_text("x\n")
    git(w.repo, "config", "core.excludesFile", str(w.outside / "list"))


def _repo_is_a_link(w: Workshop) -> None:
    place = elsewhere(w)
    w.repo.rename(w.folder / "moved")
    w.repo.symlink_to(place)


@pytest.mark.parametrize(
    "prepare",
    [_worktree, _git_file, _git_link, _alternates, _nested_alternates, _commondir, _linked_objects, _include, _excludes,
     _repo_is_a_link],
)  # fmt: skip
def test_what_leads_elsewhere_is_not_opened(world: Workshop, prepare: Callable[[Workshop], None]):
    world.open()
    prepare(world)
    for tool, arguments in EVERYTHING:
        reply = world.call(tool, **arguments)
        assert reply.code in ("out_of_bounds", "protected", "invalid"), (tool, reply.text)
        assert "must not be seen" not in reply.text
    world.close()


def test_a_repository_that_turns_hostile_while_it_is_open_is_noticed(workshop: Workshop):
    workshop.ok("git_status")
    _worktree(workshop)
    workshop.refused("git_status", "out_of_bounds")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give files away")
def test_a_repository_of_another_user_is_refused(workshop: Workshop):
    for base, folders, files in os.walk(workshop.repo / ".git"):
        for name in (*folders, *files):
            os.chown(f"{base}/{name}", 12345, -1)
    os.chown(workshop.repo / ".git", 12345, -1)
    reply = workshop.refused("git_status", "out_of_bounds")
    assert "another user" in reply.text


def test_linked_work_trees_and_submodules_within_the_bounds_work(world: Workshop):
    git(world.repo, "worktree", "add", "-q", str(world.folder / "linked"), "-b", "linked", "main")
    git(world.folder, "init", "-q", "library")
    library = world.folder / "library"
    (library / "l.txt").write_text("library\n")
    git(library, "add", "-A")
    git(library, "commit", "-qm", "library")
    git(world.repo, "submodule", "--quiet", "add", str(library), "vendor/library")
    world.commit("with a submodule")
    world.section = (
        f"  repositories: ['{world.folder}/repo', '{world.folder}/linked', '{world.folder}/repo/vendor/library']\n"
        "  protected_branches: [main]\n  author: {name: bot, email: bot@example.com}\n"
    )
    world.open()
    main = world.repo
    world.repo = world.folder / "linked"
    (world.repo / "n.txt").write_text("new\n")
    world.ok("git_commit", message="in a linked work tree", paths=["n.txt"])
    assert git(world.repo, "status", "--porcelain") == ""
    world.refused("git_switch", "conflict", ref="feature/x")  # checked out in the main work tree
    world.repo = main / "vendor/library"
    assert "library" in world.ok("git_log").text
    world.repo = main
    assert not world.call("git_status").is_error
    world.close()


def test_a_linked_work_tree_of_a_repository_outside_is_refused(world: Workshop):
    other = elsewhere(world)
    git(other, "worktree", "add", "-q", str(world.folder / "linked"), "-b", "linked")
    world.section = f"  repositories: ['{world.folder}/linked']\n"
    world.open()
    world.repo = world.folder / "linked"
    world.refused("git_status", "out_of_bounds")
    world.close()


@pytest.mark.parametrize(
    "path", ["{outside}", "{folder}", "{repo}/../outside", "/", "relative", "{repo}/.git", "{folder}/repo-evil"]
)
def test_only_the_policys_repositories_by_real_path(workshop: Workshop, path: str):
    given = path.format(outside=workshop.outside, folder=workshop.folder, repo=workshop.repo)
    reply = workshop.raw("git_status", {"repo": given})
    assert reply.code in ("out_of_bounds", "invalid", "protected"), reply.text


def test_replace_refs_do_not_hide_the_true_commit(workshop: Workshop):
    git(workshop.repo, "replace", "HEAD", "HEAD~1")
    text = workshop.ok("git_show").text
    assert "three" in text and "replace" in workshop.ok("git_status").text


def test_hidden_changes_are_not_called_clean(workshop: Workshop):
    git(workshop.repo, "update-index", "--assume-unchanged", "a.txt")
    workshop.write("a.txt", "hidden\n")
    assert "not all is seen" in workshop.ok("git_status").text


def test_a_damaged_object_store_is_an_error_and_no_crash(workshop: Workshop):
    for place in sorted((workshop.repo / ".git/objects").glob("??/*")):
        place.chmod(0o644)
        place.write_bytes(b"\x00damaged")
    for tool in ("git_log", "git_show", "git_status", "git_diff"):
        reply = workshop.call(tool)
        assert reply.code != "guard_failure", reply.text
