"""What the loop is given: what to train, on what, with whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from headway_api.training import Training
from headway_trainer.data.batches import AnyRows
from headway_trainer.data.info import DataInfo
from headway_trainer.programs import Program
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Link
from headway_trainer.training.process_group import Group


@dataclass(frozen=True)
class LoopInputs:
    """What to train, on what, with whom."""

    spec: Training
    seed: int
    info: DataInfo
    program: Program
    """Its model is on the CPU, with its initial weights."""
    train: AnyRows
    """This rank's shard."""
    validation: AnyRows
    """This rank's shard."""
    group: Group
    checkpoints: Checkpoints
    link: Link
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    clock: Callable[[], float] = time.monotonic
    train_weights: torch.Tensor | None = None
    """Of the rows of train, float32 (rows,), their mean over all ranks 1; without them each row counts 1."""
    series: torch.Tensor | None = None
    """Of a forecast, the rows that windows are made of (`data.shards.read_series`)."""
    compared_at: frozenset[int] = frozenset()
    """The epochs, counted from 1, after which a trial asks whether it goes on."""
    until: int | None = None
    """The epoch, counted from 1, after which a trial ends for now, with a checkpoint to go on from."""
    validation_weights: torch.Tensor | None = None
    """Of the rows of validation, on the same scale."""

    @property
    def model(self) -> nn.Module:
        """What is trained, judged and kept."""
        return self.program.model
