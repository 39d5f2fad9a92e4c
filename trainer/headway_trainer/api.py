"""What a user's own training function may ask of Headway. `from headway_trainer import data_batches, save_model`.

Outside of a training process of a job, every call raises RuntimeError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway_trainer.data.info import DataInfo, Split
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

if TYPE_CHECKING:
    import torch
    from torch import nn

    from headway_trainer.data.batches import Source

MODEL_FILE = "model.safetensors"


class TrialStopped(Exception):  # noqa: N818 - what it says is no error
    """Raised by `ray.train.report` in a trial of `spec.tuning` that is to end, as others are better or the search is
    over. What was reported counts. A function that goes on all the same is ended 10 seconds later."""


@dataclass(frozen=True)
class Here:
    """The job that this training process belongs to."""

    store: Store
    info: DataInfo | None
    rank: int
    world_size: int
    fence: Callable[[], None] = lambda: None
    """Raises StorageError where a newer attempt has taken this one's place."""
    device: torch.device | None = None
    """What this process computes on; none: the CPU."""
    seed: int = 0
    rows: Store | None = None
    """Of a trial, the folder of the run whose rows it learns from; none where they are in store."""
    batches: dict[Split, Source] = field(default_factory=dict)
    """The parts that data_batches has been asked for."""


@dataclass(frozen=True)
class DataBatch:
    """Some of a worker's rows, on the device that the worker computes on. `x, y, weight = batch` takes it apart."""

    x: torch.Tensor
    """float32 (rows, *input_shape)."""
    y: torch.Tensor
    """As data_shard gives it."""
    weight: float
    """What the mean loss over these rows has to be multiplied by, so that the gradients that the workers average are
    those of all their rows together: near 1, as workers have numbers of rows that differ by one."""
    row_weights: torch.Tensor | None = None
    """Where a column has the role weight: what each row's loss has to be multiplied by, float32 (rows,), before the
    mean is taken; 1 on average over the training part."""

    def __iter__(self) -> Iterator[Any]:
        """x, y and weight."""
        return iter((self.x, self.y, self.weight))


_here: Here | None = None


def enter(here: Here) -> None:
    """Make this process one of a job. For Headway's own use."""
    global _here  # noqa: PLW0603 - a process belongs to one job
    _here = here


def data_info() -> DataInfo:
    """What is known of the prepared data of `spec.data`. Raises UserError where the job has no data section."""
    info = _current().info
    if info is None:
        raise UserError("data_info(), data_batches() and data_shard() need spec.data, and this job has none")
    return info


def data_shard(split: Split = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """This worker's rows of a part of the prepared data: x, float32 (rows, *input_shape), and y; on the CPU.

    Workers may have numbers of rows that differ by one, and so other numbers of batches, in which they would wait for
    each other for ever: data_batches() gives equal ones.
    Of a forecast, each row is a window with its own copy of the steps in it, which data_batches() makes for one batch
    at a time.
    y is int64 labels (rows,), or float32 (rows,) or (rows, targets): standardised targets, of which
    `y * std + mean`, with `target_std` and `target_mean` of data_info(), are the values in their own units.
    Raises UserError where the job has no data section, and StorageError.
    """
    import torch

    from headway_trainer.data.batches import Feed
    from headway_trainer.data.shards import read_series, read_split
    from headway_trainer.double_sharding import divided

    here, info = _current(), data_info()
    _refuse_all_rows(here, info, split)
    x, y = read_split(here.rows or here.store, info, split, here.rank, here.world_size)
    x = Feed(info, torch.device("cpu"), read_series(here.rows or here.store, info))(x)
    if here.world_size > 1:
        divided(x, y)
        if info.rows[split] % here.world_size and here.rank == 0:
            print(
                f"data_shard({split!r}): {info.rows[split]} rows cannot be divided equally among {here.world_size} "
                "workers. If your batches differ in number, the workers wait for each other for ever: data_batches() "
                "gives each worker as many.",
                file=sys.stderr,
            )
    return x, y


def data_batches(split: Split = "train", batch_size: int = 64, *, epoch: int | None = None) -> Iterator[DataBatch]:
    """This worker's batches in one pass over a part: as many on each worker, each row once, on the worker's device.

    batch_size: rows over all workers together. epoch: the number of the pass, which decides the order of the rows, the
    same whenever that pass is made; without it rows come in their own order, which train refuses. A part without rows
    has no batches. Raises UserError for a part that has fewer rows than there are workers, and StorageError.
    """
    from headway_trainer.training.sampler import equal_batches

    here, rows = _current(), data_info().rows[split]
    if batch_size < 1:
        raise UserError(f"data_batches: batch_size is {batch_size}, and must be at least 1")
    if epoch is None and split == "train":
        raise UserError("data_batches: give epoch=, the number of the pass: it decides the order of the training rows")
    if 0 < rows < here.world_size:
        raise UserError(
            f"data_batches: the {split} part has {rows} rows for {here.world_size} training processes: give more "
            f"rows, raise data.split.{split}, or lower workers.replicas or workers.processes"
        )
    batches = _batches(split)
    cut = equal_batches(rows, batch_size, here.rank, here.world_size)
    bounds = [bounds for bounds, _ in cut]
    ready = (
        batches.in_order(bounds)
        if epoch is None
        else batches.epoch(bounds, seed=here.seed, epoch=epoch, rank=here.rank)
    )
    return (DataBatch(one.x, one.y, weight, one.weights) for one, (_, weight) in zip(ready, cut, strict=True))


def _refuse_all_rows(here: Here, info: DataInfo, split: Split) -> None:
    """Raise UserError where this worker's rows are too many to be given all at once."""
    from headway_trainer.data.read.memory import available_bytes, shown

    needed, left = 4 * info.features * -(-info.rows[split] // here.world_size), available_bytes()
    if info.blocks is not None and left is not None and needed > left:
        raise UserError(
            f"data_shard({split!r}) would give {shown(needed)} of rows to each worker, of whose memory {shown(left)}"
            " are left: data_batches() reads them block by block; or raise workers.resources.memory"
        )


def _batches(split: Split) -> Source:
    """The part's rows of this worker, read once, or block by block where memory does not hold them."""
    import torch

    from headway_trainer.data.batches import batches
    from headway_trainer.data.shards import read_series, read_weights, stored_split

    here, info = _current(), data_info()
    if split not in here.batches:
        rows = stored_split(here.rows or here.store, info, split, here.rank, here.world_size)
        weights = read_weights(here.rows or here.store, info, split, here.rank, here.world_size)
        device, series = here.device or torch.device("cpu"), read_series(here.rows or here.store, info)
        here.batches[split] = batches(rows, info, device, weights, series=series)
    return here.batches[split]


def save_model(model: nn.Module | dict[str, torch.Tensor]) -> None:
    """Make a module's or a state dict's weights the job's model, as safetensors; the last call wins.

    Every worker may call it, and rank 0 alone writes. Raises StorageError.
    """
    import torch
    from safetensors.torch import save

    here = _current()
    if here.rank != 0:
        return
    state = model if isinstance(model, dict) else getattr(model, "module", model).state_dict()
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(f"save_model takes tensors alone, and {others[0]} is an object of another type")
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    here.fence()
    here.store.write(MODEL_FILE, save(tensors))


def _current() -> Here:
    if _here is None:
        raise RuntimeError("headway_trainer's functions work in a training process of a job alone")
    return _here
