"""Journal, containers and pods, as programs print them. The broker is a double; the cluster's and Docker's own
suites run the real ones."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from logs_server import detector

from interlock.guard.errors import Failed, Refused
from interlock.logs import docker_logs
from interlock.logs.actions import SourceSettings
from interlock.logs.blocks import Budget
from interlock.logs.reading import Reader
from interlock.logs.streams import DOCKER, JOURNALCTL, KUBECTL, ClusterBounds, StreamSource, merge
from interlock.logs.windows import Span


class Broker:
    """Answers by program and first words; keeps what it was asked."""

    def __init__(self, **outputs: str) -> None:
        self.outputs = outputs
        self.programs = frozenset((JOURNALCTL, DOCKER, KUBECTL))
        self.asked: list[list[str]] = []

    def _output(self, argv: Sequence[str]) -> bytes:
        self.asked.append(list(argv))
        words = " ".join(argv)
        return next((text for key, text in self.outputs.items() if key.replace("_", " ") in words), "").encode()

    def run(self, program: str, argv: Sequence[str], **options: Any) -> Any:
        return SimpleNamespace(code=0, stdout=self._output(argv), stderr=b"")

    def start(self, program: str, argv: Sequence[str], **options: Any) -> Any:
        stream = io.BytesIO(self._output(argv))
        return SimpleNamespace(read=stream.read, wait=lambda: 0, close=lambda: None, stderr=b"")


BOUNDS = ClusterBounds(Path("/k"), {"staging": ("payments", "web-*")})


def rows(settings: dict[str, Any], broker: Broker, bounds: ClusterBounds = BOUNDS) -> list[str]:
    source = StreamSource("app", SourceSettings.model_validate(settings), broker, bounds)
    return [row.text for row in Reader(source, detector(), Budget()).tail(100, Span()).rows]


def test_the_journal_of_a_unit() -> None:
    entry = {
        "__REALTIME_TIMESTAMP": "1793779201559914",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "nginx",
        "_PID": "7",
        "_HOSTNAME": "n",
    }
    text = "".join(json.dumps({**entry, "MESSAGE": f"worker {n} died"}) + "\n" for n in range(3))
    broker = Broker(nginx=text)
    found = rows({"journald": {"unit": "nginx.service"}}, broker)
    assert [row.split(" ", 1)[1] for row in found] == [f"n nginx[7] ERROR worker {n} died" for n in range(3)]
    assert broker.asked == [["--unit", "nginx.service"]]


def test_all_replicas_of_a_workload_are_one_log_by_time() -> None:
    broker = Broker(
        deployments=json.dumps({"spec": {"selector": {"matchLabels": {"app": "web"}}}}),
        output=("pod/web-1\npod/web-2\n"),
    )
    broker.outputs = {
        "json deployments web": broker.outputs["deployments"],
        "name --selector=app=web pods": "pod/web-1\npod/web-2\n",
        "-- web-1": "2026-11-04T08:00:01Z ERROR a\n2026-11-04T08:00:03Z c\n    at x\n",
        "-- web-2": "2026-11-04T08:00:02Z b\n2026-11-04T08:00:04Z password=hT4rub4dor9x77\n",
    }
    found = rows({"kubernetes": {"context": "staging", "namespace": "payments", "workload": "deployments/web"}}, broker)
    assert found[:4] == [
        "2026-11-04T08:00:01Z web-1| ERROR a",
        "2026-11-04T08:00:02Z web-2| b",
        "2026-11-04T08:00:03Z web-1| c",
        "    at x",
    ]
    assert "[secret:" in found[4]
    assert all("--context=staging" in argv and "--namespace=payments" in argv for argv in broker.asked)


@pytest.mark.parametrize(
    "where",
    [
        {"context": "prod", "namespace": "payments"},
        {"context": "staging", "namespace": "kube-system"},
        {"context": "staging", "namespace": "payments", "workload": "secrets/x"},
        {"context": "staging", "namespace": "payments", "workload": "deployments/--all"},
    ],
)
def test_the_kubectl_section_is_the_bound(where: dict[str, str]) -> None:
    broker = Broker()
    with pytest.raises(Refused):
        rows({"kubernetes": where}, broker)
    assert broker.asked == []


def test_what_is_not_installed_is_said() -> None:
    broker = Broker()
    broker.programs = frozenset()
    with pytest.raises(Failed, match="not installed"):
        rows({"docker": {"label": "app=web"}}, broker)


def test_merging_keeps_every_line() -> None:
    texts = {
        name: "".join(f"2026-11-04T08:00:{n % 60:02d}Z {name} {n}\n" for n in range(n0, 600, 3))
        for name, n0 in (("a", 0), ("b", 1), ("c", 2))
    }
    read = merge([(name, io.BytesIO(text.encode()).read) for name, text in texts.items()])
    data = b""
    while chunk := read(1000):
        data += chunk
    assert sorted(row.split(b"| ")[1] for row in data.splitlines()) == sorted(
        row.split(" ", 1)[1].encode() for text in texts.values() for row in text.splitlines()
    )


class Container:
    def __init__(self, name: str, labels: dict[str, str], text: bytes = b"") -> None:
        self.name, self.labels, self.text = name, labels, text

    def logs(self, **options: Any) -> Any:
        assert options == {"stream": True, "follow": False, "timestamps": True}
        return iter([self.text[:7], self.text[7:]])


def test_only_containers_of_the_source_are_named_and_read() -> None:
    all_ = [Container("web-1", {"app": "web"}), Container("db-1", {"app": "db"}), Container("web-2", {"app": "web"})]

    def listed(all: bool, filters: dict[str, str]) -> list[Container]:
        key, _, value = filters.get("label", "").partition("=")
        return [one for one in all_ if not key or one.labels.get(key) == value]

    client = SimpleNamespace(containers=SimpleNamespace(list=listed))
    assert sorted(docker_logs.containers(client, "app=web", None)) == ["web-1", "web-2"]
    assert sorted(docker_logs.containers(client, None, "db-*")) == ["db-1"]
    out = io.BytesIO()
    docker_logs.write_logs(Container("x", {}, b"2026 first\n2026 second\nrest"), out)
    assert out.getvalue() == b"2026 first\n2026 second\nrest\n"
