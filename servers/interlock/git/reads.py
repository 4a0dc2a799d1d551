"""The reading tools that list: status (also branches, tags, stashes, remotes) and log. Compact text, paged.

Everything from the repository is redacted before it is filtered or cut. Not for contents (`showing`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Result
from interlock.untrusted import one_line

from . import revisions
from .contents import Contents, shown_path
from .names import HIDDEN, tree_path
from .repositories import Facts
from .scan import Scan, Scanner

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

    from .arguments import Log, Status

PAGE: Final = 150  # lines of a listing
LOG_USUAL: Final = 20
LOG_MAX: Final = 200
SECONDS: Final = 3.0  # a search through history stops here and says where it was
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?(Z|[+-]\d{2}:?\d{2})?\Z")
_AGO: Final = re.compile(r"(\d{1,5})[ .](minute|hour|day|week|month|year)s?(?:[ .]ago)?\Z")
_UNITS: Final = {"minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}
_STATES: Final = {
    1: "merge in progress", 2: "revert in progress", 3: "revert in progress", 4: "cherry-pick in progress",
    5: "cherry-pick in progress", 6: "bisect in progress", 7: "rebase in progress", 8: "rebase in progress",
    9: "rebase in progress", 10: "am in progress", 11: "am in progress",
}  # fmt: skip


class Reads:
    """Status and log of one server."""

    def __init__(self, contents: Contents, scanner: Scanner) -> None:
        self._contents = contents
        self._scanner = scanner

    # ---------------------------------------------------------------- status

    def status(self, repo: pygit2.Repository, facts: Facts, arguments: Status, policy: Policy) -> Result:
        if arguments.show == "branches":
            return self._branches(repo, arguments.offset)
        if arguments.show == "tags":
            return self._tags(repo, arguments.offset)
        if arguments.show == "stashes":
            return self._stashes(repo)
        if arguments.show == "remotes":
            return self._remotes(facts)
        scan = self._scanner.recent(repo, facts) if not facts.bare else Scan()
        lines = [f"{entry.code} {shown_path(entry.path)}" for entry in scan.entries]
        page, cut = _page(lines, arguments.offset)
        header = "; ".join(
            part for part in (where(repo, self._contents), _counts(scan, facts), *_notes(repo, facts, scan)) if part
        )
        return _listing(header, page, cut, arguments.offset, len(lines))

    def _branches(self, repo: pygit2.Repository, offset: int) -> Result:
        current = "" if repo.head_is_unborn or repo.head_is_detached else repo.head.name
        lines = []
        for name in sorted(n for n in repo.references if n.startswith(("refs/heads/", "refs/remotes/"))):
            reference = repo.lookup_reference(name)
            if isinstance(reference.raw_target, bytes):
                lines.append(f"  {_ref(name)} -> {_ref(reference.raw_target.decode('utf-8', 'replace'))}")
                continue
            mark = "*" if name == current else " "
            lines.append(f"{mark} {_ref(name)} {str(reference.target)[:10]}")
        page, cut = _page([self._contents.message(line) for line in lines], offset)
        return _listing(f"{len(lines)} branches; * is the current one", page, cut, offset, len(lines))

    def _tags(self, repo: pygit2.Repository, offset: int) -> Result:
        names = sorted(n for n in repo.references if n.startswith("refs/tags/"))
        page, cut = _page(names, offset)
        lines = [f"{_ref(n)} {str(repo.lookup_reference(n).target)[:10]}" for n in page]
        return _listing(f"{len(names)} tags", [self._contents.message(line) for line in lines], cut, offset, len(names))

    def _stashes(self, repo: pygit2.Repository) -> Result:
        lines = []
        for number, stash in enumerate(repo.listall_stashes()):
            lines.append(f"{number} {str(stash.commit_id)[:10]} {one_line(self._contents.message(stash.message), 120)}")
        page, cut = _page(lines, 0)
        return _listing(f"{len(lines)} stashes", page, cut, 0, len(lines))

    def _remotes(self, facts: Facts) -> Result:
        from .remotes import shown_url

        lines = []
        for key in sorted(facts.configuration.names()):
            if key.startswith("remote.") and key.endswith(".url"):
                url = facts.configuration.get(key) or ""
                lines.append(f"{one_line(key[7:-4], 60)} {self._contents.message(shown_url(url))}")
        return _listing(f"{len(lines)} remotes; git_guard says which may be used", lines, False, 0, len(lines))

    # ---------------------------------------------------------------- log

    def log(self, repo: pygit2.Repository, facts: Facts, arguments: Log, policy: Policy) -> Result:
        since = _date(arguments.since)
        path = tree_path(arguments.path, facts.name)
        ref, limit = arguments.ref or "HEAD", min(arguments.limit or LOG_USUAL, LOG_MAX)
        walker = _walk(repo, ref)
        deadline = time.monotonic() + SECONDS
        found: list[pygit2.Commit] = []
        last, seen, skipping, cut, slow = "", 0, bool(arguments.after), False, False
        after = str(revisions.commit(repo, arguments.after).id) if arguments.after else ""
        for commit in walker:
            seen += 1
            if seen % 64 == 0 and time.monotonic() > deadline:
                cut = slow = True
                break
            if skipping:
                skipping = str(commit.id) != after
                continue
            if not self._wanted(repo, commit, path, since, arguments):
                last = str(commit.id)
                continue
            if len(found) == limit:
                cut = True
                break
            last = str(commit.id)
            found.append(commit)
        lines = self._lines(found)
        header = f"{len(lines)} commit{'' if len(lines) == 1 else 's'} of {one_line(ref, 60)}"
        header += f" with changes to {shown_path(path)}" if path else ""
        if arguments.limit > LOG_MAX:
            header += f"; at most {LOG_MAX} at a time"
        if repo.is_shallow:
            header += "; shallow clone: older history is not here"
        if cut:
            why = "searching takes long" if slow else "more follow"
            header += f"; {why}: git_log(after={last[:12]})"
        return Result(text="\n".join(lines), header=header, untrusted=True, truncated=cut)

    def _wanted(self, repo: pygit2.Repository, commit: pygit2.Commit, path: str, since: float, arguments: Log) -> bool:
        if since and commit.commit_time < since:
            return False
        if arguments.author:
            who = self._contents.message(f"{commit.author.name} <{commit.author.email}>")
            if arguments.author.casefold() not in who.casefold():
                return False
        if arguments.search and arguments.search.casefold() not in self._contents.message(text_of(commit)).casefold():
            return False
        return not path or _touches(commit, path)

    def _lines(self, commits: list[pygit2.Commit]) -> list[str]:
        """One line a commit. Messages are redacted whole, then cut to their first line."""
        texts = self._contents.messages([text_of(commit).strip() for commit in commits])
        names = self._contents.messages([commit.author.name or "?" for commit in commits])
        lines = []
        for commit, text, name in zip(commits, texts, names, strict=True):
            subject, _, body = text.partition("\n")
            more = f" [+{body.strip().count(chr(10)) + 1} lines]" if body.strip() else ""
            merged = " (merge)" if len(commit.parent_ids) > 1 else ""
            lines.append(
                f"{str(commit.id)[:10]} {day_of(commit)} {one_line(name, 30)}: {one_line(subject, 120)}{merged}{more}"
            )
        return lines


def where(repo: pygit2.Repository, contents: Contents) -> str:
    """`on feature/x (1 ahead, 2 behind origin/main)`, or what HEAD is instead; operations in progress."""
    state = _STATES.get(int(repo.state()), "")
    if repo.head_is_unborn:
        place = "no commit yet"
    elif repo.head_is_detached:
        place = f"detached at {str(repo.head.target)[:10]}"
    else:
        name = repo.head.name.removeprefix("refs/heads/")
        place = f"on {one_line(contents.message(name), 100)}"
        upstream = revisions.upstream_of(repo, name)
        if upstream:
            ahead, behind = repo.ahead_behind(repo.head.target, repo.lookup_reference(upstream).resolve().target)
            place += f" ({ahead} ahead, {behind} behind {one_line(_ref(upstream), 80)})"
    return f"{place}; {state}" if state else place


def text_of(commit: pygit2.Commit) -> str:
    return commit.raw_message.decode("utf-8", "replace")


def day_of(commit: pygit2.Commit) -> str:
    try:
        zone = timezone(timedelta(minutes=commit.commit_time_offset))
        return datetime.fromtimestamp(commit.commit_time, zone).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "0000-00-00 00:00"


def _walk(repo: pygit2.Repository, ref: str) -> Iterator[pygit2.Commit]:
    """Commits newest first, without sorting the whole history beforehand."""
    from pygit2.enums import SortMode

    two = revisions.split_range(ref)
    if two is None:
        if repo.head_is_unborn and ref == "HEAD":
            return iter(())
        return iter(repo.walk(revisions.commit(repo, ref).id, SortMode.NONE))
    old, new = revisions.commit(repo, two.old), revisions.commit(repo, two.new)
    walker = repo.walk(new.id, SortMode.NONE)
    if two.symmetric:
        walker.push(old.id)
        base = repo.merge_base(old.id, new.id)
        if base is not None:
            walker.hide(base)
    else:
        walker.hide(old.id)
    return iter(walker)


def _touches(commit: pygit2.Commit, path: str) -> bool:
    """Whether the commit differs at `path` from every parent (a merge that only took one side does not)."""
    mine = _at(commit.tree, path)
    if not commit.parent_ids:
        return mine is not None
    return all(_at(parent.tree, path) != mine for parent in commit.parents)


def _at(tree: pygit2.Tree, path: str) -> object:
    try:
        return tree[path].id
    except KeyError:
        return None


def _date(text: str) -> float:
    """Seconds since the epoch; 0 for no text. As git writes dates, and `2 weeks ago`, `yesterday`. Raises Refused."""
    if not text:
        return 0.0
    plain = text.strip().lower()
    if ago := _AGO.match({"yesterday": "1 day", "today": "0 day"}.get(plain, plain)):
        return time.time() - int(ago[1]) * _UNITS[ago[2]] if plain != "today" else time.time() // 86400 * 86400
    match = _DATE.match(text)
    try:
        if match is None:
            raise ValueError
        zone = match[7] or "Z"
        stamp = datetime(*[int(match[i] or 0) for i in range(1, 7)], tzinfo=UTC)  # type: ignore[misc,arg-type]
        if zone != "Z":
            minutes = int(zone[1:3]) * 60 + int(zone[-2:])
            stamp -= timedelta(minutes=minutes if zone[0] == "+" else -minutes)
        return stamp.timestamp()
    except ValueError:
        raise Refused(
            Code.INVALID, "since is no date", hint="give YYYY-MM-DD, or YYYY-MM-DDTHH:MM with a zone, or `2 weeks ago`"
        ) from None


def _ref(name: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
        if name.startswith(prefix):
            return shown_path(name.removeprefix(prefix))
    return shown_path(name)


def _counts(scan: Scan, facts: Facts) -> str:
    if facts.bare:
        return "bare: no work tree"
    parts = [
        f"{n} {what}"
        for n, what in (
            (scan.staged, "staged"),
            (scan.changed, "changed"),
            (scan.untracked, "untracked"),
            (scan.conflicted, "in conflict"),
        )
        if n
    ]
    return ", ".join(parts) or "clean"


def _notes(repo: pygit2.Repository, facts: Facts, scan: Scan) -> list[str]:
    notes = []
    if scan.unwatched:
        notes.append(f"not all is seen: {scan.unwatched} files are marked assume-unchanged or skip-worktree")
    if repo.is_shallow:
        notes.append("shallow clone")
    if facts.programs:
        shown = ", ".join(facts.programs[:4]) + (", …" if len(facts.programs) > 4 else "")
        notes.append(f"the repository names programs that are not run: {shown}")
    if any(name.startswith("refs/replace/") for name in repo.references) if repo.references else False:
        notes.append("replace refs are ignored")
    return notes


def _page(lines: list[str], offset: int) -> tuple[list[str], bool]:
    return lines[offset : offset + PAGE], offset + PAGE < len(lines)


def _listing(header: str, lines: list[str], cut: bool, offset: int, total: int) -> Result:
    if cut or offset:
        header += f"; {offset + 1 if lines else offset} to {offset + len(lines)} of {total}"
        header += f"; more: offset={offset + len(lines)}" if cut else ""
    return Result(text="\n".join(lines), header=header, untrusted=True, truncated=cut)


__all__ = ["HIDDEN", "Reads", "day_of", "text_of", "where"]
