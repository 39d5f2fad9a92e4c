"""Metrics of a reconstruction: of the errors of all features together, in the units in which a model takes them."""

from __future__ import annotations

import torch

from headway_trainer.metrics.base import Metric, Ranks


class FeatureErrors:
    """The errors' sums, and how far the features are spread.

    The spread is kept as the features' means and the squares around them, which are merged as in Chan, Golub and
    LeVeque (1983): so features far from 0 lose no digits.
    """

    def __init__(self, features: int, device: torch.device) -> None:
        self._rows, self._squares, self._sizes, self._spread = (
            torch.zeros((), dtype=torch.float64, device=device) for _ in range(4)
        )
        self._means = torch.zeros(features, dtype=torch.float64, device=device)

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """outputs and y: (rows, *row_shape)."""
        y = y.double().flatten(1)
        errors = outputs.flatten(1) - y
        self._squares += errors.square().sum()
        self._sizes += errors.abs().sum()
        means = y.mean(dim=0)
        self._merge(y.new_tensor(float(len(y))), means, (y - means).square().sum())

    def reduce(self, ranks: Ranks) -> None:
        """Hold what all ranks hold together."""
        own = torch.stack([self._rows, self._squares, self._sizes, self._spread])
        told = ranks.gather_rows(torch.cat([own, self._means]).unsqueeze(0)).cpu()
        _, self._squares, self._sizes, _ = told[:, :4].sum(dim=0)
        self._rows, self._spread, self._means = (
            told.new_zeros(()),
            told.new_zeros(()),
            told.new_zeros(told.shape[1] - 4),
        )
        for one in told:
            self._merge(one[0], one[4:], one[3])

    def _merge(self, rows: torch.Tensor, means: torch.Tensor, spread: torch.Tensor) -> None:
        if not rows:
            return
        together = self._rows + rows
        apart = means - self._means
        self._spread = self._spread + spread + apart.square().sum() * self._rows * rows / together
        self._means = self._means + apart * rows / together
        self._rows = together

    def mse(self) -> torch.Tensor:
        """The mean squared error of a feature."""
        return self._squares / (self._rows * len(self._means))

    def mae(self) -> torch.Tensor:
        """The mean absolute error of a feature."""
        return self._sizes / (self._rows * len(self._means))

    def r2(self) -> torch.Tensor:
        """The share of the variance of all features that is told: 1 is perfect, 0 what the part's means would give.

        Each feature weighs by its variance, as in scikit-learn's `r2_score(multioutput="variance_weighted")`. Undefined
        (NaN) for fewer than two rows; where no feature varies, 1 if all are met and else 0.
        """
        if self._rows < 2:  # noqa: PLR2004 - one row has no spread
            return torch.tensor(torch.nan, dtype=torch.float64)
        if self._spread == 0:
            return (self._squares == 0).double()
        return 1 - self._squares / self._spread


def by_feature_error() -> dict[str, Metric]:
    """The metrics by name."""
    return {
        "mse": Metric(FeatureErrors, FeatureErrors.mse),
        "rmse": Metric(FeatureErrors, lambda errors: errors.mse().sqrt()),
        "mae": Metric(FeatureErrors, FeatureErrors.mae),
        "r2": Metric(FeatureErrors, FeatureErrors.r2),
    }
