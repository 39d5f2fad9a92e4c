"""Features that are the target, rows that are there twice: what is found, and what is not suspected."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from headway_trainer.data.duplicates import (
    array_hashes,
    equal_columns,
    equal_columns_note,
    repeated_rows,
    row_hashes,
    rows_in_training,
)
from headway_trainer.data.leaks import MOST_ROWS, Leaks, leaks

ROWS = 400
RANDOM = np.random.default_rng(0)
LABELS = np.sort(RANDOM.integers(0, 3, ROWS))
NOISE = RANDOM.normal(size=ROWS)
VALUES = RANDOM.normal(size=ROWS) ** 3


def told(values: Any, target: Any = LABELS, *, classes: bool = True) -> Leaks:
    table = pa.table({"x": values, "noise": NOISE})
    return leaks(table, ["x", "noise"], target, np.arange(len(values)), classes=classes)


def found(values: Any, target: Any = LABELS, *, classes: bool = True) -> list[str]:
    return told(values, target, classes=classes).warnings


MIXED = RANDOM.permutation(LABELS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (LABELS, "is the target in other words"),
        ([f"class {label}" for label in LABELS], "is the target in other words"),
        ([[None, "b", "c"][label] for label in LABELS], "is the target in other words"),
        (np.where(np.arange(ROWS) == 7, 2, LABELS), "is the target in other words in all but 1 of 400 rows"),
        (["?" if index == 7 else f"c{label}" for index, label in enumerate(LABELS)], "in all but 1 of 400 rows"),
        ([f"{label}-{index % 5}" for index, label in enumerate(LABELS)], "begins with the target in other words"),
        ([f"«{label}» since {index}" for index, label in enumerate(LABELS)], "begins with the target"),
        (np.arange(ROWS), "grows or falls from row to row"),
        (-(np.arange(ROWS) ** 1.5), "grows or falls from row to row"),
        (LABELS + NOISE / 100, "lies close about a number of its own in each class"),
        (-LABELS * 1e6 + NOISE, "lies close about a number of its own in each class"),
        (np.where(LABELS == 1, 1e300, -1e300) * (1 + LABELS) + 1e290 * NOISE, "lies close about a number of its own"),
    ],
)
def test_a_feature_that_is_the_class_is_named(values: Any, words: str) -> None:
    (warning,) = found(values)
    assert warning.startswith("Column 'x'")
    assert words in warning
    assert "data.columns: {x: {role: ignore}}" in warning


@pytest.mark.parametrize(
    ("values", "target"),
    [
        # users/04: a label that says on which side of a threshold a number is.
        (VALUES, (np.median(VALUES) < VALUES).astype(np.int64)),
        # users/06: one of three names decides.
        (np.array(["AP", "EU", "NA"])[MIXED], (MIXED == 2).astype(np.int64)),
        # users/06: numbers about 0, 1 and 2, whose spread is a tenth of their distance.
        (MIXED + NOISE.clip(-3, 3) / 10, MIXED),
        # users/07: a number in three ranges.
        (VALUES, np.digitize(VALUES, [-0.5, 0.5])),
        # A town tells its country.
        ([f"town {label * 5 + index % 5}" for index, label in enumerate(MIXED)], MIXED),
    ],
)
def test_an_honest_feature_that_tells_the_class_well_is_a_note_and_no_suspicion(values: Any, target: Any) -> None:
    got = told(values, target)
    assert got.warnings == []
    (note,) = got.notes
    assert note.startswith("The class of nearly all training rows is told by one feature alone: 'x' (")


def test_the_length_of_a_petal_tells_the_setosas_from_other_irises_and_is_no_leak() -> None:
    data = load_iris()
    labels = (data.target > 0).astype(np.int64)
    table = pa.table(dict(zip(data.feature_names, data.data.T, strict=True)))
    got = leaks(table, table.column_names, labels, np.arange(len(labels)), classes=True)
    assert got.warnings == []
    assert "'petal length (cm)' (100.0%), 'petal width (cm)' (100.0%)" in got.notes[0]


def test_one_that_is_empty_in_some_classes_alone_is_named() -> None:
    labels = (LABELS > 0).astype(np.int64)
    values = pa.array(NOISE, mask=labels == 1)
    assert "is empty in 1 of the 2 classes, and in no others" in found(values, labels)[0]
    assert "is empty in 2 of the 3 classes" in found(values)[0]
    assert "other words" in found(pa.array(["asked"] * ROWS, mask=labels == 1), labels)[0]
    assert found(pa.array(NOISE, mask=(labels == 1) & (NOISE > -1)), labels) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (VALUES, "is the target itself"),
        (pa.array(VALUES, mask=NOISE > 1), "is the target itself"),
        (VALUES * 3 - 7, "orders the rows as the target does"),
        (-np.exp(VALUES), "orders the rows as the target does"),
        (VALUES.round(4), "orders the rows as the target does"),
    ],
)
def test_a_feature_that_is_the_quantity_is_named(values: Any, words: str) -> None:
    (warning,) = found(values, VALUES, classes=False)
    assert words in warning


def test_a_code_of_each_quantity_is_named() -> None:
    steps = RANDOM.integers(0, 40, ROWS)
    codes = RANDOM.permutation(40)
    assert "stands for one value of it" in found(codes[steps], steps / 4, classes=False)[0]
    assert "stands for one value of it" in found([f"step {code}" for code in codes[steps]], steps / 4, classes=False)[0]


@pytest.mark.parametrize("outputs", [2, 3])
def test_one_of_several_targets_is_enough(outputs: int) -> None:
    targets = np.stack([*([NOISE**2] * (outputs - 1)), VALUES], axis=1)
    assert len(found(VALUES * 2, targets, classes=False)) == 1


@pytest.mark.parametrize(
    ("values", "target", "classes"),
    [
        (NOISE**2, LABELS, True),
        (LABELS + NOISE, LABELS, True),
        (np.where(NOISE > 1.5, 0, LABELS), LABELS, True),
        ([f"r{index}" for index in range(ROWS)], LABELS, True),
        (np.ones(ROWS), LABELS, True),
        (pa.nulls(ROWS, pa.float64()), LABELS, True),
        (VALUES + NOISE / 2, VALUES, False),
        (["a", "b"] * (ROWS // 2), VALUES, False),
        (pa.array([[0.0, 1.0]] * ROWS, pa.list_(pa.float64(), 2)), LABELS, True),
    ],
)
def test_what_only_helps_is_not_suspected(values: Any, target: Any, classes: bool) -> None:
    assert told(values, target, classes=classes) == Leaks()


@pytest.mark.parametrize(("load", "classes"), [(load_iris, True), (load_breast_cancer, True), (load_diabetes, False)])
def test_real_data_without_a_leak_has_none(load: Any, classes: bool) -> None:
    data = load()
    table = pa.table({str(index): values for index, values in enumerate(data.data.T)})
    assert leaks(table, table.column_names, data.target, np.arange(len(table)), classes=classes) == Leaks()


def test_rare_mistakes_in_a_rare_class_do_not_make_a_constant_a_leak() -> None:
    labels = np.zeros(ROWS, dtype=np.int64)
    labels[:1] = 1
    assert told(np.arange(ROWS) % 7, labels) == Leaks()


def test_many_leaks_are_counted_and_many_rows_are_sampled() -> None:
    labels = np.arange(3 * MOST_ROWS) % 2
    table = pa.table({f"x{index}": labels for index in range(15)})
    warnings = leaks(table, table.column_names, labels, np.arange(len(table)), classes=True).warnings
    assert len(warnings) == 11
    assert warnings[-1] == "And 5 more columns tell the target by themselves."
    assert leaks(table, table.column_names, labels, np.arange(10), classes=True) == Leaks()
    strong = pa.table({f"x{index}": np.arange(ROWS) % 400 // 2 % 100 for index in range(15)})
    (note,) = leaks(strong, strong.column_names, np.arange(ROWS) % 200 // 100, np.arange(ROWS), classes=True).notes
    assert note.endswith(", 5 more.")


TABLE = {"n": [1.5, 2.0, None, 1.5, -0.0], "t": ["a", None, "b", "a", ""], "b": [True, False, None, True, None]}


def test_equal_rows_hash_alike_whatever_the_order_of_columns() -> None:
    table = pa.table(TABLE)
    hashes = row_hashes(table)
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 4
    assert (row_hashes(table.select(["b", "n", "t"])) == hashes).all()
    assert repeated_rows(hashes) == 1


def test_whole_numbers_that_floats_cannot_tell_apart_are_no_copies() -> None:
    hashes = row_hashes(pa.table({"id": [2**60, 2**60 + 1, 2**60, None]}))
    assert (hashes[0] == hashes[2], len(set(hashes.tolist()))) == (True, 3)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-3, 3), st.none() | st.sampled_from(["a", "b"]), st.sampled_from([0.0, -0.0, 0.5])
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 39),
)
def test_rows_are_counted_as_sets_of_tuples_count_them(rows: list[tuple[Any, ...]], cut: int) -> None:
    kinds = [pa.int64(), pa.string(), pa.float64()]
    columns = zip(*rows, strict=True)
    table = pa.table(
        {str(i): pa.array(column, kind) for i, (column, kind) in enumerate(zip(columns, kinds, strict=True))}
    )
    hashes = row_hashes(table)
    plain = [tuple(value + 0.0 if isinstance(value, float) else value for value in row) for row in rows]
    assert repeated_rows(hashes) == len(plain) - len(set(plain))
    parts = [np.arange(0, min(cut, len(rows))), np.arange(min(cut, len(rows)), len(rows))]
    again = sum(row in set(plain[:cut]) for row in plain[cut:])
    told = rows_in_training(hashes, parts, ["train", "test"])
    assert told == [] if again == 0 else told[0].startswith(f"{again} of the {len(parts[1])} test rows")


def test_rows_with_lists_are_compared_by_their_numbers_also_where_a_list_is_missing() -> None:
    lists = pa.array([[1.0, 2.0], None, [1.0, 2.0], [2.0, 1.0], None], pa.list_(pa.float64(), 2))
    hashes = row_hashes(pa.table({"v": lists}))
    assert [(a, b) for a, b in itertools.combinations(range(5), 2) if hashes[a] == hashes[b]] == [(0, 2), (1, 4)]


def test_rows_of_arrays_are_compared_whole() -> None:
    x = RANDOM.normal(size=(6, 1, 2, 2))
    x[4] = x[1]
    hashes = array_hashes(x)
    assert [(a, b) for a, b in itertools.combinations(range(6), 2) if hashes[a] == hashes[b]] == [(1, 4)]


def test_columns_with_the_same_values_are_named_with_the_first_of_them() -> None:
    table = pa.table({"a": [1, 2, None], "b": [1.0, 2.0, None], "c": [1, 2, 3], "d": [1, 2, 3], "e": ["1", "2", "3"]})
    pairs = equal_columns(table, table.column_names)
    assert pairs == [("b", "a"), ("d", "c")]
    assert equal_columns_note(pairs) == [
        "Columns with the same value as another one in every row: 'b' (as 'a'), 'd' (as 'c')."
    ]
    assert equal_columns_note([]) == []
