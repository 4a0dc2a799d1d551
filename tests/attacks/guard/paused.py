"""`paused.py FOLDER before|after COMMAND...`: Interlock, stopping at a change's `run` until the file `go` is there.

Fault injection only: everything else is the product. Its marks lie in the home, which a confined server may write.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import interlock.guard.halt.running
from interlock.admin.main import main
from interlock.guard.pipeline import Permit, Pipeline
from interlock.guard.trail import Trail

folder, where = Path(sys.argv[1]), sys.argv[2]
interlock.guard.halt.running.folders = lambda: [folder]
home = Path(os.environ["INTERLOCK_HOME"])
real = Pipeline.run


def pause() -> None:
    (home / "paused").touch()
    while not (home / "go").exists():
        time.sleep(0.01)


def run(self: Pipeline, trail: Trail, permit: Permit):  # type: ignore[no-untyped-def]
    if permit.slot is None:
        return real(self, trail, permit)
    if where == "before":
        pause()
    result = real(self, trail, permit)
    if where == "after":
        pause()
    return result


Pipeline.run = run  # type: ignore[method-assign]
sys.exit(main(sys.argv[3:]))
