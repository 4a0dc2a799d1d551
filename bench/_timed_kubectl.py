"""The kubectl server, telling how long kubectl itself took: one line a call into the file that TIMES names."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from interlock.sandbox.broker import BrokerClient

if __name__ == "__main__":
    times = open(os.environ["TIMES"], "a", buffering=1)  # noqa: SIM115, PTH123 (open until the end, before confinement)
    run = BrokerClient.run

    def timed(self: BrokerClient, *arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return run(self, *arguments, **options)
        finally:
            times.write(f"{time.perf_counter() - begun}\n")

    BrokerClient.run = timed  # type: ignore[method-assign]
    from interlock.admin.main import main

    sys.exit(main(["serve", "kubectl"]))
