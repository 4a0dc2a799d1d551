"""Files that start programs or steer clients. Stopped by `builtin.protected` on the resolved path, present or not."""

from __future__ import annotations

import pytest
from attack_world import World

NAMES = (
    ".git/config",
    ".git/hooks/pre-commit",
    ".GIT/config",
    ".git /config",
    ".gi\u200bt/config",
    "git~1/config",
    ".gitmodules",
    ".gitattributes",
    ".gitconfig",
    ".mcp.json",
    ".claude/settings.json",
    ".cursor/mcp.json",
    ".vscode/tasks.json",
    ".bashrc",
    ".profile",
    ".zshrc",
    ".netrc",
    ".npmrc",
    ".ssh/authorized_keys",
    ".kube/config",
    ".github/workflows/x.yml",
    ".env.local",
    "x.pth",
    "site-packages/x.py",
    "sub/.git/config",
    "sub/.mcp.json",
    "id_ed25519",
    "tls.key",
)


@pytest.mark.parametrize("name", NAMES)
def test_not_written_created_edited_or_moved_onto(world: World, name: str):
    world.refused("write_file", path=name, content="pwned\n")
    world.refused("move_file", source="README.md", destination=name)
    (world.root / "alias").symlink_to(name)
    world.refused("write_file", path="alias", content="pwned\n")


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name and " " not in name])
def test_not_by_moving_a_whole_folder(world: World, name: str):
    folder, _, rest = name.partition("/")
    (world.root / "innocent" / rest).parent.mkdir(parents=True, exist_ok=True)
    (world.root / "innocent" / rest).write_text("pwned\n")
    world.refused("move_file", source="innocent", destination=folder)


def test_not_interlocks_own(world: World):
    for path in (world.installation.policy, world.installation.home / "state.db", world.installation.home / "HALT"):
        world.refused("write_file", path=str(path), content="pwned")
        world.refused("read_file", path=str(path))
        world.refused("delete_file", path=str(path))


def test_not_a_repository_without_its_usual_name(world: World):
    world.attack("write_file", path="x/HEAD", content="ref: refs/heads/main\n")
    world.attack("write_file", path="x/objects/keep", content="")
    world.attack("write_file", path="x/config", content="[core]\n")
    world.refused("write_file", path="x/refs/keep", content="")
    world.attack("write_file", path="y/keep", content="")
    world.refused("move_file", source="y", destination="x/refs")


def test_ordinary_names_that_look_like_these_pass(world: World):
    for name in (
        "src/environment.py",
        "docs/env.md",
        "src/gitignore.txt",
        "conf/key_value.yaml",
        "password.md",
        "src/secret_santa.py",
    ):
        assert not world.attack("write_file", path=name, content="x\n").is_error, name
