"""Changed key paths against a slow, obvious twin, and the cases that rules depend on."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.changed import changed, changed_values, covers, split
from interlock.guard.model import UNKNOWN

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {a.b/c: "1"}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - {name: web, image: "web:1", ports: [80, 443]}
        - {name: sidecar, image: "side:1"}
"""


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("replicas: 2", "replicas: 3", ("spec.replicas",)),
        ('"web:1"', '"web:2"', ("spec.template.spec.containers[web].image",)),
        ("80, 443", "80", ("spec.template.spec.containers[web].ports[1]",)),
        ('"1"', '"2"', ('metadata.annotations."a.b/c"',)),
        (
            "name: sidecar",
            "name: other",
            ("spec.template.spec.containers[other]", "spec.template.spec.containers[sidecar]"),
        ),
        ("replicas: 2", "replicas:  2 # the same", ()),
        ("replicas: 2", 'replicas: "2"', ("spec.replicas",)),
        ("replicas: 2", "replicas: 0x2", ()),
        ("  replicas: 2\n", "", ("spec.replicas",)),
        ("name: web\n", "name: yes\n", ("metadata.name",)),
    ],
)
def test_paths_in_a_deployment(old: str, new: str, paths: tuple[str, ...]) -> None:
    assert changed(DEPLOYMENT, DEPLOYMENT.replace(old, new, 1), "yaml") == paths


@pytest.mark.parametrize(
    ("old", "new", "kind", "paths"),
    [
        ("a: yes", 'a: "yes"', "yaml", ("a",)),  # true to a reader of YAML 1.1, text in quotes
        ("a: 010", "a: 10", "yaml", ("a",)),
        ("a: 1", "a: 1.0", "yaml", ("a",)),
        ("a: true", "a: 1", "yaml", ("a",)),
        ("a: null", "b: 1", "yaml", ("a", "b")),
        ("", "a: 1", "yaml", ("",)),
        ("a: 1", "", "yaml", ("",)),
        ("a: 1", "- 1", "yaml", ("",)),
        ("- a\n- b", "- b\n- a", "yaml", ("[0]", "[1]")),
        ("- {name: a}\n- {name: b}", "- {name: b}\n- {name: a}", "yaml", ("",)),  # only the order
        ("- {id: a, v: 1}", "- {id: a, v: 2}", "yaml", ("[a].v",)),
        ("- {id: '1', v: 1}", "- {id: '1', v: 2}", "yaml", ('["1"].v',)),
        ("a: 1\n---\nb: 1", "a: 1\n---\nb: 2", "yaml", ("#1.b",)),
        ("a: 1\n---\nb: 1", "a: 1", "yaml", ("#1",)),
        ('{"a": {"b": [1]}}', '{"a": {"b": [2]}}', "json", ("a.b[0]",)),
        ("[a]\nb = 1", "[a]\nb = 2", "toml", ("a.b",)),
        ("'*': 1", "'*': 2", "yaml", ('"*"',)),
    ],
)
def test_paths(old: str, new: str, kind: str, paths: tuple[str, ...]) -> None:
    assert changed(old, new, kind) == paths


@pytest.mark.parametrize("new", ["a: {{ .x }}", "a: 1\na: 2", "a: &x 1", "a: [", "a: 1\n# {{ x }}", "a: !t 1"])
def test_what_cannot_be_told_is_unknown(new: str) -> None:
    assert changed("a: 0", new, "yaml") is UNKNOWN
    assert changed(new, "a: 0", "yaml") is UNKNOWN


@pytest.mark.parametrize(
    ("pattern", "path", "yes"),
    [
        ("spec.replicas", "spec.replicas", True),
        ("spec", "spec.replicas", True),
        ("spec.replicas", "spec", False),
        ("spec.replicas", "spec.replicasx", False),
        ("metadata.*", "metadata.labels.a", True),
        ("metadata.*", "metadata", False),
        ("**.image", "spec.template.spec.containers[web].image", True),
        ("spec.template.spec.containers[*].image", "spec.template.spec.containers[web].image", True),
        ("spec.template.spec.containers[web]", "spec.template.spec.containers[api].image", False),
        ("spec.template.spec.containers[*]", "spec.template.spec.containers", False),
        ("", "anything.at.all", True),
        ("a", "", False),
        ("*", '"*"', True),
        ('"*"', "a", False),
        ("spec.replicas", "#1.spec.replicas", True),
        ("#0.spec", "#1.spec", False),
        ("spec", "#1", False),
        ('metadata.annotations."a.b/c"', 'metadata.annotations."a.b/c"', True),
    ],
)
def test_covers(pattern: str, path: str, yes: bool) -> None:
    assert covers(pattern, path) is yes


@pytest.mark.parametrize("path", [".a", "a.", "a..b", "a[", "a[]", 'a"b', 'a."b', "a[0]b", "a]b"])
def test_what_is_no_key_path(path: str) -> None:
    with pytest.raises(ValueError):
        split(path)


keys = st.text('ab.["*#é', max_size=3)
leaves = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2)
values = st.recursive(
    leaves,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(keys, v, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "v": v}), max_size=3)
    ),
    max_leaves=10,
)


@given(values, values)
def test_nothing_changed_exactly_when_the_values_are_the_same(old: Any, new: Any) -> None:
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (changed_values(old, new) == ()) is same
    assert changed_values(old, new) == changed_values(new, old)


@given(values)
def test_a_value_and_itself(value: Any) -> None:
    assert changed_values(value, copy.deepcopy(value)) == ()


@given(st.dictionaries(keys, st.dictionaries(keys, leaves, max_size=3), max_size=3), keys, keys, st.integers(10, 20))
def test_one_set_key_is_the_only_path(value: dict[str, Any], outer: str, inner: str, number: int) -> None:
    """The twin: set one key, and exactly its path is named, and it splits into these two keys."""
    new = copy.deepcopy(value)
    new.setdefault(outer, {})[inner] = number
    (path,) = changed_values(value, new)
    parts = split(path)
    assert parts[0].removeprefix("\0") == outer
    if outer in value:
        assert [part.removeprefix("\0") for part in parts] == [outer, inner]
    assert covers(path, path)


@given(values, values)
def test_every_path_can_be_read_back_and_covers_itself(old: Any, new: Any) -> None:
    for path in changed_values(old, new):
        split(path)
        assert covers(path, path)
        assert covers("", path)
        assert covers("**", path)
