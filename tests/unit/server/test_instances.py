"""Rows of raw columns by name become the tensors that `headway predict` makes of the same values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway_api.bundle import Input, Output, Signature
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.model import ServedModel
from headway_server.rest.instances import Columns, predictions
from headway_server.rest.request import Bounds
from served import bundle


class Told:
    """A model that is only told of: no graph."""

    def __init__(self, signature: Signature, data: Any) -> None:
        self.signature = signature
        self.info = type("Info", (), {"data": data})

    def check(self, feeds: dict[str, Any]) -> int:
        return len(next(iter(feeds.values())))


def _column(kind: str, value: Any, *, shape: list[int] | None = None, **told: Any) -> list[Any]:
    """What a column of a kind makes of a value of one row."""
    text = kind in ("text", "tokens", "category")
    missing: Any = "empty text" if text else "NaN"
    one = Input(name="x", column="x", type="string" if text else "double", shape=shape or [1], missing=missing)
    data = {"transforms": {"kind": "table", "transforms": [{"kind": kind, "inputs": ["x"]} | told]}}
    model: Any = Told(Signature(inputs=[one], outputs=[]), data)
    feeds, rows = Columns(model).feeds({"instances": [{"x": value}]}, Bounds())
    assert rows == 1
    assert feeds["x"].shape == (1, *(shape or [1]))
    found: list[Any] = feeds["x"].ravel().tolist()
    return found


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        ("number", 7, 7.0),
        ("number", -1.5, -1.5),
        ("number", " +1.5e3 ", 1500.0),
        ("boolean", True, 1.0),
        ("boolean", "No", 0.0),
        ("boolean", 1, 1.0),
        ("boolean", 0.0, 0.0),
        ("time", "1970-01-02", 86_400e6),
        ("time", "1970-01-01 00:00:01.5", 1.5e6),
        ("time", "1970-01-01T01:00:00+01:00", 0.0),
        ("time", "1969-12-31T23:59:59Z", -1e6),
        ("text", "a b", "a b"),
        ("text", 7.0, "7"),
        ("text", 7.5, "7.5"),
        ("text", False, "false"),
        ("tokens", "x", "x"),
    ],
)
def test_a_value_becomes_what_its_column_s_kind_asks_for(kind: str, value: Any, made: Any) -> None:
    assert _column(kind, value) == [made]


@pytest.mark.parametrize(
    ("value", "made"), [("7", "7"), (7, "7"), ("7.0", "7"), (7.0, "7"), ("8.0", "8.0"), ("9.0", "9.0"), (True, "true")]
)
def test_a_whole_number_with_a_decimal_point_is_the_category_that_is_known(value: Any, made: str) -> None:
    assert _column("category", value, categories=["7", "8.0", "8"]) == [made]


def test_null_is_a_missing_value() -> None:
    assert math.isnan(_column("number", None)[0])
    assert math.isnan(_column("time", None)[0])
    assert _column("category", None, categories=["a"]) == [""]
    assert all(math.isnan(one) for one in _column("vector", None, shape=[3]))
    assert _column("vector", [1, 2.5, -3], shape=[3]) == [1.0, 2.5, -3.0]


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("number", "seven", "instances[0].x is 'seven', but must be a number, or null"),
        ("number", True, "is True, but must be a number"),
        ("number", "1e999", "must be a number"),
        ("number", [1, 2], "must be lists of the shape [1]"),
        ("number", {}, "must be a number"),
        ("boolean", "maybe", "must be true or false"),
        ("time", "yesterday", "must be a time in ISO 8601"),
        ("time", "2024-02-31", "must be a time that the calendar has"),
        ("time", 5, "must be a time"),
        ("text", ["a", "b"], "must be lists of the shape"),
        ("text", {}, "must be text"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_row_and_column(kind: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _column(kind, value)
    assert words in str(refused.value)


@pytest.fixture
def model(tmp_path: Path) -> ServedModel:
    return ServedModel.open(str(bundle(tmp_path)))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "instances must be a list of rows"),
        ({"instances": {}}, "instances must be a list of rows"),
        ({"instances": []}, "instances must be a list of rows"),
        ({"instances": [{"size": 1, "town": "a"}, 3]}, "instances[1] must be an object"),
        ({"instances": [{"size": 1, "tonw": "a"}]}, "no row has the column 'town', which the model takes"),
    ],
)
def test_rows_that_are_none_are_told_so(told: dict[str, Any], words: str, model: ServedModel) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Columns(model).feeds(told, Bounds())
    assert words in str(refused.value)


def test_a_column_may_be_left_out_of_some_rows_and_others_are_not_looked_at(model: ServedModel) -> None:
    rows = [{"size": 1, "town": "a", "target": "x"}, {"town": "b"}]
    feeds, count = Columns(model).feeds({"instances": rows}, Bounds())
    assert count == 2
    assert feeds["size"][0, 0] == 1.0
    assert np.isnan(feeds["size"][1, 0])
    with pytest.raises(TooLarge, match="at most 1"):
        Columns(model).feeds({"instances": rows}, Bounds(rows=1))


def _said(outputs: dict[str, Any], *told: Output) -> list[dict[str, Any]]:
    model: Any = Told(Signature(inputs=[], outputs=list(told)), None)
    return predictions({name: np.array(one) for name, one in outputs.items()}, model)


def test_classes_targets_steps_and_scores_are_told_by_their_names() -> None:
    value = Output(name="value", type="double", shape=[2], names=["a", "b"])
    assert _said({"value": [[1.0, math.inf]]}, value) == [{"a": 1.0, "b": None}]
    steps = value.model_copy(update={"shape": [2, 1], "names": ["a"]})
    assert _said({"value": [[[1.0], [2.0]]]}, steps) == [{"steps": [{"a": 1.0}, {"a": 2.0}]}]
    score = Output(name="anomaly_score", type="double", shape=[])
    assert _said({"anomaly_score": [0.5], "value": [[1.0, 2.0]]}, score, value) == [
        {"anomaly_score": 0.5, "reconstructed.a": 1.0, "reconstructed.b": 2.0}
    ]
    assert _said({"anomaly_score": [0.5]}, score) == [{"anomaly_score": 0.5}]
    label = Output(name="label", type="string", shape=[])
    classes = Output(name="probabilities", type="float", shape=[2], names=["no", "yes"])
    assert _said({"label": ["yes"], "probabilities": [[0.25, 0.75]]}, label, classes) == [
        {"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    ]
