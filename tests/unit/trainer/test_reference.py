"""reference.json: what the training rows looked like, bounded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from headway_api.training_rows import MAX_FEATURES, MAX_TEXT, MAX_VALUES, Numbers, Reference, Values
from headway_trainer import publish
from headway_trainer.data.reference import predicted, refer, rows_to_see
from headway_trainer.data.transform import ArrayChain, Boolean, Category, Number, Step, TableChain
from headway_trainer.export.record import ModelInfo
from headway_trainer.storage import Store

STEPS = [Step("n", Number.fit), Step("t", Category.fit), Step("b", Boolean.fit)]


def _of_table(columns: dict[str, Any], target: list[Any], classes: list[str] | None) -> Any:
    table = pa.table(columns)
    steps = [step for step in STEPS if step.column in columns]
    chain = TableChain.fit(steps, table, np.arange(len(table)), "standard")
    return refer(table, chain, np.array(target), classes, rows=len(table))


def _of_array(x: npt.NDArray[Any]) -> Any:
    chain = ArrayChain.fit("x", x, np.arange(len(x)), "none")
    return refer(x, chain, np.zeros(len(x)), None, rows=len(x))


def test_each_column_is_described_as_it_is_in_the_source() -> None:
    told = _of_table(
        {"n": [1.0, 2.0, None, 4.0], "t": ["a", None, "b", "a"], "b": [True, None, False, True]},
        [0, 1, 1, 1],
        ["no", "yes"],
    )
    number, text, flag = told.features
    assert (number.name, number.rows, number.missing, number.mean) == ("n", 4, 1, pytest.approx(7 / 3))
    assert (number.quantiles["0.0"], number.quantiles["0.5"], number.quantiles["1.0"]) == (1.0, 2.0, 4.0)
    assert sum(number.counts) == 3
    assert len(number.edges) == len(number.counts) + 1
    assert (text.counts, text.missing, text.others) == ({"a": 2, "b": 1}, 1, 0)
    assert (flag.counts, flag.missing) == ({"true": 2, "false": 1}, 1)
    assert told.target == [Values(name="target", rows=4, missing=0, counts={"yes": 3, "no": 1}, others=0)]


def test_it_is_bounded_however_many_values_columns_and_letters_there_are() -> None:
    many = [f"{index:05}" + "x" * 500 for index in range(200)]
    told = _of_table({"t": [*many, many[0]]}, [0.0] * 201, None)
    (text,) = told.features
    assert len(text.counts) == MAX_VALUES
    assert text.others == 200 - MAX_VALUES
    assert max(map(len, text.counts)) == MAX_TEXT
    wide = _of_array(np.zeros((3, MAX_FEATURES + 7)))
    assert (len(wide.features), wide.left_out) == (MAX_FEATURES, 7)
    assert rows_to_see(ArrayChain.fit("x", np.zeros((1, 3, 224, 224)), np.arange(1), "none")) < 200


def test_images_are_described_channel_by_channel() -> None:
    x = np.stack([np.zeros((5, 4, 4)), np.ones((5, 4, 4))], axis=1).astype(np.uint8)
    dark, bright = _of_array(x).features
    assert (dark.name, dark.rows, dark.mean, dark.counts) == ("x[0]", 80, 0.0, [80])
    assert (bright.mean, bright.edges) == (1.0, [1.0, 1.0])


def test_a_feature_without_a_number_and_several_targets_have_their_place() -> None:
    x = np.array([[np.nan, 1.0], [np.nan, 2.0]])
    chain = ArrayChain.fit("x", x, np.arange(2), "none", ["empty", "there"])
    told = refer(x, chain, np.array([[1.0, 10.0], [2.0, 20.0]]), None, rows=2)
    assert told.features[0] == Numbers(name="empty", rows=2, missing=2)
    assert [one.name for one in told.target] == ["target[0]", "target[1]"]
    assert json.loads(told.model_dump_json())["features"][1]["name"] == "there"


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ([0.0] * 68 + [1.0] * 32, [68, 32]),
        ([0.0] * 97 + [1.0] * 3, [97, 3]),
        ([0.0] * 3 + [1.0] * 97, [3, 97]),
        ([1.0, 2.0, 3.0, 4.0, 5.0] * 20, [20] * 5),
        ([7.0] * 5, [5]),
    ],
    ids=["flags", "few are set", "most are set", "grades", "one value"],
)
def test_numbers_that_are_few_have_a_bin_each(values: list[float], counts: list[int]) -> None:
    (told,) = _of_array(np.array(values)[:, None]).features
    assert isinstance(told, Numbers)
    assert [count for count in told.counts if count] == counts
    assert told.edges == sorted(told.edges)
    assert told.edges[-2:] == [max(values)] * 2


def test_numbers_of_which_none_comes_twice_keep_twenty_bins() -> None:
    (told,) = _of_array(np.random.default_rng(1).normal(size=(1000, 1))).features
    assert isinstance(told, Numbers)
    assert (len(told.edges), told.counts) == (21, [50] * 20)


def test_what_a_model_predicts_is_told_by_the_columns_of_its_confusion_matrix() -> None:
    told = predicted([[50, 10, 0], [5, 25, 0], [3, 7, 0]], ["a", "b", "c"])
    assert told == Values(name="prediction", rows=100, missing=0, counts={"a": 58, "b": 42, "c": 0}, others=0)


def test_what_is_published_has_the_predictions_and_else_what_was_prepared_byte_for_byte(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    told = _of_array(np.arange(4.0)[:, None])
    prepared = told.model_dump_json(exclude={"predictions"}).encode()
    store.write("data/reference.json", prepared)
    store.write("model.safetensors", b"weights")
    publish.publish_model(store, None, None, ModelInfo())
    assert store.read("reference.json") == prepared
    said = predicted([[3, 1], [0, 2]], ["a", "b"])
    artifacts = publish.publish_model(store, None, None, ModelInfo(), predicted=said)
    whole = store.read("reference.json")
    assert Reference.model_validate_json(whole) == told.model_copy(update={"predictions": [said]})
    assert {one.name: one.sha256 for one in artifacts}["reference"] == hashlib.sha256(whole).hexdigest()
