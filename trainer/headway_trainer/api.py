"""What a user's own training function may ask of Headway. `from headway_trainer import data_shard, save_model`.

Outside of a training process of a job, every call raises RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway_trainer.data.info import DataInfo, Split
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

if TYPE_CHECKING:
    import torch
    from torch import nn

MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class Here:
    """The job that this training process belongs to."""

    store: Store
    info: DataInfo | None
    rank: int
    world_size: int
    fence: Callable[[], None] = lambda: None
    """Raises StorageError where a newer attempt has taken this one's place."""


_here: Here | None = None


def enter(here: Here) -> None:
    """Make this process one of a job. For Headway's own use."""
    global _here  # noqa: PLW0603 - a process belongs to one job
    _here = here


def data_info() -> DataInfo:
    """What is known of the prepared data of `spec.data`. Raises UserError where the job has no data section."""
    info = _current().info
    if info is None:
        raise UserError("data_info() and data_shard() need spec.data, and this job has none")
    return info


def data_shard(split: Split = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """This worker's rows of a part of the prepared data: x, float32 (rows, *input_shape), and y.

    y is int64 labels (rows,), or float32 (rows,) or (rows, targets): standardised targets, of which
    `y * std + mean`, with `target_std` and `target_mean` of data_info(), are the values in their own units.
    Raises UserError where the job has no data section, and StorageError.
    """
    from headway_trainer.data.shards import read_split

    here = _current()
    return read_split(here.store, data_info(), split, here.rank, here.world_size)


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
