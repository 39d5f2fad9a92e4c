"""What a task is: everything that follows from what is learnt, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import nn

from headway_api.base import StatusSection
from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform.restore import Restore
from headway_trainer.metrics import Metrics

Reduction = Literal["none", "mean"]


class ClassPrediction(StatusSection):
    """From logits to classes: `probabilities`, (rows, classes), their softmax; `label`, (rows,), the largest one's
    index in `classes`."""

    kind: Literal["classes"] = "classes"
    classes: list[str]
    """The class names in the order of their labels."""

    def of(self, outputs: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:  # noqa: ARG002 - as others
        """outputs: logits (rows, classes), of any float type; features: the rows that they are of.

        Returns float32 probabilities and int64 labels.
        """
        return {"probabilities": outputs.float().softmax(dim=1), "label": outputs.argmax(dim=1)}


class ValuePrediction(StatusSection):
    """From outputs to values in the targets' units: `value`, (rows, targets), is `output * std + mean`, in float64."""

    kind: Literal["values"] = "values"
    targets: list[str]
    """The targets' names."""
    mean: list[float]
    """The mean of each target over the training part."""
    std: list[float]
    """The standard deviation of each target over the training part, 1 for a constant one."""

    def of(self, outputs: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:  # noqa: ARG002 - as others
        """outputs: (rows, targets), or (rows,) for one target, of any float type; features: the rows they are of."""
        mean, std = (outputs.new_tensor(numbers, dtype=torch.float64) for numbers in (self.mean, self.std))
        return {"value": outputs.double().reshape(len(outputs), -1) * std + mean}


class ForecastPrediction(StatusSection):
    """From outputs to the next steps: `value`, (rows, horizon, targets), is `output * std + mean`, in float64."""

    kind: Literal["forecast"] = "forecast"
    targets: list[str]
    """The targets' names."""
    horizon: int
    """The steps that are forecast."""
    mean: list[float]
    """The mean of each target over the rows of training."""
    std: list[float]
    """The standard deviation of each target over the rows of training, 1 for a constant one."""

    def of(self, outputs: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:  # noqa: ARG002 - as others
        """outputs: (rows, horizon * targets), of any float type; features: the windows that they are of."""
        mean, std = (outputs.new_tensor(numbers, dtype=torch.float64) for numbers in (self.mean, self.std))
        return {"value": outputs.double().reshape(len(outputs), self.horizon, -1) * std + mean}


class RowPrediction(StatusSection):
    """From reconstructed features to `anomaly_score`, (rows,), their mean squared difference from the features that the
    model was given, and to `value`, those that have a unit in the source, in that unit. In float64."""

    kind: Literal["row"] = "row"
    restore: Restore
    """Which features have a unit, and how they get it back."""

    def of(self, outputs: torch.Tensor, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """outputs and features: (rows, *input_shape), of any float type."""
        outputs = outputs.double()
        said = {"anomaly_score": (outputs - features.double()).square().flatten(1).mean(dim=1)}
        restore = self.restore
        kept = outputs if restore.places is None else outputs[:, restore.places]
        if restore.statistics is not None:
            offset, divisor = (torch.from_numpy(numbers).to(outputs.device) for numbers in restore.statistics)
            kept = kept * divisor + offset
        return said | ({"value": kept} if kept.numel() else {})


Prediction = ClassPrediction | ValuePrediction | ForecastPrediction | RowPrediction
"""What a model's outputs mean: numbers alone, so that it can be written down and exported."""


class Task(Protocol):
    """What is learnt from some data. Stateless: it can be made anew from the DataInfo anywhere."""

    name: str
    """As in `data.task`."""
    each: str
    """What each of a model's outputs is for: a class, a target or a feature."""
    outputs: int
    """The width of a model's output."""
    metric_names: tuple[str, ...]
    """The metrics that fit, beside the loss: those of the catalogue."""
    costly: frozenset[str]
    """Those of them that keep more than sums over the rows, and are left to the end where nobody asks for them."""

    def __init__(self, info: DataInfo) -> None: ...

    @property
    def prediction(self) -> Prediction:
        """What the outputs mean."""

    def head(self, width: int) -> nn.Module:
        """The last layer: features (rows, width) to outputs (rows, outputs)."""

    def target(self, batch: Batch) -> torch.Tensor:
        """What the outputs for a batch are compared with."""

    def loss(self, outputs: torch.Tensor, y: torch.Tensor, reduction: Reduction = "none") -> torch.Tensor:
        """The loss of each row, (rows,); with reduction mean, their mean, (), as one operation."""

    def compared(self, outputs: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs, float64, and targets as they are stored, as metrics of other packages take them
        (`declared.NamedMetric`)."""

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:
        """The named metrics and the loss, before the first row of a part of `rows` rows over all ranks."""

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """The shapes that a model's outputs for so many rows may have; the first is the usual one."""
