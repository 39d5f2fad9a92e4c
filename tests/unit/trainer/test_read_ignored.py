"""Columns that the job ignores: they are not read, and one that is nowhere is a mistake in its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from headway_api.data import Data
from headway_trainer.data.content import TableContent
from headway_trainer.data.sources import load
from headway_trainer.errors import UserError


def _load(path: Path, **fields: Any) -> TableContent:
    spec = Data.model_validate({"source": {"uri": str(path)}, "target": "y"} | fields)
    content = load(spec, volume_dir="", secret_dir="")
    assert isinstance(content, TableContent)
    return content


def test_an_ignored_column_is_not_read_so_that_nothing_in_it_is_wrong(tmp_path: Path) -> None:
    table = pa.table({"a": [{"deep": 1}, {"deep": 2}], "b": [1, 2], "y": [0, 1]})
    parquet.write_table(table, tmp_path / "data.parquet")
    assert _load(tmp_path / "data.parquet", columns={"a": {"role": "ignore"}}).table.column_names == ["b", "y"]
    path = tmp_path / "data.csv"
    path.write_text("a,b,y\nx,1,0\n,2,1\n")
    assert _load(path, columns={"a": {"role": "ignore"}}).table.column_names == ["b", "y"]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_a_misspelt_column_that_is_ignored_is_an_error_as_for_every_other_role(tmp_path: Path, name: str) -> None:
    table = pa.table({"secret": [1, 2], "x": [0.5, 1.5], "y": ["a", "b"]})
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(table, path)
    elif name.endswith("csv"):
        path.write_text("secret,x,y\n1,0.5,a\n2,1.5,b\n")
    else:
        path.write_text('{"secret": 1, "x": 0.5, "y": "a"}\n{"secret": 2, "x": 1.5, "y": "b"}\n')
    assert _load(path, columns={"secret": {"role": "ignore"}}).table.column_names == ["x", "y"]
    with pytest.raises(UserError, match=r"data\.columns: .* has no column 'secrets'.*secret"):
        _load(path, columns={"secrets": {"role": "ignore"}})


def test_a_column_that_only_some_files_have_can_be_ignored(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": [0.5], "y": ["a"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"x": [1.5], "y": ["b"], "new": [1]}), tmp_path / "2.parquet")
    assert _load(tmp_path, columns={"new": {"role": "ignore"}}).table.column_names == ["x", "y"]
