"""kubectl_exec: one program in one container, as a list of words; no shell, no terminal, no input."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.guard.errors import Code, Failed, Refused
from interlock.guard.model import Call, Look, Result

from . import names
from .arguments import Exec
from .changing import one_target, refuse_outside
from .objects import Object, Target, uid

if TYPE_CHECKING:
    from interlock.guard.pipeline import Permit

    from .tools import Kubectl


@dataclass(slots=True)
class ExecPlan:
    target: Target
    live: Object
    container: str
    command: list[str]


def look_exec(kubectl: Kubectl, call: Call) -> Look:
    args = call.arguments
    assert isinstance(args, Exec)
    bounds, target = one_target(kubectl, call, "pods", args.pod)
    refuse_outside(bounds, target)
    live = kubectl.cluster.get(target.context, target.path)
    containers = [str(one.get("name")) for one in (live.get("spec") or {}).get("containers") or ()]
    container = names.label(args.container, "container") if args.container else containers[0]
    if container not in containers:
        raise Refused(Code.INVALID, f"no container {container}", hint=f"the containers are {', '.join(containers)}")
    command = shlex.join(args.command)
    action = bounds.action(
        "exec", target, effect=f"{uid(live)} {container} {command}", container=container, command=command,
        lost="whatever the command does",
    )  # fmt: skip
    return Look((action,), ExecPlan(target, live, container, list(args.command)), size=4096, remote=True)


def preview(plan: ExecPlan) -> str:
    return f"run in {plan.target.text}, container {plan.container}:\n{shlex.join(plan.command)}"


def run_exec(kubectl: Kubectl, permit: Permit) -> Result:
    plan = permit.look.plan
    assert isinstance(plan, ExecPlan)
    target = plan.target
    now = kubectl.cluster.find(target.context, target.path)
    if uid(now) != uid(plan.live):
        raise Failed(f"{target.text} was replaced meanwhile", hint="look at the pods again", code=Code.CONFLICT)
    argv = ["exec", f"--namespace={target.namespace}", f"--container={plan.container}", "--stdin=false", "--tty=false"]
    argv += [target.name, "--", *plan.command]
    done = kubectl.cluster.run(target.context, argv, most=1 << 20, stop=lambda: permit.call.link.cancelled)
    text = done.stdout.decode("utf-8", "replace")
    said = done.stderr.decode("utf-8", "replace")
    redacted = kubectl.detector.redact("\n".join(filter(None, [text, said])), target.text)
    if done.timed_out or done.stopped:
        raise Failed("the command did not end in time", hint="read the state of what it worked on", code=Code.UNKNOWN)
    header = f"{target.text}/{plan.container}: ended with code {done.code}"
    return Result(redacted.text, header=header, untrusted=True, redactions=redacted.count)
