"""`interlock rbac`: the least rights that the policy needs in each cluster, as manifests; `--check` compares.

RBAC cannot bind values (replicas, images, changed fields) nor namespaces by glob: those bounds stay the guard's own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from interlock import cluster_program as program
from interlock import kubeconfig
from interlock.globs import compile_globs, special
from interlock.guard.decide import possible
from interlock.guard.errors import Broken
from interlock.guard.policy.loading import Policy
from interlock.kubectl.actions import Context, Section

NAME: Final = "interlock"
_GROUPS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"), "apps"),
    **dict.fromkeys(("jobs", "cronjobs"), "batch"),
    "horizontalpodautoscalers": "autoscaling",
    "poddisruptionbudgets": "policy",
    **dict.fromkeys(("ingresses", "networkpolicies", "ingressclasses"), "networking.k8s.io"),
    "endpointslices": "discovery.k8s.io",
}
_WRITES: Final = ("kubectl.update", "kubectl.scale", "kubectl.image", "kubectl.restart", "kubectl.rollback")
_ROW: Final = re.compile(r"\s*(?:\[(?P<list>[^\]]*)\]|(?P<word>\S+))")

Rule = tuple[str, str, str]  # group, resource, verb


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("rbac", help="print the least-privilege Kubernetes roles for the policy")
    parser.add_argument("--context", default="", help="only for this context")
    parser.add_argument("--namespace", action="append", default=[], help="a namespace that one of the globs matches")
    parser.add_argument(
        "--check", action="store_true", help="name every right that the current credentials have beyond"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from interlock.guard.policy.loading import find_policy, load

    from .terminal import say

    policy = load(find_policy(None))
    section = policy.section(Section)
    if section is None:
        raise Broken("the policy has no `kubectl` section", hint="add one, or ask for another policy (--policy)")
    contexts = {name: c for name, c in section.contexts.items() if options.context in ("", name)}
    if not contexts:
        raise Broken(f"the policy has no context {options.context!r}", hint=f"there are {', '.join(section.contexts)}")
    if options.check:
        found = [line for name in contexts for line in excess(policy, name, options.namespace)]
        for line in found:
            say(line)
        say(
            f"{len(found)} rights beyond the policy" if found else "the credentials have what the policy needs, no more"
        )
        return 1 if found else 0
    for name, context in contexts.items():
        sys.stdout.write(
            f"# context {name}: kubectl --context {name} apply -f -\n{manifests(policy, context, options.namespace)}"
        )
    return 0


def manifests(policy: Policy, context: Context, more: list[str]) -> str:
    """ServiceAccount, Roles and bindings for one context, as YAML."""
    from interlock.kubectl.objects import dump

    section = policy.section(Section)
    assert section is not None
    namespaces, globs = _namespaces(context, more)
    made = [f"# the glob {glob} cannot be a bound in RBAC: name its namespaces with --namespace\n" for glob in globs]
    made += [
        f"# the glob {kind} among the kinds is left out: name each kind\n" for kind in section.kinds if special(kind)
    ]
    if not namespaces:
        return "".join(made)
    home = namespaces[0]
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": home},
         "automountServiceAccountToken": False}
    ]  # fmt: skip
    for namespace in namespaces:
        objects += _role(namespace, home, _rules(wanted(policy, section)))
    cluster = set(_cluster_wanted(policy, context))
    if cluster:
        objects += _role("", home, _rules(cluster))
    return "".join(made) + "---\n".join(dump(one) for one in objects)


def wanted(policy: Policy, section: Section) -> set[Rule]:
    """(group, resource, verb) within a namespace, by what the policy's rules could ever allow."""
    can = {verb for verb in ("create", "delete", "exec", "node") if possible(policy.rules, f"kubectl.{verb}")}
    writes = any(possible(policy.rules, verb) for verb in _WRITES)
    rules: set[Rule] = set()
    for kind in section.kinds:
        if special(kind):
            continue
        plural, _, group = kind.partition(".")
        group = group or _GROUPS.get(plural, "")
        verbs = ["get", "list", "watch"]
        verbs += ["update", "patch"] if writes and plural != "events" else []
        verbs += [verb for verb in ("create", "delete") if verb in can and plural != "events"]
        rules |= {(group, plural, verb) for verb in verbs}
        if plural == "pods":
            rules |= {("", "pods/log", "get"), ("metrics.k8s.io", "pods", "get"), ("metrics.k8s.io", "pods", "list")}
            rules |= {("", "pods/exec", "create"), ("", "pods/exec", "get")} if "exec" in can else set()
            rules |= {("", "pods/eviction", "create")} if "node" in can else set()
    rules |= {("", "events", "list"), ("apps", "replicasets", "list"), ("apps", "controllerrevisions", "list")}
    return rules


def _cluster_wanted(policy: Policy, context: Context) -> Iterator[Rule]:
    for kind in context.cluster_scoped:
        if special(kind):
            continue
        plural, _, group = kind.partition(".")
        yield from ((group, plural, verb) for verb in ("get", "list", "watch"))
        if plural == "nodes":
            yield from (("metrics.k8s.io", plural, verb) for verb in ("get", "list"))
        if plural == "nodes" and possible(policy.rules, "kubectl.node"):
            yield from ((group, plural, verb) for verb in ("update", "patch"))
            yield from (("", "pods", verb) for verb in ("get", "list"))


def _namespaces(context: Context, more: list[str]) -> tuple[list[str], list[str]]:
    globs = [one for one in context.namespaces if special(one)]
    matcher = compile_globs(globs)
    plain = [one for one in context.namespaces if not special(one)]
    return [*plain, *(one for one in more if matcher.matches(one))], [] if more else globs


def _rules(rules: set[Rule]) -> list[dict[str, Any]]:
    """Together what has the same verbs."""
    by_resource: dict[tuple[str, str], list[str]] = {}
    for group, resource, verb in sorted(rules):
        by_resource.setdefault((group, resource), []).append(verb)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in by_resource.items():
        grouped.setdefault((group, tuple(verbs)), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
        for (group, verbs), resources in sorted(grouped.items())
    ]


def _role(namespace: str, home: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    place = {"name": NAME, **({"namespace": namespace} if namespace else {})}
    api = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{api}/v1", "kind": kind, "metadata": place, "rules": rules},
        {"apiVersion": f"{api}/v1", "kind": f"{kind}Binding", "metadata": place,
         "roleRef": {"apiGroup": api, "kind": kind, "name": NAME},
         "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": home}]},
    ]  # fmt: skip


# ---------------------------------------------------------------- what the credentials can really do


def excess(policy: Policy, context: str, more: list[str]) -> list[str]:
    """Every right of the current credentials that the policy does not need, one a line. Raises Broken."""
    section = policy.section(Section)
    assert section is not None
    namespaces, globs = _namespaces(section.contexts[context], more)
    found = [f"{context}: {glob} not compared: name its namespaces with --namespace" for glob in globs]
    needed = wanted(policy, section) | set(_cluster_wanted(policy, section.contexts[context]))
    names = {f"{resource}.{group}" if group else resource: set[str]() for group, resource, _ in needed}
    for group, resource, verb in needed:
        names[f"{resource}.{group}" if group else resource].add(verb)
    for namespace in namespaces:
        for resource, verbs in rights(section, context, namespace):
            if resource.startswith("selfsubject"):
                continue
            beyond = sorted(verbs - names.get(resource, set()))
            if beyond:
                found.append(f"{context}/{namespace}: {resource}: {', '.join(beyond)}")
    return found


def rights(section: Section, context: str, namespace: str) -> Iterator[tuple[str, set[str]]]:
    """(resource, verbs) as `kubectl auth can-i --list` tells them. Raises Broken."""
    binary = program.executable()
    if binary is None:
        raise Broken(program.absence(), hint="put kubectl itself on PATH")
    facts = kubeconfig.read(section)
    program.write_minting(facts, binary)
    command = [
        str(binary), "auth", *facts.options(section, context), f"--namespace={namespace}", "--request-timeout=10s",
        "can-i", "--list", "--no-headers",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Broken(f"the cluster of {context} cannot be asked", hint="see whether it can be reached with kubectl")
    for line in done.stdout.splitlines():
        cells = [match["list"] if match["word"] is None else match["word"] for match in _ROW.finditer(line.rstrip())]
        if len(cells) == 4:  # without a resource it is about URLs that tell of the API itself
            yield cells[0], set(cells[3].split())
