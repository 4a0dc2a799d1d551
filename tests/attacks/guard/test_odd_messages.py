# ruff: noqa: E501 (a frame is read whole)
"""Frames that no client sends, in both protocol eras: each is survived, answered in time, and gives nothing away.

Stopped by `wire` (bounded lines, plain JSON, one typed call at a time) and by strict argument models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from attack_served import Served, served
from installation import ERAS

CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%s}'
READ = '{"name":"read_file","arguments":%s}'
BAD: dict[str, str | bytes] = {
    "a duplicate path": CALL % (READ % '{"path":"SECRET","path":"README"}'),
    "a duplicate path, the other way": CALL % (READ % '{"path":"README","path":"SECRET"}'),
    "duplicate arguments": CALL % '{"name":"read_file","arguments":{"path":"README"},"arguments":{"path":"SECRET"}}',
    "duplicate names": CALL % '{"name":"read_file","name":"delete_file","arguments":{"path":"README"}}',
    "duplicate params": '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{},"params":' + READ % '{"path":"SECRET"}' + "}",
    "a duplicate method": '{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "a duplicate id": '{"jsonrpc":"2.0","id":7,"id":8,"method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "a duplicate path, escaped": CALL % (READ % '{"path":"SECRET","pa\\u0074h":"README"}'),
    "twice, deep inside": CALL % '{"name":"edit_file","arguments":{"path":"README","edits":[{"old":"a","old":"#","new":"b"}]}}',
    "METHOD": '{"jsonrpc":"2.0","id":7,"METHOD":"tools/call","method":"ping"}',
    "PARAMS twice": '{"jsonrpc":"2.0","id":7,"method":"tools/call","PARAMS":{},"params":' + READ % '{"path":"README"}' + "}",
    "names in two cases": CALL % '{"name":"read_file","Name":"delete_file","arguments":{"path":"README"}}',
    "keys of other cases": CALL % (READ % '{"Path":"SECRET","path":"README"}'),
    "PARAMS": '{"jsonrpc":"2.0","id":7,"method":"ping","PARAMS":' + READ % '{"path":"SECRET"}}',
    "a method of another case": CALL.replace("tools/call", "Tools/Call") % (READ % '{"path":"SECRET"}'),
    "a method with a space": CALL.replace("tools/call", "tools/call ") % (READ % '{"path":"SECRET"}'),
    "a tool of another case": CALL % '{"name":"READ_FILE","arguments":{"path":"README"}}',
    "a tool with a NUL": CALL % '{"name":"read_file\\u0000","arguments":{"path":"README"}}',
    "a tool of a server": CALL % '{"name":"files.delete_file","arguments":{"path":"README"}}',
    "the guard's inner names": CALL % '{"name":"__class__","arguments":{"path":"README"}}',
    "a list of tools": CALL % '{"name":["read_file","delete_file"],"arguments":{"path":"README"}}',
    "params as a list": CALL % '["delete_file",{"path":"README"}]',
    "params null": CALL % "null",
    "params text": CALL % '"delete_file"',
    "arguments null": CALL % '{"name":"delete_file","arguments":null}',
    "arguments a number": CALL % '{"name":"delete_file","arguments":7}',
    "arguments in text": CALL % '{"name":"delete_file","arguments":"{\\"path\\":\\"README\\"}"}',
    "a path that is an object": CALL % (READ % '{"path":{"$ref":"SECRET"}}'),
    "a path that is true": CALL % (READ % '{"path":true}'),
    "a path that is a number": CALL % (READ % '{"path":0}'),
    "a path in base64": CALL % (READ % '{"path":{"__bytes__":"c2VjcmV0"}}'),
    "a prototype": CALL % (READ % '{"path":"README","__proto__":{"approved":true}}'),
    "a consent": CALL % '{"name":"delete_file","arguments":{"path":"README","approval":{"by":"root","channel":"terminal"}}}',
    "a consent beside": CALL % '{"name":"delete_file","arguments":{"path":"README"},"approved":true,"_meta":{"approved":true}}',
    "an id of its own": CALL % '{"name":"delete_file","arguments":{"path":"README","id":"files-2222222","resume":"files-2222222"}}',
    "an agent of its own": CALL % '{"name":"delete_file","arguments":{"path":"README"},"_meta":{"agent":"admin","user":"root"}}',
    "a dry run of text": CALL % '{"name":"edit_file","arguments":{"path":"README","edits":[{"old":"# app","new":"x"}],"dry_run":"true"}}',
    "numbers as text": CALL % (READ % '{"path":"README","limit":"5"}'),
    "a broken number": CALL % (READ % '{"path":"README","limit":1.5}'),
    "a number that is whole": CALL % (READ % '{"path":"README","limit":1e0}'),
    "below zero": CALL % (READ % '{"path":"README","offset":-1}'),
    "not a number": CALL % (READ % '{"path":"README","offset":NaN}'),
    "infinity": CALL % (READ % '{"path":"README","offset":-Infinity}'),
    "a very large number": CALL % (READ % ('{"path":"README","offset":1' + "0" * 4000 + "}")),
    "a very small one": CALL % (READ % '{"path":"README","offset":1e-400}'),
    "deep arguments": CALL % (READ % ('{"path":' + '{"a":' * 5000 + "1" + "}" * 5001)),
    "deep lists in an edit": CALL % ('{"name":"edit_file","arguments":{"path":"README","edits":' + "[" * 50_000 + "]" * 50_000 + "}}"),
    "a hundred thousand keys": CALL % (READ % ("{" + ",".join(f'"k{n}":1' for n in range(100_000)) + "}")),
    "a hundred thousand edits": CALL
    % ('{"name":"edit_file","arguments":{"path":"README","edits":[' + ",".join(['{"old":"a","new":"b"}'] * 100_000) + "]}}"),
    "a path of megabytes": CALL % (READ % ('{"path":"' + "a/" * 1_000_000 + '"}')),
    "a tool name of megabytes": CALL % ('{"name":"' + "x" * 2_000_000 + '","arguments":{}}'),
    "a method of megabytes": '{"jsonrpc":"2.0","id":7,"method":"' + "m" * 2_000_000 + '"}',
    "an id of megabytes": '{"jsonrpc":"2.0","id":"' + "i" * 1_000_000 + '","method":"ping"}',
    "an id that is null": '{"jsonrpc":"2.0","id":null,"method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "an id that is an object": '{"jsonrpc":"2.0","id":{"a":1},"method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "an id that is a list": '{"jsonrpc":"2.0","id":[1],"method":"ping"}',
    "an id with a point": '{"jsonrpc":"2.0","id":7.5,"method":"ping"}',
    "an id that is true": '{"jsonrpc":"2.0","id":true,"method":"ping"}',
    "an id beyond 64 bits": '{"jsonrpc":"2.0","id":99999999999999999999999999,"method":"ping"}',
    "no id: a notification of a call": '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"write_file","arguments":{"path":"README","content":""}}}',
    "another version": '{"jsonrpc":"1.0","id":7,"method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "no version": '{"id":7,"method":"tools/call","params":' + READ % '{"path":"SECRET"}}',
    "a request that is an answer too": '{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}',
    "an answer to nothing": '{"jsonrpc":"2.0","id":4711,"result":{"action":"accept","content":{"approve":true}}}',
    "an error to nothing": '{"jsonrpc":"2.0","id":4711,"error":{"code":1,"message":"x"}}',
    "an empty batch": "[]",
    "a batch of notes": '[{"jsonrpc":"2.0","method":"notifications/initialized"},1,null]',
    "a batch of a read": "[" + CALL % (READ % '{"path":"SECRET"}') + "]",
    "two frames in a line": '{"jsonrpc":"2.0","id":71,"method":"ping"}{"jsonrpc":"2.0","id":72,"method":"ping"}',
    "a frame and dirt": '{"jsonrpc":"2.0","id":7,"method":"ping"} trailing',
    "half a frame": '{"jsonrpc":"2.0","id":7,"method":"pi',
    "single quotes": "{'jsonrpc':'2.0','id':7,'method':'ping'}",
    "a comment": '{"jsonrpc":"2.0",/*x*/"id":7,"method":"ping"}',
    "a comma too many": '{"jsonrpc":"2.0","id":7,"method":"ping",}',
    "a mark before it": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":7,"method":"ping"}',
    "UTF-16": '{"jsonrpc":"2.0","id":7,"method":"ping"}'.encode("utf-16").replace(b"\n", b""),
    "bytes of no text": b"\xff\xfe\x00\x80\xc3\x28",
    "a NUL in the line": b'{"jsonrpc":"2.0","id":7,\x00"method":"ping"}',
    "NULs": b"\0" * 1000,
    "overlong UTF-8": CALL.encode() % (READ.encode() % b'{"path":"\xc0\xae\xc0\xae/outside/secret.txt"}'),
    "a surrogate in a path": CALL % (READ % '{"path":"README\\udfff"}'),
    "a surrogate in a reason": CALL % '{"name":"write_file","arguments":{"path":"ROOM/s.txt","content":"x","reason":"\\ud800"}}',
    "a surrogate in content": CALL % '{"name":"write_file","arguments":{"path":"ROOM/s.txt","content":"\\udc80"}}',
    "a surrogate in a tool": CALL % '{"name":"\\ud800","arguments":{}}',
    "a carriage return at the end": '{"jsonrpc":"2.0","id":7,"method":"ping"}\r',
    "white space": " \t  ",
    "headers of HTTP": "POST /mcp HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    "a header of an LSP": "Content-Length: 44",
    "a progress token of an object": CALL % ('{"name":"read_file","arguments":{"path":"README"},"_meta":{"progressToken":{"a":[1]}}}'),
    "a progress token of a list": CALL % '{"name":"read_file","arguments":{"path":"README"},"_meta":{"progressToken":[]}}',
    "a progress token of true": CALL % '{"name":"read_file","arguments":{"path":"README"},"_meta":{"progressToken":true}}',
    "a _meta that is text": CALL % '{"name":"read_file","arguments":{"path":"README"},"_meta":"x"}',
    "a cancel of nothing": '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99999}}',
    "a cancel of an object": '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{"a":1}}}',
    "a cancel of no request": '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    "a cancel with an id": '{"jsonrpc":"2.0","id":7,"method":"notifications/cancelled","params":{"requestId":1}}',
    "progress of nothing": '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1e308}}',
    "a note that is not known": '{"jsonrpc":"2.0","method":"notifications/approve","params":{"id":"files-2222222"}}',
    "a method that is not known": '{"jsonrpc":"2.0","id":7,"method":"interlock/approve","params":{"id":"files-2222222"}}',
    "a second handshake": '{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"elicitation":{}},"clientInfo":{"name":"admin","version":"1"}}}',
    "a handshake of no version": '{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"9999-99-99","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}',
    "a handshake of nothing": '{"jsonrpc":"2.0","id":7,"method":"initialize"}',
    "the other era's claims": CALL
    % '{"name":"read_file","arguments":{"path":"SECRET"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}',
    "a version that never was": CALL
    % '{"name":"read_file","arguments":{"path":"SECRET"},"_meta":{"io.modelcontextprotocol/protocolVersion":"1066-10-14"}}',
    "roots of the client": '{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}',
    "resources": '{"jsonrpc":"2.0","id":7,"method":"resources/list"}',
    "a resource": '{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"file://SECRET"}}',
    "a subscription": '{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"file://SECRET"}}',
    "templates": '{"jsonrpc":"2.0","id":7,"method":"resources/templates/list"}',
    "prompts": '{"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"SECRET"}}',
    "a completion": '{"jsonrpc":"2.0","id":7,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"x"},"argument":{"name":"path","value":"SECRET"}}}',
    "the log level": '{"jsonrpc":"2.0","id":7,"method":"logging/setLevel","params":{"level":"debug"}}',
    "a task": '{"jsonrpc":"2.0","id":7,"method":"tasks/result","params":{"taskId":"x"}}',
    "a list with a cursor": '{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"../../etc/passwd"}}',
}  # fmt: skip


@pytest.fixture(scope="module", params=ERAS)
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("messages"), era=request.param, more="rules: {asked: {ask: files.delete}}\n"
    ) as made:
        made.peer.next = 1000  # the ids of its own are not those of the frames below
        (made.root / "README.md").write_text("# app\n")
        made.done("file_info", path=str(made.root))  # the first frame of a connection says which era it is of
        yield made


def send(at: Served, frame: str | bytes) -> None:
    data = frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass")
    for name, path in (
        (b"SECRET", at.outside / "secret.txt"),
        (b"README", at.root / "README.md"),
        (b"ROOM", at.root),
    ):
        data = data.replace(name, os.fsencode(path))
    assert at.peer.process.stdin is not None
    at.peer.process.stdin.write(data + b"\n")


def heard(at: Served) -> dict[Any, dict[str, Any]]:
    answers, at.peer.answers = at.peer.answers, {}
    at.holds(json.dumps(list(answers.values())))
    return answers


TWICE = (
    "a duplicate path", "a duplicate path, the other way", "duplicate arguments", "duplicate names", "duplicate params",
    "a duplicate method", "a duplicate path, escaped", "PARAMS twice", "METHOD", "names in two cases", "twice, deep inside",
)  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_what_can_be_read_in_two_ways_is_refused(at: Served, name: str) -> None:
    heard(at)
    send(at, BAD[name])
    answer = at.peer.wait(7)
    assert answer["error"]["code"] == -32600, answer


@pytest.mark.parametrize("name", BAD)
def test_it_is_survived(at: Served, name: str) -> None:
    send(at, BAD[name])
    reply = at.quick(5, "file_info", path=str(at.root / "README.md"))
    assert not reply.is_error, reply.text
    heard(at)
    assert (at.root / "README.md").read_text() == "# app\n"
    assert sorted(path.name for path in at.root.iterdir()) in (["README.md"], ["README.md", "s.txt"])


UNREADABLE = {
    "a surrogate in a path": (7, -32700),
    "a surrogate in content": (7, -32700),
    "two frames in a line": (None, -32700),
    "half a frame": (None, -32700),
    "bytes of no text": (None, -32700),
}
UNASKED = ["white space", "a cancel of nothing", "a note that is not known"]


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_message_is_answered_with_its_id_where_it_has_one(at: Served, name: str) -> None:
    heard(at)
    send(at, BAD[name])
    at.done("file_info", path=str(at.root / "README.md"))
    id, code = UNREADABLE[name]
    assert heard(at)[id]["error"]["code"] == code


@pytest.mark.parametrize("name", UNASKED)
def test_what_asks_nothing_is_not_answered(at: Served, name: str) -> None:
    heard(at)
    send(at, BAD[name])
    at.done("file_info", path=str(at.root / "README.md"))
    assert heard(at) == {}


def test_an_id_used_again_is_answered_again(at: Served) -> None:
    frame = CALL % (READ % '{"path":"README"}')
    for _ in range(20):
        send(at, frame)
    at.done("file_info", path=str(at.root / "README.md"))
    heard(at)


def test_a_frame_that_comes_in_pieces(at: Served) -> None:
    frame = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": "pieces",
            "method": "tools/call",
            "params": {
                "name": "read_file",
                "arguments": {"path": str(at.root / "README.md")},
                **({"_meta": at.peer.meta} if at.peer.meta else {}),
            },
        }
    ).encode()
    assert at.peer.process.stdin is not None
    for n in range(0, len(frame), 7):
        at.peer.process.stdin.write(frame[n : n + 7])
    at.peer.process.stdin.write(b"\n")
    assert "# app" in json.dumps(at.peer.wait("pieces"))  # type: ignore[arg-type]


def test_the_same_work_twenty_times_at_once(at: Served) -> None:
    ids = [at.peer.start("read_file", path=str(at.root / "README.md")) for _ in range(20)]
    assert all("# app" in at.peer.reply(id).text for id in ids)


def test_a_cancelled_read_is_no_end(at: Served) -> None:
    for _ in range(20):
        at.peer.cancel(at.peer.start("search_files", path=str(at.root), pattern="x"))
    at.done("read_file", path=str(at.root / "README.md"))
    heard(at)
