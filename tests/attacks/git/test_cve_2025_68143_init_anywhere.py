"""CVE-2025-68143 (mcp-server-git): git_init anywhere turned ~/.ssh into a readable repository. There is no such tool,
and a folder that became a repository by other means is still outside the bounds."""

from __future__ import annotations

from git.workshop import Workshop, git


def test_no_tool_makes_a_repository(workshop: Workshop):
    for name in ("git_init", "git_clone", "git_config", "git_submodule", "git_raw", "git_apply", "git_worktree"):
        assert workshop.raw(name, {"repo": str(workshop.outside)}).code == "invalid"
    assert not (workshop.outside / ".git").exists()


def test_a_folder_made_a_repository_is_outside(workshop: Workshop):
    ssh = workshop.folder / ".ssh"
    ssh.mkdir()
    (ssh / "id_ed25519").write_text("key\n")
    git(ssh, "init", "-q")
    assert workshop.raw("git_status", {"repo": str(ssh)}).code == "out_of_bounds"
