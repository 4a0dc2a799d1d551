"""Blocks that hold nothing but secrets: Kubernetes Secrets, in YAML, JSON and JSON within strings; tables with a secret column."""
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .names import BENIGN, HUMAN, STRONG, classify
from .values import is_reference, is_secret

if TYPE_CHECKING:
    from .page import Page

REACH: Final = 1 << 16  # how far from `kind: Secret` its data may stand
_STEPS: Final = 4000  # braces that are counted on the way to the object's ends
_KIND: Final = "kubernetes-secret"


def kubernetes_secret(page: Page, end: int) -> None:
    """`kind: Secret`: every value under data and stringData goes, whatever it looks like."""
    data = page.data
    line_at = max(data.rfind(b"\n", max(0, end - 200), end - 1) + 1, end - 200, 0)
    head = data[line_at:end]
    quoted = re.search(rb"kind(\\*[\"'])", head)
    style = quoted.group(1) if quoted else b"{" if b"{" in head else b""
    if end <= page.secrets.get(style, 0):
        return  # within a Secret that was done
    page.secrets[style] = _json_secret(page, end) if style else _yaml_secret(page, line_at, head)


_BRACE: Final = re.compile(rb"[{}]")


def _json_secret(page: Page, end: int) -> int:
    data = page.data
    depth, opened, steps = 0, -1, 0
    at = end
    low = max(0, end - REACH)
    while True:
        left, right = data.rfind(b"{", low, at), data.rfind(b"}", low, at)
        at = max(left, right)
        if at < 0:
            break
        if data[at] == 125:
            depth += 1
        elif depth:
            depth -= 1
        else:
            opened = at
            break
        steps += 1
        if steps > _STEPS:
            break
    begin = opened if opened >= 0 else low
    depth, stop = 0, min(len(data), end + REACH)
    for match in _BRACE.finditer(data, end, stop):
        depth += 1 if match.group() == b"{" else -1
        steps += 1
        if depth < 0 or steps > _STEPS:
            stop = match.end()
            break
    for held in re.finditer(rb"(\\*[\"'])(?:data|stringData)\1\s*:\s*\{", data[begin:stop]):
        _json_pairs(page, begin + held.end(), stop)
    return stop


_JSON_PAIR: Final = re.compile(rb"\s*,?\s*(\\*[\"'])([\w.-]{1,253})\1\s*:\s*(\\*[\"'])")


def _json_pairs(page: Page, at: int, stop: int) -> None:
    data = page.data
    while (pair := _JSON_PAIR.match(data, at, stop)) is not None:
        mark, start = pair.group(3), pair.end()
        finish = start
        while True:
            finish = data.find(mark, finish, stop)
            if finish < 0:
                finish = stop
                break
            slashes = data[max(start, finish - 64) : finish]
            if (len(slashes) - len(slashes.rstrip(b"\\"))) % 2 and len(mark) == 1:
                finish += 1
                continue
            break
        if finish > start:
            page.add(start, finish, _KIND)
        at = finish + len(mark)


_YAML_PAIR: Final = re.compile(rb"([ \t]*)([\w.\"'-]{1,255})[ \t]*:(?:[ \t]+(.*?))?[ \t\r]*$", re.DOTALL)


def _yaml_secret(page: Page, line_at: int, head: bytes) -> int:
    data = page.data
    diff = (head[:1] in b"+-" and head[:2] != b"- ") or False
    skip = 1 if diff or (head[:1] == b" " and len(head) - len(head.lstrip()) % 2 and _is_diff(data, line_at)) else 0
    body = head[skip:]
    indent = len(body) - len(body.lstrip(b" -"))
    lines = _document(data, line_at, skip, indent)
    inside = False
    child = 0
    number = 0
    while number < len(lines):
        start, stop = lines[number]
        number += 1
        text = data[start:stop]
        depth = len(text) - len(text.lstrip(b" -"))
        if not text.strip():
            continue
        if depth <= indent or not inside:
            key = text.lstrip(b" -").split(b":")[0].strip(b"\"' ")
            inside = depth == indent and key in (b"data", b"stringData") and b":" in text
            child = 0
            if inside and (flow := text.partition(b":")[2].strip()).startswith(b"{") and len(flow) > 2:
                for inline in re.finditer(rb"[\w.\"'-]+\s*:\s*[\"']?([^,}\s\"']+)", text[text.index(b"{") :]):
                    base = start + text.index(b"{")
                    page.add(base + inline.start(1), base + inline.end(1), _KIND)
            continue
        child = child or depth
        pair = _YAML_PAIR.match(text)
        if depth != child or pair is None:
            continue
        value = pair.group(3) or b""
        value_at = start + (pair.start(3) if value else len(text))
        if value[:1] in (b"|", b">") or not value:
            first = last = -1
            while number < len(lines):
                low, high = lines[number]
                line = data[low:high]
                bare = line.lstrip(b" ")
                if bare.strip() and len(line) - len(bare) <= depth:
                    break
                if bare.strip():
                    first = first if first >= 0 else low + len(line) - len(bare)
                    last = low + len(line.rstrip())
                number += 1
            if first >= 0:
                page.add(first, last, _KIND)
            continue
        if value[:1] in (b'"', b"'") and value[-1:] == value[:1] and len(value) > 1:
            value_at, value = value_at + 1, value[1:-1]
        if value and value not in (b"null", b"~", b"{}", b'""'):
            page.add(value_at, value_at + len(value), _KIND)
    return lines[-1][1] if lines else line_at


def _is_diff(data: bytes, at: int) -> bool:
    return re.search(rb"(?:^|\n)(?:@@ |\+\+\+ |--- )", data[max(0, at - 4000) : at]) is not None


def _document(data: bytes, line_at: int, skip: int, indent: int) -> list[tuple[int, int]]:
    """The lines of the YAML mapping that the line at `line_at` is in, without `skip` bytes of diff mark."""

    def outside(text: bytes) -> bool:
        if not text.strip():
            return False
        return text.startswith((b"---", b"...", b"@@", b"diff ", b"$ ")) or len(text) - len(text.lstrip(b" -")) < indent

    before: list[tuple[int, int]] = []
    at = line_at
    low = max(0, line_at - REACH)
    while at > low:
        start = data.rfind(b"\n", low, at - 1) + 1 if at - 1 > low else low
        start = max(start, low)
        text = data[start + skip : at - 1]
        if outside(text):
            break
        before.append((start + skip, max(start + skip, at - 1)))
        at = start
        if indent >= 2 and text[indent - 2 : indent] == b"- " and not text[: indent - 2].strip():
            break
    lines = before[::-1]
    at = line_at
    high = min(len(data), line_at + REACH)
    while at < high:
        stop = data.find(b"\n", at, high)
        stop = high if stop < 0 else stop
        text = data[at + skip : stop]
        if at > line_at and (
            outside(text) or (indent >= 2 and text[indent - 2 : indent] == b"- " and not text[: indent - 2].strip())
        ):
            break
        lines.append((at + skip, max(at + skip, stop)))
        at = stop + 1
    return lines


def described(page: Page, end: int) -> None:
    """kubectl describe: the name, a line of dashes, the value."""
    data = page.data
    start = end - 3
    head = data[max(0, start - 160) : start].rstrip(b"\r\n-")
    name = head.rstrip(b"\r\n-: ").rpartition(b"\n")[2].strip()
    force, kind = classify(name)
    if force == BENIGN:
        return
    stop = data.find(b"\n\n", start, start + 16384)
    stop = stop if stop >= 0 else min(len(data), start + 16384)
    value = data[start:stop].rstrip()
    if b"\n" not in value and is_secret(value, force, True):
        page.add(start, start + len(value), kind)


_TABLE: Final = 1 << 14  # bytes of rows under one header
_CELLS: Final = re.compile(rb"[^ \t|]+(?: [^ \t|]+)*")


def table(page: Page, end: int) -> None:
    """A column under a secret's name, in aligned text, with bars, or comma-separated."""
    data = page.data
    line_at = max(data.rfind(b"\n", max(0, end - 400), end - 1) + 1, end - 400, 0)
    line_end = data.find(b"\n", end - 1, end + 400)
    if line_end < 0:
        return
    if line_at < page.table:
        return
    header = data[line_at:line_end].rstrip(b"\r")
    separator = (
        b"," if b"," in header and b"  " not in header and b"|" not in header else b"\t" if b"\t" in header else b""
    )
    if separator:
        names = [cell.strip(b" \"'") for cell in header.split(separator)]
        forces = [classify(name) if re.fullmatch(rb"[\w .-]{2,40}", name) else (BENIGN, "") for name in names]
        if len(names) < 2 or not all(re.fullmatch(rb"[\w .-]{1,40}", name) for name in names):
            return
        rows = _rows(page, line_end + 1)
        for start, stop in rows:
            cells = data[start:stop].split(separator)
            if len(cells) != len(names):
                return
            at = start
            for cell, (force, kind) in zip(cells, forces, strict=True):
                value = cell.strip(b" \"'\r")
                if force >= STRONG and is_secret(value, force, True):
                    offset = at + cell.index(value)
                    page.add(offset, offset + len(value), kind)
                at += len(cell) + 1
        return
    if b"|" in header:
        _barred(page, header, line_end + 1)
        return
    titles = list(_CELLS.finditer(header))
    if (
        len(titles) < 2
        or re.search(rb"\d", header)
        or not all(re.fullmatch(rb"[\w .()%/#-]{1,40}", cell.group()) for cell in titles)
    ):
        return
    rows = _rows(page, line_end + 1)
    columns = [
        (
            one.start(),
            titles[n + 1].start() if n + 1 < len(titles) else 1 << 20,
            classify(one.group().replace(b" ", b"_")),
        )
        for n, one in enumerate(titles)
    ]
    for start, stop in rows:
        text = data[start:stop]
        if re.fullmatch(rb"[\s|+=-]*", text):
            continue
        for one in _CELLS.finditer(text):
            for low, high, (force, kind) in columns:
                if force >= STRONG and low - 1 <= one.start() < high - 1 and not is_reference(one.group()):
                    value = one.group()
                    if is_secret(value, HUMAN if force == HUMAN else force, True) and b" " not in value:
                        page.add(start + one.start(), start + one.end(), kind)


def _barred(page: Page, header: bytes, at: int) -> None:
    """A table with bars between its cells, aligned or not."""
    names = [cell.strip().replace(b" ", b"_") for cell in header.split(b"|")]
    forces = [classify(name) for name in names]
    if not any(force >= STRONG for force, _ in forces) or not all(
        re.fullmatch(rb"[\w.()%/#-]{0,40}", name) for name in names
    ):
        return
    for start, stop in _rows(page, at):
        cells = page.data[start:stop].split(b"|")
        if len(cells) != len(names):
            if re.fullmatch(rb"[\s|+=-]*", page.data[start:stop]):
                continue
            return
        for cell, (force, kind) in zip(cells, forces, strict=True):
            value = cell.strip()
            if force >= STRONG and b" " not in value and is_secret(value, force, True):
                place = start + cell.index(value)
                page.add(place, place + len(value), kind)
            start += len(cell) + 1


def _rows(page: Page, at: int) -> list[tuple[int, int]]:
    data, first = page.data, at
    rows: list[tuple[int, int]] = []
    while at < len(data) and len(rows) < 100 and at - first < _TABLE:
        stop = data.find(b"\n", at, at + 1000)
        stop = min(len(data), at + 1000) if stop < 0 else stop
        if not data[at:stop].strip():
            break
        rows.append((at, stop))
        at = stop + 1
    page.table = at
    return rows
