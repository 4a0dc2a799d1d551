from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from interlock.logs.blocks import LINE_CAP, Budget, backward, file_reader, forward, packing_of, unpacked

LINES = st.lists(
    st.one_of(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), st.just(b"x" * 70_000)), max_size=30
)
PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard.compress}


def expected(data: bytes) -> list[bytes]:
    """The slow twin: all lines, cut at the cap."""
    if not data:
        return []
    return [line[:LINE_CAP] for line in data.removesuffix(b"\n").split(b"\n")]


@given(LINES, st.booleans(), st.sampled_from([16, 64, 1000, 1 << 20]))
def test_blocks_forward_and_backward_hold_every_line(lines: list[bytes], ended: bool, size: int) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    if size < 64 and len(data) > 50_000:
        size = 4096
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        found, position = [], 0
        for block in forward(file_reader(file.fileno(), 0), 0, Budget(), size):
            assert block.offset == position
            position = block.end
            found += block.data.split(b"\n")
        assert found == expected(data)
        back: list[bytes] = []
        begin = len(data)
        for block in backward(file.fileno(), len(data), Budget(), size):
            assert block.end == begin
            begin = block.offset
            back = block.data.split(b"\n") + back
        assert back == expected(data)


@given(LINES, st.integers(0, 10_000))
def test_two_ranges_that_meet_at_a_line_are_the_whole(lines: list[bytes], place: int) -> None:
    data = b"\n".join(lines) + b"\n"
    cut = data.find(b"\n", place % max(1, len(data))) + 1
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        found: list[bytes] = []
        for start, end in ((0, cut), (cut, None)):
            if end == 0:
                continue
            for block in forward(file_reader(file.fileno(), start), start, Budget(), 97, end):
                found += block.data.split(b"\n")
    assert found == expected(data)


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_files_in_several_members_read_as_one(packing: str) -> None:
    data = b"".join(b"line %d\n" % n for n in range(5_000))
    packed = PACKERS[packing](data[:20_000]) + PACKERS[packing](data[20_000:])
    with tempfile.TemporaryFile() as file:
        file.write(packed)
        file.flush()
        assert packing_of("anything", packed[:8]) == packing
        budget = Budget()
        read = unpacked(file.fileno(), packing, budget)
        assert b"\n".join(block.data for block in forward(read, 0, budget, 1000)) + b"\n" == data
        assert not budget.notes


@pytest.mark.parametrize("packing", ["gz", "xz", "bz2"])
def test_a_packed_file_that_is_cut_short_gives_what_it_has_and_says_so(packing: str) -> None:
    data = os.urandom(200_000).hex().encode() + b"\n"
    packed = PACKERS[packing](data * 2)
    with tempfile.TemporaryFile() as file:
        file.write(packed[: len(packed) * 2 // 3])
        file.flush()
        budget = Budget()
        list(forward(unpacked(file.fileno(), packing, budget), 0, budget))
    assert any("damaged" in note for note in budget.notes)


def test_a_budget_stops_reading_and_says_why() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x\n" * 100_000)
        file.flush()
        budget = Budget(max_bytes=10_000)
        read = sum(len(block.data) for block in forward(file_reader(file.fileno(), 0), 0, budget, 1000))
    assert read < 12_000
    assert "10,000 bytes" in budget.stopped
