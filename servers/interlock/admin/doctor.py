"""`interlock doctor`: what is right and what is wrong with this installation, each line with what to do.

Changes nothing. Exit 1 when something must be mended before a server would start or be safe.
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interlock.guard.errors import Broken

from .home import Opened, open_home
from .setup import SHELL_WARNING
from .terminal import say, say_json, table

MINIMUM_FREE = 1 << 30  # bytes below which a full disk is near


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. `state`: ok, note (worth knowing), wrong (mend it)."""

    name: str
    state: str
    detail: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("doctor", help="what is right and what is wrong with this installation")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mend-clock", action="store_true", help="the clock was wrong and is right now: start from it")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.mend_clock:
        with open_home() as opened:
            opened.state.mend_clock()
            say("time counts from now; what waited, grants and switched profiles have ended")
        return 0
    lines: list[Line] = []
    with open_home(create=True) as opened:
        for check in (
            _platform,
            _policy,
            _keys,
            _state,
            _records,
            _disk,
            _kernel,
            _client,
            _anchor,
            _programs,
            _cluster,
            _sandbox,
        ):
            try:
                lines += check(opened)
            except Broken as broken:
                lines.append(Line(check.__name__[1:], "wrong", ": ".join(filter(None, [broken.message, broken.hint]))))
    if arguments.json:
        say_json([{"name": line.name, "state": line.state, "detail": line.detail} for line in lines])
    else:
        table(("what", "state", "detail"), [(line.name, line.state, line.detail) for line in lines], "")
        say(f"\n{SHELL_WARNING}")
    return 1 if any(line.state == "wrong" for line in lines) else 0


def _platform(opened: Opened) -> Iterator[Line]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Line("python", "ok", f"{version} on {sys.platform}")
    if os.geteuid() == 0:
        yield Line(
            "account", "note", "the servers run as root: files that only root may read are within reach of a policy"
        )


def _policy(opened: Opened) -> Iterator[Line]:
    from interlock.guard.policy.loading import find_policy, load

    path = find_policy(None)
    policy = load(path)
    yield Line("policy", "ok", f"{path}: {len(policy.rules)} rules; servers {', '.join(policy.sections) or 'none'}")
    for warning in policy.warnings:
        yield Line("policy", "note", f"line {warning.line}: {warning.message}")


def _keys(opened: Opened) -> Iterator[Line]:
    from interlock.guard.keys import keys_dir

    _ = opened.keys
    person = keys_dir() / "person.key"
    locked = person.exists() and b"ENCRYPTED" in person.read_bytes()
    state = "ok" if locked else "note"
    yield Line("keys", state, f"{keys_dir()}: your key has {'a' if locked else 'no'} passphrase")


def _state(opened: Opened) -> Iterator[Line]:
    opened.state.now()
    mode = stat.S_IMODE(opened.path.stat().st_mode)
    yield Line("home", "ok" if mode == 0o700 else "wrong", f"{opened.path} (mode {mode:o})")
    reserve = opened.path / "reserve"
    there = reserve.exists() and reserve.stat().st_size > 0
    yield Line(
        "reserve", "ok" if there else "note", "kept for undo on a full disk" if there else "used up: free disk space"
    )


def _records(opened: Opened) -> Iterator[Line]:
    from interlock.guard.audit import reading as audit

    begun = time.monotonic()
    report = audit.verify(opened.path, opened.state, opened.keys)
    took = time.monotonic() - begun
    detail = f"{report.records} records in {report.chains} chains verified in {took:.1f} s"
    problems = "; ".join(str(finding) for finding in report.findings[:3])
    yield Line("records", "wrong" if report.findings else "ok", problems or detail)


def _disk(opened: Opened) -> Iterator[Line]:
    free = shutil.disk_usage(opened.path).free
    yield Line("disk", "ok" if free > MINIMUM_FREE else "wrong", f"{free >> 20} MiB free at the home")


def _kernel(opened: Opened) -> Iterator[Line]:
    from interlock.sandbox.confine import probe

    required = opened.policy is not None and opened.policy.confine == "required"
    for line in probe():
        yield Line(f"kernel {line.name}", "ok" if line.ok else "wrong" if required else "note", line.detail)


def _client(opened: Opened) -> Iterator[Line]:
    """What a client would hand to a server: variables that decide something, expanded or not."""
    for name in ("INTERLOCK_POLICY", "INTERLOCK_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        value = os.environ.get(name)
        if value:
            odd = "${" in value or not Path(value).expanduser().is_absolute()
            where = "; a client hands on its own environment: set it there too, or the servers use other places"
            yield Line(f"${name}", "wrong" if odd else "note", value + ("" if odd else where))
    scripts = Path(sys.executable).parent / "interlock"
    yield Line(
        "command", "ok" if scripts.exists() else "note", os.fspath(scripts) if scripts.exists() else "not installed"
    )
    if opened.halt.orders():
        yield Line("halt", "note", "; ".join(opened.halt.describe().splitlines()))


def _anchor(opened: Opened) -> Iterator[Line]:
    contacts = opened.policy.contacts if opened.policy is not None else ()
    if not contacts:
        detail = (
            "no anchor elsewhere: who holds this account and its keys can rewrite records and checkpoints unnoticed"
        )
        yield Line("anchor", "note", detail)


def _programs(opened: Opened) -> Iterator[Line]:
    """What the servers start, and for which of them."""
    wanted = {"rg": "files", "git": "git", "kubectl": "kubectl", "bwrap": "logs"}
    sections = opened.policy.sections if opened.policy is not None else {}
    for name, server in wanted.items():
        found = _find_program(name)
        if found:
            yield Line(name, "ok", found)
        elif server in sections:
            yield Line(name, "note" if name in ("rg", "bwrap") else "wrong", f"not found; the {server} server needs it")


def _cluster(opened: Opened) -> Iterator[Line]:
    """kubectl itself, and what the credentials may do beyond what the policy needs."""
    policy = opened.policy
    if policy is None or "kubectl" not in policy.sections:
        return
    from interlock.cluster_program import trouble

    from .rbac import excess

    problem = trouble()
    yield Line("kubectl version", "wrong" if problem else "ok", problem or "new enough")
    for context in () if problem else getattr(policy.sections["kubectl"], "contexts", ()):
        try:
            beyond = excess(policy, context, [])
        except Broken as broken:
            beyond = [f"{context}: {broken.message}"]
        for line in beyond:
            yield Line("cluster rights", "note", f"{line} (interlock rbac prints roles that are enough)")


def _sandbox(opened: Opened) -> Iterator[Line]:
    if opened.policy is None or "logs" not in opened.policy.sections:
        return
    from interlock.logs.actions import Section
    from interlock.sandbox import image
    from interlock.sandbox.probing import offers
    from interlock.sandbox.settings import Settings

    section = opened.policy.section(Section)
    chosen = section.sandbox_settings(opened.path) if section is not None and section.analyze else None
    for line in offers(chosen or Settings(tools=(), folder=image.folder(opened.path))):
        used = chosen is not None and line.name == chosen.engine
        state = "ok" if line.ok else "wrong" if used else "note"
        yield Line(f"sandbox {line.name}", state, line.detail + (" (analyze_logs uses it)" if used else ""))


def _find_program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or ""
