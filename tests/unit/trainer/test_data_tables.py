"""Tables: csv, parquet and jsonl files, their column types, and every way in which they can be wrong."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from headway_trainer.data.content import TableContent
from headway_trainer.data.read.files import find_files
from headway_trainer.data.read.hashes import hash_table
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.tables import load_table
from headway_trainer.errors import UserError


def _load(path: Path, target: str | None = "y", form: Any = None) -> TableContent:
    return load_table(find_files(str(path), form, None), [target] if target else [], Options())


def _csv(tmp_path: Path, text: str, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _refused(path: Path, target: str | None = "y", form: Any = None) -> str:
    with pytest.raises(UserError) as caught:
        _load(path, target, form)
    return str(caught.value)


def _types(content: TableContent) -> dict[str, str]:
    return {field.name: str(field.type) for field in content.table.schema}


def test_csv_columns_have_the_narrowest_type_that_all_rows_fit(tmp_path: Path) -> None:
    text = "a,b,c,d,e,y\n1,1.5,true,x,,0\n2,2,False,1,,1\n,,,,,1\n"
    content = _load(_csv(tmp_path, text))
    assert _types(content) == {"a": "int64", "b": "double", "c": "bool", "d": "string", "e": "null", "y": "int64"}
    assert content.table["a"].to_pylist() == [1, 2, None]
    assert content.table["c"].to_pylist() == [True, False, None]


def test_a_csv_type_is_told_from_the_last_file_too(tmp_path: Path) -> None:
    _csv(tmp_path, "a,y\n1,0\n2,1\n", "part-0.csv")
    _csv(tmp_path, "a,y\n3.5,0\n", "part-1.csv")
    content = _load(tmp_path)
    assert content.table["a"].to_pylist() == [1.0, 2.0, 3.5]


def test_csv_quirks_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes('\ufeff"a, b",y\r\n" 1 ",x\r\n"2","line\nbreak"\r\n'.encode())
    content = _load(path)
    assert content.table["a, b"].to_pylist() == [1, 2]
    assert content.table["y"].to_pylist() == ["x", "line\nbreak"]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"a,y\n1,0\n2,1\n"))
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1, "y": 0}\n{"a": 2, "y": 1}\n'))
    assert _load(tmp_path / "data.csv.gz").table.equals(_load(tmp_path / "rows.jsonl.gz").table)


ROWS: dict[str, list[Any]] = {
    "number": [1.5, None, -2.0, 4.0, 0.25],
    "whole": [1, 2, None, 4, 5],
    "flag": [True, None, False, True, False],
    "text": ["a", "bb", None, "ä", "c"],
    "y": ["no", "yes", "no", "yes", "no"],
}


def _write(folder: Path, form: str, rows: dict[str, list[Any]], cuts: list[int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [0, *cuts, len(rows["y"])]
    for index, (start, stop) in enumerate(itertools.pairwise(bounds)):
        part = {name: values[start:stop] for name, values in rows.items()}
        table = pa.table(part, schema=pa.table(rows).schema)
        path = folder / f"part-{index}.{form}"
        if form == "parquet":
            parquet.write_table(table, path, row_group_size=2)
        elif form == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
        else:
            table.to_pandas(types_mapper=None, integer_object_nulls=True).to_csv(path, index=False)
    return folder


def test_the_content_hash_is_the_same_for_every_format_and_division(tmp_path: Path) -> None:
    hashes = {
        (form, len(cuts)): _load(_write(tmp_path / f"{form}{len(cuts)}", form, ROWS, cuts)).content_hash
        for form in ("csv", "parquet", "jsonl")
        for cuts in ([], [2], [1, 3])
    }
    assert len(set(hashes.values())) == 1, hashes


@given(
    values=st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=30),
    cut=st.integers(0, 30),
)
def test_chunks_leave_no_trace_in_the_hash_but_values_do(values: list[str | None], cut: int) -> None:
    whole = pa.table({"a": pa.chunked_array([values], pa.string())})
    parts = pa.table({"a": pa.chunked_array([values[:cut], values[cut:]], pa.string())})
    other = pa.table({"a": pa.chunked_array([[*values[:-1], "another value"]], pa.string())})
    assert hash_table(whole) == hash_table(parts)
    assert hash_table(whole) != hash_table(other)


def test_an_empty_value_hashes_unlike_zero_and_unlike_empty_text() -> None:
    tables: list[dict[str, Any]] = [{"a": [0]}, {"a": [None, 0][:1]}, {"a": [""]}, {"b": [0]}]
    schemas = [pa.int64(), pa.int64(), pa.string(), pa.int64()]
    hashes = {
        hash_table(pa.table({name: pa.array(values, kind) for name, values in columns.items()}))
        for columns, kind in zip(tables, schemas, strict=True)
    }
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None], pa.int8()), ("int64", [1, None])),
        (pa.array([1, 2**62], pa.uint64()), ("int64", [1, 2**62])),
        (pa.array([1, 2**63], pa.uint64()), ("string", ["1", "9223372036854775808"])),
        (pa.array([1.5, float("nan")], pa.float32()), ("double", [1.5, None])),
        (pa.array([1, 2]).cast(pa.decimal128(25, 2)), ("double", [1.0, 2.0])),
        (pa.array(["x", " "], pa.large_string()), ("string", ["x", None])),
        (pa.array(["x", None]).dictionary_encode(), ("string", ["x", None])),
        (pa.array([7, 8]).dictionary_encode(), ("int64", [7, 8])),
        (pa.array([None, None], pa.timestamp("s")), ("null", [None, None])),
    ],
)
def test_parquet_types_become_few(column: pa.Array, expected: tuple[str, list[Any]], tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": column, "y": [0, 1]}), tmp_path / "data.parquet")
    content = _load(tmp_path / "data.parquet")
    assert (_types(content)["a"], content.table["a"].to_pylist()) == expected


# What is wrong, and what the message must say.


def test_dates_are_times_in_every_format(tmp_path: Path) -> None:
    days = [datetime(2024, 1, 1), datetime(2024, 2, 1)]  # noqa: DTZ001 - as the file has them, without a zone
    _csv(tmp_path, "when,y\n2024-01-01,0\n2024-02-01,1\n")
    parquet.write_table(pa.table({"when": pa.array(days, pa.date32()), "y": [0, 1]}), tmp_path / "data.parquet")
    (tmp_path / "data.jsonl").write_text('{"when": "2024-01-01", "y": 0}\n{"when": "2024-02-01", "y": 1}\n')
    for name in ("data.csv", "data.parquet", "data.jsonl"):
        content = _load(tmp_path / name)
        assert _types(content)["when"] == "timestamp[us]", name
        assert content.table["when"].to_pylist() == days, name


def test_nested_columns_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"a": {"b": 1}, "y": 0}\n{"a": {"b": 2}, "y": 1}\n')
    message = _refused(tmp_path / "data.jsonl")
    assert "column 'a'" in message
    assert "spread it over columns" in message


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("empty.csv", "", "empty.csv is empty: it must have a line that names the columns"),
        ("header.csv", "a,y\n", "has columns but no rows"),
        ("ragged.csv", "a,y\n1,0\n2,1,9\n3,0\n", "Expected 2 columns, got 3: 2,1,9"),
        ("twice.csv", "a,a,y\n1,2,0\n", "two columns 'a'"),
        ("headless.csv", "1,2.5\n3,4\n", "seems to have no header"),
        ("empty.jsonl", "", "Empty JSON file"),
        ("broken.jsonl", '{"a": 1, "y": 0}\n{"a": 2, "y"\n', "line 2: "),
        ("array.jsonl", '{"a": 1, "y": 0}\n[1, 2]\n', "line 2 is no JSON object"),
        ("mixed.jsonl", '{"a": 1, "y": 0}\n{"a": null, "y": 1}\n{"a": "x", "y": 1}\n',
         "column 'a' is text in line 3 and a number in line 1"),
        ("fake.parquet", "this is no parquet file at all", "fake.parquet is no valid parquet file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_the_reason(name: str, text: str, told: str, tmp_path: Path) -> None:
    message = _refused(_csv(tmp_path, text, name))
    assert told in message
    assert name in message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,y\nx,0\n\xff\xfe,1\n")
    message = _refused(tmp_path / "data.csv")
    assert "line 3 has the bytes ff fe" in message
    assert "set data.read.encoding" in message


def test_a_parquet_file_that_was_cut_short_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"a": list(range(1000)), "y": [0, 1] * 500}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "data.parquet is no valid parquet file" in _refused(path)
    path.write_bytes(data[:200] + b"\0" * 300 + data[500:])
    assert "data.parquet is no valid parquet file" in _refused(path)


def test_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    _csv(tmp_path, "a,y\n1,0\n", "1.csv")
    _csv(tmp_path, "b,y\n1,0\n", "2.csv")
    message = _refused(tmp_path)
    assert "2.csv has no column 'a'" in message


def test_parquet_files_with_different_types_are_refused_but_wider_numbers_are_not(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([1], pa.int8()), "y": [0]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"y": [0], "a": [1.5]}), tmp_path / "2.parquet")
    assert _load(tmp_path).table["a"].to_pylist() == [1.0, 1.5]
    parquet.write_table(pa.table({"a": ["x"], "y": [0]}), tmp_path / "3.parquet")
    assert "column 'a' is string in" in _refused(tmp_path)


# Which files are meant.


def test_folders_globs_and_single_files_find_their_rows(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "_SUCCESS", ".hidden.csv", "_meta/x.csv"):
        _csv(tmp_path, f"name,y\n{name},0\n", name)

    def names(path: Path) -> list[str]:
        return list(_load(path).table["name"].to_pylist())

    assert names(tmp_path) == ["a.csv", "b.csv", "deep/c.csv"]
    assert names(tmp_path / "*.csv") == ["a.csv", "b.csv"]
    assert names(tmp_path / "[b]*") == ["b.csv"]
    assert names(tmp_path / "b.csv") == ["b.csv"]


def test_other_files_of_a_folder_are_left_out_and_noted_when_the_format_is_set(tmp_path: Path) -> None:
    _csv(tmp_path, "a,y\n1,0\n", "a.csv")
    _csv(tmp_path, "hello", "README.txt")
    content = _load(tmp_path, form="csv")
    assert len(content.table) == 1
    assert content.notes == [f"1 files of other formats in {tmp_path} were left out."]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "there is no file at"),
        (["a.csv", "b.parquet"], "holds files of the formats csv, parquet"),
        (["a.txt"], r"the format of .* cannot be told from the file names \(a.txt\)"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(names: list[str], told: str, tmp_path: Path) -> None:
    for name in names:
        _csv(tmp_path, "a,y\n1,0\n", name)
    with pytest.raises(UserError, match=told):
        _load(tmp_path)
