"""What was cut off in flight gets its outcome, and what is to be undone is looked at.

Comparing and restoring is each server's own work; this says when, and writes down what came of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

import structlog

from interlock.guard.audit.records import Records
from interlock.guard.errors import Broken, Code, Refused
from interlock.guard.model import Call, Look, Outcome, Server, UndoClass
from interlock.guard.state import State
from interlock.guard.trail import settled_fields
from interlock.untrusted import one_line

from .changes import Changes
from .snapshots import Snapshots

log = structlog.get_logger("interlock.guard")


class Settling:
    """Settles and looks at undos for one server, over the guard's changes and snapshots."""

    def __init__(self, server: Server, state: State, changes: Changes, snapshots: Snapshots, records: Records) -> None:
        self._server = server
        self._state = state
        self._changes = changes
        self._snapshots = snapshots
        self._records = records

    def settle(self) -> None:
        """Give every permitted change whose process is gone its outcome. At start and before every undo."""
        for change in self._changes.unsettled(self._server.name):
            self.settle_one(change.id)

    def settle_one(self, id: str) -> Outcome:
        """Compare the world with before and after; UNKNOWN where it is neither, or comparing breaks."""
        change = self._changes.get(id)
        if change is None:
            return Outcome.UNKNOWN
        sealed = True
        try:
            slot = self._snapshots.open(id)
            sealed = bool(slot.state)  # if not, it was cut off before its permit, so nothing had begun
            outcome = self._server.settle(change, slot) if sealed else Outcome.FAILED
        except Exception:
            log.exception("change not settled", call=id)
            outcome = Outcome.UNKNOWN
        with self._state.tx() as db:
            settled = self._changes.finish(db, id, outcome)
        if settled and change.pid != os.getpid():
            self._records.append(settled_fields(change, outcome), durable=True)
        if settled and not sealed:
            with suppress(Broken):  # then it expires like any other
                self._snapshots.discard(id)
        return outcome

    def look_undo(self, call: Call) -> Look:
        """What undoing would do now. Own changes without more ado where nothing drifted; others' are asked."""
        self.settle()
        id = str(call.raw["id"])
        name = self._server.name
        change = self._changes.get(id)
        if change is None:
            raise Refused(
                Code.INVALID,
                f"there is no change {one_line(id, 40)}, or it ended long ago",
                hint=f"{name}_guard() lists your recent changes",
            )
        if change.server != name:
            raise Refused(Code.INVALID, f"{id} was made by {change.server}", hint=f"use {change.server}_undo")
        if change.status != Outcome.DONE.value:
            raise Refused(
                Code.INVALID,
                f"{id} cannot be undone: it is {change.status}",
                hint=f"`interlock show {id}` tells its story",
            )
        if change.undo is UndoClass.NONE:
            raise Refused(Code.INVALID, f"{id} cannot be undone: {change.lost or 'its effect is final'}")
        look = self._server.look_undo(call, change, self._snapshots.open(id))
        asks = list(look.asks)
        if call.principal.agent:  # for a person, containment and drift are all
            if change.agent != call.principal.agent:
                asks.append(f"it undoes a change of {change.agent or 'a person'}")
            undone = self._changes.get(change.undoes) if change.undoes else None
            if undone is not None and undone.asked:
                asks.append(f"it does again what {undone.id} did, which was asked")
        return replace(look, asks=tuple(asks), undoes=id, dry=bool(call.raw.get("dry_run")))
