"""YAML text as documents with lines, however hostile the text is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headway_api.documents import MAX_BYTES, MAX_DEPTH, Document, UnreadableError, decode, read

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def one(text: str) -> Document:
    """The only document of a text."""
    (document,) = read(text)
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: '1'", {"a": "1"}),
        ('a: "on"', {"a": "on"}),
        ("a: on", {"a": True}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: !!str 1", {"a": "1"}),
        ("a: !!int '1'", {"a": 1}),
        ("a: !!float 1", {"a": 1}),
        ("a: ! 1", {"a": "1"}),
        ("a: [1, {b: 2}]", {"a": [1, {"b": 2}]}),
        ("a:\nb: ~\n", {"a": None, "b": None}),
        ("1: a\ntrue: b\n", {"1": "a", "true": "b"}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("a:\n  <<: [{b: 1}, {b: 2, c: 2}]\n", {"a": {"b": 1, "c": 2}}),
        ("'<<': 1", {"<<": 1}),
        ('{\n\t"a": 1,\n\t"b": [2]\n}', {"a": 1, "b": [2]}),
        ("- 1\n- 2\n", [1, 2]),
        ("just text", "just text"),
        ("%YAML 1.1\n---\na: 1\n", {"a": 1}),
    ],
)
def test_a_text_is_read_as_kubectl_reads_it(text: str, value: Any) -> None:
    assert one(text).value == value


def test_documents_are_told_apart_and_empty_ones_left_out() -> None:
    documents = list(read("a: 1\n---\n---\n# nothing\n---\nb: 2\n"))
    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 1), ({"b": 2}, 6)]


def test_each_value_has_its_line() -> None:
    document = one("a:\n  b:\n    - x\n    - c: 1\nd: &d\n  e: 1\nf: *d\n")
    lines = {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "b", 1): 4, ("a", "b", 1, "c"): 4, ("d", "e"): 6}
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.line_of(("a", "b", 7, "x")) == 2, "the nearest thing around it"
    assert document.line_of(("f", "e")) == 7, "where the alias stands"


def test_a_key_that_is_given_twice_is_a_problem_with_both_lines() -> None:
    document = one("a: {b: 1}\nc: 1\na: 2\n")
    (problem,) = document.problems
    assert (problem.field, problem.line) == ("a", 3)
    assert problem.message == "is given twice, first in line 1"


_UNREADABLE: list[tuple[str, str, int | None]] = [
    ("a: [1\nb: 2\n", "not valid YAML", 2),
    ("a:\n\tb: 1\n", "not valid YAML", 2),
    ("a: 'x\n", "not valid YAML", 2),
    ("a: b: c\n", "not valid YAML", 1),
    ("x: 1\na: \x00\n", "not valid YAML", 2),
    ("a: 1\n--- b\nc: d\n", "not valid YAML", 3),
    ("a: *x\n", "the alias *x has no anchor", 1),
    ("a: &x [*x]\n", "the anchor &x contains itself", 1),
    ("a: &x {b: {c: *x}}\n", "the anchor &x contains itself", 1),
    ("? [a]\n: 1\n", "a key is a mapping or a list", 1),
    ("a: &x b\n*x : 1\n", "a key is an alias", 2),
    ("~: 1\n", "a key is empty or null", 1),
    ("<<: 1\n", "`<<` merges mappings only", 1),
    ("a: !!python/object/apply:os.system [ls]\n", 'the tag "tag:yaml.org,2002:python/object/apply:os.system"', 1),
    ("a: !secret x\n", 'the tag "!secret" on "x" is not allowed', 1),
    ("a: !!int x\n", "is not allowed", 1),
    ("a: !!binary aGk=\n", "is not allowed", 1),
    ("[" * 100, "nested too deeply", 1),
    ("a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40, "nested too deeply", 2),
    ("[" * 100_000, "nested too deeply", 1),
    ("a: [" + "1," * 100_001 + "]", "too many values", 1),
]


@pytest.mark.parametrize(("text", "message", "line"), _UNREADABLE, ids=lambda value: str(value)[:30])
def test_a_text_that_is_no_such_yaml_is_refused_with_its_line(text: str, message: str, line: int | None) -> None:
    with pytest.raises(UnreadableError) as caught:
        list(read(text))
    assert message in caught.value.problem.message
    assert caught.value.problem.line == line


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 40)]
    with pytest.raises(UnreadableError, match="too many values"):
        list(read("\n".join(lines)))


def test_what_may_lie_in_each_other_has_one_bound_for_text_and_aliases() -> None:
    assert one("[" * MAX_DEPTH + "]" * MAX_DEPTH).value
    with pytest.raises(UnreadableError, match="nested too deeply"):
        one("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"a: 1\nb: \xff\n", "byte 0xff is not UTF-8: save the file as UTF-8 text", 2),
        ("a: 1".encode("utf-16"), "is not UTF-8", 1),
        (b" " * (MAX_BYTES + 1), "at most", 1),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, message: str, line: int) -> None:
    with pytest.raises(UnreadableError) as caught:
        decode(data)
    assert message in caught.value.problem.message
    assert caught.value.problem.line == line


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode("\ufeffa: 1".encode()) == "a: 1"


@given(JSON_VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    assert one(json.dumps({"value": value}, indent="\t")).value == {"value": value}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=30), min_size=1))
def test_strings_that_a_yaml_library_quotes_are_read_back(value: dict[str, str]) -> None:
    assert one(yaml.safe_dump(value, default_style='"')).value == value


@given(st.text(max_size=200) | st.text(alphabet="ab:{}[],&*!<?|>-'\"# \n\t~", max_size=60))
def test_any_text_is_read_or_refused_with_one_problem(text: str) -> None:
    try:
        said = [str(document.line) for document in read(text)]
    except UnreadableError as error:
        said = [error.problem.message]
    assert all(said)


@given(st.binary(max_size=100))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        known: object = decode(data)
    except UnreadableError as error:
        known = error.problem.line
    assert known is not None
