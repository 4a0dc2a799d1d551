"""Argument models as JSON Schema in the fewest characters that still tell a model what to send.

Every character is paid for in each conversation, so titles, references, nulls of optional fields and bounds go: the
guard checks them all, and its refusal says what is allowed.
"""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator, BaseModel


def compact_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """The `inputSchema` of a tool: self-contained; names, types, choices, defaults and descriptions."""
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    compact = _compact(schema, definitions)
    assert isinstance(compact, dict)
    compact.setdefault("properties", {})
    compact.pop("description", None)
    return compact


_CHECKED_BY_US = frozenset(
    [
        "title",
        "additionalProperties",
        "pattern",
        "maxLength",
        "minLength",
        "maxItems",
        "minItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ]
)


def _compact(node: Any, definitions: dict[str, Any], named: bool = False) -> Any:
    """`named`: the keys of `node` are names of fields, not keywords."""
    if isinstance(node, list):
        return [_compact(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _compact({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    if named:
        return {key: _compact(value, definitions) for key, value in node.items()}
    compact = {
        key: _compact(value, definitions, named=key == "properties")
        for key, value in node.items()
        if key not in _CHECKED_BY_US and not (key == "default" and value in (None, False, "", []))
    }
    choices = compact.get("anyOf")
    if isinstance(choices, list):
        real = [choice for choice in choices if choice != {"type": "null"}]
        if len(real) == 1 and len(choices) == 2:  # optional: leaving it out says the same as null
            del compact["anyOf"]
            compact = {**real[0], **compact}
    return compact


def at_most(most: int) -> AfterValidator:
    """For a text argument: characters at most. Said in the refusal, not in the schema."""

    def check(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"at most {most} characters")
        return text

    return AfterValidator(check)


def between(low: int, high: int) -> AfterValidator:
    """For a number argument: both bounds are allowed. Said in the refusal, not in the schema."""

    def check(number: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"a number from {low} to {high}")
        return number

    return AfterValidator(check)
