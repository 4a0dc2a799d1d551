"""What each tool of the logs server does. Every call reads the world anew; nothing is kept between calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Call, Result
from interlock.untrusted import one_line

from . import arguments, overview, pages
from .blocks import Budget
from .comparing import compare
from .following import follow
from .matching import Pattern
from .reading import Position, Read, Reader, cursor_of
from .safe import Safe
from .searching import Query, search
from .surveying import survey
from .timestamps import given_time, shown_time
from .windows import Source, Span, available, pieces

if TYPE_CHECKING:
    from .tools import Logs

QUICK: Final = 25.0  # seconds for reading and searching
LONG: Final = 55.0  # for mining; progress is told meanwhile
_RANKS: Final = {"debug": 0, "info": 1, "warn": 2, "error": 3, "fatal": 4}
MAX_ANALYZED: Final = 256 << 20  # bytes that go into a sandbox


def run(server: Logs, call: Call) -> Result:
    """Do one call. Raises Refused (invalid) and Failed."""
    return _RUNS[call.tool](server, call)


def _budget(call: Call, seconds: float) -> Budget:
    return Budget(seconds=seconds, cancelled=lambda: call.link.cancelled)


def _room(call: Call) -> int:
    """Characters for the body: the guard's header, fence and note take the rest."""
    return max(600, min(call.policy.limits.result_chars - 1_200, 40_000))


def _time(text: str | None, call: Call, name: str) -> float | None:
    if text is None:
        return None
    try:
        return given_time(text, call.time)
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"{name}: {error}", hint="times without a zone are UTC") from None


def _span(call: Call, since: str | None, until: str | None) -> Span:
    span = Span(_time(since, call, "since"), _time(until, call, "until"))
    if span.since is not None and span.until is not None and span.since > span.until:
        raise Refused(Code.INVALID, "since is later than until")
    return span


def _text(result: tuple[str, str, bool], server: Logs, source: Source, redactions: int) -> Result:
    body, header, truncated = result
    return Result(
        text=body, header=f"{source.name}: {header}", untrusted=True, redactions=redactions, truncated=truncated
    )


# -------------------------------------------------------------------- tools


def _list(server: Logs, call: Call) -> Result:
    wanted = call.arguments
    assert isinstance(wanted, arguments.ListSources)
    sources = server.sources(call.policy).by_name
    names = [wanted.source] if wanted.source is not None else list(sources)
    out: list[str] = []
    room, used, cut = _room(call), 0, False
    redactions = 0
    for name in names:
        source = sources[name]
        budget = _budget(call, 10)
        lines = [f"{name} ({source.kind}: {source.about})"]
        try:
            parts = source.parts(budget)
        except (Failed, Refused) as problem:
            parts = []
            lines.append(f"  cannot be read: {problem.message}")
        newest = list(reversed(parts))
        most = 200 if wanted.source is not None else 6
        for part in newest[:most]:
            plain = part.listed(lambda text: server.detector.redact(text).text)
            shown = server.detector.redact(plain, name)
            redactions += shown.count or plain != part.name
            size = f"{part.size:,} bytes" if part.size is not None else "stream"
            facts = f"{size}{', ' + part.packing if part.packing else ''}, last written {shown_time(part.changed)}"
            lines.append(f"  {one_line(shown.text, 120)}: {part.problem or facts}")
        if len(newest) > most:
            rest = newest[most:]
            lines.append(f"  and {len(rest):,} more, {sum(part.size or 0 for part in rest):,} bytes")
        if not parts and len(lines) == 1:
            lines.append("  nothing there at the moment")
        lines += [f"  note: {note}" for note in budget.notes]
        size_of = sum(len(line) + 1 for line in lines)
        if used + size_of > room and out:
            cut = True
            break
        out += lines
        used += size_of
    return Result(
        text="\n".join(out), header=f"{len(names)} sources", untrusted=True, redactions=redactions, truncated=cut
    )


def _read(server: Logs, call: Call) -> Result:
    wanted = call.arguments
    assert isinstance(wanted, arguments.ReadLog)
    source = server.source(call, wanted.source)
    budget = _budget(call, QUICK + wanted.follow)
    reader = Reader(source, server.detector, budget, _RANKS[wanted.level] if wanted.level else 0)
    span = _span(call, wanted.since, wanted.until)
    position = cursor_of(wanted.cursor) if wanted.cursor is not None else None
    keep_end = False
    if wanted.follow:
        read = _follow(call, reader, wanted, position)
    elif wanted.around is not None:
        read = _around(call, reader, wanted)
    elif wanted.head is not None:
        read = reader.head(wanted.head, span, position)
    elif position is not None and wanted.tail is None:
        read = reader.head(wanted.lines, span, position)
    elif wanted.since is not None and wanted.tail is None and wanted.until is None:
        read = reader.head(wanted.lines, span)
    else:
        keep_end = True
        read = reader.tail(wanted.tail or 50, span, position)
    return _text(pages.read_page(read, budget, _room(call), keep_end), server, source, reader.safe.redactions)


def _around(call: Call, reader: Reader, wanted: arguments.ReadLog) -> Read:
    assert wanted.around is not None
    place: Position | None = None
    time: float | None = None
    if wanted.around.startswith("@"):
        place = cursor_of(wanted.around)
    else:
        time = _time(wanted.around, call, "around")
    return reader.around(wanted.lines, time, place)


def _follow(call: Call, reader: Reader, wanted: arguments.ReadLog, position: Position | None) -> Read:
    told = 0

    def progress(lines: int) -> None:
        nonlocal told
        told += 1
        call.link.progress(told, f"{lines} new lines")

    return follow(reader, float(wanted.follow), wanted.lines, position, call.link.wait, progress)


def _search(server: Logs, call: Call) -> Result:
    wanted = call.arguments
    assert isinstance(wanted, arguments.SearchLogs)
    source = server.source(call, wanted.source)
    pattern = exclude = None
    if wanted.pattern is not None:
        pattern = Pattern(wanted.pattern, regex=wanted.regex, ignore_case=wanted.ignore_case)
    if wanted.exclude is not None:
        exclude = Pattern(wanted.exclude, regex=wanted.regex, ignore_case=wanted.ignore_case)
    query = Query(
        pattern=pattern,
        exclude=exclude,
        level=_RANKS[wanted.level] if wanted.level else 0,
        span=_span(call, wanted.since, wanted.until),
        limit=wanted.limit,
        context=wanted.context,
        last=wanted.last,
        count_only=wanted.count,
    )
    budget = _budget(call, LONG if wanted.count else QUICK)
    start = cursor_of(wanted.cursor) if wanted.cursor is not None else None
    with server.slot(call):
        found = search(source, query, server.detector, budget, server.broker, start)
    if wanted.count:
        exactly = "" if budget.stopped else "exactly "
        return Result(
            text=f"{exactly}{found.count:,} lines",
            header=f"{source.name}: {pages.facts(budget)}",
            truncated=bool(budget.stopped),
        )
    more = "at least " if found.more or budget.stopped else ""
    what = f"{more}{found.count:,} lines match"
    return _text(pages.search_page(found, budget, _room(call), what), server, source, 0)


def _summarize(server: Logs, call: Call) -> Result:
    wanted = call.arguments
    assert isinstance(wanted, arguments.SummarizeLogs)
    source = server.source(call, wanted.source)
    span = _span(call, wanted.since, wanted.until)
    budget = _budget(call, LONG)
    with server.slot(call):
        found = survey(source, span, server.detector, budget, _progress(call))
        if wanted.template is not None:
            one = overview.template_page(found, budget, wanted.template, _room(call))
            if one is None:
                raise Refused(
                    Code.INVALID, "there is no such template in this window", hint="summarize_logs lists their ids"
                )
            return Result(
                text=one[0], header=f"{source.name}: {one[1]}", untrusted=True, redactions=found.safe.redactions
            )
        room = min(_room(call), pages.OVERVIEW if wanted.limit <= 40 else 40_000)
        page = overview.summary_page(found, budget, wanted.limit, wanted.cursor, room)
        return _text(page, server, source, found.safe.redactions)


def _compare(server: Logs, call: Call) -> Result:
    wanted = call.arguments
    assert isinstance(wanted, arguments.CompareLogs)
    source = server.source(call, wanted.source)
    since = _time(wanted.since, call, "since")
    until = _time(wanted.until, call, "until")
    assert since is not None
    until = call.time if until is None else until
    before_until = _time(wanted.baseline_until, call, "baseline_until")
    before_until = since - 0.000_001 if before_until is None else before_until
    before_since = _time(wanted.baseline_since, call, "baseline_since")
    before_since = before_until - 3 * (until - since) if before_since is None else before_since
    if since >= until or before_since >= before_until:
        raise Refused(Code.INVALID, "a window ends before it begins")
    budget = _budget(call, LONG)
    with server.slot(call):
        window = survey(source, Span(since, until), server.detector, budget, _progress(call))
        baseline = survey(source, Span(before_since, before_until), server.detector, budget, _progress(call))
    if not window.lines or not baseline.lines:
        which = "window" if not window.lines else "baseline"
        raise Failed(f"there are no lines in the {which}", hint="list_sources and read_log show what times there are")
    seconds = (
        _covered(window.first, window.last, since, until),
        _covered(baseline.first, None, before_since, before_until),
    )
    findings = compare(window, baseline, seconds)
    return _text(
        pages.compare_page(findings, window, baseline, budget, wanted.limit, min(_room(call), pages.OVERVIEW)),
        server,
        source,
        window.safe.redactions + baseline.safe.redactions,
    )


def _covered(first: float | None, last: float | None, since: float, until: float) -> float:
    """Seconds of a window for which there can be lines: a log that begins later makes it shorter."""
    begin = since if first is None or first - since < 0.05 * (until - since) else first
    end = until if last is None or until - last < 0.05 * (until - since) else last
    return max(1.0, end - begin)


def _analyze(server: Logs, call: Call) -> Result:
    from interlock.sandbox.engines import Limits, Step

    wanted = call.arguments
    assert isinstance(wanted, arguments.AnalyzeLogs)
    source = server.source(call, wanted.source)
    engine = server.engine()
    steps = [Step(step.program, tuple(step.args)) for step in wanted.steps]
    engine.check(steps)
    budget = Budget(seconds=LONG, max_bytes=MAX_ANALYZED, cancelled=lambda: call.link.cancelled)
    span = _span(call, wanted.since, wanted.until)
    safe = Safe(server.detector, source.name)
    with server.slot(call):
        output = engine.run(
            steps,
            _redacted_stream(source, span, safe, budget),
            Limits(timeout=LONG, output=1_000_000),
            stop=budget.cancelled,
        )
    text = output.stdout.decode("utf-8", "replace")
    notes = []
    if output.timed_out:
        notes.append(f"INCOMPLETE: ended after {LONG:.0f} s")
    if output.over:
        notes.append("INCOMPLETE: the sandbox ended a step that took more memory, processes or CPU time than it has")
    if output.truncated:
        notes.append("output over 1,000,000 bytes was cut")
    if any(output.codes):
        notes.append(f"exit codes {' '.join(map(str, output.codes))}")
        said = output.stderr.decode("utf-8", "replace").strip()
        if said:
            text = f"{text}\n[stderr] {one_line(said, 600)}"
    room = _room(call)
    cut = len(text) > room
    if cut:
        end = text.rfind("\n", 0, room)
        shown = text[: end if end > 0 else room]
        notes.append(f"{len(shown):,} of {len(text):,} characters shown: end the pipeline with head or tail")
        text = shown
    header = f"{source.name}: {pages.facts(budget, ' | '.join(s.program for s in wanted.steps), *notes)}"
    return Result(
        text=text, header=header, untrusted=True, redactions=safe.redactions, truncated=cut or output.truncated
    )


def _redacted_stream(source: Source, span: Span, safe: Safe, budget: Budget) -> Iterator[bytes]:
    """What the sandbox is fed: redacted lines, block by block."""
    for piece in pieces(available(source, budget), span, budget, size=256 << 10):
        yield "\n".join(safe.lines(piece.block.data, piece.block.above)).encode("utf-8", "replace") + b"\n"


def _progress(call: Call) -> Callable[[int, int], None]:
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        told += 1
        call.link.progress(told, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    return progress


_RUNS: Final[Mapping[str, Callable[[Any, Call], Result]]] = {
    "list_sources": _list,
    "read_log": _read,
    "search_logs": _search,
    "summarize_logs": _summarize,
    "compare_logs": _compare,
    "analyze_logs": _analyze,
}
