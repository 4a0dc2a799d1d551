"""`interlock init`: a policy and keys for this machine, made from what lies here. Asks nothing, overwrites nothing.

Not for registering the servers in a client: it prints the line that does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.guard.errors import Broken
from interlock.guard.keys import create_keys, keys_dir

from .home import server_names
from .terminal import say

PROFILES = ("readonly", "development", "staging", "production", "incident")

# The sentence of design section 12's threat model, in that many words; `doctor` says it too.
SHELL_WARNING = (
    "An agent that has a shell of its own under this account, and no passphrase on your\n"
    "key, can type `interlock approve` itself. Give the key a passphrase (interlock init\n"
    "--passphrase), take the client's shell away, or run the servers under a separate OS\n"
    "user, which closes it for good."
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
    if not target.is_absolute():
        target = Path.cwd() / target
    if target.exists() or target.is_symlink():
        raise Broken(
            f"there is a policy already: {target}",
            hint="edit it (interlock policy check says whether it is right), or move it away and run this again",
        )
    _refuse_inside(target, roots)
    text = policy_text(roots, arguments.profile, arguments.agent)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _make_keys(arguments.passphrase)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    from interlock.guard.policy.loading import load

    policy = load(target)  # what we wrote must start a server
    here = Path(__file__).resolve().parent.parent
    served = [name for name in server_names() if name in policy.sections and (here / name / "tools.py").exists()]
    found = _found(policy.sections)
    say(f"policy   {target}  (profile {arguments.profile})")
    say(f"keys     {keys_dir()}  ({'made' if made else 'already there'})")
    for root in roots:
        say(f"folder   {root}  ({'read' if arguments.profile == 'readonly' else 'read and write'})")
    for line in found:
        say(line)
    say("\nRegister the servers, for example in Claude Code:\n")
    for name in served:
        say(f"  claude mcp add {name} -- {_command(name)}{_policy_option(target)}")
    if target != default_policy():
        say(f"\nThe command line has to know this policy too: export INTERLOCK_POLICY={target}")
    say("\nEdit the policy, then: interlock policy check. Later: interlock status, pending, changes, halt.\n")
    say(SHELL_WARNING)
    return 0


def _found(sections: Mapping[str, Any]) -> Iterator[str]:
    """What else was found here, a line each."""
    git, kubectl = sections.get("git"), sections.get("kubectl")
    if git is not None:
        remotes = f"remotes {', '.join(git.remotes)}" if git.remotes else "no remotes"
        yield from (f"git      {repository}  ({remotes})" for repository in git.repositories)
    if kubectl is not None:
        for name, context in kubectl.contexts.items():
            yield f"kubectl  {name}  (namespaces {', '.join(context.namespaces)})"


def _command(name: str) -> str:
    """How a client starts this server; by its whole path, for clients have a PATH of their own."""
    script = _script(f"interlock-{name}")
    if Path(script).is_absolute():
        return script
    interlock = _script("interlock")
    if Path(interlock).is_absolute():
        return f"{interlock} serve {name}"
    return f"{sys.executable} -m interlock.admin.main serve {name}"


def default_policy() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "interlock" / "policy.yaml"


def policy_text(roots: Sequence[Path], profile: str, agent: str) -> str:
    """The policy as YAML a person reads: only what binds, each part with its reason."""
    from interlock.guard.policy.loading import schema_path

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
    home = Path.home().resolve()
    if real == home or real in home.parents:
        what = "is your home folder" if real == home else "holds your home folder"
        raise Broken(
            f"{real} {what}: your keys and Interlock's policy lie in it",
            hint="name a project's folder instead: interlock init PATH",
        )
    return real


def _refuse_inside(target: Path, roots: Sequence[Path]) -> None:
    """An agent must not reach its own policy."""
    real = target.parent.resolve() / target.name
    for root in roots:
        if real.is_relative_to(root):
            raise Broken(f"the policy {target} would lie in {root}, where agents work", hint="write it elsewhere")


def _make_keys(passphrase: bool) -> bool:
    if (keys_dir() / "installation.key").exists():
        return False
    secret = None
    if passphrase:
        import getpass

        secret = getpass.getpass("passphrase for your key: ")
        if not secret:
            raise Broken("an empty passphrase protects nothing", hint="run it again, or leave out --passphrase")
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
    from interlock.documents import DocumentError, load_documents

    path = Path.home() / ".kube" / "config"
    if not path.is_file():
        return []
    try:
        config = load_documents(path.read_text(), "yaml")[0]
        return [(str(c["name"]), str(c["context"].get("namespace") or "default")) for c in config["contexts"]]
    except (OSError, UnicodeDecodeError, DocumentError, IndexError, KeyError, TypeError, AttributeError):
        print(f"interlock: {path} cannot be read as a kubeconfig; left out", file=sys.stderr)
        return []


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else os.fspath(path)


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _script(name: str) -> str:
    """The installed script's path, beside the interpreter that runs this; its bare name where there is none."""
    beside = Path(sys.executable).parent / name
    return os.fspath(beside) if beside.exists() else name


def _policy_option(target: Path) -> str:
    return "" if target == default_policy() else f" --policy {target}"
