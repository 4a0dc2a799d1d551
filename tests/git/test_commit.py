"""What goes into a commit, and what never does: secrets, placeholders, large files, forged trailers."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from git.workshop import Workshop, git, token


def test_a_commit_has_the_policys_author_and_names_agent_and_change(workshop: Workshop):
    workshop.write("new.txt", "new\n")
    reply = workshop.ok("git_commit", message="add new\n\nbody", paths=["new.txt"])
    shown = git(workshop.repo, "log", "-1", "--format=%an|%ae|%cn|%ce|%B")
    assert shown.startswith("bot|bot@example.com|bot|bot@example.com|add new\n\nbody\n\nInterlock-Agent: tester\n")
    assert f"Interlock-Change: {reply.id}" in shown
    assert git(workshop.repo, "status", "--porcelain") == ""
    assert git(workshop.repo, "fsck") == ""


def test_only_what_is_named_is_staged(workshop: Workshop):
    workshop.write("a.txt", "changed\n")
    workshop.write("docs/-draft.md", "draft\n")
    workshop.write("docs/other.md", "other\n")
    workshop.ok("git_commit", message="draft", paths=["docs/-draft.md"])
    assert git(workshop.repo, "show", "--format=", "--name-only", "HEAD") == "docs/-draft.md"
    workshop.ok("git_commit", message="folder", paths=["docs"])
    assert git(workshop.repo, "show", "--format=", "--name-only", "HEAD") == "docs/other.md"
    (workshop.repo / "a.txt").unlink()
    workshop.ok("git_commit", message="gone", all=True)
    assert git(workshop.repo, "show", "--format=", "--name-status", "HEAD") == "D\ta.txt"


@pytest.mark.parametrize("hidden", ["plain", "base64", "utf-16", "name", "message"])
def test_a_secret_stays_out_and_is_named_by_file_and_line(workshop: Workshop, hidden: str):
    secret, message, name = token(), "add", "k.txt"
    content: bytes = f"first\nkey = {secret}\n".encode()
    if hidden == "base64":
        content = b"first\n" + base64.b64encode(secret.encode()) + b"\n"
    elif hidden == "utf-16":
        content = f"first\nkey = {secret}\n".encode("utf-16-le")
    elif hidden == "name":
        content, name = b"x\n", f"{secret}.txt"
    elif hidden == "message":
        content, message = b"x\n", f"use {secret}"
    before = workshop.rev("HEAD")
    workshop.write(name, content)
    reply = workshop.refused("git_commit", "protected", message=message, paths=[name])
    assert secret not in reply.text
    if hidden in ("plain", "base64", "utf-16"):
        assert "k.txt, line 2" in reply.text
    assert workshop.rev("HEAD") == before


def test_a_secret_that_was_there_already_is_no_news(world: Workshop):
    world.write("old.txt", f"key = {token()}\nline\n")
    world.commit("it happened long ago")
    world.open()
    world.write("old.txt", f"key = {token()}\nline, edited\n")
    world.ok("git_commit", message="edit beside it", all=True)
    world.close()


def test_a_placeholder_is_not_committed(world: Workshop):
    world.write("conf.txt", f"key = {token()}\n")
    world.commit("conf")
    world.open()
    shown = world.ok("git_show", ref="HEAD:conf.txt").text
    line = next(line for line in shown.splitlines() if "[secret:" in line)
    world.write("copy.txt", line + "\n")
    reply = world.refused("git_commit", "protected", message="copy", paths=["copy.txt"])
    assert "copy.txt, line 1" in reply.text
    world.close()


@pytest.mark.parametrize("name", [".env", "config/.env.local", "id_rsa", "server.pem", "prod.tfstate"])
def test_files_for_secrets_are_not_committed(workshop: Workshop, name: str):
    workshop.write(name, "x\n")
    reply = workshop.call("git_commit", message="x", paths=[name])
    assert reply.code in ("protected", "invalid"), reply.text
    git(workshop.repo, "add", "-f", name)
    workshop.refused("git_commit", "protected", message="x")


def test_what_steers_programs_asks(world: Workshop):
    world.open()
    world.write(".github/workflows/ci.yml", "on: push\n")
    reply = world.refused("git_commit", "approval_required", message="ci", paths=[".github"])
    assert ".github/workflows/ci.yml" in reply.text
    world.close()


def test_size_and_number_of_files_are_limited(world: Workshop):
    world.section = (
        f"  repositories: ['{world.folder}/repo']\n  author: {{name: b, email: b@x}}\n  max_file: 1K\n  max_files: 3\n"
    )
    world.open()
    world.write("big.bin", b"x" * 2000)
    world.refused("git_commit", "too_large", message="big", paths=["big.bin"])
    git(world.repo, "add", "big.bin")
    world.refused("git_commit", "too_large", message="big, staged by somebody")
    git(world.repo, "rm", "-q", "--cached", "big.bin")
    for n in range(4):
        world.write(f"many/{n}.txt", "x\n")
    world.refused("git_commit", "too_large", message="many", paths=["many"])
    world.close()


@pytest.mark.parametrize(
    "message",
    [
        "",
        " \n",
        "x\n\nReviewed-by: Security <s@example.com>",
        "x\n\nSigned-off-by: Ann <a@x>",
        "Interlock-Change: git-x",
        "a\x1bb",
    ],
)
def test_messages_that_are_refused(workshop: Workshop, message: str):
    workshop.write("a.txt", "changed\n")
    workshop.refused("git_commit", "invalid", message=message, all=True)


def test_messages_that_only_look_odd_are_taken(workshop: Workshop):
    for message in ("-m --amend `touch x`", "$(touch x); password handling", "größer\n\nCo-authored-by: A <a@x>"):
        workshop.ok("git_commit", message=message, allow_empty=True)
        assert git(workshop.repo, "log", "-1", "--format=%s") == message.split("\n")[0]


def test_links_are_not_followed(workshop: Workshop):
    (workshop.outside / "secret.txt").write_text("outside\n")
    (workshop.repo / "ld").symlink_to(workshop.outside)
    workshop.refused("git_commit", "invalid", message="x", paths=["ld/secret.txt"])
    workshop.refused("git_commit", "out_of_bounds", message="x", paths=[str(workshop.outside / "secret.txt")])
    workshop.ok("git_commit", message="the link itself", paths=["ld"])
    assert git(workshop.repo, "ls-tree", "HEAD", "ld").startswith("120000")


def test_external_filters_are_not_bypassed_silently(workshop: Workshop):
    workshop.write(".gitattributes", "*.bin filter=lfs diff=lfs -text\n")
    git(workshop.repo, "add", ".gitattributes")
    git(workshop.repo, "commit", "-qm", "lfs")
    workshop.write("x.bin", b"raw content")
    reply = workshop.refused("git_commit", "invalid", message="x", paths=["x.bin"])
    assert "filter" in reply.text
    workshop.write("x.bin", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n")
    workshop.ok("git_commit", message="a pointer", paths=["x.bin"])


def test_line_ends_and_modes_are_kept_as_git_does(world: Workshop):
    git(world.repo, "config", "core.autocrlf", "true")
    (world.repo / ".git/info").mkdir(exist_ok=True)
    (world.repo / ".git/info/attributes").write_text("*.crlf text eol=crlf\n*.bin -text\n")
    world.open()
    world.write("t.crlf", b"a\r\nb\r\n")
    world.write("raw.bin", b"a\r\nb\r\n")
    world.write("run.sh", b"#!/bin/sh\n").chmod(0o755)
    world.ok("git_commit", message="files", paths=["t.crlf", "raw.bin", "run.sh"])
    assert git(world.repo, "cat-file", "-p", "HEAD:t.crlf") == "a\nb"
    assert git(world.repo, "cat-file", "-s", "HEAD:raw.bin") == "6"
    assert git(world.repo, "ls-tree", "HEAD", "run.sh").startswith("100755")
    world.ok("git_switch", ref="main")
    world.ok("git_switch", ref="feature/x")
    assert (world.repo / "t.crlf").read_bytes() == b"a\r\nb\r\n"
    assert (world.repo / "raw.bin").read_bytes() == b"a\r\nb\r\n"
    assert git(world.repo, "status", "--porcelain") == ""
    world.close()


def test_names_that_are_no_text(workshop: Workshop):
    odd = os.fsencode(workshop.repo) + b"/caf\xe9.txt"
    Path(os.fsdecode(odd)).write_bytes(b"x\n")
    text = workshop.ok("git_status").text
    assert "caf" in text
    workshop.ok("git_commit", message="all of it", paths=["."])
    assert git(workshop.repo, "-c", "core.quotePath=true", "ls-files", "caf*") == '"caf\\351.txt"'
    workshop.ok("git_switch", ref="main")
    assert not Path(os.fsdecode(odd)).exists()
    workshop.ok("git_switch", ref="feature/x")
    assert Path(os.fsdecode(odd)).exists()


def test_the_first_commit_of_a_repository(world: Workshop):
    git(world.folder, "init", "-q", "fresh")
    world.section = (
        f"  repositories: ['{world.folder}/fresh']\n  protected_branches: [trunk]\n  author: {{name: b, email: b@x}}\n"
    )
    world.repo = world.folder / "fresh"
    world.open()
    world.write("a.txt", "a\n")
    reply = world.ok("git_commit", message="first", paths=["a.txt"])
    assert git(world.repo, "log", "--format=%s") == "first"
    assert not world.undo(reply.id).is_error
    assert git(world.repo, "status", "--porcelain") == "?? a.txt"
    world.close()
