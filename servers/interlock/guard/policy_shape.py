"""Turns what pydantic says about a part of a policy into problems with places and hints. Loaded only for errors."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from interlock.documents import Ambiguous, Node

from .policy_problems import Problem, at, at_key, nearest

_PLAIN = {
    "string_type": "this must be text (put it in quotes if it is meant as text)",
    "int_type": "this must be a whole number",
    "int_parsing": "this must be a whole number",
    "bool_type": "this must be true or false",
    "bool_parsing": "this must be true or false",
    "dict_type": "this must be a mapping of keys",
    "model_type": "this must be a mapping of keys",
    "tuple_type": "this must be a list",
    "list_type": "this must be a list",
    "too_short": "this list must not be empty",
}


def shape_problems(model: type[BaseModel], tree: Node, error: ValidationError) -> list[Problem]:
    """One problem for each of pydantic's errors, at the value or key that it is about."""
    problems = []
    for one in error.errors(include_url=False, include_input=False):
        location = list(one["loc"])
        node, rest, parent, key = _find(tree, location)
        if one["type"] == "extra_forbidden" and parent is not None:
            known = _fields(model, location[:-1])
            problems.append(at_key(parent, key, f"there is no `{key[:60]}` here", nearest(key, known)))
        elif one["type"] == "missing":
            problems.append(at(node, f"`{'.'.join(str(part) for part in rest) or key}` is missing here"))
        else:
            name = f"`{key}`: " if key and not key.isdecimal() else ""
            problems.append(at(node, name + _message(one), _hint(node)))
    return problems


def _message(one: Any) -> str:
    kind, context = one["type"], one.get("ctx") or {}
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "value_error":
        return str(context.get("error", one["msg"]))
    if kind == "literal_error":
        return f"this must be one of {context.get('expected', '')}"
    if kind == "string_pattern_mismatch":
        return "this has a form that is not accepted"
    return str(one["msg"]).removeprefix("Value error, ")


def _hint(node: Node) -> str:
    return "YAML 1.2 knows only true and false" if isinstance(node.value, Ambiguous) else ""


def _find(tree: Node, location: list[Any]) -> tuple[Node, list[Any], Node | None, str]:
    """The deepest node on the way, what was left of the way, and the mapping and key that lead to it."""
    node, parent, key = tree, None, ""
    for i, part in enumerate(location):
        value = node.value
        if isinstance(value, dict) and part in value:
            parent, key, node = node, str(part), value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        elif isinstance(value, dict) and part == "[key]":
            continue
        else:
            return node, location[i:], parent, key
    return node, [], parent, key


def _fields(model: type[BaseModel], location: list[Any]) -> list[str]:
    """The keys that may stand at a place."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields:
                return []
            current = current.model_fields[str(part)].annotation
        current = _inner(current)
    current = _inner(current)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _inner(kind: Any) -> Any:
    """The model within Optional, dict, tuple or Annotated; the type itself where there is none."""
    if isinstance(kind, type) and not get_args(kind):
        return kind
    for argument in get_args(kind):
        found = _inner(argument)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return kind
