"""A real, confined files server over stdio for all cases of a module; each case has a folder of its own in its root."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from admin.apart import Apart, Peer
from files_server import seen
from installation import Reply

ROOMY = (
    "limits: {calls: {max: 1000000, per: 1m}, local_changes: {max: 100000, per: 1h}, repeats: {max: 10000, per: 10m},"
    " failures: {max: 10000, per: 5m, open_for: 1s}, output: {chars: 1000000000, per: 1h}}\napprovals: {wait: 0s}\n"
)


class Served:
    """`root` may be written, `logs` read, `outside` neither. `canary` must never be seen."""

    def __init__(
        self, folder: Path, era: str = "legacy", more: str = "", profile: str = "development", limits: str = ROOMY
    ) -> None:
        folder.chmod(0o700)
        self.apart = Apart(Path(os.path.realpath(folder)))
        self.canary = secrets.token_hex(12)
        self.root, self.outside, self.logs = self.apart.work, self.apart.folder / "outside", self.apart.folder / "logs"
        for path in (self.outside / "sub", self.logs):
            path.mkdir(parents=True)
        (self.outside / "keep.txt").write_text("keep\n")
        for name in ("secret.txt", f"name-{self.canary}"):
            (self.outside / name).write_text(f"{self.canary}\n")
        self.apart.write_policy(profile=profile, more=f"    - {{path: {self.logs}, access: read}}\n{more}{limits}")
        self.era, self._rooms, self.judged = era, 0, self.root
        self.peer: Peer = self.apart.peer(era=era)
        self.kept = seen(self.outside)

    def room(self) -> Path:
        """An empty folder in the root."""
        self._rooms += 1
        made = self.root / f"room{self._rooms}"
        made.mkdir()
        self.judged = made
        return made

    def named(self, value: Any, room: Path) -> Any:
        """Arguments in a case's words: ROOM, OUTSIDE and LOGS stand for the real paths."""
        if isinstance(value, str):
            for name, path in (("ROOM", room), ("OUTSIDE", self.outside), ("LOGS", self.logs), ("ROOT", self.root)):
                value = value.replace(name, str(path))
            return value
        if isinstance(value, list):
            return [self.named(item, room) for item in value]
        if isinstance(value, dict):
            return {key: self.named(item, room) for key, item in value.items()}
        return value

    def call(self, tool: str, **arguments: Any) -> Reply:
        """One call, after which what must hold whatever the answer is has been checked."""
        reply = self.peer.call(tool, **arguments)
        self.holds(reply.text)
        return reply

    def done(self, tool: str, **arguments: Any) -> Reply:
        reply = self.call(tool, **arguments)
        assert not reply.is_error, reply.text
        return reply

    def refused(self, tool: str, **arguments: Any) -> Reply:
        """A call that must be refused, cleanly, and change nothing in the case's own folder."""
        before = seen(self.judged)
        reply = self.call(tool, **arguments)
        assert reply.is_error, reply.text
        assert reply.code != "guard_failure", reply.text
        assert seen(self.judged) == before
        return reply

    def quick(self, seconds: float, tool: str, **arguments: Any) -> Reply:
        """A call that must be answered, whatever the answer, in this time."""
        begun = time.monotonic()
        reply = self.call(tool, **arguments)
        took = time.monotonic() - begun
        assert took < seconds and reply.code != "guard_failure", (tool, took, reply.text[:300])
        return reply

    def holds(self, text: str) -> None:
        raw = self.canary.encode()
        forms = [self.canary, raw.hex(), self.canary[::-1]]
        forms += [base64.b64encode(b"x" * pad + raw).decode()[4:-4] for pad in range(3)]
        around = [text[max(0, text.index(form) - 200) :][:400] for form in forms if form in text]
        assert not around

    def close(self) -> None:
        """Ends the server, and looks for what it may have left or told."""
        self.peer.close()
        assert seen(self.outside) == self.kept
        for path in (self.apart.home / "audit").rglob("*.jsonl"):
            self.holds(path.read_text())


@contextmanager
def served(folder: Path, **how: Any) -> Iterator[Served]:
    made = Served(folder, **how)
    try:
        yield made
    finally:
        made.close()
