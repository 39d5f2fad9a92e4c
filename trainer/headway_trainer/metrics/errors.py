"""Metrics of a regression, from sums of the errors of each target, in the targets' own units."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from headway_trainer.metrics.base import Metric, Ranks


class TargetErrors:
    """Sums over rows, by target, in standard deviations of the target: of errors and of the targets themselves."""

    def __init__(self, std: Sequence[float], device: torch.device, columns: int | None = None) -> None:
        """std: of each target; columns: how many numbers a row has, one for each target if none."""
        self._std = torch.tensor(std, dtype=torch.float64)
        self._sums = torch.zeros(5, columns or len(std), dtype=torch.float64, device=device)

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """outputs: (rows, targets) or (rows,); y: standardised targets of as many numbers."""
        y = y.double().reshape(len(y), -1)
        errors = outputs.reshape(y.shape) - y
        self._sums += torch.stack(
            [errors.square().sum(0), errors.abs().sum(0), y.sum(0), y.square().sum(0), torch.ones_like(y).sum(0)]
        )

    def reduce(self, ranks: Ranks) -> None:
        """Hold the sums of all ranks."""
        self._sums = ranks.sum(self._sums).cpu()

    def mse(self) -> torch.Tensor:
        """The mean squared error of each target, in its units squared."""
        return self._sums[0] / self._sums[4] * self._std.square()

    def mae(self) -> torch.Tensor:
        """The mean absolute error of each target, in its units."""
        return self._sums[1] / self._sums[4] * self._std

    def r2(self) -> torch.Tensor:
        """The coefficient of determination of each target: 1 is perfect, 0 what saying the part's mean would give.

        Undefined (NaN) for fewer than two rows; for a target that does not vary, 1 where it is met and else 0.
        """
        squares, _, total, total_squares, rows = self._sums
        spread = total_squares - total.square() / rows
        # What is left of equal targets after the subtraction is rounding.
        constant = spread <= 1e-12 * total_squares.clamp(min=1e-300)
        r2 = torch.where(constant, (squares == 0).double(), 1 - squares / torch.where(constant, 1.0, spread))
        return torch.where(rows < 2, torch.nan, r2)  # noqa: PLR2004 - one row has no spread


def by_error() -> dict[str, Metric]:
    """The metrics by name: each is the mean over the targets, and told by target, too."""
    return {
        "mse": Metric(TargetErrors, TargetErrors.mse),
        "rmse": Metric(TargetErrors, lambda errors: errors.mse().sqrt()),
        "mae": Metric(TargetErrors, TargetErrors.mae),
        "r2": Metric(TargetErrors, TargetErrors.r2),
    }
