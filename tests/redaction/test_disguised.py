"""Names in other letters, text encoded many times, a token in base64: what nobody writes by accident hides nothing."""

# ruff: noqa: RUF001

from __future__ import annotations

import base64
import time
import uuid
from urllib.parse import quote

import pytest
from redaction.fixtures import detector, hexadecimal, machine_made

from interlock.redaction import engine
from interlock.redaction.decoding import DEPTH

DETECTOR = detector()
TOKEN = machine_made(24, 21)
WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in "password")
HIDDEN = [
    "ｐassword={}", f"{WIDE}={{}}", f"{WIDE}：{{}}", f"{WIDE}_2＝{{}}", "password： {}", f"'{WIDE}': '{{}}'",
    r'{{"p\u0061ssword": "{}"}}', r'{{"\u0070assword":"{}"}}', r'{{"passwor\u0064": "{}", "port": 80}}',
    r'{{"api\u005fkey": "{}"}}', r'"\x70assword" = "{}"', r'"{{\"p\\u0061ssword\": \"{}\"}}"',
    "/x%253Fa%253D1%2526password%253D{}%2526b%253D2", "pаssword={}",
    "'ѕecret_kеy': '{}'", "dbΡassword = {}", "next=https%253A%252F%252Fa%252F%253Ftoken%253D{}",
]  # fmt: skip


@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_under_a_disguised_name_goes_alone(text: str) -> None:
    before, _, after = text.format("\0").partition("\0")
    for value in (TOKEN, "Walnut4711"):
        shown = DETECTOR.redact(text.format(value)).text
        assert value not in shown
        assert shown.startswith(before) and shown.endswith(after)
        assert DETECTOR.redact(shown).text == shown


@pytest.mark.parametrize(
    "line", ["порt: Walnut4711", "Δtime: 1750ms", "Zugriff für Ωmega=Walnut4711", "ключ_id=Walnut4711"]
)
def test_a_word_of_two_alphabets_is_no_secrets_name_by_that(line: str) -> None:
    assert DETECTOR.redact(line).text == line


@pytest.mark.parametrize("times", range(1, DEPTH + 1))
@pytest.mark.parametrize(
    "text", [f"https://user:{TOKEN}@host/x", f"/x?a=1&password={TOKEN}&b=2", f'{{"api_key": "{TOKEN}", "b": "c d"}}']
)
def test_what_is_percent_encoded_goes_alone_however_often(times: int, text: str) -> None:
    before, after = text.split(TOKEN)
    for _ in range(times):
        text, before, after = (quote(one, safe="") for one in (text, before, after))
    for start, end in (("to=", "\n"), ("GET /cb?next=", " 200")):
        shown = DETECTOR.redact(f"{start}{text}{end}").text
        assert TOKEN not in shown and shown.startswith(start + before[:-1]) and shown.endswith(after + end)


def test_text_of_many_layers_takes_time_by_its_length() -> None:
    def spent(times: int) -> float:
        text = "password=Walnut4711&"
        for _ in range(times):
            text = quote(text, safe="")
        start = time.process_time()
        DETECTOR.redact(text * (100_000 // len(text)))
        return time.process_time() - start

    once = min(spent(1) for _ in range(3))
    assert min(spent(DEPTH) for _ in range(3)) < 2 * DEPTH * once
    assert min(spent(DEPTH + 20) for _ in range(3)) < 2 * DEPTH * once


def test_a_field_of_full_width_is_judged_by_its_name() -> None:
    shown, count = DETECTOR.redact_value({WIDE: "Walnut4711", "ｐort": "8080"})
    assert count == 1 and shown["ｐort"] == "8080" and "Walnut" not in shown[WIDE]


@pytest.mark.parametrize("key", ["k", "setting.bin", '"x-1"'])
def test_base64_of_a_token_that_nothing_announces_goes(key: str) -> None:
    coded = base64.b64encode(f"{machine_made(40, 3)}\n".encode()).decode()
    text = f"kind: ConfigMap\ndata:\n  {key}: {coded}\n"
    assert coded not in DETECTOR.redact(text).text


@pytest.mark.parametrize(
    "text",
    [
        "password：请输入密码",
        f"{WIDE}: 入力してください",
        "ｐort=8080 ｎame=ordinary",
        r'{"n\u0061me": "ordinary-value-12", "caf\u00e9": "open"}',
        r'{"password_p\u006flicy": "long-and-strong"}',
        "q=a%253Db%2526page%253D2",
        "k: " + base64.b64encode(b"ordinary words, encoded.").decode(),
        "k: " + base64.b64encode(str(uuid.UUID(int=2**100 + 5)).encode()).decode(),
        "k: " + base64.b64encode(hexadecimal(40, 2).encode()).decode(),
        "k: " + base64.b64encode(b"many-56bc65b5ff-22cfw").decode(),
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert DETECTOR.redact(text).text == text


def test_both_engines_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def portable(patterns, digest, cache):  # type: ignore[no-untyped-def]
        return engine.PortableEngine(found := patterns()), found

    texts = [text.format(TOKEN) for text in HIDDEN]
    expected = [DETECTOR.redact(text).text for text in texts]
    monkeypatch.setattr("interlock.redaction.rules.open_engine", portable)
    other = detector()
    assert [other.redact(text).text for text in texts] == expected
