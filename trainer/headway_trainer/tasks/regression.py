"""Regression: one or several numbers a row, learnt as standard deviations from their means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.metrics import Metrics
from headway_trainer.metrics.errors import by_error
from headway_trainer.tasks.base import Reduction, ValuePrediction


class Regression:
    """Squared error of standardised targets, the mean over the targets: so each counts alike, whatever its units, and
    1 is what always saying the mean would cost."""

    name = "regression"
    each = "target"
    metric_names = tuple(by_error())
    costly: frozenset[str] = frozenset()

    def __init__(self, info: DataInfo) -> None:
        self.outputs = info.outputs
        self.prediction = ValuePrediction(
            targets=info.target_names or [f"target {index}" for index in range(info.outputs)],
            mean=info.target_mean or [0.0] * info.outputs,
            std=info.target_std or [1.0] * info.outputs,
        )

    def head(self, width: int) -> nn.Module:
        """A linear layer to the standardised targets."""
        return nn.Linear(width, self.outputs)

    def target(self, batch: Batch) -> torch.Tensor:
        """The rows' y."""
        return batch.y

    def loss(self, outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction = "none") -> torch.Tensor:
        """The squared error of each row, a mean over the targets."""
        return squared_error(outputs, y, reduction)

    def compared(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (rows, targets), in the targets' units."""
        predicted, actual = (self.prediction.of(values, y)["value"] for values in (outputs, y))
        return predicted, actual

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:  # noqa: ARG002 - of any size
        """The named metrics, in the targets' own units."""
        known = by_error()
        return Metrics(
            self.loss,
            {name: known[name] for name in names},
            lambda kind: kind(self.prediction.std, device),
            device,
        )

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """(rows, targets); for one target also (rows,)."""
        return [(rows, self.outputs), *([(rows,)] if self.outputs == 1 else [])]


def squared_error(outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    """The squared error of each row, (rows,), a mean over its numbers; with reduction mean, their mean, ()."""
    outputs = outputs.reshape(y.shape)
    if reduction == "mean":
        return functional.mse_loss(outputs, y)
    return functional.mse_loss(outputs, y, reduction="none").reshape(len(y), -1).mean(dim=1)
