"""The types of the policy's values: durations, sizes, places, globs. Used by the sections of all servers.

Each checks one value and says in its error what would be right. Not for what a value means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from interlock import globs

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)\Z")
_SIZE = re.compile(r"(\d{1,12})([KMGT]?)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


class PolicyModel(BaseModel):
    """What every part of a policy shares: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def seconds(value: Any) -> int:
    """`90s`, `15m`, `4h`, `30d` as whole seconds. Raises ValueError."""
    if isinstance(value, str) and (match := _DURATION.match(value)):
        return int(match[1]) * _SECONDS[match[2]]
    raise ValueError("a time is a number and one of s, m, h, d, such as 90s, 15m, 4h or 30d")


def size(value: Any) -> int:
    """`200`, `5M`, `20G` as bytes; powers of 1024. Raises ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and (match := _SIZE.match(text)):
        return int(int(match[1]) * 1024 ** _POWER[match[2]])
    raise ValueError("a size is a number of bytes, or a number and one of K, M, G, T, such as 5M or 20G")


def place(value: Any) -> Path:
    """A `~` or absolute path as a real path (links resolved as far as they exist). Raises ValueError."""
    path = Path(os.path.realpath(absolute(value)))
    if ("*" in path.name or "?" in path.name) and not path.exists():
        raise ValueError("this is the path of one folder, and no glob: name each folder")
    return path


def place_glob(value: Any) -> str:
    """A glob over real paths: `~` expanded, links resolved in the part before its first special character."""
    text = absolute(value)
    globs.check(text)
    parts = text.split("/")
    plain = next((i for i, part in enumerate(parts) if globs.special(part)), len(parts))
    if plain <= 1:
        return text
    real = os.path.realpath("/".join(parts[:plain]) or "/")
    return "/".join([globs.escape(real).rstrip("/"), *parts[plain:]])


def path_pattern(value: Any) -> str:
    """The glob of a rule for an attribute that is a path: a place, or `**/...` for anywhere. Raises ValueError.

    Where the file system does not tell cases apart, neither does the glob.
    """
    text = _text(value)
    if text.startswith("**"):
        globs.check(text)
        return any_case(text) if folds_case(str(Path.home())) else text
    if not text.startswith(("/", "~")):
        raise ValueError(f"a path is absolute, or begins with `~/` or `**/`: write `**/{text[:60]}` for anywhere")
    glob = place_glob(text)
    plain = "/".join(part for part in glob.split("/") if not globs.special(part))
    return any_case(glob) if folds_case(plain) else glob


@lru_cache(1024)
def folds_case(folder: str) -> bool:
    """Whether names here (or in the nearest folder above that is there) are the same in either case."""
    above, _, name = folder.rpartition("/")
    if not name:
        return bool(above) and folds_case(above)
    path, other = Path(folder), Path(f"{above}/{name.swapcase()}")
    if path == other or not path.exists():
        return folds_case(above)
    try:
        return other.samefile(path)
    except OSError:
        return False


def any_case(glob: str) -> str:
    """The same glob with either case of each letter."""
    out, i = [], 0
    while i < len(glob):
        c = glob[i]
        if c == "\\":
            out.append(glob[i : i + 2])
            i += 2
            continue
        if c == "[":
            end = glob.find("]", i + 2) + 1
            members = glob[i + 1 : end - 1]
            out.append(f"[{members}{members.lstrip('!^').swapcase()}]")
            i = end
            continue
        pair = sorted({c.lower(), c.upper()})
        out.append(f"[{''.join(pair)}]" if len(pair) == 2 and all(len(p) == 1 for p in pair) else c)
        i += 1
    return "".join(out)


def name_glob(value: Any) -> str:
    """A glob over names (branches, namespaces, programs). Raises ValueError."""
    text = _text(value)
    globs.check(text)
    return text


def one_or_more(value: Any) -> Any:
    """A single value where a list may stand."""
    return [value] if isinstance(value, str) else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"this must be text; {_kind(value)} stands here (put it in quotes if it is meant as text)")
    if not value or value != value.strip():
        raise ValueError("this must not be empty nor begin or end with a space")
    if "${" in value:
        raise ValueError("`${` is not expanded in a policy: write the value out")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("this holds a control character")
    return value


def absolute(value: Any) -> str:
    """A path as it is written: `~/` expanded, no doubled or last slash, links as they are. Raises ValueError."""
    text = _text(value)
    if text == "~" or text.startswith("~/"):
        home = os.environ.get("HOME") or str(Path.home())
        text = (globs.escape(home) if globs.special(text) else home) + text[1:]
    elif text.startswith("~"):
        raise ValueError("only `~/` of your own home is expanded: write the path out")
    if not text.startswith("/"):
        raise ValueError("a path must be absolute or begin with `~/`: a server has no meaningful working directory")
    if any(part in (".", "..") for part in text.split("/")):
        raise ValueError("a path must not hold `.` or `..` as a part")
    while "//" in text:
        text = text.replace("//", "/")
    return text.rstrip("/") or "/"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, Sequence) else "a mapping"


def _schema(pattern: str, *examples: str, kind: str = "string") -> WithJsonSchema:
    """What an editor is told of a value: JSON Schema."""
    return WithJsonSchema({"type": kind, "pattern": pattern, "examples": list(examples)})


_PATH_FORM = r"^(~$|~/|/)"

Seconds = Annotated[
    int, BeforeValidator(seconds), Field(gt=0), _schema(r"^[0-9]{1,9}[smhd]$", "90s", "15m", "4h", "30d")
]
Size = Annotated[
    int,
    BeforeValidator(size),
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,12}[KMGT]?$"}],
            "examples": ["5M", "20G"],
        }
    ),
]
Place = Annotated[Path, PlainValidator(place), _schema(_PATH_FORM, "~/work/app", "/srv/app")]
PlaceGlob = Annotated[str, BeforeValidator(place_glob), _schema(_PATH_FORM, "~/work/*", "/var/log/app/*.log*")]
PathPattern = Annotated[
    str, BeforeValidator(path_pattern), _schema(r"^(~$|~/|/|\*\*)", "~/work/app/src/**", "**/*.pem")
]
NameGlob = Annotated[str, BeforeValidator(name_glob)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
NamesList = Annotated[tuple[NameGlob, ...], Field(min_length=1)]
