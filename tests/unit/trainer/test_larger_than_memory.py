"""Data that is larger than memory is prepared on the disk, to the very bytes that memory gives."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare, scratch
from headway_trainer.data.read import builder, jsonl, npz, streams
from headway_trainer.data.read import memory as memory_module
from headway_trainer.data.read import parquet as parquet_module
from headway_trainer.data.read.jsonl import promoted
from headway_trainer.data.read.streams import BrokenFile
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

ROWS = 700
Spec = dict[str, Any]


def _table(rows: int = ROWS) -> pa.Table:
    chance = np.random.default_rng(4)
    numbers = chance.standard_normal(rows)
    words = np.array(["red", "green", "blue", "00", "1e3"])
    days = np.datetime64("2024-01-01T00:00:00", "us") + chance.integers(0, 10**13, rows)
    return pa.table(
        {
            "name": pa.array([f"row {index}" for index in range(rows)]),
            "number": pa.array(np.where(chance.random(rows) < 0.1, np.nan, numbers), from_pandas=True),
            "whole": pa.array(chance.integers(-5, 5, rows).astype(np.int8)),
            "flag": pa.array([None if one < 0.1 else one < 0.5 for one in chance.random(rows)]),
            "colour": pa.array([None if one == 5 else str(words[one]) for one in chance.integers(0, 6, rows)]),
            "said": pa.array([f"one {index % 7} two {index % 3} three{index}" for index in range(rows)]),
            "day": pa.array(days),
            "code": pa.array([f"{number:03d}" for number in chance.integers(0, 40, rows)]),
            "group": pa.array(chance.integers(0, 30, rows)),
            "weight": pa.array(chance.random(rows) + 0.5),
            "label": pa.array([["no", "yes"][one] for one in (numbers + chance.standard_normal(rows) > 0).astype(int)]),
        }
    )


def _csv(folder: Path) -> Spec:
    from pyarrow import csv

    (folder / "in").mkdir()
    table = _table()
    for part, start in enumerate((0, 300)):
        csv.write_csv(table.slice(start, 300 if part == 0 else ROWS), folder / "in" / f"{part}.csv")
    return {"source": {"uri": str(folder / "in")}, "target": "label"}


def _parquet(folder: Path) -> Spec:
    table = _table()
    lists = np.random.default_rng(1).standard_normal((ROWS, 6)).tolist()
    table = table.append_column("vector", pa.array([None if row % 9 == 0 else lists[row] for row in range(ROWS)]))
    table = table.append_column("kind", table["colour"].dictionary_encode())
    (folder / "in").mkdir()
    for part, start in enumerate((0, 300)):
        some = table.slice(start, 300 if part == 0 else ROWS)
        if part:
            some = some.set_column(2, "whole", some["whole"].cast(pa.float64()))
        parquet.write_table(some, folder / "in" / f"{part}.parquet", row_group_size=64)
    return {"source": {"uri": str(folder / "in")}, "target": "label"}


def _jsonl(folder: Path) -> Spec:
    rows = [{name: value for name, value in row.items() if value is not None} for row in _table().to_pylist()]
    for row in rows:
        row["day"] = row["day"].isoformat()
    # What a first block of lines tells of a column need not hold for the next.
    rows[-1]["whole"] = 2.5
    (folder / "data.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    return {"source": {"uri": str(folder / "data.jsonl")}, "target": "label"}


def _regression(folder: Path) -> Spec:
    parquet.write_table(_table(), folder / "data.parquet", row_group_size=100)
    return {
        "source": {"uri": str(folder / "data.parquet")},
        "targets": ["number", "whole"],
        "missingTargets": "drop",
        "columns": {"weight": {"role": "weight"}, "group": {"role": "group"}},
    }


def _arrays(folder: Path, save: Callable[..., None] = np.savez, order: Any = "C") -> Spec:
    chance = np.random.default_rng(2)
    x = chance.standard_normal((ROWS, 9)).astype(np.float32)
    x[chance.random(x.shape) < 0.05] = np.nan
    save(folder / "data.npz", x=np.array(x, order=order), y=chance.integers(0, 3, ROWS))
    return {"source": {"uri": str(folder / "data.npz")}}


def _packed_arrays(folder: Path) -> Spec:
    return _arrays(folder, np.savez_compressed)


def _folds_of_arrays(folder: Path) -> Spec:
    return _arrays(folder) | {"split": {"folds": 3}}


def _folds(folder: Path) -> Spec:
    return _csv(folder) | {"split": {"folds": 3}}


def _turned_arrays(folder: Path) -> Spec:
    return _arrays(folder, order="F") | {"split": {"stratify": "never"}}


def _parts_of_arrays(folder: Path) -> Spec:
    (folder / "in").mkdir()
    for part, rows in (("train", 400), ("test", 100)):
        x = np.random.default_rng(rows).integers(0, 256, (rows, 1, 5, 4), dtype=np.uint8)
        np.savez(folder / "in" / f"{part}.npz", x=x, y=np.arange(rows) % 4)
    return {"source": {"uri": str(folder / "in")}, "columns": {"x": {"kind": "image"}}}


def _images(folder: Path) -> Spec:
    from PIL import Image

    chance = np.random.default_rng(3)
    for index in range(60):
        path = folder / "in" / f"class {index % 3}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (8, 9, 3) if index != 7 else (12, 9, 3)
        Image.fromarray(chance.integers(0, 256, size, dtype=np.uint8)).save(path)
    return {"source": {"uri": str(folder / "in")}}


SOURCES = [
    _csv, _parquet, _jsonl, _regression, _arrays, _packed_arrays, _turned_arrays, _folds,
    _folds_of_arrays, _parts_of_arrays, _images,
]  # fmt: skip


def _prepared(spec: Spec, folder: Path) -> tuple[DataInfo, dict[str, bytes]]:
    store = Store.open(str(folder))
    info = prepare(Data.model_validate(spec), seed=11, store=store)
    return info, {name: store.read(name) for name, _ in store.walk() if not name.endswith("info.json")}


def _told(info: DataInfo) -> dict[str, float]:
    """The columns' means: sums over chunks of a column, so that their last digits are those of the chunks."""
    columns = info.profile.columns
    return {one.name: one.stats.mean for one in columns if one.stats is not None and one.stats.mean is not None}


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Scratch]:
    """All sources are too large from here on, and every block and bucket is small."""
    made: list[Scratch] = []

    def scratch_for(*_: object) -> Scratch:
        made.append(Scratch(str(tmp_path)))
        return made[-1]

    monkeypatch.setattr(memory_module, "scratch_for", scratch_for)
    monkeypatch.setattr(jsonl, "scratch_for", scratch_for)
    for module, name, value in (
        (scratch, "_SEGMENT", 4096),
        (scratch, "BLOCK_BYTES", 1000),
        (scratch, "BUCKET_BYTES", 3000),
        (builder, "_GATHERED_BYTES", 500),
        (parquet_module, "_READ_BYTES", 600),
        (streams, "LINES", 2000),
        (npz, "CHUNK", 100),
    ):
        monkeypatch.setattr(module, name, value)
    return made


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__.strip("_"))
def test_rows_prepared_on_the_disk_are_those_of_memory_byte_for_byte(
    source: Callable[[Path], Spec], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = source(tmp_path)
    expected, files = _prepared(spec, tmp_path / "memory")
    made = request.getfixturevalue("on_disk")
    info, found = _prepared(spec, tmp_path / "disk")
    assert len(made) == 1
    assert found.keys() == files.keys()
    assert {name for name in files if files[name] != found[name]} == set()
    assert info.notes[-1].startswith("The data is larger than the memory that is left here")
    assert info.model_copy(update={"profile": None}) == expected.model_copy(update={"profile": None})
    assert _told(info) == pytest.approx(_told(expected), rel=1e-12)
    assert [one.model_dump(exclude={"stats": {"mean"}}) for one in info.profile.columns] == [
        one.model_dump(exclude={"stats": {"mean"}}) for one in expected.profile.columns
    ]
    assert (info.profile.warnings, info.profile.rows) == (expected.profile.warnings, expected.profile.rows)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")], "scratch files have no names"


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 60),
    left=st.floats(0, 1),
    bucket=st.integers(1, 400),
    block=st.integers(1, 20),
)
def test_rows_or_some_of_them_are_put_in_any_order_bucket_by_bucket(
    seed: int, rows: int, left: float, bucket: int, block: int
) -> None:
    chance = np.random.default_rng(seed)
    x, order = chance.standard_normal((rows, 2)), chance.permutation(rows)[: int(left * rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "BUCKET_BYTES", bucket)
        made = MEMORY.in_order((x[start : start + block] for start in range(0, rows, block)), order, (2,), x.dtype)
    assert np.array_equal(made, x[order])


def test_arrays_on_the_disk_are_arrays(tmp_path: Path) -> None:
    here = Scratch(str(tmp_path))
    made = [here.empty(shape, dtype) for shape, dtype in ((3, np.int8), ((2, 5), np.float64), (0, np.int64))]
    made[0][:], made[1][:] = 7, 0.5
    assert made[0].tolist() == [7, 7, 7]
    assert made[1].sum() == 5
    assert made[2].tolist() == []
    assert here.copy(made[1]).tolist() == made[1].tolist()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_the_users_to_give_more_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"disk that .* is on has no room for it: .* TMPDIR, or raise spec\.head"):
        Scratch(str(tmp_path)).empty(10, np.int8)


INT, DOUBLE, TEXT, STAMP = pa.int64(), pa.float64(), pa.string(), pa.timestamp("s")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.null(), INT, INT),
        (INT, pa.null(), INT),
        (INT, DOUBLE, DOUBLE),
        (STAMP, TEXT, TEXT),
        (pa.list_(INT), pa.list_(DOUBLE), pa.list_(DOUBLE)),
        (pa.list_(pa.null()), pa.list_(INT), pa.list_(INT)),
    ],
)
def test_blocks_of_json_lines_have_the_type_of_the_whole_file(
    one: pa.DataType, other: pa.DataType, both: pa.DataType
) -> None:
    assert promoted(one, other) == promoted(other, one) == both


def test_blocks_of_json_lines_with_text_and_numbers_are_told_of() -> None:
    with pytest.raises(BrokenFile, match="int64 in some lines and string in others"):
        promoted(INT, TEXT)


@pytest.mark.parametrize(
    ("left", "expected"), [(None, False), (10_000_000, False), (5_000_000, True)], ids=["unknown", "enough", "less"]
)
def test_the_disk_is_used_where_memory_does_not_do(
    left: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: left)
    assert memory_module.scratch_for(10_000_000, 100, 1_000_000, "a.csv").on_disk is expected


def test_more_rows_than_memory_holds_in_any_case_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 60_000_000)
    told = r"the 1,000,000 rows of a\.csv, even where .* takes about 65 MiB of memory, but 57 MiB are left"
    with pytest.raises(UserError, match=told):
        memory_module.scratch_for(10**9, 1_000_000, 1_000_000, "a.csv")


def test_data_larger_than_the_disk_as_well_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 10**9)
    told = r"a\.csv takes about 3\.0 GiB of memory, of which 954 MiB are left, or 2048\.0 GiB of disk in .*TMPDIR"
    with pytest.raises(UserError, match=told):
        memory_module.scratch_for(3 * 2**30, 100, 2**40, "a.csv")


def test_the_limit_of_a_control_group_counts_in_both_versions(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("5:memory:/some/job\n0::/another\n")
    first, second = tmp_path / "cgroup/memory/some/job", tmp_path / "cgroup/another"
    for folder in (first, second):
        folder.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text("3000000\n")
    (first / "memory.usage_in_bytes").write_text("2000000\n")
    (first / "memory.stat").write_text("inactive_file 1\ntotal_active_file 400000\ntotal_inactive_file 500000\n")
    left = memory_module.available_bytes(tmp_path / "none", tmp_path / "cgroup", tmp_path / "own")
    assert left == 3_000_000 - 2_000_000 + 900_000
    (second / "memory.max").write_text("1000000\n")
    (second / "memory.current").write_text("900000\n")
    (second / "memory.stat").write_text("active_file 0\n")
    assert memory_module.available_bytes(tmp_path / "none", tmp_path / "cgroup", tmp_path / "own") == 100_000
