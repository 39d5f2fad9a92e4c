"""When two versions answer alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_server.split.compare import Seen, alike, of_json, of_tensors, tensor

NUMBERS = st.lists(st.floats(allow_nan=True), max_size=5)


def infer(*outputs: dict[str, Any], tail: bytes = b"") -> Seen:
    """What an answer of `infer` says."""
    head = orjson.dumps({"model_version": "1", "outputs": list(outputs)})
    return of_json(head + tail, len(head) if tail else None)


def predicted(*rows: Any) -> Seen:
    """What an answer of `:predict` says."""
    return of_json(orjson.dumps({"predictions": rows}), None)


def numbers(*values: float) -> Seen:
    """An answer with numbers alone."""
    return infer({"name": "value", "datatype": "FP64", "shape": [len(values)], "data": values})


def labels(*values: str, also: float = 0.5) -> Seen:
    """An answer with labels and something else."""
    return infer(
        {"name": "probabilities", "datatype": "FP32", "shape": [1], "data": [also]},
        {"name": "label", "datatype": "BYTES", "shape": [len(values)], "data": values},
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (numbers(100.0), numbers(100.09), True),
        (numbers(100.0), numbers(100.2), False),
        (numbers(0.0), numbers(0.0), True),
        (numbers(0.0), numbers(1e-9), False),
        (numbers(1.0, 2.0), numbers(1.0), False),
        (labels("yes", also=0.9), labels("yes", also=0.1), True),
        (labels("yes", "no"), labels("yes", "yes"), False),
        (labels("yes"), numbers(1.0), False),
        (predicted({"label": "a", "probabilities": {"a": 0.9}}), predicted({"label": "a", "probabilities": {}}), True),
        (predicted({"label": "a"}, {"label": "b"}), predicted({"label": "b"}, {"label": "a"}), False),
        (predicted({"x": 1.0, "y": 2.0}), predicted({"y": 2.0, "x": 1.0}), True),
        (predicted({"x": 1.0, "y": 2.0}), predicted({"y": 1.0, "x": 2.0}), False),
        (predicted({"x": None}), predicted({"x": None}), True),
        (predicted({"x": [1, 2, [3]]}), predicted({"x": [1, 2, [3.0001]]}), True),
    ],
)
def test_labels_decide_where_there_are_any_and_else_numbers(one: Seen, other: Seen, same: bool) -> None:
    assert alike(one, other, 1e-3) is same
    assert alike(other, one, 1e-3) is same


@given(NUMBERS, NUMBERS, st.floats(0, 1))
def test_it_is_the_same_both_ways_and_what_is_equal_is_alike(a: list[float], b: list[float], tolerance: float) -> None:
    one, other = (Seen([], np.array(values, np.float64)) for values in (a, b))
    assert alike(one, one, tolerance)
    assert alike(one, other, tolerance) == alike(other, one, tolerance)


def test_binary_answers_say_what_json_says() -> None:
    texts = b"".join(len(one).to_bytes(4, "little") + one for one in (b"yes", "nö".encode()))
    floats = np.array([0.5, math.nan], "<f4").tobytes()
    seen = infer(
        {"name": "p", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": len(floats)}},
        {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(texts)}},
        tail=floats + texts,
    )
    assert seen.labels == ["yes", "nö"]
    assert seen.numbers[0] == 0.5
    assert math.isnan(seen.numbers[1])
    raw = of_tensors({"p": tensor("p", "FP32", [2], memoryview(floats))})
    assert alike(raw, Seen([], seen.numbers), 0.0)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"outputs": [{}]}',
        b'{"outputs": [7]}',
        b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": ["x"], "data": []}]}',
        b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}',
        b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": 7}]}',
    ],
)
def test_what_is_no_answer_is_told_by_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        of_json(body, None)


def test_a_deeply_nested_answer_is_read_without_recursion() -> None:
    body = b'{"predictions": ' + b"[" * 1000 + b"1" + b"]" * 1000 + b"}"
    assert of_json(body, None).numbers.tolist() == [1.0]


@pytest.mark.parametrize(("datatype", "shape"), [("INT8", [1]), ("FP32", [2]), ("FP32", [-1])])
def test_a_tensor_that_is_not_what_it_says_is_none(datatype: str, shape: list[int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        tensor("a", datatype, shape, memoryview(bytes(4)))
