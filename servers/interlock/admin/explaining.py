"""`interlock policy explain`: a call in words becomes the actions that its server would see, and those are explained.

It touches no world: what only a look at the world could tell counts as unknown, and is ordinary to the built-in rules.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.model import Action, Call, Kind, Principal, Redacted, World
from interlock.guard.policy.cases import ordinary
from interlock.guard.policy.explain import actions_of_record, decided, explain
from interlock.guard.policy.loading import find_policy, load
from interlock.guard.policy.problems import nearest
from interlock.registry import SERVERS, VERBS

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy


def explained(what: str, words: Sequence[str], policy: Callable[[], Policy]) -> str:
    """`what`: a server (then a tool and arguments follow), an action (then attributes), or a call's id."""
    if what in SERVERS:
        if not words or "=" in words[0]:
            raise Broken(f"which tool of {what}?", hint=f"interlock policy explain {what} TOOL key=value ...")
        judged = policy()
        try:
            actions = interpret(judged, what, words[0], _pairs(words[1:]))
        except Refused as no:
            instead = f"\n  instead: {no.hint}" if no.hint else ""
            return f"{no.code.value}: {no.message}{instead}\n\nIts arguments alone refuse it, before any rule is asked."
        return explain(judged, actions)
    if what in VERBS:
        return explain(policy(), [_plain_action(what, _pairs(words))])
    if "." in what or words:
        raise Broken(f"there is no server or action {what!r}", hint=nearest(what, [*SERVERS, *VERBS]))
    return of_record(_record(what), policy())


def of_record(record: Mapping[str, Any], policy: Policy | None = None) -> str:
    """A recorded call under today's policy: the rules that match, the closest allow, the YAML that would permit it."""
    from .home import switched_profile

    if policy is None:
        found = switched_profile()
        policy = load(find_policy(None), found.name if found is not None else None)
    actions = actions_of_record(record)
    return f"{_before_rules(record, policy, actions)}Under the policy as it is now: {explain(policy, actions)}"


def _before_rules(record: Mapping[str, Any], policy: Policy, actions: Sequence[Action]) -> str:
    """Where a look at the world ended the call and no rule over its actions: what the rules say is not the reason."""
    error = record.get("error")
    if record.get("decision") or not isinstance(error, Mapping):
        return ""
    rule = str(error.get("rule") or "")
    if rule and rule in decided(policy, actions).rules:
        return ""
    if not rule:
        return f"No rule refused it ({error.get('code', '')}), so no rule would permit it.\n"
    return f"`{rule}` refused it for what the call found or would send, and no rule of a policy permits that.\n"


def _record(id: str) -> Mapping[str, Any]:
    from interlock.guard.audit.reading import records_of

    from .home import open_home

    with open_home() as opened:
        records = [record for record in records_of(opened.path, id) if record.get("actions")]
    if not records:
        raise Refused(
            Code.INVALID,
            f"no record with actions bears the id {id}",
            hint="interlock audit tail lists ids; what was refused by its arguments alone has no actions",
        )
    return records[-1]


def interpret(policy: Policy, server: str, tool: str, given: Mapping[str, str]) -> tuple[Action, ...]:
    """A call as the actions that its server sees in its arguments, by names alone. Raises Refused and Broken."""
    from interlock.opening import server_module

    try:
        module = server_module(server)
    except ModuleNotFoundError:
        raise Broken(f"the {server} server is not part of this installation") from None
    opened = module.open_server(World(policy, Path("/nonexistent"), bytes(32), _NoDetector(), None))
    try:
        found = next((one for one in opened.tools if one.name == tool), None)
        if found is None:
            raise Broken(f"{server} has no tool {tool!r}", hint=nearest(tool, [one.name for one in opened.tools]))
        arguments = _arguments(found.arguments, given)
        raw = arguments.model_dump(mode="json", exclude_unset=True)
        principal = Principal(policy.agent, "", "")
        return tuple(
            opened.interpret(Call("explain", server, tool, arguments, raw, "", principal, time.time(), policy))
        )
    finally:
        opened.close()


class _NoDetector:
    """Explaining reads nothing, so there is nothing to redact."""

    def redact(self, text: str, target: str = "") -> Redacted:
        return Redacted(text)

    def redact_value(self, value: Any, target: str = "") -> tuple[Any, int]:
        return value, 0


def _arguments(model: Any, given: Mapping[str, str]) -> Any:
    """The tool's arguments from words: JSON where it is JSON, else text; what is missing and no name is left empty."""
    from pydantic import ValidationError

    values: dict[str, Any] = {}
    for key, text in given.items():
        if key not in model.model_fields:
            raise Broken(f"the tool has no argument {key!r}", hint=nearest(key, model.model_fields))
        values[key] = text
    for _ in range(len(model.model_fields) + 1):
        try:
            return model.model_validate(values)
        except ValidationError as error:
            before = dict(values)
            for one in error.errors(include_url=False):
                name = str(one["loc"][0]) if one["loc"] else ""
                if name not in model.model_fields:
                    raise Broken(str(one["msg"])) from None
                if name in given and isinstance(values.get(name), str):
                    values[name] = _read(given[name])
                elif one["type"] == "missing":
                    values[name] = _empty(model.model_fields[name].annotation)
            if values == before:
                first = error.errors(include_url=False)[0]
                raise Broken(f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None
    raise Broken("the arguments do not fit the tool")


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _empty(annotation: Any) -> Any:
    return {str: "", int: 0, bool: False}.get(annotation, [])


def _plain_action(name: str, given: Mapping[str, str]) -> Action:
    """An action by its name: flags that are not given are those of an ordinary call."""
    kinds = VERBS[name].attributes
    attributes: dict[str, Any] = {key: ordinary(key) for key, kind in kinds.items() if kind is Kind.FLAG}
    for key, text in given.items():
        kind = kinds.get(key)
        if kind is None:
            raise Broken(f"{name} has no {key!r}", hint=nearest(key, kinds))
        if kind is Kind.PATH:
            attributes[key] = str(Path(text).expanduser().absolute())
        elif kind is Kind.KEYS:
            attributes[key] = tuple(text.split(","))
        else:
            value = text if kind is Kind.TEXT else _read(text)
            if (kind is Kind.FLAG) != isinstance(value, bool) or (kind is Kind.NUMBER and not isinstance(value, int)):
                raise Broken(
                    f"{key} is a {kind.value}", hint="true or false" if kind is Kind.FLAG else "a whole number"
                )
            attributes[key] = value
    resource = attributes.get("path") or attributes.get("name") or attributes.get("branch") or ""
    return Action(name, str(resource), attributes)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Broken(f"{word!r} is no key=value", hint="such as path=src/a.py")
        pairs[key] = value
    return pairs
