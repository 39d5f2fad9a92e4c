"""Metrics of a forecast: those of a regression over all steps ahead together, by target, and the error of each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headway_trainer.metrics.base import Metric, Ranks
from headway_trainer.metrics.errors import TargetErrors, by_error


class ForecastErrors(TargetErrors):
    """Sums over windows, by step ahead and target; reduced, those over all steps ahead of each target."""

    def __init__(self, std: Sequence[float], horizon: int, naive: Sequence[float], device: torch.device) -> None:
        """std and naive: of each target, its standard deviation and its naive error (`ForecastInfo.naive_mae`)."""
        super().__init__(std, device, columns=horizon * len(std))
        self._naive = torch.tensor(naive, dtype=torch.float64)
        self._steps = horizon
        self.mae_by_step = torch.zeros(horizon, len(std), dtype=torch.float64)
        """Reduced: the mean absolute error of each step ahead, (horizon, targets), in the targets' units."""

    def reduce(self, ranks: Ranks) -> None:
        """Hold the sums of all ranks, and add those of the steps ahead up."""
        super().reduce(ranks)
        sums = self._sums.reshape(len(self._sums), self._steps, -1)
        self.mae_by_step = sums[1] / sums[4] * self._std
        self._sums = sums.sum(dim=1)

    def mase(self) -> torch.Tensor:
        """The mean absolute scaled error of each target (Hyndman and Koehler, 2006): 1 is what saying the last season
        again costs, one season ahead, on the rows of training. Undefined (NaN) where that costs nothing."""
        return torch.where(self._naive > 0, self.mae() / self._naive, torch.nan)


def by_forecast() -> dict[str, Metric]:
    """The metrics by name: each is of all steps ahead together; the mean over the targets, and told by target, too."""
    regression = {name: Metric(ForecastErrors, metric.value) for name, metric in by_error().items()}
    return regression | {"mase": Metric(ForecastErrors, ForecastErrors.mase)}
