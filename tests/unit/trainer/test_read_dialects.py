"""How a text file is written: told from it and said, or refused with what to write; whether its quotes are right."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from awkward_files import read_table, write_file
from headway_trainer.data.read.quotes import QuoteScan
from headway_trainer.errors import UserError

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
    content = read_table(write_file(tmp_path, data))
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
    content = read_table(write_file(tmp_path, data), read=read)
    assert content.table.to_pylist() == [{"a": 1, "b": "x", "y": 0}, {"a": 2, "b": "ü", "y": 1}]


def test_a_file_without_a_header_is_read_where_the_job_says_so(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, "0.5,red,1\n0.7,blue,0\n"), read={"header": False}, target="column3")
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
        read_table(write_file(tmp_path, data))


def test_years_may_name_columns(tmp_path: Path) -> None:
    content = read_table(write_file(tmp_path, "country,2019,2020,y\nDE,5,6,0\nFR,7,8,1\n"))
    assert content.table.column_names == ["country", "2019", "2020", "y"]


# Quotes.


def test_one_stray_quote_does_not_swallow_rows(tmp_path: Path) -> None:
    rows = [f"{['pipe', 'valve', 'joint'][i % 3]},{i},{'ab'[i % 2]}\n" for i in range(1000)]
    rows[100] = '"5 inch pipe,100,a\n'
    rows[900] = '"5 inch pipe,900,a\n'
    message = r"the quote that opens in line 102 closes only in line 902 and swallows the rows between"
    with pytest.raises(UserError, match=message):
        read_table(write_file(tmp_path, "item,x,y\n" + "".join(rows)))


def test_a_stray_pair_of_quotes_does_not_swallow_rows_though_it_is_well_formed(tmp_path: Path) -> None:
    rows = [f"pipe,{i},{i % 2}\n" for i in range(20)]
    rows[3], rows[9] = '"pipe,3,1\n', 'pipe",9,1\n'
    path = write_file(tmp_path, "item,x,y\n" + "".join(rows))
    with pytest.raises(UserError, match=r"opens in line 5 closes only in line 11.*set data\.read\.quote"):
        read_table(path)
    assert len(read_table(path, read={"quote": '"'}).table) == 14


def test_values_over_several_lines_are_values_and_counted(tmp_path: Path) -> None:
    path = write_file(tmp_path, 'a,b,y\n"one, two\nthree\nfour, five",1,0\n"a ""quoted"" word\n",2,1\n\n5" pipe,3,0\n')
    content = read_table(path)
    assert content.table["a"].to_pylist() == ["one, two\nthree\nfour, five", 'a "quoted" word', '5" pipe']
    assert (content.read.lines, content.read.rows, content.read.breaks, content.read.blank) == (8, 3, 3, 1)


def test_a_value_longer_than_a_block_is_read(tmp_path: Path) -> None:
    path = write_file(tmp_path, f"a,y\n{'x' * 9_000_000},0\nshort,1\n")
    assert [len(value) for value in read_table(path).table["a"].to_pylist()] == [9_000_000, 5]


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
