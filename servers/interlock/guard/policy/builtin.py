"""What holds whatever a policy says: bounds, protected names, Interlock's own files. Rules of the layer `builtin`.

The servers compute the flags `inside`, `protected` and `own` with the functions here, on real paths; the rules
turn them into refusals. Content that looks secret is redaction's matter, not a name's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from interlock.globs import Matcher, compile_globs
from interlock.guard.errors import Code
from interlock.guard.model import Effect, Flag, Layer, Rule, Verb

from .types import path_pattern

if TYPE_CHECKING:
    from .loading import Policy

# Names, each a part of a path or two parts in a row, anywhere; compared case-folded and normalised.
# Neither written nor read:
PRIVATE: Final = (
    ".git", "git~1", ".hg", ".svn", ".ssh", ".gnupg", ".password-store", "secrets", ".secrets",
    "id_{rsa,dsa,ecdsa,ed25519,ecdsa_sk,ed25519_sk,xmss}*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
    "*.kdbx", "*.ppk", "*.age", ".vault-token", ".vault{_,-}pass*", ".passwd-s3fs", ".mylogin.cnf", "etc/{g,}shadow*",
    ".azure", ".config/gcloud", ".config/gh", ".config/{op,sops}", ".config/interlock", "interlock-servers",
    ".{bash,zsh,sh,python,node_repl,psql,mysql,sqlite,rediscli}_history", ".kube/cache",
    "application_default_credentials.json",
)  # fmt: skip

# Known secret files: never written; read whole only, and then without their values.
KNOWN_SECRET_FILES: Final = (
    ".env*", "*.env", "{.,_}netrc", ".npmrc", ".pypirc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd",
    ".kube", "kubeconfig*", "*.kubeconfig", ".docker/config.json", ".dockercfg", ".dockerconfigjson", ".aws",
    "*.tfstate", "*.tfstate.backup", ".terraformrc", "credentials.tfrc.json", ".s3cfg", ".boto", "rclone.conf",
    ".cargo/credentials*", ".gem/credentials", ".databrickscfg", ".snowsql",
)  # fmt: skip

# Read like any file, but never written: what starts programs, or tells clients and CI what to run.
STEERING: Final = (
    ".{github,gitea,forgejo}/{workflows,actions}", ".gitlab-ci.yml", ".circleci", ".travis.yml", ".drone.yml",
    ".buildkite", ".woodpecker{,.yml,.yaml}", "jenkinsfile", "{azure,bitbucket}-pipelines.{yml,yaml}",
    ".gitattributes", ".gitmodules", ".yarnrc*", ".pnpmfile.cjs", ".cargo/config*",
    ".gitconfig", ".config/git", ".config/fish", ".config/autostart", ".config/systemd", ".local/bin",
    ".bashrc", ".bash_*", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc",
    ".tcshrc", ".login", ".inputrc", ".xprofile", ".xsession*", ".xinitrc", ".vimrc", ".vim", ".exrc", ".config/nvim",
    ".emacs*", ".direnv", ".mcp.json", "mcp.json", ".claude", ".claude.json", "claude_desktop_config.json",
    ".cursor", ".cursorrules", ".vscode", ".idea", ".windsurf*", ".codex", ".gemini", ".continue", ".aider*", ".zed",
    ".amazonq", ".cline*", ".junie", ".kiro", ".opencode", "opencode.json", ".roo*", ".trae",
    ".devcontainer", ".husky", "*.pth", "site-packages", "sitecustomize.py", "usercustomize.py",
    "crontab", "cron.d", "launchagents",
)  # fmt: skip

# Programs and pages that are about such files, and hold none.
_ABOUT: Final = Matcher(
    [
        f"{name}*.{{adoc,c,cpp,cs,go,h,java,js,kt,md,php,py,rb,rs,rst,swift,ts}}"
        for name in ("kubeconfig", "id_{rsa,ed25519}")
    ]
)

PROTECTED: Final = (*PRIVATE, *KNOWN_SECRET_FILES, *STEERING)


def builtin_rules(verbs: Mapping[str, Verb], widened: str = "") -> tuple[Rule, ...]:
    """The rules of the layer. `widened`: what a reload would have added to the bounds, for the refusal."""

    def having(flag: str) -> frozenset[str]:
        return frozenset(verb.name for verb in verbs.values() if flag in verb.attributes)

    def deny(id: str, flag: str, value: bool, code: Code, reason: str, hint: str) -> Rule:
        return Rule(
            id=f"builtin.{id}",
            effect=Effect.DENY,
            verbs=having(flag),
            where={flag: Flag(value)},
            reason=reason,
            hint=hint,
            layer=Layer.BUILTIN,
            code=code,
        )

    outside = "the server's X_guard tool lists the bounds; only a person can widen them, in the policy"
    if widened:
        outside = f"the policy was widened ({widened}) after this server started: restart the server"
    return (
        deny("own", "own", True, Code.PROTECTED, "these are Interlock's own files", "no tool reads or changes them"),
        deny("outside", "inside", False, Code.OUT_OF_BOUNDS, "it lies outside the bounds of the policy", outside),
        deny(
            "protected",
            "protected",
            True,
            Code.PROTECTED,
            "files of this name hold secrets or decide what programs run",
            "a person can list an exception under `unprotected` in the policy",
        ),
        deny(
            "branch",
            "protected_branch",
            True,
            Code.PROTECTED,
            "this branch is protected",
            "commit to a branch of your own and push that; a person merges it",
        ),
    )


def protection(path: str, policy: Policy, *, change: bool = True) -> str | None:
    """The pattern that protects a path, or None. `path` is real and absolute; the file need not exist.

    `change=False` asks for reading: known secret files (they are read without their values) and steering files
    are then free. A path below a protected name is protected too. A repository's path within a tree will do.
    """
    parts = folded(path)
    found = None
    for i, part in enumerate(parts):
        found = _name(part, change) or (_pair(parts[i - 1], part, change) if i else None)
        if found:
            break
    whole = _whole(policy)
    if found and _covers(whole[1], parts):
        found = None
    return found or _covers(whole[0], parts)


@lru_cache(8192)
def known_secret(path: str) -> bool:
    """Whether a file of this name is read whole only, and without its values."""
    parts = folded(path)
    pairs = (f"{parent}/{part}" for parent, part in pairwise(parts))
    return any(_in(_SECRET, name) is not None for name in (*parts, *pairs))


def owned(path: str, policy: Policy, *, tree: bool = False) -> bool:
    """Whether a real path is Interlock's own or lies below it. `tree`: also when something of ours lies below *it*."""
    mine = f"{path.rstrip('/')}/"
    return any(mine.startswith(own) or (tree and own.startswith(mine)) for own in _own(policy))


@lru_cache(8)
def _own(policy: Policy) -> tuple[str, ...]:
    return tuple(f"{str(own).rstrip('/')}/" for own in policy.own)


_IGNORED: Final = frozenset({"Cf", "Mn", "Cc"})


def _fold(text: str) -> str:
    """Without case, compatibility forms and what cannot be seen: paths and patterns alike, or they would not meet."""
    if text.isascii():
        return text.lower()
    # Marks go first: one of them folds to a letter. By capitals: a dotless i is an I to systems that compare those.
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in _IGNORED)
    text = unicodedata.normalize("NFKC", seen.upper().casefold())
    return "".join(c for c in text if unicodedata.category(c) not in _IGNORED)


@lru_cache(8192)
def folded(path: str) -> tuple[str, ...]:
    """The parts of a path as lenient file systems compare them: folded, normalised, without what they ignore."""
    text = _fold(path)
    parts = (part.partition(":")[0].rstrip(" .") or part for part in text.split("/"))
    return tuple(part for part in parts if part not in ("", ".", ".."))


@lru_cache(16384)
def _name(part: str, change: bool) -> str | None:
    return _in(_FORBIDDEN if change else _UNREADABLE, part)


@lru_cache(16384)
def _pair(parent: str, part: str, change: bool) -> str | None:
    return _in(_FORBIDDEN if change else _UNREADABLE, f"{parent}/{part}")


def _in(matchers: tuple[tuple[str, Matcher], ...], text: str) -> str | None:
    if not any_of(matchers).matches(text) or _ABOUT.matches(text):
        return None
    return next(pattern for pattern, matcher in matchers if matcher.matches(text))


@lru_cache(8)
def any_of(matchers: tuple[tuple[str, Matcher], ...]) -> Matcher:
    return compile_globs([pattern for pattern, _ in matchers])


def _matchers(patterns: tuple[str, ...]) -> tuple[tuple[str, Matcher], ...]:
    return tuple((pattern, Matcher([pattern])) for pattern in patterns)


_SECRET: Final = _matchers(KNOWN_SECRET_FILES)
_UNREADABLE: Final = _matchers(PRIVATE)
_FORBIDDEN: Final = _matchers(PROTECTED)


@lru_cache(8)
def _whole(policy: Policy) -> tuple[Matcher, Matcher]:
    """The policy's own additions and exceptions, over whole paths."""
    files = policy.sections.get("files")
    added, excepted = (getattr(files, name, ()) or () for name in ("protected", "unprotected"))
    return tuple(compile_globs([_fold_glob(p) for p in patterns]) for patterns in (added, excepted))  # type: ignore[return-value]


def _fold_glob(pattern: str) -> str:
    return _fold(path_pattern(pattern))


def _covers(matcher: Matcher, parts: tuple[str, ...]) -> str | None:
    """The first pattern that matches the path or any folder above it."""
    if not matcher.patterns:
        return None
    for i in range(len(parts), 0, -1):
        for text in ("/" + "/".join(parts[:i]), "/".join(parts[:i])):
            if matcher.matches(text):
                return next(p for p in matcher.patterns if Matcher([p]).matches(text))
    return None
