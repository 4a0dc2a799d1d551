"""The keys: what servers hold, what only a person holds, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.guard import keys as keys_module
from interlock.guard.errors import Broken
from interlock.guard.keys import INSTALLATION, PERSON, PUBLIC, Keys, Person, create_keys, keys_dir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return create_keys(None, tmp_path / "keys")


def test_created_keys_are_private_and_never_replaced(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {INSTALLATION, PERSON, PUBLIC}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    create_keys("another passphrase", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_folder_follows_xdg_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert keys_dir() == tmp_path / "config" / "interlock" / "keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys_dir() == tmp_path / ".config" / "interlock" / "keys"
    with pytest.raises(Broken, match="no keys") as caught:
        Keys.load()
    assert "interlock init" in caught.value.hint
    create_keys()
    assert Keys.load().public == Keys.load(keys_dir()).public


def test_servers_verify_what_the_person_signs_and_cannot_sign_it(folder: Path) -> None:
    person, keys = Person.load(None, folder), Keys.load(folder)
    signature = person.sign(b"yes")
    assert keys.verify_person(b"yes", signature)
    assert not keys.verify_person(b"no", signature)
    assert not keys.verify_person(b"yes", keys.sign_checkpoint(b"yes"))
    assert not keys.verify_person(b"yes", b"")
    (folder / PERSON).unlink()  # a server never needs it
    assert Keys.load(folder).verify_person(b"yes", signature)


def test_another_installation_verifies_nothing_of_this_one(folder: Path, tmp_path: Path) -> None:
    ours, theirs = Keys.load(folder), Keys.load(create_keys(None, tmp_path / "other"))
    assert not theirs.verify_person(b"yes", Person.load(None, folder).sign(b"yes"))
    assert ours.verify_checkpoint(b"c", ours.sign_checkpoint(b"c"))
    assert not theirs.verify_checkpoint(b"c", ours.sign_checkpoint(b"c"))
    assert not ours.verify_checkpoint(b"d", ours.sign_checkpoint(b"c"))


def test_derived_keys_are_stable_and_different_for_each_purpose(folder: Path, tmp_path: Path) -> None:
    keys = Keys.load(folder)
    purposes = ["placeholders", "server:files", "server:git", "checkpoint", ""]
    derived = {keys.derive(purpose) for purpose in purposes}
    assert len(derived) == len(purposes) and all(len(key) == 32 for key in derived)
    assert Keys.load(folder).derive("placeholders") == keys.derive("placeholders")
    assert Keys.load(create_keys(None, tmp_path / "other")).derive("placeholders") not in derived


def test_derivation_is_hkdf(folder: Path) -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    root = (folder / INSTALLATION).read_bytes()
    twin = HKDF(SHA256(), 32, salt=b"interlock installation v1", info=b"placeholders").derive(root)
    assert Keys.load(folder).derive("placeholders") == twin


def test_no_key_shows_in_a_repr(folder: Path) -> None:
    keys, person = Keys.load(folder), Person.load(None, folder)
    assert (folder / INSTALLATION).read_bytes().hex() not in repr(keys) and "_root" not in repr(keys)
    assert "_key" not in repr(person)


def test_a_passphrase_is_asked_once_and_must_be_right(tmp_path: Path) -> None:
    folder = create_keys("correct horse", tmp_path / "keys")
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return text

    assert Keys.load(folder).verify_person(b"x", Person.load(lambda: answer("correct horse"), folder).sign(b"x"))
    assert asked == ["correct horse"]
    with pytest.raises(Broken, match="passphrase is wrong") as caught:
        Person.load(lambda: answer("hunter2"), folder)
    assert "hunter2" not in caught.value.message
    with pytest.raises(Broken, match="nobody is there to type it"):
        Person.load(None, folder)
    assert keys_module.protected_by_passphrase(folder)
    assert not keys_module.protected_by_passphrase(create_keys(None, tmp_path / "open"))


def test_a_key_without_passphrase_asks_nothing(folder: Path) -> None:
    Person.load(lambda: pytest.fail("asked"), folder)


@pytest.mark.parametrize("name", [INSTALLATION, PERSON, PUBLIC])
def test_missing_damaged_open_and_linked_keys_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    def load() -> None:
        Keys.load(folder)
        Person.load(None, folder)

    good = (folder / name).read_bytes()
    for mode in (0o644, 0o620, 0o666):
        (folder / name).chmod(mode)
        with pytest.raises(Broken, match="open to other accounts"):
            load()
    (folder / name).chmod(0o600)
    for bad in (b"", b"nonsense", good[: len(good) // 2], good * 200):
        (folder / name).write_bytes(bad)
        with pytest.raises(Broken):
            load()
    (folder / name).unlink()
    with pytest.raises(Broken, match="missing"):
        load()
    (tmp_path / "elsewhere").write_bytes(good)
    (tmp_path / "elsewhere").chmod(0o600)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Broken):
        load()
    (folder / name).unlink()
    (folder / name).write_bytes(good)
    (folder / name).chmod(0o600)
    load()


def test_a_folder_open_to_others_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(Broken, match="open to other accounts"):
        Keys.load(folder)


def test_a_person_key_that_is_not_the_public_ones_is_refused(folder: Path, tmp_path: Path) -> None:
    other = create_keys(None, tmp_path / "other")
    (folder / PERSON).write_bytes((other / PERSON).read_bytes())
    with pytest.raises(Broken, match="does not belong"):
        Person.load(None, folder)


def test_half_a_pair_is_never_completed_by_itself(folder: Path) -> None:
    (folder / PERSON).unlink()
    with pytest.raises(Broken, match=r"holds person\.pub but not person\.key"):
        create_keys(None, folder)


def test_loading_keys_does_not_load_cryptography(folder: Path) -> None:
    script = "import sys; from interlock.guard.keys import Keys; from pathlib import Path; "
    script += "Keys.load(Path(sys.argv[1])).derive('x'); print('cryptography' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_who_signed_is_the_account_not_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert Person.load(None, folder).by == pwd.getpwuid(os.getuid()).pw_name
