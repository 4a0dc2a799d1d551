"""Takes a log line apart: header (time, host, service, level) and message, by the shape of the line alone.

One fixed set of rules for all formats: syslog, logger output of common frameworks, klog, access logs, pipes.
Not for finding out the time (that is `timestamps`), nor for JSON and logfmt (that is `fields`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Patterns here run on one line of at most a few thousand characters, are anchored and have no nested repeats.

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d{1,2}:\d{2}:\d{2}(?:[.,:]\d{1,9})?"
_ZONE = r"(?:[ ]?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_TIME: Final = re.compile(
    rf"""[\[(<"']?(?:
      \d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}[T _-]+{_CLOCK}{_ZONE}   # ISO and its relatives
    | \d{{4}}-\d{{2}}-\d{{2}}-\d{{2}}\.\d{{2}}\.\d{{2}}\.\d+     # 2005-06-03-15.42.50.675872
    | \d{{8}}(?:[T-]\d{{2}}:?\d{{2}}:?\d{{2}}|-\d{{1,2}}:\d{{1,2}}:\d{{1,2}})(?:[:.,]\d+)?{_ZONE}  # 20171223-22:15:29
    | (?:\d{{4}}[ ])?{_MONTH}[ ]+\d{{1,2}}[ ]+(?:\d{{4}}[ ]+)?{_CLOCK}{_ZONE}(?:[ ]\d{{4}})?   # syslog
    | (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ ]{_MONTH}[ ]+\d{{1,2}}[ ]{_CLOCK}(?:[ ][A-Z]{{3,4}})?[ ]\d{{4}}   # ctime
    | \d{{1,2}}[/-]{_MONTH}[/-]\d{{4}}[: ]{_CLOCK}{_ZONE}        # access logs
    | \d{{2}}[/.-]\d{{2}}(?:[/.-]\d{{2,4}})?[ ]+{_CLOCK}{_ZONE}  # 17/06/09 20:10:40, 03-17 16:13:38.811, 10.30 16:49:06
    | \d{{6}}[ ]\d{{6}}(?=[ ])                                   # 081109 203615
    | [12]\d{{9}}(?:\.\d{{1,9}}|\d{{3}}|\d{{6}}|\d{{9}})?(?=[ \]|,:])  # epoch
    | \d{{4}}[./-]\d{{2}}[./-]\d{{2}}(?=[ ])                     # a date alone
    | {_CLOCK}(?=[ \]|,])
    )[\])>"']?(?:[,:|][ ]?|[ ]+-[ ]+(?=[A-Z\[])|[ ]+|$)""",
    re.VERBOSE,
)
LEVELS: Final = {
    "trace": "D", "debug": "D", "verbose": "D", "fine": "D", "finer": "D", "finest": "D", "dbg": "D",
    "info": "I", "notice": "I", "information": "I", "inf": "I", "config": "I", "audit": "I",
    "warn": "W", "warning": "W", "wrn": "W",
    "error": "E", "err": "E", "severe": "E", "failure": "E",
    "fatal": "F", "crit": "F", "critical": "F", "alert": "F",
    "emerg": "F", "emergency": "F", "panic": "F", "dpanic": "F",
}  # fmt: skip
_WORDS = (
    "TRACE|DEBUG|VERBOSE|FINE[RS]?T?|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|FATAL|CRIT(?:ICAL)?|ALERT|EMERG(?:ENCY)?"
    "|PANIC|FAILURE"
)
_SOFT = "|".join(sorted(LEVELS, key=len, reverse=True))
_LEVEL: Final = re.compile(
    rf"(?:(?P<plain>{_WORDS})(?=[ :|\]\t,]|$)"
    rf"|[\[<(](?:[\w.-]{{1,24}}:)?(?P<boxed>(?i:{_SOFT}))[\])>]"
    rf"|(?P<soft>(?:Info|Warning|Warn|Error|Debug|Notice|Critical|Fatal"
    rf"|info|warn|warning|error|debug|notice|crit|fatal))(?=[:|]|[ ]{{2,}})"
    r"|(?P<letter>[VDIWEF])(?=[ /][A-Z]))[ \t]*(?:[:|-][ ]+|[|:])?[ ]*"
)
_KLOG: Final = re.compile(r"([IWEF])\d{4} \d{2}:\d{2}:\d{2}\.\d+\s+\d+ [\w./-]+:\d+\] ")
_PRIORITY: Final = re.compile(r"<(\d{1,3})>(?:1 )?")
_TAGGED: Final = re.compile(r"([\w.:/@-]{1,253})\| ")
_CRI: Final = re.compile(r"(?:stdout|stderr) [FP] ")
_TAG: Final = re.compile(
    r"(?:(?P<host>[\w.:/@-]{1,80}) )?(?:-- )?(?P<tag>[\w./@$+#-]{1,120}"
    r"(?:\([\w. -]{1,60}\))?)(?:\[[\w.-]{1,24}\])?(?: \([^)]{1,120}\))?: ?"
)
_BARE_TAG: Final = re.compile(r"(?:(?P<host>[\w.-]{1,80}) )?(?P<tag>[\w./@-]{1,80})\[\d{1,9}\]:? +")
_WORD: Final = re.compile(r"[^\s\[\]|=]{1,80}[ ]+")
_NUMBER: Final = re.compile(r"\[?\d{1,10}\]?(?::| -)? +(?=\S)")
_PIPE: Final = re.compile(r"[^|\s]{0,60}\|")
_BOX: Final = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]{0,80}\]){0,300}\](?: - | ?: | *)")
_LOGGER: Final = re.compile(
    r"(?P<name>[A-Za-z_][\w$-]*(?:[.$/][\w$<>-]+)+|[A-Z][a-z0-9]+[A-Z]\w*)(?:@[0-9a-f]+)?(?:\.(?:java|py|go|cc|cpp|rs):\d+)?"
    r"(?:(?:\(\d+\))?:(?::)?[ ]+|[ ]+:[ ]+|[ ]+-[ ]+|[ ]+(?=\[))"
)
_RAISED: Final = re.compile(r"(?:Error|Exception|Warning|Failure|Exit|Interrupt)$")
_COLUMN: Final = re.compile(r"([A-Za-z][\w.-]{0,30})(?:[ ]{2,}|\t)")
_PROGRAM: Final = re.compile(r"(\S{1,60})(?: \*64)? +- +")
_SYSLOG5: Final = re.compile(r"(?P<host>\S{1,255}) (?P<app>\S{1,48}) \S{1,128} \S{1,32} (?:-|(?:\[[^\]]{0,400}\])+) ?")
_NGINX: Final = re.compile(r"\d+#\d+: (?:\*\d+ )?")
_SPRING: Final = re.compile(r"\d+ --- (?=\[)")
_NAME: Final = re.compile(r"\[([A-Za-z][\w.:/-]{1,40})\]")
_ACCESS: Final = re.compile(r"\S+ \S+ \S+ (?=\[\d{1,2}/[A-Z])")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the message: `length` in characters; empty strings where the line does not say."""

    length: int
    level: str = ""  # D I W E F
    service: str = ""
    host: str = ""


def split_header(line: str) -> Header:
    """Find where the message starts. Never fails: a line without a header is all message."""
    klog = _KLOG.match(line)
    if klog:
        return Header(klog.end(), klog.group(1))
    position, level, service, host = 0, "", "", ""
    if line.startswith("- "):  # a label column of collected logs
        position = 2
    priority = _PRIORITY.match(line, position)
    if priority:
        level = "FFFEWIID"[int(priority.group(1)) & 7]
        position = priority.end()
    syslog = False
    timed = False
    for _ in range(4):
        time = _TIME.match(line, position)
        if time is None and (timed or position <= 2):
            time = _later_time(line, position, timed)
        if time is None:
            break
        syslog = syslog or line[time.start()] in "JFMASOND"
        timed = True
        position = time.end()
    if not timed:
        access = _ACCESS.match(line)
        if access:
            time = _TIME.match(line, access.end())
            return Header(0) if time is None else Header(0, _access_level(line))
    if priority and timed:
        modern = _SYSLOG5.match(line, position)
        if modern:
            return Header(modern.end(), level, modern.group("app").strip("-"), modern.group("host").strip("-"))
    tagged = _TAGGED.match(line, position) if timed else None
    if tagged:  # a container's or pod's line within the merged one
        inner = split_header(line[tagged.end() :])
        name = tagged.group(1)
        service = inner.service or ("" if name in ("stdout", "stderr") else name)
        return Header(tagged.end() + inner.length, inner.level, service, inner.host)
    cri = _CRI.match(line, position) if timed else None
    if cri:
        position = cri.end()
        again = _TIME.match(line, position)
        position = again.end() if again else position
    found = _level_ahead(line, position, timed)
    if found is not None:
        end, level, names = found
        if names:
            service = names[-1]
            host = names[0] if len(names) > 1 else ""
        position = end
        position, more = _after_level(line, position)
        service = more or service
        service = service.split("[", 1)[0]
    elif timed:
        position, service, host = _after_time(line, position, syslog)
        word = _LEVEL.match(line, position)
        if word and (word.group("plain") or word.group("boxed")):
            level, position = _level_of(word), word.end()
    return Header(position, level, service, host)


def _later_time(line: str, position: int, timed: bool) -> re.Match[str] | None:
    """A time behind one word (a host, a file name) or, at the start, behind up to four (collected logs)."""
    at = position
    for _ in range(1 if timed else 4):
        word = _WORD.match(line, at)
        if word is None:
            return None
        at = word.end()
        time = _TIME.match(line, at)
        if time is not None and (timed or time.end() - time.start() > 9):
            return time
    return None


def _level_ahead(line: str, position: int, timed: bool) -> tuple[int, str, list[str]] | None:
    """A level within the next words; what stands between is host, service, thread."""
    names: list[str] = []
    at = position
    for _ in range(7 if timed else 1):
        found = _LEVEL.match(line, at)
        if found is not None and not (found.group("letter") and not timed):
            return found.end(), _level_of(found), names
        if line.startswith("[", at):
            box = _BOX.match(line, at)
            if box is None:
                return None
            at = box.end()
            continue
        if line.startswith("- ", at):
            at += 2
            continue
        word = _WORD.match(line, at) or _BARE_TAG.match(line, at)
        if word is None:
            return None
        text = word.group().strip()
        if text[-1] in ":;,.!" or "(" in text or '"' in text:
            return None
        if not text.isdigit():
            names.append(text)
        at = word.end()
    return None


def _level_of(match: re.Match[str]) -> str:
    if match.group("letter"):
        return {"V": "D"}.get(match.group("letter"), match.group("letter"))
    word = match.group("plain") or match.group("boxed") or match.group("soft")
    return LEVELS.get(word.lower(), "I")


def _after_level(line: str, position: int) -> tuple[int, str]:
    """Thread, logger, module behind the level."""
    service = box_name = ""
    for prefix in (_NGINX, _SPRING):
        match = prefix.match(line, position)
        if match is not None:
            position = match.end()
    for _ in range(3):
        if line.startswith("- ", position):
            position += 2
        box = _BOX.match(line, position)
        if box is not None and box.end() < len(line):
            name = _NAME.match(line, position)
            box_name = box_name or (name.group(1) if name else "")
            position = box.end()
            continue
        number = _NUMBER.match(line, position) if line[position : position + 1] == "[" else None
        if number is not None:
            position = number.end()
            continue
        named = None if service else (_LOGGER.match(line, position) or _COLUMN.match(line, position))
        if named is None or _RAISED.search(named.group(1)):
            break
        service = named.group(1)
        position = named.end()
    return position, service or box_name


def _after_time(line: str, position: int, syslog: bool) -> tuple[int, str, str]:
    """Host and tag of syslog, fields of pipes, program of others; no level was found."""
    if not syslog:
        start = position
        for _ in range(3):
            pipe = _PIPE.match(line, position)
            if pipe is None:
                break
            position = pipe.end()
        if position > start:
            return position, line[start:position].split("|", 1)[0], ""
        if line[start - 2 : start - 1] in "])":
            program = _PROGRAM.match(line, position)
            if program is not None:
                return program.end(), program.group(1), ""
    number = _NUMBER.match(line, position) if not syslog else None
    if number is not None:
        position = number.end()
    tag = _TAG.match(line, position) or _BARE_TAG.match(line, position)
    if tag is not None and tag.group("host") is None and syslog:
        # one word and a colon right behind the time: the tag of a line without a host
        return tag.end(), tag.group("tag"), ""
    if tag is not None and (tag.group("host") or "[" in tag.group()):
        return tag.end(), tag.group("tag"), tag.group("host") or ""
    if syslog:
        word = _WORD.match(line, position)
        if word is not None:
            return word.end(), "", word.group().strip()
    logger = _LOGGER.match(line, position)
    if logger is not None and not _RAISED.search(logger.group("name")):
        return logger.end(), logger.group("name"), ""
    return position, "", ""


_STATUS: Final = re.compile(r'" (\d)\d\d ')


def _access_level(line: str) -> str:
    status = _STATUS.search(line)
    return {"5": "E", "4": "W"}.get(status.group(1), "I") if status else ""
