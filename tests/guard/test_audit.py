"""Each way to change records after the fact is found, and named by chain and line; people settle it."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import AuditHome, fields

from interlock.guard.audit import chains
from interlock.guard.audit import reading as audit
from interlock.guard.errors import Broken, Refused

Lines = list[bytes]


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path)


def rehashed(lines: Lines, first: int, last: int | None = None) -> Lines:
    """The same lines with links and hashes made good from index `first` on, as a careful forger would."""
    lines = list(lines)
    for index in range(first, len(lines) if last is None else last):
        record = json.loads(lines[index])
        before = json.loads(lines[index - 1])["hash"] if index else record["prev"]
        lines[index], _ = remade(record, before)
    return lines


def remade(record: dict[str, object], prev: str) -> tuple[bytes, str]:
    body = json.dumps(
        {key: value for key, value in record.items() if key not in ("prev", "hash")}, separators=(",", ":")
    )
    body = f'{body[:-1]},"prev":"{prev}"'
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{body},"hash":"{digest}"}}\n'.encode(), digest


def edited(lines: Lines, index: int) -> Lines:
    lines = list(lines)
    lines[index] = lines[index].replace(b"tester", b"nobody")
    return lines


def replaced_checkpoint(lines: Lines) -> Lines:
    lines = list(lines)
    record = {**json.loads(lines[0]), "seq": 256, "stage": "done"}
    lines[255] = remade(record, json.loads(lines[254])["hash"])[0]
    return rehashed(lines, 256)


# What is done to a finished chain of 602 lines (checkpoints at 256, 512 and the end), and what is found: kind and line.
TAMPERING: dict[str, tuple[Callable[[Lines], Lines], str, int]] = {
    "an edited line": (lambda lines: edited(lines, 99), "edited", 100),
    "an edited line with a good hash": (lambda lines: rehashed(edited(lines, 99), 99, 100), "rewritten", 101),
    "an edit with the rest made good": (lambda lines: rehashed(edited(lines, 99), 99), "forged", 256),
    "an edit after the last full checkpoint": (lambda lines: rehashed(edited(lines, 590), 590), "forged", 602),
    "a checkpoint made a plain record": (replaced_checkpoint, "forged", 256),
    "a cut tail": (lambda lines: lines[:-10], "cut", 592),
    "a cut back to an earlier checkpoint": (lambda lines: lines[:512], "cut", 512),
    "a cut back to nothing": (lambda lines: [], "cut", 0),
    "half of the last line": (lambda lines: [*lines[:-1], lines[-1][:50]], "edited", 602),
    "two lines swapped": (lambda lines: [*lines[:99], lines[100], lines[99], *lines[101:]], "reordered", 100),
    "a line moved to the end": (lambda lines: [*lines[:99], *lines[100:], lines[99]], "reordered", 100),
    "a replayed line": (lambda lines: [*lines[:300], lines[49], *lines[300:]], "replayed", 301),
    "the last line twice": (lambda lines: [*lines, lines[-1]], "replayed", 603),
    "a removed line": (lambda lines: [*lines[:99], *lines[100:]], "removed", 100),
    "removed lines at the beginning": (lambda lines: lines[20:], "removed", 1),
    "a line with a number out of this world": (
        lambda lines: [*lines[:99], remade({**json.loads(lines[99]), "seq": 10**14}, "0" * 64)[0], *lines[100:]],
        "removed",
        100,
    ),
    "an edited number": (
        lambda lines: [*lines[:99], lines[99].replace(b":100,", b":900,"), *lines[100:]],
        "edited",
        100,
    ),
    "a line of its own": (lambda lines: [*lines[:99], b'{"seq":100}\n', *lines[99:]], "edited", 100),
    "a line added at the end": (
        lambda lines: [*lines, remade({**json.loads(lines[5]), "seq": 603}, json.loads(lines[-1])["hash"])[0]],
        "rewritten",
        603,
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_each_tampering_is_found_and_named(home: AuditHome, what: str) -> None:
    tamper, kind, line = TAMPERING[what]
    path = home.chain(598)
    sound = home.verify()
    assert sound.ok and sound.records == 602 and sound.checkpoints == 3

    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))

    finding = home.verify().findings[0]
    assert (finding.kind, finding.line) == (kind, line), home.verify().findings
    assert finding.chain == path.stem and finding.file == path.name
    assert path.name in str(finding)


@given(st.data())
def test_any_other_bytes_are_found(data: st.DataObject) -> None:
    """Whatever is done to a finished chain's file: if its bytes are not the same, it is found."""
    home, path, original = _finished()
    at = data.draw(st.integers(0, len(original)))
    length = data.draw(st.sampled_from([0, 1, 7, 300, len(original)]))
    new = original[:at] + data.draw(st.binary(max_size=20)) + original[at + length :]
    path.write_bytes(new)
    assert home.verify().ok == (new == original)


@cache
def _finished() -> tuple[AuditHome, Path, bytes]:
    home = AuditHome(Path(tempfile.mkdtemp()))
    atexit.register(shutil.rmtree, home.folder, ignore_errors=True)
    path = home.chain(40)
    return home, path, path.read_bytes()


def test_a_removed_file_is_found(home: AuditHome) -> None:
    path = home.chain(5)
    home.chain(5)
    path.unlink()
    (finding,) = home.verify().findings
    assert (finding.kind, finding.chain) == ("missing_file", path.stem)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_removed_part_is_found(home: AuditHome, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", 20_000)
    path = home.chain(100)
    parts = sorted((home.home / "audit").glob(f"{path.stem}.*"))
    assert len(parts) == 4 and home.verify().ok

    (path.parent / chains.part_name(path.stem, part)).unlink()

    finding = home.verify().findings[0]
    assert (finding.kind, finding.file) == ("missing_file", chains.part_name(path.stem, part))


def test_the_last_part_removed_is_found(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", 20_000)
    path = home.chain(100)
    (path.parent / chains.part_name(path.stem, 3)).unlink()
    finding = home.verify().findings[0]
    assert (finding.kind, finding.file) == ("missing_file", f"{path.stem}.3.jsonl")


def test_a_chain_under_another_name_is_found(home: AuditHome) -> None:
    path = home.chain(5)
    path.rename(path.with_name(path.name.replace("-files-", "-git-")))
    assert {finding.kind for finding in home.verify().findings} >= {"missing_file"}
    assert not home.verify().ok


def test_a_chain_put_in_place_of_another_is_found(home: AuditHome) -> None:
    first, second = home.chain(5), home.chain(5)
    first.write_bytes(second.read_bytes())
    assert any(finding.chain == first.stem for finding in home.verify().findings)


def test_a_cut_with_the_head_cut_too_is_seen_by_the_next_chain(home: AuditHome) -> None:
    """Who rewrites a chain and its head still has not rewritten what the other chains saw of it."""
    path = home.chain(598)
    home.chain(3)
    lines = path.read_bytes().splitlines(keepends=True)[:512]
    path.write_bytes(b"".join(lines))
    digest = json.loads(lines[-1])["hash"]
    size = len(b"".join(lines))
    home.sql("UPDATE heads SET seq = 512, hash = ?, bytes = ? WHERE chain = ?", digest, size, path.stem)

    (finding,) = home.verify().findings
    assert (finding.kind, finding.chain, finding.line) == ("cut", path.stem, 512)
    assert "another chain" in finding.message


def test_a_chain_removed_with_its_head_is_seen_by_the_next_chain(home: AuditHome) -> None:
    path = home.chain(5)
    home.chain(3)
    path.unlink()
    home.sql("DELETE FROM heads WHERE chain = ?", path.stem)
    (finding,) = home.verify().findings
    assert (finding.kind, finding.chain) == ("missing_chain", path.stem)


def test_a_chain_that_the_state_does_not_know_is_found(home: AuditHome) -> None:
    path = home.chain(5)
    home.sql("DELETE FROM heads")
    (finding,) = home.verify().findings
    assert (finding.kind, finding.chain) == ("no_head", path.stem)


def test_a_running_chain_may_be_ahead_of_its_head_and_end_in_half_a_line(home: AuditHome) -> None:
    path = home.chain(20, close=False)
    assert home.verify().ok
    home.sql("UPDATE heads SET seq = 10, hash = ?, bytes = 0", json.loads(path.read_bytes().splitlines()[9])["hash"])
    with path.open("ab") as file:
        file.write(b'{"seq":22,"time"')
    report = home.verify()
    assert report.ok and report.records == 21 and "torn" in report.notes[0]


# ---------------------------------------------------------------- people settle it


def test_damage_refuses_until_a_person_repairs(home: AuditHome) -> None:
    path = home.chain(30)
    path.write_bytes(path.read_bytes()[:-200])
    records = home.records()
    for _ in range(2):
        with pytest.raises(Broken, match="nothing runs unrecorded"):
            records.append(fields())

    assert home.repair() == [(path.stem, "set aside")]

    records.append(fields(), durable=True)
    assert (path.parent / "set-aside" / path.name).exists() and not path.exists()
    report = home.verify()
    assert report.ok and "set aside by" in report.notes[0]


def test_an_edit_that_only_verify_sees_refuses_from_then_on(home: AuditHome) -> None:
    path = home.chain(30)
    running = home.records("git")
    running.append(fields())
    path.write_bytes(path.read_bytes().replace(b"/srv/app/7.py", b"/srv/app/8.py"))
    home.records().check()  # looks at ends only

    audit.mark_damaged(home.state, home.verify())
    with pytest.raises(Broken, match="damaged"):
        home.records().check()

    assert [chain for chain, _ in home.repair()] == [path.stem]
    home.records().check()
    running.append(fields())
    assert home.verify().ok


def test_a_running_server_notices_and_goes_on_after_repair(home: AuditHome) -> None:
    records = home.records()
    records.append(fields(1))
    path = home.home / "audit" / f"{records.chain}.jsonl"
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(Broken, match="changed from outside"):
        records.append(fields(2))
    home.repair()
    assert records.append(fields(3)).chain != path.stem
    assert home.verify().ok


def test_a_running_chain_set_aside_is_continued_in_a_new_one(home: AuditHome) -> None:
    records = home.records()
    records.append(fields(1))
    first = records.chain
    path = home.home / "audit" / f"{first}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"tester", b"nobody"))
    audit.mark_damaged(home.state, home.verify())
    with pytest.raises(Broken):
        records.append(fields(2))
    home.repair()
    assert records.append(fields(3)).chain != first
    assert [record["call"] for record in audit.records_of(home.home, "files-0000003")] == ["files-0000003"]
    assert home.verify().ok


def test_setting_aside_without_a_signature_is_found(home: AuditHome) -> None:
    path = home.chain(5)
    path.unlink()
    home.sql("UPDATE heads SET status = 'set_aside'")
    (finding,) = home.verify().findings
    assert (finding.kind, finding.chain) == ("forged", path.stem)


def test_a_statement_about_one_chain_does_not_cover_another(home: AuditHome) -> None:
    first = home.chain(5)
    first.unlink()
    home.repair()
    second = home.chain(5)
    second.unlink()
    home.sql("UPDATE heads SET status = 'set_aside', statement = (SELECT max(statement) FROM heads)")
    assert [finding.chain for finding in home.verify().findings] == [second.stem]


def test_chains_of_a_lost_state_are_taken_in_again(home: AuditHome) -> None:
    path = home.chain(30)
    home.sql("DELETE FROM heads")
    with pytest.raises(Broken, match="knows none of them"):
        home.records().check()
    assert home.repair() == [(path.stem, "taken in again: every line is sound")]
    home.records().check()
    assert home.verify().ok and path.exists()


# ---------------------------------------------------------------- reading


def test_records_of_all_chains_come_merged_by_time(home: AuditHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", 3_000)
    files, git = home.records("files"), home.records("git")
    for number in range(40):
        (files if number % 3 else git).append(fields(number))
    merged = [record for record in audit.read_all(home.home) if record["stage"] == "done"]
    assert [record["call"] for record in merged] == [f"files-{number:07d}" for number in range(40)]
    assert {record["chain"] for record in merged} == {files.chain, git.chain}

    assert [record["call"] for record in audit.tail(home.home, 3)] == [f"files-{n:07d}" for n in (37, 38, 39)]
    middle = merged[20]["time"]
    assert all(record["time"] >= middle for record in audit.read_all(home.home, since=middle))
    assert all(record["time"] < middle for record in audit.read_all(home.home, until=middle))


def test_search_matches_all_that_is_given(home: AuditHome) -> None:
    records = home.records()
    records.append(fields(1))
    records.append(fields(2, stage="refused", tool="delete_file"))
    records.append(fields(3, stage="refused"))

    def found(**query: str) -> list[str]:
        return [record["call"][-1] for record in audit.search(home.home, audit.Query(**query))]

    assert found(stage="refused") == ["2", "3"]
    assert found(stage="refused", tool="delete_file") == ["2"]
    assert found(text=r"/srv/app/[13]\.py") == ["1", "3"]
    assert found(resource="app/2") == ["2"] and found(verb="files.read", agent="tester") == ["1", "2", "3"]
    assert found(agent="somebody") == []
    with pytest.raises(Refused):
        found(text="(")


def test_one_call_has_its_records_in_order(home: AuditHome) -> None:
    records = home.records()
    records.append(fields(7, stage="permitted"), durable=True)
    records.append(fields(8))
    records.append(fields(7))
    assert [record["stage"] for record in audit.records_of(home.home, "files-0000007")] == ["permitted", "done"]
    assert audit.records_of(home.home, "files-000000") == []
