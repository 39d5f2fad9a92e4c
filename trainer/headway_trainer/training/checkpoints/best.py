"""The best model so far, in rank 0's memory on the CPU: a better epoch costs a copy, and the next checkpoint stores it.

A run that is killed goes on from a checkpoint, which has the best model up to there, and trains the epochs after it
again: exactly, so it finds the same best one (docs/decisions/0069).
"""

from __future__ import annotations

import torch
from torch import nn

from headway_trainer.training.checkpoints.store import MODEL_FILE, BestModel

BEST_FILE = "best.safetensors"


class BestWeights:
    """One copy of the weights and buffers, with the metrics that go with it."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        """Weights and buffers, on the CPU; empty before there is a best model."""
        self._step = 0
        self._metrics: dict[str, float] = {}

    def take(self, model: nn.Module, step: int, metrics: dict[str, float]) -> None:
        """Copy the model as it is now, after `step` steps, into the memory of the last copy."""
        for name, tensor in model.state_dict().items():
            kept = self.tensors.get(name)
            if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                self.tensors[name] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            else:
                kept.copy_(tensor.detach())
        self._step, self._metrics = step, dict(metrics)

    def restore(self, tensors: dict[str, torch.Tensor], told: BestModel) -> None:
        """Go on with the best model of a checkpoint."""
        self.tensors, self._step, self._metrics = tensors, told.step, dict(told.metrics)

    def told(self, step: int) -> BestModel | None:
        """How a checkpoint of `step` names it; none before there is one. The checkpoint has to store `tensors` unless
        the file is its own model."""
        if not self.tensors:
            return None
        file = MODEL_FILE if step == self._step else BEST_FILE
        return BestModel(step=self._step, file=file, metrics=self._metrics)
