"""A data set of four times the memory is prepared, learnt from, killed and resumed within it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from commands import module

MEBIBYTE = 1024 * 1024
LEFT = 112 * MEBIBYTE
"""Of memory, beyond what Python and its libraries take."""
COLUMNS = 400
DIED_IN, LAST_CHECKPOINT = 37, 30


def _tables(size: int, rows: int = 8192) -> Iterator[pa.Table]:
    """Numbers and a label that follows from some of them; size bytes of numbers of 64 bits."""
    chance = np.random.default_rng(0)
    for _ in range(-(-size // (8 * COLUMNS * rows))):
        x = np.round(chance.standard_normal((rows, COLUMNS)), 5)
        label = np.where(x[:, 0] + x[:, 1] * x[:, 2] > 0, "yes", "no")
        yield pa.table({f"f{index}": column for index, column in enumerate(x.T)} | {"label": label})


def _write_parquet(path: Path, size: int) -> None:
    tables = _tables(size)
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema, compression="none", use_dictionary=False) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _check(prepared: dict[str, Any], whole: dict[str, Any], resumed: dict[str, Any], size: int) -> None:
    """All rows were learnt from, block by block, and a run that was killed ended with the weights of one that was
    not."""
    rows = sum(prepared["rows"].values())
    assert rows * COLUMNS * 8 >= size
    assert any("larger than the memory that is left here" in note for note in prepared["notes"])
    assert prepared["blocks"]
    assert whole["step"] == -(-prepared["rows"]["train"] // 1024)
    assert (whole["resumed"], resumed["resumed"]) == (None, LAST_CHECKPOINT)
    assert (resumed["step"], resumed["weights"]) == (whole["step"], whole["weights"])


def test_data_of_four_times_what_is_left_of_memory_is_prepared_learnt_and_resumed_within_it(tmp_path: Path) -> None:
    source, folder = tmp_path / "rows.parquet", tmp_path / "run"
    _write_parquet(source, 4 * LEFT)
    prepared = _told(module("limited_run", "prepare", source, folder, LEFT))
    whole = _told(module("limited_run", "whole", source, folder, LEFT))
    assert module("limited_run", "killed", source, folder, LEFT, DIED_IN).returncode == -9
    resumed = _told(module("limited_run", "killed", source, folder, LEFT))
    _check(prepared, whole, resumed, 4 * LEFT)
    assert max(one["taken"] for one in (prepared, whole, resumed)) < LEFT
