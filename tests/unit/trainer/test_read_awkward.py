"""Awkward files: each is read right, or refused with a sentence that says what to write; none wrongly in silence."""

from __future__ import annotations

import gzip
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from headway_api.data import Data
from headway_trainer.data.content import TableContent
from headway_trainer.data.read.quotes import QuoteScan
from headway_trainer.data.sources import load
from headway_trainer.errors import UserError


def _load(path: Path, **fields: Any) -> TableContent:
    spec = Data.model_validate({"source": {"uri": str(path)}, "target": "y", **fields})
    content = load(spec, volume_dir="/none", secret_dir="/none")  # noqa: S106 - a folder
    assert isinstance(content, TableContent)
    return content


def _write(tmp_path: Path, data: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def _day(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - as the table has them: in UTC, without a zone


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
    content = _load(_write(tmp_path, f"a,y\n{rows}"))
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
    content = _load(_write(tmp_path, f"a,y\n{rows}"))
    assert content.table["a"].to_pylist() == cells, why


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-03-04", "2024-03-05"], [_day(2024, 3, 4), _day(2024, 3, 5)]),
        (["2024-03-04 05:06", "2024-03-05 00:00"], [_day(2024, 3, 4, 5, 6), _day(2024, 3, 5)]),
        (["2024-03-04T05:06:00Z", "2024-03-05T00:00:00Z"], [_day(2024, 3, 4, 5, 6), _day(2024, 3, 5)]),
        (["2024-03-04 05:06:00+02:00", "2024-07-05 00:00:00+02:00"], [_day(2024, 3, 4, 3, 6), _day(2024, 7, 4, 22)]),
        (["13/04/2024", "05/06/2024"], [_day(2024, 4, 13), _day(2024, 6, 5)]),
        (["04/13/2024", "06/05/2024"], [_day(2024, 4, 13), _day(2024, 6, 5)]),
        (["3.4.2024", "5.6.2024"], [_day(2024, 4, 3), _day(2024, 6, 5)]),
        (["13-04-2024 5:06", "05-06-2024 10:00"], [_day(2024, 4, 13, 5, 6), _day(2024, 6, 5, 10)]),
        (["2024/3/4", "2024/12/25"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
        (["2024-03", "2024-12"], [_day(2024, 3, 1), _day(2024, 12, 1)]),
        (["4 Mar 2024", "25 Dec 2024"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
        (["March 4, 2024", "December 25, 2024"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
        (["05:06", "23:59:30"], [18360.0, 86370.0]),
    ],
)
def test_dates_and_times_whose_meaning_is_certain_are_times(
    cells: list[str], expected: list[Any], tmp_path: Path
) -> None:
    rows = "".join(f'"{cell}",{index % 2}\n' for index, cell in enumerate([*cells, ""]))
    content = _load(_write(tmp_path, f"a,y\n{rows}"))
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
        ({"dateFormat": "%d/%m/%Y"}, ["03/04/2024", "05/06/2024"], [_day(2024, 4, 3), _day(2024, 6, 5)]),
        ({"dateFormat": "%m/%d/%Y"}, ["03/04/2024", "05/06/2024"], [_day(2024, 3, 4), _day(2024, 5, 6)]),
        ({"dateFormat": "%Y%m%d"}, ["20240304", "20241225"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
        ({"dateFormat": "%d%b%y"}, ["04MAR24", "25DEC24"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
        ({"dateFormat": "%d/%m/%Y"}, ["2024-03-04", "2024-12-25"], [_day(2024, 3, 4), _day(2024, 12, 25)]),
    ],
)
def test_what_the_job_says_of_reading_is_done(
    read: dict[str, Any], cells: list[str], expected: list[Any], tmp_path: Path
) -> None:
    quote = "" if "nullValues" in read else '"'
    rows = "".join(f"{quote}{cell}{quote},{index % 2}\n" for index, cell in enumerate(cells))
    content = _load(_write(tmp_path, f"a,y\n{rows}"), read=read)
    assert content.table["a"].to_pylist() == expected


def test_minus_ninety_nine_is_a_number_unless_the_job_says_otherwise(tmp_path: Path) -> None:
    assert _load(_write(tmp_path, "a,y\n1,0\n-99,1\n")).table["a"].to_pylist() == [1, -99]


ROWS = "a,b,y\n1,x,0\n2,ü,1\n"


@pytest.mark.parametrize(
    ("data", "dialect"),
    [
        (ROWS, "utf-8, values between ','"),
        (ROWS.replace(",", ";"), "values between ';'"),
        (ROWS.replace(",", "\t"), "values between tabs"),
        (ROWS.replace(",", "|"), "values between '|'"),
        ("\ufeff" + ROWS, "utf-8"),
        (ROWS.encode("utf-16"), "utf-16"),
        (ROWS.encode("utf-16-le"), "utf-16"),
        (ROWS.encode("utf-16-be"), "utf-16"),
        (ROWS.encode("utf-32"), "utf-32"),
        (ROWS.replace("\n", "\r\n"), "utf-8"),
        (ROWS.replace("\n", "\r"), "utf-8"),
        (ROWS.rstrip("\n"), "utf-8"),
        ("\n\n" + ROWS.replace("\n2", "\n\n2") + "\n\n", "utf-8"),
        ("# made by a tool\n# in 2024\n" + ROWS, "utf-8"),
        ("sep=;\n" + ROWS.replace(",", ";"), "values between ';'"),
        ('"a","b","y"\n"1","x","0"\n"2","ü","1"\n', "utf-8"),
        ("a,b,y,\n1,x,0,\n2,ü,1,\n", "utf-8"),
        ("a,b,y,,\n1,x,0,,\n2,ü,1,,\n", "utf-8"),
        (" a , b , y \n 1 , x , 0 \n 2 , ü , 1 \n", "utf-8"),
    ],
)
def test_how_a_file_is_written_is_told_from_it_and_said(data: str | bytes, dialect: str, tmp_path: Path) -> None:
    content = _load(_write(tmp_path, data))
    assert content.table.to_pylist() == [{"a": 1, "b": "x", "y": 0}, {"a": 2, "b": "ü", "y": 1}]
    assert dialect in content.read.dialect
    assert content.read.rows == 2


@pytest.mark.parametrize(
    ("read", "data"),
    [
        ({"encoding": "windows-1252"}, ROWS.encode("cp1252")),
        ({"encoding": "utf-16"}, ROWS.encode("utf-16-le")),
        ({"encoding": "utf-8"}, ROWS.encode("utf-8-sig")),
        ({"delimiter": ":"}, ROWS.replace(",", ":").encode()),
        ({"delimiter": " "}, ROWS.replace(",", " ").encode()),
        ({"quote": "'"}, b"a,b,y\n1,'x',0\n2,'\xc3\xbc',1\n"),
        ({"comment": "%"}, b"% one\na,b,y\n1,x,0\n% two\n2,\xc3\xbc,1\n"),
        ({"header": True}, ROWS.encode()),
    ],
)
def test_how_a_file_is_written_can_be_given(read: dict[str, Any], data: bytes, tmp_path: Path) -> None:
    content = _load(_write(tmp_path, data), read=read)
    assert content.table.to_pylist() == [{"a": 1, "b": "x", "y": 0}, {"a": 2, "b": "ü", "y": 1}]


def test_a_file_without_a_header_is_read_where_the_job_says_so(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, "0.5,red,1\n0.7,blue,0\n"), read={"header": False}, target="column3")
    assert content.table.to_pylist()[0] == {"column1": 0.5, "column2": "red", "column3": 1}
    assert "no header" in content.read.dialect


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("0.126,red,a\n-0.3,blue,b\n", r"seems to have no header: '0\.126' in its first line looks like a value"),
        ("red,a\nblue,b\nred,a\nblue,a\n", "seems to have no header: 'red' in its first line looks like a value"),
        ("1,2.5\n3,4\n", "seems to have no header.*set data.read.header to false if it is a row"),
        ("a,a,y\n1,2,0\n", "two columns 'a'"),
        (",,y\n1,2,0\n", "2 columns without a name"),
        ("a;b,c\n1;2,3\n4;5,6\n", "both ',' and ';' may stand between its values: set data.read.delimiter"),
        ("a:y\n1:2\n", "has the one column 'a:y'.*data.read.delimiter"),
        ("a,y\nZ\xfcrich,1\n".encode("latin-1"), "line 2 has the bytes fc 72 69 63: set data.read.encoding"),
        (b"\x1f\x8b\x08\x00abc", "file of the format gzip"),
        (b"PK\x03\x04abc", "as Excel files are"),
        ('a,y\n"He said \\"hi\\" twice",1\n', "line 2 has a quote after a backslash"),
        ('a,y\n"never closed,1\n2,0\n3,1\n', "the quote that opens in line 2 is never closed"),
        ("a,y\n1,0\n2\n", "Expected 2 columns, got 1"),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_files_that_can_be_meant_in_two_ways_are_refused_with_what_to_write(
    data: str | bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        _load(_write(tmp_path, data))


def test_years_may_name_columns(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, "country,2019,2020,y\nDE,5,6,0\nFR,7,8,1\n"))
    assert content.table.column_names == ["country", "2019", "2020", "y"]


# Empty values.


def test_na_in_quotes_is_text_and_without_quotes_an_empty_value_that_is_said(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, 'a,y\n"NA",0\nNA,1\nEU,0\n"",1\nNA,0\n'))
    assert content.table["a"].to_pylist() == ["NA", None, "EU", None, None]
    assert (content.facts["a"].empty_words, content.facts["a"].quoted_words) == (2, 1)
    (warning,) = content.warnings
    assert "'a': NA without quotes, in 2 rows, was taken as an empty value" in warning
    assert "data.read.nullValues: [] keeps it as text" in warning


def test_na_among_numbers_is_an_empty_value_in_quotes_too(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, 'a,b,y\n"1","NA",0\n"",NA,1\n"3","2.5",0\n'))
    assert content.table["a"].to_pylist() == [1, None, 3]
    assert content.table["b"].to_pylist() == [None, None, 2.5]
    assert content.warnings == []


def test_nan_is_an_empty_value_and_leaves_whole_numbers_whole(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, "a,y\n1,0\nNaN,1\n3,0\n"))
    assert content.table["a"].to_pylist() == [1, None, 3]


# Whole numbers that floats cannot hold.


def test_whole_numbers_beyond_64_bits_stay_text_and_those_beyond_floats_are_said(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, f"big,large,y\n{10**20},{2**60 + 1},0\n{10**20 + 1},5,1\n"))
    assert content.table["big"].to_pylist() == [str(10**20), str(10**20 + 1)]
    assert content.table["large"].to_pylist() == [2**60 + 1, 5]
    assert (content.facts["big"].inexact, content.facts["large"].inexact) == (2, 1)
    assert any("'big' stayed text" in warning for warning in content.warnings)
    assert any("'large' has 1 whole numbers beyond 2^53" in warning for warning in content.warnings)


def test_large_whole_numbers_of_json_are_said_to_be_rounded(tmp_path: Path) -> None:
    path = _write(tmp_path, "".join(json.dumps({"a": 2**70 + i, "y": i}) + "\n" for i in range(4)), "data.jsonl")
    assert _load(path).facts["a"].inexact == 4


# What the job says of a column.


def test_a_column_that_is_given_as_text_is_left_as_it_stands(tmp_path: Path) -> None:
    path = _write(tmp_path, 'a,y\n"1,234.50",0\n007,1\n')
    content = _load(path, columns={"a": {"kind": "category"}})
    assert content.table["a"].to_pylist() == ["1,234.50", "007"]


def test_codes_are_numbers_where_the_job_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path, "a,y\n007,0\n012,1\n")
    assert _load(path, columns={"a": {"kind": "number"}}).table["a"].to_pylist() == [7, 12]


def test_the_number_of_a_row_is_told_by_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path, ",Unnamed: 0,a,y\n0,0,5,0\n1,1,6,1\n")
    content = _load(path)
    assert {name for name, facts in content.facts.items() if facts.row_index} == {"", "Unnamed: 0"}


# Quotes.


def test_one_stray_quote_does_not_swallow_rows(tmp_path: Path) -> None:
    rows = [f"{['pipe', 'valve', 'joint'][i % 3]},{i},{'ab'[i % 2]}\n" for i in range(1000)]
    rows[100] = '"5 inch pipe,100,a\n'
    rows[900] = '"5 inch pipe,900,a\n'
    message = r"the quote that opens in line 102 closes only in line 902 and swallows the rows between"
    with pytest.raises(UserError, match=message):
        _load(_write(tmp_path, "item,x,y\n" + "".join(rows)))


def test_a_stray_pair_of_quotes_does_not_swallow_rows_though_it_is_well_formed(tmp_path: Path) -> None:
    rows = [f"pipe,{i},{i % 2}\n" for i in range(20)]
    rows[3], rows[9] = '"pipe,3,1\n', 'pipe",9,1\n'
    path = _write(tmp_path, "item,x,y\n" + "".join(rows))
    with pytest.raises(UserError, match=r"opens in line 5 closes only in line 11.*set data\.read\.quote"):
        _load(path)
    assert len(_load(path, read={"quote": '"'}).table) == 14


def test_values_over_several_lines_are_values_and_counted(tmp_path: Path) -> None:
    path = _write(tmp_path, 'a,b,y\n"one, two\nthree\nfour, five",1,0\n"a ""quoted"" word\n",2,1\n\n5" pipe,3,0\n')
    content = _load(path)
    assert content.table["a"].to_pylist() == ["one, two\nthree\nfour, five", 'a "quoted" word', '5" pipe']
    assert (content.read.lines, content.read.rows, content.read.breaks, content.read.blank) == (8, 3, 3, 1)


def test_a_value_longer_than_a_block_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path, f"a,y\n{'x' * 9_000_000},0\nshort,1\n")
    assert [len(value) for value in _load(path).table["a"].to_pylist()] == [9_000_000, 5]


# Several files and parts.


def test_files_of_different_numbers_of_types_agree_over_all_rows(tmp_path: Path) -> None:
    _write(tmp_path, "a,b,y\n1,1,0\n", "1.csv")
    _write(tmp_path, "b,y,a\nx,1,2.5\n", "2.csv")
    content = _load(tmp_path)
    assert content.table.to_pylist() == [{"a": 1.0, "b": "1", "y": 0}, {"a": 2.5, "b": "x", "y": 1}]


def test_a_file_that_is_there_twice_is_said(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv", "3.csv"):
        _write(tmp_path, "a,y\n1,0\n" if name != "3.csv" else "a,y\n2,0\n", name)
    content = _load(tmp_path)
    assert content.read.same_files == 1
    (warning,) = content.warnings
    assert "2.csv equals" in warning
    assert "1.csv byte for byte" in warning


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train.csv", "test.csv"], [2, 0]),
        (["train/a.csv", "valid/a.csv", "test/a.csv"], [2, 0, 1]),
        (["train-00000-of-00002.csv", "train-00001-of-00002.csv", "validation-00000-of-00001.csv"], [0, 0, 1]),
        (["Train.csv", "Val.csv"], [0, 1]),
    ],
)
def test_files_that_are_named_as_parts_are_parts(names: list[str], parts: list[int], tmp_path: Path) -> None:
    for index, name in enumerate(names):
        _write(tmp_path, f"a,y\n{index},0\n", name)
    content = _load(tmp_path)
    assert content.parts is not None
    assert content.parts.tolist() == parts


@pytest.mark.parametrize(
    "names", [["a.csv", "b.csv"], ["train.csv"], ["train.csv", "extra.csv"], ["test.csv", "b.csv"]]
)
def test_other_files_are_no_parts(names: list[str], tmp_path: Path) -> None:
    for index, name in enumerate(names):
        _write(tmp_path, f"a,y\n{index},0\n", name)
    assert _load(tmp_path).parts is None


def test_parts_beside_other_files_are_uncertain(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv", "more.csv"):
        _write(tmp_path, "a,y\n1,0\n", name)
    with pytest.raises(UserError, match="test and train, which look like parts, beside 'more'"):
        _load(tmp_path)


def test_parts_are_given_as_files(tmp_path: Path) -> None:
    _write(tmp_path, "a,y\n1,0\n2,1\n", "one.csv")
    _write(tmp_path, "a,y\n3.5,0\n", "two.csv")
    source = {"parts": {"train": str(tmp_path / "one.csv"), "test": str(tmp_path / "two.csv")}}
    content = _load(tmp_path, source=source)
    assert content.parts is not None
    assert content.parts.tolist() == [0, 0, 2]
    assert content.table["a"].to_pylist() == [1.0, 2.0, 3.5]
    source["parts"]["test"] = source["parts"]["train"]
    with pytest.raises(UserError, match=r"one\.csv is in two parts"):
        _load(tmp_path, source=source)


# Files whose values have types.


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
        (pa.array([[1.5, 2.0], None], pa.list_(pa.float32(), 2)), [[1.5, 2.0], None]),
        (pa.array([3_600_000, 1], pa.time32("ms")), [3600.0, 0.001]),
        (pa.array([90, 1], pa.duration("s")), [90.0, 1.0]),
        (pa.array([0, 86_400], pa.timestamp("s", "America/New_York")), [_day(1970, 1, 1), _day(1970, 1, 2)]),
        (pa.array(["1", "2"]), [1, 2]),
        (pa.array(["1", "x"]), ["1", "x"]),
        (pa.array(["01", "02"]), ["01", "02"]),
        (pa.array(["NA", "x"]), ["NA", "x"]),
        (pa.array(["1", "2"]).dictionary_encode(), ["1", "2"]),
    ],
)
def test_typed_columns_keep_what_they_mean(column: pa.Array, expected: list[Any], tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": column, "y": [0, 1]}), tmp_path / "data.parquet")
    assert _load(tmp_path / "data.parquet").table["a"].to_pylist() == expected


def test_a_declared_category_is_one_whatever_its_values_are(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([7, 8]).dictionary_encode(), "b": [7, 8], "y": [0, 1]})
    parquet.write_table(table, tmp_path / "data.parquet")
    facts = _load(tmp_path / "data.parquet").facts
    assert facts["a"].category
    assert "b" not in facts


def test_a_category_in_one_file_and_text_in_another_are_one_column(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array(["u"]).dictionary_encode(), "y": [0]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": ["v"], "y": [1]}), tmp_path / "2.parquet")
    assert _load(tmp_path).table["a"].to_pylist() == ["u", "v"]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([[1.0], [1.0, 2.0]]), "a list of 2 numbers in row 2, and others of 1"),
        (pa.array([[1.0], [None]]), "lists with empty values"),
        (pa.array([["a"], ["b"]]), "lists of string, not of numbers"),
        (pa.array([b"a", b"b"]), "has the type binary"),
        (pa.array([{"b": 1}, {"b": 2}]), "has the type struct"),
    ],
)
def test_typed_columns_that_no_model_takes_are_refused_with_a_way_to_leave_them_out(
    column: pa.Array, told: str, tmp_path: Path
) -> None:
    parquet.write_table(pa.table({"a": column, "y": [0, 1]}), tmp_path / "data.parquet")
    with pytest.raises(UserError, match=told) as caught:
        _load(tmp_path / "data.parquet")
    assert "data.columns: {a: {role: ignore}}" in str(caught.value)


def test_jsonl_in_another_encoding_and_packed_is_read(tmp_path: Path) -> None:
    text = "".join(json.dumps({"a": f"{i},5", "y": i}, ensure_ascii=False) + "\r\n" for i in range(3))
    for name, data in (("a.jsonl", text.encode("utf-16")), ("b.jsonl.gz", gzip.compress(text.encode()))):
        content = _load(_write(tmp_path, data, name))
        assert content.table["a"].to_pylist() == [0.5, 1.5, 2.5], name


def test_a_cut_gzip_file_is_the_users_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,y\n" + b"1,0\n" * 1000)
    with pytest.raises(UserError, match="cannot be unpacked"):
        _load(_write(tmp_path, whole[:-20], "data.csv.gz"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_quotes_are_followed_however_the_file_comes_in_chunks(size: int) -> None:
    data = b'"a ""b"" c",1\r\n"d\r\ne, f\ng",2\n5" pipe,3\n"",4\n"""",5\n'
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    scan = QuoteScan("data.csv", '"', ",", 2, 0, trusted=False)
    assert b"".join(scan.watch(chunks)) == data
    assert (scan.lines, scan.breaks, scan.longest) == (7, 2, (2, 2))


def test_many_quoted_values_are_followed_in_linear_time() -> None:
    row = b'"one value","another, and more"\n'

    def steps(rows: int) -> float:
        scan = QuoteScan("data.csv", '"', ",", 2, 0, trusted=False)
        begin = time.process_time()
        list(scan.watch([b'"over\ntwo lines",x\n' + row * rows]))
        return time.process_time() - begin

    assert steps(40_000) < 20 * steps(4_000) + 0.5


def test_points_beside_decimal_commas_are_decimal_points_only_where_that_is_certain(tmp_path: Path) -> None:
    content = _load(_write(tmp_path, 'a,b,y\n"1,5",0.125,0\n"2,25",1.5,1\n'))
    assert content.table["b"].to_pylist() == [0.125, 1.5]
    with pytest.raises(UserError, match=r"points in column 'b' may be decimal points or stand between thousands"):
        _load(_write(tmp_path, 'a,b,y\n"1,5",1.125,0\n"2,25",2.500,1\n'))
