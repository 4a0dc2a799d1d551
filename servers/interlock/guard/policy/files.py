"""Finds and reads policy files: the user's, those it extends, and the shipped profiles. Bounded.

Not for what stands in them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.documents import DocumentError, Node, parse_yaml_positions
from interlock.guard.errors import Failed

from .problems import PolicyError, Problem, at, at_key, nearest

PROFILES: Final = ("readonly", "development", "staging", "production", "incident")
MAX_BYTES: Final = 1 << 20
MAX_CHAIN: Final = 8  # files that extend each other
_NO_VALUE: Final = "give it one or take the key out (a lone `~` is YAML's word for nothing)"
POLICY_VARIABLE: Final = "INTERLOCK_POLICY"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file, read: its tree with positions. `name` is the prefix of its rules' ids when it is shipped."""

    path: Path
    name: str
    shipped: bool  # a profile, or a policy that another one extends
    profile: bool  # one of ours
    tree: Node
    digest: str
    mark: tuple[int, ...]  # what `stat` said when it was read


def policies_folder() -> Path:
    """Where profiles and schema.json are: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "policy"
    return installed if (installed / "schema.json").is_file() else package.parent.parent / "policy"


def schema_path() -> Path:
    """The JSON Schema that editors use."""
    return policies_folder() / "schema.json"


def config_folder() -> Path:
    """`$XDG_CONFIG_HOME/interlock` or `~/.config/interlock`: policy and keys."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base and base.startswith("/") else Path.home() / ".config") / "interlock"


def find_policy(argument: str | None = None) -> Path:
    """--policy, else $INTERLOCK_POLICY, else ~/.config/interlock/policy.yaml; never the working directory.

    Raises PolicyError for a relative path or an unexpanded variable. The file need not exist.
    """
    for chosen, name in ((argument, "--policy"), (os.environ.get(POLICY_VARIABLE), f"${POLICY_VARIABLE}")):
        if not chosen:
            continue
        if "${" in chosen:
            raise _whole(chosen, f"{name} holds an unexpanded variable", "write the path out")
        path = Path(chosen).expanduser()
        if not path.is_absolute():
            raise _whole(
                chosen, f"{name} must be an absolute path", "a policy is never taken from the working directory"
            )
        return path
    return config_folder() / "policy.yaml"


def mark_of(path: Path) -> tuple[int, ...] | None:
    """What tells one state of a file from another; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_size,
        found.st_ino,
        found.st_dev,
        found.st_mode,
        found.st_uid,
    )


def read_file(path: Path, *, name: str = "", shipped: bool = False, profile: bool = False) -> PolicyFile:
    """Read one file. Raises PolicyError when it is missing, odd, too large, changing, or no YAML."""
    raw, mark = _bytes(path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise PolicyError([Problem(str(path), line, 0, "it is not UTF-8 text", "save it as UTF-8")]) from None
    if "\0" in text:
        raise _whole(str(path), "it holds NUL bytes", "save it as UTF-8 text")
    try:
        tree = parse_yaml_positions(text, str(path))
    except DocumentError as error:
        hint = (
            "`version: 1` and `extends: readonly` make the smallest policy" if error.message.endswith("empty") else ""
        )
        raise PolicyError([Problem(str(path), error.line, error.column, error.message, hint)]) from None
    if tree.value is None:
        raise _whole(str(path), "the file is empty", "`version: 1` and `extends: readonly` make the smallest policy")
    if not isinstance(tree.value, dict):
        raise PolicyError([at(tree, "a policy is a mapping of keys, `version: 1` first")])
    refuse_empty(tree)
    return PolicyFile(path, name, shipped, profile, tree, hashlib.sha256(raw).hexdigest(), mark)


def read_profile(name: str) -> PolicyFile:
    """One of ours, by name."""
    return read_file(policies_folder() / f"{name}.yaml", name=name, shipped=True, profile=True)


def read_chain(first: PolicyFile, profile: str | None = None) -> list[PolicyFile]:
    """A file, those it extends, and the profile at the end. `profile` replaces that last one.

    Raises PolicyError: a file extends itself, no profile at the end, two files with one name.
    """
    chain = [first]
    while not chain[-1].profile:
        last = chain[-1]
        assert isinstance(last.tree.value, dict)
        node = last.tree.value.get("extends")
        if node is None:
            raise PolicyError(
                [at(last.tree, "`extends` is missing", f"a profile ({', '.join(PROFILES)}) or another policy's path")]
            )
        if not isinstance(node.value, str):
            raise PolicyError(
                [at(node, "`extends` is the name of a profile, or a ~ or absolute path of another policy")]
            )
        chain.append(_extended(node, chain))
        if len(chain) > MAX_CHAIN:
            raise PolicyError([at_key(last.tree, "extends", f"more than {MAX_CHAIN} files extend each other")])
    if profile is not None and chain[-1].name != profile:
        chain[-1] = read_profile(profile)
    return chain


def _extended(node: Node, chain: list[PolicyFile]) -> PolicyFile:
    text = str(node.value)
    if text in PROFILES:
        return read_profile(text)
    if not text.startswith(("/", "~/")):
        raise PolicyError([at(node, f"there is no profile `{text[:60]}`", nearest(text, PROFILES))])
    if "${" in text:
        raise PolicyError([at(node, "`${` is not expanded in a policy", "write the path out")])
    path = Path(text).expanduser()
    real = Path(os.path.realpath(path))
    if any(Path(os.path.realpath(file.path)) == real for file in chain):
        raise PolicyError([at(node, "this policy extends itself", "a chain of policies ends in a profile")])
    name = path.stem
    if name in PROFILES or any(file.name == name for file in chain):
        raise PolicyError(
            [at(node, f"the file name `{name}` is taken", "its rules' ids begin with it: rename the file")]
        )
    return read_file(path, name=name, shipped=True)


def open_with(opener: Callable[[Path], int], files: Iterable[Path]) -> None:
    """From now on these files are opened by `opener`: a confined server may not reach into the policy's folder."""
    _openers.update(dict.fromkeys(files, opener))


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


_openers: dict[Path, Callable[[Path], int]] = {}


def _bytes(path: Path) -> tuple[bytes, tuple[int, ...]]:
    try:
        fd = _openers.get(path, _open)(path)
    except FileNotFoundError:
        raise _whole(str(path), "there is no policy here", "`interlock init` writes one") from None
    except Failed as error:  # from the process that opens it for a confined server
        raise _whole(str(path), error.message, "put it back, then restart the server") from None
    except OSError as error:
        raise _whole(str(path), f"it cannot be read ({error.strerror})") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _whole(str(path), "it is not a regular file")
        before = mark_of(path)
        raw = b""
        while len(raw) <= MAX_BYTES and (more := os.read(fd, MAX_BYTES + 1 - len(raw))):
            raw += more
        if len(raw) > MAX_BYTES:
            raise _whole(str(path), f"it is larger than {MAX_BYTES >> 10} KB")
        after = mark_of(path)
        if before is None or after is None or before != after or len(raw) != after[2]:
            raise _whole(str(path), "it is being written", "try again when it is saved")
        return raw, after
    except OSError as error:
        raise _whole(str(path), f"it cannot be read ({error.strerror})") from None
    finally:
        os.close(fd)


def refuse_empty(tree: Node) -> None:
    """Refuse keys without a value: nobody can tell what they were meant to say."""
    problems: list[Problem] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node.value, dict):
            for key, value in node.value.items():
                if value.value is None:
                    problems.append(at_key(node, key, f"`{key[:60]}` has no value", _NO_VALUE))
                elif value.value == {}:
                    problems.append(at_key(node, key, f"`{key[:60]}` is empty", "take the key out"))
                elif value.value == [] and key not in ("analyze", "contacts"):
                    problems.append(
                        at_key(
                            node,
                            key,
                            f"`{key[:60]}` is an empty list",
                            "an empty list is not `everything`: take it out",
                        )
                    )
            stack.extend(node.value.values())
        elif isinstance(node.value, list):
            problems += [at(item, "an item of this list has no value") for item in node.value if item.value is None]
            stack.extend(node.value)
    if problems:
        raise PolicyError(sorted(problems, key=lambda p: (p.line, p.column)))


def _whole(file: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([Problem(file, 0, 0, message, hint)])
