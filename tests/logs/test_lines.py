"""Lines taken apart and masked: header, level, service; templates; fields; wrapped lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs_lines import FORMATS, START

from interlock.logs.dissect import dissect
from interlock.logs.masking import group_key, mask, normalised
from interlock.logs.merging import merge
from interlock.logs.unwrap import unwrapper

MESSAGE = "flushed memtable 12 to sst 99"


@pytest.mark.parametrize("form", FORMATS)
def test_the_message_is_what_the_application_wrote(form: str) -> None:
    line = dissect(FORMATS[form](START, "ERROR", "store", MESSAGE))
    assert line.message == MESSAGE
    if form not in ("syslog", "pipes"):
        assert line.level == "E"
    if form not in ("logback", "apache"):
        assert "store" in line.service


LINES = [
    (
        "2026-11-07 13:32:00.904  INFO 1 --- [main] c.e.d.DemoApplication : Started in 2.3 seconds",
        "I",
        "Started in 2.3 seconds",
    ),
    ("E1107 13:32:00.904000       1 main.go:10] failed to list pods", "E", "failed to list pods"),
    ("2026/11/07 13:32:00 [error] 7#7: *1 open() failed", "E", "open() failed"),
    ("<34>1 2026-11-07T13:32:00.904Z host app 12 ID47 - a message", "F", "a message"),
    ("Nov  7 13:32:00 host last message repeated 3 times", "", "last message repeated 3 times"),
    ("2026-11-07T13:32:00Z node ERROR TypeError: x is undefined", "E", "TypeError: x is undefined"),
    ("2026-11-07 13:32:00,904 - root - WARNING - disk is full", "W", "disk is full"),
    ("11-07 13:32:00.811  1702  2395 D WindowManager: visible is on", "D", "visible is on"),
    ("panic: runtime error: index out of range", "", "panic: runtime error: index out of range"),
    ("    at com.example.Foo.bar(Foo.java:12)", "", "    at com.example.Foo.bar(Foo.java:12)"),
    ('{"level":50,"msg":"disk is full","err":{"message":"ENOSPC"}}', "E", "disk is full error=ENOSPC"),
    ('level=warn msg="disk is full" component=wal', "W", "disk is full"),
]


@pytest.mark.parametrize(("text", "level", "message"), LINES)
def test_well_known_headers(text: str, level: str, message: str) -> None:
    line = dissect(text)
    assert (line.level, line.message) == (level, message)


MASKED = {
    "connected to 10.0.0.7:5432 in 12 ms": "connected to <*> in <*>",
    "user=ada uid=0 from host-3.example.com": "user=ada uid=<*> from <*>",
    "GET /a/b/c?x=1 took 3.5s": "GET <*> took <*>",
    "blk_-38865049064 deleted": "blk_<*> deleted",
    "at 2026-01-02T03:04:05Z id 5f0c954b-ad7b-4476-ac95-f47682990ce7": "at <*> id <*>",
    "retry with HTTP/1.1 over ssh2": "retry with HTTP/1.1 over ssh2",
    "token [secret:github-token:1] used": "token <*> used",
    "mac 00:1b:44:11:3a:b7 on fe80::1": "mac <*> on <*>",
    "C:\\Windows\\system32\\x.dll loaded": "<*> loaded",
    "took 5 ms and 7 ms": "took <*> and <*>",
}


@pytest.mark.parametrize("message", MASKED)
def test_what_varies_becomes_a_slot(message: str) -> None:
    assert group_key(mask(message)) == MASKED[message]


@given(st.text(max_size=300))
def test_any_text_can_be_taken_apart_and_masked_to_one_line(text: str) -> None:
    line = dissect(text)
    assert "\n" not in normalised(mask(line.message))


@given(st.text(alphabet="ab1 -./:=[]\"'<>", max_size=300))
def test_masking_twice_groups_as_masking_once(text: str) -> None:
    assert group_key(group_key(text)) == group_key(text)


def test_names_that_follow_the_word_user_are_values() -> None:
    merged = merge([f"session closed for user {name}" for name in ("ada", "bob")])
    assert set(merged.values()) == {"session closed for user <*>"}


def test_few_different_words_are_meaning_not_values() -> None:
    keys = [f"service {word} normally" for word in ("started", "stopped", "paused")]
    assert merge(keys) == {key: key for key in keys}


def test_docker_joins_what_it_cut() -> None:
    rows = [
        {"log": "first half ", "stream": "stdout", "time": "2026-11-04T08:00:00Z"},
        {"log": "to stderr\n", "stream": "stderr", "time": "2026-11-04T08:00:00Z"},
        {"log": "second half\n", "stream": "stdout", "time": "2026-11-04T08:00:01Z"},
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    found = unwrapper(data)
    assert found is not None
    assert found.feed(data).decode().split("\n") == [
        "2026-11-04T08:00:00Z stderr| to stderr",
        "2026-11-04T08:00:00Z stdout| first half second half",
    ]


def test_cri_lines_are_joined_over_blocks() -> None:
    first = b"2026-11-04T08:00:00.1Z stdout P a"
    found = unwrapper(first)
    assert found is not None
    assert found.feed(first) == b""
    assert found.feed(b"2026-11-04T08:00:00.2Z stdout F b") == b"2026-11-04T08:00:00.1Z stdout| ab"


def test_the_journal_gives_bytes_and_nothing_as_messages() -> None:
    rows = [
        {
            "__REALTIME_TIMESTAMP": "1793779201559914",
            "PRIORITY": "3",
            "_PID": "7",
            "_HOSTNAME": "n1",
            "SYSLOG_IDENTIFIER": "app",
            "MESSAGE": [104, 105, 27],
        },
        {"__REALTIME_TIMESTAMP": "1793779201559914", "PRIORITY": "6", "_SYSTEMD_UNIT": "x.service", "MESSAGE": None},
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    found = unwrapper(data)
    assert found is not None
    lines = found.feed(data).decode().split("\n")
    assert lines[0].startswith("2026-11-04T")
    assert lines[0].endswith("n1 app[7] ERROR hi\x1b")
    assert "too large" in lines[1]
