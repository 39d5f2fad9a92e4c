"""What every metric is made of: an accumulator that batches are fed to, and a pure function of what it holds.

The same code judges each epoch and the finished model, on one process or on many: a rank feeds its own rows, `reduce`
puts the ranks together, and the values are then those of all rows, however unevenly they were divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch


class Ranks(Protocol):
    """The processes that judge a part together. Every rank has to make the same calls in the same order."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks; the tensor itself may be changed."""

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of all ranks, in the order of the ranks; each has (rows, ...) of its own number of rows."""


class Accumulator(Protocol):
    """What is kept of the rows that were judged so far."""

    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """Take in a batch: the model's outputs, float64 (rows, outputs), and the targets as they are stored."""

    def reduce(self, ranks: Ranks) -> None:
        """Hold what all ranks hold together. Called once, after the last batch."""


@dataclass(frozen=True)
class Metric:
    """A metric: what it has to keep of each row, and what it makes of that."""

    accumulator: type[Any]
    """The Accumulator that it reads. Metrics that read the same one share it."""
    value: Callable[[Any], torch.Tensor]
    """Of the reduced accumulator: float64 (), or (targets,) for a metric that is told by target. NaN: undefined."""


class LossSum:
    """The rows' losses, weighted by the rows' weights."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)

    def update(self, losses: torch.Tensor, weights: torch.Tensor | None) -> None:
        """Take in a batch: losses and weights, (rows,); without weights, each row counts 1."""
        if weights is None:
            self._sums += torch.stack([losses.sum(), losses.new_tensor(float(len(losses)))])
        else:
            self._sums += torch.stack([(losses * weights).sum(), weights.double().sum()])

    def reduce(self, ranks: Ranks) -> None:
        """Hold the sums of all ranks."""
        self._sums = ranks.sum(self._sums)

    def value(self) -> float | None:
        """The mean; none where no row, or none with a weight, was seen."""
        total, weight = self._sums.tolist()
        return total / weight if weight else None


class Metrics:
    """The metrics of one part of the data: fed batch by batch, reduced over the ranks once, then read."""

    def __init__(
        self,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        metrics: Mapping[str, Metric],
        make: Callable[[type[Any]], Accumulator],
        device: torch.device,
    ) -> None:
        """loss: the loss of each row; make: an empty accumulator of the type."""
        self._row_loss = loss
        self._loss = LossSum(device)
        self.accumulators: dict[type[Any] | str, Any] = {kind: make(kind) for kind in _kinds(metrics)}
        """By their types; those that the metrics need. Those of other packages' metrics by the metrics' names."""
        self._values: dict[str, Callable[[], torch.Tensor]] = {
            name: partial(metric.value, self.accumulators[metric.accumulator]) for name, metric in metrics.items()
        }

    def add(self, name: str, accumulator: Accumulator, value: Callable[[], torch.Tensor]) -> None:
        """Take in a metric that has an accumulator of its own, before the first row."""
        self.accumulators[name] = accumulator
        self._values[name] = value

    @torch.no_grad()
    def update(
        self,
        outputs: torch.Tensor,
        y: torch.Tensor,
        weights: torch.Tensor | None = None,
        losses: torch.Tensor | None = None,
    ) -> None:
        """Take in a batch: outputs as the model gives them, targets as they are stored, weights and losses (rows,); all
        on the device. Without losses, they are those of outputs and targets."""
        outputs = outputs.detach().double()
        self._loss.update(self._row_loss(outputs, y) if losses is None else losses.double(), weights)
        for accumulator in self.accumulators.values():
            accumulator.update(outputs, y)

    def reduce(self, ranks: Ranks) -> None:
        """Put the ranks together. Every rank has to call it, also one without rows."""
        self._loss.reduce(ranks)
        for accumulator in self.accumulators.values():
            accumulator.reduce(ranks)

    def scalars(self) -> dict[str, float]:
        """The loss and the metrics by name; nothing where there was no row, NaN where a metric is undefined."""
        loss = self._loss.value()
        if loss is None:
            return {}
        return {"loss": loss} | {name: float(value().mean()) for name, value in self._values.items()}

    def by_target(self) -> list[dict[str, float]]:
        """The metrics of each target; nothing where there is only one, or none that is told by target."""
        values = {name: value() for name, value in self._values.items()}
        several = {name: value.tolist() for name, value in values.items() if value.dim() and len(value) > 1}
        count = max((len(values) for values in several.values()), default=0)
        return [{name: values[index] for name, values in several.items()} for index in range(count)]


def _kinds(metrics: Mapping[str, Metric]) -> list[type[Any]]:
    return list(dict.fromkeys(metric.accumulator for metric in metrics.values()))


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """The values as JSON can hold them: none for one that is no finite number."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
