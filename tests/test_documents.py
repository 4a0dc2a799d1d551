"""Documents: what is read, what is refused, and where. ruamel.yaml, pure and slow, is the twin for YAML 1.2."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.documents import Ambiguous, DocumentError, load_documents, parse_yaml_positions, resolve


def yaml(text: str) -> object:
    return parse_yaml_positions(text).data()


def test_values_and_places() -> None:
    tree = parse_yaml_positions("a: 1\nb:\n  - x\n  - {c: true}\n", "p.yaml")
    assert tree.data() == {"a": 1, "b": ["x", {"c": True}]}
    assert isinstance(tree.value, dict)
    assert tree.keys == {"a": (1, 1), "b": (2, 1)}
    listed = tree.value["b"].value
    assert isinstance(listed, list)
    assert [(node.line, node.column, node.file) for node in listed] == [(3, 5, "p.yaml"), (4, 5, "p.yaml")]


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "empty"),
        ("# only a comment\n", 1, 1, "empty"),
        ("a: 1\nb: 2\na: 3", 3, 1, "twice .first in line 1"),
        ('1: x\n"1": y', 2, 1, "twice"),
        ("a: &x [1]\nb: *x", 1, 4, "anchor `&x`"),
        ("a: *x", 1, 4, "alias"),
        ("a: !!python/object/apply:os.system [x]", 1, 4, "tag"),
        ("!!binary dmVyc2lvbjogMQ==", 1, 1, "tag"),
        ("!x a", 1, 1, "tag"),
        ("a: 1\n\tb: 2", 2, 1, "tab"),
        ("{", 2, 1, "did not find"),
        ("a: [1, 2", 2, 1, "did not find"),
        ("a: b: c", 1, 5, "not allowed"),
        ("---\na: 1\n---\nb: 2", 4, 1, "second document"),
        ("%YAML 1.2\n---\na: 1", 1, 1, "directive"),
        ("? [a, b]\n: c", 1, 3, "key must be"),
        ("<<: {a: 1}", 1, 1, "merge key"),
        ("a: 1\u2028b: 2", 1, 5, "line break"),
        ("a: @b", 1, 4, "quotes"),
    ],
)
def test_what_is_refused_and_where(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(DocumentError, match=says) as caught:
        parse_yaml_positions(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000 + "]" * 5000,
        "".join(" " * i + "a:\n" for i in range(200)),
        "{a: " * 100 + "1" + "}" * 100,
        "- " * 300 + "x",
        "[" + "1," * 250_000 + "1]",
        "x" * (5 << 20),
    ],
    ids=["brackets", "indent", "braces", "dashes", "many", "long"],
)
def test_bombs_end_at_once(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_yaml_positions(text)


def test_a_laugh_is_refused_at_its_first_anchor() -> None:
    text = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    with pytest.raises(DocumentError, match="anchor `&a`"):
        parse_yaml_positions(text)


def test_windows_line_ends_and_a_byte_order_mark_mean_the_same() -> None:
    assert yaml("\ufeffa: 1\r\nb: [x]\r\n") == {"a": 1, "b": ["x"]}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1), ("-1", -1), ("+5", 5), ("0", 0), ("0x1F", 31), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("text", "text"), ("1.2.3", "1.2.3"), ("-", "-"),
    ],
)  # fmt: skip
def test_plain_words_of_yaml_1_2(word: str, value: object) -> None:
    assert resolve(word) == value
    assert type(resolve(word)) is type(value)


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "on", "OFF", "y", "012", "1_000", "12:30:45", "2026-11-24", "0o17", "0b1", ".inf", ".NaN", "="],
)
def test_words_that_yaml_1_1_reads_otherwise_are_text_of_their_own_kind(word: str) -> None:
    assert resolve(word) == word
    assert isinstance(resolve(word), Ambiguous)


def test_a_number_without_end_is_no_number() -> None:
    assert isinstance(resolve("9" * 5000), Ambiguous)


plain = st.text("abcxyz -_./", min_size=1, max_size=8)
scalars = st.one_of(plain, st.integers(-1000, 1000), st.booleans(), st.none(), st.text(max_size=12))
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(plain, v, max_size=3), max_leaves=8)


@given(values)
def test_what_ruamel_writes_is_read_back(value: object) -> None:
    from io import StringIO

    from ruamel.yaml import YAML

    writer, out = YAML(typ="safe", pure=True), StringIO()
    writer.dump(value, out)
    try:
        found = load_documents(out.getvalue(), "yaml")
    except DocumentError as error:
        assert (
            "line break" in error.message
            or "empty" in error.message
            or "tag" in error.message
            or "anchor" in error.message
        )
        return
    assert found == [value] or str(found) == str([value]) or _odd(value)


def _odd(value: object) -> bool:
    """Words that 1.1 and 1.2 read differently, and keys that are no text."""
    return any(isinstance(resolve(str(text)), Ambiguous) or resolve(str(text)) != text for text in _strings(value))


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*map(str, value), *(s for v in value.values() for s in _strings(v))]
    if isinstance(value, list):
        return [s for v in value for s in _strings(v)]
    return [value] if isinstance(value, str) else []


@given(st.text("a1:-[]{}#&*!|>'\"%@` \n\t,?~", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in ("yaml", "json", "toml"):
        try:
            load_documents(text, kind)
        except DocumentError as error:
            assert error.message


def test_what_ruamel_refuses_is_refused_and_the_rest_is_the_same() -> None:
    from ruamel.yaml import YAML

    texts = [
        "a: 1",
        "a: [1, {b: c}]",
        "- 1\n- 2",
        "a: |\n  x\n  y\n",
        "a: >-\n  x\n  y\n",
        "a: 'it''s'",
        'a: "\\u00e9"',
        "a:\n- 1",
        "? a\n: b",
        "a: #x\n  1",
    ]
    for text in texts:
        assert yaml(text) == YAML(typ="safe", pure=True).load(text), text


def test_json() -> None:
    assert load_documents('{"a": [1, 2.5, null, "x"]}', "json") == [{"a": [1, 2.5, None, "x"]}]
    for bad in ['{"a": 1, "a": 2}', "{", "NaN", "[" * 100_000, json.dumps("x") + "x", "9" * 5000, "[" * 80 + "]" * 80]:
        with pytest.raises(DocumentError):
            load_documents(bad, "json")


def test_toml() -> None:
    assert load_documents("[a]\nb = 1\n", "toml") == [{"a": {"b": 1}}]
    for bad in ["a = 1\na = 2", "a = ", "[a]\n[a]"]:
        with pytest.raises(DocumentError):
            load_documents(bad, "toml")


def test_templates_are_refused_unless_their_marks_stand_in_values() -> None:
    assert load_documents('summary: "{{ $labels.pod }} is down"', "yaml") == [{"summary": "{{ $labels.pod }} is down"}]
    for text in ["a: {{ .Values.x }}", "{{- if .x }}\na: 1\n{{- end }}", "a: 1 # {{ x }}", "a: 1\n# {% if b %}\n"]:
        with pytest.raises(DocumentError):
            load_documents(text, "yaml")


def test_several_documents() -> None:
    assert load_documents("a: 1\n---\nb: 2\n", "yaml") == [{"a": 1}, {"b": 2}]
