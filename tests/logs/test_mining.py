from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs_lines import EVENTS, FORMATS, labelled
from logs_server import detector

from interlock.logs.mining import Miner
from interlock.logs.safe import Safe


def mined(lines: list[str], safe: Safe | None = None, size: int = 40) -> tuple[Miner, list[str]]:
    """A miner that was fed these lines in blocks, and the template of each line."""
    miner = Miner(safe, sample=4)
    miner.alone = True
    entries: list[int] = []
    offset = 0
    for start in range(0, len(lines), size):
        block = "\n".join(lines[start : start + size]).encode()
        entries += miner.assign(block, miner.feed(block, offset))
        offset += len(block) + 1
    names = {entry: template.key for template in miner.templates() for entry in template.entries}
    return miner, [names[entry] for entry in entries]


def grouping(labels: list[int], found: list[str]) -> tuple[float, float]:
    """Share of lines in exactly right groups, and F1 over groups."""
    true, guessed = defaultdict(list), defaultdict(list)
    for at, (label, key) in enumerate(zip(labels, found, strict=True)):
        true[label].append(at)
        guessed[key].append(at)
    right = [rows for rows in guessed.values() if true[labels[rows[0]]] == rows]
    precision, recall = len(right) / len(guessed), len(right) / len(true)
    return sum(map(len, right)) / len(labels), 2 * precision * recall / (precision + recall or 1)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("seed", [1, 2])
def test_raw_lines_of_every_format_are_grouped_by_their_events(form: str, seed: int) -> None:
    made = labelled(seed, 3_000, form)
    _, found = mined([line for line, _ in made])
    accuracy, f1 = grouping([label for _, label in made], found)
    assert accuracy >= 0.95
    assert f1 >= 0.9


def test_counts_add_up_and_samples_are_of_their_entry() -> None:
    made = labelled(3, 4_000)
    miner, found = mined([line for line, _ in made])
    templates = miner.templates()
    assert sum(template.count for template in templates) == miner.lines == 4_000
    assert len(set(found)) == len(templates)
    assert len(templates) <= len(EVENTS) + 3
    assert all(miner.sampled(entry) for entry in miner.entries if entry.seen)
    assert sum(1 for entry in miner.entries if entry.seen) > len(EVENTS) // 2


LINE = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=60).map(lambda b: b.decode("latin-1")),
    st.sampled_from(["", "a b 12", "id deadbeef99 ok", "/x/y/z 1", "x" * 20_000]),
).map(lambda t: t.replace("\n", " ").replace("\r", " "))


@given(st.lists(LINE, min_size=1, max_size=60), st.integers(1, 20))
def test_counts_add_up_whatever_the_lines_are(lines: list[str], size: int) -> None:
    miner, found = mined(lines, size=size)
    assert sum(template.count for template in miner.templates()) == len(lines) == len(found)


@given(st.lists(st.sampled_from([line for line, _ in labelled(5, 60)]), min_size=1, max_size=80), st.integers(1, 30))
def test_block_borders_change_nothing(lines: list[str], size: int) -> None:
    _, small = mined(lines, size=size)
    _, whole = mined(lines, size=1_000)
    assert small == whole


def test_no_secret_reaches_templates_examples_or_samples() -> None:
    secrets = [f"hunter{n}Zq{'abcdefghij'[n]}Vx9" for n in range(10)]
    lines = [f"2026-11-04T08:00:0{n}Z api INFO login password={secret} ok" for n, secret in enumerate(secrets)]
    key = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "\n".join("MIIEpAIBAAKCAQEA" + c * 48 for c in "xyzuvw")
    lines += f"2026-11-04T08:00:10Z api INFO loaded\n{key}\n-----END RSA PRIVATE {'KEY-----'}".split("\n")
    miner, found = mined(lines, Safe(detector(), "app"))
    everything = "\n".join(
        [*found, *(e.masked + e.example for e in miner.entries), *(s for e in miner.entries for s in miner.sampled(e))]
    )
    for secret in [*secrets, *("MIIEpAIBAAKCAQEA" + c * 48 for c in "xyzuvw")]:
        assert secret not in everything
    assert len({key for key in found if "password" in key}) == 1


def test_a_full_miner_counts_what_it_cannot_tell_apart() -> None:
    miner = Miner(None, sample=0, stop=lambda: True)
    lines = [f"word{chr(97 + n % 26)}{chr(97 + n // 26 % 26)} something {chr(97 + n // 676)}" for n in range(2_000)]
    miner.feed("\n".join(lines).encode(), 0)
    templates = miner.templates()
    assert sum(template.count for template in templates) == 2_000
    assert any("not told apart" in template.key for template in templates)
