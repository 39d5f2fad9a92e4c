"""A source of several files, packed or not: what becomes of each, and which rows train."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from awkward_files import read_table, write_file
from headway_trainer.errors import UserError

# Several files and parts.


def test_files_of_different_numbers_of_types_agree_over_all_rows(tmp_path: Path) -> None:
    write_file(tmp_path, "a,b,y\n1,1,0\n", "1.csv")
    write_file(tmp_path, "b,y,a\nx,1,2.5\n", "2.csv")
    content = read_table(tmp_path)
    assert content.table.to_pylist() == [{"a": 1.0, "b": "1", "y": 0}, {"a": 2.5, "b": "x", "y": 1}]


def test_a_file_that_is_there_twice_is_said(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv", "3.csv"):
        write_file(tmp_path, "a,y\n1,0\n" if name != "3.csv" else "a,y\n2,0\n", name)
    content = read_table(tmp_path)
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
        write_file(tmp_path, f"a,y\n{index},0\n", name)
    content = read_table(tmp_path)
    assert content.parts is not None
    assert content.parts.tolist() == parts


@pytest.mark.parametrize(
    "names", [["a.csv", "b.csv"], ["train.csv"], ["train.csv", "extra.csv"], ["test.csv", "b.csv"]]
)
def test_other_files_are_no_parts(names: list[str], tmp_path: Path) -> None:
    for index, name in enumerate(names):
        write_file(tmp_path, f"a,y\n{index},0\n", name)
    assert read_table(tmp_path).parts is None


def test_parts_beside_other_files_are_uncertain(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv", "more.csv"):
        write_file(tmp_path, "a,y\n1,0\n", name)
    with pytest.raises(UserError, match="test and train, which look like parts, beside 'more'"):
        read_table(tmp_path)


def test_parts_are_given_as_files(tmp_path: Path) -> None:
    write_file(tmp_path, "a,y\n1,0\n2,1\n", "one.csv")
    write_file(tmp_path, "a,y\n3.5,0\n", "two.csv")
    source = {"parts": {"train": str(tmp_path / "one.csv"), "test": str(tmp_path / "two.csv")}}
    content = read_table(tmp_path, source=source)
    assert content.parts is not None
    assert content.parts.tolist() == [0, 0, 2]
    assert content.table["a"].to_pylist() == [1.0, 2.0, 3.5]
    source["parts"]["test"] = source["parts"]["train"]
    with pytest.raises(UserError, match=r"one\.csv is in two parts"):
        read_table(tmp_path, source=source)


def test_a_cut_gzip_file_is_the_users_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,y\n" + b"1,0\n" * 1000)
    with pytest.raises(UserError, match="cannot be unpacked"):
        read_table(write_file(tmp_path, whole[:-20], "data.csv.gz"))
