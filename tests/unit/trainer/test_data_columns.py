"""What columns are taken for, what that rests on, what is left out, and what is refused rather than guessed."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.columns import Column as Given
from headway_trainer.data import statistics
from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.convert import known_names
from headway_trainer.data.resolve import Resolved, resolve
from headway_trainer.data.schema import Column
from headway_trainer.data.statistics import describe
from headway_trainer.errors import UserError

ROWS = 60
NUMBERS = np.random.default_rng(0).permutation(ROWS)
WORDS = ["red", "green", "blue"]
SENTENCES = [f"the {index % 7} quick foxes jump over dog {index}" for index in range(ROWS)]
DAYS = [datetime.datetime.fromisoformat("2024-01-01") + datetime.timedelta(days=7 * index) for index in range(ROWS)]


def resolved(table: dict[str, Any], columns: dict[str, Any] | None = None, targets: Sequence[str] = ()) -> Resolved:
    given_ = {name: Given.model_validate(said) for name, said in (columns or {}).items()}
    where = "row {} of data.csv".format
    return resolve(pa.table(table), given_, targets, uri="data.csv", where=lambda row: where(row + 1))


def column(name: str, values: Any, **said: Any) -> Column:
    return resolved({name: values}, {name: said} if said else None).schema.named(name)


@pytest.mark.parametrize(
    ("name", "values", "kind", "role", "why"),
    [
        ("price", NUMBERS * 3 % 40, "number", "feature", "whole numbers"),
        ("price", NUMBERS / 7, "number", "feature", "decimal numbers"),
        ("stars", NUMBERS % 5, "number", "feature", "whole numbers"),
        ("on", NUMBERS % 2 == 0, "boolean", "feature", "true and false"),
        ("colour", [WORDS[i % 3] for i in range(ROWS)], "category", "feature", "text with 3 different values"),
        ("review", SENTENCES, "text", "feature", "words in the mean"),
        ("day", DAYS, "time", "feature", "dates or times"),
        ("embedding", pa.array([[1.0, 2.0]] * ROWS, pa.list_(pa.float64(), 2)), "vector", "feature", "lists"),
        ("zip", [f"0{i % 30:04}" for i in range(ROWS)], "category", "feature", "text with 30"),
        ("ip", [f"10.0.{i % 20}.7" for i in range(ROWS)], "category", "feature", "text with 20"),
        ("version", [f"{i % 10}.2.{i % 2}" for i in range(ROWS)], "category", "feature", "text with"),
        ("size", ["1", "2", "3", "4+"] * 15, "category", "feature", "text with 4"),
        ("population", NUMBERS.astype(np.int64) ** 3 + 1000, "number", "feature", "whole numbers"),
        ("year", np.arange(1960, 1960 + ROWS), "number", "feature", "whole numbers"),
        ("store_id", NUMBERS % 9, "category", "feature", "named like an identifier"),
        ("storeId", NUMBERS % 9, "category", "feature", "named like an identifier"),
        ("", np.arange(ROWS), "id", "ignore", "number of a row"),
        ("Unnamed: 0", np.arange(ROWS), "id", "ignore", "number of a row"),
        ("unnamed: 0.1", np.arange(ROWS) % 30, "id", "ignore", "number of a row"),
        ("__index_level_0__", NUMBERS, "id", "ignore", "number of a row"),
        ("index", NUMBERS.astype(float), "id", "ignore", "number of a row"),
        ("", NUMBERS / 7, "number", "feature", "decimal numbers"),
        ("", DAYS, "time", "feature", "dates or times"),
        ("customer_id", NUMBERS * 17 + 4, "id", "ignore", "named like an identifier"),
        ("PassengerId", NUMBERS + 1, "id", "ignore", "named like an identifier"),
        ("n", np.arange(ROWS) + 100, "id", "ignore", "one after the other"),
        ("n", NUMBERS, "id", "ignore", "one after the other"),
        ("order", np.arange(ROWS) * 13 + 5, "id", "ignore", "grow from row to row"),
        ("ticket", [f"A{i:03}" for i in range(ROWS)], "id", "ignore", "names of rows"),
        ("mail", [f"a{i}@b.org" for i in range(ROWS)], "id", "ignore", "names of rows"),
        ("constant", [7] * ROWS, "number", "ignore", "one value in all rows"),
        ("constant", ["x"] * ROWS, "category", "ignore", "one value in all rows"),
        ("empty", pa.nulls(ROWS), "category", "ignore", "it is empty"),
    ],
)
def test_kind_and_role_are_guessed_with_a_reason(name: str, values: Any, kind: str, role: str, why: str) -> None:
    found = resolved({name: values})
    (one,) = found.schema.columns
    assert (one.kind, one.role) == (kind, role)
    assert why in one.why
    assert found.problems == []


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "id", "n", "a b"])
def test_what_is_left_out_as_an_identifier_is_a_warning_that_says_how_to_keep_it(name: str) -> None:
    (warning,) = resolved({name: np.arange(ROWS)}).warnings
    assert "was left out" in warning
    key = name if name == "id" else f'"{name}"'
    assert f"data.columns: {{{key}: {{kind: number}}}}" in warning
    kept = column(name, np.arange(ROWS), kind="number")
    assert (kept.kind, kept.role, kept.why) == ("number", "feature", "given")


def test_few_rows_say_nothing_about_identifiers() -> None:
    assert column("x", [1, 2, 3]).role == "feature"
    assert column("t", ["a", "b", "c"]).kind == "category"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            ["?" if i % 7 == 0 else f"{i / 8}" for i in range(ROWS)],
            ["numbers, but '?' in row 1 of data.csv", 'nullValues: ["?"]'],
        ),
        (["-" if i % 3 == 0 else f"{i / 8}" for i in range(ROWS)], ["numbers, but '-' in row 1", "kind: category"]),
        (["V45" if i % 30 == 4 else f"{i}" for i in range(ROWS)], ["numbers, but 'V45' in row 5", "kind: category"]),
        ([f"{i * 997:,}.50" for i in range(ROWS)], ['thousands: ",", decimal: "."']),
        ([f"{i * 997:,},50".replace(",", ".", 1).replace(".", ".") for i in range(10, ROWS)], ["decimal"]),
        ([f"{i},{i % 10}" for i in range(ROWS)], ['decimal: ","']),
        ([f"${i}.25" for i in range(ROWS)], ["not written plainly", "1234.5"]),
        ([f"{i}.25 €" for i in range(ROWS)], ["not written plainly"]),
        ([f"{i}%" for i in range(ROWS)], ["not written plainly"]),
        ([f"\u2212{i}.5" for i in range(ROWS)], ["not written plainly"]),
        ([f"{i % 28 + 1:02}/0{i % 9 + 1}/2024" for i in range(ROWS)], ["dates", "dateFormat"]),
        (
            ["unknown" if i == 5 else f"2024-01-{i % 28 + 1:02}" for i in range(ROWS)],
            ["dates, but 'unknown' in row 6", 'nullValues: ["unknown"]'],
        ),
        ([str(i * 3) for i in range(ROWS)], ["all numbers", "kind: number"]),
    ],
)
def test_text_that_seems_to_be_numbers_or_dates_is_a_problem_that_says_what_to_write(
    values: list[str], told: list[str]
) -> None:
    found = resolved({"x": values})
    (problem,) = found.problems
    assert all(words in problem for words in told), problem
    assert "data.read" in problem or "data.columns" in problem or "in the data" in problem
    with pytest.raises(UserError, match="column 'x'"):
        found.check()
    assert resolved({"x": values}, {"x": {"kind": "category"}}).problems == []
    assert resolved({"x": values}, {"x": {"role": "ignore"}}).problems == []


def test_an_error_names_a_few_problems_and_counts_the_others() -> None:
    values = [f"${i}" for i in range(ROWS)]
    with pytest.raises(UserError, match="and 3 more columns have such problems"):
        resolved({f"x{index}": values for index in range(8)}).check()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "+2.5", "-.5", None], "number", [1.0, 2.5, -0.5, None]),
        ([True, False, None], "number", [1, 0, None]),
        (["yes", "No", "T", "0"], "boolean", [True, False, True, False]),
        ([1, 0, None], "boolean", [True, False, None]),
        ([1234, 7, None], "category", ["1234", "7", None]),
        ([1.0, 2.0, None], "category", ["1", "2", None]),
        ([0.5, 2.0], "category", ["0.5", "2"]),
        ([True, False], "category", ["true", "false"]),
        (["2024-01-31", "2024-01-31 12:30:00"], "time", None),
        (["2024-01-31T00:00:00Z", "2024-01-31T01:00:00+01:00"], "time", None),
    ],
)
def test_a_column_becomes_what_it_is_said_to_be(values: list[Any], kind: str, expected: list[Any] | None) -> None:
    found = resolved({"x": values}, {"x": {"kind": kind}})
    assert found.schema.named("x").why == "given"
    if expected is not None:
        assert found.table["x"].to_pylist() == expected
    else:
        assert {time.date() for time in found.table["x"].to_pylist()} == {datetime.date(2024, 1, 31)}


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (["1", "two"], "number", "kind number, but is 'two' in row 2 of data.csv"),
        (["yes", "perhaps"], "boolean", "kind boolean, but is 'perhaps' in row 2"),
        ([1, 2], "time", "kind time, but is '1' in row 1"),
        (["2024-01-31", "31.1.2024"], "time", "'31.1.2024' in row 2"),
        ([1, 2], "vector", "single values, so it is no vector"),
        ([1, 2], "image", "which only arrays of npz files have"),
    ],
)
def test_what_cannot_be_the_kind_that_is_said_is_refused_with_its_row(values: list[Any], kind: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolved({"x": values}, {"x": {"kind": kind}})


def test_roles_that_are_given_are_kept_and_nothing_is_guessed_of_them() -> None:
    table = {"patient": np.arange(ROWS), "w": NUMBERS / 60, "when": DAYS, "fold": NUMBERS % 3, "x": NUMBERS % 7}
    roles = {"patient": "group", "w": "weight", "when": "time", "fold": "fold"}
    found = resolved(table, {name: {"role": role} for name, role in roles.items()}, ["x"])
    assert {one.name: one.role for one in found.schema.columns} == {**roles, "x": "target"}
    assert found.warnings == []


def test_a_role_feature_keeps_what_would_be_taken_for_an_identifier() -> None:
    assert column("id", np.arange(ROWS), role="feature").kind == "number"
    assert column("code", [f"A{i}" for i in range(ROWS)], role="feature").kind == "text"


@pytest.mark.parametrize(
    ("columns", "targets", "told"),
    [
        ({"prise": {"kind": "number"}}, [], "data.columns: data.csv has no column 'prise'.*did you mean 'price'"),
        ({}, ["prise"], "data.target: data.csv has no column 'prise'"),
    ],
)
def test_a_name_that_is_no_column_is_refused_with_the_nearest_one(
    columns: dict[str, Any], targets: list[str], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        resolved({"price": [1, 2], "y": [0, 1]}, columns, targets)


CELLS = {
    "whole": st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=1, max_size=30),
    "decimal": st.lists(st.none() | st.floats(-1e9, 1e9), min_size=1, max_size=30),
    "text": st.lists(st.none() | st.sampled_from(["a", "b", "c", "a b", "Ä"]), min_size=1, max_size=30),
}


@given(CELLS["whole"] | CELLS["decimal"])
def test_the_figures_of_numbers_are_those_of_pandas(values: list[Any]) -> None:
    whole = all(value is None or isinstance(value, int) for value in values)
    stats = describe(pa.chunked_array([values], pa.int64() if whole else pa.float64()))
    series = pd.Series(values, dtype="float64")
    assert (stats.rows, stats.missing) == (len(series), int(series.isna().sum()))
    assert stats.distinct == series.nunique()
    if stats.known:
        assert (stats.min, stats.max) == (series.min(), series.max())
        assert stats.mean == pytest.approx(series.mean(), abs=1e-6, rel=1e-9)


@given(st.lists(st.none() | st.sampled_from([0.0, -0.0, 1.5]) | st.floats(allow_nan=False), min_size=1))
def test_different_numbers_of_many_rows_are_counted_as_those_of_few(values: list[Any]) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64()), pa.array([2.5])])
    few = describe(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_FEW_ROWS", 0)
        assert describe(column) == few


@given(CELLS["text"])
def test_the_figures_of_text_are_those_of_pandas(values: list[Any]) -> None:
    stats = describe(pa.chunked_array([values], pa.string()))
    counts = pd.Series(values, dtype="object").value_counts()
    assert stats.distinct == len(counts)
    assert {one.value: one.rows for one in stats.top} == counts.to_dict()
    assert [one.rows for one in stats.top] == sorted(counts, reverse=True)


@given(st.permutations(["", "id", "price", "colour", "review", "day", "odd", "y"]))
def test_the_order_of_columns_changes_nothing_of_what_is_known_of_them(order: list[str]) -> None:
    table = {
        "": np.arange(ROWS),
        "id": NUMBERS,
        "price": NUMBERS / 7,
        "colour": [WORDS[i % 3] for i in range(ROWS)],
        "review": SENTENCES,
        "day": DAYS,
        "odd": [f"${i}" for i in range(ROWS)],
        "y": NUMBERS % 2,
    }
    first, other = (resolved({name: table[name] for name in names}, {}, ["y"]) for names in (list(table), order))
    assert {one.name: one for one in first.schema.columns} == {one.name: one for one in other.schema.columns}
    assert sorted(first.warnings) == sorted(other.warnings)
    assert first.problems == other.problems


def test_the_most_frequent_values_are_kept_and_long_ones_are_cut() -> None:
    values = ["x" * 500] * 3 + ["b"] * 2 + [f"v{index}" for index in range(1000)]
    stats = describe(pa.chunked_array([values]))
    assert [one.rows for one in stats.top] == [3, 2]
    assert len(stats.top[0].value) == 60


def test_a_column_that_is_ignored_need_not_have_been_read_and_is_shown_all_the_same() -> None:
    found = resolved({"x": NUMBERS / 7}, {"secret": {"role": "ignore"}})
    assert found.schema.named("secret").why == "given, so it was not read"
    assert found.table.column_names == ["x"]


def test_what_a_file_declares_a_category_is_one_and_how_values_were_written_is_told() -> None:
    facts = {"k": ColumnFacts(category=True), "n": ColumnFacts(written="numbers with ',' between thousands")}
    table = pa.table({"k": NUMBERS, "n": NUMBERS / 7})
    found = resolve(table, {}, [], uri="data.csv", where=str, facts=facts)
    assert found.schema.named("k").kind == "category"
    assert found.table["k"].type == pa.string()
    assert found.schema.named("n").why == "decimal numbers, read as numbers with ',' between thousands"


def test_a_new_row_may_write_a_whole_number_that_names_something_with_a_decimal_point() -> None:
    values = pa.chunked_array([["7.0", "7", "8.0", "-1.00", "2.5", None]])
    assert known_names(values, ["7", "-1", "2.5"]).to_pylist() == ["7", "7", "8.0", "-1", "2.5", None]
    assert known_names(values, ["7.0", "7"]).to_pylist()[0] == "7.0"
