"""Which kubectl is started: one program, known before the fork, whatever stands before it on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interlock import cluster_program

SCRIPT = b"#!/bin/sh\nexec kubectl-of-a-version-manager\n"


def place(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    made = folder / name
    made.write_bytes(content)
    made.chmod(0o755)
    return made


@pytest.fixture(autouse=True)
def nothing_beside_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", os.fspath(tmp_path / "venv" / "python"))


def test_a_script_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path / "shims", "kubectl", SCRIPT)
    real = place(tmp_path / "bin", "kubectl", b"\x7fELF")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'nothing'}:{tmp_path / 'bin'}")
    assert cluster_program.executable() == real


def test_nothing_but_a_script_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = place(tmp_path / "shims", "kubectl", SCRIPT)
    monkeypatch.setenv("PATH", os.fspath(script.parent))
    assert cluster_program.executable() is None
    assert f"{script} is a script" in cluster_program.trouble()
    script.unlink()
    assert "not installed" in cluster_program.trouble()


def test_the_newest_beside_a_dispatcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kubectl", "kubectl.1.9", "kubectl.1.31", "kubectl.1.30"):
        place(tmp_path / "sdk", name, b"\x7fELF")
    monkeypatch.setenv("PATH", os.fspath(tmp_path / "sdk"))
    assert cluster_program.executable() == tmp_path / "sdk" / "kubectl.1.31"
