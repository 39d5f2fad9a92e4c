"""Splits by a column: no group in two parts, nothing later learnt from, every row once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.data import Data, Split
from headway_trainer.data.split import Column, Dividing, Parts, divide, dividing
from headway_trainer.data.split.by_group import by_group
from headway_trainer.data.split.divide import Method
from headway_trainer.data.split.in_order import in_order

SEEDS = st.integers(0, 2**31 - 1)
SHARES = st.tuples(st.integers(0, 49), st.integers(0, 49)).map(
    lambda parts: ((100 - sum(parts)) / 100, parts[0] / 100, parts[1] / 100)
)
GROUPS = st.lists(st.integers(1, 40), min_size=3, max_size=60).map(
    lambda sizes: (
        np.random.RandomState(len(sizes)).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    )
)


def _wanted(shares: tuple[float, float, float], rows: int) -> list[float]:
    return [share * rows for share in shares]


@given(groups=GROUPS, shares=SHARES, seed=SEEDS)
def test_a_group_is_in_one_part_and_every_part_has_one(
    groups: np.ndarray[Any, Any], shares: tuple[float, float, float], seed: int
) -> None:
    part_of = by_group(groups, shares, seed)
    assert all(len(set(part_of[groups == group].tolist())) == 1 for group in np.unique(groups))
    assert [bool((part_of == part).any()) for part in range(3)] == [share > 0 for share in shares]


@given(groups=GROUPS, shares=SHARES, seed=SEEDS)
def test_a_part_has_its_share_of_rows_but_for_one_group(
    groups: np.ndarray[Any, Any], shares: tuple[float, float, float], seed: int
) -> None:
    part_of, largest = by_group(groups, shares, seed), np.bincount(groups).max()
    for part, wanted in enumerate(_wanted(shares, len(groups))):
        assert abs(int((part_of == part).sum()) - wanted) <= 2 * largest


def test_many_groups_of_one_size_give_the_shares_exactly() -> None:
    part_of = by_group(np.repeat(np.arange(100), 5), (0.7, 0.2, 0.1), 3)
    assert [int((part_of == part).sum()) for part in range(3)] == [350, 100, 50]


def test_another_seed_gives_other_groups_and_the_same_seed_the_same() -> None:
    groups = np.repeat(np.arange(50), 4)
    first, second = by_group(groups, (0.7, 0.2, 0.1), 1), by_group(groups, (0.7, 0.2, 0.1), 2)
    assert (first != second).any()
    assert (first == by_group(groups, (0.7, 0.2, 0.1), 1)).all()


@given(
    values=st.lists(st.integers(-50, 50), min_size=3, max_size=300).filter(lambda values: len(set(values)) > 2),
    shares=SHARES,
)
def test_what_comes_later_is_in_a_later_part_and_rows_of_one_time_stay_together(
    values: list[int], shares: tuple[float, float, float]
) -> None:
    times = np.array(values)
    part_of = in_order(times, shares)
    ordered = part_of[np.argsort(times, kind="stable")]
    assert (np.diff(ordered) >= 0).all()
    assert all(len(set(part_of[times == time].tolist())) == 1 for time in np.unique(times))
    assert [bool((part_of == part).any()) for part in range(3)] == [share > 0 for share in shares]


@given(rows=st.integers(10, 500), shares=SHARES, seed=SEEDS)
def test_times_that_all_differ_are_cut_where_the_shares_say(
    rows: int, shares: tuple[float, float, float], seed: int
) -> None:
    part_of = in_order(np.random.RandomState(seed).permutation(rows), shares)
    sizes = [int((part_of == part).sum()) for part in range(3)]
    assert sum(sizes) == rows
    for size, wanted in zip(sizes, _wanted(shares, rows), strict=True):
        assert abs(size - wanted) <= 2 or size == 1


def _column(method: Method, values: list[Any], kind: pa.DataType | None = None) -> Column:
    return Column(Dividing(method, "c"), pa.chunked_array([pa.array(values, kind)]), lambda row: f"row {row + 1}")


def _sorted(parts: Parts) -> list[list[int]]:
    return [sorted(index.tolist()) for index in parts.indices]


def test_a_column_of_groups_divides_whatever_its_type() -> None:
    for values in (["a", "b", "c"] * 4, [7, 8, 9] * 4, [True, False, True] * 4):
        shares = Split(train=0.5, validation=0.5, test=0)
        parts = divide(12, shares, 0, column=_column("group", values))
        held = [{values[row] for row in index.tolist()} for index in parts.indices]
        assert not held[0] & held[1]
        assert "one part" in parts.by


def test_a_column_of_times_leaves_the_latest_rows_to_the_test() -> None:
    stamps = [np.datetime64("2024-01-01") + np.timedelta64(day, "D") for day in (5, 1, 3, 2, 4, 0, 9, 8, 7, 6)]
    column = _column("time", [stamp.astype("datetime64[us]") for stamp in stamps], pa.timestamp("us"))
    parts = divide(10, Split(), 0, column=column)
    assert _sorted(parts) == [[0, 1, 2, 3, 4, 5, 9], [7, 8], [6]]
    assert parts.by == "The rows with the earliest values of the column 'c' train, those with the latest test."


def test_a_column_of_folds_may_name_the_parts() -> None:
    words = ["train", " Test", "val", "train", "TRAINING", "dev"]
    parts = divide(6, Split(), 0, column=_column("fold", words))
    assert _sorted(parts) == [[0, 3, 4], [2, 5], [1]]


def test_a_part_that_the_folds_do_not_name_is_taken_from_the_training_rows() -> None:
    words = ["train"] * 90 + ["test"] * 10
    parts = divide(100, Split(), 0, column=_column("fold", words))
    assert [len(index) for index in parts.indices] == [70, 20, 10]
    assert _sorted(parts)[2] == list(range(90, 100))


def test_folds_that_are_numbered_stay_whole_and_the_highest_test() -> None:
    folds = list(range(1, 11)) * 3
    parts = divide(30, Split(), 0, column=_column("fold", folds))
    held = [sorted({folds[row] for row in index.tolist()}) for index in parts.indices]
    assert held == [[1, 2, 3, 4, 5, 6, 7], [8, 9], [10]]


def test_a_column_divides_what_the_source_leaves_open() -> None:
    given_parts = np.array([0] * 12 + [2] * 3, dtype=np.int8)
    groups = ["a", "a", "b", "b", "c", "c"] * 2 + ["z"] * 3
    parts = divide(
        15, Split(train=0.6, validation=0.3, test=0.1), 0, given=given_parts, column=_column("group", groups)
    )
    assert _sorted(parts)[2] == [12, 13, 14]
    held = [{groups[row] for row in index.tolist()} for index in parts.indices[:2]]
    assert not held[0] & held[1]
    assert sum(map(len, held)) == 3


@pytest.mark.parametrize(
    ("method", "values", "words"),
    [
        ("group", ["a", None, "b", "c"], r"'c' is empty in 1 rows, first in row 2"),
        ("group", ["a", "a", "b", "b"], "2 groups cannot be divided into 3 parts"),
        ("time", [1, 1, 2, 2], "2 different values cannot be divided into 3 parts"),
        ("time", ["May", "June", "July"], "'c' holds string values, and a column with the role time holds times"),
        ("fold", ["train", "holdout", "x"], "'c' has the values 'holdout', 'x', but its words must be train"),
        ("fold", ["test", "val", "test"], "no row of the column 'c' is train"),
        ("fold", [0.5, 1.5, 2.5], "holds double values, and a column with the role fold holds whole numbers"),
    ],
)
def test_what_cannot_divide_is_told_with_the_column(method: Method, values: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        divide(len(values), Split(), 0, column=_column(method, values))


@pytest.mark.parametrize(
    ("columns", "method", "found"),
    [
        ({"a": {"role": "group"}}, "auto", Dividing("group", "a")),
        ({"a": {"role": "feature"}, "b": {"role": "time"}}, "auto", Dividing("time", "b")),
        ({"a": {"role": "time"}, "b": {"role": "group"}}, "group", Dividing("group", "b")),
        ({"a": {"role": "weight"}}, "auto", None),
        ({"a": {"role": "group"}}, "random", None),
        (None, "auto", None),
    ],
)
def test_the_column_that_divides_is_the_one_with_the_role(
    columns: dict[str, Any] | None, method: str, found: Dividing | None
) -> None:
    data = Data.model_validate(
        {"source": {"uri": "a.csv"}, "target": "y", "columns": columns, "split": {"method": method}}
    )
    assert dividing(data) == found
