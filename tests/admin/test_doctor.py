"""`interlock doctor`: what is wrong is a line that says what to do, and the exit code says that there is one."""

from __future__ import annotations

import json

import pytest
from admin.apart import Apart
from admin.conftest import Run
from files_server import FilesServer

from interlock.guard.state import State


def findings(interlock: Run) -> dict[str, tuple[str, str]]:
    return {line["name"]: (line["state"], line["detail"]) for line in json.loads(interlock("doctor", "--json").out)}


def test_a_sound_installation(interlock: Run, server: FilesServer) -> None:
    server.call("read_file", path=str(server.installation.work / "docs" / "d.md"))
    said = interlock("doctor")
    assert said.code == 0, said.out
    assert "An agent that has a shell of its own" in said.out and "no passphrase" in said.out
    found = findings(interlock)
    assert found["policy"][0] == found["home"][0] == found["records"][0] == "ok"
    assert found["anchor"][0] == "note" and found["kernel landlock"]


def test_what_must_be_mended_is_wrong(interlock: Run, server: FilesServer, apart: Apart) -> None:
    apart.home.chmod(0o755)
    said = interlock("doctor")
    assert said.code == 1 and "chmod 700" in said.out + said.err, said
    apart.home.chmod(0o700)
    apart.policy.write_text("version: 1\nextends: nonsense\n")
    found = findings(interlock)
    assert found["policy"][0] == "wrong" and "nonsense" in found["policy"][1]
    assert interlock("doctor").code == 1


def test_an_unexpanded_variable_is_wrong(interlock: Run, server: FilesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "${HOME}/state")
    assert findings(interlock)["$XDG_STATE_HOME"][0] == "wrong"


def test_a_clock_that_went_back_is_mended_by_a_person(interlock: Run, server: FilesServer, apart: Apart) -> None:
    path = str(apart.work / "docs" / "d.md")
    server.call("read_file", path=path)
    state = State(apart.home)
    with state.tx() as db:  # as if the clock had been two hours ahead for a while
        db.execute("UPDATE home SET highest = highest + 7200")
    state.close()
    said = interlock("doctor")
    assert said.code == 1 and "clock" in said.out and "--mend-clock" in said.out, said.out
    said = interlock("doctor", "--mend-clock")
    assert said.code == 0 and "have ended" in said.out
    assert interlock("doctor").code == 0
