"""Why a call is decided as it is: the rules that match, the closest one that would allow it, the YAML that permits it.

For people, on the command line. It decides nothing itself: it asks `decide`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.globs import compile_globs, escape
from interlock.guard.decide import Decider, Fit, Matched
from interlock.guard.model import (
    Action,
    Attribute,
    Changed,
    Decision,
    Effect,
    Flag,
    Globs,
    Layer,
    Match,
    Range,
    Rule,
    UndoClass,
    Unknown,
)
from interlock.registry import VERBS

from .cases import ordinary

if TYPE_CHECKING:
    from .loading import Policy

RULES_SHOWN = 12
_NAMING = (
    "path", "to", "repository", "branch", "remote", "context", "namespace", "kind", "name", "image", "command",
    "source", "program",
)  # fmt: skip


def explain(policy: Policy, actions: Sequence[Action], asks: Sequence[str] = ()) -> str:
    """The whole story of a call's actions, in plain lines."""
    decider = Decider(policy.rules, VERBS)
    told = actions
    actions = [_ordinary(policy, action) for action in told]
    decision = decider.decide(actions, asks)
    lines = [
        f"{decision.effect.name.lower()}, risk {decision.risk.name.lower()}: {decision.reason or 'no reason given'}"
    ]
    for action, known in zip(actions, told, strict=True):
        lines += ["", *_action(policy, decider, action, known)]
    if decision.effect >= Effect.ASK and not (decision.effect is Effect.ASK and decision.undo is UndoClass.NONE):
        lines += ["", *permitting(policy, actions, decision.effect)]
    return "\n".join(lines)


def actions_of_record(record: Mapping[str, Any]) -> tuple[Action, ...]:
    """The actions that a record tells of; key paths come back as such."""
    actions = []
    for one in record.get("actions") or ():
        attributes: dict[str, Attribute] = {}
        for key, value in (one.get("attributes") or {}).items():
            if isinstance(value, list):
                attributes[key] = tuple(str(item) for item in value)
            elif isinstance(value, str | int | bool):
                attributes[key] = value
        actions.append(Action(str(one.get("verb", "")), str(one.get("resource", "")), attributes))
    return tuple(actions)


def place_of(rule: Rule) -> str:
    """`policy.yaml:12` for a rule, or where it comes from."""
    return f"{rule.file}:{rule.line}" if rule.file else "built in"


def in_words(match: Match) -> str:
    """A condition as a person writes it."""
    match match:
        case Globs(patterns):
            return " or ".join(patterns)
        case Range(low, high) if low == high:
            return str(low)
        case Range(low, high):
            ends = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
            return " and ".join(end for end in ends if end) or "any number"
        case Flag(value):
            return "true" if value else "false"
        case Changed(keys, beyond):
            return f"{'something beyond' if beyond else 'only'} {', '.join(keys)}"


def rule_in_words(rule: Rule) -> str:
    """A rule without its actions: its conditions and contexts."""
    parts = [f"{key} is {in_words(match)}" for key, match in rule.where.items()]
    if rule.contexts is not None:
        parts.append(f"context is {' or '.join(sorted(rule.contexts))}")
    if rule.except_contexts:
        parts.append(f"context is not {' or '.join(sorted(rule.except_contexts))}")
    return " and ".join(parts)


def closest(policy: Policy, action: Action, than: Effect = Effect.DENY) -> tuple[Rule, list[str]] | None:
    """The rule for this verb that is milder than `than` and fails on the fewest conditions; with those conditions."""
    best: tuple[Rule, list[str]] | None = None
    for rule in policy.rules:
        if rule.effect >= than or action.verb not in rule.verbs:
            continue
        failing = list(_failing(rule, action))
        if failing and (best is None or (len(failing), rule.effect) < (len(best[1]), best[0].effect)):
            best = (rule, failing)
    return best


def permitting(policy: Policy, actions: Sequence[Action], effect: Effect = Effect.DENY) -> list[str]:
    """What a person would add to the policy so that this call passes (or, where it asks, runs without asking)."""
    lines: list[str] = []
    decider = Decider(policy.rules, VERBS)
    rules: dict[str, dict[str, Any]] = {}
    for action in actions:
        matched = [m for m in decider.matching(action) if not m.overridden_by]
        denying = [m for m in matched if m.rule.effect is effect]
        for m in denying:
            if m.rule.layer is Layer.BUILTIN:
                lines += _beyond_bounds(policy, m.rule, action)
            elif m.rule.layer is Layer.USER:
                lines.append(
                    f"# your own rule `{m.rule.id}` ({place_of(m.rule)}) says {effect.name.lower()}: change that one"
                )
        if any(m.rule.layer is not Layer.SHIPPED for m in denying):
            continue
        if denying or not matched:
            made = _rule_for("ask" if effect is Effect.DENY else "notify", action, [m.rule.id for m in denying])
            rules.setdefault(json.dumps(made, sort_keys=True), made)
    if rules:
        lines.append("rules:")
        lines += [f"  {id}: {_flow(made)}" for id, made in zip(_ids(rules.values()), rules.values(), strict=True)]
    if not lines:
        return []
    if all(line.startswith("#") for line in lines):
        return [f"To permit it: {line.removeprefix('# ')}" for line in dict.fromkeys(lines)]
    head = "To permit it" if effect is Effect.DENY else "To let it run without asking"
    head += f", a person adds to {policy.path}"
    if any(line.startswith(("files:", "git:", "kubectl:", "logs:")) for line in lines):
        head += " (and restarts the server, as bounds widen)"
    return [f"{head}:", "", *(f"    {line}" for line in dict.fromkeys(lines))]


# ---------------------------------------------------------------- parts


def _ordinary(policy: Policy, action: Action) -> Action:
    """The action with what only a look at the world tells the built-in rules as it is in an ordinary call.

    Left unknown, it would deny every call that has not been looked at.
    """
    verb = VERBS.get(action.verb)
    asked = {key for rule in policy.rules if rule.layer is Layer.BUILTIN for key in rule.where}
    missing = sorted(asked.intersection(verb.attributes) - set(action.attributes)) if verb else []
    return replace(action, attributes={**action.attributes, **{key: ordinary(key) for key in missing}})


def _action(policy: Policy, decider: Decider, action: Action, known: Action) -> Iterator[str]:
    one = decider.decide([action])
    yield f"{action.verb}  {action.resource}"
    shown = ", ".join(
        f"{k}={_value(v)}" for k, v in sorted(known.attributes.items()) if k not in ("own", "protected") or v
    )
    if shown:
        yield f"  {shown}"
    taken = sorted(set(action.attributes) - set(known.attributes))
    if taken:
        values = ", ".join(f"{key}={_value(action.attributes[key])}" for key in taken)
        yield f"  only the call itself finds out, so taken as {values}"
    matched = decider.matching(action)
    for m in matched[:RULES_SHOWN]:
        yield f"  {m.rule.effect.name.lower():<6} {m.rule.id}  ({place_of(m.rule)}){_note(m)}"
    if len(matched) > RULES_SHOWN:
        yield f"  and {len(matched) - RULES_SHOWN} more"
    if not matched:
        yield "  no rule matches, and what no rule allows is denied"
    if one.effect >= Effect.ASK:
        near = closest(policy, action, one.effect)
        if near is not None:
            rule, failing = near
            yield f"  closest: {rule.effect.name.lower()} {rule.id} ({place_of(rule)}), but {'; '.join(failing)}"
    if one.hint:
        yield f"  instead: {one.hint}"


def _note(matched: Matched) -> str:
    notes = []
    if matched.overridden_by:
        notes.append(f"overridden by {matched.overridden_by}")
    if matched.fit is Fit.MAYBE:
        notes.append("not certain, so it counts")
    if matched.rule.reason:
        notes.append(matched.rule.reason)
    return "  " + "; ".join(notes) if notes else ""


def _failing(rule: Rule, action: Action) -> Iterator[str]:
    """The conditions of a rule that an action does not meet, each tried alone."""
    for key, match in rule.where.items():
        alone = replace(rule, where={key: match}, contexts=None, except_contexts=frozenset())
        if not any(m.fit is Fit.YES for m in Decider([alone], VERBS).matching(action)):
            value = action.attributes.get(key)
            is_now = (
                "is not known before the call" if value is None or isinstance(value, Unknown) else f"is {_value(value)}"
            )
            yield f"{key} {is_now}, not {in_words(match)}"
    context = replace(rule, where={})
    if not any(m.fit is Fit.YES for m in Decider([context], VERBS).matching(action)):
        yield f"it is for another context ({rule_in_words(context)})"


def _rule_for(effect: str, action: Action, denied_by: Sequence[str]) -> dict[str, Any]:
    """The narrowest rule that allows just this action."""
    attributes = VERBS[action.verb].attributes if action.verb in VERBS else {}
    where = {
        key: escape(value)
        for key in _NAMING
        if key in attributes and isinstance(value := action.attributes.get(key), str) and value
    }
    made: dict[str, Any] = {effect: action.verb}
    if where:
        made["where"] = where
    if denied_by:
        made["overrides"] = sorted(set(denied_by))
    return made


def _beyond_bounds(policy: Policy, rule: Rule, action: Action) -> list[str]:
    server = action.verb.partition(".")[0]
    path = action.attributes.get("path") or action.attributes.get("repository")
    if rule.id == "builtin.own":
        return ["# these are Interlock's own files: no policy opens them"]
    if rule.id == "builtin.protected" and isinstance(path, str):
        return ["files:", f"  unprotected: [{_quoted(escape(path))}]"]
    if rule.id == "builtin.branch":
        return [f"# the branch is in `git.protected_branches` or is the remote's default: {rule.hint}"]
    if policy.widened:
        return [f"# the policy says so already ({', '.join(policy.widened)[:200]}): restart the server"]
    if server == "files" and isinstance(path, str):
        folder = _folder(path)
        access = "write" if VERBS[action.verb].change else "read"
        return ["files:", "  roots:", f"    - {{path: {_quoted(str(folder))}, access: {access}}}"]
    if server == "git":
        return list(_of_git(policy, action))
    if server == "kubectl":
        context, namespace = (str(action.attributes.get(k) or f"<{k}>") for k in ("context", "namespace"))
        return ["kubectl:", "  contexts:", f"    {_quoted(context)}: {{namespaces: [{_quoted(namespace)}]}}"]
    return [f"# add it to the bounds in the `{server}` section"]


def _of_git(policy: Policy, action: Action) -> Iterator[str]:
    """The repository, the remote, or both: a remote that the policy does not name counts as outside."""
    yield "git:"
    repository = str(action.attributes.get("repository") or action.resource)
    unknown = action.attributes.get("known_remote") is False
    named = compile_globs(getattr(policy.sections.get("git"), "repositories", ())).matches(repository)
    if not (unknown and named):
        yield f"  repositories: [{_quoted(escape(repository))}]"
    if unknown:
        yield f"  remotes: [{_quoted(escape(str(action.attributes.get('remote') or '<remote>')))}]"


def _folder(path: str) -> Path:
    """The folder to name as a root: the nearest one that is there."""
    folder = Path(path)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _ids(rules: Any) -> Iterator[str]:
    seen: set[str] = set()
    for made in rules:
        id = "permit-" + next(iter(made.values())).replace(".", "-").replace("_", "-")
        while id in seen:
            id += "-too"
        seen.add(id)
        yield id


def _flow(made: Mapping[str, Any]) -> str:
    """One rule as YAML flow text."""

    def value(item: Any) -> str:
        if isinstance(item, Mapping):
            return "{" + ", ".join(f"{key}: {value(v)}" for key, v in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(value(v) for v in item) + "]"
        return str(item) if str(item).replace(".", "").replace("_", "").isalnum() else _quoted(str(item))

    return value(made)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(value: Attribute | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(path or "(all of it)" for path in value[:8]) + (" and more" if len(value) > 8 else "")
    return str(value)


def decided(policy: Policy, actions: Sequence[Action]) -> Decision:
    """What the policy says of these actions."""
    return Decider(policy.rules, VERBS).decide(actions)
