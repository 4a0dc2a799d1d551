"""Turns one message into its template: every variable part becomes a typed slot (`<num>`, `<ip>`, `<path>`).

Fixed rules, no training. Not for whole files (that is `mining`): it costs about 20 us a line.
"""

from __future__ import annotations

import re
from typing import Final

# Order matters: dates before numbers, names before addresses, else one template per host appears.
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MASKS: Final = re.compile(
    rf"""(?P<secret>\[secret:[^\]\s]{{1,80}}\])
  | (?P<str>(?<==)"[^"]{{0,200}}"|(?<=[=:][ ])(?:true|false|null)\b|(?<==)(?:true|false|null|None|nil)\b)
  | (?P<time>
      (?<![\w]){_DAY},?[ ]{_MONTH}[ ]+\d{{1,2}},?[ ]\d{{1,2}}:\d{{2}}:\d{{2}}(?:\.\d+)?
        (?:[ ][A-Z]{{3,4}})?(?:[ ]\d{{4}})?
    | (?<![\w])(?:{_DAY}[ ]){{0,1}}{_MONTH}[ ]+\d{{1,2}}[ ]+(?:\d{{4}}[ ]+)?\d{{1,2}}:\d{{2}}:\d{{2}}
        (?:\.\d+)?(?:[ ]\d{{4}})?
    | (?<![\d])\d{{1,2}}[/-]{_MONTH}[/-]\d{{4}}[: ]\d{{2}}:\d{{2}}:\d{{2}}(?:[ ][+-]\d{{4}})?
    | (?<![\d])\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}
        (?:[T :_-]\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?)?(?:Z|[+-]\d{{2}}:?\d{{2}})?(?![\d])
    | (?<![\w.:])\d{{1,3}}:\d{{2}}:\d{{2}}(?:[.,]\d+)?(?![\w:])
    )
  | (?P<uuid>(?<![0-9a-fA-F])
        [0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}(?![0-9a-fA-F]))
  | (?P<url>\b[a-z][a-z0-9+.-]{{1,15}}://[^\s"'<>)\]}},]+)
  | (?P<mail>[\w.+-]{{1,64}}@[A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}})+\b)
  | (?P<ip6>(?<![\w:.])(?:[0-9a-fA-F]{{1,4}}:){{3,7}}(?::?[0-9a-fA-F]{{1,4}}|:)(?:%\w+)?(?::\d{{1,5}})?(?![\w:])
      |(?<![\w:])[0-9a-fA-F]{{0,4}}::(?:[0-9a-fA-F]{{1,4}}:){{0,6}}[0-9a-fA-F]{{1,4}}(?![\w:])
      |(?<![\w:-])(?:[0-9a-fA-F]{{2}}[:-]){{5,7}}[0-9a-fA-F]{{2}}(?![\w:-]))
  | (?P<host>(?<![\w./@$\\-])(?:[A-Za-z0-9_](?:[\w-]{{0,61}}[A-Za-z0-9])?\.){{1,8}}
      (?:com|net|org|edu|gov|mil|io|dev|app|info|biz|local|internal|localdomain|lan|corp|home|arpa|example|test|invalid
        |hk|cn|jp|kr|tw|de|uk|fr|nl|ru|br|it|es|pl|se|ch|at|be|au|ca|us|eu|in|mx|ar|cl|co|tv|me|cc|tr|gr|cz|hu|ro|ua
        |il|sg|my|th|vn|id|ph|za|om|ir|pk|dk|no|fi|pt|ie|nz|svc)\.?(?::\d{{1,5}})?(?![\w(-]|\.\w|:\w))
  | (?P<ip>(?:(?<![\w./])/)?(?<![\w.])\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}(?:[:/]\d{{1,5}})?(?![\w]|\.\d))
  | (?P<endpoint>(?<![\w./-])(?:
        (?=[\w.-]{{0,60}}[A-Za-z])(?=[A-Za-z]{{0,40}}[\d.-])[A-Za-z0-9][\w.-]{{0,60}}:\d{{2,5}}|localhost:\d{{2,5}})(?![\w.:]))
  | (?P<path>(?<![\w.<>)/$])(?:~|\.{{1,2}})?/[\w.@%+~:$\#=-]+(?:/[\w.@%+~:$\#=*-]*)+(?:\?[^\s"'<>)]*)?
      |(?<![\w.<>)/:$])/(?!\d{{1,3}}\.\d{{1,3}}\.)(?=[\w.@-]{{0,60}}[\d._])[\w.@-]{{2,}}
      |\b[A-Za-z]:\\[^\s"'<>|,;)]+|(?<![\w])\\\\[\w.$?-]+\\[^\s"'<>|,;)]+)
  | (?P<hex>(?<![\w])0[xX][0-9a-fA-F]+\b)
  | (?P<brace>\{{[0-9a-fA-F-]{{32,38}}\}}(?:[\w/\\.-]*))
  | (?P<keep>\b(?:
        ssh2|[Ss][Oo][Cc][Kk][Ss][45]|md5|MD5|sha\d{{1,3}}|SHA-?\d{{1,3}}|utf-?8|UTF-?8|[Ii][Pp]v[46]|IPV[46]|HTTP/\d(?:\.\d)?|http[23]
        |x86_64|amd64|arm64|i[3-6]86|[Bb]ase64|log4j2?|slf4j|[Kk]8s
        |[Oo][Aa]uth2|ext[234]|TLSv?\d(?:\.\d)?|SSLv\d|[Pp]ython[23]|int(?:8|16|32|64)|e1000e?|[wi]18n|[Ll]2TP|[Ss]3|[Ee][Cc]2)\b)
  | (?P<num>(?<![\w.])(?:<(?=\d+[ ](?:ms|sec|min)))?[+-]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?
        (?:[eE][+-]?\d+)?(?:[ ]?(?:ns|us|µs|ms|secs?|seconds?|mins?|[KMGT]i?B|[kKMGT]bps|%)(?![\w])
        |[smhdBKMGTk%](?![\w]))?(?![\w])(?!\.\d))
  | (?P<run>(?<![\w])(?=[a-fA-F]*\d)[0-9a-fA-F]{{6,}}(?![\w]))
  | (?P<word>(?<![A-Za-z0-9_~-])[A-Za-z0-9_~-]*\d[\w.~-]*(?<![.-]))
  """,
    re.VERBOSE,
)
_COLLAPSE: Final = re.compile(r"<\*>(?:[.:,/#\-=_@~+|]{0,2}<\*>)+")
_LEAD: Final = re.compile(r"(?:[A-Za-z]{2,}[_.-])+(?=[\w~-]*\d)")
_TYPE: Final = {
    "time": "<time>", "uuid": "<uuid>", "url": "<url>", "mail": "<mail>", "ip6": "<ip>", "host": "<host>", "ip": "<ip>",
    "endpoint": "<host>", "path": "<path>", "hex": "<hex>", "brace": "<uuid>", "num": "<num>", "run": "<hex>",
    "secret": "<secret>", "str": "<str>",
}  # fmt: skip
SLOT: Final = re.compile(r"<(?:\*|num|ip|host|path|hex|id|time|uuid|url|mail|secret|str)>")
_OPTIONAL: Final = re.compile(r" ?\((?:<\*>)?\)")
_LIST: Final = re.compile(r"((?:[A-Za-z]+[_.-])?<\*>)(?:(?:, ?| |; ?)\1)+")
_SPACE: Final = re.compile(r"\s+")
MAX_MESSAGE: Final = 2_000  # characters of a message that enter its template; the rest is `<str>`


def mask(message: str) -> str:
    """The message with typed slots in place of what varies."""
    tail = ""
    if len(message) > MAX_MESSAGE:
        message, tail = message[:MAX_MESSAGE], " <str>"
    return _MASKS.sub(_slot, message) + tail


def _slot(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    if kind == "keep":
        return match.group()
    if kind != "word":
        return _TYPE[kind]
    text = match.group()
    lead = _LEAD.match(text)
    return f"{lead.group()}<id>" if lead else "<id>"


def group_key(masked: str) -> str:
    """What two masked messages must share to be one template: slots untyped, neighbours and optional parts merged."""
    text = collapse(SLOT.sub("<*>", masked))
    text = _LIST.sub(r"\1", text)
    text = _OPTIONAL.sub("", text)
    return _SPACE.sub(" ", text).strip()


def collapse(text: str) -> str:
    """Neighbouring untyped slots are one."""
    return _COLLAPSE.sub("<*>", text)


def normalised(text: str) -> str:
    """A template with untyped slots on one line, as scorers of log parsers compare it."""
    return _SPACE.sub(" ", collapse(SLOT.sub("<*>", text))).strip()
