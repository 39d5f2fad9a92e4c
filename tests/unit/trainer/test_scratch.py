"""Arrays on the disk are arrays, are put in any order, and are written in few pieces that soon lie there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer import storage
from headway_trainer.data import scratch
from headway_trainer.data.read.builder import ColumnBuilder
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.errors import UserError
from headway_trainer.storage import Store


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


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each write to the disk; a 0 for each time that the disk was waited for."""
    seen: list[int] = []
    pwrite, sync = os.pwrite, os.fdatasync

    def watched(file: int, data: memoryview, at: int) -> int:
        seen.append(len(data))
        return pwrite(file, data, at)

    def synced(file: int) -> None:
        seen.append(0)
        sync(file)

    monkeypatch.setattr(os, "pwrite", watched)
    monkeypatch.setattr(os, "fdatasync", synced)
    return seen


def test_columns_that_grow_side_by_side_are_written_in_few_pieces(
    written: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "HELD_BYTES", 30_000)
    here = Scratch(str(tmp_path))
    kinds = [pa.int64(), pa.float64(), pa.string()]
    columns = [ColumnBuilder(kind, 1000, here) for kind in kinds]
    expected = [pa.array(np.arange(1000) % 7).cast(kind) for kind in kinds]
    for start in range(0, 1000, 5):
        for column, values in zip(columns, expected, strict=True):
            column.add(values.slice(start, 5))
    made = [column.finish() for column in columns]
    assert [column.combine_chunks().equals(values) for column, values in zip(made, expected, strict=True)] == [True] * 3
    assert len(written) < 12


def test_what_is_written_waits_for_the_disk_in_small_amounts_alone(
    written: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "UNSYNCED_BYTES", 1000)
    here = Scratch(str(tmp_path))
    made = here.empty(1000, np.int8)
    for start in range(0, 1000, 250):
        here.write(made[start : start + 250], np.full(250, 7, np.int8))
    assert made.tolist() == [7] * 1000
    assert written == [250] * 4 + [0]


def test_a_large_file_of_the_storage_is_brought_to_the_disk_as_it_is_written(
    written: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "UNSYNCED_BYTES", 1000)
    store = Store.open(str(tmp_path))
    with store.open_output("large") as stream:
        for _ in range(25):
            assert stream.write(b"x" * 100) == 100
    assert store.read("large") == b"x" * 2500
    assert written == [0, 0]
