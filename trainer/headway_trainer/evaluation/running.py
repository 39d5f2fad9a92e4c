"""Losses, and the metrics of each epoch as plain sums, which workers add up with one all-reduce.

torchmetrics would do the same, but takes seconds of each worker's time to import; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from headway_trainer.data.info import DataInfo

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def loss_function(info: DataInfo) -> Loss:
    """The mean loss of a batch as `loss(outputs, y)`.

    Classification: cross entropy over logits. Regression: the mean squared error divided by the targets' variance in
    the training part, so that 1 is what predicting the mean would cost, and learning rates do not depend on units.
    """
    if info.task == "classification":
        return nn.CrossEntropyLoss()
    # Divided before it is squared, as the square may be beyond 32 bits.
    std = _variance(info) ** 0.5
    return lambda outputs, y: functional.mse_loss(as_targets(outputs, y) / std, y / std)


def _variance(info: DataInfo) -> float:
    return sum(std**2 for std in info.target_std) / len(info.target_std) if info.target_std else 1.0


def as_targets(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A regression model's outputs in the shape of the targets: (rows, 1) as (rows,)."""
    return outputs.reshape(y.shape)


class RunningMetrics:
    """Sums over rows that give the metrics of a part.

    Classification: loss, accuracy and the macro averages of precision, recall, f1 and specificity.
    Regression: loss, mse and mae.
    """

    def __init__(self, info: DataInfo, device: torch.device | str = "cpu") -> None:
        self._classes = info.outputs if info.task == "classification" else None
        size = 2 + 3 * self._classes if self._classes else 3
        self._variance = _variance(info)
        self._state = torch.zeros(size, dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, outputs: torch.Tensor, y: torch.Tensor) -> None:
        """Add a batch: outputs (rows, outputs) and y as read_split gives it, both on the state's device."""
        # A device that has no 64-bit floats is not one of torch's training devices; sums need them.
        outputs = outputs.detach().double()
        if self._classes is None:
            error = as_targets(outputs, y) - y
            self._state += torch.stack([error.square().sum(), error.abs().sum(), error.new_tensor(float(y.numel()))])
            return
        predicted = outputs.argmax(dim=1)
        loss = functional.cross_entropy(outputs, y, reduction="sum")
        counts = [
            torch.bincount(labels, minlength=self._classes).double() for labels in (y[predicted == y], y, predicted)
        ]
        self._state += torch.cat([loss.reshape(1), loss.new_tensor([float(len(y))]), *counts])

    def state(self) -> torch.Tensor:
        """The sums, float64 (size,): add those of all workers for the sums over all their rows."""
        return self._state.clone()

    def load_state(self, state: torch.Tensor) -> None:
        """Replace the sums, with those of all workers for example."""
        self._state = state.to(self._state)

    def compute(self) -> dict[str, float]:
        """The metrics of all rows so far; none before the first row."""
        state = self._state.cpu()
        if self._classes is None:
            squares, absolute, count = state.tolist()
            if count == 0:
                return {}
            return {"loss": squares / count / self._variance, "mse": squares / count, "mae": absolute / count}
        loss, count = state[:2].tolist()
        if count == 0:
            return {}
        hits, actual, predicted = state[2:].reshape(3, self._classes)
        metrics = {"loss": loss / count, "accuracy": hits.sum().item() / count}
        return metrics | _macro_averages(hits, actual, predicted, count)


def _macro_averages(
    hits: torch.Tensor, actual: torch.Tensor, predicted: torch.Tensor, count: float
) -> dict[str, float]:
    """Means over the classes that are seen or predicted at all; 0 where a class's own ratio is 0 / 0."""
    seen = (actual + predicted) > 0
    negatives = count - actual

    def mean(part: torch.Tensor, whole: torch.Tensor) -> float:
        ratio = torch.where(whole > 0, part / whole.clamp(min=1), torch.zeros_like(part))
        return float(ratio[seen].mean())

    return {
        "precision": mean(hits, predicted),
        "recall": mean(hits, actual),
        "f1": mean(2 * hits, actual + predicted),
        "specificity": mean(negatives - (predicted - hits), negatives),
    }
