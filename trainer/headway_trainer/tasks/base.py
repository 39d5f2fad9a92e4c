"""What a task is: everything that follows from what is learnt, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import nn

from headway_api.base import StatusSection
from headway_trainer.data.batches import Batch
from headway_trainer.data.info import DataInfo
from headway_trainer.metrics import Metrics

Reduction = Literal["none", "mean"]


class ClassPrediction(StatusSection):
    """From logits to classes: `probabilities`, (rows, classes), their softmax; `label`, (rows,), the largest one's
    index in `classes`."""

    kind: Literal["classes"] = "classes"
    classes: list[str]
    """The class names in the order of their labels."""

    def of(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """outputs: logits (rows, classes), of any float type. Returns float32 probabilities and int64 labels."""
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

    def of(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """outputs: (rows, targets), or (rows,) for one target, of any float type."""
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

    def of(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """outputs: (rows, horizon * targets), of any float type."""
        mean, std = (outputs.new_tensor(numbers, dtype=torch.float64) for numbers in (self.mean, self.std))
        return {"value": outputs.double().reshape(len(outputs), self.horizon, -1) * std + mean}


Prediction = ClassPrediction | ValuePrediction | ForecastPrediction
"""What a model's outputs mean: numbers alone, so that it can be written down and exported."""


class Task(Protocol):
    """What is learnt from some data. Stateless: it can be made anew from the DataInfo anywhere."""

    name: str
    """As in `data.task`."""
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

    def metrics(self, names: Sequence[str], *, rows: int, device: torch.device) -> Metrics:
        """The named metrics and the loss, before the first row of a part of `rows` rows over all ranks."""

    def shapes(self, rows: int) -> list[tuple[int, ...]]:
        """The shapes that a model's outputs for so many rows may have; the first is the usual one."""
