"""Reconstruction: a row's own features are what is learnt, through something that cannot hold all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform.restore import Restore
from headway_trainer.metrics import Metrics
from headway_trainer.metrics.features import FeatureErrors, by_feature_error
from headway_trainer.tasks.base import Reduction, RowPrediction


class Reconstruction:
    """Squared error of the features as the model takes them, the mean over a row's features: 1 is about what always
    saying the mean costs, where they are standardised."""

    name = "reconstruction"
    each = "feature"
    metric_names = tuple(by_feature_error())
    costly: frozenset[str] = frozenset()

    def __init__(self, info: DataInfo) -> None:
        self.outputs = info.features
        self.prediction = RowPrediction(restore=Restore.of(info.transforms, info.input_shape))
        self._row_shape = info.input_shape

    def head(self, width: int) -> nn.Module:
        """A linear layer to the features, in the shape of a row."""
        return nn.Sequential(nn.Linear(width, self.outputs), nn.Unflatten(1, self._row_shape))

    def target(self, batch: Batch) -> torch.Tensor:
        """The rows' features."""
        return batch.x

    def loss(self, outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction = "none") -> torch.Tensor:
        """The squared error of each row, a mean over the features."""
        if reduction == "mean":
            return functional.mse_loss(outputs, y)
        return functional.mse_loss(outputs, y, reduction="none").flatten(1).mean(dim=1)

    def compared(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (rows, *row_shape), of the features as the model takes them."""
        return outputs, y.double()

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:  # noqa: ARG002 - of any size
        """The named metrics, of the features as the model takes them."""
        known = by_feature_error()
        return Metrics(
            self.loss, {name: known[name] for name in names}, lambda _: FeatureErrors(self.outputs, device), device
        )

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """That of the rows."""
        return [(rows, *self._row_shape)]
