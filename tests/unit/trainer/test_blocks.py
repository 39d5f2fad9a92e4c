"""Rows that training processes cannot hold are read in blocks: every row once an epoch, and resumed exactly."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.data import Data
from headway_trainer.api import DataBatch, Here, data_batches, data_shard, enter
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.batches import batches
from headway_trainer.data.info import Blocks
from headway_trainer.data.order import BlockOrder
from headway_trainer.data.prepared import prepared_folds
from headway_trainer.data.read import memory
from headway_trainer.data.shards import stored_split, write_array
from headway_trainer.data.stored import StoredRows
from headway_trainer.errors import UserError
from headway_trainer.storage import Store
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.sampler import equal_batches
from training_runs import data_info, finish, make_job, rows, run_until, same, training

CPU = torch.device("cpu")
SMALL = Blocks(rows=4, window=3)
orders = st.builds(
    BlockOrder.shuffled,
    st.integers(1, 300),
    st.builds(Blocks, rows=st.integers(1, 20), window=st.integers(1, 6)),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
    rank=st.integers(0, 3),
)


def _told(order: BlockOrder, start: int, stop: int) -> list[int]:
    """The numbers of the rows [start, stop) of an order."""
    told: list[int] = []
    for number, first, last in order.pieces(start, stop):
        blocks, shuffled = order.window(number)
        index = [row for block in blocks for row in range(*order.bounds(block))]
        told += [index[row] for row in shuffled[first:last].tolist()]
    return told


@given(order=orders)
def test_every_row_comes_once_an_epoch_wherever_blocks_and_windows_end(order: BlockOrder) -> None:
    assert sorted(_told(order, 0, order.rows)) == list(range(order.rows))


@given(order=orders, data=st.data())
def test_an_order_goes_on_from_any_row_as_it_would_have(order: BlockOrder, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, order.rows - 1))
    stop = data.draw(st.integers(start, order.rows))
    assert _told(order, start, stop) == _told(order, 0, order.rows)[start:stop]


def test_orders_differ_by_epoch_and_rank_and_not_by_when_they_are_asked_for() -> None:
    made = {
        (seed, epoch, rank): tuple(_told(BlockOrder.shuffled(60, SMALL, seed=seed, epoch=epoch, rank=rank), 0, 60))
        for seed, epoch, rank in itertools.product((1, 2), (0, 1), (0, 1))
    }
    assert len(set(made.values())) == len(made)
    assert made[1, 0, 0] == tuple(_told(BlockOrder.shuffled(60, SMALL, seed=1, epoch=0, rank=0), 0, 60))
    assert tuple(range(60)) not in made.values()


def test_a_shard_in_its_own_order_is_not_shuffled() -> None:
    assert _told(BlockOrder.in_order(23, SMALL), 0, 23) == list(range(23))


@pytest.mark.parametrize(("row_bytes", "blocks"), [(256, (4096, 64)), (3_000_000, (1, 22)), (200_000_000, (1, 1))])
def test_blocks_are_a_mebibyte_and_windows_64(row_bytes: int, blocks: tuple[int, int]) -> None:
    assert Blocks.of(row_bytes) == Blocks(rows=blocks[0], window=blocks[1])


def _stored(store: Store, train: int, validation: int) -> DataInfo:
    """The rows of `training_runs`, on the store, in small blocks."""
    for name, count, seed in (("train", train, 1), ("validation", validation, 2)):
        x, y = rows(count, seed)
        write_array(store, f"data/{name}.x.npy", x.numpy())
        write_array(store, f"data/{name}.y.npy", y.numpy())
    return data_info(train, validation).model_copy(update={"blocks": SMALL})


def _job(store: Store, attempt: int = 1) -> LoopInputs:
    """A small job whose rows are read in blocks."""
    info = _stored(store, 60, 20)
    job = make_job(store, training(checkpoint={"everySteps": 3}), attempt=attempt)
    return dataclasses.replace(
        job, info=info, train=stored_split(store, info, "train"), validation=stored_split(store, info, "validation")
    )


def test_a_run_over_blocks_that_is_killed_and_resumed_has_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    whole, weights = finish(_job(Store.open(str(tmp_path / "whole"))))
    for kill in (1, 5, 8):
        store = Store.open(str(tmp_path / str(kill)))
        run_until(_job(store), kill)
        resumed, again = finish(_job(store, attempt=2))
        assert resumed.step == whole.step
        assert same(weights, again)


def test_blocks_of_a_whole_shard_in_order_are_judged_as_the_shard_in_memory(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    end, _ = finish(_job(store))
    assert 0 < (end.history[-1].validation["accuracy"] or 0) <= 1


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("shuffled", [True, False])
def test_batches_from_blocks_have_each_row_once_with_its_target_and_weight(
    world: int, tmp_path: Path, *, shuffled: bool
) -> None:
    store = Store.open(str(tmp_path))
    x = np.arange(50, dtype=np.float32)
    write_array(store, "data/train.x.npy", np.repeat(x[:, None], 4, axis=1))
    write_array(store, "data/train.y.npy", np.arange(50))
    info = data_info(50, 0).model_copy(update={"blocks": SMALL})
    seen: list[float] = []
    for rank in range(world):
        stored, y = stored_split(store, info, "train", rank, world)
        assert isinstance(stored, StoredRows)
        source = batches((stored, y), info, CPU, weights=y.float() * 2)
        bounds = [one for one, _ in equal_batches(50, 7, rank, world)]
        taken = source.epoch(bounds, seed=1, epoch=0, rank=rank) if shuffled else source.in_order(bounds)
        for batch in taken:
            assert batch.weights is not None
            assert batch.x[:, 0].tolist() == batch.y.tolist() == (batch.weights / 2).tolist()
            seen += batch.x[:, 0].tolist()
    assert sorted(seen) == x.tolist()
    assert (seen == x.tolist()) is not shuffled


@settings(max_examples=30)
@given(start=st.integers(0, 30), stop=st.integers(0, 30), step=st.integers(1, 9))
def test_slices_of_stored_rows_are_those_of_a_tensor(
    start: int, stop: int, step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.open(str(tmp_path_factory.mktemp("rows")))
    x = torch.arange(60, dtype=torch.float32).reshape(30, 2)
    write_array(store, "data/train.x.npy", x.numpy())
    write_array(store, "data/train.y.npy", np.zeros(30, np.int64))
    info = data_info(30, 0).model_copy(update={"blocks": SMALL})
    stored, _ = stored_split(store, info, "train", 1, 2)
    assert isinstance(stored, StoredRows)
    shard = x[15:]
    assert (stored.shape, stored.dtype, stored.nbytes) == (shard.shape, shard.dtype, shard.nbytes)
    assert torch.equal(stored[start:stop], shard[start:stop])
    some = stored.every(step)
    assert torch.equal(some[start:stop], shard[::step][start:stop])
    assert len(some) == len(shard[::step])
    with pytest.raises(IndexError, match="one after the other"):
        stored[::2]


def _digits(store: Store, memory_of_each: int | None, processes: int = 1) -> DataInfo:
    spec = Data.model_validate({"source": {"builtin": {"name": "digits"}}})
    return prepare(spec, seed=0, store=store, processes=processes, process_memory=memory_of_each)


SHARE = 1797 * 64 * 4
"""Bytes of all digits, as they are stored."""


@pytest.mark.parametrize(
    ("memory_of_each", "processes", "in_blocks"),
    [
        (None, 1, False),
        (4 * SHARE, 1, False),
        (4 * SHARE - 4, 1, True),
        (2 * SHARE, 2, True),
        (2 * SHARE + 1000, 2, False),
    ],
)
def test_rows_are_read_in_blocks_where_a_process_would_hold_too_many(
    memory_of_each: int | None, processes: int, tmp_path: Path, *, in_blocks: bool
) -> None:
    info = _digits(Store.open(str(tmp_path)), memory_of_each, processes)
    assert (info.blocks is not None) is in_blocks
    assert any("they are read in blocks of 4,096 rows" in note for note in info.notes) is in_blocks


def test_folds_are_read_in_blocks_where_the_fewer_processes_that_each_has_would_hold_too_many(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    spec = Data.model_validate({"source": {"builtin": {"name": "digits"}}, "split": {"folds": 2}})
    info = prepare(spec, seed=0, store=store, processes=4, fold_processes=2, process_memory=SHARE + 1000)
    assert info.blocks is None
    assert [fold.blocks is not None for fold in prepared_folds(store)] == [True, True], "of all rows but the test part"


def test_a_resumed_run_reads_its_rows_as_it_began_to(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    began = _digits(store, 1000)
    assert began.blocks is not None
    assert _digits(store, None) == began


def test_own_functions_get_batches_of_blocks_and_no_shard_that_memory_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(tmp_path))
    info = _digits(store, 1000)
    enter(Here(store, info, 0, 1))
    taken: list[DataBatch] = list(data_batches("train", 100, epoch=0))
    expected, _ = read_split(store, info, "train")
    found = torch.cat([batch.x for batch in taken])
    assert sorted(map(bytes, found.numpy())) == sorted(map(bytes, expected.numpy()))
    assert torch.equal(torch.cat([batch.x for batch in data_batches("test", 100)]), read_split(store, info, "test")[0])
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"would give .* data_batches\(\) reads them block by block"):
        data_shard()


def test_the_memory_of_this_machine_is_at_least_what_is_left_of_it() -> None:
    limit, left = memory.limit_bytes(), memory.available_bytes()
    assert limit is not None
    assert left is not None
    assert limit >= left
