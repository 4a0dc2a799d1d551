"""The reading tools that show contents: show, diff, blame, search. The list of files first, hunks where they fit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from interlock.guard.errors import Code, Refused
from interlock.guard.model import Result
from interlock.untrusted import one_line

from . import revisions
from .contents import TEXT_LIMIT, Contents, private, secret_file, short_line, shown_path
from .names import tree_path
from .patches import FILES_COUNTED, Changed, FilePatch, Patches, changed_files, new_mode
from .reads import day_of, text_of
from .repositories import Facts
from .scan import Scanner, against_tree

if TYPE_CHECKING:
    import pygit2

    from interlock.guard.policy.loading import Policy

    from .arguments import Blame, Diff, Show

SMALL: Final = 5000  # characters of hunks that are shown without being asked for
LARGE: Final = 10000  # characters of one answer's hunks
FILES: Final = 200  # lines of the list of files
SECONDS: Final = 3.0
HITS: Final = 100
PAGE: Final = 300  # lines of one file, or names of one folder
MESSAGE: Final = 4000
BLAME_LINES: Final = 300


class Showing:
    """Show, diff and blame of one server."""

    def __init__(self, contents: Contents, scanner: Scanner) -> None:
        self._contents = contents
        self._scanner = scanner

    # ---------------------------------------------------------------- diff

    def diff(self, repo: pygit2.Repository, facts: Facts, arguments: Diff, policy: Policy) -> Result:
        paths = [tree_path(p, facts.name) for p in arguments.paths]
        if not arguments.base and not arguments.target and not arguments.staged and not facts.bare:
            what, found = "not staged", self._not_staged(repo, facts)
        elif self._with_work_tree(facts, arguments):
            tree = revisions.tree(repo, arguments.base)
            found = against_tree(repo, facts, self._scanner.recent(repo, facts), tree)
            what = f"{one_line(arguments.base, 60)} to the work tree"
        else:
            diff, what = self._compare(repo, arguments)
            found = changed_files(diff, False)
        files = _within(found, paths)
        header = f"{what}: {_files(len(files))}"
        patches = Patches(repo, facts, self._contents, policy)
        return self._render(patches, files, header, arguments.context or 3, bool(paths), arguments.offset, "git_diff")

    def _with_work_tree(self, facts: Facts, arguments: Diff) -> bool:
        """Whether one side is the work tree. Raises Refused where there is none to compare with."""
        if revisions.split_range(arguments.base) is not None or (arguments.target and not arguments.staged):
            return False
        if facts.bare:
            raise Refused(Code.INVALID, "a bare repository has no work tree", hint="give base and target")
        return not arguments.staged

    def _compare(self, repo: pygit2.Repository, arguments: Diff) -> tuple[pygit2.Diff, str]:
        import pygit2

        base, target = arguments.base, arguments.target
        two = revisions.split_range(base) if base else None
        if two is not None:
            if target or arguments.staged:
                raise Refused(Code.INVALID, "a range needs no target", hint="give base=a..b alone")
            old, new = revisions.commit(repo, two.old), revisions.commit(repo, two.new)
            start = repo.merge_base(old.id, new.id) if two.symmetric else old.id
            if start is None:
                raise Refused(Code.INVALID, "the two revisions have no common history", hint="use a..b")
            first = repo.get(start)
            assert isinstance(first, pygit2.Commit)
            return first.tree.diff_to_tree(new.tree), one_line(base, 120)
        if target and not arguments.staged:
            what = f"{one_line(base or 'HEAD', 60)} to {one_line(target, 60)}"
            return revisions.tree(repo, base or "HEAD").diff_to_tree(revisions.tree(repo, target)), what
        index = repo.index
        index.read(False)
        if repo.head_is_unborn and not base:
            tree = repo.get(repo.TreeBuilder().write())
            assert isinstance(tree, pygit2.Tree)
        else:
            tree = revisions.tree(repo, base or "HEAD")
        return tree.diff_to_index(index), f"staged (against {one_line(base or 'HEAD', 60)})"

    def _not_staged(self, repo: pygit2.Repository, facts: Facts) -> list[Changed]:
        """What the scan found, with the index as the old side: no second walk through the work tree."""
        found = []
        scan = self._scanner.recent(repo, facts)
        repo.index.read(False)
        for entry in scan.entries:
            letter = "U" if entry.code == "UU" else entry.code[1]
            if letter in " ?!" or entry.path not in repo.index:
                continue
            staged = repo.index[entry.path]
            mode = new_mode(facts, entry.path, int(staged.mode))
            found.append(Changed(letter, entry.path, entry.path, str(staged.id), "", int(staged.mode), mode, True))
        return found

    # ---------------------------------------------------------------- show

    def show(self, repo: pygit2.Repository, facts: Facts, arguments: Show, policy: Policy) -> Result:
        ref, path = arguments.ref, arguments.path
        if ":" in ref:
            ref, _, inner = ref.partition(":")
            path = path or inner or "."
            if not ref:
                return self._staged_file(repo, facts, path, arguments, policy)
        if arguments.search:
            return self._search(repo, facts, ref or "HEAD", path, arguments.search, policy)
        if path:
            return self._at(repo, facts, ref or "HEAD", path, arguments, policy)
        return self._commit(repo, facts, ref or "HEAD", arguments, policy)

    def _commit(self, repo: pygit2.Repository, facts: Facts, ref: str, arguments: Show, policy: Policy) -> Result:
        import pygit2

        found = revisions.resolve(repo, ref)
        tag = found if isinstance(found, pygit2.Tag) else None
        commit = revisions.commit(repo, ref)
        lines = []
        if tag is not None:
            lines.append(
                f"tag {one_line(tag.name or '', 100)}: {one_line(self._contents.message(tag.message or ''), 400)}"
            )
        who = self._contents.message(f"{commit.author.name} <{commit.author.email}>")
        lines.append(f"author {one_line(who, 120)}")
        if (commit.committer.name, commit.committer.email) != (commit.author.name, commit.author.email):
            lines.append(f"committer {one_line(self._contents.message(commit.committer.name or '?'), 80)}")
        message = self._contents.message(text_of(commit)).strip()
        lines += ["", message[:MESSAGE] + ("… [message cut]" if len(message) > MESSAGE else ""), ""]
        if commit.parent_ids:
            diff = commit.parents[0].tree.diff_to_tree(commit.tree)
        else:
            diff = commit.tree.diff_to_tree(swap=True)
        paths = [tree_path(p, facts.name) for p in arguments.paths]
        files = _within(changed_files(diff, False), paths)
        parents = ", ".join(str(id)[:10] for id in commit.parent_ids) or "none (first commit)"
        header = f"commit {commit.id} {day_of(commit)}; parents {parents}; {_files(len(files))}"
        if len(commit.parent_ids) > 1:
            header += " against the first parent"
        if repo.is_shallow and not commit.parent_ids:
            header += "; shallow clone: its parents may not be here"
        patches = Patches(repo, facts, self._contents, policy)
        return self._render(patches, files, header, 3, bool(paths), arguments.offset, "git_show", lines)

    def _at(
        self, repo: pygit2.Repository, facts: Facts, ref: str, path: str, arguments: Show, policy: Policy
    ) -> Result:
        import pygit2

        inner = tree_path(path, facts.name)
        tree = revisions.tree(repo, ref)
        found: pygit2.Object = tree
        if inner:
            try:
                found = tree[inner]
            except KeyError:
                raise _not_there(path, ref) from None
        if isinstance(found, pygit2.Tree):
            names = [shown_path(_name(e)) + ("/" if isinstance(e, pygit2.Tree) else "") for e in found]
            page = names[arguments.offset : arguments.offset + PAGE]
            header = f"{shown_path(inner) or 'the root'} at {one_line(ref, 60)}: {len(names)} entries"
            return _lines(header, page, arguments.offset, len(names))
        if not isinstance(found, pygit2.Blob):
            return Result(header=f"{shown_path(inner)} at {one_line(ref, 60)} is a submodule at {str(found.id)[:10]}")
        return self._text(found, inner, facts, f"at {one_line(ref, 60)}", arguments, policy)

    def _staged_file(self, repo: pygit2.Repository, facts: Facts, path: str, arguments: Show, policy: Policy) -> Result:
        import pygit2

        inner = tree_path(path, facts.name)
        repo.index.read(False)
        try:
            blob = repo.get(repo.index[inner].id)
        except KeyError:
            blob = None
        if not isinstance(blob, pygit2.Blob):
            raise _not_there(path, "the index")
        return self._text(blob, inner, facts, "in the index", arguments, policy)

    def _text(self, blob: pygit2.Blob, path: str, facts: Facts, where: str, arguments: Show, policy: Policy) -> Result:
        shown = self._contents.blob(blob, path, facts.name, policy)
        header = f"{shown_path(path)} {where}, {blob.size:,} bytes"
        if shown.note:
            header += f"; {shown.note}"
        if shown.text is None:
            return Result(header=header)
        lines = shown.text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        page = [short_line(line) for line in lines[arguments.offset : arguments.offset + PAGE]]
        result = _lines(f"{header}, {len(lines)} lines", page, arguments.offset, len(lines))
        return Result(
            text=result.text,
            header=result.header,
            untrusted=True,
            redactions=shown.redactions,
            truncated=result.truncated,
        )

    def _search(
        self, repo: pygit2.Repository, facts: Facts, ref: str, path: str, needle: str, policy: Policy
    ) -> Result:
        import pygit2

        inner = tree_path(path, facts.name) if path else ""
        tree = revisions.tree(repo, ref)
        start = tree[inner] if inner else tree
        if not isinstance(start, pygit2.Tree):
            raise Refused(Code.INVALID, "search needs a folder", hint="leave path empty to search everything")
        raw = needle.encode("utf-8", "surrogateescape")
        deadline = time.monotonic() + SECONDS
        hits: list[str] = []
        files, cut = 0, ""
        for name, blob in _blobs(start, inner):
            files += 1
            if len(hits) >= HITS:
                cut = f"; more than {HITS} hits: give a path"
                break
            if files % 32 == 0 and time.monotonic() > deadline:
                cut = f"; stopped after {files} files: give a path"
                break
            full = f"{facts.name}/{name}"
            if blob.size > TEXT_LIMIT or raw not in blob.data or secret_file(full) or private(full, policy):
                continue
            # A hit in raw text counts only if the redacted line has it too: what is hidden cannot be probed.
            text = self._contents.blob(blob, name, facts.name, policy).text or ""
            for number, line in enumerate(text.split("\n"), 1):
                if needle in line and len(hits) < HITS:
                    hits.append(f"{shown_path(name)}:{number}: {short_line(line.rstrip(chr(13)))}")
        header = f"{len(hits)} lines at {one_line(ref, 60)} hold it{cut}"
        return Result(text="\n".join(hits), header=header, untrusted=True, truncated=bool(cut))

    # ---------------------------------------------------------------- blame

    def blame(self, repo: pygit2.Repository, facts: Facts, arguments: Blame, policy: Policy) -> Result:
        import pygit2

        path, ref = tree_path(arguments.path, facts.name), arguments.ref or "HEAD"
        commit = revisions.commit(repo, ref)
        try:
            blob = commit.tree[path]
        except KeyError:
            raise _not_there(arguments.path, ref) from None
        if not isinstance(blob, pygit2.Blob):
            raise Refused(Code.INVALID, f"{shown_path(path)} is no file")
        shown = self._contents.blob(blob, path, facts.name, policy)
        if shown.text is None or secret_file(f"{facts.name}/{path}"):
            return Result(header=f"{shown_path(path)}: {shown.note or 'nothing to blame'}")
        lines = shown.text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        first = min(arguments.start or 1, max(1, len(lines)))
        last = min(arguments.end or len(lines), first + BLAME_LINES - 1, len(lines))
        out, slow = self._blamed(commit, path, blob, lines, first, last)
        header = f"{shown_path(path)} at {one_line(ref, 60)}: lines {first} to {last} of {len(lines)}"
        if slow:
            header += "; the search for origins stopped early: `>` marks lines at least that old"
        if last < len(lines) and (not arguments.end or last < arguments.end):
            header += f"; more: start={last + 1}"
        return Result(
            text="\n".join(out), header=header, untrusted=True, redactions=shown.redactions, truncated=last < len(lines)
        )

    def _blamed(
        self, commit: pygit2.Commit, path: str, blob: pygit2.Blob, lines: list[str], first: int, last: int
    ) -> tuple[list[str], bool]:
        from .origins import origins

        owners, slow = origins(commit, path, blob, first, last, time.monotonic() + SECONDS)
        out = []
        for number in range(first, last + 1):
            origin, sure = owners[number - first]
            who = one_line(self._contents.message(origin.author.name or "?"), 20)
            mark = " " if sure else ">"
            line = lines[number - 1].rstrip("\r") if number <= len(lines) else ""
            out.append(f"{str(origin.id)[:8]}{mark}{day_of(origin)[:10]} {who} {number}: {short_line(line)}")
        return out, slow

    # ---------------------------------------------------------------- rendering

    def _render(
        self,
        patches: Patches,
        files: list[Changed],
        header: str,
        context: int,
        wanted: bool,
        offset: int,
        tool: str,
        above: Iterable[str] = (),
    ) -> Result:
        """The list of files, then hunks: all of them when they are few or asked for, else how to get them."""
        made: list[FilePatch] = []
        deadline = time.monotonic() + SECONDS
        for changed in files[offset : offset + FILES_COUNTED]:
            if time.monotonic() > deadline:
                break
            made.append(patches.make(changed, context))
        listed = [patch.summary() for patch in made]
        listed += [FilePatch(changed).summary() for changed in files[offset + len(made) : offset + FILES]]
        if len(made) == len(files):
            header += f", +{sum(p.added for p in made)} -{sum(p.removed for p in made)}"
        out, cut = list(above) if not offset else [], False
        if not wanted or len(files) > 1:
            out += listed[:FILES]
        budget = LARGE if wanted else SMALL
        used, hunks, done = 0, [], offset
        whole = sum(len(line) + 1 for patch in made for line in patch.lines)
        if made and (wanted or (whole <= budget and len(made) == len(files))):
            for patch in made:
                block = [f"--- {patch.summary()}", *patch.lines] if patch.lines or wanted else []
                size = sum(len(line) + 1 for line in block)
                if used and used + size > budget:
                    cut = True
                    break
                if size > budget:
                    block, cut = _cut(block, budget), True
                hunks += block
                used += size
                done += 1
                if cut and size > budget:
                    break
        elif made:
            header += f"; hunks: {tool}(paths=[...])"
        if len(files) > offset + len(listed):
            cut = True
            done = offset + len(listed) if not hunks else done
        if cut and done < len(files):
            header += f"; more: offset={done}"
        text = "\n".join([*out, *([""] if out and hunks else []), *hunks])
        redactions = sum(patch.redactions for patch in made)
        return Result(text=text, header=header, untrusted=True, redactions=redactions, truncated=cut)


def _cut(block: list[str], budget: int) -> list[str]:
    kept, size = [], 0
    for line in block:
        size += len(line) + 1
        if size > budget:
            break
        kept.append(line)
    return [*kept, f"… [{len(block) - len(kept)} more lines of this file: read it with git_show]"]


def _within(files: list[Changed], paths: list[str]) -> list[Changed]:
    if not paths or "" in paths:
        return files
    return [f for f in files if any(f.path == p or f.path.startswith(f"{p}/") or f.old_path == p for p in paths)]


def _blobs(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, pygit2.Blob]]:
    import pygit2

    for entry in tree:
        name = f"{prefix}/{_name(entry)}" if prefix else _name(entry)
        if isinstance(entry, pygit2.Tree):
            yield from _blobs(entry, name)
        elif isinstance(entry, pygit2.Blob) and int(entry.filemode) != 0o120000:
            yield name, entry


def _name(entry: pygit2.Object) -> str:
    return (entry.raw_name or b"").decode("utf-8", "surrogateescape")


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _lines(header: str, page: list[str], offset: int, total: int) -> Result:
    cut = offset + len(page) < total
    if cut or offset:
        header += f"; {offset + 1 if page else offset} to {offset + len(page)}"
        header += f"; more: offset={offset + len(page)}" if cut else ""
    return Result(text="\n".join(page), header=header, untrusted=True, truncated=cut)


def _not_there(path: str, ref: str) -> Refused:
    return Refused(
        Code.INVALID,
        f"{shown_path(path)} is not at {one_line(ref, 60)}",
        hint="git_show(path=FOLDER) lists what is there; paths start at the repository's root",
    )
