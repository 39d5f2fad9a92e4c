"""Transforms: fitted on the training rows alone, plain JSON, and in ONNX what they are in numpy."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway_api.model import TokenOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform import (
    ArrayChain,
    Boolean,
    Category,
    Number,
    Scale,
    Step,
    TableChain,
    Times,
    Vector,
    Words,
    fit_tokens,
)
from headway_trainer.data.transform.category import MAX_CATEGORIES
from headway_trainer.data.transform.feeds import array_feed, column_feed
from headway_trainer.data.transform.times import PARTS
from headway_trainer.export.graph import OnnxGraph

NUMBERS = st.none() | st.floats(-1e30, 1e30) | st.sampled_from([0.0, -0.0, 1e30, 5e-324])
"""What preparation lets through; a row that is predicted may hold any number."""
EXTREMES = st.sampled_from([1.7e308, -1.7e308, float("inf"), float("-inf")])
WHOLE = st.none() | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.none() | st.sampled_from(["a", "b", "c", "", "NA", " a", "École", "straße"]) | st.text(max_size=8)
FIRST, LAST = datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59)  # noqa: DTZ001 - as tables have them
EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - as tables have it: in UTC, without a zone
TIMES = st.none() | st.datetimes(FIRST, LAST)
SENTENCES = st.none() | st.lists(st.sampled_from(["a", "B", "b!", "", "tea,", "Ä", "x\ty", "İ"])).map(" ".join) | TEXTS
SPACES = st.sampled_from([" ", "  ", "\n", "\r\n\r\n", "\t", "\xa0", "\u3000", ", ", "!", "\x00", "。"])
PIECES = st.sampled_from(["a", "B", "don't", "'b'", "中文", "😀", "İ", "ß", "-", "\x1f"]) | st.text(max_size=3)
LONG = st.lists(st.tuples(PIECES, SPACES).map("".join), max_size=8).map("".join)
WRITINGS = st.none() | LONG | SENTENCES | st.sampled_from(["", " ", "\n", "a " * 3000])
"""Texts as people write them: lines, signs, other scripts, nothing at all, and far too much."""
VECTORS = st.none() | st.lists(NUMBERS, min_size=2, max_size=2)
KINDS: dict[str, tuple[Any, pa.DataType, Any]] = {
    "number": (Number.fit, pa.float64(), NUMBERS),
    "whole number": (Number.fit, pa.int64(), WHOLE),
    "boolean": (Boolean.fit, pa.bool_(), st.none() | st.booleans()),
    "category": (Category.fit, pa.string(), TEXTS),
    "time": (Times.fit, pa.timestamp("us"), TIMES),
    "text": (Words.fit, pa.string(), SENTENCES),
    "words of a vocabulary": (fit_tokens(TokenOptions(length=5, vocabulary=3)), pa.string(), WRITINGS),
    "one word": (fit_tokens(TokenOptions(length=1)), pa.string(), WRITINGS),
    "characters": (fit_tokens(TokenOptions(length=7, tokens="character")), pa.string(), WRITINGS),
    "vector": (Vector.fit, pa.list_(pa.float64(), 2), VECTORS),
}
"""Each transform of a column: what fits it, the column's type, and values with missing, unseen and extreme ones."""


def _column(kind: str, values: list[Any]) -> pa.Table:
    return pa.table({"c": pa.array(values, KINDS[kind][1])})


def _run(chain: TableChain | ArrayChain, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    graph = OnnxGraph()
    model = graph.model({"features": (chain.onnx(graph), "float", chain.input_shape)})
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (features,) = session.run(["features"], feeds)
    return np.asarray(features)


def _feeds(chain: TableChain, table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    return {tensor.name: column_feed(table[tensor.name], tensor) for tensor in chain.tensors}


@pytest.mark.parametrize("method", ["standard", "minMax", "none"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_each_transform_gives_in_onnx_what_it_gives_in_numpy(kind: str, method: Any, data: st.DataObject) -> None:
    fit, _, values = KINDS[kind]
    train = data.draw(st.lists(values, min_size=1, max_size=12), "training rows")
    unseen = values | EXTREMES if kind == "number" else values
    others = data.draw(st.lists(unseen, min_size=1, max_size=6), "rows that it has not seen")
    table = _column(kind, train + others)
    chain = TableChain.fit([Step("c", fit)], table, np.arange(len(train)), method)
    expected = chain.apply(table)
    assert expected.shape == (len(table), len(chain.feature_names))
    assert np.isfinite(expected).all()
    assert np.array_equal(_run(chain, _feeds(chain, table)), expected)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
@pytest.mark.parametrize("method", ["standard", "minMax", "none"])
def test_arrays_give_in_onnx_what_they_give_in_numpy(method: Any, shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(0, 60, (20, *shape))).astype(dtype)
    if x.dtype.kind == "f" and len(shape) == 1:
        x[::3, 0] = np.nan
    chain = ArrayChain.fit("x", x, np.arange(10), method)
    assert np.isfinite(chain.apply(x)).all()
    assert np.array_equal(_run(chain, {"x": array_feed(x, chain.tensor)}), chain.apply(x))


def test_columns_stand_side_by_side_in_the_order_of_their_features() -> None:
    table = pa.table({"t": ["a", "b", "a"], "n": [1.0, None, 3.0], "": [True, False, None]})
    steps = [Step("t", Category.fit), Step("n", Number.fit), Step("", Boolean.fit)]
    chain = TableChain.fit(steps, table, np.arange(3), "none")
    assert chain.feature_names == ["t=a", "t=b", "n", ""]
    assert chain.apply(table).tolist() == [[1, 0, 1, 1], [0, 1, 2, 0], [1, 0, 3, 0]]
    graph = OnnxGraph(names={"": "column 3"})
    model = graph.model({"features": (chain.onnx(graph), "float", (4,))})
    assert [one.name for one in model.graph.input] == ["t", "n", "column 3"]


@settings(max_examples=60)
@given(data=st.data())
def test_a_fit_is_blind_to_all_rows_but_the_training_rows(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 12))
    train = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True)))

    def draw() -> dict[str, list[Any]]:
        return {
            kind: data.draw(st.lists(values, min_size=count, max_size=count)) for kind, (_, _, values) in KINDS.items()
        }

    seen, other = draw(), draw()
    for kind in KINDS:
        for row in train:
            other[kind][row] = seen[kind][row]
    steps = [Step(kind, fit) for kind, (fit, _, _) in KINDS.items()]
    tables = [pa.table({kind: pa.array(rows[kind], KINDS[kind][1]) for kind in KINDS}) for rows in (seen, other)]
    first, second = (TableChain.fit(steps, table, train, "standard") for table in tables)
    assert first == second
    arrays = [np.array([[-1.0 if v is None else v for v in rows["number"]]]).T for rows in (seen, other)]
    assert ArrayChain.fit("x", arrays[0], train, "minMax") == ArrayChain.fit("x", arrays[1], train, "minMax")


def test_a_fitted_chain_is_plain_json_and_comes_back_the_same() -> None:
    table = pa.table({"n": [1.0, None, 1 / 3], "t": ["a", "é", None]})
    chain = TableChain.fit([Step("n", Number.fit), Step("t", Category.fit)], table, np.arange(3), "standard")
    x = np.array([[1.0, np.nan], [0.1, 7.0]], dtype=np.float32)
    for fitted, rows in ((chain, table), (ArrayChain.fit("x", x, np.arange(2), "standard", ["a", "b"]), x)):
        info = DataInfo(
            task="regression", input_shape=(2,), outputs=1, rows={}, content_hash="", digest="", transforms=fitted
        )
        back = DataInfo.model_validate_json(info.model_dump_json()).transforms
        assert back == fitted
        assert np.array_equal(back.apply(rows), fitted.apply(rows))


def test_what_a_category_does_not_know_is_all_zeros_and_what_is_missing_is_a_category_of_its_own() -> None:
    category = Category.fit("t", pa.chunked_array([["b", "a", "b", None]]))
    assert category.outputs == ("t=b", "t=a", "t=")
    table = pa.table({"t": ["a", None, "", "z"]})
    assert category.apply(table).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_where_nothing_is_missing_in_training_a_missing_category_is_the_most_frequent_one() -> None:
    category = Category.fit("t", pa.chunked_array([["b", "a", "b"]]))
    assert category.outputs == ("t=b", "t=a")
    assert category.apply(pa.table({"t": ["a", None, "", "z"]})).tolist() == [[0, 1], [1, 0], [1, 0], [0, 0]]


@given(st.lists(st.datetimes(), min_size=1, max_size=20))
def test_the_parts_of_a_time_are_those_of_the_calendar(times: list[datetime.datetime]) -> None:
    fitted = Times(inputs=("t",), parts=PARTS, start=0.0, fill=0.0)
    column = pa.array(times, pa.timestamp("us"))
    days, *parts = fitted.apply(pa.table({"t": column})).T
    expected = [(t.year, t.month, t.day, t.weekday(), t.hour, t.minute) for t in times]
    # Beyond 285 years from 1970 a double holds no single microsecond: at the end of a day it may be the next one.
    near = [abs(t.year - 1970) < 285 for t in times]
    assert [row for row, ok in zip(zip(*parts, strict=True), near, strict=True) if ok] == [
        row for row, ok in zip(expected, near, strict=True) if ok
    ]
    since = [(t - EPOCH) / datetime.timedelta(days=1) for t in times]
    assert days == pytest.approx(since)


def test_only_parts_that_vary_become_features_and_a_missing_time_is_the_median() -> None:
    times = [datetime.datetime.fromisoformat(text) for text in ("2024-01-01", "2024-01-02", "2024-01-05")]
    fitted = Times.fit("t", pa.chunked_array([times]))
    assert fitted.outputs == ("t.days", "t.day", "t.dayOfWeek")
    assert fitted.apply(pa.table({"t": pa.array([times[2], None])})).tolist() == [[4, 5, 4], [1, 2, 1]]


def test_words_are_told_apart_whatever_their_case_and_punctuation_was_in_training() -> None:
    texts = ["Great tea!", "great tea", "Great, coffee", "no (tea)", None]
    words = Words.fit("t", pa.chunked_array([texts]))
    assert words.words == ("great", "tea"), "coffee and no stand in one row each"
    rows = words.apply(pa.table({"t": ["great coffee", "TEA", "tea! tea", "", None, "Great, (tea)"]}))
    assert rows.tolist() == [[1, 0], [0, 0], [0, 1], [0, 0], [0, 0], [1, 1]]


def test_a_vector_is_a_feature_for_each_number_and_what_is_missing_is_the_median() -> None:
    column = pa.chunked_array([[[1.0, 5.0], None, [3.0, None]]], pa.list_(pa.float64(), 2))
    vector = Vector.fit("v", column)
    assert vector.outputs == ("v[0]", "v[1]")
    assert vector.apply(pa.table({"v": column})).tolist() == [[1, 5], [2, 5], [3, 5]]
    assert vector.apply(pa.table({"v": column.slice(2)})).tolist() == [[3, 5]]


def test_only_the_most_frequent_categories_get_a_feature_and_ties_go_by_the_alphabet() -> None:
    values = [f"v{index:03}" for index in reversed(range(MAX_CATEGORIES + 5))]
    category = Category.fit("t", pa.chunked_array([[*values, "v054"]]))
    assert category.categories == ("v054", *(f"v{index:03}" for index in range(MAX_CATEGORIES - 1)))


@example(values=[1.0, 1.0])
@given(values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_scaled_training_rows_are_finite_whatever_they_are(values: list[float]) -> None:
    for method in ("standard", "minMax"):
        x = np.array(values).reshape(-1, 1)
        assert np.isfinite(Scale.fit(x, method).apply(x)).all()
