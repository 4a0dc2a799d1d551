"""The form of a chain on disk, and bringing it and its head together after a crash.

A chain is one process's records: `audit/NAME.jsonl`, then `NAME.1.jsonl` and so on by size. One line is

    {"seq":7,"time":"2026-11-24T21:56:00.123456Z","stage":"done", ... ,"prev":"<64 hex>","hash":"<64 hex>"}

`hash` is the SHA-256 of the line's own bytes before `,"hash":`; `prev` the hash of the line before, for the first
one the SHA-256 of the chain's name. So a line can be checked with `sha256sum`, and without parsing. Every line
whose seq is a multiple of CHECKPOINT_EVERY is a checkpoint signed with the servers' key. The head (last seq, hash and
length) lies in `state.db`. Not for writing records (`records`) nor for judging whole chains (`verification`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.untrusted import visible

CHECKPOINT_EVERY: Final = 256
PART_BYTES: Final = 16 << 20
HASH_TAIL: Final = 75  # len(',"hash":"' + 64 + '"}')
BODY_TAIL: Final = 74  # len(',"prev":"' + 64 + '"')
_NAME: Final = re.compile(r"(?P<chain>\d{4}-\d\d-\d\d-[a-z0-9]+-\d+-[a-z0-9]+)(?:\.(?P<part>\d+))?\.jsonl")
_readable: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
_escaped: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode
_MADE_HERE: Final = frozenset({"seq", "time", "stage", "prev", "hash"})


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the last line and the length of the part that it is in (row of table `heads`)."""

    chain: str
    part: int = 0
    seq: int = 0
    hash: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says about its place, without its fields."""

    seq: int
    prev: str
    hash: str
    sound: bool  # the hash is the hash of the line's bytes


def genesis(chain: str) -> str:
    """What the first line links to: a file that is renamed is not another chain."""
    return hashlib.sha256(chain.encode()).hexdigest()


def new_chain(server: str, now: float, pid: int) -> str:
    return f"{time.strftime('%Y-%m-%d', time.gmtime(now))}-{server}-{pid}-{os.urandom(3).hex()}"


def part_name(chain: str, part: int) -> str:
    return f"{chain}.{part}.jsonl" if part else f"{chain}.jsonl"


def parse_name(name: str) -> tuple[str, int] | None:
    """Chain and part of a file's name; None where it is no part of a chain."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match["chain"], int(match["part"] or 0))


def stamp(seconds: float) -> str:
    """UTC with microseconds, as records hold it; as text it sorts by time."""
    whole, parts = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{parts:06d}Z"


def make_line(seq: int, now: float, fields: Mapping[str, Any], prev: str) -> tuple[bytes, str]:
    """The line's bytes, line feed included, and its hash. What would be invisible is written as JSON escapes."""
    ordered = {"seq": seq, "time": stamp(now), "stage": fields.get("stage", "")}
    ordered.update((key, value) for key, value in fields.items() if key not in _MADE_HERE)
    text = _readable(ordered)
    if not text.isascii() and visible(text) != text:
        text = _escaped(ordered)
    body = f'{text[:-1]},"prev":"{prev}"'.encode()
    digest = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


def read_line(line: bytes) -> Line | None:
    """The place and soundness of one line (without its line feed); None where it is no record at all."""
    body = line[:-HASH_TAIL]
    if line[-HASH_TAIL:-66] != b',"hash":"' or line[-2:] != b'"}' or body[-BODY_TAIL : 9 - BODY_TAIL] != b',"prev":"':
        return None
    number = re.match(rb'\{"seq":(\d{1,15}),', line)
    if number is None:
        return None
    digest = line[-66:-2].decode("ascii", "replace")
    prev = body[9 - BODY_TAIL : -1].decode("ascii", "replace")
    return Line(int(number[1]), prev, digest, hashlib.sha256(body).hexdigest() == digest)


def is_checkpoint(line: bytes) -> bool:
    """By place: seq, time and stage always come first, so nothing an agent says can look like one."""
    return b'Z","stage":"checkpoint",' in line[:90]


def checkpoint_payload(chain: str, seq: int, prev: str) -> bytes:
    """What the servers' key signs: this chain, up to and with the line before."""
    return f"interlock checkpoint\n{chain}\n{seq}\n{prev}\n".encode()


def folder_of(home: Path) -> Path:
    return home / "audit"


def sync_data(fd: int) -> None:
    """Contents and length on the disk; on macOS past the drive's own cache, which fsync alone leaves out."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)
