"""Capture before a change, undo after it, and settling what was cut off: all over the steps of the change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import UNKNOWN, Action, Attribute, Call, Look, Outcome
from interlock.path_names import shown
from interlock.paths import Place

from . import copying
from .bounds import Bounds
from .copying import Kept
from .extent import Extent, below, extent, hidden_otherwise, mark_of, moved, same_names
from .ground import Ground, Print
from .plans import Plan, changed_keys, put_back, small_content, temp_name
from .removing import take
from .renames import can_rename
from .steps import (
    AFTER,
    BEFORE,
    EITHER,
    Fetch,
    Give,
    Make,
    Shift,
    Step,
    Take,
    Unmake,
    Write,
    from_json,
    print_of,
)
from .text import counted, size_text

if TYPE_CHECKING:
    from interlock.guard.undo.changes import Change
    from interlock.guard.undo.snapshots import Slot

    from .tools import Files


def capture(plan: Plan, slot: Slot) -> None:
    """Save what the steps will replace, then seal. Raises Refused; then nothing has happened."""
    ground = Ground(plan.bounds.roots, slot.path)
    if slot.too_large:  # a person consented to its loss: nothing is stored that the store cannot account for
        for step in plan.steps:
            if isinstance(step, Write | Take | Shift):
                step.lost = True
    if any(step.needs_folder() for step in plan.steps):
        slot.folder()
    try:
        for step in plan.steps:
            step.save(ground)
    except Failed as failed:
        raise Refused(failed.code, failed.message, hint=failed.hint) from None
    except OSError as error:
        raise Refused(
            Code.FAILED,
            f"the prior state cannot be saved ({os.strerror(error.errno or 0)}), so nothing was changed",
            hint="`interlock doctor` shows how much room there is",
        ) from None
    slot.seal(plan.manifest(), keep=plan.keep)


def steps_of(state: dict[str, Any]) -> list[Step]:
    """The steps of a sealed manifest. Raises Refused where there are none to be read."""
    try:
        return [from_json(step) for step in state["steps"]]
    except (KeyError, TypeError, ValueError):
        raise Refused(Code.INVALID, "the snapshot's manifest cannot be read, so it cannot be undone") from None


def settle(bounds: Bounds, slot: Slot) -> Outcome:
    """What came of a change whose process is gone: finished, or put back, or (somebody changed it since) unknown."""
    ground = Ground(bounds.roots, slot.path)
    try:
        steps = steps_of(slot.state)
        for step in steps:
            step.mend(ground)
        states = [step.state(ground) for step in steps]
        if all(state in (AFTER, EITHER) for state in states):
            for step in steps:
                step.finish(ground)
            return Outcome.DONE
        if not all(state in (BEFORE, AFTER, EITHER) for state in states):
            return Outcome.UNKNOWN
        for step, state in zip(reversed(steps), reversed(states), strict=True):
            if state is not BEFORE:
                step.back(ground)
    except (Failed, Refused, OSError):
        return Outcome.UNKNOWN
    return Outcome.FAILED


# ---------------------------------------------------------------- undo


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file's prior content in the store."""

    then: Print
    content: bytes | None = field(repr=False)  # where it is small enough to compare
    kept: Kept | None  # sealed, or
    source: str  # the path of its copy


@dataclass(slots=True)
class _Undo:
    """What taking back one change would do now, gathered step by step."""

    files: Files
    bounds: Bounds
    store: Path  # the slot of the change that is undone
    steps: list[Step]
    actions: list[Action]
    asks: list[str]
    lines: list[str]
    size: int = 0

    def add(self, step: Step) -> None:
        if isinstance(step, Write):
            self._write(step)
        elif isinstance(step, Take):
            self._give(step.path, self.store, step.item)
        elif isinstance(step, Give):
            self._take(step.path, step.before if not step.copied else None)
        elif isinstance(step, Fetch):
            self._take(step.to, None)
        elif isinstance(step, Shift):
            self._shift(step)
        elif isinstance(step, Make):
            self.steps.append(Unmake(step.path))
        elif isinstance(step, Unmake):
            self._make(step)

    def _place(self, path: str) -> Place:
        place = self.bounds.roots.place(path, follow=False)
        if place.real != path:
            place.close()
            raise _drifted(path, "a folder above it was replaced by a link")
        return place

    def _write(self, step: Write) -> None:
        place = self._place(step.path)
        try:
            self._with_parents(place)
            now = None if place.stat is None else Print.of(place.parent, place.name)
            if step.before is None:
                if now is None:
                    raise _drifted(step.path, "it is not there any more")
                if not step.is_after(now):
                    self.asks.append(f"{shown(step.path)} changed since it was made; undo takes the newer content away")
                self.size += now.size
                self._act("delete", step.path, effect=self._mark(place, now), files=1, size=now.size, tree=False)
                self.steps.append(take(self.files, self.bounds, place, len(self.steps), None))
                self.lines.append(f"remove {shown(step.path)} ({size_text(now.size)})")
            else:
                if now is not None and not step.is_after(now):
                    self.asks.append(f"{shown(step.path)} changed since; undo replaces the newer content")
                self._restore(place, now, self._stored(step.saved, step.before, step.kept, step.path))
        finally:
            place.close()

    def _stored(self, item: str, before: Print, kept: Kept | None, path: str) -> _Stored:
        """The prior content of a file as the store holds it, sealed or in the slot's folder. Raises Refused."""
        if kept is not None:
            found: Print | None = print_of(kept)
            content: bytes | None = kept.content
        else:
            with _folder(self.store) as store:
                found = Print.of(store, item)
                content = small_content(store, item) if found is not None else None
        if found is None or not before.has_content_of(found):
            raise Refused(Code.INVALID, f"what was kept of {shown(path)} is not whole, so it cannot be put back")
        return _Stored(found, content, kept, "" if kept is not None else str(self.store / item))

    def _restore(self, place: Place, now: Print | None, stored: _Stored) -> None:
        """The content in the store comes back to a path, over what is there."""
        path, then = place.real, stored.then
        saved = f"saved-{len(self.steps)}" if now is not None else ""
        self.size += now.size if now is not None else 0
        old = small_content(place.parent, place.name) if now is not None else None
        keys = UNKNOWN if now is not None and old is None else changed_keys(path, old, stored.content)
        digest = self.files.reader.digest
        effect = f"{digest(self._mark(place, now))}>{digest(f'{then.sha}:{then.size}:{then.mtime}')}"
        self._act("write", path, effect=effect, exists=now is not None, size=then.size, files=1, changed=keys)
        self.steps.append(
            Write(
                path,
                temp_name(),
                now,
                then.size,
                then.sha,
                saved=saved,
                source=stored.source,
                mtime=then.mtime,
                _whole=stored.kept,
            )
        )
        self.lines.append(f"put back the content of {shown(path)} ({size_text(then.size)})")

    def _give(self, path: str, store: Path, item: str) -> None:
        place = self._place(path)
        try:
            self._with_parents(place)
            if place.stat is not None:
                raise _drifted(path, "there is something of this name again")
            with _folder(store) as slot:
                kept = Print.of(slot, item)
                if kept is None:
                    raise Refused(Code.INVALID, f"what was kept of {shown(path)} is gone, so it cannot be put back")
                copied = not can_rename(slot, place.parent)
                tree = copying.digest(slot, item) if copied else ""
                found = extent(self.bounds, slot, item, path, os.lstat(item, dir_fd=slot), patient=True)
            self._act("write", path, found, exists=False, changed=("",))
            self.actions += below(self.bounds, self.files.reader, "write", path, found)
            self.steps.append(Give(path, str(store), item, temp_name(), kept, copied=copied, tree=tree))
            self.lines.append(f"put back {shown(path)}")
        finally:
            place.close()

    def _take(self, path: str, given: Print | None) -> None:
        place = self._place(path)
        try:
            if place.stat is None:
                raise _drifted(path, "it is not there any more")
            now = Print.from_stat(place.stat)
            if given is not None and not given.is_entry(now):
                self.asks.append(f"{shown(path)} is not what was put there; undo takes the newer one away")
            found = extent(self.bounds, place.parent, place.name, path, place.stat, patient=True)
            self.size += found.size
            self._act("delete", path, found, tree=found.tree)
            self.actions += below(self.bounds, self.files.reader, "delete", path, found)
            self.steps.append(take(self.files, self.bounds, place, len(self.steps), found))
            self.lines.append(f"remove {shown(path)} ({counted(found.files, 'entry')})")
        finally:
            place.close()

    def _shift(self, step: Shift) -> None:
        source, target = self._place(step.to), self._place(step.path)
        try:
            self._with_parents(target)
            if source.stat is None:
                raise _drifted(step.to, "it is not there any more")
            if target.stat is not None:
                raise _drifted(step.path, "there is something of this name again")
            now = Print.from_stat(source.stat)
            if not step.before.is_entry(now):
                self.asks.append(f"{shown(step.to)} is not what was moved there; undo moves the newer one")
            found = extent(self.bounds, source.parent, source.name, step.to, source.stat, step.path, patient=True)
            self._act("move", step.to, found, to=step.path, tree=found.tree)
            self._act("write", step.path, found, exists=False, changed=("",))
            self._act("read", step.to, found)
            self.actions += moved(self.bounds, self.files.reader, step.to, step.path, found)
            self.asks += hidden_otherwise(self.bounds, step.to, step.path, found)
            check = same_names(self.bounds, step.to, found, step.path) if found.tree else None
            self.steps.append(Shift(step.to, step.path, now, _check=check))
            self.lines.append(f"move {shown(step.to)} back to {shown(step.path)}")
            if step.onto is not None:
                self._restore(source, None, self._stored(step.saved, step.onto, None, step.to))
        finally:
            source.close()
            target.close()

    def _make(self, step: Unmake) -> None:
        place = self.bounds.roots.place(step.path, follow=False)
        try:
            if place.stat is None and place.real == step.path:
                self._with_parents(place)
                self.steps.append(Make(step.path, step.mode))
        finally:
            place.close()

    def _with_parents(self, place: Place) -> None:
        """Folders above that went away since are made again."""
        made = {step.path for step in self.steps if isinstance(step, Make)}
        folder = place.real.rsplit("/", len(place.missing) + 1)[0]
        for name in place.missing:
            folder = f"{folder}/{name}"
            if folder not in made:
                self.steps.append(Make(folder))

    def _mark(self, place: Place, now: Print | None) -> str:
        """What is there now, as a digest."""
        if now is None or place.stat is None:
            return "nothing"
        return self.files.reader.digest(f"{mark_of(place.stat)}:{now.sha}")

    def _act(
        self, verb: str, path: str, found: Extent | None = None, *, effect: str = "", **more: Attribute | None
    ) -> None:
        """Note an action. `found`: it is on an entry of this extent, which gives it its effect and its attributes."""
        if verb == "read":
            assert found is not None
            size = 0 if found.tree else found.size
            self.actions.append(
                self.bounds.action("read", path, effect=self.files.reader.digest(found.mark), size=size)
            )
            return
        if found is not None:
            more = {"files": found.files, "size": found.size, **more}
            effect = self.files.reader.digest(found.mark)
        action = self.bounds.change(verb, path, "", effect=effect, **more)
        if found is not None and (found.protected or found.own or found.mount):
            action = self.bounds.with_flags(action, protected=True)
        self.actions.append(action)


def look_undo(files: Files, call: Call, change: Change, slot: Slot) -> Look:
    """What undoing a change would do now. Drift that only covers newer content asks; what stands in the way refuses."""
    bounds = files.cleaning(call.policy)
    undo = _Undo(files, bounds, slot.path, [], [], [], [])
    for step in reversed(steps_of(slot.state)):
        undo.add(step)
    header = f"undo of {change.id} ({change.tool})"
    not_kept = put_back(bounds, undo.size, "")
    header += f"; what is there now: {not_kept}" if not_kept else ""
    preview = "".join(f"{line}\n" for line in _short(undo.lines))
    plan = Plan(bounds, undo.steps, preview, header, before=files.reader.digest(change.id), after=change.before)
    return Look(tuple(undo.actions), plan, asks=tuple(undo.asks), size=undo.size, undoes=change.id)


def _short(lines: Sequence[str], most: int = 40) -> list[str]:
    return list(lines) if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more"]


def _drifted(path: str, why: str) -> Refused:
    return Refused(
        Code.CONFLICT, f"it cannot be undone as it is: {shown(path)}: {why}", hint="move what is in the way, then undo"
    )


class _folder:
    """A folder of the store, opened. Raises Refused where it is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Refused(Code.INVALID, "what was kept of it is gone, so it cannot be undone") from None
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
