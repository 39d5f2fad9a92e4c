"""Plain supervised learning: one pass, one loss of what the model gives and what it should have given."""

from __future__ import annotations

from typing import ClassVar

import torch

from headway_trainer.data.batches import Batch
from headway_trainer.programs.base import Program, Turn


class Supervised(Program):
    """The program of every model that does not bring its own."""

    single_pass: ClassVar[bool] = True

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        """One update by the task's loss."""
        with turn.autocast():
            loss = self._mean_loss(turn.model(batch.x), batch)
        turn.update(loss)
        return loss

    def _mean_loss(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean over a batch; with weights, of the weighted losses: weights are 1 on average over the epoch."""
        target = self.task.target(batch)
        if batch.weights is None:
            return self.task.loss(outputs, target, reduction="mean")
        return (self.task.loss(outputs, target) * batch.weights).mean()
