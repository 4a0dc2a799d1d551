"""Values that a secret's name gives away: `password: x`, `"apiKey": "x"`, `--token x`, `<secret>x</secret>`.

Each function is called at the end of an anchor, four bytes (`LEAD`) into the value, and adds what it confirms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .names import BENIGN, HUMAN, STRONG, WEAK, carries, classify
from .values import is_secret, looks_random

if TYPE_CHECKING:
    from .page import Page

LEAD: Final = 3  # bytes of the value that an anchor takes
_BACK: Final = 160  # how far before a value its name may begin
_LOOK: Final = 512  # bytes of a value that are judged
LONGEST: Final = 1 << 15  # bytes of a value that are looked at for its end at once

NAME_BYTES: Final = bytes(c if (chr(c).isalnum() and c < 128) or c in b"_-./" else 32 for c in range(256))
TO_NAME: Final = b"=:> \t\"'\\])`}"
_QUOTED: Final = {
    34: re.compile(rb'[^"\\\n]*(?:\\.[^"\\\n]*)*', re.DOTALL),
    39: re.compile(rb"[^'\\\n]*(?:\\.[^'\\\n]*)*", re.DOTALL),
    96: re.compile(rb"[^`]*"),
}
BARE: Final = re.compile(rb"(?:[^\s\"'`<>\\]|\\(?![nrtu\"'\\]))+")
_DOUBLE: Final = re.compile(rb'[^"\\\n]*+')
_LINE: Final = re.compile(rb"[^\r\n]+")
_STOP: Final = re.compile(rb"[,;](?=$|\s|[\w.-]{1,40}[=:])|&(?=[\w.%-]{1,60}=|amp;)|[)\]}](?=[,;.:]|$)|[,;.]$")
_COMMENTS: Final = (b" #", b"\t#", b" //", b" -- ", b" ;")
_LINE_START: Final = re.compile(
    rb"[\s+>-]*(?:- )?(?:(?:export|set|setx|env|ENV|ARG|declare|readonly|local|-e|--env|var|let|const) +)*[\"']?$"
)
_PROSE: Final = re.compile(rb"[,;]? [a-z']{1,20}(?![\w:=.\"'-])")
_USER: Final = re.compile(rb"[\w.+-]{0,80}:([^@\s/]{2,200})@")


def keyed(page: Page, end: int) -> None:
    """`name = value` in all its spellings."""
    start = end - LEAD
    data = page.data
    while 48 <= data[start - 1] <= 57:
        start -= 1
    before = data[start - 4 : start]
    if before == b'": "' or before[1:] == b'":"':  # the common case first: "name": "value"
        close = start - 4 if before == b'": "' else start - 3
        opened = data.rfind(b'"', close - _NEAR if close > _NEAR else 0, close)
        if opened >= 0 and data[close - 1] != 92:
            force, kind = classify(data[opened + 1 : close])
            if force == BENIGN:
                return
            match = _DOUBLE.match(data, start, start + LONGEST)
            finish = match.end() if match else start
            if kind != "dsn" and finish < len(data) and data[finish] == 34:
                if is_secret(data[start : min(finish, start + _LOOK)], force, True):
                    page.add(start, finish, kind)
                return
    elif before[3:] == b"=" or before[2:] == b": ":  # name=value, name: value
        close = start - 1 if before[3:] == b"=" else start - 2
        name = data[close - _NEAR if close > _NEAR else 0 : close].translate(NAME_BYTES).rpartition(b" ")[2]
        short = data[start] not in b"&!" and _SHORT.match(data, start)
        if name.lower() == b"key":
            if short:
                return
        elif 2 < len(name) < _NEAR - 1 and name[:2] != b"//" and not name.isdigit():
            force, kind = classify(name)
            if force == BENIGN or (force < HUMAN and short):
                return  # no secret's name, or too short for what a machine made
    tail = data[start - _TAIL : start] if start >= _TAIL else b""
    known = _HEADS.get(tail)
    if known is None:
        known = _read_head(data, start, tail)
    force, kind, name_at, separator = known
    if force == BENIGN:
        return
    shift = _PREFIXED.match(data, start)
    if shift:  # b"...", r'...', f"..."
        start = shift.end()
        name_at += shift.end() - shift.start()
    low = start - _BACK if start > _BACK else 0
    take(page, start, force, kind, data[low:start], start - low - name_at, separator)


# What may stand between `name:` and its value in YAML: `&anchor`, `!!str`, `!<tag:...>`; then a quote, maybe.
DECORATED: Final = re.compile(
    rb"(?:(?:&(?!(?:mut|dyn|impl|const|self)\b)[\w./@$%+\x80-\xff-]{1,128}"
    rb"|!(?:<[^\s<>]{1,128}>|[\w!./:%@+#~-]{1,128}))[ \t]{1,40}"
    rb"|![ \t]{1,40}(?=[\"'])){1,3}[\"']?(?=[^\s\"'|>])"
)
_ONLY_MARKS: Final = re.compile(
    rb"(?:[&!][^\s,\[\]{}]{0,128}[ \t]{1,8}){1,3}[|>][-+0-9]{0,3}[ \t]*[\r\n]|!!\w{1,40}[ \t]*(?:[\r\n]|$)"
)
_TAG_REFERS: Final = re.compile(
    rb"(?i)!(?:ref|sub|getatt|importvalue|findinmap|select|join|if|condition|base64|cidr|transform|split|secret|env\w*|vault|reference"
    rb"|include\w*|file|lookup|ssm|var|path|cmd|keyvault|sops|extend|inherit|tag|not|and|or|equals|input|expr|jinja|template)\b"
)
_CONTINUES: Final = re.compile(rb"\\\r?\n[ \t]*")
_WRAP: Final = re.compile(rb"\r?\n[ \t]{0,60}")
_SHORT: Final = re.compile(rb"\S{0,7}(?<!\\)\s")  # shorter than anything that a machine made
_SPELLED: Final = re.compile(
    rb"(?i)\b(api|access|secret|private|encryption|unseal|recovery|root|master|licen[sc]e|signing|account|storage|auth|shared|admin|deploy"
    rb"|service|client|app|session|webhook|server|integration|subscription|activation|product) keys?(?: #?\d{1,2})?$"
)
_AFTER_EMPTY: Final = re.compile(rb"[;:,)\]}]{1,3}(?=\s|\Z)")
_PREFIXED: Final = re.compile(rb"[bBurRfF@N]{1,2}[\"'](?=[^\"'\s])")
_TAIL: Final = 24  # bytes before a value that hold its name and separator in most texts
_QUOTES: Final = (b'"', b"'", b"`")
_NEAR: Final = 64  # bytes before a separator that hold the name in most texts
_HEADS: Final[dict[bytes, tuple[int, str, int, bytes]]] = {}
_HEADS_MOST: Final = 8192


def _read_head(data: bytes, start: int, tail: bytes) -> tuple[int, str, int, bytes]:
    """(force, kind, how far before the value its name begins, separator); remembered by the bytes before the value."""
    low = start - _BACK if start > _BACK else 0
    head = data[low:start]
    bare = head.rstrip(b"\"'\\ \t`")
    name_end = bare.rstrip(TO_NAME)
    flat = name_end.translate(NAME_BYTES)
    name = flat.rpartition(b" ")[2]
    force, kind = classify(name)
    reach = len(name)
    if force <= WEAK and (name.isdigit() or name.lower() in (b"key", b"keys")):
        reach = 100
        if spelled := _SPELLED.search(name_end[-40:]):  # "Unseal Key 1", "API key"
            force, kind = classify(spelled.group(1) + b"_key")
    separator = bare[len(name_end) :]
    if b"]" in separator and b"[secret:" in name_end[-80:]:
        force = BENIGN  # the name is a placeholder's
    elif name.startswith(b"//"):
        force = BENIGN  # scheme://name:password@: the URL's own rule
    elif separator == b":" and force != BENIGN:
        reach += 100
        if b"arn:" in name_end[-100:].rpartition(b" ")[2]:
            force = BENIGN
    name_at = len(head) - len(name_end) + len(name)
    known = (force, kind, name_at, separator)
    if tail and name_at - len(name) + reach < len(tail):
        if len(_HEADS) >= _HEADS_MOST:
            _HEADS.clear()
        _HEADS[tail] = known
    return known


def take(
    page: Page, start: int, force: int, kind: str, head: bytes, name_at: int, separator: bytes, loose: bool = False
) -> None:
    """Find the value's end, judge it, add it."""
    data = page.data
    quote = head[-1] if head else 0
    quoted = quote in (34, 39, 96)
    closed = True
    if not quoted and data[start : start + 1] in (b"&", b"!") and separator[-1:] == b":":
        mark = DECORATED.match(data, start)  # YAML's anchors and tags stay, the value behind them is judged
        if mark is None and _ONLY_MARKS.match(data, start):
            return  # the value stands in the lines below
        if mark is not None:
            head += mark.group()
            start = mark.end()
            quote = head[-1]
            quoted = quote in (34, 39)
            if _TAG_REFERS.search(mark.group()):
                force = min(force, STRONG)
                referred = data[start : start + _LOOK].split(b"\n")[0].strip(b" \t\r\"'")
                if not looks_random(referred):
                    return  # `!Ref DbPassword`, `!secret mqtt_password`
    if quoted:
        if head[-2:] in (b"''", b'""') and head[-3:-2] != head[-1:] and _AFTER_EMPTY.match(data, start):
            return  # `if password == '': raise`: the value is empty, and this is what follows it
        end, closed = quoted_end(data, start, head, quote)
        value = data[start : min(end, start + _LOOK)]
    elif separator[-1:] in (b"=", b":") and (lines := _continued(page, start)):
        end = lines
        value = _CONTINUES.sub(b"", data[start : min(end, start + _LOOK)])
    else:
        end = bare_end(page, start)
        value = data[start : min(end, start + _LOOK)]
        line_at = head.rfind(b"\n", 0, name_at) + 1
        if (line_at or len(head) < _BACK) and not loose and _LINE_START.match(head, line_at, name_at):
            value, end = _whole_line(page, start, value, end, separator)
        for stop in _STOP.finditer(value):
            if stop.group() not in b")]}" or _unbalanced(value[: stop.end()]):
                value = value[: stop.start()]
                end = start + len(value)
                break
    if not quoted and separator == b":" and value.isalpha() and value.islower() and _PROSE.match(data, end):
        return  # "passwords: what people choose"
    if kind == "dsn" and (inner := _USER.match(value)):
        page.add(start + inner.start(1), start + inner.end(1), "url-password")
    elif is_secret(value, force, quoted):
        page.add(
            start,
            end,
            kind,
            closed,
            not quoted
            and value.isdigit()
            and bool(
                re.match(
                    rb"[\"']|\s*=\s",
                    head[name_at:]
                    .translate(None, b"\\")
                    .lstrip(b"_-./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),
                )
            ),
        )


def _continued(page: Page, start: int) -> int:
    """The end of a bare value that a `\\` at the end of its line continues on the next; 0 where none does."""
    data = page.data
    end = bare_end(page, start)
    joined = False
    while data[end - 1 : end] == b"\\" and end - start < LONGEST and (wrap := _WRAP.match(data, end)):
        match = BARE.match(data, wrap.end())
        if match is None:
            break
        end, joined = match.end(), True
    return end if joined else 0


def quoted_end(data: bytes, start: int, head: bytes, quote: int) -> tuple[int, bool]:
    """Where a quoted value ends, and whether its quote is closed on this line."""
    depth = len(head) - 1 - len(head[:-1].rstrip(b"\\")) if head[-2:-1] == b"\\" else 0
    limit = min(len(data), start + LONGEST)
    if depth:  # a string within a string: it ends at the same escaped quote
        mark = b"\\" * depth + bytes((quote,))
        at = start
        while (at := data.find(mark, at, limit)) >= 0:
            if data[at - 1 : at] != b"\\":
                break
            at += len(mark)
        newline = data.find(b"\n", start, at if at >= 0 else limit)
        if at >= 0 and newline < 0:
            return at, True
        return (newline if newline >= 0 else limit), newline >= 0
    match = _QUOTED[quote].match(data, start, limit)
    end = match.end() if match else start
    if end == limit and limit < len(data):  # longer than any value should be: all of the run goes
        run = BARE.match(data, end)
        end = run.end() if run else end
    return end, end < limit


def bare_end(page: Page, start: int) -> int:
    """Where a value without quotes ends. Remembered, so that values within values cost nothing more."""
    low, high = page.bare
    if low <= start < high:
        return high
    match = BARE.match(page.data, start)
    end = match.end() if match else start
    page.bare = (start, end)
    return end


def _whole_line(page: Page, start: int, value: bytes, end: int, separator: bytes) -> tuple[bytes, int]:
    """A line that is nothing but `name: value`: the value may hold spaces, quotes and the like."""
    match = _LINE.match(page.data, start, min(len(page.data), start + 4096))
    line = match.group() if match else value
    for mark in _COMMENTS:
        line = line.partition(mark)[0]
    line = line.rstrip()
    if separator[-1:] == b"=" and value[:1] not in b"([{":
        return value, end  # a shell's assignment, or one of several: it ends at the space
    if len(line) <= len(value) or (b" " not in line and len(line) == len(value)):
        return value, end
    rest = line[len(value) :]
    if re.match(
        rb"\s+[\w.\"'-]+\s*[=:]|\s*[,;]\s*$|\s+[-|&>\\]|\s*[\"'`)\]}]+[,;]?\s*$|\s+(?:AS|as|ON|on|NOT|not|PRIMARY|DEFAULT|default|NULL|VARCHAR)\b|[<>]",
        rest,
    ):
        return value, end
    return line, start + len(line)


def _unbalanced(value: bytes) -> bool:
    return (
        value.count(b")") > value.count(b"(")
        or value.count(b"]") > value.count(b"[")
        or value.count(b"}") > value.count(b"{")
    )


_ENCRYPTED: Final = re.compile(rb"(?i):[ \t]+!(?:vault|encrypted)\b[^\n]*$")
_DECORATION: Final = re.compile(rb"(:[ \t]+)(?:[&!][^\s,\[\]{}]{0,128}[ \t]*){1,3}(?=[|>][-+0-9]*$|$)")


def explicit(page: Page, start: int, force: int, kind: str, name_end: int) -> None:
    """YAML's `? name` with its value after a `:` on the next line; the value begins at `start`."""
    data = page.data
    line_at = data.rfind(b"\n", max(0, name_end - _BACK), name_end) + 1
    opened = _EXPLICIT.match(data, line_at, name_end)
    if opened is None:
        return
    if data[start : start + 1] in (b"|", b">"):
        below = data.find(b"\n", start, start + 80) + 1
        if below:
            _block(page, below, len(opened.group(1)), force, kind)
        return
    low = max(0, start - _BACK)
    take(page, start, force, kind, data[low:start], 0, b":", loose=True)


_EXPLICIT: Final = re.compile(rb"((?:[ \t-]*[ \t])?)\?[ \t]+[^\n]*$")


def next_line(page: Page, end: int) -> None:
    """The value stands on the line after its name: YAML blocks, wrapped assignments."""
    data = page.data
    start = end - LEAD
    line_at = data.rfind(b"\n", max(0, start - 80), start) + 1
    above = data[max(0, line_at - _BACK) : line_at - 1].rstrip(b"\r")
    above = above[above.rfind(b"\n") + 1 :]
    continued = above.endswith(b"\\")
    if _ENCRYPTED.search(above):
        return
    above = _DECORATION.sub(rb"\1", above)
    stripped = above.rstrip(b" \t|>+-0123456789\\").rstrip(b" \t")
    block = above.rstrip()[-1:] in b"|>+-" or above.rstrip(b" \t0123456789+-")[-1:] in b"|>"
    name_end = stripped.rstrip(TO_NAME)
    name = name_end.translate(NAME_BYTES).rpartition(b" ")[2]
    force, kind = classify(name)
    if force == BENIGN:
        return
    indent = len(above) - len(above.lstrip(b" \t+-"))
    if block:
        _block(page, line_at, indent, force, kind)
        return
    head = data[line_at:start]
    line = _LINE.match(data, start, start + 4096)
    text = line.group() if line else b""
    if not continued and len(head) - len(head.lstrip(b" \t+-")) <= indent:
        return
    if re.match(rb"[\w.-]{1,80} +[\w(]", text) and not head.strip(b" \t+"):
        return  # words: a sentence, or code under an `if password:`
    if re.match(rb"[\w.\"'-]{1,80}\s{0,8}:?=?[:=](?:\s|$)", text):
        _mapping(page, line_at, indent, force, kind)
        return
    if head.strip(b" \t+\"'"):
        return
    take(page, start, force, kind, b" " + head, 0, b":", loose=True)


_MEMBER: Final = re.compile(
    rb"([ \t+-]*)[\"']?([\w.-]{1,40})[\"']?:[ \t]{1,40}(?:[\"'](?=[^\"'\s])|(?=[^\s\"'#&*!|>\[{]))"
)
_MEMBERS: Final = 12  # lines below a name that are looked at


def _mapping(page: Page, line_at: int, indent: int, force: int, kind: str) -> None:
    """YAML: a mapping under a secret's name, which may hold it under `value`, `default` and the like."""
    data = page.data
    inner = -1
    for _ in range(_MEMBERS):
        line = _LINE.match(data, line_at, line_at + 400)
        member = _MEMBER.match(data, line_at, line_at + 160) if line else None
        if line is None:
            return
        depth = len(line.group()) - len(line.group().lstrip(b" \t+-"))
        inner = depth if inner < 0 else inner
        if depth <= indent:
            return
        if member and depth == inner and carries(member.group(2)):
            take(
                page, member.end(), force, kind, data[max(0, member.end() - _BACK) : member.end()], 0, b":", loose=True
            )
        line_at = data.find(b"\n", line.end(), line.end() + 400) + 1
        if not line_at:
            return


def _block(page: Page, line_at: int, indent: int, force: int, kind: str) -> None:
    """A YAML block scalar under a secret's name goes whole, line by line judged as one value."""
    data = page.data
    at = line_at
    lines: list[tuple[int, int]] = []
    while at < len(data) and at - line_at < LONGEST:
        stop = data.find(b"\n", at, at + 4096)
        stop = len(data) if stop < 0 else stop
        text = data[at:stop].rstrip(b"\r")
        body = text.lstrip(b" \t+-")
        if body and len(text) - len(body) <= indent:
            break
        if body:
            lines.append((at + len(text) - len(body), at + len(text)))
        at = stop + 1
    if not lines:
        return
    first = data[lines[0][0] : lines[0][1]]
    if len(lines) == 1:
        if is_secret(first, force, True):
            page.add(*lines[0], kind)
        return
    if (
        force >= STRONG
        and not first.startswith(b"-----BEGIN")
        and b": " not in first
        and b"=" not in first.rstrip(b"=")
    ):
        page.add(lines[0][0], lines[-1][1], kind)
