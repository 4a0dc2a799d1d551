"""Sources that are no files: units of the journal, and containers. The broker starts a program that prints them.

All containers of a label are one log, by the times that their runtime wrote; for pods see `pods`. No argument of an
agent reaches a program's command line but times, counts and whether to follow.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Failed
from interlock.sandbox.children import Program
from interlock.untrusted import one_line

from .actions import Docker, Journald
from .blocks import Budget
from .joining import Stream
from .parts import Part, Wanted

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

MAX_STREAM: Final = 2 << 30  # bytes read of one stream
JOURNALCTL: Final = "journalctl"
# What `unwrap` reads of an entry.
_FIELDS: Final = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,SYSLOG_PID,_SYSTEMD_UNIT,_COMM,_PID,_HOSTNAME"
_SAID: Final = 160  # characters of a program's last word
DOCKER: Final = "docker-logs"
_SOCKET: Final = "unix:///var/run/docker.sock"


class StreamSource:
    """One log of the policy that programs print. Nothing of it is kept between calls."""

    kind = ""

    def __init__(self, name: str, about: str, broker: Any) -> None:
        self.name = name
        self.about = about
        self._broker = broker

    def parts(self, budget: Budget) -> list[Part]:
        """One part: all that belongs to the source, merged; none where there is nothing. Raises Refused and Failed."""
        raise NotImplementedError

    def _part(self, name: str, streamer: Callable[[Budget, Wanted], Stream]) -> Part:
        identity = hashlib.blake2s(f"{self.name} {self.about}".encode("utf-8", "replace"), digest_size=6).hexdigest()
        return Part(name, identity, time.time(), None, streamer=streamer, series=name)

    def _run(self, program: str, argv: Sequence[str], budget: Budget) -> str:
        """What a program prints at once. Raises Failed with its own last word."""
        self._there(program)
        ended = self._broker.run(program, argv, timeout=20, max_output=2_000_000, stop=budget.cancelled)
        if ended.timed_out:
            raise Failed(f"the {self.kind} source cannot be listed: no answer within 20 s")
        if ended.code != 0:
            raise Failed(f"the {self.kind} source cannot be listed: {self._said(ended.stderr)}")
        text: str = ended.stdout.decode("utf-8", "replace")
        return text

    def _start(self, program: str, argv: Sequence[str], name: str, budget: Budget) -> Stream:
        self._there(program)
        process = self._broker.start(program, argv, timeout=max(1.0, budget.seconds) + 5, stop=budget.spent)
        return _Printed(process, name, budget, self._said)

    def _said(self, stderr: bytes) -> str:
        """A program's last word."""
        return last_word(stderr.decode("utf-8", "replace").splitlines())

    def _there(self, program: str) -> None:
        if self._broker is None or program not in self._broker.programs:
            raise Failed(
                f"{self.kind} sources cannot be read here: {program} is not installed or was not there at the start",
                hint="a person can install it and restart the server",
            )


class _Printed:
    """What a program prints. Its last word goes to the budget's notes, unless we ended it ourselves."""

    def __init__(self, process: Any, name: str, budget: Budget, said: Callable[[bytes], str]) -> None:
        self._process = process
        self._said = said
        self._name = name
        self._budget = budget
        self._left = MAX_STREAM
        self._ended = False

    def read(self, count: int) -> bytes:
        if self._ended:
            return b""
        data: bytes = self._process.read(count)
        self._left -= len(data)
        if data and self._left > 0:
            return data
        self._ended = True
        if data:
            self._budget.note(f"{self._name}: only its first {MAX_STREAM >> 30} GiB were read")
        elif not self._budget.spent():
            code = self._process.wait()
            said = self._process.stderr
            if code != 0 or said.strip():
                self._budget.note(f"{self._name}: {self._said(said)}")
        return data

    def close(self) -> None:
        self._ended = True
        self._process.close()


class JournalSource(StreamSource):
    """Entries of a unit, as `journalctl -o json` prints them; `unwrap` makes lines of them."""

    kind = "journald"

    def __init__(self, name: str, settings: Journald, broker: Any) -> None:
        super().__init__(name, f"unit {settings.unit}", broker)
        self._unit = settings.unit
        self._argv = [f"--unit={settings.unit}"]
        if settings.directory is not None:
            self._argv.append(f"--directory={settings.directory}")

    def parts(self, budget: Budget) -> list[Part]:
        def stream(limits: Budget, wanted: Wanted) -> Stream:
            argv = list(self._argv)
            argv += [f"--since=@{math.floor(wanted.since)}"] if wanted.since is not None else []
            argv += [f"--until=@{math.ceil(wanted.until)}"] if wanted.until is not None else []
            # With a time, journalctl counts lines from the wrong end.
            last = wanted.last if wanted.since is None and wanted.until is None else None
            argv += [f"--lines={last}"] if last is not None else ["--no-tail"]
            argv += ["--follow"] if wanted.follow else []
            return self._start(JOURNALCTL, argv, self._unit, limits)

        return [self._part(self._unit, stream)]


class DockerSource(StreamSource):
    """All containers with a label, or whose names match; `docker_logs` merges them."""

    kind = "docker"

    def __init__(self, name: str, settings: Docker, broker: Any) -> None:
        super().__init__(name, f"containers {settings.label or settings.name}", broker)
        # One word each: a label that begins with `-` is no option.
        self._argv = [f"--label={settings.label}" if settings.label is not None else f"--name={settings.name}"]

    def parts(self, budget: Budget) -> list[Part]:
        names = self._run(DOCKER, ["list", *self._argv], budget).split()
        if not names:
            return []

        def stream(limits: Budget, wanted: Wanted) -> Stream:
            argv = ["read", *self._argv]
            argv += [f"--since={wanted.since:.6f}"] if wanted.since is not None else []
            argv += [f"--until={wanted.until:.6f}"] if wanted.until is not None else []
            # Docker takes the last lines first, and only then looks at their times.
            argv += [f"--last={wanted.last}"] if wanted.last is not None and wanted.until is None else []
            argv += ["--follow"] if wanted.follow else []
            return self._start(DOCKER, argv, names[0] if len(names) == 1 else "containers", limits)

        return [self._part(names[0] if len(names) == 1 else f"{len(names)} containers", stream)]


def last_word(lines: Sequence[str]) -> str:
    """The last line that says something, short. The exit redacts it, so it ends between words: in none of a secret."""
    text = one_line(next((line for line in reversed(lines) if line.strip()), "").strip(), 4_000)
    if len(text) > _SAID:
        text = text[:_SAID].rpartition(" ")[0] + "…"
    return text or "it ended without a word"


def programs(policy: Policy) -> dict[str, Program]:
    """journalctl and our own program for Docker, where the policy has such sources and this machine the program."""
    from .actions import Section

    section = policy.section(Section)
    sources = list(section.sources.values()) if section is not None else []
    found: dict[str, Program] = {}
    journals = [one.journald for one in sources if one.journald is not None]
    journalctl = Path("/usr/bin/journalctl")
    if journals and journalctl.is_file():
        named = [one.directory for one in journals if one.directory is not None]
        places = [Path(place) for place in ("/var/log/journal", "/run/log/journal", "/etc/machine-id")]
        found[JOURNALCTL] = Program(
            journalctl,
            arguments=("--no-pager", "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet"),
            read=(*places, *named),
            limits={"cpu": 60},
        )
    if any(one.docker is not None for one in sources):
        code = {sys.prefix, sys.base_prefix, os.fspath(Path(__file__).parents[2])}
        host = os.environ.get("DOCKER_HOST") or _SOCKET
        found[DOCKER] = Program(
            Path(sys.executable),
            arguments=("-I", "-B", "-m", "interlock.logs.docker_logs"),
            read=tuple(Path(place) for place in sorted(code)),
            unix_sockets=True,
            environment={"DOCKER_HOST": host},
            limits={"cpu": 60},
        )
    return found
