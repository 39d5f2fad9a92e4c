"""Forecasting: the next steps of one or several targets, all at once, learnt as a regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.metrics import Metrics
from headway_trainer.metrics.forecasts import by_forecast
from headway_trainer.tasks.base import ForecastPrediction, Reduction
from headway_trainer.tasks.regression import squared_error


class Forecasting:
    """Squared error of standardised targets, the mean over targets and steps ahead.

    Outputs are those of the first step ahead, one for each target, then those of the second, and so on.
    """

    name = "forecasting"
    each = "target of each step"
    metric_names = tuple(by_forecast())
    costly: frozenset[str] = frozenset()

    def __init__(self, info: DataInfo) -> None:
        if info.forecast is None:
            raise ValueError("no windows were prepared")
        self.outputs = info.outputs
        self._naive = info.forecast.naive_mae
        self.prediction = ForecastPrediction(
            targets=info.target_names,
            horizon=info.forecast.horizon,
            mean=info.target_mean,
            std=info.target_std,
        )

    def head(self, width: int) -> nn.Module:
        """A linear layer to the standardised targets of all steps ahead."""
        return nn.Linear(width, self.outputs)

    def loss(self, outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction = "none") -> torch.Tensor:
        """The squared error of each window, a mean over targets and steps ahead."""
        return squared_error(outputs, y, reduction)

    def target(self, batch: Batch) -> torch.Tensor:
        """The standardised targets of the steps ahead."""
        return batch.y

    def compared(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (rows, horizon, targets), in the targets' units."""
        predicted, actual = (self.prediction.of(values, y)["value"] for values in (outputs, y))
        return predicted, actual

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:  # noqa: ARG002 - of any size
        """The named metrics, in the targets' own units."""
        known, prediction = by_forecast(), self.prediction
        return Metrics(
            self.loss,
            {name: known[name] for name in names},
            lambda kind: kind(prediction.std, prediction.horizon, self._naive, device),
            device,
        )

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """(rows, horizon * targets)."""
        return [(rows, self.outputs)]
