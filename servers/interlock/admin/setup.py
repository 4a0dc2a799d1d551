"""`interlock init`: a policy and keys for this machine, made from what lies here. Asks nothing, overwrites nothing.

Not for registering the servers in a client: it prints the line that does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interlock.guard.errors import Broken
from interlock.guard.keys import create_keys, keys_dir

PROFILES = ("readonly", "development", "staging", "production", "incident")

# The sentence of design section 12's threat model, in that many words; `doctor` says it too.
SHELL_WARNING = (
    "An agent that has a shell of its own under this account, and no passphrase on your key, can type\n"
    "`interlock approve` itself. Give the key a passphrase (interlock init --passphrase), take the client's\n"
    "shell away, or run the servers under a separate OS user, which closes it for good."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("init", help="write a policy and keys for this machine")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="folders that the agent may work in (default: this one)"
    )
    parser.add_argument("--profile", default="readonly", choices=PROFILES)
    parser.add_argument("--agent", default="agent", help="the agent's name in records")
    parser.add_argument("--policy", default="", help="where to write it (default ~/.config/interlock/policy.yaml)")
    parser.add_argument("--passphrase", action="store_true", help="protect your key with a passphrase (it asks for it)")
    parser.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    target = Path(arguments.policy).expanduser() if arguments.policy else default_policy()
    roots = [_root(path) for path in arguments.paths or [os.fspath(Path.cwd())]]
    if target.exists():
        raise Broken(f"{target} exists", hint="edit it, or move it away and run this again")
    text = policy_text(roots, arguments.profile, arguments.agent)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _make_keys(arguments.passphrase)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    from interlock.guard.policy import load

    load(target)  # what we wrote must start a server
    print(f"policy   {target}  (profile {arguments.profile}; edit it, then: interlock policy check)")
    print(f"keys     {keys_dir()}  ({'made' if made else 'already there'})")
    for root in roots:
        print(f"folder   {root}  ({'read' if arguments.profile == 'readonly' else 'write'})")
    print("\nRegister the files server, for example in Claude Code:\n")
    print(f"  claude mcp add files -- {_script('interlock-files')}{_policy_option(target)}\n")
    print("Then: interlock status, interlock pending, interlock halt --reason '...'\n")
    print(SHELL_WARNING)
    return 0


def default_policy() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "interlock" / "policy.yaml"


def policy_text(roots: Sequence[Path], profile: str, agent: str) -> str:
    """The policy as YAML a person reads: only what binds, each part with its reason."""
    from interlock.guard.policy import schema_path

    access = "read" if profile == "readonly" else "write"
    lines = [
        f"# yaml-language-server: $schema={schema_path()}",
        "# What agents may do here. Strictest match wins; what no rule allows is denied. `interlock policy show`",
        "version: 1",
        f"extends: {profile}",
        f"agent: {_quoted(agent)}",
        "",
        "files:",
        "  roots:",
        *(f"    - {{path: {_quoted(_short(root))}, access: {access}}}" for root in roots),
    ]
    repositories = sorted({repository for root in roots for repository in _repositories(root)})
    if repositories:
        remotes = sorted({remote for repository in repositories for remote in _remotes(repository)})
        lines += ["", "git:", "  repositories:", *(f"    - {_quoted(_short(path))}" for path in repositories)]
        lines += ['  protected_branches: [main, master, "release/*"]']
        lines += [f"  remotes: [{', '.join(map(_quoted, remotes))}]"] if remotes else []
    contexts = _contexts()
    if contexts:
        lines += ["", "kubectl:", "  kubeconfig: ~/.kube/config", "  contexts:"]
        lines += [f"    {_quoted(name)}: {{namespaces: [{_quoted(namespace)}]}}" for name, namespace in contexts]
    return "\n".join(lines) + "\n"


def _root(path: str) -> Path:
    real = Path(path).expanduser().resolve()
    if not real.is_dir():
        raise Broken(f"{path} is no folder", hint="name folders that exist")
    if real in (Path("/"), Path.home().resolve()) or real in Path.home().resolve().parents:
        raise Broken(
            f"{real} holds your keys and this policy", hint="name the project's folder instead: interlock init PATH"
        )
    return real


def _make_keys(passphrase: bool) -> bool:
    if (keys_dir() / "installation.key").exists():
        return False
    secret = None
    if passphrase:
        import getpass

        secret = getpass.getpass("passphrase for your key: ")
        if secret != getpass.getpass("once more: "):
            raise Broken("the two passphrases differ", hint="run it again")
    create_keys(secret)
    return True


def _repositories(root: Path) -> list[Path]:
    """The repository that holds the folder, or those up to two levels below it."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return [folder] if folder != Path.home() else []
    found = []
    for below in ("*/.git", "*/*/.git"):
        found += [path.parent for path in root.glob(below)][:50]
    return found


def _remotes(repository: Path) -> list[str]:
    """Names of remotes, read from the repository's own file; nothing of git is run."""
    import configparser

    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string((repository / ".git" / "config").read_text(errors="replace").replace("\t", ""))
    except (OSError, configparser.Error):
        return []
    return [section[8:-1] for section in parser.sections() if section.startswith('remote "') and section.endswith('"')]


def _contexts() -> list[tuple[str, str]]:
    """Names of the kubeconfig's contexts with their namespace."""
    path = Path.home() / ".kube" / "config"
    if not path.is_file():
        return []
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        config: Any = YAML(typ="safe", pure=True).load(path.read_text())
        return [(str(c["name"]), str(c["context"].get("namespace") or "default")) for c in config["contexts"]]
    except (OSError, YAMLError, KeyError, TypeError, AttributeError):
        print(f"interlock: {path} cannot be read as a kubeconfig; left out", file=sys.stderr)
        return []


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else os.fspath(path)


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _script(name: str) -> str:
    beside = Path(sys.argv[0]).resolve().parent / name
    return os.fspath(beside) if beside.exists() else name


def _policy_option(target: Path) -> str:
    return "" if target == default_policy() else f" --policy {target}"
