"""The JSON Schema of a policy file, for editors: generated from the models, never written by hand.

The loader is the judge; the schema says the same as far as JSON Schema can.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final

from pydantic import BaseModel

from interlock.guard.model import Kind, Verb
from interlock.registry import SECTIONS, VERBS

from .files import PROFILES
from .model import PARTS, Head
from .rules import EFFECTS, MAX_TEXT, RISKS

_EFFECTS: Final = {
    "allow": "These actions run.",
    "notify": "These actions run, and a person is told.",
    "ask": "A person must consent to each of these actions.",
    "deny": "These actions are refused.",
}
_ATTRIBUTES: Final = {
    "branch": "Branch that is moved, made, pushed or removed.",
    "changed": "Key paths whose parsed values change in YAML, JSON or TOML.",
    "command": "The command with its arguments, joined by spaces.",
    "commits": "How many commits the action moves or makes.",
    "container": "Container of the pod.",
    "context": "Cluster context.",
    "data": "Whether data would be lost: volumes, namespaces.",
    "deletes": "Whether the branch or tag is removed.",
    "drain": "Whether the node's pods are evicted too.",
    "exists": "Whether the file is there before.",
    "files": "How many files and folders are affected.",
    "force": "Whether what was there before is replaced.",
    "image": "Image, with registry and tag.",
    "inside": "Whether it lies within the policy's bounds. Outside is denied anyway.",
    "known_remote": "Whether the policy names the remote.",
    "kind": "Kind by plural name, such as deployments.",
    "name": "Name of the object, tag or clean-up.",
    "namespace": "Namespace; empty for what belongs to the whole cluster.",
    "objects": "How many objects the whole call touches.",
    "own": "Whether it is Interlock's own. That is denied anyway.",
    "path": "Real path.",
    "program": "Program that analyses the source.",
    "protected": "Whether its name is protected. That is denied anyway.",
    "protected_branch": "Whether the branch is protected. That is denied anyway.",
    "registry": "Registry of the image.",
    "remote": "Name of the remote.",
    "replicas": "How many replicas there would be.",
    "repository": "Path of the repository.",
    "sensitive": "Whether it grants rights, changes admission or lets a pod reach its node.",
    "size": "Bytes.",
    "source": "Name of the log source.",
    "tag": "Tag of the image.",
    "url": "Address of the remote, without credentials.",
    "to": "Real path that is moved to.",
    "tree": "Whether it is a whole directory.",
}
_REDACTION: Final = {
    "extra": "Patterns of your own by id; the id stands in the placeholder.",
    "pattern": "Linear-time regular expression (RE2).",
    "group": "Which group of the pattern is replaced; 0 is the whole match.",
    "allowed": "SHA-256 of values that are no secrets: printf %s VALUE | sha256sum.",
    "off": "Kinds of the catalogue that are not wanted. This loosens.",
    "sources": "Stricter switches for targets that match a glob.",
    "values": "Every value of key = value lines goes, whatever it looks like.",
    "random": "Long random-looking words go too.",
}


def schema() -> dict[str, Any]:
    """The schema as a JSON value; equal for equal models, so that a test can hold the file against it."""
    head = _inlined(Head)
    properties: dict[str, Any] = dict(head["properties"])
    properties["extends"] = {**properties["extends"], "examples": [*PROFILES, "~/team/policy.yaml"]}
    for name, section in SECTIONS.items():
        properties[name] = _inlined(section)
    contexts = properties["kubectl"]["properties"]["contexts"]["additionalProperties"]["properties"]
    contexts["profile"] = {**contexts["profile"], "enum": list(PROFILES)}
    from interlock.redaction.settings import RedactionSettings

    properties["redaction"] = _described(_inlined(RedactionSettings))
    properties["rules"] = _rules()
    for name, part in PARTS.items():
        properties[name] = {key: value for key, value in _inlined(part).items() if key != "required"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Interlock policy",
        "description": "What agents may do on this machine. Strictest match wins; what no rule allows is denied.",
        "type": "object",
        "properties": properties,
        "required": ["version"],
        "additionalProperties": False,
    }


def _described(section: dict[str, Any]) -> dict[str, Any]:
    """The redaction section with a description for each key."""
    for name, child in section.get("properties", {}).items():
        child.setdefault("description", _REDACTION.get(name, ""))
        _described(child)
        if isinstance(child.get("additionalProperties"), dict):
            _described(child["additionalProperties"])
    return section


def schema_text() -> str:
    """The schema as it is written to policy/schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _rules() -> dict[str, Any]:
    texts = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    properties: dict[str, Any] = {
        effect: {"description": _EFFECTS[effect], **_one_or_more(_actions())} for effect in EFFECTS
    }
    properties["where"] = _where()
    properties["overrides"] = {
        "description": "Shipped rules that do not count for what this rule matches, such as production.restart.",
        **_one_or_more({"type": "string", "pattern": r"^(?!builtin\.)[^.]+\.[^.]+$"}),
    }
    properties["risk"] = {
        "description": "Raises the risk; critical needs the terminal and the resource's name typed.",
        "enum": list(RISKS),
    }
    properties["reason"] = {"description": "Why, in a sentence; shown in refusals and approvals.", **texts}
    properties["hint"] = {"description": "What the agent should do instead; shown in refusals.", **texts}
    return {
        "description": "Rules by id: {effect: actions, where: ..., ...}. All that match count, the strictest decides.",
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"},
        "additionalProperties": {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "oneOf": [{"required": [effect]} for effect in EFFECTS],
        },
    }


def _actions() -> dict[str, Any]:
    servers = sorted({verb.partition(".")[0] for verb in VERBS})
    return {"enum": ["reads", "changes", *(f"{server}.*" for server in servers), *sorted(VERBS)]}


def _where() -> dict[str, Any]:
    holders: dict[tuple[str, Kind], list[Verb]] = defaultdict(list)
    for verb in VERBS.values():
        for name, kind in verb.attributes.items():
            holders[name, kind].append(verb)
    properties = {}
    for (name, kind), verbs in sorted(holders.items(), key=lambda item: item[0][0]):
        listed = ", ".join(sorted(verb.name for verb in verbs))
        properties[name] = {"description": f"{_ATTRIBUTES.get(name, '')} Of {listed}.".strip(), **_match(kind)}
    return {
        "description": "Conditions on attributes of the actions; all must hold.",
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "additionalProperties": False,
    }


def _match(kind: Kind) -> dict[str, Any]:
    match kind:
        case Kind.TEXT:
            return _one_or_more({"type": "string", "minLength": 1})
        case Kind.PATH:
            return _one_or_more({"type": "string", "pattern": r"^(~$|~/|/|\*\*)"})
        case Kind.NUMBER:
            number = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9]{1,12}[KMGT]?$"}]}
            both = {"min": number, "max": number}
            return {"anyOf": [*number["anyOf"], {"type": "object", "properties": both, "additionalProperties": False}]}
        case Kind.FLAG:
            return {"type": "boolean"}
        case Kind.KEYS:
            listed = _one_or_more({"type": "string", "minLength": 1})
            only = {"only": {"description": "Nothing but these changes.", **listed}}
            beyond = {"beyond": {"description": "Something other than these changes.", **listed}}
            return {
                "type": "object",
                "properties": {**only, **beyond},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            }


def _one_or_more(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references, titles and nulls, so that models of equal names do not meet."""
    raw = model.model_json_schema()
    definitions = raw.pop("$defs", {})
    made = _clean(raw, definitions)
    assert isinstance(made, dict)
    return made


def _clean(node: Any, definitions: dict[str, Any], names: bool = False) -> Any:
    """`names`: the keys of this mapping are names of properties, not words of JSON Schema."""
    if isinstance(node, list):
        return [_clean(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _clean({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    made = {
        key: _clean(value, definitions, names=key == "properties" and not names)
        for key, value in node.items()
        if names or not (key == "title" or (key == "default" and value is None))
    }
    choices = made.get("anyOf")
    if not names and isinstance(choices, list) and {"type": "null"} in choices:  # a key is left out, never null
        real = [choice for choice in choices if choice != {"type": "null"}]
        del made["anyOf"]
        made = {**(real[0] if len(real) == 1 else {"anyOf": real}), **made}
    return made
