"""Which kinds a cluster has, and every way to name one: short, plural, singular, `kind.group`. From `api-resources`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.guard.errors import Code, Refused
from interlock.untrusted import one_line

# The groups whose kinds a policy names by their plural alone; all others carry their group.
_PLAIN: Final = frozenset(
    ("", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "discovery.k8s.io", "events.k8s.io")
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of one cluster."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    shorts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a policy names it: `deployments`, `certificates.cert-manager.io`."""
        return self.plural if self.group in _PLAIN else self.full

    @property
    def full(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def argument(self) -> str:
        """As kubectl is given it: never ambiguous."""
        return f"{self.plural}.{self.version}.{self.group}"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def secret(self) -> bool:
        return self.kind == "Secret" and not self.group

    @property
    def custom(self) -> bool:
        """A kind that somebody added: what its tables show is theirs to choose."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the API, for requests of our own."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        parts += ["namespaces", namespace] if self.namespaced and namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


class Kinds:
    """The kinds of one cluster, found by any of their names. Immutable."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.all = tuple(resources)
        self._by_name: dict[str, list[Resource]] = defaultdict(list)
        self._by_category: dict[str, list[Resource]] = defaultdict(list)
        self._by_kind: dict[tuple[str, str], Resource] = {}
        for one in self.all:
            for word in dict.fromkeys((one.plural, one.kind.lower(), *one.shorts)):
                self._by_name[word].append(one)
                if one.group:
                    self._by_name[f"{word}.{one.group}"].append(one)
                self._by_name[f"{word}.{one.version}.{one.group}"].append(one)
            for category in one.categories:
                self._by_category[category].append(one)
            self._by_kind.setdefault((one.group, one.kind), one)

    def find(self, word: str) -> Resource | None:
        """The one kind of this name: of several the core one, else the built-in one. None: there is none."""
        found = self._by_name.get(word.lower()) or self._by_name.get(f"{word.lower()}.")
        return min(found, key=lambda r: (r.group != "", "." in r.group, r.group)) if found else None

    def category(self, word: str) -> Sequence[Resource]:
        return self._by_category.get(word.lower(), ())

    def of(self, api_version: str, kind: str) -> Resource | None:
        """The resource that holds objects of this kind, whatever version they are written in."""
        group = api_version.rpartition("/")[0]
        return self._by_kind.get((group, kind))


def parse(table: str) -> Kinds:
    """`kubectl api-resources -o wide`. Raises Refused when it is no such table."""
    lines = table.splitlines()
    columns = ("NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES")
    starts = [lines[0].find(column) for column in columns] if lines else []
    if not starts or -1 in starts or starts != sorted(starts):
        raise Refused(Code.FAILED, "the cluster's kinds cannot be read from this kubectl", hint="update kubectl")
    found = []
    for line in lines[1:]:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        plural, shorts, api, namespaced, kind, verbs, categories = cells
        group, _, version = api.rpartition("/")
        if plural and kind and version:
            found.append(
                Resource(
                    group, version, plural, kind, namespaced == "true", frozenset(verbs.split(",")),
                    tuple(filter(None, shorts.split(","))), tuple(filter(None, categories.split(","))),
                )
            )  # fmt: skip
    return Kinds(found)


def unknown_kind(word: str) -> Refused:
    return Refused(
        Code.INVALID,
        f"the cluster has no kind {one_line(word, 60)!r}",
        hint="kubectl_guard lists the kinds within bounds",
    )
