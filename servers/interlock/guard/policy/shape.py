"""Turns what pydantic says about a part of a policy into problems with places and hints. Loaded only for errors."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from interlock.documents import Ambiguous, Node

from .problems import Problem, at, at_key, nearest

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
    errors = error.errors(include_url=False, include_input=False)
    for one in errors:
        location = list(one["loc"])
        if one["type"] == "too_short" and any(e["loc"][: len(location)] == one["loc"] for e in errors if e is not one):
            continue  # it is short only because its items are wrong
        node, rest, parent, key = _find(tree, location)
        if one["type"] == "extra_forbidden" and parent is not None:
            known = _fields(model, location[:-1])
            problems.append(at_key(parent, key, f"there is no `{key[:60]}` here", nearest(key, known)))
        elif one["type"] == "missing":
            problems.append(at(node, f"`{'.'.join(str(part) for part in rest) or key}` is missing here"))
        else:
            name = f"`{key}`: " if key and not key.isdecimal() else ""
            problems.append(at(node, name + _message(one), _hint(one, node)))
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


def _hint(one: Any, node: Node) -> str:
    if one["type"] == "string_pattern_mismatch":
        return f"it is of the form {one['ctx']['pattern']}"
    if not isinstance(node.value, Ambiguous):
        return ""
    return "write it in digits alone" if one["type"].startswith("int_") else "YAML 1.2 knows only true and false"


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
        if _is_model(current):
            if part not in current.model_fields:
                return []
            current = _without_none(current.model_fields[part].annotation)
        else:  # an item of a list, or a value under a name of the user's
            current = _without_none(next((a for a in reversed(get_args(current)) if a is not Ellipsis), None))
    return list(current.model_fields) if _is_model(current) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _without_none(kind: Any) -> Any:
    """The type in `X | None` and `Annotated[X, ...]`."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        arguments = get_args(kind)
        kind = arguments[0] if get_origin(kind) is Annotated else next(a for a in arguments if a is not type(None))
    return kind
