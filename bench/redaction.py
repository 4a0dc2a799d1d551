"""Speed of redaction, as ratios to a naive filter of seven stdlib expressions on the same text in the same run.

    python bench/redaction.py            three texts and hostile ones
    python bench/redaction.py --quick    less text
    python bench/redaction.py --stream   1 GB through a stream, with the memory it took

Runs are interleaved and judged by CPU time, the best of several: the machine's other load moves both alike.
"""
# ruff: noqa: E501

from __future__ import annotations

import argparse
import random
import re
import resource
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from interlock.redaction import open_detector

NAIVE = [
    re.compile(pattern)
    for pattern in (
        r"(?i)(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqp)://[^:\s]+:[^@\s]+@\S+",
        r"(?i)api[_-]?key[\"']?\s*[:=]\s*[\"']?[\w-]{16,}",
        r"AKIA[0-9A-Z]{16}",
        r"(?i)aws_secret[\w]*[\"']?\s*[:=]\s*[\"']?[\w/+=]{20,}",
        r"(?i)password[\"']?\s*[:=]\s*[\"']?[^\s\"']+",
        r"Bearer\s+[\w.~+/-]+=*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
    )
]
ALPHABET = string.ascii_letters + string.digits


def naive(text: str) -> str:
    for pattern in NAIVE:
        text = pattern.sub("[REDACTED]", text)
    return text


def word(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(ALPHABET, k=length))


def log_line(number: int, rng: random.Random) -> str:
    stamp = (
        f"2026-11-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}.{number % 1000:03d}Z"
    )
    kind = number % 20
    if kind == 0:  # one line in ten comes near a secret
        return f"{stamp} WARN auth: token expired for session, refreshing (attempt {number % 5}) trace_id={rng.getrandbits(128):032x}"
    if kind == 10:
        return f"{stamp} DEBUG cache refreshed keys={number % 9999} token_count={number % 4096} password_reset_pending=false"
    return f"{stamp} INFO [worker-{number % 32}] GET /api/v1/items/{number} 200 {number % 900}ms bytes={number * 37 % 100000} host=node-{number % 40}.prod.internal"


def clean_logs(lines: int) -> str:
    rng = random.Random(1)
    return "\n".join(log_line(number, rng) for number in range(lines)) + "\n"


def logs_with_secrets(lines: int) -> str:
    rng = random.Random(2)
    secrets = [
        lambda: f" login password={word(rng, 14)}",
        lambda: f" Authorization: Bearer {word(rng, 40)}",
        lambda: f" gh{'p'}_{word(rng, 36)}",
        lambda: f" postgres://app:{word(rng, 16)}@db.internal:5432/orders",
    ]
    return (
        "\n".join(
            log_line(number, rng) + (secrets[number // 200 % 4]() if number % 200 == 0 else "")
            for number in range(lines)
        )
        + "\n"
    )


def configuration(blocks: int) -> str:
    rng = random.Random(3)
    parts = []
    for number in range(blocks):
        parts.append(f"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{number}
  labels: {{app: web, tier: t{number % 5}}}
spec:
  replicas: {number % 7}
  template:
    spec:
      containers:
      - name: app
        image: registry.example.com/team/web:{number}.2.{number % 9}
        env:
        - name: LOG_LEVEL
          value: info
        - name: DB_PASSWORD
          value: {word(rng, 18)}
        - name: API_KEY
          valueFrom:
            secretKeyRef:
              name: web-secrets
              key: api-key
---
{{"server": {{"port": 8080, "auth_timeout": 30, "token_ttl": 3600, "api_key": "{word(rng, 32)}", "secret_name": "web-{number}", "endpoint": "https://h{number}.example.com/v1"}},
 "db": {{"host": "db-{number}.internal", "user": "app", "password": "{word(rng, 14)}", "pool_size": {number % 50}, "public_key": "none"}}}}
---
""")
    return "".join(parts)


HOSTILE = [
    "password=", "password=\n", "key=", "api_key: ", "token aaaaaaaaaaaaaaaaaaaaaa ", "-----BEGIN PRIVATE" + " KEY-----", "-----END PRIVATE" + " KEY-----\n",
    "kind: Secret\n", '{"kind":"Secret",', '"password":"', '\\"password\\":\\"', "'\"", "[secret:", "Authorization: ", "authorization: bearer aaaaaaaaaaaaaaaa",
    "Cookie: a=b; ", "cGFzc3dvcmQ9", "eyJhbGciOi.", "sk-", "password: |\n", "password:\n  x", "--password x ", "<password>x", "name: TOKEN\nvalue: ", "mysql -u root -px ",
    "echo a | ", "| token | x |\n", "a,token,b\n1,2,3\n", "$2y$10$", "login a password ", "password=" + "x" * 300 + " ", "token%3Dabc", "://a:b@", "0", "aB3", "\n",
    "password&quot;:&quot;x", "secret{value: ", "é", "\x00",
]  # fmt: skip


def best(function: Callable[[str], object], text: str, runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        function(text)
        times.append(time.process_time() - start)
    return min(times)


def compare(name: str, text: str, ours: Callable[[str], object], runs: int) -> None:
    mine = theirs = float("inf")
    for _ in range(runs):
        theirs = min(theirs, best(naive, text, 1))
        mine = min(mine, best(ours, text, 1))
    size = len(text.encode()) / 1e6
    print(
        f"{name:<28} {size:5.1f} MB   naive {size / theirs:7.1f} MB/s   ours {size / mine:7.1f} MB/s   x{theirs / mine:.2f}"
    )


def hostile(ours: Callable[[str], object], size: int) -> None:
    speeds = []
    for unit in HOSTILE:
        text = (unit * (size // len(unit) + 1))[:size]
        speeds.append((len(text.encode("utf-8", "surrogatepass")) / 1e6 / best(ours, text, 2), unit))
    speeds.sort()
    for speed, unit in speeds[:5]:
        print(f"hostile {unit[:40]!r:<44} {speed:7.2f} MB/s")


def one_gigabyte() -> None:
    block = clean_logs(10_000).encode()
    stream = open_detector(b"k" * 32).stream()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    total = 0
    while total < 1 << 30:
        stream.feed(block)
        total += len(block)
    stream.close()
    took = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"stream of {total / 1e9:.2f} GB: {total / 1e6 / took:.0f} MB/s, memory grew by {grown:.0f} MB")


def first_use() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        open_detector(b"k" * 32, None, cache).redact("x")  # writes the pattern database
        program = (
            "import time; start = time.process_time()\n"
            "from pathlib import Path\nfrom interlock.redaction import open_detector\n"
            f"middle = time.process_time(); open_detector(b'k' * 32, None, Path({str(cache)!r})).redact('password=none')\n"
            "print((middle - start) * 1000, (time.process_time() - middle) * 1000)"
        )
        runs = [
            tuple(
                map(
                    float,
                    subprocess.run(
                        [sys.executable, "-c", program], capture_output=True, text=True, check=True
                    ).stdout.split(),
                )
            )
            for _ in range(5)
        ]
        importing, ready = min(runs, key=sum)
        print(
            f"first use in a new process, pattern database cached: import {importing:.0f} ms, ready after {ready:.0f} ms more"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    if options.stream:
        one_gigabyte()
        return 0
    detector = open_detector(b"k" * 32)
    detector.redact("x")
    scale = 1 if options.quick else 4
    runs = 3 if options.quick else 5
    compare("clean logs, near misses", clean_logs(20_000 * scale), detector.redact, runs)
    compare("a secret every 200 lines", logs_with_secrets(20_000 * scale), detector.redact, runs)
    compare("dense configuration", configuration(1_000 * scale), detector.redact, runs)
    hostile(detector.redact, 100_000 * scale)
    first_use()
    return 0


if __name__ == "__main__":
    sys.exit(main())
