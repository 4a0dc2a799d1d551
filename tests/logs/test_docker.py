"""Containers of a real Docker engine as log sources, through the real server: behind guard, broker and confinement."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import docker
import pytest
from installation import Installation
from logs_server import body, header
from sandbox.daemon import HOW, docker_daemon

from interlock.sandbox import image
from interlock.sandbox.containers import LABEL, load_image

pytestmark = pytest.mark.anyio

WORKS = """
import sys, time
for n in range(60):
    print(f"INFO {sys.argv[1]} served request {n} in {n % 7} ms", flush=True)
    if n % 20 == 0:
        print(f"ERROR {sys.argv[1]} upstream {n} timed out", file=sys.stderr, flush=True)
    time.sleep(0.002)
"""
LONG = """
print("long " + "x" * 40_000 + " password=" + "hT4rub4dor" + "9x77 end", flush=True)
print("INFO after", flush=True)
"""
TALKS = """
import time
for n in range(3000):
    print(f"INFO tick {n}", flush=True)
    time.sleep(0.02)
"""
FLOODS = """
for n in range(40_000):
    print(f"INFO line {n} of many, to fill files that are soon rotated away", flush=True)
"""


class Engine:
    """The daemon, and containers of an image that holds what this machine has."""

    def __init__(self, name: str) -> None:
        self.client = docker.from_env()
        self.image = name

    def run(self, code: str, *words: str, name: str = "", label: str = "", wait: bool = True, **options: Any) -> Any:
        command = [image.PYTHON, "-I", "-S", "-E", "-c", code, *words]
        name = name or f"c-{uuid.uuid4().hex[:8]}"
        labels = {"app": label} if label else {}
        made = self.client.containers.run(
            self.image, command, name=name, labels=labels, detach=True, network_mode="none", **options
        )
        if wait:
            assert made.wait(timeout=60)["StatusCode"] == 0
        return made


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with docker_daemon() as there:
        if not there:
            pytest.skip(HOW)
        place = Path(tempfile.mkdtemp(prefix="interlock-image-"))
        place.chmod(0o755)
        try:
            yield Engine(load_image(image.build(place)))
        finally:
            shutil.rmtree(place)


@pytest.fixture
def label(engine: Engine) -> Iterator[str]:
    """A label of this test's own; its containers go with it."""
    name = f"web-{uuid.uuid4().hex[:8]}"
    yield name
    for one in engine.client.containers.list(all=True, filters={"label": f"app={name}"}):
        one.remove(force=True)


def sources(installation: Installation, **by_name: str) -> None:
    listed = "".join(f"    {name}: {{docker: {{{bound}}}}}\n" for name, bound in by_name.items())
    installation.write_policy(f"version: 1\nextends: readonly\nagent: tester\nlogs:\n  sources:\n{listed}")


@contextmanager
def engine_at(host: str) -> Iterator[None]:
    """Servers that start here look for Docker there."""
    before = os.environ["DOCKER_HOST"]
    os.environ["DOCKER_HOST"] = host
    try:
        yield
    finally:
        os.environ["DOCKER_HOST"] = before


async def test_containers_of_a_label_are_one_log(
    installation: Installation, engine: Engine, label: str, era: str
) -> None:
    for name in ("a", "b"):
        engine.run(WORKS, name, name=f"{label}-{name}", label=label)
    engine.run("print('INFO not ours')", label="other")
    sources(installation, web=f"label: app={label}", one=f'name: "{label}-b"', rest=f'name: "{label}-?"')
    with anyio.fail_after(60):
        async with installation.agent("logs", era=era) as agent:
            listed = (await agent.call("list_sources")).text
            assert f"web (docker: containers app={label})" in listed
            assert "2 containers" in listed
            read = (await agent.call("read_log", source="web", head=200)).text
            rows = body(read)
            assert len(rows) == 2 * 63
            assert rows == sorted(rows)  # by time, whichever container
            assert sum("ERROR" in row for row in rows) == 6  # both streams
            assert {row.split(" ")[1] for row in rows} == {f"{label}-a|", f"{label}-b|"}
            assert "not ours" not in read
            assert body((await agent.call("read_log", source="web", tail=7)).text) == rows[-7:]
            hits = (await agent.call("search_logs", source="rest", pattern="upstream 40", context=1)).text
            found = [row for row in body(hits) if row.startswith("@")]
            assert len(found) == 2
            assert all("upstream 40 timed out" in row for row in found)
            summary = (await agent.call("summarize_logs", source="web")).text
            assert "upstream <num> timed out" in summary
            assert "126 lines" in header(summary)
            only = body((await agent.call("read_log", source="one", head=200, level="error")).text)
            assert len(only) == 3
            assert all(f"{label}-b| ERROR" in row for row in only)


async def test_pages_and_cursors_lead_through_a_container(
    installation: Installation, engine: Engine, label: str
) -> None:
    engine.run(WORKS, "a", label=label)
    sources(installation, web=f"label: app={label}")
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            whole = body((await agent.call("read_log", source="web", head=200)).text)
            forwards: list[str] = []
            text = (await agent.call("read_log", source="web", head=25)).text
            while rows := body(text):
                forwards += rows
                text = (await agent.call("read_log", source="web", cursor=_cursor("newer", text), lines=25)).text
            assert forwards == whole
            backwards: list[str] = []
            text = (await agent.call("read_log", source="web", tail=25)).text
            while rows := body(text):
                backwards[:0] = rows
                if "older: " not in text:
                    break
                text = (await agent.call("read_log", source="web", tail=25, cursor=_cursor("older", text))).text
            assert backwards == whole
            hit = body((await agent.call("search_logs", source="web", pattern="request 30 ")).text)[0]
            around = body((await agent.call("read_log", source="web", around=hit.split(" ")[0], lines=6)).text)
            assert around[3] == hit.split(" ", 1)[1]
            found, more = [], "x"
            arguments: dict[str, Any] = {}
            while more:
                text = (await agent.call("search_logs", source="web", pattern="served", limit=13, **arguments)).text
                found += body(text)
                more = _cursor("there are more", text) if "there are more" in text else ""
                arguments = {"cursor": more}
            assert len(found) == len(set(found)) == 60
            since = whole[50].split(" ")[0]
            late = body((await agent.call("read_log", source="web", since=since, head=200)).text)
            assert late[-1] == whole[-1]
            assert len(whole) - 50 <= len(late) <= len(whole) - 49


def _cursor(name: str, text: str) -> str:
    found = re.search(rf"{name}[^|]*?cursor (\S+)", header(text))
    assert found is not None, header(text)
    return found[1]


async def test_a_line_that_docker_cut_is_whole_and_redacted(
    installation: Installation, engine: Engine, label: str
) -> None:
    engine.run(LONG, label=label)
    engine.run(LONG, label=label, tty=True)
    sources(installation, web=f"label: app={label}")
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            reply = (await agent.call("search_logs", source="web", pattern="password=")).text
            rows = body(reply)
            assert len(rows) == 2
            assert all("[secret:password" in row and row.endswith(" end") for row in rows)
            assert "hT4rub4dor" not in reply
            tail = body((await agent.call("read_log", source="web", tail=4)).text)
            assert len(tail) == 4
            assert sum("INFO after" in row for row in tail) == 2


async def test_following_a_container_until_it_ends(installation: Installation, engine: Engine, label: str) -> None:
    talking = engine.run(TALKS, label=label, wait=False)
    sources(installation, web=f"label: app={label}")
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            first = (await agent.call("read_log", source="web", follow=2, lines=10)).text
            rows = [int(row.rsplit(" ", 1)[1]) for row in body(first)]
            assert len(rows) == 10
            assert rows == list(range(rows[0], rows[0] + 10))
            assert "further lines were written and not shown" in header(first)
            await anyio.to_thread.run_sync(lambda: talking.kill())
            cursor = _cursor("newer", first)
            rest = (await agent.call("read_log", source="web", cursor=cursor, follow=30, lines=5000)).text
            assert int(body(rest)[0].rsplit(" ", 1)[1]) > rows[-1]  # and it did not wait for 30 s of silence


async def test_rotated_files_and_a_container_that_is_removed(
    installation: Installation, engine: Engine, label: str
) -> None:
    config = {"Type": "json-file", "Config": {"max-size": "500k", "max-file": "3"}}
    made = engine.run(FLOODS, label=label, log_config=config)
    sources(installation, web=f"label: app={label}")
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            tail = body((await agent.call("read_log", source="web", tail=3)).text)
            assert [re.search(r"line (\d+)", row)[1] for row in tail] == ["39997", "39998", "39999"]  # type: ignore[index]
            counted = (await agent.call("search_logs", source="web", pattern="INFO line", count=True)).text
            number = int(re.search(r"exactly ([\d,]+) lines", counted)[1].replace(",", ""))  # type: ignore[index]
            assert 1_000 < number < 40_000  # what the engine kept of it
            await anyio.to_thread.run_sync(lambda: made.remove(force=True))
            gone = await agent.call("read_log", source="web")
            assert gone.code == "failed"
            assert "no file or stream at the moment" in gone.text


async def test_an_engine_that_is_gone_is_said(installation: Installation, engine: Engine, tmp_path: Path) -> None:
    sources(installation, web="label: app=web")
    with anyio.fail_after(60), engine_at(f"unix://{tmp_path}/none.sock"):
        async with installation.agent("logs") as agent:
            reply = await agent.call("summarize_logs", source="web")
            assert reply.code == "failed"
            assert "engine cannot be reached (No such file or directory)" in reply.text
            assert "cannot be reached" in (await agent.call("list_sources")).text


async def test_a_container_without_a_log_is_said_and_the_others_are_read(
    installation: Installation, engine: Engine, label: str
) -> None:
    engine.run("print('INFO unheard')", label=label, log_config={"Type": "none", "Config": {}})
    engine.run("print('INFO heard')", label=label)
    sources(installation, web=f"label: app={label}")
    with anyio.fail_after(60):
        async with installation.agent("logs") as agent:
            text = (await agent.call("read_log", source="web")).text
            assert len(body(text)) == 1
            assert "gives no log of it" in header(text)


def sandboxed(installation: Installation, engine: str) -> None:
    """A policy with a file source, whose pipelines run as `engine` says."""
    (installation.work / "app.log").write_text(
        "".join(f"2026-11-04T08:00:{n:02d}Z INFO a {n % 3}\n" for n in range(60))
    )
    installation.write_policy(
        "version: 1\nextends: readonly\nagent: tester\nlogs:\n"
        f'  sources: {{app: {{path: "{installation.work}/app.log"}}}}\n'
        f"  analyze: [cut, sort, uniq, awk]\n  sandbox: {engine}\n"
    )


STEPS = [
    {"program": "cut", "args": ["-d", " ", "-f", "4"]},
    {"program": "sort"},
    {"program": "uniq", "args": ["-c"]},
]


@pytest.mark.parametrize("runtime", ["", "other"])
async def test_a_pipeline_runs_in_docker_where_the_policy_says_so(
    installation: Installation, engine: Engine, runtime: str
) -> None:
    chosen = f"{{engine: docker, image: {engine.image!r}" + (f", runtime: {runtime}}}" if runtime else "}")
    sandboxed(installation, chosen)
    info = engine.client.info()
    if runtime and runtime not in info["Runtimes"]:
        pytest.skip("not a daemon of ours")
    with anyio.fail_after(90):
        async with installation.agent("logs") as agent:
            text = (await agent.call("analyze_logs", source="app", steps=STEPS)).text
            assert [row.split() for row in body(text)] == [["20", "0"], ["20", "1"], ["20", "2"]], text
            hog = {"program": "awk", "args": ['BEGIN{x="xxxxxxxx"; while (1) x = x x}']}
            assert (
                "INCOMPLETE: the sandbox ended a step"
                in (await agent.call("analyze_logs", source="app", steps=[hog])).text
            )
            waiting = engine.client.containers.list(filters={"label": LABEL})  # the next ones, kept ready
            assert waiting
            used = {one.attrs["HostConfig"]["Runtime"] for one in waiting}
            assert used == {runtime or info["DefaultRuntime"]}
    doctor = installation.cli("doctor")
    assert re.search(r"sandbox docker\s+ok\s.*analyze_logs uses it", doctor.stdout), doctor.stdout


async def test_where_the_chosen_engine_is_not_there_no_other_is_taken(
    installation: Installation, engine: Engine, tmp_path: Path
) -> None:
    sandboxed(installation, f"{{engine: docker, image: {engine.image!r}, runtime: nonesuch}}")
    with anyio.fail_after(90):
        async with installation.agent("logs") as agent:
            names = {tool.name for tool in (await agent.client.list_tools()).tools}
            assert "analyze_logs" not in names
            assert "summarize_logs" in names
        probed = installation.cli("sandbox", "probe")
        assert probed.returncode == 1
        assert "it has no runtime 'nonesuch'" in probed.stdout
        with engine_at(f"unix://{tmp_path}/none.sock"):
            async with installation.agent("logs") as agent:
                assert "analyze_logs" not in {tool.name for tool in (await agent.client.list_tools()).tools}
            doctor = installation.cli("doctor")
    assert doctor.returncode == 1
    assert re.search(r"sandbox docker\s+wrong\s.*not reached", doctor.stdout), doctor.stdout


def test_what_only_docker_has_is_refused_for_bubblewrap(installation: Installation) -> None:
    sandboxed(installation, "{runtime: runsc}")
    done = installation.cli("policy", "check")
    assert done.returncode == 1
    assert "set `engine: docker`" in done.stdout + done.stderr
