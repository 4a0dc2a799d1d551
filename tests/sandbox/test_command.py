"""`interlock sandbox build|probe`, as a person types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.guard.errors import Broken
from interlock.sandbox import image

SCRIPT = """if 1:
    import os, sys
    from pathlib import Path
    from interlock.sandbox import image
    image.folder = lambda home: Path(os.environ["PLACE"])
    from interlock.admin.main import main
    code = main(sys.argv[1:])
    assert "docker" not in sys.modules and "mcp" not in sys.modules
    sys.exit(code)
"""


def interlock(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PLACE": str(place / "sandbox"),
        "HOME": str(place),
        "INTERLOCK_HOME": str(place / "home"),
    }
    environment.pop("INTERLOCK_POLICY", None)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, "sandbox", *words], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the tree is put together on Linux")
def test_build_and_probe(place: Path) -> None:
    none = interlock(place, "probe", "--engine", "bubblewrap")
    assert none.returncode == 1
    assert "no" in none.stdout
    built = interlock(place, "build")
    assert built.returncode == 0, built.stderr
    assert "tools" in built.stdout
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap: apt-get install bubblewrap")
    probed = interlock(place, "probe", "--engine", "bubblewrap", "--json")
    assert probed.returncode == 0, probed.stdout + probed.stderr
    lines = json.loads(probed.stdout)
    assert {"bubblewrap", "pipeline", "network"} <= {line["name"] for line in lines}
    assert all(line["ok"] for line in lines)


def test_a_tool_that_is_not_there(place: Path) -> None:
    done = interlock(place, "build", "--tool", "no-such-tool")
    assert done.returncode == 1
    assert "no-such-tool" in done.stderr
    assert not list((place / "sandbox").glob("new-*"))


def test_the_dockerfile(place: Path) -> None:
    done = interlock(place, "build", "--context", str(place / "context"))
    assert done.returncode == 0, done.stderr
    text = (place / "context/Dockerfile").read_text()
    assert json.dumps(list(image.COMMAND)) in text
    assert (place / "context/inside.py").read_text().startswith('r"""')


@pytest.mark.skipif(sys.platform != "linux", reason="the tree is put together on Linux")
def test_the_tree_is_the_same_twice_and_bare(place: Path) -> None:
    with pytest.raises(Broken, match="has not been built"):
        image.load(place / "a")
    first, second = image.build(place / "a"), image.build(place / "b")
    assert first.digest == second.digest
    assert image.archive(first) == image.archive(second)
    programs = {path.name for path in (first.root / "usr/bin").iterdir()}
    assert not programs & {"sh", "bash", "dash", "perl", "su", "mount", "curl", "nc"}
    assert not [path for path in first.root.rglob("*") if path.is_file() and path.stat().st_mode & 0o7022]
    assert not list((first.root / "etc").iterdir())


def test_the_one_before_is_kept(place: Path) -> None:
    for number, name in enumerate(("old", "older")):
        (place / "a" / name).mkdir(parents=True)
        os.utime(place / "a" / name, (1000 - number, 1000 - number))
    built = image.build(place / "a")
    assert {path.name for path in (place / "a").iterdir()} == {built.digest, "current", "old"}
