"""Made-up credentials, assembled at run time so that no scanner trips over this repository."""

from __future__ import annotations

import random
import string

from interlock.redaction import Detector, open_detector

KEY = b"an installation key of 32 bytes."
WORDS = ["orchid", "walnut", "copper", "meadow", "falcon", "harbor", "violet", "timber"]


def detector() -> Detector:
    return open_detector(KEY)


def machine_made(length: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    text = "".join(rng.choices(string.ascii_letters + string.digits, k=length))
    return text[:-3] + "a7Q" if not any(c.isdigit() for c in text) else text


def human(seed: int = 1) -> str:
    rng = random.Random(seed)
    return rng.choice(WORDS).capitalize() + str(rng.randint(100, 9999)) + "!"


def hexadecimal(length: int, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices("0123456789abcdef", k=length))


def pem(kind: str = "RSA ", lines: int = 6, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    body = ["".join(rng.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in range(lines)]
    return [f"-----BEGIN {kind}PRIVATE" + " KEY-----", *body, f"-----END {kind}PRIVATE" + " KEY-----"]
