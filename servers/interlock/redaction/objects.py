"""JSON-like values, judged whole: a value under a secret's name goes, and so does everything in a Secret's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .names import BENIGN, HUMAN, classify
from .placeholders import Numbers, is_random
from .values import is_secret

if TYPE_CHECKING:
    from interlock.guard.model import Redacted

_NAMES: Final = (
    "name",
    "key",
    "Name",
    "Key",
    "ParameterKey",
    "parameter",
    "id",
    "field",
    "header",
    "variable",
    "option",
)
_VALUES: Final = ("value", "Value", "ParameterValue", "val", "content", "default")
_DEEPEST: Final = 200


def plain_object(value: Any, texts: list[str], depth: int = 0) -> bool:
    """Gather all texts of a value, names of fields included; whether no name in it says anything of a secret.

    Then only what is in the texts themselves could be one.
    """
    if isinstance(value, str):
        texts.append(value)
        return True
    if isinstance(value, Mapping):
        plain = depth < _DEEPEST and value.get("kind") != "Secret" and "sensitive" not in value
        for key, item in value.items():
            name = str(key)
            texts.append(name)
            plain = classify(name.encode("utf-8", "surrogatepass"))[0] == BENIGN and plain
            if name in _NAMES and isinstance(item, str):
                plain = classify(item.encode("utf-8", "surrogatepass"))[0] == BENIGN and plain
            if isinstance(item, str):
                texts.append(item)
            elif isinstance(item, (Mapping, list, tuple)):
                plain = depth < _DEEPEST and plain_object(item, texts, depth + 1) and plain
        return plain
    if isinstance(value, (list, tuple)):
        within = [plain_object(item, texts, depth + 1) for item in value] if depth < _DEEPEST else [False]
        return all(within)
    return True


def redact_object(value: Any, redact: Callable[[str], Redacted], numbers: Numbers) -> tuple[Any, int]:
    """The value without its secrets, and how many there were. Keys stay."""
    counter = [0]

    def text(one: str) -> str:
        redacted = redact(one)
        counter[0] += redacted.count
        return redacted.text

    def gone(one: str, kind: str) -> str:
        if one.startswith("[secret:") and one.endswith("]"):
            return one
        counter[0] += 1
        data = one.encode("utf-8", "surrogatepass")
        return numbers.placeholder(kind, data, kind == "password" or not is_random(data)).decode()

    def walk(one: Any, force: int, kind: str, whole: bool, depth: int) -> Any:
        if depth > _DEEPEST:
            return gone(str(type(one).__name__), "nested")
        if isinstance(one, str):
            if one and (whole or is_secret(one.encode("utf-8", "surrogatepass"), force, True)):
                return gone(one, kind or "secret")
            return text(one)
        if isinstance(one, Mapping):
            return mapping(one, force if force == HUMAN else BENIGN, kind, whole, depth)
        if isinstance(one, (list, tuple)):
            return [walk(item, force, kind, whole, depth + 1) for item in one]
        if whole and one is not None and not isinstance(one, bool):
            return gone(str(one), kind or "secret")
        if force == HUMAN and isinstance(one, int) and not isinstance(one, bool) and abs(one) >= 1000:
            return gone(str(one), kind)
        return one

    def mapping(one: Mapping[Any, Any], _force: int, _kind: str, whole: bool, depth: int) -> dict[Any, Any]:
        secret = one.get("kind") == "Secret"
        said = next((str(one[name]) for name in _NAMES if isinstance(one.get(name), str)), "")
        said_force, said_kind = classify(said.encode("utf-8", "surrogatepass"))
        result: dict[Any, Any] = {}
        for key, item in one.items():
            name = str(key)
            force, kind = classify(name.encode("utf-8", "surrogatepass"))
            hidden = whole or (secret and name in ("data", "stringData"))
            if name in _VALUES:
                if one.get("sensitive") is True:
                    hidden, kind = True, "secret"
                elif said_force > force:
                    force, kind = said_force, said_kind
            shown = text(name) if isinstance(key, str) else key
            result[shown] = walk(item, force, "kubernetes-secret" if secret and hidden else kind, hidden, depth + 1)
        return result

    return walk(value, BENIGN, "", False, 0), counter[0]
