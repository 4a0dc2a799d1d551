"""Makes logs of services that do not exist: labelled lines in several header formats, and hours with one incident.

Seeded; every line is invented here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 4, 8, 0, 0, tzinfo=UTC)

# level, service, template in the words of `str.format` with generators by name
EVENTS: tuple[tuple[str, str, str], ...] = (
    ("INFO", "gateway", "GET /api/v2/items/{n} 200 {ms}ms upstream=items-{d}"),
    ("INFO", "gateway", "POST /api/v2/cart/{n}/lines 201 {ms}ms upstream=cart-{d}"),
    ("INFO", "ledger", "booked entry {n} of account {uuid} in {ms} ms"),
    ("INFO", "ledger", "snapshot {hex} written to /var/lib/ledger/{n}/{hex}.snap, {n} bytes"),
    ("INFO", "mailer", "queued message {hex} for {name}@mail{d}.example.com"),
    ("INFO", "mailer", "connection from {host} ({ip}) accepted on port {port}"),
    ("WARN", "mailer", "greylisted sender {name}@mail{d}.example.com, retry in {n} s"),
    ("INFO", "scheduler", "heartbeat ok seq={seq}"),
    ("INFO", "scheduler", "job nightly-report started on worker-{d}"),
    ("INFO", "scheduler", "job nightly-report finished on worker-{d} after {n} ms"),
    ("WARN", "cache", "evicted {n} keys from shard {d}, memory at {pct}%"),
    ("INFO", "cache", "shard {d} rebalanced: {n} slots moved to {ip}:{port}"),
    ("ERROR", "store", "replica {ip}:{port} lags {n} ms behind primary"),
    ("ERROR", "auth", "login failed for user {name} from {ip}"),
    ("INFO", "auth", "session opened for user {name} by uid={d}"),
    ("INFO", "auth", "session closed for user {name}"),
    ("DEBUG", "store", "compaction of level {d} took {ms} ms"),
    ("INFO", "store", "flushed memtable {hex} to sst {n}"),
)
NAMES = [
    "amara",
    "bodil",
    "chen",
    "dipa",
    "emre",
    "farid",
    "gwen",
    "hana",
    "ines",
    "jorge",
    "kofi",
    "lena",
    "mila",
    "nils",
    "omar",
    "petra",
]


class Values:
    """Random values by name; `seq` counts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seq = 0

    def __call__(self, template: str) -> str:
        one = self.random
        self.seq += 1
        number = one.randrange(10 ** one.randrange(1, 7))
        return template.format(
            n=number,
            d=one.randrange(10),
            ms=one.randrange(3, 60),
            pct=one.randrange(10, 99),
            seq=self.seq,
            hex=f"{one.randrange(16**12):012x}",
            uuid=_uuid(one),
            name=one.choice(NAMES),
            port=one.randrange(1024, 65535),
            ip=".".join(str(one.randrange(1, 254)) for _ in range(4)),
            host=f"mx{one.randrange(90)}.relay{one.randrange(90)}.example.net",
        )


def _uuid(one: random.Random) -> str:
    text = f"{one.randrange(16**32):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


Format = Callable[[datetime, str, str, str], str]

FORMATS: dict[str, Format] = {
    "bracketed pid": lambda t, lv, sv, m: (
        f"{t:%Y-%m-%dT%H:%M:%S}.{t.microsecond // 1000:03d}Z {sv}[{len(sv)}17] {lv} {m}"
    ),
    "syslog": lambda t, lv, sv, m: f"{t:%b} {t.day:2d} {t:%H:%M:%S} node7 {sv}[811]: {m}",
    "log4j": lambda t, lv, sv, m: (
        f"{t:%Y-%m-%d %H:%M:%S},{t.microsecond // 1000:03d} {lv} [pool-3-thread-1] org.example.{sv}.Main: {m}"
    ),
    "pipes": lambda t, lv, sv, m: f"{t:%Y%m%d-%H:%M:%S}:{t.microsecond // 1000:03d}|{sv}|30002312|{m}",
    "logback": lambda t, lv, sv, m: f"{t:%Y-%m-%d %H:%M:%S}.{t.microsecond // 1000:03d} - {lv:5} [main] - {m}",
    "json": lambda t, lv, sv, m: (
        f'{{"ts":"{t:%Y-%m-%dT%H:%M:%S}.000Z","level":"{lv.lower()}","service":"{sv}","msg":"{m}"}}'
    ),
    "logfmt": lambda t, lv, sv, m: f'time="{t:%Y-%m-%dT%H:%M:%S}Z" level={lv.lower()} service={sv} msg="{m}"',
    "apache": lambda t, lv, sv, m: (
        f"[{t:%a %b %d %H:%M:%S}.{t.microsecond:06d} {t.year}] [{sv}:{lv.lower()}] [pid 9] {m}"
    ),
}


def labelled(seed: int, count: int, form: str = "bracketed pid") -> list[tuple[str, int]]:
    """Lines with the number of their template."""
    values, made = Values(seed), FORMATS[form]
    time = START
    found = []
    for _ in range(count):
        time += timedelta(milliseconds=values.random.randrange(1, 900))
        number = values.random.randrange(len(EVENTS))
        level, service, template = EVENTS[number]
        found.append((made(time, level, service, values(template)), number))
    return found


@dataclass(frozen=True)
class Hour:
    """42 minutes as usual, 18 with one change. `cause` is a piece of the text that names it."""

    lines: list[str]
    cause: str


def _usual(values: Values, seconds: float) -> Iterator[tuple[float, str, str, str]]:
    one = values.random
    time = 0.0
    while time < seconds:
        time += one.expovariate(1.4)
        # every fifth line comes in a clump, as real ones do
        level, service, template = EVENTS[min(one.randrange(len(EVENTS)), one.randrange(len(EVENTS)))]
        if service == "scheduler" and "heartbeat" in template:
            continue
        for _ in range(one.choice((1, 1, 1, 1, 3))):
            yield time, level, service, values(template)


def hour(kind: str, seed: int) -> Hour:
    """One of quiet, new_error, rate_spike, silence, latency_shift, cascade, crash_loop."""
    values = Values(seed)
    one = values.random
    begin, end = 42 * 60.0, 60 * 60.0
    rows = list(_usual(values, end))
    beats = [(float(t), "INFO", "scheduler", f"heartbeat ok seq={t // 5}") for t in range(0, 3600, 5)]
    slow = kind == "latency_shift"
    gets = []
    for _ in range(900):
        time = one.uniform(0, end)
        ms = one.randrange(20, 45) * (6 if slow and time > begin else 1)
        gets.append((time, "INFO", "edge", f"GET /shop/{one.randrange(10**6)} 200 {ms}ms pool=p{one.randrange(4)}"))
    extra: list[tuple[float, str, str, str]] = []
    cause = ""

    def times(count: int) -> list[float]:
        return sorted(one.uniform(begin, end) for _ in range(count))

    if kind == "new_error":
        cause = "lost the lease of partition"
        extra = [
            (t, "ERROR", "store", f"lost the lease of partition {one.randrange(64)}, giving up") for t in times(80)
        ]
    elif kind == "rate_spike":
        cause = "quota exceeded for tenant"
        extra = [
            (one.uniform(0, begin), "WARN", "quota", f"quota exceeded for tenant {one.randrange(900)}")
            for _ in range(50)
        ]
        extra += [(t, "WARN", "quota", f"quota exceeded for tenant {one.randrange(900)}") for t in times(600)]
    elif kind == "silence":
        cause = "heartbeat ok"
        beats = [row for row in beats if row[0] < begin]
    elif kind == "latency_shift":
        cause = "GET <path>"
    elif kind == "cascade":
        cause = "write conflict in table"
        for t in times(120):
            id = f"req={one.randrange(16**10):010x}"
            extra.append((t, "ERROR", "db", f"{id} write conflict in table stock, rolled back"))
            extra.append((t + 0.0001, "ERROR", "stock", f"{id} reservation failed: db said no"))
            extra.append(
                (
                    t + 0.0002,
                    "ERROR",
                    "edge",
                    f"PUT /stock/{one.randrange(9999)} 503 {one.randrange(2000, 4000)}ms {id}",
                )
            )
    elif kind == "crash_loop":
        cause = "panic: runtime error"
        for t in times(30):
            extra.append((t, "FATAL", "worker", "panic: runtime error: index out of range [7] with length 3"))
            extra.append((t + 0.01, "INFO", "worker", f"starting worker v3.2.{one.randrange(9)}"))
    form = FORMATS["bracketed pid"]
    ordered = sorted([*rows, *beats, *gets, *extra])
    return Hour([form(START + timedelta(seconds=t), lv, sv, m) for t, lv, sv, m in ordered], cause)
