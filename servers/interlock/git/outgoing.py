"""What may not go into a commit or out with a push: secrets, placeholders, large or protected files. Named by file and
line, never by value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Detector
from interlock.untrusted import one_line

from .contents import private, protection, secret_file, shown_path
from .patches import Changed

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

LISTED: Final = 10  # findings that a refusal names
SCANNED: Final = 64 << 20  # bytes of one file that are scanned; larger ones are refused before
_LINES: Final = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CLAIMS: Final = tuple(
    f"{did}-by" for did in ("reviewed", "approved", "acked", "signed-off", "tested", "verified", "authorized")
)
# Control characters, and those that turn the direction of what a reader sees.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Limits:
    """The policy's limits on one commit. Sizes in bytes."""

    max_file: int
    max_files: int


def check_message(message: str, detector: Detector) -> None:
    """A commit or tag message, as the agent wrote it. Raises Refused (invalid, protected)."""
    if not message.strip():
        raise Refused(Code.INVALID, "the message is empty", hint="say in one line what the change does")
    if _CONTROL.search(message):
        raise Refused(Code.INVALID, "the message holds control characters")
    if any(_claims(line) for line in _LINES.split(message)):
        raise Refused(
            Code.INVALID,
            "the message claims somebody's review or one of Interlock's own trailers",
            hint="leave Reviewed-by, Approved-by, Acked-by, Signed-off-by, Interlock-* out; people add their own",
        )
    found = _findings(detector, message, "the message")
    if found:
        raise _secret(["the message, line " + ", ".join(str(n) for n, _ in found[:LISTED])])


def _claims(line: str) -> bool:
    """Whether a line reads like somebody's review, or like Interlock's own: also with foreign or invisible letters."""
    seen = "".join(c for c in unicodedata.normalize("NFKD", line) if unicodedata.category(c) not in ("Cf", "Mn"))
    name, colon, _ = seen.strip(" \t>*-").casefold().partition(":")
    name = name.strip()
    if not colon or len(name) > 40:
        return False
    if name.startswith("interlock-"):
        return True
    return any(
        len(name) == len(claim) and all(a == b or not a.isascii() for a, b in zip(name, claim, strict=True))
        for claim in _CLAIMS
    )


def check_files(
    repo: pygit2.Repository,
    root: str,
    files: Iterable[Changed],
    policy: Policy,
    detector: Detector,
    limits: Limits | None,
    where: str = "",
) -> list[str]:
    """Everything that these files add. Returns reasons to ask (protected files). Raises Refused.

    What the old side already held is no news: only secrets that are new count. `where` names the commit.
    """
    import pygit2

    bad: list[str] = []
    shielded: list[str] = []
    count = 0
    for changed in files:
        count += 1
        if limits is not None and count > limits.max_files:
            raise Refused(
                Code.TOO_LARGE,
                f"more than {limits.max_files} files change at once",
                hint="commit in smaller parts: git_commit(paths=[...])",
            )
        full, name = f"{root}/{changed.path}", shown_path(changed.path)
        if protection(full, policy):
            shielded.append(changed.path)
        if changed.status == "D" or changed.new_mode == 0o160000:
            continue
        if private(full, policy) or secret_file(full):
            raise Refused(
                Code.PROTECTED,
                f"{name}{where} is a file for secrets, which does not go into a commit",
                hint="leave it out, and list it in .gitignore",
                rule="builtin.protected",
            )
        blob = repo.get(changed.new_id)
        if not isinstance(blob, pygit2.Blob):
            continue
        size = blob.size
        if limits is not None and size > limits.max_file:
            raise Refused(
                Code.TOO_LARGE,
                f"{name}{where} has {size:,} bytes; the policy allows {limits.max_file:,}",
                hint="leave it out, or ask a person to raise git.max_file",
            )
        before = repo.get(changed.old_id) if changed.status != "A" else None
        old = before.data if isinstance(before, pygit2.Blob) else b""
        lines = _new_secrets(detector, blob.data[:SCANNED], old[:SCANNED], full)
        secrets_in_name = _findings(detector, changed.path, "")
        if lines or secrets_in_name:
            bad.append(f"{name}{where}, line {', '.join(str(n) for n in lines[:5]) or 'none: its name'}")
            if len(bad) >= LISTED:
                break
    if bad:
        raise _secret(bad)
    if shielded:
        names = ", ".join(shown_path(p) for p in shielded[:5]) + (", …" if len(shielded) > 5 else "")
        return [f"it changes protected files: {names}"]
    return []


def _new_secrets(detector: Detector, new: bytes, old: bytes, target: str) -> list[int]:
    text = (_wide(new) if b"\0" in new[:8000] else "") or new.decode("utf-8", "replace")
    found = _findings(detector, text, target)
    if not found:
        return []
    known = (_wide(old) if b"\0" in old[:8000] else "") or old.decode("utf-8", "replace")
    return sorted({number for number, value in found if not value or value not in known})


def _wide(data: bytes) -> str:
    """UTF-16, which hides text from a scanner of bytes."""
    for encoding in ("utf-16-le", "utf-16-be"):
        text = data.decode(encoding, "replace")
        if sum(c.isascii() and c != "\0" for c in text[:1000]) > len(text[:1000]) // 2:
            return text
    return ""


def _findings(detector: Detector, text: str, target: str) -> list[tuple[int, str]]:
    """Line and raw value of every secret; an empty value for one of Interlock's placeholders."""
    outgoing = getattr(detector, "find_in_outgoing", None)
    finder: Callable[[str], Any] = outgoing or detector.spans  # type: ignore[attr-defined]
    found = [(text.count("\n", 0, span.start) + 1, text[span.start : span.end]) for span in finder(text)]
    if detector.has_placeholder(text):  # type: ignore[attr-defined]
        at = text.find("[secret:")
        found.append((text.count("\n", 0, max(at, 0)) + 1, ""))
    return sorted(found)


def _secret(places: list[str]) -> Refused:
    return Refused(
        Code.PROTECTED,
        f"a secret or one of Interlock's placeholders would go out: {one_line('; '.join(places), 600)}",
        hint="take it out of the content (a reference to a secret store or an environment variable is fine); "
        "in older commits only a person can",
        rule="builtin.secrets",
    )
