"""`make bench` or `python -m bench [NAME ...]`: run the measurements one after the other.

A module of this folder is a measurement when it has `main()`. Numbers are only worth comparing within one run.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time

import bench


def run(names: list[str]) -> int:
    found = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    unknown = [name for name in names if name not in found]
    if unknown:
        print(f"there is no measurement {', '.join(unknown)}; there are {', '.join(found)}")
        return 2
    for name in names or found:
        module = importlib.import_module(f"bench.{name}")
        if not hasattr(module, "main"):
            continue
        print(f"\n== {name}: {(module.__doc__ or '').strip().splitlines()[0]}", flush=True)
        begun = time.monotonic()
        sys.argv = [name]  # some have options of their own, for when they are run by themselves
        module.main()
        print(f"   ({time.monotonic() - begun:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
