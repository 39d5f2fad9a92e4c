"""What is told of the memory that preparing data takes is within 1.3 x of what it takes, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from commands import module

_MOST = 1.3
Spec = dict[str, Any]
CHANCE = np.random.default_rng(0)


def _numbers(rows: int, columns: int) -> pa.Table:
    numbers = {f"c{index}": CHANCE.standard_normal(rows) for index in range(columns)}
    return pa.table(numbers | {"y": CHANCE.integers(0, 2, rows)})


def _texts(rows: int = 300_000) -> pa.Table:
    words = np.array([f"w{index}" for index in range(3000)])
    return pa.table(
        {
            "name": [f"name {index}" for index in CHANCE.permutation(rows)],
            "few": words[CHANCE.integers(0, 40, rows)],
            "many": words[CHANCE.integers(0, 3000, rows)],
            "free": [" ".join(some) for some in words[CHANCE.integers(0, 3000, (rows, 8))]],
            "x": CHANCE.standard_normal(rows),
            "y": np.array(["no", "yes"])[CHANCE.integers(0, 2, rows)],
        }
    )


def _csv(folder: Path, table: pa.Table) -> Spec:
    csv.write_csv(table, folder / "data.csv")
    return {"source": {"uri": str(folder / "data.csv")}, "target": "y"}


def _parquet(folder: Path, table: pa.Table) -> Spec:
    parquet.write_table(table, folder / "data.parquet")
    return {"source": {"uri": str(folder / "data.parquet")}, "target": "y"}


def _jsonl(folder: Path, table: pa.Table) -> Spec:
    with (folder / "data.jsonl").open("w") as lines:
        for batch in table.to_batches(10_000):
            lines.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    return {"source": {"uri": str(folder / "data.jsonl")}, "target": "y"}


def _npz(folder: Path) -> Spec:
    np.savez(folder / "data.npz", x=CHANCE.standard_normal((400_000, 40), np.float32), y=CHANCE.integers(0, 3, 400_000))
    return {"source": {"uri": str(folder / "data.npz")}}


def _npz_of_images(folder: Path) -> Spec:
    x = CHANCE.integers(0, 256, (8000, 3, 64, 64), dtype=np.uint8)
    np.savez(folder / "data.npz", x=x, y=CHANCE.integers(0, 3, 8000))
    return {"source": {"uri": str(folder / "data.npz")}}


def _images(folder: Path) -> Spec:
    from PIL import Image

    for index in range(2500):
        path = folder / "images" / f"class {index % 3}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(CHANCE.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)
    return {"source": {"uri": str(folder / "images")}}


SOURCES: dict[str, Callable[[Path], Spec]] = {
    "csv of numbers": lambda folder: _csv(folder, _numbers(400_000, 30)),
    "csv of texts": lambda folder: _csv(folder, _texts()),
    "csv of four columns": lambda folder: _csv(folder, _numbers(4_000_000, 3)),
    "parquet of numbers": lambda folder: _parquet(folder, _numbers(400_000, 30)),
    "parquet of texts": lambda folder: _parquet(folder, _texts()),
    "parquet of four columns": lambda folder: _parquet(folder, _numbers(4_000_000, 3)),
    "jsonl of numbers": lambda folder: _jsonl(folder, _numbers(200_000, 12)),
    "jsonl of texts": lambda folder: _jsonl(folder, _texts()),
    "npz of numbers": _npz,
    "npz of images": _npz_of_images,
    "images": _images,
}


def _measured(source: str, folder: Path) -> tuple[int, int]:
    spec = SOURCES[source](folder)
    done = module("memory_peak", json.dumps(spec), folder / "run")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["told"], found["taken"]


def test_what_is_told_of_the_memory_for_a_table_is_about_what_is_taken(tmp_path: Path) -> None:
    told, taken = _measured("parquet of numbers", tmp_path)
    assert taken / _MOST <= told <= taken * _MOST


@pytest.mark.long
@pytest.mark.parametrize("source", [name for name in SOURCES if name != "parquet of numbers"])
def test_what_is_told_of_the_memory_is_about_what_is_taken_whatever_the_format(source: str, tmp_path: Path) -> None:
    told, taken = _measured(source, tmp_path)
    assert taken / _MOST <= told <= taken * _MOST
