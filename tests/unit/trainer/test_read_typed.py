"""Files whose values have types, parquet and jsonl: each column keeps what it means, or is refused with a way out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from awkward_files import day, read_table, write_file
from headway_trainer.errors import UserError

# Files whose values have types.


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
        (pa.array([[1.5, 2.0], None], pa.list_(pa.float32(), 2)), [[1.5, 2.0], None]),
        (pa.array([3_600_000, 1], pa.time32("ms")), [3600.0, 0.001]),
        (pa.array([90, 1], pa.duration("s")), [90.0, 1.0]),
        (pa.array([0, 86_400], pa.timestamp("s", "America/New_York")), [day(1970, 1, 1), day(1970, 1, 2)]),
        (pa.array(["1", "2"]), [1, 2]),
        (pa.array(["1", "x"]), ["1", "x"]),
        (pa.array(["01", "02"]), ["01", "02"]),
        (pa.array(["NA", "x"]), ["NA", "x"]),
        (pa.array(["1", "2"]).dictionary_encode(), ["1", "2"]),
    ],
)
def test_typed_columns_keep_what_they_mean(column: pa.Array, expected: list[Any], tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": column, "y": [0, 1]}), tmp_path / "data.parquet")
    assert read_table(tmp_path / "data.parquet").table["a"].to_pylist() == expected


def test_a_declared_category_is_one_whatever_its_values_are(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([7, 8]).dictionary_encode(), "b": [7, 8], "y": [0, 1]})
    parquet.write_table(table, tmp_path / "data.parquet")
    facts = read_table(tmp_path / "data.parquet").facts
    assert facts["a"].category
    assert "b" not in facts


def test_a_category_in_one_file_and_text_in_another_are_one_column(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array(["u"]).dictionary_encode(), "y": [0]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": ["v"], "y": [1]}), tmp_path / "2.parquet")
    assert read_table(tmp_path).table["a"].to_pylist() == ["u", "v"]


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
        read_table(tmp_path / "data.parquet")
    assert "data.columns: {a: {role: ignore}}" in str(caught.value)


def test_jsonl_in_another_encoding_and_packed_is_read(tmp_path: Path) -> None:
    text = "".join(json.dumps({"a": f"{i},5", "y": i}, ensure_ascii=False) + "\r\n" for i in range(3))
    for name, data in (("a.jsonl", text.encode("utf-16")), ("b.jsonl.gz", gzip.compress(text.encode()))):
        content = read_table(write_file(tmp_path, data, name))
        assert content.table["a"].to_pylist() == [0.5, 1.5, 2.5], name
