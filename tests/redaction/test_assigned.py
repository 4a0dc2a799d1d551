"""One long random token under a name that says nothing. What is random and public stays."""

from __future__ import annotations

import base64
import hashlib
import random
import uuid

import pytest
from redaction.fixtures import detector, hexadecimal, machine_made

DETECTOR = detector()
TOKEN = machine_made(24, 11)
LOWER = "".join(random.Random(4).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24))
MARKED = "qz" + "ry" + hexadecimal(20, 5)


@pytest.mark.parametrize(
    "line",
    ["K={}", "K={}\n", "a = 1\nK={}\nb = 2\n", "+K={}", "-K={}\n", "  k: {}\n", '"x": "{}",', "export K='{}'", "const k = `{}`;",
     "K={} # a note", "ENV K={}", "x := \"{}\"\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("token", [TOKEN, LOWER, MARKED, TOKEN + "=", TOKEN[:11] + "_" + TOKEN[11:]])
def test_a_token_under_any_name_goes(line: str, token: str) -> None:
    text = line.format(token)
    shown = DETECTOR.redact(text).text
    assert token not in shown
    assert shown.startswith(text[: text.index(token)])
    assert DETECTOR.redact(shown).text == shown


@pytest.mark.parametrize(
    "line",
    [
        "K=" + hexadecimal(40, 2),  # a commit
        "x: " + hashlib.sha256(b"x").hexdigest(),
        "x = " + str(uuid.UUID(int=7)),
        "K=web-" + str(uuid.UUID(int=2**90 + 7)),
        "resolved: sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
        f'"request_id": "{TOKEN}"',
        f"etag: {TOKEN}",
        f"commit={TOKEN}",
        "x = " + base64.b64encode(b"ordinary words, encoded.").decode(),
        "release=" + "web_" + hexadecimal(24, 3),
        "unit: kubernetes-scheduler-node01",
        "name = ServiceAccountTokenVolumeProjection2",
        "x = HTTPServerWithRetries3AndBackoff10",
        "Tag: cp311-cp311-manylinux2014_x86_64",
        "encoding = ISO_8859_2_HUNGARIAN_CHAR_TO_ORDER",
        "prefix = /usr/lib/x86_64-linux-gnu/pkgconfig",
        f"K=call({TOKEN})",
        f"sum {TOKEN} of",
    ],
)
def test_what_is_public_or_a_name_stays(line: str) -> None:
    assert DETECTOR.redact(line + "\n").text == line + "\n"
