"""kubectl_get, kubectl_describe, kubectl_logs, kubectl_top: what they may look at, and compact answers.

Whatever comes from a cluster is redacted whole before rows, paths or lines are selected from it.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Call, Look, Result

from . import discovery, jsonpath, listing, names
from .arguments import COLUMNS, Describe, Get, Logs, Top
from .bounds import EVERYWHERE, Bounds
from .cluster import ClusterError
from .discovery import Resource
from .listing import MARGIN, cursor_of, offset_of
from .objects import Target
from .worded import without_logins

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl

_EXTRA_LINES: Final = 200  # log lines above a tail, so that a secret that begins there is seen whole
_LOG_BYTES: Final = 4 << 20
_SPAN: Final = re.compile(r"(?:\d{1,9}[ydhms])+")
_PART: Final = re.compile(r"(\d{1,9})([ydhms])")
_SECONDS: Final = {"y": 31_536_000, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_WORDS: Final = re.compile(r"\S+(?: \S+)*")
_LINE_END: Final = re.compile(r"[\f\n\r]")
_SHORTEST: Final = 4  # characters of a secret that is looked for in what kubectl prints


@dataclass(frozen=True, slots=True)
class ReadPlan:
    targets: tuple[Target, ...]
    bounds: Bounds


def look(kubectl: Kubectl, call: Call) -> Look:
    """The kinds that a read names, resolved, as actions."""
    bounds, args = kubectl.bounds(call.policy), call.arguments
    context = bounds.context(getattr(args, "context", ""))
    namespace = bounds.namespace(context, getattr(args, "namespace", ""))
    kind, name = _asked(args)
    if isinstance(args, Get) and args.output == "explain":  # what a kind means is the same in every namespace
        resource = kubectl.resource(context, kind)
        if resource is None:
            raise discovery.unknown_kind(kind)
        target = Target(context, resource, EVERYWHERE if resource.namespaced else "", "")
        return Look((bounds.action("read", target),), ReadPlan((target,), bounds))
    targets = [
        bounds.target(context, one, namespace, name) for one in resolve(kubectl, bounds, context, kind, bool(name))
    ]
    if isinstance(args, Logs) and targets[0].resource.name != "pods" and (pods := kubectl.resource(context, "pods")):
        targets.append(bounds.target(context, pods, namespace))  # it is they that print
    if namespace == EVERYWHERE and (name or not isinstance(args, (Get, Top))):
        raise Refused(Code.INVALID, "an object is named with its own namespace", hint="name one namespace")
    actions = tuple(bounds.action("read", target) for target in targets)
    return Look(actions, ReadPlan(tuple(targets), bounds))


def _asked(args: Any) -> tuple[str, str]:
    if isinstance(args, Logs):
        return names.kind_and_name(args.pod, "") if "/" in args.pod else ("pods", names.name(args.pod))
    if isinstance(args, Get):
        names.selector(args.selector)
        names.fields(args.field_selector)
        if args.path and args.output != "explain":
            _ = (
                jsonpath.columns(args.path.removeprefix(COLUMNS))
                if args.path.startswith(COLUMNS)
                else (jsonpath.template(args.path) or jsonpath.parse(args.path))
            )
    return names.kind_and_name(args.kind, getattr(args, "name", ""))


def resolve(kubectl: Kubectl, bounds: Bounds, context: str, kind: str, one: bool) -> list[Resource]:
    """Every kind that is named; a category (`all`) stands for those of it that are within bounds. Raises Refused."""
    found: dict[str, Resource] = {}
    for word in kind.split(","):
        resource = kubectl.resource(context, word)
        if resource is not None:
            found[resource.full] = resource
            continue
        members = [r for r in kubectl.cluster.kinds(context).category(word) if bounds.kind(r) and "list" in r.verbs]
        if not members or one:
            raise discovery.unknown_kind(word)
        found.update((r.full, r) for r in members)
    return list(found.values())


def run_get(kubectl: Kubectl, permit: Permit) -> Result:
    call, plan = permit.call, permit.look.plan
    args = call.arguments
    assert isinstance(args, Get) and isinstance(plan, ReadPlan)
    if args.output == "explain":
        return _explain(kubectl, args, plan)
    objects = args.output in ("yaml", "json") or args.path or any(target.resource.secret for target in plan.targets)
    if objects:
        return listing.run_objects(kubectl, call, args, plan.targets, plan.bounds)
    return _table(kubectl, call, args, plan)


def _explain(kubectl: Kubectl, args: Get, plan: ReadPlan) -> Result:
    target = plan.targets[0]
    field = f"{target.resource.plural}{'.' if args.path else ''}{names.path(args.path).strip('.') if args.path else ''}"
    argv = ["explain", f"--api-version={target.resource.api_version}", "--", field]
    text = kubectl.cluster.kubectl(target.context, argv).decode("utf-8", "replace")
    return Result(kubectl.detector.redact(text).text, header=f"{target.context}: {field}", untrusted=True)


# ---------------------------------------------------------------- tables


def _table(kubectl: Kubectl, call: Call, args: Get, plan: ReadPlan) -> Result:
    first = plan.targets[0]
    argv = ["get", *_where(args, first), *(["--output=wide"] if args.output == "wide" else [])]
    by_path = args.sort_by.startswith((".", "{"))
    if by_path and len(plan.targets) > 1:
        raise Refused(Code.INVALID, "sorting by a path goes with one kind", hint="sort by a column, such as AGE")
    order = _order(kubectl, args, first, plan.bounds) if by_path else {}
    argv += ["--", ",".join(target.resource.argument for target in plan.targets)]
    argv += [first.name] if first.name else []
    raw = without_logins(kubectl.cluster.kubectl(first.context, argv).decode("utf-8", "replace"))
    for target in plan.targets:
        if target.resource.custom:  # its columns show whatever its author chose
            raw = _as_wide(raw, _hidden(kubectl, args, target, plan.bounds))
    redacted = kubectl.detector.redact(raw)
    blocks = [_Rows(block) for block in redacted.text.split("\n\n") if block.strip()]
    for block in blocks:
        block.keep_within(plan.bounds, first.context, first.namespace)
        if by_path:
            block.arrange(order)
        else:
            block.sort(args.sort_by)
        if args.output == "name":
            block.names_only(first.resource.name if len(blocks) == 1 else "")
    return _page(blocks, args, call, first, redacted.count)


def _order(kubectl: Kubectl, args: Get, target: Target, bounds: Bounds) -> dict[tuple[str, str], int]:
    """The place of each object by what the path leads to in what may be shown of it: hidden values have no order."""
    steps = jsonpath.parse(args.sort_by)
    keys: list[tuple[float, str, str, str]] = []
    for place, one in listing.every(kubectl, args, target, bounds):
        value = next(iter(jsonpath.select(kubectl.shower.shown(one, place.text)[0], steps)), "")
        text = "" if "[secret:" in str(value) else str(value)
        number = float(value) if isinstance(value, (int, float)) else 0.0
        keys.append((number, text, place.namespace if target.namespace == EVERYWHERE else "", place.name))
    return {(namespace, name): at for at, (_, _, namespace, name) in enumerate(sorted(keys))}


def _hidden(kubectl: Kubectl, args: Get, target: Target, bounds: Bounds) -> set[str]:
    found: set[str] = set()
    for place, one in listing.every(kubectl, args, target, bounds):
        found |= kubectl.shower.hidden(one, kubectl.shower.shown(one, place.text)[0])
    return found


def _as_wide(table: str, hidden: set[str]) -> str:
    """A table without these texts, its columns where they were. Of several lines, kubectl shows the first."""
    for secret in sorted(hidden | {_LINE_END.split(text, maxsplit=1)[0] for text in hidden}, key=len, reverse=True):
        if len(secret) < _SHORTEST:
            continue
        table = table.replace(secret, "[secret]"[: len(secret)].ljust(len(secret)))
    return table


class _Rows:
    """One table of kubectl's: its head, its rows, and the columns by their places."""

    def __init__(self, block: str) -> None:
        lines = block.splitlines()
        self.head, self.rows = lines[0], lines[1:]
        self._columns = {match.group(): match.start() for match in _WORDS.finditer(self.head)}
        self.total = len(self.rows)
        self.left_out = 0

    def cell(self, row: str, column: str) -> str:
        start = self._columns.get(column)
        if start is None:
            return ""
        return row[start : min((at for at in self._columns.values() if at > start), default=len(row))].strip()

    def keep_within(self, bounds: Bounds, context: str, namespace: str) -> None:
        """Across namespaces only what is within bounds stays; nothing tells of the rest."""
        if namespace == EVERYWHERE:
            self.rows = [row for row in self.rows if bounds.in_namespaces(context, self.cell(row, "NAMESPACE"))]
            self.total = len(self.rows)

    def sort(self, by: str) -> None:
        column = by.upper()
        if by and not by.startswith((".", "{")):
            if column not in self._columns:
                known = ", ".join(self._columns)
                raise Refused(
                    Code.INVALID, "this table has no such column", hint=f"sort by one of {known}, or by a path"
                )
            self.rows.sort(key=lambda row: (_number(self.cell(row, column)), self.cell(row, column)))

    def arrange(self, order: dict[tuple[str, str], int]) -> None:
        """`order`: by namespace, empty where the table has no such column, and name."""
        self.rows.sort(key=lambda row: order.get((self.cell(row, "NAMESPACE"), self.cell(row, "NAME")), 0))

    def names_only(self, kind: str) -> None:
        prefix = f"{kind}/" if kind else ""
        self.rows = [prefix + row.split(None, 1)[0] for row in self.rows]
        self.head, self._columns = "", {}

    def summary(self) -> str:
        """How many of each status, where the table has one."""
        if "STATUS" not in self._columns or len(self.rows) < 20:
            return ""
        counts: dict[str, int] = {}
        for row in self.rows:
            word = self.cell(row, "STATUS")
            counts[word] = counts.get(word, 0) + 1
        most = sorted(counts.items(), key=lambda item: -item[1])[:6]
        return ", ".join(f"{count} {word}" for word, count in most)

    def compact(self, rows: list[str]) -> list[str]:
        """The same columns, as narrow as these rows allow."""
        lines = [self.head, *rows] if self.head else rows
        if not self.head or not self._columns:
            return lines
        starts = [*self._columns.values(), None]
        cells = [[line[a:b].strip() for a, b in pairwise(starts)] for line in lines]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def _number(text: str) -> float:
    """What a cell sorts by: spans such as `2m13s` in seconds, else the number that it begins with."""
    if _SPAN.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    digits = re.match(r"\d{1,15}", text)
    return float(digits.group()) if digits else 0.0


def _page(blocks: list[_Rows], args: Get | None, call: Call, first: Target, redactions: int) -> Result:
    """As many rows as were asked for and fit; without `args` the first ones, and no cursor."""
    offset, total = offset_of(args.cursor) if args else 0, sum(block.total for block in blocks)
    most = args.limit if args else total
    room = call.policy.limits.result_chars - MARGIN
    lines: list[str] = []
    shown = seen = 0
    for block in blocks:
        wanted = block.rows[max(0, offset - seen) : max(0, offset - seen) + most - shown]
        seen += len(block.rows)
        while wanted and sum(map(len, made := block.compact(wanted))) + len(made) > room:
            wanted = wanted[: max(1, len(wanted) * 3 // 4)] if len(wanted) > 1 else []
        if wanted:
            made = block.compact(wanted)
            room -= sum(map(len, made)) + len(made)
            lines += ["", *made] if lines else made
            shown += len(wanted)
    header = f"{first.context}/{first.namespace or 'cluster'}: {total} found"
    summary = "; ".join(filter(None, (block.summary() for block in blocks)))
    if shown < total:
        header += f", {offset + 1}-{offset + shown} shown" if shown else ", none shown"
        if args and offset + shown < total and shown:
            header += f"; more with cursor={cursor_of(offset + shown)}"
    header += f" ({summary})" if summary else ""
    return Result("\n".join(lines), header=header, untrusted=True, redactions=redactions, truncated=shown < total)


def _scope(first: Target) -> list[str]:
    if first.namespace == EVERYWHERE:
        return ["--all-namespaces"]
    return [f"--namespace={first.namespace}"] if first.namespace else []


def _where(args: Get, first: Target) -> list[str]:
    made = _scope(first)
    made += [f"--selector={args.selector}"] if args.selector else []
    made += [f"--field-selector={args.field_selector}"] if args.field_selector else []
    return made


# ---------------------------------------------------------------- describe, logs, top


def run_describe(kubectl: Kubectl, permit: Permit) -> Result:
    args, plan = permit.call.arguments, permit.look.plan
    assert isinstance(args, Describe) and isinstance(plan, ReadPlan)
    target = plan.targets[0]
    if target.resource.secret:
        shown, count = kubectl.shower.shown(kubectl.cluster.get(target.context, target.path), target.text)
        return listing.secrets(target, [shown], count)
    argv = ["describe", f"--namespace={target.namespace}"] if target.namespace else ["describe"]
    argv += ["--", target.resource.argument, target.name]
    with ThreadPoolExecutor(1) as pool:  # both at once: the text, and the object whose secrets it must not show
        reading = pool.submit(copy_context().run, kubectl.cluster.get, target.context, target.path)
        text = kubectl.cluster.kubectl(target.context, argv).decode("utf-8", "replace")
        raw = reading.result()
    shown, _ = kubectl.shower.shown(raw, target.text)
    text = without(without_logins(text), kubectl.shower.hidden(raw, shown))
    redacted = kubectl.detector.redact(text, target.text)
    kept = [line for line in redacted.text.splitlines() if "last-applied-configuration" not in line]
    if target.resource.name == "nodes":
        kept = _pods_within(kept, plan.bounds, target.context)
    header = f"{target.context}/{target.namespace or 'cluster'}: {target.resource.name}/{target.name}"
    return Result("\n".join(kept), header=header, untrusted=True, redactions=redacted.count)


def _pods_within(lines: list[str], bounds: Bounds, context: str) -> list[str]:
    """What describe tells of a node, without the pods of namespaces that are out of bounds."""
    kept, listed = [], False
    for line in lines:
        if line.startswith("Non-terminated Pods:"):
            listed, line = True, "Non-terminated Pods (within bounds):"
        elif not line.startswith(" "):
            listed = False
        namespace = line.split(None, 1)[0] if line.strip() else ""
        row = listed and line.startswith(" ") and namespace not in ("Namespace", "---------")
        if not row or bounds.in_namespaces(context, namespace):
            kept.append(line)
    return kept


def without(text: str, hidden: set[str]) -> str:
    """The text without these secrets, also where it is wrapped line by line."""
    for secret in sorted(hidden, key=len, reverse=True):
        for part in {secret, *(line for line in secret.splitlines() if len(line) >= 6)}:
            if part in text:
                text = text.replace(part, "[secret:value:0]")
    return text


def run_logs(kubectl: Kubectl, permit: Permit) -> Result:
    args, plan = permit.call.arguments, permit.look.plan
    assert isinstance(args, Logs) and isinstance(plan, ReadPlan)
    target = plan.targets[0]
    argv = ["logs", f"--namespace={target.namespace}", f"--limit-bytes={_LOG_BYTES}"]
    argv.append(f"--tail={args.tail + _EXTRA_LINES if not args.contains else 20_000}")
    argv += [f"--container={names.label(args.container, 'container')}"] if args.container else []
    argv += [f"--since={names.since(args.since)}"] if args.since else []
    argv += ["--previous"] if args.previous else []
    argv += ["--", target.name if target.resource.plural == "pods" else f"{target.resource.argument}/{target.name}"]
    raw = kubectl.cluster.kubectl(target.context, argv, stop=lambda: permit.call.link.cancelled)
    redacted = kubectl.detector.redact(raw.decode("utf-8", "replace"), target.text)
    lines = redacted.text.splitlines()
    if args.contains:
        lines = [line for line in lines if args.contains in line]
    lines = [line if len(line) <= 2000 else f"{line[:2000]}… [cut]" for line in lines[-args.tail :]]
    room, kept = permit.call.policy.limits.result_chars - MARGIN, 0
    while kept < len(lines) and room > len(lines[-kept - 1]):
        room -= len(lines[-kept - 1]) + 1
        kept += 1
    cut = len(lines) - kept
    header = f"{target.context}/{target.namespace}: {target.resource.name}/{target.name}, last {kept} lines"
    header += f" ({cut} older ones of these do not fit)" if cut else ""
    return Result("\n".join(lines[cut:]), header=header, untrusted=True, redactions=redacted.count, truncated=cut > 0)


def run_top(kubectl: Kubectl, permit: Permit) -> Result:
    """The hungriest first, so that what does not fit is what matters least."""
    args, plan = permit.call.arguments, permit.look.plan
    assert isinstance(args, Top) and isinstance(plan, ReadPlan)
    target = plan.targets[0]
    argv = ["top", args.kind[:-1], "--sort-by=cpu", *_scope(target)]
    try:
        raw = kubectl.cluster.kubectl(target.context, argv)
    except ClusterError as error:
        if "Metrics API" in error.message:
            hint = "kubectl_describe shows requests and limits; a person installs metrics-server"
            raise Failed("this cluster has no metrics: it serves no metrics.k8s.io", hint=hint) from None
        if "not available yet" in error.message:
            raise Failed("the cluster has no measurements yet", hint="try again in a minute") from None
        raise
    redacted = kubectl.detector.redact(raw.decode("utf-8", "replace"))
    if not redacted.text.strip():
        return Result("", header=f"{target.context}/{target.namespace or 'cluster'}: no {args.kind} are measured")
    rows = _Rows(redacted.text)
    rows.keep_within(plan.bounds, target.context, target.namespace)
    return _page([rows], None, permit.call, target, redacted.count)
