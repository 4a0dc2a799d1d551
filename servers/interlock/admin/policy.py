"""`interlock policy check|show|explain|test|schema`: what the policy says, before an agent finds out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken
from interlock.guard.model import Effect, Layer, Rule

from .terminal import say, say_json, span, table

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("policy", help="check, show, explain and test the policy")
    commands = parser.add_subparsers(dest="policy_command", metavar="COMMAND", required=True)

    def command(name: str, help: str, run: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        if name != "schema":
            made.add_argument(
                "--policy", default="", help="the file (else $INTERLOCK_POLICY, else ~/.config/interlock)"
            )
            made.add_argument("--profile", default="", help="as if this profile were switched on")
        return made

    check = command("check", "say what is wrong or odd, with file, line and column", _check)
    check.add_argument("file", nargs="?", default="", help="another file than the policy in force")
    check.add_argument("--json", action="store_true")
    show = command("show", "the effective bounds, rules and limits", _show)
    show.add_argument("server", nargs="?", default="", help="only this server's (files, git, kubectl, logs)")
    show.add_argument("--json", action="store_true")
    explain = command("explain", "why a call is decided as it is, and what would permit it", _explain)
    explain.add_argument(
        "what", help="a server and a tool (files write_file), an action (kubectl.scale), or a call's id"
    )
    explain.add_argument("words", nargs="*", help="the tool's name, then its arguments as key=value")
    test = command("test", "hold the policy against golden decisions: the shipped ones and your own", _test)
    test.add_argument(
        "files", nargs="*", help="files of cases (default: shipped ones, and tests/*.yaml beside the policy)"
    )
    command("schema", "print the JSON Schema of a policy, for editors", _schema)


# ---------------------------------------------------------------- check, show


def _load(arguments: argparse.Namespace) -> Policy:
    from interlock.guard.policy.loading import PROFILES, find_policy, load

    if arguments.profile and arguments.profile not in PROFILES:
        raise Broken(f"there is no profile {arguments.profile!r}", hint=f"one of {', '.join(PROFILES)}")
    given = getattr(arguments, "file", "")
    path = Path(given).expanduser().absolute() if given else find_policy(arguments.policy or None)
    return load(path, arguments.profile or None)


def _current(arguments: argparse.Namespace) -> Policy:
    """What the servers go by now: with the profile that is switched on, unless another is asked for."""
    from .home import switched_profile

    if not arguments.profile and not arguments.policy and (found := switched_profile()) is not None:
        arguments.profile = found.name
    return _load(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from interlock.guard.policy.loading import PolicyError

    try:
        policy = _load(arguments)
    except PolicyError as error:
        if arguments.json:
            say_json({"ok": False, "errors": [asdict(one) for one in error.errors], "warnings": []})
        else:
            for one in error.errors:
                _say_problem(one, "error")
            say(f"{_count(len(error.errors), 'error')}: no server starts with this policy")
        return 1
    if arguments.json:
        say_json({"ok": True, "errors": [], "warnings": [asdict(one) for one in policy.warnings]})
        return 0
    for one in policy.warnings:
        _say_problem(one, "warning")
    users = sum(rule.layer is Layer.USER for rule in policy.rules)
    servers = ", ".join(policy.sections) or "no server (no section names a bound, so nothing is reachable)"
    say(f"{policy.path}: good. Profile {policy.profile}, {_count(users, 'rule')} of your own; for {servers}.")
    return 0


def _say_problem(problem: Any, kind: str) -> None:
    place = ":".join([problem.file, *(str(n) for n in (problem.line, problem.column) if n)])
    say(f"{place}: {kind}: {problem.message}")
    if problem.hint:
        say(f"    {problem.hint}")


def _show(arguments: argparse.Namespace) -> int:
    asked = arguments.profile
    policy = _current(arguments)
    if arguments.server and arguments.server not in _servers():
        raise Broken(f"there is no server {arguments.server!r}", hint=f"one of {', '.join(_servers())}")
    if arguments.json:
        say_json(_as_data(policy, arguments.server))
        return 0
    say(f"policy   {policy.path}")
    for file in policy.files[1:]:
        say(f"extends  {file}")
    switched = " (switched on: interlock status tells until when)" if arguments.profile and not asked else ""
    say(f"profile  {policy.profile}{switched}" + "".join(f"; {c}: {p}" for c, p in policy.contexts_profiles.items()))
    say(f"agent    {policy.agent}")
    for name, section in policy.sections.items():
        if arguments.server in ("", name):
            say(f"\n{name}")
            for key, value in section.model_dump(mode="json", exclude_none=True).items():
                if value not in ([], {}, None):
                    say(f"  {key:<18} {_brief(value)}")
    for effect in reversed(Effect):
        rows = [row for rule in policy.rules if rule.effect is effect and (row := _row(rule, arguments.server))]
        if rows:
            say()
            table(["effect", "rule", "actions", "where", "why", "file"], rows, "")
    say()
    for label, value in _settings(policy):
        say(f"{label:<16} {value}")
    for one in policy.warnings:
        _say_problem(one, "warning")
    return 0


def _row(rule: Rule, server: str) -> tuple[str, ...] | None:
    from interlock.guard.policy.explain import place_of, rule_in_words

    verbs = sorted(verb for verb in rule.verbs if not server or verb.startswith(f"{server}."))
    if not verbs:
        return None
    extra = f" [risk {rule.risk.name.lower()}]" if rule.risk is not None else ""
    overrides = f" [overrides {', '.join(sorted(rule.overrides))}]" if rule.overrides else ""
    place = Path(rule.file).name + f":{rule.line}" if rule.file else place_of(rule)
    return rule.effect.name.lower(), rule.id, _verbs(verbs), rule_in_words(rule), rule.reason + extra + overrides, place


def _verbs(verbs: Sequence[str]) -> str:
    """The actions of a rule in few words: `files.*` where it is all of them."""
    from interlock.registry import VERBS

    by_server: dict[str, list[str]] = {}
    for verb in verbs:
        by_server.setdefault(verb.partition(".")[0], []).append(verb)
    words = []
    for server, own in by_server.items():
        every = [verb for verb in VERBS if verb.startswith(f"{server}.")]
        words += [f"{server}.*"] if len(own) == len(every) > 1 else own
    return ", ".join(words)


def _settings(policy: Policy) -> Iterator[tuple[str, str]]:
    limits = policy.limits
    for name in ("calls", "changes", "local_changes", "repeats", "failures", "output"):
        rate = getattr(limits, name)
        breaker = f", then open for {span(rate.open_for)}" if rate.open_for else ""
        yield name, f"{rate.max} in {span(rate.per)}{breaker}"
    yield "result_chars", str(limits.result_chars)
    approvals = policy.approvals
    yield "approvals", f"expire after {span(approvals.expires)}, a call is held {span(approvals.wait)}"
    yield "client_consent", approvals.client_consent
    yield "people", approvals.people
    yield "snapshots", f"kept {span(policy.snapshots.keep)}, at most {policy.snapshots.max_size >> 20} MB"
    yield "confine", policy.confine


def _as_data(policy: Policy, server: str) -> dict[str, Any]:
    from interlock.guard.policy.explain import place_of, rule_in_words

    return {
        "policy": str(policy.path),
        "files": [str(file) for file in policy.files],
        "profile": policy.profile,
        "contexts": dict(policy.contexts_profiles),
        "agent": policy.agent,
        "digest": policy.digest,
        "sections": {
            name: section.model_dump(mode="json", exclude_none=True)
            for name, section in policy.sections.items()
            if server in ("", name)
        },
        "rules": [
            {
                "id": rule.id,
                "effect": rule.effect.name.lower(),
                "actions": sorted(verb for verb in rule.verbs if not server or verb.startswith(f"{server}.")),
                "where": rule_in_words(rule),
                "reason": rule.reason,
                "hint": rule.hint,
                "risk": rule.risk.name.lower() if rule.risk is not None else None,
                "overrides": sorted(rule.overrides),
                "layer": rule.layer.name.lower(),
                "place": place_of(rule),
            }
            for rule in policy.rules
            if not server or any(verb.startswith(f"{server}.") for verb in rule.verbs)
        ],
        "settings": {
            key: asdict(value)
            for key in ("limits", "approvals", "snapshots")
            if is_dataclass(value := getattr(policy, key)) and not isinstance(value, type)
        },
        "warnings": [asdict(one) for one in policy.warnings],
    }


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_brief(item)}" for key, item in value.items() if item not in (None, [], {}))
    if isinstance(value, list):
        return ", ".join(f"({_brief(item)})" if isinstance(item, Mapping) else str(item) for item in value)
    return str(value)


# ---------------------------------------------------------------- explain


def _explain(arguments: argparse.Namespace) -> int:
    from .explaining import explained

    say(explained(arguments.what, arguments.words, lambda: _current(arguments)))
    return 0


def explain_record(record: Mapping[str, Any]) -> str:
    """A recorded call under today's policy; for `interlock show`."""
    from .explaining import of_record

    return of_record(record)


# ---------------------------------------------------------------- test, schema


def _test(arguments: argparse.Namespace) -> int:
    from interlock.guard.policy.cases import run_file, shipped_cases
    from interlock.guard.policy.loading import PolicyError, find_policy, load

    path = find_policy(arguments.policy or None)
    files = [Path(file).expanduser().absolute() for file in arguments.files]
    if not files:
        files = [*shipped_cases(), *sorted((path.parent / "tests").glob("*.yaml"))]
    policy = load(path, arguments.profile or None) if path.exists() else None
    passed, failed = 0, 0
    for file in files:
        try:
            tried = list(run_file(file, policy))
        except PolicyError as error:
            for one in error.errors:
                _say_problem(one, "error")
            failed += 1
            continue
        wrong = [one for one in tried if one.failure]
        passed += len(tried) - len(wrong)
        failed += len(wrong)
        say(f"{file.name:<28} {len(tried) - len(wrong)} of {len(tried)} as expected")
        for miss in wrong:
            say(f"  {miss.file}:{miss.line}: {miss.case}\n      {miss.failure}")
    say(f"{_count(passed, 'decision')} as expected" + (f", {failed} not" if failed else ""))
    return 1 if failed else 0


def _schema(arguments: argparse.Namespace) -> int:
    from interlock.guard.policy.schema import schema_text

    sys.stdout.write(schema_text())
    return 0


def _servers() -> tuple[str, ...]:
    from interlock.registry import SERVERS

    return SERVERS


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
