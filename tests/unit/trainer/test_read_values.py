"""Values as people write them: each is read right, or stays the text that it is; none wrongly in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from awkward_files import day, read_table, write_file
from headway_trainer.errors import UserError


@pytest.mark.parametrize(
    ("cells", "expected", "told"),
    [
        (["1,234.5", "2,000", "12.25"], [1234.5, 2000.0, 12.25], "',' between thousands"),
        (["1.234,5", "2.000,25", "12,5"], [1234.5, 2000.25, 12.5], "'.' between thousands, a decimal comma"),
        (["1,5", "-2,25", "3"], [1.5, -2.25, 3.0], "a decimal comma"),
        (["1'234", "12'345.5", "7"], [1234.0, 12345.5, 7.0], "an apostrophe between thousands"),
        (["1 234", "12 345,5", "7"], [1234.0, 12345.5, 7.0], "blanks between thousands, a decimal comma"),
        (["1\u00a0234,5", "1\u202f000,0"], [1234.5, 1000.0], "blanks between thousands"),
        (["1,234,567", "2,345,678"], [1234567, 2345678], "',' between thousands"),
        (["$12.50", "$1,000.00", "-$3.25"], [12.5, 1000.0, -3.25], "the currency $"),
        (["12,50 €", "1.000,00 €"], [12.5, 1000.0], "the currency €"),
        (["USD 5", "USD 17"], [5, 17], "the currency USD"),
        (["(1,234.00)", "5.00"], [-1234.0, 5.0], "minus as brackets"),
        (["12%", "3%", "40 %"], [12, 3, 40], "per cent, of which 12% is read as 12"),
        (["\u22125.5", "3.25"], [-5.5, 3.25], "a typographic minus"),
        (["+1", "-1", "+1"], [1, -1, 1], "a plus sign"),
    ],
)
def test_numbers_as_people_write_them_are_numbers_and_said(
    cells: list[str], expected: list[float], told: str, tmp_path: Path
) -> None:
    rows = "".join(f'"{cell}",{index % 2}\n' for index, cell in enumerate(cells))
    content = read_table(write_file(tmp_path, f"a,y\n{rows}"))
    assert content.table["a"].to_pylist() == expected
    assert told in content.facts["a"].written
    assert any(told in warning and "'a'" in warning for warning in content.warnings)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["1,234", "5,678"], "the comma may be a decimal one, or stand between thousands"),
        (["$5", "7 €"], "two currencies"),
        (["5%", "7"], "per cent, or not"),
        (["1.2.3", "2.0.1"], "versions"),
        (["10.0.0.1", "10.0.0.12"], "addresses"),
        (["555-1234", "555-9876"], "telephone numbers"),
        (["0123", "0456", "7890"], "codes with leading zeros"),
        (["00", "01", "12"], "codes of two digits"),
        (["007.5", "001.25"], "codes with a point"),
        (["V45", "250.1", "251"], "codes"),
        (["1_000", "2_000"], "underscores, which are no common sign between thousands"),
        (["0x1F", "0x2A"], "hexadecimal"),
        (["1/2", "3/4"], "fractions"),
        (["03/04/2024", "05/06/2024"], "day and month may be either way round"),
        (["03-04-2024", "05-06-2024"], "day and month may be either way round"),
        (["31/02/2024", "01/03/2024"], "no day of the calendar"),
        (["13/13/2024", "14/14/2024"], "no month of the calendar"),
        (["2024-01-01", "unknown"], "dates, and a word"),
        (["2024-01-01", "2024-01-02T00:00Z"], "with a time zone, and without"),
        (["01/02/21", "13/02/21"], "which of the three is the year is uncertain"),
        (["yes", "no"], "words"),
        (["TRUE", "maybe"], "true, and a word"),
        (["12345678901234567890", "12345678901234567891"], "too many digits for a number"),
        (["1e5x", "2e5x"], "units"),
    ],
)
def test_what_is_not_certainly_a_number_or_a_time_stays_the_text_that_it_is(
    cells: list[str], why: str, tmp_path: Path
) -> None:
    rows = "".join(f'"{cell}",{index % 2}\n' for index, cell in enumerate(cells))
    content = read_table(write_file(tmp_path, f"a,y\n{rows}"))
    assert content.table["a"].to_pylist() == cells, why


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-03-04", "2024-03-05"], [day(2024, 3, 4), day(2024, 3, 5)]),
        (["2024-03-04 05:06", "2024-03-05 00:00"], [day(2024, 3, 4, 5, 6), day(2024, 3, 5)]),
        (["2024-03-04T05:06:00Z", "2024-03-05T00:00:00Z"], [day(2024, 3, 4, 5, 6), day(2024, 3, 5)]),
        (["2024-03-04 05:06:00+02:00", "2024-07-05 00:00:00+02:00"], [day(2024, 3, 4, 3, 6), day(2024, 7, 4, 22)]),
        (["13/04/2024", "05/06/2024"], [day(2024, 4, 13), day(2024, 6, 5)]),
        (["04/13/2024", "06/05/2024"], [day(2024, 4, 13), day(2024, 6, 5)]),
        (["3.4.2024", "5.6.2024"], [day(2024, 4, 3), day(2024, 6, 5)]),
        (["13-04-2024 5:06", "05-06-2024 10:00"], [day(2024, 4, 13, 5, 6), day(2024, 6, 5, 10)]),
        (["2024/3/4", "2024/12/25"], [day(2024, 3, 4), day(2024, 12, 25)]),
        (["2024-03", "2024-12"], [day(2024, 3, 1), day(2024, 12, 1)]),
        (["4 Mar 2024", "25 Dec 2024"], [day(2024, 3, 4), day(2024, 12, 25)]),
        (["March 4, 2024", "December 25, 2024"], [day(2024, 3, 4), day(2024, 12, 25)]),
        (["05:06", "23:59:30"], [18360.0, 86370.0]),
    ],
)
def test_dates_and_times_whose_meaning_is_certain_are_times(
    cells: list[str], expected: list[Any], tmp_path: Path
) -> None:
    rows = "".join(f'"{cell}",{index % 2}\n' for index, cell in enumerate([*cells, ""]))
    content = read_table(write_file(tmp_path, f"a,y\n{rows}"))
    assert content.table["a"].to_pylist() == [*expected, None]


@pytest.mark.parametrize(
    ("read", "cells", "expected"),
    [
        ({"decimal": ","}, ["1,234", "5,678"], [1.234, 5.678]),
        ({"thousands": ","}, ["1,234", "5,678"], [1234, 5678]),
        ({"thousands": "."}, ["1.234", "5.678"], [1234, 5678]),
        ({"decimal": ",", "thousands": "."}, ["1.234,5", "5,5"], [1234.5, 5.5]),
        ({"thousands": "_"}, ["1_234", "5"], [1234, 5]),
        ({"nullValues": ["?"]}, ["1", "?", "3"], [1, None, 3]),
        ({"nullValues": ["-99"]}, ["1", "-99", "3"], [1, None, 3]),
        ({"nullValues": []}, ["NA", "EU", "NA"], ["NA", "EU", "NA"]),
        ({"dateFormat": "%d/%m/%Y"}, ["03/04/2024", "05/06/2024"], [day(2024, 4, 3), day(2024, 6, 5)]),
        ({"dateFormat": "%m/%d/%Y"}, ["03/04/2024", "05/06/2024"], [day(2024, 3, 4), day(2024, 5, 6)]),
        ({"dateFormat": "%Y%m%d"}, ["20240304", "20241225"], [day(2024, 3, 4), day(2024, 12, 25)]),
        ({"dateFormat": "%d%b%y"}, ["04MAR24", "25DEC24"], [day(2024, 3, 4), day(2024, 12, 25)]),
        ({"dateFormat": "%d/%m/%Y"}, ["2024-03-04", "2024-12-25"], [day(2024, 3, 4), day(2024, 12, 25)]),
    ],
)
def test_what_the_job_says_of_reading_is_done(
    read: dict[str, Any], cells: list[str], expected: list[Any], tmp_path: Path
) -> None:
    quote = "" if "nullValues" in read else '"'
    rows = "".join(f"{quote}{cell}{quote},{index % 2}\n" for index, cell in enumerate(cells))
    content = read_table(write_file(tmp_path, f"a,y\n{rows}"), read=read)
    assert content.table["a"].to_pylist() == expected


def test_minus_ninety_nine_is_a_number_unless_the_job_says_otherwise(tmp_path: Path) -> None:
    assert read_table(write_file(tmp_path, "a,y\n1,0\n-99,1\n")).table["a"].to_pylist() == [1, -99]


# Empty values.


def test_na_in_quotes_is_text_and_without_quotes_an_empty_value_that_is_said(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, 'a,y\n"NA",0\nNA,1\nEU,0\n"",1\nNA,0\n'))
    assert content.table["a"].to_pylist() == ["NA", None, "EU", None, None]
    assert (content.facts["a"].empty_words, content.facts["a"].quoted_words) == (2, 1)
    (warning,) = content.warnings
    assert "'a': NA without quotes, in 2 rows, was taken as an empty value" in warning
    assert "data.read.nullValues: [] keeps it as text" in warning


def test_na_among_numbers_is_an_empty_value_in_quotes_too(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, 'a,b,y\n"1","NA",0\n"",NA,1\n"3","2.5",0\n'))
    assert content.table["a"].to_pylist() == [1, None, 3]
    assert content.table["b"].to_pylist() == [None, None, 2.5]
    assert content.warnings == []


def test_nan_is_an_empty_value_and_leaves_whole_numbers_whole(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, "a,y\n1,0\nNaN,1\n3,0\n"))
    assert content.table["a"].to_pylist() == [1, None, 3]


# Whole numbers that floats cannot hold.


def test_whole_numbers_beyond_64_bits_stay_text_and_those_beyond_floats_are_said(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, f"big,large,y\n{10**20},{2**60 + 1},0\n{10**20 + 1},5,1\n"))
    assert content.table["big"].to_pylist() == [str(10**20), str(10**20 + 1)]
    assert content.table["large"].to_pylist() == [2**60 + 1, 5]
    assert (content.facts["big"].inexact, content.facts["large"].inexact) == (2, 1)
    assert any("'big' stayed text" in warning for warning in content.warnings)
    assert any("'large' has 1 whole numbers beyond 2^53" in warning for warning in content.warnings)


def test_large_whole_numbers_of_json_are_said_to_be_rounded(tmp_path: Path) -> None:
    path = write_file(tmp_path, "".join(json.dumps({"a": 2**70 + i, "y": i}) + "\n" for i in range(4)), "data.jsonl")
    assert read_table(path).facts["a"].inexact == 4


# What the job says of a column.


def test_a_column_that_is_given_as_text_is_left_as_it_stands(tmp_path: Path) -> None:
    path = write_file(tmp_path, 'a,y\n"1,234.50",0\n007,1\n')
    content = read_table(path, columns={"a": {"kind": "category"}})
    assert content.table["a"].to_pylist() == ["1,234.50", "007"]


def test_codes_are_numbers_where_the_job_says_so(tmp_path: Path) -> None:
    path = write_file(tmp_path, "a,y\n007,0\n012,1\n")
    assert read_table(path, columns={"a": {"kind": "number"}}).table["a"].to_pylist() == [7, 12]


def test_the_number_of_a_row_is_told_by_its_name(tmp_path: Path) -> None:
    path = write_file(tmp_path, ",Unnamed: 0,a,y\n0,0,5,0\n1,1,6,1\n")
    content = read_table(path)
    assert {name for name, facts in content.facts.items() if facts.row_index} == {"", "Unnamed: 0"}


def test_points_beside_decimal_commas_are_decimal_points_only_where_that_is_certain(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, 'a,b,y\n"1,5",0.125,0\n"2,25",1.5,1\n'))
    assert content.table["b"].to_pylist() == [0.125, 1.5]
    with pytest.raises(UserError, match=r"points in column 'b' may be decimal points or stand between thousands"):
        read_table(write_file(tmp_path, 'a,b,y\n"1,5",1.125,0\n"2,25",2.500,1\n'))
