"""The protocol: tools of one server over MCP, in both eras (2025-11-25 handshake, 2026-07-28).

The only module that imports the SDK. It translates and nothing else: every `tools/call` becomes one
`Pipeline.call` in a worker thread, and every answer one result. Whatever a client can name goes through there.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import anyio
import structlog
from pydantic import BaseModel, ValidationError

from . import pipes
from .guard.model import Answer, Link, Tool
from .guard.pipeline import Pipeline
from .schemas import compact_schema

# The SDK declares some five hundred models, and a server uses a few of them: each is built when it is first used.
# That takes a tenth off the start (bench/files.py).
BaseModel.model_config["defer_build"] = True
from mcp import types  # noqa: E402
from mcp.server.context import ServerRequestContext  # noqa: E402
from mcp.server.lowlevel import Server as Protocol  # noqa: E402
from mcp.server.stdio import stdio_server  # noqa: E402
from mcp.shared.message import SessionMessage  # noqa: E402

del BaseModel.model_config["defer_build"]

log = structlog.get_logger("interlock.wire")

WORKERS = 16  # calls that run at once; further ones wait for a thread


def serve_stdio(pipeline: Pipeline, tools: Sequence[Tool], name: str, version: str, instructions: str) -> None:
    """Serve until the client closes stdin or a signal comes. Blocks."""
    anyio.run(_serve, pipeline, tools, name, version, instructions)


async def _serve(pipeline: Pipeline, tools: Sequence[Tool], name: str, version: str, instructions: str) -> None:
    protocol = make_protocol(pipeline, tools, name, version, instructions)
    claimed = await pipes.claim()
    streams = cast(tuple[anyio.AsyncFile[str], anyio.AsyncFile[str]], claimed) if claimed is not None else ()
    with anyio.CancelScope() as scope:
        _stop_on_signal(scope)
        async with stdio_server(*streams) as (incoming, outgoing):
            readable: Any = _Readable(incoming, outgoing)
            await protocol.run(readable, outgoing, protocol.create_initialization_options())
            scope.cancel()  # the client has left: nobody reads what is still to be written


class _Readable:
    """The SDK's stream of messages. What is none gets its error here: the SDK drops it, and its sender would wait."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def last_context(self) -> Any:
        return self._incoming.last_context

    async def receive(self) -> Any:
        while isinstance(item := await self._incoming.receive(), Exception):
            answer = unreadable(item) if isinstance(item, ValidationError) else None
            if answer is not None:
                await self._outgoing.send(SessionMessage(answer))
        return item

    async def aclose(self) -> None:
        await self._incoming.aclose()

    def __aiter__(self) -> _Readable:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> _Readable:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def unreadable(problem: ValidationError) -> types.JSONRPCError | None:
    """The error for a line that is no message, with its id where one can be told; None where nobody waits."""
    errors = problem.errors(include_url=False)
    given: Any = next((one["input"] for one in errors if isinstance(one["input"], dict)), errors[0]["input"])
    if isinstance(given, str):
        if not given.strip():
            return None
        try:
            given = json.loads(given)  # it reads lone surrogates, which the SDK's parser does not
        except (ValueError, RecursionError):
            given = None
    id = None
    if isinstance(given, dict):
        if "id" not in given or "result" in given or "error" in given:
            return None  # a notification or an answer
        id = given["id"]
    if isinstance(id, bool) or not isinstance(id, int | str) or not str(id).isprintable() or len(str(id)) > 200:
        id = None
    code, what = (-32700, "parse error") if errors[0]["type"] == "json_invalid" else (-32600, "invalid request")
    return types.JSONRPCError(jsonrpc="2.0", id=id, error=types.ErrorData(code=code, message=what))


def make_protocol(
    pipeline: Pipeline, tools: Sequence[Tool], name: str, version: str, instructions: str
) -> Protocol[Any]:
    """The SDK's server object; tests connect a client to it in memory."""
    listed = [described(tool) for tool in tools]
    workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="call")

    async def list_tools(
        ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        loop = asyncio.get_running_loop()
        link = Link(_reporter(ctx, loop))
        running = loop.run_in_executor(
            workers, pipeline.call, params.name, params.arguments or {}, link, _client_of(ctx)
        )
        try:
            answer = await asyncio.shield(running)
        except asyncio.CancelledError:
            # Up to `permitted` the pipeline stops at its next stage; a change ends by itself and is recorded.
            link.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([running])
            raise
        return _result(answer)

    return Protocol(name, version=version, instructions=instructions, on_list_tools=list_tools, on_call_tool=call_tool)


def _result(answer: Answer) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=answer.text)]
    structured = dict(answer.data) if answer.data is not None else None
    return types.CallToolResult(content=content, structured_content=structured, is_error=answer.is_error)


def described(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(read_only_hint=not tool.change)
    if tool.change:
        hints = types.ToolAnnotations(read_only_hint=False, destructive_hint=tool.destructive)
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=compact_schema(tool.arguments),
        annotations=hints,
    )


def _reporter(ctx: ServerRequestContext[Any], loop: asyncio.AbstractEventLoop) -> Callable[[float, str], None] | None:
    meta: Mapping[str, Any] = ctx.meta or {}
    if meta.get("progress_token") is None and meta.get("progressToken") is None:
        return None

    def report(done: float, message: str) -> None:
        asyncio.run_coroutine_threadsafe(ctx.session.report_progress(done, None, message), loop)

    return report


def _client_of(ctx: ServerRequestContext[Any]) -> str:
    """What the client says it is: a claim, for the record."""
    params = ctx.session.client_params
    info = params.client_info if params is not None else None
    return f"{info.name} {info.version}" if info is not None else ""


def _stop_on_signal(scope: anyio.CancelScope) -> None:
    """SIGINT and SIGTERM alike: stop taking calls, let a permitted change end, leave quietly."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, scope.cancel)
