"""A real, confined git server over stdio, and a small world of repositories for each case. No mocks.

A case is a row: what somebody prepared, what the agent calls, and what stops it - or that it must go through.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin.apart import Apart, Peer
from git.workshop import QUIET, git, tree_of
from installation import Reply

ROOMY = (
    "limits: {calls: {max: 1000000, per: 1m}, changes: {max: 100000, per: 1h}, local_changes: {max: 100000, per: 1h},"
    " repeats: {max: 10000, per: 10m}, failures: {max: 10000, per: 5m, open_for: 1s},"
    " output: {chars: 1000000000, per: 1h}}\napprovals: {wait: 0s}\n"
)
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\U000e0000-\U000e007f]"
)
# Every field of every tool into which an agent can write text, and what else those tools need.
FIELDS: dict[str, tuple[str, ...]] = {
    "git_log": ("ref", "path", "author", "search", "since", "after"),
    "git_show": ("ref", "path", "search"),
    "git_diff": ("base", "target"),
    "git_blame": ("ref", "path"),
    "git_branch": ("name", "start", "to"),
    "git_switch": ("ref",),
    "git_merge": ("ref", "message"),
    "git_revert": ("ref",),
    "git_reset": ("ref",),
    "git_restore": ("ref",),
    "git_stash": ("message",),
    "git_sync": ("remote", "branch"),
    "git_push": ("remote", "branch", "tag"),
    "git_tag": ("name", "ref", "message"),
    "git_commit": ("message",),
}
REST: dict[str, dict[str, Any]] = {
    "git_blame": {"path": "a.txt"},
    "git_branch": {"action": "create", "name": "x"},
    "git_restore": {"paths": ["a.txt"]},
    "git_stash": {"action": "push"},
    "git_sync": {"action": "fetch"},
    "git_tag": {"name": "t"},
}
Calls = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Case:
    """`stopped`: the codes that may refuse it, `a|b`; empty: it must go through, and `shows` what the last answer says.

    `world` and `after` are shell, run in the repository; `after` must succeed. Names in capitals stand for paths:
    REPO ORIGIN OUTSIDE OTHER PWNED ROOM; TIP is the id of feature/x, CANARY what must never be seen.
    """

    name: str
    calls: Calls
    stopped: str = ""
    world: str = ""
    shows: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    after: str = ""
    rule: str = ""  # the rule that the refusal names
    any: bool = False  # whatever the answer is, what must hold holds
    loose: bool = False  # the refusal may be preceded by calls that are allowed

    def __str__(self) -> str:
        return self.name


def attack(
    name: str, stopped: str, tool: str, /, world: str = "", after: str = "", rule: str = "", **arguments: Any
) -> Case:
    """One call that must be refused with one of these codes and change nothing."""
    return Case(name, ((tool, arguments),), stopped, world, after=after, rule=rule)


def survives(
    name: str,
    tool: str,
    /,
    world: str = "",
    after: str = "",
    shows: tuple[str, ...] = (),
    hides: tuple[str, ...] = (),
    **arguments: Any,
) -> Case:
    """Any answer will do, as long as what must hold holds."""
    return Case(name, ((tool, arguments),), "", world, shows, hides, after, any=True)


def works(
    name: str,
    tool: str,
    /,
    world: str = "",
    shows: tuple[str, ...] | str = (),
    hides: tuple[str, ...] = (),
    after: str = "",
    **arguments: Any,
) -> Case:
    """Ordinary work: it must go through and be of use."""
    return Case(name, ((tool, arguments),), "", world, (shows,) if isinstance(shows, str) else shows, hides, after)


def day(
    name: str, *calls: tuple[str, dict[str, Any]], world: str = "", shows: tuple[str, ...] | str = (), after: str = ""
) -> Case:
    """Several calls of ordinary work, one after the other."""
    return Case(name, calls, "", world, (shows,) if isinstance(shows, str) else shows, after=after)


@dataclass
class Room:
    """A case's repositories: `repo` on feature/x, `origin` with main and release/1.0; `other`, `outside` beyond."""

    folder: Path
    canary: str

    def __post_init__(self) -> None:
        self.repo, self.origin = self.folder / "repo", self.folder / "origin.git"
        self.outside, self.other, self.pwned = self.folder / "outside", self.folder / "other", self.folder / "PWNED"

    def shell(self, text: str) -> None:
        names = {name: os.fspath(path) for name, path in self.paths.items()}
        identity = {"GIT_CONFIG_GLOBAL": os.fspath(self.folder.parent / "person")}
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=self.repo,
            env={**QUIET, **identity, **names, "CANARY": self.canary},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"

    @property
    def paths(self) -> dict[str, Path]:
        return {
            "REPO": self.repo, "ORIGIN": self.origin, "OUTSIDE": self.outside, "OTHER": self.other,
            "PWNED": self.pwned, "ROOM": self.folder,
        }  # fmt: skip

    def beyond(self) -> dict[str, Any]:
        """What no call may change."""
        found: dict[str, Any] = {str(p): tree_of(p) for p in (self.outside, self.other)}
        found |= {f"{p}/.git": files_of(p / ".git") for p in (self.outside, self.other)}
        for name in ("config", "hooks", "info", "objects/info", "modules"):
            found[name] = files_of(self.repo / ".git" / name)
        return found

    def far(self) -> dict[str, bytes]:
        """The refs of origin."""
        return {n: b for n, b in files_of(self.origin).items() if n.startswith(("refs/", "HEAD", "packed-refs"))}

    def own(self) -> dict[str, Any]:
        """What a refused call may not change either."""
        refs = {n: b for n, b in files_of(self.repo / ".git").items() if n.startswith(("refs/", "packed-refs", "HEAD"))}
        index = self.repo / ".git/index"
        return {
            "files": tree_of(self.repo),
            "refs": {n: b for n, b in refs.items() if not n.startswith("refs/interlock/")},
            "index": index.read_bytes() if index.is_file() else b"",
        }


def files_of(folder: Path) -> dict[str, bytes]:
    if folder.is_file():
        return {"": folder.read_bytes()}
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.is_symlink() and "objects" not in p.relative_to(folder).parts[:1]
    }


class Attacked:
    """The server, and rooms for cases."""

    def __init__(self, folder: Path, profile: str = "development") -> None:
        folder.chmod(0o700)
        self.apart = Apart(Path(os.path.realpath(folder)))
        self.canary = "qz" + "ry" + secrets.token_hex(10)
        self.rooms = self.apart.folder / "rooms"
        self.rooms.mkdir()
        (self.rooms / "person").write_text(
            "[user]\n\tname = Ann\n\temail = ann@example.com\n[init]\n\tdefaultBranch = main\n"
        )
        self.pattern = Room(self.rooms / "pattern", self.canary)
        self._build(self.pattern)
        self.tip = git(self.pattern.repo, "rev-parse", "feature/x")
        self.apart.write_policy(
            f"version: 1\nextends: {profile}\nagent: tester\ngit:\n"
            f"  repositories: ['{self.rooms}/*/repo', '{self.rooms}/*/origin.git', '{self.rooms}/*/wt']\n"
            "  protected_branches: [main, 'release/*']\n  remotes: [origin]\n"
            f"  author: {{name: bot, email: bot@example.com}}\n{ROOMY}"
        )
        self._count = 0
        self._alike: dict[str, Room] = {}
        self.peer = Peer(self.apart.command("serve", "git"), self.apart.environment, "legacy", "hostile")

    def _build(self, room: Room) -> None:
        for path in (room.folder, room.repo, room.outside, room.other):
            path.mkdir()
        (room.outside / "secret.txt").write_text(f"{self.canary}\n")
        (room.outside / f"name-{self.canary}").write_text("")
        room.shell(
            """
            git init -q . && git init -q --bare "$ORIGIN" && git remote add origin ../origin.git
            echo one >a.txt; printf '.env\\n*.log\\n' >.gitignore; git add .; git commit -qm one
            echo two >>a.txt; git commit -qam two; git push -q origin main 2>/dev/null
            git -C "$ORIGIN" update-ref refs/heads/release/1.0 refs/heads/main
            git checkout -q -b feature/x; echo three >>a.txt; mkdir src docs
            printf 'def run():\\n    return 1\\n' >src/run.py; echo words >docs/guide.md
            git add .; git commit -qm three
            printf 'API_KEY=%s\\n' "$CANARY" >.env
            cd "$OTHER"; git init -q .; printf '%s\\n' "$CANARY" >secret.txt; git add .; git commit -qm "s $CANARY"
            """
        )

    def room(self) -> Room:
        self._count += 1
        room = Room(self.rooms / f"r{self._count}", self.canary)
        shutil.copytree(self.pattern.folder, room.folder, symlinks=True)
        return room

    def judge(self, case: Case) -> None:
        """Build, call, check. Rows that change nothing and begin alike share a room."""
        alike = bool(case.stopped) and not case.after
        room = self._alike.get(case.world) if alike else None
        if room is None:
            room = self.room()
            if case.world:
                room.shell(case.world)
            if alike:
                self._alike[case.world] = room
        beyond, far, own = room.beyond(), room.far(), room.own()
        reply: Reply | None = None
        for tool, arguments in case.calls:
            if reply is not None:
                assert not reply.is_error or case.loose or case.any, reply.text
            begun = time.monotonic()
            reply = self.call(room, tool, self.named({"repo": "REPO", **arguments}, room))
            assert time.monotonic() - begun < 10
        assert reply is not None
        if case.stopped:
            assert reply.is_error, reply.text
            assert reply.code in case.stopped.split("|"), reply.text
            assert room.own() == own
            assert room.far() == far
            if case.rule:
                assert case.rule in self.shown(reply), self.shown(reply)
        elif not case.any:
            assert not reply.is_error, reply.text
        for text in case.shows:
            assert text.replace("TIP", self.tip) in reply.text, reply.text
        for text in case.hides:
            assert text not in reply.text, reply.text
        assert room.beyond() == beyond
        if case.after:
            room.shell(case.after)
        assert not room.pwned.exists()
        alive = self.call(room, "git_status", {"repo": os.fspath(self.pattern.repo)})
        assert "on feature/x; clean" in alive.text, alive.text

    def everywhere(self, words: tuple[str, ...], world: str = "") -> None:
        """Somebody's command line, word by word in every field of every tool: nothing of it is ever an option."""
        room = self.room()
        if world:
            room.shell(world)
        beyond, far = room.beyond(), room.far()
        for word in dict.fromkeys(self.named(list(words), room)):
            for tool, names in FIELDS.items():
                for field_name in names:
                    value = [word] if field_name in ("paths",) else word
                    given = {"repo": os.fspath(room.repo), **REST.get(tool, {}), field_name: value}
                    self.call(room, tool, given)
        assert room.beyond() == beyond
        assert room.far() == far
        assert not room.pwned.exists()

    def call(self, room: Room, tool: str, arguments: dict[str, Any]) -> Reply:
        id = self.peer.start(tool, **arguments)
        answer = self.peer.wait(id)
        if "result" not in answer:
            return Reply(f"invalid: {answer['error']['message']}", True, None)
        result = answer["result"]
        text = "\n".join(part.get("text", "") for part in result["content"])
        reply = Reply(text, bool(result.get("isError")), result.get("structuredContent"))
        assert reply.code not in ("guard_failure", "broken"), reply.text
        assert not INVISIBLE.search(text), text
        assert len(text) < 262_144
        self.holds(text)
        return reply

    def holds(self, text: str) -> None:
        raw = self.canary.encode()
        forms = [self.canary, raw.hex(), self.canary[::-1]]
        forms += [base64.b64encode(b"x" * pad + raw).decode()[4:-4] for pad in range(3)]
        assert not [text[max(0, text.index(form) - 200) :][:400] for form in forms if form in text]

    def named(self, value: Any, room: Room) -> Any:
        """Arguments in a case's words."""
        if isinstance(value, str):
            for name, path in room.paths.items():
                value = value.replace(name, os.fspath(path))
            return value.replace("TIP", self.tip).replace("CANARY", self.canary)
        if isinstance(value, list):
            return [self.named(item, room) for item in value]
        if isinstance(value, dict):
            return {key: self.named(item, room) for key, item in value.items()}
        return value

    def shown(self, reply: Reply) -> str:
        """What a person reads about a refused call."""
        return self.apart.cli("show", reply.id).stdout

    def approve(self, reply: Reply) -> None:
        done = self.apart.cli("approve", reply.id)
        assert done.returncode == 0, done.stdout + done.stderr

    def close(self) -> None:
        self.peer.close()
        for path in (self.apart.home / "audit").rglob("*.jsonl"):
            self.holds(path.read_text())
