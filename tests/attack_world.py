"""A world to attack: one write root, secrets inside and outside of it, and what must never be seen or changed."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any

from files_server import FilesServer, Search, seen
from installation import Installation

from interlock.guard.model import Answer


class World:
    """`attack` makes one call and checks what must hold whatever the answer is."""

    def __init__(self, installation: Installation, search: Search) -> None:
        self.canary = secrets.token_hex(12)
        folder = installation.folder
        self.root, self.outside = installation.work, folder / "outside"
        for path in (self.root / "src", self.root / "conf", self.outside / "sub", folder / "work-evil"):
            path.mkdir(parents=True)
        (self.root / "README.md").write_text("# app\n")
        (self.root / "src/main.py").write_text('def main():\n    print("hello")\n')
        (self.root / ".env").write_text(f"API_KEY={self.canary}\n")
        for path in (
            self.outside / "secret.txt",
            self.outside / f"name-{self.canary}",
            folder / "work-evil/secret.txt",
        ):
            path.write_text(f"{self.canary}\n")
        self.server = FilesServer(installation, search)
        self.installation = installation
        self.pwned = folder / "PWNED"

    def attack(self, tool: str, **arguments: Any) -> Answer:
        before = seen(self.outside)
        answer = self.server.answer(tool, **arguments)
        self.holds(answer.text)
        assert seen(self.outside) == before
        assert not self.pwned.exists()
        return answer

    def refused(self, tool: str, **arguments: Any) -> str:
        """An attack that must be refused and change nothing at all."""
        before = seen(self.root)
        answer = self.attack(tool, **arguments)
        assert answer.is_error, answer.text
        assert "guard_failure" not in answer.text, answer.text
        assert seen(self.root) == before
        return answer.text

    def holds(self, text: str) -> None:
        raw = self.canary.encode()
        forms = [self.canary, self.canary[::-1], raw.hex(), *(_encoded(raw, pad) for pad in range(3))]
        assert not [form for form in forms if form in text]


def _encoded(raw: bytes, pad: int) -> str:
    """The part of its base64 that does not depend on what stands around it."""
    return base64.b64encode(b"x" * pad + raw).decode()[4:-4]


def path_of(world: World, text: str) -> str:
    """A path in an attack's words: ROOT, OUTSIDE and HOME stand for the real ones."""
    named: dict[str, Path] = {"ROOT": world.root, "OUTSIDE": world.outside}
    for name, path in named.items():
        text = text.replace(name, str(path))
    return text
