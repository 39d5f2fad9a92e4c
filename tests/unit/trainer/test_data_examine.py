"""A source as a whole: what is learnt from it, what becomes features, and what people are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_wine

from headway_api.data import Data
from headway_trainer.data import encode
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.examine import Examined, examine, profile_of
from headway_trainer.data.missing_targets import without_missing_targets
from headway_trainer.data.profile import MOST_COLUMNS, MOST_SENTENCES, bounded, bounded_columns, cells, summary
from headway_trainer.data.schema import Column, ColumnStats
from headway_trainer.data.transform import TableChain
from headway_trainer.data.transform.category import MAX_CATEGORIES
from headway_trainer.errors import UserError

ROWS = 60
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.permutation(np.arange(ROWS) % 2)
NOISE = RANDOM.normal(size=ROWS)


def spec(**fields: Any) -> Data:
    return Data.model_validate({"source": {"uri": "data.csv"}, "target": "y", **fields})


def table(columns: dict[str, Any], files: int = 1) -> TableContent:
    rows = pa.table(columns)
    sizes = [3, len(rows) - 3] if files > 1 else [len(rows)]
    names = ["first.csv", "second.csv"] if files > 1 else ["data.csv"]
    return TableContent(rows, list(zip(names, sizes, strict=True)), "hash")


def known(values: dict[str, Any], /, *, strict: bool = True, **fields: Any) -> Examined:
    return examine(spec(**fields), 0, table({"y": LABELS, **values}), strict=strict)


def fitted(content: TableContent, train: Any, **fields: Any) -> tuple[TableChain, Examined]:
    found = examine(spec(**fields), 0, content)
    assert found.table is not None
    chain = TableChain.fit(encode.choose_steps(found.schema), found.table, train, "none")
    found.schema = encode.tell_done(found.schema, chain.transforms)
    return chain, found


# Encoding.


def test_features_are_fitted_on_the_training_rows_alone() -> None:
    content = table(
        {
            "number": [1.0, 3.0, 1000.0, None],
            "flag": [False, False, True, None],
            "text": ["a", "a", "z", None],
            "y": [0, 1, 0, 1],
        }
    )
    chain, found = fitted(content, np.array([0, 1]))
    assert [(one.kind, one.inputs, one.quantities) for one in chain.transforms] == [
        ("number", ("number",), (True,)),
        ("boolean", ("flag",), (False,)),
        ("category", ("text",), (False,)),
    ]
    assert chain.feature_names == ["number", "flag", "text=a"]
    assert chain.apply(found.table).tolist() == [[1, 0, 1], [3, 0, 1], [1000, 1, 0], [2, 0, 1]]
    assert [column.done for column in found.schema.columns] == [
        "one feature; empty values become the median 2",
        "0 and 1; empty values become 0",
        "1 features of 0 and 1; empty values become 'a'",
        "predicted",
    ]


def test_each_kind_has_its_encoding_and_the_schema_says_which() -> None:
    words = [f"{['good', 'bad'][i % 2]} tea number {i}" for i in range(ROWS)]
    days = pa.array(np.datetime64("2024-01-01") + np.arange(ROWS)).cast(pa.timestamp("us"))
    vectors = pa.array([[float(i % 7), 1.0 + i % 3] for i in range(ROWS)], pa.list_(pa.float64(), 2))
    content = table({"y": LABELS, "": np.arange(ROWS), "t": words, "d": days, "v": vectors, "n": NOISE})
    chain, found = fitted(content, np.arange(40))
    assert {column.name: column.kind for column in found.schema.of("feature")} == {
        "t": "text",
        "d": "time",
        "v": "vector",
        "n": "number",
    }
    assert chain.apply(found.table).shape == (ROWS, len(chain.feature_names))
    assert {"d.days", "d.month", "d.dayOfWeek", "v[0]", "v[1]", "t~tea", "t~good", "n"} <= set(chain.feature_names)
    assert found.schema.named("").done == "left out"
    assert found.schema.named("d").done == "days, month, day, dayOfWeek"
    assert "100 most frequent words" not in found.schema.named("t").done


def test_a_rare_category_beyond_the_cap_is_all_zeros() -> None:
    values = [f"v{index:03}" for index in range(MAX_CATEGORIES)] * 3 + ["rare-1", "rare-2"]
    content = table({"text": values, "y": [0, 1] * (len(values) // 2)})
    chain, found = fitted(content, np.arange(len(values)))
    x = chain.apply(found.table)
    assert x.shape == (len(values), MAX_CATEGORIES)
    assert x.sum(axis=1).tolist() == [1.0] * (MAX_CATEGORIES * 3) + [0.0, 0.0]
    assert "52 different values" in found.schema.named("text").why


def test_whole_numbers_beyond_the_precision_of_floats_are_rounded() -> None:
    content = table({"a": [2**60 + 1, None, 3, 4], "y": [0, 1, 0, 1]})
    chain, found = fitted(content, np.array([0, 2]))
    assert chain.apply(found.table)[0, 0] == 2.0**60


def test_a_column_that_is_empty_in_training_alone_still_has_features() -> None:
    content = table({"a": [None, None, 5.0, 6.0], "b": [None, None, "x", "z"], "y": [0, 1, 0, 1]})
    chain, found = fitted(content, np.array([0, 1]))
    assert chain.apply(found.table).tolist() == [[0, 0], [0, 0], [5, 0], [6, 0]]


def test_a_typing_error_in_a_column_of_numbers_is_named_with_its_row() -> None:
    values = [str(index) for index in range(20)]
    values[4] = "12a"
    with pytest.raises(UserError, match=r"column 'age' holds numbers, but '12a' in row 2 of second\.csv"):
        examine(spec(), 0, table({"age": values, "y": [0, 1] * 10}, files=2))


def test_an_infinite_number_is_named_with_its_row_and_what_is_allowed() -> None:
    with pytest.raises(UserError, match=r"column 'a' is inf in row 3 of data\.csv"):
        fitted(table({"a": [1.0, 2.0, float("inf"), 0.0], "y": [0, 1, 0, 1]}), np.array([0, 1]))


def test_a_typing_error_in_a_target_of_numbers_is_named_unless_it_is_a_class() -> None:
    content = table({"a": NOISE, "y": ["unknown"] * 30 + [str(index) for index in range(10)] * 3})
    with pytest.raises(UserError, match=r"'unknown' in row 1 of data\.csv"):
        examine(spec(), 0, content)
    target, _ = examine(spec(task="classification"), 0, content).learnt()
    assert target.outputs == 11


def test_real_wine_is_encoded_unchanged() -> None:
    wine = load_wine(as_frame=True)
    content = table({**{name: wine.data[name] for name in wine.data}, "y": wine.target})
    chain, found = fitted(content, np.arange(178))
    assert np.array_equal(chain.apply(found.table), wine.data.to_numpy().astype(np.float32))
    target, _ = found.learnt()
    assert target.values.tolist() == wine.target.tolist()


# Targets of tables.


def test_several_columns_are_predicted_at_once() -> None:
    found = examine(
        Data.model_validate({"source": {"uri": "data.csv"}, "targets": ["a", "b"]}),
        0,
        table({"a": NOISE, "x": NOISE**2, "b": LABELS, "c": NOISE + 1}),
    )
    target, _ = found.learnt()
    assert (target.task, target.outputs, target.values.shape) == ("regression", 2, (ROWS, 2))
    assert found.features == ["x", "c"]


def test_one_hot_columns_are_the_classes_that_they_name() -> None:
    owls = (np.arange(ROWS) % 3 == 0).astype(float)
    fields = {"source": {"uri": "data.csv"}, "targets": ["owl", "dog"]}
    found = examine(Data.model_validate(fields), 0, table({"owl": owls, "dog": 1 - owls, "x": NOISE}))
    target, _ = found.learnt()
    assert target.classes == ["owl", "dog"]
    assert target.values.tolist() == (1 - owls).astype(int).tolist()


@pytest.mark.parametrize(
    ("kind", "task"), [("number", "regression"), ("category", "classification"), ("boolean", "classification")]
)
def test_the_kind_that_is_given_for_the_target_says_the_task(kind: str, task: str) -> None:
    found = examine(spec(columns={"y": {"kind": kind}}), 0, table({"y": LABELS, "x": NOISE}))
    assert found.learnt()[0].task == task
    assert found.learnt()[0].why == "given"


def test_a_role_names_the_target() -> None:
    fields = {"source": {"uri": "data.csv"}, "columns": {"y": {"role": "target"}}}
    assert examine(Data.model_validate(fields), 0, table({"y": LABELS, "x": NOISE})).features == ["x"]


@pytest.mark.parametrize(
    ("columns", "fields", "told"),
    [
        ({"y": [0, None] * 30}, {}, "'y' is empty in 30 of 60 rows, first in row 2 of data.csv"),
        ({"y": [f"${i}" for i in range(ROWS)]}, {}, "'y' seems to hold numbers that are not written plainly"),
        ({"y": pa.array([0] * ROWS).cast(pa.timestamp("us"))}, {}, "of the kind time, which cannot be predicted"),
        ({"t": ["a"] * ROWS}, {"target": None, "targets": ["y", "t"]}, "'t' is text: several targets"),
        ({}, {"target": None, "columns": {"x": {"role": "weight"}}}, "data.target is not set"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(columns: dict[str, Any], fields: dict[str, Any], told: str) -> None:
    chosen = {name: value for name, value in {"target": "y", **fields}.items() if value is not None}
    with pytest.raises(UserError, match=told):
        examine(
            Data.model_validate({"source": {"uri": "data", "format": None}, **chosen}),
            0,
            table({"x": NOISE, "y": LABELS, **columns}),
        )


# What is told.


def test_where_no_column_is_left_the_error_has_the_reason_for_each() -> None:
    columns = {"id": np.arange(ROWS), "code": [f"A{i}" for i in range(ROWS)], "empty": pa.nulls(ROWS)}
    with pytest.raises(UserError, match="no column is left to learn from") as caught:
        known(columns)
    assert all(
        told in str(caught.value) for told in ("'id' (whole numbers", "'code' (text with 60", "'empty' (it is empty)")
    )
    many = {f"c{index}": [index] * ROWS for index in range(50)}
    with pytest.raises(UserError, match="and 30 more"):
        known(many)


@pytest.mark.parametrize(
    ("there", "source", "words"),
    [
        (2, {"uri": "a.csv"}, "The rows of train, validation are those of the source's own parts, as the names of"),
        (1, {"uri": "a.csv"}, "are those of the source's own parts, as the names of its files or folders tell"),
        (3, {"parts": {"train": "a.csv", "test": "b.csv"}}, "train, validation, test are those of the source's own"),
    ],
)
def test_parts_that_are_the_sources_own_are_told_with_what_says_so(
    there: int, source: dict[str, Any], words: str
) -> None:
    content = replace(table({"y": ["a", "b"] * (ROWS // 2), "x": NOISE}), parts=np.arange(ROWS, dtype=np.int8) % there)
    found = examine(Data.model_validate({"source": source, "target": "y"}), 0, content)
    (told,) = [note for note in found.notes if "own parts" in note]
    assert words in told
    assert ("data.source.parts says" in told) == ("parts" in source)
    assert ("of the training rows" in told) == (there < 3)


def test_warnings_tell_of_columns_leaks_and_rows_that_stand_in_two_parts() -> None:
    twice = [*(index % 30 for index in range(ROWS))]
    found = known({"id": RANDOM.permutation(ROWS), "leak": LABELS * 7.5, "x": twice}, split={"stratify": "never"})
    told = " ".join(found.warnings)
    assert "Column 'id' was left out" in told
    assert "Column 'leak' is the target in other words" in told
    assert "test rows stand in the training part as well" in told
    assert any("rows are copies of another one" in note for note in found.notes)


def test_classes_that_have_no_row_in_the_training_part_are_a_warning() -> None:
    labels = ["a", "b"] * 29 + ["c", "d"]
    found = examine(spec(), 3, table({"y": labels, "x": NOISE}))
    _, parts = found.learnt()
    lost = {"c", "d"} - {labels[row] for row in parts.indices[0]}
    told = [one for one in found.warnings if "cannot be learnt" in one]
    assert len(told) == (1 if lost else 0)
    assert all(repr(name) in told[0] for name in lost)


def test_what_training_would_refuse_is_collected_for_a_profile() -> None:
    found = known({"x": [f"${i}" for i in range(ROWS)], "n": NOISE}, strict=False)
    profile = profile_of(found, table({"y": LABELS}))
    assert profile.warnings[0].startswith("Training would be refused: column 'x' seems to hold numbers")
    assert profile.task == "classification"
    bad = known({"y": [None, *([1] * (ROWS - 1))], "n": NOISE}, strict=False)
    assert "is empty in 1 of 60 rows" in bad.problems[0]
    assert bad.target is None
    unnamed = {"source": {"uri": "data", "format": None}}
    assert examine(Data.model_validate(unnamed), 0, table({"n": NOISE, "m": LABELS}), strict=False).target is None


def test_a_profile_of_arrays_tells_of_each_array() -> None:
    x = RANDOM.integers(0, 255, (ROWS, 1, 4, 4)).astype(np.uint8)
    content = ArrayContent(x=x, y=LABELS, content_hash="", target="the array y")
    found = examine(Data.model_validate({"source": {"uri": "data.npz"}}), 0, content)
    image, labels = found.schema.columns
    assert (image.kind, image.why, image.stats.max) == ("image", "images of 1 x 4 x 4 numbers", float(x.max()))
    assert (labels.kind, labels.role, labels.stats.distinct) == ("category", "target", 2)
    profile = profile_of(found, content)
    assert (profile.rows, profile.column_count, profile.task_why) == (ROWS, 2, "the labels 0 and 1")


def test_a_leak_among_the_features_of_an_array_is_found() -> None:
    x = np.stack([NOISE, LABELS * 3.0], axis=1)
    content = ArrayContent(x=x, y=LABELS, content_hash="", target="the array y", feature_names=["noise", "copy"])
    (warning,) = examine(Data.model_validate({"source": {"uri": "data.npz"}}), 0, content).warnings
    assert warning.startswith("Feature 'copy' is the target in other words")


def test_labels_that_are_numbers_are_shown_as_the_classes_that_they_are() -> None:
    column = known({"x": NOISE}).schema.named("y")
    assert (column.kind, column.why) == ("category", "the labels 0 and 1")
    assert [(one.value, one.rows) for one in column.stats.top] == [("0", 30), ("1", 30)]
    assert column.stats.mean is None


def test_a_profile_shows_so_many_columns_and_always_those_with_a_special_role() -> None:
    columns = [Column(name=f"x{i}", kind="number", stats=ColumnStats(rows=1)) for i in range(20_000)]
    columns[15_000] = columns[15_000].model_copy(update={"role": "target"})
    shown = bounded_columns(columns)
    assert len(shown) == MOST_COLUMNS
    assert shown[-1].name == "x15000"
    assert bounded_columns(columns[:5]) == columns[:5]


def test_sentences_are_told_once_and_counted_beyond_a_bound() -> None:
    told = bounded([f"{index}" for index in range(MOST_SENTENCES + 7)] * 2)
    assert len(told) == MOST_SENTENCES + 1
    assert told[-1] == "And 7 more of this kind."


def test_the_table_of_columns_is_readable() -> None:
    found = known({"": np.arange(ROWS), "colour": ["red", "red", "blue"] * 20, "price": np.arange(ROWS) % 9 / 2})
    rows = {cells(column)[0]: cells(column) for column in found.schema.columns}
    assert rows["(no name)"][:3] == ("(no name)", "id", "ignore")
    assert rows["colour"][6] == "red 67%, blue 33%"
    assert rows["price"][4:7] == ("0", "9", "0 to 4, mean 1.925")
    profile = profile_of(found, table({"y": LABELS}))
    assert summary(profile).startswith("60 rows and 4 columns. What is learnt: classification (the labels 0 and 1).")


def test_thousands_of_columns_are_told_of_within_bounds() -> None:
    values = np.random.default_rng(1).normal(size=(3_000, 40))
    content = table({**{f"x{i}": values[i] for i in range(3_000)}, "y": np.arange(40) % 2})
    found = examine(spec(), 0, content)
    assert len(found.features) == 3_000
    assert len(profile_of(found, content).model_dump_json()) < 200_000


# Rows without a target.


def test_rows_without_a_target_are_left_out_where_the_job_says_so_and_counted() -> None:
    content = replace(table({"y": ["a", None, "b"] * 20, "x": NOISE}), parts=np.arange(ROWS, dtype=np.int8) % 2)
    kept = without_missing_targets(content, ["y"])
    assert isinstance(kept, TableContent)
    assert kept.table["y"].to_pylist() == ["a", "b"] * 20
    assert kept.parts is not None
    assert kept.parts.tolist() == [0, 0, 1, 1] * 10
    assert kept.warnings == ["20 of 60 rows have no target, and were left out as data.missingTargets says."]
    assert [kept.where(row) for row in (0, 1, 2)] == ["row 1 of data.csv", "row 3 of data.csv", "row 4 of data.csv"]
    assert without_missing_targets(kept, ["y"]) is kept


def test_rows_of_arrays_without_a_target_are_left_out_as_well() -> None:
    y = np.where(np.arange(ROWS) % 4 == 0, np.nan, NOISE)
    content = ArrayContent(x=NOISE.reshape(-1, 1), y=y, content_hash="", target="the array y")
    kept = without_missing_targets(content, [])
    assert isinstance(kept, ArrayContent)
    assert len(kept.x) == len(kept.y) == 45
    assert not np.isnan(kept.y).any()


def test_the_error_about_a_missing_target_says_how_to_leave_such_rows_out() -> None:
    with pytest.raises(UserError, match=r"data\.missingTargets: drop"):
        known({"y": [None, *([1] * (ROWS - 1))], "x": NOISE})


# Weights.


def test_weights_are_one_in_the_mean_over_the_training_rows() -> None:
    weights = np.arange(ROWS) + 1.0
    found = known({"w": weights, "x": NOISE}, columns={"w": {"role": "weight"}})
    _, parts = found.learnt()
    assert found.features == ["x"]
    assert found.weights is not None
    assert found.weights.dtype == np.float32
    assert found.weights[parts.indices[0]].mean() == pytest.approx(1.0)
    assert found.weights / found.weights[0] == pytest.approx(weights, rel=1e-6)
    assert known({"x": NOISE}).weights is None


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (None, "is empty in row 3 of data.csv"),
        (-0.5, "is -0.5 in row 3 of data.csv"),
        (float("inf"), "is inf in row 3 of data.csv"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_its_row(weight: float | None, told: str) -> None:
    with pytest.raises(UserError, match=told):
        known({"w": [1.0, 2.0, weight, *([1.0] * (ROWS - 3))], "x": NOISE}, columns={"w": {"role": "weight"}})


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"w": [0] * ROWS}, "all training rows with 0"),
        ({"w": ["a", "b"] * (ROWS // 2)}, "holds no numbers"),
        ({"w": [1.5] * ROWS, "v": [1.5] * ROWS}, "'w' and 'v' both have the role weight"),
    ],
)
def test_weights_that_say_nothing_are_refused(columns: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        known({**columns, "x": NOISE}, columns={name: {"role": "weight"} for name in columns})
