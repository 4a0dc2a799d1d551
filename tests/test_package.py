"""The wheel: it holds the code, the types' marker and the whole of policy/, and works without the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*command, "--disable-pip-version-check"], check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_code_types_marker_and_policy(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "interlock/py.typed" in names
    for path in (ROOT / "policy").rglob("*"):
        if path.is_file():
            assert f"interlock/policy/{path.relative_to(ROOT / 'policy').as_posix()}" in names
    assert not [name for name in names if name.startswith(("servers/", "policy/", "tests/"))]


def test_the_wheel_loads_its_profiles_without_the_checkout(wheel: Path, tmp_path: Path):
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nextends: production\nagent: a\n")
    policy.chmod(0o600)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import interlock; assert interlock.__file__.startswith(sys.argv[1]), interlock.__file__\n"
        "from pathlib import Path\n"
        "from interlock.guard.policy.loading import load\n"
        "print(len(load(Path(sys.argv[2])).rules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(unpacked), str(policy)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
